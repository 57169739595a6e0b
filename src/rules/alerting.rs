//! Alerting rules: inactive, pending, firing, and back, one element of the result at a time.
//! In: an evaluated vector at a slot or on arrival. Out: alerts that started or ended, rows of state, ALERTS series.
//! Never: ends an alert on an arrival, or forgets one without saying its end.
//! Start at [`AlertingRule::apply`].

mod limit;

use super::context::{EvalContext, Trigger};
use super::file::{RuleBody, RuleSpec};
use super::outputs::Outputs;
use super::set::{Evaluation, LimitAction};
use crate::model::labels::{ALERT_NAME, METRIC_NAME};
use crate::model::{Alert, Door, Fingerprint, Labels, RuleAlertRecord, RuleAlertState, SampleValue, Timestamp, Write};
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

/// One alert of a rule.
pub(super) struct Active {
    pub(super) labels: Labels,
    pub(super) annotations: Labels,
    pub(super) value: SampleValue,
    pub(super) state: RuleAlertState,
    #[allow(clippy::struct_field_names)] // Prometheus' word
    pub(super) active_at: Timestamp,
    pub(super) fired_at: Option<Timestamp>,
    pub(super) resolved_at: Option<Timestamp>,
    pub(super) keep_firing_since: Option<Timestamp>,
    /// The latest evaluation that had it, by our clock.
    last_seen: Timestamp,
    /// The latest slot that had it.
    last_slot: Timestamp,
    /// How far the samples reached of the latest arrival that had it: ahead of us when its sender's clock is.
    known_until: Timestamp,
    /// When it was last handed out; `None` makes it be handed out again.
    sent_at: Option<Timestamp>,
    /// Under which name it was handed out before its rule had this identity. That claim ends when the next one is made.
    former_claimant: Option<Arc<str>>,
    /// Since when its source is silent without having said that it ends.
    pub(super) lost_since: Option<Timestamp>,
    /// `ALERTS` (of the present state) and `ALERTS_FOR_STATE`, built once.
    series: Option<(Labels, Labels)>,
}

impl Active {
    fn is_alive(&self) -> bool {
        self.state != RuleAlertState::Inactive
    }

    /// By this slot, or by an arrival after it; one of the very same time knew no more than the slot does.
    fn is_seen(&self, at: Timestamp) -> bool {
        self.last_slot == at || self.known_until > at
    }

    /// Another rule state, or none, was stored and handed out as this alert until now.
    fn from_record(record: &RuleAlertRecord, former_claimant: Option<Arc<str>>) -> Self {
        Self {
            labels: record.labels.clone(),
            annotations: record.annotations.clone(),
            value: SampleValue::Float(record.value),
            state: record.state,
            active_at: record.active_at,
            fired_at: record.fired_at,
            resolved_at: record.resolved_at,
            keep_firing_since: record.keep_firing_since,
            last_seen: Timestamp::MIN,
            last_slot: Timestamp::MIN,
            known_until: Timestamp::MIN,
            sent_at: None,
            former_claimant,
            lost_since: None,
            series: None,
        }
    }
}

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
        let same = known.is_some_and(|a| same_value(&a.value, &value) && a.last_seen != Timestamp::MIN);
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
            let active = Active {
                labels: labels.clone(),
                annotations: Labels::empty(),
                value: value.clone(),
                state: RuleAlertState::Pending,
                active_at: at,
                fired_at: None,
                resolved_at: None,
                keep_firing_since: None,
                last_seen: at,
                last_slot: Timestamp::MIN,
                known_until: Timestamp::MIN,
                sent_at: None,
                // An earlier one of these labels may still hold a claim under another name.
                former_claimant: self.active.get(&labels).and_then(|old| old.former_claimant.clone()),
                lost_since: None,
                series: None,
            };
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
        let mut reworded = false;
        if let Some(annotations) = annotations
            && annotations != alert.annotations
        {
            alert.annotations = annotations;
            reworded = true;
        }
        changed |= alert.keep_firing_since.take().is_some();
        // A slot may come to this rule later than an arrival that knew a later time.
        let held = alert.last_seen.since(alert.active_at);
        match alert.state {
            RuleAlertState::Pending if held >= for_ => {
                alert.state = RuleAlertState::Firing;
                alert.fired_at = Some(at);
                alert.series = None;
                alert.sent_at = None;
                changed = true;
            }
            RuleAlertState::Firing if held < for_ => {
                // The rule's `for` was raised above the time that it has been active.
                claim.announce(alert, Some(at), ctx, out);
                alert.state = RuleAlertState::Pending;
                alert.fired_at = None;
                alert.series = None;
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
            let (alerts, for_state) = alert.series.get_or_insert_with(|| series_of(&alert.labels, firing));
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
        let moved = |t: Timestamp| t.moved_by(by_ms);
        for alert in self.active.values_mut() {
            alert.active_at = moved(alert.active_at);
            alert.fired_at = alert.fired_at.map(moved);
            alert.resolved_at = alert.resolved_at.map(moved);
            alert.keep_firing_since = alert.keep_firing_since.map(moved);
            alert.last_seen = moved(alert.last_seen);
            alert.last_slot = moved(alert.last_slot);
            alert.known_until = moved(alert.known_until);
            alert.sent_at = alert.sent_at.map(moved);
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

/// Equal bits; a histogram always counts as changed.
fn same_value(a: &SampleValue, b: &SampleValue) -> bool {
    matches!((a, b), (SampleValue::Float(a), SampleValue::Float(b)) if a.to_bits() == b.to_bits())
}

fn series_of(labels: &Labels, firing: bool) -> (Labels, Labels) {
    let state = if firing { "firing" } else { "pending" };
    let named = |name: &str| labels.with(METRIC_NAME, name);
    (named("ALERTS").with("alertstate", state), named("ALERTS_FOR_STATE"))
}

/// Under which name a rule hands out its alerts: two rules whose alerts have equal labels each hold a claim of their own.
pub(super) struct Claim {
    pub(super) claimant: Arc<str>,
    pub(super) generator_url: Arc<str>,
}

impl Claim {
    /// Hands out the alert as it stands, or its end. A claim that was made under a former name ends after it, so that the
    /// alert never has none in between.
    fn announce(&self, alert: &mut Active, ends_at: Option<Timestamp>, ctx: &EvalContext<'_>, out: &mut Evaluation) {
        debug_assert!(alert.labels.get(ALERT_NAME).is_some());
        alert.sent_at = Some(ctx.at);
        let starts_at = alert.fired_at.unwrap_or(alert.active_at);
        let current = self.alert(&alert.labels, &alert.annotations, starts_at, ends_at, &ctx.config.external_labels);
        let former = alert.former_claimant.take();
        let former = former.map(|claimant| Alert { claimant, ends_at: ends_at.or(Some(ctx.at)), ..current.clone() });
        out.alerts.push(current);
        out.alerts.extend(former);
    }

    pub(super) fn alert(
        &self,
        labels: &Labels,
        annotations: &Labels,
        starts_at: Timestamp,
        ends_at: Option<Timestamp>,
        external: &Labels,
    ) -> Alert {
        Alert {
            labels: if external.is_empty() { labels.clone() } else { external.overlaid(labels) },
            annotations: annotations.clone(),
            generator_url: self.generator_url.clone(),
            starts_at,
            ends_at,
            ends_by_timeout: false,
            door: Door::RemoteWrite,
            claimant: self.claimant.clone(),
        }
    }
}

fn record(rule: &Arc<str>, alert: &Active) -> RuleAlertRecord {
    RuleAlertRecord {
        rule: rule.clone(),
        fingerprint: Fingerprint::of(&alert.labels),
        labels: alert.labels.clone(),
        annotations: alert.annotations.clone(),
        state: alert.state,
        value: match &alert.value {
            SampleValue::Float(v) => *v,
            SampleValue::Histogram(h) => h.count,
        },
        active_at: alert.active_at,
        fired_at: alert.fired_at,
        resolved_at: alert.resolved_at,
        keep_firing_since: alert.keep_firing_since,
    }
}
