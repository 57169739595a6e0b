//! What must be true after each kill: of the rows while nobody runs, and of the server that came back.
//! In: the database, what arrived in the life before, what the workers were told. Out: nothing, or every promise that is broken.
//! Never: writes into the database.
//! Start at [`dead`] and [`alive`].

use super::sink::Arrival;
use super::worker::{Answered, Known, Worker};
use super::{Lives, PAGES_PER_MINUTE};
use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, Row};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::time::{Duration, Instant};

/// A page may have been on the wire already when the acknowledgement was answered.
const ON_THE_WIRE: Duration = Duration::from_secs(1);
/// A busy machine records an answer that it got within this.
const RECORDED_WITHIN: Duration = Duration::from_secs(5);

/// What one life left.
#[derive(Default)]
pub struct Record {
    /// Keys that arrived in any life and may have counted there.
    arrived: BTreeSet<String>,
    /// Keys whose row was still pending at the last kill: only these may be sent in the life after it.
    in_doubt: BTreeSet<String>,
    pub repeats: usize,
    pub distinct: usize,
    pub pages: usize,
}

struct RowOf {
    state: String,
    created_at: i64,
}

async fn rows(dir: &Path) -> HashMap<String, RowOf> {
    let options = SqliteConnectOptions::new().filename(dir.join("data/watchfire.db")).read_only(true);
    let mut connection: SqliteConnection = options.connect().await.unwrap();
    let found =
        sqlx::query("SELECT key, state, created_at FROM notification").fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let row = |row: &sqlx::sqlite::SqliteRow| (row.get(0), RowOf { state: row.get(1), created_at: row.get(2) });
    found.iter().map(row).collect()
}

/// Incident and receiver of a page's key: `INC-7/r1/s2/two/0`, with the run in between after the first.
fn page(key: &str) -> Option<(&str, &str)> {
    let parts: Vec<&str> = key.split('/').collect();
    let is_page = parts[0].starts_with("INC-")
        && parts.iter().any(|p| p.len() > 1 && p.starts_with('s') && p[1..].parse::<u32>().is_ok());
    is_page.then(|| (parts[0], parts[parts.len() - 2]))
}

/// The process is dead: what its rows say of what it sent.
pub async fn dead(
    dir: &Path,
    arrivals: &[Arrival],
    killed_at: Instant,
    record: &mut Record,
    workers: &[Worker],
) -> Vec<String> {
    let mut broken = Vec::new();
    let rows = rows(dir).await;
    let mut last: HashMap<&str, &Arrival> = HashMap::new();
    for arrival in arrivals {
        let key = arrival.key.as_str();
        if !rows.contains_key(key) {
            broken.push(format!("{key} was sent before its row was committed"));
        }
        if last.get(key).is_some_and(|before| before.may_count()) {
            broken.push(format!("{key} arrived twice in one life at {}", arrival.path));
        }
        if record.arrived.contains(key) && !last.contains_key(key) {
            record.repeats += 1;
            if !record.in_doubt.contains(key) {
                broken.push(format!("{key} arrived again although its receipt was committed before the last kill"));
            }
        }
        last.insert(key, arrival);
    }
    for (key, arrival) in last {
        let pending = rows.get(key).is_some_and(|row| row.state == "pending");
        if let Some((at, 200)) = arrival.answered
            && pending
            && killed_at.saturating_duration_since(at) > RECORDED_WITHIN
        {
            broken.push(format!("{key} was taken {:?} before the kill and that was not recorded", killed_at - at));
        }
        if arrival.may_count() && record.arrived.insert(key.to_owned()) {
            record.distinct += 1;
        }
    }
    record.in_doubt = rows.iter().filter(|(_, row)| row.state == "pending").map(|(key, _)| key.clone()).collect();
    let pages: Vec<(&str, &str, &str, i64)> =
        rows.iter().filter_map(|(key, row)| page(key).map(|(i, r)| (key.as_str(), i, r, row.created_at))).collect();
    record.pages = pages.len();
    limits(&pages, &mut broken);
    quiet(&pages, arrivals, workers, &mut broken);
    broken
}

/// No contact was paged more often in a minute than the limit says, whatever was killed in it.
fn limits(pages: &[(&str, &str, &str, i64)], broken: &mut Vec<String>) {
    let mut by_receiver: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for (_, _, receiver, at) in pages {
        by_receiver.entry(receiver).or_default().push(*at);
    }
    for (receiver, mut times) in by_receiver {
        times.sort_unstable();
        for window in times.windows(PAGES_PER_MINUTE + 1) {
            let apart = window[PAGES_PER_MINUTE] - window[0];
            if apart < 60_000 {
                broken.push(format!("{receiver} was paged {} times in {apart} ms", PAGES_PER_MINUTE + 1));
            }
        }
    }
}

/// Nobody is paged for what was acknowledged, resolved, snoozed or silenced.
fn quiet(pages: &[(&str, &str, &str, i64)], arrivals: &[Arrival], workers: &[Worker], broken: &mut Vec<String>) {
    let mut by_incident: BTreeMap<&str, Vec<(&str, i64)>> = BTreeMap::new();
    for (key, incident, _, at) in pages {
        by_incident.entry(incident).or_default().push((key, *at));
    }
    for owned in workers.iter().flat_map(|worker| &worker.alerts) {
        let Some(id) = owned.incident.as_deref() else { continue };
        let (Some((answered_at, answered_ms)), true) = (owned.answered_at, owned.is_quiet()) else { continue };
        let all = by_incident.get(id).map(Vec::as_slice).unwrap_or_default();
        for (key, at) in all.iter().filter(|(_, at)| *at > answered_ms) {
            broken.push(format!("{key} was decided {} ms after {id} was {:?}", at - answered_ms, owned.command));
        }
        let late = |a: &&Arrival| page(&a.key).is_some_and(|(of, _)| of == id) && a.at > answered_at + ON_THE_WIRE;
        for arrival in arrivals.iter().filter(late) {
            broken.push(format!(
                "{} arrived {:?} after {id} was {:?}",
                arrival.key,
                arrival.at - answered_at,
                owned.command
            ));
        }
    }
}

async fn get(lives: &Lives, path: &str) -> Value {
    let answer = lives.client.get(lives.url(path)).send().await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
    answer.json().await.unwrap()
}

/// The server is back: everything that was answered with 2xx is there.
pub async fn alive(lives: &Lives, workers: &[Worker]) -> Vec<String> {
    let mut broken = Vec::new();
    let alerts = get(lives, "/api/v2/alerts").await;
    let firing: BTreeSet<&str> =
        alerts.as_array().unwrap().iter().filter_map(|a| a["labels"]["alertname"].as_str()).collect();
    let silences = get(lives, "/api/v2/silences").await;
    let silences: BTreeMap<&str, &str> = silences
        .as_array()
        .unwrap()
        .iter()
        .map(|s| (s["id"].as_str().unwrap(), s["status"]["state"].as_str().unwrap()))
        .collect();
    for worker in workers {
        for owned in &worker.alerts {
            match owned.firing {
                Known::Is(true) if !firing.contains(&*owned.name) => {
                    broken.push(format!("alert {} is lost", owned.name));
                }
                Known::Is(false) if firing.contains(&*owned.name) => {
                    broken.push(format!("the end of {} is lost", owned.name));
                }
                Known::Is(_) | Known::InDoubt => {}
            }
            let (Some(id), Known::Is(is), Known::Is(true)) = (&owned.incident, owned.command, owned.firing) else {
                continue;
            };
            let incident = get(lives, &format!("/api/v1/incidents/{id}")).await["data"]["incident"].clone();
            let (status, snoozed) = (incident["status"].as_str().unwrap(), !incident["snoozed_until"].is_null());
            let holds = match is {
                Answered::Triggered => status == "triggered",
                Answered::Acknowledged => status == "acknowledged",
                Answered::Resolved => status == "resolved",
                Answered::Snoozed => status == "triggered" && snoozed,
            };
            if !holds {
                broken.push(format!("{id} was answered to be {is:?} and is {status}"));
            }
        }
        for (id, holds) in &worker.silences {
            let state = silences.get(id.as_str()).copied();
            match holds {
                Known::Is(true) if state != Some("active") => broken.push(format!("silence {id} is lost: {state:?}")),
                Known::Is(false) if state == Some("active") => broken.push(format!("the end of silence {id} is lost")),
                Known::Is(_) | Known::InDoubt => {}
            }
        }
    }
    broken
}
