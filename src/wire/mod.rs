//! Bytes of other programs in, our own shapes out: one sub-room per protocol.
//! In: bodies and header values. Out: borrowed views and model types.
//! Never: does IO, speaks HTTP, or trusts a length before it is checked.
//! Start at [`remote_write`].

pub mod remote_write;
