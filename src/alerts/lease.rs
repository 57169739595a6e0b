//! How two posts of one alert become one: Alertmanager's merge inside a source, a union of leases across sources.
//! In: leases and a new post. Out: the merged claim, and the state that follows from all leases.
//! Never: depends on the order in which different sources posted.
//! Start at [`merge`] and [`summary`].

use crate::model::{Lease, Timestamp};

/// From when to when one source says the alert fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    pub starts_at: Timestamp,
    pub ends_at: Option<Timestamp>,
    pub ends_by_timeout: bool,
}

impl Claim {
    pub fn of(lease: &Lease) -> Self {
        Self { starts_at: lease.starts_at, ends_at: lease.ends_at, ends_by_timeout: lease.ends_by_timeout }
    }

    pub fn is_live(&self, now: Timestamp) -> bool {
        self.end() > now
    }

    /// A claim without an end never ends by itself.
    fn end(&self) -> Timestamp {
        self.ends_at.unwrap_or(Timestamp::MAX)
    }
}

/// What a source's lease becomes when the same source posts again (Alertmanager, `Alert.Merge`): claims that overlap
/// keep the earliest start, and the end is the newer post's, unless the older one gave a later end that was no guess; claims that do not
/// overlap are two firings, and the newer one replaces the older.
pub fn merge(old: Claim, new: Claim, now: Timestamp) -> Claim {
    let inside = |t: Timestamp| t > old.starts_at && t < old.end();
    if !inside(new.end()) && !inside(new.starts_at) {
        return new;
    }
    let mut merged = new;
    merged.starts_at = old.starts_at.min(new.starts_at);
    let old_is_later = old.end() > new.end();
    let keep_old_end = if new.is_live(now) {
        // An end that was only filled in from resolve_timeout gives way to one that was sent.
        old_is_later && !old.ends_by_timeout
    } else {
        old_is_later && !old.is_live(now)
    };
    if keep_old_end {
        merged.ends_at = old.ends_at;
    }
    merged
}

/// What all leases together say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The start of this firing: the earliest of the claims that reach, overlapping, to the latest one.
    pub starts_at: Timestamp,
    /// `None` while any lease lives, else the latest end.
    pub ended_at: Option<Timestamp>,
    /// The lease whose annotations the record shows: the first live source in order, else the first of those that ended last.
    pub content_of: usize,
}

/// Derives the alert's state from its leases, which must not be empty.
pub fn summary(leases: &[Lease], now: Timestamp) -> Summary {
    let live = leases.iter().position(|l| l.is_live(now));
    let last_end = leases.iter().filter_map(|l| l.ends_at).max().unwrap_or(Timestamp::MIN);
    let content_of = live.or_else(|| leases.iter().position(|l| l.ends_at == Some(last_end))).unwrap_or(0);
    let ended_at = if live.is_some() { None } else { Some(last_end) };
    let anchors = leases.iter().filter(|l| if live.is_some() { l.is_live(now) } else { l.ends_at == Some(last_end) });
    let mut starts_at = anchors.map(|l| l.starts_at).min().unwrap_or(Timestamp::MIN);
    // The firing began with a source whose lease has run out already, if its claim overlaps those that followed.
    while let Some(earlier) =
        leases.iter().filter(|l| l.starts_at < starts_at && Claim::of(l).end() > starts_at).map(|l| l.starts_at).min()
    {
        starts_at = earlier;
    }
    Summary { starts_at, ended_at, content_of }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(starts: i64, ends: i64, ends_by_timeout: bool) -> Claim {
        let ends_at = (ends != 0).then_some(Timestamp::from_millis(ends));
        Claim { starts_at: Timestamp::from_millis(starts), ends_at, ends_by_timeout }
    }

    #[test]
    fn one_source_merges_as_alertmanager_does() {
        // (old, new, now) -> (start, end); 0 = open.
        let check = |old: Claim, new: Claim, now: i64, expect: (i64, i64)| {
            let got = merge(old, new, Timestamp::from_millis(now));
            let end = got.ends_at.map_or(0, Timestamp::as_millis);
            assert_eq!((got.starts_at.as_millis(), end), expect, "{old:?} then {new:?} at {now}");
        };
        check(claim(10, 100, false), claim(20, 200, false), 50, (10, 200)); // overlap: earliest start
        check(claim(10, 300, false), claim(20, 200, false), 50, (10, 300)); // an explicit later end stays
        check(claim(10, 300, true), claim(20, 200, false), 50, (10, 200)); // a guessed one does not
        check(claim(10, 300, false), claim(20, 40, false), 50, (10, 40)); // resolved ends a firing one
        check(claim(10, 45, false), claim(20, 40, false), 50, (10, 45)); // two resolves: the later end
        check(claim(10, 40, false), claim(50, 400, false), 60, (50, 400)); // a new firing is not merged
        check(claim(10, 40, false), claim(40, 400, false), 60, (40, 400)); // touching is not overlapping
        check(claim(10, 0, false), claim(10, 50, false), 50, (10, 50)); // an open lease is closed
        check(claim(10, 0, false), claim(10, 90, false), 50, (10, 0)); // but not shortened
    }
}
