//! Foreign: a kind that a stock `alertmanager.yml` may name and that we do not deliver to.
//! In: a notification. Out: a refusal for good, so that the timeline shows it and an escalation goes on at once.
//! Never: says "delivered", or tries again.
//! Start at [`Foreign`].

mod settings;

pub use settings::{ForeignConfig, read, set_in_global};

use super::{Attempt, Notifier, NotifyError, NotifyFuture};
use crate::model::Notification;

/// The kind's name, such as `opsgenie`.
pub struct Foreign(pub &'static str);

impl Notifier for Foreign {
    fn notify<'a>(&'a self, _: &'a Notification, _: &'a Attempt) -> NotifyFuture<'a> {
        let refusal = NotifyError::permanent(format!("watchfire does not deliver to {}: nobody was told", self.0));
        Box::pin(std::future::ready(Err(refusal)))
    }

    fn kind(&self) -> &'static str {
        self.0
    }
}
