//! Neighbouring series under one lock: what every sample touches lies together, in the order in which series came.
//! In: samples for a place. Out: what the place holds.
//! Never: moves a series; its place is its own until it leaves.
//! Start at [`Data::append_float`].

use super::block::{Block, NONE, Pen, Raw};
use super::error::AppendError;
use super::pool::PairId;
use super::series::Series;
use super::starts::Starts;
use crate::model::{Histogram, SampleValue, Timestamp};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Series of a region: enough that a request takes few locks, few enough that a reader waits for microseconds.
pub(super) const REGION: usize = 512;
/// Blocks that are allocated at once, a page: small steps, because memory per series is what we are judged by.
const SLAB: usize = 32;
/// No series keeps more blocks, however fast it is sampled: about 130,000 samples, an hour at 27 ms.
const BLOCKS_MAX: u16 = 4096;
/// Histograms are kept whole, so fewer of them: an hour at one a second.
const HISTOGRAMS_MAX: usize = 3600;
/// What a histogram takes, for budgets.
const HISTOGRAM_BYTES: usize = 400;

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
        pen: Pen { last: Raw { t: 0, bits: 0 }, delta: 0, scale: 0 },
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
        self.histograms.remove(&(i as u32));
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

    /// Forgets handles that nobody holds any more.
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

    // --- Blocks. ---

    #[inline]
    fn block(&self, block: u32) -> Option<&Block> {
        self.slabs.get(block as usize / SLAB)?.get(block as usize % SLAB)
    }

    #[inline]
    fn block_mut(&mut self, block: u32) -> Option<&mut Block> {
        self.slabs.get_mut(block as usize / SLAB)?.get_mut(block as usize % SLAB)
    }

    fn take_block(&mut self) -> u32 {
        if self.free == NONE {
            let from = (self.slabs.len() * SLAB) as u32;
            let mut slab = vec![Block::EMPTY; SLAB].into_boxed_slice();
            for (block, next) in slab.iter_mut().zip(from + 1..from + SLAB as u32) {
                block.next = next;
            }
            self.slabs.push(slab);
            self.bytes.fetch_add(SLAB * size_of::<Block>(), Ordering::Relaxed);
            self.free = from;
        }
        let taken = self.free;
        self.free = self.block(taken).map_or(NONE, |block| block.next);
        taken
    }

    fn release(&mut self, block: u32) {
        let free = self.free;
        if let Some(place) = self.block_mut(block) {
            *place = Block::EMPTY;
            place.next = free;
            self.free = block;
        }
    }

    /// Starts a block behind the last one, and lets blocks go that are older than the window.
    #[inline(never)]
    fn start_block(&mut self, i: usize, sample: Raw, cutoff: i64) -> u32 {
        let taken = self.take_block();
        let Some(hot) = self.hot.get_mut(i) else { return 0 };
        let before = std::mem::replace(&mut hot.tail, taken);
        if before == NONE {
            hot.first = taken;
        }
        hot.blocks += 1;
        let mut pen = hot.pen;
        if let Some(block) = self.block_mut(taken) {
            block.next = NONE;
            block.start(sample, &mut pen);
        }
        if let Some(block) = self.block_mut(before) {
            block.next = taken;
        }
        if let Some(hot) = self.hot.get_mut(i) {
            hot.pen = pen;
        }
        self.evict(i, cutoff)
    }

    /// A block may go when the next one's first sample is old already: then all of it is older.
    fn evict(&mut self, i: usize, cutoff: i64) -> u32 {
        let mut evicted = 0;
        while let Some(hot) = self.hot.get(i) {
            let (first, tail, blocks) = (hot.first, hot.tail, hot.blocks);
            let Some(block) = self.block(first).filter(|_| first != tail) else { break };
            let (next, count) = (block.next, block.count());
            let old = self.block(next).is_some_and(|b| b.first_t() <= cutoff);
            if !old && blocks <= BLOCKS_MAX {
                break;
            }
            evicted += count as u32;
            self.release(first);
            if let Some(hot) = self.hot.get_mut(i) {
                (hot.first, hot.blocks) = (next, hot.blocks - 1);
            }
        }
        evicted
    }

    /// The blocks of a series in time order, with their numbers.
    fn chain(&self, i: usize) -> impl Iterator<Item = (u32, &Block)> {
        let mut at = self.hot.get(i).map_or(NONE, |hot| hot.first);
        std::iter::from_fn(move || {
            let number = at;
            let block = self.block(number)?;
            at = block.next;
            Some((number, block))
        })
    }

    // --- Samples come. ---

    /// Reads a little of what [`Self::append_float`] will need.
    #[inline]
    pub fn touch(&self, i: usize) -> u32 {
        self.hot.get(i).and_then(|hot| self.block(hot.tail)).map_or(0, Block::touch)
    }

    /// Adds a float of any age that is newer than all others, or a late one within the out-of-order window.
    #[inline]
    pub fn append_float(
        &mut self,
        i: usize,
        sample: Raw,
        now_ms: i64,
        keep: Retention,
    ) -> Result<Inserted, AppendError> {
        let Some(hot) = self.hot.get_mut(i) else { return Err(AppendError::TooOld) };
        if hot.tail == NONE || hot.flags & HISTOGRAMS != 0 || sample.t <= hot.pen.last.t {
            let value = SampleValue::Float(f64::from_bits(sample.bits));
            return self.append(i, sample.t, &value, now_ms, keep);
        }
        hot.touched = seconds(now_ms);
        let tail = hot.tail as usize;
        if let Some(block) = self.slabs.get_mut(tail / SLAB).and_then(|slab| slab.get_mut(tail % SLAB))
            && block.push(sample, &mut hot.pen)
        {
            return Ok(Inserted::NEW);
        }
        let evicted = self.start_block(i, sample, sample.t.saturating_sub(keep.window));
        Ok(Inserted { evicted, ..Inserted::NEW })
    }

    /// The same for any sample, whatever the series holds.
    pub fn append(
        &mut self,
        i: usize,
        t: i64,
        value: &SampleValue,
        now_ms: i64,
        keep: Retention,
    ) -> Result<Inserted, AppendError> {
        let inserted = match self.newest(i) {
            Some(newest) if t <= newest => {
                match self.at(i, t) {
                    Some(same) if is_same(&same, value) => return Ok(Inserted::default()),
                    Some(_) => return Err(AppendError::DuplicateTimestamp),
                    None if t < newest.saturating_sub(keep.out_of_order) => return Err(AppendError::TooOld),
                    None => {}
                }
                let evicted = self.insert_late(i, t, value, keep);
                Inserted { added: true, late: true, evicted }
            }
            _ => Inserted { evicted: self.push(i, t, value, keep), ..Inserted::NEW },
        };
        if let Some(hot) = self.hot.get_mut(i) {
            hot.touched = seconds(now_ms);
        }
        Ok(inserted)
    }

    /// A sample behind the last one of its kind.
    fn push(&mut self, i: usize, t: i64, value: &SampleValue, keep: Retention) -> u32 {
        let cutoff = t.saturating_sub(keep.window);
        let v = match value {
            SampleValue::Float(v) => v,
            SampleValue::Histogram(h) => {
                self.put_histogram(i, t, h);
                return self.evict_histograms(i, cutoff);
            }
        };
        let sample = Raw { t, bits: v.to_bits() };
        let Some(hot) = self.hot.get_mut(i) else { return 0 };
        let tail = hot.tail as usize;
        if let Some(block) = self.slabs.get_mut(tail / SLAB).and_then(|slab| slab.get_mut(tail % SLAB))
            && block.push(sample, &mut hot.pen)
        {
            return 0;
        }
        self.start_block(i, sample, cutoff)
    }

    #[cold]
    fn insert_late(&mut self, i: usize, t: i64, value: &SampleValue, keep: Retention) -> u32 {
        let sample = match value {
            SampleValue::Histogram(h) => {
                self.put_histogram(i, t, h);
                return 0;
            }
            SampleValue::Float(v) => Raw { t, bits: v.to_bits() },
        };
        let Some(hot) = self.hot.get(i) else { return 0 };
        let (tail, mut pen) = (hot.tail, hot.pen);
        if tail == NONE || t > pen.last.t {
            // A histogram is newest; among the floats this one is in order.
            return self.push(i, t, value, keep);
        }
        // The last block that starts before it, or the first one.
        let mut before = NONE;
        let mut place = hot.first;
        for (number, block) in self.chain(i).skip(1) {
            if block.first_t() > t {
                break;
            }
            (before, place) = (place, number);
        }
        let Some(block) = self.block(place) else { return 0 };
        let after = block.next;
        let mut samples: Vec<Raw> = block.samples().collect();
        samples.insert(samples.partition_point(|s| s.t < t), sample);
        self.release(place);
        // Written anew, in as many blocks as it takes now.
        let (mut first, mut last, mut taken) = (NONE, NONE, 0);
        for sample in samples {
            if self.block_mut(last).is_some_and(|b| b.push(sample, &mut pen)) {
                continue;
            }
            let new = self.take_block();
            if let Some(block) = self.block_mut(new) {
                block.start(sample, &mut pen);
                block.next = after;
            }
            match self.block_mut(last) {
                Some(block) => block.next = new,
                None => first = new,
            }
            (last, taken) = (new, taken + 1);
        }
        if let Some(block) = self.block_mut(before) {
            block.next = first;
        }
        if let Some(hot) = self.hot.get_mut(i) {
            if before == NONE {
                hot.first = first;
            }
            if place == tail {
                (hot.tail, hot.pen) = (last, pen);
            }
            hot.blocks = hot.blocks.saturating_add(taken) - 1;
        }
        // Only the number of blocks counts here; age was looked at when newer samples came.
        self.evict(i, i64::MIN)
    }

    fn put_histogram(&mut self, i: usize, t: i64, histogram: &Arc<Histogram>) {
        let all = self.histograms.entry(i as u32).or_default();
        let place = all.partition_point(|(at, _)| *at < t);
        all.insert(place, (t, histogram.clone()));
        self.bytes.fetch_add(HISTOGRAM_BYTES, Ordering::Relaxed);
        if let Some(hot) = self.hot.get_mut(i) {
            hot.flags |= HISTOGRAMS;
        }
    }

    fn evict_histograms(&mut self, i: usize, cutoff: i64) -> u32 {
        let mut evicted = 0;
        if let Some(all) = self.histograms.get_mut(&(i as u32)) {
            while all.front().is_some_and(|(t, _)| *t < cutoff) || all.len() > HISTOGRAMS_MAX {
                all.pop_front();
                evicted += 1;
            }
        }
        self.bytes.fetch_sub(evicted * HISTOGRAM_BYTES, Ordering::Relaxed);
        evicted as u32
    }

    // --- Samples are read. ---

    fn histograms(&self, i: usize) -> Option<&Histograms> {
        let hot = self.hot.get(i)?;
        if hot.flags & HISTOGRAMS == 0 { None } else { self.histograms.get(&(i as u32)) }
    }

    fn last_float(&self, i: usize) -> Option<Raw> {
        self.hot.get(i).filter(|hot| hot.tail != NONE).map(|hot| hot.pen.last)
    }

    /// When a sample came last, rounded down to a second.
    pub fn touched_ms(&self, i: usize) -> i64 {
        self.hot.get(i).map_or(i64::MIN, |hot| i64::from(hot.touched) * 1000)
    }

    pub fn newest(&self, i: usize) -> Option<i64> {
        let histogram = self.histograms(i).and_then(|all| all.back()).map(|(t, _)| *t);
        self.last_float(i).map(|s| s.t).max(histogram)
    }

    pub fn oldest(&self, i: usize) -> Option<i64> {
        let float = self.chain(i).next().map(|(_, block)| block.first_t());
        let histogram = self.histograms(i).and_then(|all| all.front()).map(|(t, _)| *t);
        match (float, histogram) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Samples held.
    pub fn len(&self, i: usize) -> usize {
        let floats: usize = self.chain(i).map(|(_, block)| block.count()).sum();
        floats + self.histograms(i).map_or(0, VecDeque::len)
    }

    /// The sample at exactly `t`.
    fn at(&self, i: usize, t: i64) -> Option<SampleValue> {
        if let Some(all) = self.histograms(i)
            && let Ok(place) = all.binary_search_by_key(&t, |(at, _)| *at)
        {
            return all.get(place).map(|(_, h)| SampleValue::Histogram(h.clone()));
        }
        let found = self.float_until(i, t).filter(|s| s.t == t)?;
        Some(SampleValue::Float(f64::from_bits(found.bits)))
    }

    /// The newest float that is not newer than `until`.
    fn float_until(&self, i: usize, until: i64) -> Option<Raw> {
        let last = self.last_float(i)?;
        if last.t <= until {
            return Some(last);
        }
        let block = self.chain(i).map(|(_, block)| block).take_while(|b| b.first_t() <= until).last()?;
        block.samples().take_while(|s| s.t <= until).last()
    }

    /// The newest sample in `(after, until]`.
    #[inline]
    pub fn latest(&self, i: usize, after: i64, until: i64) -> Option<(i64, SampleValue)> {
        let float = self.float_until(i, until).map(|s| (s.t, SampleValue::Float(f64::from_bits(s.bits))));
        let histogram = self.histograms(i).and_then(|all| {
            let place = all.partition_point(|(t, _)| *t <= until).checked_sub(1)?;
            all.get(place).map(|(t, h)| (*t, SampleValue::Histogram(h.clone())))
        });
        let newest = match (float, histogram) {
            (Some(f), Some(h)) => Some(if f.0 > h.0 { f } else { h }),
            (f, h) => f.or(h),
        };
        newest.filter(|(t, _)| *t > after)
    }

    /// Calls `each` for all samples in `(after, until]`, in time order.
    pub fn range(&self, i: usize, after: i64, until: i64, mut each: impl FnMut(i64, SampleValue)) {
        let all = self.histograms(i);
        let mut histograms = all.iter().flat_map(|all| all.iter()).filter(|(t, _)| *t > after && *t <= until);
        let mut pending = histograms.next();
        for (_, block) in self.chain(i) {
            if block.first_t() > until {
                break;
            }
            // All of a block is older than the next one's first sample.
            if self.block(block.next).is_some_and(|next| next.first_t() <= after) {
                continue;
            }
            for float in block.samples().filter(|s| s.t > after).take_while(|s| s.t <= until) {
                while let Some((t, h)) = pending.filter(|(t, _)| *t < float.t) {
                    each(*t, SampleValue::Histogram(h.clone()));
                    pending = histograms.next();
                }
                each(float.t, SampleValue::Float(f64::from_bits(float.bits)));
            }
        }
        for (t, h) in pending.into_iter().chain(histograms) {
            each(*t, SampleValue::Histogram(h.clone()));
        }
    }
}

fn is_same(a: &SampleValue, b: &SampleValue) -> bool {
    match (a, b) {
        (SampleValue::Float(a), SampleValue::Float(b)) => a.to_bits() == b.to_bits(),
        // The sum is compared by its bits, because a stale histogram's sum is a NaN and NaN is never equal.
        (SampleValue::Histogram(a), SampleValue::Histogram(b)) => {
            Arc::ptr_eq(a, b)
                || (a.sum.to_bits() == b.sum.to_bits()
                    && Histogram { sum: 0.0, ..(**a).clone() } == Histogram { sum: 0.0, ..(**b).clone() })
        }
        _ => false,
    }
}

/// A time on the outside is a [`Timestamp`], in here its milliseconds.
pub(super) fn ms(t: Timestamp) -> i64 {
    t.as_millis()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const KEEP: Retention = Retention { window: 1_000_000, out_of_order: 100_000 };

    fn data() -> Data {
        let mut data = Region::new(Arc::default()).data.into_inner();
        // A neighbour before and behind, so that blocks of several series lie between each other.
        for i in 0..3 {
            data.create(i, &[i as u32], 0);
        }
        data
    }

    fn put(data: &mut Data, t: i64, v: f64) -> Result<Inserted, AppendError> {
        drop(data.append_float(0, Raw { t: t + 1_000_000_000, bits: 0 }, 0, KEEP));
        drop(data.append_float(2, Raw { t: t + 1_000_000_000, bits: 0 }, 0, KEEP));
        data.append_float(1, Raw { t, bits: v.to_bits() }, 0, KEEP)
    }

    fn all(data: &Data) -> Vec<(i64, u64)> {
        let mut out = Vec::new();
        let bits = |v| if let SampleValue::Float(v) = v { v.to_bits() } else { 0 };
        data.range(1, i64::MIN, i64::MAX, |t, v| out.push((t, bits(v))));
        out
    }

    proptest! {
        /// The model is a sorted map under the same rules.
        #[test]
        fn late_samples_find_their_place(
            samples in proptest::collection::vec((0_i64..150_000, 0_u32..3), 1..300), after in 0_i64..150_000, len in 0_i64..90_000,
        ) {
            let mut data = data();
            let mut model: BTreeMap<i64, u64> = BTreeMap::new();
            for (t, v) in samples {
                let v = f64::from(v) + 0.3;
                let got = put(&mut data, t, v);
                let newest = model.keys().next_back().copied().unwrap_or(t);
                match model.get(&t) {
                    Some(bits) if *bits == v.to_bits() => prop_assert_eq!(got, Ok(Inserted::default())),
                    Some(_) => prop_assert_eq!(got, Err(AppendError::DuplicateTimestamp)),
                    None if t < newest - KEEP.out_of_order => prop_assert_eq!(got, Err(AppendError::TooOld)),
                    None => {
                        prop_assert_eq!(got, Ok(Inserted { added: true, late: t < newest, evicted: 0 }));
                        model.insert(t, v.to_bits());
                    }
                }
            }
            prop_assert_eq!(all(&data), model.iter().map(|(t, b)| (*t, *b)).collect::<Vec<_>>());
            prop_assert_eq!(data.len(1), model.len());
            prop_assert_eq!((data.oldest(1), data.newest(1)), (model.keys().next().copied(), model.keys().next_back().copied()));
            let mut ranged = Vec::new();
            data.range(1, after, after + len, |t, _| ranged.push(t));
            let window = || model.range((std::ops::Bound::Excluded(after), std::ops::Bound::Included(after + len)));
            if len > 0 {
                prop_assert_eq!(&ranged, &window().map(|(t, _)| *t).collect::<Vec<_>>());
            }
            prop_assert_eq!(data.latest(1, after, after + len).map(|(t, _)| t), ranged.last().copied());
        }
    }

    #[test]
    fn old_blocks_leave_and_are_used_again() {
        let mut data = data();
        let mut evicted = 0;
        for i in 0..5_000_i64 {
            evicted += put(&mut data, i * 15_000, 0.5).unwrap().evicted as usize;
        }
        assert_eq!(data.len(1) + evicted, 5_000);
        // 66 are within the window; a block of these holds about a hundred.
        assert!((67..67 + 106).contains(&data.len(1)), "{}", data.len(1));
        let bytes = data.bytes.load(Ordering::Relaxed);
        assert!(bytes <= SLAB * 128, "{bytes}");
        assert_eq!(data.remove(1).1, 5_000 - evicted);
        assert!(!data.is_alive(1) && data.labels(1).is_empty() && data.labels(2) == [2]);
    }

    #[test]
    fn a_series_without_end_of_samples_is_cut() {
        let mut data = data();
        for i in 0..300_000_i64 {
            drop(data.append_float(1, Raw { t: i, bits: (i as f64).sin().to_bits() }, 0, KEEP));
        }
        assert!(data.len(1) <= usize::from(BLOCKS_MAX + 1) * 106);
        assert_eq!(data.newest(1), Some(299_999));
    }

    #[test]
    fn floats_and_histograms_share_a_series() {
        let mut data = data();
        let histogram = |sum| SampleValue::Histogram(Arc::new(Histogram { sum, ..Histogram::default() }));
        let stale = f64::from_bits(crate::model::sample::STALE_NAN_BITS);
        for (t, v) in
            [(10, SampleValue::Float(1.0)), (30, histogram(stale)), (20, SampleValue::Float(2.0)), (5, histogram(1.0))]
        {
            assert!(data.append(1, t, &v, 0, KEEP).unwrap().added);
        }
        assert_eq!(all(&data).iter().map(|(t, _)| *t).collect::<Vec<_>>(), [5, 10, 20, 30]);
        assert_eq!(data.append(1, 30, &histogram(stale), 0, KEEP), Ok(Inserted::default()));
        assert_eq!(data.append(1, 30, &SampleValue::Float(1.0), 0, KEEP), Err(AppendError::DuplicateTimestamp));
        assert_eq!(
            data.append_float(1, Raw { t: 25, bits: 0 }, 0, KEEP).unwrap(),
            Inserted { added: true, late: true, evicted: 0 }
        );
        assert_eq!(data.latest(1, 0, 29).map(|(t, _)| t), Some(25));
    }
}
