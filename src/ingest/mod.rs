//! Samples: from an accepted body to the head and the log, and back from the log after a restart.
//! In: bodies piece by piece, each with its protocol version and sender. Out: a [`Report`], or an [`IngestError`].
//! Never: reads or writes HTTP, says that a body is taken before the log has it, or holds more than its limits.
//! Start at [`RemoteWrite::take`].

mod admission;
mod append;
mod counters;
mod error;
mod remote_write;
mod replay;
mod report;
mod senders;
#[cfg(test)]
mod tests;

pub use admission::{IN_FLIGHT_BYTES_MAX, Incoming, RequestLimits};
pub use append::Append;
pub use counters::{CODES, IngestCounters, REASONS};
pub use error::IngestError;
pub use remote_write::{RemoteWrite, append_body};
pub use replay::{Replayed, replay};
pub use report::Report;
pub use senders::{OFFSET_LIMIT, SENDERS_MAX, SenderClocks, SenderOffset};
