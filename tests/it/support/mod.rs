//! What several subjects need: a running Watchfire, and receivers that record what they are sent.
//! In: a configuration; a script of answers. Out: a handle to ask; what arrived.
//! Never: asserts anything itself beyond "it runs".
//! Start at [`contract::CONFIG`], [`watchfire::Watchfire`], [`http_sink::HttpSink`] and [`smtp_sink::SmtpSink`].

pub mod contract;
pub mod dice;
pub mod http_sink;
pub mod process;
pub mod smtp_sink;
pub mod watchfire;
