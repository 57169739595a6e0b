//! From settings to notifiers.
//! In: the receivers of the configuration. Out: [`Notifiers`], looked up by receiver and index.
//! Never: connects to anything; a destination that is down is no reason to refuse a configuration.
//! Start at [`build`].

use super::settings::ReceiverConfig;
use super::{Notifier, Renderer};
use crate::model::IntegrationId;
use std::collections::HashMap;
use std::sync::Arc;

type ByReceiver = HashMap<Arc<str>, HashMap<IntegrationId, Arc<dyn Notifier>>>;

/// All configured integrations. Cheap to clone; a reload makes a new one.
#[derive(Clone, Default)]
pub struct Notifiers(Arc<ByReceiver>);

impl std::fmt::Debug for Notifiers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(receiver, all)| (receiver, all.keys()))).finish()
    }
}

impl Notifiers {
    pub fn new(receivers: impl IntoIterator<Item = (Arc<str>, Vec<Arc<dyn Notifier>>)>) -> Self {
        let by_id = |notifiers: Vec<Arc<dyn Notifier>>| {
            let ids = IntegrationId::numbered(notifiers.iter().map(|notifier| notifier.kind()));
            ids.into_iter().zip(notifiers).collect()
        };
        Self(Arc::new(receivers.into_iter().map(|(name, notifiers)| (name, by_id(notifiers))).collect()))
    }

    pub fn get(&self, receiver: &str, integration: &IntegrationId) -> Option<&Arc<dyn Notifier>> {
        self.0.get(receiver)?.get(integration)
    }

    /// These, and those of `new` that are not among them: while it is not known yet whether the new ones will be used.
    #[must_use]
    pub fn with_new(&self, new: &Self) -> Self {
        let mut all = ByReceiver::clone(&self.0);
        for (receiver, integrations) in new.0.iter() {
            let known = all.entry(receiver.clone()).or_default();
            for (id, notifier) in integrations {
                known.entry(id.clone()).or_insert_with(|| notifier.clone());
            }
        }
        Self(Arc::new(all))
    }
}

/// An integration that cannot work as it is written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("receiver `{receiver}`, {integration}: {reason}")]
pub struct BuildError {
    pub receiver: Arc<str>,
    pub integration: IntegrationId,
    pub reason: String,
}

/// Builds every integration, or says everything that is wrong. Reads TLS files; does not read secret files (those are read at
/// each send).
pub fn build(receivers: &[ReceiverConfig], renderer: &Renderer) -> Result<Notifiers, Vec<BuildError>> {
    let mut errors = Vec::new();
    let mut all = ByReceiver::new();
    for receiver in receivers {
        let mut notifiers = HashMap::with_capacity(receiver.integrations.len());
        for (id, integration) in receiver.ids().into_iter().zip(&receiver.integrations) {
            match integration.build(renderer) {
                Ok(notifier) => drop(notifiers.insert(id, notifier)),
                Err(reason) => {
                    errors.push(BuildError { receiver: Arc::clone(&receiver.name), integration: id, reason });
                }
            }
        }
        all.insert(Arc::clone(&receiver.name), notifiers);
    }
    if errors.is_empty() { Ok(Notifiers(Arc::new(all))) } else { Err(errors) }
}
