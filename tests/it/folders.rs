//! Data folders made by earlier releases open, with everything in them as it was.
//! In: `tests/data/folders`, and beside each folder its content in words, as SQL told it when the folder was made.
//! Out: the same words, from the store and the restored engine; a running process shows the same.
//! Start at [`opens_as_it_was`].

use crate::support::http_sink::{HttpSink, Reply};
use crate::support::watchfire::Watchfire;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use watchfire::alerts::RegistryConfig;
use watchfire::config::{self, Files};
use watchfire::engine::{Restart, Settings};
use watchfire::incidents::words;
use watchfire::model::{EscalationRun, EscalationTarget, Fingerprint, Incident, IntegrationId, Timestamp};
use watchfire::store::{Snapshot, SqliteStore, Store};

/// (release, folder).
const FOLDERS: [(&str, &str); 2] = [("0.1", "stopped"), ("0.1", "killed")];

fn release(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/folders").join(name)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A temporary folder with the configuration, the rules and the data of one; 19000 becomes `port`.
fn unpacked((release_name, folder): (&str, &str), port: u16) -> TempDir {
    let from = release(release_name);
    let dir = TempDir::new().unwrap();
    copy(&from.join(folder), &dir.path().join("data"));
    let config = std::fs::read_to_string(from.join("watchfire.yml")).unwrap();
    std::fs::write(dir.path().join("watchfire.yml"), config.replace(":19000", &format!(":{port}"))).unwrap();
    std::fs::copy(from.join("rules.yml"), dir.path().join("rules.yml")).unwrap();
    dir
}

fn written_down((release_name, folder): (&str, &str)) -> String {
    std::fs::read_to_string(release(release_name).join(format!("{folder}.txt"))).unwrap()
}

fn settings(dir: &Path) -> Arc<Settings> {
    let text = std::fs::read_to_string(dir.join("watchfire.yml")).unwrap();
    Arc::new(config::parse(&text, "watchfire.yml", Files::Ignore).unwrap().config.engine_settings())
}

/// An integration by its kind and its number within the kind, which a restart looks up.
fn integration(settings: &Settings, receiver: &str, stored: &IntegrationId) -> String {
    settings.integration(receiver, stored).to_string()
}

fn millis(at: Option<Timestamp>) -> String {
    at.map_or("-".to_owned(), |at| at.as_millis().to_string())
}

fn joined(list: impl IntoIterator<Item = String>) -> String {
    list.into_iter().collect::<Vec<_>>().join(",")
}

fn incident_line(incident: &Incident, settings: &Settings) -> String {
    let escalation = &incident.escalation;
    let run = escalation.nearest();
    let mut line = format!(
        "{} {} {} {:?} policy={} step={} round={} run={} next_at={}",
        incident.id,
        incident.status().as_str(),
        incident.severity,
        incident.headline(),
        run.map_or("-", |run| &run.policy),
        run.map_or(0, |run| run.step),
        run.map_or(0, |run| run.round),
        escalation.last_run,
        millis(run.and_then(EscalationRun::next_at))
    );
    let mut word = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            write!(line, " {name}={value}").unwrap();
        }
    };
    word("acknowledged_by", incident.acknowledged_by().map(ToString::to_string));
    word("resolved_by", incident.resolved_by().map(ToString::to_string));
    word("snoozed_until", incident.snoozed_until().map(|at| at.as_millis().to_string()));
    if escalation.is_exhausted() {
        line.push_str(" exhausted");
    }
    let mut word = |name: &str, value: String| {
        if !value.is_empty() {
            write!(line, " {name}={value}").unwrap();
        }
    };
    word("held", joined(escalation.held.iter().map(ToString::to_string)));
    let heard = escalation.delivered_to.iter();
    word("heard", joined(heard.map(|(receiver, i)| format!("{receiver}:{}", integration(settings, receiver, i)))));
    let assigned = escalation.assigned_to.as_ref().map(|target| match target {
        EscalationTarget::User(name) => format!("user:{name}"),
        EscalationTarget::Schedule(name) => format!("schedule:{name}"),
        EscalationTarget::Receiver(name) => format!("receiver:{name}"),
    });
    word("assigned_to", assigned.unwrap_or_default());
    word("merged_into", incident.merged_into().map(|id| id.to_string()).unwrap_or_default());
    line
}

/// Everything that was loaded, in the words of the file beside the folder.
async fn described(store: &SqliteStore, snapshot: &Snapshot, settings: &Settings) -> Vec<String> {
    let mut lines = Vec::new();
    let mut incidents: Vec<&Incident> = snapshot.incidents.iter().collect();
    incidents.sort_by_key(|incident| incident.id);
    for incident in incidents {
        lines.push(incident_line(incident, settings));
        for member in store.members(incident.id).await.unwrap() {
            let detached = if member.detached { " detached" } else { "" };
            let left = if member.left_at.is_some() { " left" } else { "" };
            lines.push(format!("  {}{detached}{left}: {}", member.fingerprint, words::evidence_text(&member.evidence)));
        }
        for entry in store.timeline(incident.id, 1_000).await.unwrap() {
            let actor = entry.actor.as_deref().unwrap_or("");
            let (text, reason) = (words::text(&entry), words::reason(&entry));
            lines.push(format!("  {} | {text} | {actor} | {reason}", entry.event.kind().as_str()));
        }
    }
    let list = |alerts: &[Fingerprint]| joined(alerts.iter().map(ToString::to_string));
    for entry in &snapshot.nflog {
        let name = integration(settings, &entry.key.receiver, &entry.key.integration);
        let (firing, resolved) = (list(&entry.firing), list(&entry.resolved));
        let (group, receiver, at) = (&entry.key.group_key, &entry.key.receiver, entry.at.as_millis());
        lines.push(format!("log {group} {receiver} {name} firing={firing} resolved={resolved} at={at}"));
    }
    for row in &snapshot.outbox {
        lines.push(format!("pending {} created_at={} attempts={}", row.key, row.created_at.as_millis(), row.attempts));
    }
    for silence in &snapshot.silences {
        let (starts, ends) = (silence.starts_at.as_millis(), silence.ends_at.as_millis());
        lines.push(format!("silence {} {} {starts} {ends}", silence.id, silence.matchers[0].value));
    }
    for alert in &snapshot.rule_alerts {
        let state = format!("{:?}", alert.state).to_lowercase();
        let active_at = alert.active_at.as_millis();
        lines.push(format!("rule {} {} {state} active_at={active_at}", alert.rule, alert.fingerprint));
    }
    lines
}

/// Incidents with their members and timelines stand in their order; the rest is a set.
fn ordered(mut lines: Vec<String>) -> Vec<String> {
    let first = lines.iter().position(|line| line.starts_with("log ")).unwrap_or(lines.len());
    lines[first..].sort();
    lines
}

/// The last moment that the folder knows of.
fn last_moment(snapshot: &Snapshot) -> Timestamp {
    let alerts = snapshot.alerts.iter().map(|a| a.updated_at);
    let rows = snapshot.outbox.iter().map(|n| n.created_at).chain(snapshot.nflog.iter().map(|n| n.at));
    alerts.chain(rows).max().unwrap()
}

async fn opens_as_it_was(folder: (&str, &str)) {
    let dir = unpacked(folder, 19000);
    let settings = settings(dir.path());
    let store = SqliteStore::open(&dir.path().join("data")).await.unwrap();
    let snapshot = store.load().await.unwrap();
    let expected = ordered(written_down(folder).lines().map(str::to_owned).collect());
    let found = ordered(described(&store, &snapshot, &settings).await);
    for (n, line) in expected.iter().enumerate() {
        assert_eq!(found.get(n), Some(line), "{folder:?}, line {}", n + 1);
    }
    assert_eq!(found.len(), expected.len(), "{:?}", &found[expected.len()..]);

    let (now, stored) = (last_moment(&snapshot), snapshot.incidents.clone());
    let restart = Restart::new(settings.clone(), RegistryConfig::default(), snapshot, now);
    let (engine, outcome) = (restart.engine, restart.first);
    for incident in stored {
        let is = engine.incident(incident.id).unwrap();
        assert_eq!(incident_line(is, &settings), incident_line(&incident, &settings));
    }
    let pages: Vec<_> = outcome.send.iter().filter(|n| n.incident().is_some()).map(|n| n.key.to_string()).collect();
    assert!(pages.is_empty(), "{pages:?} are sent because the folder was opened");
    let pending: Vec<String> = engine.pending().map(|n| format!("pending {} ", n.key)).collect();
    for line in expected.iter().filter(|line| line.starts_with("pending")) {
        assert!(pending.iter().any(|key| line.starts_with(key)), "{line} is forgotten");
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_folder_opens_as_it_was() {
    for folder in FOLDERS {
        opens_as_it_was(folder).await;
    }
}

/// The receivers of the configuration, well again.
async fn receivers() -> HttpSink {
    HttpSink::start(|_, _| Reply::json(&json!({ "ok": true, "channel": "C1", "ts": "1.1" }))).await
}

async fn told(sink: &mut HttpSink, alertname: &str, status: &str) -> Vec<Value> {
    let mut seen = Vec::new();
    loop {
        let arrived = sink.next().await;
        if arrived.path != "/chat/0" {
            continue;
        }
        let body = arrived.json();
        let found = body["commonLabels"]["alertname"] == alertname && body["status"] == status;
        seen.push(body);
        if found {
            return seen;
        }
    }
}

fn alert_of_today(status: &str) -> Value {
    let labels = json!({ "alertname": "Today", "service": "today", "severity": "critical", "team": "spare" });
    json!({ "version": "4", "alerts": [{ "status": status, "labels": labels }] })
}

/// The lines of one incident that begin with these characters, in the file beside the folder.
fn lines_of<'a>(text: &'a str, id: &str) -> impl Iterator<Item = &'a str> {
    let head = format!("{id} ");
    text.lines().skip_while(move |line| !line.starts_with(&head)).skip(1).take_while(|line| line.starts_with("  "))
}

async fn runs(folder: (&str, &str)) {
    let mut sink = receivers().await;
    let mut watchfire = Watchfire::start_in(unpacked(folder, sink.address.port())).await;
    let text = written_down(folder);
    let ids: Vec<&str> = text.lines().filter(|l| l.starts_with("INC-")).filter_map(|l| l.split(' ').next()).collect();
    for id in ids {
        let incident = watchfire.get(&format!("/api/v1/incidents/{id}")).await.expect(200)["data"]["incident"].clone();
        let timeline = incident["timeline"].as_array().unwrap();
        let entries: Vec<String> = timeline
            .iter()
            .map(|e| {
                let text = |name: &str| e[name].as_str().unwrap_or("").to_owned();
                format!("  {} | {} | {} | {}", text("kind"), text("text"), text("actor"), text("reason"))
            })
            .collect();
        // What came due since then follows.
        let expected: Vec<&str> = lines_of(&text, id).filter(|line| line.contains(" | ")).collect();
        assert_eq!(entries.get(..expected.len()).unwrap_or(&entries), expected, "{id}");
        let line = text.lines().find(|line| line.starts_with(&format!("{id} "))).unwrap();
        if line.contains(" resolved ") {
            assert_eq!(incident["status"], "resolved", "{id}");
        } else if line.contains(" acknowledged ") && !line.contains("snoozed_until") {
            assert_eq!(incident["status"], "acknowledged", "{id}");
        }
    }
    for line in text.lines().filter(|line| line.starts_with("silence ")) {
        let id = line.split(' ').nth(1).unwrap();
        watchfire.get(&format!("/api/v2/silence/{id}")).await.expect(200);
    }
    // Groups whose receivers know everything stay quiet while a new one is told twice, a `group_interval` apart.
    watchfire.post("/api/v1/alertmanager", &alert_of_today("firing")).await.expect(200);
    let mut seen = told(&mut sink, "Today", "firing").await;
    watchfire.post("/api/v1/alertmanager", &alert_of_today("resolved")).await.expect(200);
    seen.extend(told(&mut sink, "Today", "resolved").await);
    // The samples are gone with the time, so the rule's alert may have ended by now.
    seen.retain(|body| {
        body["commonLabels"]["alertname"] != "Today" && body["commonLabels"]["alertname"] != "RuleFires"
    });
    assert!(seen.is_empty(), "{folder:?}: told again: {seen:#?}");
    assert_eq!(watchfire.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_runs_on_with_a_folder() {
    for folder in FOLDERS {
        runs(folder).await;
    }
}
