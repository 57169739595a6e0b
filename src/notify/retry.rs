//! When a failed send is tried again: exponential with full jitter, Retry-After obeyed, patience of three days.
//! In: how often it failed, how old it is, what the destination asked for, a random number. Out: [`Next`].
//! Never: reads a clock or draws a number itself.
//! Start at [`plan`].

use std::time::Duration;

/// The ceiling of the first pause; it doubles with every failure. Most failures are one lost connection or a receiver that
/// restarts, and a page should not wait longer for that than a person notices.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(250);
/// The ceiling of every pause: a destination that comes back waits at most this long for the next try.
pub const BACKOFF_MAX: Duration = Duration::from_mins(5);
/// Full jitter may draw zero; this much is always waited, so that a broken destination is not hammered.
pub const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// A destination may ask for a pause of at most this for announcements; a longer one would be as good as losing them.
pub const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);
/// And of at most this for messages about an incident: somebody is to be woken, and the next step must not overtake a destination that
/// has long been well again.
pub const RETRY_AFTER_PAGE_MAX: Duration = Duration::from_mins(1);
/// How long a message is kept for a destination that is down (the promise of the house: 72 h at least).
pub const PATIENCE: Duration = Duration::from_hours(72);

/// What becomes of a message after a temporary failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    RetryAfter(Duration),
    GiveUp,
}

/// The pause that is granted of what a destination asked for.
pub fn granted(asked: Duration, is_urgent: bool) -> Duration {
    asked.min(if is_urgent { RETRY_AFTER_PAGE_MAX } else { RETRY_AFTER_MAX })
}

/// `retry_after` is what was [`granted`]; `failures` counts from 1; `age` is since the message was created; `random` is in `0.0..1.0`.
pub fn plan(failures: u32, age: Duration, retry_after: Option<Duration>, random: f64) -> Next {
    if age >= PATIENCE {
        return Next::GiveUp;
    }
    let doublings = failures.saturating_sub(1).min(16);
    let ceiling = BACKOFF_FIRST.saturating_mul(1 << doublings).min(BACKOFF_MAX);
    let jittered = ceiling.mul_f64(random.clamp(0.0, 1.0)).max(BACKOFF_MIN);
    let asked = retry_after.unwrap_or_default();
    // The last try happens when patience ends, not an hour before it.
    Next::RetryAfter(jittered.max(asked).min(PATIENCE.saturating_sub(age)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(failures: u32, age_s: u64, retry_after_s: Option<u64>, random: f64, want: Next) {
        let got = plan(failures, Duration::from_secs(age_s), retry_after_s.map(Duration::from_secs), random);
        assert_eq!(got, want);
    }

    fn secs(s: u64) -> Next {
        Next::RetryAfter(Duration::from_secs(s))
    }

    #[test]
    fn the_plan_is_a_table() {
        check(1, 0, None, 1.0, Next::RetryAfter(BACKOFF_FIRST));
        check(3, 0, None, 1.0, secs(1));
        check(4, 0, None, 0.5, secs(1));
        check(6, 0, None, 1.0, secs(8));
        check(1, 0, None, 0.0, Next::RetryAfter(BACKOFF_MIN));
        check(30, 0, None, 1.0, secs(300));
        check(u32::MAX, 0, None, 1.0, secs(300));
        // What the destination asked for is obeyed.
        check(1, 0, Some(17), 1.0, secs(17));
        check(11, 0, Some(1), 1.0, secs(256));
        // Three days of patience, the last try at their end.
        check(1000, 72 * 3600 - 10, None, 1.0, secs(10));
        check(1000, 72 * 3600, None, 1.0, Next::GiveUp);
    }

    #[test]
    fn a_page_waits_a_minute_for_what_a_destination_asked_and_an_announcement_an_hour() {
        let secs = Duration::from_secs;
        assert_eq!((granted(secs(17), true), granted(secs(17), false)), (secs(17), secs(17)));
        assert_eq!((granted(secs(86_400), true), granted(secs(86_400), false)), (secs(60), secs(3600)));
    }
}
