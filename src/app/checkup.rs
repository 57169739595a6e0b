//! Reads the signs of health of every part, every few seconds.
//! In: handles. Out: reports to [`Health`], one log line for each change.
//! Never: judges; `telemetry::checkup` does.
//! Start at [`run`].

use super::parts::{Parts, SharedDispatch};
use crate::api::context::Context;
use crate::loops::deliver::DestinationStatus;
use crate::model::Timestamp;
use crate::rules;
use crate::telemetry::{Checkup, Signs, Status};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Often enough for a person who looks at a page, rare enough to cost nothing.
const EVERY: Duration = Duration::from_secs(2);

/// Looks until stopped.
pub fn run(parts: &Parts, stop: CancellationToken) -> impl Future<Output = ()> + Send + use<> {
    let (context, deliver) = (parts.context.clone(), parts.deliver.clone());
    async move {
        let mut checkup = Checkup::default();
        loop {
            report(&context, &deliver, &mut checkup, context.clock.now());
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }
}

fn report(context: &Arc<Context>, deliver: &SharedDispatch, checkup: &mut Checkup, now: Timestamp) {
    for (part, status, text) in checkup.look(&signs(context, deliver), now) {
        if context.health.set(part, status, &text, now) {
            let part = part.as_str();
            match status {
                Status::Ok => tracing::info!(part, "well again"),
                Status::Degraded => tracing::warn!(part, text, "degraded"),
                Status::Failed => tracing::error!(part, text, "failed"),
            }
        }
    }
}

fn signs(context: &Arc<Context>, deliver: &SharedDispatch) -> Signs {
    let wal = context.write.wal_status().unwrap_or_default();
    let view = context.rules.load();
    let failing = view.groups.iter().flat_map(|g| &g.rules).filter(|r| r.health == rules::Health::Err);
    let why = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let destinations = deliver.status();
    let name = |d: &DestinationStatus| format!("{} {}", d.receiver, d.integration);
    let open = destinations.iter().filter(|d| d.breaker_open);
    let breakers_open = open.map(|d| (name(d), why(d.last_error.as_deref()))).collect();
    let refusing = destinations.iter().filter_map(|d| Some((name(d), d.refused.clone()?))).collect();
    let refused = context.write.counters().rejected().find(|(reason, _)| *reason == "too_many_series");
    let senders = context.write.senders().offsets(context.clock.now());
    let (undelivered, undelivered_since) = {
        let engine = context.engine.read();
        (engine.pending().count(), engine.pending().map(|n| n.created_at).min())
    };
    Signs {
        wal_failed: wal.failed,
        wal_refused: wal.refused,
        wal_syncing_for: wal.syncing_for,
        series: context.head.series_count(),
        series_max: context.head.series_max(),
        series_refused: refused.map_or(0, |(_, n)| n),
        senders_off: senders.iter().filter(|s| s.is_off).map(|s| (s.sender.to_string(), s.offset_ms)).collect(),
        rules_failing: failing.map(|r| (r.name.to_string(), why(r.last_error.as_deref()))).collect(),
        rules_missed_slots: view.groups.iter().map(|g| g.missed_slots).sum(),
        inbox_fullness: context.inbox.fullness(),
        inbox_refused: context.inbox.refused(),
        breakers_open,
        refusing,
        undelivered,
        undelivered_since,
    }
}
