//! The native histograms of a region's series, whole, beside the blocks.
//! In: histograms for a place. Out: them, in time order.
//! Never: keeps more of a series than its window or a fixed number.
//! Start at [`Data::put_histogram`].

use super::{Data, HISTOGRAM_BYTES, HISTOGRAMS, HISTOGRAMS_MAX, Histograms};
use crate::model::Histogram;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Data {
    pub(super) fn put_histogram(&mut self, i: usize, t: i64, histogram: &Arc<Histogram>) {
        let all = self.histograms.entry(i as u32).or_default();
        let place = all.partition_point(|(at, _)| *at < t);
        all.insert(place, (t, histogram.clone()));
        self.bytes.fetch_add(HISTOGRAM_BYTES, Ordering::Relaxed);
        if let Some(hot) = self.hot.get_mut(i) {
            hot.flags |= HISTOGRAMS;
        }
    }

    pub(super) fn evict_histograms(&mut self, i: usize, cutoff: i64) -> u32 {
        let mut evicted = 0;
        if let Some(all) = self.histograms.get_mut(&(i as u32)) {
            while all.front().is_some_and(|(t, _)| *t < cutoff) || all.len() > HISTOGRAMS_MAX {
                all.pop_front();
                evicted += 1;
            }
        }
        self.bytes.fetch_sub(evicted * HISTOGRAM_BYTES, Ordering::Relaxed);
        evicted as u32
    }

    pub(super) fn histograms(&self, i: usize) -> Option<&Histograms> {
        let hot = self.hot.get(i)?;
        if hot.flags & HISTOGRAMS == 0 { None } else { self.histograms.get(&(i as u32)) }
    }
}
