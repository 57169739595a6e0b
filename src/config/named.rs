//! Rule files and template files: found by the patterns of the configuration, and read.
//! In: `rule_files` and `templates`. Out: rules and texts; a mistake for each file that is none.
//! Never: reads a file twice that two patterns name.
//! Start at [`read_rules`].

use super::files;
use super::glob;
use super::load::Files;
use crate::rules::{self, Reading, RuleFile};
use crate::yaml::{At, Fields};
use crate::yaml::{Mistake, Mistakes, Position, Warning};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// A file of notification templates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TemplateFile {
    pub(super) name: String,
    pub(super) text: String,
}

/// What a file is, by its top-level keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// `groups:` of rules.
    Rules,
    /// `tests:` for rules.
    RuleTests,
    /// Everything else, broken files too.
    Config,
}

/// Looks at the top-level keys of `text`.
pub fn kind_of(text: &str) -> FileKind {
    let has = |key: &str| text.lines().any(|line| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':')));
    if has("tests") {
        FileKind::RuleTests
    } else if has("groups") {
        FileKind::Rules
    } else {
        FileKind::Config
    }
}

/// What in a rule file loads and can never work.
pub fn rule_warnings(file: &RuleFile) -> Vec<Warning> {
    let warning = |e: &rules::RuleFileError| Warning {
        advice: Some("whoever is told of the alert will read this error instead of the text".to_owned()),
        ..Mistake::new(&e.file, Position { line: e.line, column: e.column }, e.text.clone())
    };
    file.warnings.iter().map(warning).collect()
}

/// Reads one rule file.
pub fn rule_file(path: &Path, text: &str, reading: Reading) -> Result<RuleFile, Mistakes> {
    rules::file::parse_with(text, &path.display().to_string(), reading).map_err(|errors| {
        let mistake =
            |e: rules::RuleFileError| Mistake::new(&e.file, Position { line: e.line, column: e.column }, e.text);
        Mistakes(errors.into_iter().map(mistake).collect())
    })
}

/// A file that a list of patterns names.
struct Found {
    path: PathBuf,
    by_pattern: bool,
}

/// The files that exist, in the order of the patterns, each once.
fn named_files(root: &Fields<'_>, key: &'static str, files: Files) -> Vec<At<Found>> {
    let mut out: Vec<At<Found>> = Vec::new();
    let mut seen = HashSet::new();
    for pattern in root.texts(key).unwrap_or_default() {
        if files == Files::Ignore {
            continue;
        }
        let by_pattern = glob::is_pattern(pattern.value);
        let path = root.notes().path(pattern.value);
        let found = if by_pattern { glob::expand(&path) } else { vec![path.clone()] };
        if !by_pattern {
            root.notes().named_file(key, pattern.value, pattern.at);
        } else if found.is_empty() && key == "rule_files" {
            let advice = format!("relative patterns start at the configuration file: {}", path.display());
            root.notes().warn(pattern.at, format!("{key}: no file matches {:?}", pattern.value), advice);
        }
        for path in found {
            if seen.insert(path.clone()) {
                out.push(At { value: Found { path, by_pattern }, at: pattern.at });
            }
        }
    }
    out
}

pub(super) fn read_templates(root: &Fields<'_>, files: Files) -> Vec<TemplateFile> {
    let mut out = Vec::new();
    for At { value: found, at } in named_files(root, "templates", files) {
        match std::fs::read_to_string(&found.path) {
            Ok(text) => out.push(TemplateFile { name: found.path.display().to_string(), text }),
            // A file named without a pattern was noted as one that must be readable.
            Err(_) if !found.by_pattern => {}
            Err(_) => drop(files::read(root.notes(), "templates", &found.path, at)),
        }
    }
    out
}

/// Reads the rule files. Unit tests of rules that a pattern names as well (`rules/*.yml`) are passed over.
pub(super) fn read_rules(root: &Fields<'_>, files: Files, reading: Reading) -> (Vec<PathBuf>, Vec<RuleFile>) {
    let (mut paths, mut rules) = (Vec::new(), Vec::new());
    for At { value: found, at } in named_files(root, "rule_files", files) {
        // A file named without a pattern was noted as one that must be readable.
        let text = match std::fs::read_to_string(&found.path) {
            Ok(text) => text,
            Err(_) if !found.by_pattern => continue,
            Err(_) => files::read(root.notes(), "rule_files", &found.path, at).unwrap_or_default(),
        };
        if found.by_pattern && kind_of(&text) == FileKind::RuleTests {
            continue;
        }
        match rule_file(&found.path, &text, reading) {
            Ok(file) => {
                root.notes().add_warnings(rule_warnings(&file));
                paths.push(found.path);
                rules.push(file);
            }
            Err(mistakes) => root.notes().add(mistakes),
        }
    }
    (paths, rules)
}
