//! Correlation settings: the operator's rules and the default one.
//! In: checked configuration. Out: plain data.
//! Never: looks at alerts by itself.
//! Start at [`CorrelationConfig`].

use crate::model::Matcher;
use std::sync::Arc;
use std::time::Duration;

/// "Alerts that match and agree on these labels within this window are one incident."
#[derive(Clone, Debug, PartialEq)]
pub struct CorrelationRule {
    pub name: Arc<str>,
    pub matchers: Vec<Matcher>,
    /// Labels whose values must agree; a missing label counts as empty.
    pub by: Vec<Arc<str>>,
    /// Sliding: counted from the last attach.
    pub window: Duration,
}

/// All that correlation may be told.
#[derive(Clone, Debug, PartialEq)]
pub struct CorrelationConfig {
    /// Tried in order; the first that matches decides.
    pub rules: Vec<CorrelationRule>,
    /// The default rule: same (cluster, namespace), no longer than this since the last attach (120 s; probe in the correlation notes).
    pub gap: Duration,
    /// … and no longer than this since the incident opened (6 min).
    pub age_max: Duration,
    /// An alert that comes back this soon after its incident ended by itself reopens it; zero: it opens a new one.
    pub reopen_window: Duration,
    /// Label names that hold the cluster and the environment, first present wins.
    pub cluster_labels: Vec<Arc<str>>,
    pub environment_labels: Vec<Arc<str>>,
}

impl Default for CorrelationConfig {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            gap: Duration::from_mins(2),
            age_max: Duration::from_mins(6),
            reopen_window: Duration::ZERO,
            cluster_labels: vec!["cluster".into()],
            environment_labels: vec!["environment".into(), "env".into()],
        }
    }
}
