//! Late samples, eviction, and histograms against a model.
//! In: made samples. Out: nothing.
//! Never: looks into a block.
//! Start at [`late_samples_find_their_place`].

use super::*;
use crate::model::SampleValue;
use crate::series::block::Raw;
use crate::series::error::AppendError;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

const KEEP: Retention = Retention { window: 1_000_000, out_of_order: 100_000 };

fn data() -> Data {
    let mut data = Region::new(Arc::default()).data.into_inner();
    // A neighbour before and behind, so that blocks of several series lie between each other.
    for i in 0..3 {
        data.create(i, &[i as u32], 0);
    }
    data
}

fn put(data: &mut Data, t: i64, v: f64) -> Result<Inserted, AppendError> {
    drop(data.append_float(0, Raw { t: t + 1_000_000_000, bits: 0 }, 0, KEEP));
    drop(data.append_float(2, Raw { t: t + 1_000_000_000, bits: 0 }, 0, KEEP));
    data.append_float(1, Raw { t, bits: v.to_bits() }, 0, KEEP)
}

fn all(data: &Data) -> Vec<(i64, u64)> {
    let mut out = Vec::new();
    let bits = |v| if let SampleValue::Float(v) = v { v.to_bits() } else { 0 };
    data.range(1, i64::MIN, i64::MAX, |t, v| out.push((t, bits(v))));
    out
}

proptest! {
    /// The model is a sorted map under the same rules.
    #[test]
    fn late_samples_find_their_place(
        samples in proptest::collection::vec((0_i64..150_000, 0_u32..3), 1..300), after in 0_i64..150_000, len in 0_i64..90_000,
    ) {
        let mut data = data();
        let mut model: BTreeMap<i64, u64> = BTreeMap::new();
        for (t, v) in samples {
            let v = f64::from(v) + 0.3;
            let got = put(&mut data, t, v);
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
        prop_assert_eq!(all(&data), model.iter().map(|(t, b)| (*t, *b)).collect::<Vec<_>>());
        prop_assert_eq!(data.len(1), model.len());
        prop_assert_eq!((data.oldest(1), data.newest(1)), (model.keys().next().copied(), model.keys().next_back().copied()));
        let mut ranged = Vec::new();
        data.range(1, after, after + len, |t, _| ranged.push(t));
        let window = || model.range((std::ops::Bound::Excluded(after), std::ops::Bound::Included(after + len)));
        if len > 0 {
            prop_assert_eq!(&ranged, &window().map(|(t, _)| *t).collect::<Vec<_>>());
        }
        prop_assert_eq!(data.latest(1, after, after + len).map(|(t, _)| t), ranged.last().copied());
    }
}

#[test]
fn old_blocks_leave_and_are_used_again() {
    let mut data = data();
    let mut evicted = 0;
    for i in 0..5_000_i64 {
        evicted += put(&mut data, i * 15_000, 0.5).unwrap().evicted as usize;
    }
    assert_eq!(data.len(1) + evicted, 5_000);
    // 66 are within the window; a block of these holds about a hundred.
    assert!((67..67 + 106).contains(&data.len(1)), "{}", data.len(1));
    let bytes = data.bytes.load(Ordering::Relaxed);
    assert!(bytes <= SLAB * 128, "{bytes}");
    assert_eq!(data.remove(1).1, 5_000 - evicted);
    assert!(!data.is_alive(1) && data.labels(1).is_empty() && data.labels(2) == [2]);
}

#[test]
fn a_series_without_end_of_samples_is_cut() {
    let mut data = data();
    for i in 0..300_000_i64 {
        drop(data.append_float(1, Raw { t: i, bits: (i as f64).sin().to_bits() }, 0, KEEP));
    }
    assert!(data.len(1) <= usize::from(BLOCKS_MAX + 1) * 106);
    assert_eq!(data.newest(1), Some(299_999));
}

#[test]
fn floats_and_histograms_share_a_series() {
    let mut data = data();
    let histogram = |sum| SampleValue::Histogram(Arc::new(Histogram { sum, ..Histogram::default() }));
    let stale = f64::from_bits(crate::model::sample::STALE_NAN_BITS);
    for (t, v) in
        [(10, SampleValue::Float(1.0)), (30, histogram(stale)), (20, SampleValue::Float(2.0)), (5, histogram(1.0))]
    {
        assert!(data.append(1, t, &v, 0, KEEP).unwrap().added);
    }
    assert_eq!(all(&data).iter().map(|(t, _)| *t).collect::<Vec<_>>(), [5, 10, 20, 30]);
    assert_eq!(data.append(1, 30, &histogram(stale), 0, KEEP), Ok(Inserted::default()));
    assert_eq!(data.append(1, 30, &SampleValue::Float(1.0), 0, KEEP), Err(AppendError::DuplicateTimestamp));
    assert_eq!(
        data.append_float(1, Raw { t: 25, bits: 0 }, 0, KEEP).unwrap(),
        Inserted { added: true, late: true, evicted: 0 }
    );
    assert_eq!(data.latest(1, 0, 29).map(|(t, _)| t), Some(25));
}

#[test]
fn memory_is_given_back_when_neighbours_leave() {
    let mut data = data();
    for n in 0..20_000 {
        // Changes in every bit, so that there are many blocks.
        put(&mut data, n * 15, 0.1 * n as f64).unwrap();
        data.append_float(
            0,
            Raw { t: 2_000_000_000 + n * 15, bits: (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) },
            0,
            KEEP,
        )
        .unwrap();
    }
    let (held, before) = (all(&data), data.bytes.load(Ordering::Relaxed));
    data.remove(0);
    data.compact_blocks(2);
    let after = data.bytes.load(Ordering::Relaxed);
    assert!(after < before / 2, "{after} of {before}");
    assert_eq!(all(&data), held);
    // And it goes on as before.
    put(&mut data, 400_000, 7.5).unwrap();
    assert_eq!((all(&data).len(), data.newest(1)), (held.len() + 1, Some(400_000)));
    for i in 0..3 {
        data.remove(i);
    }
    data.compact_blocks(2);
    assert_eq!((data.bytes.load(Ordering::Relaxed), data.slabs.len()), (0, 0));
}

/// Native histograms of many sizes: what is counted when they come is what goes when they leave, by age, by number or at once.
#[test]
fn memory_is_given_back_with_histograms() {
    let mut data = data();
    let counted = |data: &Data| data.bytes.load(Ordering::Relaxed);
    let histogram = |n: usize| Histogram { positive_buckets: vec![1.0; n % 500], ..Histogram::default() };
    let put = |data: &mut Data, i: usize, t: i64, n: usize| {
        data.append(i, t, &SampleValue::Histogram(Arc::new(histogram(n))), 0, KEEP).unwrap()
    };
    put(&mut data, 1, 0, 499);
    let one = counted(&data);
    assert!(one > 499 * 8 + size_of::<Histogram>(), "{one}");
    // The window is passed: only the new one is held.
    put(&mut data, 1, 2_000_000, 499);
    assert_eq!((data.len(1), counted(&data)), (1, one));
    for n in 0..200 {
        put(&mut data, 0, n as i64 * 15_000, n);
        data.append_float(0, Raw { t: n as i64 * 15_000 + 1, bits: 0 }, 0, KEEP).unwrap();
    }
    for i in 0..3 {
        data.remove(i);
    }
    data.compact_blocks(2);
    assert_eq!((counted(&data), data.slabs.len()), (0, 0));
}

#[test]
fn histograms_are_bounded_in_number_when_they_come_late_too() {
    let mut data = data();
    let histogram = SampleValue::Histogram(Arc::new(Histogram::default()));
    let (mut added, mut evicted) = (0, 0);
    let mut put = |data: &mut Data, t: i64| {
        evicted += data.append(1, t, &histogram, 0, KEEP).unwrap().evicted as usize;
        added += 1;
    };
    put(&mut data, 99_999);
    for t in 0..HISTOGRAMS_MAX as i64 + 500 {
        put(&mut data, t);
    }
    assert_eq!((data.len(1), data.newest(1)), (HISTOGRAMS_MAX, Some(99_999)));
    assert_eq!(data.len(1) + evicted, added);
}
