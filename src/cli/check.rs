//! `watchfire check`: every file of ours, judged by what is in it.
//! In: paths. Out: `SUCCESS: …` or every mistake with its place, and exit code 1 when there is one.
//! Never: stops at the first file that is wrong.
//! Start at [`run`].

use super::args::CheckArgs;
use super::out;
use crate::config::{self, Files};
use crate::rules::RuleFile;
use std::path::Path;
use std::process::ExitCode;

pub fn run(args: &CheckArgs) -> ExitCode {
    let mut failed = false;
    for path in &args.files {
        out::line(format!("Checking {}", path.display()));
        failed |= !check(path, args);
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Whether the file is fine.
fn check(path: &Path, args: &CheckArgs) -> bool {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            out::complain(format!("  FAILED: cannot read {}: {error}", path.display()));
            return false;
        }
    };
    match config::kind_of(&text) {
        config::FileKind::Rules => rules(path, &text),
        config::FileKind::RuleTests => {
            out::complain("  FAILED: this is a file of rule unit tests; run it with watchfire test");
            false
        }
        config::FileKind::Config => configuration(path, &text, args),
    }
}

fn configuration(path: &Path, text: &str, args: &CheckArgs) -> bool {
    let files = if args.syntax_only { Files::Ignore } else { Files::Check };
    match config::parse(text, &path.display().to_string(), files) {
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

fn rules(path: &Path, text: &str) -> bool {
    match config::rule_file(path, text) {
        Ok(file) => {
            out::line(format!("  SUCCESS: {} rules found", count(&file)));
            true
        }
        Err(mistakes) => {
            out::complain(format!("  FAILED:\n{mistakes}"));
            false
        }
    }
}

fn count(file: &RuleFile) -> usize {
    file.groups.iter().map(|g| g.rules.len()).sum()
}
