//! Firing alerts that are muted: who they are, and what has to go for them to be looked at again.
//! In: an alert and the cause of its quiet. Out: the alerts a lifted cause sets free.
//! Never: decides whether an alert is muted.
//! Start at [`Waiting::wait`].

use crate::model::Fingerprint;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// Why an alert is quiet; the first cause found stands for all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    Silence(Arc<str>),
    /// The alert that inhibits it.
    Alert(Fingerprint),
    /// The time interval that mutes its route now.
    Interval(Arc<str>),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silence(id) => write!(f, "silenced by {id}"),
            Self::Alert(source) => write!(f, "inhibited by alert {source}"),
            Self::Interval(name) => write!(f, "muted by time interval {name}"),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Waiting {
    by_alert: BTreeMap<Fingerprint, Cause>,
    by_cause: BTreeMap<Cause, BTreeSet<Fingerprint>>,
}

impl Waiting {
    pub(super) fn wait(&mut self, alert: Fingerprint, cause: Cause) {
        self.forget(alert);
        self.by_cause.entry(cause.clone()).or_default().insert(alert);
        self.by_alert.insert(alert, cause);
    }

    pub(super) fn forget(&mut self, alert: Fingerprint) {
        let Some(cause) = self.by_alert.remove(&alert) else { return };
        if let Some(alerts) = self.by_cause.get_mut(&cause) {
            alerts.remove(&alert);
            if alerts.is_empty() {
                self.by_cause.remove(&cause);
            }
        }
    }

    /// The cause is gone: these alerts must be looked at again.
    pub(super) fn lift(&mut self, cause: &Cause) -> BTreeSet<Fingerprint> {
        let alerts = self.by_cause.remove(cause).unwrap_or_default();
        for alert in &alerts {
            self.by_alert.remove(alert);
        }
        alerts
    }

    /// Every cause of a kind, to be lifted together.
    pub(super) fn causes(&self, keep: impl Fn(&Cause) -> bool) -> Vec<Cause> {
        self.by_cause.keys().filter(|c| keep(c)).cloned().collect()
    }

    pub(super) fn holds(&self, alert: Fingerprint) -> bool {
        self.by_alert.contains_key(&alert)
    }

    pub(super) fn len(&self) -> usize {
        self.by_alert.len()
    }
}
