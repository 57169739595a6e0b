//! Where an incident stands in its escalation policies.
//! In: decisions of the engine. Out: plain rows for the store and for readers.
//! Never: moves by itself, or knows what a policy says (that is `escalation`).
//! Start at [`EscalationRun`].

use super::ids::Fingerprint;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// Whom a step pages.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EscalationTarget {
    User(Arc<str>),
    Schedule(Arc<str>),
    Receiver(Arc<str>),
}

impl fmt::Display for EscalationTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "user {name}"),
            Self::Schedule(name) => write!(f, "schedule {name}"),
            Self::Receiver(name) => write!(f, "receiver {name}"),
        }
    }
}

/// What one run of a policy waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunState {
    /// The one who had acknowledged was paged again first; unanswered at `until`, the first step is taken.
    AskingAcknowledger { by: Arc<str>, until: Timestamp },
    /// The next step, round or fallback is due at `next_at`.
    Active { next_at: Timestamp },
    /// No firing alert that may page asks for this policy now; it goes on when one does.
    Resting,
    /// Every round is over and the fallback was paged: nothing more happens by itself.
    Exhausted,
    /// Answered: the incident is acknowledged, snoozed or resolved.
    Stopped,
    /// The configuration has no such policy (any more).
    UnknownPolicy,
}

impl RunState {
    /// The word in the API.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::AskingAcknowledger { .. } => "asking_acknowledger",
            Self::Active { .. } => "active",
            Self::Resting => "resting",
            Self::Exhausted => "exhausted",
            Self::Stopped => "stopped",
            Self::UnknownPolicy => "unknown_policy",
        }
    }

    /// When time alone takes it further.
    pub fn next_at(&self) -> Option<Timestamp> {
        match self {
            Self::AskingAcknowledger { until, .. } => Some(*until),
            Self::Active { next_at } => Some(*next_at),
            Self::Resting | Self::Exhausted | Self::Stopped | Self::UnknownPolicy => None,
        }
    }
}

/// One policy at work for one incident. Steps and rounds count from 1; 0 means "none taken yet".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EscalationRun {
    pub policy: Arc<str>,
    /// Counts the starts of all policies of the incident, from 1: part of the keys of its pages, never used twice.
    pub run: u32,
    /// The alert whose route asked for it; `None` in rows of version 0.1.
    pub because: Option<Fingerprint>,
    /// The last step taken in this round.
    pub step: u32,
    pub round: u32,
    /// When this round began; a step's `after` counts from here.
    pub round_started_at: Timestamp,
    /// A page of the last step taken was delivered, so a failure of its others does not hurry the next step.
    pub reached: bool,
    pub state: RunState,
}

impl EscalationRun {
    pub fn next_at(&self) -> Option<Timestamp> {
        self.state.next_at()
    }
}

/// Everything about the paging of one incident.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Escalation {
    /// One for each distinct policy that an alert of the incident asked for, in the order of their first start.
    pub runs: Vec<EscalationRun>,
    /// The number of the last start, see [`EscalationRun::run`].
    pub last_run: u32,
    /// An operator gave the incident to this target; the policies' steps page it instead of their own targets.
    pub assigned_to: Option<EscalationTarget>,
    /// Receivers whose page waits for the page limit.
    pub held: BTreeSet<Arc<str>>,
    /// Integrations that got a page of the incident, or may have: exactly these hear of its end.
    pub delivered_to: BTreeSet<super::receiver::Destination>,
}

impl Escalation {
    pub fn run_of(&self, policy: &str) -> Option<&EscalationRun> {
        self.runs.iter().find(|run| &*run.policy == policy)
    }

    /// The run whose next page is nearest; without one, the last that was started. `None`: nobody is to be paged.
    pub fn nearest(&self) -> Option<&EscalationRun> {
        let due = self.runs.iter().filter(|run| run.next_at().is_some()).min_by_key(|run| run.next_at());
        due.or_else(|| self.runs.iter().max_by_key(|run| run.run))
    }

    pub fn next_at(&self) -> Option<Timestamp> {
        self.runs.iter().filter_map(EscalationRun::next_at).min()
    }

    /// Every run has come to its end.
    pub fn is_exhausted(&self) -> bool {
        !self.runs.is_empty() && self.runs.iter().all(|run| run.state == RunState::Exhausted)
    }
}
