//! Whether we hear anything at all: a gap in what reaches us is not the end of anything.
//! In: the time of the newest sample, now and then. Out: since when the silence of a series means something.
//! Never: calls it a gap when one source of many is silent.
//! Start at [`Hearing::since`].

use crate::model::Timestamp;
use std::time::Duration;

/// Senders are known by then.
const PAUSES_MIN: u32 = 8;
/// A pause so many times as long as the usual one is a gap.
const PAUSES_IN_GAP: u32 = 4;
/// A gap is never shorter: a sender may be late by its back-off.
const GAP_MIN: Duration = Duration::from_secs(30);
/// Nor does it take longer to call it one: half of the look-back, before instant selectors lose sight.
const GAP_MAX: Duration = Duration::from_secs(150);

/// How regularly samples come, all senders together.
#[derive(Clone, Debug, Default)]
pub(super) struct Hearing {
    newest: Option<Timestamp>,
    listened: Option<Timestamp>,
    usual: Duration,
    pauses: u32,
    /// When the latest gap ended, or the latest evaluation within one.
    deaf_until: Option<Timestamp>,
}

impl Hearing {
    /// Takes note at `at` of the newest sample that a sender brought.
    pub(super) fn hear(&mut self, newest: Option<Timestamp>, at: Timestamp) {
        // Who listens seldom cannot tell a pause.
        let listened = self.listened.replace(at).is_some_and(|before| at.since(before) <= GAP_MIN);
        let (Some(newest), before) = (newest, self.newest) else { return };
        if before.is_some_and(|b| newest <= b) {
            return;
        }
        if let Some(before) = before.filter(|_| listened) {
            let pause = newest.since(before);
            if pause > self.gap() {
                self.deaf_until = Some(newest);
            } else {
                // A longest pause that fades.
                self.usual = pause.max(self.usual * 63 / 64);
                self.pauses = self.pauses.saturating_add(1);
            }
        }
        self.newest = Some(newest);
    }

    fn gap(&self) -> Duration {
        if self.pauses < PAUSES_MIN { GAP_MAX } else { (self.usual * PAUSES_IN_GAP).clamp(GAP_MIN, GAP_MAX) }
    }

    /// Whether nothing is heard at `at`.
    pub(super) fn is_deaf(&self, at: Timestamp) -> bool {
        self.newest.is_some_and(|newest| at.since(newest) > self.gap())
    }

    /// Since when we hear: the start, or the end of the latest gap; `at` itself within one.
    pub(super) fn since(&mut self, at: Timestamp, started: Timestamp) -> Timestamp {
        if self.is_deaf(at) {
            self.deaf_until = self.deaf_until.max(Some(at));
        }
        self.deaf_until.map_or(started, |until| until.max(started))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    #[test]
    fn a_gap_is_a_pause_much_longer_than_usual() {
        let mut hearing = Hearing::default();
        assert!(!hearing.is_deaf(at(1000)), "nothing was heard yet: that is the start's concern");
        for n in 0..20 {
            hearing.hear(Some(at(n * 15)), at(n * 15));
        }
        assert!(!hearing.is_deaf(at(285 + 60)));
        assert!(hearing.is_deaf(at(285 + 61)));
        assert_eq!(hearing.since(at(285 + 60), at(0)), at(0));
        assert_eq!(hearing.since(at(285 + 90), at(0)), at(285 + 90));
        for secs in (300..500).step_by(20) {
            hearing.hear(Some(at(285)), at(secs));
        }
        hearing.hear(Some(at(500)), at(500));
        assert!(!hearing.is_deaf(at(505)));
        assert_eq!(hearing.since(at(505), at(0)), at(500));
        // What is usual has not changed by it.
        hearing.hear(Some(at(515)), at(515));
        assert!(hearing.is_deaf(at(515 + 61)));
    }

    #[test]
    fn a_slow_sender_is_given_time() {
        let mut hearing = Hearing::default();
        for secs in 0..1160 {
            hearing.hear(Some(at(secs / 60 * 60)), at(secs));
        }
        assert!(!hearing.is_deaf(at(1140 + 149)));
        assert!(hearing.is_deaf(at(1140 + 151)));
    }

    #[test]
    fn who_listens_seldom_calls_nothing_a_gap() {
        let mut hearing = Hearing::default();
        for n in 0..20 {
            hearing.hear(Some(at(n * 600)), at(n * 600));
            assert_eq!(hearing.since(at(n * 600), at(0)), at(0));
        }
    }
}
