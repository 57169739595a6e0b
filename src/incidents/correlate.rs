//! The first correlator: operator rules in order, then "same cluster and namespace, close in time".
//! In: an alert's labels, the open incidents, `now`. Out: [`Placing`]: where it goes, why, and what came second.
//! Never: scans the open incidents; at most [`CANDIDATES_MAX`] are looked at.
//! Start at [`Index::place`].

use super::correlation::CorrelationConfig;
use super::words::ms_since;
use crate::model::matcher::all_match;
use crate::model::{Evidence, Incident, IncidentId, Labels, RunnerUp, RunnerUpReason, Timestamp};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// Open incidents looked at for one alert; more would make a storm quadratic.
pub const CANDIDATES_MAX: usize = 16;
/// The rule that applies when no rule of the operator matches; named in explanations.
pub const DEFAULT_RULE: &str = "default";
const NAMESPACE: &str = "namespace";

/// What is never crossed: cluster and environment; `None` means the label is absent, which differs from every value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Domain {
    pub cluster: Option<Arc<str>>,
    pub environment: Option<Arc<str>>,
}

impl Domain {
    pub fn of(config: &CorrelationConfig, labels: &Labels) -> Self {
        let first = |names: &[Arc<str>]| names.iter().find_map(|n| labels.get(n)).map(Arc::from);
        Self { cluster: first(&config.cluster_labels), environment: first(&config.environment_labels) }
    }

    fn of_incident(incident: &Incident) -> Self {
        Self { cluster: incident.cluster.clone(), environment: incident.environment.clone() }
    }

    /// What keeps `other` apart from this one.
    fn difference(&self, other: &Self) -> RunnerUpReason {
        if self.cluster == other.cluster {
            RunnerUpReason::Environment { theirs: other.environment.clone(), ours: self.environment.clone() }
        } else {
            RunnerUpReason::Cluster { theirs: other.cluster.clone(), ours: self.cluster.clone() }
        }
    }
}

/// Where an alert goes, with the evidence.
#[derive(Clone, Debug)]
pub struct Placing {
    /// The open incident it joins; `None`: it opens one under `rule` and `key`.
    pub incident: Option<IncidentId>,
    pub rule: Arc<str>,
    pub key: Arc<str>,
    pub domain: Domain,
    pub evidence: Evidence,
}

type RuleKey = (Arc<str>, Arc<str>);

/// Open incidents by the rule, key and domain they were opened under, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Index {
    by_key: BTreeMap<RuleKey, BTreeMap<Domain, Vec<IncidentId>>>,
}

/// The rule that decides for one alert.
struct Deciding {
    rule: Arc<str>,
    key: Arc<str>,
    gap: Duration,
    age_max: Option<Duration>,
}

fn deciding(config: &CorrelationConfig, labels: &Labels) -> Deciding {
    for rule in &config.rules {
        if all_match(&rule.matchers, labels) {
            let by: Vec<&str> = rule.by.iter().map(|b| &**b).collect();
            let key = key_of(&by, labels);
            return Deciding { rule: rule.name.clone(), key, gap: rule.window, age_max: None };
        }
    }
    let key = key_of(&[NAMESPACE], labels);
    Deciding { rule: DEFAULT_RULE.into(), key, gap: config.gap, age_max: Some(config.age_max) }
}

/// `name="value"` of each label in the rule's order; quoting keeps two label sets apart.
fn key_of(by: &[&str], labels: &Labels) -> Arc<str> {
    let mut key = String::new();
    for (i, name) in by.iter().enumerate() {
        let sep = if i == 0 { "" } else { ", " };
        let _ = write!(key, "{sep}{name}={:?}", labels.value(name));
    }
    key.into()
}

impl Index {
    /// Makes an incident a place to join. One that was opened under no rule (split off by hand) is never joined by itself.
    pub fn open(&mut self, incident: &Incident) {
        if let (Some(rule), Some(key)) = (&incident.correlation_rule, &incident.correlation_key) {
            let domains = self.by_key.entry((rule.clone(), key.clone())).or_default();
            let ids = domains.entry(Domain::of_incident(incident)).or_default();
            if let Err(at) = ids.binary_search(&incident.id) {
                ids.insert(at, incident.id);
            }
        }
    }

    /// The incident is resolved: nothing joins it any more.
    pub fn close(&mut self, incident: &Incident) {
        let (Some(rule), Some(key)) = (&incident.correlation_rule, &incident.correlation_key) else { return };
        let (pair, domain) = ((rule.clone(), key.clone()), Domain::of_incident(incident));
        let Some(domains) = self.by_key.get_mut(&pair) else { return };
        if let Some(ids) = domains.get_mut(&domain) {
            ids.retain(|id| *id != incident.id);
            if ids.is_empty() {
                domains.remove(&domain);
            }
        }
        if domains.is_empty() {
            self.by_key.remove(&pair);
        }
    }

    /// Decides where an alert goes. Ties: the older incident, then the smaller id. `look` shows an open incident;
    /// `alerts_max` is how many one may hold.
    pub fn place<'i>(
        &self,
        config: &CorrelationConfig,
        labels: &Labels,
        now: Timestamp,
        alerts_max: usize,
        look: impl Fn(IncidentId) -> Option<&'i Incident>,
    ) -> Placing {
        let rule = deciding(config, labels);
        let domain = Domain::of(config, labels);
        let domains = self.by_key.get(&(rule.rule.clone(), rule.key.clone()));
        let mut chosen: Option<(&Incident, u64)> = None;
        let mut runner_up: Option<RunnerUp> = None;
        // The newest are the ones still within their window, so they are looked at first; the oldest that fits wins.
        for id in domains.and_then(|d| d.get(&domain)).into_iter().flatten().rev().take(CANDIDATES_MAX) {
            let Some(incident) = look(*id) else { continue };
            match fits(incident, &rule, now, alerts_max) {
                Ok(gap_ms) => {
                    if let Some((younger, _)) = chosen.replace((incident, gap_ms)) {
                        let lost = RunnerUpReason::Younger { than: incident.id };
                        runner_up = Some(RunnerUp { incident: younger.id, lost });
                    }
                }
                Err(lost) => runner_up = runner_up.or(Some(RunnerUp { incident: incident.id, lost })),
            }
        }
        let runner_up = runner_up.or_else(|| across(domains?, &domain));
        let (name, key) = (rule.rule.clone(), rule.key.clone());
        let evidence = match chosen {
            Some((_, gap_ms)) => {
                Evidence::Joined { rule: name, key, gap_ms, window_ms: rule.gap.as_millis() as u64, runner_up }
            }
            None => Evidence::Opened { rule: name, key, runner_up },
        };
        let incident = chosen.map(|(incident, _)| incident.id);
        Placing { incident, rule: rule.rule, key: rule.key, domain, evidence }
    }
}

impl Index {
    /// Whether an alert may come back into the incident that people had put it into: by the gap and age of its own rule.
    pub fn stay(
        &self,
        config: &CorrelationConfig,
        labels: &Labels,
        now: Timestamp,
        alerts_max: usize,
        incident: &Incident,
    ) -> Option<Placing> {
        let rule = deciding(config, labels);
        // It is there already, so a full incident has room for it.
        let gap_ms = fits(incident, &rule, now, alerts_max.saturating_add(1)).ok()?;
        let (name, key) = (rule.rule.clone(), rule.key.clone());
        let window_ms = rule.gap.as_millis() as u64;
        let evidence = Evidence::Joined { rule: name, key, gap_ms, window_ms, runner_up: None };
        let domain = Domain::of_incident(incident);
        Some(Placing { incident: Some(incident.id), rule: rule.rule, key: rule.key, domain, evidence })
    }
}

/// How long ago its last alert came when it may be joined, else what forbids it.
fn fits(incident: &Incident, rule: &Deciding, now: Timestamp, alerts_max: usize) -> Result<u64, RunnerUpReason> {
    let gap_ms = ms_since(now, incident.last_attached_at);
    let age_ms = ms_since(now, incident.opened_at);
    let window_ms = rule.gap.as_millis() as u64;
    if incident.alert_count as usize >= alerts_max {
        return Err(RunnerUpReason::Full { alerts_max: alerts_max as u64 });
    }
    if gap_ms > window_ms {
        return Err(RunnerUpReason::Gap { gap_ms, window_ms });
    }
    match rule.age_max.map(|max| max.as_millis() as u64) {
        Some(age_max_ms) if age_ms > age_max_ms => Err(RunnerUpReason::Age { age_ms, age_max_ms }),
        _ => Ok(gap_ms),
    }
}

/// An incident that agrees in everything but its domain: worth saying why it was not joined.
fn across(domains: &BTreeMap<Domain, Vec<IncidentId>>, own: &Domain) -> Option<RunnerUp> {
    let (theirs, ids) = domains.iter().find(|(d, ids)| *d != own && !ids.is_empty())?;
    Some(RunnerUp { incident: *ids.last()?, lost: own.difference(theirs) })
}

#[cfg(test)]
mod tests {
    use super::super::CorrelationRule;
    use super::super::words;
    use super::*;
    use crate::model::{Escalation, IncidentState, Matcher, Severity};
    use std::collections::BTreeSet;

    fn config() -> CorrelationConfig {
        let matchers = vec![Matcher::new("service", crate::model::MatchOp::Regex, ".+").expect("the pattern compiles")];
        let by = vec!["cluster".into(), "service".into()];
        let rule = CorrelationRule { name: "service".into(), matchers, by, window: Duration::from_mins(10) };
        CorrelationConfig { rules: vec![rule], ..CorrelationConfig::default() }
    }

    fn secs(s: i64) -> Timestamp {
        Timestamp::from_millis(s * 1000)
    }

    fn incident(id: u64, labels: &str, opened: i64, attached: i64, alerts: u32) -> Incident {
        let labels = labels_of(labels);
        let placing = Index::default().place(&config(), &labels, secs(opened), 10, |_| None);
        Incident {
            id: IncidentId(id),
            title: String::new(),
            state: IncidentState::Triggered,
            severity: Severity::Medium,
            labels,
            cluster: placing.domain.cluster,
            environment: placing.domain.environment,
            opened_at: secs(opened),
            last_attached_at: secs(attached),
            correlation_rule: Some(placing.rule),
            correlation_key: Some(placing.key),
            alert_count: alerts,
            firing_count: alerts,
            doors: BTreeSet::new(),
            escalation: Escalation::default(),
            paged: BTreeSet::new(),
            predecessor: None,
        }
    }

    fn labels_of(text: &str) -> Labels {
        Labels::from_pairs(text.split_whitespace().filter_map(|p| p.split_once('=')))
    }

    /// The open incidents, an alert at 1000 s, and where it goes with a word of the reason and of the runner-up.
    fn check(open: &[Incident], alert: &str, expect: Option<u64>, reason: &str, runner_up: &str) {
        let mut index = Index::default();
        for i in open {
            index.open(i);
        }
        let got = index.place(&config(), &labels_of(alert), secs(1000), 10, |id| open.iter().find(|i| i.id == id));
        assert_eq!(got.incident, expect.map(IncidentId), "{alert}: {got:?}");
        let (why, second) = (words::evidence_text(&got.evidence), words::runner_up(&got.evidence));
        assert!(why.contains(reason), "{alert}: {why:?} lacks {reason:?}");
        assert!(second.contains(runner_up), "{alert}: {second:?} lacks {runner_up:?}");
        for i in open {
            index.close(i);
        }
        assert!(index.by_key.is_empty());
    }

    #[test]
    fn alerts_find_their_incident() {
        let web = |id, opened, attached| incident(id, "service=web cluster=a", opened, attached, 1);
        check(&[web(1, 0, 400)], "service=web cluster=a", Some(1), "rule service", "");
        check(&[web(1, 0, 399)], "service=web cluster=a", None, "no open incident", "INC-1: last alert 10m1s ago");
        check(&[web(1, 0, 900)], "service=web cluster=b", None, "rule service", "");
        check(&[web(2, 0, 900), web(1, 0, 900)], "service=web cluster=a", Some(1), "", "INC-2 fits as well");
        let full = incident(1, "service=web cluster=a", 0, 900, 10);
        check(&[full, web(2, 0, 900)], "service=web cluster=a", Some(2), "", "INC-1: holds 10 alerts");
        let prod = incident(1, "service=web cluster=a env=prod", 0, 900, 1);
        check(&[prod], "service=web cluster=a env=dev", None, "", "INC-1: environment prod differs from dev");
        let shop = |opened, attached| incident(4, "namespace=shop", opened, attached, 1);
        check(&[shop(700, 880)], "namespace=shop", Some(4), "rule default", "");
        check(&[shop(700, 879)], "namespace=shop", None, "", "window is 2m");
        check(&[shop(639, 990)], "namespace=shop", None, "", "limit is 6m");
        check(&[shop(700, 990)], "namespace=cart", None, "", "");
        check(&[shop(700, 990)], "namespace=shop cluster=x", None, "", "cluster none differs from x");
        check(&[shop(700, 990)], "namespace=shop service=web", None, "rule service", "");
    }
}
