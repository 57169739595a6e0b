//! The blocks of a region, and how samples get into them.
//! In: samples for a place. Out: blocks, chained in time order.
//! Never: keeps more blocks of a series than its window needs.
//! Start at [`Data::append_float`].

use super::read::is_same;
use super::{BLOCKS_MAX, Data, HISTOGRAMS, Inserted, Retention, SLAB, seconds};
use crate::model::SampleValue;
use crate::series::block::{Block, NONE, Raw, View};
use crate::series::error::AppendError;
use std::sync::atomic::Ordering;

/// What comes back when series leave a region: whole slabs only, and the histograms.
#[derive(Debug)]
pub(in crate::series) struct Gain {
    spare_blocks: usize,
    other_bytes: usize,
}

impl Gain {
    /// The series at place `i` leaves too, and `more` bytes outside of the region with it.
    pub fn add(&mut self, data: &Data, i: usize, more: usize) {
        self.spare_blocks += data.hot.get(i).map_or(0, |hot| usize::from(hot.blocks));
        self.other_bytes += data.histogram_bytes(i) + more;
    }

    pub fn bytes(&self) -> usize {
        self.spare_blocks / SLAB * SLAB * size_of::<Block>() + self.other_bytes
    }
}

impl Data {
    // --- Blocks. ---

    #[inline]
    pub(super) fn block(&self, block: u32) -> Option<&Block> {
        self.slabs.get(block as usize / SLAB)?.get(block as usize % SLAB)
    }

    #[inline]
    pub(super) fn block_mut(&mut self, block: u32) -> Option<&mut Block> {
        self.slabs.get_mut(block as usize / SLAB)?.get_mut(block as usize % SLAB)
    }

    pub(super) fn take_block(&mut self) -> u32 {
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

    pub(super) fn release(&mut self, block: u32) {
        let free = self.free;
        if let Some(place) = self.block_mut(block) {
            *place = Block::EMPTY;
            place.next = free;
            self.free = block;
        }
    }

    fn used_blocks(&self) -> usize {
        self.hot.iter().map(|hot| usize::from(hot.blocks)).sum()
    }

    /// Gives memory back when that frees at least one slab in `share`, as after many series have left at once.
    pub(in crate::series) fn compact_blocks(&mut self, share: usize) {
        let spare = self.slabs.len().saturating_sub(self.used_blocks().div_ceil(SLAB));
        if spare == 0 || spare.saturating_mul(share) < self.slabs.len() {
            return;
        }
        let old = std::mem::take(&mut self.slabs);
        self.free = NONE;
        self.bytes.fetch_sub(old.len() * SLAB * size_of::<Block>(), Ordering::Relaxed);
        for i in 0..self.hot.len() {
            let mut at = self.hot[i].first;
            let mut before = NONE;
            while let Some(block) = old.get(at as usize / SLAB).and_then(|slab| slab.get(at as usize % SLAB)) {
                let taken = self.take_block();
                if let Some(place) = self.block_mut(taken) {
                    *place = block.clone();
                    place.next = NONE;
                }
                match self.block_mut(before) {
                    Some(before) => before.next = taken,
                    None => self.hot[i].first = taken,
                }
                self.hot[i].tail = taken;
                before = taken;
                at = block.next;
            }
        }
    }

    /// What comes back when series leave this region and it is compacted; of none yet.
    pub(in crate::series) fn gain(&self) -> Gain {
        Gain { spare_blocks: (self.slabs.len() * SLAB).saturating_sub(self.used_blocks()), other_bytes: 0 }
    }

    /// Starts a block behind the last one, and lets blocks go that are older than the window.
    #[inline(never)]
    pub(super) fn start_block(&mut self, i: usize, sample: Raw, cutoff: i64) -> u32 {
        let taken = self.take_block();
        let Some(hot) = self.hot.get_mut(i) else { return 0 };
        let before = std::mem::replace(&mut hot.tail, taken);
        if before == NONE {
            hot.first = taken;
        }
        hot.blocks += 1;
        let (closing, mut pen) = (hot.pen, hot.pen);
        if let Some(block) = self.block_mut(taken) {
            block.next = NONE;
            block.start(sample, &mut pen);
        }
        if let Some(block) = self.block_mut(before) {
            block.close(&closing);
            block.next = taken;
        }
        if let Some(hot) = self.hot.get_mut(i) {
            hot.pen = pen;
        }
        self.evict(i, cutoff)
    }

    /// A block may go when the next one's first sample is old already: then all of it is older.
    pub(super) fn evict(&mut self, i: usize, cutoff: i64) -> u32 {
        let mut evicted = 0;
        while let Some(hot) = self.hot.get(i) {
            let (first, tail, blocks) = (hot.first, hot.tail, hot.blocks);
            let Some(block) = self.block(first).filter(|_| first != tail) else { break };
            let (next, count) = (block.next, block.closed().count());
            let old = self.block(next).is_some_and(|b| b.first_t() <= cutoff);
            if !old && blocks <= BLOCKS_MAX {
                break;
            }
            evicted += count as u32;
            self.release(first);
            if let Some(hot) = self.hot.get_mut(i) {
                hot.first = next;
                hot.blocks -= 1;
            }
        }
        evicted
    }

    /// The blocks of a series in time order, with their numbers.
    pub(super) fn chain(&self, i: usize) -> impl Iterator<Item = (u32, View<'_>)> {
        let mut at = self.hot.get(i).map_or(NONE, |hot| hot.first);
        std::iter::from_fn(move || {
            let number = at;
            let view = self.view(i, number)?;
            at = view.next();
            Some((number, view))
        })
    }

    /// A block of the series at place `i`, which may be the one that it is writing.
    pub(super) fn view(&self, i: usize, number: u32) -> Option<View<'_>> {
        let (hot, block) = (self.hot.get(i)?, self.block(number)?);
        Some(if hot.tail == number { block.open(&hot.pen) } else { block.closed() })
    }

    // --- Samples come. ---

    /// Reads a little of what [`Self::append_float`] will need.
    #[inline]
    pub(in crate::series) fn touch(&self, i: usize) -> u32 {
        self.hot.get(i).and_then(|hot| Some(self.block(hot.tail)?.touch(&hot.pen))).unwrap_or(0)
    }

    /// Adds a float of any age that is newer than all others, or a late one within the out-of-order window.
    #[inline]
    pub(in crate::series) fn append_float(
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
    pub(in crate::series) fn append(
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
    pub(super) fn push(&mut self, i: usize, t: i64, value: &SampleValue, keep: Retention) -> u32 {
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
    pub(super) fn insert_late(&mut self, i: usize, t: i64, value: &SampleValue, keep: Retention) -> u32 {
        let sample = match value {
            SampleValue::Histogram(h) => {
                self.put_histogram(i, t, h);
                // Only their number counts here, as with floats below.
                return self.evict_histograms(i, i64::MIN);
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
            before = place;
            place = number;
        }
        let Some(block) = self.view(i, place) else { return 0 };
        let after = block.next();
        let mut samples: Vec<Raw> = block.samples().collect();
        samples.insert(samples.partition_point(|s| s.t < t), sample);
        self.release(place);
        // Written anew, in as many blocks as it takes now.
        let (mut first, mut last, mut taken) = (NONE, NONE, 0);
        for sample in samples {
            if self.block_mut(last).is_some_and(|b| b.push(sample, &mut pen)) {
                continue;
            }
            let (new, closing) = (self.take_block(), pen);
            if let Some(block) = self.block_mut(new) {
                block.start(sample, &mut pen);
                block.next = after;
            }
            match self.block_mut(last) {
                Some(block) => {
                    block.close(&closing);
                    block.next = new;
                }
                None => first = new,
            }
            last = new;
            taken += 1;
        }
        if let Some(block) = self.block_mut(last) {
            block.close(&pen);
        }
        if let Some(block) = self.block_mut(before) {
            block.next = first;
        }
        if let Some(hot) = self.hot.get_mut(i) {
            if before == NONE {
                hot.first = first;
            }
            if place == tail {
                hot.tail = last;
                hot.pen = pen;
            }
            hot.blocks = hot.blocks.saturating_add(taken) - 1;
        }
        // Only the number of blocks counts here; age was looked at when newer samples came.
        self.evict(i, i64::MIN)
    }
}
