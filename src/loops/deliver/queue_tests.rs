//! Tests of the queue.
//! In: small notifications. Out: the order in which they leave.
//! Never: a clock.
//! Start at [`pages_go_before_announcements_and_critical_before_others`].

use super::*;
use crate::model::{
    IncidentId, IncidentStatus, Labels, Message, MessageIncident, NotificationKind, NotificationState, Severity,
    Timestamp,
};

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
    notification(key, NotificationKind::Page { incident: IncidentId(incident), run: 1, round: 1, step: 1 }, message)
}

/// Queued as soon as it was decided.
fn push(queue: &mut Queue, notification: Arc<Notification>) -> bool {
    queue.push(notification, Duration::ZERO, Duration::ZERO)
}

fn announcement(key: &str, group: &str) -> Arc<Notification> {
    let kind = NotificationKind::Announcement {
        group_key: group.into(),
        firing: Vec::new(),
        resolved: Vec::new(),
        log_expires_at: Timestamp::EPOCH,
        reason: String::new(),
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
        incidents: Vec::new(),
    }
}

fn notification(key: &str, kind: NotificationKind, message: Message) -> Arc<Notification> {
    Arc::new(Notification {
        key: NotificationKey(key.into()),
        kind,
        receiver: "r".into(),
        integration: crate::model::IntegrationId::new("log", 0),
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
    std::iter::from_fn(|| queue.pop(false)).map(|i| i.notification.key.to_string()).collect()
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
        assert!(push(&mut queue, Arc::clone(&n)));
        assert!(!push(&mut queue, n), "twice the same");
    }
    assert_eq!(drain(&mut queue), ["p2", "p1", "p3", "a1", "a2"]);
}

#[test]
fn one_incident_is_told_in_order() {
    let mut queue = Queue::default();
    let (first, second) = (page("p1", 1, Severity::Low), page("p2", 1, Severity::Critical));
    push(&mut queue, Arc::clone(&first));
    push(&mut queue, Arc::clone(&second));
    push(&mut queue, page("other", 2, Severity::Low));
    assert_eq!(drain(&mut queue), ["p1", "other"]);
    let item = Item {
        notification: Arc::clone(&first),
        attempts: 1,
        age_when_queued: Duration::ZERO,
        queued_at: Duration::ZERO,
        reported_at: None,
        blocked: false,
    };
    assert!(queue.retry(item, Duration::from_secs(5)));
    assert_eq!((drain(&mut queue), queue.next_due(true)), (vec![], Some(Duration::from_secs(5))));
    queue.wake(Duration::from_secs(5));
    assert_eq!(drain(&mut queue), ["p1"]);
    queue.settle(&first);
    assert_eq!(drain(&mut queue), ["p2"]);
}

#[test]
fn cancelled_keys_do_not_pile_up() {
    let mut queue = Queue::default();
    for i in 0..5000 {
        let n = announcement(&format!("k{i}"), "g");
        push(&mut queue, Arc::clone(&n));
        queue.cancel(&n.key);
    }
    assert!(queue.lanes.iter().map(VecDeque::len).sum::<usize>() <= STALE_MIN + 1);
    assert_eq!((queue.len(), queue.lines.len()), (0, 0));
}

#[test]
fn a_cancelled_message_lets_the_next_one_through() {
    let mut queue = Queue::default();
    let (old, new) = (announcement("old", "g"), announcement("new", "g"));
    push(&mut queue, Arc::clone(&old));
    let item = queue.pop(false).expect("one is ready");
    queue.retry(item, Duration::from_mins(1));
    push(&mut queue, Arc::clone(&new));
    queue.cancel(&old.key);
    assert_eq!(queue.next_due(false), None);
    let sent = queue.pop(false).expect("one is ready");
    assert_eq!(sent.notification.key, new.key);
    // Cancelled while on the wire: not tried again, and the line goes on.
    push(&mut queue, announcement("third", "g"));
    queue.cancel(&new.key);
    assert!(!queue.retry(sent, Duration::from_mins(1)));
    assert_eq!(drain(&mut queue), ["third"]);
}
