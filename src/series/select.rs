//! Which series some matchers select.
//! In: matchers. Out: slots, one region after the other.
//! Never: builds a label set, or tries a matcher on the same label pair twice.
//! Start at [`Selection::visit`].

use super::head::Head;
use super::index::Slot;
use super::pool::{PairId, Pool};
use super::region::{Data, REGION};
use crate::model::{MatchOp, Matcher};
use std::collections::HashMap;

pub(super) struct Selection<'a> {
    head: &'a Head,
    matchers: &'a [Matcher],
}

/// What one matcher says of each pair that it has met; `None`: the pair is of another label.
type Verdicts = HashMap<PairId, Option<bool>, foldhash::fast::RandomState>;

impl<'a> Selection<'a> {
    pub fn new(head: &'a Head, matchers: &'a [Matcher]) -> Self {
        Self { head, matchers }
    }

    /// Calls `each` for every selected series, under its region's lock.
    pub fn visit(&self, mut each: impl FnMut(&mut Data, Slot)) {
        let (pool, index) = (self.head.pool.read(), self.head.index.read());
        let impossible =
            |m: &Matcher| m.op == MatchOp::Equal && !m.value.is_empty() && pool.find(&m.name, &m.value).is_none();
        if self.matchers.iter().any(impossible) {
            return;
        }
        let mut verdicts: Vec<Verdicts> = vec![Verdicts::default(); self.matchers.len()];
        match index.candidates(&pool, self.matchers) {
            Some(slots) => {
                // Neighbours share a lock.
                for run in slots.chunk_by(|a, b| a / REGION as Slot == b / REGION as Slot) {
                    let mut data = self.head.region(run[0]).data.lock();
                    for slot in run {
                        self.try_slot(&pool, &mut data, *slot, &mut verdicts, &mut each);
                    }
                }
            }
            None => {
                for (first, region) in self.head.regions() {
                    let mut data = region.data.lock();
                    for slot in first..first + REGION as Slot {
                        self.try_slot(&pool, &mut data, slot, &mut verdicts, &mut each);
                    }
                }
            }
        }
    }

    fn try_slot(
        &self,
        pool: &Pool,
        data: &mut Data,
        slot: Slot,
        verdicts: &mut [Verdicts],
        each: &mut impl FnMut(&mut Data, Slot),
    ) {
        let i = slot as usize % REGION;
        if !data.is_alive(i) {
            return;
        }
        let labels = data.labels(i);
        let all = self.matchers.iter().zip(verdicts).all(|(matcher, verdicts)| {
            let mut said = labels.iter().filter_map(|id| {
                *verdicts.entry(*id).or_insert_with(|| {
                    let (name, value) = pool.pair(*id);
                    (name == matcher.name).then(|| matcher.matches_value(value))
                })
            });
            said.next().unwrap_or_else(|| matcher.matches_empty())
        });
        if all {
            each(data, slot);
        }
    }
}
