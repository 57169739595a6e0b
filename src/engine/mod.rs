//! The engine: the one order of decisions. merge → mute → group → correlate → escalate → notifications.
//! In: [`Input`] and `now`. Out: [`Outcome`]: rows to commit, messages to send, answers to give.
//! Never: waits, reads a clock, or acts; effects leave only after the store has committed the outcome.
//! Start at [`Input`].

mod core;
mod input;
pub mod limits;
mod settings;
mod view;

pub use core::{Engine, Restored};
pub use input::{Command, CommandError, CommandKind, Input, Outcome, Reply, RuleAlertChange};
pub use settings::Settings;
pub use view::{AlertStatus, Counts, GroupView, OnCallView, SimulatedPage, Simulation, WhyLine};
