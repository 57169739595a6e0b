//! Acceptance: scenarios with a clock, as Alertmanager's own acceptance tests have them, against a running Watchfire.
//! In: `alertmanager-acceptance` of the conformance folder, or our own data of the same shape. Out: pass or fail.
//! Never: starts the clock before every process answers, or looks into one.
//! Start at [`timed_scenarios`].

use crate::support::watchfire::Watchfire;
use axum::body::Bytes;
use axum::http::StatusCode;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use watchfire::model::Timestamp;

/// Go's zero time: the end of an alert that fires.
const NO_END: &str = "0001-01-01T00:00:00Z";
/// How long after its last window a scenario still listens for what nobody expects.
const AFTERMATH_S: f64 = 0.3;

/// The two clocks of a scenario at t=0.
#[derive(Clone, Copy)]
struct Start {
    at: Instant,
    epoch_ms: i64,
}

impl Start {
    fn now() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Self { at: Instant::now(), epoch_ms: since.as_millis() as i64 }
    }

    /// RFC 3339 of a moment given in seconds since t=0.
    fn time(self, secs: f64) -> String {
        Timestamp::from_millis(self.epoch_ms + (secs * 1000.0).round() as i64).to_rfc3339()
    }

    /// Seconds since t=0 of an RFC 3339 time.
    fn secs(self, text: &str) -> f64 {
        let at = Timestamp::parse_rfc3339(text).unwrap_or_else(|| panic!("{text:?} is no time"));
        (at.as_millis() - self.epoch_ms) as f64 / 1000.0
    }
}

/// A webhook receiver that notes when each message came.
#[derive(Clone, Default)]
struct Collector {
    start: Arc<OnceLock<Start>>,
    /// Messages before this second get no answer in time.
    deaf_until: f64,
    arrived: Arc<Mutex<Vec<(f64, Value)>>>,
}

impl Collector {
    /// Listens, and returns its address.
    async fn start(behaviour: Option<&str>) -> (Self, String) {
        // "before t=3: sleep 1 s and drop; from t=3 on: …"
        let deaf_until = behaviour.map_or(0.0, |text| {
            let rest = text.strip_prefix("before t=").unwrap_or_else(|| panic!("unknown behaviour of a hook: {text}"));
            rest.split(':').next().unwrap().parse().unwrap()
        });
        let collector = Self { deaf_until, ..Self::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let this = collector.clone();
        let router = axum::Router::new().fallback(move |body: Bytes| this.clone().take(body));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (collector, url)
    }

    async fn take(self, body: Bytes) -> StatusCode {
        let Some(start) = self.start.get() else { return StatusCode::OK };
        let at = start.at.elapsed().as_secs_f64();
        if at < self.deaf_until {
            tokio::time::sleep(Duration::from_secs(1)).await;
            return StatusCode::OK;
        }
        self.arrived.lock().unwrap().push((at, serde_json::from_slice(&body).unwrap()));
        StatusCode::OK
    }
}

struct Scenario {
    data: Value,
    server: Watchfire,
    hooks: Vec<(&'static str, Collector)>,
}

async fn prepare(data: Value) -> Scenario {
    let mut config = data["config"].to_string();
    let mut hooks = Vec::new();
    for name in ["HOOK1", "HOOK2"] {
        let (collector, url) = Collector::start(data["hooks"][name].as_str()).await;
        config = config.replace(&format!("{{{{{name}}}}}"), &url);
        hooks.push((name, collector));
    }
    Scenario { data, server: Watchfire::start(&config).await, hooks }
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// One alert or silence to post, its seconds made times.
fn posted(start: Start, given: &Value) -> Value {
    let mut body = given.clone();
    for key in ["startsAt", "endsAt"] {
        if let Some(secs) = given[key].as_f64() {
            body[key] = json!(start.time(secs));
        }
    }
    body
}

async fn perform(server: &Watchfire, start: Start, step: &Value) {
    match step["do"].as_str().unwrap() {
        "post_alerts" => {
            let alerts: Vec<Value> = list(step, "alerts").iter().map(|a| posted(start, a)).collect();
            server.post("/api/v2/alerts", &json!(alerts)).await.expect(200);
        }
        "post_silence" => {
            let mut silence = posted(start, step);
            for (key, value) in [("createdBy", "ana"), ("comment", "planned")] {
                silence[key] = json!(value);
            }
            let answer = server.post("/api/v2/silences", &silence).await.expect(200);
            assert!(answer["silenceID"].is_string(), "{answer}");
        }
        other => panic!("unknown step {other}"),
    }
}

fn same_labels(a: &Value, b: &Value) -> bool {
    let empty = json!({});
    let or_empty = |v: &Value| if v.is_null() { empty.clone() } else { v.clone() };
    or_empty(a) == or_empty(b)
}

fn is_alert(start: Start, tolerance: f64, want: &Value, got: &Value) -> bool {
    let close = |key: &str, secs: f64| (start.secs(got[key].as_str().unwrap()) - secs).abs() <= tolerance;
    same_labels(&want["labels"], &got["labels"])
        && same_labels(&want["annotations"], &got["annotations"])
        && want["startsAt"].as_f64().is_none_or(|secs| close("startsAt", secs))
        && match want["endsAt"].as_f64() {
            Some(secs) => got["status"] == "resolved" && close("endsAt", secs),
            None => got["status"] == "firing" && got["endsAt"] == NO_END,
        }
}

/// The same alerts, in any order.
fn is_message(start: Start, tolerance: f64, want: &[Value], got: &Value) -> bool {
    let mut left: Vec<&Value> = list(got, "alerts").iter().collect();
    let all = want.iter().all(|want| {
        let at = left.iter().position(|got| is_alert(start, tolerance, want, got));
        at.map(|at| left.swap_remove(at)).is_some()
    });
    all && left.is_empty()
}

/// What is wrong with what one hook heard; empty when it is as wanted.
fn faults(start: Start, tolerance: f64, wants: &[&Value], arrived: &[(f64, Value)]) -> String {
    let mut faults = String::new();
    for want in wants {
        let (from, to) = (want["from"].as_f64().unwrap(), want["to"].as_f64().unwrap());
        let mut inside = arrived.iter().filter(|(at, _)| (from..=to).contains(at));
        let alerts = list(want, "alerts");
        let met = if alerts.is_empty() {
            inside.next().is_none()
        } else {
            inside.any(|(_, got)| is_message(start, tolerance, alerts, got))
        };
        if !met {
            writeln!(faults, "between {from} and {to} not so: {}", json!(alerts)).unwrap();
        }
    }
    let wanted: usize = wants.iter().map(|w| list(w, "alerts").len()).sum();
    let got: usize = arrived.iter().map(|(_, m)| list(m, "alerts").len()).sum();
    if wanted != got {
        writeln!(faults, "{got} alerts in all messages together, wanted {wanted}").unwrap();
    }
    if arrived.iter().any(|(_, m)| list(m, "alerts").is_empty()) {
        faults.push_str("a message without alerts\n");
    }
    if !faults.is_empty() {
        for (at, message) in arrived {
            writeln!(faults, "  at {at:.3}:").unwrap();
            for alert in list(message, "alerts") {
                let time = |key: &str| alert[key].as_str().map_or(f64::NAN, |t| start.secs(t));
                let (starts, ends) = (time("startsAt"), time("endsAt").max(-1.0));
                let texts = (&alert["labels"], &alert["annotations"]);
                writeln!(faults, "    {} {} starts {starts} ends {ends}", texts.0, texts.1).unwrap();
            }
        }
    }
    faults
}

async fn play(scenario: Scenario) -> String {
    let Scenario { data, server, hooks } = scenario;
    let start = Start::now();
    for (_, hook) in &hooks {
        assert!(hook.start.set(start).is_ok(), "a hook belongs to one scenario");
    }
    let mut end: f64 = list(&data, "expect").iter().filter_map(|w| w["to"].as_f64()).fold(0.0, f64::max);
    for step in list(&data, "steps") {
        let at = step["at"].as_f64().unwrap();
        end = end.max(at);
        tokio::time::sleep_until(start.at + Duration::from_secs_f64(at)).await;
        perform(&server, start, step).await;
    }
    tokio::time::sleep_until(start.at + Duration::from_secs_f64(end + AFTERMATH_S)).await;
    let tolerance = data["tolerance_s"].as_f64().unwrap();
    let mut found = String::new();
    for (name, hook) in &hooks {
        let wants: Vec<&Value> = list(&data, "expect").iter().filter(|w| w["hook"] == *name).collect();
        found += &faults(start, tolerance, &wants, &hook.arrived.lock().unwrap());
    }
    server.get("/-/healthy").await.expect(200);
    if found.is_empty() { found } else { format!("{}:\n{found}{}\n", data["name"], server.log_tail()) }
}

fn folder() -> String {
    match std::env::var("WATCHFIRE_CONFORMANCE") {
        Ok(folder) => format!("{folder}/alertmanager-acceptance"),
        Err(_) => concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/acceptance").to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn timed_scenarios() {
    let text = std::fs::read_to_string(format!("{}/timed_scenarios.json", folder())).unwrap();
    let mut data: Value = serde_json::from_str(&text).unwrap();
    let Value::Array(all) = data["scenarios"].take() else { panic!("no scenarios") };
    assert!(!all.is_empty());
    // All servers first, so that no start disturbs another one's clock.
    let mut starting = JoinSet::new();
    for scenario in all {
        drop(starting.spawn(prepare(scenario)));
    }
    let mut playing = JoinSet::new();
    starting.join_all().await.into_iter().for_each(|scenario| drop(playing.spawn(play(scenario))));
    let found: String = playing.join_all().await.concat();
    assert!(found.is_empty(), "{found}");
}
