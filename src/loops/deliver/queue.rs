//! The queue of one destination: lanes by urgency, one message at a time of each incident or group, retries by due time.
//! In: notifications, and what became of them. Out: the next one to send.
//! Never: reads a clock; times are spans since the destination's start.
//! Start at [`Queue::pop`].

use crate::model::{IncidentId, Notification, NotificationKey, NotificationKind, Severity};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Critical pages, other pages and updates, critical announcements, other announcements.
const LANES: usize = 4;

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
    /// When the engine was last told that it is being retried.
    pub reported_at: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In a lane.
    Ready,
    /// Behind another of its incident or group.
    Parked,
    /// Between tries: its slot in `waiting`.
    Waiting(Duration, u64),
    OnWire,
}

#[derive(Default)]
pub(super) struct Queue {
    items: HashMap<NotificationKey, (Item, Place)>,
    /// Keys; one that is no longer `Ready` in `items` was cancelled and is skipped.
    lanes: [VecDeque<NotificationKey>; LANES],
    /// A key in here has one message under way (ready, waiting or on the wire); the others stand in line.
    lines: HashMap<OrderKey, VecDeque<NotificationKey>>,
    waiting: BTreeMap<(Duration, u64), NotificationKey>,
    seq: u64,
}

impl Queue {
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// False when it is here already (a restart dispatches what is still pending).
    pub fn push(&mut self, notification: Arc<Notification>) -> bool {
        let key = notification.key.clone();
        if self.items.contains_key(&key) {
            return false;
        }
        let item = Item { attempts: notification.attempts, notification, reported_at: None };
        let place = if let Some(line) = self.lines.get_mut(&OrderKey::of(&item.notification)) {
            line.push_back(key.clone());
            Place::Parked
        } else {
            self.lines.insert(OrderKey::of(&item.notification), VecDeque::new());
            self.lanes[lane(&item.notification)].push_back(key.clone());
            Place::Ready
        };
        self.items.insert(key, (item, place));
        true
    }

    /// The most urgent message that may be sent now; it counts as on the wire until [`Self::settle`] or [`Self::retry`].
    pub fn pop(&mut self) -> Option<Item> {
        for lane in &mut self.lanes {
            while let Some(key) = lane.pop_front() {
                if let Some((item, place @ Place::Ready)) = self.items.get_mut(&key) {
                    *place = Place::OnWire;
                    return Some(item.clone());
                }
            }
        }
        None
    }

    pub fn has_ready(&self) -> bool {
        self.lanes.iter().flatten().any(|key| matches!(self.items.get(key), Some((_, Place::Ready))))
    }

    /// Puts a message that failed for now between tries; its line goes on waiting. False when it was cancelled meanwhile.
    pub fn retry(&mut self, item: Item, due: Duration) -> bool {
        let key = item.notification.key.clone();
        if !self.items.contains_key(&key) {
            self.advance(&OrderKey::of(&item.notification));
            return false;
        }
        self.seq += 1;
        self.waiting.insert((due, self.seq), key.clone());
        self.items.insert(key, (item, Place::Waiting(due, self.seq)));
        true
    }

    /// A message on the wire is done with, for good or ill: the next of its incident or group gets ready.
    pub fn settle(&mut self, notification: &Notification) {
        self.items.remove(&notification.key);
        self.advance(&OrderKey::of(notification));
    }

    /// Drops a message; true when that is all there is to do. One on the wire stays there, but is not tried again.
    pub fn cancel(&mut self, key: &NotificationKey) -> bool {
        let Some((item, place)) = self.items.remove(key) else { return false };
        if let Place::Waiting(due, seq) = place {
            self.waiting.remove(&(due, seq));
        }
        if matches!(place, Place::Ready | Place::Waiting(..)) {
            self.advance(&OrderKey::of(&item.notification));
        }
        place != Place::OnWire
    }

    /// Makes everything ready whose time has come.
    pub fn wake(&mut self, now: Duration) {
        while self.waiting.first_key_value().is_some_and(|((due, _), _)| *due <= now) {
            self.wake_first();
        }
    }

    /// Makes the one that is due first ready before its time, as a probe.
    pub fn wake_first(&mut self) {
        let Some((_, key)) = self.waiting.pop_first() else { return };
        if let Some((item, place)) = self.items.get_mut(&key) {
            *place = Place::Ready;
            self.lanes[lane(&item.notification)].push_back(key);
        }
    }

    /// The destination is back: nothing needs to wait for its own time.
    pub fn wake_all(&mut self) {
        while !self.waiting.is_empty() {
            self.wake_first();
        }
    }

    pub fn next_due(&self) -> Option<Duration> {
        self.waiting.first_key_value().map(|((due, _), _)| *due)
    }

    fn advance(&mut self, order: &OrderKey) {
        let Some(line) = self.lines.get_mut(order) else { return };
        while let Some(key) = line.pop_front() {
            if let Some((item, place @ Place::Parked)) = self.items.get_mut(&key) {
                *place = Place::Ready;
                self.lanes[lane(&item.notification)].push_back(key);
                return;
            }
        }
        self.lines.remove(order);
    }
}

fn lane(notification: &Notification) -> usize {
    let message = &notification.message;
    let severity = message
        .incident
        .as_ref()
        .map_or_else(|| Severity::of_label(message.common_labels.value("severity")), |incident| incident.severity);
    let announcement = matches!(notification.kind, NotificationKind::Announcement { .. });
    usize::from(announcement) * 2 + usize::from(severity != Severity::Critical)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{IncidentStatus, Labels, Message, MessageIncident, NotificationState, Timestamp};

    fn page(key: &str, incident: u64, severity: Severity) -> Arc<Notification> {
        let mut message = message();
        message.incident = Some(MessageIncident {
            id: IncidentId(incident),
            url: String::new(),
            status: IncidentStatus::Triggered,
            severity,
            title: String::new(),
            step: 1,
            round: 1,
            reason: String::new(),
            held_back: 0,
            acknowledged_by: None,
        });
        notification(key, NotificationKind::Page { incident: IncidentId(incident), round: 1, step: 1 }, message)
    }

    fn announcement(key: &str, group: &str) -> Arc<Notification> {
        let kind = NotificationKind::Announcement {
            group_key: group.into(),
            firing: Vec::new(),
            resolved: Vec::new(),
            log_expires_at: Timestamp::EPOCH,
        };
        notification(key, kind, message())
    }

    fn message() -> Message {
        Message {
            firing: true,
            receiver: "r".into(),
            group_key: "".into(),
            group_labels: Labels::empty(),
            common_labels: Labels::empty(),
            common_annotations: Labels::empty(),
            external_url: "".into(),
            alerts: Vec::new(),
            truncated_alerts: 0,
            incident: None,
        }
    }

    fn notification(key: &str, kind: NotificationKind, message: Message) -> Arc<Notification> {
        Arc::new(Notification {
            key: NotificationKey(key.into()),
            kind,
            receiver: "r".into(),
            integration: 0,
            integration_kind: "log".into(),
            message: Arc::new(message),
            created_at: Timestamp::EPOCH,
            state: NotificationState::Pending,
            attempts: 0,
            sent_at: None,
            error: None,
            external_ref: None,
        })
    }

    fn drain(queue: &mut Queue) -> Vec<String> {
        std::iter::from_fn(|| queue.pop()).map(|i| i.notification.key.to_string()).collect()
    }

    #[test]
    fn pages_go_before_announcements_and_critical_before_others() {
        let mut queue = Queue::default();
        for n in [
            announcement("a1", "g1"),
            page("p1", 1, Severity::Low),
            announcement("a2", "g2"),
            page("p2", 2, Severity::Critical),
            page("p3", 3, Severity::High),
        ] {
            assert!(queue.push(Arc::clone(&n)));
            assert!(!queue.push(n), "twice the same");
        }
        assert_eq!(drain(&mut queue), ["p2", "p1", "p3", "a1", "a2"]);
    }

    #[test]
    fn one_incident_is_told_in_order() {
        let mut queue = Queue::default();
        let (first, second) = (page("p1", 1, Severity::Low), page("p2", 1, Severity::Critical));
        queue.push(Arc::clone(&first));
        queue.push(Arc::clone(&second));
        queue.push(page("other", 2, Severity::Low));
        assert_eq!(drain(&mut queue), ["p1", "other"]);
        let item = Item { notification: Arc::clone(&first), attempts: 1, reported_at: None };
        assert!(queue.retry(item, Duration::from_secs(5)));
        assert_eq!((drain(&mut queue), queue.next_due()), (vec![], Some(Duration::from_secs(5))));
        queue.wake(Duration::from_secs(5));
        assert_eq!(drain(&mut queue), ["p1"]);
        queue.settle(&first);
        assert_eq!(drain(&mut queue), ["p2"]);
    }

    #[test]
    fn a_cancelled_message_lets_the_next_one_through() {
        let mut queue = Queue::default();
        let (old, new) = (announcement("old", "g"), announcement("new", "g"));
        queue.push(Arc::clone(&old));
        let item = queue.pop().unwrap();
        queue.retry(item, Duration::from_secs(60));
        queue.push(Arc::clone(&new));
        queue.cancel(&old.key);
        assert_eq!(queue.next_due(), None);
        let sent = queue.pop().unwrap();
        assert_eq!(sent.notification.key, new.key);
        // Cancelled while on the wire: not tried again, and the line goes on.
        queue.push(announcement("third", "g"));
        queue.cancel(&new.key);
        assert!(!queue.retry(sent, Duration::from_secs(60)));
        assert_eq!(drain(&mut queue), ["third"]);
    }
}
