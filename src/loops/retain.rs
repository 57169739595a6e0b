//! Time limits on everything kept: once a minute, what is too old goes.
//! In: the clock and [`KEEP`]. Out: removals in the store and sweeps of what is in memory.
//! Never: removes what is open, pending or firing (the store sees to that).
//! Start at [`Retain::run`].

use crate::clock::Clock;
use crate::model::Timestamp;
use crate::store::{RETAIN_ROWS_MAX, Retention, SharedStore, StoreError};
use crate::telemetry::Metrics;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long each kind is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepFor {
    /// Resolved incidents with timeline, members, pages and the alerts that only they hold.
    pub incidents: Duration,
    /// Announcements that were sent, given up or replaced.
    pub announcements: Duration,
}

/// The table of time limits: a quarter for what reviews look back on, a week (twice the patience of delivery and more) for
/// what only answers "was it sent?".
pub const KEEP: KeepFor =
    KeepFor { incidents: Duration::from_hours(90 * 24), announcements: Duration::from_hours(7 * 24) };
const EVERY: Duration = Duration::from_mins(1);
const RELIEF_EVERY: Duration = Duration::from_secs(1);
/// Removals per pass; a backlog is worked off over the next minutes instead of holding the writer.
const ROUNDS_MAX: usize = 20;

/// Frees what it holds and no reader needs at that moment (`alerts::AlertRegistry`, `series::Head`). It may take a while.
pub type Sweep = Arc<dyn Fn(Timestamp) + Send + Sync>;

pub struct Retain {
    pub store: SharedStore,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<Metrics>,
    pub keep: KeepFor,
    pub sweeps: Vec<Sweep>,
    /// What cannot wait for a minute: memory beyond its budget. Asked once a second.
    pub relief: Sweep,
}

impl Retain {
    /// Runs until `stop`. An error means: the store cannot be trusted, end the process.
    pub async fn run(self, stop: CancellationToken) -> Result<(), StoreError> {
        // Beside each other: a store that hangs must not hold up what bounds memory.
        tokio::select! {
            ended = self.passes(&stop) => ended,
            never = self.relieve() => match never {},
        }
    }

    async fn relieve(&self) -> Infallible {
        loop {
            tokio::time::sleep(RELIEF_EVERY).await;
            self.call(&self.relief).await;
        }
    }

    async fn passes(&self, stop: &CancellationToken) -> Result<(), StoreError> {
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(EVERY) => {}
            }
            match self.pass().await {
                Ok(_) => {}
                Err(StoreError::Unavailable(text)) => {
                    tracing::warn!(error = text, "nothing was removed; trying again in a minute");
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// On a thread of its own: it looks at millions of series, and requests are answered meanwhile.
    async fn call(&self, sweep: &Sweep) {
        let (sweep, now) = (sweep.clone(), self.clock.now());
        if let Err(failed) = tokio::task::spawn_blocking(move || sweep(now)).await
            && let Ok(panic) = failed.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
    }

    /// One minute's work; returns how many incidents and announcements went.
    pub async fn pass(&self) -> Result<u64, StoreError> {
        let now = self.clock.now();
        for sweep in &self.sweeps {
            self.call(sweep).await;
        }
        let keep = Retention {
            incidents_before: now - self.keep.incidents,
            notifications_before: now - self.keep.announcements,
        };
        let mut removed = 0;
        for _ in 0..ROUNDS_MAX {
            let gone = self.store.retain(keep).await?;
            removed += gone;
            if gone < RETAIN_ROWS_MAX as u64 {
                break;
            }
        }
        self.metrics.store.removed.inc_by(removed);
        Ok(removed)
    }
}
