//! Alerting rules: inactive, pending, firing, and back, one element of the result at a time.
//! In: an evaluated vector at a slot or on arrival. Out: alerts that started or ended, rows of state, ALERTS series.
//! Never: ends an alert on an arrival, or forgets one without saying its end.
//! Start at [`AlertingRule::apply`].

mod active;
mod claim;
mod limit;

pub(super) use active::Active;
use active::record;
pub(super) use claim::Claim;

use super::context::{EvalContext, Trigger};
use super::evaluation::{Evaluation, LimitAction};
use super::file::{RuleBody, RuleSpec};
use super::outputs::Outputs;
use crate::model::{Fingerprint, Labels, RuleAlertRecord, RuleAlertState, SampleValue, Timestamp, Write};
use crate::promql::Element;
use crate::template::Template;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// How long an ended alert is kept, so that its end can be handed out again (Prometheus' `resolvedRetention`).
pub(super) const RESOLVED_RETENTION: Duration = Duration::from_mins(15);
/// Changed annotations of a firing alert are handed out at most this often (Prometheus' resend delay).
const CHANGE_DELAY: Duration = Duration::from_mins(1);

/// The error when two elements become one alert.
const DUPLICATE: &str = "vector contains metrics with the same labelset after applying alert labels";

pub(super) struct AlertingRule {
    pub(super) name: Arc<str>,
    /// The identity under which state is stored and found again.
    pub(super) id: Arc<str>,
    pub(super) for_: Duration,
    pub(super) keep_firing_for: Duration,
    pub(super) label_names: Vec<(Arc<str>, Arc<str>)>,
    pub(super) annotation_names: Vec<(Arc<str>, Arc<str>)>,
    label_templates: Vec<Template>,
    annotation_templates: Vec<Template>,
    generator_url: Arc<str>,
    /// Labels do not depend on the value: built once per element.
    plain_labels: bool,
    /// Annotations ask for the time or run queries: they change without the value.
    restless: bool,
    made: HashMap<Labels, Labels>,
    pub(super) active: HashMap<Labels, Active>,
    pub(super) outputs: Outputs,
}

impl AlertingRule {
    /// `None` for a recording rule.
    pub(super) fn new(spec: &RuleSpec, id: Arc<str>, generator_url: Arc<str>) -> Option<Self> {
        let RuleBody::Alerting { for_, keep_firing_for, annotations, label_templates, annotation_templates } =
            &spec.body
        else {
            return None;
        };
        let asks = |t: &Template| !t.is_plain() && (t.source().contains("query") || t.source().contains("now"));
        Some(Self {
            name: spec.name.clone(),
            id,
            for_: *for_,
            keep_firing_for: *keep_firing_for,
            label_names: spec.labels.clone(),
            annotation_names: annotations.clone(),
            plain_labels: label_templates.iter().all(Template::is_plain),
            restless: annotation_templates.iter().any(asks),
            label_templates: label_templates.clone(),
            annotation_templates: annotation_templates.clone(),
            generator_url,
            made: HashMap::new(),
            active: HashMap::new(),
            outputs: Outputs::default(),
        })
    }

    /// Moves every alert on by one evaluation.
    pub(super) fn apply(
        &mut self,
        ctx: &EvalContext<'_>,
        elements: Vec<Element>,
        out: &mut Evaluation,
    ) -> Result<(), String> {
        let mut seen = self.label(ctx, elements)?;
        let surplus = match ctx.config.limit_action {
            _ if ctx.limit == 0 => 0,
            LimitAction::Keep => self.keep_within(ctx, &mut seen),
            LimitAction::Fail => {
                let alive = seen.len() + self.elsewhere(ctx, &seen);
                if alive > ctx.limit {
                    // Before any new alert is handed out.
                    self.clear(ctx, out);
                    return Err(format!("exceeded limit of {} with {alive} alerts", ctx.limit));
                }
                0
            }
        };
        for (labels, element, value) in seen {
            self.see(ctx, labels, &element, value, out);
        }
        if surplus > 0 {
            self.announce_surplus(ctx, "alerts", surplus, out);
        }
        if ctx.trigger == Trigger::Slot {
            self.miss(ctx, out);
            self.write_series(ctx);
        }
        Ok(())
    }

    /// The alert's labels for each element; two alike make the whole evaluation fail.
    fn label(
        &mut self,
        ctx: &EvalContext<'_>,
        elements: Vec<Element>,
    ) -> Result<Vec<(Labels, Labels, SampleValue)>, String> {
        if self.made.len() > 2 * elements.len() + 1024 {
            self.made.clear();
        }
        let mut out: Vec<(Labels, Labels, SampleValue)> = Vec::with_capacity(elements.len());
        for Element { labels: element, value } in elements {
            let known = if self.plain_labels { self.made.get(&element).cloned() } else { None };
            let labels = known.unwrap_or_else(|| {
                let data = ctx.data(&element, &value);
                let made = ctx.labels(&element, &self.label_names, &self.label_templates, &self.name, &data);
                if self.plain_labels {
                    self.made.insert(element.clone(), made.clone());
                }
                made
            });
            out.push((labels, element, value));
        }
        if out.len() > 1 && out.iter().map(|(l, _, _)| l).collect::<HashSet<_>>().len() != out.len() {
            return Err(DUPLICATE.to_owned());
        }
        Ok(out)
    }

    fn annotate(&self, ctx: &EvalContext<'_>, element: &Labels, value: &SampleValue) -> Labels {
        let data = ctx.data(element, value);
        ctx.annotations(&self.annotation_names, &self.annotation_templates, &data)
    }

    /// The element is in the result.
    fn see(
        &mut self,
        ctx: &EvalContext<'_>,
        labels: Labels,
        element: &Labels,
        value: SampleValue,
        out: &mut Evaluation,
    ) {
        let known = self.active.get(&labels).filter(|a| a.state != RuleAlertState::Inactive);
        let same = known.is_some_and(|a| active::same_value(&a.value, &value) && a.last_seen != Timestamp::MIN);
        let annotations = (!same || self.restless).then(|| self.annotate(ctx, element, &value));
        self.see_annotated(ctx, labels, value, annotations, self.for_, out);
    }

    fn see_annotated(
        &mut self,
        ctx: &EvalContext<'_>,
        labels: Labels,
        value: SampleValue,
        annotations: Option<Labels>,
        for_: Duration,
        out: &mut Evaluation,
    ) {
        let at = ctx.at;
        let known = self.active.get(&labels).filter(|a| a.state != RuleAlertState::Inactive);
        let mut changed = known.is_none();
        if changed {
            // An earlier one of these labels may still hold a claim under another name.
            let former_claimant = self.active.get(&labels).and_then(|old| old.former_claimant.clone());
            let active = Active::pending(labels.clone(), value.clone(), at, former_claimant);
            self.active.insert(labels.clone(), active);
        }
        let claim = self.claim();
        let Some(alert) = self.active.get_mut(&labels) else { return };
        alert.value = value;
        alert.last_seen = alert.last_seen.max(at);
        match ctx.trigger {
            Trigger::Slot => alert.last_slot = at,
            Trigger::Arrival => alert.known_until = alert.known_until.max(ctx.query_at),
        }
        alert.lost_since = None;
        let reworded = annotations.is_some_and(|annotations| alert.reword(annotations));
        changed |= alert.keep_firing_since.take().is_some();
        // A slot may come to this rule later than an arrival that knew a later time.
        let held = alert.last_seen.since(alert.active_at);
        match alert.state {
            RuleAlertState::Pending if held >= for_ => {
                alert.fires(at);
                changed = true;
            }
            RuleAlertState::Firing if held < for_ => {
                // The rule's `for` was raised above the time that it has been active.
                claim.announce(alert, Some(at), ctx, out);
                alert.pends_again();
                changed = true;
            }
            _ => {}
        }
        let is_due = match alert.sent_at {
            None => true,
            Some(sent) => reworded && at.since(sent) >= CHANGE_DELAY,
        };
        if alert.state == RuleAlertState::Firing && is_due {
            claim.announce(alert, None, ctx, out);
        }
        if changed {
            out.writes.push(Write::RuleAlert(Arc::new(record(&self.id, alert))));
        }
    }

    /// What the result did not have.
    fn miss(&mut self, ctx: &EvalContext<'_>, out: &mut Evaluation) {
        let at = ctx.at;
        let keep_for = self.keep_firing_for;
        let claim = self.claim();
        let id = self.id.clone();
        self.active.retain(|labels, alert| {
            if alert.is_alive() && alert.is_seen(at) {
                return true;
            }
            let drop = Write::RuleAlertDropped { rule: id.clone(), fingerprint: Fingerprint::of(labels) };
            // Asked in any case: whoever looks at the alert is to see that its source is silent.
            let is_held =
                alert.is_alive() && (is_lost(alert, labels, ctx) | is_cold(alert, labels, ctx) || ctx.holds_ends());
            match alert.state {
                RuleAlertState::Inactive => {
                    if alert.sent_at.is_none() {
                        // Came over a restart: its end may not have been stored.
                        claim.announce(alert, alert.resolved_at, ctx, out);
                    }
                    let keep = alert.resolved_at.is_some_and(|end| at.since(end) <= RESOLVED_RETENTION);
                    if !keep {
                        out.writes.push(drop);
                    }
                    return keep;
                }
                _ if is_held => {
                    if alert.state == RuleAlertState::Firing && alert.sent_at.is_none() {
                        claim.announce(alert, None, ctx, out);
                    }
                    return true;
                }
                RuleAlertState::Pending => {
                    out.writes.push(drop);
                    return false;
                }
                RuleAlertState::Firing => {}
            }
            if !keep_for.is_zero() {
                let fresh = alert.keep_firing_since.is_none();
                let since = *alert.keep_firing_since.get_or_insert(at);
                if at.since(since) < keep_for {
                    if fresh {
                        out.writes.push(Write::RuleAlert(Arc::new(record(&id, alert))));
                    }
                    return true;
                }
            }
            claim.announce(alert, Some(at), ctx, out);
            alert.state = RuleAlertState::Inactive;
            alert.resolved_at = Some(at);
            alert.keep_firing_since = None;
            out.writes.push(Write::RuleAlert(Arc::new(record(&id, alert))));
            true
        });
    }

    fn write_series(&mut self, ctx: &EvalContext<'_>) {
        let head = ctx.head;
        for alert in self.active.values_mut().filter(|a| a.state != RuleAlertState::Inactive) {
            let firing = alert.state == RuleAlertState::Firing;
            let (alerts, for_state) = alert.series.get_or_insert_with(|| active::series_of(&alert.labels, firing));
            self.outputs.write(head, alerts, ctx.query_at, SampleValue::Float(1.0));
            let since = SampleValue::Float((alert.active_at.as_millis() as f64 / 1000.0).floor());
            self.outputs.write(head, for_state, ctx.query_at, since);
        }
        self.outputs.settle(head, ctx.query_at);
    }

    /// Ends and forgets everything: the limit was exceeded, or the rule has gone.
    pub(super) fn clear(&mut self, ctx: &EvalContext<'_>, out: &mut Evaluation) {
        let claim = self.claim();
        for (labels, mut alert) in self.active.drain() {
            if alert.state == RuleAlertState::Firing {
                claim.announce(&mut alert, Some(ctx.at), ctx, out);
            }
            out.writes.push(Write::RuleAlertDropped { rule: self.id.clone(), fingerprint: Fingerprint::of(&labels) });
        }
        self.outputs.end(ctx.head, ctx.query_at);
    }

    /// Brings one alert back from the store. `former_claimant`: under which name it was handed out, when that is not ours.
    pub(super) fn restore(&mut self, record: &RuleAlertRecord, former_claimant: Option<Arc<str>>) {
        self.active.insert(record.labels.clone(), Active::from_record(record, former_claimant));
    }

    /// The row of one alert as it stands.
    pub(super) fn row(&self, labels: &Labels) -> Option<Write> {
        self.active.get(labels).map(|alert| Write::RuleAlert(Arc::new(record(&self.id, alert))))
    }

    /// Takes the state over from the rule that this one was before a reload. When its identity has changed with its text, rows
    /// move, and alerts are handed out under the new name before the old claim on them ends.
    pub(super) fn inherit(&mut self, old: Self, out: &mut Evaluation) {
        self.active = old.active;
        self.outputs = old.outputs;
        for (labels, alert) in &mut self.active {
            // Annotations may be worded anew.
            if alert.state != RuleAlertState::Inactive && alert.last_seen != Timestamp::MIN {
                alert.value = SampleValue::Float(f64::NAN);
            }
            if old.id == self.id {
                continue;
            }
            if alert.state == RuleAlertState::Firing && alert.former_claimant.is_none() {
                alert.former_claimant = Some(old.id.clone());
                alert.sent_at = None;
            }
            let fingerprint = Fingerprint::of(labels);
            out.writes.push(Write::RuleAlertDropped { rule: old.id.clone(), fingerprint });
            out.writes.push(Write::RuleAlert(Arc::new(record(&self.id, alert))));
        }
    }

    /// The clock was set: moments that waits are counted from move with it, and so do the rows.
    pub(super) fn clock_jumped(&mut self, by_ms: i64, out: &mut Evaluation) {
        for alert in self.active.values_mut() {
            alert.clock_jumped(by_ms);
            out.writes.push(Write::RuleAlert(Arc::new(record(&self.id, alert))));
        }
    }

    /// These alerts were not taken, for want of room: they are handed out again at the next evaluation.
    pub(super) fn announce_again(&mut self, refused: &HashSet<Labels>, external: &Labels) {
        for alert in self.active.values_mut().filter(|a| a.is_alive()) {
            if refused.contains(&external.overlaid(&alert.labels)) {
                alert.sent_at = None;
            }
        }
    }

    fn claim(&self) -> Claim {
        Claim { claimant: self.id.clone(), generator_url: self.generator_url.clone() }
    }

    pub(super) fn state(&self) -> &'static str {
        let has = |state| self.active.values().any(|a| a.state == state);
        if has(RuleAlertState::Firing) {
            "firing"
        } else if has(RuleAlertState::Pending) {
            "pending"
        } else {
            "inactive"
        }
    }
}

/// Whether nothing was seen of it since silence means something, and it is too early to believe that.
fn is_cold(alert: &Active, labels: &Labels, ctx: &EvalContext<'_>) -> bool {
    alert.last_seen <= ctx.silence.known_since && !ctx.may_end(labels)
}

/// Takes note of a lost source; nobody asks for what is kept on purpose.
fn is_lost(alert: &mut Active, labels: &Labels, ctx: &EvalContext<'_>) -> bool {
    alert.lost_since = ctx.lost_since(labels);
    alert.lost_since.is_some()
}
