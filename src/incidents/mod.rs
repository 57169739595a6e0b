//! Incidents: which alerts belong together, and why.
//! In: an alert that started, the open incidents, `now`. Out: where it goes, with the evidence and the runner-up.
//! Never: knows who is paged.
//! Start at [`CorrelationConfig`].

mod correlation;

pub use correlation::{CorrelationConfig, CorrelationRule};
