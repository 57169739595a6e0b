//! Messages about an incident: written to the outbox, taken back, and the end told to whoever heard.
//! In: whom to tell and in which words. Out: rows of the outbox, cancellations.
//! Never: tells an end to somebody who heard of no beginning.
//! Start at [`Engine::write_incident_messages`] and [`Engine::resolve`].

use super::case::Case;
use super::core::{Engine, Pending};
use super::message::{Digest, incident_part, key_part};
use crate::alerts::group::message_order;
use crate::model::{
    AlertRecord, IncidentId, IncidentStatus, IntegrationId, IntegrationSpec, Labels, Notification, NotificationKey,
    NotificationKind, NotificationState, ReceiverSpec, TimelineKind, Write,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a message is about: the same for all integrations of a receiver.
pub(super) struct Words<'a> {
    pub kind: NotificationKind,
    /// The part of the key between incident and receiver: `r1/s2`, `resolved`.
    pub slot: &'a str,
    pub reason: &'a str,
    pub held_back: u32,
}

impl Engine {
    /// One message about the incident to each integration that `wants` it.
    pub(super) fn write_incident_messages(
        &mut self,
        id: IncidentId,
        receiver: &ReceiverSpec,
        words: &Words<'_>,
        wants: impl Fn(&IntegrationSpec) -> bool,
    ) -> Vec<NotificationKey> {
        let Some(case) = self.cases.get(&id) else { return Vec::new() };
        let incident = case.incident.clone();
        let digest = self.digest(case);
        let group_key: Arc<str> = id.to_string().into();
        let mut keys = Vec::new();
        for integration in receiver.integrations.iter().filter(|i| wants(i)) {
            let part = incident_part(&incident, &self.settings.external_url, words.reason.to_owned(), words.held_back);
            let message = digest.message(
                &receiver.name,
                &group_key,
                &Labels::empty(),
                &self.settings.external_url,
                integration.max_alerts,
                Some(part),
            );
            let (to, part_of_key) = (key_part(&receiver.name), integration.id.key_part());
            let key = NotificationKey(format!("{id}/{}/{to}/{part_of_key}", words.slot).into());
            let notification = Arc::new(Notification {
                key: key.clone(),
                kind: words.kind.clone(),
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
        self.turn.rest.push(Write::Notification(notification.clone()));
        self.turn.send.push(notification.clone());
        self.outbox.insert(notification.key.clone(), Pending { notification, maybe_heard: false, blocked: false });
    }

    /// What a message about the incident says of its alerts.
    fn digest(&self, case: &Case) -> Digest {
        let mut records: Vec<&Arc<AlertRecord>> =
            case.members.keys().filter_map(|fp| self.alerts.get(fp)).map(|entry| &entry.record).collect();
        records.sort_by(|a, b| message_order(&a.labels, &b.labels));
        Digest::of(records.into_iter())
    }

    /// Takes a pending row back. Returns whether its destination may have heard of it.
    pub(super) fn cancel(&mut self, key: &NotificationKey) -> bool {
        let Some(pending) = self.outbox.remove(key) else { return false };
        let notification = pending.notification;
        self.turn.rest.push(Write::NotificationState {
            key: key.clone(),
            state: NotificationState::Superseded,
            attempts: notification.attempts,
            sent_at: None,
            error: notification.error.clone(),
            external_ref: None,
        });
        let before = self.turn.send.len();
        if notification.created_at == self.now {
            // Decided a moment ago and not handed out yet: it never leaves.
            self.turn.send.retain(|n| n.key != *key);
        }
        if self.turn.send.len() == before {
            self.turn.cancel.push(key.clone());
            self.cancelled.insert(key.clone(), (notification.clone(), self.now));
        }
        pending.maybe_heard || notification.attempts > 0
    }

    pub(super) fn cancel_pages(&mut self, id: IncidentId, why: &str) {
        let pages = self.cases.get(&id).map(|case| case.pages.clone()).unwrap_or_default();
        self.cancel_these(id, pages, why);
    }

    pub(super) fn cancel_pages_to(&mut self, id: IncidentId, receiver: &Arc<str>, why: &str) {
        let Some(case) = self.cases.get(&id) else { return };
        let to = |key: &&NotificationKey| self.outbox.get(*key).is_some_and(|p| p.notification.receiver == *receiver);
        let pages: BTreeSet<NotificationKey> = case.pages.iter().filter(to).cloned().collect();
        self.cancel_these(id, pages, why);
    }

    fn cancel_these(&mut self, id: IncidentId, keys: BTreeSet<NotificationKey>, why: &str) {
        for key in keys {
            let place =
                self.outbox.get(&key).map(|p| (p.notification.receiver.clone(), p.notification.integration.clone()));
            let maybe_heard = self.cancel(&key);
            if let Some(case) = self.cases.get_mut(&id) {
                case.pages.remove(&key);
            }
            let Some((receiver, integration)) = place else { continue };
            let text = format!("page to {receiver} taken back before it was delivered");
            self.say(id, TimelineKind::NotPaged, text, why.to_owned());
            if maybe_heard && let Some(incident) = self.edit(id) {
                incident.escalation.heard.insert((receiver, integration));
            }
        }
    }

    /// Ends an incident: pages are taken back, and exactly those who heard of it hear of its end.
    pub(super) fn resolve(&mut self, id: IncidentId, by: Option<Arc<str>>, reason: &str) {
        let now = self.now;
        self.cancel_pages(id, "the incident is resolved");
        self.unhold_all(id);
        let Some(incident) = self.edit(id) else { return };
        incident.status = IncidentStatus::Resolved;
        incident.resolved_at = Some(now);
        incident.resolved_by.clone_from(&by);
        incident.snoozed_until = None;
        incident.escalation.next_at = None;
        let heard = incident.escalation.heard.clone();
        if let Some(case) = self.cases.get_mut(&id) {
            (case.paused, case.undelivered_since) = (false, None);
            self.index.close(&case.incident);
        }
        self.closed.push_back((now, id));
        let told = self.tell_end(id, &heard);
        let told = if told.is_empty() {
            "nobody has to be told".to_owned()
        } else {
            format!("the end goes to {}", told.join(", "))
        };
        self.say_as(id, TimelineKind::Resolved, "resolved".to_owned(), format!("{reason}; {told}"), by);
    }

    /// Whoever heard on a channel that updates in place sees there what became of it; nobody else is disturbed.
    pub(super) fn tell_change(&mut self, id: IncidentId, word: &str, reason: &str) {
        let settings = self.settings.clone();
        let Some(heard) = self.cases.get(&id).map(|case| case.incident.escalation.heard.clone()) else { return };
        // The line number makes the key of a second acknowledgement another one.
        let slot = format!("{word}{}", self.last_timeline_seq);
        let receivers: BTreeSet<&Arc<str>> = heard.iter().map(|(receiver, _)| receiver).collect();
        for receiver in receivers.into_iter().filter_map(|name| settings.receiver(name)) {
            let wants =
                |i: &IntegrationSpec| i.updates_in_place && heard.contains(&(receiver.name.clone(), i.id.clone()));
            let kind = NotificationKind::Update { incident: id };
            self.write_incident_messages(id, receiver, &Words { kind, slot: &slot, reason, held_back: 0 }, wants);
        }
    }

    /// Tells these integrations that the incident is over. Returns the receivers that are told.
    pub(super) fn tell_end(&mut self, id: IncidentId, heard: &BTreeSet<(Arc<str>, IntegrationId)>) -> Vec<String> {
        let settings = self.settings.clone();
        // The end of an incident that was open before is another message than its first end.
        let run = self.cases.get(&id).map_or(1, |case| case.incident.escalation.run);
        let slot = if run > 1 { format!("run{run}/resolved") } else { "resolved".to_owned() };
        let mut told = Vec::new();
        let receivers: BTreeSet<&Arc<str>> = heard.iter().map(|(receiver, _)| receiver).collect();
        for name in receivers {
            let Some(receiver) = settings.receiver(name) else { continue };
            let wants = |i: &IntegrationSpec| i.send_resolved_pages && heard.contains(&(name.clone(), i.id.clone()));
            let kind = NotificationKind::Update { incident: id };
            let words = Words { kind, slot: &slot, reason: "the incident is over", held_back: 0 };
            let keys = self.write_incident_messages(id, receiver, &words, wants);
            if !keys.is_empty() {
                told.push(name.to_string());
            }
        }
        told
    }
}
