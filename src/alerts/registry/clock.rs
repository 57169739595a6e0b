//! What a jump of the wall clock does to leases.
//! In: by how much the clock was set, and what it says now. Out: leases that keep the time they had left, and a hold.
//! Never: finds out that the clock jumped (`loops::decide` does).
//! Start at [`AlertRegistry::clock_jumped`].

use super::AlertRegistry;
use crate::model::Timestamp;
use std::sync::atomic::Ordering;

impl AlertRegistry {
    /// The clock was set by `by_ms` (negative: back) and now says `now`. Leases keep the time that they had left, and for
    /// `resolve_timeout` nothing resolves by time: neither a lease that runs out nor an `endsAt` that only the jump made
    /// past. Call it before anything else is decided at the new time.
    pub fn clock_jumped(&self, by_ms: i64, now: Timestamp) {
        self.held_until.store((now + self.config.resolve_timeout).as_millis(), Ordering::Relaxed);
        for mut entry in self.map.iter_mut() {
            let fingerprint = *entry.key();
            if entry.record.is_firing() {
                entry.move_leases(by_ms, now);
                entry.lease_due = Timestamp::MAX;
                self.arm(fingerprint, &mut entry, now);
            }
        }
    }

    /// Until when nothing resolves by time, if that is still to come.
    pub(super) fn held_until(&self, now: Timestamp) -> Option<Timestamp> {
        let until = Timestamp::from_millis(self.held_until.load(Ordering::Relaxed));
        (until > now).then_some(until)
    }
}
