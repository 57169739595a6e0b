//! Alertmanager's functions and data for notification texts.
//! In: a [`Message`]. Out: the table [`FUNCS`] and the root [`data`] (`.Alerts.Firing`, `.GroupLabels.SortedPairs`, …).
//! Never: holds default texts; each notifier has its own.
//! Start at [`data`].

use super::builtins::{arg, text_arg};
use super::exec::Call;
use super::humanize;
use super::prometheus::{regex_match, safe_html};
use super::scalar::to_float;
use super::set::{Func, FuncMap};
use super::text::{json_string, percent_decode, replace_all, title, to_lower, to_upper};
use super::time::{Time, time_arg};
use super::value::{Map, Object, SafeKind, Value, View};
use crate::model::labels::ALERT_NAME;
use crate::model::{Labels, Message, MessageAlert, Timestamp};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::sync::Arc;

pub const FUNCS: FuncMap = FuncMap(TABLE);

const TABLE: &[(&str, Func)] = &[
    ("toUpper", |_, a| Ok(to_upper(text_arg(a, 0, 1)?).into())),
    ("toLower", |_, a| Ok(to_lower(text_arg(a, 0, 1)?).into())),
    ("title", |_, a| Ok(title(text_arg(a, 0, 1)?, true).into())),
    ("trimSpace", |_, a| Ok(text_arg(a, 0, 1)?.trim().into())),
    ("join", join),
    ("match", regex_match),
    ("safeHtml", safe_html),
    ("safeUrl", |_, a| Ok(Value::Safe(SafeKind::Url, text_arg(a, 0, 1)?.into()))),
    ("urlUnescape", |_, a| Ok(percent_decode(text_arg(a, 0, 1)?)?.into())),
    ("reReplaceAll", |_, a| Ok(replace_all(text_arg(a, 0, 3)?, text_arg(a, 1, 3)?, text_arg(a, 2, 3)?)?.into())),
    ("stringSlice", |_, a| Ok(Value::list(a.to_vec()))),
    ("date", |_, a| Ok(time_arg(a.get(1..).unwrap_or_default())?.format(text_arg(a, 0, 2)?).into())),
    ("tz", |_, a| Ok(Value::object(time_arg(a.get(1..).unwrap_or_default())?.in_zone(text_arg(a, 0, 2)?)?))),
    ("since", since),
    ("now", |c, _| Ok(Value::object(Time::from_timestamp(c.env.now())))),
    ("toDate", |_, a| {
        Ok(Value::object(Time::parse(text_arg(a, 0, 2)?, text_arg(a, 1, 2)?).unwrap_or_else(|_| Time::zero())))
    }),
    ("mustToDate", |_, a| Ok(Value::object(Time::parse(text_arg(a, 0, 2)?, text_arg(a, 1, 2)?)?))),
    ("humanizeDuration", |_, a| Ok(humanize::humanize_duration(to_float(arg(a, 0, 1)?)?).into())),
    ("toJson", |_, a| Ok(json(arg(a, 0, 1)?).into())),
    ("base64encode", |_, a| Ok(BASE64.encode(text_arg(a, 0, 1)?).into())),
    ("base64decode", base64_decode),
    ("list", |_, a| Ok(Value::list(a.to_vec()))),
    ("append", append),
    ("dict", dict),
    ("routeLabels", route_label),
];

fn since(call: &Call<'_>, args: &[Value]) -> Result<Value, String> {
    let now = Value::object(Time::from_timestamp(call.env.now()));
    match now {
        Value::Object(now) => now.method("Sub", args).unwrap_or(Ok(Value::Nil)),
        _ => Ok(Value::Nil),
    }
}

fn base64_decode(_: &Call<'_>, args: &[Value]) -> Result<Value, String> {
    let bytes = BASE64.decode(text_arg(args, 0, 1)?).map_err(|e| e.to_string())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned().into())
}

fn items(value: &Value) -> Result<Vec<Value>, String> {
    match value.view() {
        Some(View::List(items)) => Ok(items),
        _ => Err(format!("wrong type for value; expected []string; got {}", value.type_name())),
    }
}

fn join(_: &Call<'_>, args: &[Value]) -> Result<Value, String> {
    let separator = text_arg(args, 0, 2)?;
    let parts: Vec<String> = items(&args[1])?.iter().map(Value::print).collect();
    Ok(parts.join(separator).into())
}

fn append(_: &Call<'_>, args: &[Value]) -> Result<Value, String> {
    let Some((list, more)) = args.split_first() else {
        return Err("wrong number of args for append: want at least 1 got 0".to_owned());
    };
    let mut all = items(list)?;
    all.extend_from_slice(more);
    Ok(Value::list(all))
}

fn dict(_: &Call<'_>, args: &[Value]) -> Result<Value, String> {
    if !args.len().is_multiple_of(2) {
        return Err("dict expects an even number of arguments".to_owned());
    }
    let mut map = Map::default();
    for pair in args.chunks(2) {
        map.entries.insert(text_arg(&pair[..1], 0, 1)?.into(), pair[1].clone());
    }
    Ok(Value::Map(Arc::new(map)))
}

/// A label of the route, itself a template over the same data.
fn route_label(call: &Call<'_>, args: &[Value]) -> Result<Value, String> {
    let name = text_arg(args, 0, 1)?;
    let labels = match call.root {
        Value::Object(o) => o.field("RouteLabels"),
        Value::Map(m) => m.entries.get("RouteLabels").cloned(),
        _ => None,
    };
    let text = match labels {
        Some(Value::Object(o)) => o.field(name),
        Some(Value::Map(m)) => m.entries.get(name).cloned(),
        _ => None,
    };
    match text.as_ref().and_then(Value::as_text) {
        Some(text) => Ok(call.expand(name, text)?.into()),
        None => Ok("".into()),
    }
}

/// JSON as Go writes it.
fn json(value: &Value) -> String {
    let list = |items: &[Value]| format!("[{}]", items.iter().map(json).collect::<Vec<_>>().join(","));
    let pair = |(k, v): (&str, &Value)| format!("{}:{}", json_string(k), json(v));
    match value {
        Value::Nil | Value::Func(_) => "null".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Float(v) if v.is_finite() => serde_json::Number::from_f64(*v).map_or("null".into(), |n| json_number(&n)),
        Value::Float(_) => "null".to_owned(),
        Value::Str(s) | Value::Safe(_, s) => json_string(s),
        Value::List(items) => list(items),
        Value::Map(m) => {
            format!("{{{}}}", m.entries.iter().map(|(k, v)| pair((k, v))).collect::<Vec<_>>().join(","))
        }
        Value::Object(o) => o.json().unwrap_or_else(|| match o.view() {
            View::List(items) => list(&items),
            View::Map(m) => format!("{{{}}}", m.iter().map(|(k, v)| pair((k, v))).collect::<Vec<_>>().join(",")),
            View::Struct(f) => format!("{{{}}}", f.iter().map(|(k, v)| pair((k, v))).collect::<Vec<_>>().join(",")),
        }),
    }
}

/// A whole float is written without a fraction.
fn json_number(n: &serde_json::Number) -> String {
    let text = n.to_string();
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// A label set with Alertmanager's methods (`template.KV`).
#[derive(Clone, Debug)]
pub struct Kv(pub Labels);

impl Kv {
    /// `alertname` first, then by name.
    fn sorted(&self) -> Vec<(&str, &str)> {
        let mut pairs: Vec<(&str, &str)> = self.0.iter().collect();
        pairs.sort_by_key(|(n, _)| *n != ALERT_NAME);
        pairs
    }

    fn remove(&self, args: &[Value]) -> Result<Value, String> {
        let names = items(arg(args, 0, 1)?)?;
        let keep = |n: &str, _: &str| !names.iter().any(|k| k.as_text().is_some_and(|t| t.as_ref() == n));
        Ok(Value::object(Self(self.0.retain(keep))))
    }
}

impl Object for Kv {
    fn type_name(&self) -> &'static str {
        "template.KV"
    }

    fn field(&self, name: &str) -> Option<Value> {
        Some(self.0.value(name).into())
    }

    fn method(&self, name: &str, args: &[Value]) -> Option<Result<Value, String>> {
        Some(match name {
            "SortedPairs" => {
                let pairs = self.sorted().into_iter().map(|(n, v)| Pair { name: n.into(), value: v.into() });
                Ok(Value::object(Pairs(pairs.collect())))
            }
            "Names" => Ok(Value::list(self.sorted().into_iter().map(|(n, _)| n.into()).collect())),
            "Values" => Ok(Value::list(self.sorted().into_iter().map(|(_, v)| v.into()).collect())),
            "Remove" => self.remove(args),
            "String" => Ok(Pairs::text(self.sorted().into_iter()).into()),
            _ => return None,
        })
    }

    fn view(&self) -> View {
        View::Map(self.0.iter().map(|(n, v)| (Arc::from(n), Value::from(v))).collect())
    }

    fn json(&self) -> Option<String> {
        // An empty KV is Go's nil map.
        self.0.is_empty().then(|| "null".to_owned())
    }

    fn print(&self) -> String {
        Pairs::text(self.sorted().into_iter())
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

#[derive(Clone, Debug)]
struct Pair {
    name: Arc<str>,
    value: Arc<str>,
}

impl Object for Pair {
    fn type_name(&self) -> &'static str {
        "template.Pair"
    }

    fn field(&self, name: &str) -> Option<Value> {
        match name {
            "Name" => Some(Value::Str(self.name.clone())),
            "Value" => Some(Value::Str(self.value.clone())),
            _ => None,
        }
    }

    fn view(&self) -> View {
        View::Struct(vec![("Name", Value::Str(self.name.clone())), ("Value", Value::Str(self.value.clone()))])
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

/// A list of pairs (`template.Pairs`).
#[derive(Clone, Debug)]
struct Pairs(Vec<Pair>);

impl Pairs {
    fn text<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
        pairs.map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join(", ")
    }
}

impl Object for Pairs {
    fn type_name(&self) -> &'static str {
        "template.Pairs"
    }

    fn field(&self, _: &str) -> Option<Value> {
        None
    }

    fn method(&self, name: &str, _: &[Value]) -> Option<Result<Value, String>> {
        let texts =
            |of: fn(&Pair) -> &Arc<str>| Value::list(self.0.iter().map(|p| Value::Str(of(p).clone())).collect());
        Some(Ok(match name {
            "Names" => texts(|p| &p.name),
            "Values" => texts(|p| &p.value),
            "String" => self.print().into(),
            _ => return None,
        }))
    }

    fn view(&self) -> View {
        View::List(self.0.iter().map(|p| Value::object(p.clone())).collect())
    }

    fn print(&self) -> String {
        Self::text(self.0.iter().map(|p| (p.name.as_ref(), p.value.as_ref())))
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

/// One alert of the message (`template.Alert`).
#[derive(Debug)]
struct AlertView(MessageAlert);

impl AlertView {
    fn status(&self) -> &'static str {
        if self.0.ended_at.is_some() { "resolved" } else { "firing" }
    }
}

fn moment(t: Timestamp) -> Value {
    Value::object(if t == Timestamp::MIN { Time::zero() } else { Time::from_timestamp(t) })
}

impl Object for AlertView {
    fn type_name(&self) -> &'static str {
        "template.Alert"
    }

    fn field(&self, name: &str) -> Option<Value> {
        let alert = &self.0;
        Some(match name {
            "Status" => self.status().into(),
            "Labels" => Value::object(Kv(alert.labels.clone())),
            "Annotations" => Value::object(Kv(alert.annotations.clone())),
            "StartsAt" => moment(alert.starts_at),
            "EndsAt" => moment(alert.ended_at.unwrap_or(Timestamp::MIN)),
            "GeneratorURL" => Value::Str(alert.generator_url.clone()),
            "Fingerprint" => alert.fingerprint.to_string().into(),
            _ => return None,
        })
    }

    fn view(&self) -> View {
        let get = |name: &str| self.field(name).unwrap_or_default();
        View::Struct(vec![
            ("status", get("Status")),
            ("labels", get("Labels")),
            ("annotations", get("Annotations")),
            ("startsAt", get("StartsAt")),
            ("endsAt", get("EndsAt")),
            ("generatorURL", get("GeneratorURL")),
            ("fingerprint", get("Fingerprint")),
        ])
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

/// The list of alerts with `.Firing` and `.Resolved` (`template.Alerts`).
#[derive(Debug)]
struct Alerts(Vec<Arc<AlertView>>);

impl Object for Alerts {
    fn type_name(&self) -> &'static str {
        "template.Alerts"
    }

    fn field(&self, _: &str) -> Option<Value> {
        None
    }

    fn method(&self, name: &str, _: &[Value]) -> Option<Result<Value, String>> {
        let status = match name {
            "Firing" => "firing",
            "Resolved" => "resolved",
            _ => return None,
        };
        Some(Ok(Value::object(Self(self.0.iter().filter(|a| a.status() == status).cloned().collect()))))
    }

    fn view(&self) -> View {
        View::List(self.0.iter().map(|a| Value::Object(a.clone())).collect())
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

/// The root of a notification template (`template.Data`), with the page's `.Incident` added.
pub fn data(message: &Message) -> Value {
    let alerts = message.alerts.iter().map(|a| Arc::new(AlertView(a.clone()))).collect();
    let incident = message.incident.as_ref().map_or(Value::Nil, |i| {
        Value::string_map([
            ("ID", i.id.to_string()),
            ("URL", i.url.clone()),
            ("Status", i.status.as_str().to_owned()),
            ("Severity", i.severity.as_str().to_owned()),
            ("Title", i.title.clone()),
            ("Step", i.step.to_string()),
            ("Round", i.round.to_string()),
            ("Reason", i.reason.clone()),
            ("HeldBack", i.held_back.to_string()),
            ("AcknowledgedBy", i.acknowledged_by.as_deref().unwrap_or_default().to_owned()),
        ])
    });
    Value::map([
        ("Receiver", Value::Str(message.receiver.clone())),
        ("Status", if message.firing { "firing" } else { "resolved" }.into()),
        ("Alerts", Value::object(Alerts(alerts))),
        ("GroupLabels", Value::object(Kv(message.group_labels.clone()))),
        ("CommonLabels", Value::object(Kv(message.common_labels.clone()))),
        ("CommonAnnotations", Value::object(Kv(message.common_annotations.clone()))),
        ("ExternalURL", Value::Str(message.external_url.clone())),
        ("TruncatedAlerts", Value::Int(message.truncated_alerts as i64)),
        ("Incident", incident),
    ])
}
