//! Build: from a configuration to parts that are ready to run, with the state of the last run in them.
//! In: a checked [`Config`]. Out: [`Parts`].
//! Never: starts a loop, or sends anything: that is `system`.
//! Start at [`build`].

use super::doors::RuleDoor;
use super::options::AppError;
use super::parts::Parts;
use super::rules;
use crate::alerts::Book;
use crate::api::auth::Auth;
use crate::api::context::{Context, ReloadOrder, Settings};
use crate::api::write::{DoorLimits, WriteDoor, replay};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::engine::{Engine, Outcome, Restored};
use crate::inbox::inbox;
use crate::loops::decide::ROUND_ALERTS_MAX;
use crate::loops::deliver::{Deliver, into_inbox};
use crate::loops::evaluate::RuleEngine;
use crate::loops::ports::DoorHooks;
use crate::model::{Secret, Timestamp};
use crate::notify;
use crate::rules::RuleSet;
use crate::series::Head;
use crate::series::ha::HaTracker;
use crate::store::{SharedStore, Snapshot, SqliteStore, Store};
use crate::telemetry::{Health, Metrics};
use crate::wal::{Wal, WalConfig};
use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Ended alerts that leave the door's map in one sweep.
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
    let book = Arc::new(Book::new(config.ingest.book()));
    let rule_alerts = snapshot.rule_alerts.clone();
    let mut sent = snapshot.sent.clone();
    let receivers = config.engine_settings();
    for row in &mut sent {
        row.integration = receivers.integration(&row.receiver, &row.integration);
    }
    let (engine, first) = restore(config, &book, snapshot, now);
    let is_first_start = !config.storage.path.join(WAL_DIR).exists();
    let files = rules::files(config).map_err(|m| AppError::Start(m.to_string()))?;
    let head = Arc::new(Head::new(config.ingest.head()));
    // Held until the rules hold theirs.
    let selected = rules::watches(&files, &head);
    let (write, arrivals) = samples(config, &clock, &head)?;
    let mut rule_set = RuleSet::new(rules::settings(config, now), &files, &head, now);
    drop(selected);
    rule_set.restore(rule_alerts);
    let rules = Arc::new(RuleEngine { arrivals, ..RuleEngine::new(rule_set, head.clone()) });

    let (inbox, receiver) = inbox();
    let observer = super::gauges::attempt_observer(&metrics);
    let deliver =
        Arc::new(Deliver::new(config.notifiers.clone(), clock.clone(), into_inbox(inbox.clone()), Some(observer)));
    deliver.remember(&sent);
    // What was decided before the last stop and not delivered goes out again, with the same keys.
    deliver.dispatch(engine.pending().cloned().collect::<Vec<_>>());
    let context = Arc::new(Context {
        engine: Arc::new(RwLock::new(engine)),
        book: book.clone(),
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
        started_at: now,
    });
    let rule_sink = Arc::new(RuleDoor { book, inbox, clock, metrics });
    let start = Mutex::new(Some((receiver, first)));
    Ok(Parts { context, deliver, rules, rule_sink, is_first_start, store, start })
}

/// The engine and the door's map as they were when the last commit returned.
fn restore(config: &Config, book: &Book, snapshot: Snapshot, now: Timestamp) -> (Engine, Outcome) {
    book.restore(snapshot.alerts.iter().cloned(), now);
    let restored = Restored {
        alerts: snapshot.alerts,
        incidents: snapshot.incidents,
        members: snapshot.members,
        silences: snapshot.silences,
        nflog: snapshot.nflog,
        outbox: snapshot.outbox,
        recent_pages: Vec::new(),
        last_incident: snapshot.last_incident,
        last_timeline_seq: snapshot.last_timeline_seq,
    };
    Engine::restore(Arc::new(config.engine_settings()), restored, now)
}

/// The window, filled from the log, and the door in front of it.
fn samples(
    config: &Config,
    clock: &Arc<dyn Clock>,
    head: &Arc<Head>,
) -> Result<(WriteDoor, Arc<tokio::sync::Notify>), AppError> {
    let ingest = &config.ingest;
    let ha = Arc::new(HaTracker::new(ingest.ha()));
    let dir = config.storage.path.join(WAL_DIR);
    let now = clock.now();
    let wal = open_wal(&dir, config, head, &ha, now).map_err(|e| AppError::Start(e.to_string()))?;
    let arrivals = Arc::new(tokio::sync::Notify::new());
    let bytes = ingest.limits.door_bytes();
    let limits = DoorLimits { body_bytes: bytes.body, decoded_bytes: bytes.decoded, in_flight_bytes: bytes.in_flight };
    let door = WriteDoor::with_limits(head.clone(), Some(wal), ha, clock.clone(), arrivals.clone(), limits);
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
pub fn settings(config: &Config) -> Settings {
    Settings {
        evaluation_interval: config.evaluation.interval,
        features: config.evaluation.features,
        external_url: config.external_url().to_string(),
        config_text: config.print_alertmanager().into(),
        resolve_timeout: config.resolve_timeout,
    }
}

/// The door's hooks for the single writer.
pub fn door_hooks(book: &Arc<Book>) -> DoorHooks {
    let (expire, next, committed) = (book.clone(), book.clone(), book.clone());
    DoorHooks {
        expire: Box::new(move |now| expire.expire(now, ROUND_ALERTS_MAX)),
        next_expiry: Box::new(move || next.next_expiry()),
        committed: Box::new(move |versions| {
            for (fingerprint, version) in versions {
                committed.committed(*fingerprint, *version);
            }
        }),
    }
}
