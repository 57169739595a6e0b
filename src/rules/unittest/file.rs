//! The unit-test file, as promtool reads it.
//! In: YAML. Out: [`TestFile`].
//! Never: reads the rule files it names; the caller does, relative to the test file.
//! Start at [`parse`].

use super::super::file::first_document;
use super::notation;
use crate::model::{Labels, SampleValue, Timestamp, duration};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Debug)]
pub struct TestFile {
    /// Globs, relative to the test file.
    pub rule_files: Vec<String>,
    pub evaluation_interval: Duration,
    /// Groups that are evaluated first, in this order.
    pub group_eval_order: Vec<String>,
    pub fuzzy_compare: bool,
    pub tests: Vec<TestCase>,
}

#[derive(Debug)]
pub struct TestCase {
    pub name: String,
    pub start: Timestamp,
    pub(super) series: Vec<(Labels, Vec<(Timestamp, SampleValue)>)>,
    pub(super) alerts: Vec<AlertCase>,
    pub(super) exprs: Vec<ExprCase>,
    pub(super) external_labels: Labels,
    pub(super) external_url: String,
}

#[derive(Debug)]
pub(super) struct AlertCase {
    /// As it was written, for reports.
    pub(super) time_text: String,
    pub(super) eval_time: Duration,
    pub(super) alertname: String,
    /// Labels with `alertname`, and annotations.
    pub(super) expected: Vec<(Labels, Labels)>,
}

#[derive(Debug)]
pub(super) struct ExprCase {
    pub(super) expr: String,
    pub(super) time_text: String,
    pub(super) eval_time: Duration,
    pub(super) expected: Vec<(Labels, SampleValue)>,
}

type Map = BTreeMap<String, Option<String>>;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    rule_files: Option<Vec<String>>,
    evaluation_interval: Option<String>,
    #[serde(default)]
    group_eval_order: Option<Vec<String>>,
    #[serde(default)]
    fuzzy_compare: bool,
    #[serde(default)]
    tests: Option<Vec<RawTest>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTest {
    name: Option<String>,
    interval: Option<String>,
    start_timestamp: Option<String>,
    #[serde(default)]
    input_series: Option<Vec<RawSeries>>,
    #[serde(default)]
    alert_rule_test: Option<Vec<RawAlert>>,
    #[serde(default)]
    promql_expr_test: Option<Vec<RawExpr>>,
    #[serde(default)]
    external_labels: Option<Map>,
    external_url: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSeries {
    series: String,
    values: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAlert {
    eval_time: Option<String>,
    alertname: Option<String>,
    #[serde(default)]
    exp_alerts: Option<Vec<RawExpectedAlert>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExpectedAlert {
    #[serde(default)]
    exp_labels: Option<Map>,
    #[serde(default)]
    exp_annotations: Option<Map>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExpr {
    expr: String,
    eval_time: Option<String>,
    #[serde(default)]
    exp_samples: Option<Vec<RawSample>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSample {
    #[serde(default)]
    labels: Option<String>,
    value: Option<String>,
    histogram: Option<String>,
}

/// Reads a unit-test file; the text says what is wrong with it.
pub fn parse(text: &str) -> Result<TestFile, String> {
    let options = serde_saphyr::options! { with_snippet: false };
    let read = |text| serde_saphyr::from_str_with_options(text, options).map_err(|e| e.to_string());
    let raw: RawFile = first_document(text).map(read).transpose()?.unwrap_or_default();
    let interval = span(raw.evaluation_interval.as_deref())?.filter(|d| !d.is_zero());
    let evaluation_interval = interval.unwrap_or(Duration::from_mins(1));
    let order = raw.group_eval_order.unwrap_or_default();
    if let Some(name) = order.iter().enumerate().find_map(|(i, n)| order[..i].contains(n).then_some(n)) {
        return Err(format!("group name repeated in evaluation order: {name}"));
    }
    let mut tests = Vec::new();
    for (i, test) in raw.tests.unwrap_or_default().into_iter().enumerate() {
        let name = test.name.clone().unwrap_or_default();
        let place = if name.is_empty() { format!("test {}", i + 1) } else { format!("test {name:?}") };
        tests.push(case(test, evaluation_interval).map_err(|e| format!("{place}: {e}"))?);
    }
    Ok(TestFile {
        rule_files: raw.rule_files.unwrap_or_default(),
        evaluation_interval,
        group_eval_order: order,
        fuzzy_compare: raw.fuzzy_compare,
        tests,
    })
}

fn span(text: Option<&str>) -> Result<Option<Duration>, String> {
    match text.map(str::trim).filter(|t| !t.is_empty()) {
        None => Ok(None),
        Some(text) => duration::parse(text).map(Some).ok_or_else(|| format!("not a valid duration string: {text:?}")),
    }
}

fn labels(map: Option<Map>) -> Labels {
    Labels::from_pairs(map.unwrap_or_default().into_iter().map(|(n, v)| (n, v.unwrap_or_default())))
}

fn case(raw: RawTest, evaluation_interval: Duration) -> Result<TestCase, String> {
    let interval = span(raw.interval.as_deref())?.filter(|d| !d.is_zero()).unwrap_or(evaluation_interval);
    let start = match raw.start_timestamp.as_deref().map(str::trim).filter(|t| !t.is_empty()) {
        None => Timestamp::EPOCH,
        Some(text) => match text.parse::<f64>() {
            Ok(secs) => Timestamp::from_secs_f64(secs),
            Err(_) => Timestamp::parse_rfc3339(text).ok_or_else(|| format!("bad start_timestamp {text:?}"))?,
        },
    };
    let mut series: BTreeMap<Labels, Vec<(Timestamp, SampleValue)>> = BTreeMap::new();
    for one in raw.input_series.unwrap_or_default() {
        let labels = notation::series_labels(&one.series)?;
        let values = notation::values(&one.values.unwrap_or_default())
            .map_err(|e| format!("input series {}: {e}", one.series))?;
        let at = |i: usize| start + interval * u32::try_from(i).unwrap_or(u32::MAX);
        // A series that is given twice has the values of the second time, as in promtool.
        series.insert(labels, values.into_iter().enumerate().filter_map(|(i, v)| Some((at(i), v?))).collect());
    }
    let mut alerts = Vec::new();
    for one in raw.alert_rule_test.unwrap_or_default() {
        let alertname = one
            .alertname
            .filter(|n| !n.is_empty())
            .ok_or("an item under alert_rule_test misses required attribute alertname")?;
        let expected = one.exp_alerts.unwrap_or_default().into_iter();
        let expected =
            expected.map(|e| (labels(e.exp_labels).with("alertname", &alertname), labels(e.exp_annotations)));
        let expected = expected.collect();
        let eval_time = span(one.eval_time.as_deref())?.unwrap_or_default();
        alerts.push(AlertCase { time_text: duration::format(eval_time), eval_time, alertname, expected });
    }
    let mut exprs = Vec::new();
    for one in raw.promql_expr_test.unwrap_or_default() {
        let mut expected = Vec::new();
        for sample in one.exp_samples.unwrap_or_default() {
            let labels = notation::series_labels(sample.labels.as_deref().unwrap_or(""))?;
            let value = match (&sample.histogram, &sample.value) {
                (Some(text), _) if !text.is_empty() => SampleValue::Histogram(notation::histogram(text)?.into()),
                (_, value) => SampleValue::Float(number(value.as_deref().unwrap_or("0"))?),
            };
            expected.push((labels, value));
        }
        let eval_time = span(one.eval_time.as_deref())?.unwrap_or_default();
        exprs.push(ExprCase { expr: one.expr, time_text: duration::format(eval_time), eval_time, expected });
    }
    Ok(TestCase {
        name: raw.name.unwrap_or_default(),
        start,
        series: series.into_iter().collect(),
        alerts,
        exprs,
        external_labels: labels(raw.external_labels),
        external_url: raw.external_url.unwrap_or_default(),
    })
}

/// YAML's floats, and Go's.
fn number(text: &str) -> Result<f64, String> {
    let plain = text.trim().replace('_', "");
    match plain.to_ascii_lowercase().as_str() {
        ".nan" | "nan" => Ok(f64::NAN),
        ".inf" | "+.inf" | "inf" | "+inf" => Ok(f64::INFINITY),
        "-.inf" | "-inf" => Ok(f64::NEG_INFINITY),
        _ => plain.parse().map_err(|_| format!("not a number: {text:?}")),
    }
}
