//! `watchfire test`: rule unit tests in promtool's format.
//! In: paths. Out: one line a file, the failures below it, exit code 1 when there is one; `JUnit` XML where it is wanted.
//! Never: gives the tests a clock; they carry their own time.
//! Start at [`run`].

use super::args::TestArgs;
use super::junit::{Case, Suite};
use super::{junit, out};
use crate::clock::{Clock, SystemClock};
use crate::config;
use crate::model::pattern::Pattern;
use crate::rules::RuleFile;
use crate::rules::unittest::{self, RunOptions, TestFile};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

pub fn run(args: &TestArgs) -> ExitCode {
    let wanted = match Wanted::new(&args.run) {
        Ok(wanted) => wanted,
        Err(error) => {
            out::complain(format!("--run: {error}"));
            return ExitCode::from(2);
        }
    };
    // `test rules FILE…` is how promtool's users write it.
    let files = match &args.files[..] {
        [first, rest @ ..] if !rest.is_empty() && first.as_os_str() == "rules" => rest,
        all => all,
    };
    let suites: Vec<Suite> = files.iter().map(|file| suite(file, &wanted, args)).collect();
    let mut failed = suites.iter().any(Suite::failed);
    if let Some(path) = &args.junit
        && let Err(error) = std::fs::write(path, junit::xml(&suites))
    {
        out::complain(format!("cannot write {}: {error}", path.display()));
        failed = true;
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Which tests are run, by name.
struct Wanted(Vec<Pattern>);

impl Wanted {
    fn new(texts: &[String]) -> Result<Self, String> {
        // Patterns are anchored in this house; promtool's match anywhere in the name.
        let patterns = texts.iter().map(|text| Pattern::anchored(&format!("(?s:.*)(?:{text})(?s:.*)")));
        Ok(Self(patterns.collect::<Result<_, _>>()?))
    }

    fn has(&self, name: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|pattern| pattern.is_match(name))
    }
}

/// Runs one file and says what came of it.
fn suite(path: &Path, wanted: &Wanted, args: &TestArgs) -> Suite {
    let mut suite = Suite::new(&path.display().to_string(), SystemClock.now());
    out::line(format!("Unit Testing:  {}", path.display()));
    match read(path, args) {
        Ok((tests, rules)) => suite.cases = cases(&tests, &rules, wanted, args),
        Err(error) => suite.error = Some(error),
    }
    let texts: Vec<&str> = match &suite.error {
        Some(error) => vec![error],
        None => suite.cases.iter().flat_map(|case| &case.failures).map(String::as_str).collect(),
    };
    if texts.is_empty() {
        out::line("  SUCCESS");
    } else {
        out::complain(format!("  FAILED:\n{}\n", texts.join("\n\n")));
    }
    suite
}

/// A file of tests, and the rules that it names, relative to itself.
fn read(path: &Path, args: &TestArgs) -> Result<(TestFile, Vec<RuleFile>), String> {
    let text =
        |path: &Path| std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()));
    let tests = unittest::parse(&text(path)?).map_err(|error| format!("{}: {error}", path.display()))?;
    let dir = path.parent().unwrap_or(Path::new(""));
    let (mut rules, mut known) = (Vec::new(), HashSet::new());
    for pattern in &tests.rule_files {
        let found: Vec<PathBuf> = config::expand(&dir.join(pattern));
        if found.is_empty() {
            out::complain(format!("  WARNING: no file match pattern {pattern}"));
        }
        // Several patterns may name one file.
        for file in found.into_iter().filter(|file| known.insert(file.clone())) {
            let read = config::rule_file(&file, &text(&file)?, args.reading.reading());
            rules.push(read.map_err(|mistakes| mistakes.to_string())?);
        }
    }
    Ok((tests, rules))
}

fn cases(tests: &TestFile, rules: &[RuleFile], wanted: &Wanted, args: &TestArgs) -> Vec<Case> {
    let options = RunOptions { diff: args.diff, dump: args.debug, features: args.reading.features.features() };
    let debug = |text: String| {
        if args.debug {
            out::complain(format!("DEBUG: {text}"));
        }
    };
    let mut cases = Vec::new();
    for (i, test) in tests.tests.iter().enumerate().filter(|(_, test)| wanted.has(&test.name)) {
        let name = if test.name.is_empty() { format!("unnamed#{i}") } else { test.name.clone() };
        debug(format!("Starting test {name}"));
        let started = Instant::now();
        let report = unittest::run(tests, test, rules, options);
        if let Some(dump) = report.dump {
            debug(dump);
        }
        debug(format!("Test {name} finished, took {:?}", started.elapsed()));
        cases.push(Case { name, failures: report.failures });
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_picked_by_a_part_of_their_name() {
        let has = |texts: &[&str], name: &str| {
            Wanted::new(&texts.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap().has(name)
        };
        assert!(has(&[], ""));
        assert!(has(&["corr.ct"], "a correct one"));
        assert!(has(&["x", "^a"], "a correct one"));
        assert!(!has(&["^correct"], "a correct one"));
        assert!(Wanted::new(&["(".to_owned()]).is_err());
    }
}
