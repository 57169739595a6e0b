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
    /// Whether any sample came with a start timestamp.
    started: AtomicBool,
    watches: Mutex<Vec<u32>>,
}

#[derive(Debug, Default)]
struct Data {
    chunks: Chunks,
    /// Times of samples and their start timestamps, oldest first; nearly no sender gives them.
    starts: Option<Box<Starts>>,
    gone: bool,
}

/// Times of samples and since when each counts. Boxed as a whole, since nearly all series do without.
#[derive(Debug, Default)]
struct Starts(Vec<(i64, i64)>);

/// Below so many start timestamps none is dropped: an hour at one sample in fifteen seconds.
const STARTS_KEPT: usize = 256;

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
            started: AtomicBool::new(false),
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

    /// Remembers since when the sample at `t` counts.
    pub(super) fn started_at(&self, t: Timestamp, start: Timestamp) {
        let mut data = self.data.lock();
        let oldest = data.chunks.oldest().unwrap_or(i64::MIN);
        let starts = &mut data.starts.get_or_insert_default().0;
        let place = starts.partition_point(|(at, _)| *at < ms(t));
        if starts.get(place).is_some_and(|(at, _)| *at == ms(t)) {
            starts[place].1 = ms(start);
        } else {
            starts.insert(place, (ms(t), ms(start)));
        }
        // What the chunks have dropped is dropped here too, now and then.
        if starts.len() > STARTS_KEPT && starts.len().is_power_of_two() {
            starts.retain(|(at, _)| *at >= oldest);
        }
        self.started.store(true, Ordering::Release);
    }

    /// Times of samples in `(after, until]` that came with a start timestamp, and that, appended to `out`.
    pub fn starts(&self, after: Timestamp, until: Timestamp, out: &mut Vec<(Timestamp, Timestamp)>) {
        if !self.started.load(Ordering::Acquire) {
            return;
        }
        let data = self.data.lock();
        let starts = data.starts.iter().flat_map(|starts| starts.0.iter());
        let within = starts.filter(|(at, _)| (ms(after) + 1..=ms(until)).contains(at));
        out.extend(within.map(|(at, start)| (Timestamp::from_millis(*at), Timestamp::from_millis(*start))));
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
