//! Inhibition: an alert that fires mutes others, as the rules say (a host that is down explains its services).
//! In: rules, the firing alerts, and the labels of an alert that asks. Out: the rule and the alerts that mute it.
//! Never: looks at routes, silences or time; a source counts while its record fires.
//! Start at [`Inhibitor::update`] and [`Inhibitor::inhibited_by`].

use crate::model::matcher::all_match;
use crate::model::{AlertRecord, Fingerprint, Labels, Matcher};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Sources named in an answer; one is enough to mute, more would only lengthen the page.
pub const SOURCES_NAMED_MAX: usize = 10;

/// As configured. An empty rule is legal: without matchers every alert is both source and target, so it mutes nothing.
#[derive(Clone, Debug, Default)]
pub struct InhibitRule {
    /// Optional in the configuration; the rule's number stands in for it.
    pub name: Option<Arc<str>>,
    pub source_matchers: Vec<Matcher>,
    pub target_matchers: Vec<Matcher>,
    /// Labels that must have equal values on both sides; missing equals empty, so missing on both sides is equal.
    pub equal: Vec<Arc<str>>,
}

/// Why an alert is inhibited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inhibition {
    pub rule: Arc<str>,
    /// At most [`SOURCES_NAMED_MAX`], sorted.
    pub sources: Vec<Fingerprint>,
}

#[derive(Default)]
struct Sources {
    /// Those that match only the source side.
    pure: BTreeSet<Fingerprint>,
    /// Those that match the target side as well; they do not mute an alert that matches both, itself included.
    both: BTreeSet<Fingerprint>,
}

struct IndexedRule {
    name: Arc<str>,
    rule: InhibitRule,
    by_equal: HashMap<Labels, Sources>,
}

impl IndexedRule {
    fn key(&self, labels: &Labels) -> Labels {
        if self.rule.equal.is_empty() {
            return Labels::empty();
        }
        labels.retain(|name, _| self.rule.equal.iter().any(|e| **e == *name))
    }

    fn is_source(&self, labels: &Labels) -> bool {
        all_match(&self.rule.source_matchers, labels)
    }

    fn is_target(&self, labels: &Labels) -> bool {
        all_match(&self.rule.target_matchers, labels)
    }
}

/// The rules with their firing sources, found by the values of the `equal` labels.
#[derive(Default)]
pub struct Inhibitor {
    rules: Vec<IndexedRule>,
}

impl Inhibitor {
    /// Without sources yet: [`Inhibitor::update`] every record of the registry.
    pub fn new(rules: Vec<InhibitRule>) -> Self {
        let index = |(i, rule): (usize, InhibitRule)| {
            let name = rule.name.clone().unwrap_or_else(|| Arc::from(format!("inhibit rule {}", i + 1)));
            IndexedRule { name, rule, by_equal: HashMap::new() }
        };
        Self { rules: rules.into_iter().enumerate().map(index).collect() }
    }

    /// Notes that a record fires or has ended. Says whether it is a source of any rule, so that what it may mute is
    /// worth another look.
    pub fn update(&mut self, record: &AlertRecord) -> bool {
        self.note(record.fingerprint, &record.labels, record.is_firing())
    }

    /// Forgets an alert that is no longer kept.
    pub fn remove(&mut self, fingerprint: Fingerprint, labels: &Labels) {
        self.note(fingerprint, labels, false);
    }

    /// The first rule that mutes an alert with these labels, and by whom.
    pub fn inhibited_by(&self, labels: &Labels) -> Option<Inhibition> {
        self.rules.iter().find_map(|rule| {
            if rule.by_equal.is_empty() || !rule.is_target(labels) {
                return None;
            }
            let sources = rule.by_equal.get(&rule.key(labels))?;
            let mut named: Vec<Fingerprint> = sources.pure.iter().copied().take(SOURCES_NAMED_MAX).collect();
            if !sources.both.is_empty() && !rule.is_source(labels) {
                named.extend(sources.both.iter().copied().take(SOURCES_NAMED_MAX));
                named.sort_unstable();
                named.truncate(SOURCES_NAMED_MAX);
            }
            (!named.is_empty()).then(|| Inhibition { rule: Arc::clone(&rule.name), sources: named })
        })
    }

    fn note(&mut self, fingerprint: Fingerprint, labels: &Labels, firing: bool) -> bool {
        let mut is_source = false;
        for rule in &mut self.rules {
            if !rule.is_source(labels) {
                continue;
            }
            is_source = true;
            let (key, both) = (rule.key(labels), rule.is_target(labels));
            if firing {
                let sources = rule.by_equal.entry(key).or_default();
                let set = if both { &mut sources.both } else { &mut sources.pure };
                set.insert(fingerprint);
            } else if let Some(sources) = rule.by_equal.get_mut(&key) {
                let set = if both { &mut sources.both } else { &mut sources.pure };
                set.remove(&fingerprint);
                if sources.pure.is_empty() && sources.both.is_empty() {
                    rule.by_equal.remove(&key);
                }
            }
        }
        is_source
    }
}
