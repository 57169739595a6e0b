//! Made-up messages, on which the templates of a configuration are tried when it is loaded.
//! In: nothing. Out: a page that fires, a group of which some alerts have ended, and one that is over.
//! Never: sent.
//! Start at [`messages`].

use crate::model::{
    Fingerprint, IncidentId, IncidentStatus, Labels, Message, MessageAlert, MessageIncident, Severity, Timestamp,
};

/// 2026-01-05T12:00:00Z.
pub(super) const NOW: Timestamp = Timestamp::from_millis(1_767_614_400_000);

/// Labels and annotations that rules usually set: a template may ask for others, which are then empty.
const COMMON: [(&str, &str); 8] = [
    ("alertname", "InstanceDown"),
    ("cluster", "eu-1"),
    ("environment", "production"),
    ("job", "node"),
    ("namespace", "shop"),
    ("service", "checkout"),
    ("severity", "critical"),
    ("team", "platform"),
];
const ANNOTATIONS: [(&str, &str); 4] = [
    ("dashboard_url", "https://grafana.example.org/d/1"),
    ("description", "node-1 has not answered for 5 minutes."),
    ("runbook_url", "https://runbooks.example.org/InstanceDown"),
    ("summary", "Instance node-1 is down"),
];

pub(super) fn messages() -> [Message; 3] {
    let page = Message { incident: Some(incident()), ..message(&[false, false]) };
    [page, message(&[false, false, true]), message(&[true, true])]
}

fn message(ended: &[bool]) -> Message {
    Message {
        firing: ended.iter().any(|ended| !ended),
        receiver: "ops".into(),
        group_key: "{}:{alertname=\"InstanceDown\"}".into(),
        group_labels: Labels::from_pairs([COMMON[0]]),
        common_labels: Labels::from_pairs(COMMON),
        common_annotations: Labels::from_pairs(ANNOTATIONS),
        external_url: "https://watchfire.example.org".into(),
        alerts: ended.iter().enumerate().map(|(number, ended)| alert(number, *ended)).collect(),
        truncated_alerts: 0,
        incident: None,
        incidents: Vec::new(),
    }
}

fn alert(number: usize, ended: bool) -> MessageAlert {
    let instance = format!("node-{number}:9100");
    let labels = Labels::from_pairs(COMMON.into_iter().chain([("instance", instance.as_str())]));
    MessageAlert {
        fingerprint: Fingerprint::of(&labels),
        labels,
        annotations: Labels::from_pairs(ANNOTATIONS),
        generator_url: "https://prometheus.example.org/graph?g0.expr=up".into(),
        starts_at: NOW - std::time::Duration::from_mins(5),
        ended_at: ended.then_some(NOW),
    }
}

fn incident() -> MessageIncident {
    MessageIncident {
        id: IncidentId(1),
        url: "https://watchfire.example.org/incidents/INC-1".to_owned(),
        status: IncidentStatus::Triggered,
        severity: Severity::Critical,
        title: "InstanceDown node-1".to_owned(),
        step: 1,
        round: 1,
        reason: "round 1 step 1 of policy default: the incident opened".to_owned(),
        held_back: 0,
        acknowledged_by: None,
    }
}
