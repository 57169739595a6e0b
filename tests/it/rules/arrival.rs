//! Rules on arrival and rules at slots alone: the same alerts fire, over the same traffic.
//! In: rule files, series made up from what their selectors ask for. Out: two runs, compared at every step.
//! Never: knows a rule by name: what fires is found by trying values around the numbers that the rule itself names.
//! Start at [`compare`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use watchfire::model::{Labels, MatchOp, Matcher, SampleValue, Timestamp};
use watchfire::promql::Expr;
use watchfire::promql::ast::{BinaryOp, Selector};
use watchfire::rules::{RuleBody, RuleFile, RuleKindView, RuleSet, RuleSetConfig, RuleSpec};
use watchfire::series::{Head, HeadConfig};

/// How far apart samples are, by attempt: rules that look back far see more in the longer ones.
const STEP_SECS: [u64; 2] = [15, 75];
const STEPS: u32 = 10;
/// Rules that did not fire are tried again so often, on other values.
const ATTEMPTS: usize = 9;
/// From here on values are not drawn: all are nothing, then each is one of the rule's numbers, the next six in turn.
const ALL_ZERO: usize = 6;
/// Label sets per selector; series of one variant share the labels that rules join by.
const VARIANTS: usize = 6;
/// Longer ones are shortened: ten steps are all there is.
const FOR_MAX: Duration = Duration::from_secs(30);

/// What the series of one selector look like.
struct Wanted {
    labels: BTreeMap<String, String>,
    is_bucket: bool,
    /// Some rule fires when it is not there.
    is_missed: bool,
    /// Numbers of the rules that ask for it.
    numbers: Vec<f64>,
}

/// Some text that the matcher accepts.
fn text_for(m: &Matcher) -> Option<String> {
    let mut tries = vec![m.value.clone(), String::new()];
    for part in m.value.split('|') {
        let plain: String = part.chars().filter(|c| !"()^$?\\".contains(*c)).collect();
        for filler in ["", "x", "1"] {
            tries.push(plain.replace(".*", filler).replace(".+", filler).replace("[0-9]+", "1"));
        }
    }
    let common =
        ["other", "1", "a1", "eth0", "sda", "sda1", "/", "ext4", "500", "5xx", "prod", "default", "kube-system"];
    tries.extend(common.map(str::to_owned));
    tries.into_iter().find(|text| m.matches_value(text))
}

fn wanted(selector: &Selector, numbers: &[f64]) -> Option<Wanted> {
    let mut labels = BTreeMap::new();
    if let Some(name) = &selector.name {
        labels.insert("__name__".to_owned(), name.to_string());
    }
    for m in &selector.matchers {
        let text = match m.op {
            MatchOp::Equal => m.value.clone(),
            _ => text_for(m)?,
        };
        // A second matcher of the same name must accept the same text.
        if !labels.contains_key(&m.name) || m.op == MatchOp::Equal {
            labels.insert(m.name.clone(), text);
        }
    }
    let name = labels.get("__name__")?;
    let is_bucket = name.ends_with("_bucket") && !labels.contains_key("le");
    Some(Wanted { labels, is_bucket, is_missed: false, numbers: numbers.to_vec() })
}

/// The value of an expression of numbers: `30 * 86400`.
fn constant(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Number(v, ..) => Some(*v),
        Expr::Paren(inner, _) => constant(inner),
        Expr::Negate(inner, _) => constant(inner).map(|v| -v),
        Expr::Binary(b) => {
            let (left, right) = (constant(&b.left)?, constant(&b.right)?);
            match b.op {
                BinaryOp::Add => Some(left + right),
                BinaryOp::Sub => Some(left - right),
                BinaryOp::Mul => Some(left * right),
                BinaryOp::Div => Some(left / right),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Selectors, and names of labels that join, of all rules of a file; and how far back some of them look.
fn survey(file: &RuleFile) -> (Vec<Wanted>, BTreeSet<String>, BTreeSet<i64>) {
    let (mut all, mut joins, mut offsets) = (BTreeMap::<String, Wanted>::new(), BTreeSet::new(), BTreeSet::new());
    let mut missed = BTreeSet::new();
    joins.extend(["instance", "job", "cluster", "namespace", "pod"].map(str::to_owned));
    for rule in file.groups.iter().flat_map(|g| &g.rules) {
        let mut numbers = vec![0.0, 1.0];
        let mut missing = Vec::new();
        rule.expr.walk(&mut |e| match e {
            Expr::Number(v, ..) => numbers.push(*v),
            Expr::Aggregate(a) if !a.without => joins.extend(a.grouping.iter().cloned()),
            Expr::Binary(b) => {
                numbers.extend(constant(e));
                if let Some(m) = b.matching.as_ref().filter(|m| m.on) {
                    joins.extend(m.labels.iter().cloned());
                }
            }
            Expr::Call(call) if call.function.name.starts_with("absent") => {
                missing.push(call.args[0].to_string());
            }
            _ => {}
        });
        rule.expr.walk(&mut |e| {
            let selector = match e {
                Expr::Selector(s) => s,
                Expr::Range(r) => &r.selector,
                _ => return,
            };
            offsets.extend(Some(selector.offset_ms).filter(|ms| *ms > 0));
            let Some(found) = wanted(selector, &numbers) else { return };
            let key = format!("{:?}", found.labels);
            // What must be absent is not made, unless another rule asks for it.
            if missing.contains(&e.to_string()) {
                missed.insert(key);
            } else {
                all.entry(key).or_insert(found).numbers.extend(&numbers);
            }
        });
    }
    joins.remove("le");
    for key in missed {
        if let Some(wanted) = all.get_mut(&key) {
            wanted.is_missed = true;
        }
    }
    (all.into_values().collect(), joins, offsets)
}

/// A scramble of two numbers that is the same in every run.
fn scramble(a: usize, b: usize) -> u64 {
    let mut x = (a as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (b as u64 + 7).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
    x ^= x >> 29;
    x.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 17
}

/// The value of a series at a step: level or slope around one of the rule's numbers.
fn value(wanted: &Wanted, seed: u64, now: Timestamp, step: i32) -> f64 {
    let number = wanted.numbers[(seed / 96) as usize % wanted.numbers.len()];
    let step = f64::from(step);
    if wanted.is_bucket {
        // Nearly all that was observed lies between the two highest finite bounds.
        return (step + 100.0) * if seed < BUCKETS.len() as u64 - 2 { 1.0 } else { 1000.0 };
    }
    let level = match seed % 12 {
        0 => 0.0,
        1 => number,
        2 => number * 0.5,
        3 => -1.0,
        4 => 1.0,
        5 => now.as_secs_f64() + number * 0.9,
        6 => now.as_secs_f64() - number * 1.1 - 1.0,
        7 => number + 1.0,
        8 => number - 1.0,
        _ => number.abs() * 1.5 + 1.0,
    };
    match (seed / 12) % 8 {
        0..4 => level,
        4 => level.abs() * 15.0 * step,
        5 => level.abs() * 75.0 * step * step.abs(),
        6 => level * (step.abs() % 3.0),
        _ => 1e12 - 15.0 * step * level,
    }
}

const BUCKETS: [&str; 8] = ["0.1", "1", "10", "100", "1000", "1e+06", "1e+09", "+Inf"];

fn series(wanted: &[Wanted], joins: &BTreeSet<String>, attempt: usize) -> Vec<(Labels, usize, u64)> {
    let mut all = Vec::new();
    for (n, one) in wanted.iter().enumerate() {
        // What one rule wants and another misses is there half of the times.
        if one.is_missed && attempt % 2 == 1 {
            continue;
        }
        for variant in 0..VARIANTS {
            let mut labels = one.labels.clone();
            for name in joins {
                labels.entry(name.clone()).or_insert_with(|| format!("v{variant}"));
            }
            let seed = match attempt {
                0..ALL_ZERO => scramble(n, variant + attempt * VARIANTS),
                ALL_ZERO => 0,
                _ => 1 + 96 * (variant + (attempt - ALL_ZERO - 1) * VARIANTS) as u64,
            };
            if one.is_bucket {
                for (k, le) in BUCKETS.iter().enumerate() {
                    labels.insert("le".to_owned(), (*le).to_owned());
                    all.push((Labels::from_pairs(&labels), n, k as u64));
                }
            } else {
                all.push((Labels::from_pairs(&labels), n, seed));
            }
        }
    }
    // Selectors that differ in a regular expression may lead to one series.
    let mut seen = BTreeSet::new();
    all.retain(|(labels, _, _)| seen.insert(labels.clone()));
    all
}

/// Alerts that fire, with the moment since which they were active.
fn firing(set: &RuleSet) -> BTreeSet<(Labels, Timestamp)> {
    let view = set.view();
    view.alerts().filter(|a| a.state == "firing").map(|a| (a.labels.clone(), a.active_at)).collect()
}

/// An alerting rule, by its name and expression: several have one name in many files.
pub type Key = (Arc<str>, String);

/// What came of a file: its alerting rules, those that fired, and how many alerts an arrival started.
pub struct Outcome {
    pub alerts: BTreeSet<Key>,
    pub fired: BTreeSet<Key>,
    pub started_by_arrival: usize,
}

/// Runs the file twice, with arrivals and with slots alone, until each of its rules has fired, or often enough.
pub fn compare(mut file: RuleFile) -> Outcome {
    let mut outcome = Outcome { alerts: BTreeSet::new(), fired: BTreeSet::new(), started_by_arrival: 0 };
    for rule in file.groups.iter_mut().flat_map(|g| &mut g.rules) {
        if let RuleBody::Alerting { for_, .. } = &mut rule.body {
            *for_ = (*for_).min(FOR_MAX);
            outcome.alerts.insert((rule.name.clone(), rule.expr.to_string()));
        }
    }
    for attempt in 0..ATTEMPTS {
        for group in &mut file.groups {
            let fired = |rule: &RuleSpec| outcome.fired.contains(&(rule.name.clone(), rule.expr.to_string()));
            group.rules.retain(|rule| matches!(rule.body, RuleBody::Recording) || !fired(rule));
        }
        if outcome.fired.len() < outcome.alerts.len() {
            run(&file, attempt, &mut outcome);
        }
    }
    outcome
}

/// One attempt to make every rule of a file fire.
fn run(file: &RuleFile, attempt: usize, outcome: &mut Outcome) {
    let (mut wanted, joins, offsets) = survey(file);
    // A series has one writer: what rules record is made by them, or made up here while they are left out.
    let mut file = file.clone();
    let names = file.groups.iter().flat_map(|g| &g.rules).filter(|r| matches!(r.body, RuleBody::Recording));
    let recorded: BTreeSet<Arc<str>> = names.map(|rule| rule.name.clone()).collect();
    if attempt.is_multiple_of(3) {
        wanted.retain(|one| !recorded.contains(one.labels["__name__"].as_str()));
    } else {
        file.groups.iter_mut().for_each(|g| g.rules.retain(|r| !matches!(r.body, RuleBody::Recording)));
    }
    let series = series(&wanted, &joins, attempt);
    let start = Timestamp::from_millis(1_767_323_000_000);
    let config = RuleSetConfig { verify: true, ..RuleSetConfig::default() };
    let longest = offsets.last().copied().unwrap_or_default().unsigned_abs();
    let window = Duration::from_millis(longest) + HeadConfig::default().window;
    let heads = [(); 2].map(|()| Head::new(HeadConfig { window, ..HeadConfig::default() }));
    let step_length = Duration::from_secs(STEP_SECS[attempt / 2 % STEP_SECS.len()]);
    let files = [file];
    // What rules compare the present with: other values, from when they look at.
    for ms in offsets.iter().rev().filter(|ms| **ms > 60 * 60 * 1000) {
        for step in 1..=STEPS {
            let then = start + step_length * step - Duration::from_millis(ms.unsigned_abs());
            for ((labels, n, seed), head) in series.iter().flat_map(|one| heads.iter().map(move |head| (one, head))) {
                let value = value(&wanted[*n], seed.rotate_right(7), then, step as i32 - STEPS as i32);
                // Two that look back nearly as far meet in time; the first is enough.
                let _ = head.append(labels, then, SampleValue::Float(value));
            }
        }
    }
    for head in &heads {
        head.take_arrivals();
    }
    let mut sets = heads.each_ref().map(|head| RuleSet::new(config.clone(), &files, head, start));
    for step in 1..=STEPS {
        let now = start + step_length * step;
        for (set, head) in sets.iter_mut().zip(&heads) {
            // Slots that came in between, in their time.
            set.evaluate(now - Duration::from_millis(1), head);
            for (labels, n, seed) in &series {
                head.append(labels, now, SampleValue::Float(value(&wanted[*n], *seed, now, step as i32))).unwrap();
            }
        }
        let arrived = heads[0].take_arrivals();
        outcome.started_by_arrival += sets[0].evaluate_arrivals(&arrived, now, &heads[0]).alerts.len();
        for (set, head) in sets.iter_mut().zip(&heads) {
            set.evaluate(now, head);
            let news = set.evaluate_all(now, head, &[]);
            for error in &news.errors {
                assert!(!error.text.contains("differ"), "{}: {}", error.rule, error.text);
            }
        }
        let [with_arrivals, slots_alone] = sets.each_ref().map(firing);
        let names = |a: &BTreeSet<(Labels, Timestamp)>, b: &BTreeSet<(Labels, Timestamp)>| {
            a.difference(b).map(|(l, t)| format!("{l} {t:?}")).take(5).collect::<Vec<_>>()
        };
        assert_eq!(
            (names(&with_arrivals, &slots_alone), names(&slots_alone, &with_arrivals)),
            (Vec::new(), Vec::new()),
            "{} at step {step}",
            files[0].path
        );
        for rule in sets[1].view().groups.iter().flat_map(|g| &g.rules) {
            if matches!(&rule.kind, RuleKindView::Alerting { state: "firing", .. }) {
                outcome.fired.insert((rule.name.clone(), rule.query.to_string()));
            }
        }
    }
}
