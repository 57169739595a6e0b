//! How fast, how often: rate and its kin.
//! In: the samples of one series in a range. Out: a value per second, or a count of events.
//! Never: extrapolates otherwise than Prometheus: at most half an interval beyond the outer samples, never below zero.
//! Start at [`extrapolated`].

use super::super::ast::Boundary;
use super::super::histogram as native;
use super::super::print::Quoted;
use super::super::window::{FloatPoint, HistogramPoint, Window};
use super::extended::extended;
use super::{Function, RangeCall};
use crate::model::sample::ResetHint;
use crate::model::{Histogram, SampleValue};
use std::sync::Arc;

pub(super) static FUNCTIONS: &[Function] = &[
    Function::range("rate", |c, w| extrapolated(c, w, true, true)),
    Function::range("increase", |c, w| extrapolated(c, w, true, false)),
    Function::range("delta", |c, w| extrapolated(c, w, false, false)),
    Function::range("irate", |c, w| instant(c, w, true)),
    Function::range("idelta", |c, w| instant(c, w, false)),
    Function::range("changes", changes),
    Function::range("resets", resets),
];

/// Prometheus' `extrapolatedRate`.
fn extrapolated(c: &RangeCall<'_>, w: &Window, is_counter: bool, is_rate: bool) -> Option<SampleValue> {
    if is_counter && w.floats.len() > 1 {
        note_if_no_counter(c);
    }
    if c.is_mixed(w) {
        return None;
    }
    if w.boundary != Boundary::Plain {
        return extended(c, w, is_counter, is_rate);
    }
    if is_counter && w.has_overlap() {
        c.eval.warn(format!(
            "sample has start time that overlaps with previous sample timestamp for metric {}",
            Quoted(c.labels.metric_name())
        ));
    }
    let (Some(first), Some(last)) = (w.floats.first(), w.floats.last()) else {
        return extrapolated_histogram(c, w, is_counter, is_rate);
    };
    let ends = Ends::new(w, is_counter, first.t, last.t, w.floats.len())?;
    let mut increase = last.v - first.v;
    if is_counter {
        // Each fall is a reset: what was counted before it is added back, in order, as Prometheus does.
        for pair in w.floats.windows(2).filter(|pair| is_float_reset(w, &pair[0], &pair[1])) {
            increase += pair[0].v;
        }
        if ends.counts_first {
            increase += first.v;
        }
    }
    let value = ends.stretched(increase, first.v, &Stretch { start: w.start, end: w.end, is_counter, is_rate });
    Some(SampleValue::Float(value))
}

/// What `rate`, `increase` and `delta` yield for floats without start timestamps whose difference, resets added back, is known.
/// `first`, `last`: the outer samples of `count`.
pub(in super::super) fn stretched(
    increase: f64,
    first: &FloatPoint,
    last: &FloatPoint,
    count: usize,
    to: &Stretch,
) -> f64 {
    let ends = Ends { first_ms: first.t, last_ms: last.t, count, is_start_known: false, counts_first: false };
    ends.stretched(increase, first.v, to)
}

/// A counter fell, or its start timestamp tells that it began anew.
fn is_float_reset(w: &Window, before: &FloatPoint, now: &FloatPoint) -> bool {
    now.v < before.v || (!w.starts.is_empty() && w.is_new_start(before.t, now.t))
}

fn extrapolated_histogram(c: &RangeCall<'_>, w: &Window, is_counter: bool, is_rate: bool) -> Option<SampleValue> {
    let (first, last) = (w.histograms.first()?, w.histograms.last()?);
    let ends = Ends::new(w, is_counter, first.t, last.t, w.histograms.len())?;
    let mut increase =
        if w.histograms.len() > 1 { histogram_increase(c, w, is_counter)? } else { native::empty_like(&first.h) };
    if ends.counts_first {
        increase = native::add(&increase, &first.h)?.histogram;
        increase.reset_hint = ResetHint::Gauge;
    }
    let start_value =
        (is_counter && increase.count > 0.0 && first.h.count >= 0.0).then(|| first.h.count / increase.count);
    let factor = ends.factor(w.start, w.end, start_value) / if is_rate { w.seconds() } else { 1.0 };
    Some(SampleValue::Histogram(Arc::new(native::scaled(&increase, factor))))
}

/// The range that an increase is stretched over (milliseconds), and what it then stands for.
pub(in super::super) struct Stretch {
    pub start: i64,
    pub end: i64,
    pub is_counter: bool,
    pub is_rate: bool,
}

struct Ends {
    first_ms: i64,
    last_ms: i64,
    count: usize,
    /// Whether the start is known, so that nothing lies before it.
    is_start_known: bool,
    /// Whether the counter began within the range: what the first sample counts then happened in it.
    counts_first: bool,
}

impl Ends {
    /// `None` when there are too few samples.
    fn new(w: &Window, is_counter: bool, first_ms: i64, last_ms: i64, count: usize) -> Option<Self> {
        let start = if is_counter { w.start_of(first_ms) } else { None };
        let known = start.filter(|start| (w.start + 1..=first_ms).contains(start));
        let counts_first = known.is_some_and(|start| start < first_ms);
        let ends = Self {
            first_ms: known.unwrap_or(first_ms),
            last_ms,
            count: count + usize::from(counts_first),
            is_start_known: known.is_some(),
            counts_first,
        };
        (ends.count > 1).then_some(ends)
    }

    /// The increase stretched over the range; `first` is the first value.
    fn stretched(&self, increase: f64, first: f64, to: &Stretch) -> f64 {
        let start_value = (to.is_counter && increase > 0.0 && first >= 0.0).then(|| first / increase);
        let seconds = (to.end - to.start) as f64 / 1000.0;
        increase * (self.factor(to.start, to.end, start_value) / if to.is_rate { seconds } else { 1.0 })
    }

    /// By how much the difference between the outer samples grows when it is stretched over the range.
    /// `start_value`: the first value in units of the increase, for counters, which cannot have been below zero.
    fn factor(&self, start: i64, end: i64, start_value: Option<f64>) -> f64 {
        let sampled = (self.last_ms - self.first_ms) as f64 / 1000.0;
        let average = sampled / (self.count - 1) as f64;
        // A gap longer than this at an end means that the series begins or ends there.
        let threshold = average * 1.1;
        let mut to_start = (self.first_ms - start) as f64 / 1000.0;
        let mut to_end = (end - self.last_ms) as f64 / 1000.0;
        if self.is_start_known {
            to_start = 0.0;
        } else if to_start >= threshold {
            to_start = average / 2.0;
        }
        if let Some(start_value) = start_value {
            to_start = to_start.min(sampled * start_value);
        }
        if to_end >= threshold {
            to_end = average / 2.0;
        }
        (sampled + to_start + to_end) / sampled
    }
}

fn note_if_no_counter(c: &RangeCall<'_>) {
    let name = c.labels.metric_name();
    let looks_like_one = ["_total", "_sum", "_count", "_bucket"].iter().any(|suffix| name.ends_with(suffix));
    if !name.is_empty() && !looks_like_one {
        c.eval.info(format!(
            "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {}",
            Quoted(name)
        ));
    }
}

/// Prometheus' `histogramRate`: the difference of the outer histograms, resets added back.
fn histogram_increase(c: &RangeCall<'_>, w: &Window, is_counter: bool) -> Option<Histogram> {
    let points = w.histograms.as_slice();
    let is_reset = |now: &HistogramPoint, before: &Histogram, before_ms: i64| {
        native::is_reset(&now.h, before) || (!w.starts.is_empty() && w.is_new_start(before_ms, now.t))
    };
    let name = c.labels.metric_name();
    let [first, middle @ .., last] = points else { return None };
    let is_gauge = |p: &HistogramPoint| p.h.reset_hint == ResetHint::Gauge;
    if is_counter && points.iter().any(is_gauge) {
        c.eval.warn(format!("this native histogram metric is not a counter: {}", Quoted(name)));
    }
    let mut before = Arc::clone(&first.h);
    let by_start = !w.starts.is_empty() && w.is_new_start(first.t, points[1].t);
    if is_counter && !by_start && native::is_reset(&points[1].h, &before) {
        // The first histogram is not needed then, nor need its layout fit.
        before = Arc::new(native::empty_like(&points[1].h));
    }
    let custom = native::is_custom(&before);
    if native::is_custom(&last.h) != custom || middle.iter().any(|p| native::is_custom(&p.h) != custom) {
        c.warn("vector contains a mix of histograms with exponential and custom buckets schemas");
        return None;
    }
    let schema = points[1..].iter().map(|p| p.h.schema).fold(before.schema, i32::min);
    let coarse = if custom { (*last.h).clone() } else { native::at_schema(&last.h, schema) };
    let subtracted = native::sub(&coarse, &before)?;
    let mut reconciled = subtracted.reconciled;
    let mut increase = subtracted.histogram;
    if is_counter {
        let mut before_ms = first.t;
        for point in &points[1..] {
            if is_reset(point, &before, before_ms) {
                let added = native::add(&increase, &before)?;
                reconciled |= added.reconciled;
                increase = added.histogram;
            }
            before = Arc::clone(&point.h);
            before_ms = point.t;
        }
    } else if !is_gauge(first) || !is_gauge(last) {
        c.eval.warn(format!("this native histogram metric is not a gauge: {}", Quoted(name)));
    }
    if reconciled {
        c.eval.info("mismatched custom buckets were reconciled during subtraction".to_owned());
    }
    increase.reset_hint = ResetHint::Gauge;
    Some(increase)
}

/// The last two samples alone.
fn instant(c: &RangeCall<'_>, w: &Window, is_rate: bool) -> Option<SampleValue> {
    let points = w.points();
    let [.., before, last] = points.as_slice() else { return None };
    let seconds = (last.t.as_millis() - before.t.as_millis()) as f64 / 1000.0;
    if seconds == 0.0 {
        return None;
    }
    let per = if is_rate { seconds } else { 1.0 };
    match (&before.v, &last.v) {
        (SampleValue::Float(a), SampleValue::Float(b)) => {
            let is_new = w.is_new_start(before.t.as_millis(), last.t.as_millis());
            let difference = if is_rate && (b < a || is_new) { *b } else { b - a };
            Some(SampleValue::Float(difference / per))
        }
        (SampleValue::Histogram(a), SampleValue::Histogram(b)) => {
            let gauges = [a, b].iter().filter(|h| h.reset_hint == ResetHint::Gauge).count();
            if is_rate && gauges > 0 {
                c.eval
                    .warn(format!("this native histogram metric is not a counter: {}", Quoted(c.labels.metric_name())));
            } else if !is_rate && gauges < 2 {
                c.eval.warn(format!("this native histogram metric is not a gauge: {}", Quoted(c.labels.metric_name())));
            }
            let mut difference = (**b).clone();
            let is_new = w.is_new_start(before.t.as_millis(), last.t.as_millis());
            if !is_rate || !(native::is_reset(b, a) || is_new) {
                let Some(subtracted) = native::sub(b, a) else {
                    c.warn("vector contains a mix of histograms with exponential and custom buckets schemas");
                    return None;
                };
                if subtracted.reconciled {
                    c.eval.info("mismatched custom buckets were reconciled during subtraction".to_owned());
                }
                difference = subtracted.histogram;
            }
            difference.reset_hint = ResetHint::Gauge;
            Some(SampleValue::Histogram(Arc::new(native::divided(&difference, per))))
        }
        _ => {
            c.warn("encountered a mix of histograms and floats");
            None
        }
    }
}

/// Counts neighbours for which `is_event` holds; a change between float and histogram always is one.
fn count_events(
    w: &Window,
    of_floats: impl Fn(f64, f64) -> bool,
    of_histograms: impl Fn(&Histogram, &Histogram) -> bool,
) -> f64 {
    if w.histograms.is_empty() {
        return w.floats.windows(2).filter(|pair| of_floats(pair[0].v, pair[1].v)).count() as f64;
    }
    let points = w.points();
    let is_event = |a: &SampleValue, b: &SampleValue| match (a, b) {
        (SampleValue::Float(a), SampleValue::Float(b)) => of_floats(*a, *b),
        (SampleValue::Histogram(a), SampleValue::Histogram(b)) => of_histograms(a, b),
        _ => true,
    };
    points.windows(2).filter(|pair| is_event(&pair[0].v, &pair[1].v)).count() as f64
}

#[allow(clippy::unnecessary_wraps)] // a range function may also yield nothing
fn changes(_: &RangeCall<'_>, w: &Window) -> Option<SampleValue> {
    let differ = |a: f64, b: f64| a != b && !(a.is_nan() && b.is_nan());
    Some(SampleValue::Float(count_events(w, differ, |a, b| !native::equal(a, b))))
}

#[allow(clippy::unnecessary_wraps)] // a range function may also yield nothing
fn resets(_: &RangeCall<'_>, w: &Window) -> Option<SampleValue> {
    let counted = count_events(w, |a, b| b < a, |a, b| native::is_reset(b, a));
    if w.starts.is_empty() {
        return Some(SampleValue::Float(counted));
    }
    // Where the values rise, a start timestamp may still tell of a reset.
    let rises = w.floats.windows(2).filter(|p| p[1].v >= p[0].v && w.is_new_start(p[0].t, p[1].t)).count()
        + w.histograms
            .windows(2)
            .filter(|p| !native::is_reset(&p[1].h, &p[0].h) && w.is_new_start(p[0].t, p[1].t))
            .count();
    Some(SampleValue::Float(counted + rises as f64))
}
