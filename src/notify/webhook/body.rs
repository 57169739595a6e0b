//! Alertmanager's webhook body, version 4, with our `incident` beside it on pages, and `incidents` on announcements.
//! In: a [`Message`]. Out: JSON bytes, written straight from the message without a tree in between.
//! Never: renders templates.
//! Start at [`webhook_v4`].

use crate::model::{IncidentLink, Labels, Message, MessageAlert, MessageIncident};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

/// Alertmanager's `endsAt` of an alert that fires.
const GO_ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// The whole body. `alerts_max` cuts the list (0 = all) and adds what it cut to `truncatedAlerts`.
pub fn webhook_v4(message: &Message, alerts_max: usize) -> Vec<u8> {
    let shown = if alerts_max == 0 { message.alerts.len() } else { alerts_max.min(message.alerts.len()) };
    let body = Body {
        receiver: &message.receiver,
        status: status(message.firing),
        alerts: Alerts(&message.alerts[..shown]),
        group_labels: Map(&message.group_labels),
        common_labels: Map(&message.common_labels),
        common_annotations: Map(&message.common_annotations),
        external_url: &message.external_url,
        version: "4",
        group_key: &message.group_key,
        truncated_alerts: message.truncated_alerts + message.alerts.len() - shown,
        incident: message.incident.as_ref().map(incident),
        incidents: message.incidents.iter().map(link).collect(),
    };
    serde_json::to_vec(&body).expect("maps have string keys and numbers are integers")
}

pub(in crate::notify) fn status(firing: bool) -> &'static str {
    if firing { "firing" } else { "resolved" }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    receiver: &'a str,
    status: &'a str,
    alerts: Alerts<'a>,
    group_labels: Map<'a>,
    common_labels: Map<'a>,
    common_annotations: Map<'a>,
    #[serde(rename = "externalURL")]
    external_url: &'a str,
    version: &'a str,
    group_key: &'a str,
    truncated_alerts: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    incident: Option<IncidentBody<'a>>,
    /// Of an announcement: where its alerts are to be seen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    incidents: Vec<LinkBody<'a>>,
}

#[derive(Serialize)]
struct LinkBody<'a> {
    id: String,
    url: &'a str,
    title: &'a str,
}

fn link(link: &IncidentLink) -> LinkBody<'_> {
    LinkBody { id: link.id.to_string(), url: &link.url, title: &link.title }
}

/// Labels as a JSON object, in their own order (names sorted, as Go prints maps).
struct Map<'a>(&'a Labels);

impl Serialize for Map<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

struct Alerts<'a>(&'a [MessageAlert]);

impl Serialize for Alerts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for alert in self.0 {
            list.serialize_element(&AlertBody {
                status: status(alert.ended_at.is_none()),
                labels: Map(&alert.labels),
                annotations: Map(&alert.annotations),
                starts_at: alert.starts_at.to_rfc3339(),
                ends_at: alert.ended_at.map_or_else(|| GO_ZERO_TIME.to_owned(), crate::model::Timestamp::to_rfc3339),
                generator_url: &alert.generator_url,
                fingerprint: alert.fingerprint.to_string(),
            })?;
        }
        list.end()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AlertBody<'a> {
    status: &'a str,
    labels: Map<'a>,
    annotations: Map<'a>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
    fingerprint: String,
}

#[derive(Serialize)]
struct IncidentBody<'a> {
    id: String,
    url: &'a str,
    status: &'a str,
    severity: &'a str,
    title: &'a str,
    step: u32,
    round: u32,
    reason: &'a str,
    held_back: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged_by: Option<&'a str>,
}

fn incident(incident: &MessageIncident) -> IncidentBody<'_> {
    IncidentBody {
        id: incident.id.to_string(),
        url: &incident.url,
        status: incident.status.as_str(),
        severity: incident.severity.as_str(),
        title: &incident.title,
        step: incident.step,
        round: incident.round,
        reason: &incident.reason,
        held_back: incident.held_back,
        acknowledged_by: incident.acknowledged_by.as_deref(),
    }
}
