//! Prometheus remote-write 1.0 and 2.0, read in place.
//! In: a compressed body and its content type. Out: borrowed views of series, samples and histograms.
//! Never: allocates for a label or a sample, or before a declared length is checked.
//! Start at [`negotiate`], then [`v1::series`] and [`v2::Request`].

mod cursor;
mod encode;
mod histogram;
mod negotiate;
pub mod proto;
mod snappy;
pub mod v1;
pub mod v2;

pub use cursor::Malformed;
pub use encode::{compress, encode};
pub use histogram::{InvalidHistogram, RawMetadata, histogram};
pub use negotiate::{Unsupported, Version, negotiate};
pub use snappy::{BadBody, DECODED_BYTES_MAX, WIRE_BYTES_MAX, declared_length, declared_length_within, decompress};

/// One float sample as it was sent: milliseconds, and the value's bits untouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawSample {
    pub t_ms: i64,
    pub bits: u64,
}
