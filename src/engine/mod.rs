//! The engine: the one order of decisions. merge → mute → group → correlate → escalate → notifications.
//! In: [`Input`] and `now`. Out: [`Outcome`]: rows to commit, messages to send, answers to give.
//! Never: waits, reads a clock, or acts; effects leave only after the store has committed the outcome.
//! Start at [`Input`].

mod input;

pub use input::{Command, CommandError, CommandKind, Input, Outcome, Reply, RuleAlertChange};
