//! Rules: what fires, and what is recorded, from the samples in the head.
//! In: rule files, the head, `now`. Out: [`Evaluation`]: alerts that started or ended, and state to store.
//! Never: reads a file or a clock, sends anything, or decides whom an alert concerns.
//! Start at [`file::parse`] and [`RuleSet::evaluate`].

pub mod file;
pub mod lint;
pub mod unittest;

mod alerting;
#[cfg(test)]
mod arrival_tests;
mod context;
mod eval_queue;
mod evaluation;
mod expand;
mod group;
mod ingest_gap;
mod known_fields;
#[cfg(test)]
mod limit_tests;
mod outputs;
mod recording;
mod scrapes;
mod set;
mod silent_sources;
#[cfg(test)]
mod stream_tests;
#[cfg(test)]
mod tests;
mod trial;
mod verify;
mod view;
mod warmup;

pub use evaluation::{Evaluation, EvaluationError, LimitAction, RuleSetConfig, Stopwatch};
pub use file::{GroupSpec, Reading, RuleBody, RuleFile, RuleFileError, RuleSpec};
pub use set::RuleSet;
pub use silent_sources::{SilentSource, SilentSources};
pub use view::{AlertView, GroupView, Health, RuleKindView, RuleView, RulesView};
