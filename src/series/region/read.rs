//! What queries and late samples read of a series.
//! In: a place and a stretch of time. Out: samples in time order, floats and histograms together.
//! Never: looks at blocks that are older than the stretch.
//! Start at [`Data::latest`] and [`Data::range`].

use super::Data;
use crate::model::{Histogram, SampleValue};
use crate::series::block::{NONE, Raw};
use std::collections::VecDeque;
use std::sync::Arc;

impl Data {
    // --- Samples are read. ---

    pub(super) fn last_float(&self, i: usize) -> Option<Raw> {
        self.hot.get(i).filter(|hot| hot.tail != NONE).map(|hot| hot.pen.last)
    }

    /// When a sample came last, rounded down to a second.
    pub(in crate::series) fn touched_ms(&self, i: usize) -> i64 {
        self.hot.get(i).map_or(i64::MIN, |hot| i64::from(hot.touched) * 1000)
    }

    pub(in crate::series) fn newest(&self, i: usize) -> Option<i64> {
        let histogram = self.histograms(i).and_then(|all| all.back()).map(|(t, _)| *t);
        self.last_float(i).map(|s| s.t).max(histogram)
    }

    pub(in crate::series) fn oldest(&self, i: usize) -> Option<i64> {
        let float = self.chain(i).next().map(|(_, block)| block.first_t());
        let histogram = self.histograms(i).and_then(|all| all.front()).map(|(t, _)| *t);
        match (float, histogram) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Samples held.
    pub(in crate::series) fn len(&self, i: usize) -> usize {
        let floats: usize = self.chain(i).map(|(_, block)| block.count()).sum();
        floats + self.histograms(i).map_or(0, VecDeque::len)
    }

    /// The sample at exactly `t`.
    pub(super) fn at(&self, i: usize, t: i64) -> Option<SampleValue> {
        if let Some(all) = self.histograms(i)
            && let Ok(place) = all.binary_search_by_key(&t, |(at, _)| *at)
        {
            return all.get(place).map(|(_, h)| SampleValue::Histogram(h.clone()));
        }
        let found = self.float_until(i, t).filter(|s| s.t == t)?;
        Some(SampleValue::Float(f64::from_bits(found.bits)))
    }

    /// The newest float that is not newer than `until`.
    pub(super) fn float_until(&self, i: usize, until: i64) -> Option<Raw> {
        let last = self.last_float(i)?;
        if last.t <= until {
            return Some(last);
        }
        let block = self.chain(i).map(|(_, block)| block).take_while(|b| b.first_t() <= until).last()?;
        block.samples().take_while(|s| s.t <= until).last()
    }

    /// The newest sample in `(after, until]`.
    #[inline]
    pub(in crate::series) fn latest(&self, i: usize, after: i64, until: i64) -> Option<(i64, SampleValue)> {
        let float = self.float_until(i, until).map(|s| (s.t, SampleValue::Float(f64::from_bits(s.bits))));
        let histogram = self.histograms(i).and_then(|all| {
            let place = all.partition_point(|(t, _)| *t <= until).checked_sub(1)?;
            all.get(place).map(|(t, h)| (*t, SampleValue::Histogram(h.clone())))
        });
        let newest = match (float, histogram) {
            (Some(f), Some(h)) => Some(if f.0 > h.0 { f } else { h }),
            (f, h) => f.or(h),
        };
        newest.filter(|(t, _)| *t > after)
    }

    /// Calls `each` for all samples in `(after, until]`, in time order.
    pub(in crate::series) fn range(&self, i: usize, after: i64, until: i64, mut each: impl FnMut(i64, SampleValue)) {
        let all = self.histograms(i);
        let mut histograms = all.iter().flat_map(|all| all.iter()).filter(|(t, _)| *t > after && *t <= until);
        let mut pending = histograms.next();
        for (_, block) in self.chain(i) {
            if block.first_t() > until {
                break;
            }
            // All of a block is older than the next one's first sample.
            if self.block(block.next()).is_some_and(|next| next.first_t() <= after) {
                continue;
            }
            for float in block.samples().filter(|s| s.t > after).take_while(|s| s.t <= until) {
                while let Some((t, h)) = pending.filter(|(t, _)| *t < float.t) {
                    each(*t, SampleValue::Histogram(h.clone()));
                    pending = histograms.next();
                }
                each(float.t, SampleValue::Float(f64::from_bits(float.bits)));
            }
        }
        for (t, h) in pending.into_iter().chain(histograms) {
            each(*t, SampleValue::Histogram(h.clone()));
        }
    }
}

pub(super) fn is_same(a: &SampleValue, b: &SampleValue) -> bool {
    match (a, b) {
        (SampleValue::Float(a), SampleValue::Float(b)) => a.to_bits() == b.to_bits(),
        // The sum is compared by its bits, because a stale histogram's sum is a NaN and NaN is never equal.
        (SampleValue::Histogram(a), SampleValue::Histogram(b)) => {
            Arc::ptr_eq(a, b)
                || (a.sum.to_bits() == b.sum.to_bits()
                    && Histogram { sum: 0.0, ..(**a).clone() } == Histogram { sum: 0.0, ..(**b).clone() })
        }
        _ => false,
    }
}
