//! Time as the house tells it: whole milliseconds since the Unix epoch, UTC.
//! In: milliseconds, or RFC 3339 text. Out: [`Timestamp`], comparable and printable.
//! Never: asks what time it is; `now` is always an argument (`clock::Clock` is the one source).
//! Start at [`Timestamp`].

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// A moment, in milliseconds since 1970-01-01T00:00:00Z. Prometheus' resolution.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const EPOCH: Self = Self(0);
    /// Earlier than every moment that can be written.
    pub const MIN: Self = Self(i64::MIN);
    /// Later than every moment that can be written.
    pub const MAX: Self = Self(i64::MAX);

    pub const fn from_millis(ms: i64) -> Self {
        Self(ms)
    }

    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// From unix seconds, as `PromQL`'s `@` and `timestamp()` write them.
    pub fn from_secs_f64(secs: f64) -> Self {
        Self((secs * 1000.0).round() as i64)
    }

    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0).max(0) as u64)
    }

    /// The same moment on a clock that was set forward by so many milliseconds; the two ends of time stay where they are.
    #[must_use]
    pub fn moved_by(self, by_ms: i64) -> Self {
        if self == Self::MIN || self == Self::MAX { self } else { Self(self.0.saturating_add(by_ms)) }
    }

    /// RFC 3339 in UTC with milliseconds, Alertmanager's API form: `2026-01-02T03:04:05.000Z`.
    pub fn to_rfc3339(self) -> String {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(ts) => format!("{ts:.3}"),
            Err(_) => "0001-01-01T00:00:00.000Z".to_owned(),
        }
    }

    /// Reads RFC 3339 with any zone and fraction; finer than a millisecond is cut off.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let ts: jiff::Timestamp = text.parse().ok()?;
        Some(Self(ts.as_millisecond()))
    }

    /// Go's zero time, which Alertmanager writes for "not ended".
    pub fn is_go_zero(self) -> bool {
        self.0 <= -62_135_596_800_000
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_rfc3339())
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse_rfc3339(&text).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no RFC 3339 time")))
    }
}

fn millis(d: Duration) -> i64 {
    i64::try_from(d.as_millis()).unwrap_or(i64::MAX)
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, d: Duration) -> Self {
        Self(self.0.saturating_add(millis(d)))
    }
}

impl Timestamp {
    /// Moved by whole milliseconds in either direction, as a clock is.
    #[must_use]
    pub const fn shifted(self, by_ms: i64) -> Self {
        Self(self.0.saturating_add(by_ms))
    }
}

impl AddAssign<Duration> for Timestamp {
    fn add_assign(&mut self, d: Duration) {
        *self = *self + d;
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, d: Duration) -> Self {
        Self(self.0.saturating_sub(millis(d)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_goes_round() {
        let ts = Timestamp::from_millis(1_767_323_045_000);
        assert_eq!(ts.to_rfc3339(), "2026-01-02T03:04:05.000Z");
        assert_eq!(Timestamp::parse_rfc3339("2026-01-02T05:04:05.000000001+02:00"), Some(ts));
    }

    #[test]
    fn go_zero_is_recognised() {
        let zero = Timestamp::parse_rfc3339("0001-01-01T00:00:00Z").unwrap();
        assert!(zero.is_go_zero());
        assert!(!Timestamp::EPOCH.is_go_zero());
    }
}
