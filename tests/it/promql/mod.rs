//! `PromQL` against texts in the promqltest language, tables of expressions, and rule files.
//! In: `tests/data/promql`, and the folder in `WATCHFIRE_CONFORMANCE` when it is set. Out: counts, and a verdict.
//! Never: passes with fewer cases than it passed before.
//! Start at [`our_own_files_pass`].

#![allow(clippy::unwrap_used)] // A test fails by panicking, its helpers too.

mod hostile;
mod notation;
mod runner;
mod tables;

use runner::{Tally, run_file};
use std::path::{Path, PathBuf};

/// The folder with the public conformance data.
pub fn conformance() -> Option<PathBuf> {
    std::env::var_os("WATCHFIRE_CONFORMANCE").map(PathBuf::from)
}

pub fn files_below(folder: &Path, suffixes: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if suffixes.iter().any(|suffix| path.to_string_lossy().ends_with(suffix)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn run_all(folder: &Path) -> Tally {
    let mut total = Tally::default();
    for path in files_below(folder, &[".test"]) {
        let tally = run_file(&path);
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        println!("{name}: {} of {} pass", tally.passed, tally.passed + tally.failures.len());
        for failure in &tally.failures {
            println!("  {name}:{failure}");
        }
        total.passed += tally.passed;
        total.failures.extend(tally.failures);
    }
    total
}

#[test]
fn our_own_files_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/promql");
    let tally = run_all(&folder);
    assert!(tally.failures.is_empty(), "{} failures:\n{}", tally.failures.len(), tally.failures.join("\n"));
    assert!(tally.passed > 100, "only {} evaluations", tally.passed);
}

/// How many evaluations of the public suite passed when this number was last set.
const PROMQLTEST_FLOOR: usize = 965;

#[test]
fn public_suite_stays_above_its_floor() {
    let Some(folder) = conformance() else {
        return our_own_files_pass();
    };
    let tally = run_all(&folder.join("promqltest"));
    println!("promqltest: {} pass, {} fail", tally.passed, tally.failures.len());
    assert!(tally.passed >= PROMQLTEST_FLOOR, "{} pass, {PROMQLTEST_FLOOR} did before", tally.passed);
}
