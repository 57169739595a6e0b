//! Notifiers: one file per channel; the retry plan is a pure function.
//! In: a [`crate::model::Notification`]. Out: what the destination said.
//! Never: decides whether to notify.
//! Start at [`Notifier`].

pub mod settings;

pub use settings::{IntegrationConfig, ReceiverConfig, SecretSource};

use crate::model::Notification;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

pub type NotifyFuture<'a> = Pin<Box<dyn Future<Output = Result<Delivery, NotifyError>> + Send + 'a>>;

/// The destination took it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// What it is called there, when a later message can update it.
    pub external_ref: Option<Arc<str>>,
}

/// Variants are what the caller does next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotifyError {
    /// Try again, not before `retry_after` when the destination named one.
    #[error("{reason}")]
    Temporary { reason: String, retry_after: Option<Duration> },
    /// Never try this message again; the escalation goes on at once.
    #[error("{reason}")]
    Permanent { reason: String },
}

/// What a notifier is given besides the notification itself.
#[derive(Clone, Debug, Default)]
pub struct Attempt {
    /// 1 for the first.
    pub number: u32,
    /// What the destination called the first message about this incident, when one was sent.
    pub previous_ref: Option<Arc<str>>,
}

/// One configured integration of one receiver.
pub trait Notifier: Send + Sync + 'static {
    fn notify<'a>(&'a self, notification: &'a Notification, attempt: &'a Attempt) -> NotifyFuture<'a>;
    /// `webhook`, `slack`, `email`, `pagerduty`, `log`.
    fn kind(&self) -> &'static str;
}
