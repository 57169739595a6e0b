//! Series leave: idle ones, and what no rule selects when memory is short.
//! In: `now`. Out: how many left.
//! Never: gives a place away while somebody may still write to it under the old name.
//! Start at [`Head::sweep`].

use super::head::Head;
use super::index::Slot;
use super::pool::PairId;
use super::region::{REGION, ms};
use crate::model::Timestamp;
use crate::model::labels::METRIC_NAME;
use std::collections::HashSet;
use std::sync::atomic::Ordering;

/// Keys that were not met for so many windows are forgotten (a sender has changed its external labels).
const KEYS_KEPT_WINDOWS: i64 = 2;

/// After a relief that did not help, the next one comes so much later, or when this part of what was taken has come on top: the
/// state may last, and a sweep looks at every series.
const FRUITLESS_MS: i64 = 60_000;
const FRUITLESS_GROWTH: usize = 50;
/// Regions are compacted when one slab in so many comes free: usually, when memory is short, and when series had to leave.
const COMPACT: usize = 2;
const COMPACT_SHORT: usize = 8;
const COMPACT_ANY: usize = usize::MAX;

type Slots = HashSet<Slot, foldhash::fast::RandomState>;

/// When a relief did not bring memory below where it is asked for again, and what was taken then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fruitless {
    at_ms: i64,
    taken: usize,
}

impl Fruitless {
    fn holds(self, now_ms: i64, taken: usize) -> bool {
        let soon = (self.at_ms..self.at_ms.saturating_add(FRUITLESS_MS)).contains(&now_ms);
        soon && taken <= self.taken + self.taken / FRUITLESS_GROWTH
    }
}

impl Head {
    /// Lets series go to which nothing came for a window, and more if the budget asks for it; returns how many.
    pub fn sweep(&self, now: Timestamp) -> usize {
        self.now_ms.fetch_max(ms(now), Ordering::Relaxed);
        // Another that ran at the same time would want the same memory back once more.
        let _alone = self.sweeping.lock();
        let cutoff = ms(now).saturating_sub(self.keep.window);
        let short = self.is_short();
        let each = if short { self.bytes_gone_with_one() } else { 0 };
        let (mut leaving, mut gained) = (Vec::new(), 0);
        for (first, region) in self.regions() {
            let mut data = region.data.lock();
            data.drop_unheld_handles();
            let before = leaving.len();
            leaving.extend((0..REGION).filter(|i| data.is_idle(*i, cutoff)).map(|i| first + i as Slot));
            if short {
                data.compact_blocks(COMPACT_SHORT);
                let mut gain = data.gain();
                leaving[before..].iter().for_each(|slot| gain.add(&data, (slot - first) as usize, each));
                gained += if leaving.len() > before { gain.bytes() } else { 0 };
            }
        }
        let idle = leaving.len();
        leaving.extend(self.surplus(gained, each, cutoff));
        if leaving.is_empty() {
            return 0;
        }
        let gone = self.take_out(&leaving, idle, cutoff, if short { COMPACT_ANY } else { COMPACT });
        let oldest =
            ((ms(now).saturating_sub(self.keep.window.saturating_mul(KEYS_KEPT_WINDOWS))) / 60_000).max(0) as u32;
        self.forget_keys(|slot| gone.contains(&slot), oldest);
        self.index.write().reuse(gone.iter().copied());
        gone.len()
    }

    /// Sweeps if the budget asks for it: once a second, because samples of known series come in meanwhile.
    pub fn relieve(&self, now: Timestamp) -> usize {
        if !self.is_short() {
            return 0;
        }
        let mut fruitless = self.fruitless.lock();
        if fruitless.is_some_and(|last| last.holds(ms(now), self.memory_bytes())) {
            return 0;
        }
        let left = self.sweep(now);
        *fruitless = self.is_short().then(|| Fruitless { at_ms: ms(now), taken: self.memory_bytes() });
        left
    }

    /// Whether series that no rule selects should leave.
    fn is_short(&self) -> bool {
        self.budget().0.is_some() && self.budget().shed_to(self.memory_bytes()).is_some()
    }

    /// Series that no rule selects, until what they and those that leave anyway give back is what the budget wants. Those in
    /// the highest places go first: they are mostly the youngest, as long as no places are given out again.
    fn surplus(&self, mut gained: usize, each: usize, idle_before: i64) -> Vec<Slot> {
        let taken = self.memory_bytes();
        let Some(target) = self.budget().shed_to(taken) else { return Vec::new() };
        let wanted = taken - target;
        let mut out = Vec::new();
        let regions: Vec<_> = self.regions().collect();
        for (first, region) in regions.into_iter().rev() {
            let data = region.data.lock();
            let mut gain = data.gain();
            let before = out.len();
            let leaves = |i: &usize| data.is_alive(*i) && !data.is_watched(*i) && !data.is_idle(*i, idle_before);
            for i in (0..REGION).rev().filter(leaves) {
                if gained + gain.bytes() >= wanted {
                    break;
                }
                gain.add(&data, i, each);
                out.push(first + i as Slot);
            }
            gained += if out.len() > before { gain.bytes() } else { 0 };
            if gained >= wanted {
                break;
            }
        }
        out
    }

    fn take_out(&self, leaving: &[Slot], idle: usize, cutoff: i64, compact: usize) -> Slots {
        let mut gone = Slots::default();
        let mut metrics: HashSet<PairId, foldhash::fast::RandomState> = HashSet::default();
        let mut regions: Vec<Slot> = Vec::new();
        let mut watches = self.watches.write();
        {
            let (mut pool, mut index) = (self.pool.write(), self.index.write());
            for (n, slot) in leaving.iter().enumerate() {
                let region = self.region(*slot);
                let mut data = region.data.lock();
                let i = *slot as usize % REGION;
                // Samples, or a watch, may have come meanwhile.
                let leaves = if n < idle { data.is_idle(i, cutoff) } else { data.is_alive(i) && !data.is_watched(i) };
                if !leaves || !gone.insert(*slot) {
                    continue;
                }
                let ids = data.labels(i).to_vec();
                let (handle, held) = data.remove(i);
                regions.push(*slot / REGION as Slot);
                region.starts.forget(i);
                if let Some(handle) = handle {
                    handle.leave(|| pool.labels(&ids));
                }
                drop(data);
                self.samples.fetch_sub(held as i64, Ordering::Relaxed);
                self.label_count.fetch_sub(ids.len(), Ordering::Relaxed);
                let hash = index.hash(&ids);
                metrics.extend(pool.named(&ids, METRIC_NAME));
                index.remove(*slot, hash, self.source_of(&pool, &ids));
                for id in ids {
                    pool.release(id);
                }
            }
            let metrics: Vec<PairId> = metrics.into_iter().collect();
            index.forget(&metrics, |slot| gone.contains(&slot));
        }
        watches.remove_dead();
        drop(watches);
        regions.sort_unstable();
        regions.dedup();
        for number in regions {
            self.region(number * REGION as Slot).data.lock().compact_blocks(compact);
        }
        gone
    }
}
