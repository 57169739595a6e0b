//! What the single writer calls: the engine that decides, the queue that delivers, and the alert registry.
//! In: `app`, which puts them together. Out: the traits and hooks that `decide` calls.
//! Never: does work of its own.
//! Start at [`Decisions`].

use crate::engine::{Engine, Input, Outcome, Settings};
use crate::model::{Fingerprint, Notification, NotificationKey, Timestamp, Transition};
use parking_lot::RwLock;
use std::sync::Arc;

/// Who decides. The engine behind its lock; each call holds it only for one input.
pub trait Decisions: Send + Sync + 'static {
    fn apply(&self, now: Timestamp, input: Input) -> Outcome;
    fn reload(&self, now: Timestamp, settings: Arc<Settings>) -> Outcome;
    fn next_due(&self) -> Option<Timestamp>;
}

impl Decisions for RwLock<Engine> {
    fn apply(&self, now: Timestamp, input: Input) -> Outcome {
        self.write().apply(now, input)
    }

    fn reload(&self, now: Timestamp, settings: Arc<Settings>) -> Outcome {
        self.write().reload(now, settings)
    }

    fn next_due(&self) -> Option<Timestamp> {
        self.read().next_due()
    }
}

/// Who delivers. Both calls only queue: they neither wait nor fail.
pub trait Dispatch: Send + Sync + 'static {
    fn send(&self, notifications: Vec<Arc<Notification>>);
    fn cancel(&self, keys: Vec<NotificationKey>);
}

/// Takes versions of alerts that are on the disk.
pub type CommittedHook = Box<dyn Fn(&[(Fingerprint, u64)]) + Send + Sync>;

/// What the writer needs of the `alerts::AlertRegistry`.
pub struct DoorHooks {
    /// Alerts whose last lease has run out.
    pub expire: Box<dyn Fn(Timestamp) -> Vec<Transition> + Send + Sync>,
    pub next_expiry: Box<dyn Fn() -> Option<Timestamp> + Send + Sync>,
    /// These versions are on the disk: a repeat of them is a refresh from now on.
    pub committed: CommittedHook,
    /// The wall clock was set by so many milliseconds: leases, and the rules' waits, move with it.
    pub clock_jumped: Box<dyn Fn(i64, Timestamp) + Send + Sync>,
}
