//! Figures that other rooms hold, tied to telemetry.
//! In: handles. Out: closures that a scrape calls, and observers that loops call.
//! Never: counts twice; each figure has one owner.
//! Start at [`register`].

use super::parts::Parts;
use crate::api::context::Context;
use crate::loops::deliver::{AttemptSeen, Observer};
use crate::loops::evaluate::TurnObserver;
use crate::rules::Evaluation;
use crate::telemetry::{Metrics, readings};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

type Labelled = Vec<(Vec<(&'static str, String)>, f64)>;

fn by(label: &'static str, rows: &[(&str, usize)]) -> Labelled {
    rows.iter().map(|(value, n)| (vec![(label, (*value).to_owned())], *n as f64)).collect()
}

/// Everything that is read at scrape time.
pub fn register(parts: &Parts) {
    let context = &parts.context;
    let metrics = &context.metrics;
    let head = context.head.clone();
    metrics.read_one(readings::HEAD_SERIES, move || head.series_count() as f64);
    let head = context.head.clone();
    metrics.read_one(readings::HEAD_SAMPLES, move || head.sample_count() as f64);
    let head = context.head.clone();
    metrics.read_one(readings::HEAD_BYTES, move || head.memory_bytes() as f64);
    let counts = |context: &Arc<Context>| {
        let context = Arc::downgrade(context);
        move || context.upgrade().map(|c| c.engine.read().counts(c.clock.now())).unwrap_or_default()
    };
    let read = counts(context);
    metrics.read(readings::ALERTS_ACTIVE, move || {
        let counts = read();
        by("state", &[("firing", counts.alerts_firing), ("ended", counts.alerts_ended)])
    });
    let read = counts(context);
    metrics.read(readings::INCIDENTS, move || {
        let counts = read();
        by(
            "status",
            &[
                ("triggered", counts.incidents_triggered),
                ("acknowledged", counts.incidents_acknowledged),
                ("resolved", counts.incidents_resolved),
            ],
        )
    });
    let read = counts(context);
    metrics.read(readings::SILENCES, move || {
        let counts = read();
        by(
            "state",
            &[
                ("active", counts.silences_active),
                ("pending", counts.silences_pending),
                ("expired", counts.silences_expired),
            ],
        )
    });
    let read = counts(context);
    metrics.read_one(readings::GROUPS, move || read().groups as f64);
    let read = counts(context);
    metrics.read_one(readings::PAGES_HELD_BACK, move || read().pages_held_back as f64);
    let read = counts(context);
    metrics.read_one(readings::OUTBOX_PENDING, move || read().outbox_pending as f64);
    let rules = context.rules.clone();
    metrics.read_one(readings::RULES_MISSED_SLOTS, move || {
        rules.load().groups.iter().map(|group| group.missed_slots).sum::<u64>() as f64
    });
    let inbox = context.inbox.clone();
    metrics.read_one(readings::INBOX_DEPTH, move || inbox.depth() as f64);
    let inbox = context.inbox.clone();
    metrics.read_one(readings::INBOX_REFUSED, move || inbox.refused() as f64);
    let deliver = parts.deliver.clone();
    metrics.read(readings::NOTIFICATIONS_QUEUE, move || {
        let row = |d: &crate::loops::deliver::DestinationStatus| (destination(d), d.queued as f64);
        deliver.status().iter().map(row).collect()
    });
    let deliver = parts.deliver.clone();
    metrics.read(readings::NOTIFICATIONS_BREAKER_OPEN, move || {
        let row = |d: &crate::loops::deliver::DestinationStatus| (destination(d), f64::from(u8::from(d.breaker_open)));
        deliver.status().iter().map(row).collect()
    });
    register_door(context);
}

fn destination(d: &crate::loops::deliver::DestinationStatus) -> Vec<(&'static str, String)> {
    vec![("receiver", d.receiver.to_string()), ("integration", d.integration.to_string())]
}

/// Door A counts without locks; a scrape reads its counters.
fn register_door(context: &Arc<Context>) {
    let metrics = &context.metrics;
    let door = context.write.clone();
    metrics.read(readings::INGEST_REQUESTS, move || {
        let row = |(version, code, n): (&str, u16, u64)| {
            (vec![("version", version.to_owned()), ("code", code.to_string())], n as f64)
        };
        door.counters().requests().map(row).collect()
    });
    let door = context.write.clone();
    metrics.read(readings::INGEST_REJECTED, move || {
        let row = |(reason, n): (&str, u64)| (vec![("reason", reason.to_owned())], n as f64);
        door.counters().rejected().map(row).collect()
    });
    let door = context.write.clone();
    metrics.read_one(readings::INGEST_SAMPLES, move || door.counters().samples.load(Ordering::Relaxed) as f64);
    let door = context.write.clone();
    metrics.read_one(readings::INGEST_HISTOGRAMS, move || door.counters().histograms.load(Ordering::Relaxed) as f64);
    let door = context.write.clone();
    metrics.read_one(readings::INGEST_EXEMPLARS, move || door.counters().exemplars.load(Ordering::Relaxed) as f64);
    let door = context.write.clone();
    metrics.read_one(readings::INGEST_BYTES, move || door.counters().wire_bytes.load(Ordering::Relaxed) as f64);
    let door = context.write.clone();
    metrics.read_one(readings::INGEST_HA_DROPPED, move || door.counters().ha_dropped.load(Ordering::Relaxed) as f64);
    let head = context.head.clone();
    metrics.read(readings::INGEST_LEFT_OUT, move || {
        let row = |(metric, n): (Arc<str>, u64)| (vec![("metric", metric.to_string())], n as f64);
        head.left_out().into_iter().map(row).collect()
    });
    let door = context.write.clone();
    metrics.read_one(readings::INGEST_IN_FLIGHT, move || door.in_flight_bytes() as f64);
}

/// What the evaluate loop tells after each turn.
pub fn rule_observer(context: &Arc<Context>) -> TurnObserver {
    let metrics = context.metrics.clone();
    Arc::new(move |news: &Evaluation, took: Duration| {
        if news.evaluations > 0 {
            metrics.rules.evaluated(news.evaluations, news.errors.len() as u64, took);
        }
    })
}

/// What deliver tells after each try.
pub fn attempt_observer(metrics: &Arc<Metrics>) -> Observer {
    let metrics = metrics.clone();
    Arc::new(move |seen: &AttemptSeen| match seen.outcome {
        "delivered" => metrics.notifications.sent(&seen.integration_kind, seen.took),
        "temporary" => metrics.notifications.retried(&seen.integration_kind, seen.took),
        _ => metrics.notifications.failed(&seen.integration_kind, "refused"),
    })
}
