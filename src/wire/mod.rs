//! Bytes to batches, without HTTP: remote write and Alertmanager's JSON.
//! In: a body. Out: samples or alerts that are valid, and a sentence for what is not.
//! Never: opens a socket or keeps state between bodies.
//! Start at [`alertmanager`] and [`remote_write`].

pub mod alertmanager;
