//! What a message says: Alertmanager's template data, and the incident beside it.
//! In: alert records in message order. Out: [`Message`], bounded by `limits::MESSAGE_ALERTS_MAX`.
//! Never: renders text.
//! Start at [`Digest::of`].

use super::limits;
use super::tell::MessageDraft;
use crate::model::{
    AlertRecord, Incident, IncidentLink, IntegrationId, Labels, Message, MessageAlert, MessageIncident, Timestamp,
};
use std::cmp::Ordering;
use std::sync::Arc;

/// The pairs of `common` that `other` holds too; allocates only when it shrinks.
pub(super) fn narrow(common: &mut Labels, other: &Labels) {
    if !is_within(common, other) {
        *common = common.common(other);
    }
}

/// Whether every pair of `part` is in `whole`: one walk over both sorted sets.
fn is_within(part: &Labels, whole: &Labels) -> bool {
    let mut whole = whole.iter();
    part.iter().all(|pair| {
        for other in whole.by_ref() {
            match other.0.cmp(pair.0) {
                Ordering::Less => {}
                Ordering::Equal => return other.1 == pair.1,
                Ordering::Greater => return false,
            }
        }
        false
    })
}

/// The part of a message that all its receivers share.
#[derive(Debug)]
pub(super) struct Digest {
    firing: bool,
    common_labels: Labels,
    common_annotations: Labels,
    alerts: Vec<MessageAlert>,
    total: usize,
}

impl Digest {
    /// Common labels are those of all alerts, also of the ones that do not fit. An alert that ends later than `now` still fires.
    pub(super) fn of<'a>(records: impl Iterator<Item = &'a Arc<AlertRecord>>) -> Self {
        let mut digest = Self {
            firing: false,
            common_labels: Labels::empty(),
            common_annotations: Labels::empty(),
            alerts: Vec::new(),
            total: 0,
        };
        for record in records {
            if digest.total == 0 {
                digest.common_labels = record.labels.clone();
                digest.common_annotations = record.annotations.clone();
            } else {
                narrow(&mut digest.common_labels, &record.labels);
                narrow(&mut digest.common_annotations, &record.annotations);
            }
            digest.total += 1;
            digest.firing |= record.is_firing();
            if digest.alerts.len() < limits::MESSAGE_ALERTS_MAX {
                digest.alerts.push(message_alert(record));
            }
        }
        digest
    }

    /// `alerts_max` 0 means the house limit.
    pub(super) fn message(
        &self,
        receiver: &Arc<str>,
        group_key: &Arc<str>,
        group_labels: &Labels,
        external_url: &Arc<str>,
        alerts_max: usize,
        incident: Option<MessageIncident>,
    ) -> Message {
        let max = if alerts_max == 0 { limits::MESSAGE_ALERTS_MAX } else { alerts_max.min(limits::MESSAGE_ALERTS_MAX) };
        let alerts: Vec<MessageAlert> = self.alerts.iter().take(max).cloned().collect();
        Message {
            firing: self.firing,
            receiver: receiver.clone(),
            group_key: group_key.clone(),
            group_labels: group_labels.clone(),
            common_labels: self.common_labels.clone(),
            common_annotations: self.common_annotations.clone(),
            external_url: external_url.clone(),
            truncated_alerts: self.total - alerts.len(),
            alerts,
            incident,
            incidents: Vec::new(),
        }
    }
}

fn message_alert(record: &AlertRecord) -> MessageAlert {
    MessageAlert {
        fingerprint: record.fingerprint,
        labels: record.labels.clone(),
        annotations: record.annotations.clone(),
        generator_url: record.generator_url.clone(),
        starts_at: record.starts_at,
        ended_at: record.ended_at,
    }
}

fn url_of(incident: &Incident, external_url: &str) -> String {
    format!("{external_url}/incidents/{}", incident.id)
}

/// Where an announcement says that its alerts are.
pub(super) fn incident_link(incident: &Incident, external_url: &str) -> IncidentLink {
    IncidentLink { id: incident.id, url: url_of(incident, external_url), title: incident.headline() }
}

/// The incident as a page shows it.
pub(super) fn incident_part(incident: &Incident, external_url: &str, draft: &MessageDraft) -> MessageIncident {
    MessageIncident {
        id: incident.id,
        url: url_of(incident, external_url),
        status: incident.status(),
        severity: incident.severity,
        title: incident.headline(),
        step: draft.place.1,
        round: draft.place.0,
        reason: draft.reason.clone(),
        held_back: draft.held_back,
        acknowledged_by: incident.acknowledged_by().cloned(),
    }
}

/// Eight bytes of FNV-1a over text parts: short names for long keys, the same on every machine.
pub(super) fn short_hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = 14_695_981_039_346_656_037_u64;
    for part in parts {
        for byte in part.iter().chain(std::iter::once(&0xff)) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(1_099_511_628_211);
        }
    }
    format!("{hash:016x}")
}

/// A receiver's name as part of a key, which travels in a header: plain ASCII as it is, anything else by its hash.
pub(super) fn key_part(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    if !name.is_empty() && name.len() <= 64 && name.bytes().all(plain) {
        name.to_owned()
    } else {
        short_hash([name.as_bytes()])
    }
}

/// The key of an announcement: the group, the moment and what it says, so that a repeat differs and a re-send does not.
pub(super) fn announcement_key(
    group_key: &str,
    at: Timestamp,
    content: &str,
    receiver: &str,
    integration: &IntegrationId,
) -> Arc<str> {
    let group = short_hash([group_key.as_bytes()]);
    format!("{group}/{}-{}/{}/{}", at.as_millis(), &content[..8], key_part(receiver), integration.key_part()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Labels {
        Labels::from_pairs(text.split_whitespace().filter_map(|p| p.split_once('=')))
    }

    #[test]
    fn common_pairs_shrink() {
        let mut common = labels("a=1 b=2 c=3");
        narrow(&mut common, &labels("a=1 b=2 c=3 d=4"));
        assert_eq!(common, labels("a=1 b=2 c=3"));
        narrow(&mut common, &labels("a=1 c=4"));
        assert_eq!(common, labels("a=1"));
        narrow(&mut common, &labels("b=1"));
        assert_eq!(common, Labels::empty());
    }

    #[test]
    fn keys_fit_into_a_header() {
        assert_eq!(key_part("ops-1"), "ops-1");
        assert_eq!(key_part("на связи").len(), 16);
        assert!(key_part("a/b").is_ascii());
    }
}
