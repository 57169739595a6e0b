//! What all destinations share: the notifiers of the day, the clock, the way back, the permits.
//! In: a notification. Out: its notifier, or why there is none any more.
//! Never: waits for a destination.
//! Start at [`Shared`].

use super::permit::{DeliveryPermit, DeliveryPermits};
use super::{AttemptSeen, Deliver, Observer, QUEUE_MAX, ReceiptSink};
use crate::clock::Clock;
use crate::engine::Input;
use crate::inbox::Inbox;
use crate::loops::ports::Dispatch;
use crate::model::{Notification, NotificationKey, Receipt, ReceiptOutcome};
use crate::notify::{Notifier, Notifiers};
use arc_swap::ArcSwap;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// What all destinations share.
pub(super) struct Shared {
    pub notifiers: ArcSwap<Notifiers>,
    pub clock: Arc<dyn Clock>,
    pub sink: ReceiptSink,
    pub observer: Option<Observer>,
    /// Bounds the attempts under way to all destinations together.
    pub in_flight: Semaphore,
    pub permits: DeliveryPermits,
}

impl Shared {
    /// The notifier that a row was meant for, or why there is none.
    pub fn notifier(&self, notification: &Notification) -> Result<Arc<dyn Notifier>, String> {
        let notifiers = self.notifiers.load();
        let (receiver, integration) = (&notification.receiver, &notification.integration);
        let found = notifiers.get(receiver, integration).map(Arc::clone);
        found.ok_or_else(|| format!("receiver {receiver} has no integration {integration} any more"))
    }

    /// The destination holds too many already.
    pub fn refuse(self: &Arc<Self>, notification: &Notification) {
        let error = format!("{QUEUE_MAX} messages wait for this destination already");
        let (key, attempts) = (notification.key.clone(), notification.attempts);
        let receipt = Receipt { key, attempts, at: self.clock.now(), outcome: ReceiptOutcome::Failed { error } };
        let shared = Arc::clone(self);
        tokio::spawn(async move { shared.post(receipt, None).await });
    }

    pub async fn post(&self, receipt: Receipt, permit: Option<DeliveryPermit>) {
        (self.sink)(receipt, permit).await;
    }

    pub fn observe(&self, seen: &AttemptSeen) {
        if let Some(observer) = &self.observer {
            observer(seen);
        }
    }
}

/// Receipts on their way into the engine: in line for the next commit when this returns. When the engine has stopped they are
/// lost, and the rows are sent again after the restart.
pub fn into_inbox(inbox: Inbox) -> ReceiptSink {
    Arc::new(move |receipt, permit| {
        let inbox = inbox.clone();
        Box::pin(async move {
            let key = receipt.key.clone();
            match inbox.post(Input::Receipt(receipt)).await {
                Ok(committed) => {
                    // The destination goes on; only the permit waits for the disk.
                    tokio::spawn(async move {
                        committed.wait().await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%key, %error, "receipt not recorded: the notification may be sent once more");
                }
            }
        })
    })
}

impl Dispatch for Deliver {
    fn send(&self, notifications: Vec<Arc<Notification>>) {
        self.dispatch(notifications);
    }

    fn cancel(&self, keys: Vec<NotificationKey>) {
        Self::cancel(self, &keys);
    }
}
