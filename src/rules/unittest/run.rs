//! Runs unit tests: every group at every evaluation interval, then the comparisons.
//! In: a test of a file, and the rule files. Out: [`TestReport`].
//! Never: stops at the first difference of a test.
//! Start at [`run`].

use super::file::{AlertCase, ExprCase, TestCase, TestFile};
use super::notation::{self, by_index};
use crate::model::labels::METRIC_NAME;
use crate::model::quote::quote;
use crate::model::sample::ResetHint;
use crate::model::{Histogram, Labels, MatchOp, Matcher, SampleValue, Timestamp, duration};
use crate::promql::{self, Features, Plan, QueryOptions, Value};
use crate::rules::{RuleFile, RuleSet, RuleSetConfig};
use crate::series::{Head, HeadConfig};
use crate::template::float_g;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Evaluations one test may ask for; a week at one second is less.
const STEPS_MAX: u64 = 1_000_000;
/// Longer than every test: Go's durations end after 292 years.
const WINDOW: Duration = Duration::from_hours(300 * 365 * 24);

/// How tests are run, and what is said of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunOptions {
    /// Of what differs, only the lines that do.
    pub diff: bool,
    /// All series at the end of a test are shown.
    pub dump: bool,
    /// What expressions may use besides the stable language.
    pub features: Features,
}

/// What one test came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestReport {
    /// One text for everything that failed, in promtool's layout; empty when the test passed.
    pub failures: Vec<String>,
    /// The series at the end, when they were asked for and the rules ran so far.
    pub dump: Option<String>,
}

impl TestReport {
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

/// Runs one test of a file on the rules of `rule_files`.
pub fn run(file: &TestFile, test: &TestCase, rule_files: &[RuleFile], options: RunOptions) -> TestReport {
    let mut report = run_test(file, test, rule_files, options);
    if let Some(first) = report.failures.first_mut().filter(|_| !test.name.is_empty()) {
        first.insert_str(0, &format!("    name: {},\n", test.name));
    }
    report
}

fn run_test(file: &TestFile, test: &TestCase, rule_files: &[RuleFile], options: RunOptions) -> TestReport {
    let failed = |failures: Vec<String>| TestReport { failures, dump: None };
    let features = options.features;
    let head = Head::new(HeadConfig { window: WINDOW, out_of_order_window: WINDOW, ..HeadConfig::default() });
    let context = QueryOptions { subquery_step: file.evaluation_interval, features, ..QueryOptions::default() };
    let config = RuleSetConfig {
        interval: file.evaluation_interval,
        external_labels: test.external_labels.clone(),
        external_url: Arc::from(test.external_url.as_str()),
        query: context.clone(),
        ..RuleSetConfig::default()
    };
    let mut rules = RuleSet::new(config, rule_files, &head, test.start);
    let times = test.alerts.iter().map(|a| a.eval_time).chain(test.exprs.iter().map(|e| e.eval_time));
    let longest = times.max().unwrap_or_default();
    if longest.as_millis() as u64 / file.evaluation_interval.as_millis().max(1) as u64 > STEPS_MAX {
        return failed(vec![format!("    more than {STEPS_MAX} evaluations")]);
    }
    let mut feed = Feed::new(test);
    let mut cases: Vec<&AlertCase> = test.alerts.iter().collect();
    cases.sort_by_key(|c| c.eval_time);
    let (mut failures, mut next, mut elapsed) = (Vec::new(), 0, Duration::ZERO);
    while elapsed <= longest {
        let at = test.start + elapsed;
        if let Err(e) = feed.until(&head, at) {
            return failed(vec![format!("    {e}")]);
        }
        let found = rules.evaluate_all(at, &head, &file.group_eval_order);
        if !found.errors.is_empty() {
            let errors = found.errors.iter().map(|e| {
                let time = duration::format(elapsed);
                format!("    rule: {}, time: {time}, err: {}", e.rule, e.text)
            });
            failures.extend(errors);
            return failed(failures);
        }
        elapsed += file.evaluation_interval;
        while let Some(case) = cases.get(next).filter(|c| c.eval_time < elapsed) {
            failures.extend(compare_alerts(case, &rules, options.diff));
            next += 1;
        }
    }
    if let Err(e) = feed.until(&head, test.start + longest) {
        failures.push(format!("    {e}"));
    }
    failures.extend(
        test.exprs.iter().filter_map(|case| compare_expr(case, test.start, &head, &context, file.fuzzy_compare)),
    );
    let dump = options.dump.then(|| dump(&head, test.start, longest));
    TestReport { failures, dump }
}

/// All series up to the end of a test, as promtool prints them: `{labels} =>`, then `value @[time]` on each line.
fn dump(head: &Head, start: Timestamp, longest: Duration) -> String {
    let matches_all = Matcher::new(METRIC_NAME, MatchOp::Regex, ".+").expect("the pattern is well formed");
    let until = start + longest;
    let mut all: Vec<(Labels, Vec<String>)> = Vec::new();
    for series in head.select(&[matches_all]) {
        let mut lines = Vec::new();
        series.visit(start - Duration::from_millis(1), until, |t, value| {
            let value = match &value {
                value if value.is_stale() => return,
                SampleValue::Float(v) => float_g(*v),
                SampleValue::Histogram(h) => notation::expression(h),
            };
            lines.push(format!("{value} @[{}]", t.as_millis()));
        });
        all.push((series.labels().clone(), lines));
    }
    all.sort();
    let series = all.into_iter().map(|(labels, lines)| format!("{labels} =>\n{}", lines.join("\n")));
    let title = format!("Dump of all data (input_series and rules) at {}:", duration::format(longest));
    std::iter::once(title).chain(series).collect::<Vec<_>>().join("\n")
}

/// The input samples in order of time, handed out as time passes.
struct Feed<'a> {
    samples: Vec<(Timestamp, &'a Labels, &'a SampleValue)>,
    next: usize,
    /// The last histogram of each series.
    before: HashMap<&'a Labels, &'a Histogram>,
}

impl<'a> Feed<'a> {
    fn new(test: &'a TestCase) -> Self {
        let all = test.series.iter().flat_map(|(labels, values)| values.iter().map(move |(t, v)| (*t, labels, v)));
        let mut samples: Vec<_> = all.collect();
        samples.sort_by_key(|(t, _, _)| *t);
        Self { samples, next: 0, before: HashMap::new() }
    }

    fn until(&mut self, head: &Head, at: Timestamp) -> Result<(), String> {
        while let Some((t, labels, value)) = self.samples.get(self.next).filter(|(t, _, _)| *t <= at) {
            let (t, labels, value) = (*t, *labels, *value);
            let value = self.hinted(labels, value);
            head.append(labels, t, value).map_err(|e| format!("input series {labels}: {e}"))?;
            self.next += 1;
        }
        Ok(())
    }

    /// Prometheus' storage says of each histogram that goes on with the one before it that no counter was reset; of others,
    /// with which it begins a chunk, it says nothing. Tests see that in their results.
    fn hinted(&mut self, labels: &'a Labels, value: &'a SampleValue) -> SampleValue {
        let SampleValue::Histogram(now) = value else {
            self.before.remove(labels);
            return value.clone();
        };
        let before = self.before.insert(labels, now);
        if now.reset_hint == ResetHint::Gauge {
            return value.clone();
        }
        let goes_on = |before: &Histogram| {
            now.reset_hint != ResetHint::Yes && before.reset_hint != ResetHint::Gauge && !promql::is_reset(now, before)
        };
        let reset_hint = if before.is_some_and(goes_on) { ResetHint::No } else { ResetHint::Unknown };
        SampleValue::Histogram(Histogram { reset_hint, ..Histogram::clone(now) }.into())
    }
}

fn compare_alerts(case: &AlertCase, rules: &RuleSet, diff: bool) -> Option<String> {
    let view = rules.view();
    let firing = view.alerts().filter(|a| a.state == "firing" && a.labels.alert_name() == case.alertname);
    // A rule of this name may label its alerts otherwise only through alertname, which rules cannot override.
    let mut got: Vec<(Labels, Labels)> = firing.map(|a| (a.labels.clone(), a.annotations.clone())).collect();
    let mut expected = case.expected.clone();
    got.sort();
    expected.sort();
    if got == expected {
        return None;
    }
    let head = format!("    alertname: {}, time: {},", case.alertname, case.time_text);
    let (expected, got) = (alerts_text(&expected), alerts_text(&got));
    if diff {
        return Some(format!("{head}\n        diff:{}", difference(&expected, &got)));
    }
    Some(format!("{head}\n        exp:{expected},\n        got:{got}"))
}

/// The lines of one text that the other lacks: `-` what was expected, `+` what came instead.
fn difference(expected: &str, got: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), got.lines().collect());
    let mut out = String::new();
    for (list, other, sign) in [(&old, &new, '-'), (&new, &old, '+')] {
        for line in list.iter().filter(|line| !other.contains(line) && !line.trim().is_empty()) {
            out.extend(["\n      ", &sign.to_string(), " ", line.trim_start()]);
        }
    }
    out
}

fn alerts_text(alerts: &[(Labels, Labels)]) -> String {
    if alerts.is_empty() {
        return "[]".to_owned();
    }
    let mut out = String::from("[");
    for (i, (labels, annotations)) in alerts.iter().enumerate() {
        out.extend([format!(
            "\n            {i}:\n              Labels:{labels}\n              Annotations:{annotations}"
        )]);
    }
    out + "\n            ]"
}

fn compare_expr(case: &ExprCase, start: Timestamp, head: &Head, context: &QueryOptions, fuzzy: bool) -> Option<String> {
    let failed = |text: String| Some(format!("    expr: {}, time: {},\n{text}", quote(&case.expr), case.time_text));
    let expr = match promql::parse_with(&case.expr, context.features) {
        Ok(expr) => expr,
        Err(e) => return failed(format!("        err: {e}")),
    };
    let mut got: Vec<(Labels, SampleValue)> = match Plan::new(&expr).eval(head, start + case.eval_time, context) {
        Err(e) => return failed(format!("        err: {e}")),
        Ok(done) => match done.value {
            Value::Vector(elements) => elements.into_iter().map(|e| (e.labels, e.value)).collect(),
            Value::Scalar(v) => vec![(Labels::empty(), SampleValue::Float(v))],
            Value::String(_) | Value::Matrix(_) => return failed("        err: not a vector or scalar".to_owned()),
        },
    };
    let mut expected = case.expected.clone();
    got.sort_by(|a, b| a.0.cmp(&b.0));
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    let same = got.len() == expected.len()
        && got.iter().zip(&expected).all(|(g, e)| g.0 == e.0 && equal_value(&g.1, &e.1, fuzzy));
    if same {
        return None;
    }
    failed(format!("        exp: {}\n        got: {}", samples_text(&expected), samples_text(&got)))
}

fn equal_value(a: &SampleValue, b: &SampleValue, fuzzy: bool) -> bool {
    match (a, b) {
        (SampleValue::Float(a), SampleValue::Float(b)) => equal_float(*a, *b, fuzzy),
        // Histograms are compared as they are written, which is exact.
        (SampleValue::Histogram(a), SampleValue::Histogram(b)) => equal_histogram(a, b),
        _ => false,
    }
}

/// Exact, or one step of the last bit apart when the file asks for it.
fn equal_float(a: f64, b: f64, fuzzy: bool) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (fuzzy && a.is_finite() && (a.next_up() == b || a.next_down() == b))
}

fn equal_histogram(a: &Histogram, b: &Histogram) -> bool {
    let sides = |h: &Histogram| {
        (by_index(&h.positive_spans, &h.positive_buckets), by_index(&h.negative_spans, &h.negative_buckets))
    };
    let same = |a: f64, b: f64| equal_float(a, b, false);
    let same_side = |a: &std::collections::BTreeMap<i32, f64>, b: &std::collections::BTreeMap<i32, f64>| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && same(*a.1, *b.1))
    };
    let ((ap, an), (bp, bn)) = (sides(a), sides(b));
    a.schema == b.schema
        && a.reset_hint == b.reset_hint
        && a.custom_values == b.custom_values
        && same(a.zero_threshold, b.zero_threshold)
        && same(a.zero_count, b.zero_count)
        && same(a.count, b.count)
        && same(a.sum, b.sum)
        && same_side(&ap, &bp)
        && same_side(&an, &bn)
}

fn samples_text(samples: &[(Labels, SampleValue)]) -> String {
    if samples.is_empty() {
        return "nil".to_owned();
    }
    let parts = samples.iter().map(|(labels, value)| {
        let value = match value {
            SampleValue::Float(v) => float_g(*v),
            SampleValue::Histogram(h) => notation::expression(h),
        };
        format!("{labels} {value}")
    });
    parts.collect::<Vec<_>>().join(", ")
}
