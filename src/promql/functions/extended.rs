//! `anchored` and `smoothed` ranges: increases from one end of the range to the other, without extrapolation.
//! In: a window that holds the samples next to the range as well. Out: a value per second, or in all.
//! Never: looks at samples that the ends do not need.
//! Start at [`extended`].

use super::super::ast::Boundary;
use super::super::histogram as native;
use super::super::print::Quoted;
use super::super::window::{FloatPoint, HistogramPoint, Window};
use super::RangeCall;
use crate::model::sample::ResetHint;
use crate::model::{Histogram, SampleValue};
use std::sync::Arc;

/// Increase (of a counter) or difference over the whole range, or per second of it.
pub(super) fn extended(c: &RangeCall<'_>, w: &Window, is_counter: bool, is_rate: bool) -> Option<SampleValue> {
    let per = if is_rate { w.seconds() } else { 1.0 };
    if w.floats.is_empty() {
        let increase = histogram_increase(c, w, is_counter)?;
        return Some(SampleValue::Histogram(Arc::new(native::divided(&increase, per))));
    }
    Some(SampleValue::Float(float_increase(w, is_counter)? / per))
}

/// The value on the straight line between two samples. A reset between them is taken to happen at the sample before the
/// range's start, or to add to what was counted at its end.
pub(in super::super) fn interpolated(a: &FloatPoint, b: &FloatPoint, t: i64, reset_at: Option<bool>) -> f64 {
    let (mut from, mut to) = (a.v, b.v);
    if let Some(at_start) = reset_at
        && to < from
    {
        if at_start {
            from = 0.0;
        } else {
            to += from;
        }
    }
    from + (to - from) * ((t - a.t) as f64) / ((b.t - a.t) as f64)
}

fn float_increase(w: &Window, is_counter: bool) -> Option<f64> {
    let smoothed = w.boundary == Boundary::Smoothed;
    let points = w.floats.as_slice();
    let (first, last) = (points.first()?, points.last()?);
    let left = match points {
        [a, b, ..] if smoothed && a.t < w.start => interpolated(a, b, w.start, is_counter.then_some(true)),
        _ => first.v,
    };
    let right = match points {
        [.., a, b] if smoothed && b.t > w.end => interpolated(a, b, w.end, is_counter.then_some(false)),
        _ => last.v,
    };
    let mut increase = right - left;
    if is_counter {
        let mut before = left;
        for point in points.iter().filter(|p| p.t > w.start && p.t < w.end) {
            if point.v < before {
                increase += before;
            }
            before = point.v;
        }
        if right < before {
            increase += before;
        }
    }
    Some(increase)
}

/// A histogram on its way through the range, and whether it begins anew.
struct Stage {
    h: Arc<Histogram>,
    is_reset: bool,
}

fn histogram_increase(c: &RangeCall<'_>, w: &Window, is_counter: bool) -> Option<Histogram> {
    let points = w.histograms.as_slice();
    let (first, last) = (points.first()?, points.last()?);
    let name = Quoted(c.labels.metric_name());
    let is_gauge = |p: &HistogramPoint| p.h.reset_hint == ResetHint::Gauge;
    if is_counter && points.iter().any(is_gauge) {
        c.eval.warn(format!("this native histogram metric is not a counter: {name}"));
    } else if !is_counter && [first, last].into_iter().any(|p| !is_gauge(p)) {
        c.eval.warn(format!("this native histogram metric is not a gauge: {name}"));
    }
    if points.iter().any(|p| native::is_custom(&p.h) != native::is_custom(&first.h)) {
        c.warn("vector contains a mix of histograms with exponential and custom buckets schemas");
        return None;
    }
    let stages = stages(w, is_counter)?;
    let (start, end) = (stages.first()?, stages.last()?);
    let subtracted = native::sub(&end.h, &start.h)?;
    let (mut increase, mut reconciled) = (subtracted.histogram, subtracted.reconciled);
    if is_counter {
        for pair in stages.windows(2).filter(|pair| pair[1].is_reset) {
            let added = native::add(&increase, &pair[0].h)?;
            reconciled |= added.reconciled;
            increase = added.histogram;
        }
    }
    if reconciled {
        c.eval.info("mismatched custom buckets were reconciled during subtraction".to_owned());
    }
    increase.reset_hint = ResetHint::Gauge;
    Some(increase)
}

/// The histogram at the start of the range, those within it, and the one at its end.
fn stages(w: &Window, is_counter: bool) -> Option<Vec<Stage>> {
    let smoothed = w.boundary == Boundary::Smoothed;
    let points = w.histograms.as_slice();
    let (first, last) = (points.first()?, points.last()?);
    let is_reset = |a: &HistogramPoint, b: &HistogramPoint| is_counter && native::is_reset(&b.h, &a.h);
    let mut stages = Vec::with_capacity(points.len() + 2);
    let mut before = first;
    let mut is_interpolated = false;
    match points {
        [a, b, ..] if smoothed && a.t < w.start => {
            let from = if is_reset(a, b) { native::empty_like(&b.h) } else { (*a.h).clone() };
            stages.push(Stage { h: between(&from, &b.h, share(a, b, w.start))?, is_reset: false });
            is_interpolated = true;
        }
        _ => stages.push(Stage { h: first.h.clone(), is_reset: false }),
    }
    for point in points.iter().filter(|p| p.t > w.start && p.t < w.end) {
        // A reset before the first sample within was already seen when the start was interpolated.
        let is_new = !std::mem::take(&mut is_interpolated) && is_reset(before, point);
        stages.push(Stage { h: point.h.clone(), is_reset: is_new });
        before = point;
    }
    match points {
        [.., a, b] if smoothed && b.t > w.end => {
            let to = if is_reset(a, b) { native::add(&b.h, &a.h)?.histogram } else { (*b.h).clone() };
            stages.push(Stage { h: between(&a.h, &to, share(a, b, w.end))?, is_reset: false });
        }
        _ if last.t >= w.end => {
            let is_new = !is_interpolated && is_reset(before, last);
            stages.push(Stage { h: last.h.clone(), is_reset: is_new });
        }
        _ => {}
    }
    Some(stages)
}

fn share(a: &HistogramPoint, b: &HistogramPoint, t: i64) -> f64 {
    ((t - a.t) as f64) / ((b.t - a.t) as f64)
}

/// On the straight line from one histogram to another; `None` when their kinds differ.
pub(in super::super) fn between(a: &Histogram, b: &Histogram, share: f64) -> Option<Arc<Histogram>> {
    let difference = native::sub(b, a)?.histogram;
    let sum = native::add(a, &native::scaled(&difference, share))?.histogram;
    Some(Arc::new(Histogram { reset_hint: a.reset_hint, ..sum }))
}
