//! One breaker per destination: after a row of failures only one probe at a time goes out until one succeeds.
//! In: what attempts came to, and the time since some start. Out: [`Gate`].
//! Never: reads a clock; knows of no message.
//! Start at [`Breaker::gate`].

use super::retry::granted;
use std::time::Duration;

/// So many failures in a row open it.
pub const FAILURES_TO_OPEN: u32 = 5;
/// The first pause of an open breaker; it doubles with every failed probe.
pub const OPEN_FIRST: Duration = Duration::from_secs(5);
/// The longest pause between probes: what a page waits at most after its destination came back.
pub const OPEN_MAX: Duration = Duration::from_mins(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Send as usual.
    Closed,
    /// Send one, and wait for what becomes of it.
    Probe,
    /// A probe is out, or the pause runs until then (`None`: until the probe is back).
    Wait { until: Option<Duration> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: Duration },
    Probing,
}

#[derive(Clone, Debug)]
pub struct Breaker {
    state: State,
    /// Failures since the last success.
    failures: u32,
    /// By Retry-After nothing but messages about incidents leaves before this.
    announcements_wait: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { state: State::Closed, failures: 0, announcements_wait: Duration::ZERO }
    }
}

impl Breaker {
    /// What may be sent at `now`; `is_urgent` of messages about an incident.
    pub fn gate(&self, now: Duration, is_urgent: bool) -> Gate {
        let asked = Some(self.announcements_wait).filter(|until| !is_urgent && *until > now);
        match (self.state, asked) {
            (State::Closed, None) => Gate::Closed,
            (State::Closed, until @ Some(_)) => Gate::Wait { until },
            (State::Open { until }, asked) => match until.max(asked.unwrap_or_default()) {
                until if now >= until => Gate::Probe,
                until => Gate::Wait { until: Some(until) },
            },
            (State::Probing, _) => Gate::Wait { until: None },
        }
    }

    pub fn is_open(&self) -> bool {
        self.state != State::Closed
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The probe that [`Gate::Probe`] allowed has left.
    pub fn probe_sent(&mut self) {
        self.state = State::Probing;
    }

    /// The destination answered (a permanent refusal is an answer too). True when that closed the breaker.
    pub fn answered(&mut self) -> bool {
        let was_open = self.is_open();
        *self = Self::default();
        was_open
    }

    /// A temporary failure. What the destination asked for by Retry-After holds all its messages back: those about incidents for a
    /// minute at most.
    pub fn failed(&mut self, now: Duration, retry_after: Option<Duration>) {
        self.failures = self.failures.saturating_add(1);
        let asked = retry_after.map(|pause| granted(pause, true));
        let pause = if self.failures >= FAILURES_TO_OPEN {
            let doublings = (self.failures - FAILURES_TO_OPEN).min(8);
            Some(OPEN_FIRST.saturating_mul(1 << doublings).min(OPEN_MAX).max(asked.unwrap_or_default()))
        } else if self.state == State::Probing {
            Some(asked.unwrap_or(OPEN_FIRST))
        } else {
            asked
        };
        if let Some(pause) = pause {
            self.state = State::Open { until: now + pause };
        }
        self.announcements_wait = retry_after.map_or(Duration::ZERO, |pause| now + granted(pause, false));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn a_row_of_failures_opens_it_and_one_probe_closes_it() {
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES_TO_OPEN - 1 {
            breaker.failed(at(0), None);
            assert_eq!(breaker.gate(at(0), true), Gate::Closed);
        }
        breaker.failed(at(0), None);
        assert_eq!(breaker.gate(at(1), true), Gate::Wait { until: Some(at(5)) });
        assert_eq!(breaker.gate(at(5), true), Gate::Probe);
        breaker.probe_sent();
        assert_eq!(breaker.gate(at(6), true), Gate::Wait { until: None });
        breaker.failed(at(6), None);
        assert_eq!(breaker.gate(at(7), true), Gate::Wait { until: Some(at(16)) });
        breaker.probe_sent();
        assert!(breaker.answered());
        assert_eq!(breaker.gate(at(17), true), Gate::Closed);
        assert!(!breaker.answered());
    }

    #[test]
    fn retry_after_holds_the_destination() {
        let mut breaker = Breaker::default();
        breaker.failed(at(0), Some(at(30)));
        for is_urgent in [true, false] {
            assert_eq!(breaker.gate(at(29), is_urgent), Gate::Wait { until: Some(at(30)) });
            assert_eq!(breaker.gate(at(30), is_urgent), Gate::Probe);
        }
    }

    #[test]
    fn a_page_waits_a_minute_at_most_and_its_success_frees_the_rest() {
        let mut breaker = Breaker::default();
        breaker.failed(at(0), Some(at(600)));
        assert_eq!(breaker.gate(at(59), true), Gate::Wait { until: Some(at(60)) });
        assert_eq!(breaker.gate(at(60), true), Gate::Probe);
        assert_eq!(breaker.gate(at(60), false), Gate::Wait { until: Some(at(600)) });
        breaker.probe_sent();
        assert!(breaker.answered());
        assert_eq!(breaker.gate(at(61), false), Gate::Closed);
    }

    #[test]
    fn the_pause_has_a_ceiling() {
        let mut breaker = Breaker::default();
        for _ in 0..100 {
            breaker.failed(at(0), None);
        }
        assert_eq!(breaker.gate(at(0), true), Gate::Wait { until: Some(OPEN_MAX) });
    }
}
