//! Sums and means of many native histograms, each number compensated by itself.
//! In: histograms of any fitting layouts. Out: their sum or mean, in the coarsest of the layouts.
//! Never: overflows where the mean does not.
//! Start at [`Accumulator::add`].

use super::eval::Eval;
use super::histogram::{self as native, HintTracker};
use super::kahan::Mean;
use crate::model::Histogram;
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct Accumulator {
    /// Schema, zero threshold, custom bounds and hint; `None` while empty.
    layout: Option<Histogram>,
    added: usize,
    count: Mean,
    sum: Mean,
    zero: Mean,
    positive: BTreeMap<i32, Mean>,
    negative: BTreeMap<i32, Mean>,
    hints: HintTracker,
    reconciled: bool,
}

impl Accumulator {
    pub fn is_empty(&self) -> bool {
        self.added == 0
    }

    /// False when exponential and custom buckets meet: then there is no sum.
    pub fn add(&mut self, h: &Histogram) -> bool {
        self.hints.see(h);
        let Some(layout) = &self.layout else {
            self.layout = Some(Histogram { reset_hint: h.reset_hint, ..native::empty_like(h) });
            self.put(h);
            return true;
        };
        if native::has_layout_of(h, layout) {
            let hint = native::joint_hint(layout.reset_hint, h.reset_hint).0;
            if let Some(layout) = &mut self.layout {
                layout.reset_hint = hint;
            }
            self.put(h);
            return true;
        }
        self.relayout(h)
    }

    /// Brings what was added so far and the next one into a common layout. Compensations are lost, the values are not.
    fn relayout(&mut self, h: &Histogram) -> bool {
        let added = self.added;
        let Some(pair) = native::aligned(&self.build(Mean::total), h) else { return false };
        let hint = native::joint_hint(pair.a.reset_hint, h.reset_hint).0;
        let mut next = Self { hints: std::mem::take(&mut self.hints), ..Self::default() };
        next.reconciled = self.reconciled || pair.reconciled;
        next.layout = Some(Histogram { reset_hint: hint, ..native::empty_like(&pair.a) });
        next.put(&pair.a);
        // The first one stands for all that were added, so the mean goes on from there.
        next.reweigh(added);
        next.put(&pair.b);
        *self = next;
        true
    }

    fn reweigh(&mut self, added: usize) {
        self.added = added;
        let buckets = self.positive.values_mut().chain(self.negative.values_mut());
        for mean in buckets.chain([&mut self.count, &mut self.sum, &mut self.zero]) {
            mean.count_as(added);
        }
    }

    fn put(&mut self, h: &Histogram) {
        self.count.add(h.count);
        self.sum.add(h.sum);
        self.zero.add(h.zero_count);
        put_side(&mut self.positive, &native::positive(h), self.added);
        put_side(&mut self.negative, &native::negative(h), self.added);
        self.added += 1;
    }

    fn build(&self, read: impl Fn(&Mean) -> f64) -> Histogram {
        let side = |side: &BTreeMap<i32, Mean>| side.iter().map(|(i, m)| (*i, read(m))).collect::<Vec<_>>();
        let numbers = Histogram {
            count: read(&self.count),
            sum: read(&self.sum),
            zero_count: read(&self.zero),
            ..self.layout.clone().unwrap_or_default()
        };
        native::with_buckets(numbers, &side(&self.positive), &side(&self.negative))
    }

    pub fn sum(&self) -> Histogram {
        self.build(Mean::total)
    }

    pub fn mean(&self) -> Histogram {
        self.build(Mean::mean)
    }

    /// Says what is to be said of the inputs.
    pub fn note(&self, eval: &Eval<'_>) {
        if self.hints.collided() {
            eval.warn("conflicting counter resets during histogram aggregation".to_owned());
        }
        if self.reconciled {
            eval.info("mismatched custom buckets were reconciled during aggregation".to_owned());
        }
    }
}

/// A bucket that a histogram does not have counts zero in it.
fn put_side(side: &mut BTreeMap<i32, Mean>, counts: &[(i32, f64)], added: usize) {
    for (index, count) in counts {
        side.entry(*index).or_insert_with(|| Mean::zeros(added)).add(*count);
    }
    for mean in side.values_mut() {
        mean.catch_up(added + 1);
    }
}
