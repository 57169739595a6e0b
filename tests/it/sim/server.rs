//! One life of the simulated server: the real engine, alert registry, writer and deliverer over the faulty store.
//! In: settings and what the store holds. Out: handles to post, command, reload and look.
//! Never: outlives its runtime: dropping that is the crash.
//! Start at [`Server::start`].

use super::sinks::notifiers;
use super::store::FaultyStore;
use super::world::{WallClock, World};
use parking_lot::RwLock;
use std::sync::Arc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use watchfire::alerts::Book;
use watchfire::alerts::book::{BookConfig, Observed};
use watchfire::clock::Clock;
use watchfire::engine::{Command, CommandError, Engine, Input, Outcome, Reply, Restored, Settings};
use watchfire::inbox::{Inbox, InboxReceiver, inbox};
use watchfire::loops::decide::{Decide, ROUND_ALERTS_MAX};
use watchfire::loops::deliver::{Deliver, into_inbox};
use watchfire::loops::hands::DoorHooks;
use watchfire::model::{Alert, Timestamp};
use watchfire::store::{Snapshot, Store, StoreError};
use watchfire::telemetry::{Health, Metrics};

/// Ended alerts that leave the registry in one sweep.
const GC_MAX: usize = 1_000;

pub struct Server {
    pub engine: Arc<RwLock<Engine>>,
    pub book: Arc<Book>,
    pub inbox: Inbox,
    deliver: Arc<Deliver>,
    clock: Arc<dyn Clock>,
    world: Arc<World>,
}

/// The writer, which ends only when the store cannot be trusted.
pub type Writer = JoinHandle<Result<(), StoreError>>;

/// What a start makes of the rows.
struct Restarted {
    engine: Engine,
    book: Arc<Book>,
    first: Outcome,
    deliver: Arc<Deliver>,
    inbox: Inbox,
    receiver: InboxReceiver,
}

/// The one place where a snapshot becomes a server again, as `app::build` does it.
fn restart(snapshot: Snapshot, settings: &Arc<Settings>, clock: &Arc<dyn Clock>, world: &Arc<World>) -> Restarted {
    let now = clock.now();
    let book = Arc::new(Book::new(BookConfig::default()));
    book.restore(snapshot.alerts.iter().cloned(), now);
    let sent = snapshot.sent.clone();
    let (engine, first) = Engine::restore(settings.clone(), restored(snapshot), now);
    let (inbox, receiver) = inbox();
    let deliver = Arc::new(Deliver::new(notifiers(settings, world), clock.clone(), into_inbox(inbox.clone()), None));
    deliver.remember(&sent);
    deliver.dispatch(engine.pending().cloned().collect::<Vec<_>>());
    Restarted { engine, book, first, deliver, inbox, receiver }
}

pub fn restored(snapshot: Snapshot) -> Restored {
    Restored {
        alerts: snapshot.alerts,
        incidents: snapshot.incidents,
        members: snapshot.members,
        silences: snapshot.silences,
        nflog: snapshot.nflog,
        outbox: snapshot.outbox,
        recent_pages: Vec::new(),
        last_incident: snapshot.last_incident,
        last_timeline_seq: snapshot.last_timeline_seq,
    }
}

fn hooks(book: &Arc<Book>) -> DoorHooks {
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

impl Server {
    pub async fn start(store: FaultyStore, settings: &Arc<Settings>, world: &Arc<World>) -> (Self, Writer) {
        let clock: Arc<dyn Clock> = Arc::new(WallClock(world.clone()));
        let snapshot = store.load().await.expect("the store loads");
        let Restarted { engine, book, first, deliver, inbox, receiver } = restart(snapshot, settings, &clock, world);
        let engine = Arc::new(RwLock::new(engine));
        let decide = Decide {
            engine: engine.clone(),
            door: hooks(&book),
            store: Arc::new(store),
            clock: clock.clone(),
            dispatch: deliver.clone(),
            metrics: Arc::new(Metrics::new("1")),
            health: Arc::new(Health::new(clock.now())),
        };
        let decide = tokio::spawn(decide.run(receiver, first, CancellationToken::new()));
        (Self { engine, book, inbox, deliver, clock, world: world.clone() }, decide)
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Posts alerts as a door does; true when the sender got its 2xx.
    pub fn post(&self, alerts: Vec<Alert>) -> impl Future<Output = bool> + Send + use<> {
        let (now, inbox) = (self.now(), self.inbox.clone());
        let news: Vec<_> = alerts
            .into_iter()
            .filter_map(|alert| match self.book.observe(alert, now) {
                Ok(Observed::Transition(transition)) => Some(transition),
                _ => None,
            })
            .collect();
        async move { news.is_empty() || inbox.submit(Input::Transitions(news)).await.is_ok() }
    }

    /// Asks as a person does; `None`: no answer.
    pub fn command(
        &self,
        command: Command,
    ) -> impl Future<Output = Option<Result<Reply, CommandError>>> + Send + use<> {
        let inbox = self.inbox.clone();
        async move { inbox.submit(Input::Command(command)).await.ok().flatten() }
    }

    pub fn reload(&self, settings: &Arc<Settings>) -> impl Future<Output = bool> + Send + use<> {
        self.deliver.reload(notifiers(settings, &self.world));
        let (inbox, settings) = (self.inbox.clone(), settings.clone());
        async move { inbox.reload(settings).await.is_ok() }
    }

    /// What loop `retain` does to the registry.
    pub fn sweep(&self) {
        self.book.gc(self.now(), GC_MAX);
    }
}
