//! What the server says of its own parts, on a running one: each trouble is named by its part, and goes when it is over.
//! In: too many series, a rule that fails, a destination that is away. Out: `/api/v1/status` and the line on every page.
//! Never: looks into the process.
//! Start at [`troubled_parts_say_so`].

use crate::support::process::eventually;
use crate::support::watchfire::{Watchfire, folder};
use serde_json::{Value, json};
use std::time::Duration;
use watchfire::clock::{Clock, SystemClock};
use watchfire::model::{Labels, Sample};
use watchfire::wire::remote_write::{Version, encode};

const CONFIG: &str = "\
rule_files: [rules.yml]
evaluation: { interval: 1s }
ingest: { limits: { series: 2 } }
route: { receiver: away, group_by: [alertname], group_wait: 0s }
receivers: [{ name: away, webhook_configs: [{ url: 'http://127.0.0.1:1/' }] }]
";
const RULES: &str =
    "groups: [{name: g, rules: [{record: twice, expr: 'label_replace(x, \"i\", \"same\", \"\", \"\")'}]}]\n";

async fn part(server: &Watchfire, name: &str) -> Value {
    let answer = server.get("/api/v1/status").await.expect(200);
    let parts = answer["data"]["parts"].as_array().unwrap().clone();
    parts.into_iter().find(|p| p["part"] == name).unwrap()
}

/// The part comes to this status and says these words.
async fn comes_to(server: &Watchfire, name: &str, status: &str, words: &str) {
    eventually(Duration::from_secs(60), name, || async {
        let part = part(server, name).await;
        let said = part["status"] == status && part["text"].as_str().unwrap().contains(words);
        if said { Ok(()) } else { Err(part.to_string()) }
    })
    .await;
}

async fn write(server: &Watchfire, names: &[&str]) -> u16 {
    write_ahead(server, names, Duration::ZERO).await
}

/// The same by a sender whose clock is ahead.
async fn write_ahead(server: &Watchfire, names: &[&str], ahead: Duration) -> u16 {
    let now = SystemClock.now() + ahead;
    let series: Vec<_> = names
        .iter()
        .map(|i| (Labels::from_pairs([("__name__", "x"), ("i", i)]), vec![Sample { t: now, v: 1.0 }]))
        .collect();
    let request = server
        .request(reqwest::Method::POST, "/api/v1/write")
        .header("Content-Type", "application/x-protobuf")
        .header("Content-Encoding", "snappy")
        .body(encode(Version::V1, &series));
    server.send(request).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn troubled_parts_say_so() {
    let dir = folder(CONFIG);
    std::fs::write(dir.path().join("rules.yml"), RULES).unwrap();
    let server = Watchfire::start_in(dir).await;
    for name in ["config", "store", "wal", "series", "rules", "inbox", "deliver"] {
        assert_eq!(part(&server, name).await["status"], "ok", "{name}");
    }
    assert_eq!(write(&server, &["a", "b"]).await, 204);
    comes_to(&server, "series", "degraded", "2 of 2 series: nearly full").await;
    assert_eq!(write(&server, &["c"]).await, 400);
    comes_to(&server, "series", "degraded", "1 samples of new series were refused").await;
    comes_to(&server, "rules", "degraded", "1 rules fail: twice").await;

    let alerts: Vec<Value> = (0..8).map(|n| json!({"labels": {"alertname": format!("A{n}")}})).collect();
    server.post("/api/v2/alerts", &Value::Array(alerts)).await.expect(200);
    comes_to(&server, "deliver", "degraded", "not reachable: away webhook/0").await;
    let status = server.get("/api/v1/status").await.expect(200);
    assert_eq!(status["data"]["status"], "degraded");
    assert_eq!(part(&server, "wal").await["status"], "ok");

    let page = server.get("/rules").await;
    assert!(page.text.contains("rules degraded: 1 rules fail: twice"), "{}", page.text);

    // The rule is mended: its part is well again, the others are not.
    std::fs::write(
        server.dir.path().join("rules.yml"),
        RULES.replace("label_replace(x, \"i\", \"same\", \"\", \"\")", "x"),
    )
    .unwrap();
    server.send(server.request(reqwest::Method::POST, "/-/reload")).await.expect(200);
    comes_to(&server, "rules", "ok", "").await;
    assert_eq!(part(&server, "deliver").await["status"], "degraded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_whose_clock_is_off_is_named() {
    let server = Watchfire::start("ingest: { future_limit: 5m }\n").await;
    assert_eq!(write_ahead(&server, &["a"], Duration::from_secs(5)).await, 204);
    assert_eq!(part(&server, "series").await["status"], "ok");
    assert_eq!(write_ahead(&server, &["a"], Duration::from_secs(240)).await, 204);
    comes_to(&server, "series", "degraded", "samples are off our clock, of 127.0.0.1 (2").await;
    let metrics = server.get("/metrics").await.text;
    let offset = "watchfire_ingest_sender_clock_offset_seconds{sender=\"127.0.0.1\"} 2";
    assert!(metrics.contains(offset), "{metrics}");
    assert_eq!(write_ahead(&server, &["a"], Duration::from_secs(400)).await, 400);
    assert!(server.log_tail().contains("a sender's samples are ahead of our clock"), "{}", server.log_tail());
}
