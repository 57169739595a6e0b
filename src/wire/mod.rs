//! Bytes to batches, without HTTP: remote write and Alertmanager's JSON.
//! In: a body. Out: samples or alerts that are valid, and a sentence for what is not.
//! Never: opens a socket or keeps state between bodies.
//! Start at [`alertmanager`] and [`remote_write`].

pub mod alertmanager;
//! Bytes of other programs in, our own shapes out: one sub-room per protocol.
//! In: bodies and header values. Out: borrowed views and model types.
//! Never: does IO, speaks HTTP, or trusts a length before it is checked.
//! Start at [`remote_write`].

pub mod remote_write;
