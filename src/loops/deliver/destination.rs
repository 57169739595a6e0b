//! One destination's task: sends what is due, settles what came back.
//! In: [`Command`]s and the results of attempts. Out: receipts.
//! Never: waits for another destination.
//! Start at [`Destination::run`].

use super::queue::{Item, Queue};
use super::{AttemptSeen, Refs, Shared, Status};
use crate::model::{Notification, NotificationKey, Receipt, ReceiptOutcome};
use crate::notify::breaker::{Breaker, Gate};
use crate::notify::retry::{Next, PATIENCE, plan};
use crate::notify::{Attempt, Delivery, Notifier, NotifyError};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

/// An attempt that is not back by then has lost its way (channels have shorter limits of their own).
const ATTEMPT_MAX: Duration = Duration::from_mins(10);
/// A message between tries is reported to the engine at most this often: each report is a commit.
const REPORT_EVERY: Duration = Duration::from_mins(1);

type AttemptResult = Result<Delivery, NotifyError>;

pub(super) enum Command {
    Send(Arc<Notification>),
    Cancel(Vec<NotificationKey>),
}

pub(super) struct Destination {
    pub shared: Arc<Shared>,
    pub status: Arc<Status>,
    pub queue: Queue,
    pub breaker: Breaker,
    pub refs: Refs,
    pub wire: JoinSet<AttemptResult>,
    pub sent: HashMap<Id, (Item, Instant)>,
    pub started: Instant,
}

impl Destination {
    /// Ends when the commands' sender is gone and nothing can be sent right now; the rest stays in the outbox.
    pub async fn run(mut self, mut commands: UnboundedReceiver<Command>) {
        let mut open = true;
        loop {
            self.launch().await;
            self.status.update(&self.queue, &self.breaker);
            if !open && self.wire.is_empty() {
                return;
            }
            let wake_at = self.wake_at();
            tokio::select! {
                command = commands.recv(), if open => match command {
                    Some(command) => self.obey(command),
                    None => open = false,
                },
                Some(joined) = self.wire.join_next_with_id() => self.settle(joined).await,
                () = tokio::time::sleep_until(wake_at.unwrap_or(self.started)), if open && wake_at.is_some() => {}
            }
        }
    }

    fn obey(&mut self, command: Command) {
        let dropped = match command {
            Command::Send(notification) => usize::from(!self.queue.push(notification)),
            Command::Cancel(keys) => keys.iter().filter(|key| self.queue.cancel(key)).count(),
        };
        self.status.dropped(dropped);
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// When something may be sent that may not now.
    fn wake_at(&self) -> Option<Instant> {
        let due = match self.breaker.gate(self.now()) {
            Gate::Wait { until } => until.filter(|_| self.queue.has_ready() || self.queue.next_due().is_some()),
            Gate::Closed | Gate::Probe => self.queue.next_due(),
        };
        due.map(|due| self.started + due)
    }

    /// Sends as much as the breaker and the destination's width allow.
    async fn launch(&mut self) {
        self.queue.wake(self.now());
        loop {
            let gate = self.breaker.gate(self.now());
            if matches!(gate, Gate::Wait { .. }) {
                return;
            }
            if gate == Gate::Probe && !self.queue.has_ready() {
                self.queue.wake_first();
            }
            if self.wire.len() >= self.status.in_flight_max(&self.shared) {
                return;
            }
            let Some(item) = self.queue.pop() else { return };
            match self.shared.notifier(&item.notification) {
                Ok(notifier) => {
                    if gate == Gate::Probe {
                        self.breaker.probe_sent();
                    }
                    self.spawn(notifier, item);
                }
                Err(reason) => self.finish(item, ReceiptOutcome::Failed { error: reason }).await,
            }
        }
    }

    fn spawn(&mut self, notifier: Arc<dyn Notifier>, mut item: Item) {
        item.attempts = item.attempts.saturating_add(1);
        let (shared, notification) = (Arc::clone(&self.shared), Arc::clone(&item.notification));
        let previous_ref = self.refs.get(&notification);
        let number = item.attempts;
        let task = self.wire.spawn(async move {
            let _permit = shared.slots.acquire().await;
            let attempt = Attempt { number, at: shared.clock.now(), previous_ref };
            let sending = notifier.notify(&notification, &attempt);
            tokio::time::timeout(ATTEMPT_MAX, sending)
                .await
                .unwrap_or_else(|_| Err(NotifyError::temporary("the attempt did not come back")))
        });
        self.sent.insert(task.id(), (item, Instant::now()));
    }

    async fn settle(&mut self, joined: Result<(Id, AttemptResult), JoinError>) {
        let (id, result) = match joined {
            Ok(back) => back,
            Err(error) => (error.id(), Err(NotifyError::temporary("the notifier panicked"))),
        };
        let Some((item, since)) = self.sent.remove(&id) else { return };
        self.shared.observe(&AttemptSeen::of(&item.notification, &result, since.elapsed()));
        match result {
            Err(NotifyError::Temporary { reason, retry_after }) => {
                self.breaker.failed(self.now(), retry_after);
                self.try_again(item, reason, retry_after).await;
            }
            Ok(Delivery { external_ref }) => {
                self.answered();
                self.refs.put(&item.notification, external_ref.as_ref());
                self.finish(item, ReceiptOutcome::Delivered { external_ref }).await;
            }
            Err(NotifyError::Permanent { reason }) => {
                self.answered();
                self.finish(item, ReceiptOutcome::Failed { error: reason }).await;
            }
        }
    }

    fn answered(&mut self) {
        if self.breaker.answered() {
            self.queue.wake_all();
        }
    }

    async fn try_again(&mut self, mut item: Item, reason: String, retry_after: Option<Duration>) {
        let (now, wall) = (self.now(), self.shared.clock.now());
        let age = wall.since(item.notification.created_at);
        let Next::RetryAfter(pause) = plan(item.attempts, age, retry_after, rand::random()) else {
            let hours = PATIENCE.as_secs() / 3600;
            let error = format!("given up after {hours} h and {} tries: {reason}", item.attempts);
            return self.finish(item, ReceiptOutcome::Failed { error }).await;
        };
        tracing::debug!(key = %item.notification.key, attempts = item.attempts, %reason, "notification will be tried again");
        let report = item.reported_at.is_none_or(|at| now.saturating_sub(at) >= REPORT_EVERY);
        if report {
            item.reported_at = Some(now);
        }
        self.status.failed_for_now(&reason);
        let (key, attempts) = (item.notification.key.clone(), item.attempts);
        if !self.queue.retry(item, now + pause) {
            self.status.dropped(1);
        } else if report {
            let outcome = ReceiptOutcome::Retrying { error: reason, next_at: wall + pause };
            self.shared.post(Receipt { key, attempts, at: wall, outcome }).await;
        }
    }

    async fn finish(&mut self, item: Item, outcome: ReceiptOutcome) {
        self.queue.settle(&item.notification);
        self.status.settled(&outcome);
        let (key, at) = (item.notification.key.clone(), self.shared.clock.now());
        self.shared.post(Receipt { key, attempts: item.attempts, at, outcome }).await;
    }
}
