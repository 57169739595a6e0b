//! Which series carry which label: postings by name and value.
//! In: series as they come and leave. Out: candidates for matchers.
//! Never: touched for a sample of a known series.
//! Start at [`Index::select`].

use super::series::Series;
use crate::model::matcher::all_match;
use crate::model::{Labels, MatchOp, Matcher, SeriesId};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

type Slot = u32;
type Map<V> = HashMap<Arc<str>, V, foldhash::fast::RandomState>;

#[derive(Debug, Default)]
pub(super) struct Index {
    slots: Vec<Option<Arc<Series>>>,
    free: Vec<Slot>,
    /// Label name → value → series, in no order.
    names: Map<Map<Vec<Slot>>>,
    next_id: u64,
}

impl Index {
    /// Makes the series and files it under each of its labels.
    pub fn insert(&mut self, labels: Labels) -> Arc<Series> {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as Slot
        });
        for (name, value) in &labels {
            let values = entry(&mut self.names, name);
            entry(values, value).push(slot);
        }
        let id = SeriesId(self.next_id);
        self.next_id += 1;
        let series = Arc::new(Series::new(id, slot, labels));
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some(series.clone());
        }
        series
    }

    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub fn all(&self) -> impl Iterator<Item = &Arc<Series>> {
        self.slots.iter().flatten()
    }

    /// Takes the series out of every posting, each of which is walked once for all of them.
    pub fn remove(&mut self, gone: &[Arc<Series>]) {
        let slots: HashSet<Slot, foldhash::fast::RandomState> = gone.iter().map(|s| s.slot).collect();
        let pairs: BTreeSet<(&str, &str)> = gone.iter().flat_map(|s| s.labels()).collect();
        for (name, value) in pairs {
            let Some(values) = self.names.get_mut(name) else { continue };
            if let Some(posting) = values.get_mut(value) {
                posting.retain(|slot| !slots.contains(slot));
                if posting.is_empty() {
                    values.remove(value);
                }
            }
            if values.is_empty() {
                self.names.remove(name);
            }
        }
        for slot in slots {
            if let Some(place) = self.slots.get_mut(slot as usize) {
                *place = None;
                self.free.push(slot);
            }
        }
    }

    /// Every series that all matchers select: the shortest posting, filtered.
    pub fn select(&self, matchers: &[Matcher]) -> Vec<Arc<Series>> {
        let keep = |series: &&Arc<Series>| all_match(matchers, series.labels());
        match self.candidates(matchers) {
            Some(slots) => {
                slots.into_iter().filter_map(|s| self.slots.get(s as usize)?.as_ref()).filter(keep).cloned().collect()
            }
            None => self.all().filter(keep).cloned().collect(),
        }
    }

    /// Slots of a superset of what is selected, or `None` for everything.
    fn candidates(&self, matchers: &[Matcher]) -> Option<Vec<Slot>> {
        let needed = || matchers.iter().filter(|m| !m.matches_empty());
        let equal = needed().filter(|m| m.op == MatchOp::Equal).map(|m| self.posting(&m.name, &m.value));
        if let Some(shortest) = equal.min_by_key(|posting| posting.len()) {
            return Some(shortest.to_vec());
        }
        // Without an equality, the values of one name are tried; a series has one value per name, so nothing comes twice.
        let by_values = |m: &Matcher| -> Vec<Slot> {
            let values = self.names.get(m.name.as_str()).into_iter().flatten();
            values
                .filter(|(value, _)| m.matches_value(value))
                .flat_map(|(_, posting)| posting.iter().copied())
                .collect()
        };
        needed().map(by_values).min_by_key(Vec::len)
    }

    fn posting(&self, name: &str, value: &str) -> &[Slot] {
        self.names.get(name).and_then(|values| values.get(value)).map_or(&[], Vec::as_slice)
    }

    /// All label names, sorted.
    pub fn label_names(&self) -> BTreeSet<Arc<str>> {
        self.names.keys().cloned().collect()
    }

    /// All values of a label, sorted.
    pub fn label_values(&self, name: &str) -> BTreeSet<Arc<str>> {
        self.names.get(name).map(|values| values.keys().cloned().collect()).unwrap_or_default()
    }
}

/// The entry of `key`, whose text is copied only when it is new.
fn entry<'m, V: Default>(map: &'m mut Map<V>, key: &str) -> &'m mut V {
    if !map.contains_key(key) {
        map.insert(Arc::from(key), V::default());
    }
    map.get_mut(key).expect("the key was inserted above if it was missing")
}
