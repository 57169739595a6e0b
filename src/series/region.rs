//! Neighbouring series under one lock: what every sample touches lies together, in the order in which series came.
//! In: samples for a place. Out: what the place holds.
//! Never: moves a series; its place is its own until it leaves.
//! Start at [`Data`]; samples come in by `blocks`, and are read by `read`.

mod blocks;
mod histograms;
mod read;
#[cfg(test)]
mod tests;

use super::block::{Block, NONE, Pen};
use super::pool::PairId;
use super::series::Series;
use super::starts::Starts;
use crate::model::{Histogram, Timestamp};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// Series of a region: enough that a request takes few locks, few enough that a reader waits for microseconds.
pub(super) const REGION: usize = 512;
/// Blocks that are allocated at once, a page: small steps, because memory per series is what we are judged by.
const SLAB: usize = 32;
/// No series keeps more blocks, however fast it is sampled: about 130,000 samples, an hour at 27 ms.
const BLOCKS_MAX: u16 = 4096;
/// Histograms are kept whole, so fewer of them: an hour at one a second.
const HISTOGRAMS_MAX: usize = 3600;

const ALIVE: u8 = 1;
const WATCHED: u8 = 2;
const NOTED: u8 = 4;
const HISTOGRAMS: u8 = 8;

/// How old a sample may be; both in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retention {
    pub window: i64,
    pub out_of_order: i64,
}

/// What an insertion changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Inserted {
    /// False when the very same sample was there already.
    pub added: bool,
    /// It was put before the newest one.
    pub late: bool,
    pub evicted: u32,
}

impl Inserted {
    const NEW: Self = Self { added: true, late: false, evicted: 0 };
}

/// What a sample of a known series reads and writes, besides its block.
#[derive(Clone, Debug)]
struct Hot {
    pen: Pen,
    first: u32,
    tail: u32,
    /// When a sample came last, in seconds: what makes a series idle.
    touched: u32,
    labels_at: u32,
    generation: u32,
    blocks: u16,
    label_count: u8,
    flags: u8,
}

impl Hot {
    const EMPTY: Self = Self {
        pen: Pen::NEW,
        first: NONE,
        tail: NONE,
        touched: 0,
        labels_at: 0,
        generation: 0,
        blocks: 0,
        label_count: 0,
        flags: 0,
    };
}

/// In time order.
type Histograms = VecDeque<(i64, Arc<Histogram>)>;

#[derive(Debug)]
pub(super) struct Region {
    pub data: Mutex<Data>,
    pub starts: Starts,
}

#[derive(Debug)]
pub(super) struct Data {
    hot: Vec<Hot>,
    handles: Vec<Option<Arc<Series>>>,
    labels: Vec<PairId>,
    labels_dead: usize,
    slabs: Vec<Box<[Block]>>,
    /// The first free block; each names the next.
    free: u32,
    histograms: HashMap<u32, Histograms, foldhash::fast::RandomState>,
    /// Shared by all regions.
    bytes: Arc<AtomicUsize>,
}

impl Region {
    pub fn new(bytes: Arc<AtomicUsize>) -> Self {
        let data = Data {
            hot: Vec::with_capacity(REGION),
            handles: Vec::with_capacity(REGION),
            // Ten labels are usual; what is not used is never touched.
            labels: Vec::with_capacity(REGION * 10),
            labels_dead: 0,
            slabs: Vec::new(),
            free: NONE,
            histograms: HashMap::default(),
            bytes,
        };
        Self { data: Mutex::new(data), starts: Starts::default() }
    }
}

fn seconds(ms: i64) -> u32 {
    (ms.max(0) / 1000).min(i64::from(u32::MAX)) as u32
}

impl Data {
    /// What each place takes besides labels and blocks.
    pub const BYTES_PER_SERIES: usize = size_of::<Hot>() + size_of::<Option<Arc<Series>>>();

    // --- Series come and leave. ---

    /// Puts a new series at place `i`.
    pub fn create(&mut self, i: usize, labels: &[PairId], now_ms: i64) {
        while self.hot.len() <= i {
            self.hot.push(Hot::EMPTY);
            self.handles.push(None);
        }
        let labels_at = self.labels.len() as u32;
        self.labels.extend_from_slice(labels);
        if let Some(hot) = self.hot.get_mut(i) {
            let generation = hot.generation;
            let label_count = labels.len().min(255) as u8;
            *hot = Hot { touched: seconds(now_ms), labels_at, label_count, generation, flags: ALIVE, ..Hot::EMPTY };
        }
    }

    /// Takes the series at place `i` away; returns its handle if somebody asked for one, and how many samples it held.
    pub fn remove(&mut self, i: usize) -> (Option<Arc<Series>>, usize) {
        let held = self.len(i);
        let Some(hot) = self.hot.get_mut(i) else { return (None, 0) };
        let mut block = hot.first;
        self.labels_dead += usize::from(hot.label_count);
        *hot = Hot { generation: hot.generation.wrapping_add(1), ..Hot::EMPTY };
        while block != NONE {
            let next = self.block(block).map_or(NONE, |b| b.next);
            self.release(block);
            block = next;
        }
        self.remove_histograms(i);
        if self.labels_dead > self.labels.len() / 2 {
            self.compact_labels();
        }
        (self.handles.get_mut(i).and_then(Option::take), held)
    }

    fn compact_labels(&mut self) {
        let old = std::mem::replace(&mut self.labels, Vec::with_capacity(REGION * 10));
        for hot in self.hot.iter_mut().filter(|hot| hot.flags & ALIVE != 0) {
            let at = hot.labels_at as usize;
            hot.labels_at = self.labels.len() as u32;
            self.labels.extend_from_slice(old.get(at..at + usize::from(hot.label_count)).unwrap_or_default());
        }
        self.labels_dead = 0;
    }

    pub fn is_alive(&self, i: usize) -> bool {
        self.hot.get(i).is_some_and(|hot| hot.flags & ALIVE != 0)
    }

    /// Grows each time the place is given away.
    pub fn generation(&self, i: usize) -> u32 {
        self.hot.get(i).map_or(0, |hot| hot.generation)
    }

    /// Whether nothing came since `cutoff_ms`.
    pub fn is_idle(&self, i: usize, cutoff_ms: i64) -> bool {
        self.hot.get(i).is_some_and(|hot| hot.flags & ALIVE != 0 && i64::from(hot.touched) < cutoff_ms.div_euclid(1000))
    }

    pub fn labels(&self, i: usize) -> &[PairId] {
        let Some(hot) = self.hot.get(i).filter(|hot| hot.flags & ALIVE != 0) else { return &[] };
        let at = hot.labels_at as usize;
        self.labels.get(at..at + usize::from(hot.label_count)).unwrap_or_default()
    }

    // --- Handles and watches. ---

    pub fn handle(&self, i: usize) -> Option<&Arc<Series>> {
        self.handles.get(i)?.as_ref()
    }

    pub fn set_handle(&mut self, i: usize, handle: Arc<Series>) {
        if let Some(place) = self.handles.get_mut(i) {
            *place = Some(handle);
        }
    }

    /// Forgets handles whose last holder is gone.
    pub fn drop_unheld_handles(&mut self) {
        for (hot, handle) in self.hot.iter().zip(&mut self.handles) {
            if hot.flags & (WATCHED | NOTED) == 0 && handle.as_ref().is_some_and(|h| Arc::strong_count(h) == 1) {
                *handle = None;
            }
        }
    }

    pub fn set_watched(&mut self, i: usize, watched: bool) {
        if let Some(hot) = self.hot.get_mut(i) {
            hot.flags = if watched { hot.flags | WATCHED } else { hot.flags & !WATCHED };
        }
    }

    pub fn is_watched(&self, i: usize) -> bool {
        self.hot.get(i).is_some_and(|hot| hot.flags & WATCHED != 0)
    }

    /// The handle of a watched series, for the first who asks since [`Self::forget_note`].
    #[inline]
    pub fn note(&mut self, i: usize) -> Option<Arc<Series>> {
        let hot = self.hot.get_mut(i)?;
        if hot.flags & (WATCHED | NOTED) != WATCHED {
            return None;
        }
        hot.flags |= NOTED;
        self.handles.get(i)?.clone()
    }

    /// Before the samples are read, so that one that comes later is noted again.
    pub fn forget_note(&mut self, i: usize) {
        if let Some(hot) = self.hot.get_mut(i) {
            hot.flags &= !NOTED;
        }
    }
}

/// A time on the outside is a [`Timestamp`], in here its milliseconds.
pub(super) fn ms(t: Timestamp) -> i64 {
    t.as_millis()
}
