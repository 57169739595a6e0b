//! What is sent before what: lanes by urgency, and lines of messages about one thing.
//! In: a notification. Out: its lane and its [`OrderKey`].
//! Never: holds a queue.
//! Start at [`OrderKey`].

use crate::model::{IncidentId, Notification, NotificationKind, Severity};
use std::sync::Arc;
use std::time::Duration;

/// Critical pages, other pages and updates, critical announcements, other announcements.
pub(super) const LANES: usize = 4;

/// So many cancelled keys are carried along before they are swept out.
pub(super) const STALE_MIN: usize = 1024;

/// Messages with the same one are sent in their order, the next when the one before is settled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum OrderKey {
    Incident(IncidentId),
    Group(Arc<str>),
}

impl OrderKey {
    pub fn of(notification: &Notification) -> Self {
        match &notification.kind {
            NotificationKind::Announcement { group_key, .. } => Self::Group(Arc::clone(group_key)),
            NotificationKind::Page { incident, .. } | NotificationKind::Update { incident } => {
                Self::Incident(*incident)
            }
        }
    }
}

/// A notification and how it has fared in this process.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub notification: Arc<Notification>,
    /// Tries so far, those before a restart included.
    pub attempts: u32,
    /// How old it was when it was queued, and when that was: from then on its age counts by the monotonic clock.
    pub age_when_queued: Duration,
    pub queued_at: Duration,
    /// When the engine last received a receipt that says it is being retried.
    pub reported_at: Option<Duration>,
    /// The engine has a receipt that says it waits for a destination that is away.
    pub blocked: bool,
}

/// Where in the queue a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QueuePlace {
    /// In a lane.
    Ready,
    /// Behind another of its incident or group.
    Parked,
    /// Between tries: its slot in `waiting`.
    Waiting(Duration, u64),
    OnWire,
}

/// Messages about an incident are for a person who must act now. Announcements can wait.
pub(super) fn is_urgent(notification: &Notification) -> bool {
    notification.incident().is_some()
}

/// The lanes of what may be sent: all of them, or those of urgent messages.
pub(super) fn lanes_of(only_urgent: bool) -> std::ops::Range<usize> {
    0..if only_urgent { LANES / 2 } else { LANES }
}

/// The smaller, the sooner; urgent messages have the first half.
pub(super) fn lane(notification: &Notification) -> usize {
    let message = &notification.message;
    let severity = message
        .incident
        .as_ref()
        .map_or_else(|| Severity::of_label(message.common_labels.value("severity")), |incident| incident.severity);
    usize::from(!is_urgent(notification)) * (LANES / 2) + usize::from(severity != Severity::Critical)
}
