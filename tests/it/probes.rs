//! Probes from the configuration to the alert: mistakes with their places, samples in the window, gauges, reload.
//! In: configurations and a fake health endpoint. Out: what queries, `/metrics` and alerts say.
//! Never: asks anything beyond loopback.
//! Start at [`asked_measured_alerted`].

use super::support::http_sink::{HttpSink, Reply};
use super::support::process::eventually;
use super::support::watchfire::{Watchfire, folder};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use watchfire::config::{self, Files};
use watchfire::probes::Target;

const BASE: &str = "route: {receiver: a}\nreceivers: [{name: a, log_configs: [{}]}]\n";
const SOON: Duration = Duration::from_secs(30);

/// `ok`, or every mistake as `line:column: text`; `probes` is the section's value, from 3:9 on.
#[track_caller]
fn check(probes: &str, expected: &str) {
    let got = match config::parse(&format!("{BASE}probes: {probes}\n"), "watchfire.yml", Files::Check) {
        Ok(_) => "ok".to_owned(),
        Err(mistakes) => {
            let line = |m: &config::Mistake| format!("{}:{}: {}", m.at.line, m.at.column, m.text);
            mistakes.0.iter().map(line).collect::<Vec<_>>().join("\n")
        }
    };
    assert_eq!(got, expected, "{probes}");
}

#[test]
fn sections_load() {
    for good in [
        "[]",
        "[{name: a, http: 'https://a.example.org/health'}]",
        "[{name: a, tcp: 'db:5432'}, {name: b, tcp: '[::1]:5432', interval: 1s}]",
        "[{name: a, http: 'http://a', expect_status: [200, 503], checks: [{name: c, path: a.b, expect: up}]}]",
        "[{name: a, http: 'http://a', checks: [{name: c, path: '$[0]', expect: [up, on]}, {name: d, path: 'x[1].y'}]}]",
        "[{name: a, tcp: 'a:1', labels: {service: shop, job: mine}, interval: 1m, timeout: 10s}]",
    ] {
        check(good, "ok");
    }
    let text = format!("{BASE}probes: [{{name: a, http: 'http://a/', interval: 2s}}, {{name: b, tcp: 'b:1'}}]\n");
    let probes = config::parse(&text, "watchfire.yml", Files::Check).unwrap().config.probes;
    assert_eq!(probes[0].target, Target::Http("http://a/".into()));
    // A time-out that was not written is never longer than the interval.
    assert_eq!((probes[0].timeout.as_secs(), probes[1].timeout.as_secs(), probes[1].interval.as_secs()), (2, 5, 15));
}

#[test]
fn mistakes_have_their_places() {
    for (probes, expected) in [
        ("{}", "3:9: probes must be a list, not a mapping"),
        ("[{http: 'http://a'}]", "3:10: missing name in probe"),
        ("[{name: a}]", "3:10: a probe needs exactly one of http or tcp"),
        ("[{name: a, http: 'http://a', tcp: 'a:1'}]", "3:10: a probe needs exactly one of http or tcp"),
        ("[{name: a, http: 'ftp://a'}]", "3:26: http: unsupported scheme for URL"),
        ("[{name: a, http: 'http://u:p@a'}]", "3:26: http: a URL with a user or a password is not supported"),
        ("[{name: a, tcp: a}]", r#"3:25: tcp must be host:port, not "a""#),
        ("[{name: a, tcp: 'a:0'}]", r#"3:25: tcp must be host:port, not "a:0""#),
        ("[{name: a, tcp: ':80'}]", r#"3:25: tcp must be host:port, not ":80""#),
        ("[{name: a, tcp: 'a:1'}, {name: a, tcp: 'b:1'}]", r#"3:40: probe name "a" is not unique"#),
        ("[{name: a, tcp: 'a:1', interval: 0s}]", "3:42: interval cannot be zero"),
        ("[{name: a, tcp: 'a:1', interval: 1s, timeout: 2s}]", "3:55: timeout is longer than interval"),
        (
            "[{name: a, tcp: 'a:1', expect_status: [200]}]",
            "3:47: expect_status needs an HTTP answer; this probe is tcp",
        ),
        (
            "[{name: a, http: 'http://a', expect_status: [20]}]",
            r#"3:54: expect_status must hold HTTP statuses from 100 to 599, not "20""#,
        ),
        ("[{name: a, http: 'http://a', checks: [{path: a}]}]", "3:47: missing name in check"),
        ("[{name: a, http: 'http://a', checks: [{name: c}]}]", "3:47: missing path in check"),
        (
            "[{name: a, http: 'http://a', checks: [{name: c, path: a..b}]}]",
            r#"3:63: path "a..b": a name is missing between dots"#,
        ),
        ("[{name: a, tcp: 'a:1', labels: {check: x}}]", r#"3:41: label name "check" cannot be set on a probe"#),
        ("[{name: a, tcp: 'a:1', retries: 3}]", "3:32: field retries not found in probes"),
    ] {
        check(probes, expected);
    }
}

const RULES: &str = "groups:
  - name: probes
    interval: 1s
    rules:
      - { alert: ProbeFailed, expr: probe_success == 0, labels: { severity: critical } }
";

fn configuration(address: &str, more: &str) -> String {
    format!(
        "{BASE}rule_files: [rules.yml]
probes:
  - name: shop
    http: http://{address}/health
    interval: 100ms
    labels: {{ service: shop }}
    checks: [{{ name: db, path: checks.db.status, expect: healthy }}, {{ name: ms, path: checks.db.ms }}]
{more}"
    )
}

/// `name{check} value` of every series that a probe has now.
async fn seen(watchfire: &Watchfire, query: &str) -> Vec<String> {
    let answer = watchfire.ask("/api/v1/query", &[("query", query)]).await.expect(200);
    let row =
        |row: &serde_json::Value| format!("{} {}", row["metric"]["probe"].as_str().unwrap_or("-"), row["value"][1]);
    let mut rows: Vec<String> = answer["data"]["result"].as_array().unwrap().iter().map(row).collect();
    rows.sort();
    rows
}

async fn until(watchfire: &Watchfire, query: &str, expected: &[&str]) {
    eventually(SOON, query, || async {
        let rows = seen(watchfire, query).await;
        if rows == expected { Ok(()) } else { Err(format!("{rows:?}\n{}", watchfire.log_tail())) }
    })
    .await;
}

async fn alerts(watchfire: &Watchfire) -> usize {
    watchfire.get("/api/v2/alerts").await.expect(200).as_array().unwrap().len()
}

#[tokio::test]
async fn asked_measured_alerted() {
    let healthy = Arc::new(AtomicBool::new(true));
    let script = healthy.clone();
    let endpoint = HttpSink::start(move |_, _| {
        let status = if script.load(Ordering::SeqCst) { "healthy" } else { "unhealthy" };
        Reply::json(&json!({ "checks": { "db": { "status": status, "ms": 2.5 } } }))
    })
    .await;
    let address = endpoint.address.to_string();
    let dir = folder(&configuration(&address, &format!("  - {{ name: port, tcp: \"{address}\", interval: 100ms }}\n")));
    std::fs::write(dir.path().join("rules.yml"), RULES).unwrap();
    let watchfire = Watchfire::start_in(dir).await;

    until(&watchfire, "probe_success", &["port \"1\"", "shop \"1\""]).await;
    until(&watchfire, r#"probe_check_success{check="db", service="shop", job="watchfire-probes"}"#, &["shop \"1\""])
        .await;
    until(&watchfire, r#"probe_check_value{check="ms"}"#, &["shop \"2.5\""]).await;
    until(&watchfire, "probe_http_status_code", &["shop \"200\""]).await;
    let metrics = watchfire.get("/metrics").await.text;
    for line in [
        "watchfire_probe_success{probe=\"shop\"} 1",
        "watchfire_probe_check_success{probe=\"shop\",check=\"db\"} 1",
        "watchfire_probe_check_value{probe=\"shop\",check=\"ms\"} 2.5",
        "watchfire_probe_duration_seconds{probe=\"port\"} ",
    ] {
        assert!(metrics.contains(line), "no {line} in\n{metrics}");
    }
    assert_eq!(alerts(&watchfire).await, 0);

    healthy.store(false, Ordering::SeqCst);
    until(&watchfire, "probe_success == 0", &["shop \"0\""]).await;
    eventually(SOON, "the alert fires", || async {
        let found = alerts(&watchfire).await;
        if found == 1 { Ok(()) } else { Err(format!("{found} alerts")) }
    })
    .await;

    // A probe that goes takes its series and its alert along; the other goes on.
    let text = configuration(&address, "")
        .replace("name: shop", "name: other")
        .replace("path: checks.db.status, expect: healthy", "path: checks.db.ms");
    std::fs::write(watchfire.dir.path().join("watchfire.yml"), text).unwrap();
    watchfire.post("/-/reload", &json!({})).await.expect(200);
    until(&watchfire, "probe_success", &["other \"1\""]).await;
    eventually(SOON, "the alert ends", || async {
        let found = alerts(&watchfire).await;
        if found == 0 { Ok(()) } else { Err(format!("{found} alerts")) }
    })
    .await;
    assert!(!watchfire.get("/metrics").await.text.contains("probe=\"shop\""));
}
