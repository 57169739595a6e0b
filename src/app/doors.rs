//! What rules find goes through the same door as what others post.
//! In: an evaluation. Out: transitions and rows of rule state in the inbox, committed when this returns `true`.
//! Never: drops news; a busy inbox is said with `false`, and the loop offers it again.
//! Start at [`RuleDoor`].

use crate::alerts::{Book, Observed};
use crate::clock::Clock;
use crate::engine::Input;
use crate::inbox::Inbox;
use crate::loops::evaluate::{RuleSink, rule_changes};
use crate::model::Door;
use crate::rules::Evaluation;
use crate::telemetry::Metrics;
use std::pin::Pin;
use std::sync::Arc;

/// The rules' way to the single writer.
pub struct RuleDoor {
    pub book: Arc<Book>,
    pub inbox: Inbox,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<Metrics>,
}

impl RuleDoor {
    async fn submit(&self, nothing: bool, input: Input) -> bool {
        nothing || self.inbox.submit(input).await.is_ok()
    }

    async fn take(&self, news: &Evaluation) -> bool {
        let now = self.clock.now();
        self.metrics.alerts.received(Door::RemoteWrite.as_str(), news.alerts.len() as u64);
        let mut transitions = Vec::with_capacity(news.alerts.len());
        for alert in &news.alerts {
            match self.book.observe(alert.clone(), now) {
                Ok(Observed::Transition(transition)) => transitions.push(transition),
                Ok(Observed::Refresh) => drop(self.metrics.alerts.refreshes.inc()),
                Ok(Observed::Ignored { reason }) => {
                    tracing::debug!(reason = reason.as_str(), "a rule's news changed nothing");
                }
                Err(error) => tracing::error!(%error, labels = %alert.labels, "an alert of a rule could not be taken"),
            }
        }
        let changes = rule_changes(&news.writes);
        // Side by side, so that one commit holds both.
        let (told, stored) = tokio::join!(
            self.submit(transitions.is_empty(), Input::Transitions(transitions)),
            self.submit(changes.is_empty(), Input::RuleAlerts(changes)),
        );
        told && stored
    }
}

impl RuleSink for RuleDoor {
    fn submit<'a>(&'a self, news: &'a Evaluation) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(self.take(news))
    }
}
