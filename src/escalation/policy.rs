//! Policies, steps, schedules and users, as the configuration describes them.
//! In: checked configuration. Out: plain data.
//! Never: asks who is on call by itself.
//! Start at [`EscalationPolicy`].

use crate::model::EscalationTarget;
use crate::model::Severity;
use std::sync::Arc;
use std::time::Duration;

/// The order in which people are told until one answers.
#[derive(Clone, Debug, PartialEq)]
pub struct EscalationPolicy {
    pub name: Arc<str>,
    /// At least one.
    pub steps: Vec<EscalationStep>,
    /// Rounds after the first.
    pub repeat: u32,
    /// From the last step of a round to the start of the next (default 5 m).
    pub repeat_after: Duration,
    /// An acknowledged incident pages again after this long; `None`: never.
    pub ack_timeout: Option<Duration>,
    /// An acknowledged incident whose severity rises to this or above pages again; `None`: it does not.
    pub page_again_at: Option<Severity>,
    /// Told once when all rounds are over and nobody answered.
    pub fallback: Vec<EscalationTarget>,
}

/// `after` counts from the start of the round; steps are sorted by it.
#[derive(Clone, Debug, PartialEq)]
pub struct EscalationStep {
    pub after: Duration,
    pub notify: Vec<EscalationTarget>,
}

/// A person and the receivers that reach them, all used at once.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    pub name: Arc<str>,
    pub receivers: Vec<Arc<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    Daily,
    /// Hand-over on this weekday.
    Weekly(jiff::civil::Weekday),
}

/// A rotation: each user in turn, changing hands at a wall-clock time in a time zone.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    pub name: Arc<str>,
    pub time_zone: jiff::tz::TimeZone,
    pub rotation: Rotation,
    pub hand_over: jiff::civil::Time,
    /// The day on which the first user takes the first shift.
    pub start: jiff::civil::Date,
    /// In order of their shifts; at least one.
    pub users: Vec<Arc<str>>,
}
