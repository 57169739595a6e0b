//! What deliver shows of itself: counters per destination, and what was seen of an attempt.
//! In: results. Out: [`DestinationStatus`] and [`AttemptSeen`] for health and metrics.
//! Never: holds a secret.
//! Start at [`DestinationStatus`].

use super::DestinationKey;
use super::shared::Shared;
use crate::model::{IntegrationId, Notification, ReceiptOutcome, Timestamp};
use crate::notify::breaker::Breaker;
use crate::notify::{Delivery, NotifyError};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// Counters of one destination, shared between its task and readers.
pub(super) struct Status {
    key: DestinationKey,
    queued: AtomicUsize,
    delivered: AtomicU64,
    failed: AtomicU64,
    retried: AtomicU64,
    breaker_open: AtomicBool,
    last_error: Mutex<Option<String>>,
    /// Why the last message was refused for good, until one is delivered.
    refused: Mutex<Option<String>>,
    hold: Mutex<Hold>,
}

/// Until when a destination that is away, or asked to be left alone, gets nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Hold {
    /// Messages about incidents.
    pub urgent_until: Option<Timestamp>,
    pub announcements_until: Option<Timestamp>,
    pub reason: String,
}

impl Status {
    pub fn new(key: &DestinationKey) -> Self {
        Self {
            key: key.clone(),
            queued: AtomicUsize::new(0),
            delivered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            retried: AtomicU64::new(0),
            breaker_open: AtomicBool::new(false),
            last_error: Mutex::new(None),
            refused: Mutex::new(None),
            hold: Mutex::default(),
        }
    }

    pub fn in_flight_max(&self, shared: &Shared) -> usize {
        shared.notifiers.load().get(&self.key.0, &self.key.1).map_or(1, |notifier| notifier.in_flight_max().max(1))
    }

    pub fn hold(&self) -> Hold {
        self.hold.lock().clone()
    }

    pub fn update(&self, queued: usize, breaker: &Breaker, hold: Hold) {
        *self.hold.lock() = hold;
        self.queued.store(queued, Relaxed);
        self.breaker_open.store(breaker.is_open(), Relaxed);
    }

    pub fn failed_for_now(&self, reason: &str) {
        self.retried.fetch_add(1, Relaxed);
        *self.last_error.lock() = Some(reason.to_owned());
    }

    pub fn last_error(&self) -> Option<String> {
        self.last_error.lock().clone()
    }

    pub fn settled(&self, outcome: &ReceiptOutcome) {
        match outcome {
            ReceiptOutcome::Delivered { .. } => {
                self.delivered.fetch_add(1, Relaxed);
                *self.last_error.lock() = None;
                if self.refused.lock().take().is_some() {
                    tracing::info!(receiver = %self.key.0, integration = %self.key.1, "messages are taken again");
                }
            }
            ReceiptOutcome::Failed { error } => {
                self.failed.fetch_add(1, Relaxed);
                *self.last_error.lock() = Some(error.clone());
                self.refuse(error);
            }
            ReceiptOutcome::Retrying { .. } | ReceiptOutcome::Blocked { .. } => {}
        }
    }

    /// Said once per answer: a destination that refuses everything must not fill the log.
    fn refuse(&self, error: &str) {
        let mut refused = self.refused.lock();
        if refused.as_deref() != Some(error) {
            let (receiver, integration) = (&self.key.0, &self.key.1);
            tracing::warn!(%receiver, %integration, error, "a message was given up for good");
            *refused = Some(error.to_owned());
        }
    }

    pub fn snapshot(&self, receiver: &Arc<str>, integration: &IntegrationId) -> DestinationStatus {
        DestinationStatus {
            receiver: Arc::clone(receiver),
            integration: integration.clone(),
            queued: self.queued.load(Relaxed),
            delivered: self.delivered.load(Relaxed),
            failed: self.failed.load(Relaxed),
            retried: self.retried.load(Relaxed),
            breaker_open: self.breaker_open.load(Relaxed),
            last_error: self.last_error.lock().clone(),
            refused: self.refused.lock().clone(),
        }
    }
}

/// How a destination fares. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationStatus {
    pub receiver: Arc<str>,
    pub integration: IntegrationId,
    /// Waiting, between tries or on the wire.
    pub queued: usize,
    pub delivered: u64,
    pub failed: u64,
    pub retried: u64,
    pub breaker_open: bool,
    /// Of the last attempt, when it failed.
    pub last_error: Option<String>,
    /// Why the last message was given up for good; `None` again when one was delivered since.
    pub refused: Option<String>,
}

/// One attempt, for metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptSeen {
    pub receiver: Arc<str>,
    pub integration: IntegrationId,
    /// `delivered`, `temporary` or `permanent`.
    pub outcome: &'static str,
    pub took: Duration,
}

impl AttemptSeen {
    pub(super) fn of(notification: &Notification, result: &Result<Delivery, NotifyError>, took: Duration) -> Self {
        Self {
            receiver: Arc::clone(&notification.receiver),
            integration: notification.integration.clone(),
            outcome: match result {
                Ok(_) => "delivered",
                Err(NotifyError::Temporary { .. }) => "temporary",
                Err(NotifyError::Permanent { .. }) => "permanent",
            },
            took,
        }
    }
}
