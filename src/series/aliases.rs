//! Which series a sender's bytes mean, by their 128-bit key, in the order in which senders repeat them.
//! In: keys of label spans or rows of symbols. Out: the series' slot and what was remembered with it.
//! Never: locks or allocates for a known key; [`super::Batch`] holds the whole for one request.
//! Start at [`Aliases::find`].

use hashbrown::HashTable;
use std::sync::atomic::{AtomicU32, Ordering};

/// No entry.
pub(super) const NOWHERE: u32 = u32::MAX;

/// Half a cache line. Senders repeat their order, so the next sample nearly always belongs to the entry behind this one.
#[derive(Debug)]
pub(super) struct Alias {
    key: u128,
    pub slot: u32,
    /// What the caller remembers with it (the HA replica that writes these bytes).
    pub tag: u32,
    /// The entry that followed last time.
    next: AtomicU32,
    /// The minute it was met last.
    met: AtomicU32,
}

#[derive(Debug, Default)]
pub(super) struct Aliases {
    entries: Vec<Alias>,
    by_key: HashTable<u32>,
}

/// Where a request stands in the senders' order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    last: u32,
    expected: u32,
    pub minute: u32,
}

impl Cursor {
    pub fn new(now_ms: i64) -> Self {
        Self { last: NOWHERE, expected: NOWHERE, minute: (now_ms / 60_000) as u32 }
    }
}

/// NH's sums are not evenly spread in their bits; a wide multiplication makes them so.
#[inline]
fn spread(key: u128) -> u64 {
    let wide = u128::from(key as u64 ^ 0x9e37_79b9_7f4a_7c15) * u128::from((key >> 64) as u64 | 1);
    (wide as u64) ^ (wide >> 64) as u64
}

impl Aliases {
    #[inline]
    pub fn find(&self, key: u128, at: &mut Cursor) -> Option<&Alias> {
        let (place, alias) = match self.entries.get(at.expected as usize) {
            Some(alias) if alias.key == key => (at.expected, alias),
            _ => self.look_up(key, at)?,
        };
        at.last = place;
        at.expected = alias.next.load(Ordering::Relaxed);
        if alias.met.load(Ordering::Relaxed) != at.minute {
            alias.met.store(at.minute, Ordering::Relaxed);
        }
        Some(alias)
    }

    #[inline(never)]
    fn look_up(&self, key: u128, at: &Cursor) -> Option<(u32, &Alias)> {
        let same = |place: &u32| self.entries.get(*place as usize).is_some_and(|alias| alias.key == key);
        let place = *self.by_key.find(spread(key), same)?;
        if let Some(last) = self.entries.get(at.last as usize) {
            last.next.store(place, Ordering::Relaxed);
        }
        self.entries.get(place as usize).map(|alias| (place, alias))
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Remembers a key; what was remembered for it before is replaced.
    pub fn insert(&mut self, key: u128, slot: u32, tag: u32, minute: u32) {
        let Self { entries, by_key } = self;
        let same = |place: &u32| entries.get(*place as usize).is_some_and(|alias| alias.key == key);
        if let Some(place) = by_key.find(spread(key), same).copied() {
            if let Some(alias) = entries.get_mut(place as usize) {
                alias.slot = slot;
                alias.tag = tag;
            }
            return;
        }
        let place = entries.len() as u32;
        let (next, met) = (AtomicU32::new(place + 1), AtomicU32::new(minute));
        entries.push(Alias { key, slot, tag, next, met });
        by_key.insert_unique(spread(key), place, |place| entries.get(*place as usize).map_or(0, |a| spread(a.key)));
    }

    /// Keeps what `keep` says of slot and minute; the order stays, guesses are made anew.
    pub fn retain(&mut self, mut keep: impl FnMut(u32, u32) -> bool) {
        let before = self.entries.len();
        self.entries.retain(|alias| keep(alias.slot, alias.met.load(Ordering::Relaxed)));
        if self.entries.len() == before {
            return;
        }
        if self.entries.len() < self.entries.capacity() / 4 {
            self.entries.shrink_to(self.entries.len() * 2);
        }
        for (place, alias) in self.entries.iter().enumerate() {
            alias.next.store(place as u32 + 1, Ordering::Relaxed);
        }
        let Self { entries, by_key } = self;
        by_key.clear();
        by_key.shrink_to(entries.len(), |_| 0);
        for (place, alias) in entries.iter().enumerate() {
            by_key.insert_unique(spread(alias.key), place as u32, |p| {
                entries.get(*p as usize).map_or(0, |a| spread(a.key))
            });
        }
    }

    /// Entries and a table that is a little more than half full on average.
    pub fn bytes(&self) -> usize {
        self.entries.len() * size_of::<Alias>() + self.by_key.capacity() * 5
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_and_out_of_order() {
        let mut aliases = Aliases::default();
        for i in 0..100_u32 {
            aliases.insert(u128::from(i) << 60 | 7, i, i % 3, 0);
        }
        let find = |aliases: &Aliases, order: &[u32]| {
            let mut at = Cursor::new(60_000);
            order.iter().map(|i| aliases.find(u128::from(*i) << 60 | 7, &mut at).map(|a| a.slot)).collect::<Vec<_>>()
        };
        // The second time the guess is right; nothing shows outside.
        for order in [[3, 4, 5, 99, 0, 1], [1, 0, 99, 5, 4, 3], [1, 0, 99, 5, 4, 3]] {
            assert_eq!(find(&aliases, &order), order.map(Some));
        }
        assert_eq!(find(&aliases, &[5, 100, 6]), [Some(5), None, Some(6)]);
        aliases.insert(u128::from(5_u32) << 60 | 7, 500, 1, 0);
        assert_eq!((find(&aliases, &[5]), aliases.len()), (vec![Some(500)], 100));
        aliases.retain(|slot, met| slot % 2 == 0 && (met == 1 || slot < 50));
        assert_eq!(find(&aliases, &[4, 99, 60, 6, 8]), [Some(4), None, None, Some(6), Some(8)]);
    }
}
