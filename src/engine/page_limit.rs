//! The page limit of each contact: pages beyond it are kept with their incidents and go out when the window frees, the most
//! severe first.
//! In: receivers whose window frees, incidents that end or are answered. Out: pages in their order.
//! Never: loses a page of an incident that still wants an answer.
//! Start at [`Engine::release_held`].

use super::core::Engine;
use super::limits;
use super::page::Contact;
use super::timers::Timer;
use crate::escalation::Throttle;
use crate::model::timeline::{NotPaged, StepReason};
use crate::model::{IncidentId, Severity, TimelineEvent, Timestamp};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(Debug, Default)]
pub(super) struct PageLimit {
    throttle: Throttle,
    /// Incidents whose page to a receiver waits, in the order in which they go out.
    held: BTreeMap<Arc<str>, BTreeSet<(Reverse<Severity>, IncidentId)>>,
}

impl PageLimit {
    /// Takes a place in the receiver's window, or says no.
    pub(super) fn take(&mut self, receiver: &Arc<str>, limit: Option<u32>, critical: bool, now: Timestamp) -> bool {
        limit.is_none_or(|limit| self.throttle.take(receiver, limit, limits::PAGE_WINDOW, critical, now))
    }

    /// A page of before a restart.
    pub(super) fn remember(&mut self, receiver: Arc<str>, at: Timestamp) {
        self.throttle.remember(receiver, at);
    }

    pub(super) fn restore_held(&mut self, receiver: Arc<str>, severity: Severity, id: IncidentId) {
        self.held.entry(receiver).or_default().insert((Reverse(severity), id));
    }

    pub(super) fn held_count(&self, receiver: &str) -> u32 {
        self.held.get(receiver).map_or(0, |held| held.len() as u32)
    }

    pub(super) fn held_total(&self) -> usize {
        self.held.values().map(BTreeSet::len).sum()
    }

    pub(super) fn receivers(&self) -> Vec<Arc<str>> {
        self.held.keys().cloned().collect()
    }

    pub(super) fn is_held(&self, receiver: &str, severity: Severity, id: IncidentId) -> bool {
        self.held.get(receiver).is_some_and(|held| held.contains(&(Reverse(severity), id)))
    }

    pub(super) fn all_held(&self) -> impl Iterator<Item = (&Arc<str>, IncidentId)> {
        self.held.iter().flat_map(|(receiver, held)| held.iter().map(move |(_, id)| (receiver, *id)))
    }

    fn first(&self, receiver: &str) -> Option<IncidentId> {
        self.held.get(receiver)?.first().map(|(_, id)| *id)
    }

    fn drop_held(&mut self, receiver: &Arc<str>, severity: Severity, id: IncidentId) {
        if let Some(held) = self.held.get_mut(receiver) {
            held.remove(&(Reverse(severity), id));
            if held.is_empty() {
                self.held.remove(receiver);
            }
        }
    }

    pub(super) fn sweep(&mut self, now: Timestamp) {
        self.throttle.sweep(limits::PAGE_WINDOW, now);
    }

    /// The wall clock was set.
    pub(super) fn shift(&mut self, by_ms: i64) {
        self.throttle.shift(by_ms);
    }
}

impl Engine {
    /// The window of a receiver may have room: the most severe, then oldest, held page goes out, and so on while there is.
    pub(super) fn release_held(&mut self, receiver: &Arc<str>) {
        while let Some(id) = self.page_limit.first(receiver) {
            let Some(entry) = self.incidents.get(&id) else {
                return self.breach(|| format!("{id} is held for {receiver} and is not known"));
            };
            let run = entry.held_for.get(receiver).copied();
            let critical = entry.incident.severity == Severity::Critical;
            if let Some(muted) = self.all_muted(id) {
                self.unhold(id, receiver);
                let mute = muted.into_iter().next().map(|(_, mute)| mute);
                let why = NotPaged::HeldPageDropped { receiver: receiver.clone(), mute };
                self.record(id, TimelineEvent::NotPaged(why));
                continue;
            }
            if !self.page_limit.take(receiver, self.settings.max_pages_per_minute, critical, self.now) {
                break;
            }
            let contact = Contact { receiver: receiver.clone(), as_whom: String::new() };
            let Some(run) = run.or_else(|| self.incidents.get(&id)?.incident.escalation.nearest().map(|r| r.run))
            else {
                self.unhold(id, receiver);
                continue;
            };
            self.page(id, run, &contact, &StepReason::LimitFreed);
        }
        self.arm_held(receiver);
    }

    /// Keeps the page of an incident for later.
    pub(super) fn hold(&mut self, id: IncidentId, run: u32, receiver: &Arc<str>) {
        let Some(incident) = self.edit(id) else { return };
        incident.escalation.held.insert(receiver.clone());
        let severity = incident.severity;
        if let Some(entry) = self.incidents.get_mut(&id) {
            entry.held_for.insert(receiver.clone(), run);
        }
        self.page_limit.restore_held(receiver.clone(), severity, id);
        if self.page_limit.first(receiver) == Some(id) {
            self.arm_held(receiver);
        }
    }

    /// Its severity rose from `before`: held pages move forward and may go out now as critical ones.
    pub(super) fn hurry_held(&mut self, id: IncidentId, before: Severity) {
        let Some(entry) = self.incidents.get(&id) else { return };
        let severity = entry.incident.severity;
        for receiver in entry.incident.escalation.held.clone() {
            self.page_limit.drop_held(&receiver, before, id);
            self.page_limit.restore_held(receiver.clone(), severity, id);
            self.arm_held(&receiver);
        }
    }

    /// Sets when the receiver's next held page may go.
    pub(super) fn arm_held(&mut self, receiver: &Arc<str>) {
        let at = self.page_limit.first(receiver).map(|id| {
            let critical = self.incidents.get(&id).is_some_and(|e| e.incident.severity == Severity::Critical);
            match self.settings.max_pages_per_minute {
                Some(limit) => {
                    self.page_limit.throttle.free_at(receiver, limit, limits::PAGE_WINDOW, critical, self.now)
                }
                None => self.now,
            }
        });
        self.timers.set(Timer::Held(receiver.clone()), at);
    }

    /// The page went out, or is not wanted any more.
    pub(super) fn unhold(&mut self, id: IncidentId, receiver: &Arc<str>) {
        let Some(entry) = self.incidents.get_mut(&id) else { return };
        entry.held_for.remove(receiver);
        let (severity, is_held) = (entry.incident.severity, entry.incident.escalation.held.contains(receiver));
        self.page_limit.drop_held(receiver, severity, id);
        if is_held && let Some(incident) = self.edit(id) {
            incident.escalation.held.remove(receiver);
        }
    }

    pub(super) fn unhold_all(&mut self, id: IncidentId) {
        let receivers = self.incidents.get(&id).map(|e| e.incident.escalation.held.clone()).unwrap_or_default();
        for receiver in receivers {
            self.unhold(id, &receiver);
            self.arm_held(&receiver);
        }
    }
}
