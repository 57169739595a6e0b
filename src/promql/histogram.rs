//! Native histograms: layout, sums, differences, resets.
//! In: histograms with exponential or custom buckets. Out: histograms, or numbers about them.
//! Never: panics on a layout that does not fit its counts: what is missing counts zero.
//! Start at [`buckets`] and [`add`].

use super::kahan::Kahan;
use super::print::Number;
use crate::model::sample::ResetHint;
use crate::model::sample::{CUSTOM_BUCKETS_SCHEMA, Span};
use crate::model::{Histogram, SampleValue};
use std::fmt::Write;
use std::sync::Arc;

/// Buckets by index, in order, as spans unfolded.
type Indexed = Vec<(i32, f64)>;

/// One bucket of a native histogram with its bounds; those on the side of zero do not belong to it.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    pub lower: f64,
    pub upper: f64,
    pub count: f64,
}

pub(super) fn is_custom(h: &Histogram) -> bool {
    h.schema == CUSTOM_BUCKETS_SCHEMA
}

fn unfold(spans: &[Span], counts: &[f64]) -> Indexed {
    let mut out = Vec::with_capacity(counts.len());
    let mut counts = counts.iter();
    let mut index = 0i32;
    for span in spans {
        index = index.saturating_add(span.offset);
        for _ in 0..span.length {
            let Some(count) = counts.next() else { return out };
            out.push((index, *count));
            index = index.saturating_add(1);
        }
    }
    out
}

/// Empty buckets vanish.
fn fold(indexed: &[(i32, f64)]) -> (Vec<Span>, Vec<f64>) {
    let (mut spans, mut counts): (Vec<Span>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut next = 0i32;
    for (index, count) in indexed.iter().filter(|(_, count)| *count != 0.0) {
        match spans.last_mut() {
            Some(span) if *index == next => span.length += 1,
            _ => spans.push(Span { offset: index.saturating_sub(next), length: 1 }),
        }
        counts.push(*count);
        next = index.saturating_add(1);
    }
    (spans, counts)
}

pub(super) fn with_buckets(mut h: Histogram, positive: &[(i32, f64)], negative: &[(i32, f64)]) -> Histogram {
    (h.positive_spans, h.positive_buckets) = fold(positive);
    (h.negative_spans, h.negative_buckets) = fold(negative);
    h
}

pub(super) fn positive(h: &Histogram) -> Indexed {
    unfold(&h.positive_spans, &h.positive_buckets)
}

pub(super) fn negative(h: &Histogram) -> Indexed {
    unfold(&h.negative_spans, &h.negative_buckets)
}

/// The same histogram without empty buckets.
pub(super) fn compact(h: Histogram) -> Histogram {
    let (p, n) = (positive(&h), negative(&h));
    with_buckets(h, &p, &n)
}

/// Upper bound of an exponential bucket: 2 to the power of index / 2^schema.
fn exponential_bound(index: i32, schema: i32) -> f64 {
    let exponent = f64::from(index) * f64::from(-schema).exp2();
    if exponent >= 1024.0 && exponent < 1024.0 + f64::from(-schema).exp2().max(1.0) {
        f64::MAX
    } else {
        exponent.exp2()
    }
}

fn bounds(h: &Histogram, index: i32) -> (f64, f64) {
    if is_custom(h) {
        let bound = |i: i32| match usize::try_from(i) {
            Ok(i) => h.custom_values.get(i).copied().unwrap_or(f64::INFINITY),
            Err(_) => f64::NEG_INFINITY,
        };
        return (bound(index.saturating_sub(1)), bound(index));
    }
    (exponential_bound(index.saturating_sub(1), h.schema), exponential_bound(index, h.schema))
}

/// All buckets from the lowest value to the highest.
pub fn buckets(h: &Histogram) -> Vec<Bucket> {
    let mut out: Vec<Bucket> = Vec::new();
    for (index, count) in negative(h).into_iter().rev() {
        let (lower, upper) = bounds(h, index);
        out.push(Bucket { lower: -upper, upper: -lower, count });
    }
    if !is_custom(h) && h.zero_count > 0.0 {
        out.push(Bucket { lower: -h.zero_threshold, upper: h.zero_threshold, count: h.zero_count });
    }
    for (index, count) in positive(h) {
        let (lower, upper) = bounds(h, index);
        out.push(Bucket { lower, upper, count });
    }
    out
}

/// With buckets on one side only, the zero bucket is taken to reach from zero to that side.
pub(super) fn narrow_zero_bucket(h: &Histogram, b: &mut Bucket) {
    if b.lower < 0.0 && b.upper > 0.0 {
        let (has_negative, has_positive) = (!h.negative_buckets.is_empty(), !h.positive_buckets.is_empty());
        if !has_negative && has_positive {
            b.lower = 0.0;
        } else if has_negative && !has_positive {
            b.upper = 0.0;
        }
    }
}

/// Halves the resolution until the schema is reached.
fn coarsened(indexed: &[(i32, f64)], from: i32, to: i32) -> Indexed {
    let shift = (from - to).clamp(0, 31);
    let mut out: Indexed = Vec::with_capacity(indexed.len());
    for (index, count) in indexed {
        // The bucket (b^(i-1), b^i] belongs to the wider bucket whose index is i / 2^shift, rounded up.
        let wide = ((i64::from(*index) - 1) >> shift) as i32 + 1;
        match out.last_mut() {
            Some((last, sum)) if *last == wide => *sum += count,
            _ => out.push((wide, *count)),
        }
    }
    out
}

/// At a lower (coarser) schema; a histogram that is already there stays as it is.
pub(super) fn at_schema(h: &Histogram, schema: i32) -> Histogram {
    if schema >= h.schema || is_custom(h) {
        return h.clone();
    }
    let (p, n) = (coarsened(&positive(h), h.schema, schema), coarsened(&negative(h), h.schema, schema));
    with_buckets(Histogram { schema, ..h.clone() }, &p, &n)
}

/// Widens the zero bucket to at least `threshold`, swallowing what lies within.
fn with_zero_threshold(h: &Histogram, threshold: f64) -> Histogram {
    if threshold <= h.zero_threshold || threshold.is_nan() {
        return h.clone();
    }
    let (mut p, mut n) = (positive(h), negative(h));
    let (mut zero, mut limit) = (h.zero_count, threshold);
    loop {
        let before = limit;
        for side in [&mut p, &mut n] {
            side.retain(|(index, count)| {
                let (lower, upper) = bounds(h, *index);
                if lower >= limit {
                    return true;
                }
                zero += count;
                if *count != 0.0 {
                    limit = limit.max(upper);
                }
                false
            });
        }
        if limit <= before {
            break;
        }
    }
    with_buckets(Histogram { zero_threshold: limit, zero_count: zero, ..h.clone() }, &p, &n)
}

fn common_bounds(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().copied().filter(|bound| b.contains(bound)).collect()
}

/// Custom buckets with fewer bounds.
fn with_bounds(h: &Histogram, kept: &[f64]) -> Histogram {
    let mut out: Indexed = Vec::new();
    for (index, count) in positive(h) {
        let upper = bounds(h, index).1;
        let wide = kept.partition_point(|bound| *bound < upper) as i32;
        match out.last_mut() {
            Some((last, sum)) if *last == wide => *sum += count,
            _ => out.push((wide, count)),
        }
    }
    with_buckets(Histogram { custom_values: kept.to_vec(), ..h.clone() }, &out, &Vec::new())
}

/// Two histograms in one layout.
pub(super) struct Aligned {
    pub a: Histogram,
    pub b: Histogram,
    pub reconciled: bool,
}

/// `None` when one has custom buckets and the other has not.
pub(super) fn aligned(a: &Histogram, b: &Histogram) -> Option<Aligned> {
    if is_custom(a) != is_custom(b) {
        return None;
    }
    if is_custom(a) {
        if a.custom_values == b.custom_values {
            return Some(Aligned { a: a.clone(), b: b.clone(), reconciled: false });
        }
        let kept = common_bounds(&a.custom_values, &b.custom_values);
        return Some(Aligned { a: with_bounds(a, &kept), b: with_bounds(b, &kept), reconciled: true });
    }
    let (mut a, mut b) = (a.clone(), b.clone());
    if a.zero_threshold.is_nan() || b.zero_threshold.is_nan() {
        return None;
    }
    while a.zero_threshold != b.zero_threshold {
        let threshold = a.zero_threshold.max(b.zero_threshold);
        let (wider_a, wider_b) = (with_zero_threshold(&a, threshold), with_zero_threshold(&b, threshold));
        // Each round widens one of them; should none do so, they cannot meet.
        if wider_a.zero_threshold == a.zero_threshold && wider_b.zero_threshold == b.zero_threshold {
            return None;
        }
        a = wider_a;
        b = wider_b;
    }
    let schema = a.schema.min(b.schema);
    Some(Aligned { a: at_schema(&a, schema), b: at_schema(&b, schema), reconciled: false })
}

/// A sum or difference, and what is to be said about it.
pub(super) struct Combined {
    pub histogram: Histogram,
    /// Custom bounds differed; only the common ones are left.
    pub reconciled: bool,
    /// One says that the counter started anew, the other that it did not.
    pub hint_collision: bool,
}

pub(super) fn add(a: &Histogram, b: &Histogram) -> Option<Combined> {
    combined(a, b, 1.0)
}

pub(super) fn sub(a: &Histogram, b: &Histogram) -> Option<Combined> {
    combined(a, b, -1.0)
}

/// A histogram and the one that it grows or shrinks by, for series that are written as steps.
/// `None` when their buckets cannot be brought together.
pub fn stepped(value: &Histogram, step: &Histogram, is_added: bool) -> Option<Histogram> {
    let next = combined(value, step, if is_added { 1.0 } else { -1.0 })?;
    // A step down is a series that is written so, not a difference of two.
    Some(Histogram { reset_hint: joint_hint(value.reset_hint, step.reset_hint).0, ..next.histogram })
}

fn combined(a: &Histogram, b: &Histogram, sign: f64) -> Option<Combined> {
    let Aligned { a, b, reconciled } = aligned(a, b)?;
    let (hint, hint_collision) = joint_hint(a.reset_hint, b.reset_hint);
    let (p, n) = (merged(&positive(&a), &positive(&b), sign), merged(&negative(&a), &negative(&b), sign));
    let sum = Histogram {
        count: a.count + sign * b.count,
        sum: a.sum + sign * b.sum,
        zero_count: a.zero_count + sign * b.zero_count,
        // A difference of counters is no counter.
        reset_hint: if sign < 0.0 && hint != ResetHint::Gauge { ResetHint::Gauge } else { hint },
        ..a
    };
    Some(Combined { histogram: with_buckets(sum, &p, &n), reconciled, hint_collision })
}

pub(super) fn joint_hint(a: ResetHint, b: ResetHint) -> (ResetHint, bool) {
    match (a, b) {
        (a, b) if a == b => (a, false),
        (ResetHint::Gauge, _) | (_, ResetHint::Gauge) => (ResetHint::Gauge, false),
        (ResetHint::Unknown, _) | (_, ResetHint::Unknown) => (ResetHint::Unknown, false),
        _ => (ResetHint::Unknown, true),
    }
}

fn merged(a: &[(i32, f64)], b: &[(i32, f64)], sign: f64) -> Indexed {
    let mut out = Vec::with_capacity(a.len().max(b.len()));
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    loop {
        match (a.peek(), b.peek()) {
            (Some((i, x)), Some((j, y))) if i == j => {
                out.push((*i, x + sign * y));
                a.next();
                b.next();
            }
            (Some((i, x)), other) if other.is_none_or(|(j, _)| i < j) => {
                out.push((*i, *x));
                a.next();
            }
            (_, Some((j, y))) => {
                out.push((*j, sign * y));
                b.next();
            }
            _ => return out,
        }
    }
}

/// Notices counter histograms of which one is known to be new and another known not to be.
#[derive(Default)]
pub(super) struct HintTracker {
    seen_reset: bool,
    seen_no_reset: bool,
}

impl HintTracker {
    pub fn see(&mut self, h: &Histogram) {
        self.seen_reset |= h.reset_hint == ResetHint::Yes;
        self.seen_no_reset |= h.reset_hint == ResetHint::No;
    }

    pub fn collided(&self) -> bool {
        self.seen_reset && self.seen_no_reset
    }
}

fn map_counts(h: &Histogram, change: impl Fn(f64) -> f64) -> Histogram {
    let changed = |counts: &[f64]| counts.iter().map(|c| change(*c)).collect();
    Histogram {
        zero_count: change(h.zero_count),
        count: change(h.count),
        sum: change(h.sum),
        positive_buckets: changed(&h.positive_buckets),
        negative_buckets: changed(&h.negative_buckets),
        ..h.clone()
    }
}

pub(super) fn scaled(h: &Histogram, factor: f64) -> Histogram {
    let mut out = map_counts(h, |c| c * factor);
    if factor < 0.0 {
        out.reset_hint = ResetHint::Gauge;
    }
    compact(out)
}

pub(super) fn divided(h: &Histogram, divisor: f64) -> Histogram {
    let mut out = map_counts(h, |c| c / divisor);
    if divisor < 0.0 {
        out.reset_hint = ResetHint::Gauge;
    }
    if divisor == 0.0 {
        out.positive_spans.clear();
        out.positive_buckets.clear();
        out.negative_spans.clear();
        out.negative_buckets.clear();
    }
    compact(out)
}

/// Unary minus.
pub(super) fn negated(value: &SampleValue) -> SampleValue {
    match value {
        SampleValue::Float(v) => SampleValue::Float(-v),
        SampleValue::Histogram(h) => SampleValue::Histogram(Arc::new(scaled(h, -1.0))),
    }
}

/// Whether two histograms can be added bucket by bucket.
pub(super) fn has_layout_of(h: &Histogram, other: &Histogram) -> bool {
    h.schema == other.schema && h.zero_threshold == other.zero_threshold && h.custom_values == other.custom_values
}

/// Zero everywhere, in the layout of `h`.
pub(super) fn empty_like(h: &Histogram) -> Histogram {
    Histogram {
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        custom_values: h.custom_values.clone(),
        ..Histogram::default()
    }
}

/// Equality of contents, whatever the layout of empty buckets and the hint; NaN equals NaN.
pub(super) fn equal(a: &Histogram, b: &Histogram) -> bool {
    let same = |x: f64, y: f64| x == y || (x.is_nan() && y.is_nan());
    let sides = |h: &Histogram| (fold(&positive(h)), fold(&negative(h)));
    a.schema == b.schema
        && same(a.count, b.count)
        && same(a.sum, b.sum)
        && (is_custom(a) || (a.zero_threshold == b.zero_threshold && same(a.zero_count, b.zero_count)))
        && a.custom_values == b.custom_values
        && sides(a) == sides(b)
}

/// Whether a counter histogram started anew between two samples.
pub fn is_reset(now: &Histogram, before: &Histogram) -> bool {
    match now.reset_hint {
        ResetHint::Yes => return true,
        ResetHint::No => return false,
        ResetHint::Unknown | ResetHint::Gauge => {}
    }
    if now.count < before.count || is_custom(now) != is_custom(before) {
        return true;
    }
    if is_custom(now) {
        let Some(pair) = aligned(now, before) else { return true };
        return has_fallen(&positive(&pair.a), &positive(&pair.b));
    }
    if now.schema > before.schema || now.zero_threshold < before.zero_threshold {
        return true;
    }
    let widened = with_zero_threshold(before, now.zero_threshold);
    if widened.zero_threshold != now.zero_threshold || now.zero_count < widened.zero_count {
        return true;
    }
    let before = at_schema(&widened, now.schema);
    has_fallen(&positive(now), &positive(&before)) || has_fallen(&negative(now), &negative(&before))
}

fn has_fallen(now: &[(i32, f64)], before: &[(i32, f64)]) -> bool {
    let mut now = now.iter().peekable();
    before.iter().any(|(index, count)| {
        while now.next_if(|(i, _)| i < index).is_some() {}
        let current = now.peek().filter(|(i, _)| i == index).map_or(0.0, |(_, c)| *c);
        current < *count
    })
}

/// The population variance, each bucket's observations taken to lie in its middle.
pub(super) fn variance(h: &Histogram) -> f64 {
    let mean = h.sum / h.count;
    let mut squares = Kahan::default();
    for b in buckets(h).iter().filter(|b| b.count != 0.0) {
        let middle = if is_custom(h) {
            f64::midpoint(b.upper, b.lower)
        } else if b.lower <= 0.0 && b.upper >= 0.0 {
            0.0
        } else {
            let root = (b.upper * b.lower).sqrt();
            if b.upper < 0.0 { -root } else { root }
        };
        let delta = middle - mean;
        squares.add(b.count * delta * delta);
    }
    (squares.sum + squares.c) / h.count
}

/// Prometheus' text of a histogram, as `count_values` and templates show it.
pub fn text(h: &Histogram) -> String {
    let mut out = format!("{{count:{}, sum:{}", Number(h.count), Number(h.sum));
    for b in buckets(h).iter().filter(|b| b.count != 0.0) {
        let open = if b.lower < 0.0 { '[' } else { '(' };
        let close = if b.upper > 0.0 { ']' } else { ')' };
        // Writing to a String cannot fail.
        let _ = write!(out, ", {open}{},{}{close}:{}", Number(b.lower), Number(b.upper), Number(b.count));
    }
    out.push('}');
    out
}
