//! The prost types of remote-write 1.0 and 2.0, generated from `proto/`.
//! In: `OUT_DIR`. Out: owned messages, for building bodies and as the oracle of tests.
//! Never: used to decode what a sender sent us; the visitors in `v1` and `v2` do that in place.
//! Start at [`v1::WriteRequest`] and [`v2::Request`].

/// `package prometheus`.
#[allow(clippy::all, clippy::pedantic, missing_docs)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/prometheus.rs"));
}

/// `package io.prometheus.write.v2`.
#[allow(clippy::all, clippy::pedantic, missing_docs)]
pub mod v2 {
    include!(concat!(env!("OUT_DIR"), "/io.prometheus.write.v2.rs"));
}
