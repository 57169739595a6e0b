//! Go templates: our own table of cases, and the public ones when `WATCHFIRE_CONFORMANCE` names their folder.
//! In: template texts and data. Out: the expanded text or the error, compared.
//! Never: copies the public tables.
//! Start at [`our_cases`].

use serde_json::Value as Json;
use std::path::PathBuf;
use std::sync::Arc;
use watchfire::model::{Labels, Message, MessageAlert, Timestamp};
use watchfire::template::prometheus::{AlertData, FUNCS, VARS, parse_alert_template, sample};
use watchfire::template::time::Time;
use watchfire::template::{Env, FuncMap, Mode, QuerySample, Template, TemplateSet, Value, alertmanager};

struct World {
    samples: Vec<(Labels, f64)>,
    url: &'static str,
}

impl Env for World {
    fn query(&self, expr: &str) -> Result<Vec<QuerySample>, String> {
        let all = if expr == "none" { &[][..] } else { &self.samples[..] };
        Ok(all.iter().map(|(l, v)| QuerySample { labels: l.clone(), value: Value::Float(*v) }).collect())
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_353_755_652_000)
    }

    fn external_url(&self) -> &str {
        self.url
    }
}

#[test]
fn our_cases() {
    let text = std::fs::read_to_string("tests/data/template/cases.json").unwrap();
    let cases: Vec<Json> = serde_json::from_str(&text).unwrap();
    let sample = |instance, v| (Labels::from_pairs([("instance", instance)]), v);
    let world = World { samples: vec![sample("a", 42.0), sample("b", 7.0)], url: "http://wf/sub" };
    let data = Value::object(AlertData {
        labels: Labels::from_pairs([("instance", "a:9100"), ("job", "node")]),
        external_labels: Labels::from_pairs([("cluster", "eu")]),
        external_url: Arc::from("http://wf"),
        value: Value::Float(1_234_567.0),
    });
    for case in &cases {
        let text = case["template"].as_str().unwrap();
        let result = parse_alert_template("case", text);
        if let Some(reason) = case["parse"].as_str() {
            let error = result.expect_err(text).to_string();
            assert!(error.contains(reason), "{text}: {error}");
            continue;
        }
        match (result.unwrap().execute_in(&data, &world), case["error"].as_str()) {
            (Ok(out), None) => assert_eq!(out, case["expected"].as_str().unwrap(), "{text}"),
            (Err(error), Some(reason)) => assert!(error.to_string().contains(reason), "{text}: {error}"),
            (out, _) => panic!("{text}: {out:?}"),
        }
    }
}

#[test]
fn positions_are_told() {
    let error = Template::parse("t", "a\n{{ nope }}", FUNCS).unwrap_err();
    assert_eq!(error.to_string(), "template: t:2: function \"nope\" not defined");
    let error = Template::parse("t", "{{ humanize \"one\" }}", FUNCS).unwrap().execute(&Value::Nil).unwrap_err();
    let want = "template: t:1:3: executing \"t\" at <humanize \"one\">: error calling humanize: strconv.ParseFloat: parsing \"one\": invalid syntax";
    assert_eq!(error.to_string(), want);
}

#[test]
fn notification_data_has_methods() {
    let labels = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
    let message = Message {
        firing: true,
        receiver: Arc::from("ops"),
        group_key: Arc::from("{}"),
        group_labels: labels(&[("alertname", "Down")]),
        common_labels: labels(&[("zone", "1"), ("alertname", "Down"), ("job", "n")]),
        common_annotations: Labels::empty(),
        external_url: Arc::from("http://wf"),
        alerts: vec![alert(&[("alertname", "Down")], true), alert(&[("alertname", "Up")], false)],
        truncated_alerts: 0,
        incident: None,
        incidents: Vec::new(),
    };
    let data = alertmanager::data(&message);
    let mut set = TemplateSet::new(alertmanager::FUNCS, Mode::Text);
    set.add("file", "{{ define \"subject\" }}[{{ .Status | toUpper }}:{{ .Alerts.Firing | len }}] {{ .GroupLabels.SortedPairs.Values | join \" \" }}{{ end }}").unwrap();
    let check = |text: &str, expect: &str| assert_eq!(set.parse("t", text).unwrap().execute(&data).unwrap(), expect);
    check("{{ template \"subject\" . }}", "[FIRING:1] Down");
    check("{{ range .CommonLabels.SortedPairs }}{{ .Name }}={{ .Value }},{{ end }}", "alertname=Down,job=n,zone=1,");
    check("{{ (.CommonLabels.Remove .GroupLabels.Names).Names | join \"+\" }}", "job+zone");
    check("{{ with .CommonLabels.Remove (stringSlice \"job\") }}{{ .Values }}{{ end }}", "[Down 1]");
    check(
        "{{ range .Alerts.Resolved }}{{ .Labels.alertname }} {{ .EndsAt.Format \"15:04 Mon Jan _2 2006\" }}{{ end }}",
        "Up 00:00 Thu Jan  1 1970",
    );
    check("{{ .CommonLabels.nothing }}|{{ if .CommonAnnotations }}x{{ end }}{{ .Nothing }}", "|<no value>");
    check("{{ (index .Alerts 0).Fingerprint | len }} {{ .CommonLabels }}", "16 alertname=Down, job=n, zone=1");
}

fn alert(pairs: &[(&str, &str)], firing: bool) -> MessageAlert {
    let labels = Labels::from_pairs(pairs.iter().copied());
    MessageAlert {
        fingerprint: watchfire::model::Fingerprint::of(&labels),
        labels,
        annotations: Labels::empty(),
        generator_url: Arc::from(""),
        starts_at: Timestamp::MIN,
        ended_at: (!firing).then_some(Timestamp::EPOCH),
    }
}

/// Answers every query with one histogram.
struct Histogram;

impl Env for Histogram {
    fn query(&self, _: &str) -> Result<Vec<QuerySample>, String> {
        Ok(vec![QuerySample { labels: Labels::empty(), value: "{count:3, sum:10}".into() }])
    }
}

/// The public tables' inputs are Go literals; this reads the few shapes they use.
fn go_literal(text: &str) -> Option<Value> {
    if let Some((head, rest)) = text.strip_prefix("[]").and_then(|t| t.split_once('{')) {
        let items = rest.trim_end_matches('}').split(',').map(|item| {
            let item = item.trim();
            match (head, item) {
                (_, "math.MaxInt64") => Value::Int(i64::MAX),
                (_, "math.MinInt64") => Value::Int(i64::MIN),
                (_, "math.MaxUint64") => Value::Float(u64::MAX as f64),
                ("string", quoted) => Value::from(quoted.trim_matches('"')),
                ("float64", sum) => Value::Float(arithmetic(sum)),
                (_, int) => Value::Int(int.parse().unwrap()),
            }
        });
        return Some(Value::list(items.collect()));
    }
    if text.starts_with("time.Date(2024, 1, 1, 8, 15, 30") {
        return Some(Value::object(Time::from_timestamp(Timestamp::from_millis(1_704_096_930_000))));
    }
    None
}

/// Sums of products with one optional leading minus over parentheses: all that the tables use.
fn arithmetic(text: &str) -> f64 {
    let (sign, inner) = match text.strip_prefix("-(") {
        Some(inner) => (-1.0, inner.trim_end_matches(')')),
        None => (1.0, text),
    };
    sign * inner
        .split(" + ")
        .map(|p| p.split('*').map(|n| n.trim().parse::<f64>().unwrap()).product::<f64>())
        .sum::<f64>()
}

/// `name=value` pairs of a vector literal, one map per element.
fn vector_literal(text: &str) -> Vec<(Labels, f64)> {
    let mut out = Vec::new();
    for element in text.split("F: ").collect::<Vec<_>>().windows(2) {
        let labels = element[0].split("FromStrings(").nth(1).map_or("", |l| l.split(')').next().unwrap());
        let words: Vec<String> = labels
            .split(", ")
            .map(|w| if w == "labels.MetricName" { "__name__".into() } else { w.trim_matches('"').to_owned() })
            .collect();
        let pairs = words.chunks(2).filter(|c| c.len() == 2).map(|c| (c[0].as_str(), c[1].as_str()));
        let number: String = element[1].chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        out.push((Labels::from_pairs(pairs), number.parse().unwrap()));
    }
    out
}

fn conformance(path: &str) -> Option<Json> {
    let root = PathBuf::from(std::env::var_os("WATCHFIRE_CONFORMANCE")?);
    Some(serde_json::from_str(&std::fs::read_to_string(root.join(path)).unwrap()).unwrap())
}

#[test]
fn prometheus_table() {
    // Without the folder our own table above is the test.
    let Some(table) = conformance("prometheus-templates/template_expansion.json") else { return our_cases() };
    let histogram = "{count:3, sum:10}";
    let mut failures = Vec::new();
    for case in table.as_array().unwrap() {
        let text = case["template"].as_str().unwrap();
        let query = case["query_result_go_literal"].as_str().unwrap_or("");
        let is_histogram = |t: &str| t.contains("histogram");
        let input = match case["input_go_literal"].as_str() {
            Some(t) if is_histogram(t) => sample(Labels::empty(), histogram.into()),
            Some(t) => go_literal(t).unwrap(),
            None => Value::Nil,
        };
        let world = World { samples: vector_literal(query), url: "http://testhost:9090/path/prefix" };
        let env: &dyn Env = if is_histogram(query) { &Histogram } else { &world };
        let mode = if case["html"] == true { Mode::Html } else { Mode::Text };
        let set = TemplateSet::new(FUNCS, mode);
        let told = |step: &str, e: &dyn std::fmt::Display| format!("error {step} template test: {e}");
        let result = match set.parse("test", text) {
            Ok(t) => t.execute_in(&input, env).map_err(|e| told("executing", &e)),
            Err(e) => Err(told("parsing", &e)),
        };
        // `missingkey=error` is an option that alert templates do not use.
        let expected = case["expected"].as_str().or(case["expected"]["go"].as_str().map(|_| histogram));
        let ok = match (&result, expected) {
            (Ok(out), Some(expected)) => out == expected,
            (Ok(_), None) => case["options_go"].as_str().is_some_and(|o| o.contains("missingkey=error")),
            (Err(text), None) => case["error"].as_str().is_none_or(|error| text == error),
            (Err(_), Some(_)) => false,
        };
        if !ok {
            failures.push(format!("{text}\n  want {expected:?}\n  got  {result:?}"));
        }
    }
    let cases = table.as_array().unwrap().len();
    assert!(failures.is_empty(), "{} of {cases}:\n{}", failures.len(), failures.join("\n"));
    assert!(cases >= 45, "only {cases}");
    assert!(!VARS.is_empty());
}

#[test]
fn alertmanager_table() {
    let Some(table) = conformance("alertmanager-behaviour/templates.json") else {
        return notification_data_has_methods();
    };
    let mut failures = Vec::new();
    let all = ["expansion", "functions"].iter().flat_map(|k| table[*k].as_array().unwrap());
    for case in all {
        let text = case["template"].as_str().unwrap();
        let literal = case["data_go_literal"].as_str().unwrap_or("");
        let data = if literal.contains("Alerts{") { alerts_literal(literal) } else { routes_literal(literal) };
        let data = go_literal(literal).unwrap_or(data);
        let mode = if case["html"] == true { Mode::Html } else { Mode::Text };
        let result = TemplateSet::new(alertmanager::FUNCS, mode).parse("", text).and_then(|t| t.execute(&data));
        let ok = match (&result, case["expected"].as_str(), case["error"].as_str()) {
            // The table's alerts have no fingerprint; ours always do.
            (Ok(out), Some(expected), _) => out.replace("1f56cb8f931d1bd4", "") == expected,
            (Err(e), None, Some(error)) => e.to_string() == error,
            (Err(_), None, None) => true,
            _ => false,
        };
        if !ok {
            failures.push(format!("{text}\n  want {}\n  got  {result:?}", case["expected"]));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(FuncMap::BUILTINS.0.len(), 0);
}

fn alerts_literal(text: &str) -> Value {
    let mut message = Message {
        firing: true,
        receiver: Arc::from(""),
        group_key: Arc::from(""),
        group_labels: Labels::empty(),
        common_labels: Labels::empty(),
        common_annotations: Labels::empty(),
        external_url: Arc::from(""),
        alerts: Vec::new(),
        truncated_alerts: 0,
        incident: None,
        incidents: Vec::new(),
    };
    if text.contains("firing") {
        message.alerts.push(alert(&[("alertname", "test")], true));
    }
    if text.contains("resolved") {
        message.alerts.push(alert(&[], false));
    }
    alertmanager::data(&message)
}

/// `Data{ GroupLabels: KV{…}, RouteLabels: KV{…} }` with quoted and raw strings.
fn routes_literal(text: &str) -> Value {
    let section = |name: &str| {
        let body = text.split(&format!("{name}: KV{{")).nth(1).unwrap_or("");
        let mut words = Vec::new();
        let mut rest = body;
        while let Some(quote) =
            rest.trim_start_matches([' ', ',', ':']).chars().next().filter(|c| matches!(c, '"' | '`'))
        {
            let inner = &rest.trim_start_matches([' ', ',', ':'])[1..];
            let (word, tail) = inner.split_once(quote).unwrap();
            words.push(word);
            rest = tail;
        }
        Value::string_map(words.chunks(2).map(|c| (c[0], c[1])))
    };
    Value::map([("GroupLabels", section("GroupLabels")), ("RouteLabels", section("RouteLabels"))])
}
