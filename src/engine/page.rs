//! Escalation carried out: steps are taken, pages written or held back, and the end is told to whoever heard.
//! In: an incident that is due. Out: notifications, timeline lines, the next due time.
//! Never: pages for a resolved, acknowledged or snoozed incident.
//! Start at [`Engine::advance`].

use super::case::{Case, ack_times_out_at};
use super::core::{Engine, Pending};
use super::limits;
use super::message::{Digest, incident_part, key_part};
use super::place::{ago, target_name};
use super::waiting::Cause;
use crate::alerts::group::message_order;
use crate::escalation::{EscalationPolicy, Next, Position, due, next, on_call};
use crate::model::incident::EscalationTarget;
use crate::model::{
    AlertRecord, Fingerprint, Incident, IncidentId, IncidentStatus, Labels, Notification, NotificationKey,
    NotificationKind, NotificationState, ReceiverSpec, Severity, TimelineKind, Timestamp, Write,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Where an incident stands in its policy.
pub(super) fn position(incident: &Incident) -> Position {
    let escalation = &incident.escalation;
    Position {
        round: escalation.round,
        step: escalation.step,
        round_started_at: escalation.round_started_at.unwrap_or(incident.opened_at),
    }
}

/// A receiver to tell, and in whose name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contact {
    pub receiver: Arc<str>,
    /// "ana", "ana (on call in primary)"; empty when the step names the receiver itself.
    pub as_whom: String,
}

impl Engine {
    /// Does what time asks of an incident: a snooze or an acknowledgement ends, a step is due, or a page stays undelivered.
    pub(super) fn advance(&mut self, id: IncidentId) {
        let now = self.now;
        self.turn.rearm.insert(id);
        let Some(case) = self.cases.get(&id) else { return };
        let incident = &case.incident;
        let over = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        match incident.status {
            IncidentStatus::Resolved => {}
            _ if incident.snoozed_until.is_some() => {
                if over(incident.snoozed_until) {
                    self.end_snooze(id);
                }
            }
            IncidentStatus::Acknowledged => {
                if over(ack_times_out_at(incident, &self.settings)) {
                    self.end_acknowledgement(id);
                }
            }
            IncidentStatus::Triggered => self.climb(id),
        }
    }

    fn end_snooze(&mut self, id: IncidentId) {
        if let Some(incident) = self.edit(id) {
            incident.snoozed_until = None;
            incident.status = IncidentStatus::Triggered;
            (incident.acknowledged_at, incident.acknowledged_by) = (None, None);
        }
        let text = "the snooze is over; the policy starts again".to_owned();
        self.say(id, TimelineKind::Unsnoozed, text, String::new());
        self.start_policy(id);
    }

    fn end_acknowledgement(&mut self, id: IncidentId) {
        let now = self.now;
        let Some(incident) = self.edit(id) else { return };
        let by = incident.acknowledged_by.take().unwrap_or_else(|| "somebody".into());
        let at = incident.acknowledged_at.take().unwrap_or(now);
        incident.status = IncidentStatus::Triggered;
        let text = format!("{by} acknowledged {} ago and it is not over; the policy starts again", ago(now, at));
        self.say(id, TimelineKind::AckTimedOut, text, String::new());
        self.start_policy(id);
    }

    /// Takes every step that is due, in order; or the next one early when the last one reached nobody in time.
    fn climb(&mut self, id: IncidentId) {
        let now = self.now;
        let Some((case, policy)) = self.case_and_policy(id) else {
            if let Some(incident) = self.edit(id) {
                incident.escalation.next_at = None;
            }
            return;
        };
        let steps = match case.incident.escalation.next_at {
            Some(at) if at <= now => due(&policy, position(&case.incident), now),
            _ => Vec::new(),
        };
        let late = case.undelivered_since.filter(|at| *at + self.settings.delivery_timeout <= now);
        if steps.is_empty() && late.is_none() {
            return;
        }
        if let Some(quiet) = self.all_muted(id) {
            return self.pause(id, quiet);
        }
        if steps.is_empty() {
            if let Some(case) = self.cases.get_mut(&id) {
                case.undelivered_since = None;
            }
            let waited = crate::model::duration::format(self.settings.delivery_timeout);
            self.hurry(id, &policy, &format!("no page of the step before was delivered within {waited}"));
            return;
        }
        let missed = steps.len();
        for step in steps {
            let why = match (missed, step.at() < now) {
                (2.., true) => format!("it was due {} ago", ago(now, step.at())),
                _ => self.unanswered(id),
            };
            self.take(id, &policy, step, &why);
        }
    }

    /// "nobody acknowledged for 5s", or why it begins.
    fn unanswered(&self, id: IncidentId) -> String {
        let Some(case) = self.cases.get(&id) else { return String::new() };
        let (incident, place) = (&case.incident, position(&case.incident));
        match (place.step, incident.escalation.run) {
            (0, 0 | 1) => "the incident opened".to_owned(),
            (0, _) => "the policy started again".to_owned(),
            (_, 1) => format!("nobody acknowledged for {}", ago(self.now, incident.opened_at)),
            _ => format!("nobody acknowledged for {}", ago(self.now, place.round_started_at)),
        }
    }

    pub(super) fn case_and_policy(&self, id: IncidentId) -> Option<(&Case, EscalationPolicy)> {
        let case = self.cases.get(&id)?;
        let policy = self.settings.policy(case.incident.escalation.policy.as_deref()?)?;
        Some((case, policy.clone()))
    }

    /// The mutes of all firing alerts, when every one of them is muted.
    pub(super) fn all_muted(&self, id: IncidentId) -> Option<Vec<(Fingerprint, Cause)>> {
        let case = self.cases.get(&id)?;
        let mut quiet = Vec::new();
        for alert in &case.firing {
            quiet.push((*alert, self.mute_cause(*alert)?));
        }
        (!quiet.is_empty()).then_some(quiet)
    }

    fn pause(&mut self, id: IncidentId, quiet: Vec<(Fingerprint, Cause)>) {
        let reason = quiet.first().map(|(_, cause)| cause.to_string()).unwrap_or_default();
        if let Some(case) = self.cases.get_mut(&id) {
            case.paused = true;
        }
        for (alert, cause) in quiet {
            self.wait_for(alert, cause);
        }
        let text = "not paged: every firing alert is muted; the policy goes on when one is not".to_owned();
        self.say(id, TimelineKind::NotPaged, text, reason);
    }

    /// Takes the next step of the round now, without waiting for its time; after the last step of the last round, the fallback.
    /// The next round never comes early: it would only tell the same people again.
    pub(super) fn hurry(&mut self, id: IncidentId, policy: &EscalationPolicy, why: &str) {
        let Some(case) = self.cases.get(&id) else { return };
        if case.incident.escalation.exhausted {
            return;
        }
        let place = position(&case.incident);
        match next(policy, place) {
            Next::Step { position: coming, .. } if coming.round > place.round.max(1) => {
                let text = format!("round {} has no step left; the next round starts at its time", place.round);
                self.say(id, TimelineKind::NotPaged, text, why.to_owned());
            }
            coming => self.take(id, policy, coming, why),
        }
    }

    /// Takes one step: its contacts are paged or held back. A step that has nobody to tell hands on to the next.
    pub(super) fn take(&mut self, id: IncidentId, policy: &EscalationPolicy, coming: Next, why: &str) {
        let Some(case) = self.cases.get(&id).filter(|case| case.wants_an_answer()) else { return };
        let run = case.incident.escalation.run;
        let assigned = case.incident.escalation.assigned_to.clone();
        let (targets, head, slot) = match coming {
            Next::Step { position: taken, .. } => {
                let targets = policy.steps.get(taken.step as usize - 1).map(|s| s.notify.clone()).unwrap_or_default();
                let targets = assigned.map_or(targets, |target| vec![target]);
                let head = format!("round {} step {} of policy {}", taken.round, taken.step, policy.name);
                (targets, head, step_slot(run, taken))
            }
            Next::Fallback { .. } => {
                let slot = fallback_slot(run);
                (policy.fallback.clone(), format!("fallback of policy {}", policy.name), slot)
            }
        };
        if let Some(case) = self.cases.get_mut(&id) {
            case.undelivered_since = None;
        }
        if let Some(incident) = self.edit(id) {
            let escalation = &mut incident.escalation;
            match coming {
                Next::Step { position: taken, .. } => {
                    (escalation.round, escalation.step) = (taken.round, taken.step);
                    escalation.round_started_at = Some(taken.round_started_at);
                    escalation.reached = false;
                    escalation.next_at = Some(next(policy, taken).at());
                }
                Next::Fallback { .. } => {
                    escalation.exhausted = true;
                    escalation.next_at = None;
                }
            }
        }
        let reason = format!("{head}: {why}");
        if !matches!(coming, Next::Step { position: Position { step: 1, round: 1, .. }, .. }) {
            self.say(id, TimelineKind::Escalated, head.clone(), why.to_owned());
        }
        let (contacts, unreachable) = self.contacts(&targets, self.now);
        for text in unreachable {
            self.say(id, TimelineKind::NotPaged, text, reason.clone());
        }
        let told_nobody = contacts.is_empty();
        for contact in contacts {
            self.page_or_hold(id, &contact, &slot, &reason);
        }
        if matches!(coming, Next::Fallback { .. }) {
            let text = "the policy is exhausted: nothing more happens by itself".to_owned();
            self.say(id, TimelineKind::Exhausted, text, "nobody acknowledged in any round".to_owned());
        } else if told_nobody {
            self.hurry(id, policy, "the step before has nobody to tell");
        }
    }

    /// The receivers behind the targets at a moment, each once, and a sentence for each target that has none.
    pub(super) fn contacts(&self, targets: &[EscalationTarget], at: Timestamp) -> (Vec<Contact>, Vec<String>) {
        let (mut contacts, mut unreachable): (Vec<Contact>, Vec<String>) = (Vec::new(), Vec::new());
        for target in targets {
            let mut found: Vec<Contact> = Vec::new();
            match target {
                EscalationTarget::Receiver(name) => {
                    found.push(Contact { receiver: name.clone(), as_whom: String::new() });
                }
                EscalationTarget::User(name) => found.extend(self.user_contacts(name, name.to_string())),
                EscalationTarget::Schedule(name) => {
                    let person = self.settings.schedule(name).and_then(|s| on_call(s, at));
                    if let Some(person) = person {
                        let as_whom = format!("{} (on call in {name})", person.user);
                        found.extend(self.user_contacts(&person.user, as_whom));
                    }
                }
            }
            found.retain(|c| self.settings.receiver(&c.receiver).is_some_and(|r| !r.integrations.is_empty()));
            if found.is_empty() {
                unreachable.push(format!("not paged: {} leads to no receiver", target_name(target)));
            }
            for contact in found {
                if !contacts.iter().any(|c| c.receiver == contact.receiver) {
                    contacts.push(contact);
                }
            }
        }
        (contacts, unreachable)
    }

    fn user_contacts(&self, user: &str, as_whom: String) -> Vec<Contact> {
        let receivers = self.settings.user(user).map(|u| u.receivers.clone()).unwrap_or_default();
        receivers.into_iter().map(|receiver| Contact { receiver, as_whom: as_whom.clone() }).collect()
    }

    fn page_or_hold(&mut self, id: IncidentId, contact: &Contact, slot: &str, reason: &str) {
        let now = self.now;
        let critical = self.cases.get(&id).is_some_and(|case| case.incident.severity == Severity::Critical);
        let window = limits::PAGE_WINDOW;
        let free = self
            .settings
            .max_pages_per_minute
            .is_none_or(|limit| self.throttle.take(&contact.receiver, limit, window, critical, now));
        if free {
            self.page(id, contact, slot, reason);
            return;
        }
        self.hold(id, &contact.receiver);
        let limit = self.settings.max_pages_per_minute.unwrap_or_default();
        let text = format!("page to {} held back", contact.receiver);
        self.say(
            id,
            TimelineKind::NotPaged,
            text,
            format!("{limit} pages a minute to one contact are the limit; {reason}"),
        );
    }

    /// Writes one page per integration of the contact's receiver.
    pub(super) fn page(&mut self, id: IncidentId, contact: &Contact, slot: &str, reason: &str) {
        let settings = self.settings.clone();
        let Some(receiver) = settings.receiver(&contact.receiver) else { return };
        self.unhold(id, &contact.receiver);
        let held_back = self.held.get(&contact.receiver).map_or(0, |held| held.len() as u32);
        let now = self.now;
        let Some(incident) = self.edit(id) else { return };
        incident.paged.insert(contact.receiver.clone());
        let (round, step) = (incident.escalation.round, incident.escalation.step);
        self.cancel_pages_to(id, &contact.receiver, "a newer page goes to the same contact");
        let kind = NotificationKind::Page { incident: id, round, step };
        for key in self.write_incident_messages(id, receiver, &kind, slot, reason, held_back, |_| true) {
            if let Some(case) = self.cases.get_mut(&id) {
                case.pages.insert(key);
                // After the fallback there is nobody left to turn to.
                if !case.incident.escalation.exhausted {
                    case.undelivered_since.get_or_insert(now);
                }
            }
        }
        let whom = if contact.as_whom.is_empty() { String::new() } else { format!("{} by ", contact.as_whom) };
        let mut text = format!("paged {whom}{} (round {round}, step {step})", contact.receiver);
        if held_back > 0 {
            text.push_str(&format!("; {held_back} more pages to it are held back"));
        }
        self.say(id, TimelineKind::Paged, text, reason.to_owned());
    }

    /// One message about the incident to each integration that `wants` it.
    fn write_incident_messages(
        &mut self,
        id: IncidentId,
        receiver: &ReceiverSpec,
        kind: &NotificationKind,
        slot: &str,
        reason: &str,
        held_back: u32,
        wants: impl Fn(usize) -> bool,
    ) -> Vec<NotificationKey> {
        let Some(case) = self.cases.get(&id) else { return Vec::new() };
        let incident = case.incident.clone();
        let digest = self.digest(case);
        let group_key: Arc<str> = id.to_string().into();
        let mut keys = Vec::new();
        for (index, integration) in receiver.integrations.iter().enumerate().filter(|(i, _)| wants(*i)) {
            let part = incident_part(&incident, &self.settings.external_url, reason.to_owned(), held_back);
            let message = digest.message(
                &receiver.name,
                &group_key,
                &Labels::empty(),
                &self.settings.external_url,
                integration.max_alerts,
                Some(part),
            );
            let key = NotificationKey(format!("{id}/{slot}/{}/{index}", key_part(&receiver.name)).into());
            let notification = Arc::new(Notification {
                key: key.clone(),
                kind: kind.clone(),
                receiver: receiver.name.clone(),
                integration: index,
                integration_kind: integration.kind.into(),
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
        self.outbox.insert(notification.key.clone(), Pending { notification, maybe_heard: false });
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

    fn cancel_pages_to(&mut self, id: IncidentId, receiver: &Arc<str>, why: &str) {
        let Some(case) = self.cases.get(&id) else { return };
        let to = |key: &&NotificationKey| self.outbox.get(*key).is_some_and(|p| p.notification.receiver == *receiver);
        let pages: BTreeSet<NotificationKey> = case.pages.iter().filter(to).cloned().collect();
        self.cancel_these(id, pages, why);
    }

    fn cancel_these(&mut self, id: IncidentId, keys: BTreeSet<NotificationKey>, why: &str) {
        for key in keys {
            let place = self.outbox.get(&key).map(|p| (p.notification.receiver.clone(), p.notification.integration));
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
        incident.resolved_by = by.clone();
        incident.snoozed_until = None;
        incident.escalation.next_at = None;
        let heard = incident.escalation.heard.clone();
        if let Some(case) = self.cases.get_mut(&id) {
            (case.paused, case.undelivered_since) = (false, None);
            self.index.close(&case.incident);
        }
        self.closed.push_back((now, id));
        let told = self.tell_end(id, &heard);
        let told =
            if told.is_empty() { "nobody has to be told".to_owned() } else { format!("told: {}", told.join(", ")) };
        self.say_as(id, TimelineKind::Resolved, "resolved".to_owned(), format!("{reason}; {told}"), by);
    }

    /// Tells these integrations that the incident is over. Returns the receivers that are told.
    pub(super) fn tell_end(&mut self, id: IncidentId, heard: &BTreeSet<(Arc<str>, usize)>) -> Vec<String> {
        let settings = self.settings.clone();
        let mut told = Vec::new();
        let receivers: BTreeSet<&Arc<str>> = heard.iter().map(|(receiver, _)| receiver).collect();
        for name in receivers {
            let Some(receiver) = settings.receiver(name) else { continue };
            let wants = |i: usize| receiver.integrations[i].send_resolved_pages && heard.contains(&(name.clone(), i));
            let kind = NotificationKind::Update { incident: id };
            let keys = self.write_incident_messages(id, receiver, &kind, "resolved", "the incident is over", 0, wants);
            if !keys.is_empty() {
                told.push(name.to_string());
            }
        }
        told
    }
}

/// The part of a key that names run, round and step.
fn step_slot(run: u32, taken: Position) -> String {
    if run > 1 {
        format!("run{run}/r{}/s{}", taken.round, taken.step)
    } else {
        format!("r{}/s{}", taken.round, taken.step)
    }
}

/// The slot of the step an incident stands at, for a page that was held back.
pub(super) fn slot_of(incident: &Incident) -> String {
    let run = incident.escalation.run;
    if incident.escalation.exhausted { fallback_slot(run) } else { step_slot(run, position(incident)) }
}

fn fallback_slot(run: u32) -> String {
    if run > 1 { format!("run{run}/fallback") } else { "fallback".to_owned() }
}
