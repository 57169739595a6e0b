//! The `*_over_time` functions: one series' samples in a range become one value.
//! In: a window. Out: sum, mean, extremes, spread, quantile, first, last.
//! Never: sums without compensation, or counts a NaN as an extreme while there is a number.
//! Start at the table.

use super::super::accumulator::Accumulator;
use super::super::ast::Type;
use super::super::kahan::{Kahan, Mean, Variance};
use super::super::window::{FloatPoint, Window};
use super::{Function, RangeCall};
use crate::model::SampleValue;
use std::sync::Arc;

pub(super) static FUNCTIONS: &[Function] = &[
    Function::range("sum_over_time", sum),
    Function::range("avg_over_time", avg),
    Function::range("count_over_time", |_, w| float(w.len() as f64)),
    Function::range("min_over_time", |c, w| extreme(c, w, |a, b| a < b).and_then(|p| float(p.v))),
    Function::range("max_over_time", |c, w| extreme(c, w, |a, b| a > b).and_then(|p| float(p.v))),
    Function::range("stddev_over_time", |c, w| variance(c, w).and_then(|v| float(v.sqrt()))),
    Function::range("stdvar_over_time", |c, w| variance(c, w).and_then(float)),
    Function::range("last_over_time", |_, w| w.last().map(|(_, v)| v)).keeping_name(),
    Function::range("first_over_time", |_, w| w.first().map(|(_, v)| v)).keeping_name().experimental(),
    Function::range("present_over_time", |_, _| float(1.0)),
    Function::range_with("quantile_over_time", &[Type::Scalar, Type::Matrix], quantile_of),
    Function::range("mad_over_time", mad).experimental(),
    Function::range("ts_of_first_over_time", |_, w| w.first().and_then(|(t, _)| seconds(t))).experimental(),
    Function::range("ts_of_last_over_time", |_, w| w.last().and_then(|(t, _)| seconds(t))).experimental(),
    Function::range("ts_of_min_over_time", |c, w| extreme(c, w, |a, b| a <= b).and_then(|p| seconds(p.t)))
        .experimental(),
    Function::range("ts_of_max_over_time", |c, w| extreme(c, w, |a, b| a >= b).and_then(|p| seconds(p.t)))
        .experimental(),
];

#[allow(clippy::unnecessary_wraps)] // every range function may also yield nothing
fn float(v: f64) -> Option<SampleValue> {
    Some(SampleValue::Float(v))
}

fn seconds(t: i64) -> Option<SampleValue> {
    float(t as f64 / 1000.0)
}

fn sum(c: &RangeCall<'_>, w: &Window) -> Option<SampleValue> {
    if c.is_mixed(w) {
        return None;
    }
    if w.floats.is_empty() {
        return histograms(c, w).map(|sum| SampleValue::Histogram(Arc::new(sum.sum())));
    }
    let mut sum = Kahan::default();
    w.floats.iter().for_each(|p| sum.add(p.v));
    float(sum.total())
}

fn histograms(c: &RangeCall<'_>, w: &Window) -> Option<Accumulator> {
    let mut sum = Accumulator::default();
    for point in &w.histograms {
        if !sum.add(&point.h) {
            c.warn("vector contains a mix of histograms with exponential and custom buckets schemas");
            return None;
        }
    }
    sum.note(c.eval);
    Some(sum)
}

fn avg(c: &RangeCall<'_>, w: &Window) -> Option<SampleValue> {
    if c.is_mixed(w) {
        return None;
    }
    if w.floats.is_empty() {
        return histograms(c, w).map(|sum| SampleValue::Histogram(Arc::new(sum.mean())));
    }
    let mut mean = Mean::default();
    w.floats.iter().for_each(|p| mean.add(p.v));
    float(mean.mean())
}

/// The point that beats all others; NaN loses to every number.
fn extreme(c: &RangeCall<'_>, w: &Window, beats: impl Fn(f64, f64) -> bool) -> Option<FloatPoint> {
    c.note_ignored_histograms(w);
    let (first, rest) = w.floats.split_first()?;
    Some(rest.iter().fold(*first, |best, p| if beats(p.v, best.v) || best.v.is_nan() { *p } else { best }))
}

fn variance(c: &RangeCall<'_>, w: &Window) -> Option<f64> {
    c.note_ignored_histograms(w);
    if w.floats.is_empty() {
        return None;
    }
    let mut variance = Variance::default();
    w.floats.iter().for_each(|p| variance.add(p.v));
    Some(variance.population())
}

fn quantile_of(c: &RangeCall<'_>, w: &Window) -> Option<SampleValue> {
    let q = c.scalars.first().copied()?;
    if w.floats.is_empty() {
        return None;
    }
    super::super::quantile::warn_of_quantile(c.eval, q);
    c.note_ignored_histograms(w);
    float(super::super::quantile::of_values(q, &mut w.floats.iter().map(|p| p.v).collect::<Vec<_>>()))
}

/// The median of the distances from the median.
fn mad(c: &RangeCall<'_>, w: &Window) -> Option<SampleValue> {
    c.note_ignored_histograms(w);
    if w.floats.is_empty() {
        return None;
    }
    if w.floats.iter().any(|p| p.v.is_nan()) {
        return float(f64::NAN);
    }
    let mut values: Vec<f64> = w.floats.iter().map(|p| p.v).collect();
    let median = super::super::quantile::of_values(0.5, &mut values);
    for v in &mut values {
        *v = (*v - median).abs();
    }
    float(super::super::quantile::of_values(0.5, &mut values))
}
