//! Prometheus' functions and data for alert labels and annotations.
//! In: a rule's result. Out: the table [`FUNCS`], the variables [`VARS`] and the data [`AlertData`].
//! Never: evaluates an expression; `query` asks the [`super::Env`].
//! Start at [`parse_alert_template`].

use super::builtins::{arg, text_arg};
use super::exec::{Call, QuerySample};
use super::humanize;
use super::scalar::to_float;
use super::set::{Func, FuncMap, Template, TemplateError};
use super::text::{percent_encode, replace_all, title, to_lower, to_upper};
use super::time::{GoDuration, Time};
use super::value::{Object, SafeKind, Value, View};
use crate::model::{Labels, duration, pattern};
use std::sync::Arc;

/// Samples that one `query` may hand to a template.
const QUERY_SAMPLES_MAX: usize = 10_000;

pub const FUNCS: FuncMap = FuncMap(TABLE);

/// What every alert template may use besides its data.
pub const VARS: &[(&str, &str)] = &[
    ("$labels", "Labels"),
    ("$externalLabels", "ExternalLabels"),
    ("$externalURL", "ExternalURL"),
    ("$value", "Value"),
];

/// Parses an annotation or label text of an alerting rule.
pub fn parse_alert_template(name: &str, text: &str) -> Result<Template, TemplateError> {
    Template::parse_with_vars(name, text, FUNCS, VARS)
}

const TABLE: &[(&str, Func)] = &[
    ("query", query),
    ("first", first),
    ("label", label),
    ("value", |_, a| sample_field(arg(a, 0, 1)?, "Value")),
    ("strvalue", |_, a| Ok(sample_labels(arg(a, 0, 1)?)?.value("__value__").into())),
    ("sortByLabel", sort_by_label),
    ("humanize", |_, a| Ok(humanize::humanize(number(a)?).into())),
    ("humanize1024", |_, a| Ok(humanize::humanize1024(number(a)?).into())),
    ("humanizeDuration", |_, a| Ok(humanize::humanize_duration(number(a)?).into())),
    ("humanizePercentage", |_, a| Ok(humanize::humanize_percentage(number(a)?).into())),
    ("humanizeTimestamp", humanize_timestamp),
    ("toTime", |_, a| Ok(Value::object(Time::from_secs(number(a)?)?))),
    ("toDuration", |_, a| Ok(Value::object(GoDuration::from_secs(number(a)?)?))),
    ("now", |c, _| Ok(Value::Float(c.env.now().as_secs_f64()))),
    ("title", |_, a| Ok(title(text_arg(a, 0, 1)?, false).into())),
    ("toUpper", |_, a| Ok(to_upper(text_arg(a, 0, 1)?).into())),
    ("toLower", |_, a| Ok(to_lower(text_arg(a, 0, 1)?).into())),
    ("stripPort", |_, a| Ok(strip_port(text_arg(a, 0, 1)?).into())),
    ("stripDomain", |_, a| Ok(strip_domain(text_arg(a, 0, 1)?).into())),
    ("match", regex_match),
    ("reReplaceAll", |_, a| Ok(replace_all(text_arg(a, 0, 3)?, text_arg(a, 1, 3)?, text_arg(a, 2, 3)?)?.into())),
    ("graphLink", |_, a| Ok(link(text_arg(a, 0, 1)?, 0).into())),
    ("tableLink", |_, a| Ok(link(text_arg(a, 0, 1)?, 1).into())),
    ("parseDuration", parse_duration),
    ("urlQueryEscape", |_, a| Ok(percent_encode(text_arg(a, 0, 1)?, true).into())),
    ("args", |_, a| Ok(args_map(a))),
    ("safeHtml", safe_html),
    ("externalURL", |c, _| Ok(c.env.external_url().into())),
    ("pathPrefix", |c, _| Ok(path_prefix(c.env.external_url()).into())),
];

fn number(args: &[Value]) -> Result<f64, String> {
    to_float(arg(args, 0, 1)?)
}

pub(super) fn safe_html(_: &Call<'_>, args: &[Value]) -> Result<Value, String> {
    Ok(Value::Safe(SafeKind::Html, text_arg(args, 0, 1)?.into()))
}

pub(super) fn regex_match(_: &Call<'_>, args: &[Value]) -> Result<Value, String> {
    let (re, text) = (text_arg(args, 0, 2)?, text_arg(args, 1, 2)?);
    Ok(Value::Bool(pattern::unanchored(re)?.is_match(text)))
}

fn humanize_timestamp(_: &Call<'_>, args: &[Value]) -> Result<Value, String> {
    let v = number(args)?;
    if !v.is_finite() {
        return Ok(super::fmt::float_g_precision(v, 4).into());
    }
    Ok(Time::from_secs(v)?.print().into())
}

fn parse_duration(_: &Call<'_>, args: &[Value]) -> Result<Value, String> {
    let text = text_arg(args, 0, 1)?;
    let (sign, plain) = text.strip_prefix('-').map_or((1.0, text), |p| (-1.0, p));
    match duration::parse(plain) {
        Some(d) => Ok(Value::Float(sign * d.as_secs_f64())),
        None => Err(format!("not a valid duration string: {}", crate::model::quote::quote(text))),
    }
}

fn path_prefix(url: &str) -> &str {
    let after_host = url.split_once("://").map_or(url, |(_, rest)| rest);
    after_host.find('/').map_or("", |i| &after_host[i..]).trim_end_matches('/')
}

fn args_map(args: &[Value]) -> Value {
    Value::map(args.iter().enumerate().map(|(i, v)| (format!("arg{i}"), v.clone())))
}

fn link(expr: &str, tab: u8) -> String {
    format!("/graph?g0.expr={}&g0.tab={tab}", percent_encode(expr, true))
}

/// The generator URL of an alert (protocols, section 6).
pub fn table_link(expr: &str) -> String {
    link(expr, 1)
}

fn strip_port(address: &str) -> String {
    if let Some(rest) = address.strip_prefix('[') {
        return match rest.split_once(']') {
            Some((host, port)) if port.starts_with(':') && !port[1..].contains(':') => host.to_owned(),
            _ => address.to_owned(),
        };
    }
    match address.split_once(':') {
        Some((host, port)) if !port.contains(':') => host.to_owned(),
        _ => address.to_owned(),
    }
}

fn strip_domain(address: &str) -> String {
    let host = strip_port(address);
    if host.parse::<core::net::IpAddr>().is_ok() || host.starts_with('[') || host.matches(':').count() > 0 {
        return address.to_owned();
    }
    let short = host.split('.').next().unwrap_or_default();
    match address.strip_prefix(host.as_str()) {
        Some(port) => format!("{short}{port}"),
        None => short.to_owned(),
    }
}

/// A sample as templates see it: `.Labels`, `.Value`.
#[derive(Debug)]
struct Sample {
    labels: Labels,
    value: Value,
}

impl Object for Sample {
    fn type_name(&self) -> &'static str {
        "template.sample"
    }

    fn field(&self, name: &str) -> Option<Value> {
        match name {
            "Labels" => Some(Value::object(LabelMap(self.labels.clone()))),
            "Value" => Some(self.value.clone()),
            _ => None,
        }
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

/// A sample for data, when a template is run on one.
pub fn sample(labels: Labels, value: Value) -> Value {
    Value::object(Sample { labels, value })
}

fn sample_field(value: &Value, name: &str) -> Result<Value, String> {
    match value {
        Value::Object(o) => o.field(name).ok_or_else(|| format!("no sample: {}", o.type_name())),
        other => Err(format!("no sample: {}", other.type_name())),
    }
}

fn sample_labels(value: &Value) -> Result<Labels, String> {
    match value {
        Value::Object(o) => match o.as_any().downcast_ref::<Sample>() {
            Some(sample) => Ok(sample.labels.clone()),
            None => Err(format!("no sample: {}", o.type_name())),
        },
        other => Err(format!("no sample: {}", other.type_name())),
    }
}

fn query(call: &Call<'_>, args: &[Value]) -> Result<Value, String> {
    let result = call.env.query(text_arg(args, 0, 1)?)?;
    if result.len() > QUERY_SAMPLES_MAX {
        return Err(format!("query gives more than {QUERY_SAMPLES_MAX} samples"));
    }
    let samples = result.into_iter().map(|QuerySample { labels, value }| sample(labels, value)).collect();
    Ok(Value::object(QueryResult(samples)))
}

/// The list that `query` gives; unlike a map it has no fields.
#[derive(Debug)]
struct QueryResult(Vec<Value>);

impl Object for QueryResult {
    fn type_name(&self) -> &'static str {
        "template.queryResult"
    }

    fn field(&self, _: &str) -> Option<Value> {
        None
    }

    fn view(&self) -> View {
        View::List(self.0.clone())
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

fn samples(value: &Value) -> Result<Vec<Value>, String> {
    match value.view() {
        Some(View::List(items)) => Ok(items),
        _ => Err(format!("no query result: {}", value.type_name())),
    }
}

fn first(_: &Call<'_>, args: &[Value]) -> Result<Value, String> {
    samples(arg(args, 0, 1)?)?.into_iter().next().ok_or_else(|| "first() called on vector with no elements".to_owned())
}

fn label(_: &Call<'_>, args: &[Value]) -> Result<Value, String> {
    let name = text_arg(args, 0, 2)?;
    Ok(sample_labels(&args[1])?.value(name).into())
}

fn sort_by_label(_: &Call<'_>, args: &[Value]) -> Result<Value, String> {
    let name = text_arg(args, 0, 2)?;
    let mut items = samples(&args[1])?;
    items.sort_by_cached_key(|s| sample_labels(s).map(|l| l.value(name).to_owned()).unwrap_or_default());
    Ok(Value::object(QueryResult(items)))
}

/// A label set as Go's `map[string]string`: a missing label is the empty text.
#[derive(Clone, Debug)]
pub struct LabelMap(pub Labels);

impl Object for LabelMap {
    fn type_name(&self) -> &'static str {
        "map[string]string"
    }

    fn field(&self, name: &str) -> Option<Value> {
        Some(self.0.value(name).into())
    }

    fn view(&self) -> View {
        View::Map(self.0.iter().map(|(n, v)| (Arc::from(n), Value::from(v))).collect())
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

/// What an alert template is run on.
#[derive(Clone, Debug)]
pub struct AlertData {
    /// Labels of the result's element, metric name included.
    pub labels: Labels,
    pub external_labels: Labels,
    pub external_url: Arc<str>,
    /// A number, or a histogram's text.
    pub value: Value,
}

impl Object for AlertData {
    fn type_name(&self) -> &'static str {
        "struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }"
    }

    fn field(&self, name: &str) -> Option<Value> {
        match name {
            "Labels" => Some(Value::object(LabelMap(self.labels.clone()))),
            "ExternalLabels" => Some(Value::object(LabelMap(self.external_labels.clone()))),
            "ExternalURL" => Some(Value::Str(self.external_url.clone())),
            "Value" => Some(self.value.clone()),
            _ => None,
        }
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}
