//! The tasks: one for each probe, so that one that hangs keeps no other waiting.
//! In: the probes in force. Out: samples after every try, stale markers when a probe goes.
//! Never: asks one probe twice at the same time.
//! Start at [`Prober::reload`].

use super::ask::{Outcome, ask};
use super::samples::{samples, stale};
use super::settings::Probe;
use crate::model::Labels;
use parking_lot::Mutex;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

/// Takes what one try found; it must not wait.
pub type Sink = Arc<dyn Fn(&Probe, Vec<(Labels, f64)>) + Send + Sync>;

/// Open while a probe is in force; the code that hands on samples holds it, so that no sample comes after the end.
type Door = Arc<Mutex<bool>>;

struct Running {
    probe: Arc<Probe>,
    door: Door,
    task: JoinHandle<()>,
}

impl Running {
    fn end(&self) {
        *self.door.lock() = false;
        self.task.abort();
    }
}

/// All probes of this process.
pub struct Prober {
    client: reqwest::Client,
    sink: Sink,
    tasks: Mutex<Vec<Running>>,
}

impl Prober {
    pub fn new(client: reqwest::Client, sink: Sink) -> Self {
        Self { client, sink, tasks: Mutex::default() }
    }

    /// From now on these are asked. Probes that did not change go on undisturbed; series of those that are gone end.
    pub fn reload(&self, probes: &[Probe]) {
        let mut tasks = self.tasks.lock();
        let (kept, gone): (Vec<_>, Vec<_>) = tasks.drain(..).partition(|running| probes.contains(&running.probe));
        for running in gone {
            running.end();
            (self.sink)(&running.probe, stale(&running.probe));
        }
        *tasks = kept;
        for probe in probes {
            if !tasks.iter().any(|running| *running.probe == *probe) {
                let (probe, door) = (Arc::new(probe.clone()), Arc::new(Mutex::new(true)));
                let work = for_ever(self.client.clone(), probe.clone(), self.sink.clone(), door.clone());
                tasks.push(Running { probe, door, task: tokio::spawn(work) });
            }
        }
    }

    /// No further question; the last answers stay as they are.
    pub fn stop(&self) {
        for running in self.tasks.lock().drain(..) {
            running.end();
        }
    }
}

/// Spread over the interval by name, so that a thousand probes are not a thousand questions at once.
fn offset(probe: &Probe) -> Duration {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(&probe.name);
    // The first answer should not keep people waiting for longer than a second.
    let room = probe.interval.min(Duration::from_secs(1)).as_millis().max(1);
    Duration::from_millis((u128::from(hash) % room) as u64)
}

async fn for_ever(client: reqwest::Client, probe: Arc<Probe>, sink: Sink, door: Door) {
    let mut due = tokio::time::interval_at(tokio::time::Instant::now() + offset(&probe), probe.interval);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before: Option<Outcome> = None;
    loop {
        due.tick().await;
        let outcome = ask(&client, &probe).await;
        let was = before.as_ref().and_then(|outcome| outcome.failure);
        match (was, outcome.failure) {
            (was, Some(reason)) if was != Some(reason) => {
                tracing::warn!(probe = %probe.name, reason, status = outcome.status, "probe fails");
            }
            (Some(_), None) => tracing::info!(probe = %probe.name, "probe succeeds again"),
            _ => {}
        }
        {
            let open = door.lock();
            if !*open {
                return;
            }
            sink(&probe, samples(&probe, &outcome));
        }
        before = Some(outcome);
    }
}
