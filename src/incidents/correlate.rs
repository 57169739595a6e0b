//! The first correlator: operator rules in order, then "same cluster and namespace, close in time".
//! In: an alert's labels, the open incidents, `now`. Out: [`Placing`]: where it goes, why, and what came second.
//! Never: scans the open incidents; at most [`CANDIDATES_MAX`] are looked at.
//! Start at [`Index::place`].

use super::correlation::CorrelationConfig;
use crate::model::duration;
use crate::model::matcher::all_match;
use crate::model::{Incident, IncidentId, Labels, Timestamp};
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

    fn difference(&self, other: &Self) -> String {
        let word = |v: &Option<Arc<str>>| v.as_deref().unwrap_or("none").to_owned();
        if self.cluster == other.cluster {
            format!("environment {} differs from {}", word(&other.environment), word(&self.environment))
        } else {
            format!("cluster {} differs from {}", word(&other.cluster), word(&self.cluster))
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
    pub reason: String,
    /// The next best place and why it lost; empty when there was none.
    pub runner_up: String,
}

type RuleKey = (Arc<str>, Arc<str>);

/// Open incidents by the rule, key and domain they were opened under, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Index {
    by_key: BTreeMap<RuleKey, BTreeMap<Domain, Vec<IncidentId>>>,
}

/// The rule that decides for one alert.
struct Deciding<'a> {
    rule: Arc<str>,
    key: Arc<str>,
    gap: Duration,
    age_max: Option<Duration>,
    by: Vec<&'a str>,
}

fn deciding<'a>(config: &'a CorrelationConfig, labels: &Labels) -> Deciding<'a> {
    for rule in &config.rules {
        if all_match(&rule.matchers, labels) {
            let by: Vec<&str> = rule.by.iter().map(|b| &**b).collect();
            let key = key_of(&by, labels);
            return Deciding { rule: rule.name.clone(), key, gap: rule.window, age_max: None, by };
        }
    }
    let by = vec![NAMESPACE];
    let key = key_of(&by, labels);
    Deciding { rule: DEFAULT_RULE.into(), key, gap: config.gap, age_max: Some(config.age_max), by }
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
        let mut chosen: Option<(&Incident, String)> = None;
        let mut runner_up = String::new();
        // The newest are the ones still within their window, so they are looked at first; the oldest that fits wins.
        for id in domains.and_then(|d| d.get(&domain)).into_iter().flatten().rev().take(CANDIDATES_MAX) {
            let Some(incident) = look(*id) else { continue };
            match fits(incident, &rule, now, alerts_max) {
                Ok(evidence) => {
                    let lost = chosen.replace((incident, evidence));
                    if let Some((younger, _)) = lost {
                        runner_up = format!("{} fits as well, but {} is older", younger.id, incident.id);
                    }
                }
                Err(why) if runner_up.is_empty() => runner_up = format!("{}: {why}", incident.id),
                Err(_) => {}
            }
        }
        if runner_up.is_empty() {
            runner_up = domains.map(|d| across(d, &domain)).unwrap_or_default();
        }
        let by = if rule.by.is_empty() { "no labels".to_owned() } else { rule.key.to_string() };
        let (incident, reason) = match chosen {
            Some((incident, evidence)) => (
                Some(incident.id),
                format!("rule {}: same {by} and same cluster and environment; {evidence}", rule.rule),
            ),
            None => (None, format!("rule {}: no open incident with {by} to join", rule.rule)),
        };
        Placing { incident, rule: rule.rule, key: rule.key, domain, reason, runner_up }
    }
}

fn fits(incident: &Incident, rule: &Deciding<'_>, now: Timestamp, alerts_max: usize) -> Result<String, String> {
    let gap = now.since(incident.last_attached_at);
    let age = now.since(incident.opened_at);
    if incident.alert_count as usize >= alerts_max {
        return Err(format!("holds {alerts_max} alerts already"));
    }
    if gap > rule.gap {
        return Err(format!("last alert {} ago, window is {}", duration::format(gap), duration::format(rule.gap)));
    }
    match rule.age_max {
        Some(max) if age > max => {
            Err(format!("opened {} ago, limit is {}", duration::format(age), duration::format(max)))
        }
        _ => Ok(format!("last alert {} ago, window is {}", duration::format(gap), duration::format(rule.gap))),
    }
}

/// An incident that agrees in everything but its domain: worth saying why it was not joined.
fn across(domains: &BTreeMap<Domain, Vec<IncidentId>>, own: &Domain) -> String {
    let other = domains.iter().find(|(d, ids)| *d != own && !ids.is_empty());
    other.map(|(d, ids)| format!("{}: {}", ids[ids.len() - 1], own.difference(d))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::CorrelationRule;
    use super::*;
    use crate::model::{Escalation, IncidentStatus, Matcher, Severity};
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
            status: IncidentStatus::Triggered,
            severity: Severity::Medium,
            labels,
            cluster: placing.domain.cluster,
            environment: placing.domain.environment,
            opened_at: secs(opened),
            last_attached_at: secs(attached),
            acknowledged_at: None,
            acknowledged_by: None,
            resolved_at: None,
            resolved_by: None,
            snoozed_until: None,
            correlation_rule: Some(placing.rule),
            correlation_key: Some(placing.key),
            alert_count: alerts,
            firing_count: alerts,
            doors: BTreeSet::new(),
            escalation: Escalation::default(),
            paged: BTreeSet::new(),
            merged_into: None,
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
        assert!(got.reason.contains(reason), "{alert}: {:?} lacks {reason:?}", got.reason);
        assert!(got.runner_up.contains(runner_up), "{alert}: {:?} lacks {runner_up:?}", got.runner_up);
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
