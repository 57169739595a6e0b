//! Notifications to test with.
//! In: what a test cares about. Out: whole rows of the outbox.
//! Never: random.
//! Start at [`page`].

use std::sync::Arc;
use watchfire::model::{
    Fingerprint, IncidentId, IncidentStatus, IntegrationId, Labels, Message, MessageAlert, MessageIncident,
    Notification, NotificationKey, NotificationKind, NotificationState, Severity, Timestamp,
};

pub fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).expect("a time")
}

pub fn alert(name: &str, instance: &str, ended: bool) -> MessageAlert {
    let labels = Labels::from_pairs([("alertname", name), ("instance", instance), ("severity", "critical")]);
    MessageAlert {
        fingerprint: Fingerprint::of(&labels),
        labels,
        annotations: Labels::from_pairs([("summary", "it is <down> & out")]),
        generator_url: "http://prom:9090/graph?g0.expr=up".into(),
        starts_at: at("2026-01-02T03:04:05Z"),
        ended_at: ended.then(|| at("2026-01-02T03:14:05Z")),
    }
}

pub fn message(alerts: Vec<MessageAlert>) -> Message {
    Message {
        firing: alerts.iter().any(|a| a.ended_at.is_none()),
        receiver: "team.ops".into(),
        group_key: "{}:{alertname=\"Down\"}".into(),
        group_labels: Labels::from_pairs([("alertname", "Down")]),
        common_labels: Labels::from_pairs([("alertname", "Down"), ("severity", "critical")]),
        common_annotations: Labels::from_pairs([("summary", "it is <down> & out")]),
        external_url: "http://watchfire.example.org".into(),
        alerts,
        truncated_alerts: 0,
        incident: None,
        incidents: Vec::new(),
    }
}

pub fn incident(id: u64, status: IncidentStatus) -> MessageIncident {
    MessageIncident {
        id: IncidentId(id),
        url: format!("http://watchfire.example.org/incidents/INC-{id}"),
        status,
        severity: Severity::Critical,
        title: "checkout is down".to_owned(),
        step: 1,
        round: 1,
        reason: "step 1 of policy default".to_owned(),
        held_back: 0,
        acknowledged_by: None,
    }
}

pub fn announcement(key: &str, kind: &str) -> Notification {
    let alerts = vec![alert("Down", "a:9100", false), alert("Down", "b:9100", true)];
    row(
        key,
        kind,
        NotificationKind::Announcement {
            group_key: format!("group of {key}").into(),
            firing: vec![],
            resolved: vec![],
            log_expires_at: at("2026-01-03T00:00:00Z"),
            reason: String::new(),
        },
        message(alerts),
    )
}

pub fn page(key: &str, kind: &str, id: u64) -> Notification {
    let mut message = message(vec![alert("Down", "a:9100", false)]);
    message.incident = Some(incident(id, IncidentStatus::Triggered));
    row(key, kind, NotificationKind::Page { incident: IncidentId(id), run: 1, round: 1, step: 1 }, message)
}

pub fn update(key: &str, kind: &str, id: u64, status: IncidentStatus) -> Notification {
    let resolved = status == IncidentStatus::Resolved;
    let mut message = message(vec![alert("Down", "a:9100", resolved)]);
    message.incident = Some(incident(id, status));
    row(key, kind, NotificationKind::Update { incident: IncidentId(id) }, message)
}

pub fn row(key: &str, kind: &str, of: NotificationKind, message: Message) -> Notification {
    Notification {
        key: NotificationKey(key.into()),
        kind: of,
        receiver: "ops".into(),
        integration: IntegrationId::new(kind, 0),
        message: Arc::new(message),
        created_at: at("2026-01-02T03:04:06Z"),
        state: NotificationState::Pending,
        attempts: 0,
        sent_at: None,
        error: None,
        external_ref: None,
    }
}

/// The same notification with its message changed.
pub fn with(mut notification: Notification, change: impl FnOnce(&mut Message)) -> Notification {
    change(Arc::make_mut(&mut notification.message));
    notification
}
