//! Native histograms and metadata, which look alike in both versions.
//! In: one message. Out: a [`Histogram`] with absolute float counts, or why it is not one.
//! Never: believes a span that has no bucket behind it.
//! Start at [`histogram()`].

use super::cursor::{Cursor, Field, Malformed, Value, repeated_double, repeated_varint, unzigzag};
use crate::model::Histogram;
use crate::model::sample::{CUSTOM_BUCKETS_SCHEMA, ResetHint, Span};

/// The finest resolution that is kept; finer ones (up to [`SCHEMA_MAX`]) are reduced to it, as in Prometheus.
const SCHEMA_KEPT_MAX: i32 = 8;
const SCHEMA_MIN: i32 = -4;
const SCHEMA_MAX: i32 = 52;

/// Bytes of buckets, spans and bounds of one histogram at most: real ones have some hundred buckets of a few bytes.
const BUCKET_BYTES_MAX: usize = 1 << 16;

/// The message is read, but what it says cannot be: a 400 for this sample only.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHistogram {
    #[error("histogram schema {0} is not known")]
    Schema(i32),
    #[error("histogram spans are not valid: {0}")]
    Spans(&'static str),
    #[error("histogram has a negative bucket or zero count")]
    NegativeCount,
    #[error("histogram count {count} does not equal the sum of its buckets {buckets}")]
    Count { count: u64, buckets: u64 },
    #[error("histogram custom values are not valid: {0}")]
    CustomValues(&'static str),
}

/// A metric's metadata, borrowed.
#[derive(Clone, Copy, Debug)]
pub enum RawMetadata<'a> {
    V1 { kind: u64, family: &'a [u8], help: &'a [u8], unit: &'a [u8] },
    V2 { kind: u64, help_ref: u32, unit_ref: u32 },
}

impl<'a> RawMetadata<'a> {
    pub(super) fn parse_v1(message: &'a [u8]) -> Result<Self, Malformed> {
        let (mut kind, mut texts) = (0, [&message[..0]; 3]);
        let mut cursor = Cursor::new(message);
        while let Some(field) = cursor.field()? {
            match field.number {
                1 => kind = field.varint()?,
                2 => texts[0] = field.bytes()?,
                4 => texts[1] = field.bytes()?,
                5 => texts[2] = field.bytes()?,
                _ => {}
            }
        }
        Ok(Self::V1 { kind, family: texts[0], help: texts[1], unit: texts[2] })
    }

    pub(super) fn parse_v2(message: &'a [u8]) -> Result<Self, Malformed> {
        let (mut kind, mut help_ref, mut unit_ref) = (0, 0, 0);
        let mut cursor = Cursor::new(message);
        while let Some(field) = cursor.field()? {
            match field.number {
                1 => kind = field.varint()?,
                3 => help_ref = u32::try_from(field.varint()?).unwrap_or(u32::MAX),
                4 => unit_ref = u32::try_from(field.varint()?).unwrap_or(u32::MAX),
                _ => {}
            }
        }
        Ok(Self::V2 { kind, help_ref, unit_ref })
    }
}

/// One side of the histogram as sent: integer deltas or float counts.
#[derive(Default)]
struct Side {
    spans: Vec<Span>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

#[derive(Default)]
struct Raw {
    t_ms: i64,
    count_int: Option<u64>,
    count_float: f64,
    zero_int: u64,
    zero_float: f64,
    negative: Side,
    positive: Side,
    rest: Histogram,
}

/// Decodes, checks and converts one histogram. The outer error ends the request, the inner one only this sample.
pub fn histogram(message: &[u8]) -> Result<(i64, Result<Histogram, InvalidHistogram>), Malformed> {
    let mut raw = Raw::default();
    let mut elements = 0;
    let mut cursor = Cursor::new(message);
    while let Some(field) = cursor.field()? {
        // A packed field may bring them all at once, one byte each; a single one brings one more.
        let new = if let Value::Bytes(bytes) = field.value { bytes.len().max(1) } else { 1 };
        if matches!(field.number, 8..=13 | 16) {
            elements += new;
        }
        if elements > BUCKET_BYTES_MAX {
            return Err(Malformed::TooManyBuckets(BUCKET_BYTES_MAX));
        }
        raw.read(field)?;
    }
    Ok((raw.t_ms, raw.convert()))
}

impl Raw {
    fn read(&mut self, field: Field<'_>) -> Result<(), Malformed> {
        match field.number {
            1 => self.count_int = Some(field.varint()?),
            2 => {
                self.count_int = None;
                self.count_float = f64::from_bits(field.double()?);
            }
            3 => self.rest.sum = f64::from_bits(field.double()?),
            4 => self.rest.schema = unzigzag(u64::from(field.varint()? as u32)) as i32,
            5 => self.rest.zero_threshold = f64::from_bits(field.double()?),
            6 => self.zero_int = field.varint()?,
            7 => self.zero_float = f64::from_bits(field.double()?),
            8 => self.negative.spans.push(span(field.bytes()?)?),
            9 => deltas(field, &mut self.negative.deltas)?,
            10 => repeated_double(field, |bits| self.negative.counts.push(f64::from_bits(bits)))?,
            11 => self.positive.spans.push(span(field.bytes()?)?),
            12 => deltas(field, &mut self.positive.deltas)?,
            13 => repeated_double(field, |bits| self.positive.counts.push(f64::from_bits(bits)))?,
            14 => {
                self.rest.reset_hint = match field.varint()? {
                    1 => ResetHint::Yes,
                    2 => ResetHint::No,
                    3 => ResetHint::Gauge,
                    _ => ResetHint::Unknown,
                }
            }
            15 => self.t_ms = field.varint()? as i64,
            16 => repeated_double(field, |bits| self.rest.custom_values.push(f64::from_bits(bits)))?,
            17 => drop(field.varint()?),
            _ => {}
        }
        Ok(())
    }

    fn convert(self) -> Result<Histogram, InvalidHistogram> {
        let Self { count_int, count_float, zero_int, zero_float, negative, positive, rest: mut h, .. } = self;
        if h.schema != CUSTOM_BUCKETS_SCHEMA && !(SCHEMA_MIN..=SCHEMA_MAX).contains(&h.schema) {
            return Err(InvalidHistogram::Schema(h.schema));
        }
        if let Some(count) = count_int {
            h.negative_buckets = absolute(&negative.deltas)?;
            h.positive_buckets = absolute(&positive.deltas)?;
            let sum = |deltas: &[i64]| {
                let mut bucket = 0_i64;
                deltas.iter().fold(0_u64, |total, delta| {
                    bucket = bucket.wrapping_add(*delta);
                    total.wrapping_add(bucket as u64)
                })
            };
            let buckets = sum(&negative.deltas).wrapping_add(sum(&positive.deltas)).wrapping_add(zero_int);
            // Observations of NaN count, but fall into no bucket; only then the sum is NaN.
            let fits = if h.sum.is_nan() { buckets <= count } else { buckets == count };
            if !fits {
                return Err(InvalidHistogram::Count { count, buckets });
            }
            h.count = count as f64;
            h.zero_count = zero_int as f64;
        } else {
            // Float counts are not added up: rounding would refuse good ones (as in Prometheus).
            h.negative_buckets = negative.counts;
            h.positive_buckets = positive.counts;
            h.count = count_float;
            h.zero_count = zero_float;
            let all = h.negative_buckets.iter().chain(&h.positive_buckets).chain([&h.count, &h.zero_count]);
            if all.into_iter().any(|count| *count < 0.0) {
                return Err(InvalidHistogram::NegativeCount);
            }
        }
        h.negative_spans = negative.spans;
        h.positive_spans = positive.spans;
        check_spans(&h.negative_spans, h.negative_buckets.len())?;
        check_spans(&h.positive_spans, h.positive_buckets.len())?;
        if h.schema == CUSTOM_BUCKETS_SCHEMA {
            check_custom(&h)?;
        } else if !h.custom_values.is_empty() {
            return Err(InvalidHistogram::CustomValues("an exponential histogram has none"));
        }
        if h.schema > SCHEMA_KEPT_MAX {
            let shift = (h.schema - SCHEMA_KEPT_MAX) as u32;
            (h.negative_spans, h.negative_buckets) = reduce(&h.negative_spans, &h.negative_buckets, shift);
            (h.positive_spans, h.positive_buckets) = reduce(&h.positive_spans, &h.positive_buckets, shift);
            h.schema = SCHEMA_KEPT_MAX;
        }
        Ok(h)
    }
}

fn span(message: &[u8]) -> Result<Span, Malformed> {
    let mut span = Span { offset: 0, length: 0 };
    let mut cursor = Cursor::new(message);
    while let Some(field) = cursor.field()? {
        match field.number {
            1 => span.offset = unzigzag(u64::from(field.varint()? as u32)) as i32,
            2 => span.length = field.varint()? as u32,
            _ => {}
        }
    }
    Ok(span)
}

fn deltas(field: Field<'_>, out: &mut Vec<i64>) -> Result<(), Malformed> {
    repeated_varint(field, |v| {
        out.push(unzigzag(v));
        Ok(())
    })
}

/// Running sums, none of which may be negative.
fn absolute(deltas: &[i64]) -> Result<Vec<f64>, InvalidHistogram> {
    let mut bucket = 0_i64;
    let mut out = Vec::with_capacity(deltas.len());
    for delta in deltas {
        bucket = bucket.checked_add(*delta).filter(|b| *b >= 0).ok_or(InvalidHistogram::NegativeCount)?;
        out.push(bucket as f64);
    }
    Ok(out)
}

fn check_spans(spans: &[Span], buckets: usize) -> Result<(), InvalidHistogram> {
    if spans.iter().skip(1).any(|s| s.offset < 0) {
        return Err(InvalidHistogram::Spans("only the first offset may be negative"));
    }
    let total: u64 = spans.iter().map(|s| u64::from(s.length)).sum();
    if total != buckets as u64 {
        return Err(InvalidHistogram::Spans("their lengths do not add up to the number of buckets"));
    }
    Ok(())
}

fn check_custom(h: &Histogram) -> Result<(), InvalidHistogram> {
    let bounds = &h.custom_values;
    if bounds.iter().any(|b| b.is_nan()) || bounds.windows(2).any(|w| w[0] >= w[1]) {
        return Err(InvalidHistogram::CustomValues("bounds must rise"));
    }
    if bounds.last() == Some(&f64::INFINITY) {
        return Err(InvalidHistogram::CustomValues("the bound +Inf is implied"));
    }
    if h.zero_count != 0.0 || h.zero_threshold != 0.0 || !h.negative_spans.is_empty() || !h.negative_buckets.is_empty()
    {
        return Err(InvalidHistogram::CustomValues("custom buckets have no zero bucket and no negative ones"));
    }
    let reach: i64 = h.positive_spans.iter().map(|s| i64::from(s.offset) + i64::from(s.length)).sum();
    if h.positive_spans.first().is_some_and(|s| s.offset < 0) || reach > bounds.len() as i64 + 1 {
        return Err(InvalidHistogram::Spans("they reach beyond the custom bounds"));
    }
    Ok(())
}

/// Merges each 2^shift neighbours into one bucket: index `i` becomes `ceil(i / 2^shift)`.
fn reduce(spans: &[Span], buckets: &[f64], shift: u32) -> (Vec<Span>, Vec<f64>) {
    let (mut out_spans, mut out): (Vec<Span>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut counts = buckets.iter();
    let mut index = 0_i64;
    let mut last: Option<i64> = None;
    for span in spans {
        index += i64::from(span.offset);
        for count in counts.by_ref().take(span.length as usize) {
            let target = ((index - 1) >> shift.min(62)) + 1;
            index += 1;
            match (last, out.last_mut(), out_spans.last_mut()) {
                (Some(l), Some(bucket), _) if l == target => *bucket += count,
                (Some(l), _, Some(span)) if l + 1 == target => {
                    span.length += 1;
                    out.push(*count);
                }
                _ => {
                    let offset = last.map_or(target, |l| target - l - 1);
                    out_spans.push(Span { offset: offset as i32, length: 1 });
                    out.push(*count);
                }
            }
            last = Some(target);
        }
    }
    (out_spans, out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::remote_write::proto::v1::histogram::{Count, ZeroCount};
    use crate::wire::remote_write::proto::v1::{BucketSpan, Histogram as Proto};
    use prost::Message;

    fn basic() -> Proto {
        Proto {
            count: Some(Count::CountInt(27)),
            sum: 1.0,
            zero_count: Some(ZeroCount::ZeroCountInt(1)),
            positive_spans: vec![BucketSpan { offset: 0, length: 3 }, BucketSpan { offset: 2, length: 2 }],
            positive_deltas: vec![1, 2, 1, 3, 1],
            negative_spans: vec![BucketSpan { offset: 0, length: 2 }],
            negative_deltas: vec![1, 1],
            timestamp: 5,
            ..Proto::default()
        }
    }

    fn check(proto: &Proto, expect: Result<f64, &str>) {
        let (t, got) = histogram(&proto.encode_to_vec()).unwrap();
        assert_eq!(t, proto.timestamp);
        match (got, expect) {
            (Ok(h), Ok(count)) => assert_eq!(h.count, count),
            (Err(e), Err(part)) => assert!(e.to_string().contains(part), "{e} has no {part:?}"),
            (got, expect) => panic!("{got:?}, but expected {expect:?} of {proto:?}"),
        }
    }

    #[test]
    fn validity_is_prometheus() {
        let count = |n| Some(Count::CountInt(n));
        check(&basic(), Ok(27.0));
        check(&Proto { count: count(99), ..basic() }, Err("does not equal"));
        check(&Proto { count: count(99), sum: f64::NAN, ..basic() }, Ok(99.0));
        check(&Proto { count: count(2), sum: f64::NAN, ..basic() }, Err("does not equal"));
        check(&Proto { positive_deltas: vec![1, -2, 1, 3, 1], ..basic() }, Err("negative"));
        check(&Proto { positive_spans: vec![BucketSpan { offset: 0, length: 4 }], ..basic() }, Err("add up"));
        let backwards = vec![BucketSpan { offset: 0, length: 3 }, BucketSpan { offset: -1, length: 2 }];
        check(&Proto { positive_spans: backwards, ..basic() }, Err("first offset"));
        check(&Proto { schema: 53, ..basic() }, Err("schema"));
        check(&Proto { schema: -5, ..basic() }, Err("schema"));
        check(&Proto { custom_values: vec![1.0], ..basic() }, Err("exponential"));
        let huge = vec![BucketSpan { offset: 0, length: u32::MAX }; 3];
        check(&Proto { positive_spans: huge, ..basic() }, Err("add up"));
        let float = Proto {
            count: Some(Count::CountFloat(5.5)),
            positive_spans: vec![BucketSpan { offset: 0, length: 1 }],
            positive_counts: vec![5.5],
            ..Proto::default()
        };
        check(&float, Ok(5.5));
        check(&Proto { positive_counts: vec![-1.0], ..float.clone() }, Err("negative"));
        let custom = Proto {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count: count(3),
            positive_spans: vec![BucketSpan { offset: 0, length: 3 }],
            positive_deltas: vec![1, 0, 0],
            custom_values: vec![1.0, 2.0],
            ..Proto::default()
        };
        check(&custom, Ok(3.0));
        check(&Proto { custom_values: vec![2.0, 1.0], ..custom.clone() }, Err("rise"));
        check(&Proto { custom_values: vec![1.0], ..custom.clone() }, Err("beyond"));
        check(&Proto { custom_values: vec![1.0, f64::INFINITY], ..custom.clone() }, Err("+Inf"));
        check(&Proto { zero_threshold: 1.0, ..custom }, Err("zero bucket"));
    }

    #[test]
    fn too_fine_a_schema_is_reduced() {
        let fine = Proto {
            schema: 9,
            count: Some(Count::CountInt(10)),
            zero_count: None,
            negative_spans: Vec::new(),
            negative_deltas: Vec::new(),
            positive_spans: vec![BucketSpan { offset: -3, length: 5 }],
            positive_deltas: vec![2, 0, 0, 0, 0],
            ..basic()
        };
        let (_, got) = histogram(&fine.encode_to_vec()).unwrap();
        let h = got.unwrap();
        // Indices -3..=1 with two each become -1, 0 and 1: ceil(i / 2).
        assert_eq!((h.schema, h.positive_spans), (8, vec![Span { offset: -1, length: 3 }]));
        assert_eq!(h.positive_buckets, [4.0, 4.0, 2.0]);
    }
}
