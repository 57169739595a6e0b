//! `watchfire test`: rule unit tests in promtool's format.
//! In: paths. Out: one line a file, the failures below it, exit code 1 when there is one.
//! Never: reads a clock; the tests carry their own time.
//! Start at [`run`].

use super::out;
use crate::config;
use crate::rules::unittest;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub fn run(files: &[PathBuf]) -> ExitCode {
    let mut failed = false;
    for file in files {
        out::line(format!("Unit Testing:  {}", file.display()));
        match test(file) {
            Ok(report) if report.passed() => out::line("  SUCCESS"),
            Ok(report) => {
                failed = true;
                out::complain(format!("  FAILED:\n{}", report.failures.join("\n")));
            }
            Err(error) => {
                failed = true;
                out::complain(format!("  FAILED:\n{error}"));
            }
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Runs one file on the rules that it names, relative to itself.
fn test(path: &Path) -> Result<unittest::Report, String> {
    let read =
        |path: &Path| std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()));
    let tests = unittest::parse(&read(path)?).map_err(|error| format!("{}: {error}", path.display()))?;
    let dir = path.parent().unwrap_or(Path::new(""));
    let mut rules = Vec::new();
    for pattern in &tests.rule_files {
        let found = config::expand(&dir.join(pattern));
        if found.is_empty() {
            out::complain(format!("  WARNING: no file match pattern {pattern}"));
        }
        for file in found {
            rules.push(config::rule_file(&file, &read(&file)?).map_err(|mistakes| mistakes.to_string())?);
        }
    }
    Ok(unittest::run(&tests, &rules, &|_| true))
}
