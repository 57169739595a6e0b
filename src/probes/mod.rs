//! Probes: Watchfire asks health endpoints itself, over HTTP or TCP, and what it saw becomes samples like any others.
//! In: [`Probe`]s from the configuration. Out: label sets with values, handed to a sink after every try.
//! Never: decides whether something is an alert (rules do), follows a redirect, or reads an answer without a limit.
//! Start at [`Prober::reload`].

mod ask;
mod json;
mod run;
mod samples;
mod settings;
#[cfg(test)]
mod tests;

pub use ask::{Outcome, ask, client};
pub use json::{JsonPath, PathError};
pub use run::{Prober, Sink};
pub use samples::{JOB, samples, stale};
pub use settings::{CHECKS_MAX, Check, PROBES_MAX, Probe, Target};
