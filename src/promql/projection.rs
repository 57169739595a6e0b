//! Part of a label set as a key: what `by`, `without`, `on` and `ignoring` compare.
//! In: label sets. Out: hashes, comparisons and, only when one is needed, the part as a set of its own.
//! Never: allocates to hash or to compare.
//! Start at [`Projection`] and [`Groups`].

use crate::model::Labels;
use crate::model::labels::METRIC_NAME;
use foldhash::fast::FixedState;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};

/// Which labels count.
#[derive(Clone, Debug)]
pub(super) struct Projection {
    /// Sorted, unique.
    names: Vec<String>,
    /// Whether the names are the ones that count, or the ones that do not (and the metric name then never does).
    pub keeps: bool,
}

impl Projection {
    pub fn new(names: &[String], keeps: bool) -> Self {
        let mut names = names.to_vec();
        if !keeps {
            names.push(METRIC_NAME.to_owned());
        }
        names.sort_unstable();
        names.dedup();
        Self { names, keeps }
    }

    /// The pairs that count, in order. Both lists are sorted, so this is one walk.
    pub fn pairs<'a>(&'a self, labels: &'a Labels) -> impl Iterator<Item = (&'a str, &'a str)> {
        let mut names = self.names.as_slice();
        let ends_early = self.keeps;
        labels
            .iter()
            .filter(move |(name, _)| {
                while let [first, rest @ ..] = names
                    && first.as_str() < *name
                {
                    names = rest;
                }
                names.first().is_some_and(|first| first == name) == self.keeps
            })
            .take(if ends_early { self.names.len() } else { usize::MAX })
    }

    /// Whether a label of this name counts.
    pub fn counts(&self, name: &str) -> bool {
        self.names.binary_search_by(|n| n.as_str().cmp(name)).is_ok() == self.keeps
    }

    /// Everything but one label; the metric name counts like any other.
    pub fn all_but(name: &str) -> Self {
        Self { names: vec![name.to_owned()], keeps: false }
    }

    pub fn hash(&self, labels: &Labels) -> u64 {
        let mut hasher = FixedState::default().build_hasher();
        for (name, value) in self.pairs(labels) {
            hasher.write(name.as_bytes());
            hasher.write_u8(0xff);
            hasher.write(value.as_bytes());
            hasher.write_u8(0xff);
        }
        hasher.finish()
    }

    pub fn same(&self, a: &Labels, b: &Labels) -> bool {
        self.pairs(a).eq(self.pairs(b))
    }

    pub fn build(&self, labels: &Labels) -> Labels {
        if self.keeps && self.names.is_empty() {
            return Labels::empty();
        }
        Labels::from_sorted(self.pairs(labels))
    }
}

/// Numbers label sets by their key, in order of first appearance. The key comes with each call, and is always the same.
#[derive(Default)]
pub(super) struct Numbers {
    by_hash: HashMap<u64, SmallVec<[u32; 1]>, FixedState>,
    /// A label set of each group.
    members: Vec<Labels>,
}

impl Numbers {
    /// The number of the group of these labels, and whether it is new.
    pub fn number(&mut self, key: &Projection, labels: &Labels) -> (usize, bool) {
        let candidates = self.by_hash.entry(key.hash(labels)).or_default();
        for number in candidates.iter() {
            if key.same(&self.members[*number as usize], labels) {
                return (*number as usize, false);
            }
        }
        candidates.push(self.members.len() as u32);
        self.members.push(labels.clone());
        (self.members.len() - 1, true)
    }

    pub fn find(&self, key: &Projection, labels: &Labels) -> Option<usize> {
        let candidates = self.by_hash.get(&key.hash(labels))?;
        candidates.iter().map(|n| *n as usize).find(|n| key.same(&self.members[*n], labels))
    }

    pub fn member(&self, number: usize) -> &Labels {
        &self.members[number]
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }
}

/// Numbers label sets by a key, in order of first appearance.
pub(super) struct Groups<'p> {
    key: &'p Projection,
    numbers: Numbers,
}

impl<'p> Groups<'p> {
    pub fn new(key: &'p Projection) -> Self {
        Self { key, numbers: Numbers::default() }
    }

    pub fn with_capacity(key: &'p Projection, capacity: usize) -> Self {
        let by_hash = HashMap::with_capacity_and_hasher(capacity, FixedState::default());
        Self { key, numbers: Numbers { by_hash, members: Vec::with_capacity(capacity) } }
    }

    /// The number of the group of these labels, and whether it is new.
    pub fn number(&mut self, labels: &Labels) -> (usize, bool) {
        self.numbers.number(self.key, labels)
    }

    pub fn find(&self, labels: &Labels) -> Option<usize> {
        self.numbers.find(self.key, labels)
    }

    pub fn member(&self, number: usize) -> &Labels {
        self.numbers.member(number)
    }
}

/// Whether the name belongs to the metric's identity, which arithmetic and functions take away: name, type and unit.
pub(super) fn is_metadata(name: &str) -> bool {
    matches!(name, METRIC_NAME | "__type__" | "__unit__")
}

/// The labels without the metric's identity.
pub(super) fn without_metadata(labels: Labels) -> Labels {
    if labels.iter().any(|(name, _)| is_metadata(name)) { labels.retain(|name, _| !is_metadata(name)) } else { labels }
}

/// Whether two label sets are equal.
pub(super) fn has_duplicates<'a>(all: impl ExactSizeIterator<Item = &'a Labels>) -> bool {
    if all.len() < 2 {
        return false;
    }
    let mut seen = std::collections::HashSet::with_capacity_and_hasher(all.len(), FixedState::default());
    let mut all = all;
    all.any(|labels| !seen.insert(labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picks_what_counts() {
        let labels = Labels::from_pairs([("__name__", "m"), ("a", "1"), ("b", "2"), ("c", "3")]);
        let check = |names: &[&str], keeps: bool, expect: &str| {
            let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
            assert_eq!(Projection::new(&names, keeps).build(&labels).to_string(), expect, "{names:?} {keeps}");
        };
        check(&["c", "a", "x"], true, r#"{a="1", c="3"}"#);
        check(&["c", "a", "x"], false, r#"{b="2"}"#);
        check(&[], true, "{}");
        check(&[], false, r#"{a="1", b="2", c="3"}"#);
        check(&["__name__"], true, r#"{__name__="m"}"#);
    }

    #[test]
    fn groups_by_key_alone() {
        let key = Projection::new(&["a".to_owned()], true);
        let mut groups = Groups::new(&key);
        let set = |a: &str, b: &str| Labels::from_pairs([("a", a), ("b", b)]);
        assert_eq!(groups.number(&set("1", "x")), (0, true));
        assert_eq!(groups.number(&set("2", "x")), (1, true));
        assert_eq!(groups.number(&set("1", "y")), (0, false));
        assert_eq!((groups.find(&set("2", "z")), groups.find(&set("3", "z"))), (Some(1), None));
    }
}
