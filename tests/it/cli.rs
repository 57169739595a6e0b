//! The command line against a running server, and replay on what that server left behind.
//! In: arguments. Out: exit codes and what is printed.
//! Never: calls a command's code directly; the program is run.
//! Start at [`every_command_answers_a_good_and_a_bad_call`].

use crate::support::process::eventually;
use crate::support::watchfire::{Watchfire, folder, program};
use std::path::Path;
use std::time::Duration;

const CONFIG: &str = "\
route: { receiver: ops, group_by: [alertname], group_wait: 0s, group_interval: 1s, escalation_policy: default }
receivers:
  - { name: ops, log_configs: [{}] }
  - { name: first, log_configs: [{}] }
  - { name: second, log_configs: [{}] }
users: [{ name: ana, receivers: [first] }]
schedules:
  - { name: primary, time_zone: UTC, rotation: weekly, hand_over: '09:00', start: 2026-01-05, users: [ana] }
escalation_policies:
  - { name: default, steps: [{ after: 0s, notify: [{ receiver: first }] }, { after: 1h, notify: [{ receiver: second }] }] }
";

struct Said {
    code: Option<i32>,
    text: String,
}

fn run(dir: &Path, args: &[&str]) -> Said {
    let out = std::process::Command::new(program()).args(args).current_dir(dir).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    Said { code: out.status.code(), text }
}

#[track_caller]
fn check(dir: &Path, args: &[&str], code: i32, says: &str) {
    let said = run(dir, args);
    assert_eq!(said.code, Some(code), "{args:?}\n{}", said.text);
    assert!(said.text.contains(says), "{args:?} does not say {says:?}:\n{}", said.text);
}

/// The message about this incident to this receiver is delivered.
async fn delivered(server: &Watchfire, id: &str, receiver: &str, kind: &str) {
    eventually(Duration::from_secs(30), "the message is delivered", || async {
        let incident = server.get(&format!("/api/v1/incidents/{id}")).await.json()["data"]["incident"].clone();
        let all = incident["notifications"].as_array().cloned().unwrap_or_default();
        let is_it = |n: &&serde_json::Value| n["receiver"] == receiver && n["kind"] == kind && n["state"] == "sent";
        if all.iter().any(|n| is_it(&n)) { Ok(()) } else { Err(incident.to_string()) }
    })
    .await;
}

#[test]
fn every_command_has_help() {
    let dir = tempfile::tempdir().unwrap();
    let top = run(dir.path(), &["--help"]);
    assert_eq!(top.code, Some(0));
    let commands: Vec<String> = top
        .text
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        // Deeper lines are the rest of a long description.
        .filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')))
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect();
    for wanted in [
        "serve",
        "demo",
        "check",
        "test",
        "replay",
        "repair",
        "simulate",
        "alert",
        "silence",
        "incident",
        "notifications",
        "oncall",
    ] {
        assert!(commands.iter().any(|c| c == wanted), "{wanted} is not in {commands:?}");
    }
    for command in &commands {
        check(dir.path(), &["help", command], 0, "Usage: watchfire");
        check(dir.path(), &[command, "--no-such-flag"], 2, "--no-such-flag");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_answers_a_good_and_a_bad_call() {
    let server = Watchfire::start(CONFIG).await;
    let dir = server.dir.path();
    let url = server.base.as_str();
    let ask = |words: &[&str], code: i32, says: &str| {
        let args: Vec<&str> = words.iter().copied().chain(["--url", url]).collect();
        check(dir, &args, code, says);
    };
    ask(&["alert", "query"], 0, "no alerts");
    ask(&["incident", "list"], 0, "no open incidents");
    ask(&["silence", "query"], 0, "no silences");
    ask(
        &["alert", "add", "alertname=Down", "service=web", "severity=critical", "--annotation", "summary=it is down"],
        0,
        "",
    );
    ask(&["alert", "add", "alertname"], 1, "write name=value");
    ask(&["alert", "add", "alertname=A", "--end", "soon"], 2, "RFC 3339");
    ask(
        &["alert", "add", "a=b", "--start", "2026-01-02T00:00:00Z", "--end", "2026-01-01T00:00:00Z"],
        1,
        "start time must be before",
    );
    ask(&["alert", "query", "alertname=Down"], 0, "it is down");
    ask(&["alert", "query", "alertname=Other"], 0, "no alerts");
    ask(&["alert", "query", "=x"], 1, "400");
    delivered(&server, "INC-1", "first", "page").await;
    ask(&["incident", "list"], 0, "INC-1");
    ask(&["incident", "list", "--severity", "warning"], 0, "no open incidents");
    ask(&["incident", "list", "--severity", "loud"], 1, "critical");
    ask(&["incident", "list", "--status", "asleep"], 1, "triggered");
    ask(&["incident", "show", "1"], 0, "paged first");
    ask(&["incident", "show", "INC-99"], 1, "404");
    ask(&["incident", "note", "INC-1", "looking", "--by", "ana"], 0, "INC-1");
    ask(&["notifications"], 0, "INC-1/r1/s1/first/log0");
    ask(&["notifications", "--state", "failed"], 0, "no notifications");
    ask(&["notifications", "--state", "lost"], 1, "write one of pending");
    ask(&["notifications", "--incident", "1", "--receiver", "first", "-o", "json"], 0, "\"integration\": \"log/0\"");
    ask(&["notifications", "--incident", "one"], 1, "write INC-1042");
    ask(&["notifications", "resend", "INC-1/r1/s1/first/log0", "--by", "ana"], 0, "INC-1/r1/s1/first/log0/resend1 is");
    ask(&["notifications", "resend", "INC-1/no", "--by", "ana"], 1, "404");
    ask(&["notifications", "resend", "../x", "--by", "ana"], 1, "is no key");
    ask(&["incident", "ack", "INC-1", "--by", "ana"], 0, "acknowledged");
    ask(&["incident", "ack", "INC-1", "--by", "ben"], 1, "already acknowledged by ana");
    ask(&["incident", "unack", "INC-1", "--by", "ana"], 0, "triggered");
    ask(&["incident", "unack", "INC-1", "--by", "ana"], 1, "not acknowledged");
    ask(&["incident", "snooze", "INC-1", "--by", "ana", "--for", "5m"], 0, "INC-1");
    ask(&["incident", "snooze", "INC-1", "--by", "ana", "--for", "soon"], 2, "write a duration");
    ask(&["incident", "reassign", "INC-1", "--by", "ana", "--to", "user:ana"], 0, "INC-1");
    ask(&["incident", "reassign", "INC-1", "--by", "ana", "--to", "user:nobody"], 1, "nobody");
    ask(&["incident", "escalate", "INC-1", "--by", "ana"], 0, "INC-1");
    ask(&["incident", "merge", "INC-1", "--by", "ana", "--from", "INC-7"], 1, "INC-7");
    ask(&["incident", "split", "INC-1", "--by", "ana", "--alerts", "x"], 1, "x");
    ask(&["incident", "show", "INC-1"], 0, "Escalations\nPOLICY   STATE");
    ask(&["incident", "ack", "INC-1", "--by", "ana"], 0, "acknowledged");
    ask(&["incident", "show", "INC-1"], 0, "covers:        Down of web");
    ask(&["incident", "show", "INC-1"], 0, "default  stopped");
    ask(&["incident", "detach", "INC-1", "--by", "ana", "--alert", "x"], 1, "x");
    ask(&["incident", "resolve", "INC-1", "--by", "ana", "--hold", "1h"], 0, "1 alert still fires; what fires at 20");
    ask(&["incident", "resolve", "INC-1", "--by", "ana"], 1, "already resolved by ana: reopen it first");
    ask(&["incident", "show", "INC-1"], 0, "still firing:  1 alert still fires; what fires at 20");
    ask(&["incident", "reopen", "INC-1", "--by", "ana"], 0, "INC-1 is triggered");
    ask(&["incident", "reopen", "INC-1", "--by", "ana"], 1, "is not resolved");
    ask(
        &["incident", "resolve", "1", "--by", "ana", "--hold", "0"],
        0,
        "1 alert still fires; they open no new incident",
    );
    ask(&["silence", "add", "alertname=Down", "-c", "swap", "-a", "ana"], 0, "-");
    ask(&["silence", "add", "alertname=~(", "-c", "swap", "-a", "ana"], 1, "error:");
    ask(&["silence", "query"], 0, "swap");
    ask(&["silence", "expire", "no-such-id"], 1, "uuid");
    ask(&["silence", "expire", "00000000-0000-0000-0000-000000000000"], 1, "404");
    ask(&["oncall"], 0, "primary");
    ask(&["oncall", "-o", "json"], 0, "\"user\": \"ana\"");
    ask(&["probe"], 0, "");
    for command in [
        &["alert", "query"][..],
        &["silence", "query"],
        &["incident", "list"],
        &["notifications"],
        &["oncall"],
        &["probe"],
    ] {
        let args: Vec<&str> = command.iter().copied().chain(["--url", "http://127.0.0.1:1"]).collect();
        check(dir, &args, 1, "refused");
        let args: Vec<&str> = command.iter().copied().chain(["--url", "ftp://x"]).collect();
        check(dir, &args, 1, "write http:// or https://");
    }
    // The folder is in use: nobody may repair or replay it now.
    check(dir, &["replay", "--config.file", "watchfire.yml"], 1, "in use by another watchfire process");
}

/// A page, an acknowledgement and an end, played again: the same people hear the same; other receivers are named.
#[tokio::test(flavor = "multi_thread")]
async fn replay_says_what_another_configuration_would_have_changed() {
    let mut server = Watchfire::start(CONFIG).await;
    let url = server.base.clone();
    let ask = |server: &Watchfire, words: &[&str]| {
        let args: Vec<&str> = words.iter().copied().chain(["--url", &url]).collect();
        check(server.dir.path(), &args, 0, "");
    };
    ask(&server, &["silence", "add", "service=quiet", "-c", "test", "-a", "ana"]);
    ask(&server, &["alert", "add", "alertname=Down", "service=quiet", "cluster=b"]);
    ask(&server, &["alert", "add", "alertname=Down", "service=web", "cluster=a", "severity=critical"]);
    delivered(&server, "INC-1", "first", "page").await;
    ask(&server, &["incident", "ack", "INC-1", "--by", "ana"]);
    let now = watchfire::clock::Clock::now(&watchfire::clock::SystemClock).to_rfc3339();
    ask(&server, &["alert", "add", "alertname=Down", "service=web", "cluster=a", "severity=critical", "--end", &now]);
    delivered(&server, "INC-1", "first", "update").await;
    assert_eq!(server.terminate(), Some(0));

    let dir = server.dir.path();
    check(dir, &["replay", "--config.file", "watchfire.yml"], 0, "no difference: the same people hear the same");
    check(dir, &["replay", "--config.file", "watchfire.yml"], 0, "2 alerts and 1 answers of people replayed");
    // The second step comes before the acknowledgement did: its receiver is told as well, and hears of the end.
    std::fs::write(dir.join("other.yml"), CONFIG.replace("after: 1h", "after: 0s")).unwrap();
    let said = run(dir, &["replay", "--config.file", "other.yml", "-o", "json"]);
    assert_eq!(said.code, Some(0), "{}", said.text);
    let answer: serde_json::Value = serde_json::from_str(&said.text).unwrap();
    let new = answer["only_replayed"].as_array().unwrap();
    let told: Vec<(&str, &str)> =
        new.iter().map(|t| (t["receiver"].as_str().unwrap(), t["what"].as_str().unwrap())).collect();
    assert_eq!(told, [("second", "page r1 s2"), ("second", "end")], "{answer}");
    assert_eq!(answer["only_then"], serde_json::json!([]));
    assert_eq!((answer["answers"].as_u64(), answer["answers_without_incident"].as_u64()), (Some(1), Some(0)));

    check(dir, &["replay", "--config.file", "watchfire.yml", "--from", "2999-01-01T00:00:00Z"], 0, "0 alerts");
    check(dir, &["replay", "--config.file", "watchfire.yml", "--from", "yesterday"], 2, "RFC 3339");
    check(dir, &["replay", "--config.file", "nowhere.yml"], 1, "cannot read the configuration");
    check(
        dir,
        &["replay", "--config.file", "watchfire.yml", "--storage.path", "nowhere"],
        1,
        "no stored history in nowhere",
    );
    assert!(!dir.join("nowhere").exists(), "replay makes no folder");
    check(dir, &["repair"], 0, "0 segments mended");
}

#[test]
fn rules_are_checked_and_tested_in_promtools_words() {
    let dir = folder("");
    let put = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    put("good.yml", "groups: [{name: g, rules: [{alert: Down, expr: up == 0, for: 5m}]}]\n");
    put(
        "odd.yml",
        "groups:\n- name: g\n  rules:\n  - {alert: Leak, expr: 'rate(process_resident_memory_bytes[5m]) > 0'}\n",
    );
    put("bad.yml", "groups: [{name: g, rules: [{alert: Down, expr: up ==}]}]\n");
    let test = "rule_files: [good.yml]\ntests:\n- name: down\n  interval: 1m\n  input_series: [{series: 'up{job=\"x\"}', values: '0x9'}]\n  \
                alert_rule_test: [{eval_time: 6m, alertname: Down, exp_alerts: [{exp_labels: {job: x}}]}]\n";
    put("pass.test.yml", test);
    put("fail.test.yml", &test.replace("job: x", "job: y"));
    put("order.test.yml", "group_eval_order: [a, a]\n");
    let check = |args: &[&str], code: i32, says: &str| check(dir.path(), args, code, says);
    check(&["check", "rules", "good.yml"], 0, "SUCCESS: 1 rules found");
    check(&["check", "rules", "good.yml", "bad.yml"], 1, "bad.yml:1:");
    check(&["check", "rules", "odd.yml"], 0, "that of a gauge");
    check(&["check", "rules", "--lint-fatal", "odd.yml"], 3, "no `for`");
    check(&["check", "rules", "--lint-fatal", "--lint", "none", "odd.yml"], 0, "SUCCESS");
    put("twice.yml", "groups: [{name: g, rules: [{record: a, expr: b}, {record: a, expr: c}]}]\n");
    check(&["check", "rules", "--lint-fatal", "--lint=duplicate-rules", "odd.yml"], 0, "SUCCESS");
    check(&["check", "rules", "--lint-fatal", "--lint=duplicate-rules", "twice.yml"], 3, "same name and labels");
    put("more.yml", "groups: [{name: g, owner: x, rules: [{alert: Down, expr: up == 0, for: 5m, team: y}]}]\n");
    check(&["check", "rules", "more.yml"], 1, "more.yml:1:20: field owner not found");
    check(&["check", "rules", "--ignore-unknown-fields", "more.yml"], 0, "SUCCESS: 1 rules found");
    put("new.yml", "groups: [{name: g, rules: [{record: a, expr: 'info(b)'}]}]\n");
    check(&["check", "rules", "new.yml"], 1, "function \"info\" is not enabled");
    check(&["check", "rules", "--enable-feature=promql-experimental-functions", "new.yml"], 0, "SUCCESS");
    check(&["check", "rules", "--enable-feature=promql-duration-expr", "new.yml"], 1, "\"info\" is not enabled");
    check(&["check", "rules", "--enable-feature=nonsense", "new.yml"], 2, "promql-extended-range-selectors");
    check(&["check", "rules", "pass.test.yml"], 1, "field rule_files not found");
    check(&["check", "pass.test.yml"], 1, "run it with watchfire test");
    check(&["check", "config", "good.yml"], 1, "field groups not found");
    check(&["test", "rules", "pass.test.yml"], 0, "SUCCESS");
    check(&["test", "rules", "pass.test.yml", "fail.test.yml"], 1, "alertname: Down, time: 6m,");
    check(&["test", "fail.test.yml", "--run", "up"], 0, "SUCCESS");
    check(&["test", "fail.test.yml", "--diff"], 1, "- Labels:{alertname=\"Down\", job=\"y\"}");
    check(&["test", "fail.test.yml", "--run", "("], 2, "--run");
    put("more.test.yml", &test.replace("good.yml", "more.yml"));
    check(&["test", "rules", "more.test.yml"], 1, "field owner not found");
    check(&["test", "rules", "--ignore-unknown-fields", "more.test.yml"], 0, "SUCCESS");
    put(
        "new.test.yml",
        "tests: [{promql_expr_test: [{expr: 'min_of(1, 2)', eval_time: 0, exp_samples: [{value: 1}]}]}]\n",
    );
    check(&["test", "rules", "new.test.yml"], 1, "function \"min_of\" is not enabled");
    check(&["test", "rules", "--enable-feature", "promql-experimental-functions", "new.test.yml"], 0, "SUCCESS");
    check(&["test", "rules", "--debug", "pass.test.yml"], 0, "DEBUG: Starting test down");
    check(&["test", "rules", "--debug", "pass.test.yml"], 0, "{__name__=\"up\", job=\"x\"} =>\n0 @[0]\n0 @[60000]");
    check(&["test", "rules", "--debug", "new.test.yml"], 1, "DEBUG: Test unnamed#0 finished, took");
    check(&["test", "rules", "--junit=out.xml", "pass.test.yml", "fail.test.yml", "order.test.yml"], 1, "FAILED");
    let junit = std::fs::read_to_string(dir.path().join("out.xml")).unwrap();
    for part in [
        "<testsuite name=\"pass.test.yml\" tests=\"1\" failures=\"0\" errors=\"0\"",
        "<testcase name=\"down\"><failure>    name: down,&#xA;    alertname: Down, time: 6m,",
        "<testcase name=\"unknown\"><error>order.test.yml: group name repeated",
    ] {
        assert!(junit.contains(part), "{junit}");
    }
    check(&["test", "rules", "--junit=no/such/out.xml", "pass.test.yml"], 1, "cannot write no/such/out.xml");
    check(&["test", "rules", "order.test.yml"], 1, "group name repeated in evaluation order: a");
    check(&["test", "rules", "nowhere.yml"], 1, "cannot read nowhere.yml");
}

#[test]
fn rules_are_read_from_standard_input() {
    let dir = folder("");
    for (text, code, says) in [
        ("groups: [{name: g, rules: [{alert: Down, expr: up == 0, for: 5m}]}]\n", 0, "SUCCESS: 1 rules found"),
        ("groups: [{name: g, rules: [{alert: Down, expr: up ==}]}]\n", 1, "standard input:1:"),
    ] {
        let input = dir.path().join("input");
        std::fs::write(&input, text).unwrap();
        let out = std::process::Command::new(program())
            .args(["check", "rules"])
            .stdin(std::fs::File::open(&input).unwrap())
            .current_dir(dir.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(code), "{said}");
        assert!(said.contains("Checking standard input") && said.contains(says), "{said}");
    }
}
