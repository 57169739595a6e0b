//! Messages about an incident: written to the outbox, taken back, and the end told to whoever heard.
//! In: whom to tell and in which words. Out: rows of the outbox, cancellations.
//! Never: tells an end to somebody who heard of no beginning.
//! Start at [`Engine::write_incident_messages`] and [`Engine::resolve`].

use super::core::Engine;
use super::entry::IncidentEntry;
use super::message::{Digest, incident_part, key_part};
use crate::alerts::group::message_order;
use crate::incidents::lifecycle::{Change, change};
use crate::model::timeline::{NotPaged, TakenBack};
use crate::model::{
    AlertRecord, Destination, IncidentId, IntegrationSpec, Labels, Notification, NotificationKey, NotificationKind,
    NotificationState, ReceiverSpec, Resolution, ResolvedBy, TimelineEvent, Write,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a message is about: the same for all integrations of a receiver.
pub(super) struct MessageDraft {
    pub kind: NotificationKind,
    /// The part of the key between incident and receiver: `r1/s2`, `resolved`.
    pub slot: String,
    pub reason: String,
    /// Round and step, as the message says them.
    pub place: (u32, u32),
    pub held_back: u32,
}

impl Engine {
    /// One message about the incident to each integration that `wants` it.
    pub(super) fn write_incident_messages(
        &mut self,
        id: IncidentId,
        receiver: &ReceiverSpec,
        draft: &MessageDraft,
        wants: impl Fn(&IntegrationSpec) -> bool,
    ) -> Vec<NotificationKey> {
        let Some(entry) = self.incidents.get(&id) else { return Vec::new() };
        let incident = entry.incident.clone();
        let digest = self.digest(entry);
        let group_key: Arc<str> = id.to_string().into();
        let mut keys = Vec::new();
        for integration in receiver.integrations.iter().filter(|i| wants(i)) {
            let part = incident_part(&incident, &self.settings.external_url, draft);
            let message = digest.message(
                &receiver.name,
                &group_key,
                &Labels::empty(),
                &self.settings.external_url,
                integration.max_alerts,
                Some(part),
            );
            let (to, part_of_key) = (key_part(&receiver.name), integration.id.key_part());
            let key = NotificationKey(format!("{id}/{}/{to}/{part_of_key}", draft.slot).into());
            let notification = Arc::new(Notification {
                key: key.clone(),
                kind: draft.kind.clone(),
                receiver: receiver.name.clone(),
                integration: integration.id.clone(),
                message: Arc::new(message),
                created_at: self.now,
                state: NotificationState::Pending,
                attempts: 0,
                sent_at: None,
                error: None,
                external_ref: None,
            });
            self.post(notification);
            keys.push(key);
        }
        keys
    }

    /// Puts a notification into the outbox.
    pub(super) fn post(&mut self, notification: Arc<Notification>) {
        self.changes.rest.push(Write::Notification(notification.clone()));
        self.changes.send.push(notification.clone());
        self.outbox.put(notification, false);
    }

    /// What a message about the incident says of its alerts.
    fn digest(&self, entry: &IncidentEntry) -> Digest {
        let mut records: Vec<&Arc<AlertRecord>> =
            entry.members.keys().filter_map(|fp| self.alerts.get(fp)).map(|alert| &alert.record).collect();
        records.sort_by(|a, b| message_order(&a.labels, &b.labels));
        Digest::of(records.into_iter())
    }

    /// Takes a pending row back. Returns whether its destination may have got it.
    pub(super) fn cancel(&mut self, key: &NotificationKey) -> bool {
        let Some(pending) = self.outbox.take(key) else { return false };
        let notification = pending.notification;
        self.changes.rest.push(Write::NotificationState {
            key: key.clone(),
            state: NotificationState::Superseded,
            attempts: notification.attempts,
            sent_at: None,
            error: notification.error.clone(),
            external_ref: None,
        });
        let before = self.changes.send.len();
        if notification.created_at == self.now {
            // Decided a moment ago and not handed out yet: it never leaves.
            self.changes.send.retain(|n| n.key != *key);
        }
        if self.changes.send.len() == before {
            self.changes.cancel.push(key.clone());
            self.outbox.remember_cancelled(notification.clone(), self.now);
        }
        pending.may_be_delivered || notification.attempts > 0
    }

    pub(super) fn cancel_pages(&mut self, id: IncidentId, why: TakenBack) {
        let pages: Vec<NotificationKey> =
            self.incidents.get(&id).map(|entry| entry.pages.keys().cloned().collect()).unwrap_or_default();
        self.cancel_these(id, pages, why);
    }

    pub(super) fn cancel_pages_to(&mut self, id: IncidentId, receiver: &Arc<str>, why: TakenBack) {
        let Some(entry) = self.incidents.get(&id) else { return };
        let to = |key: &&NotificationKey| self.outbox.get(key).is_some_and(|p| p.notification.receiver == *receiver);
        let pages: Vec<NotificationKey> = entry.pages.keys().filter(to).cloned().collect();
        self.cancel_these(id, pages, why);
    }

    fn cancel_these(&mut self, id: IncidentId, keys: Vec<NotificationKey>, why: TakenBack) {
        for key in keys {
            let place =
                self.outbox.get(&key).map(|p| (p.notification.receiver.clone(), p.notification.integration.clone()));
            let may_be_delivered = self.cancel(&key);
            if let Some(entry) = self.incidents.get_mut(&id) {
                entry.pages.remove(&key);
            }
            let Some((receiver, integration)) = place else { continue };
            let not_paged = NotPaged::TakenBack { receiver: receiver.clone(), reason: why };
            self.record(id, TimelineEvent::NotPaged(not_paged));
            if may_be_delivered && let Some(incident) = self.edit(id) {
                incident.escalation.delivered_to.insert((receiver, integration));
            }
        }
    }

    /// Ends an incident: pages are taken back, and exactly those who heard of it hear of its end.
    pub(super) fn resolve(&mut self, id: IncidentId, resolution: Resolution, note: String) {
        let now = self.now;
        self.stop_runs(id, TakenBack::IncidentResolved);
        let (actor, still_firing, hold_until, merged_into) = match &resolution.by {
            ResolvedBy::Itself => (None, 0, None, None),
            ResolvedBy::Person { by, still_firing, hold_until } => (Some(by.clone()), *still_firing, *hold_until, None),
            ResolvedBy::Merge { by, into } => (Some(by.clone()), 0, None, Some(*into)),
        };
        let Some(incident) = self.edit(id) else {
            return self.breach(|| format!("{id} is resolved and is not known"));
        };
        if let Err(refused) = change(incident, Change::Resolve(resolution)) {
            return self.breach(|| format!("{id} {refused} and is resolved"));
        }
        let (closed, delivered_to) = (incident.clone(), incident.escalation.delivered_to.clone());
        self.index.close(&closed);
        self.closed.push_back((now, id));
        let notified = self.tell_end(id, &delivered_to);
        let event = TimelineEvent::Resolved { notified, still_firing, hold_until, merged_into };
        self.record_as(id, event, actor, note);
    }

    /// Whoever heard on a channel that updates in place sees there what became of it; nobody else is disturbed.
    pub(super) fn tell_acknowledged(&mut self, id: IncidentId, reason: String) {
        let settings = self.settings.clone();
        let Some(entry) = self.incidents.get(&id) else { return };
        let delivered_to = entry.incident.escalation.delivered_to.clone();
        // The line number makes the key of a second acknowledgement another one.
        let slot = format!("ack{}", self.last_timeline_seq);
        let draft = self.update_draft(id, slot, reason);
        let receivers: BTreeSet<&Arc<str>> = delivered_to.iter().map(|(receiver, _)| receiver).collect();
        for receiver in receivers.into_iter().filter_map(|name| settings.receiver(name)) {
            let wants = |i: &IntegrationSpec| {
                i.updates_in_place && delivered_to.contains(&(receiver.name.clone(), i.id.clone()))
            };
            self.write_incident_messages(id, receiver, &draft, wants);
        }
    }

    fn update_draft(&self, id: IncidentId, slot: String, reason: String) -> MessageDraft {
        let nearest = self.incidents.get(&id).and_then(|entry| entry.incident.escalation.nearest());
        let place = nearest.map_or((0, 0), |run| (run.round, run.step));
        MessageDraft { kind: NotificationKind::Update { incident: id }, slot, reason, place, held_back: 0 }
    }

    /// Writes the end of the incident to these integrations. Returns the receivers to whom it is written.
    pub(super) fn tell_end(&mut self, id: IncidentId, delivered_to: &BTreeSet<Destination>) -> Vec<Arc<str>> {
        let settings = self.settings.clone();
        let Some(entry) = self.incidents.get(&id) else { return Vec::new() };
        // The end of an incident that was open before is another message than its first end.
        let run = entry.incident.escalation.last_run;
        let slot = if run > 1 { format!("run{run}/resolved") } else { "resolved".to_owned() };
        let reason = match entry.incident.still_firing() {
            Some(n) if n > 0 => {
                let by = entry.incident.resolved_by().map_or("somebody", |by| by);
                let still = if n == 1 { "1 alert still fires".to_owned() } else { format!("{n} alerts still fire") };
                format!("{by} resolved the incident; {still}")
            }
            _ => match entry.incident.resolution().map(|over| &over.by) {
                Some(ResolvedBy::Merge { by, into }) => format!("{by} merged the incident into {into}, which goes on"),
                _ => "the incident is over".to_owned(),
            },
        };
        let draft = self.update_draft(id, slot, reason);
        let mut notified = Vec::new();
        let receivers: BTreeSet<&Arc<str>> = delivered_to.iter().map(|(receiver, _)| receiver).collect();
        for name in receivers {
            let Some(receiver) = settings.receiver(name) else { continue };
            let wants =
                |i: &IntegrationSpec| i.send_resolved_pages && delivered_to.contains(&(name.clone(), i.id.clone()));
            if !self.write_incident_messages(id, receiver, &draft, wants).is_empty() {
                notified.push(name.clone());
            }
        }
        notified
    }
}
