//! The native histograms of a region's series, whole, beside the blocks.
//! In: histograms for a place. Out: them, in time order.
//! Never: keeps more of a series than its window or a fixed number.
//! Start at [`Data::put_histogram`].

use super::{Data, HISTOGRAMS, HISTOGRAMS_MAX, Histograms};
use crate::model::Histogram;
use crate::model::sample::Span;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// An entry of the queue twice, because queues grow by doubling, and the two counts of the shared handle.
const ENTRY_BYTES: usize = 2 * size_of::<(i64, Arc<Histogram>)>() + 2 * size_of::<usize>();

/// What a histogram takes, for budgets. It never changes once it is shared, so what is added is what is subtracted.
fn bytes_of(histogram: &Histogram) -> usize {
    let spans = histogram.positive_spans.capacity() + histogram.negative_spans.capacity();
    let numbers = histogram.positive_buckets.capacity()
        + histogram.negative_buckets.capacity()
        + histogram.custom_values.capacity();
    ENTRY_BYTES + size_of::<Histogram>() + spans * size_of::<Span>() + numbers * size_of::<f64>()
}

fn bytes_of_all(all: &Histograms) -> usize {
    all.iter().map(|(_, histogram)| bytes_of(histogram)).sum()
}

impl Data {
    pub(super) fn put_histogram(&mut self, i: usize, t: i64, histogram: &Arc<Histogram>) {
        let all = self.histograms.entry(i as u32).or_default();
        let place = all.partition_point(|(at, _)| *at < t);
        all.insert(place, (t, histogram.clone()));
        self.bytes.fetch_add(bytes_of(histogram), Ordering::Relaxed);
        if let Some(hot) = self.hot.get_mut(i) {
            hot.flags |= HISTOGRAMS;
        }
    }

    pub(super) fn evict_histograms(&mut self, i: usize, cutoff: i64) -> u32 {
        let (mut evicted, mut bytes) = (0, 0);
        if let Some(all) = self.histograms.get_mut(&(i as u32)) {
            while all.front().is_some_and(|(t, _)| *t < cutoff) || all.len() > HISTOGRAMS_MAX {
                bytes += all.pop_front().map_or(0, |(_, histogram)| bytes_of(&histogram));
                evicted += 1;
            }
        }
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        evicted
    }

    /// The place's series has left.
    pub(super) fn remove_histograms(&mut self, i: usize) {
        if let Some(all) = self.histograms.remove(&(i as u32)) {
            self.bytes.fetch_sub(bytes_of_all(&all), Ordering::Relaxed);
        }
    }

    /// What the histograms of place `i` take.
    pub(super) fn histogram_bytes(&self, i: usize) -> usize {
        self.histograms(i).map_or(0, bytes_of_all)
    }

    pub(super) fn histograms(&self, i: usize) -> Option<&Histograms> {
        let hot = self.hot.get(i)?;
        if hot.flags & HISTOGRAMS == 0 { None } else { self.histograms.get(&(i as u32)) }
    }
}
