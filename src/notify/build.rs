//! From settings to notifiers.
//! In: the receivers of the configuration. Out: [`Notifiers`], looked up by receiver and index.
//! Never: connects to anything; a destination that is down is no reason to refuse a configuration.
//! Start at [`build`].

use super::email::Email;
use super::foreign::Foreign;
use super::log::Log;
use super::pagerduty::PagerDuty;
use super::settings::{IntegrationConfig, ReceiverConfig};
use super::slack::Slack;
use super::webhook::Webhook;
use super::{Notifier, Renderer};
use std::collections::HashMap;
use std::sync::Arc;

type ByReceiver = HashMap<Arc<str>, Vec<Arc<dyn Notifier>>>;

/// All configured integrations. Cheap to clone; a reload makes a new one.
#[derive(Clone, Default)]
pub struct Notifiers(Arc<ByReceiver>);

impl Notifiers {
    pub fn new(receivers: impl IntoIterator<Item = (Arc<str>, Vec<Arc<dyn Notifier>>)>) -> Self {
        Self(Arc::new(receivers.into_iter().collect()))
    }

    pub fn get(&self, receiver: &str, integration: usize) -> Option<&Arc<dyn Notifier>> {
        self.0.get(receiver)?.get(integration)
    }
}

/// An integration that cannot work as it is written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("receiver `{receiver}`, {kind}_configs[{index}]: {reason}")]
pub struct BuildError {
    pub receiver: Arc<str>,
    pub kind: &'static str,
    /// Among all integrations of the receiver.
    pub index: usize,
    pub reason: String,
}

/// Builds every integration, or says everything that is wrong. Reads TLS files; does not read secret files (those are read at
/// each send).
pub fn build(receivers: &[ReceiverConfig], renderer: &Renderer) -> Result<Notifiers, Vec<BuildError>> {
    let mut errors = Vec::new();
    let mut all = ByReceiver::new();
    for receiver in receivers {
        let mut notifiers = Vec::with_capacity(receiver.integrations.len());
        for (index, integration) in receiver.integrations.iter().enumerate() {
            match build_one(integration, renderer) {
                Ok(notifier) => notifiers.push(notifier),
                Err(reason) => errors.push(BuildError {
                    receiver: Arc::clone(&receiver.name),
                    kind: integration.kind(),
                    index,
                    reason,
                }),
            }
        }
        all.insert(Arc::clone(&receiver.name), notifiers);
    }
    if errors.is_empty() { Ok(Notifiers(Arc::new(all))) } else { Err(errors) }
}

fn build_one(integration: &IntegrationConfig, renderer: &Renderer) -> Result<Arc<dyn Notifier>, String> {
    Ok(match integration {
        IntegrationConfig::Webhook(c) => Arc::new(Webhook::new(c)?),
        IntegrationConfig::Slack(c) => Arc::new(Slack::new(c, renderer.clone())?),
        IntegrationConfig::Email(c) => Arc::new(Email::new(c, renderer.clone())?),
        IntegrationConfig::PagerDuty(c) => Arc::new(PagerDuty::new(c, renderer.clone())?),
        IntegrationConfig::Log(_) => Arc::new(Log),
        IntegrationConfig::Foreign(c) => Arc::new(Foreign(c.kind)),
    })
}
