//! Due times: one queue for all that waits for a moment.
//! In: a thing and when it is due. Out: the things due by `now`, earliest first, and the next moment.
//! Never: holds two moments for one thing.
//! Start at [`Timers::set`].

use crate::model::{IncidentId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What can be due. At one moment they run in this order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A silence begins, ends, or is forgotten.
    Silences,
    /// Alerts muted by a time interval are looked at again.
    Intervals,
    /// Escalation step, acknowledgement time-out, end of a snooze, of a hold, delivery time-out: whichever is first.
    Incident(IncidentId),
    /// A receiver may be paged again.
    Held(Arc<str>),
    /// Memory is swept.
    Sweep,
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    queue: BTreeSet<(Timestamp, Timer)>,
    at: BTreeMap<Timer, Timestamp>,
}

impl Timers {
    /// Sets, moves or (with `None`) clears the moment of one thing.
    pub(super) fn set(&mut self, timer: Timer, at: Option<Timestamp>) {
        if self.at.get(&timer).copied() == at {
            return;
        }
        if let Some(old) = self.at.remove(&timer) {
            self.queue.remove(&(old, timer.clone()));
        }
        // A thing due at the end of time is not due.
        if let Some(at) = at.filter(|at| *at < Timestamp::MAX) {
            self.at.insert(timer.clone(), at);
            self.queue.insert((at, timer));
        }
    }

    pub(super) fn at(&self, timer: &Timer) -> Option<Timestamp> {
        self.at.get(timer).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.at.len()
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Forgets every moment; whoever set one sets it anew.
    pub(super) fn clear(&mut self) {
        self.queue.clear();
        self.at.clear();
    }

    /// Takes out everything due by `now`.
    pub(super) fn pop_due(&mut self, now: Timestamp) -> Vec<Timer> {
        let mut due = Vec::new();
        while self.queue.first().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, timer)) = self.queue.pop_first() {
                self.at.remove(&timer);
                due.push(timer);
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_moment_per_thing() {
        let at = Timestamp::from_millis;
        let mut timers = Timers::default();
        let incident = |id| Timer::Incident(IncidentId(id));
        timers.set(incident(1), Some(at(5)));
        timers.set(incident(2), Some(at(3)));
        timers.set(incident(1), Some(at(9)));
        timers.set(Timer::Sweep, Some(Timestamp::MAX));
        assert_eq!(
            (timers.next(), timers.at(&incident(1)), timers.at(&Timer::Sweep)),
            (Some(at(3)), Some(at(9)), None)
        );
        assert_eq!(timers.pop_due(at(8)), [incident(2)]);
        timers.set(incident(1), None);
        assert_eq!(timers.next(), None);
    }
}
