//! The engine itself: its state, and `apply`, the one order of decisions.
//! In: [`Input`] and `now`. Out: [`Outcome`].
//! Never: waits, reads a clock, or acts.
//! Start at [`Engine::apply`].

use super::{Input, Outcome, Settings};
use crate::model::{AlertRecord, Incident, Member, NflogEntry, Notification, Silence, Timestamp};
use std::sync::Arc;

/// What was stored, as `store::Snapshot` hands it over at start.
#[derive(Debug, Default)]
pub struct Restored {
    pub alerts: Vec<AlertRecord>,
    /// Open incidents, resolved ones of the last while, and every resolved one that a firing alert still belongs to.
    pub incidents: Vec<Incident>,
    /// Members of those incidents.
    pub members: Vec<Member>,
    pub silences: Vec<Silence>,
    pub nflog: Vec<NflogEntry>,
    /// Outbox rows still pending.
    pub outbox: Vec<Notification>,
    /// Receivers paged within the last minute, with when; keeps the page limit over a restart. May be left empty.
    pub recent_pages: Vec<(Arc<str>, Timestamp)>,
    pub last_incident: u64,
    pub last_timeline_seq: u64,
}

/// The single writer's state. Hold it behind one lock: `apply` writes, everything else reads.
#[derive(Debug)]
pub struct Engine {
    settings: Arc<Settings>,
}

impl Engine {
    pub fn new(settings: Arc<Settings>) -> Self {
        Self { settings }
    }

    /// The engine as it was when the last commit returned; what came due meanwhile is decided at `now` and in the outcome.
    pub fn restore(settings: Arc<Settings>, _restored: Restored, _now: Timestamp) -> (Self, Outcome) {
        (Self::new(settings), Outcome::default())
    }

    pub fn apply(&mut self, _now: Timestamp, _input: Input) -> Outcome {
        Outcome::default()
    }

    /// When `apply` should be called even if nothing happens.
    pub fn next_due(&self) -> Option<Timestamp> {
        None
    }

    /// Groups are rebuilt; alerts, incidents, silences and the notification log stay.
    pub fn reload(&mut self, _now: Timestamp, settings: Arc<Settings>) -> Outcome {
        self.settings = settings;
        Outcome::default()
    }

    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }
}
