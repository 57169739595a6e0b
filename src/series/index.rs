//! Which series there are: by their label set, by metric, and by source.
//! In: series as they come and leave. Out: slots, and candidates for matchers.
//! Never: touched for a sample of a known series.
//! Start at [`Index::find`] and [`Index::candidates`].

use super::pool::{PairId, Pool};
use crate::model::labels::METRIC_NAME;
use crate::model::{MatchOp, Matcher};
use hashbrown::HashTable;
use std::collections::HashMap;
use std::hash::BuildHasher;

/// A series' place: region and place within.
pub(super) type Slot = u32;

/// A label set's entry: the slot, and enough of the hash to move it.
type Known = (Slot, u32);
/// A metric's entry in its table, besides what its vector has taken.
const METRIC_BYTES: usize = 48;

type ByPair<V> = HashMap<PairId, V, foldhash::fast::RandomState>;

#[derive(Debug, Default)]
pub(super) struct Index {
    known: HashTable<Known>,
    state: foldhash::fast::RandomState,
    /// By the pair that is the metric's name, in no order.
    metrics: ByPair<Vec<Slot>>,
    /// What the metrics' entries and vectors take, kept up to date: it is asked for with each new series.
    metrics_bytes: usize,
    /// Series by the pair that names their source; those without one under `None`.
    sources: HashMap<Option<PairId>, usize, foldhash::fast::RandomState>,
    free: Vec<Slot>,
    next: Slot,
    alive: usize,
}

/// 32 bits are kept with each entry; the table wants 64.
fn widen(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Nothing for the empty vector of a metric that is not there yet, or no more.
fn vector_bytes(slots: &Vec<Slot>) -> usize {
    if slots.capacity() == 0 { 0 } else { slots.capacity() * size_of::<Slot>() + METRIC_BYTES }
}

impl Index {
    /// Of the sorted pairs of a label set.
    pub fn hash(&self, ids: &[PairId]) -> u32 {
        (self.state.hash_one(ids) >> 32) as u32
    }

    /// The slot with this hash whose pairs are the `same`.
    pub fn find(&self, hash: u32, mut same: impl FnMut(Slot) -> bool) -> Option<Slot> {
        self.known.find(widen(hash), |(slot, h)| *h == hash && same(*slot)).map(|(slot, _)| *slot)
    }

    /// Enters a new series and gives it a place.
    pub fn insert(&mut self, hash: u32, metric: Option<PairId>, source: Option<PairId>) -> Slot {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        });
        self.known.insert_unique(widen(hash), (slot, hash), |(_, h)| widen(*h));
        if let Some(metric) = metric {
            let slots = self.metrics.entry(metric).or_default();
            let before = vector_bytes(slots);
            slots.push(slot);
            self.metrics_bytes += vector_bytes(slots) - before;
        }
        *self.sources.entry(source).or_default() += 1;
        self.alive += 1;
        slot
    }

    /// Takes a series out of the label sets; [`Self::forget`] takes many out of the rest.
    pub fn remove(&mut self, slot: Slot, hash: u32, source: Option<PairId>) {
        if let Ok(entry) = self.known.find_entry(widen(hash), |(s, _)| *s == slot) {
            entry.remove();
            self.alive -= 1;
        }
        if let Some(count) = self.sources.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.sources.remove(&source);
            }
        }
    }

    /// Takes series out of the metrics that `gone` names, each of which is walked once. Their slots are given out again
    /// only after [`Self::reuse`].
    pub fn forget(&mut self, metrics: &[PairId], gone: impl Fn(Slot) -> bool) {
        for metric in metrics {
            if let Some(slots) = self.metrics.get_mut(metric) {
                let before = vector_bytes(slots);
                slots.retain(|slot| !gone(*slot));
                slots.shrink_to(slots.len() * 2);
                self.metrics_bytes = self.metrics_bytes + vector_bytes(slots) - before;
                if slots.is_empty() {
                    self.metrics.remove(metric);
                }
            }
        }
    }

    pub fn reuse(&mut self, slots: impl IntoIterator<Item = Slot>) {
        self.free.extend(slots);
    }

    pub fn len(&self) -> usize {
        self.alive
    }

    /// Series of one metric.
    pub fn of_metric(&self, metric: PairId) -> usize {
        self.metrics.get(&metric).map_or(0, Vec::len)
    }

    /// Series of one source.
    pub fn of_source(&self, source: Option<PairId>) -> usize {
        self.sources.get(&source).copied().unwrap_or(0)
    }

    /// Whether there is a place below `end` for one more.
    pub fn has_slot(&self, end: usize) -> bool {
        !self.free.is_empty() || (self.next as usize) < end
    }

    /// One above the highest slot that was ever given out.
    pub fn slots_end(&self) -> Slot {
        self.next
    }

    /// Slots of a superset of what is selected: those of a metric, or `None` for all.
    pub fn candidates(&self, pool: &Pool, matchers: &[Matcher]) -> Option<&[Slot]> {
        let metric =
            matchers.iter().find(|m| m.name == METRIC_NAME && m.op == MatchOp::Equal && !m.value.is_empty())?;
        let slots = pool.find(METRIC_NAME, &metric.value).and_then(|pair| self.metrics.get(&pair));
        Some(slots.map_or(&[][..], Vec::as_slice))
    }

    /// Entries and tables; vectors at what they have taken.
    pub fn bytes(&self) -> usize {
        self.metrics_bytes + self.known.capacity() * 10 + self.free.capacity() * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The running total is what a walk over all metrics would find.
    #[test]
    fn bytes_follow_metrics_as_they_come_and_go() {
        let mut index = Index::default();
        let walked = |index: &Index| index.metrics.values().map(vector_bytes).sum::<usize>();
        let slots: Vec<Slot> = (0..1000).map(|i| index.insert(i, Some(i % 7), None)).collect();
        assert_eq!(index.metrics_bytes, walked(&index));
        assert!(index.metrics_bytes >= 1000 * 4 + 7 * METRIC_BYTES);
        for slot in &slots[100..] {
            index.remove(*slot, *slot, None);
        }
        index.forget(&[0, 1, 2, 3, 4, 5, 6, 99], |slot| slot >= 100);
        assert_eq!((index.len(), index.metrics_bytes), (100, walked(&index)));
        index.forget(&[0, 1, 2, 3, 4, 5, 6], |_| true);
        assert_eq!((index.metrics_bytes, index.metrics.len()), (0, 0));
    }
}
