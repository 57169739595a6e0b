//! Who may come in: limits of what a series may be, of how many there may be, and what a memory budget leaves room for.
//! In: a new series' labels and the counts so far. Out: yes, refused, or left out.
//! Never: asked about a series that is known already.
//! Start at [`Limits`].

use super::error::AppendError;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// Series whose labels some rule selects may fill the budget; all others leave this many percent of it free for them.
const HELD_PERCENT: usize = 85;
/// When more than this is taken, series that no rule selects leave at the next sweep.
const SHED_PERCENT: usize = 95;
/// Metrics that are counted by name when their series are left out; beyond, they are counted together.
const NAMES_MAX: usize = 1000;
/// The name for all beyond.
const OTHERS: &str = "(others)";

/// What a label set may be, checked once, when a series is new. Far above what exporters write, far below what hurts.
#[derive(Clone, Copy, Debug)]
pub struct LabelLimits {
    /// At most 255.
    pub labels_max: usize,
    pub name_bytes_max: usize,
    pub value_bytes_max: usize,
}

impl Default for LabelLimits {
    fn default() -> Self {
        Self { labels_max: 64, name_bytes_max: 256, value_bytes_max: 2048 }
    }
}

impl LabelLimits {
    /// `labels` are sorted.
    pub(super) fn check(&self, labels: &[(&str, &str)], metric: &str) -> Result<(), AppendError> {
        let refuse = |what, limit| {
            // The name itself may be what is too long.
            let metric = metric.chars().take(128).collect();
            Err(AppendError::LabelLimit { what, limit, metric })
        };
        if labels.len() > self.labels_max.min(255) {
            return refuse("the number of labels", self.labels_max.min(255));
        }
        if labels.iter().any(|(name, _)| name.len() > self.name_bytes_max) {
            return refuse("the length of a label name", self.name_bytes_max);
        }
        if labels.iter().any(|(_, value)| value.len() > self.value_bytes_max) {
            return refuse("the length of a label value", self.value_bytes_max);
        }
        Ok(())
    }
}

/// What a memory budget leaves room for; `None` is without end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget(pub Option<usize>);

impl Budget {
    /// Whether a new series fits when `taken` bytes are; one that some rule selects fits longer.
    pub fn has_room(self, taken: usize, selected: bool) -> bool {
        self.0.is_none_or(|budget| taken < if selected { budget } else { budget / 100 * HELD_PERCENT })
    }

    /// Down to where series that no rule selects should leave, if they should.
    pub fn shed_to(self, taken: usize) -> Option<usize> {
        let budget = self.0?;
        (taken > budget / 100 * SHED_PERCENT).then_some(budget / 100 * HELD_PERCENT)
    }
}

/// Samples of series that are left out, by metric.
#[derive(Debug, Default)]
pub(super) struct LeftOut(Mutex<HashMap<Arc<str>, u64>>);

impl LeftOut {
    pub fn count(&self, metric: &str, samples: u64) {
        let mut counts = self.0.lock();
        if let Some(count) = counts.get_mut(metric) {
            *count += samples;
            return;
        }
        let metric = if counts.len() < NAMES_MAX { metric } else { OTHERS };
        *counts.entry(metric.into()).or_default() += samples;
    }

    /// Sorted by name.
    pub fn counts(&self) -> Vec<(Arc<str>, u64)> {
        let mut all: Vec<_> = self.0.lock().iter().map(|(metric, n)| (metric.clone(), *n)).collect();
        all.sort();
        all
    }
}
