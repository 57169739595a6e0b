//! One series: a handle on its labels and its recent samples.
//! In: samples from the head. Out: what queries read, while samples keep coming.
//! Never: changes its labels or its id; once the series has left the head, the handle holds nothing but its labels.
//! Start at [`Series::latest`] and [`Series::range`].

use super::pool::Pool;
use super::region::{Data, REGION, Region, ms};
use crate::model::{Labels, SampleValue, SeriesId, Timestamp};
use parking_lot::{Mutex, RwLock};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

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

/// A series that somebody asked for; the head holds millions without a handle.
#[derive(Debug)]
pub struct Series {
    id: SeriesId,
    pub(super) slot: u32,
    region: Arc<Region>,
    pool: Arc<RwLock<Pool>>,
    /// Made when they are first read.
    labels: OnceLock<Labels>,
    gone: AtomicBool,
    watched: AtomicBool,
    /// Samples taken while it was watched, and how many of them were not the newest. Written under the region's lock.
    appended: AtomicU32,
    reordered: AtomicU32,
    watches: Mutex<Vec<u32>>,
}

impl Series {
    pub(super) fn new(id: SeriesId, slot: u32, region: Arc<Region>, pool: Arc<RwLock<Pool>>) -> Self {
        Self {
            id,
            slot,
            region,
            pool,
            labels: OnceLock::new(),
            gone: AtomicBool::new(false),
            watched: AtomicBool::new(false),
            appended: AtomicU32::new(0),
            reordered: AtomicU32::new(0),
            watches: Mutex::default(),
        }
    }

    pub fn id(&self) -> SeriesId {
        self.id
    }

    pub fn labels(&self) -> &Labels {
        if let Some(labels) = self.labels.get() {
            return labels;
        }
        // Not inside of `get_or_init`: a thread that removes the series sets them too, while it holds the pool, and must not wait for us.
        let pool = self.pool.read();
        let made = {
            let data = self.region.data.lock();
            (!self.is_gone()).then(|| pool.labels(data.labels(self.offset())))
        };
        drop(pool);
        self.labels.get_or_init(|| made.unwrap_or_default())
    }

    /// Before its pairs are released; the pool is in the caller's hand.
    pub(super) fn leave(&self, labels: impl FnOnce() -> Labels) {
        self.labels.get_or_init(labels);
        self.gone.store(true, Ordering::Release);
    }

    fn offset(&self) -> usize {
        self.slot as usize % REGION
    }

    /// Reads under the region's lock; `None` when the series has left.
    fn read<R>(&self, read: impl FnOnce(&Data, usize) -> R) -> Option<R> {
        let data = self.region.data.lock();
        (!self.is_gone()).then(|| read(&data, self.offset()))
    }

    /// The newest sample in `(after, until]`, a stale marker included. The newest of all costs no more than a lock.
    pub fn latest(&self, after: Timestamp, until: Timestamp) -> Option<Point> {
        let (t, v) = self.read(|data, i| data.latest(i, ms(after), ms(until)))??;
        Some(Point { t: Timestamp::from_millis(t), v })
    }

    /// All samples in `(after, until]` in time order, stale markers included, appended to `out`.
    pub fn range(&self, after: Timestamp, until: Timestamp, out: &mut Vec<Point>) {
        self.visit(after, until, |t, v| out.push(Point { t, v }));
    }

    /// Calls `each` for all samples in `(after, until]` in time order, stale markers included. What is older than the blocks
    /// that hold these is not looked at.
    #[inline]
    pub fn visit(&self, after: Timestamp, until: Timestamp, mut each: impl FnMut(Timestamp, SampleValue)) {
        self.read(|data, i| data.range(i, ms(after), ms(until), |t, v| each(Timestamp::from_millis(t), v)));
    }

    /// Remembers since when the sample at `t` counts.
    pub(super) fn started_at(&self, t: Timestamp, start: Timestamp) {
        let oldest = self.read(Data::oldest).flatten().unwrap_or(i64::MIN);
        self.region.starts.put(self.offset(), ms(t), ms(start), oldest);
    }

    /// Whether a start timestamp may be known; cheap.
    #[inline]
    pub fn has_starts(&self) -> bool {
        self.region.starts.is_any()
    }

    /// Calls `each` with the samples in `(after, until]` that came with a start timestamp, and that.
    pub fn starts(&self, after: Timestamp, until: Timestamp, mut each: impl FnMut(Timestamp, Timestamp)) {
        let time = Timestamp::from_millis;
        self.region.starts.visit(self.offset(), ms(after), ms(until), |t, start| each(time(t), time(start)));
    }

    /// The same for all samples after `after`, with the tail as it was then.
    pub fn visit_counted(&self, after: Timestamp, mut each: impl FnMut(Timestamp, SampleValue)) -> Tail {
        let tail = self.read(|data, i| {
            data.range(i, ms(after), i64::MAX, |t, v| each(Timestamp::from_millis(t), v));
            self.tail_of(data.latest(i, i64::MIN, i64::MAX))
        });
        tail.unwrap_or_else(|| self.tail_of(None))
    }

    /// Grows with every sample taken while the series is watched.
    #[inline]
    pub fn appended(&self) -> u32 {
        self.appended.load(Ordering::Acquire)
    }

    /// Grows whenever a sample is put before the newest one of a watched series: what was computed from the samples in order
    /// is then void.
    #[inline]
    pub fn reordered(&self) -> u32 {
        self.reordered.load(Ordering::Acquire)
    }

    /// Counts a sample, under the region's lock: no other thread writes meanwhile.
    #[inline]
    pub(super) fn count(&self, is_late: bool) {
        self.appended.store(self.appended().wrapping_add(1), Ordering::Release);
        if is_late {
            self.reordered.store(self.reordered().wrapping_add(1), Ordering::Release);
        }
    }

    /// Both counts and the newest sample, as they belong together; without a sample when the series has left.
    pub fn tail(&self) -> Tail {
        let tail = self.read(|data, i| self.tail_of(data.latest(i, i64::MIN, i64::MAX)));
        tail.unwrap_or_else(|| self.tail_of(None))
    }

    fn tail_of(&self, newest: Option<(i64, SampleValue)>) -> Tail {
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

    /// When a sample came last, by our own clock, in whole seconds.
    pub fn touched(&self) -> Timestamp {
        Timestamp::from_millis(self.read(Data::touched_ms).unwrap_or(i64::MIN))
    }

    /// The time of the newest sample.
    pub fn newest(&self) -> Option<Timestamp> {
        self.read(Data::newest)?.map(Timestamp::from_millis)
    }

    /// The time of the oldest sample that is still held.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.read(Data::oldest)?.map(Timestamp::from_millis)
    }

    /// The ids of the watches that this series is in.
    pub fn watch_ids(&self) -> Vec<u32> {
        self.watches.lock().clone()
    }

    /// True once the series has left the head.
    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    pub(super) fn watched_by(&self, watch: u32) {
        let mut watches = self.watches.lock();
        watches.push(watch);
        self.set_watched(true);
    }

    pub(super) fn unwatched_by(&self, watch: u32) {
        let mut watches = self.watches.lock();
        watches.retain(|id| *id != watch);
        self.set_watched(!watches.is_empty());
    }

    fn set_watched(&self, watched: bool) {
        self.watched.store(watched, Ordering::Release);
        let mut data = self.region.data.lock();
        if !self.is_gone() {
            data.set_watched(self.offset(), watched);
        }
    }

    pub(super) fn is_watched_by(&self, watch: u32) -> bool {
        self.is_watched() && self.watches.lock().contains(&watch)
    }

    /// Whether any rule watches this series.
    #[inline]
    pub fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Acquire)
    }

    /// Before the samples are read, so that one that comes later is noted again. Neighbours, as they arrive, take one lock.
    pub(super) fn forget_notes(arrived: &[Arc<Self>]) {
        for neighbours in arrived.chunk_by(|a, b| Arc::ptr_eq(&a.region, &b.region)) {
            let Some(first) = neighbours.first() else { continue };
            let mut data = first.region.data.lock();
            for series in neighbours.iter().filter(|series| !series.is_gone()) {
                data.forget_note(series.offset());
            }
        }
    }
}
