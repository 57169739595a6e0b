//! Bytes to batches, without HTTP: remote write and Alertmanager's JSON.
//! In: a body. Out: samples or alerts that are valid, and a sentence for what is not.
//! Never: opens a socket, keeps state between bodies, or trusts a length before it is checked.

pub mod alertmanager;
pub mod remote_write;
