//! What a decision changes on disk: the closed list of writes.
//! In: `engine::apply`. Out: rows for `store::Store::commit`, all of one outcome in one transaction.
//! Never: a partial row; each write replaces the row of its key.
//! Start at [`Write`].

use super::alert::AlertRecord;
use super::ids::{Fingerprint, NotificationKey};
use super::incident::{Incident, Member};
use super::labels::Labels;
use super::notification::{Notification, NotificationState};
use super::receiver::IntegrationId;
use super::silence::Silence;
use super::time::Timestamp;
use super::timeline::TimelineEntry;
use std::sync::Arc;

/// One row to put or drop. Order within an outcome matters and is kept.
#[derive(Clone, Debug)]
pub enum Write {
    Alert(Arc<AlertRecord>),
    AlertDropped(Fingerprint),
    Incident(Arc<Incident>),
    Member(Arc<Member>),
    Timeline(Arc<TimelineEntry>),
    Silence(Arc<Silence>),
    SilenceDropped(Arc<str>),
    /// A new row of the outbox.
    Notification(Arc<Notification>),
    /// A row of the outbox moved on.
    NotificationState {
        key: NotificationKey,
        state: NotificationState,
        attempts: u32,
        sent_at: Option<Timestamp>,
        error: Option<String>,
        external_ref: Option<Arc<str>>,
    },
    Nflog(Arc<NflogEntry>),
    NflogDropped(NflogKey),
    RuleAlert(Arc<RuleAlertRecord>),
    RuleAlertDropped {
        rule: Arc<str>,
        fingerprint: Fingerprint,
    },
    /// When this was decided: a successor whose clock is behind goes on from here.
    Moment(Timestamp),
}

/// What an entry of the notification log is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NflogKey {
    pub group_key: Arc<str>,
    pub receiver: Arc<str>,
    pub integration: IntegrationId,
}

/// What a receiver already knows of a group (Alertmanager's nflog).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NflogEntry {
    pub key: NflogKey,
    /// Fingerprints last told as firing, sorted.
    pub firing: Vec<Fingerprint>,
    /// Fingerprints last told as resolved, sorted.
    pub resolved: Vec<Fingerprint>,
    /// Told as firing before and left out of the last message, because they are muted or no route leads here any more: their
    /// ends are owed. Sorted.
    pub owed: Vec<Fingerprint>,
    pub at: Timestamp,
    pub expires_at: Timestamp,
}

impl NflogEntry {
    /// Whether the integration has heard that the alert fires, and not that it ended.
    pub fn has_heard(&self, alert: Fingerprint) -> bool {
        self.firing.binary_search(&alert).is_ok() || self.owed.binary_search(&alert).is_ok()
    }

    /// All that it has heard of and that has not ended for it.
    pub fn heard(&self) -> impl Iterator<Item = Fingerprint> + '_ {
        self.firing.iter().chain(&self.owed).copied()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleAlertState {
    Pending,
    Firing,
    /// Ended, kept for 15 minutes so that the end is told again.
    Inactive,
}

/// One element of an alerting rule's state: what makes `for` survive a restart exactly.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleAlertRecord {
    /// The rule's identity: file-independent, `group/alertname/hash of expr and labels`.
    pub rule: Arc<str>,
    /// Of `labels`.
    pub fingerprint: Fingerprint,
    /// Of the alert, alertname and rule labels included.
    pub labels: Labels,
    pub annotations: Labels,
    pub state: RuleAlertState,
    pub value: f64,
    pub active_at: Timestamp,
    pub fired_at: Option<Timestamp>,
    pub resolved_at: Option<Timestamp>,
    pub keep_firing_since: Option<Timestamp>,
}
