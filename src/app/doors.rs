//! What rules find goes through the same door as what others post.
//! In: an evaluation. Out: transitions and rows of rule state in the inbox, committed when this says that they are taken.
//! Never: drops news; a busy inbox is said, and the loop offers them again, as are alerts that have no room.
//! Start at [`RuleDoor`].

use crate::alerts::{AlertRegistry, Observed, RegistryError};
use crate::clock::Clock;
use crate::engine::Input;
use crate::inbox::Inbox;
use crate::loops::evaluate::{RuleSink, Taken, rule_changes};
use crate::model::Door;
use crate::rules::Evaluation;
use crate::telemetry::Metrics;
use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;

/// The rules' way to the single writer.
pub struct RuleDoor {
    pub registry: Arc<AlertRegistry>,
    pub inbox: Inbox,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<Metrics>,
}

impl RuleDoor {
    async fn submit(&self, nothing: bool, input: Input) -> bool {
        nothing || self.inbox.submit(input).await.is_ok()
    }

    async fn take(&self, news: &Evaluation) -> Taken {
        let now = self.clock.now();
        self.metrics.alerts.received(Door::RemoteWrite.as_str(), news.alerts.len() as u64);
        let (mut transitions, mut refused) = (Vec::with_capacity(news.alerts.len()), HashSet::new());
        for alert in &news.alerts {
            match self.registry.observe(alert.clone(), now) {
                Ok(Observed::Transition(transition)) => transitions.push(transition),
                Ok(Observed::Refresh) => drop(self.metrics.alerts.refreshes.inc()),
                Ok(Observed::Ignored { reason }) => {
                    tracing::debug!(reason = reason.as_str(), "a rule's news changed nothing");
                }
                Err(RegistryError::Full { .. }) => drop(refused.insert(alert.labels.clone())),
                Err(error) => tracing::error!(%error, labels = %alert.labels, "an alert of a rule could not be taken"),
            }
        }
        if !refused.is_empty() {
            tracing::error!(
                alerts = refused.len(),
                "alerts of rules have no room (ingest.limits.alerts); they come again"
            );
        }
        let changes = rule_changes(&news.writes);
        // Side by side, so that one commit holds both.
        let (told, stored) = tokio::join!(
            self.submit(transitions.is_empty(), Input::Transitions(transitions)),
            self.submit(changes.is_empty(), Input::RuleAlerts(changes)),
        );
        match told && stored {
            false => Taken::Nothing,
            true if refused.is_empty() => Taken::All,
            true => Taken::AllBut(refused),
        }
    }
}

impl RuleSink for RuleDoor {
    fn submit<'a>(&'a self, news: &'a Evaluation) -> Pin<Box<dyn Future<Output = Taken> + Send + 'a>> {
        Box::pin(self.take(news))
    }
}
