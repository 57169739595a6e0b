//! The configuration when it is checked, and what the flags of the command line change in it.
//! In: what `load` has read. Out: [`Config`], the engine's settings, the configuration printed.
//! Never: shows a secret.
//! Start at [`Config`].

use super::ingest::Ingest;
use super::print;
use super::server::{Evaluation, Paging, Storage, Web, is_exposed};
use crate::alerts::{HeartbeatSpec, InhibitRule, Route, TimeInterval};
use crate::engine;
use crate::escalation::{EscalationPolicy, Schedule, User};
use crate::incidents::CorrelationConfig;
use crate::model::alert::{HEARTBEAT_LABEL, SOURCE_SILENT};
use crate::model::labels::ALERT_NAME;
use crate::model::{Labels, Matcher};
use crate::notify::{Notifiers, ReceiverConfig};
use crate::probes::Probe;
use crate::promql::Features;
use crate::rules::RuleFile;
use crate::yaml::Node;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Checked and immutable; a reload replaces it whole.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file, when there is one.
    pub path: Option<PathBuf>,
    pub(super) tree: Tree,
    /// How long an alert posted without an end lives.
    pub resolve_timeout: Duration,
    /// Built from the receivers and the template files; empty when files were not looked at.
    pub notifiers: Notifiers,
    pub route: Route,
    pub inhibit_rules: Vec<InhibitRule>,
    /// By name; one holds when any of its entries does.
    pub time_intervals: BTreeMap<String, Vec<TimeInterval>>,
    /// Integrations of kinds that cannot deliver are among them, and refuse what they are sent.
    pub receivers: Vec<ReceiverConfig>,
    pub policies: Vec<EscalationPolicy>,
    pub schedules: Vec<Schedule>,
    pub users: Vec<User>,
    pub correlation: CorrelationConfig,
    /// Alerts that still fire so long after a resolve by hand open a new incident; zero: never.
    pub resolve_hold: Duration,
    /// Files that exist, in the order of the patterns and then of their names, each once.
    pub rule_files: Vec<PathBuf>,
    /// Those files, read; in the same order.
    pub rules: Vec<RuleFile>,
    /// No file was named and the working folder holds no rules: the built-in ones shall run.
    pub built_in_rules: bool,
    pub evaluation: Evaluation,
    pub storage: Storage,
    pub web: Web,
    pub ingest: Ingest,
    pub paging: Paging,
    /// What must be heard again and again.
    pub heartbeats: Vec<HeartbeatSpec>,
    /// What we ask ourselves.
    pub probes: Vec<Probe>,
    pub external_labels: Labels,
}

/// The file as it was read, secrets included: `Debug` shows nothing of it.
#[derive(Clone)]
pub(super) struct Tree(pub(super) Node);

impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tree(…)")
    }
}

/// The alert that says that a heartbeat is silent runs the heartbeat's own policy.
fn policy_override(heartbeat: &HeartbeatSpec) -> Option<(Vec<Matcher>, Arc<str>)> {
    let policy = heartbeat.escalation_policy.clone()?;
    let matchers = vec![Matcher::equal(ALERT_NAME, SOURCE_SILENT), Matcher::equal(HEARTBEAT_LABEL, &heartbeat.name)];
    Some((matchers, policy))
}

/// Flags that win over the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    pub listen_address: Option<SocketAddr>,
    pub external_url: Option<Arc<str>>,
    pub storage_path: Option<PathBuf>,
    pub memory_budget: Option<u64>,
    /// What of the language is switched on besides the stable one.
    pub features: Features,
}

impl Config {
    pub fn apply(&mut self, flags: &Overrides) {
        if let Some(address) = flags.listen_address {
            self.web.listen_address = address;
        }
        if let Some(url) = &flags.external_url {
            self.web.external_url = Some(Arc::clone(url));
        }
        if let Some(path) = &flags.storage_path {
            self.storage.path.clone_from(path);
        }
        if flags.memory_budget.is_some() {
            self.ingest.limits.memory_bytes = flags.memory_budget;
        }
        self.evaluation.features = flags.features;
    }

    /// What the engine may know of all this: no address, no secret.
    pub fn engine_settings(&self) -> engine::Settings {
        let receivers = self.receivers.iter().map(ReceiverConfig::spec).collect();
        let pages = self.paging.max_pages_per_minute;
        engine::Settings {
            inhibit_rules: self.inhibit_rules.clone(),
            time_intervals: self.time_intervals.clone(),
            correlation: self.correlation.clone(),
            policies: self.policies.clone(),
            policy_overrides: self.heartbeats.iter().filter_map(policy_override).collect(),
            schedules: self.schedules.clone(),
            users: self.users.clone(),
            external_url: self.external_url(),
            max_pages_per_minute: (pages > 0).then_some(pages),
            resolve_hold: self.resolve_hold,
            ..engine::Settings::new(self.route.clone(), receivers)
        }
    }

    /// How people reach us, without a slash at the end; from the listen address unless it was written.
    pub fn external_url(&self) -> Arc<str> {
        if let Some(url) = &self.web.external_url {
            return Arc::clone(url);
        }
        let address = self.web.listen_address;
        if address.ip().is_unspecified() {
            return Arc::from(format!("http://localhost:{}", address.port()));
        }
        Arc::from(format!("http://{address}"))
    }

    /// Refuses to listen beyond this machine without authentication, unless `insecure`. The text names both ways out.
    pub fn check_exposure(&self, insecure: bool) -> Result<(), String> {
        if insecure || !self.web.auth.is_off() || !is_exposed(self.web.listen_address) {
            return Ok(());
        }
        Err(format!(
            "refusing to listen on {} without authentication: anybody there could silence alerts. \
             Set web.auth.bearer_tokens_file (or web.auth.basic_auth_users) in the configuration, \
             or pass --insecure if the network is trusted",
            self.web.listen_address
        ))
    }

    /// The whole configuration as YAML, secrets shown as `<secret>`.
    pub fn print(&self) -> String {
        print::print(&self.tree.0)
    }

    /// The part that Alertmanager would read, for `/api/v2/status` and the tools that load it from there.
    pub fn print_alertmanager(&self) -> String {
        print::print_alertmanager(&self.tree.0)
    }
}
