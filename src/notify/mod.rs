//! Notifiers: a folder per kind of integration; the retry plan and the breaker are pure.
//! In: a [`crate::model::Notification`]. Out: what the destination said.
//! Never: decides whether to notify.
//! Start at [`Notifier`], then [`KINDS`].

pub mod breaker;
pub mod build;
pub mod email;
mod error;
pub mod foreign;
mod html;
pub mod http;
pub mod kinds;
pub mod log;
mod made_up;
pub mod pagerduty;
pub mod render;
pub mod retry;
pub mod settings;
pub mod slack;
pub mod templates;
pub mod text;
pub mod webhook;

pub use build::{Notifiers, build};
pub use error::NotifyError;
pub use http::install_tls_provider;
pub use kinds::{Capability, KINDS, Kind, Repeats};
pub use render::Renderer;
pub use settings::{Defaults, IntegrationConfig, ReceiverConfig, Settings};
pub use templates::{TemplateField, Templates};

use crate::model::{Notification, Timestamp};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

pub type NotifyFuture<'a> = Pin<Box<dyn Future<Output = Result<Delivery, NotifyError>> + Send + 'a>>;

/// The destination took it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// What it is called there, when a later message can update it.
    pub external_ref: Option<Arc<str>>,
}

/// What a notifier is given besides the notification itself.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// 1 for the first.
    pub number: u32,
    /// When this attempt is made: signatures and mail dates say so.
    pub at: Timestamp,
    /// What the destination called the first message about this incident or group, when one was sent.
    pub previous_ref: Option<Arc<str>>,
}

impl Attempt {
    pub fn first(at: Timestamp) -> Self {
        Self { number: 1, at, previous_ref: None }
    }
}

/// One configured integration of one receiver.
pub trait Notifier: Send + Sync + 'static {
    fn notify<'a>(&'a self, notification: &'a Notification, attempt: &'a Attempt) -> NotifyFuture<'a>;
    /// `webhook`, `slack`, `email`, `pagerduty`, `log`.
    fn kind(&self) -> &'static str;
    /// How many messages of different incidents and groups may be under way at once.
    fn in_flight_max(&self) -> usize {
        1
    }
}
