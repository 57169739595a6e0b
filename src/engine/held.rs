//! Pages that the limit holds back: kept with their incidents, sent when the window frees, the most severe first.
//! In: receivers whose window frees, incidents that end or are answered. Out: pages in turn.
//! Never: loses a page of an incident that still wants an answer.
//! Start at [`Engine::release_held`].

use super::core::Engine;
use super::limits;
use super::page::{Contact, slot_of};
use super::timers::Timer;
use crate::model::{IncidentId, Severity, TimelineKind};
use std::cmp::Reverse;
use std::sync::Arc;

impl Engine {
    /// The window of a receiver may have room: the most severe, then oldest, held page goes out, and so on while there is.
    pub(super) fn release_held(&mut self, receiver: &Arc<str>) {
        while let Some(id) = self.first_held(receiver) {
            if let Some(quiet) = self.all_muted(id) {
                self.unhold(id, receiver);
                let cause = quiet.first().map(|(_, cause)| cause.to_string()).unwrap_or_default();
                self.say(
                    id,
                    TimelineKind::NotPaged,
                    format!("held page to {receiver} dropped: every alert is muted"),
                    cause,
                );
                continue;
            }
            let critical = self.cases.get(&id).is_some_and(|case| case.incident.severity == Severity::Critical);
            let free = self
                .settings
                .max_pages_per_minute
                .is_none_or(|limit| self.throttle.take(receiver, limit, limits::PAGE_WINDOW, critical, self.now));
            if !free {
                break;
            }
            let contact = Contact { receiver: receiver.clone(), as_whom: String::new() };
            let Some(case) = self.cases.get(&id) else { break };
            let escalation = &case.incident.escalation;
            let reason = format!(
                "round {} step {} of policy {}: held back until now by the page limit",
                escalation.round,
                escalation.step,
                escalation.policy.as_deref().unwrap_or("none")
            );
            let slot = slot_of(&case.incident);
            self.page(id, &contact, &slot, &reason);
        }
        self.arm_held(receiver);
    }

    /// The held incident that goes first.
    fn first_held(&self, receiver: &Arc<str>) -> Option<IncidentId> {
        self.held.get(receiver)?.first().map(|(_, id)| *id)
    }

    /// Keeps the page of an incident for later.
    pub(super) fn hold(&mut self, id: IncidentId, receiver: &Arc<str>) {
        let Some(incident) = self.edit(id) else { return };
        incident.escalation.held.insert(receiver.clone());
        let place = (Reverse(incident.severity), id);
        let held = self.held.entry(receiver.clone()).or_default();
        held.insert(place);
        if held.first() == Some(&place) {
            self.arm_held(receiver);
        }
    }

    /// Its severity rose from `before`: held pages move forward and may go out now as critical ones.
    pub(super) fn hurry_held(&mut self, id: IncidentId, before: Severity) {
        let Some(case) = self.cases.get(&id) else { return };
        let now = case.incident.severity;
        for receiver in case.incident.escalation.held.clone() {
            if let Some(held) = self.held.get_mut(&receiver) {
                held.remove(&(Reverse(before), id));
                held.insert((Reverse(now), id));
            }
            self.arm_held(&receiver);
        }
    }

    /// Sets when the receiver's next held page may go.
    pub(super) fn arm_held(&mut self, receiver: &Arc<str>) {
        let at = self.first_held(receiver).map(|id| {
            let critical = self.cases.get(&id).is_some_and(|case| case.incident.severity == Severity::Critical);
            match self.settings.max_pages_per_minute {
                Some(limit) => self.throttle.free_at(receiver, limit, limits::PAGE_WINDOW, critical, self.now),
                None => self.now,
            }
        });
        self.timers.set(Timer::Held(receiver.clone()), at);
    }

    /// The page went out, or is not wanted any more.
    pub(super) fn unhold(&mut self, id: IncidentId, receiver: &Arc<str>) {
        let severity = self.cases.get(&id).map_or(Severity::Info, |case| case.incident.severity);
        if let Some(held) = self.held.get_mut(receiver) {
            held.remove(&(Reverse(severity), id));
            if held.is_empty() {
                self.held.remove(receiver);
            }
        }
        let is_held = self.cases.get(&id).is_some_and(|case| case.incident.escalation.held.contains(receiver));
        if is_held && let Some(incident) = self.edit(id) {
            incident.escalation.held.remove(receiver);
        }
    }

    pub(super) fn unhold_all(&mut self, id: IncidentId) {
        let receivers = self.cases.get(&id).map(|case| case.incident.escalation.held.clone()).unwrap_or_default();
        for receiver in receivers {
            self.unhold(id, &receiver);
            self.arm_held(&receiver);
        }
    }
}
