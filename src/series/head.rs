//! The head: all series that are held, and the sets that rules watch.
//! In: labels, time, value. Out: shared handles.
//! Never: keeps more than the window.
//! Start at [`Head::append`].

use crate::model::matcher::all_match;
use crate::model::{Labels, Matcher, SampleValue, SeriesId, Timestamp};
use parking_lot::{Mutex, RwLock};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct HeadConfig {
    /// How far back a series keeps samples.
    pub window: Duration,
    /// How much older than the newest sample of its series a sample may be.
    pub out_of_order_window: Duration,
}

impl Default for HeadConfig {
    fn default() -> Self {
        Self { window: Duration::from_secs(3600), out_of_order_window: Duration::from_secs(600) }
    }
}

/// One sample as queries read it.
#[derive(Clone, Debug)]
pub struct Point {
    pub t: Timestamp,
    pub v: SampleValue,
}

#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error("out of order: older than the newest sample by more than the out-of-order window")]
    TooOld,
    #[error("duplicate sample for timestamp with another value")]
    DuplicateTimestamp,
}

/// A series: its labels and its recent samples.
#[derive(Debug)]
pub struct Series {
    id: SeriesId,
    labels: Labels,
    points: Mutex<VecDeque<Point>>,
}

impl Series {
    pub fn id(&self) -> SeriesId {
        self.id
    }

    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// The newest sample in `(after, until]`, a stale marker included.
    pub fn latest(&self, after: Timestamp, until: Timestamp) -> Option<Point> {
        self.points.lock().iter().rev().find(|p| p.t <= until).filter(|p| p.t > after).cloned()
    }

    /// All samples in `(after, until]` in time order, stale markers included, appended to `out`.
    pub fn range(&self, after: Timestamp, until: Timestamp, out: &mut Vec<Point>) {
        out.extend(self.points.lock().iter().filter(|p| p.t > after && p.t <= until).cloned());
    }
}

/// The live set of series that some matchers select; kept up to date as series come and go.
#[derive(Debug)]
pub struct Watch {
    matchers: Vec<Matcher>,
    series: RwLock<Vec<Arc<Series>>>,
    generation: AtomicU64,
}

impl Watch {
    /// The set now.
    pub fn series(&self) -> Vec<Arc<Series>> {
        self.series.read().clone()
    }

    /// Grows whenever the set changes.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}

#[derive(Debug, Default)]
pub struct Head {
    config: HeadConfig,
    next_id: AtomicU64,
    series: RwLock<HashMap<Labels, Arc<Series>>>,
    watches: RwLock<Vec<Arc<Watch>>>,
}

impl Head {
    pub fn new(config: HeadConfig) -> Self {
        Self { config, ..Self::default() }
    }

    /// Adds one sample; the series is made when it is new.
    pub fn append(&self, labels: &Labels, t: Timestamp, v: SampleValue) -> Result<Arc<Series>, AppendError> {
        let found = self.series.read().get(labels).cloned();
        let series = found.unwrap_or_else(|| self.create(labels));
        let mut points = series.points.lock();
        let at = points.partition_point(|p| p.t < t);
        if points.get(at).is_some_and(|p| p.t == t) {
            return Ok(series.clone());
        }
        points.insert(at, Point { t, v });
        let newest = points.back().map_or(t, |p| p.t);
        while points.front().is_some_and(|p| p.t < newest - self.config.window) {
            points.pop_front();
        }
        drop(points);
        Ok(series)
    }

    fn create(&self, labels: &Labels) -> Arc<Series> {
        let mut all = self.series.write();
        let series = all.entry(labels.clone()).or_insert_with(|| {
            let id = SeriesId(self.next_id.fetch_add(1, Ordering::Relaxed));
            let series = Arc::new(Series { id, labels: labels.clone(), points: Mutex::default() });
            for watch in self.watches.read().iter().filter(|w| all_match(&w.matchers, labels)) {
                watch.series.write().push(series.clone());
                watch.generation.fetch_add(1, Ordering::Release);
            }
            series
        });
        series.clone()
    }

    /// Every series that all matchers select, in no order.
    pub fn select(&self, matchers: &[Matcher]) -> Vec<Arc<Series>> {
        self.series.read().values().filter(|s| all_match(matchers, s.labels())).cloned().collect()
    }

    /// A set that is kept up to date for as long as somebody else holds it.
    pub fn watch(&self, matchers: &[Matcher]) -> Arc<Watch> {
        let mut watches = self.watches.write();
        watches.retain(|w| Arc::strong_count(w) > 1);
        let series = RwLock::new(self.select(matchers));
        let watch = Arc::new(Watch { matchers: matchers.to_vec(), series, generation: AtomicU64::new(0) });
        watches.push(watch.clone());
        watch
    }
}
