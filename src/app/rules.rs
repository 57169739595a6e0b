//! The rules that run: those of the configuration, or those that come with the program.
//! In: the checked configuration. Out: parsed files and the settings that they are evaluated with.
//! Never: reads a file (`config` has).
//! Start at [`files`].

use crate::config::{self, Config, Mistakes};
use crate::model::Timestamp;
use crate::promql::{Plan, QueryOptions};
use crate::rules::{LimitAction, Reading, RuleFile, RuleSetConfig};
use crate::series::{Head, Watch};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Rules that run when no file is named and the working folder has none.
const SHIPPED: [(&str, &str); 4] = [
    ("rules/watchfire.yml", include_str!("../../rules/watchfire.yml")),
    ("rules/node.yml", include_str!("../../rules/node.yml")),
    ("rules/probes.yml", include_str!("../../rules/probes.yml")),
    ("rules/prometheus.yml", include_str!("../../rules/prometheus.yml")),
];

/// Every rule file that shall run.
pub fn files(config: &Config) -> Result<Vec<RuleFile>, Mistakes> {
    let mut files = config.rules.clone();
    if config.built_in_rules {
        for (name, text) in SHIPPED {
            files.push(config::rule_file(Path::new(name), text, Reading::default())?);
        }
    }
    Ok(files)
}

/// The sets of series that the rules select, as their rule set will ask for them: the log is replayed before there is one, and
/// a memory budget must know whose series stay.
pub fn watches(files: &[RuleFile], head: &Head) -> Vec<Arc<Watch>> {
    let mut by_text: HashMap<String, Arc<Watch>> = HashMap::new();
    for rule in files.iter().flat_map(|file| &file.groups).flat_map(|group| &group.rules) {
        for selector in Plan::new(&rule.expr).selectors() {
            let matchers = &selector.matchers;
            by_text.entry(format!("{matchers:?}")).or_insert_with(|| head.watch(matchers));
        }
    }
    by_text.into_values().collect()
}

pub fn settings(config: &Config, started_at: Timestamp, is_first_start: bool) -> RuleSetConfig {
    let start = Instant::now();
    RuleSetConfig {
        interval: config.evaluation.interval,
        query_offset: config.evaluation.query_offset,
        external_labels: config.external_labels.clone(),
        external_url: config.external_url(),
        started_at,
        is_first_start,
        settle: config.evaluation.settle,
        limit_action: if config.evaluation.keep_within_limit { LimitAction::Keep } else { LimitAction::Fail },
        verify: config.evaluation.verify,
        query: QueryOptions {
            subquery_step: config.evaluation.interval,
            features: config.evaluation.features,
            ..QueryOptions::default()
        },
        stopwatch: Some(Arc::new(move || start.elapsed())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Labels, SampleValue};

    #[test]
    fn what_rules_select_is_known_before_they_run() {
        let text = "groups: [{name: g, rules: [{alert: A, expr: 'up == 0 and on(job) (rate(a[5m]) > 1)'}, \
                    {record: r, expr: 'sum(up)'}]}]";
        let file = config::rule_file(Path::new("rules.yml"), text, Reading::default()).unwrap();
        let head = Head::default();
        let watches = watches(&[file], &head);
        assert_eq!(watches.len(), 2);
        for (metric, expect) in [("up", true), ("a", true), ("b", false)] {
            let labels = Labels::from_pairs([("__name__", metric)]);
            let series = head.append(&labels, Timestamp::EPOCH, SampleValue::Float(1.0)).unwrap();
            assert_eq!(series.is_watched(), expect, "{metric}");
        }
    }
}
