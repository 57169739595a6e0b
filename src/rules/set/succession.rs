//! Rules keep their state over a reload and a restart, wherever in the configuration they are now.
//! In: new rule files; rows of the store. Out: rules with the alerts of those that they were before; ends of all others.
//! Never: ends an alert because its rule moved, was renamed with its group, or was reworded.
//! Start at [`RuleSet::reload`] and [`RuleSet::restore`].

use super::super::alerting::Claim;
use super::super::context::EvalContext;
use super::super::evaluation::{Evaluation, RuleSetConfig};
use super::super::file::RuleFile;
use super::super::group::{Ordinals, Rule, RuleGroup, WatchBook, claimant_of};
use super::super::ingest_gap::Silence;
use super::RuleSet;
use crate::model::{RuleAlertRecord, RuleAlertState, Timestamp, Write};
use crate::series::Head;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// A rule that has gone from its place in the configuration, until another takes its state over.
struct Gone {
    file: Arc<str>,
    group: Arc<str>,
    rule: Rule,
}

impl Gone {
    fn is_like(&self, other: &Rule) -> bool {
        self.rule.name == other.name && self.rule.labels == other.labels
    }
}

impl RuleSet {
    /// Replaces the configuration; state is kept for rules of equal name, expression, labels and `for`, wherever they are now,
    /// and for a rule of equal name and labels whose text was edited. What is no longer there ends.
    pub fn reload(&mut self, config: RuleSetConfig, files: &[RuleFile], head: &Head, now: Timestamp) -> Evaluation {
        // A slot that has begun ends by the rules with which it began.
        let mut out = Evaluation::default();
        self.work(now, head, Duration::MAX, &mut out);
        let old = std::mem::take(&mut self.groups);
        self.config = config;
        let mut ordinals = Ordinals::new();
        for spec in files.iter().flat_map(|f| &f.groups) {
            let mut book = WatchBook { head, known: &mut self.watches };
            let mut group = RuleGroup::new(spec, &mut ordinals, &mut book, &self.config, now);
            if let Some(before) = old.iter().find(|o| o.name == group.name && o.file == group.file) {
                group.inherit(before);
            }
            self.groups.push(group);
        }
        let left = self.inherit(old, &mut out);
        let ctx = EvalContext::new(head, &self.config, &self.columns, Silence::KNOWN, &self.recorded, now);
        for mut gone in left {
            gone.rule.end(&ctx, &mut out);
        }
        self.columns.clear();
        self.watches.retain(|_, watch| watch.strong_count() > 1);
        self.index();
        out
    }

    /// Gives every rule the state of the one that it was before: of the same identity; else of the same name and labels in its
    /// group; else of those anywhere. Equal ones are paired in order. Returns the rules that have no successor.
    fn inherit(&mut self, old: Vec<RuleGroup>, out: &mut Evaluation) -> Vec<Gone> {
        let mut gone: Vec<Option<Gone>> = Vec::new();
        for RuleGroup { file, name, rules, .. } in old {
            let of = |rule| Some(Gone { file: file.clone(), group: name.clone(), rule });
            gone.extend(rules.into_iter().map(of));
        }
        let mut by_id: HashMap<Arc<str>, usize> = HashMap::new();
        let mut by_name: HashMap<(bool, Arc<str>), Vec<usize>> = HashMap::new();
        for (n, old) in gone.iter_mut().enumerate() {
            let Some(old) = old else { continue };
            by_id.insert(old.rule.work.alerting().id.clone(), n);
            by_name.entry((old.rule.is_alerting(), old.rule.name.clone())).or_default().push(n);
        }
        let mut edited: Vec<(usize, usize)> = Vec::new();
        for (g, group) in self.groups.iter_mut().enumerate() {
            for (r, rule) in group.rules.iter_mut().enumerate() {
                match by_id.get(&rule.work.alerting().id).and_then(|n| gone[*n].take()) {
                    Some(old) => rule.inherit(old.rule, out),
                    None => edited.push((g, r)),
                }
            }
        }
        for is_same_group in [true, false] {
            edited.retain(|(g, r)| {
                let (file, name) = (self.groups[*g].file.clone(), self.groups[*g].name.clone());
                let rule = &mut self.groups[*g].rules[*r];
                let fits =
                    |old: &Gone| old.is_like(rule) && (!is_same_group || (old.file == file && old.group == name));
                let known = by_name.get(&(rule.is_alerting(), rule.name.clone()));
                let found = known.and_then(|all| all.iter().find(|n| gone[**n].as_ref().is_some_and(fits)));
                let Some(old) = found.and_then(|n| gone[*n].take()) else { return true };
                rule.inherit(old.rule, out);
                false
            });
        }
        gone.into_iter().flatten().collect()
    }

    /// What the store held of rules that are not there any more ends: no rule would end it.
    pub(super) fn end_orphans(&mut self, now: Timestamp, out: &mut Evaluation) {
        for record in std::mem::take(&mut self.orphans) {
            if record.state == RuleAlertState::Firing {
                let claim = Claim { claimant: claimant_of(&record.rule), generator_url: Arc::from("") };
                let starts_at = record.fired_at.unwrap_or(record.active_at);
                let external = &self.config.external_labels;
                let ended = claim.alert(&record.labels, &record.annotations, starts_at, Some(now), external);
                out.alerts.push(ended);
            }
            out.writes.push(Write::RuleAlertDropped { rule: record.rule.clone(), fingerprint: record.fingerprint });
        }
    }

    /// Brings back what the store held, timers exactly as they were. A row finds its rule by the rule's identity, by the one
    /// that it had in version 0.1, or by name and labels when its text was edited meanwhile. What is left ends with the next
    /// evaluation.
    pub fn restore(&mut self, records: Vec<RuleAlertRecord>) {
        let mut by_id: HashMap<Arc<str>, (usize, usize)> = HashMap::new();
        let mut by_name: HashMap<Arc<str>, Vec<(usize, usize)>> = HashMap::new();
        for (g, group) in self.groups.iter_mut().enumerate() {
            for (r, rule) in group.rules.iter_mut().enumerate() {
                by_id.entry(rule.former_id.clone()).or_insert((g, r));
                by_id.insert(rule.work.alerting().id.clone(), (g, r));
                if rule.is_alerting() {
                    by_name.entry(rule.name.clone()).or_default().push((g, r));
                }
            }
        }
        for record in records {
            let edited = || {
                let fits = |(g, r): &&(usize, usize)| {
                    let rule = &self.groups[*g].rules[*r];
                    rule.has_plain_labels() && rule.labels.iter().all(|(n, v)| record.labels.get(n) == Some(v))
                };
                by_name.get(record.labels.alert_name())?.iter().find(fits).copied()
            };
            let found = by_id.get(&record.rule).copied().or_else(edited);
            let rule = found.map(|(g, r)| self.groups[g].rules[r].work.alerting());
            match rule.filter(|rule| !rule.active.contains_key(&record.labels)) {
                Some(rule) if rule.id == record.rule => rule.restore(&record, None),
                Some(rule) => {
                    let is_claimed = record.state != RuleAlertState::Pending;
                    rule.restore(&record, is_claimed.then(|| claimant_of(&record.rule)));
                    self.unstored.push(Write::RuleAlertDropped { rule: record.rule, fingerprint: record.fingerprint });
                    self.unstored.extend(rule.row(&record.labels));
                }
                None => self.orphans.push(Arc::new(record)),
            }
        }
    }
}
