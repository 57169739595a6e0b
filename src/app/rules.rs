//! Rule files from disk, and the settings that rules are evaluated with.
//! In: the configuration. Out: parsed files, or every mistake in them.
//! Never: takes some files and leaves others: all or nothing.
//! Start at [`load`].

use crate::config::{BuiltIn, Config};
use crate::model::Timestamp;
use crate::rules::{RuleFile, RuleSetConfig, file};
use std::sync::Arc;
use std::time::Instant;

/// Rules that run when no file is named and the working folder has none.
const SHIPPED: [(&str, &str); 3] = [
    ("rules/watchfire.yml", include_str!("../../rules/watchfire.yml")),
    ("rules/node.yml", include_str!("../../rules/node.yml")),
    ("rules/prometheus.yml", include_str!("../../rules/prometheus.yml")),
];

/// Rules of the demo's fleet.
const DEMO: [(&str, &str); 1] = [("demo/rules.yml", include_str!("demo/rules.yml"))];

/// Reads and parses every rule file.
pub fn load(config: &Config) -> Result<Vec<RuleFile>, String> {
    let mut texts = Vec::new();
    let built_in: &[(&str, &str)] = match config.built_in_rules {
        Some(BuiltIn::Shipped) => &SHIPPED,
        Some(BuiltIn::Demo) => &DEMO,
        None => &[],
    };
    texts.extend(built_in.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())));
    for path in config.rule_files.iter().filter(|p| !is_unit_test(p)) {
        let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        texts.push((path.display().to_string(), text));
    }
    let (mut files, mut mistakes) = (Vec::new(), Vec::new());
    for (name, text) in &texts {
        match file::parse(text, name) {
            Ok(file) => files.push(file),
            Err(errors) => mistakes.extend(errors.iter().map(ToString::to_string)),
        }
    }
    if mistakes.is_empty() { Ok(files) } else { Err(mistakes.join("\n")) }
}

/// `rules/*.yml` also finds the unit tests that lie beside the rules.
fn is_unit_test(path: &std::path::Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(".test.yml"))
}

pub fn settings(config: &Config, started_at: Timestamp) -> RuleSetConfig {
    let start = Instant::now();
    RuleSetConfig {
        interval: config.evaluation.interval,
        external_labels: config.external_labels.clone(),
        external_url: config.external_url(),
        started_at,
        stopwatch: Some(Arc::new(move || start.elapsed())),
        ..RuleSetConfig::default()
    }
}
