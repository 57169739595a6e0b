//! One destination's task: sends what is due, settles what came back.
//! In: what its [`Inlet`] holds and the results of attempts. Out: receipts.
//! Never: waits for another destination.
//! Start at [`Destination::run`].

use super::QUEUE_MAX;
use super::order::Item;
use super::queue::Queue;
use super::refs::Refs;
use super::shared::Shared;
use super::turn::Turn;
use super::watch::Status;
use crate::model::{Notification, NotificationKey, ReceiptOutcome};
use crate::notify::breaker::{Breaker, Gate};
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
    pub fn offer(&self, notification: Arc<Notification>) -> bool {
        let mut queue = self.queue.lock();
        let has_room = queue.len() < QUEUE_MAX;
        if has_room && queue.push(notification) {
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
    pub wire: JoinSet<(AttemptResult, Turn)>,
    pub sent: HashMap<Id, (Item, Instant)>,
    pub started: Instant,
}

impl Destination {
    /// Ends when the inlet is closed and nothing can be sent right now; the rest stays in the outbox.
    pub async fn run(mut self) {
        let inlet = Arc::clone(&self.inlet);
        loop {
            self.launch().await;
            self.status.update(inlet.queue.lock().len(), &self.breaker);
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
        let queue = self.inlet.queue.lock();
        let due = match self.breaker.gate(self.now()) {
            Gate::Wait { until } => until.filter(|_| queue.has_ready() || queue.next_due().is_some()),
            Gate::Closed | Gate::Probe => queue.next_due(),
        };
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
        let gate = self.breaker.gate(self.now());
        if matches!(gate, Gate::Wait { .. }) || self.wire.len() >= self.status.in_flight_max(&self.shared) {
            return None;
        }
        let mut queue = self.inlet.queue.lock();
        if gate == Gate::Probe && !queue.has_ready() {
            queue.wake_first();
        }
        queue.pop().map(|item| (gate, item))
    }

    fn spawn(&mut self, notifier: Arc<dyn Notifier>, mut item: Item) {
        item.attempts = item.attempts.saturating_add(1);
        let (shared, notification) = (Arc::clone(&self.shared), Arc::clone(&item.notification));
        let previous_ref = self.refs.get(&notification);
        let number = item.attempts;
        let task = self.wire.spawn(async move {
            let _permit = shared.slots.acquire().await;
            let turn = shared.turns.take(notification.incident().is_some()).await;
            let attempt = Attempt { number, at: shared.clock.now(), previous_ref };
            let sending = tokio::time::timeout(ATTEMPT_MAX, notifier.notify(&notification, &attempt));
            let result = sending.await;
            (result.unwrap_or_else(|_| Err(NotifyError::temporary("the attempt did not come back"))), turn)
        });
        self.sent.insert(task.id(), (item, Instant::now()));
    }
}
