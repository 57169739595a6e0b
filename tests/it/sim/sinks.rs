//! The destinations: notifiers that do as the weather says, in simulated time.
//! In: messages. Out: answers, errors, silence; what arrived is noted before it is answered.
//! Never: talks to anything.
//! Start at [`notifiers`].

use super::world::{Dest, Weather, World};
use std::sync::Arc;
use std::time::Duration;
use watchfire::engine::Settings;
use watchfire::model::Notification;
use watchfire::notify::{Attempt, Delivery, KINDS, Notifier, Notifiers, NotifyError, NotifyFuture};

struct Channel {
    world: Arc<World>,
    dest: Dest,
    named: bool,
}

/// One channel for each integration of these settings.
pub fn notifiers(settings: &Settings, world: &Arc<World>) -> Notifiers {
    Notifiers::new(settings.receivers.iter().map(|receiver| {
        let channels = receiver.integrations.iter().map(|integration| {
            let (dest, named) = ((receiver.name.clone(), integration.id.clone()), integration.updates_in_place);
            Arc::new(Channel { world: world.clone(), dest, named }) as Arc<dyn Notifier>
        });
        (receiver.name.clone(), channels.collect())
    }))
}

/// The destinations of a receiver, in the order of its integrations.
pub fn dests(receiver: &Arc<str>, settings: &Settings) -> Vec<Dest> {
    let integrations = settings.receiver(receiver).map(|r| r.integrations.as_slice()).unwrap_or_default();
    integrations.iter().map(|one| (receiver.clone(), one.id.clone())).collect()
}

/// What will become of one attempt.
enum Fate {
    Taken {
        wait_ms: u64,
    },
    /// It arrives, and the answer is lost or bad.
    ArrivesAndFails,
    Fails {
        retry_after: Option<Duration>,
    },
    Refused,
    Hangs,
    /// Taken, and the server dies before it hears so.
    Crash,
}

impl Channel {
    fn fate(&self) -> Fate {
        let mut state = self.world.state();
        let weather = state.weather.get(&self.dest).copied().unwrap_or(Weather::Well);
        let (roll, wait) = (state.dice.below(1_000), state.dice.below(3_000));
        match weather {
            _ if roll == 0 => Fate::Crash,
            Weather::Well => Fate::Taken { wait_ms: wait / 60 },
            Weather::Slow => Fate::Taken { wait_ms: wait * 5 },
            Weather::Failing if roll < 500 => Fate::ArrivesAndFails,
            Weather::Failing | Weather::Dead => Fate::Fails { retry_after: None },
            Weather::Busy => Fate::Fails { retry_after: Some(Duration::from_mins(1)) },
            Weather::Refusing => Fate::Refused,
            Weather::Hanging if roll < 300 => Fate::Hangs,
            Weather::Hanging => Fate::Taken { wait_ms: wait },
        }
    }
}

impl Notifier for Channel {
    fn notify<'a>(&'a self, n: &'a Notification, attempt: &'a Attempt) -> NotifyFuture<'a> {
        Box::pin(async move {
            let temporary = |retry_after| Err(NotifyError::Temporary { reason: "no route".to_owned(), retry_after });
            match self.fate() {
                Fate::Taken { wait_ms } => {
                    self.world.arrived(&self.dest, n, attempt);
                    self.world.taken(&self.dest, n);
                    tokio::time::sleep(Duration::from_millis(wait_ms)).await;
                    let name = attempt.previous_ref.clone().unwrap_or_else(|| n.key.0.clone());
                    let external_ref = self.named.then_some(name);
                    if let Some(name) = &external_ref {
                        self.world.named(&self.dest, n, name);
                    }
                    Ok(Delivery { external_ref })
                }
                Fate::ArrivesAndFails => {
                    self.world.arrived(&self.dest, n, attempt);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    self.world.refused(&n.key);
                    temporary(None)
                }
                Fate::Fails { retry_after } => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    temporary(retry_after)
                }
                Fate::Refused => {
                    self.world.refused_for_good(&self.dest, n);
                    Err(NotifyError::permanent("gone for good"))
                }
                Fate::Hangs => std::future::pending().await,
                Fate::Crash => {
                    self.world.arrived(&self.dest, n, attempt);
                    // The answer is lost: the server takes it that it was heard, but for what it had taken back on the wire.
                    if !self.world.is_taken_back(&n.key) {
                        self.world.taken(&self.dest, n);
                    }
                    self.world.note(|| "crash between sent and recorded".to_owned());
                    self.world.crash_soon();
                    std::future::pending().await
                }
            }
        })
    }

    fn kind(&self) -> &'static str {
        KINDS.iter().map(|kind| kind.name).find(|name| *name == &**self.dest.1.kind()).unwrap()
    }

    fn in_flight_max(&self) -> usize {
        2
    }
}
