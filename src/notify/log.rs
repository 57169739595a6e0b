//! Log: one line per notification; it cannot fail.
//! In: a notification. Out: a log line.
//! Never: sends anything anywhere.
//! Start at [`Log`].

use super::{Attempt, Delivery, Notifier, NotifyFuture, body, text};
use crate::model::Notification;

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
        "log"
    }
}
