//! The engine: the one order of decisions. merge → mute → group → correlate → escalate → notifications.
//! In: [`Input`] and `now`. Out: [`Outcome`]: rows to commit, messages to send, answers to give.
//! Never: waits, reads a clock, or acts; effects leave only after the store has committed the outcome.
//! Start at [`Engine::apply`], then [`Input`].

mod announce;
mod changes;
mod clock;
mod commands;
mod core;
mod entry;
mod former_groups;
mod input;
pub mod invariants;
pub mod limits;
mod membership;
mod message;
mod moves;
mod mute;
mod outbox;
mod page;
mod page_limit;
mod read;
mod rebuild;
mod receipts;
mod resend;
mod restart;
mod runs;
mod settings;
mod simulate;
mod tell;
mod timers;
mod view;
mod waiting;
mod why;

pub use core::Engine;
pub use input::{Command, CommandError, CommandKind, Input, Outcome, Reply, RuleAlertChange};
pub use restart::{Restart, Snapshot};
pub use settings::Settings;
pub use view::{AlertStatus, Announced, Counts, GroupView, OnCallView, SimulatedPage, Simulation, WhyLine};
