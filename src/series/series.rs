//! One series: its labels and its recent samples.
//! In: samples from the head. Out: what queries read, while samples keep coming.
//! Never: changes its labels or its id.
//! Start at [`Series::latest`] and [`Series::range`].

use super::chunk::{Chunks, Inserted, Retention, ms};
use super::error::AppendError;
use crate::model::{Labels, SampleValue, SeriesId, Timestamp};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};

/// One sample as queries read it.
#[derive(Clone, Debug)]
pub struct Point {
    pub t: Timestamp,
    pub v: SampleValue,
}

/// How many samples came, and the newest of them: what somebody who follows a series compares with what he has.
#[derive(Clone, Debug)]
pub struct Tail {
    /// Samples taken so far; it wraps.
    pub appended: u32,
    /// How many of them did not come last in time; it wraps.
    pub reordered: u32,
    pub newest: Option<Point>,
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
    /// Samples taken so far, and how many of them were not the newest. Written under the lock of the data.
    appended: AtomicU32,
    reordered: AtomicU32,
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
            appended: AtomicU32::new(0),
            reordered: AtomicU32::new(0),
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

    /// The same for all samples after `after`, with the tail as it was then.
    pub fn visit_counted(&self, after: Timestamp, mut each: impl FnMut(Timestamp, SampleValue)) -> Tail {
        let data = self.data.lock();
        data.chunks.range(ms(after), i64::MAX, |t, v| each(Timestamp::from_millis(t), v));
        self.tail_of(&data)
    }

    /// Grows with every sample taken.
    #[inline]
    pub fn appended(&self) -> u32 {
        self.appended.load(Ordering::Acquire)
    }

    /// Grows whenever a sample is put before the newest one: what was computed from the samples in order is then void.
    #[inline]
    pub fn reordered(&self) -> u32 {
        self.reordered.load(Ordering::Acquire)
    }

    /// Both counts and the newest sample, as they belong together.
    pub fn tail(&self) -> Tail {
        self.tail_of(&self.data.lock())
    }

    fn tail_of(&self, data: &Data) -> Tail {
        let newest = data.chunks.latest(i64::MIN, i64::MAX);
        Tail {
            appended: self.appended(),
            reordered: self.reordered(),
            newest: newest.map(|(t, v)| Point { t: Timestamp::from_millis(t), v }),
        }
    }

    /// A small number that no other series in the head has; it may be given again when this one has left.
    pub fn place(&self) -> u32 {
        self.slot
    }

    /// When a sample came last, by our own clock.
    pub fn touched(&self) -> Timestamp {
        Timestamp::from_millis(self.touched_ms.load(Ordering::Relaxed))
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
        let is_late = data.chunks.newest().is_some_and(|newest| t_ms <= newest);
        let inserted = data.chunks.insert(t_ms, v, keep).map_err(NotPushed::Refused)?;
        if inserted.added {
            // Nobody else writes them: the data is locked.
            self.appended.store(self.appended().wrapping_add(1), Ordering::Release);
            self.reordered.store(self.reordered().wrapping_add(u32::from(is_late)), Ordering::Release);
        }
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
