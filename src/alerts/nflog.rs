//! The notification log's decision: must a receiver be notified of a group again?
//! In: what it was notified of last, what the group holds now. Out: [`NotifyDecision`], either way with its reason.
//! Never: writes the log (the engine does when the message is delivered).
//! Start at [`decide`].

use crate::model::{Fingerprint, NflogEntry, Timestamp};
use std::fmt;
use std::time::Duration;

/// Why a receiver is notified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotifyReason {
    /// It was never notified of this group.
    First,
    /// This many alerts fire that it did not know of.
    NewFiring(usize),
    AllResolved,
    /// This many alerts ended that it does not know have ended.
    SomeResolved(usize),
    /// Nothing changed since then, but the repeat interval has passed.
    Repeat {
        last: Timestamp,
    },
}

/// Why a receiver is not notified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// Everything ended before it was ever notified.
    NeverNotified,
    /// It knows already that nothing fires.
    KnownResolved,
    /// Nothing changed; it is notified again after `repeat_at`.
    Unchanged { last: Timestamp, repeat_at: Timestamp },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotifyDecision {
    Notify(NotifyReason),
    Skip(SkipReason),
}

/// Alertmanager's table (`DedupStage.needsUpdate`). `firing` and `resolved` are sorted.
pub fn decide(
    entry: Option<&NflogEntry>,
    firing: &[Fingerprint],
    resolved: &[Fingerprint],
    now: Timestamp,
    repeat_interval: Duration,
    send_resolved: bool,
) -> NotifyDecision {
    use NotifyDecision::{Notify, Skip};
    let Some(entry) = entry else {
        let never = if firing.is_empty() { Skip(SkipReason::NeverNotified) } else { Notify(NotifyReason::First) };
        return never;
    };
    let new_firing = not_in(firing, &entry.firing);
    if new_firing > 0 {
        return Notify(NotifyReason::NewFiring(new_firing));
    }
    if firing.is_empty() {
        // Notified whatever send_resolved says, so that the log forgets the firing alerts.
        let owes = send_resolved && resolved.iter().any(|alert| entry.owed.binary_search(alert).is_ok());
        return if entry.firing.is_empty() && !owes {
            Skip(SkipReason::KnownResolved)
        } else {
            Notify(NotifyReason::AllResolved)
        };
    }
    let new_resolved = if send_resolved { not_in(resolved, &entry.resolved) } else { 0 };
    if new_resolved > 0 {
        return Notify(NotifyReason::SomeResolved(new_resolved));
    }
    if entry.at < now - repeat_interval {
        return Notify(NotifyReason::Repeat { last: entry.at });
    }
    Skip(SkipReason::Unchanged { last: entry.at, repeat_at: entry.at + repeat_interval })
}

/// How many of `these` are not in `known`; both are sorted.
fn not_in(these: &[Fingerprint], known: &[Fingerprint]) -> usize {
    let mut known = known.iter().peekable();
    these
        .iter()
        .filter(|fp| {
            while known.next_if(|k| k < fp).is_some() {}
            known.peek() != Some(fp)
        })
        .count()
}

impl fmt::Display for NotifyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => f.write_str("first notification of this group"),
            Self::NewFiring(n) => write!(f, "{n} new firing"),
            Self::AllResolved => f.write_str("all alerts have ended"),
            Self::SomeResolved(n) => write!(f, "{n} more ended"),
            Self::Repeat { last } => write!(f, "repeat interval passed since {last}"),
        }
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverNotified => f.write_str("nothing fires and the receiver was never notified of it"),
            Self::KnownResolved => f.write_str("the receiver knows that all alerts have ended"),
            Self::Unchanged { last, repeat_at } => write!(f, "unchanged since {last}; repeated after {repeat_at}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::NflogKey;
    use std::sync::Arc;

    fn fps(ids: &[u64]) -> Vec<Fingerprint> {
        ids.iter().copied().map(Fingerprint).collect()
    }

    #[test]
    fn decides_as_alertmanager_does() {
        use NotifyDecision::{Notify, Skip};
        const HOUR: Duration = Duration::from_hours(1);
        let at = Timestamp::from_millis(10_000_000);
        // (notified firing, notified resolved) -> (firing, resolved), seconds later, send_resolved
        let check = |notified: Option<(&[u64], &[u64])>, now: (&[u64], &[u64]), later: u64, send_resolved, expect| {
            let entry = notified.map(|(firing, resolved)| NflogEntry {
                key: NflogKey {
                    group_key: Arc::from("{}:{}"),
                    receiver: Arc::from("r"),
                    integration: crate::model::IntegrationId::new("log", 0),
                },
                firing: fps(firing),
                resolved: fps(resolved),
                owed: vec![],
                at,
                expires_at: at + HOUR * 2,
            });
            let moment = at + Duration::from_secs(later);
            let got = decide(entry.as_ref(), &fps(now.0), &fps(now.1), moment, HOUR, send_resolved);
            assert_eq!(got, expect, "{notified:?} -> {now:?}");
        };
        let unchanged = Skip(SkipReason::Unchanged { last: at, repeat_at: at + HOUR });
        check(None, (&[1], &[]), 0, true, Notify(NotifyReason::First));
        check(None, (&[], &[1]), 0, true, Skip(SkipReason::NeverNotified));
        check(None, (&[], &[]), 0, true, Skip(SkipReason::NeverNotified));
        check(Some((&[1], &[])), (&[1, 2, 3], &[]), 1, true, Notify(NotifyReason::NewFiring(2)));
        check(Some((&[1, 2], &[])), (&[1], &[]), 1, true, unchanged);
        check(Some((&[1], &[])), (&[], &[1]), 1, true, Notify(NotifyReason::AllResolved));
        check(Some((&[1], &[])), (&[], &[1]), 1, false, Notify(NotifyReason::AllResolved));
        check(Some((&[], &[1])), (&[], &[1, 2]), 1, true, Skip(SkipReason::KnownResolved));
        check(Some((&[1, 2], &[])), (&[1], &[2]), 1, true, Notify(NotifyReason::SomeResolved(1)));
        check(Some((&[1, 2], &[])), (&[1], &[2]), 1, false, unchanged);
        check(Some((&[1], &[2])), (&[1], &[2]), 1, true, unchanged);
        check(Some((&[1], &[])), (&[1], &[]), 3600, true, unchanged);
        check(Some((&[1], &[])), (&[1], &[]), 3601, true, Notify(NotifyReason::Repeat { last: at }));
    }
}
