//! Rule files and their unit tests: the shipped ones, and the public ones of `WATCHFIRE_CONFORMANCE` or ours of `tests/data/rules`.
//! In: YAML files. Out: each loads or is refused, passes or fails, as it should.
//! Never: copies the public files.
//! Start at [`shipped_rules_pass_their_tests`].

mod arrival;

use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use watchfire::promql::Features;
use watchfire::rules::unittest::{self, RunOptions};
use watchfire::rules::{Reading, RuleBody, RuleFile, file};

fn yaml_files(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            yaml_files(&path, out);
        } else if path.extension().is_some_and(|e| e == "yml" || e == "yaml") {
            out.push(path);
        }
    }
    out.sort();
}

/// `*` in the last part of a path only: all that the tests use.
fn glob(base: &Path, pattern: &str) -> Vec<PathBuf> {
    let path = base.join(pattern);
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let Some((head, tail)) = name.split_once('*') else { return vec![path] };
    let mut all = Vec::new();
    yaml_files(path.parent().unwrap(), &mut all);
    all.retain(|p| {
        let name = p.file_name().unwrap().to_string_lossy().into_owned();
        p.parent() == path.parent() && name.starts_with(head) && name.ends_with(tail)
    });
    all
}

fn load(path: &Path) -> Result<RuleFile, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let said =
        |errors: Vec<_>| errors.iter().map(|e: &file::RuleFileError| e.to_string()).collect::<Vec<_>>().join("\n");
    file::parse(&text, &path.display().to_string()).map_err(said)
}

/// What `watchfire test rules FILE` does: the failures, or why it could not run.
fn run(path: &Path) -> Result<(), String> {
    run_named(path, &|_| true)
}

fn run_named(path: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<(), String> {
    run_text(&std::fs::read_to_string(path).unwrap(), path, wanted)
}

fn run_text(text: &str, path: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<(), String> {
    let test = unittest::parse(text)?;
    let mut rules = Vec::new();
    for pattern in &test.rule_files {
        for file in glob(path.parent().unwrap(), pattern) {
            rules.push(load(&file)?);
        }
    }
    let all = test.tests.iter().filter(|t| wanted(&t.name));
    let failures: Vec<String> =
        all.flat_map(|one| unittest::run(&test, one, &rules, RunOptions::default()).failures).collect();
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

#[test]
fn shipped_rules_pass_their_tests() {
    let mut files = Vec::new();
    yaml_files(Path::new("rules"), &mut files);
    let is_test = |p: &Path| p.to_string_lossy().ends_with(".test.yml");
    let rules: Vec<&PathBuf> = files.iter().filter(|p| !is_test(p)).collect();
    assert!(rules.len() >= 3);
    for rule in rules {
        let test = rule.with_extension("test.yml");
        load(rule).unwrap();
        run(&test).unwrap_or_else(|e| panic!("{}:\n{e}", test.display()));
        // Every alert of the file is expected to fire somewhere in its test.
        let text = std::fs::read_to_string(&test).unwrap();
        for group in load(rule).unwrap().groups {
            for rule in group.rules {
                assert!(text.contains(rule.name.as_ref()), "{} has no test", rule.name);
            }
        }
    }
}

/// Severity, category, and words and a runbook for whoever is paged.
#[test]
fn every_alert_says_what_to_do() {
    let mut files = Vec::new();
    yaml_files(Path::new("rules"), &mut files);
    let rules = files.iter().filter(|p| !p.to_string_lossy().ends_with(".test.yml"));
    let mut alerts = 0;
    for rule in rules.flat_map(|path| load(path).unwrap().groups).flat_map(|group| group.rules) {
        let RuleBody::Alerting { annotations, .. } = &rule.body else { continue };
        let name = &rule.name;
        alerts += 1;
        let has = |pairs: &[(Arc<str>, Arc<str>)], key: &str| pairs.iter().any(|(k, v)| &**k == key && !v.is_empty());
        assert!(has(&rule.labels, "severity") && has(&rule.labels, "category"), "{name}");
        for annotation in ["summary", "description", "impact", "action", "runbook_url"] {
            assert!(has(annotations, annotation), "{name} has no {annotation}");
        }
        let runbook = format!("docs/runbooks/{name}.md");
        let text = std::fs::read_to_string(&runbook).unwrap_or_else(|error| panic!("{runbook}: {error}"));
        assert!(text.starts_with(&format!("# {name}\n")) && text.contains("\n## Do\n"), "{runbook}");
    }
    assert!(alerts >= 60, "only {alerts}");
}

#[test]
fn a_spoiled_expectation_fails_and_says_where() {
    let text = std::fs::read_to_string("rules/node.test.yml").unwrap().replace("value: 0.95", "value: 0.94");
    let test = unittest::parse(&text).unwrap();
    let rules = [load(Path::new("rules/node.yml")).unwrap()];
    let run = |one| unittest::run(&test, one, &rules, RunOptions::default()).failures;
    let said = test.tests.iter().flat_map(run).collect::<Vec<_>>().join("\n");
    let want = "expr: \"instance:node_cpu_busy:ratio_rate5m\", time: 10m,\n        exp: {__name__=\"instance:node_cpu_busy:ratio_rate5m\", instance=\"a\"} 0.94\n        got:";
    assert!(said.contains("name: a busy machine") && said.contains(want), "{said}");
}

fn conformance() -> Option<PathBuf> {
    std::env::var_os("WATCHFIRE_CONFORMANCE").map(PathBuf::from)
}

/// A folder of the public files; without them, one of ours with cases of the same kinds, which promtool judges alike.
fn samples(public: &str, own: &str) -> PathBuf {
    conformance().map_or_else(|| Path::new("tests/data/rules").join(own), |root| root.join(public))
}

/// How many there must be at least: of the public files, or of ours.
fn floor(public: usize, own: usize) -> usize {
    if conformance().is_some() { public } else { own }
}

#[test]
fn rule_fixtures() {
    let root = samples("rules-fixtures", "fixtures");
    let table: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(root.join("rulefmt_errors.json")).unwrap()).unwrap();
    let table = table.as_array().unwrap();
    let mut files = Vec::new();
    yaml_files(&root, &mut files);
    assert!(files.len() >= floor(29, 11), "only {} files", files.len());
    let mut told = 0;
    for path in files {
        let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        // Refused only under the legacy names, which are not the default.
        let bad = name.contains(".bad.") && !name.contains("legacy") || name.contains("invalid_rules");
        match load(&path) {
            Ok(_) => assert!(!bad, "{name} was accepted"),
            Err(e) => {
                assert!(bad, "{name}: {e}");
                for case in table.iter().filter(|c| c["file"] == name.as_str()) {
                    assert!(e.contains(case["error_contains"].as_str().unwrap()), "{name}: {e}");
                    told += 1;
                }
            }
        }
    }
    assert!(told >= floor(10, 8) && told == table.len(), "{told} of {} errors", table.len());
}

/// promtool's own samples of rule files: what it accepts, refuses, and accepts when it is told to.
#[test]
fn promtool_rule_files() {
    let root = samples("promtool-unittests/testdata", "promtool");
    let check = |name: &str, reading: Reading, expect: Option<&str>| {
        let text = std::fs::read_to_string(root.join(name)).unwrap();
        let said = file::parse_with(&text, name, reading).map_err(|all| all.iter().map(ToString::to_string).collect());
        match (said, expect) {
            (Ok(_), None) => {}
            (Err(said), Some(expect)) => {
                let said: Vec<String> = said;
                assert!(said.iter().any(|e| e.contains(expect)), "{name}: {expect} not in {said:?}");
            }
            (said, expect) => panic!("{name}: {:?}, expected {expect:?}", said.map(|file| file.groups.len())),
        }
    };
    let (strict, lenient) = (Reading::default(), Reading { ignore_unknown_fields: true, ..Reading::default() });
    for name in [
        "rules.yml",
        "rules_duplicates.yml",
        "prometheus-rules.lint.yml",
        "bad-rules-error.yml",
        "at-modifier.yml",
        "negative-offset.yml",
    ] {
        check(name, strict, None);
        check(name, lenient, None);
    }
    check("rules-bad.yml", strict, Some("error parsing template"));
    check("bad-rules-syntax.yml", strict, Some("1:7: parse error: unexpected end of input"));
    check("rules_extrafields.yml", strict, Some("not found"));
    check("rules_extrafields.yml", lenient, None);
    let all = Reading { features: Features::ALL, ..strict };
    check("features.yml", all, None);
    let functions = Features { experimental_functions: false, ..Features::ALL };
    check("features.yml", Reading { features: functions, ..strict }, Some("function \"sort_by_label\" is not enabled"));
    let ranges = Features { extended_range_selectors: false, ..Features::ALL };
    let told = "anchored modifier is experimental and not enabled";
    check("features.yml", Reading { features: ranges, ..strict }, Some(told));
    let fills = Features { fill_modifiers: false, ..Features::ALL };
    let told = "binop fill modifiers are experimental and not enabled";
    check("features.yml", Reading { features: fills, ..strict }, Some(told));
}

/// Makes one expectation wrong; `None` when the file has none.
fn spoil(test: &mut Json) -> Option<()> {
    for one in test["tests"].as_array_mut()? {
        let lists = ["alert_rule_test", "promql_expr_test"];
        for (list, expected) in lists.iter().zip(["exp_alerts", "exp_samples"]) {
            let Some(case) = one[*list].as_array_mut().and_then(|cases| cases.first_mut()) else { continue };
            let surplus = json!({"exp_labels": {"spoiled": "yes"}, "labels": "spoiled", "value": 1});
            let keep = |(key, _): &(&String, &Json)| (*key == "exp_labels") == (expected == "exp_alerts");
            let surplus: serde_json::Map<String, Json> =
                surplus.as_object()?.iter().filter(keep).map(|(k, v)| (k.clone(), v.clone())).collect();
            match case[expected].as_array_mut() {
                Some(all) => all.push(Json::Object(surplus)),
                None => case[expected] = json!([surplus]),
            }
            return Some(());
        }
    }
    None
}

#[test]
fn a_spoiled_copy_of_any_unit_test_fails() {
    let mut files = Vec::new();
    match conformance() {
        Some(root) => yaml_files(&root.join("rule-corpora"), &mut files),
        None => yaml_files(Path::new("rules"), &mut files),
    }
    let mut spoiled = 0;
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        if !text.contains("rule_files:") {
            continue;
        }
        let mut test: Json = serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        if spoil(&mut test).is_none() {
            continue;
        }
        let said = run_text(&test.to_string(), &path, &|_| true).expect_err("it was spoiled");
        assert!(said.contains("spoiled"), "{}: {said}", path.display());
        spoiled += 1;
    }
    assert!(spoiled >= floor(50, 3), "only {spoiled}");
}

/// Written for Prometheus 2, whose ranges included their left end: promtool 3.5 exits 1 for both too, for the same cases.
const PROMETHEUS_2_ONLY: [&str; 3] =
    ["data_plane__crashloopbackoff_test.yaml", "data_plane__kyverno_test.yaml", "left_end_of_prometheus_2_test.yml"];

#[test]
fn rule_corpora_load_and_pass() {
    let root = samples("rule-corpora", "corpora");
    let mut files = Vec::new();
    yaml_files(&root, &mut files);
    let (mut loaded, mut passed, mut failures) = (0, 0, Vec::new());
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        if text.contains("\nkind: ") || text.starts_with("kind: ") || text.contains("apiVersion:") {
            continue;
        }
        let result = if text.contains("rule_files:") {
            run(&path).inspect(|()| passed += 1)
        } else if text.contains("groups:") {
            load(&path).map(|_| loaded += 1)
        } else {
            continue;
        };
        let name = path.file_name().unwrap().to_string_lossy();
        if PROMETHEUS_2_ONLY.contains(&name.as_ref()) {
            assert!(result.is_err(), "{name} passes; ranges are left-open no more");
        } else if let Err(e) = result {
            let e: String = e.chars().take(1500).collect();
            failures.push(format!("{}:\n{e}", path.strip_prefix(&root).unwrap().display()));
        }
    }
    println!("{loaded} rule files loaded, {passed} unit-test files passed, {} failed", failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    assert!(loaded >= floor(172, 1) && passed >= floor(53, 1), "only {loaded} and {passed}");
}

/// The share of alerting rules that the generator made fire when these numbers were last set: of the corpora with our
/// own, and of our own.
const FIRED_PERCENT: f64 = 93.0;
const FIRED_OWN_PERCENT: f64 = 60.0;

#[test]
fn arrivals_and_slots_fire_the_same() {
    let mut files = Vec::new();
    yaml_files(Path::new("rules"), &mut files);
    if let Some(root) = conformance() {
        yaml_files(&root.join("rule-corpora"), &mut files);
    }
    let (mut alerts, mut fired, mut early) = (0u32, 0u32, 0);
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        if text.contains("rule_files:") || !text.contains("groups:") {
            continue;
        }
        let Ok(file) = load(&path) else { continue };
        let outcome = arrival::compare(file);
        alerts += outcome.alerts.len() as u32;
        fired += outcome.fired.len() as u32;
        for (name, expr) in outcome.alerts.difference(&outcome.fired) {
            println!("never fired: {} {name}: {expr}", path.file_name().unwrap().to_string_lossy());
        }
        early += outcome.started_by_arrival;
    }
    let share = 100.0 * f64::from(fired) / f64::from(alerts);
    println!("{fired} of {alerts} alerting rules fired ({share:.1} %), {early} alerts started by an arrival");
    let least = if conformance().is_some() { FIRED_PERCENT } else { FIRED_OWN_PERCENT };
    assert!(share >= least, "{fired} of {alerts}");
    assert!(early > fired as usize / 2);
}

#[test]
fn promtool_unit_tests() {
    let root = samples("promtool-unittests/testdata", "promtool");
    let mut failures = Vec::new();
    let positive = [
        "unittest.yml",
        "long-period.yml",
        "at-modifier-test.yml",
        "negative-offset-test.yml",
        "start-time-test.yml",
        "no-test-group-interval.yml",
    ];
    for name in positive {
        if let Err(e) = run(&root.join(name)) {
            failures.push(format!("{name}:\n{}", e.chars().take(2500).collect::<String>()));
        }
    }
    // `--run REGEX`: one of its two tests is meant to fail.
    let fuzzy = root.join("rules_run_fuzzy.yml");
    assert_eq!(run_named(&fuzzy, &|name| name.starts_with("correct")), Ok(()));
    assert!(run_named(&fuzzy, &|name| name.starts_with("wrong")).is_err());
    let negative = [
        "failing.yml",
        "bad-input-series.yml",
        "bad-promql.yml",
        "bad-rules-error-test.yml",
        "bad-rules-syntax-test.yml",
        "rules_run_no_fuzzy.yml",
        "rules_extrafields.yml",
        "rules_run_extrafields.yml",
    ];
    for name in negative {
        if run(&root.join(name)).is_ok() {
            failures.push(format!("{name} passed"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
