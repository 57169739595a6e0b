//! The single writer: takes what happened, decides, commits, and only then lets effects out.
//! In: the inbox, the due times of the engine and of the alert registry. Out: commits, answers, messages to deliver.
//! Never: lets anything leave before the commit, or catches a panic of the engine: state that broke an invariant is not
//! written, the process ends, and a restart begins from the last commit.
//! Start at [`Decide::run`].

use super::clock_watch::ClockWatch;
use super::commit::commit;
use super::ports::{Decisions, Dispatch, DoorHooks};
use crate::clock::Clock;
use crate::engine::{Input, Outcome};
use crate::inbox::{Answer, Envelope, InboxReceiver, Waiting, Work};
use crate::model::{NflogKey, NotificationKey, TimelineKind, Timestamp, Write};
use crate::store::{SharedStore, StoreError};
use crate::telemetry::{Health, Metrics};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Inputs decided together; more would make the first of them wait for its answer.
pub const ROUND_INPUTS_MAX: usize = 1_000;
/// Alerts decided together: some 50 ms of work, and nine tenths of what larger commits would save.
pub const ROUND_ALERTS_MAX: usize = 4_000;
/// The longest sleep: a wall clock that jumps is noticed within it.
const NAP_MAX: Duration = Duration::from_secs(1);
/// The shortest: a due time that stays in the past must not spin.
const NAP_MIN: Duration = Duration::from_millis(1);
/// The loop's handles; it owns no state.
pub struct Decide {
    pub engine: Arc<dyn Decisions>,
    pub door: DoorHooks,
    pub store: SharedStore,
    pub clock: Arc<dyn Clock>,
    pub dispatch: Arc<dyn Dispatch>,
    pub metrics: Arc<Metrics>,
    pub health: Arc<Health>,
}

/// The outcomes of one round, together.
#[derive(Default)]
struct Round {
    outcome: Outcome,
    answers: Vec<(Waiting, Answer)>,
}

impl Round {
    fn add(&mut self, outcome: Outcome, waiting: Option<Waiting>) {
        let Outcome { writes, send, cancel, reply, committed, breaches, untold } = outcome;
        self.outcome.writes.extend(writes);
        self.outcome.send.extend(send);
        self.outcome.cancel.extend(cancel);
        self.outcome.committed.extend(committed);
        self.outcome.breaches.extend(breaches);
        self.outcome.untold.extend(untold);
        self.answers.extend(waiting.map(|waiting| (waiting, reply)));
    }
}

impl Decide {
    /// Runs until `stop`, then decides and commits what is in line and returns. `first` is what `Engine::restore` decided.
    /// An error means: the store cannot be trusted (or not be reached while stopping), end the process.
    pub async fn run(
        self,
        mut inbox: InboxReceiver,
        first: Outcome,
        stop: CancellationToken,
    ) -> Result<(), StoreError> {
        self.settle(Round { outcome: first, answers: Vec::new() }, &inbox, &stop).await?;
        let mut watch = ClockWatch::new(&self);
        let mut stopping = false;
        loop {
            let envelope = tokio::select! {
                biased;
                () = stop.cancelled(), if !stopping => {
                    inbox.close();
                    stopping = true;
                    continue;
                }
                envelope = inbox.recv() => match envelope {
                    Some(envelope) => Some(envelope),
                    None => return Ok(()),
                },
                () = tokio::time::sleep(self.nap()) => None,
            };
            let round = self.decide(envelope, &mut inbox, &mut watch);
            self.settle(round, &inbox, &stop).await?;
        }
    }

    fn nap(&self) -> Duration {
        let due = self.engine.next_due().into_iter().chain((self.door.next_expiry)()).min();
        due.map_or(NAP_MAX, |due| due.since(self.clock.now())).clamp(NAP_MIN, NAP_MAX)
    }

    /// One moment for all of it: first what ran out, then what came in, last what is due.
    fn decide(&self, mut next: Option<Envelope>, inbox: &mut InboxReceiver, watch: &mut ClockWatch) -> Round {
        let (now, started) = (self.clock.now(), Instant::now());
        let is_due = |due: Option<Timestamp>| due.is_some_and(|due| due <= now);
        let (mut round, mut inputs, mut alerts) = (Round::default(), 0, 0);
        if let Some(by_ms) = watch.look(self, now) {
            round.add(self.engine.apply(now, Input::ClockJumped { by_ms }), None);
        }
        if is_due((self.door.next_expiry)()) {
            round.add(self.engine.apply(now, Input::Transitions((self.door.expire)(now))), None);
        }
        while let Some(envelope) = next {
            inputs += 1;
            alerts += envelope.work.weight();
            let (work, waiting) = envelope.open();
            let outcome = match work {
                Work::Input(input) => self.engine.apply(now, input),
                Work::Reload(settings) => self.engine.reload(now, settings),
            };
            round.add(outcome, Some(waiting));
            let more = inputs < ROUND_INPUTS_MAX && alerts < ROUND_ALERTS_MAX;
            next = if more { inbox.try_recv() } else { None };
        }
        if is_due(self.engine.next_due()) {
            round.add(self.engine.apply(now, Input::Tick), None);
        }
        self.metrics.inbox.batch_inputs.observe(f64::from(inputs as u32));
        self.metrics.inbox.decide_duration_seconds.observe(started.elapsed().as_secs_f64());
        round
    }

    /// Commits first. Then the registry learns of it before any sender is answered, so that a sender that repeats an alert after
    /// its 2xx is absorbed as a refresh.
    async fn settle(&self, round: Round, inbox: &InboxReceiver, stop: &CancellationToken) -> Result<(), StoreError> {
        let Round { outcome, answers } = round;
        let Outcome { writes, mut send, cancel, committed, reply: _, breaches, untold } = outcome;
        self.log(&breaches, &untold);
        if !writes.is_empty() {
            let timeline_metrics = timeline_metrics(&writes);
            commit(self, writes, inbox, stop).await?;
            for line in timeline_metrics {
                self.count(&line);
            }
        }
        (self.door.committed)(&committed);
        for (waiting, answer) in answers {
            waiting.answer(answer);
        }
        if !cancel.is_empty() {
            let cancelled: HashSet<&NotificationKey> = cancel.iter().collect();
            send.retain(|notification| !cancelled.contains(&notification.key));
            self.dispatch.cancel(cancel);
        }
        if !send.is_empty() {
            self.dispatch.send(send);
        }
        Ok(())
    }

    /// Logs broken invariants, and ends of alerts whose receiver is no longer configured.
    fn log(&self, breaches: &[String], untold: &[NflogKey]) {
        for breach in breaches {
            self.metrics.incidents.breaches.inc();
            tracing::error!(breach, "an invariant is broken; the decision went on without it");
        }
        for key in untold {
            let (receiver, integration) = (&key.receiver, &key.integration);
            tracing::warn!(
                %receiver, %integration, group = %key.group_key,
                "alerts that it heard of have ended, and it is not configured any more: nobody tells it"
            );
        }
    }

    fn count(&self, line: &TimelineMetric) {
        let metrics = &self.metrics.incidents;
        metrics.event(line.kind.as_str());
        match line.after {
            Some(after) if line.kind == TimelineKind::Acknowledged => metrics.acknowledged(after),
            Some(after) if line.kind == TimelineKind::Resolved => metrics.resolved(after),
            _ => {}
        }
    }
}

/// What one line of a timeline adds to the metrics.
struct TimelineMetric {
    kind: TimelineKind,
    /// Since the incident was opened.
    after: Option<Duration>,
}

/// What the timeline rows among these writes count.
fn timeline_metrics(writes: &[Write]) -> Vec<TimelineMetric> {
    let opened = |id| {
        writes.iter().find_map(|write| match write {
            Write::Incident(incident) if incident.id == id => Some(incident.opened_at),
            _ => None,
        })
    };
    let line = |write: &Write| match write {
        Write::Timeline(entry) => {
            let kind = entry.event.kind();
            let ends = matches!(kind, TimelineKind::Acknowledged | TimelineKind::Resolved);
            let after = if ends { opened(entry.incident) } else { None }.map(|opened| entry.at.since(opened));
            Some(TimelineMetric { kind, after })
        }
        _ => None,
    };
    writes.iter().filter_map(line).collect()
}
