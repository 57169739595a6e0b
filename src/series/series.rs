//! One series: its labels and its recent samples.
//! In: samples from the head. Out: what queries read, while samples keep coming.
//! Never: changes its labels or its id.
//! Start at [`Series::latest`] and [`Series::range`].

use super::chunk::{Chunks, Inserted, Retention, ms};
use super::error::AppendError;
use crate::model::{Labels, SampleValue, SeriesId, Timestamp};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// One sample as queries read it.
#[derive(Clone, Debug)]
pub struct Point {
    pub t: Timestamp,
    pub v: SampleValue,
}

/// A series: its labels and its recent samples.
#[derive(Debug)]
pub struct Series {
    id: SeriesId,
    /// Its place in the index.
    pub(super) slot: u32,
    labels: Labels,
    data: Mutex<Data>,
    /// When a sample came last, in milliseconds: what makes a series idle.
    touched_ms: AtomicI64,
    watched: AtomicBool,
    /// Already in the list of arrivals.
    noted: AtomicBool,
    watches: Mutex<Vec<u32>>,
}

#[derive(Debug, Default)]
struct Data {
    chunks: Chunks,
    gone: bool,
}

/// Why [`Series::push`] did nothing.
pub(super) enum NotPushed {
    /// The series has left the head in the meantime; ask the head again.
    Gone,
    Refused(AppendError),
}

impl Series {
    pub(super) fn new(id: SeriesId, slot: u32, labels: Labels) -> Self {
        Self {
            id,
            slot,
            labels,
            data: Mutex::default(),
            touched_ms: AtomicI64::new(i64::MIN),
            watched: AtomicBool::new(false),
            noted: AtomicBool::new(false),
            watches: Mutex::default(),
        }
    }

    pub fn id(&self) -> SeriesId {
        self.id
    }

    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// The newest sample in `(after, until]`, a stale marker included.
    pub fn latest(&self, after: Timestamp, until: Timestamp) -> Option<Point> {
        let (t, v) = self.data.lock().chunks.latest(ms(after), ms(until))?;
        Some(Point { t: Timestamp::from_millis(t), v })
    }

    /// All samples in `(after, until]` in time order, stale markers included, appended to `out`.
    pub fn range(&self, after: Timestamp, until: Timestamp, out: &mut Vec<Point>) {
        let data = self.data.lock();
        data.chunks.range(ms(after), ms(until), |t, v| out.push(Point { t: Timestamp::from_millis(t), v }));
    }

    /// Calls `each` for all samples in `(after, until]` in time order, stale markers included.
    #[inline]
    pub fn visit(&self, after: Timestamp, until: Timestamp, mut each: impl FnMut(Timestamp, SampleValue)) {
        self.data.lock().chunks.range(ms(after), ms(until), |t, v| each(Timestamp::from_millis(t), v));
    }

    /// The time of the newest sample.
    pub fn newest(&self) -> Option<Timestamp> {
        self.data.lock().chunks.newest().map(Timestamp::from_millis)
    }

    /// The time of the oldest sample that is still held.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.data.lock().chunks.oldest().map(Timestamp::from_millis)
    }

    /// The ids of the watches that this series is in.
    pub fn watch_ids(&self) -> Vec<u32> {
        self.watches.lock().clone()
    }

    /// Samples held, and an estimate of the bytes that this series takes.
    pub(super) fn size(&self) -> (usize, usize) {
        let data = self.data.lock();
        // The Arc's two counts and the labels' Arc come to 32 bytes.
        let bytes = size_of::<Self>() + 32 + self.labels.size_bytes() + data.chunks.heap_bytes();
        (data.chunks.len(), bytes)
    }

    /// Adds a sample; `now_ms` is when it came.
    #[inline]
    pub(super) fn push(&self, t_ms: i64, v: &SampleValue, now_ms: i64, keep: Retention) -> Result<Inserted, NotPushed> {
        let mut data = self.data.lock();
        if data.gone {
            return Err(NotPushed::Gone);
        }
        let inserted = data.chunks.insert(t_ms, v, keep).map_err(NotPushed::Refused)?;
        self.touched_ms.store(now_ms, Ordering::Relaxed);
        Ok(inserted)
    }

    /// Marks the series as gone if nothing came since `cutoff_ms`; no sample is taken after that.
    pub(super) fn leave_if_idle(&self, cutoff_ms: i64) -> bool {
        if self.touched_ms.load(Ordering::Relaxed) >= cutoff_ms {
            return false;
        }
        let mut data = self.data.lock();
        data.gone = self.touched_ms.load(Ordering::Relaxed) < cutoff_ms;
        data.gone
    }

    pub(super) fn is_gone(&self) -> bool {
        self.data.lock().gone
    }

    pub(super) fn watched_by(&self, watch: u32) {
        self.watches.lock().push(watch);
        self.watched.store(true, Ordering::Release);
    }

    pub(super) fn unwatched_by(&self, watch: u32) {
        let mut watches = self.watches.lock();
        watches.retain(|id| *id != watch);
        self.watched.store(!watches.is_empty(), Ordering::Release);
    }

    pub(super) fn is_watched_by(&self, watch: u32) -> bool {
        self.is_watched() && self.watches.lock().contains(&watch)
    }

    /// Whether any rule watches this series.
    #[inline]
    pub fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Acquire)
    }

    /// True for the first caller since [`Self::forget_note`].
    #[inline]
    pub(super) fn note(&self) -> bool {
        !self.noted.swap(true, Ordering::AcqRel)
    }

    /// Before the samples are read, so that one that comes later is noted again.
    pub(super) fn forget_note(&self) {
        self.noted.store(false, Ordering::Release);
    }
}
