//! What metrics mean: type, help and unit by metric name.
//! In: what senders declare. Out: the latest declaration per metric.
//! Never: grows without end, or fails a write.
//! Start at [`MetadataBook::put`].

use std::collections::HashMap;
use std::sync::Arc;

/// Metrics remembered at most: several times what a large fleet exports.
const METRICS_MAX: usize = 50_000;
/// A help text longer than this is cut.
const HELP_BYTES_MAX: usize = 1024;

/// Names longer than this are left out.
const NAME_BYTES_MAX: usize = 256;

/// The words of Prometheus' metric types, by their number on the wire.
const KINDS: [&str; 8] = ["unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// `counter`, `gauge`, …; `unknown` when the sender does not say.
    pub kind: &'static str,
    pub help: Arc<str>,
    pub unit: Arc<str>,
}

#[derive(Debug, Default)]
pub struct MetadataBook {
    by_metric: HashMap<Arc<str>, Metadata>,
}

impl MetadataBook {
    /// Replaces what was known of `metric`; a new metric above the limit is left out.
    pub fn put(&mut self, metric: &str, kind: u64, help: &str, unit: &str) {
        let kind = usize::try_from(kind).ok().and_then(|i| KINDS.get(i)).copied().unwrap_or(KINDS[0]);
        let (help, unit) = (cut(help), cut(unit));
        if let Some(old) = self.by_metric.get_mut(metric) {
            if old.kind != kind || *old.help != *help || *old.unit != *unit {
                *old = Metadata { kind, help: help.into(), unit: unit.into() };
            }
        } else if !metric.is_empty() && metric.len() <= NAME_BYTES_MAX && self.by_metric.len() < METRICS_MAX {
            self.by_metric.insert(metric.into(), Metadata { kind, help: help.into(), unit: unit.into() });
        }
    }

    pub fn get(&self, metric: &str) -> Option<&Metadata> {
        self.by_metric.get(metric)
    }

    /// In no order.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Metadata)> {
        self.by_metric.iter()
    }
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(HELP_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
