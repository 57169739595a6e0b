//! Lints: rules that are valid and probably not what their writer meant.
//! In: a checked rule file. Out: one sentence each, with group and rule.
//! Never: refuses a file, or guesses from data: only what the text itself shows.
//! Start at [`lint`].

use super::file::{RuleBody, RuleFile, RuleSpec};
use crate::model::MatchOp;
use crate::model::labels::METRIC_NAME;
use crate::promql::ast::{Binary, BinaryOp, Call, Expr, Selector};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What is odd about one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lint {
    pub group: Arc<str>,
    pub rule: Arc<str>,
    pub text: String,
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "group {:?}, rule {:?}: {}", self.group, self.rule, self.text)
    }
}

/// Ends of names that tell of a state, not of a count that only grows.
const GAUGE_ENDS: [&str; 21] = [
    "_bytes",
    "_ratio",
    "_percent",
    "_percentage",
    "_celsius",
    "_temperature",
    "_info",
    "_size",
    "_length",
    "_depth",
    "_free",
    "_available",
    "_used",
    "_usage",
    "_current",
    "_active",
    "_limit",
    "_capacity",
    "_timestamp_seconds",
    "_gauge",
    "_max",
];
/// Functions whose result is the growth of a counter.
const COUNTER_FUNCTIONS: [&str; 3] = ["rate", "irate", "increase"];
/// Functions whose result on a counter is wrong after each restart of what counts.
const GAUGE_FUNCTIONS: [&str; 4] = ["delta", "idelta", "deriv", "predict_linear"];

/// Everything odd in the file, in its order.
pub fn lint(file: &RuleFile) -> Vec<Lint> {
    look(file, |rule, texts| {
        rule.expr.walk(&mut |expr| of_expression(expr, texts));
        of_alert(rule, texts);
    })
}

/// Rules of one name and label set only.
pub fn duplicates(file: &RuleFile) -> Vec<Lint> {
    look(file, |_, _| {})
}

/// What is odd about each rule by itself, and which are there twice.
fn look(file: &RuleFile, of_rule: impl Fn(&RuleSpec, &mut Vec<String>)) -> Vec<Lint> {
    let mut found = Vec::new();
    let mut seen: BTreeMap<_, usize> = BTreeMap::new();
    for group in &file.groups {
        for rule in &group.rules {
            let mut texts = Vec::new();
            of_rule(rule, &mut texts);
            let same = seen.entry((rule.name.clone(), rule.label_set())).or_default();
            *same += 1;
            if *same == 2 {
                texts.push("another rule of the file has the same name and labels: results may be inconsistent".into());
            }
            let of = |text| Lint { group: group.name.clone(), rule: rule.name.clone(), text };
            found.extend(texts.into_iter().map(of));
        }
    }
    found
}

fn of_expression(expr: &Expr, texts: &mut Vec<String>) {
    match expr {
        Expr::Selector(selector) => texts.extend(contradiction(selector)),
        Expr::Range(range) => texts.extend(contradiction(&range.selector)),
        Expr::Call(call) => texts.extend(wrong_kind(call)),
        Expr::Binary(binary) => texts.extend(never_meets(binary)),
        _ => {}
    }
}

/// A selector whose matchers exclude each other.
fn contradiction(selector: &Selector) -> Option<String> {
    let matchers = selector.all_matchers();
    matchers.iter().filter(|m| m.op == MatchOp::Equal).find_map(|equal| {
        let other = matchers.iter().find(|m| m.name == equal.name && !m.matches_value(&equal.value))?;
        let shown = Expr::Selector(selector.clone());
        Some(format!("the selector {shown} never matches: {equal} and {other} exclude each other"))
    })
}

/// `rate` of a gauge, `delta` of a counter.
fn wrong_kind(call: &Call) -> Option<String> {
    let function = call.function.name;
    let Expr::Range(range) = call.args.first()?.unwrapped() else { return None };
    let name = range.selector.name.as_deref()?;
    if COUNTER_FUNCTIONS.contains(&function) && is_gauge_like(name) {
        let text = format!("{function}({name}): the name is that of a gauge, and {function} takes counters only");
        return Some(text);
    }
    if GAUGE_FUNCTIONS.contains(&function) && name.ends_with("_total") {
        return Some(format!("{function}({name}): the name is that of a counter; use rate or increase"));
    }
    None
}

fn is_gauge_like(name: &str) -> bool {
    // A recorded name says in its last part what was done to it: `job:x_bytes:rate5m` is no gauge of bytes.
    !name.contains(':') && (name == "up" || GAUGE_ENDS.iter().any(|end| name.ends_with(end)))
}

/// Two vectors that are matched on a label which is one value on the left and another on the right.
fn never_meets(binary: &Binary) -> Option<String> {
    let matching = binary.matching.as_ref()?;
    if matches!(binary.op, BinaryOp::Or | BinaryOp::Unless) {
        return None;
    }
    let (left, right) = (fixed(&binary.left), fixed(&binary.right));
    let matched = |name: &str| name != METRIC_NAME && matching.labels.iter().any(|l| l == name) == matching.on;
    let (name, value) =
        left.iter().find(|(name, value)| matched(name) && right.get(*name).is_some_and(|other| other != *value))?;
    let other = right.get(name)?;
    Some(format!(
        "the two sides of {} never meet: {name} is {value:?} on the left and {other:?} on the right",
        binary.op.as_str()
    ))
}

/// Labels that every result of an expression has with one known value.
fn fixed(expr: &Expr) -> BTreeMap<String, String> {
    let of = |selector: &Selector| {
        let equal = |m: &crate::model::Matcher| m.op == MatchOp::Equal && !m.value.is_empty();
        selector.all_matchers().into_iter().filter(equal).map(|m| (m.name, m.value)).collect()
    };
    match expr.unwrapped() {
        Expr::Selector(selector) => of(selector),
        Expr::Range(range) => of(&range.selector),
        Expr::Subquery(subquery) => fixed(&subquery.expr),
        Expr::Negate(inner, _) => fixed(inner),
        Expr::Aggregate(aggregate) => {
            let mut labels = fixed(&aggregate.expr);
            if !aggregate.op.is_selection() {
                labels.retain(|name, _| aggregate.grouping.contains(name) != aggregate.without);
            }
            labels
        }
        Expr::Call(call) if COUNTER_FUNCTIONS.contains(&call.function.name) => {
            call.args.first().map(fixed).unwrap_or_default()
        }
        Expr::Binary(b) if b.matching.is_none() => {
            // One side is a number: the labels are those of the other.
            let (mut left, right) = (fixed(&b.left), fixed(&b.right));
            left.extend(right);
            left
        }
        _ => BTreeMap::new(),
    }
}

fn of_alert(rule: &RuleSpec, texts: &mut Vec<String>) {
    let RuleBody::Alerting { for_, annotations, .. } = &rule.body else { return };
    let always = matches!(rule.expr.unwrapped(), Expr::Call(call) if call.function.name == "vector");
    if *for_ == Duration::ZERO && !always {
        texts.push("it has no `for`: one bad sample fires it".to_owned());
    }
    let Some(threshold) = threshold(&rule.expr) else { return };
    for (name, text) in annotations {
        let formatted = prints_value_with(text, "humanizePercentage");
        if formatted && (threshold > 1.0 && threshold <= 100.0 || is_scaled(&rule.expr)) {
            texts.push(format!(
                "annotation {name:?}: humanizePercentage multiplies by 100, and the value is compared with {threshold} already"
            ));
        } else if !formatted && threshold < 1.0 && threshold > 0.0 && prints_value_as_percent(text) {
            texts.push(format!(
                "annotation {name:?}: the value is a ratio (compared with {threshold}) but is printed with a percent sign; use humanizePercentage"
            ));
        }
    }
}

/// The number that the value of an alert is compared with.
fn threshold(expr: &Expr) -> Option<f64> {
    let Expr::Binary(b) = expr.unwrapped() else { return None };
    if b.op.is_set() {
        return threshold(&b.left);
    }
    let number = |e: &Expr| match e.unwrapped() {
        Expr::Number(n, ..) => Some(*n),
        _ => None,
    };
    if b.op.is_comparison() { number(&b.right).or_else(|| number(&b.left)) } else { None }
}

/// Whether the compared value is multiplied by 100.
fn is_scaled(expr: &Expr) -> bool {
    let Expr::Binary(b) = expr.unwrapped() else { return false };
    let hundred = |e: &Expr| matches!(e.unwrapped(), Expr::Number(n, ..) if (n - 100.0).abs() < f64::EPSILON);
    match b.op {
        BinaryOp::Mul => hundred(&b.left) || hundred(&b.right),
        op if op.is_comparison() || op.is_set() => is_scaled(&b.left),
        _ => false,
    }
}

/// The actions `{{ … }}` of a text that print the alert's value, each with what follows it.
fn value_actions(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.match_indices("{{").filter_map(|(at, _)| {
        let (action, after) = text[at + 2..].split_once("}}")?;
        (action.contains("$value") || action.contains(".Value")).then_some((action, after))
    })
}

fn prints_value_with(text: &str, function: &str) -> bool {
    value_actions(text).any(|(action, _)| action.contains(function))
}

fn prints_value_as_percent(text: &str) -> bool {
    value_actions(text).any(|(_, after)| after.trim_start().starts_with('%'))
}

#[cfg(test)]
mod tests {
    use super::super::file::parse;
    use super::*;

    /// The lints of one rule; the alert has a `for` unless the text says otherwise.
    fn check(rule: &str, expect: &[&str]) {
        let rule = if rule.contains("record:") || rule.contains("for:") {
            rule.to_owned()
        } else {
            format!("{rule}, for: 5m")
        };
        let file = parse(&format!("groups:\n- name: g\n  rules:\n  - {{{rule}}}\n"), "f.yml")
            .unwrap_or_else(|e| panic!("{rule}: {e:?}"));
        let found: Vec<String> = lint(&file).into_iter().map(|l| l.text).collect();
        assert_eq!(found.len(), expect.len(), "{rule}: {found:?}");
        for (found, expect) in found.iter().zip(expect) {
            assert!(found.contains(expect), "{rule}: {found}");
        }
    }

    #[test]
    fn selectors_that_never_match() {
        check(r#"alert: A, expr: 'up{job="a"} == 0'"#, &[]);
        check(r#"alert: A, expr: 'up{job="a",job="b"} == 0'"#, &["never matches: job=\"a\" and job=\"b\""]);
        check(r#"alert: A, expr: 'sum(rate(x_total{job="a",job!~"a|b"}[5m])) > 1'"#, &["never matches"]);
        check(r#"alert: A, expr: '{__name__="a",__name__=~"b.*"} > 1'"#, &["never matches"]);
        check(r#"alert: A, expr: 'up{job="",job!=""} == 0'"#, &["never matches"]);
    }

    #[test]
    fn sides_that_never_meet() {
        check(r#"alert: A, expr: 'a{x="1"} / b{x="2"} > 1'"#, &["never meet: x is \"1\" on the left"]);
        check(r#"alert: A, expr: 'a{x="1"} / ignoring(x) b{x="2"} > 1'"#, &[]);
        check(r#"alert: A, expr: 'a{x="1"} / on(y) b{x="2"} > 1'"#, &[]);
        check(r#"alert: A, expr: 'sum by (x) (a{x="1"}) and b{x="2"}'"#, &["never meet"]);
        check(r#"alert: A, expr: 'sum by (y) (a{x="1"}) and b{x="2"}'"#, &[]);
        check(r#"alert: A, expr: 'a{x="1"} or b{x="2"}'"#, &[]);
        check(r#"alert: A, expr: 'a{x="1"} unless b{x="2"}'"#, &[]);
    }

    #[test]
    fn counters_and_gauges_by_name() {
        check("alert: A, expr: 'rate(node_memory_free_bytes[5m]) > 1'", &["that of a gauge"]);
        check("alert: A, expr: 'increase(up[5m]) > 1'", &["that of a gauge"]);
        check("alert: A, expr: 'rate(node_network_receive_bytes_total[5m]) > 1'", &[]);
        check("record: 'a:b', expr: 'delta(x_total[5m])'", &["that of a counter"]);
        check("record: 'a:b', expr: 'delta(x_bytes[5m])'", &[]);
    }

    #[test]
    fn alerts_without_patience() {
        check("alert: A, expr: up == 0, for: 0s", &["no `for`"]);
        check("alert: Watchdog, expr: vector(1), for: 0s", &[]);
        check("record: 'a:b', expr: up", &[]);
    }

    #[test]
    fn percentages() {
        let with = |expr: &str, text: &str| format!("alert: A, expr: '{expr}', annotations: {{summary: '{text}'}}");
        check(&with("used_percent > 90", "{{ $value | humanizePercentage }}"), &["compared with 90"]);
        check(&with("100 * a / b * 100 > 90", "{{ humanizePercentage $value }}"), &["compared with 90"]);
        check(&with("used_ratio > 0.9", "{{ $value | humanizePercentage }}"), &[]);
        check(&with("used_ratio > 0.9", "{{ $value }}%"), &["is a ratio"]);
        check(&with("used_percent > 90", "{{ $value }}%"), &[]);
    }

    #[test]
    fn duplicates_are_said_once() {
        let text = "groups:\n- name: g\n  rules:\n  - {record: a, expr: b}\n  - {record: a, expr: c}\n  - {record: a, expr: d}\n";
        assert_eq!(lint(&parse(text, "f.yml").unwrap()).len(), 1);
    }
}
