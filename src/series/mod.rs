//! The recent past in memory: a bounded window of samples per series, found by label.
//! In: samples. Out: [`Series`] handles that queries and rules read.
//! Never: does IO, or reads a clock (`now` is an argument).
//! Start at [`Head::append`] and [`Head::watch`].

mod head;

pub use head::{AppendError, Head, HeadConfig, Point, Series, Watch};
