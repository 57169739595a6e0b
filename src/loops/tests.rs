//! The promises of the single writer, with an engine and a store whose behaviour each test chooses.
//! In: inputs through the inbox. Out: the order in which things became known.
//! Never: waits for time to pass.
//! Start at [`Scene`].

use super::decide::Decide;
use super::ports::{Decisions, Dispatch, DoorHooks};
use super::retain::{KEEP, Retain};
use crate::clock::ManualClock;
use crate::engine::{Command, CommandKind, Input, Outcome, Reply, Settings};
use crate::inbox::{Inbox, InboxError, InboxReceiver, inbox};
use crate::model::{
    Fingerprint, IncidentId, IntegrationId, Labels, Message, Notification, NotificationKey, NotificationKind,
    NotificationState, Timestamp, Write,
};
use crate::store::{
    IncidentQuery, MemoryStore, NotificationPage, NotificationQuery, Retention, SharedStore, Snapshot, Store,
    StoreError, StoreFuture,
};
use crate::telemetry::{Health, Metrics, Part, Status};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What happened, in order.
type Log = Arc<Mutex<Vec<String>>>;

/// Each input becomes one write and one message named after it.
struct Engine {
    log: Log,
    due: Mutex<Option<Timestamp>>,
}

fn notification(key: &str) -> Arc<Notification> {
    Arc::new(Notification {
        key: NotificationKey(Arc::from(key)),
        kind: NotificationKind::Update { incident: IncidentId(1) },
        receiver: Arc::from("first"),
        integration: IntegrationId::new("log", 0),
        message: Arc::new(Message {
            firing: true,
            receiver: Arc::from("first"),
            group_key: Arc::from(""),
            group_labels: Labels::empty(),
            common_labels: Labels::empty(),
            common_annotations: Labels::empty(),
            external_url: Arc::from(""),
            alerts: Vec::new(),
            truncated_alerts: 0,
            incident: None,
            incidents: Vec::new(),
        }),
        created_at: Timestamp::EPOCH,
        state: NotificationState::Pending,
        attempts: 0,
        sent_at: None,
        error: None,
        external_ref: None,
    })
}

impl Decisions for Engine {
    fn apply(&self, now: Timestamp, input: Input) -> Outcome {
        let (name, cancel) = match input {
            Input::Command(command) => (command.note.unwrap_or_default(), command.by.to_string()),
            Input::Tick => {
                *self.due.lock() = None;
                ("tick".to_owned(), String::new())
            }
            Input::Transitions(transitions) => (format!("expired {}", transitions.len()), String::new()),
            Input::RuleAlerts(_) | Input::Receipt(_) | Input::ClockJumped { .. } => ("other".to_owned(), String::new()),
        };
        self.log.lock().push(format!("apply {name} at {}", now.as_millis()));
        let row = notification(&name);
        Outcome {
            writes: vec![Write::Notification(Arc::clone(&row))],
            send: vec![row],
            cancel: if cancel.is_empty() { Vec::new() } else { vec![NotificationKey(Arc::from(cancel))] },
            reply: Some(Ok(Reply::Done)),
            committed: vec![(Fingerprint(7), 1)],
            ..Outcome::default()
        }
    }

    fn reload(&self, _: Timestamp, _: Arc<Settings>) -> Outcome {
        self.log.lock().push("reload".to_owned());
        Outcome::default()
    }

    fn next_due(&self) -> Option<Timestamp> {
        *self.due.lock()
    }
}

/// Answers commits from a list, then with success; its removals never end.
struct Told {
    inner: MemoryStore,
    log: Log,
    answers: Mutex<VecDeque<StoreError>>,
}

impl Store for Told {
    fn load(&self) -> StoreFuture<'_, Snapshot> {
        self.inner.load()
    }
    fn commit(&self, writes: Vec<Write>) -> StoreFuture<'_, ()> {
        let answer = self.answers.lock().pop_front();
        self.log.lock().push(format!("commit {} {}", writes.len(), if answer.is_none() { "ok" } else { "failed" }));
        match answer {
            Some(error) => Box::pin(async move { Err(error) }),
            None => self.inner.commit(writes),
        }
    }
    fn incidents(&self, query: IncidentQuery) -> StoreFuture<'_, Vec<crate::model::Incident>> {
        self.inner.incidents(query)
    }
    fn incident(&self, id: IncidentId) -> StoreFuture<'_, Option<crate::model::Incident>> {
        self.inner.incident(id)
    }
    fn members(&self, id: IncidentId) -> StoreFuture<'_, Vec<crate::model::Member>> {
        self.inner.members(id)
    }
    fn alerts_of(&self, id: IncidentId) -> StoreFuture<'_, Vec<crate::model::AlertRecord>> {
        self.inner.alerts_of(id)
    }
    fn timeline(&self, id: IncidentId, limit: usize) -> StoreFuture<'_, Vec<crate::model::TimelineEntry>> {
        self.inner.timeline(id, limit)
    }
    fn notifications(&self, id: IncidentId) -> StoreFuture<'_, Vec<Notification>> {
        self.inner.notifications(id)
    }
    fn notification_page(&self, query: NotificationQuery) -> StoreFuture<'_, NotificationPage> {
        self.inner.notification_page(query)
    }
    fn notification(&self, key: NotificationKey) -> StoreFuture<'_, Option<Notification>> {
        self.inner.notification(key)
    }
    fn retain(&self, _: Retention) -> StoreFuture<'_, u64> {
        Box::pin(std::future::pending())
    }
}

struct Sink(Log);

impl Dispatch for Sink {
    fn send(&self, notifications: Vec<Arc<Notification>>) {
        let keys: Vec<String> = notifications.iter().map(|n| n.key.to_string()).collect();
        self.0.lock().push(format!("send {}", keys.join(" ")));
    }
    fn cancel(&self, keys: Vec<NotificationKey>) {
        let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
        self.0.lock().push(format!("cancel {}", keys.join(" ")));
    }
}

/// A writer that is ready to run, and what it does.
struct Scene {
    log: Log,
    inbox: Inbox,
    receiver: InboxReceiver,
    decide: Decide,
    engine: Arc<Engine>,
    health: Arc<Health>,
    stop: CancellationToken,
}

fn scene(failures: Vec<StoreError>) -> Scene {
    let log = Log::default();
    let (inbox, receiver) = inbox();
    let engine = Arc::new(Engine { log: Arc::clone(&log), due: Mutex::new(None) });
    let health = Arc::new(Health::new(Timestamp::EPOCH));
    let committed = Arc::clone(&log);
    let decide = Decide {
        engine: Arc::<Engine>::clone(&engine),
        door: DoorHooks {
            expire: Box::new(|_| Vec::new()),
            next_expiry: Box::new(|| None),
            clock_jumped: Box::new(|_, _| ()),
            committed: Box::new(move |versions| {
                if !versions.is_empty() {
                    committed.lock().push(format!("committed {}", versions.len()));
                }
            }),
        },
        store: Arc::new(Told {
            inner: MemoryStore::new(),
            log: Arc::clone(&log),
            answers: Mutex::new(failures.into()),
        }),
        clock: Arc::new(ManualClock::at(Timestamp::from_millis(5))),
        dispatch: Arc::new(Sink(Arc::clone(&log))),
        metrics: Arc::new(Metrics::new("1")),
        health: Arc::clone(&health),
    };
    Scene { log, inbox, receiver, decide, engine, health, stop: CancellationToken::new() }
}

/// A command; `cancels` names a message that it replaces.
fn command(name: &str, cancels: &str) -> Input {
    let kind = CommandKind::Note(IncidentId(1));
    Input::Command(Command { by: Arc::from(cancels), note: Some(name.to_owned()), kind })
}

fn lines(log: &Log) -> Vec<String> {
    log.lock().clone()
}

#[tokio::test]
async fn effects_leave_after_the_commit_and_a_round_is_one_commit() {
    let Scene { log, inbox, receiver, decide, stop, .. } = scene(Vec::new());
    for (name, cancels) in [("a", ""), ("b", ""), ("c", "a")] {
        inbox.try_post(command(name, cancels)).unwrap();
    }
    let writer = tokio::spawn(decide.run(receiver, Outcome::default(), stop.clone()));
    assert_eq!(inbox.submit(command("d", "")).await, Ok(Some(Ok(Reply::Done))));
    stop.cancel();
    writer.await.unwrap().unwrap();
    let expected = [
        "apply a at 5",
        "apply b at 5",
        "apply c at 5",
        "apply d at 5",
        "commit 4 ok",
        "committed 4",
        "cancel a",
        "send b c d",
    ];
    assert_eq!(lines(&log), expected);
}

#[tokio::test]
async fn what_is_due_joins_the_round_and_what_was_restored_goes_first() {
    let Scene { log, inbox, receiver, decide, engine, stop, .. } = scene(Vec::new());
    *engine.due.lock() = Some(Timestamp::from_millis(5));
    inbox.try_post(command("a", "")).unwrap();
    let row = notification("restored");
    let first = Outcome { writes: vec![Write::Notification(Arc::clone(&row))], send: vec![row], ..Outcome::default() };
    stop.cancel();
    decide.run(receiver, first, stop).await.unwrap();
    let expected = [
        "commit 1 ok",
        "send restored",
        "apply a at 5",
        "apply tick at 5",
        "commit 2 ok",
        "committed 2",
        "send a tick",
    ];
    assert_eq!(lines(&log), expected, "a stop still decides what is in line");
    assert_eq!(inbox.submit(Input::Tick).await, Err(InboxError::Stopped));
}

#[tokio::test]
async fn the_same_commit_is_tried_until_the_store_takes_it() {
    let full = || StoreError::Unavailable("disk full".to_owned());
    let Scene { log, inbox, receiver, decide, health, stop, .. } = scene(vec![full(), full()]);
    let writer = tokio::spawn(decide.run(receiver, Outcome::default(), stop.clone()));
    assert_eq!(inbox.submit(command("a", "")).await, Ok(Some(Ok(Reply::Done))));
    assert_eq!(health.report().status, Status::Ok);
    stop.cancel();
    writer.await.unwrap().unwrap();
    let expected = ["apply a at 5", "commit 1 failed", "commit 1 failed", "commit 1 ok", "committed 1", "send a"];
    assert_eq!(lines(&log), expected);
}

#[tokio::test]
async fn a_store_that_cannot_be_trusted_ends_the_writer_and_nobody_is_answered() {
    let Scene { log, inbox, receiver, decide, health, stop, .. } =
        scene(vec![StoreError::Fatal("fsync failed".to_owned())]);
    let writer = tokio::spawn(decide.run(receiver, Outcome::default(), stop));
    assert_eq!(inbox.submit(command("a", "")).await, Err(InboxError::Stopped));
    assert!(matches!(writer.await.unwrap(), Err(StoreError::Fatal(_))));
    assert_eq!(lines(&log), ["apply a at 5", "commit 1 failed"]);
    let report = health.report();
    let store = report.parts.iter().find(|p| p.part == Part::Store).unwrap();
    assert_eq!((store.status, store.text.contains("fsync failed")), (Status::Failed, true));
}

#[tokio::test]
async fn a_pass_of_retain_sweeps_and_removes() {
    let store: SharedStore = Arc::new(MemoryStore::new());
    let old = Notification {
        kind: NotificationKind::Announcement {
            group_key: Arc::from(""),
            firing: Vec::new(),
            resolved: Vec::new(),
            log_expires_at: Timestamp::EPOCH,
            reason: String::new(),
        },
        state: NotificationState::Sent,
        ..Notification::clone(&notification("old"))
    };
    store.commit(vec![Write::Notification(Arc::new(old))]).await.unwrap();
    let swept = Arc::new(Mutex::new(Vec::new()));
    let sweep = Arc::clone(&swept);
    let clock = Arc::new(ManualClock::at(Timestamp::EPOCH + KEEP.announcements));
    let retain = Retain {
        store,
        clock: Arc::<ManualClock>::clone(&clock),
        metrics: Arc::new(Metrics::new("1")),
        keep: KEEP,
        sweeps: vec![Arc::new(move |now| sweep.lock().push(now))],
        relief: Arc::new(|_| {}),
    };
    assert_eq!(retain.pass().await.unwrap(), 0, "exactly as old as it may be");
    let later = Timestamp::EPOCH + KEEP.announcements + std::time::Duration::from_millis(1);
    clock.set(later);
    assert_eq!(retain.pass().await.unwrap(), 1);
    assert_eq!(swept.lock().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn memory_is_relieved_while_the_store_hangs() {
    let store = Told { inner: MemoryStore::new(), log: Log::default(), answers: Mutex::default() };
    let (told, mut relieved) = tokio::sync::mpsc::channel(1000);
    let retain = Retain {
        store: Arc::new(store),
        clock: Arc::new(ManualClock::at(Timestamp::EPOCH)),
        metrics: Arc::new(Metrics::new("1")),
        keep: KEEP,
        sweeps: Vec::new(),
        relief: Arc::new(move |now| told.try_send(now).unwrap()),
    };
    let start = tokio::time::Instant::now();
    let running = tokio::spawn(retain.run(CancellationToken::new()));
    while start.elapsed() < std::time::Duration::from_mins(3) {
        let next = tokio::time::timeout(std::time::Duration::from_mins(1), relieved.recv());
        next.await.expect("it goes on");
    }
    running.abort();
}

/// A wall clock that is set is noticed by the next round: everybody who waits is told before anything else is decided.
#[tokio::test]
async fn a_clock_that_was_set_is_told_to_whoever_waits() {
    let Scene { log, inbox, receiver, mut decide, health, stop, .. } = scene(Vec::new());
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(5)));
    decide.clock = clock.clone();
    let told = Arc::clone(&log);
    decide.door.clock_jumped = Box::new(move |by_ms, now| {
        told.lock().push(format!("door hears of {by_ms} at {}", now.as_millis()));
    });
    let metrics = Arc::clone(&decide.metrics);
    let writer = tokio::spawn(decide.run(receiver, Outcome::default(), stop.clone()));
    inbox.submit(command("a", "")).await.unwrap();
    clock.jump(3_600_000);
    inbox.submit(command("b", "")).await.unwrap();
    stop.cancel();
    writer.await.unwrap().unwrap();
    let lines = lines(&log);
    let at = |line: &str| lines.iter().position(|l| l == line).unwrap_or_else(|| panic!("{line} is not in {lines:?}"));
    assert!(at("door hears of 3600000 at 3600005") < at("apply other at 3600005"));
    assert!(at("apply other at 3600005") < at("apply b at 3600005"));
    assert!(metrics.encode(crate::telemetry::Exposition::Plain).contains("watchfire_clock_jumps_total 1"));
    let part = health.report().parts.into_iter().find(|p| p.part == Part::Clock).unwrap();
    assert_eq!(part.status, Status::Degraded);
}
