//! What readers see of the engine: plain data, cheap to clone.
//! In: the engine under a read lock. Out: views for API, UI and CLI.
//! Never: changes anything.
//! Start at [`GroupView`].

use crate::model::{AlertRecord, EscalationTarget, Fingerprint, IncidentId, Labels, MuteReason, Timestamp};
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
    pub policy: Arc<str>,
    pub round: u32,
    pub step: u32,
    pub target: EscalationTarget,
    /// Who is on call then, where the target is a schedule.
    pub person: Option<Arc<str>>,
    /// The receivers that would be paged, each once a moment.
    pub receivers: Vec<Arc<str>>,
    /// The target leads to no receiver.
    pub unreachable: bool,
    pub reason: String,
}

/// One announcement of [`Simulation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    pub receiver: Arc<str>,
    pub group_key: Arc<str>,
    pub at: Timestamp,
    /// Why nobody is told at that moment.
    pub muted: Option<MuteReason>,
}

/// What would happen to an alert with these labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Simulation {
    pub status: AlertStatus,
    pub announced: Vec<Announced>,
    /// The escalation policies that its routes name.
    pub policies: Vec<Arc<str>>,
    /// The open incident it would join; `None`: it would open one.
    pub incident: Option<IncidentId>,
    pub reason: String,
    pub pages: Vec<SimulatedPage>,
    /// There are more pages than are listed.
    pub truncated: bool,
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
