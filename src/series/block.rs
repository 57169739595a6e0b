//! Samples packed into a block of fixed size: the first whole, then differences of about three bytes.
//! In: time and value bits, in time order. Out: the same bits.
//! Never: rounds a value, loses a NaN's bits, or allocates.
//! Start at [`Block::push`].

use std::array::from_fn;

/// Bytes for the differences; a whole block is two cache lines.
const PAYLOAD: usize = 105;
/// No block.
pub(super) const NONE: u32 = u32::MAX;
/// The factors by which values are tried as whole numbers: exporters round to a few decimals.
const SCALES: [f64; 4] = [1.0, 10.0, 100.0, 1000.0];
/// Whole numbers above this are not all exact in a double.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Raw {
    pub t: i64,
    pub bits: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Block {
    first: Raw,
    /// The block of the same series that follows, or of the list of free ones.
    pub next: u32,
    used: u8,
    count: u8,
    /// Index into [`SCALES`] for all values of this block.
    scale: u8,
    bytes: [u8; PAYLOAD],
}

/// Where the writer stands: what the next difference is taken from. Kept beside the series, not in each block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pen {
    pub last: Raw,
    pub delta: i32,
    /// The scale that the next block starts with; it only grows.
    pub scale: u8,
    /// What the block that is being written has of each: so that a sample writes to one of its two cache lines, not both.
    used: u8,
    count: u8,
    block_scale: u8,
}

impl Pen {
    /// Before the first block.
    pub const NEW: Self = Self { last: Raw { t: 0, bits: 0 }, delta: 0, scale: 0, used: 0, count: 0, block_scale: 0 };
}

impl Block {
    pub const EMPTY: Self =
        Self { first: Raw { t: 0, bits: 0 }, next: NONE, used: 0, count: 0, scale: 0, bytes: [0; PAYLOAD] };

    /// Begins with this sample.
    pub fn start(&mut self, sample: Raw, pen: &mut Pen) {
        self.first = sample;
        let scale = scale_of(sample.bits).map_or(pen.scale, |s| s.max(pen.scale));
        *pen = Pen { last: sample, delta: 0, scale, used: 0, count: 1, block_scale: scale };
    }

    /// Takes over what the pen knew of this block: before it goes on to another.
    pub fn close(&mut self, pen: &Pen) {
        self.used = pen.used;
        self.count = pen.count;
        self.scale = pen.block_scale;
    }

    /// Appends a sample that is later than all others; false when it does not fit, and then nothing has changed.
    /// One header byte says how many bytes follow for the time's second difference (high half) and for the value
    /// (low half: 0 same, 1–7 a whole difference, 8–15 changed bits).
    #[inline]
    pub fn push(&mut self, sample: Raw, pen: &mut Pen) -> bool {
        let Ok(delta) = i32::try_from(sample.t.wrapping_sub(pen.last.t)) else { return false };
        if pen.count == 1 {
            // Nothing was written at this scale yet, so the second sample may ask for a finer one.
            pen.scale = scale_of(sample.bits).map_or(pen.scale, |s| s.max(pen.scale));
            pen.block_scale = pen.scale;
        }
        let time = zigzag(i64::from(delta) - i64::from(pen.delta));
        let time_len = byte_len(time);
        let (code, value, value_len) = value_code(pen.last.bits, sample.bits, pen.block_scale);
        if value_len > 4 {
            // It costs much; perhaps it would be whole at a finer scale. This block stays as it began.
            pen.scale = scale_of(sample.bits).map_or(pen.scale, |s| s.max(pen.scale));
        }
        // A second difference of two 32-bit numbers takes five bytes at most, so all of it fits into sixteen.
        let packed = u128::from((time_len as u8) << 4 | code)
            | u128::from(time) << 8
            | u128::from(value).checked_shl(8 * (1 + time_len as u32)).unwrap_or(0);
        let (out, len, used) = (packed.to_le_bytes(), 1 + time_len + value_len, usize::from(pen.used));
        if let Some(place) = self.bytes.get_mut(used..).and_then(<[u8]>::first_chunk_mut::<16>) {
            // More than needed, but of a known length; the next sample writes over the rest.
            *place = out;
        } else {
            let Some(place) = self.bytes.get_mut(used..used + len) else { return false };
            place.copy_from_slice(&out[..len]);
        }
        pen.used = (used + len) as u8;
        pen.count += 1;
        pen.last = sample;
        pen.delta = delta;
        true
    }

    /// Reads a byte of the cache line that the next sample goes to.
    #[inline]
    pub fn touch(&self, pen: &Pen) -> u32 {
        u32::from(self.bytes[usize::from(pen.used).min(PAYLOAD - 1)])
    }

    pub fn first_t(&self) -> i64 {
        self.first.t
    }

    /// How to read it once it is closed.
    pub fn closed(&self) -> View<'_> {
        View { block: self, used: self.used, count: self.count, scale: self.scale }
    }

    /// How to read it while it is written.
    pub fn open(&self, pen: &Pen) -> View<'_> {
        View { block: self, used: pen.used, count: pen.count, scale: pen.block_scale }
    }
}

/// A block as it is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'b> {
    block: &'b Block,
    used: u8,
    count: u8,
    scale: u8,
}

impl<'b> View<'b> {
    pub fn count(&self) -> usize {
        usize::from(self.count)
    }

    pub fn first_t(&self) -> i64 {
        self.block.first.t
    }

    pub fn next(&self) -> u32 {
        self.block.next
    }

    pub fn samples(&self) -> Samples<'b> {
        Samples {
            rest: self.block.bytes.get(..usize::from(self.used)).unwrap_or_default(),
            next: (self.count > 0).then_some(self.block.first),
            delta: 0,
            scale: SCALES[usize::from(self.scale) % SCALES.len()],
        }
    }
}

/// Reads a block's samples in order.
pub(super) struct Samples<'a> {
    rest: &'a [u8],
    next: Option<Raw>,
    delta: i64,
    scale: f64,
}

impl Samples<'_> {
    #[inline]
    fn number(&mut self, len: usize) -> Option<u64> {
        let (head, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(u64::from_le_bytes(from_fn(|i| head.get(i).copied().unwrap_or(0))))
    }

    fn after(&mut self, last: Raw) -> Option<Raw> {
        let header = usize::from(*self.rest.first()?);
        self.rest = &self.rest[1..];
        self.delta += unzigzag(self.number(header >> 4)?);
        let bits = match header & 15 {
            0 => last.bits,
            len @ 1..=7 => {
                let difference = unzigzag(self.number(len)?);
                let whole = whole_near(f64::from_bits(last.bits) * self.scale) + difference;
                (whole as f64 / self.scale).to_bits()
            }
            code => {
                let len = code - 7;
                last.bits ^ (self.number(len)? << (8 * (8 - len)))
            }
        };
        Some(Raw { t: last.t.wrapping_add(self.delta), bits })
    }
}

impl Iterator for Samples<'_> {
    type Item = Raw;

    #[inline]
    fn next(&mut self) -> Option<Raw> {
        let now = self.next?;
        self.next = self.after(now);
        Some(now)
    }
}

fn zigzag(v: i64) -> u64 {
    ((v << 1) ^ (v >> 63)) as u64
}

fn unzigzag(v: u64) -> i64 {
    ((v >> 1) as i64) ^ -((v & 1) as i64)
}

fn byte_len(v: u64) -> usize {
    (64 - v.leading_zeros() as usize).div_ceil(8)
}

/// The nearest whole number, halves away from zero; without a call into the maths library.
#[inline]
fn whole_near(v: f64) -> i64 {
    (v + 0.5_f64.copysign(v)) as i64
}

/// The value as a whole number of `1 / scale`, if that loses no bit.
#[inline]
fn as_whole(bits: u64, scale: f64) -> Option<i64> {
    let v = f64::from_bits(bits) * scale;
    let whole = whole_near(v);
    (v.abs() < EXACT_MAX && (whole as f64 / scale).to_bits() == bits).then_some(whole)
}

/// The smallest scale at which the value is whole.
fn scale_of(bits: u64) -> Option<u8> {
    SCALES.iter().position(|scale| as_whole(bits, *scale).is_some()).map(|i| i as u8)
}

/// Code, payload and its length in bytes.
#[inline]
fn value_code(old: u64, new: u64, scale: u8) -> (u8, u64, usize) {
    let changed = old ^ new;
    if changed == 0 {
        return (0, 0, 0);
    }
    let dropped = changed.trailing_zeros() as usize / 8;
    let changed_len = 8 - dropped;
    let scale = SCALES[usize::from(scale) % SCALES.len()];
    if let (Some(a), Some(b)) = (as_whole(old, scale), as_whole(new, scale)) {
        let difference = zigzag(b - a);
        let len = byte_len(difference);
        if len <= changed_len.min(7) {
            return (len as u8, difference, len);
        }
    }
    (7 + changed_len as u8, changed >> (8 * dropped), changed_len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = u64> {
        prop_oneof![
            any::<u64>(),
            any::<f64>().prop_map(f64::to_bits),
            (-1000_i64..1000).prop_map(|i| (i as f64).to_bits()),
            (-1000_i32..1000).prop_map(|i| (f64::from(i) / 10.0).to_bits()),
            (0_u32..100_000).prop_map(|i| (f64::from(i) / 1000.0).to_bits()),
            Just(crate::model::sample::STALE_NAN_BITS),
            Just((-0.0_f64).to_bits()),
            Just(9_007_199_254_740_991.0_f64.to_bits()),
            Just((-9_007_199_254_740_991.0_f64).to_bits()),
            Just(f64::INFINITY.to_bits()),
        ]
    }

    /// Blocks filled one after the other.
    fn packed(samples: &[Raw]) -> Vec<Block> {
        let mut pen = Pen::default();
        let mut blocks: Vec<Block> = Vec::new();
        for sample in samples {
            if !blocks.last_mut().is_some_and(|b| b.push(*sample, &mut pen)) {
                if let Some(before) = blocks.last_mut() {
                    before.close(&pen);
                }
                let mut block = Block::EMPTY;
                block.start(*sample, &mut pen);
                blocks.push(block);
            }
        }
        if let Some(last) = blocks.last_mut() {
            last.close(&pen);
        }
        blocks
    }

    proptest! {
        #[test]
        fn samples_come_back_bit_for_bit(
            steps in proptest::collection::vec((prop_oneof![1_i64..100_000, Just(15_000), Just(1 << 40)], value()), 1..200),
        ) {
            let mut t = -5_000;
            let samples: Vec<Raw> = steps.into_iter().map(|(step, bits)| { t += step; Raw { t, bits } }).collect();
            let blocks = packed(&samples);
            let back: Vec<Raw> = blocks.iter().flat_map(|b| b.closed().samples()).collect();
            prop_assert_eq!(&back, &samples);
            prop_assert_eq!(blocks.iter().map(|b| b.closed().count()).sum::<usize>(), samples.len());
        }
    }

    #[test]
    fn a_block_is_two_cache_lines_and_holds_half_a_quarter_hour() {
        assert_eq!(size_of::<Block>(), 128);
        let check = |what: &str, value: &dyn Fn(i64) -> f64, at_least: usize| {
            let samples: Vec<Raw> = (0..60).map(|i| Raw { t: i * 15_000, bits: value(i).to_bits() }).collect();
            let blocks = packed(&samples);
            assert!(blocks[0].closed().count() >= at_least, "{what}: {}", blocks[0].closed().count());
        };
        check("a counter", &|i| (1_000_000 + i * 370 + i % 7) as f64, 30);
        check("thousandths", &|i| ((50.0 + 45.0 * (i as f64 / 20.0).sin()) * 1000.0).round() / 1000.0, 30);
        check("always the same", &|_| 0.1 + 0.2, 60);
        check("never the same", &|i| (i as f64).sin(), 12);
    }
}
