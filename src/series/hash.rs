//! Keyed hashes: of a raw label span, of a row of symbols, and of a text.
//! In: bytes. Out: 128 bits that stand for a span, or 64 that stand for a text; different in every process.
//! Never: lets a sender who does not know the key find two spans with the same 128 bits.
//! Start at [`SpanHasher::span`].

use std::hash::BuildHasher;

/// Spans up to this length have a key; Prometheus' own are about 300 bytes, and a longer one is looked up by its labels.
pub const SPAN_BYTES_MAX: usize = 4096;
/// Rows of up to this many label pairs have a key.
pub const PAIRS_MAX: usize = 64;
/// One secret word for each word of the longest span, and four for its end.
const WORDS: usize = SPAN_BYTES_MAX / 8 + 4;

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

/// Up to 31 bytes in 32, no two texts of one length alike: the front and the end, which may overlap.
#[inline]
fn padded(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    let (halves, _) = out.as_chunks_mut::<16>();
    if let (Some(a), Some(b)) = (bytes.first_chunk::<16>(), bytes.last_chunk::<16>()) {
        halves[0] = *a;
        halves[1] = *b;
        return out;
    }
    let (front, end) = if let (Some(a), Some(b)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (word(*a), word(*b))
    } else if let (Some(a), Some(b)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (u64::from(u32::from_le_bytes(*a)), u64::from(u32::from_le_bytes(*b)))
    } else {
        let at = |i: usize| u64::from(bytes.get(i).copied().unwrap_or(0));
        (at(0) | at(1) << 8, at(2))
    };
    halves[0] = (u128::from(front) | u128::from(end) << 64).to_le_bytes();
    out
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
        let (keys, _) = self.keys.as_chunks::<4>();
        let two = |block: &[u8; 32], key: &[u64; 4]| {
            let (words, _) = block.as_chunks::<8>();
            let at = |i: usize| word(words[i]).wrapping_add(key[i]);
            (wide(at(0), at(1)), wide(at(2), at(3)))
        };
        let (blocks, _) = bytes.as_chunks::<32>();
        let (mut sum, mut other) = (0_u128, 0_u128);
        for (block, key) in blocks.iter().zip(keys) {
            let (a, b) = two(block, key);
            sum = sum.wrapping_add(a);
            other = other.wrapping_add(b);
        }
        // The end once more, whether something is left or not: for texts of one length it holds every byte that is, and
        // no branch depends on how many those are.
        let end = bytes.last_chunk::<32>().copied().unwrap_or_else(|| padded(bytes));
        let (a, b) = keys.get(blocks.len()).map_or((0, 0), |key| two(&end, key));
        sum.wrapping_add(a).wrapping_add(other.wrapping_add(b))
    }

    /// What a text (a symbol, a label) is known by inside one request or one table; code that looks a text up by it compares the
    /// text too, or accepts a collision with a chance of 2⁻⁶².
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

    /// The key of a row of label pairs that are given by their texts' hashes, in the order they were sent; `None` if one
    /// of them is `None`, or above [`PAIRS_MAX`].
    #[inline]
    pub fn row(&self, pairs: impl Iterator<Item = Option<(u64, u64)>>) -> Option<u128> {
        let (keys, _) = self.keys.as_chunks::<2>();
        let (mut sum, mut len) = (0_u128, 0_usize);
        for pair in pairs {
            let (name, value) = pair?;
            let [a, b] = keys.get(len).filter(|_| len < PAIRS_MAX)?;
            sum = sum.wrapping_add(wide(name.wrapping_add(*a), value.wrapping_add(*b)));
            len += 1;
        }
        // Another secret than a span's, so that rows and spans never mean each other.
        Some(sum.wrapping_add(wide((len as u64).wrapping_add(self.more[7]), self.more[1] ^ self.more[2])))
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
        let row = |pairs: &[(u64, u64)]| hasher.row(pairs.iter().copied().map(Some));
        let [a, b, c] = [b"a", b"b", b"c"].map(|t| hasher.text(t));
        let rows = [row(&[]), row(&[(a, b)]), row(&[(b, a)]), row(&[(a, b), (c, c)]), row(&[(c, c), (a, b)])];
        assert_eq!(rows.iter().collect::<HashSet<_>>().len(), rows.len());
        assert_eq!(hasher.row([Some((a, b)), None].into_iter()), None);
        assert_eq!((row(&[(a, b); PAIRS_MAX]).is_some(), row(&[(a, b); PAIRS_MAX + 1])), (true, None));
    }
}
