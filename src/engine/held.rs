//! Pages that the limit holds back: kept with their incidents, sent when the window frees, the most severe first.
//! In: receivers whose window frees, incidents that end or are answered. Out: pages in turn.
//! Never: loses a page of an incident that still wants an answer.
//! Start at [`Engine::release_held`].

use super::core::Engine;
use super::limits;
use super::page::{Contact, slot_of};
use super::timers::Timer;
use crate::model::{IncidentId, Severity};
use std::cmp::Reverse;
use std::sync::Arc;

impl Engine {
    /// The window of a receiver may have room: the most severe, then oldest, held page goes out, and so on while there is.
    pub(super) fn release_held(&mut self, receiver: &Arc<str>) {
        while let Some(id) = self.first_held(receiver) {
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
        let held = self.held.get(receiver)?;
        held.iter().copied().min_by_key(|id| {
            let incident = self.cases.get(id).map(|case| &case.incident);
            (Reverse(incident.map_or(Severity::Info, |i| i.severity)), *id)
        })
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

    /// Its severity rose: a held page may go out now as a critical one.
    pub(super) fn hurry_held(&mut self, id: IncidentId) {
        let receivers = self.cases.get(&id).map(|case| case.incident.escalation.held.clone()).unwrap_or_default();
        for receiver in receivers {
            self.arm_held(&receiver);
        }
    }

    /// The page went out, or is not wanted any more.
    pub(super) fn unhold(&mut self, id: IncidentId, receiver: &Arc<str>) {
        if let Some(held) = self.held.get_mut(receiver) {
            held.remove(&id);
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
