//! Escalation carried out: steps are taken, pages written or held back, and the end is told to whoever heard.
//! In: an incident that is due. Out: notifications, timeline lines, the next due time.
//! Never: pages for a resolved, acknowledged or snoozed incident.
//! Start at [`Engine::advance`].

use super::case::{Case, ack_times_out_at};
use super::core::Engine;
use super::limits;
use super::place::{ago, target_name};
use super::tell::Words;
use super::waiting::Cause;
use crate::escalation::{EscalationPolicy, Next, Position, due, next, on_call};
use crate::model::incident::EscalationTarget;
use crate::model::{
    Fingerprint, Incident, IncidentId, IncidentStatus, NotificationKind, Severity, TimelineKind, Timestamp,
};
use std::fmt::Write as _;
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
        for key in self.write_incident_messages(id, receiver, &Words { kind, slot, reason, held_back }, |_| true) {
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
            let _ = write!(text, "; {held_back} more pages to it are held back");
        }
        self.say(id, TimelineKind::Paged, text, reason.to_owned());
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
