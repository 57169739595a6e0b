//! Notifications: one message to one integration of one receiver, and what became of it.
//! In: decisions of the engine. Out: rows of the outbox and what `notify` renders.
//! Never: holds rendered text; templates run when the message is sent.
//! Start at [`Notification`].

use super::ids::{Fingerprint, IncidentId, NotificationKey};
use super::labels::Labels;
use super::receiver::IntegrationId;
use super::time::Timestamp;
use std::sync::Arc;

/// Why a notification exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotificationKind {
    /// A group told its receiver (Alertmanager's notification); the log entry is written when it is delivered.
    Announcement {
        group_key: Arc<str>,
        firing: Vec<Fingerprint>,
        resolved: Vec<Fingerprint>,
        /// The log entry expires then (twice the repeat interval).
        log_expires_at: Timestamp,
        /// Why it was written: what is new to the receiver.
        reason: String,
    },
    /// An escalation step told a person.
    Page {
        incident: IncidentId,
        /// [`super::EscalationRun::run`]; 0 in rows of version 0.1, where an incident had one policy.
        run: u32,
        round: u32,
        step: u32,
    },
    /// Whoever was paged hears of a change: acknowledged or resolved.
    Update { incident: IncidentId },
}

impl NotificationKind {
    /// The names that [`Self::name`] gives.
    pub const NAMES: [&str; 3] = ["page", "update", "announcement"];

    pub fn name(&self) -> &'static str {
        match self {
            Self::Page { .. } => Self::NAMES[0],
            Self::Update { .. } => Self::NAMES[1],
            Self::Announcement { .. } => Self::NAMES[2],
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotificationState {
    /// In the outbox, not yet tried or between tries.
    Pending,
    Sent,
    /// Given up: the destination refused it for good, or patience ran out.
    Failed,
    /// Replaced by a newer message to the same destination before it could be sent.
    Superseded,
}

impl NotificationState {
    pub const ALL: [Self; 4] = [Self::Pending, Self::Sent, Self::Failed, Self::Superseded];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == text)
    }
}

/// A row of the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    pub key: NotificationKey,
    pub kind: NotificationKind,
    pub receiver: Arc<str>,
    /// Of the receiver; a reload that takes it away makes the row fail for good, with this said.
    pub integration: IntegrationId,
    pub message: Arc<Message>,
    pub created_at: Timestamp,
    pub state: NotificationState,
    pub attempts: u32,
    pub sent_at: Option<Timestamp>,
    pub error: Option<String>,
    /// What the destination called it (Slack's `channel:ts`), kept so that a later message can update it.
    pub external_ref: Option<Arc<str>>,
}

impl Notification {
    pub fn incident(&self) -> Option<IncidentId> {
        match &self.kind {
            NotificationKind::Page { incident, .. } | NotificationKind::Update { incident } => Some(*incident),
            NotificationKind::Announcement { .. } => None,
        }
    }

    /// Why it was written.
    pub fn reason(&self) -> &str {
        match &self.kind {
            NotificationKind::Announcement { reason, .. } => reason,
            _ => self.message.incident.as_ref().map_or("", |incident| &incident.reason),
        }
    }
}

/// Everything a template may say: Alertmanager's template data, plus the incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// True while any alert in it fires.
    pub firing: bool,
    pub receiver: Arc<str>,
    pub group_key: Arc<str>,
    pub group_labels: Labels,
    pub common_labels: Labels,
    pub common_annotations: Labels,
    pub external_url: Arc<str>,
    /// Sorted by `job`, `instance`, then labels (protocols: webhook v4).
    pub alerts: Vec<MessageAlert>,
    /// How many alerts did not fit.
    pub truncated_alerts: usize,
    pub incident: Option<MessageIncident>,
    /// Of an announcement: incidents that its alerts are in, at most [`MESSAGE_INCIDENTS_MAX`].
    pub incidents: Vec<IncidentLink>,
}

/// Incidents that an announcement links to; whoever wants more looks at the console.
pub const MESSAGE_INCIDENTS_MAX: usize = 5;

/// Where an incident is to be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncidentLink {
    pub id: IncidentId,
    pub url: String,
    pub title: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageAlert {
    pub fingerprint: Fingerprint,
    pub labels: Labels,
    pub annotations: Labels,
    pub generator_url: Arc<str>,
    pub starts_at: Timestamp,
    /// `None` while firing.
    pub ended_at: Option<Timestamp>,
}

/// The page's own object: `incident` in the webhook body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageIncident {
    pub id: IncidentId,
    pub url: String,
    pub status: super::incident::IncidentStatus,
    pub severity: super::incident::Severity,
    pub title: String,
    pub step: u32,
    pub round: u32,
    /// One sentence: why this person, why now.
    pub reason: String,
    /// Pages to this contact held back by the limit since the last one that went out.
    pub held_back: u32,
    pub acknowledged_by: Option<Arc<str>>,
}

/// What a pending message waits for, as things are now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextTry {
    /// When it is tried next; `None`: as soon as something else is done, which `reason` names.
    pub at: Option<Timestamp>,
    pub reason: String,
}

/// What a destination said, on its way back into the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub key: NotificationKey,
    /// How many tries there were, this one included.
    pub attempts: u32,
    pub at: Timestamp,
    pub outcome: ReceiptOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceiptOutcome {
    Delivered {
        external_ref: Option<Arc<str>>,
    },
    /// Failed for now; it is kept and tried again at `next_at`.
    Retrying {
        error: String,
        next_at: Timestamp,
    },
    /// Not tried: the destination is known to be away, and is asked again at `until`. `attempts` stays what it was.
    Blocked {
        reason: String,
        until: Timestamp,
    },
    /// Refused for good, or out of patience.
    Failed {
        error: String,
    },
}
