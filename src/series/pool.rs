//! Label pairs, each kept once for all series that carry it.
//! In: names and values. Out: four-byte ids, and the text back.
//! Never: keeps a pair that no series carries.
//! Start at [`Pool::intern`].

use crate::model::Labels;
use hashbrown::HashTable;
use std::collections::BTreeSet;
use std::hash::BuildHasher;
use std::sync::Arc;

/// Stands for one name and value as long as a series carries it.
pub(super) type PairId = u32;

#[derive(Debug)]
struct Pair {
    /// Name and value, one behind the other; empty when the place is free.
    text: Box<str>,
    name_len: u32,
    /// Series that carry it.
    carried: u32,
}

#[derive(Debug, Default)]
pub(super) struct Pool {
    pairs: Vec<Pair>,
    free: Vec<PairId>,
    by_text: HashTable<PairId>,
    state: foldhash::quality::RandomState,
    text_bytes: usize,
}

impl Pair {
    fn split(&self) -> (&str, &str) {
        self.text.split_at_checked(self.name_len as usize).unwrap_or_default()
    }
}

fn hash(state: &foldhash::quality::RandomState, name: &str, value: &str) -> u64 {
    state.hash_one((name, value))
}

impl Pool {
    pub fn find(&self, name: &str, value: &str) -> Option<PairId> {
        let hash = hash(&self.state, name, value);
        let same = |id: &PairId| self.pairs.get(*id as usize).is_some_and(|p| p.split() == (name, value));
        self.by_text.find(hash, same).copied()
    }

    /// The pair's id, made if it is new, and carried by one series more.
    pub fn intern(&mut self, name: &str, value: &str) -> PairId {
        if let Some(id) = self.find(name, value) {
            if let Some(pair) = self.pairs.get_mut(id as usize) {
                pair.carried += 1;
            }
            return id;
        }
        let mut text = String::with_capacity(name.len() + value.len());
        text.push_str(name);
        text.push_str(value);
        self.text_bytes += text.len();
        let pair = Pair { text: text.into_boxed_str(), name_len: name.len() as u32, carried: 1 };
        let id = if let Some(id) = self.free.pop() {
            if let Some(place) = self.pairs.get_mut(id as usize) {
                *place = pair;
            }
            id
        } else {
            self.pairs.push(pair);
            (self.pairs.len() - 1) as PairId
        };
        let Self { by_text, pairs, state, .. } = self;
        by_text.insert_unique(hash(state, name, value), id, |id| {
            pairs.get(*id as usize).map_or(0, |pair| {
                let (name, value) = pair.split();
                hash(state, name, value)
            })
        });
        id
    }

    /// One series less carries it.
    pub fn release(&mut self, id: PairId) {
        let Some(pair) = self.pairs.get_mut(id as usize) else { return };
        pair.carried = pair.carried.saturating_sub(1);
        if pair.carried > 0 {
            return;
        }
        let (name, value) = pair.split();
        let hash = hash(&self.state, name, value);
        if let Ok(entry) = self.by_text.find_entry(hash, |other| *other == id) {
            entry.remove();
        }
        self.text_bytes -= pair.text.len();
        pair.text = Box::default();
        self.free.push(id);
    }

    pub fn pair(&self, id: PairId) -> (&str, &str) {
        self.pairs.get(id as usize).map(Pair::split).unwrap_or_default()
    }

    /// The pair of this name among `ids`.
    pub fn named(&self, ids: &[PairId], name: &str) -> Option<PairId> {
        ids.iter().copied().find(|id| self.pair(*id).0 == name)
    }

    /// The label set of sorted pairs.
    pub fn labels(&self, ids: &[PairId]) -> Labels {
        Labels::from_sorted(ids.iter().map(|id| self.pair(*id)))
    }

    fn alive(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().filter(|pair| pair.carried > 0).map(Pair::split)
    }

    /// All label names, sorted.
    pub fn names(&self) -> Vec<Arc<str>> {
        let names: BTreeSet<&str> = self.alive().map(|(name, _)| name).collect();
        names.into_iter().map(Arc::from).collect()
    }

    /// All values of a label, sorted.
    pub fn values(&self, of: &str) -> Vec<Arc<str>> {
        let values: BTreeSet<&str> = self.alive().filter(|(name, _)| *name == of).map(|(_, value)| value).collect();
        values.into_iter().map(Arc::from).collect()
    }

    /// Of all names and values.
    pub fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// An estimate of all that it takes: text with the allocator's share, places, and the table at three quarters full.
    pub fn bytes(&self) -> usize {
        self.text_bytes + self.pairs.len() * (16 + size_of::<Pair>() + 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_lives_as_long_as_it_is_carried() {
        let mut pool = Pool::default();
        let a = pool.intern("a", "bc");
        let other = pool.intern("ab", "c");
        assert_ne!(a, other);
        assert_eq!((pool.intern("a", "bc"), pool.find("a", "bc"), pool.find("a", "b")), (a, Some(a), None));
        assert_eq!((pool.pair(a), pool.pair(other)), (("a", "bc"), ("ab", "c")));
        assert_eq!(pool.labels(&[a, other]).to_string(), r#"{a="bc", ab="c"}"#);
        pool.release(a);
        assert_eq!(pool.find("a", "bc"), Some(a));
        pool.release(a);
        assert_eq!((pool.find("a", "bc"), pool.names().len()), (None, 1));
        assert_eq!(pool.intern("z", "1"), a);
        assert_eq!(pool.values("z").join(" "), "1");
    }
}
