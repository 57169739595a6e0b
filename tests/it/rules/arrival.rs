//! Rules on arrival and rules at slots alone: the same alerts fire, over the same traffic.
//! In: rule files, series made up from what their selectors ask for. Out: two runs, compared at every step.
//! Never: knows a rule by name: what fires is found by trying values around the numbers that the rule itself names.
//! Start at [`compare`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use watchfire::model::{Labels, MatchOp, Matcher, SampleValue, Timestamp};
use watchfire::promql::Expr;
use watchfire::promql::ast::Selector;
use watchfire::rules::{RuleBody, RuleFile, RuleSet, RuleSetConfig};
use watchfire::series::Head;

const STEP: Duration = Duration::from_secs(15);
const STEPS: u32 = 10;
/// Label sets per selector; series of one variant share the labels that rules join by.
const VARIANTS: usize = 6;
/// Longer ones are shortened: ten steps are all there is.
const FOR_MAX: Duration = Duration::from_secs(30);

/// What the series of one selector look like.
struct Wanted {
    labels: BTreeMap<String, String>,
    is_bucket: bool,
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
    Some(Wanted { labels, is_bucket, numbers: numbers.to_vec() })
}

/// Selectors, and names of labels that join, of all rules of a file.
fn survey(file: &RuleFile) -> (Vec<Wanted>, BTreeSet<String>) {
    let (mut all, mut joins) = (BTreeMap::new(), BTreeSet::new());
    joins.extend(["instance", "job", "cluster", "namespace", "pod"].map(str::to_owned));
    for rule in file.groups.iter().flat_map(|g| &g.rules) {
        let mut numbers = vec![0.0, 1.0];
        let mut missing = Vec::new();
        rule.expr.walk(&mut |e| match e {
            Expr::Number(v, ..) => numbers.push(*v),
            Expr::Aggregate(a) if !a.without => joins.extend(a.grouping.iter().cloned()),
            Expr::Binary(b) => {
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
            let text = e.to_string();
            // What must be absent is not made, unless another rule asks for it.
            if !missing.contains(&text)
                && let Some(found) = wanted(selector, &numbers)
            {
                let key = format!("{:?}", found.labels);
                all.entry(key).or_insert(found).numbers.extend(&numbers);
            }
        });
    }
    joins.remove("le");
    (all.into_values().collect(), joins)
}

/// A scramble of two numbers that is the same in every run.
fn scramble(a: usize, b: usize) -> u64 {
    let mut x = (a as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (b as u64 + 7).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
    x ^= x >> 29;
    x.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 17
}

/// The value of a series at a step: level or slope around one of the rule's numbers.
fn value(wanted: &Wanted, seed: u64, step: u32) -> f64 {
    let number = wanted.numbers[(seed / 64) as usize % wanted.numbers.len()];
    let level = match seed % 8 {
        0 => 0.0,
        1 => number,
        2 => number * 0.5,
        3 => -1.0,
        4 => 1.0,
        _ => number.abs() * 1.5 + 1.0,
    };
    let step = f64::from(step);
    match (seed / 8) % 8 {
        0..4 => level,
        4 | 5 => level.abs() * 15.0 * step,
        6 => level * (step % 3.0),
        _ => 1e12 - 15.0 * step * level,
    }
}

fn series(wanted: &[Wanted], joins: &BTreeSet<String>) -> Vec<(Labels, usize, u64)> {
    let mut all = Vec::new();
    for (n, one) in wanted.iter().enumerate() {
        for variant in 0..VARIANTS {
            let mut labels = one.labels.clone();
            for name in joins {
                labels.entry(name.clone()).or_insert_with(|| format!("v{variant}"));
            }
            let seed = scramble(n, variant);
            if one.is_bucket {
                for (k, le) in ["0.1", "1", "10", "+Inf"].iter().enumerate() {
                    labels.insert("le".to_owned(), (*le).to_owned());
                    // Buckets that grow with their bound, most of it beyond the finite ones.
                    all.push((Labels::from_pairs(&labels), n, 32 + 6 + 64 * k as u64));
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

/// What came of a file: names of its alerts, those that fired, and how many alerts an arrival started.
pub struct Outcome {
    pub alerts: BTreeSet<Arc<str>>,
    pub fired: BTreeSet<String>,
    pub started_by_arrival: usize,
}

/// Runs the file twice, with arrivals and with slots alone.
pub fn compare(mut file: RuleFile) -> Outcome {
    let mut outcome = Outcome { alerts: BTreeSet::new(), fired: BTreeSet::new(), started_by_arrival: 0 };
    for rule in file.groups.iter_mut().flat_map(|g| &mut g.rules) {
        if let RuleBody::Alerting { for_, .. } = &mut rule.body {
            *for_ = (*for_).min(FOR_MAX);
            outcome.alerts.insert(rule.name.clone());
        }
    }
    let (wanted, joins) = survey(&file);
    let series = series(&wanted, &joins);
    let start = Timestamp::from_millis(1_767_323_000_000);
    let config = RuleSetConfig { verify: true, ..RuleSetConfig::default() };
    let heads = [Head::default(), Head::default()];
    let files = [file];
    let mut sets = heads.each_ref().map(|head| RuleSet::new(config.clone(), &files, head, start));
    for step in 1..=STEPS {
        let now = start + STEP * step;
        for (set, head) in sets.iter_mut().zip(&heads) {
            // Slots that came in between, in their time.
            set.evaluate(now - Duration::from_millis(1), head);
            for (labels, n, seed) in &series {
                head.append(labels, now, SampleValue::Float(value(&wanted[*n], *seed, step))).unwrap();
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
        outcome.fired.extend(slots_alone.iter().map(|(l, _)| l.alert_name().to_owned()));
    }
    outcome
}
