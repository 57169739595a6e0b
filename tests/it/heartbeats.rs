//! Heartbeats, from a real process: beats by name, heartbeat alerts, and the incident of one that is not heard.
//! In: requests. Out: status codes, alerts and incidents.
//! Never: waits longer than the silence that it configures.
//! Start at [`silence_opens_an_incident_and_a_beat_ends_it`].

use crate::support::process::eventually;
use crate::support::watchfire::Watchfire;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// A loaded machine is given time.
const PATIENCE: Duration = Duration::from_secs(60);

const CONFIG: &str = "
route: { receiver: ops, group_by: [alertname], group_wait: 1s, escalation_policy: day }
receivers: [{ name: ops, log_configs: [{}] }]
escalation_policies:
  - { name: day, steps: [{ notify: [{ receiver: ops }] }] }
  - { name: night, steps: [{ notify: [{ receiver: ops }] }] }
heartbeats:
  - { name: backup, interval: 1s, grace: 1s, severity: high, escalation_policy: night }
  - { name: other, match: ['alertname=\"Watchdog\"'], interval: 1h, grace: 1h }
";

async fn incidents(server: &Watchfire) -> Vec<Value> {
    let list = server.get("/api/v1/incidents").await.expect(200);
    list["data"]["incidents"].as_array().unwrap().clone()
}

#[tokio::test]
async fn silence_opens_an_incident_and_a_beat_ends_it() {
    let server = Watchfire::start(CONFIG).await;
    let posted = server.post("/api/v1/heartbeat/nobody", &json!({})).await;
    let said = posted.expect(404).to_string();
    assert!(said.contains("known: backup, other") && said.contains("heartbeats:"), "{said}");
    // A heartbeat alert is held and announced, and nobody is asked.
    let watchdog = json!([{ "labels": { "alertname": "Watchdog", "watchfire_role": "heartbeat" } }]);
    assert_eq!(server.post("/api/v2/alerts", &watchdog).await.status, 200);
    let silent = eventually(PATIENCE, "the silence has an incident", || async {
        let found = incidents(&server).await;
        found.into_iter().next().ok_or_else(|| "none".to_owned())
    })
    .await;
    let all = incidents(&server).await;
    assert_eq!(all.len(), 1, "the watchdog has none: {all:?}");
    assert_eq!((&silent["severity"], &silent["escalation"]["policy"]), (&json!("high"), &json!("night")), "{silent}");
    let alerts = server.get("/api/v2/alerts").await.expect(200);
    let names: Vec<&str> =
        alerts.as_array().unwrap().iter().filter_map(|a| a["labels"]["alertname"].as_str()).collect();
    assert!(names.contains(&"Watchdog") && names.contains(&"SourceSilent"), "{names:?}");
    eventually(PATIENCE, "a beat ends it", || async {
        let beat = server.send(server.request(Method::POST, "/api/v1/heartbeat/backup")).await;
        assert_eq!(beat.status, 204);
        let found = incidents(&server).await;
        if found[0]["status"] == "resolved" { Ok(()) } else { Err(found[0].to_string()) }
    })
    .await;
}
