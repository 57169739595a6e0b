//! How often one contact may be paged: a sliding minute per receiver.
//! In: receiver, `now`, whether it is critical. Out: yes, or when to ask again.
//! Never: forgets what was held back (the incidents remember).
//! Start at [`Throttle::take`].

use crate::model::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// The pages of the last window, per receiver.
#[derive(Clone, Debug, Default)]
pub struct Throttle {
    /// Oldest first; never more than the limit.
    sent: BTreeMap<Arc<str>, VecDeque<Timestamp>>,
}

/// One page in five is kept for critical incidents, so that a storm of lesser ones cannot hold the first critical back.
fn allowed(limit: u32, critical: bool) -> usize {
    (if critical { limit } else { limit - limit / 5 }) as usize
}

/// In order, also where a page of before a restart is ahead of a clock that drifted back.
fn insert(sent: &mut VecDeque<Timestamp>, at: Timestamp) {
    let place = sent.partition_point(|t| *t <= at);
    sent.insert(place, at);
}

impl Throttle {
    /// Takes a place in the window, or says no.
    pub fn take(&mut self, receiver: &Arc<str>, limit: u32, window: Duration, critical: bool, now: Timestamp) -> bool {
        let sent = self.sent.entry(receiver.clone()).or_default();
        while sent.front().is_some_and(|at| *at + window <= now) {
            sent.pop_front();
        }
        let free = sent.len() < allowed(limit, critical);
        if free {
            insert(sent, now);
        }
        free
    }

    /// When [`Throttle::take`] may say yes; `now` when it would already.
    pub fn free_at(&self, receiver: &str, limit: u32, window: Duration, critical: bool, now: Timestamp) -> Timestamp {
        let Some(sent) = self.sent.get(receiver) else { return now };
        let live: Vec<Timestamp> = sent.iter().copied().filter(|at| *at + window > now).collect();
        let allowed = allowed(limit, critical);
        if live.len() < allowed {
            return now;
        }
        // So many must leave the window before one more fits; a limit of 0 never frees.
        live.get(live.len() - allowed).map_or(Timestamp::MAX, |at| *at + window)
    }

    /// A page that went out before a restart.
    pub fn remember(&mut self, receiver: Arc<str>, at: Timestamp) {
        insert(self.sent.entry(receiver).or_default(), at);
    }

    /// The wall clock was set: windows go on from where they were.
    pub fn shift(&mut self, by_ms: i64) {
        for at in self.sent.values_mut().flatten() {
            *at = at.shifted(by_ms);
        }
    }

    /// Lets go of windows that are over.
    pub fn sweep(&mut self, window: Duration, now: Timestamp) {
        self.sent.retain(|_, sent| sent.back().is_some_and(|at| *at + window > now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_a_minute_two_of_them_for_the_critical() {
        let (mut throttle, ops, minute) = (Throttle::default(), Arc::from("ops"), Duration::from_mins(1));
        let at = |ms| Timestamp::from_millis(ms);
        for i in 0..8 {
            assert!(throttle.take(&ops, 10, minute, false, at(i)));
        }
        assert!(!throttle.take(&ops, 10, minute, false, at(8)));
        assert!(throttle.take(&ops, 10, minute, true, at(9)) && throttle.take(&ops, 10, minute, true, at(10)));
        assert!(!throttle.take(&ops, 10, minute, true, at(11)));
        assert_eq!(throttle.free_at("ops", 10, minute, true, at(11)), at(60_000));
        assert_eq!(throttle.free_at("ops", 10, minute, false, at(11)), at(60_002));
        assert!(throttle.take(&ops, 10, minute, true, at(60_000)));
        assert_eq!(throttle.free_at("other", 10, minute, false, at(11)), at(11));
        throttle.remember(ops.clone(), at(121_000));
        assert!(throttle.take(&ops, 2, minute, true, at(120_000)));
        assert!(!throttle.take(&ops, 2, minute, true, at(120_001)));
        assert_eq!(throttle.free_at("ops", 2, minute, true, at(120_001)), at(180_000));
        assert!(throttle.take(&ops, 2, minute, true, at(180_000)), "it says yes when it said it would");
        throttle.sweep(minute, at(300_000));
        assert!(throttle.sent.is_empty());
        assert_eq!(throttle.free_at("ops", 0, minute, true, at(0)), at(0));
    }
}
