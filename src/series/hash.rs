//! Keyed hashes: of a raw label span, of a row of symbols, and of a text.
//! In: bytes. Out: 128 bits that stand for a span, or 64 that stand for a text; different in every process.
//! Never: lets a sender who does not know the key find two spans with the same 128 bits.
//! Start at [`SpanHasher::span`].

use std::hash::BuildHasher;

/// Spans up to this length have a key; Prometheus' own are about 300 bytes, and a longer one is looked up by its labels.
pub const SPAN_BYTES_MAX: usize = 4096;
/// Rows of up to this many label pairs have a key.
pub const PAIRS_MAX: usize = 64;
const WORDS: usize = SPAN_BYTES_MAX / 8;

/// NH, the universal hash inside UMAC, on 64-bit words: pairs of words, each added to its own secret word, are multiplied
/// and summed up in 128 bits. For two texts of one length that were chosen without knowing the secret, the chance that
/// their sums agree is 2⁻⁶⁴; the length goes in as one more pair: one multiplication for sixteen bytes.
pub struct SpanHasher {
    keys: Box<[u64; WORDS]>,
    /// Secret words for the length, for rows of symbols, and for folding.
    more: [u64; 8],
}

impl std::fmt::Debug for SpanHasher {
    /// The secret stays one.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SpanHasher")
    }
}

impl Default for SpanHasher {
    fn default() -> Self {
        // SipHash under the process' own key, which comes from the operating system, is a pseudo-random function.
        let source = std::collections::hash_map::RandomState::new();
        let mut keys = Box::new([0; WORDS]);
        for (i, key) in keys.iter_mut().enumerate() {
            *key = source.hash_one(i as u64);
        }
        let more = std::array::from_fn(|i| source.hash_one(1 << 40 | i as u64));
        Self { keys, more }
    }
}

#[inline]
fn wide(a: u64, b: u64) -> u128 {
    u128::from(a) * u128::from(b)
}

#[inline]
fn word(bytes: [u8; 8]) -> u64 {
    u64::from_le_bytes(bytes)
}

impl SpanHasher {
    /// What a label span is known by; `None` above [`SPAN_BYTES_MAX`].
    #[inline]
    pub fn span(&self, bytes: &[u8]) -> Option<u128> {
        if bytes.len() > SPAN_BYTES_MAX {
            return None;
        }
        let length = wide((bytes.len() as u64).wrapping_add(self.more[0]), self.more[1]);
        Some(self.sum(bytes).wrapping_add(length))
    }

    #[inline]
    fn sum(&self, bytes: &[u8]) -> u128 {
        let (blocks, rest) = bytes.as_chunks::<16>();
        let (pairs, _) = self.keys.as_chunks::<2>();
        let (mut sum, mut other) = (0_u128, 0_u128);
        let one = |block: &[u8; 16], key: &[u64; 2]| {
            let [a, b, c, d, e, f, g, h, rest @ ..] = *block;
            wide(word([a, b, c, d, e, f, g, h]).wrapping_add(key[0]), word(rest).wrapping_add(key[1]))
        };
        let (twos, last) = blocks.as_chunks::<2>();
        let (key_twos, _) = pairs.as_chunks::<2>();
        for (block, key) in twos.iter().zip(key_twos) {
            sum = sum.wrapping_add(one(&block[0], &key[0]));
            other = other.wrapping_add(one(&block[1], &key[1]));
        }
        let done = twos.len() * 2;
        for (block, key) in last.iter().zip(pairs.get(done..).unwrap_or_default()) {
            sum = sum.wrapping_add(one(block, key));
        }
        if !rest.is_empty()
            && let Some(key) = pairs.get(blocks.len())
        {
            let mut block = [0; 16];
            block[..rest.len()].copy_from_slice(rest);
            other = other.wrapping_add(one(&block, key));
        }
        sum.wrapping_add(other)
    }

    /// What a text (a symbol, a label) is known by inside one request or one table; whoever finds by it compares, or
    /// takes a chance of 2⁻⁶².
    #[inline]
    pub fn text(&self, bytes: &[u8]) -> u64 {
        let sum = match bytes.len() {
            0..=SPAN_BYTES_MAX => self.sum(bytes),
            // Long texts in pieces, each folded into the next.
            _ => bytes.chunks(SPAN_BYTES_MAX).fold(0, |sum: u128, piece| {
                wide((sum as u64) ^ self.more[4], ((sum >> 64) as u64) | 1).wrapping_add(self.sum(piece))
            }),
        };
        let sum = sum.wrapping_add(wide((bytes.len() as u64).wrapping_add(self.more[2]), self.more[3]));
        let folded = wide((sum as u64).wrapping_add(self.more[5]), ((sum >> 64) as u64).wrapping_add(self.more[6]));
        (folded as u64) ^ (folded >> 64) as u64
    }

    /// Starts the key of a row of label pairs that are given by their texts' hashes.
    #[inline]
    pub fn row(&self) -> Row<'_> {
        Row { keys: self.keys.as_chunks::<2>().0, more: &self.more, sum: 0, len: 0 }
    }
}

/// A key in the making: of names and values in the order they were sent.
pub struct Row<'h> {
    keys: &'h [[u64; 2]],
    more: &'h [u64; 8],
    sum: u128,
    len: usize,
}

impl Row<'_> {
    #[inline]
    pub fn pair(&mut self, name: u64, value: u64) {
        if let Some([a, b]) = self.keys.get(self.len) {
            self.sum = self.sum.wrapping_add(wide(name.wrapping_add(*a), value.wrapping_add(*b)));
        }
        self.len += 1;
    }

    /// `None` above [`PAIRS_MAX`].
    #[inline]
    pub fn finish(self) -> Option<u128> {
        if self.len > PAIRS_MAX {
            return None;
        }
        // Another secret than a span's, so that rows and spans never mean each other.
        Some(self.sum.wrapping_add(wide((self.len as u64).wrapping_add(self.more[7]), self.more[1] ^ self.more[2])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn near_spans_differ_and_equal_ones_agree() {
        let hasher = SpanHasher::default();
        let base: Vec<u8> = (0..200).map(|i| (i * 7) as u8).collect();
        let mut seen = HashSet::new();
        for len in 0..=base.len() {
            assert!(seen.insert(hasher.span(&base[..len]).unwrap()), "{len}");
            // Zeros at the end are not the padding.
            let longer = [&base[..len], &[0]].concat();
            assert!(base.get(len) == Some(&0) || seen.insert(hasher.span(&longer).unwrap()), "{len} and a zero");
        }
        for bit in 0..base.len() * 8 {
            let mut other = base.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(seen.insert(hasher.span(&other).unwrap()), "bit {bit}");
        }
        // Whole words that change places.
        let mut swapped = base.clone();
        swapped.rotate_left(16);
        assert!(seen.insert(hasher.span(&swapped).unwrap()));
        assert_eq!(hasher.span(&[0; SPAN_BYTES_MAX + 1]), None);
        assert_ne!(hasher.span(b"abc"), SpanHasher::default().span(b"abc"));
    }

    #[test]
    fn texts_and_rows() {
        let hasher = SpanHasher::default();
        let texts: Vec<u64> = (0..5_000).map(|i| hasher.text("x".repeat(i).as_bytes())).collect();
        assert_eq!(texts.iter().collect::<HashSet<_>>().len(), texts.len());
        let row = |pairs: &[(u64, u64)]| {
            let mut row = hasher.row();
            for (n, v) in pairs {
                row.pair(*n, *v);
            }
            row.finish()
        };
        let [a, b, c] = [b"a", b"b", b"c"].map(|t| hasher.text(t));
        let rows = [row(&[]), row(&[(a, b)]), row(&[(b, a)]), row(&[(a, b), (c, c)]), row(&[(c, c), (a, b)])];
        assert_eq!(rows.iter().collect::<HashSet<_>>().len(), rows.len());
        assert_eq!((row(&[(a, b); PAIRS_MAX]).is_some(), row(&[(a, b); PAIRS_MAX + 1])), (true, None));
    }
}
