//! Alerts of rules go through the same registry and inbox as alerts that are posted.
//! In: an evaluation. Out: transitions and rows of rule state in the inbox, committed when this says that they are taken.
//! Never: drops an alert: when the inbox is full or the registry has no room, the answer says so and the loop offers it again.
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

    async fn take(&self, evaluation: &Evaluation) -> Taken {
        let now = self.clock.now();
        self.metrics.alerts.received(Door::RemoteWrite.as_str(), evaluation.alerts.len() as u64);
        let (mut transitions, mut refused) = (Vec::with_capacity(evaluation.alerts.len()), HashSet::new());
        for alert in &evaluation.alerts {
            match self.registry.observe(alert.clone(), now) {
                Ok(Observed::Transition(transition)) => transitions.push(transition),
                Ok(Observed::Refresh) => drop(self.metrics.alerts.refreshes.inc()),
                Ok(Observed::Ignored { reason }) => {
                    tracing::debug!(reason = reason.as_str(), "a rule's evaluation changed nothing");
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
        let changes = rule_changes(&evaluation.writes);
        // Side by side, so that one commit holds both.
        let (submitted, stored) = tokio::join!(
            self.submit(transitions.is_empty(), Input::Transitions(transitions)),
            self.submit(changes.is_empty(), Input::RuleAlerts(changes)),
        );
        match submitted && stored {
            false => Taken::Nothing,
            true if refused.is_empty() => Taken::All,
            true => Taken::AllBut(refused),
        }
    }
}

impl RuleSink for RuleDoor {
    fn submit<'a>(&'a self, evaluation: &'a Evaluation) -> Pin<Box<dyn Future<Output = Taken> + Send + 'a>> {
        Box::pin(self.take(evaluation))
    }
}
