//! The samples of one series within a range, floats and histograms apart, as range functions want them.
//! In: points in time order. Out: [`Window`], whose buffers are reused from series to series.
//! Never: holds a stale marker.
//! Start at [`Window::fill`].

use super::ast::Boundary;
use super::histogram as native;
use crate::model::sample::ResetHint;
use crate::model::{Histogram, SampleValue, Timestamp};
use crate::series::{Point, Series};
use std::sync::Arc;

#[derive(Clone, Copy, Debug)]
pub(super) struct FloatPoint {
    pub t: i64,
    pub v: f64,
}

#[derive(Clone, Debug)]
pub(super) struct HistogramPoint {
    pub t: i64,
    pub h: Arc<Histogram>,
}

/// Times are milliseconds; the range is left-open, `(start, end]`.
pub(super) struct Window {
    pub start: i64,
    pub end: i64,
    pub floats: Vec<FloatPoint>,
    pub histograms: Vec<HistogramPoint>,
    /// Unless plain, the samples next to the range are here as well.
    pub boundary: Boundary,
    /// Times of samples and their start timestamps; empty for nearly all series.
    pub starts: Vec<(i64, i64)>,
}

/// Prometheus' storage says of a counter histogram that it is no reset, if it follows its predecessor in the same chunk.
/// A reset begins a chunk, of which the first histogram tells nothing; `says_reset` is for readers who look back.
fn with_known_hint(h: &mut Arc<Histogram>, before: &SampleValue, says_reset: bool) {
    let SampleValue::Histogram(before) = before else { return };
    if h.reset_hint != ResetHint::Unknown || before.reset_hint == ResetHint::Gauge {
        return;
    }
    let hint = if native::is_reset(h, before) {
        if says_reset { ResetHint::Yes } else { ResetHint::Unknown }
    } else if says_reset || native::has_layout_of(h, before) {
        ResetHint::No
    } else {
        ResetHint::Unknown
    };
    if hint != ResetHint::Unknown {
        Arc::make_mut(h).reset_hint = hint;
    }
}

/// A reset hint speaks of the sample before, which need not be the one before in a sub-query.
pub(super) fn without_hint(v: SampleValue) -> SampleValue {
    let SampleValue::Histogram(mut h) = v else { return v };
    if matches!(h.reset_hint, ResetHint::Yes | ResetHint::No) {
        Arc::make_mut(&mut h).reset_hint = ResetHint::Unknown;
    }
    SampleValue::Histogram(h)
}

fn before(series: &Series, t: Timestamp) -> Option<Point> {
    series.latest(Timestamp::from_millis(i64::MIN / 2), t - std::time::Duration::from_millis(1))
}

/// Gives the newest sample of a series the reset hint that its predecessor tells. `after`: from when on one that only
/// reads counts and sums has seen the series.
pub(super) fn make_hint_known(series: &Series, point: &mut Point, stats_only: bool, after: Timestamp) {
    let SampleValue::Histogram(h) = &mut point.v else { return };
    if h.reset_hint == ResetHint::Unknown
        && let Some(before) = before(series, point.t)
    {
        with_known_hint(h, &before.v, stats_only && before.t > after);
    }
}

impl Window {
    pub fn new(start: i64, end: i64) -> Self {
        let (boundary, starts) = (Boundary::Plain, Vec::new());
        Self { start, end, floats: Vec::new(), histograms: Vec::new(), boundary, starts }
    }

    /// Takes the points over, stale markers left out.
    pub fn fill(&mut self, points: &mut Vec<Point>) {
        self.floats.clear();
        self.histograms.clear();
        for point in points.drain(..) {
            let t = point.t.as_millis();
            match point.v {
                v if v.is_stale() => {}
                SampleValue::Float(v) => self.floats.push(FloatPoint { t, v }),
                SampleValue::Histogram(h) => self.histograms.push(HistogramPoint { t, h }),
            }
        }
    }

    /// Takes over the start timestamps of the series' samples.
    pub fn fill_starts(&mut self, series: &Series, after: Timestamp, until: Timestamp) {
        self.starts.clear();
        let mut found = Vec::new();
        series.starts(after, until, &mut found);
        self.starts.extend(found.iter().map(|(t, start)| (t.as_millis(), start.as_millis())));
    }

    /// Gives histograms the reset hints that their predecessors tell.
    pub fn make_hints_known(&mut self, series: &Series, stats_only: bool) {
        for i in (0..self.histograms.len()).rev() {
            if self.histograms[i].h.reset_hint != ResetHint::Unknown {
                continue;
            }
            let before = match i.checked_sub(1) {
                Some(i) => Some(SampleValue::Histogram(self.histograms[i].h.clone())),
                None => before(series, Timestamp::from_millis(self.histograms[0].t)).map(|p| p.v),
            };
            if let Some(before) = before {
                with_known_hint(&mut self.histograms[i].h, &before, stats_only && i > 0);
            }
        }
    }

    pub fn len(&self) -> usize {
        self.floats.len() + self.histograms.len()
    }

    pub fn is_empty(&self) -> bool {
        self.floats.is_empty() && self.histograms.is_empty()
    }

    /// The start timestamp of the sample at this time.
    pub fn start_of(&self, t: i64) -> Option<i64> {
        let place = self.starts.binary_search_by_key(&t, |(at, _)| *at).ok()?;
        Some(self.starts[place].1)
    }

    /// Whether the counter began anew between two samples, by what their start timestamps say.
    pub fn is_new_start(&self, before: i64, now: i64) -> bool {
        let Some(start) = self.start_of(now) else { return false };
        // A start at the sample before is a new one only if that sample is known to have an earlier one.
        start <= now && (start > before || (start == before && self.start_of(before).is_some_and(|s| s < before)))
    }

    /// Whether a sample claims to count since a time within what the sample before it counted.
    pub fn has_overlap(&self) -> bool {
        let overlaps = |pair: &[(i64, i64)]| pair[1].1 < pair[0].0 && pair[1].1 > pair[0].1;
        self.starts.windows(2).any(overlaps)
    }

    /// Leaves of the samples around the range only those that its ends need; false when none lies in or after it.
    pub fn trim(points: &mut Vec<Point>, boundary: Boundary, start: i64, end: i64) -> bool {
        points.retain(|p| !p.v.is_stale());
        let first = points.partition_point(|p| p.t.as_millis() <= start).saturating_sub(1);
        let last = match boundary {
            Boundary::Smoothed => points.partition_point(|p| p.t.as_millis() < end).saturating_add(1).min(points.len()),
            _ => points.len(),
        };
        points.truncate(last);
        points.drain(..first.min(last));
        points.first().is_some_and(|p| p.t.as_millis() <= end) && points.last().is_some_and(|p| p.t.as_millis() > start)
    }

    /// The length of the range in seconds.
    pub fn seconds(&self) -> f64 {
        (self.end - self.start) as f64 / 1000.0
    }

    /// The newest sample and its time.
    pub fn last(&self) -> Option<(i64, SampleValue)> {
        let float = self.floats.last().map(|p| (p.t, SampleValue::Float(p.v)));
        let histogram = self.histograms.last().map(|p| (p.t, SampleValue::Histogram(p.h.clone())));
        match (float, histogram) {
            (Some(f), Some(h)) => Some(if h.0 > f.0 { h } else { f }),
            (f, h) => f.or(h),
        }
    }

    /// The oldest sample and its time.
    pub fn first(&self) -> Option<(i64, SampleValue)> {
        let float = self.floats.first().map(|p| (p.t, SampleValue::Float(p.v)));
        let histogram = self.histograms.first().map(|p| (p.t, SampleValue::Histogram(p.h.clone())));
        match (float, histogram) {
            (Some(f), Some(h)) => Some(if h.0 < f.0 { h } else { f }),
            (f, h) => f.or(h),
        }
    }

    /// All samples in time order.
    pub fn points(&self) -> Vec<Point> {
        let floats = self.floats.iter().map(|p| (p.t, SampleValue::Float(p.v)));
        let histograms = self.histograms.iter().map(|p| (p.t, SampleValue::Histogram(p.h.clone())));
        let mut all: Vec<Point> =
            floats.chain(histograms).map(|(t, v)| Point { t: Timestamp::from_millis(t), v }).collect();
        if !self.histograms.is_empty() {
            all.sort_by_key(|p| p.t);
        }
        all
    }
}
