//! One destination's task: sends what is due, settles what came back.
//! In: [`Command`]s and the results of attempts. Out: receipts.
//! Never: waits for another destination.
//! Start at [`Destination::run`].

use super::order::Item;
use super::queue::Queue;
use super::refs::Refs;
use super::shared::Shared;
use super::watch::Status;
use crate::model::{Notification, NotificationKey, ReceiptOutcome};
use crate::notify::breaker::{Breaker, Gate};
use crate::notify::{Attempt, Delivery, Notifier, NotifyError};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

/// An attempt that is not back by then has lost its way (channels have shorter limits of their own).
const ATTEMPT_MAX: Duration = Duration::from_mins(10);
pub(super) type AttemptResult = Result<Delivery, NotifyError>;

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

    pub fn now(&self) -> Duration {
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
}
