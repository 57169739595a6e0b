//! A commit that is tried until the store takes it.
//! In: the writes of one round. Out: durable rows, or an error that ends the process.
//! Never: gives up a batch while the process runs, or hides from health that it waits.
//! Start at [`commit`].

use super::decide::Decide;
use crate::inbox::InboxReceiver;
use crate::model::Write;
use crate::store::StoreError;
use crate::telemetry::{Part, Status};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Between tries of a commit that the store could not take; doubles up to the second.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Tries until the store takes it; until then no request is answered and nothing else is decided.
pub(super) async fn commit(
    writer: &Decide,
    writes: Vec<Write>,
    inbox: &InboxReceiver,
    stop: &CancellationToken,
) -> Result<(), StoreError> {
    let (mut wait, started) = (RETRY_FIRST, Instant::now());
    writer.metrics.store.batch_rows.observe(writes.len() as f64);
    loop {
        match writer.store.commit(writes.clone()).await {
            Ok(()) => break,
            Err(StoreError::Unavailable(text)) if !stop.is_cancelled() => {
                writer.metrics.store.errors.inc();
                inbox.set_unavailable(true);
                if writer.health.set(Part::Store, Status::Failed, &text, writer.clock.now()) {
                    tracing::error!(error = text, "the store takes nothing; trying again until it does");
                }
            }
            Err(error) => {
                writer.health.set(Part::Store, Status::Failed, &error.to_string(), writer.clock.now());
                return Err(error);
            }
        }
        tokio::select! {
            biased;
            () = tokio::time::sleep(wait) => wait = (wait * 2).min(RETRY_MAX),
            () = stop.cancelled() => {}
        }
    }
    inbox.set_unavailable(false);
    if writer.health.set(Part::Store, Status::Ok, "", writer.clock.now()) {
        tracing::info!("the store takes commits again");
    }
    writer.metrics.store.commit_duration_seconds.observe(started.elapsed().as_secs_f64());
    Ok(())
}
