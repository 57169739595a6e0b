//! When each alert must be looked at next: its lease may have run out, or it may be forgotten.
//! In: (when, whom), more than once for the same one. Out: those that are due, earliest first.
//! Never: removes an item that a later one replaced; the caller checks each popped item against the alert's own due time.
//! Start at [`DueQueue`].

use crate::model::{Fingerprint, Timestamp};
use parking_lot::Mutex;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A heap behind a mutex that is held for one push or pop only.
#[derive(Default)]
pub(super) struct DueQueue(Mutex<BinaryHeap<Reverse<(Timestamp, Fingerprint)>>>);

impl DueQueue {
    pub(super) fn push(&self, due: Timestamp, fingerprint: Fingerprint) {
        self.0.lock().push(Reverse((due, fingerprint)));
    }

    pub(super) fn pop_due(&self, now: Timestamp) -> Option<(Timestamp, Fingerprint)> {
        let mut heap = self.0.lock();
        if heap.peek().is_none_or(|Reverse((due, _))| *due > now) {
            return None;
        }
        heap.pop().map(|Reverse(item)| item)
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.0.lock().peek().map(|Reverse((due, _))| *due)
    }
}
