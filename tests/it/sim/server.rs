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
use watchfire::alerts::{AlertRegistry, Observed, RegistryConfig};
use watchfire::clock::Clock;
use watchfire::engine::{Command, CommandError, Engine, Input, Outcome, Reply, Restart, Settings, Snapshot};
use watchfire::inbox::{Inbox, InboxReceiver, inbox};
use watchfire::loops::decide::{Decide, ROUND_ALERTS_MAX};
use watchfire::loops::deliver::{Deliver, into_inbox};
use watchfire::loops::ports::DoorHooks;
use watchfire::model::{Alert, Timestamp};
use watchfire::store::{Store, StoreError};
use watchfire::telemetry::{Health, Metrics};

/// Ended alerts that leave the registry in one sweep.
const GC_MAX: usize = 1_000;

pub struct Server {
    pub engine: Arc<RwLock<Engine>>,
    pub registry: Arc<AlertRegistry>,
    pub inbox: Inbox,
    pub store: FaultyStore,
    deliver: Arc<Deliver>,
    clock: Arc<dyn Clock>,
    world: Arc<World>,
}

/// The writer, which ends only when the store cannot be trusted.
pub type Writer = JoinHandle<Result<(), StoreError>>;

/// What a start makes of the rows.
struct Restarted {
    engine: Engine,
    registry: Arc<AlertRegistry>,
    first: Outcome,
    deliver: Arc<Deliver>,
    inbox: Inbox,
    receiver: InboxReceiver,
}

/// The one place where a snapshot becomes a server again, as `app::build` does it.
fn restart(snapshot: Snapshot, settings: &Arc<Settings>, clock: &Arc<dyn Clock>, world: &Arc<World>) -> Restarted {
    let now = clock.now();
    let Restart { engine, registry, first, resend, sent, .. } =
        Restart::new(settings.clone(), RegistryConfig::default(), snapshot, now);
    let (inbox, receiver) = inbox();
    let deliver = Arc::new(Deliver::new(notifiers(settings, world), clock.clone(), into_inbox(inbox.clone()), None));
    deliver.remember(&sent);
    deliver.dispatch(resend);
    Restarted { engine, registry: Arc::new(registry), first, deliver, inbox, receiver }
}

fn hooks(registry: &Arc<AlertRegistry>) -> DoorHooks {
    let (expire, next) = (registry.clone(), registry.clone());
    let (committed, leases) = (registry.clone(), registry.clone());
    DoorHooks {
        expire: Box::new(move |now| expire.expire(now, ROUND_ALERTS_MAX)),
        next_expiry: Box::new(move || next.next_expiry()),
        committed: Box::new(move |versions| {
            for (fingerprint, version) in versions {
                committed.committed(*fingerprint, *version);
            }
        }),
        clock_jumped: Box::new(move |by_ms, now| leases.clock_jumped(by_ms, now)),
    }
}

impl Server {
    pub async fn start(store: FaultyStore, settings: &Arc<Settings>, world: &Arc<World>) -> (Self, Writer) {
        let clock: Arc<dyn Clock> = Arc::new(WallClock(world.clone()));
        let snapshot = store.load().await.expect("the store loads");
        let Restarted { engine, registry, first, deliver, inbox, receiver } =
            restart(snapshot, settings, &clock, world);
        let engine = Arc::new(RwLock::new(engine));
        let decide = Decide {
            engine: engine.clone(),
            door: hooks(&registry),
            store: Arc::new(store.clone()),
            clock: clock.clone(),
            dispatch: deliver.clone(),
            metrics: Arc::new(Metrics::new("1")),
            health: Arc::new(Health::new(clock.now())),
        };
        let decide = tokio::spawn(decide.run(receiver, first, CancellationToken::new()));
        (Self { engine, registry, inbox, store, deliver, clock, world: world.clone() }, decide)
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Posts alerts as a door does; true when the sender got its 2xx.
    pub fn post(&self, alerts: Vec<Alert>) -> impl Future<Output = bool> + Send + use<> {
        let (now, inbox) = (self.now(), self.inbox.clone());
        let news: Vec<_> = alerts
            .into_iter()
            .filter_map(|alert| match self.registry.observe(alert, now) {
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
        self.registry.gc(self.now(), GC_MAX);
    }
}
