//! Figures that other rooms hold, tied to telemetry.
//! In: handles. Out: closures that a scrape calls, and observers that loops call.
//! Never: counts twice; each figure has one owner.
//! Start at [`register`].

use super::parts::Parts;
use crate::api::context::Context;
use crate::ingest::SenderOffset;
use crate::loops::deliver::{AttemptSeen, Observer};
use crate::loops::evaluate::TurnObserver;
use crate::rules::{Evaluation, GroupView, RulesView};
use crate::telemetry::{Metrics, readings};
use parking_lot::Mutex;
use std::collections::BTreeMap;
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
    let missed = Mutex::new(MissedSlots::default());
    metrics.read_one(readings::RULES_MISSED_SLOTS, move || missed.lock().of(&rules.load()) as f64);
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
    let deliver = parts.deliver.clone();
    metrics.read(readings::NOTIFICATIONS_GIVEN_UP, move || {
        let row = |d: &crate::loops::deliver::DestinationStatus| (destination(d), d.failed as f64);
        deliver.status().iter().map(row).collect()
    });
    register_door(context);
}

/// A sum over groups that come and go with the configuration, and yet a counter: it never falls.
#[derive(Default)]
struct MissedSlots {
    total: u64,
    /// By file and name, of the groups of the last scrape.
    seen: BTreeMap<(Arc<str>, Arc<str>), u64>,
}

impl MissedSlots {
    fn of(&mut self, view: &RulesView) -> u64 {
        let key = |group: &GroupView| (group.file.clone(), group.name.clone());
        let now: BTreeMap<_, _> = view.groups.iter().map(|group| (key(group), group.missed_slots)).collect();
        for (group, missed) in &now {
            // Less than before: the group went and came back between two scrapes, and counts from nought.
            let before = self.seen.get(group).copied().filter(|before| before <= missed).unwrap_or(0);
            self.total += missed - before;
        }
        self.seen = now;
        self.total
    }
}

fn destination(d: &crate::loops::deliver::DestinationStatus) -> Vec<(&'static str, String)> {
    vec![("receiver", d.receiver.to_string()), ("integration", d.integration.to_string())]
}

/// Remote write counts without locks; a scrape reads its counters.
fn register_door(context: &Arc<Context>) {
    let metrics = &context.metrics;
    let remote_write = context.write.clone();
    metrics.read(readings::INGEST_REQUESTS, move || {
        let row = |(version, code, n): (&str, u16, u64)| {
            (vec![("version", version.to_owned()), ("code", code.to_string())], n as f64)
        };
        remote_write.counters().requests().map(row).collect()
    });
    let remote_write = context.write.clone();
    metrics.read(readings::INGEST_REJECTED, move || {
        let row = |(reason, n): (&str, u64)| (vec![("reason", reason.to_owned())], n as f64);
        remote_write.counters().rejected().map(row).collect()
    });
    let remote_write = context.write.clone();
    metrics.read_one(readings::INGEST_SAMPLES, move || remote_write.counters().samples.load(Ordering::Relaxed) as f64);
    let remote_write = context.write.clone();
    metrics.read_one(readings::INGEST_HISTOGRAMS, move || {
        remote_write.counters().histograms.load(Ordering::Relaxed) as f64
    });
    let remote_write = context.write.clone();
    metrics
        .read_one(readings::INGEST_EXEMPLARS, move || remote_write.counters().exemplars.load(Ordering::Relaxed) as f64);
    let remote_write = context.write.clone();
    metrics.read_one(readings::INGEST_BYTES, move || remote_write.counters().wire_bytes.load(Ordering::Relaxed) as f64);
    let remote_write = context.write.clone();
    metrics.read_one(readings::INGEST_HA_DROPPED, move || {
        remote_write.counters().ha_dropped.load(Ordering::Relaxed) as f64
    });
    let head = context.head.clone();
    metrics.read(readings::INGEST_LEFT_OUT, move || {
        let row = |(metric, n): (Arc<str>, u64)| (vec![("metric", metric.to_string())], n as f64);
        head.left_out().into_iter().map(row).collect()
    });
    let (remote_write, clock) = (context.write.clone(), context.clock.clone());
    metrics.read(readings::INGEST_SENDER_OFFSET, move || {
        let row =
            |offset: SenderOffset| (vec![("sender", offset.sender.to_string())], offset.offset_ms as f64 / 1000.0);
        remote_write.senders().offsets(clock.now()).into_iter().map(row).collect()
    });
    let remote_write = context.write.clone();
    metrics.read_one(readings::INGEST_IN_FLIGHT, move || remote_write.in_flight_bytes() as f64);
}

/// What the evaluate loop reports after each part of its work.
pub fn rule_observer(context: &Arc<Context>) -> TurnObserver {
    let metrics = context.metrics.clone();
    Arc::new(move |evaluation: &Evaluation, took: Duration| {
        // A rule that fails may be alone in its part of a slot.
        if evaluation.evaluations > 0 || !evaluation.errors.is_empty() {
            metrics.rules.evaluated(evaluation.evaluations, evaluation.errors.len() as u64, took);
        }
    })
}

/// What deliver reports after each try.
pub fn attempt_observer(metrics: &Arc<Metrics>) -> Observer {
    let metrics = metrics.clone();
    Arc::new(move |seen: &AttemptSeen| match seen.outcome {
        "delivered" => metrics.notifications.sent(seen.integration.kind(), seen.took),
        "temporary" => metrics.notifications.retried(seen.integration.kind(), seen.took),
        _ => metrics.notifications.failed(seen.integration.kind(), "refused"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missed_slots_never_fall_when_groups_go() {
        let mut missed = MissedSlots::default();
        let mut read = |groups: &[(&str, u64)]| {
            let group = |&(name, missed_slots): &(&str, u64)| GroupView {
                name: name.into(),
                file: "rules.yml".into(),
                interval: Duration::ZERO,
                query_offset: Duration::ZERO,
                limit: 0,
                evaluation_time: Duration::ZERO,
                last_evaluation: None,
                missed_slots,
                rules: Vec::new(),
            };
            missed.of(&RulesView { groups: groups.iter().map(group).collect(), ..RulesView::default() })
        };
        assert_eq!(read(&[]), 0);
        assert_eq!(read(&[("a", 5), ("b", 1)]), 6);
        assert_eq!(read(&[("b", 1)]), 6, "one went");
        assert_eq!(read(&[("b", 3), ("a", 0)]), 8, "it came back");
        assert_eq!(read(&[("b", 1), ("a", 2)]), 11, "the other went and came back between two scrapes");
        assert_eq!(read(&[]), 11);
    }
}
