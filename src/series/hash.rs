//! Keyed hashes of label sets: one over a raw span, one over pairs in any order.
//! In: bytes. Out: 64 bits, different in every process.
//! Never: trusted alone; whoever finds by hash compares the labels too.
//! Start at [`Hasher`].

use crate::model::Labels;
use std::hash::{BuildHasher, Hasher as _};

/// The head's secret, and the two ways to hash with it.
#[derive(Clone, Debug, Default)]
pub struct Hasher {
    state: foldhash::quality::RandomState,
}

impl Hasher {
    /// Of a span of bytes: a label name, a value, or all label fields of a request's series at once.
    #[inline]
    pub fn bytes(&self, bytes: &[u8]) -> u64 {
        let mut hasher = self.state.build_hasher();
        hasher.write(bytes);
        hasher.finish()
    }

    /// Of one pair, from the hashes of its name and value.
    #[inline]
    pub fn pair(name: u64, value: u64) -> u64 {
        // Both inputs are secret already; a wide multiplication mixes them so that sums of pairs do not cancel out.
        let wide = u128::from(name ^ 0x9e37_79b9_7f4a_7c15) * u128::from(value.rotate_left(29) | 1);
        (wide as u64) ^ ((wide >> 64) as u64) ^ name
    }

    /// Of a set: the sum of its pairs' hashes, so that the order does not matter.
    pub fn labels(&self, labels: &Labels) -> u64 {
        let pair = |(n, v): (&str, &str)| Self::pair(self.bytes(n.as_bytes()), self.bytes(v.as_bytes()));
        labels.iter().map(pair).fold(0, u64::wrapping_add)
    }
}
