//! `watchfire check`: every file of ours, judged by what is in it.
//! In: paths. Out: `SUCCESS: …` or every mistake with its place, and exit code 1 when there is one; lints after it.
//! Never: stops at the first file that is wrong, or lets a lint alone fail (unless asked to).
//! Start at [`run`].

use super::args::{CheckArgs, Lints};
use super::out;
use crate::config::{self, FileKind, Files};
use crate::rules::{RuleFile, lint};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Lints were found and are fatal; promtool's code.
const LINTED: u8 = 3;

/// What all files together came to.
#[derive(Default)]
struct Findings {
    failed: bool,
    linted: bool,
}

pub fn run(args: &CheckArgs) -> ExitCode {
    let (kind, files) = kind_and_files(&args.files);
    let mut findings = Findings::default();
    if files.is_empty() {
        out::line("Checking standard input");
        findings.failed |= !match std::io::read_to_string(std::io::stdin().lock()) {
            Ok(text) => rules(Path::new("standard input"), &text, args, &mut findings.linted),
            Err(error) => {
                out::complain(format!("  FAILED: cannot read standard input: {error}"));
                false
            }
        };
    }
    for path in files {
        out::line(format!("Checking {}", path.display()));
        findings.failed |= !check(path, kind, args, &mut findings.linted);
    }
    match findings {
        Findings { failed: true, .. } => ExitCode::FAILURE,
        Findings { linted: true, .. } if args.lint_fatal => ExitCode::from(LINTED),
        Findings { .. } => ExitCode::SUCCESS,
    }
}

/// `check rules FILE…` and `check config FILE…`, as promtool and amtool users write it; without the word any file will do.
/// No file is standard input.
fn kind_and_files(words: &[PathBuf]) -> (Option<FileKind>, &[PathBuf]) {
    match words {
        [first] if first.as_os_str() == "rules" && !first.is_file() => (Some(FileKind::Rules), &[]),
        [first, rest @ ..] if !rest.is_empty() && first.as_os_str() == "rules" => (Some(FileKind::Rules), rest),
        [first, rest @ ..] if !rest.is_empty() && first.as_os_str() == "config" => (Some(FileKind::Config), rest),
        all => (None, all),
    }
}

/// Whether the file is fine.
fn check(path: &Path, wanted: Option<FileKind>, args: &CheckArgs, linted: &mut bool) -> bool {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            out::complain(format!("  FAILED: cannot read {}: {error}", path.display()));
            return false;
        }
    };
    match wanted.unwrap_or_else(|| config::kind_of(&text)) {
        FileKind::Rules => rules(path, &text, args, linted),
        FileKind::RuleTests => {
            out::complain("  FAILED: this is a file of rule unit tests; run it with watchfire test");
            false
        }
        FileKind::Config => configuration(path, &text, args, linted),
    }
}

fn configuration(path: &Path, text: &str, args: &CheckArgs, linted: &mut bool) -> bool {
    let files = if args.syntax_only { Files::Ignore } else { Files::Check };
    match config::parse_with(text, &path.display().to_string(), files, args.reading.reading()) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                out::complain(format!("  warning: {warning}"));
            }
            let c = &loaded.config;
            let routes = c.route.nodes().len();
            out::line(format!(
                "  SUCCESS: {routes} routes, {} receivers, {} inhibit rules, {} time intervals, {} escalation policies found",
                c.receivers.len(),
                c.inhibit_rules.len(),
                c.time_intervals.len(),
                c.policies.len(),
            ));
            if args.print {
                out::line(c.print());
            }
            for file in &c.rules {
                out::line(format!("Checking {}\n  SUCCESS: {} rules found", file.path, count(file)));
                *linted |= lints(file, args);
            }
            true
        }
        Err(mistakes) => {
            out::complain(format!("  FAILED: {} mistakes", mistakes.0.len()));
            out::complain(mistakes);
            false
        }
    }
}

fn rules(path: &Path, text: &str, args: &CheckArgs, linted: &mut bool) -> bool {
    match config::rule_file(path, text, args.reading.reading()) {
        Ok(file) => {
            for warning in config::rule_warnings(&file) {
                out::complain(format!("  warning: {warning}"));
            }
            out::line(format!("  SUCCESS: {} rules found", count(&file)));
            *linted |= lints(&file, args);
            true
        }
        Err(mistakes) => {
            out::complain(format!("  FAILED:\n{mistakes}"));
            false
        }
    }
}

/// Says what is odd; true when something is.
fn lints(file: &RuleFile, args: &CheckArgs) -> bool {
    let found = match &args.lint[..] {
        lints if lints.contains(&Lints::None) => Vec::new(),
        lints if lints.contains(&Lints::All) => lint::lint(file),
        _ => lint::duplicates(file),
    };
    for one in &found {
        out::complain(format!("  lint: {one}"));
    }
    !found.is_empty()
}

fn count(file: &RuleFile) -> usize {
    file.groups.iter().map(|g| g.rules.len()).sum()
}
