//! Log: one line per notification; it cannot fail.
//! In: a notification. Out: a log line.
//! Never: sends anything anywhere.
//! Start at [`Log`].

use super::kinds::{Capability, Kind, Repeats};
use super::settings::{Defaults, IntegrationConfig, Settings};
use super::webhook::body;
use super::{Attempt, Delivery, Notifier, NotifyFuture, Renderer, text};
use crate::model::Notification;
use crate::yaml::Fields;
use std::sync::Arc;

pub const KIND: Kind = Kind { name: "log", key: "log_configs", read, read_global: |_| () };

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `None`: true.
    pub send_resolved: Option<bool>,
}

impl Settings for LogConfig {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn send_resolved(&self) -> Option<bool> {
        self.send_resolved
    }

    fn send_resolved_default(&self) -> bool {
        true
    }

    fn capability(&self) -> Capability {
        Capability { updates_in_place: false, threads: false, acknowledgements: false, repeats: Repeats::BestEffort }
    }

    fn build(&self, _: &Renderer) -> Result<Arc<dyn Notifier>, String> {
        Ok(Arc::new(Log))
    }
}

fn read(f: Fields<'_>, _: &Defaults<'_>) -> IntegrationConfig {
    let log = LogConfig { send_resolved: f.bool("send_resolved") };
    f.finish();
    IntegrationConfig::new(log)
}

pub struct Log;

impl Notifier for Log {
    fn notify<'a>(&'a self, notification: &'a Notification, _: &'a Attempt) -> NotifyFuture<'a> {
        let message = &notification.message;
        tracing::info!(
            key = %notification.key,
            receiver = %notification.receiver,
            status = body::status(message.firing),
            incident = notification.incident().map(tracing::field::display),
            alerts = message.alerts.len() + message.truncated_alerts,
            "{}",
            text::one_line(&text::sentence(message)),
        );
        Box::pin(std::future::ready(Ok(Delivery::default())))
    }

    fn kind(&self) -> &'static str {
        KIND.name
    }
}
