//! Build: from a configuration to parts that are ready to run, with the state of the last run in them.
//! In: a checked [`Config`]. Out: [`Parts`].
//! Never: starts a loop, or sends anything: that is `system`.
//! Start at [`build`].

use super::doors::RuleDoor;
use super::options::AppError;
use super::parts::Parts;
use super::rules;
use crate::alerts::{AlertRegistry, Heartbeats};
use crate::api::auth::Auth;
use crate::api::context::{ApiSettings, Context, ReloadOrder, SharedHeartbeats};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::engine::Restart;
use crate::inbox::inbox;
use crate::ingest::{RemoteWrite, RequestLimits, replay};
use crate::loops::decide::ROUND_ALERTS_MAX;
use crate::loops::deliver::{Deliver, into_inbox};
use crate::loops::evaluate::RuleEngine;
use crate::loops::ports::DoorHooks;
use crate::loops::silence::VisitHeartbeats;
use crate::model::alert::{HEARTBEAT_LABEL, SOURCE_SILENT};
use crate::model::{Door, Secret, Timestamp, is_heartbeat};
use crate::notify;
use crate::rules::{Evaluation, RuleSet};
use crate::series::Head;
use crate::series::ha::HaTracker;
use crate::store::{SharedStore, Snapshot, SqliteStore, Store};
use crate::telemetry::{Health, Metrics};
use crate::wal::{Wal, WalConfig};
use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Ended alerts that leave the alert registry in one sweep.
pub const GC_MAX: usize = 100_000;

/// Where the write-ahead log lies in the data folder.
const WAL_DIR: &str = "wal";

/// Loads state and builds every part.
pub async fn build(config: &Config, reload: mpsc::Sender<ReloadOrder>) -> Result<Parts, AppError> {
    notify::install_tls_provider();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let now = clock.now();
    let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")));
    for kind in &notify::KINDS {
        metrics.notifications.expect(kind.name);
    }
    let health = Arc::new(Health::new(now));

    let store = Arc::new(SqliteStore::open(&config.storage.path).await?);
    let snapshot = store.load().await?;
    tracing::info!(
        alerts = snapshot.alerts.len(),
        incidents = snapshot.incidents.len(),
        outbox = snapshot.outbox.len(),
        "state loaded"
    );
    let silent_heartbeats = silent_heartbeats(&snapshot);
    let registry = config.ingest.registry(config.resolve_timeout);
    let restart = Restart::new(Arc::new(config.engine_settings()), registry, snapshot, now);
    let registry = Arc::new(restart.registry);
    let is_first_start = !config.storage.path.join(WAL_DIR).exists();
    let files = rules::files(config).map_err(|m| AppError::Start(m.to_string()))?;
    let head = Arc::new(Head::new(config.ingest.head()));
    // Held until the rules hold theirs.
    let selected = rules::watches(&files, &head);
    let (write, arrivals) = samples(config, &clock, &head)?;
    let mut rule_set = RuleSet::new(rules::settings(config, now, is_first_start), &files, &head, now);
    drop(selected);
    rule_set.restore(restart.rule_alerts);
    let counted = write.clone();
    let refused = Box::new(move || counted.counters().refused());
    let rules = Arc::new(RuleEngine { arrivals, refused, ..RuleEngine::new(rule_set, head.clone()) });
    let heartbeats = Arc::new(Mutex::new(Heartbeats::new(config.heartbeats.clone(), &silent_heartbeats, now)));

    let (inbox, receiver) = inbox();
    let observer = super::gauges::attempt_observer(&metrics);
    let deliver =
        Arc::new(Deliver::new(config.notifiers.clone(), clock.clone(), into_inbox(inbox.clone()), Some(observer)));
    deliver.remember(&restart.sent);
    // What earlier processes committed and no destination answered goes out again at once, with the same keys. What came due meanwhile
    // goes out after its commit, by the single writer.
    deliver.dispatch(restart.resend);
    let context = Arc::new(Context {
        engine: Arc::new(RwLock::new(restart.engine)),
        registry: registry.clone(),
        store: store.clone() as SharedStore,
        inbox: inbox.clone(),
        head,
        rules: rules.view.clone(),
        write,
        metrics: metrics.clone(),
        health,
        clock: clock.clone(),
        auth: ArcSwap::from_pointee(auth(config)),
        settings: ArcSwap::from_pointee(settings(config)),
        reload,
        next_tries: Box::new({
            let deliver = deliver.clone();
            move |row| deliver.next_try(row)
        }),
        resends: tokio::sync::Mutex::default(),
        heartbeats,
        started_at: now,
    });
    let rule_sink = Arc::new(RuleDoor { registry, inbox, clock, metrics });
    let start = Mutex::new(Some((receiver, restart.first)));
    Ok(Parts { context, deliver, rules, rule_sink, is_first_start, store, start })
}

/// The heartbeats that were silent when the last commit returned, each with since when.
fn silent_heartbeats(snapshot: &Snapshot) -> HashMap<Arc<str>, Timestamp> {
    let firing = snapshot.alerts.iter().filter(|alert| alert.is_firing() && alert.labels.alert_name() == SOURCE_SILENT);
    firing.filter_map(|alert| Some((Arc::from(alert.labels.get(HEARTBEAT_LABEL)?), alert.starts_at))).collect()
}

/// The head, filled from the write-ahead log, and remote write in front of it.
fn samples(
    config: &Config,
    clock: &Arc<dyn Clock>,
    head: &Arc<Head>,
) -> Result<(RemoteWrite, Arc<tokio::sync::Notify>), AppError> {
    let ingest = &config.ingest;
    let ha = Arc::new(HaTracker::new(ingest.ha()));
    let dir = config.storage.path.join(WAL_DIR);
    let now = clock.now();
    let wal = open_wal(&dir, config, head, &ha, now).map_err(|e| AppError::Start(e.to_string()))?;
    let arrivals = Arc::new(tokio::sync::Notify::new());
    let bytes = ingest.limits.door_bytes();
    let limits =
        RequestLimits { body_bytes: bytes.body, decoded_bytes: bytes.decoded, in_flight_bytes: bytes.in_flight };
    let door = RemoteWrite::with_limits(head.clone(), Some(wal), ha, clock.clone(), arrivals.clone(), limits);
    Ok((door, arrivals))
}

fn open_wal(
    dir: &Path,
    config: &Config,
    head: &Head,
    ha: &HaTracker,
    now: Timestamp,
) -> Result<Arc<Wal>, crate::wal::WalError> {
    let restored = replay(dir, head, ha, now - config.ingest.window)?;
    tracing::info!(
        samples = restored.samples,
        segments = restored.log.segments,
        torn_bytes = restored.log.torn_bytes,
        "write-ahead log replayed"
    );
    let wal = WalConfig { window: config.ingest.window, ..WalConfig::default() };
    Ok(Arc::new(Wal::open(dir, wal, now.as_millis())?))
}

/// Who may come in.
pub fn auth(config: &Config) -> Auth {
    let auth = &config.web.auth;
    let tokens: Vec<&Secret> = auth.bearer_tokens.iter().collect();
    let users: Vec<(&str, &Secret)> = auth.basic_auth_users.iter().map(|u| (&*u.username, &u.password)).collect();
    Auth::new(tokens, users)
}

/// What handlers need of the configuration.
pub fn settings(config: &Config) -> ApiSettings {
    ApiSettings {
        evaluation_interval: config.evaluation.interval,
        features: config.evaluation.features,
        external_url: config.external_url().to_string(),
        config_text: config.print_alertmanager().into(),
        resolve_timeout: config.resolve_timeout,
        trusted_proxies: config.web.trusted_proxies.clone(),
    }
}

/// The registry's hooks for the single writer.
pub fn door_hooks(registry: &Arc<AlertRegistry>, rules: &Arc<RuleEngine>, heartbeats: &SharedHeartbeats) -> DoorHooks {
    let (rules, leases, heartbeats) = (rules.clone(), registry.clone(), heartbeats.clone());
    let (expire, next, committed) = (registry.clone(), registry.clone(), registry.clone());
    DoorHooks {
        expire: Box::new(move |now| expire.expire(now, ROUND_ALERTS_MAX)),
        next_expiry: Box::new(move || next.next_expiry()),
        committed: Box::new(move |versions| {
            for (fingerprint, version) in versions {
                committed.committed(*fingerprint, *version);
            }
        }),
        clock_jumped: Box::new(move |by_ms, now| {
            leases.clock_jumped(by_ms, now);
            heartbeats.lock().clock_jumped(by_ms);
            rules.change(|set, _| {
                set.clock_jumped(by_ms, now);
                Evaluation::default()
            });
        }),
    }
}

/// The heartbeat alerts that others post, each with when it was received last.
pub fn posted_heartbeats(registry: &Arc<AlertRegistry>, clock: &Arc<dyn Clock>) -> VisitHeartbeats {
    let (registry, clock) = (registry.clone(), clock.clone());
    Box::new(move |heard| {
        let now = clock.now();
        registry.for_each(|record| {
            if !is_heartbeat(&record.labels) {
                return;
            }
            // A claim of our rules stands until they end it: that they are evaluated is seen elsewhere.
            let posted =
                record.leases.iter().filter(|lease| lease.source.door != Door::RemoteWrite && lease.is_live(now));
            if let Some(at) = posted.map(|lease| lease.updated_at).max() {
                heard(&record.labels, at);
            }
        });
    })
}
