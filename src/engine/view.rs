//! What readers see of the engine: plain data, cheap to clone.
//! In: the engine under a read lock. Out: views for API, UI and CLI.
//! Never: changes anything.
//! Start at [`GroupView`].

use crate::model::incident::EscalationTarget;
use crate::model::{AlertRecord, Fingerprint, IncidentId, Labels, Timestamp};
use std::sync::Arc;

/// Why an alert is quiet; all empty means active.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertStatus {
    /// Ids of active silences.
    pub silenced_by: Vec<Arc<str>>,
    /// Alerts that inhibit it.
    pub inhibited_by: Vec<Fingerprint>,
    /// Names of time intervals that mute all its groups now.
    pub muted_by: Vec<Arc<str>>,
}

impl AlertStatus {
    /// `active` or `suppressed`, Alertmanager's words.
    pub fn state(&self) -> &'static str {
        if self.silenced_by.is_empty() && self.inhibited_by.is_empty() { "active" } else { "suppressed" }
    }
}

/// One group of `/api/v2/alerts/groups`.
#[derive(Clone, Debug)]
pub struct GroupView {
    pub labels: Labels,
    pub receiver: Arc<str>,
    /// Alertmanager's group key.
    pub key: Arc<str>,
    pub muted_by: Vec<Arc<str>>,
    pub alerts: Vec<Arc<AlertRecord>>,
    /// The next flush.
    pub next_flush: Timestamp,
}

/// Who is on call in one schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnCallView {
    pub schedule: Arc<str>,
    pub user: Arc<str>,
    /// The next hand-over.
    pub until: Timestamp,
}

/// One line of an explanation; `depth` makes it a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhyLine {
    pub depth: u8,
    pub text: String,
}

/// One step of [`Simulation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatedPage {
    pub at: Timestamp,
    pub round: u32,
    pub step: u32,
    pub target: EscalationTarget,
    /// The receivers that would be told.
    pub receivers: Vec<Arc<str>>,
    pub reason: String,
}

/// What would happen to an alert with these labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Simulation {
    pub status: AlertStatus,
    /// (receiver, group key, when it would be announced).
    pub announcements: Vec<(Arc<str>, Arc<str>, Timestamp)>,
    pub policy: Option<Arc<str>>,
    /// The open incident it would join; `None`: it would open one.
    pub incident: Option<IncidentId>,
    pub reason: String,
    pub pages: Vec<SimulatedPage>,
}

/// For gauges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub alerts_firing: usize,
    pub alerts_ended: usize,
    pub alerts_waiting: usize,
    pub groups: usize,
    pub incidents_triggered: usize,
    /// Of those that are triggered: they have no policy, so nobody is asked, as for a watchdog.
    pub incidents_asking_nobody: usize,
    pub incidents_acknowledged: usize,
    pub incidents_resolved: usize,
    pub silences_active: usize,
    pub silences_pending: usize,
    pub silences_expired: usize,
    pub outbox_pending: usize,
    pub pages_held_back: usize,
    pub nflog_entries: usize,
}
