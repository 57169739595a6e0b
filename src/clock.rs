//! The one place that asks what time it is.
//! In: nothing, or a test's hand. Out: `now`.
//! Never: sleeps.
//! Start at [`Clock`].

use crate::model::Timestamp;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

pub trait Clock: Send + Sync + 'static {
    /// The wall clock, which may be set forward and back.
    fn now(&self) -> Timestamp;
    /// A clock that only goes forward; its zero means nothing.
    fn monotonic(&self) -> Duration;
}

/// A wall clock that differs by more than this from what the monotonic one says was set; less is drift.
pub const JUMP_MIN_MS: i64 = 2_000;

/// Notices that the wall clock was set.
#[derive(Debug)]
pub struct JumpDetector {
    wall: Timestamp,
    monotonic: Duration,
}

impl JumpDetector {
    pub fn new(clock: &dyn Clock) -> Self {
        Self { wall: clock.now(), monotonic: clock.monotonic() }
    }

    /// By how many milliseconds the wall clock was set since the last look, forward or (negative) back; drift is followed.
    pub fn look(&mut self, wall: Timestamp, monotonic: Duration) -> Option<i64> {
        let passed = monotonic.saturating_sub(self.monotonic);
        let by_ms = wall.as_millis() - (self.wall + passed).as_millis();
        self.wall = wall;
        self.monotonic = monotonic;
        (by_ms.abs() > JUMP_MIN_MS).then_some(by_ms)
    }
}

/// The machine's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(since_epoch.as_millis() as i64)
    }

    fn monotonic(&self) -> Duration {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed()
    }
}

/// A clock that stands still until a test moves it.
#[derive(Debug, Default)]
pub struct ManualClock {
    wall_ms: AtomicI64,
    /// How far the wall clock was set beside the time that passed.
    set_by_ms: AtomicI64,
}

impl ManualClock {
    pub fn at(now: Timestamp) -> Self {
        Self { wall_ms: AtomicI64::new(now.as_millis()), set_by_ms: AtomicI64::new(0) }
    }

    /// Time has passed.
    pub fn set(&self, now: Timestamp) {
        self.wall_ms.store(now.as_millis(), Ordering::SeqCst);
    }

    /// Somebody sets the wall clock; no time passes.
    pub fn jump(&self, by_ms: i64) {
        self.wall_ms.fetch_add(by_ms, Ordering::SeqCst);
        self.set_by_ms.fetch_add(by_ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.wall_ms.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        let ms = self.wall_ms.load(Ordering::SeqCst) - self.set_by_ms.load(Ordering::SeqCst);
        Duration::from_millis(u64::try_from(ms).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_is_noticed_and_drift_is_not() {
        let clock = ManualClock::at(Timestamp::from_millis(1_000_000));
        let mut detector = JumpDetector::new(&clock);
        let mut look = |passed: i64, set: i64| {
            clock.set(clock.now().shifted(passed));
            clock.jump(set);
            detector.look(clock.now(), clock.monotonic())
        };
        assert_eq!(look(60_000, 0), None);
        assert_eq!(look(1_000, 1_900), None);
        assert_eq!(look(1_000, 1_900), None, "drift does not add up");
        assert_eq!(look(5_000, 3_600_000), Some(3_600_000));
        assert_eq!(look(5_000, 0), None);
        assert_eq!(look(5_000, -60_000), Some(-60_000));
    }
}
