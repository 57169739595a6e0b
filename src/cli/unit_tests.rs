//! `watchfire test`: rule unit tests in promtool's format.
//! In: paths. Out: one line a file, the failures below it, exit code 1 when there is one.
//! Never: reads a clock; the tests carry their own time.
//! Start at [`run`].

use super::args::TestArgs;
use super::out;
use crate::config;
use crate::model::pattern::Pattern;
use crate::rules::unittest;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

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
    let mut failed = false;
    for file in files {
        out::line(format!("Unit Testing:  {}", file.display()));
        match test(file, &wanted, args.diff) {
            Ok(report) if report.passed() => out::line("  SUCCESS"),
            Ok(report) => {
                failed = true;
                out::complain(format!("  FAILED:\n{}\n", report.failures.join("\n\n")));
            }
            Err(error) => {
                failed = true;
                out::complain(format!("  FAILED:\n{error}\n"));
            }
        }
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

/// Runs one file on the rules that it names, relative to itself.
fn test(path: &Path, wanted: &Wanted, diff: bool) -> Result<unittest::Report, String> {
    let read =
        |path: &Path| std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()));
    let tests = unittest::parse(&read(path)?).map_err(|error| format!("{}: {error}", path.display()))?;
    let dir = path.parent().unwrap_or(Path::new(""));
    let mut rules = Vec::new();
    for pattern in &tests.rule_files {
        let found: Vec<PathBuf> = config::expand(&dir.join(pattern));
        if found.is_empty() {
            out::complain(format!("  WARNING: no file match pattern {pattern}"));
        }
        for file in found {
            rules.push(config::rule_file(&file, &read(&file)?).map_err(|mistakes| mistakes.to_string())?);
        }
    }
    Ok(unittest::run(&tests, &rules, &|name| wanted.has(name), diff))
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
