//! `PromQL` against texts in the promqltest language, tables of expressions, and rule files.
//! In: `tests/data/promql`, and the folder in `WATCHFIRE_CONFORMANCE` when it is set. Out: counts, and a verdict.
//! Never: passes with fewer cases than it passed before.
//! Start at [`our_own_files_pass`].

#![allow(clippy::unwrap_used)] // A test fails by panicking, its helpers too.

mod api;
mod hostile;
mod notation;
mod runner;
mod tables;

use runner::{Tally, run_file};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use watchfire::model::{Labels, SampleValue, Timestamp};
use watchfire::promql::{EvalError, Plan, PlanClass, QueryOptions, Value, parse};
use watchfire::series::{Head, HeadConfig};

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
        total.failures.extend(tally.failures.into_iter().map(|failure| format!("{name}:{failure}")));
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

/// How many evaluations the public suite held when this number was last set.
const EVALUATIONS_FLOOR: usize = 1111;

/// Evaluations of the public suite that we know to fail, by file and line: `functions.test:12`.
const KNOWN_FAILURES: &[&str] = &[];

#[test]
fn public_suite_passes() {
    let Some(folder) = conformance() else {
        return our_own_files_pass();
    };
    let tally = run_all(&folder.join("promqltest"));
    println!("promqltest: {} pass, {} fail, {} known", tally.passed, tally.failures.len(), KNOWN_FAILURES.len());
    let is_known = |failure: &&String| !KNOWN_FAILURES.iter().any(|known| failure.starts_with(&format!("{known}:")));
    let new: Vec<&String> = tally.failures.iter().filter(is_known).collect();
    assert!(new.is_empty(), "{} failures: {new:#?}", new.len());
    assert_eq!(tally.failures.len(), KNOWN_FAILURES.len(), "some known failure passes now");
    assert!(tally.passed >= EVALUATIONS_FLOOR, "only {} evaluations", tally.passed);
}

fn head_of_a_hundred() -> Head {
    let head = Head::new(HeadConfig::default());
    for i in 0..100_i32 {
        let labels = Labels::from_pairs([("__name__", "hits_total".to_owned()), ("n", i.to_string())]);
        for k in 0..10 {
            head.append(&labels, Timestamp::from_millis(k * 15_000), SampleValue::Float(f64::from(i) * k as f64))
                .unwrap();
        }
    }
    head
}

/// Sorted texts of the elements, so that evaluations compare.
fn elements(value: &Value) -> Vec<String> {
    let Value::Vector(elements) = value else { panic!("no vector") };
    let mut texts: Vec<String> = elements.iter().map(|e| format!("{} {:?}", e.labels, e.value)).collect();
    texts.sort();
    texts
}

#[test]
fn per_series_evaluation_agrees_with_the_whole() {
    let head = head_of_a_hundred();
    let (at, ctx) = (Timestamp::from_millis(135_000), QueryOptions::default());
    for text in
        ["rate(hits_total[2m]) > 1", "hits_total * 2", "-hits_total", "max_over_time(hits_total[1m:15s]) >= bool 9"]
    {
        let mut plan = Plan::new(&parse(text).unwrap());
        assert_eq!(plan.class(), PlanClass::PerSeries, "{text}");
        let whole = elements(&plan.eval(&head, at, &ctx).unwrap().value);
        assert!(!whole.is_empty(), "{text}");
        plan.attach(&head);
        assert_eq!(elements(&plan.eval(&head, at, &ctx).unwrap().value), whole, "{text} attached");
        let mut singly = Vec::new();
        for series in plan.watches()[0].series() {
            singly.extend(elements(&plan.eval_series(&Arc::new(vec![series]), at, &ctx).unwrap().value));
        }
        singly.sort();
        assert_eq!(singly, whole, "{text} one by one");
    }
    let joining = Plan::new(&parse("sum(hits_total)").unwrap());
    assert!(matches!(joining.eval_series(&Arc::default(), at, &ctx), Err(EvalError::Unsupported(_))));
}

#[test]
fn budgets_stop_an_evaluation() {
    let head = head_of_a_hundred();
    let at = Timestamp::from_millis(135_000);
    let few = QueryOptions { samples_max: 99, ..QueryOptions::default() };
    let plan = |text: &str| Plan::new(&parse(text).unwrap());
    assert_eq!(plan("hits_total").eval(&head, at, &few).unwrap_err(), EvalError::Budget("samples", 99));
    assert!(plan("hits_total{n=\"1\"}").eval(&head, at, &few).is_ok());
    let ctx = QueryOptions { steps_max: 10, ..QueryOptions::default() };
    let range = plan("hits_total").eval_range(&head, Timestamp::EPOCH, at, Duration::from_secs(1), &ctx);
    assert_eq!(range.unwrap_err(), EvalError::Budget("steps", 10));
    let subquery = plan("max_over_time(hits_total[1h:1s])").eval(&head, at, &ctx);
    assert_eq!(subquery.unwrap_err(), EvalError::Budget("steps", 10));
    // A label that doubles forty times, and one that is joined of itself ten thousand times.
    let doubled = (0..40)
        .fold("hits_total".to_owned(), |inner, _| format!("label_replace({inner}, \"n\", \"$1$1\", \"n\", \"(.*)\")"));
    let joined =
        format!("label_join(label_join(hits_total, \"n\", \"-\"{0}), \"n\", \"-\"{0})", ", \"n\"".repeat(4000));
    for text in [doubled, joined] {
        let refused = plan(&text).eval(&head, at, &QueryOptions::default()).unwrap_err();
        assert_eq!(refused, EvalError::Budget("bytes of labels", 64 << 20));
    }
    let pattern = "label_replace(hits_total, \"a\", \"\", \"n\", \"(x{1000}){1000}\")";
    assert!(plan(pattern).eval(&head, at, &QueryOptions::default()).is_err(), "a pattern of a million states");
}
