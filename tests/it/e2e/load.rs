//! How fast news travels, and what a storm does.
//! In: Watchfire alone, fed by hand. Out: latencies and counts, printed and held against the bars.
//! Never: measures the sender's own queue; the clock starts at the 2xx.
//! Start at [`a_sample_becomes_a_page_at_once`].

use super::process::{eventually, free_port};
use super::sinks::{HttpSink, MailSink};
use super::world::{prepare, reqwest_client, start_watchfire, wait_ready};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use watchfire::model::{Labels, Sample, Timestamp};
use watchfire::wire::remote_write::{Version, encode};

const RULES: &str = r"
groups:
  - name: latency
    interval: 15s
    rules:
      - alert: Hot
        expr: probe_heat > 90
        labels: { severity: critical }
";

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

fn page_limit_off(dir: &tempfile::TempDir) {
    let path = dir.path().join("watchfire.yml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text + "paging: { max_pages_per_minute: 0 }\n").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_becomes_a_page_at_once() {
    const ALERTS: usize = 200;
    let (http, http_port) = HttpSink::start().await;
    let (_mail, mail_port) = MailSink::start().await;
    let dir = prepare(RULES, http_port, mail_port);
    page_limit_off(&dir);
    let port = free_port();
    let watchfire = start_watchfire(dir.path(), port);
    let client = reqwest_client();
    wait_ready(&client, &format!("http://127.0.0.1:{port}/-/ready"), "Watchfire is ready").await;

    let mut accepted = BTreeMap::new();
    let mut beat = tokio::time::interval(Duration::from_millis(100));
    for n in 0..ALERTS {
        beat.tick().await;
        let service = format!("s{n}");
        let labels = Labels::from_pairs([("__name__", "probe_heat"), ("cluster", &service), ("service", &service)]);
        let body = encode(Version::V1, &[(labels, vec![Sample { t: Timestamp::from_millis(now_ms()), v: 99.0 }])]);
        let answer = client
            .post(format!("http://127.0.0.1:{port}/api/v1/write"))
            .header("Content-Encoding", "snappy")
            .header("Content-Type", "application/x-protobuf")
            .body(body)
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
        accepted.insert(service, Instant::now());
    }
    let mut worst = Duration::ZERO;
    for path in ["/announce", "/first"] {
        eventually(Duration::from_secs(20), "every alert is told", || async {
            let told = http.at(path).len();
            if told >= ALERTS { Ok(()) } else { Err(format!("{path}: {told} of {ALERTS}; {}", watchfire.log_tail())) }
        })
        .await;
        let mut latencies = Vec::new();
        for arrived in http.at(path) {
            let service = arrived.body["alerts"][0]["labels"]["service"].as_str().unwrap();
            latencies.push(arrived.at.saturating_duration_since(accepted[service]));
        }
        latencies.sort_unstable();
        let p99 = latencies[latencies.len() * 99 / 100];
        println!("sample's 2xx -> {path}: p50 {:?}, p99 {p99:?} over {ALERTS} alerts", latencies[latencies.len() / 2]);
        worst = worst.max(p99);
    }
    assert!(worst <= Duration::from_millis(50), "p99 {worst:?}, at most 50 ms");
}

fn peak_rss_mb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Alerts of many clusters, so that groups and incidents are many too.
fn storm_post(from: usize, count: usize) -> serde_json::Value {
    let alert = |n: usize| {
        json!({
            "labels": {
                "alertname": format!("Storm{}", n % 20), "cluster": format!("c{}", n % 7), "namespace": format!("ns{}", n % 50),
                "service": format!("svc{}", n % 400), "instance": format!("10.0.{}.{}:9100", n / 250, n % 250), "n": n.to_string(),
                "severity": if n.is_multiple_of(10) { "critical" } else { "warning" },
            },
            "annotations": { "summary": format!("storm alert {n}") },
        })
    };
    (from..from + count).map(alert).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_loses_nothing_and_pages_soon() {
    const ALERTS: usize = 100_000;
    const BATCH: usize = 250;
    let (http, http_port) = HttpSink::start().await;
    let (_mail, mail_port) = MailSink::start().await;
    let dir = prepare("groups: []\n", http_port, mail_port);
    let port = free_port();
    let watchfire = start_watchfire(dir.path(), port);
    let client = reqwest_client();
    wait_ready(&client, &format!("http://127.0.0.1:{port}/-/ready"), "Watchfire is ready").await;

    let start = Instant::now();
    let senders: Vec<_> = (0..4)
        .map(|sender| {
            let client = client.clone();
            tokio::spawn(async move {
                for batch in (sender..ALERTS / BATCH).step_by(4) {
                    let body = storm_post(batch * BATCH, BATCH);
                    loop {
                        let answer = client
                            .post(format!("http://127.0.0.1:{port}/api/v2/alerts"))
                            .json(&body)
                            .send()
                            .await
                            .unwrap();
                        match answer.status().as_u16() {
                            200 => break,
                            503 => tokio::time::sleep(Duration::from_millis(100)).await,
                            other => panic!("{other}: {}", answer.text().await.unwrap()),
                        }
                    }
                }
            })
        })
        .collect();
    let first_page = eventually(Duration::from_secs(30), "a critical incident pages", || async {
        let critical = |a: &&super::sinks::Arrived| a.body["incident"]["severity"] == "critical";
        http.at("/first").iter().find(critical).map(|a| a.at).ok_or_else(|| watchfire.log_tail())
    })
    .await;
    for sender in senders {
        sender.await.unwrap();
    }
    println!("{ALERTS} alerts taken in {:?}; first critical page after {:?}", start.elapsed(), first_page - start);
    assert!(
        first_page - start <= Duration::from_secs(5),
        "the first critical page came after {:?}",
        first_page - start
    );

    let listed: serde_json::Value =
        client.get(format!("http://127.0.0.1:{port}/api/v2/alerts")).send().await.unwrap().json().await.unwrap();
    let mut seen: Vec<usize> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|alert| alert["labels"]["n"].as_str().unwrap().parse().unwrap())
        .collect();
    seen.sort_unstable();
    assert!(seen.iter().copied().eq(0..ALERTS), "{} of {ALERTS} alerts are there", seen.len());
    let rss = peak_rss_mb(watchfire.id());
    println!("peak RSS {rss} MB");
    assert!(rss <= 1024, "peak RSS {rss} MB, at most 1024");
    let pages = http.at("/first").len();
    let minutes = start.elapsed().as_secs() / 60 + 1;
    assert!(pages as u64 <= 10 * minutes, "{pages} pages to one contact in {minutes} min, at most 10 a minute");
}
