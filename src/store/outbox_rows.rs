//! The body of an outbox row: a notification and its message, as JSON. An announcement's alerts are named, not repeated: a
//! storm announces groups of hundreds of alerts every interval, and their rows are in the store already.
//! In: [`Notification`]s, taken apart field by field. Out: the same notifications.
//! Never: renders a message or talks to a database.
//! Start at [`NotificationBody`].

use super::contract::StoreError;
use super::rows::{FingerprintsBody, IntegrationBody, LabelsBody, known, millis, moment, unreadable};
use crate::model::notification::{
    Message, MessageAlert, MessageIncident, Notification, NotificationKind, NotificationState,
};
use crate::model::{
    AlertRecord, Fingerprint, IncidentId, IncidentLink, IncidentStatus, Labels, NotificationKey, Severity, Timestamp,
};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

/// What moves about a notification, and its keys, are columns.
#[derive(Serialize, Deserialize)]
pub(super) struct NotificationBody {
    kind: KindBody,
    receiver: Arc<str>,
    integration: IntegrationBody,
    /// Of rows of version 0.1, whose `integration` is a position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    integration_kind: Option<Arc<str>>,
    message: MessageBody,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KindBody {
    Announcement {
        group_key: Arc<str>,
        firing: FingerprintsBody,
        resolved: FingerprintsBody,
        log_expires_at: i64,
        /// Not in rows of version 0.1.
        #[serde(default)]
        reason: String,
    },
    Page {
        incident: u64,
        /// Not in rows of version 0.1.
        #[serde(default)]
        run: u32,
        round: u32,
        step: u32,
    },
    Update {
        incident: u64,
    },
}

#[derive(Serialize, Deserialize)]
struct MessageBody {
    firing: bool,
    receiver: Arc<str>,
    group_key: Arc<str>,
    group_labels: LabelsBody,
    common_labels: LabelsBody,
    common_annotations: LabelsBody,
    external_url: Arc<str>,
    alerts: Vec<MessageAlertBody>,
    /// In announcements, whose `alerts` are empty then: who is listed, in order, and who of them had ended when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    listed: Option<FingerprintsBody>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ended: Vec<(usize, i64)>,
    truncated_alerts: usize,
    incident: Option<MessageIncidentBody>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    incidents: Vec<IncidentLinkBody>,
}

#[derive(Serialize, Deserialize)]
struct IncidentLinkBody {
    id: u64,
    url: String,
    title: String,
}

#[derive(Serialize, Deserialize)]
struct MessageAlertBody {
    fingerprint: u64,
    starts_at: i64,
    ended_at: Option<i64>,
    /// `None` in announcements of before `listed`: the alert's own row has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<AlertTextBody>,
}

#[derive(Serialize, Deserialize)]
struct AlertTextBody {
    labels: LabelsBody,
    annotations: LabelsBody,
    generator_url: Arc<str>,
}

#[derive(Serialize, Deserialize)]
struct MessageIncidentBody {
    id: u64,
    url: String,
    status: String,
    severity: String,
    title: String,
    step: u32,
    round: u32,
    reason: String,
    held_back: u32,
    acknowledged_by: Option<Arc<str>>,
}

/// The columns of an outbox row that are not its body.
pub(super) struct NotificationColumns {
    pub key: NotificationKey,
    pub created_at: Timestamp,
    pub state: NotificationState,
    pub attempts: u32,
    pub sent_at: Option<Timestamp>,
    pub error: Option<String>,
    pub external_ref: Option<Arc<str>>,
}

impl NotificationBody {
    pub(super) fn of(row: &Notification) -> (NotificationColumns, Self) {
        let Notification {
            key,
            kind,
            receiver,
            integration,
            message,
            created_at,
            state,
            attempts,
            sent_at,
            error,
            external_ref,
        } = row.clone();
        let names_only = matches!(kind, NotificationKind::Announcement { .. });
        let columns = NotificationColumns { key, created_at, state, attempts, sent_at, error, external_ref };
        let body = Self {
            kind: KindBody::of(kind),
            receiver,
            integration: IntegrationBody::of(&integration),
            integration_kind: None,
            message: MessageBody::of(&message, names_only),
        };
        (columns, body)
    }

    pub(super) fn into_notification(self, columns: NotificationColumns) -> Result<Notification, StoreError> {
        let NotificationColumns { key, created_at, state, attempts, sent_at, error, external_ref } = columns;
        Ok(Notification {
            key,
            kind: self.kind.into_kind(),
            receiver: self.receiver,
            integration: self.integration.into_id(self.integration_kind.as_deref().unwrap_or_default())?,
            message: Arc::new(self.message.into_message()?),
            created_at,
            state,
            attempts,
            sent_at,
            error,
            external_ref,
        })
    }
}

/// Gives the alerts of pending announcements their labels back; one whose row is gone meanwhile leaves the message.
pub(super) fn fill_announcements(outbox: &mut [Notification], alerts: &[AlertRecord]) {
    let is_announcement = |row: &Notification| matches!(row.kind, NotificationKind::Announcement { .. });
    if !outbox.iter().any(is_announcement) {
        return;
    }
    let by_fingerprint: HashMap<Fingerprint, &AlertRecord> = alerts.iter().map(|a| (a.fingerprint, a)).collect();
    for row in outbox.iter_mut().filter(|row| is_announcement(row)) {
        let message = Arc::make_mut(&mut row.message);
        message.alerts.retain_mut(|alert| match by_fingerprint.get(&alert.fingerprint) {
            Some(record) => {
                alert.labels = record.labels.clone();
                alert.annotations = record.annotations.clone();
                alert.generator_url = Arc::clone(&record.generator_url);
                alert.starts_at = record.starts_at;
                true
            }
            None => false,
        });
    }
}

impl KindBody {
    fn of(kind: NotificationKind) -> Self {
        match kind {
            NotificationKind::Announcement { group_key, firing, resolved, log_expires_at, reason } => {
                Self::Announcement {
                    group_key,
                    firing: FingerprintsBody(firing),
                    resolved: FingerprintsBody(resolved),
                    log_expires_at: log_expires_at.as_millis(),
                    reason,
                }
            }
            NotificationKind::Page { incident, run, round, step } => {
                Self::Page { incident: incident.0, run, round, step }
            }
            NotificationKind::Update { incident } => Self::Update { incident: incident.0 },
        }
    }

    fn into_kind(self) -> NotificationKind {
        match self {
            Self::Announcement { group_key, firing, resolved, log_expires_at, reason } => {
                NotificationKind::Announcement {
                    group_key,
                    firing: firing.0,
                    resolved: resolved.0,
                    log_expires_at: Timestamp::from_millis(log_expires_at),
                    reason,
                }
            }
            Self::Page { incident, run, round, step } => {
                NotificationKind::Page { incident: IncidentId(incident), run, round, step }
            }
            Self::Update { incident } => NotificationKind::Update { incident: IncidentId(incident) },
        }
    }
}

impl MessageBody {
    fn of(message: &Message, names_only: bool) -> Self {
        let Message {
            firing,
            receiver,
            group_key,
            group_labels,
            common_labels,
            common_annotations,
            external_url,
            alerts,
            truncated_alerts,
            incident,
            incidents,
        } = message;
        Self {
            firing: *firing,
            receiver: Arc::clone(receiver),
            group_key: Arc::clone(group_key),
            group_labels: LabelsBody(group_labels.clone()),
            common_labels: LabelsBody(common_labels.clone()),
            common_annotations: LabelsBody(common_annotations.clone()),
            external_url: Arc::clone(external_url),
            alerts: if names_only { Vec::new() } else { alerts.iter().map(MessageAlertBody::of).collect() },
            listed: names_only.then(|| FingerprintsBody(alerts.iter().map(|alert| alert.fingerprint).collect())),
            ended: if names_only { ends(alerts) } else { Vec::new() },
            truncated_alerts: *truncated_alerts,
            incident: incident.as_ref().map(MessageIncidentBody::of),
            incidents: incidents.iter().map(IncidentLinkBody::of).collect(),
        }
    }

    fn into_message(self) -> Result<Message, StoreError> {
        let mut alerts: Vec<MessageAlert> = self.alerts.into_iter().map(MessageAlertBody::into_alert).collect();
        alerts.extend(self.listed.into_iter().flat_map(|listed| listed.0).map(named));
        for (place, at) in self.ended {
            let alert = alerts
                .get_mut(place)
                .ok_or_else(|| unreadable("notification", "an end of an alert that is not listed"))?;
            alert.ended_at = Some(Timestamp::from_millis(at));
        }
        Ok(Message {
            firing: self.firing,
            receiver: self.receiver,
            group_key: self.group_key,
            group_labels: self.group_labels.0,
            common_labels: self.common_labels.0,
            common_annotations: self.common_annotations.0,
            external_url: self.external_url,
            alerts,
            truncated_alerts: self.truncated_alerts,
            incident: self.incident.map(MessageIncidentBody::into_incident).transpose()?,
            incidents: self.incidents.into_iter().map(IncidentLinkBody::into_link).collect(),
        })
    }
}

impl MessageAlertBody {
    fn of(alert: &MessageAlert) -> Self {
        let MessageAlert { fingerprint, labels, annotations, generator_url, starts_at, ended_at } = alert;
        let text = AlertTextBody {
            labels: LabelsBody(labels.clone()),
            annotations: LabelsBody(annotations.clone()),
            generator_url: Arc::clone(generator_url),
        };
        Self {
            fingerprint: fingerprint.0,
            starts_at: starts_at.as_millis(),
            ended_at: millis(*ended_at),
            text: Some(text),
        }
    }

    fn into_alert(self) -> MessageAlert {
        let text = self.text.unwrap_or_else(|| AlertTextBody {
            labels: LabelsBody(Labels::empty()),
            annotations: LabelsBody(Labels::empty()),
            generator_url: Arc::from(""),
        });
        MessageAlert {
            fingerprint: Fingerprint(self.fingerprint),
            labels: text.labels.0,
            annotations: text.annotations.0,
            generator_url: text.generator_url,
            starts_at: Timestamp::from_millis(self.starts_at),
            ended_at: moment(self.ended_at),
        }
    }
}

fn ends(alerts: &[MessageAlert]) -> Vec<(usize, i64)> {
    let ended = |(place, alert): (usize, &MessageAlert)| Some((place, alert.ended_at?.as_millis()));
    alerts.iter().enumerate().filter_map(ended).collect()
}

/// To be filled by [`fill_announcements`].
fn named(fingerprint: Fingerprint) -> MessageAlert {
    MessageAlert {
        fingerprint,
        labels: Labels::empty(),
        annotations: Labels::empty(),
        generator_url: Arc::from(""),
        starts_at: Timestamp::EPOCH,
        ended_at: None,
    }
}

impl IncidentLinkBody {
    fn of(link: &IncidentLink) -> Self {
        let IncidentLink { id, url, title } = link.clone();
        Self { id: id.0, url, title }
    }

    fn into_link(self) -> IncidentLink {
        IncidentLink { id: IncidentId(self.id), url: self.url, title: self.title }
    }
}

impl MessageIncidentBody {
    fn of(incident: &MessageIncident) -> Self {
        let MessageIncident { id, url, status, severity, title, step, round, reason, held_back, acknowledged_by } =
            incident.clone();
        Self {
            id: id.0,
            url,
            status: status.as_str().to_owned(),
            severity: severity.as_str().to_owned(),
            title,
            step,
            round,
            reason,
            held_back,
            acknowledged_by,
        }
    }

    fn into_incident(self) -> Result<MessageIncident, StoreError> {
        Ok(MessageIncident {
            id: IncidentId(self.id),
            url: self.url,
            status: known("notification", &self.status, IncidentStatus::parse(&self.status))?,
            severity: known("notification", &self.severity, Severity::parse(&self.severity))?,
            title: self.title,
            step: self.step,
            round: self.round,
            reason: self.reason,
            held_back: self.held_back,
            acknowledged_by: self.acknowledged_by,
        })
    }
}
