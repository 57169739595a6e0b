//! The samples of one series within a range, floats and histograms apart, as range functions want them.
//! In: points in time order. Out: [`Window`], whose buffers are reused from series to series.
//! Never: holds a stale marker.
//! Start at [`Window::fill`].

use crate::model::{Histogram, SampleValue, Timestamp};
use crate::series::Point;
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
}

impl Window {
    pub fn new(start: i64, end: i64) -> Self {
        Self { start, end, floats: Vec::new(), histograms: Vec::new() }
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

    pub fn clear(&mut self) {
        self.floats.clear();
        self.histograms.clear();
    }

    /// Takes the next point, unless it is a stale marker.
    #[inline]
    pub fn push(&mut self, t: i64, v: SampleValue) {
        match v {
            v if v.is_stale() => {}
            SampleValue::Float(v) => self.floats.push(FloatPoint { t, v }),
            SampleValue::Histogram(h) => self.histograms.push(HistogramPoint { t, h }),
        }
    }

    pub fn len(&self) -> usize {
        self.floats.len() + self.histograms.len()
    }

    pub fn is_empty(&self) -> bool {
        self.floats.is_empty() && self.histograms.is_empty()
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
