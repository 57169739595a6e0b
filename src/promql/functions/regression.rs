//! Straight lines and smoothing through the samples of one series.
//! In: a window. Out: slope, prediction, smoothed value.
//! Never: computes with less than two floats.
//! Start at [`regression`].

use super::super::ast::Type;
use super::super::kahan::Kahan;
use super::super::window::{FloatPoint, Window};
use super::{Function, RangeCall};
use crate::model::SampleValue;

pub(super) static FUNCTIONS: &[Function] = &[
    Function::range("deriv", deriv),
    Function::range_with("predict_linear", &[Type::Matrix, Type::Scalar], predict_linear),
    Function::range_with("double_exponential_smoothing", &[Type::Matrix, Type::Scalar, Type::Scalar], smooth)
        .experimental(),
];

/// Slope and intercept by least squares; `x` is seconds since `zero_ms`.
fn regression(points: &[FloatPoint], zero_ms: i64) -> (f64, f64) {
    let first = points[0].v;
    if points.iter().skip(1).all(|p| p.v == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let (mut x_sum, mut y_sum, mut xy_sum, mut x2_sum) =
        (Kahan::default(), Kahan::default(), Kahan::default(), Kahan::default());
    for p in points {
        let x = (p.t - zero_ms) as f64 / 1000.0;
        x_sum.add(x);
        y_sum.add(p.v);
        xy_sum.add(x * p.v);
        x2_sum.add(x * x);
    }
    let n = points.len() as f64;
    let [x, y, xy, x2] = [x_sum, y_sum, xy_sum, x2_sum].map(|k| k.sum + k.c);
    let covariance = xy - x * y / n;
    let variance = x2 - x * x / n;
    let slope = covariance / variance;
    (slope, y / n - slope * x / n)
}

fn deriv(c: &RangeCall<'_>, w: &Window) -> Option<SampleValue> {
    c.note_ignored_histograms(w);
    let [first, _, ..] = w.floats.as_slice() else { return None };
    // The first sample's time as zero keeps the numbers small.
    Some(SampleValue::Float(regression(&w.floats, first.t).0))
}

fn predict_linear(c: &RangeCall<'_>, w: &Window) -> Option<SampleValue> {
    c.note_ignored_histograms(w);
    if w.floats.len() < 2 {
        return None;
    }
    let (slope, intercept) = regression(&w.floats, c.at);
    Some(SampleValue::Float(slope * c.scalars.first()? + intercept))
}

fn smooth(c: &RangeCall<'_>, w: &Window) -> Option<SampleValue> {
    let [level_factor, trend_factor] = *c.scalars else { return None };
    c.note_ignored_histograms(w);
    let [first, second, ..] = w.floats.as_slice() else { return None };
    let (mut before, mut level, mut trend) = (0.0, first.v, second.v - first.v);
    for (i, p) in w.floats.iter().enumerate().skip(1) {
        if i > 1 {
            trend = trend_factor * (level - before) + (1.0 - trend_factor) * trend;
        }
        let next = level_factor * p.v + (1.0 - level_factor) * (level + trend);
        before = level;
        level = next;
    }
    Some(SampleValue::Float(level))
}
