//! Configuration at its boundary: text in, a configuration or every mistake with its place out.
//! In: our own table below, the example of the documentation and, when `WATCHFIRE_CONFORMANCE` names them, the public cases.
//! Never: opens the files that a public case names (they are not on this machine).
//! Start at [`check`].

use std::path::Path;
use watchfire::config::{self, Files};

/// The promise to users: this works as it stands.
const CONTRACT: &str = r#"
rule_files: [rules/*.yml]
evaluation: { interval: 1s }          # default 15s; groups may set their own
route:                                 # Alertmanager's tree, plus escalation_policy
  receiver: ops
  group_by: [alertname, cluster]
  group_wait: 0s
  group_interval: 1s
  repeat_interval: 4h
  escalation_policy: default
receivers:                             # Alertmanager's receivers
  - name: ops
    webhook_configs: [{ url: "http://127.0.0.1:19000/announce", send_resolved: true }]
  - name: first
    webhook_configs: [{ url: "http://127.0.0.1:19000/first" }]
  - name: second
    email_configs: [{ to: second@example.org, from: watchfire@example.org, smarthost: "127.0.0.1:19025", require_tls: false }]
escalation_policies:
  - name: default
    repeat: 1                          # rounds after the first
    steps:
      - { after: 0s, notify: [{ receiver: first }] }
      - { after: 5s, notify: [{ receiver: second }] }
correlation:
  rules:
    - { name: service, match: ['service=~".+"'], by: [cluster, service], window: 10m }
inhibit_rules: []
storage: { path: ./data }
"#;

/// A small configuration that is right; tables add to it.
const BASE: &str = "route: {receiver: a}\nreceivers: [{name: a, log_configs: [{}]}]\n";

/// `ok`, or every mistake as `line:column: text`, one a line.
fn outcome(text: &str) -> String {
    match config::parse(text, "", Files::Ignore) {
        Ok(_) => "ok".to_owned(),
        Err(mistakes) => {
            let lines: Vec<String> =
                mistakes.0.iter().map(|m| format!("{}:{}: {}", m.at.line, m.at.column, m.text)).collect();
            lines.join("\n")
        }
    }
}

#[track_caller]
fn check(text: &str, expect: &str) {
    assert_eq!(outcome(text), expect, "\n{text}");
}

#[test]
fn the_contract_loads() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("watchfire.yml");
    std::fs::write(&path, CONTRACT).unwrap();
    let loaded = config::load(Some(&path)).unwrap();
    let config = loaded.config;
    assert_eq!(config.evaluation.interval.as_secs(), 1);
    assert_eq!(config.storage.path, dir.path().join("./data"));
    let names: Vec<&str> = config.receivers.iter().map(|r| &*r.name).collect();
    assert_eq!(names, ["ops", "first", "second"]);
    let policy = &config.policies[0];
    assert_eq!((policy.repeat, policy.repeat_after.as_secs(), policy.ack_timeout), (1, 300, None));
    assert_eq!(policy.steps.iter().map(|s| s.after.as_secs()).collect::<Vec<_>>(), [0, 5]);
    assert_eq!(config.correlation.rules[0].matchers[0].to_string(), r#"service=~".+""#);
    assert_eq!(config.correlation.rules[0].window.as_secs(), 600);
    assert_eq!(config.web.listen_address.to_string(), config::LISTEN_ADDRESS);
    assert_eq!(config.paging.max_pages_per_minute, 10);
}

#[test]
fn the_defaults_load() {
    let config = config::load(None).unwrap().config;
    assert_eq!(config.receivers[0].integrations[0].kind(), "log");
    assert_eq!(config.policies[0].name.as_ref(), "default");
    assert_eq!(config.storage.path, Path::new("./data"));
    assert!(config.check_exposure(false).is_ok());
    check("", "ok");
    check("storage: {path: x}\n", "ok");
    check(BASE, "ok");
}
