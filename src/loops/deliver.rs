//! Loop `deliver`: the outbox goes out, receipts come back.
//! In: committed notifications. Out: a [`Receipt`] for each that was settled, and now and then for one that is retried.
//! Never: sends what was not committed; lets one destination hold up another.
//! Start at [`Deliver`].

mod destination;
mod order;
mod permit;
mod queue;
mod refs;
mod settle;
mod shared;
mod watch;

pub use permit::DeliveryPermit;
pub use shared::into_inbox;
pub use watch::{AttemptSeen, DestinationStatus};

use self::destination::{Destination, Inlet};
use self::order::{QueuePlace, is_urgent};
use self::refs::Refs;
use self::shared::Shared;
use self::watch::{Hold, Status};
use crate::clock::Clock;
use crate::model::{IntegrationId, NextTry, Notification, NotificationKey, Receipt, Timestamp};
use crate::notify::Notifiers;
use crate::notify::breaker::Breaker;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

/// Attempts under way to all destinations together: sockets and memory are bounded.
const IN_FLIGHT_TOTAL_MAX: usize = 256;
/// Messages held for one destination. Whatever is beyond fails with that said, which escalates, rather than grow for days.
pub const QUEUE_MAX: usize = 100_000;

/// Where receipts go: the engine's inbox. It may wait; the destination waits with it. The permit, if there is one, is to be dropped when
/// the receipt is on disk.
pub type ReceiptSink =
    Arc<dyn Fn(Receipt, Option<DeliveryPermit>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;
/// Hears of every attempt, for metrics.
pub type Observer = Arc<dyn Fn(&AttemptSeen) + Send + Sync>;

type DestinationKey = (Arc<str>, IntegrationId);

struct Handle {
    inlet: Arc<Inlet>,
    status: Arc<Status>,
    started: Instant,
    task: JoinHandle<()>,
}

/// One task per destination (receiver and integration), each with its queue, its retries and its breaker.
pub struct Deliver {
    shared: Arc<Shared>,
    destinations: Mutex<BTreeMap<DestinationKey, Handle>>,
    /// What destinations called messages before this start, until the destination's task takes it over.
    remembered: Mutex<BTreeMap<DestinationKey, Refs>>,
    stopped: AtomicBool,
}

impl Deliver {
    /// Nothing runs until the first [`Self::dispatch`], which needs a tokio runtime.
    pub fn new(notifiers: Notifiers, clock: Arc<dyn Clock>, sink: ReceiptSink, observer: Option<Observer>) -> Self {
        let shared = Shared {
            notifiers: ArcSwap::from_pointee(notifiers),
            clock,
            sink,
            observer,
            in_flight: Semaphore::new(IN_FLIGHT_TOTAL_MAX),
            permits: permit::DeliveryPermits::default(),
        };
        Self {
            shared: Arc::new(shared),
            destinations: Mutex::default(),
            remembered: Mutex::default(),
            stopped: AtomicBool::new(false),
        }
    }

    /// Before the first [`Self::dispatch`]: messages delivered by earlier processes, oldest first, which later ones update.
    pub fn remember<'a>(&self, sent: impl IntoIterator<Item = &'a Notification>) {
        let mut remembered = self.remembered.lock();
        for notification in sent {
            let key = (Arc::clone(&notification.receiver), notification.integration.clone());
            remembered.entry(key).or_default().put(notification, notification.external_ref.as_ref());
        }
    }

    /// Queues committed notifications; at start, the restored outbox. Never waits. One that is queued already is
    /// left alone; after [`Self::stop`] all are (they stay in the outbox).
    pub fn dispatch(&self, notifications: impl IntoIterator<Item = Arc<Notification>>) {
        let mut destinations = self.destinations.lock();
        if self.stopped.load(Relaxed) {
            return;
        }
        let notifications: Vec<Arc<Notification>> = notifications.into_iter().collect();
        let pages = notifications.iter().filter(|n| n.incident().is_some()).count();
        if pages > 0 {
            self.shared.permits.pages_come(pages);
        }
        for notification in notifications {
            let key = (Arc::clone(&notification.receiver), notification.integration.clone());
            let handle = destinations.entry(key).or_insert_with_key(|key| self.start(key));
            let age = self.shared.clock.now().since(notification.created_at);
            if !handle.inlet.offer(Arc::clone(&notification), age, handle.started.elapsed()) {
                self.shared.refuse(&notification);
            }
        }
    }

    /// Drops messages that a newer one replaced, unless they are on the wire. Unknown keys are fine.
    pub fn cancel(&self, keys: &[NotificationKey]) {
        if keys.is_empty() {
            return;
        }
        for handle in self.destinations.lock().values() {
            handle.inlet.cancel(keys);
        }
    }

    /// What is used now.
    pub fn notifiers(&self) -> Notifiers {
        Notifiers::clone(&self.shared.notifiers.load())
    }

    /// From the next attempt on these are used; queues stay.
    pub fn reload(&self, notifiers: Notifiers) {
        self.shared.notifiers.store(Arc::new(notifiers));
    }

    /// Sends what can be sent at once, at most for `deadline`. What is not settled then stays in the outbox, without a receipt.
    /// The sink must still take receipts meanwhile.
    pub async fn stop(&self, deadline: Duration) {
        self.stopped.store(true, Relaxed);
        let handles = std::mem::take(&mut *self.destinations.lock()).into_values();
        let until = Instant::now() + deadline;
        let mut tasks = JoinSet::new();
        for Handle { inlet, task, .. } in handles {
            inlet.close();
            tasks.spawn(async move {
                let abort = task.abort_handle();
                if tokio::time::timeout_at(until, task).await.is_err() {
                    abort.abort();
                }
            });
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Every destination that was used since start, in order.
    pub fn status(&self) -> Vec<DestinationStatus> {
        let destinations = self.destinations.lock();
        let notifiers = self.shared.notifiers.load();
        let mut all: Vec<_> = destinations.iter().map(|((r, i), handle)| handle.status.snapshot(r, i)).collect();
        // What the configuration no longer has cannot be mended.
        for gone in all.iter_mut().filter(|d| notifiers.get(&d.receiver, &d.integration).is_none()) {
            gone.refused = None;
        }
        all
    }

    /// What a pending message waits for; `None` when it is not here, so that its row says it all.
    pub fn next_try(&self, row: &Notification) -> Option<NextTry> {
        let destinations = self.destinations.lock();
        let handle = destinations.get(&(Arc::clone(&row.receiver), row.integration.clone()))?;
        let queue = handle.inlet.queue.lock();
        let (item, place) = queue.place(&row.key)?;
        let now = self.shared.clock.now();
        let wall = |due: Duration| now + due.saturating_sub(handle.started.elapsed());
        Some(outlook(place, &handle.status.hold(), is_urgent(&item.notification), wall))
    }

    fn start(&self, key: &DestinationKey) -> Handle {
        let inlet = Arc::new(Inlet::default());
        let status = Arc::new(Status::new(key));
        let destination = Destination {
            shared: Arc::clone(&self.shared),
            status: Arc::clone(&status),
            inlet: Arc::clone(&inlet),
            breaker: Breaker::default(),
            refs: self.remembered.lock().remove(key).unwrap_or_default(),
            wire: JoinSet::new(),
            sent: HashMap::new(),
            started: Instant::now(),
            blocked_since: None,
        };
        Handle { inlet, status, started: destination.started, task: tokio::spawn(destination.run()) }
    }
}

/// In words: where a message stands.
fn outlook(place: QueuePlace, hold: &Hold, is_urgent: bool, wall: impl Fn(Duration) -> Timestamp) -> NextTry {
    let held = if is_urgent { hold.urgent_until } else { hold.announcements_until };
    let said = |at, reason: &str| NextTry { at, reason: reason.to_owned() };
    match (place, held) {
        (QueuePlace::Waiting(due, _), held) => {
            let due = wall(due);
            match held.filter(|until| *until > due) {
                Some(until) => said(Some(until), &hold.reason),
                None => said(Some(due), "between tries"),
            }
        }
        (QueuePlace::Ready, Some(until)) => said(Some(until), &hold.reason),
        (QueuePlace::Ready, None) => said(None, "in line for its destination"),
        (QueuePlace::Parked, _) => said(None, "waits for an earlier message about the same incident or group"),
        (QueuePlace::OnWire, _) => said(None, "being sent"),
    }
}
