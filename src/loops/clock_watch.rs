//! What happens when the wall clock was set: every room that holds timers moves them, and log, metric and status say so.
//! In: the clock, at each round of decisions. Out: by how much it jumped; a metric, a log line, a status for one lease.
//! Never: decides what moves (the engine, the registry and the rules do).
//! Start at [`ClockWatch::look`].

use super::decide::Decide;
use crate::clock::JumpDetector;
use crate::model::Timestamp;
use crate::telemetry::{Part, Status};
use std::time::Duration;

/// How long a jump stays in the status: resolves are held as long (`alerts::registry`, one default lease).
const SHOWN_FOR: Duration = Duration::from_mins(5);

pub(super) struct ClockWatch {
    jumps: JumpDetector,
    shown_until: Option<Duration>,
}

impl ClockWatch {
    pub(super) fn new(writer: &Decide) -> Self {
        Self { jumps: JumpDetector::new(&*writer.clock), shown_until: None }
    }

    /// By how many milliseconds the wall clock was set since the last look.
    pub(super) fn look(&mut self, writer: &Decide, now: Timestamp) -> Option<i64> {
        let monotonic = writer.clock.monotonic();
        if self.shown_until.is_some_and(|until| until <= monotonic) {
            self.shown_until = None;
            writer.health.set(Part::Clock, Status::Ok, "", now);
        }
        let by_ms = self.jumps.look(now, monotonic)?;
        self.shown_until = Some(monotonic + SHOWN_FOR);
        (writer.door.clock_jumped)(by_ms, now);
        writer.metrics.clock.jumped(by_ms);
        let seconds = by_ms as f64 / 1000.0;
        tracing::warn!(seconds, "the wall clock was set; waits go on as before, silences and schedules follow it");
        let text = format!("the wall clock was set by {seconds} s at {now}; resolves are held for {SHOWN_FOR:?}");
        writer.health.set(Part::Clock, Status::Degraded, &text, now);
        Some(by_ms)
    }
}
