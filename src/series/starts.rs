//! Start timestamps: since when a counter's sample counts. Nearly no sender gives them, so they stand apart.
//! In: a series' place in its region, times in milliseconds. Out: pairs in time order.
//! Never: costs a lock in a region without any.
//! Start at [`Starts::put`].

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

/// Below so many start timestamps of a series none is dropped: an hour at one sample in fifteen seconds.
const KEPT: usize = 256;

/// The start timestamps of one region.
#[derive(Debug, Default)]
pub(super) struct Starts {
    any: AtomicBool,
    /// By place: the sample's time and its start.
    of: Mutex<HashMap<usize, Vec<(i64, i64)>>>,
}

impl Starts {
    /// Remembers since when the sample at `t` counts; what is older than `oldest` is dropped now and then.
    pub fn put(&self, place: usize, t: i64, start: i64, oldest: i64) {
        let mut all = self.of.lock();
        let starts = all.entry(place).or_default();
        let at = starts.partition_point(|(at, _)| *at < t);
        if starts.get(at).is_some_and(|(at, _)| *at == t) {
            starts[at].1 = start;
        } else {
            starts.insert(at, (t, start));
        }
        if starts.len() > KEPT && starts.len().is_power_of_two() {
            starts.retain(|(at, _)| *at >= oldest);
        }
        self.any.store(true, Ordering::Release);
    }

    /// Whether any series of the region has one.
    #[inline]
    pub fn is_any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Calls `each` for the samples in `(after, until]` that came with one.
    pub fn visit(&self, place: usize, after: i64, until: i64, mut each: impl FnMut(i64, i64)) {
        if !self.is_any() {
            return;
        }
        if let Some(starts) = self.of.lock().get(&place) {
            starts.iter().filter(|(at, _)| *at > after && *at <= until).for_each(|(at, start)| each(*at, *start));
        }
    }

    /// The place's series has left.
    pub fn forget(&self, place: usize) {
        if self.is_any() {
            self.of.lock().remove(&place);
        }
    }
}
