//! Incidents: which alerts belong together and why, the life of an incident, and the words for its story.
//! In: an alert that started, the open incidents, `now`. Out: where it goes, with the evidence and the runner-up.
//! Never: knows who is paged.
//! Start at [`Index::place`], then [`lifecycle::next`] and [`words::text`].

mod correlate;
mod correlation;
pub mod lifecycle;
pub mod title;
pub mod words;

pub use correlate::{CANDIDATES_MAX, DEFAULT_RULE, Domain, Index, Placing};
pub use correlation::{CorrelationConfig, CorrelationRule};
