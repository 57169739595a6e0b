//! Whose samples are off our clock, and by how much.
//! In: of each request its sender and its newest sample. Out: an offset for each sender, and who is beyond the limit.
//! Never: looks at a sample, or remembers more than [`SENDERS_MAX`] senders.
//! Start at [`SenderClocks::note`].

use crate::model::Timestamp;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// Senders whose offset is known; beyond, new ones wait until one falls silent.
pub const SENDERS_MAX: usize = 256;
/// A sender that is further off is named. A queue holds samples back for seconds, so less than this says nothing about a clock.
pub const OFFSET_LIMIT: Duration = Duration::from_secs(30);
/// Lateness is judged by the freshest request of so much time: one that was held up is no late clock.
const WINDOW: Duration = Duration::from_mins(1);
/// A sender that was silent for longer is forgotten.
const FORGET: Duration = Duration::from_mins(10);
/// Late windows in a row before a sender is named: after an outage a queue is late until it has caught up.
const LATE_WINDOWS: u32 = 2;

/// A sender, and how far its newest samples are ahead of our clock (negative: behind).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderOffset {
    pub sender: IpAddr,
    pub offset_ms: i64,
    /// It is beyond [`OFFSET_LIMIT`], and was for long enough.
    pub is_off: bool,
}

#[derive(Debug)]
struct SenderClock {
    since: Timestamp,
    /// The freshest request of this window.
    freshest_ms: i64,
    /// That of the window before.
    offset_ms: Option<i64>,
    late_windows: u32,
    noted_at: Timestamp,
}

/// One short lock a request.
#[derive(Debug, Default)]
pub struct SenderClocks(Mutex<HashMap<IpAddr, SenderClock>>);

impl SenderClocks {
    /// A request of `sender` came at `now`; returns the offset when this is the first request that is too far ahead.
    pub fn note(&self, sender: IpAddr, newest: Timestamp, now: Timestamp) -> Option<i64> {
        let offset_ms = newest.as_millis().saturating_sub(now.as_millis());
        let limit_ms = OFFSET_LIMIT.as_millis() as i64;
        let mut senders = self.0.lock();
        if !senders.contains_key(&sender) {
            if senders.len() >= SENDERS_MAX {
                senders.retain(|_, clock| clock.noted_at + FORGET > now);
            }
            if senders.len() >= SENDERS_MAX {
                return None;
            }
        }
        let fresh = SenderClock { since: now, freshest_ms: offset_ms, offset_ms: None, late_windows: 0, noted_at: now };
        let clock = senders.entry(sender).or_insert(fresh);
        clock.noted_at = now;
        if clock.since + WINDOW <= now || clock.since > now {
            clock.late_windows = if clock.freshest_ms < -limit_ms { clock.late_windows + 1 } else { 0 };
            clock.offset_ms = Some(clock.freshest_ms);
            clock.since = now;
            clock.freshest_ms = offset_ms;
        } else {
            clock.freshest_ms = clock.freshest_ms.max(offset_ms);
        }
        // Nothing delays a sample into the future: the first one says it.
        let was_ahead = clock.offset_ms.is_some_and(|offset| offset > limit_ms);
        let is_ahead = offset_ms > limit_ms;
        if is_ahead {
            clock.offset_ms = clock.offset_ms.max(Some(offset_ms));
        }
        (is_ahead && !was_ahead).then_some(offset_ms)
    }

    /// Senders of the last while, by address.
    pub fn offsets(&self, now: Timestamp) -> Vec<SenderOffset> {
        let limit_ms = OFFSET_LIMIT.as_millis() as i64;
        let senders = self.0.lock();
        let mut offsets: Vec<SenderOffset> = senders
            .iter()
            .filter(|(_, clock)| clock.noted_at + FORGET > now)
            .map(|(sender, clock)| {
                let offset_ms = clock.offset_ms.unwrap_or(clock.freshest_ms);
                let is_off = offset_ms > limit_ms || clock.late_windows >= LATE_WINDOWS;
                SenderOffset { sender: *sender, offset_ms, is_off }
            })
            .collect();
        offsets.sort_unstable_by_key(|offset| offset.sender);
        offsets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    const SENDER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    /// Requests every five seconds for `secs`, each as far off as `offset` says.
    fn after(secs: i64, offset: impl Fn(i64) -> i64) -> (i64, bool) {
        let clocks = SenderClocks::default();
        for now in (0..=secs).step_by(5) {
            clocks.note(SENDER, at(now + offset(now)), at(now));
        }
        let found = clocks.offsets(at(secs))[0];
        (found.offset_ms / 1000, found.is_off)
    }

    #[test]
    fn who_is_off_is_named() {
        assert_eq!(after(300, |_| -7), (-7, false));
        assert_eq!(after(0, |_| 240), (240, true), "ahead: at once");
        assert_eq!(after(300, |_| 25), (25, false));
        assert_eq!(after(60, |_| -45), (-45, false), "late: not before it stays so");
        assert_eq!(after(300, |_| -45), (-45, true));
        assert_eq!(after(300, |now| if now % 20 == 0 { -10 } else { -90 }), (-10, false), "some requests were held up");
        assert_eq!(after(300, |now| -(200 - now).max(1)), (-1, false), "a queue that caught up");
        assert_eq!(after(300, |now| if now < 60 { 240 } else { 0 }), (0, false), "and it is over");
    }

    #[test]
    fn only_the_first_of_many_is_reported() {
        let clocks = SenderClocks::default();
        assert_eq!(clocks.note(SENDER, at(0), at(0)), None);
        assert_eq!(clocks.note(SENDER, at(100), at(5)), Some(95_000));
        assert_eq!(clocks.note(SENDER, at(105), at(10)), None);
    }

    #[test]
    fn senders_are_bounded() {
        let clocks = SenderClocks::default();
        let sender = |i: usize| IpAddr::V4(std::net::Ipv4Addr::from_bits(i as u32));
        for i in 0..SENDERS_MAX + 10 {
            clocks.note(sender(i), at(0), at(0));
        }
        assert_eq!(clocks.offsets(at(1)).len(), SENDERS_MAX);
        assert_eq!(clocks.offsets(at(600)).len(), 0, "silent ones are not shown");
        clocks.note(sender(SENDERS_MAX + 1), at(600), at(600));
        assert_eq!(clocks.offsets(at(601)).len(), 1, "and make room");
    }
}
