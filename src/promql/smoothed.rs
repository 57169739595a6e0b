//! `smoothed` instant selectors: the value on the straight line between the samples around the moment.
//! In: series and a moment. Out: a sample per series, at that moment.
//! Never: looks further than the lookback, to either side.
//! Start at [`each_smoothed`].

use super::eval::{Eval, Result};
use super::functions::{between, interpolated};
use super::print::Quoted;
use super::window::FloatPoint;
use crate::model::{SampleValue, Timestamp};
use crate::series::{Point, Series};
use std::sync::Arc;

/// Visits each series that has a sample at the moment or before it.
pub(super) fn each_smoothed(
    eval: &Eval<'_>,
    series: &[Arc<Series>],
    at_ms: i64,
    mut visit: impl FnMut(&Series, Point),
) -> Result<()> {
    let lookback = i64::try_from(eval.ctx.lookback.as_millis()).unwrap_or(i64::MAX / 4);
    let after = Timestamp::from_millis(at_ms.saturating_sub(lookback));
    let until = Timestamp::from_millis(at_ms.saturating_add(lookback));
    let at = Timestamp::from_millis(at_ms);
    let mut points = Vec::new();
    for one in series {
        points.clear();
        one.range(after, until, &mut points);
        points.retain(|p| !p.v.is_stale());
        eval.spend(points.len())?;
        let next = points.partition_point(|p| p.t < at);
        let value = match (next.checked_sub(1).map(|i| &points[i]), points.get(next)) {
            (_, Some(found)) if found.t == at => Some(found.v.clone()),
            (Some(a), Some(b)) => on_the_line(eval, one, a, b, at_ms),
            (Some(a), None) => Some(a.v.clone()),
            (None, _) => None,
        };
        if let Some(v) = value {
            visit(one, Point { t: at, v });
        }
    }
    Ok(())
}

fn on_the_line(eval: &Eval<'_>, series: &Series, a: &Point, b: &Point, at_ms: i64) -> Option<SampleValue> {
    let (from, to) = (a.t.as_millis(), b.t.as_millis());
    let name = || Quoted(series.labels().metric_name()).to_string();
    match (&a.v, &b.v) {
        (SampleValue::Float(x), SampleValue::Float(y)) => {
            let (a, b) = (FloatPoint { t: from, v: *x }, FloatPoint { t: to, v: *y });
            Some(SampleValue::Float(interpolated(&a, &b, at_ms, None)))
        }
        (SampleValue::Histogram(x), SampleValue::Histogram(y)) => {
            let share = ((at_ms - from) as f64) / ((to - from) as f64);
            let found = between(x, y, share);
            if found.is_none() {
                let text = "vector contains a mix of histograms with exponential and custom buckets schemas";
                eval.warn(format!("{text} for metric name {}", name()));
            }
            found.map(SampleValue::Histogram)
        }
        _ => {
            eval.warn(format!("encountered a mix of histograms and floats for metric name {}", name()));
            None
        }
    }
}
