//! A group's `limit`: which alerts have a place, and the one alert that stands for all others.
//! In: what an evaluation has found. Out: what may stay of it, and how many have to go.
//! Never: lets an alert that was handed out make room for a new one.
//! Start at [`AlertingRule::keep_within`].

use super::super::context::{EvalContext, Trigger};
use super::super::evaluation::Evaluation;
use super::super::file::RuleSpec;
use super::super::outputs::Outputs;
use super::{Active, AlertingRule, is_cold};
use crate::model::labels::ALERT_NAME;
use crate::model::{Labels, RuleAlertState, SampleValue};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// The alert that stands for those that a limit left out.
const OVERFLOW: &str = "RuleLimitExceeded";

impl AlertingRule {
    /// The rule behind the one alert that stands for what a limit leaves out of a recording rule.
    pub(in crate::rules) fn for_overflow(spec: &RuleSpec, id: Arc<str>, generator_url: Arc<str>) -> Self {
        Self {
            name: spec.name.clone(),
            id,
            for_: Duration::ZERO,
            keep_firing_for: Duration::ZERO,
            label_names: spec.labels.clone(),
            annotation_names: Vec::new(),
            plain_labels: true,
            restless: false,
            label_templates: Vec::new(),
            annotation_templates: Vec::new(),
            generator_url,
            made: HashMap::new(),
            active: HashMap::new(),
            outputs: Outputs::default(),
        }
    }

    /// Whether there is an alert, or the end of one that is still handed out.
    pub(in crate::rules) fn holds_any(&self) -> bool {
        !self.active.is_empty()
    }

    /// For a rule that was made by [`AlertingRule::for_overflow`]: fires while something is left out.
    pub(in crate::rules) fn apply_surplus(&mut self, ctx: &EvalContext<'_>, surplus: usize, out: &mut Evaluation) {
        if surplus > 0 {
            self.announce_surplus(ctx, "series", surplus, out);
        }
        self.miss(ctx, out);
        self.write_series(ctx);
    }

    /// Leaves as many as the limit allows: those that are known first, then by label. Returns how many went.
    pub(super) fn keep_within(&self, ctx: &EvalContext<'_>, seen: &mut Vec<(Labels, Labels, SampleValue)>) -> usize {
        let is_alive = |l: &Labels| self.active.get(l).is_some_and(Active::is_alive);
        let mut room = ctx.limit.saturating_sub(self.elsewhere(ctx, seen));
        if ctx.trigger == Trigger::Arrival {
            // An arrival takes no place away.
            room = room.max(seen.iter().filter(|(l, _, _)| is_alive(l)).count());
        }
        if seen.len() <= room {
            return 0;
        }
        seen.sort_by(|(a, _, _), (b, _, _)| is_alive(b).cmp(&is_alive(a)).then_with(|| a.cmp(b)));
        let surplus = seen.len() - room;
        seen.truncate(room);
        surplus
    }

    /// How many alerts will be alive after this evaluation that are not in its result.
    pub(super) fn elsewhere(&self, ctx: &EvalContext<'_>, seen: &[(Labels, Labels, SampleValue)]) -> usize {
        let here: HashSet<&Labels> = seen.iter().map(|(l, _, _)| l).collect();
        let others = self.active.iter().filter(|(l, _)| !here.contains(l) && l.alert_name() != OVERFLOW);
        others.filter(|(l, a)| a.is_alive() && (ctx.trigger == Trigger::Arrival || self.stays(l, a, ctx))).count()
    }

    /// Whether an alert that a slot's result does not have goes on all the same.
    fn stays(&self, labels: &Labels, alert: &Active, ctx: &EvalContext<'_>) -> bool {
        let is_kept = || {
            let since = alert.keep_firing_since.unwrap_or(ctx.at);
            alert.state == RuleAlertState::Firing && ctx.at.since(since) < self.keep_firing_for
        };
        alert.is_seen(ctx.at)
            || ctx.holds_ends()
            || is_cold(alert, labels, ctx)
            || ctx.lost_since(labels).is_some()
            || is_kept()
    }

    /// The one alert that stands for all that the limit left out. The rule's labels are part of it, because rules may share a
    /// name, and the rule's identity, because they may share both.
    pub(super) fn announce_surplus(&mut self, ctx: &EvalContext<'_>, what: &str, surplus: usize, out: &mut Evaluation) {
        let rule = self.name.clone();
        // Templates stand for values of single alerts; here they would be read as text.
        let plain = self.label_names.iter().filter(|_| self.plain_labels).map(|(n, v)| (n.as_ref(), v.as_ref()));
        let labels = Labels::from_pairs(plain);
        let labels = labels.with(ALERT_NAME, OVERFLOW).with("rule", &rule).with("rule_id", &self.id);
        let value = SampleValue::Float(surplus as f64);
        let text = format!("{rule} has more {what} than its limit of {}: some are left out", ctx.limit);
        let annotations = Labels::from_pairs([("summary", text)]);
        self.see_annotated(ctx, labels, value, Some(annotations), Duration::ZERO, out);
    }
}
