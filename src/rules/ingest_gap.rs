//! What the silence of series may be taken for: a gap of our own making, a pause of all senders, or a fact.
//! In: the time of the newest sample, refusals, now and then. Out: [`Silence`].
//! Never: calls it a gap when one source of many is silent.
//! Start at [`IngestGap::silence`].

use crate::model::Timestamp;
use std::time::Duration;

/// Senders are known by then.
const PAUSES_MIN: u32 = 8;
/// A pause so many times as long as the usual one is one of all senders.
const PAUSES_IN_GAP: u32 = 4;
/// A pause is never shorter: a sender may be late by its back-off. Who did not look for so long has missed something.
const GAP_MIN: Duration = Duration::from_secs(30);
/// Nor does it take longer to call it one: half of the look-back, before instant selectors lose sight.
const GAP_MAX: Duration = Duration::from_secs(150);
/// After the clock was set no alert ends for so long: the lease that an alert has by default (`resolve_timeout`), within
/// which every sender speaks again.
const CLOCK_HOLD: Duration = Duration::from_mins(5);

/// What is known at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Silence {
    /// The end of the latest gap of our own making: we were down, refused samples, or were busy elsewhere. Until senders
    /// have caught up after it, what is not there may be on its way. [`Timestamp::MIN`] when there was none.
    pub(super) missed_until: Timestamp,
    /// The same, or the end of the latest pause of all senders: a series that was not heard since may still be alive.
    pub(super) known_since: Timestamp,
    /// `known_since` is the end of a pause while we ran: its hole is in the windows that rules look at.
    pub(super) is_after_pause: bool,
    /// The clock was set: nothing ends before.
    pub(super) held_until: Timestamp,
}

impl Silence {
    /// Every silence is a fact: unit tests, and rules that end because they are gone.
    pub(super) const KNOWN: Self = Self {
        missed_until: Timestamp::MIN,
        known_since: Timestamp::MIN,
        is_after_pause: false,
        held_until: Timestamp::MIN,
    };
}

/// How regularly samples come, all senders together, and what we have missed.
#[derive(Clone, Debug)]
pub(super) struct IngestGap {
    /// When we began to take samples; [`Timestamp::MIN`] when every silence is a fact.
    started_at: Timestamp,
    newest: Option<Timestamp>,
    observed_at: Option<Timestamp>,
    usual: Duration,
    pauses: u32,
    /// When the latest pause of all senders ended, or the latest look within one.
    paused_until: Option<Timestamp>,
    missed_until: Timestamp,
    /// When the latest gap of our own making ended, while no sample of a later time has come: senders may be catching up.
    catching_up_to: Option<Timestamp>,
    /// Requests that were refused for want of room, as they were counted last.
    refused: u64,
    held_until: Timestamp,
}

impl IngestGap {
    /// `is_first_start`: there was nothing before that we could have missed.
    pub(super) fn new(started_at: Timestamp, is_first_start: bool) -> Self {
        let mut gap = Self {
            started_at,
            newest: None,
            observed_at: Some(started_at).filter(|at| *at != Timestamp::MIN),
            usual: Duration::ZERO,
            pauses: 0,
            paused_until: None,
            missed_until: Timestamp::MIN,
            catching_up_to: None,
            refused: 0,
            held_until: Timestamp::MIN,
        };
        if !is_first_start && started_at != Timestamp::MIN {
            gap.missed(started_at);
        }
        gap
    }

    /// Samples may have been missed until now, and it was our doing.
    fn missed(&mut self, now: Timestamp) {
        self.missed_until = self.missed_until.max(now);
        self.catching_up_to = Some(now);
    }

    /// Takes note of how many requests were refused so far for want of room.
    pub(super) fn observe_refusals(&mut self, refused: u64, now: Timestamp) {
        if std::mem::replace(&mut self.refused, refused) < refused {
            self.missed(now);
        }
    }

    /// Takes note at `at` of the newest sample that a sender brought.
    pub(super) fn observe(&mut self, newest: Option<Timestamp>, at: Timestamp) {
        let looked = self.observed_at.replace(at).is_some_and(|before| at.since(before) <= GAP_MIN);
        if !looked && self.started_at != Timestamp::MIN {
            // Who did not look for so long may have taken nothing either.
            self.missed(at);
        }
        // A sender whose clock is ahead must not hide that nobody else is heard.
        let (Some(newest), before) = (newest.map(|newest| newest.min(at)), self.newest) else { return };
        if before.is_some_and(|b| newest <= b) {
            return;
        }
        match self.catching_up_to {
            Some(gap_end) if newest < gap_end && before.is_some() => self.missed_until = self.missed_until.max(at),
            Some(gap_end) if newest >= gap_end => self.catching_up_to = None,
            _ => {}
        }
        if let Some(before) = before.filter(|_| looked) {
            let pause = newest.since(before);
            if pause > self.pause_max() {
                self.paused_until = Some(newest);
            } else {
                // A longest pause that fades.
                self.usual = pause.max(self.usual * 63 / 64);
                self.pauses = self.pauses.saturating_add(1);
            }
        }
        self.newest = Some(newest);
    }

    fn pause_max(&self) -> Duration {
        if self.pauses < PAUSES_MIN { GAP_MAX } else { (self.usual * PAUSES_IN_GAP).clamp(GAP_MIN, GAP_MAX) }
    }

    /// Whether nobody is heard at `at`.
    fn is_paused(&self, at: Timestamp) -> bool {
        self.newest.is_some_and(|newest| at.since(newest) > self.pause_max())
    }

    /// What silence means at `at`.
    pub(super) fn silence(&mut self, at: Timestamp) -> Silence {
        let held_until = self.held_until;
        if self.started_at == Timestamp::MIN {
            return Silence { held_until, ..Silence::KNOWN };
        }
        if self.is_paused(at) {
            self.paused_until = self.paused_until.max(Some(at));
        }
        let missed = self.started_at.max(self.missed_until);
        let paused = self.paused_until.unwrap_or(Timestamp::MIN);
        Silence {
            missed_until: self.missed_until,
            known_since: missed.max(paused),
            is_after_pause: missed.max(paused) > self.started_at,
            held_until,
        }
    }

    /// The clock was set by so many milliseconds; it is `now`. Times of samples are their senders'.
    pub(super) fn clock_jumped(&mut self, by_ms: i64, now: Timestamp) {
        let moved = |t: Timestamp| t.moved_by(by_ms);
        self.started_at = moved(self.started_at);
        self.missed_until = moved(self.missed_until);
        self.observed_at = self.observed_at.map(moved);
        self.paused_until = self.paused_until.map(moved);
        self.catching_up_to = None;
        self.held_until = now + CLOCK_HOLD;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    fn known_since(gap: &mut IngestGap, secs: i64) -> Timestamp {
        gap.silence(at(secs)).known_since
    }

    #[test]
    fn a_pause_of_all_senders_is_much_longer_than_usual() {
        let mut gap = IngestGap::new(at(0), true);
        assert!(!gap.is_paused(at(1000)), "nothing was heard yet: that is the start's concern");
        for n in 0..20 {
            gap.observe(Some(at(n * 15)), at(n * 15));
        }
        assert!(!gap.is_paused(at(285 + 60)));
        assert!(gap.is_paused(at(285 + 61)));
        assert_eq!(known_since(&mut gap, 285 + 60), at(0));
        assert_eq!(known_since(&mut gap, 285 + 90), at(285 + 90));
        for secs in (300..500).step_by(20) {
            gap.observe(Some(at(285)), at(secs));
        }
        gap.observe(Some(at(500)), at(500));
        assert!(!gap.is_paused(at(505)));
        assert_eq!(known_since(&mut gap, 505), at(500));
        assert_eq!(gap.silence(at(505)).missed_until, Timestamp::MIN, "it was not our doing");
        // What is usual has not changed by it.
        gap.observe(Some(at(515)), at(515));
        assert!(gap.is_paused(at(515 + 61)));
    }

    #[test]
    fn a_slow_sender_is_given_time() {
        let mut gap = IngestGap::new(at(0), true);
        for secs in 0..1160 {
            gap.observe(Some(at(secs / 60 * 60)), at(secs));
        }
        assert!(!gap.is_paused(at(1140 + 149)));
        assert!(gap.is_paused(at(1140 + 151)));
    }

    #[test]
    fn who_did_not_look_has_missed_something() {
        let mut gap = IngestGap::new(at(0), true);
        gap.observe(Some(at(10)), at(10));
        assert_eq!(gap.silence(at(10)).missed_until, Timestamp::MIN);
        gap.observe(Some(at(12)), at(600));
        assert_eq!(gap.silence(at(600)).missed_until, at(600));
        // While what comes is from before, senders catch up; then it is over.
        for secs in 601..660 {
            gap.observe(Some(at(secs * 10 - 5998)), at(secs));
        }
        assert_eq!(gap.silence(at(660)).missed_until, at(659));
        gap.observe(Some(at(660)), at(660));
        gap.observe(Some(at(675)), at(675));
        assert_eq!(gap.silence(at(675)).missed_until, at(659));
    }

    #[test]
    fn a_restart_and_a_refusal_are_our_doing() {
        let mut gap = IngestGap::new(at(100), false);
        assert_eq!(gap.silence(at(101)).missed_until, at(100));
        gap.observe_refusals(0, at(200));
        assert_eq!(gap.silence(at(200)).missed_until, at(100));
        gap.observe_refusals(3, at(300));
        gap.observe_refusals(3, at(301));
        assert_eq!(gap.silence(at(301)).missed_until, at(300));
    }

    #[test]
    fn a_sender_ahead_of_our_clock_hides_nothing() {
        let mut gap = IngestGap::new(at(0), true);
        for secs in 0..100 {
            gap.observe(Some(at(secs)), at(secs));
        }
        gap.observe(Some(at(340)), at(100));
        assert_eq!(known_since(&mut gap, 101), at(0), "it is no pause");
        assert!(gap.is_paused(at(131)), "and nobody is heard after it");
    }

    #[test]
    fn a_clock_that_was_set_moves_with_all_that_is_known() {
        let mut gap = IngestGap::new(at(100), false);
        gap.observe(Some(at(200)), at(120));
        gap.clock_jumped(3_600_000, at(3721));
        let silence = gap.silence(at(3721));
        assert_eq!((silence.missed_until, silence.held_until), (at(3700), at(4021)));
        gap.observe(Some(at(210)), at(3722));
        assert_eq!(gap.silence(at(3722)).missed_until, at(3700), "the jump is no time that passed");
    }
}
