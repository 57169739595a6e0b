//! What becomes of an attempt: delivered, refused, or tried again later.
//! In: the result of an attempt. Out: a receipt, and the queue and breaker moved on.
//! Never: sends.
//! Start at [`Destination::settle`].

use super::AttemptSeen;
use super::destination::{AttemptResult, Destination};
use super::order::{Item, is_urgent};
use super::permit::DeliveryPermit;
use crate::model::{Receipt, ReceiptOutcome};
use crate::notify::retry::{Next, PATIENCE, granted, plan};
use crate::notify::{Delivery, NotifyError};
use foldhash::fast::FixedState;
use std::hash::BuildHasher;
use std::time::Duration;
use tokio::task::{Id, JoinError};

/// A message between tries is reported to the engine at most this often: each report is a commit.
const REPORT_EVERY: Duration = Duration::from_mins(1);

impl Destination {
    pub async fn settle(&mut self, joined: Result<(Id, (AttemptResult, DeliveryPermit)), JoinError>) {
        let (id, result, permit) = match joined {
            Ok((id, (result, permit))) => (id, result, Some(permit)),
            Err(error) => (error.id(), Err(NotifyError::temporary("the notifier panicked")), None),
        };
        let Some((item, since)) = self.sent.remove(&id) else { return };
        self.shared.observe(&AttemptSeen::of(&item.notification, &result, since.elapsed()));
        match result {
            Err(NotifyError::Temporary { reason, retry_after }) => {
                self.breaker.failed(self.now(), retry_after);
                let retry_after = retry_after.map(|asked| granted(asked, is_urgent(&item.notification)));
                self.try_again(item, reason, retry_after, permit).await;
            }
            Ok(Delivery { external_ref }) => {
                self.answered();
                self.refs.put(&item.notification, external_ref.as_ref());
                self.finish(item, ReceiptOutcome::Delivered { external_ref }, permit).await;
            }
            Err(NotifyError::Permanent { reason }) => {
                self.answered();
                self.finish(item, ReceiptOutcome::Failed { error: reason }, permit).await;
            }
        }
    }

    fn answered(&mut self) {
        if self.breaker.answered() {
            self.inlet.queue.lock().wake_all();
        }
    }

    async fn try_again(
        &mut self,
        mut item: Item,
        reason: String,
        retry_after: Option<Duration>,
        permit: Option<DeliveryPermit>,
    ) {
        let (now, wall) = (self.now(), self.shared.clock.now());
        let age = item.age_when_queued + now.saturating_sub(item.queued_at);
        let Next::RetryAfter(pause) = plan(item.attempts, age, retry_after, jitter(&item)) else {
            let hours = PATIENCE.as_secs() / 3600;
            let error = format!("given up after {hours} h and {} tries: {reason}", item.attempts);
            return self.finish(item, ReceiptOutcome::Failed { error }, permit).await;
        };
        tracing::debug!(key = %item.notification.key, attempts = item.attempts, %reason, "notification will be tried again");
        let report = item.reported_at.is_none_or(|at| now.saturating_sub(at) >= REPORT_EVERY);
        if report {
            item.reported_at = Some(now);
        }
        self.status.failed_for_now(&reason);
        let (key, attempts) = (item.notification.key.clone(), item.attempts);
        let kept = self.inlet.queue.lock().retry(item, now + pause);
        if kept && report {
            let outcome = ReceiptOutcome::Retrying { error: reason, next_at: wall + pause };
            self.shared.post(Receipt { key, attempts, at: wall, outcome }, permit).await;
        }
    }

    /// `permit` ends when the receipt is on disk.
    pub async fn finish(&mut self, item: Item, outcome: ReceiptOutcome, permit: Option<DeliveryPermit>) {
        self.inlet.queue.lock().settle(&item.notification);
        self.status.settled(&outcome);
        let (key, at) = (item.notification.key.clone(), self.shared.clock.now());
        self.shared.post(Receipt { key, attempts: item.attempts, at, outcome }, permit).await;
    }
}

/// Spreads the tries of many messages as a random number would, and is the same whenever the same things happen.
fn jitter(item: &Item) -> f64 {
    let hash = FixedState::default().hash_one((&item.notification.key, item.attempts));
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}
