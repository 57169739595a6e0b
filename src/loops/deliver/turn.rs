//! One message in doubt at a time: between "sent" and "recorded" a crash sends a message once more.
//! In: an attempt that is about to begin. Out: its turn, which ends when the receipt is in line for the next commit (a few
//! milliseconds away), or after [`TURN_MAX`].
//! Never: lets a slow destination hold up others longer than that.
//! Start at [`Turns::take`].

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a message that is not answered keeps the others waiting. A healthy receiver answers within a few milliseconds; many
/// take 40, because their answer waits for a delayed acknowledgement of TCP. Beyond this the promise of at most one repeat a
/// crash yields to telling people within 50 ms.
pub(super) const TURN_MAX: Duration = Duration::from_millis(20);

/// How long an announcement lets others go first: a page that was decided in the same moment takes the turn before it.
const PAGES_FIRST: Duration = Duration::from_millis(1);

/// Hands out the turns, in the order they were asked for.
#[derive(Clone)]
pub(super) struct Turns(Arc<Semaphore>);

/// Held while a message may have been sent and is not yet recorded.
pub(super) struct Turn(Option<OwnedSemaphorePermit>);

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl Turns {
    /// Waits for the turn, at most [`TURN_MAX`]; then it goes ahead without one.
    pub async fn take(&self, is_page: bool) -> Turn {
        if !is_page {
            tokio::time::sleep(PAGES_FIRST).await;
        }
        let permit = tokio::time::timeout(TURN_MAX, Arc::clone(&self.0).acquire_owned()).await;
        Turn(permit.ok().and_then(Result::ok))
    }
}

impl Turn {
    /// Does the work, and gives the turn up when it takes longer than [`TURN_MAX`].
    pub async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        if let Ok(done) = tokio::time::timeout(TURN_MAX, &mut work).await {
            return done;
        }
        self.0 = None;
        work.await
    }
}
