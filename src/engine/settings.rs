//! What the engine is told by the configuration: checked, immutable, swapped whole on reload.
//! In: `config`. Out: [`Settings`], shared as an `Arc`.
//! Never: holds a secret or an address (those stay in `notify`).
//! Start at [`Settings`].

use super::limits;
use crate::alerts::route::Route;
use crate::alerts::{InhibitRule, TimeInterval};
use crate::escalation::{EscalationPolicy, Schedule, User};
use crate::incidents::CorrelationConfig;
use crate::model::matcher::all_match;
use crate::model::{IntegrationId, Labels, Matcher, ReceiverSpec};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Everything decisions depend on besides what happens. Names in it refer to things that exist (`config` has checked).
#[derive(Clone, Debug)]
pub struct Settings {
    /// The root of the routing tree.
    pub route: Route,
    pub inhibit_rules: Vec<InhibitRule>,
    /// By name; an interval matches when any of its entries does.
    pub time_intervals: BTreeMap<String, Vec<TimeInterval>>,
    pub correlation: CorrelationConfig,
    pub policies: Vec<EscalationPolicy>,
    /// Alerts that run a policy whatever their routes say, by matchers; the first that matches counts.
    pub policy_overrides: Vec<(Vec<Matcher>, Arc<str>)>,
    pub schedules: Vec<Schedule>,
    pub users: Vec<User>,
    pub receivers: Vec<ReceiverSpec>,
    /// Without a slash at its end.
    pub external_url: Arc<str>,
    /// Pages to one receiver within a minute; `None`: no limit.
    pub max_pages_per_minute: Option<u32>,
    /// How long a step may stay undelivered before the next one is taken.
    pub delivery_timeout: Duration,
    /// Alerts that still fire this long after a person resolved their incident open a new one; zero: never.
    pub resolve_hold: Duration,
}

impl Settings {
    /// Settings with a routing tree and receivers and every other part at its default.
    pub fn new(route: Route, receivers: Vec<ReceiverSpec>) -> Self {
        Self {
            route,
            inhibit_rules: Vec::new(),
            time_intervals: BTreeMap::new(),
            correlation: CorrelationConfig::default(),
            policies: Vec::new(),
            policy_overrides: Vec::new(),
            schedules: Vec::new(),
            users: Vec::new(),
            receivers,
            external_url: Arc::from("http://127.0.0.1:9095"),
            max_pages_per_minute: Some(limits::PAGES_PER_MINUTE),
            delivery_timeout: limits::DELIVERY_TIMEOUT,
            resolve_hold: limits::RESOLVE_HOLD,
        }
    }

    /// The policy that alerts of these labels run whatever their routes say.
    pub fn policy_override(&self, labels: &Labels) -> Option<Arc<str>> {
        let found = self.policy_overrides.iter().find(|(matchers, _)| all_match(matchers, labels));
        found.map(|(_, policy)| policy.clone())
    }

    pub fn policy(&self, name: &str) -> Option<&EscalationPolicy> {
        self.policies.iter().find(|p| &*p.name == name)
    }

    pub fn schedule(&self, name: &str) -> Option<&Schedule> {
        self.schedules.iter().find(|s| &*s.name == name)
    }

    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|u| &*u.name == name)
    }

    /// The integration that a stored row names, by its identity of today; a position of version 0.1 that leads nowhere stays as it is.
    pub fn integration(&self, receiver: &str, stored: &IntegrationId) -> IntegrationId {
        let found = self.receiver(receiver).and_then(|receiver| receiver.find(stored));
        found.map_or_else(|| stored.clone(), |found| found.id.clone())
    }

    pub fn receiver(&self, name: &str) -> Option<&ReceiverSpec> {
        self.receivers.iter().find(|r| &*r.name == name)
    }
}
