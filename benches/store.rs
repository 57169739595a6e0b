//! What a commit costs: batches of new alerts, alone and with the rows that an incident adds to each.
//! In: batches of 1, 64, 1,024 and 10,000 alerts. Out: time per batch and rows per second, fsync included.
//! Never: measures an empty store only; keys are spread as fingerprints are.
//! Start at `commits`.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::sync::Arc;
use std::time::{Duration, Instant};
use watchfire::model::timeline::AlertRef;
use watchfire::model::{
    AlertRecord, Door, Escalation, Evidence, Fingerprint, Incident, IncidentId, IncidentState, Labels, Lease, Member,
    Severity, SourceKey, TimelineEntry, TimelineEvent, Timestamp, Write,
};
use watchfire::store::{MemoryStore, SharedStore, SqliteStore};

/// An alert as Prometheus posts it: eight labels, two annotations.
fn alert(n: u64) -> Arc<AlertRecord> {
    let instance = format!("10.{}.{}.{}:9100", n >> 16 & 255, n >> 8 & 255, n & 255);
    let pod = format!("checkout-7d9f8c6b5-{n:05}");
    let labels = Labels::from_pairs([
        ("alertname", "HighErrorRate"),
        ("cluster", "eu-west-1"),
        ("namespace", "shop"),
        ("service", "checkout"),
        ("severity", "critical"),
        ("job", "kubernetes-pods"),
        ("instance", &instance),
        ("pod", &pod),
    ]);
    Arc::new(AlertRecord {
        fingerprint: Fingerprint::of(&labels),
        labels,
        annotations: Labels::from_pairs([
            ("summary", "Error rate of checkout is above 5 %"),
            ("runbook_url", "https://runbooks.example.org/HighErrorRate"),
        ]),
        generator_url: Arc::from("http://prometheus.example.org:9090/graph?g0.expr=rate%28errors%5B5m%5D%29&g0.tab=1"),
        starts_at: Timestamp::from_millis(1_767_323_045_000),
        ended_at: None,
        updated_at: Timestamp::from_millis(1_767_323_045_000),
        leases: vec![Lease {
            source: SourceKey { door: Door::AlertmanagerApi, sender: Arc::from(""), claimant: Arc::from("") },
            starts_at: Timestamp::from_millis(1_767_323_045_000),
            ends_at: Some(Timestamp::from_millis(1_767_323_345_000)),
            ends_by_timeout: false,
            updated_at: Timestamp::from_millis(1_767_323_045_000),
        }],
    })
}

/// Alerts per incident: the engine's limit.
const INCIDENT_ALERTS: u64 = 10_000;

fn incident(id: IncidentId, alerts: u32) -> Arc<Incident> {
    let record = alert(0);
    Arc::new(Incident {
        id,
        title: "HighErrorRate in shop".to_owned(),
        state: IncidentState::Triggered,
        severity: Severity::Critical,
        labels: record.labels.clone(),
        cluster: Some(Arc::from("eu-west-1")),
        environment: None,
        opened_at: record.starts_at,
        last_attached_at: record.starts_at,
        correlation_rule: Some(Arc::from("service")),
        correlation_key: Some(Arc::from("eu-west-1/checkout")),
        alert_count: alerts,
        firing_count: alerts,
        doors: [Door::AlertmanagerApi].into(),
        escalation: Escalation::default(),
        paged: [Arc::from("first")].into(),
        predecessor: None,
    })
}

fn evidence() -> Evidence {
    let key = Arc::from("cluster=\"eu-west-1\", service=\"checkout\"");
    Evidence::Joined { rule: Arc::from("service"), key, gap_ms: 2_000, window_ms: 600_000, runner_up: None }
}

/// What a new alert writes: its row, and with `story` its place in an incident, the incident's row and a line of the timeline.
fn writes(n: u64, story: bool) -> Vec<Write> {
    let record = alert(n);
    let id = IncidentId(n / INCIDENT_ALERTS + 1);
    let mut writes = vec![Write::Alert(Arc::clone(&record))];
    if story {
        writes.push(Write::Incident(incident(id, (n % INCIDENT_ALERTS) as u32 + 1)));
        writes.push(Write::Member(Arc::new(Member {
            incident: id,
            fingerprint: record.fingerprint,
            attached_at: record.starts_at,
            evidence: evidence(),
            detached: false,
            left_at: None,
        })));
        writes.push(Write::Timeline(Arc::new(TimelineEntry {
            incident: id,
            seq: n + 1,
            at: record.starts_at,
            actor: None,
            note: String::new(),
            event: TimelineEvent::AlertAttached {
                alert: AlertRef { name: "HighErrorRate 10.0.0.1:9100".to_owned(), fingerprint: record.fingerprint },
                again: false,
                evidence: evidence(),
            },
        })));
    }
    writes
}

fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// The storm as a whole: 100,000 new alerts in commits of `batch`; prints CPU and wall time per alert.
fn storm(runtime: &tokio::runtime::Runtime, batch: u64, story: bool) {
    const ALERTS: u64 = 100_000;
    let folder = tempfile::tempdir().expect("a folder for the bench");
    let store = runtime.block_on(SqliteStore::open(folder.path())).expect("a new store opens");
    let store: SharedStore = Arc::new(store);
    let batches: Vec<Vec<Write>> =
        (0..ALERTS / batch).map(|b| (b * batch..(b + 1) * batch).flat_map(|n| writes(n, story)).collect()).collect();
    let (wall, before) = (Instant::now(), cpu());
    for batch in batches {
        runtime.block_on(store.commit(batch)).expect("a commit succeeds");
    }
    let per = |d: Duration| d.as_secs_f64() * 1e6 / ALERTS as f64;
    let what = if story { "alert + member + incident + line" } else { "alert" };
    println!(
        "storm, {what}, {batch} per commit: {:.1} us CPU, {:.1} us wall per alert",
        per(cpu().saturating_sub(before)),
        per(wall.elapsed())
    );
    let start = Instant::now();
    let loaded = runtime.block_on(store.load()).expect("a load succeeds");
    let (alerts, members) = (loaded.alerts.len(), loaded.members.len());
    println!("load of {alerts} alerts, {members} members: {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
}

fn commits(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    for (batch, story) in [(100, false), (1_000, false), (10_000, false), (1_000, true), (10_000, true)] {
        storm(&runtime, batch, story);
    }
    let folder = tempfile::tempdir().expect("a folder for the bench");
    let sqlite = runtime.block_on(SqliteStore::open(folder.path())).expect("a new store opens");
    let stores: [(&str, SharedStore); 2] = [("sqlite", Arc::new(sqlite)), ("memory", Arc::new(MemoryStore::new()))];
    let mut group = c.benchmark_group("store_commit_alerts");
    group.sample_size(20).measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(1));
    for (name, store) in stores {
        let mut next = 0;
        for batch in [1u64, 64, 1024] {
            group.throughput(Throughput::Elements(batch));
            group.bench_function(BenchmarkId::new(name, batch), |b| {
                b.iter_batched(
                    || {
                        next += batch;
                        (next - batch..next).flat_map(|n| writes(n, false)).collect::<Vec<_>>()
                    },
                    |batch| runtime.block_on(store.commit(batch)).expect("a commit succeeds"),
                    criterion::BatchSize::PerIteration,
                );
            });
        }
    }
    group.finish();
}

criterion_group!(benches, commits);
criterion_main!(benches);
