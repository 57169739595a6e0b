//! The wall clock was set: every wait moves with it, so that none ends early and none freezes.
//! In: by how much, and the new `now`. Out: moved moments, in memory and in rows.
//! Never: moves what follows the wall clock: silences, time intervals, hand-overs, the end of a snooze.
//! Start at [`Engine::shift`].

use super::core::Engine;
use super::timers::Timer;
use crate::incidents::lifecycle;
use crate::model::Timestamp;
use crate::model::{IncidentId, RunState, Write};
use std::sync::Arc;

impl Engine {
    /// Moves steps, acknowledgement time-outs, holds, delivery time-outs, group timers, repeats, page windows and sweeps.
    pub(super) fn shift(&mut self, now: Timestamp, by_ms: i64) {
        self.now = now;
        let open: Vec<IncidentId> = self.incidents.keys().copied().collect();
        for id in open {
            self.shift_incident(id, by_ms);
        }
        for (at, _) in &mut self.ended {
            *at = at.shifted(by_ms);
        }
        for (at, _) in &mut self.closed {
            *at = at.shifted(by_ms);
        }
        self.outbox.shift(by_ms);
        self.page_limit.shift(by_ms);
        for entry in self.groups.shift(by_ms) {
            self.changes.rest.push(Write::Nflog(entry));
        }
        self.timers.clear();
        // A silence may have begun or ended by it: whoever waits for one is looked at again.
        self.silences_changed();
        self.intervals_passed();
        for receiver in self.page_limit.receivers() {
            self.arm_held(&receiver);
        }
        self.timers.set(Timer::Sweep, Some(self.now + super::limits::SWEEP_EVERY));
    }

    fn shift_incident(&mut self, id: IncidentId, by_ms: i64) {
        let Some(entry) = self.incidents.get_mut(&id) else { return };
        for at in entry.undelivered_since.values_mut() {
            *at = at.shifted(by_ms);
        }
        entry.paged_at_once.receivers.clear();
        let incident = Arc::make_mut(&mut entry.incident);
        incident.last_attached_at = incident.last_attached_at.shifted(by_ms);
        for run in &mut incident.escalation.runs {
            run.round_started_at = run.round_started_at.shifted(by_ms);
            match &mut run.state {
                RunState::AskingAcknowledger { until: at, .. } | RunState::Active { next_at: at } => {
                    *at = at.shifted(by_ms);
                }
                RunState::Resting | RunState::Exhausted | RunState::Stopped | RunState::UnknownPolicy => {}
            }
        }
        lifecycle::shift(incident, by_ms);
        self.changes.dirty.insert(id);
        self.changes.rearm.insert(id);
    }
}
