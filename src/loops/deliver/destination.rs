//! One destination's task: sends what is due, settles what came back.
//! In: what its [`Inlet`] holds and the results of attempts. Out: receipts.
//! Never: waits for another destination.
//! Start at [`Destination::run`].

use super::QUEUE_MAX;
use super::order::Item;
use super::permit::DeliveryPermit;
use super::queue::Queue;
use super::refs::Refs;
use super::shared::Shared;
use super::watch::{Hold, Status};
use crate::model::{Notification, NotificationKey, Receipt, ReceiptOutcome, Timestamp};
use crate::notify::breaker::{Breaker, FAILURES_TO_OPEN, Gate};
use crate::notify::{Attempt, Delivery, Notifier, NotifyError};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

/// An attempt that is not back by then has lost its way (channels have shorter limits of their own).
const ATTEMPT_MAX: Duration = Duration::from_mins(10);
pub(super) type AttemptResult = Result<Delivery, NotifyError>;

/// What others may do to a destination without waiting for it.
#[derive(Default)]
pub(super) struct Inlet {
    pub queue: Mutex<Queue>,
    wake: Notify,
    closing: AtomicBool,
}

impl Inlet {
    /// False when the queue is full. One that is queued already is left alone.
    pub fn offer(&self, notification: Arc<Notification>, age: Duration, now: Duration) -> bool {
        let mut queue = self.queue.lock();
        let has_room = queue.len() < QUEUE_MAX;
        if has_room && queue.push(notification, age, now) {
            self.wake.notify_one();
        }
        has_room
    }

    pub fn cancel(&self, keys: &[NotificationKey]) {
        let mut queue = self.queue.lock();
        for key in keys {
            queue.cancel(key);
        }
        self.wake.notify_one();
    }

    /// The task ends when nothing can be sent at once any more.
    pub fn close(&self) {
        self.closing.store(true, Relaxed);
        self.wake.notify_one();
    }
}

pub(super) struct Destination {
    pub shared: Arc<Shared>,
    pub status: Arc<Status>,
    pub inlet: Arc<Inlet>,
    pub breaker: Breaker,
    pub refs: Refs,
    pub wire: JoinSet<(AttemptResult, DeliveryPermit)>,
    pub sent: HashMap<Id, (Item, Instant)>,
    pub started: Instant,
    /// When the breaker opened, while it is.
    pub blocked_since: Option<Timestamp>,
}

impl Destination {
    /// Ends when the inlet is closed and nothing can be sent right now; the rest stays in the outbox.
    pub async fn run(mut self) {
        let inlet = Arc::clone(&self.inlet);
        loop {
            self.launch().await;
            self.report_blocked().await;
            let queued = inlet.queue.lock().len();
            self.status.update(queued, &self.breaker, self.hold());
            let closing = inlet.closing.load(Relaxed);
            if closing && self.wire.is_empty() {
                return;
            }
            let wake_at = self.wake_at().filter(|_| !closing);
            tokio::select! {
                // In a fixed order, so that a simulated run can be played again. Each turn of the loop launches what may be sent.
                biased;
                Some(joined) = self.wire.join_next_with_id() => self.settle(joined).await,
                () = inlet.wake.notified() => {}
                () = tokio::time::sleep_until(wake_at.unwrap_or(self.started)), if wake_at.is_some() => {}
            }
        }
    }

    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// When something may be sent that may not now.
    fn wake_at(&self) -> Option<Instant> {
        let (now, queue) = (self.now(), self.inlet.queue.lock());
        let due = |urgent| match self.breaker.gate(now, urgent) {
            Gate::Wait { until } => {
                let waits = queue.has_ready(urgent) || queue.next_due(urgent).is_some();
                until.filter(|_| waits)
            }
            Gate::Closed | Gate::Probe => queue.next_due(urgent),
        };
        let due = due(true).into_iter().chain(due(false)).min();
        due.map(|due| self.started + due)
    }

    /// Sends as much as the breaker and the destination's width allow.
    async fn launch(&mut self) {
        self.inlet.queue.lock().wake(self.now());
        while let Some((gate, item)) = self.next_item() {
            match self.shared.notifier(&item.notification) {
                Ok(notifier) => {
                    if gate == Gate::Probe {
                        self.breaker.probe_sent();
                    }
                    self.spawn(notifier, item);
                }
                Err(reason) => self.finish(item, ReceiptOutcome::Failed { error: reason }, None).await,
            }
        }
    }

    fn next_item(&self) -> Option<(Gate, Item)> {
        let now = self.now();
        let gate = self.breaker.gate(now, true);
        if matches!(gate, Gate::Wait { .. }) || self.wire.len() >= self.status.in_flight_max(&self.shared) {
            return None;
        }
        // What a destination asked for holds announcements longer.
        let only_urgent = matches!(self.breaker.gate(now, false), Gate::Wait { .. });
        let mut queue = self.inlet.queue.lock();
        if gate == Gate::Probe && !queue.has_ready(only_urgent) {
            queue.wake_first(only_urgent);
        }
        queue.pop(only_urgent).map(|item| (gate, item))
    }

    /// Reports pages that wait for a destination which is away to the engine: nobody received them, and the next step shall not wait.
    async fn report_blocked(&mut self) {
        if !self.breaker.is_open() {
            self.blocked_since = None;
            return self.inlet.queue.lock().forget_new_pages();
        }
        let is_new = self.blocked_since.is_none();
        let since = *self.blocked_since.get_or_insert(self.shared.clock.now());
        let is_away = self.breaker.failures() >= FAILURES_TO_OPEN;
        let unannounced = self.inlet.queue.lock().unannounced_pages(is_new, is_away);
        if unannounced.is_empty() {
            return;
        }
        let (reason, until) = (self.away(since), self.wall(self.breaker.gate(self.now(), true)));
        for item in unannounced {
            let (key, at) = (item.notification.key.clone(), self.shared.clock.now());
            let outcome = ReceiptOutcome::Blocked { reason: reason.clone(), until };
            self.shared.post(Receipt { key, attempts: item.attempts, at, outcome }, None).await;
        }
    }

    /// Why nothing but probes leaves.
    fn away(&self, since: Timestamp) -> String {
        let error = self.status.last_error().unwrap_or_default();
        match self.breaker.failures() {
            failures @ FAILURES_TO_OPEN.. => {
                format!("the destination is away since {since}, {failures} tries failed in a row: {error}")
            }
            _ => format!("the destination asked to be left alone for now: {error}"),
        }
    }

    /// What the status shows of it.
    fn hold(&self) -> Hold {
        let until = |is_urgent| match self.breaker.gate(self.now(), is_urgent) {
            gate @ Gate::Wait { .. } => Some(self.wall(gate)),
            Gate::Closed | Gate::Probe => None,
        };
        let (urgent_until, announcements_until) = (until(true), until(false));
        let since = self.blocked_since.unwrap_or_else(|| self.shared.clock.now());
        let reason = announcements_until.map(|_| self.away(since)).unwrap_or_default();
        Hold { urgent_until, announcements_until, reason }
    }

    /// The moment at which a gate opens; a probe that is out is back soon.
    fn wall(&self, gate: Gate) -> Timestamp {
        let now = self.shared.clock.now();
        match gate {
            Gate::Wait { until: Some(until) } => now + until.saturating_sub(self.now()),
            Gate::Wait { until: None } | Gate::Closed | Gate::Probe => now,
        }
    }

    fn spawn(&mut self, notifier: Arc<dyn Notifier>, mut item: Item) {
        item.attempts = item.attempts.saturating_add(1);
        let (shared, notification) = (Arc::clone(&self.shared), Arc::clone(&item.notification));
        let previous_ref = self.refs.get(&notification);
        let number = item.attempts;
        let task = self.wire.spawn(async move {
            let _in_flight = shared.in_flight.acquire().await;
            let permit = shared.permits.take(notification.incident().is_some()).await;
            let attempt = Attempt { number, at: shared.clock.now(), previous_ref };
            let sending = tokio::time::timeout(ATTEMPT_MAX, notifier.notify(&notification, &attempt));
            let result = sending.await;
            (result.unwrap_or_else(|_| Err(NotifyError::temporary("the attempt did not come back"))), permit)
        });
        self.sent.insert(task.id(), (item, Instant::now()));
    }
}
