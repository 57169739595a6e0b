//! Samples of one series, packed: about two bytes each for regular counters, seventeen at worst.
//! In: time and value bits. Out: the same bits, in time order.
//! Never: rounds a value or loses a NaN's bits.
//! Start at [`Chunks::insert`].

use super::error::AppendError;
use crate::model::{Histogram, SampleValue, Timestamp};
use std::collections::VecDeque;
use std::sync::Arc;

/// A chunk is sealed at this many samples: few enough that reading the newest ones decodes little.
const SAMPLES_PER_CHUNK: u16 = 32;
/// A sealed chunk that late samples made this long is split in two.
const SAMPLES_PER_CHUNK_MAX: usize = 64;
/// No series keeps more chunks, however fast it is sampled: 131,072 samples, an hour at 27 ms.
const CHUNKS_MAX: usize = 4096;
/// Histograms are kept whole, so fewer of them: an hour at one a second.
const HISTOGRAMS_MAX: usize = 3600;

/// How old a sample may be; both in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retention {
    pub window: i64,
    pub out_of_order: i64,
}

/// What an insertion changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Inserted {
    /// False when the very same sample was there already.
    pub added: bool,
    /// It was put before the newest one.
    pub late: bool,
    pub evicted: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Raw {
    t: i64,
    bits: u64,
}

/// A chunk that takes samples at its end: the first one whole, then differences.
#[derive(Debug, Default)]
struct Open {
    bytes: Vec<u8>,
    count: u16,
    first: i64,
    last: Raw,
    delta: i64,
}

#[derive(Debug)]
struct Sealed {
    first: i64,
    last: i64,
    count: u16,
    bytes: Box<[u8]>,
}

impl Open {
    /// Appends a sample that is later than all others. One header byte says how many bytes follow for the time's
    /// second difference (high half) and for the value (low half: 0 same, 1–7 an integer difference, 8–15 changed bits).
    fn push(&mut self, sample: Raw) {
        if self.count == 0 {
            self.first = sample.t;
            self.delta = 0;
            // Room for the first few samples, with one allocation.
            self.bytes.reserve_exact(48);
            self.bytes.extend_from_slice(&sample.t.to_le_bytes());
            self.bytes.extend_from_slice(&sample.bits.to_le_bytes());
        } else {
            let delta = sample.t.wrapping_sub(self.last.t);
            let time = zigzag(delta.wrapping_sub(self.delta));
            let time_len = byte_len(time);
            let (code, value, value_len) = value_code(self.last.bits, sample.bits);
            let mut out = [0_u8; 17];
            out[0] = (time_len as u8) << 4 | code;
            out[1..9].copy_from_slice(&time.to_le_bytes());
            out[1 + time_len..9 + time_len].copy_from_slice(&value.to_le_bytes());
            let len = 1 + time_len + value_len;
            if self.bytes.capacity() - self.bytes.len() < len {
                // Doubling would waste half of a small chunk.
                self.bytes.reserve_exact(32);
            }
            self.bytes.extend_from_slice(&out[..len]);
            self.delta = delta;
        }
        self.last = sample;
        self.count += 1;
    }

    fn seal(&mut self) -> Sealed {
        let open = std::mem::take(self);
        Sealed { first: open.first, last: open.last.t, count: open.count, bytes: open.bytes.into_boxed_slice() }
    }

    fn of(samples: &[Raw]) -> Self {
        let mut open = Self::default();
        for sample in samples {
            open.push(*sample);
        }
        open
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

/// The value as a whole number, if that loses no bit.
fn as_integer(bits: u64) -> Option<i64> {
    let v = f64::from_bits(bits);
    let i = v as i64;
    (v.abs() < 9_007_199_254_740_992.0 && (i as f64).to_bits() == bits).then_some(i)
}

/// Code, payload and its length in bytes.
fn value_code(old: u64, new: u64) -> (u8, u64, usize) {
    let changed = old ^ new;
    if changed == 0 {
        return (0, 0, 0);
    }
    let dropped = changed.trailing_zeros() as usize / 8;
    let changed_len = 8 - dropped;
    if let (Some(a), Some(b)) = (as_integer(old), as_integer(new)) {
        let difference = zigzag(b - a);
        let len = byte_len(difference);
        if len <= changed_len {
            return (len as u8, difference, len);
        }
    }
    (7 + changed_len as u8, changed >> (8 * dropped), changed_len)
}

/// Reads a chunk's samples in order.
struct Decoder<'a> {
    rest: &'a [u8],
    last: Option<Raw>,
    delta: i64,
}

impl<'a> Decoder<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, last: None, delta: 0 }
    }

    fn number(&mut self, len: usize) -> Option<u64> {
        let (head, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        let mut bytes = [0_u8; 8];
        bytes[..len].copy_from_slice(head);
        Some(u64::from_le_bytes(bytes))
    }
}

impl Iterator for Decoder<'_> {
    type Item = Raw;

    fn next(&mut self) -> Option<Raw> {
        let next = match self.last {
            None => Raw { t: self.number(8)? as i64, bits: self.number(8)? },
            Some(last) => {
                let header = usize::from(*self.rest.first()?);
                self.rest = &self.rest[1..];
                self.delta = self.delta.wrapping_add(unzigzag(self.number(header >> 4)?));
                let bits = match header & 15 {
                    0 => last.bits,
                    len @ 1..=7 => {
                        let difference = unzigzag(self.number(len)?);
                        ((f64::from_bits(last.bits) as i64).wrapping_add(difference) as f64).to_bits()
                    }
                    code => {
                        let len = code - 7;
                        last.bits ^ (self.number(len)? << (8 * (8 - len)))
                    }
                };
                Raw { t: last.t.wrapping_add(self.delta), bits }
            }
        };
        self.last = Some(next);
        Some(next)
    }
}

/// All samples of a series. Histograms stand beside the floats: almost no series has both.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    sealed: VecDeque<Sealed>,
    /// Holds the newest float whenever there is one.
    open: Open,
    histograms: Option<Box<Histograms>>,
}

/// In time order.
type Histograms = VecDeque<(i64, Arc<Histogram>)>;

impl Chunks {
    pub fn newest(&self) -> Option<i64> {
        let float = (self.open.count > 0).then_some(self.open.last.t);
        let histogram = self.histograms.as_ref().and_then(|h| h.back()).map(|(t, _)| *t);
        float.max(histogram)
    }

    pub fn oldest(&self) -> Option<i64> {
        let float = self.sealed.front().map(|s| s.first).or((self.open.count > 0).then_some(self.open.first));
        let histogram = self.histograms.as_ref().and_then(|h| h.front()).map(|(t, _)| *t);
        match (float, histogram) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    pub fn len(&self) -> usize {
        let sealed: usize = self.sealed.iter().map(|s| usize::from(s.count)).sum();
        sealed + usize::from(self.open.count) + self.histograms.as_ref().map_or(0, |h| h.len())
    }

    /// Heap bytes, for budgets; histograms at a flat estimate of 400 bytes.
    pub fn heap_bytes(&self) -> usize {
        let sealed: usize = self.sealed.iter().map(|s| s.bytes.len()).sum();
        sealed
            + self.sealed.capacity() * size_of::<Sealed>()
            + self.open.bytes.capacity()
            + self.histograms.as_ref().map_or(0, |h| h.len() * 400)
    }

    /// Adds a sample of any age that is newer than all others, or a late one within the out-of-order window.
    #[inline]
    pub fn insert(&mut self, t: i64, value: &SampleValue, keep: Retention) -> Result<Inserted, AppendError> {
        match self.newest() {
            Some(newest) if t <= newest => {
                match self.at(t) {
                    Some(same) if is_same(&same, value) => return Ok(Inserted::default()),
                    Some(_) => return Err(AppendError::DuplicateTimestamp),
                    None if t < newest.saturating_sub(keep.out_of_order) => return Err(AppendError::TooOld),
                    None => self.insert_late(t, value),
                }
                Ok(Inserted { added: true, late: true, evicted: 0 })
            }
            _ => {
                match value {
                    SampleValue::Float(v) => self.push_float(Raw { t, bits: v.to_bits() }),
                    SampleValue::Histogram(h) => self.histograms.get_or_insert_default().push_back((t, h.clone())),
                }
                Ok(Inserted { added: true, late: false, evicted: self.evict(t.saturating_sub(keep.window)) })
            }
        }
    }

    fn push_float(&mut self, sample: Raw) {
        if self.open.count >= SAMPLES_PER_CHUNK {
            let sealed = self.open.seal();
            self.sealed.push_back(sealed);
        }
        self.open.push(sample);
    }

    #[cold]
    fn insert_late(&mut self, t: i64, value: &SampleValue) {
        let sample = match value {
            SampleValue::Histogram(h) => {
                let all = self.histograms.get_or_insert_default();
                let place = all.partition_point(|(at, _)| *at < t);
                all.insert(place, (t, h.clone()));
                return;
            }
            SampleValue::Float(v) => Raw { t, bits: v.to_bits() },
        };
        if self.open.count == 0 || t > self.open.last.t {
            // A histogram is newest; among the floats this one is in order.
            return self.push_float(sample);
        }
        let place = self.sealed.partition_point(|chunk| chunk.last < t);
        let Some(chunk) = self.sealed.get_mut(place) else {
            let samples = with(&self.open.bytes, sample);
            self.open = Open::of(&samples);
            return;
        };
        let samples = with(&chunk.bytes, sample);
        if samples.len() <= SAMPLES_PER_CHUNK_MAX {
            *chunk = Open::of(&samples).seal();
        } else {
            let (early, late) = samples.split_at(samples.len() / 2);
            *chunk = Open::of(early).seal();
            self.sealed.insert(place + 1, Open::of(late).seal());
        }
    }

    /// Drops whole chunks that end before `cutoff`, and what is above the limits.
    #[inline]
    fn evict(&mut self, cutoff: i64) -> u32 {
        let mut evicted = 0;
        while self.sealed.front().is_some_and(|s| s.last < cutoff) || self.sealed.len() > CHUNKS_MAX {
            evicted += self.sealed.pop_front().map_or(0, |s| u32::from(s.count));
        }
        if let Some(all) = &mut self.histograms {
            while all.front().is_some_and(|(t, _)| *t < cutoff) || all.len() > HISTOGRAMS_MAX {
                all.pop_front();
                evicted += 1;
            }
        }
        evicted
    }

    /// The sample at exactly `t`.
    fn at(&self, t: i64) -> Option<SampleValue> {
        if let Some(all) = &self.histograms
            && let Ok(place) = all.binary_search_by_key(&t, |(at, _)| *at)
        {
            return all.get(place).map(|(_, h)| SampleValue::Histogram(h.clone()));
        }
        if self.open.count > 0 && self.open.last.t == t {
            return Some(SampleValue::Float(f64::from_bits(self.open.last.bits)));
        }
        let bytes = if self.open.count > 0 && t >= self.open.first {
            &self.open.bytes[..]
        } else {
            let place = self.sealed.partition_point(|chunk| chunk.last < t);
            &self.sealed.get(place)?.bytes[..]
        };
        let found = Decoder::new(bytes).find(|s| s.t >= t).filter(|s| s.t == t)?;
        Some(SampleValue::Float(f64::from_bits(found.bits)))
    }

    /// The newest sample in `(after, until]`.
    pub fn latest(&self, after: i64, until: i64) -> Option<(i64, SampleValue)> {
        let float = self.latest_float(until).map(|s| (s.t, SampleValue::Float(f64::from_bits(s.bits))));
        let histogram = self.histograms.as_ref().and_then(|all| {
            let place = all.partition_point(|(t, _)| *t <= until).checked_sub(1)?;
            all.get(place).map(|(t, h)| (*t, SampleValue::Histogram(h.clone())))
        });
        let newest = match (float, histogram) {
            (Some(f), Some(h)) => Some(if f.0 > h.0 { f } else { h }),
            (f, h) => f.or(h),
        };
        newest.filter(|(t, _)| *t > after)
    }

    fn latest_float(&self, until: i64) -> Option<Raw> {
        if self.open.count == 0 {
            return None;
        }
        if self.open.last.t <= until {
            return Some(self.open.last);
        }
        let bytes = if self.open.first <= until {
            &self.open.bytes[..]
        } else {
            let place = self.sealed.partition_point(|chunk| chunk.first <= until).checked_sub(1)?;
            &self.sealed.get(place)?.bytes[..]
        };
        Decoder::new(bytes).take_while(|s| s.t <= until).last()
    }

    /// Calls `each` for all samples in `(after, until]`, in time order.
    pub fn range(&self, after: i64, until: i64, mut each: impl FnMut(i64, SampleValue)) {
        let mut histograms =
            self.histograms.iter().flat_map(|all| all.iter()).filter(|(t, _)| *t > after && *t <= until);
        let mut pending = histograms.next();
        let first = self.sealed.partition_point(|chunk| chunk.last <= after);
        let sealed = self.sealed.range(first..).take_while(|chunk| chunk.first <= until).map(|chunk| &chunk.bytes[..]);
        let open = (self.open.count > 0 && self.open.first <= until).then_some(&self.open.bytes[..]);
        let floats = sealed.chain(open).flat_map(Decoder::new).filter(|s| s.t > after).take_while(|s| s.t <= until);
        for float in floats {
            while let Some((t, h)) = pending.filter(|(t, _)| *t < float.t) {
                each(*t, SampleValue::Histogram(h.clone()));
                pending = histograms.next();
            }
            each(float.t, SampleValue::Float(f64::from_bits(float.bits)));
        }
        for (t, h) in pending.into_iter().chain(histograms) {
            each(*t, SampleValue::Histogram(h.clone()));
        }
    }
}

/// The samples of a chunk with one more in its place.
fn with(bytes: &[u8], sample: Raw) -> Vec<Raw> {
    let mut samples: Vec<Raw> = Decoder::new(bytes).collect();
    let place = samples.partition_point(|s| s.t < sample.t);
    samples.insert(place, sample);
    samples
}

fn is_same(a: &SampleValue, b: &SampleValue) -> bool {
    match (a, b) {
        (SampleValue::Float(a), SampleValue::Float(b)) => a.to_bits() == b.to_bits(),
        // The sum is compared by its bits, because a stale histogram's sum is a NaN and NaN is never equal.
        (SampleValue::Histogram(a), SampleValue::Histogram(b)) => {
            Arc::ptr_eq(a, b)
                || (a.sum.to_bits() == b.sum.to_bits()
                    && Histogram { sum: 0.0, ..(**a).clone() } == Histogram { sum: 0.0, ..(**b).clone() })
        }
        _ => false,
    }
}

/// A time on the outside is a [`Timestamp`], in here its milliseconds.
pub(super) fn ms(t: Timestamp) -> i64 {
    t.as_millis()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const KEEP: Retention = Retention { window: 1_000_000, out_of_order: 100_000 };

    fn all(chunks: &Chunks) -> Vec<(i64, u64)> {
        let mut out = Vec::new();
        chunks.range(i64::MIN, i64::MAX, |t, v| {
            out.push((t, if let SampleValue::Float(v) = v { v.to_bits() } else { 0 }));
        });
        out
    }

    fn value() -> impl Strategy<Value = u64> {
        prop_oneof![
            any::<u64>(),
            (-1000_i64..1000).prop_map(|i| (i as f64).to_bits()),
            (0_u32..1000).prop_map(|i| (f64::from(i) / 10.0).to_bits()),
            Just(crate::model::sample::STALE_NAN_BITS),
            Just((-0.0_f64).to_bits()),
            Just(9_007_199_254_740_991.0_f64.to_bits()),
            Just((-9_007_199_254_740_991.0_f64).to_bits()),
        ]
    }

    proptest! {
        #[test]
        fn in_order_samples_come_back_bit_for_bit(
            steps in proptest::collection::vec((prop_oneof![1_i64..100_000, Just(15_000)], value()), 1..200),
        ) {
            let mut chunks = Chunks::default();
            let (mut t, mut expect) = (-5_000, Vec::new());
            for (step, bits) in steps {
                t += step;
                chunks.insert(t, &SampleValue::Float(f64::from_bits(bits)), Retention { window: i64::MAX, ..KEEP }).unwrap();
                expect.push((t, bits));
            }
            prop_assert_eq!(all(&chunks), expect);
        }

        /// The model is a sorted map under the same rules.
        #[test]
        fn late_samples_find_their_place(
            samples in proptest::collection::vec((0_i64..150_000, 0_u32..3), 1..300), after in 0_i64..150_000, len in 0_i64..90_000,
        ) {
            let mut chunks = Chunks::default();
            let mut model: BTreeMap<i64, u64> = BTreeMap::new();
            for (t, v) in samples {
                let v = f64::from(v);
                let got = chunks.insert(t, &SampleValue::Float(v), KEEP);
                let newest = model.keys().next_back().copied().unwrap_or(t);
                match model.get(&t) {
                    Some(bits) if *bits == v.to_bits() => prop_assert_eq!(got, Ok(Inserted::default())),
                    Some(_) => prop_assert_eq!(got, Err(AppendError::DuplicateTimestamp)),
                    None if t < newest - KEEP.out_of_order => prop_assert_eq!(got, Err(AppendError::TooOld)),
                    None => {
                        prop_assert_eq!(got, Ok(Inserted { added: true, late: t < newest, evicted: 0 }));
                        model.insert(t, v.to_bits());
                    }
                }
            }
            prop_assert_eq!(all(&chunks), model.iter().map(|(t, b)| (*t, *b)).collect::<Vec<_>>());
            prop_assert_eq!(chunks.len(), model.len());
            let mut ranged = Vec::new();
            chunks.range(after, after + len, |t, _| ranged.push(t));
            let window = || model.range((std::ops::Bound::Excluded(after), std::ops::Bound::Included(after + len)));
            if len > 0 {
                prop_assert_eq!(&ranged, &window().map(|(t, _)| *t).collect::<Vec<_>>());
            }
            prop_assert_eq!(chunks.latest(after, after + len).map(|(t, _)| t), ranged.last().copied());
        }
    }

    #[test]
    fn regular_samples_are_small() {
        let mut chunks = Chunks::default();
        for i in 0..60_i64 {
            chunks.insert(i * 15_000, &SampleValue::Float((1_000_000 + i * 37) as f64), KEEP).unwrap();
        }
        assert!(chunks.heap_bytes() < 420, "{}", chunks.heap_bytes());
    }

    #[test]
    fn old_chunks_leave() {
        let mut chunks = Chunks::default();
        let mut evicted = 0;
        for i in 0..1_000_i64 {
            evicted += chunks.insert(i * 15_000, &SampleValue::Float(0.5), KEEP).unwrap().evicted;
        }
        assert_eq!(chunks.len() + evicted as usize, 1_000);
        assert!(chunks.len() < 66 + 33, "{}", chunks.len());
    }

    #[test]
    fn floats_and_histograms_share_a_series() {
        let mut chunks = Chunks::default();
        let histogram = |sum| SampleValue::Histogram(Arc::new(Histogram { sum, ..Histogram::default() }));
        let stale = f64::from_bits(crate::model::sample::STALE_NAN_BITS);
        for (t, v) in
            [(10, SampleValue::Float(1.0)), (30, histogram(stale)), (20, SampleValue::Float(2.0)), (5, histogram(1.0))]
        {
            assert!(chunks.insert(t, &v, KEEP).unwrap().added);
        }
        assert_eq!(all(&chunks).iter().map(|(t, _)| *t).collect::<Vec<_>>(), [5, 10, 20, 30]);
        assert_eq!(chunks.insert(30, &histogram(stale), KEEP), Ok(Inserted::default()));
        assert_eq!(chunks.insert(30, &SampleValue::Float(1.0), KEEP), Err(AppendError::DuplicateTimestamp));
        assert_eq!(chunks.latest(0, 29).map(|(t, _)| t), Some(20));
    }
}
