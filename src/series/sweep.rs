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

type Slots = HashSet<Slot, foldhash::fast::RandomState>;

impl Head {
    /// Lets series go to which nothing came for a window, and more if the budget asks for it; returns how many.
    pub fn sweep(&self, now: Timestamp) -> usize {
        self.now_ms.fetch_max(ms(now), Ordering::Relaxed);
        let cutoff = ms(now).saturating_sub(self.keep.window);
        let mut leaving = Vec::new();
        for (first, region) in self.regions() {
            let mut data = region.data.lock();
            data.drop_unheld_handles();
            leaving.extend((0..REGION).filter(|i| data.is_idle(*i, cutoff)).map(|i| first + i as Slot));
        }
        let idle = leaving.len();
        leaving.extend(self.surplus(idle));
        if leaving.is_empty() {
            return 0;
        }
        let gone = self.take_out(&leaving, idle, cutoff);
        let oldest =
            ((ms(now).saturating_sub(self.keep.window.saturating_mul(KEYS_KEPT_WINDOWS))) / 60_000).max(0) as u32;
        self.forget_keys(|slot| gone.contains(&slot), oldest);
        self.index.write().reuse(gone.iter().copied());
        gone.len()
    }

    /// Sweeps if the budget asks for it: once a second, because samples of known series come in meanwhile.
    pub fn relieve(&self, now: Timestamp) -> usize {
        if self.budget().shed_to(self.memory_bytes()).is_some() { self.sweep(now) } else { 0 }
    }

    /// Series that no rule selects, the latest first, as many as the budget wants back.
    fn surplus(&self, idle: usize) -> Vec<Slot> {
        let (taken, series) = (self.memory_bytes(), self.series_count().max(1));
        let Some(target) = self.budget().shed_to(taken) else { return Vec::new() };
        let wanted = ((taken - target) / (taken / series).max(1)).saturating_sub(idle);
        let mut out = Vec::new();
        let regions: Vec<_> = self.regions().collect();
        for (first, region) in regions.into_iter().rev() {
            let data = region.data.lock();
            let unwatched = (0..REGION).rev().filter(|i| data.is_alive(*i) && !data.is_watched(*i));
            out.extend(unwatched.map(|i| first + i as Slot).take(wanted - out.len()));
            if out.len() >= wanted {
                break;
            }
        }
        out
    }

    fn take_out(&self, leaving: &[Slot], idle: usize, cutoff: i64) -> Slots {
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
            self.region(number * REGION as Slot).data.lock().compact_blocks();
        }
        gone
    }
}
