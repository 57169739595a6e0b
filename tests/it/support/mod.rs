//! What several subjects need: receivers that record what they are sent.
//! In: a script of answers. Out: what arrived.
//! Never: asserts anything itself.
//! Start at [`http_sink::HttpSink`] and [`smtp_sink::SmtpSink`].

pub mod http_sink;
pub mod smtp_sink;
