//! Configuration at its boundary: text in, a configuration or every mistake with its place out.
//! In: our own table below, the example of the documentation and, when `WATCHFIRE_CONFORMANCE` names them, the public cases.
//! Never: opens the files that a public case names (they are not on this machine).
//! Start at [`check`].

use crate::support::contract;
use crate::world::{DoorBook, labels};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use watchfire::config::{self, Files};
use watchfire::engine::{Engine, Input};
use watchfire::model::{IncidentId, Timestamp};

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
    std::fs::write(&path, contract::CONFIG).unwrap();
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

#[test]
fn good_texts_load() {
    for more in [
        "global: {resolve_timeout: 1h30m, smtp_auth_password: '', slack_api_url: 'https://hooks.example.org/x'}",
        "time_intervals: [{name: n, time_intervals: [{weekdays: ['monday:friday'], times: [{start_time: '09:00', end_time: '17:00'}], location: Europe/Berlin}]}]",
        "inhibit_rules: [{name: n, source_match: {a: b}, target_match_re: {a: 'c.*'}, target_matchers: [d!=e], equal: [f]}]",
        "users: [{name: ana, receivers: [a]}]\nschedules: [{name: s, time_zone: Europe/Berlin, rotation: daily, hand_over: '08:30', start: 2026-01-05, users: [ana]}]\n\
         escalation_policies: [{name: p, repeat_after: 10m, ack_timeout: 1h, steps: [{notify: [{schedule: s}, {user: ana}]}], fallback: [{receiver: a}]}]",
        "correlation: {gap: 1m, max_age: 5m, cluster_labels: [k8s_cluster], environment_labels: [stage]}",
        "web: {listen_address: ':9096', external_url: 'https://w.example.org/', max_connections: 10}",
        "ingest: {window: 5m, limits: {series: 10, body_bytes: 1MiB}, drop_labels: []}\npaging: {max_pages_per_minute: 0}",
        "external_labels: {region: eu}\nstorage: {retention: 30d}\nevaluation: {interval: 30s, query_offset: 10s}",
        "tracing: {endpoint: 'localhost:4317'}\ntemplates: ['/etc/t/*.tmpl']",
        "x: &x 1\n".trim_start_matches("x: &x 1\n"),
    ] {
        check(&format!("{BASE}{more}\n"), "ok");
    }
}

/// Each text is added to a configuration that is right, from line 3 on.
#[test]
fn every_mistake_has_its_place() {
    for (more, expect) in [
        ("nonsense: 1", "3:1: field nonsense not found in the configuration"),
        (
            "global: {resolve_timeout: soon}",
            r#"3:27: resolve_timeout must be a duration such as 30s, 5m or 1h30m, not "soon""#,
        ),
        ("evaluation: {interval: 0s}", "3:24: interval cannot be zero"),
        (
            "paging: {max_pages_per_minute: many}",
            r#"3:32: max_pages_per_minute must be a whole number from 0 to 100000, not "many""#,
        ),
        ("inhibit_rules: [{source_matchers: ['a=~(']}]", "3:36: source_matchers: error parsing regexp: "),
        ("inhibit_rules: {}", "3:16: inhibit_rules must be a list, not a mapping"),
        ("users: [{name: u, receivers: [b]}]", r#"3:31: undefined receiver "b" used for escalation"#),
        (
            "schedules: [{name: s, users: [u], time_zone: Mars}]",
            "3:31: undefined user \"u\" used for escalation\n3:46: unknown time zone \"Mars\"",
        ),
        (
            "escalation_policies: [{name: p, steps: [{notify: [{schedule: s}]}]}]",
            r#"3:62: undefined schedule "s" used for escalation"#,
        ),
        ("escalation_policies: [{name: p}]", "3:23: escalation policy \"p\" has no steps"),
        ("escalation_policies: [{name: p, steps: [{after: 1m}]}]", "3:41: escalation step notifies nobody"),
        (
            "escalation_policies: [{name: p, steps: [{notify: [{user: a, receiver: a}]}]}]",
            "3:51: notify needs exactly one of user, schedule or receiver",
        ),
        (
            "time_intervals: [{name: n, time_intervals: [{weekdays: [frey], location: Mars}]}]",
            "3:57: frey is not a valid weekday\n3:74: unknown time zone Mars",
        ),
        ("correlation: {rules: [{name: r}]}", "3:23: correlation rule \"r\" has no match"),
        ("web: {auth: {bearer_tokens: [short]}}", "3:30: a token in bearer_tokens is shorter than 16 characters"),
        ("web: {auth: {basic_auth_users: [{username: a}]}}", "3:33: a user needs a username and a password"),
        ("ingest: {limits: {series: 0}}", "3:27: series cannot be zero"),
        (
            "ingest: {limits: {in_flight_bytes: 16MiB}}",
            "3:36: in_flight_bytes is less than decoded_bytes: a request of that length would never be taken",
        ),
        (
            "ingest: {limits: {in_flight_bytes: 16MiB, decoded_bytes: 8MiB}}",
            "3:36: in_flight_bytes is less than body_bytes: a request of that length would never be taken",
        ),
        ("storage: 7", "3:10: storage must be a mapping of fields, not a single value"),
        ("a: b: c", "3:5: mapping values are not allowed in this context"),
        ("storage: {path: a}\nstorage: {path: b}", "4:1: duplicate mapping key: storage"),
    ] {
        let text = format!("{BASE}{more}\n");
        let got = outcome(&text);
        // The words of the regex engine are its own.
        assert!(
            got == expect || (expect.ends_with(": ") && got.starts_with(expect)),
            "\n{text}\ngot  {got}\nwant {expect}"
        );
    }
    check("BAD\n", "1:1: the configuration must be a mapping of fields, not a single value");
    check(
        "receivers: [{name: a, webhook_configs: [{}]}]\nroute: {receiver: a}\n",
        "1:41: one of url or url_file must be configured",
    );
    check(
        "receivers: [{name: a, webhook_configs: [{url: 'http://x/', url_file: f}]}]\nroute: {receiver: a}\n",
        "1:47: at most one of url & url_file must be configured",
    );
    check(
        "receivers: [{name: a, webhook_configs: [{url: 'ftp://x/'}, {url: 'http://x/{{ .y }}'}]}]\nroute: {receiver: a}\n",
        "1:47: url: unsupported scheme for URL\n1:66: url: templates in a URL are not supported",
    );
    check(
        "receivers: [{name: a, email_configs: [{to: a@example.org}]}]\nroute: {receiver: a}\n",
        "1:39: no global SMTP from set\n1:39: no global SMTP smarthost set",
    );
    check(
        "receivers: [{name: a, discord_configs: [{}]}, {name: b, telegram_configs: [{chat_id: 1, bot_tokn: x}]}]\nroute: {receiver: a}\n",
        "1:41: one of webhook_url or webhook_url_file must be configured\n\
         1:76: missing bot_token or bot_token_file on telegram_config\n\
         1:89: field bot_tokn not found in telegram_configs",
    );
    check(
        "receivers: [{name: a, pushover_configs: [{user_key: u, token: t}]}]\nroute: {receiver: a}\n\
         escalation_policies: [{name: p, steps: [{notify: [{receiver: a}]}]}]\n",
        "1:42: pushover_configs of receiver \"a\" tell nobody: not supported yet, and an escalation pages it",
    );
}

/// A stock file with other kinds of receivers works, and says at each start who is not told.
#[test]
fn receivers_of_other_kinds_load_with_a_warning() {
    let text = "receivers: [{name: a, discord_configs: [{webhook_url: x}], webhook_configs: [{url: 'http://x/'}]}]\n\
                route: {receiver: a, escalation_policy: p}\n\
                escalation_policies: [{name: p, steps: [{notify: [{receiver: a}]}]}]\n";
    let loaded = config::parse(text, "", Files::Ignore).unwrap();
    assert_eq!(
        loaded.warnings.iter().map(|w| w.text.as_str()).collect::<Vec<_>>(),
        ["discord_configs of receiver \"a\" tell nobody: not supported yet"]
    );
    let kinds: Vec<&str> =
        loaded.config.receivers[0].integrations.iter().map(|integration| integration.kind()).collect();
    assert_eq!(kinds, ["webhook", "discord"]);
}

#[test]
fn all_mistakes_come_at_once_and_say_what_to_do() {
    let text = "route: {reciever: a, repeat_interval: 0s}\nreceivers: [{name: a}, {name: a}]\n";
    let mistakes = config::parse(text, "watchfire.yml", Files::Ignore).unwrap_err();
    let printed = mistakes.to_string();
    let expect = "\
watchfire.yml:1:8: root route must specify a default receiver
    write receiver: (or escalation_policy:) under route
watchfire.yml:1:9: field reciever not found in route
    did you mean receiver?
watchfire.yml:1:39: repeat_interval cannot be zero
    write a duration above 0s
watchfire.yml:2:31: notification config name \"a\" is not unique
    give each receiver a name of its own";
    assert_eq!(printed, expect);
}

#[test]
fn files_that_are_named_must_be_readable() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.yml");
    let text = "route: {receiver: a}\n\
                receivers: [{name: a, webhook_configs: [{url_file: url, hmac_secret_file: .}]}]\n\
                rule_files: [missing.yml, 'none/*.yml']\n\
                web: {auth: {bearer_tokens_file: token}}\n";
    std::fs::write(&path, text).unwrap();
    let places = |mistakes: config::Mistakes| -> Vec<String> {
        mistakes
            .0
            .iter()
            .map(|m| format!("{}:{} {}", m.at.line, m.at.column, m.text.split(' ').nth(2).unwrap_or("")))
            .collect()
    };
    let mistakes = config::load(Some(&path)).unwrap_err();
    assert_eq!(
        places(mistakes),
        ["2:52 url_file", "2:75 hmac_secret_file", "3:14 rule_files", "4:34 bearer_tokens_file"]
    );
    for (name, content) in [
        ("url", "http://x/"),
        ("secret", "s"),
        ("missing.yml", ""),
        ("token", "0123456789abcdef\n# two\nfedcba9876543210\n"),
    ] {
        std::fs::write(dir.path().join(name), content).unwrap();
    }
    std::fs::write(&path, text.replace("hmac_secret_file: .", "hmac_secret_file: secret")).unwrap();
    let loaded = config::load(Some(&path)).unwrap();
    assert_eq!(loaded.config.web.auth.bearer_tokens.len(), 2);
    assert_eq!(loaded.config.rule_files, [dir.path().join("missing.yml")]);
    let warned: Vec<&str> = loaded.warnings.iter().map(|w| w.text.as_str()).collect();
    assert_eq!(warned, ["rule_files: no file matches \"none/*.yml\""]);
    let error = config::load(Some(&dir.path().join("nowhere.yml"))).unwrap_err().to_string();
    assert!(error.contains("nowhere.yml: cannot read the configuration"), "{error}");
}

#[test]
fn nobody_listens_to_the_network_by_accident() {
    let check = |web: &str, flag: Option<&str>, insecure: bool, fine: bool| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.yml");
        std::fs::write(&path, format!("{BASE}{web}")).unwrap();
        let flags = config::Overrides {
            listen_address: flag.map(|f| config::listen_address(f).unwrap()),
            ..config::Overrides::default()
        };
        let result = config::start(Some(&path), &flags, insecure);
        assert_eq!(result.is_ok(), fine, "{web} {flag:?} {insecure}");
        if let Err(mistakes) = result {
            let text = mistakes.to_string();
            assert!(text.contains("--insecure") && text.contains("bearer_tokens_file"), "names both ways out: {text}");
        }
    };
    check("", None, false, true);
    check("web: {listen_address: '0.0.0.0:9095'}", None, false, false);
    check("web: {listen_address: '0.0.0.0:9095'}", None, true, true);
    check("web: {listen_address: '0.0.0.0:9095'}", Some("localhost:9095"), false, true);
    check("web: {listen_address: '127.0.0.1:9095'}", Some(":9095"), false, false);
    check("web: {listen_address: '[::1]:9095'}", None, false, true);
    check("web: {listen_address: '0.0.0.0:1', auth: {bearer_tokens: [0123456789abcdef]}}", None, false, true);
}

#[test]
fn secrets_are_never_printed() {
    let text = "\
global: {smtp_auth_password: hunter2, slack_app_token: hunter2, http_config: {proxy_url: 'http://u:hunter2@p/'}}
route: {receiver: a}
receivers:
  - name: a
    webhook_configs:
      - url: http://u:hunter2@h/
        hmac_secret: hunter2
        http_config: {authorization: {credentials: hunter2}}
      - {url: 'http://h/', http_config: {basic_auth: {username: u, password: hunter2}}}
    slack_configs: [{api_url: 'https://h/hunter2'}, {channel: c}]
    pagerduty_configs: [{routing_key: hunter2}, {service_key: hunter2}]
    email_configs: [{to: a@h, from: b@h, smarthost: 'h:25', auth_password: hunter2}]
web: {auth: {bearer_tokens: [hunter2hunter2hunter2], basic_auth_users: [{username: u, password: hunter2}]}}
";
    let config = config::parse(text, "", Files::Ignore).unwrap().config;
    for (what, printed) in [
        ("print", config.print()),
        ("alertmanager", config.print_alertmanager()),
        ("debug", format!("{:?}", config.receivers)),
        ("debug", format!("{:?}", config.web)),
    ] {
        assert!(!printed.contains("hunter2"), "{what}: {printed}");
        assert!(printed.contains("<secret>") || what == "debug", "{what}: {printed}");
    }
    assert!(!format!("{config:?}").contains("hunter2"), "not by debugging either");
    // A mistake beside a secret does not quote it.
    let bad =
        text.replace("h:25'", "h'").replace("http://h/", "hunter2://h/").replace("{credentials: hunter2}", "[hunter2]");
    let mistakes = config::parse(&bad, "", Files::Ignore).unwrap_err().to_string();
    assert!(mistakes.lines().count() >= 3 && !mistakes.contains("hunter2"), "{mistakes}");
}

#[test]
fn the_documented_example_loads() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("docs/watchfire.yml")).unwrap();
    check(&text, "ok");
    for file in ["monitoring/watchfire/watchfire.yml", "monitoring/alertmanager/alertmanager.yml"] {
        check(&std::fs::read_to_string(root.join(file)).unwrap(), "ok");
    }
    // Every field that a section knows is in the reference: an unknown field's answer lists them all.
    let reference = std::fs::read_to_string(root.join("docs/configuration.md")).unwrap();
    for section in
        ["", "global", "route", "storage", "web", "ingest", "paging", "evaluation", "correlation", "incidents"]
    {
        let text = if section.is_empty() { "zzzzzz: 1\n".to_owned() } else { format!("{section}: {{zzzzzz: 1}}\n") };
        let mistakes = config::parse(&text, "", Files::Ignore).unwrap_err();
        let advice = mistakes.0.iter().filter_map(|m| m.advice.as_ref()).find_map(|a| a.strip_prefix("known fields: "));
        for field in advice.unwrap().split(", ") {
            assert!(reference.contains(&format!("`{field}`")), "{field} of {section:?} is not documented");
        }
    }
}

/// An info alert opens the incident, quietly; a critical one joins it, and the phone of whoever is on call rings.
#[test]
fn the_documented_example_rings_the_phone_for_a_critical_alert_that_joins() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/watchfire.yml")).unwrap();
    let loaded = config::parse(&text, "", Files::Ignore).unwrap();
    let mut engine = Engine::new(Arc::new(loaded.config.engine_settings()));
    let (mut book, now) = (DoorBook::default(), Timestamp::from_millis(1_767_614_400_000));
    let mut fire = |name: &str, severity: &str| {
        let labels = labels(&format!("alertname={name} cluster=eu service=shop severity={severity}"));
        let outcome = engine.apply(now, Input::Transitions(vec![book.fire(&labels, now)]));
        let pages = outcome.send.iter().filter(|n| n.incident() == Some(IncidentId(1)));
        pages.map(|n| n.receiver.to_string()).collect::<BTreeSet<_>>()
    };
    assert_eq!(fire("DiskAlmostFull", "info"), BTreeSet::from(["log".to_owned()]));
    assert_eq!(fire("CheckoutDown", "critical"), BTreeSet::from(["ana's phone".to_owned(), "ana's mail".to_owned()]));
}

#[test]
fn the_program_answers_with_exit_codes() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let rule = "groups:\n  - name: g\n    rules:\n      - alert: Down\n        expr: up == 0\n";
    let rules = write("rules/a.yml", rule);
    let tests = |alerts: &str| {
        format!(
            "rule_files: [a.yml]\ntests:\n  - interval: 1m\n    input_series: [{{series: 'up{{job=\"x\"}}', values: '0x5'}}]\n    \
             alert_rule_test: [{{eval_time: 1m, alertname: Down, exp_alerts: [{alerts}]}}]\n"
        )
    };
    let passing = write("rules/a.test.yml", &tests("{exp_labels: {job: x}}"));
    let failing = write("rules/b.test.yml", &tests(""));
    let good = write("good.yml", &format!("{BASE}rule_files: [rules/*.yml]\n"));
    let bad = write("bad.yml", "route: {receiver: b}\nreceivers: [{name: a}]\n");
    let bad_rules = write("bad_rules.yml", &rule.replace("== 0", "=="));
    let names_bad = write("names_bad.yml", &format!("{BASE}rule_files: [bad_rules.yml]\n"));
    let open = write("open.yml", &format!("{BASE}web: {{listen_address: ':1'}}\n"));
    let check = |args: &[&str], code: i32, says: &str| {
        let out = std::process::Command::new(env!("CARGO_BIN_EXE_watchfire")).args(args).output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(code), "{args:?}\n{text}");
        assert!(text.contains(says), "{args:?} does not say {says:?}:\n{text}");
    };
    check(&["version"], 0, "watchfire ");
    check(&["check", &good], 0, "SUCCESS: 1 rules found");
    check(&["check", &rules], 0, "SUCCESS: 1 rules found");
    check(&["check", &good, &bad], 1, "bad.yml:1:19: undefined receiver \"b\" used in route");
    check(&["check", &bad_rules], 1, "bad_rules.yml:5:15: ");
    check(&["check", &names_bad], 1, "bad_rules.yml:5:15: ");
    check(&["check", "nowhere.yml"], 1, "cannot read nowhere.yml");
    check(&["check"], 2, "Usage");
    check(&["--no-such-flag"], 2, "--no-such-flag");
    check(&["serve", "--config.file", &bad], 1, "undefined receiver");
    check(&["--config.file", &open], 1, "--insecure");
    check(&["test", &passing], 0, "SUCCESS");
    check(&["test", &failing], 1, "FAILED");
    check(&["simulate", "--labels", "alertname=X", "--config.file", &good], 0, "Announced by groups");
    check(&["simulate", "--labels", "alertname=~X", "--config.file", &good], 1, "write name=value");
    check(&["incident", "ack", "INC-x", "--by", "ana"], 1, "is no incident");
}

/// The public cases: they load or are refused with Alertmanager's own sentence.
#[test]
fn alertmanagers_cases_load_or_are_refused() {
    let Some(root) = std::env::var_os("WATCHFIRE_CONFORMANCE") else {
        // Without the public cases our own table above stands for them.
        check("route: {receiver: b}\nreceivers: [{name: a}]\n", "1:19: undefined receiver \"b\" used in route");
        return;
    };
    let root = Path::new(&root);
    let cases = std::fs::read_to_string(root.join("alertmanager-behaviour/config_cases.json")).unwrap();
    let cases: Vec<serde_json::Value> = serde_json::from_str(&cases).unwrap();
    let (mut missing, mut wrong) = (Vec::new(), Vec::new());
    for case in &cases {
        let name = case["file"].as_str().map_or(case["test"].as_str().unwrap(), |f| f.rsplit('/').next().unwrap());
        let text = match case["file"].as_str() {
            Some(file) => {
                let Ok(text) = std::fs::read_to_string(root.join("alertmanager-config").join(file)) else {
                    missing.push(name);
                    continue;
                };
                text
            }
            None => case["yaml"].as_str().unwrap().to_owned(),
        };
        let result = config::parse(&text, "", Files::Ignore);
        match (case["error"].as_str(), result) {
            (None, Ok(_)) => {}
            // The line of this one is Go's, and its words are; the field and the refusal are the same.
            (Some(error), Err(mistakes)) if error.starts_with("yaml: ") => {
                assert!(error.contains("field teams not found"), "{error}");
                let said = mistakes.0.iter().any(|m| m.text == "field teams not found in opsgenie_configs");
                assert!(said, "{mistakes}");
            }
            (Some(error), Err(mistakes)) if mistakes.0.iter().any(|m| m.text == error) => {}
            (expect, got) => {
                let got = got.map(|_| "ok").map_err(|m| m.to_string());
                wrong.push(format!("{name}: want {expect:?}, got {got:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Named by the table, and not among the public files.
    assert_eq!(missing, ["conf.slack-both-file-and-token.yml"]);
    println!("{} cases, {} without a file", cases.len(), missing.len());
    let mut files = 0;
    for folder in ["cli_testdata", "doc_examples"] {
        for entry in std::fs::read_dir(root.join("alertmanager-config").join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let result = config::parse(&std::fs::read_to_string(&path).unwrap(), "", Files::Ignore);
            assert_eq!(result.is_ok(), !path.ends_with("conf.bad.yml"), "{}", path.display());
            files += 1;
        }
    }
    println!("{files} further files as they should be");
}

/// Every mistake of a file that is judged as a server would, with what stands beside it.
fn outcome_of_files(config: &str, template: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("watchfire.yml");
    std::fs::write(&path, config).unwrap();
    std::fs::write(dir.path().join("own.tmpl"), template).unwrap();
    match config::load(Some(&path)) {
        Ok(loaded) => {
            let warnings: Vec<String> = loaded.warnings.iter().map(|w| format!("warning: {}", w.text)).collect();
            format!("ok {}", warnings.join("; "))
        }
        Err(mistakes) => {
            let told = |m: &config::Mistake| {
                let file = Path::new(&m.file).file_name().unwrap_or_default().to_string_lossy().into_owned();
                format!("{file}:{}: {}", m.at.line, m.text)
            };
            mistakes.0.iter().map(told).collect::<Vec<_>>().join("\n")
        }
    }
}

/// A notification template that would be refused at a start, or go mute at the first alert, is refused here.
#[test]
fn templates_are_tried_before_they_are_used() {
    let config = |title: &str| {
        format!(
            "templates: [own.tmpl]\nroute: {{receiver: a}}\nreceivers:\n- name: a\n  slack_configs:\n  \
             - {{api_url: 'https://hooks.example.org/x', title: '{title}'}}\n"
        )
    };
    let own = "{{ define \"own\" }}{{ .CommonLabels.severity }}{{ end }}";
    let check = |title: &str, template: &str, expect: &str| {
        assert_eq!(outcome_of_files(&config(title), template).trim(), expect, "{title} {template}");
    };
    check("{{ template \"own\" . }}", own, "ok");
    check("{{ nosuch .Alerts }}", own, "watchfire.yml:6: title: template: function \"nosuch\" not defined");
    check("{{ $labels.x }}", own, "watchfire.yml:6: title: template: undefined variable \"$labels\"");
    check("{{ template \"owm\" . }}", own, "watchfire.yml:6: title: template: template \"owm\" not defined");
    check("x", "{{ if }}y{{ end }}", "own.tmpl:1: template: missing value for if");
    check(
        "x",
        "one\n{{ define \"own\" }}{{ nosuch . }}{{ end }}",
        "own.tmpl:2: template: function \"nosuch\" not defined",
    );
    let other = "ok warning: title: template at <index .Alerts 7>: error calling index: index out of range: 7";
    check("{{ (index .Alerts 7).Status }}", own, other);
    // Without the files only what the text says by itself is judged.
    assert_eq!(outcome(&config("{{ template \"own\" . }}")), "ok");
    assert!(outcome(&config("{{ nosuch . }}")).contains("function \"nosuch\" not defined"));
}

/// What Go's reader of address lists takes is taken; what a start would refuse is refused with its place.
#[test]
fn mail_is_judged_when_it_is_read() {
    let mail = |to: &str, more: &str| {
        format!(
            "route: {{receiver: a}}\nreceivers:\n- name: a\n  email_configs:\n  \
             - {{to: '{to}', from: w@example.org, smarthost: 'mail.example.org:587'{more}}}\n"
        )
    };
    for to in
        ["ana@x.org,", " ,ana@x.org, , Bob <bob@x.org>,", "{{ .CommonLabels.mail }},", "\"Ops, night\" <ops@x.org>"]
    {
        check(&mail(to, ""), "ok");
        assert_eq!(outcome_of_files(&mail(to, ""), "").trim(), "ok", "{to}");
    }
    let said = outcome(&mail("ana at x.org", ""));
    assert!(said.starts_with("5:10: to: `ana at x.org` is not a list of addresses"), "{said}");
    check(&mail(",", ""), "5:10: to: no recipient");
    let said = outcome_of_files(&mail("ana@x.org", ", auth_username: w"), "");
    assert_eq!(
        said,
        "watchfire.yml:5: receiver \"a\", email/0: auth_username needs auth_password or auth_password_file"
    );
}
