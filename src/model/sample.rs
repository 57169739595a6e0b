//! Samples: a moment and a value, float or native histogram.
//! In: what remote write carries. Out: values whose bits are kept, because a stale marker is a NaN with one exact bit pattern.
//! Never: compares with `is_nan` alone to detect staleness.
//! Start at [`SampleValue`].

use super::time::Timestamp;
use std::sync::Arc;

/// The stale marker's bits (remote-write specification, section "Stale Markers").
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;
/// An ordinary NaN as Prometheus writes it.
pub const NORMAL_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

pub fn stale_marker() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// One float sample.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub t: Timestamp,
    pub v: f64,
}

/// What a sample holds. A stale histogram is one whose sum is the stale marker.
#[derive(Clone, Debug)]
pub enum SampleValue {
    Float(f64),
    Histogram(Arc<Histogram>),
}

impl SampleValue {
    pub fn is_stale(&self) -> bool {
        match self {
            Self::Float(v) => is_stale(*v),
            Self::Histogram(h) => is_stale(h.sum),
        }
    }
}

/// `schema` of a histogram whose bounds are listed in `custom_values`.
pub const CUSTOM_BUCKETS_SCHEMA: i32 = -53;

/// Whether a counter histogram is known to have started anew (remote write: `reset_hint`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ResetHint {
    #[default]
    Unknown,
    Yes,
    No,
    Gauge,
}

/// A run of consecutive buckets: `offset` from the end of the run before (or from index 0), `length` buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub offset: i32,
    pub length: u32,
}

/// A native histogram with absolute float counts; integer histograms are converted when they come in.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Histogram {
    pub schema: i32,
    pub zero_threshold: f64,
    pub zero_count: f64,
    pub count: f64,
    pub sum: f64,
    pub positive_spans: Vec<Span>,
    pub positive_buckets: Vec<f64>,
    pub negative_spans: Vec<Span>,
    pub negative_buckets: Vec<f64>,
    /// Upper bounds of custom buckets, strictly rising, `+Inf` left out. Empty unless `schema` is [`CUSTOM_BUCKETS_SCHEMA`].
    pub custom_values: Vec<f64>,
    pub reset_hint: ResetHint,
}
