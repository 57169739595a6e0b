//! The engine: the one order of decisions. merge → mute → group → correlate → escalate → notifications.
//! In: [`Input`] and `now`. Out: [`Outcome`]: rows to commit, messages to send, answers to give.
//! Never: waits, reads a clock, or acts; effects leave only after the store has committed the outcome.
//! Start at [`Engine::apply`], then [`Input`].

mod announce;
mod case;
mod commands;
mod core;
mod held;
mod input;
pub mod invariants;
mod journal;
pub mod limits;
mod message;
mod mute;
mod page;
mod place;
mod read;
mod receipts;
mod resend;
mod restore;
mod settings;
mod tell;
mod timers;
mod view;
mod waiting;
mod why;

pub use core::Engine;
pub use input::{Command, CommandError, CommandKind, Input, Outcome, Reply, RuleAlertChange};
pub use restore::Restored;
pub use settings::Settings;
pub use view::{AlertStatus, Counts, GroupView, OnCallView, SimulatedPage, Simulation, WhyLine};
