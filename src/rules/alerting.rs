//! Alerting rules: inactive, pending, firing, and back, one element of the result at a time.
//! In: an evaluated vector at a slot or on arrival. Out: alerts that started or ended, rows of state, ALERTS series.
//! Never: ends an alert on an arrival, or forgets one without saying its end.
//! Start at [`AlertingRule::apply`].

mod limit;

use super::expand::Surroundings;
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

/// How long an ended alert is kept, so that its end can be told again (Prometheus' `resolvedRetention`).
pub(super) const RESOLVED_RETENTION: Duration = Duration::from_mins(15);
/// Changed annotations of a firing alert are told at most this often (Prometheus' resend delay).
const CHANGE_DELAY: Duration = Duration::from_mins(1);

/// What it says when two elements become one alert.
const DUPLICATE: &str = "vector contains metrics with the same labelset after applying alert labels";

/// What kind of evaluation this is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    /// The whole result at a slot: what is missing may end.
    Slot,
    /// Part of the result, or the whole between slots: alerts may start only.
    Arrival,
}

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
    /// The latest evaluation that had it.
    last_seen: Timestamp,
    /// The latest slot that had it.
    last_slot: Timestamp,
    /// When it was last told; `None` makes it be told again.
    sent_at: Option<Timestamp>,
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
        self.last_slot == at || self.last_seen > at
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

/// What the rule needs from its group while it is applied.
pub(super) struct Round<'a> {
    pub(super) world: &'a Surroundings<'a>,
    pub(super) at: Timestamp,
    /// The time of samples that are written.
    pub(super) written_at: Timestamp,
    pub(super) occasion: Occasion,
    pub(super) limit: usize,
    pub(super) limit_action: LimitAction,
    /// Since when the silence of a series means something.
    pub(super) since: Timestamp,
    /// Whether an alert that was not seen since then may end now.
    pub(super) may_end: &'a dyn Fn(&Labels) -> bool,
    /// When an alert's source was heard last, if it is silent without having ended.
    pub(super) lost_since: &'a dyn Fn(&Labels) -> Option<Timestamp>,
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
        round: &Round<'_>,
        elements: Vec<Element>,
        news: &mut Evaluation,
    ) -> Result<(), String> {
        let mut seen = self.label(round, elements)?;
        let surplus = match round.limit_action {
            _ if round.limit == 0 => 0,
            LimitAction::Keep => self.keep_within(round, &mut seen),
            LimitAction::Fail => {
                let alive = seen.len() + self.elsewhere(round, &seen);
                if alive > round.limit {
                    // Before anything is told of what is new.
                    self.clear(round, news);
                    return Err(format!("exceeded limit of {} with {alive} alerts", round.limit));
                }
                0
            }
        };
        for (labels, element, value) in seen {
            self.see(round, labels, &element, value, news);
        }
        if surplus > 0 {
            self.tell_surplus(round, ("alerts", surplus), news);
        }
        if round.occasion == Occasion::Slot {
            self.miss(round, news);
            self.write_series(round);
        }
        Ok(())
    }

    /// The alert's labels for each element; two alike make the whole evaluation fail.
    fn label(
        &mut self,
        round: &Round<'_>,
        elements: Vec<Element>,
    ) -> Result<Vec<(Labels, Labels, SampleValue)>, String> {
        if self.made.len() > 2 * elements.len() + 1024 {
            self.made.clear();
        }
        let mut out: Vec<(Labels, Labels, SampleValue)> = Vec::with_capacity(elements.len());
        for Element { labels: element, value } in elements {
            let known = if self.plain_labels { self.made.get(&element).cloned() } else { None };
            let labels = known.unwrap_or_else(|| {
                let data = round.world.data(&element, &value);
                let made = round.world.labels(&element, &self.label_names, &self.label_templates, &self.name, &data);
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

    fn annotate(&self, round: &Round<'_>, element: &Labels, value: &SampleValue) -> Labels {
        let data = round.world.data(element, value);
        round.world.annotations(&self.annotation_names, &self.annotation_templates, &data)
    }

    /// The element is in the result.
    fn see(&mut self, round: &Round<'_>, labels: Labels, element: &Labels, value: SampleValue, news: &mut Evaluation) {
        let known = self.active.get(&labels).filter(|a| a.state != RuleAlertState::Inactive);
        let same = known.is_some_and(|a| same_value(&a.value, &value) && a.last_seen != Timestamp::MIN);
        let annotations = (!same || self.restless).then(|| self.annotate(round, element, &value));
        self.see_annotated(round, labels, value, annotations, self.for_, news);
    }

    fn see_annotated(
        &mut self,
        round: &Round<'_>,
        labels: Labels,
        value: SampleValue,
        annotations: Option<Labels>,
        for_: Duration,
        news: &mut Evaluation,
    ) {
        let at = round.at;
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
                sent_at: None,
                lost_since: None,
                series: None,
            };
            self.active.insert(labels.clone(), active);
        }
        let generator_url = self.generator_url.clone();
        let Some(alert) = self.active.get_mut(&labels) else { return };
        alert.value = value;
        alert.last_seen = alert.last_seen.max(at);
        if round.occasion == Occasion::Slot {
            alert.last_slot = at;
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
                (alert.state, alert.fired_at, alert.series) = (RuleAlertState::Firing, Some(at), None);
                alert.sent_at = None;
                changed = true;
            }
            RuleAlertState::Firing if held < for_ => {
                // The rule's `for` was raised above the time that it has been active.
                news.alerts.push(ended(alert, at, round, &generator_url));
                (alert.state, alert.fired_at, alert.series) = (RuleAlertState::Pending, None, None);
                changed = true;
            }
            _ => {}
        }
        let tell = match alert.sent_at {
            None => true,
            Some(sent) => reworded && at.since(sent) >= CHANGE_DELAY,
        };
        if alert.state == RuleAlertState::Firing && tell {
            alert.sent_at = Some(at);
            news.alerts.push(announced(alert, None, round, &generator_url));
        }
        if changed {
            news.writes.push(Write::RuleAlert(Arc::new(record(&self.id, alert))));
        }
    }

    /// What the result did not have.
    fn miss(&mut self, round: &Round<'_>, news: &mut Evaluation) {
        let at = round.at;
        let (keep_for, id, url) = (self.keep_firing_for, self.id.clone(), self.generator_url.clone());
        self.active.retain(|labels, alert| {
            if alert.is_alive() && alert.is_seen(at) {
                return true;
            }
            let drop = Write::RuleAlertDropped { rule: id.clone(), fingerprint: Fingerprint::of(labels) };
            let is_held = alert.is_alive() && (is_cold(alert, labels, round) || is_lost(alert, labels, round));
            match alert.state {
                RuleAlertState::Inactive => {
                    if alert.sent_at.is_none() {
                        // Came over a restart: its end may not have been heard.
                        alert.sent_at = Some(at);
                        news.alerts.push(announced(alert, alert.resolved_at, round, &url));
                    }
                    let keep = alert.resolved_at.is_some_and(|end| at.since(end) <= RESOLVED_RETENTION);
                    if !keep {
                        news.writes.push(drop);
                    }
                    return keep;
                }
                _ if is_held => {
                    if alert.state == RuleAlertState::Firing && alert.sent_at.is_none() {
                        alert.sent_at = Some(at);
                        news.alerts.push(announced(alert, None, round, &url));
                    }
                    return true;
                }
                RuleAlertState::Pending => {
                    news.writes.push(drop);
                    return false;
                }
                RuleAlertState::Firing => {}
            }
            if !keep_for.is_zero() {
                let fresh = alert.keep_firing_since.is_none();
                let since = *alert.keep_firing_since.get_or_insert(at);
                if at.since(since) < keep_for {
                    if fresh {
                        news.writes.push(Write::RuleAlert(Arc::new(record(&id, alert))));
                    }
                    return true;
                }
            }
            news.alerts.push(ended(alert, at, round, &url));
            (alert.state, alert.resolved_at, alert.sent_at) = (RuleAlertState::Inactive, Some(at), Some(at));
            alert.keep_firing_since = None;
            news.writes.push(Write::RuleAlert(Arc::new(record(&id, alert))));
            true
        });
    }

    fn write_series(&mut self, round: &Round<'_>) {
        let head = round.world.head;
        for alert in self.active.values_mut().filter(|a| a.state != RuleAlertState::Inactive) {
            let firing = alert.state == RuleAlertState::Firing;
            let (alerts, for_state) = alert.series.get_or_insert_with(|| series_of(&alert.labels, firing));
            self.outputs.write(head, alerts, round.written_at, SampleValue::Float(1.0));
            let since = SampleValue::Float((alert.active_at.as_millis() as f64 / 1000.0).floor());
            self.outputs.write(head, for_state, round.written_at, since);
        }
        self.outputs.settle(head, round.written_at);
    }

    /// Ends and forgets everything: the limit was exceeded, or the rule has gone.
    pub(super) fn clear(&mut self, round: &Round<'_>, news: &mut Evaluation) {
        for (labels, alert) in self.active.drain() {
            if alert.state == RuleAlertState::Firing {
                news.alerts.push(ended(&alert, round.at, round, &self.generator_url));
            }
            news.writes.push(Write::RuleAlertDropped { rule: self.id.clone(), fingerprint: Fingerprint::of(&labels) });
        }
        self.outputs.end(round.world.head, round.written_at);
    }

    /// Brings one alert back from the store.
    pub(super) fn restore(&mut self, record: &RuleAlertRecord) {
        let alert = Active {
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
            sent_at: None,
            lost_since: None,
            series: None,
        };
        self.active.insert(record.labels.clone(), alert);
    }

    /// Takes the state over from the rule of the same identity before a reload.
    pub(super) fn inherit(&mut self, old: Self) {
        self.active = old.active;
        self.outputs = old.outputs;
        for alert in self.active.values_mut() {
            // Annotations may be worded anew.
            if alert.state != RuleAlertState::Inactive && alert.last_seen != Timestamp::MIN {
                alert.value = SampleValue::Float(f64::NAN);
            }
        }
    }

    /// These alerts were not taken, for want of room: they are told again at the next evaluation.
    pub(super) fn tell_again(&mut self, refused: &HashSet<Labels>, external: &Labels) {
        for alert in self.active.values_mut().filter(|a| a.is_alive()) {
            if refused.contains(&external.overlaid(&alert.labels)) {
                alert.sent_at = None;
            }
        }
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
fn is_cold(alert: &Active, labels: &Labels, round: &Round<'_>) -> bool {
    alert.last_seen <= round.since && !(round.may_end)(labels)
}

/// Takes note of a lost source; nobody asks for what is kept on purpose.
fn is_lost(alert: &mut Active, labels: &Labels, round: &Round<'_>) -> bool {
    alert.lost_since = (round.lost_since)(labels);
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

fn announced(alert: &Active, ends_at: Option<Timestamp>, round: &Round<'_>, generator_url: &Arc<str>) -> Alert {
    debug_assert!(alert.labels.get(ALERT_NAME).is_some());
    let external = round.world.external_labels;
    let labels = if external.is_empty() { alert.labels.clone() } else { external.overlaid(&alert.labels) };
    Alert {
        labels,
        annotations: alert.annotations.clone(),
        generator_url: generator_url.clone(),
        starts_at: alert.fired_at.unwrap_or(alert.active_at),
        ends_at,
        ends_by_timeout: false,
        door: Door::RemoteWrite,
        claimant: Arc::from(""),
    }
}

fn ended(alert: &Active, at: Timestamp, round: &Round<'_>, generator_url: &Arc<str>) -> Alert {
    announced(alert, Some(at), round, generator_url)
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
