//! Incidents: which alerts belong together, and why.
//! In: an alert that started, the open incidents, `now`. Out: where it goes, with the evidence and the runner-up.
//! Never: knows who is paged.
//! Start at [`Index::place`], then [`CorrelationConfig`].

mod correlate;
mod correlation;
pub mod title;

pub use correlate::{CANDIDATES_MAX, DEFAULT_RULE, Domain, Index, Placing};
pub use correlation::{CorrelationConfig, CorrelationRule};
