//! The rules that run: those of the configuration, or those that come with the program.
//! In: the checked configuration. Out: parsed files and the settings that they are evaluated with.
//! Never: reads a file (`config` has).
//! Start at [`files`].

use crate::config::{self, Config, Mistakes};
use crate::model::Timestamp;
use crate::promql::EvalContext;
use crate::rules::{LimitAction, Reading, RuleFile, RuleSetConfig};
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

pub fn settings(config: &Config, started_at: Timestamp) -> RuleSetConfig {
    let start = Instant::now();
    RuleSetConfig {
        interval: config.evaluation.interval,
        query_offset: config.evaluation.query_offset,
        external_labels: config.external_labels.clone(),
        external_url: config.external_url(),
        started_at,
        settle: config.evaluation.settle,
        limit_action: if config.evaluation.keep_within_limit { LimitAction::Keep } else { LimitAction::Fail },
        verify: config.evaluation.verify,
        context: EvalContext {
            subquery_step: config.evaluation.interval,
            features: config.evaluation.features,
            ..EvalContext::default()
        },
        stopwatch: Some(Arc::new(move || start.elapsed())),
    }
}
