//! The recent past in memory: a bounded window of samples per series, found by label.
//! In: samples. Out: [`Series`] handles that queries and rules read.
//! Never: does IO, or reads a clock (`now` is an argument).
//! Start at [`Head::append`] and [`Head::watch`].

mod admission;
mod aliases;
mod batch;
mod block;
mod error;
pub mod ha;
mod hash;
mod head;
mod index;
mod metadata;
mod pool;
mod region;
mod select;
#[allow(clippy::module_inception)] // the room is named for what it holds
mod series;
mod starts;
mod sweep;
#[cfg(test)]
mod tests;
mod watch;

pub use admission::LabelLimits;
pub use batch::{Appended, Batch, FUTURE_LIMIT};
pub use error::AppendError;
pub use hash::SpanHasher;
pub use head::{Head, HeadConfig, SeriesHandle};
pub use metadata::{Metadata, MetadataBook};
pub use series::{Point, Series, Tail};
pub use watch::Watch;
