//! Bytes of other programs in, our own shapes out: one sub-room per protocol.
//! In: bodies and header values. Out: borrowed views, samples or alerts that are valid, and a sentence for what is not.
//! Never: does IO, speaks HTTP, keeps state between bodies, or trusts a length before it is checked.
//! Start at [`alertmanager`] and [`remote_write`].

pub mod alertmanager;
pub mod remote_write;
