//! promtool's unit tests of rules: series in, time passes, alerts and samples compared.
//! In: a test file's text and the rule files it names, already read. Out: [`TestReport`] in promtool's words.
//! Never: opens a file or asks a clock.
//! Start at [`parse`], then [`run`].

mod file;
mod notation;
mod run;

pub use file::{TestCase, TestFile, parse};
pub use notation::{histogram, series_labels, values};
pub use run::{RunOptions, TestReport, run};
