//! One alert of a rule, from pending to ended, and what of it is stored.
//! In: the evaluations that had it. Out: its state, its row and its `ALERTS` series.
//! Never: hands anything out; that is the claim's.
//! Start at [`Active`].

use crate::model::labels::METRIC_NAME;
use crate::model::{Fingerprint, Labels, RuleAlertRecord, RuleAlertState, SampleValue, Timestamp};
use std::sync::Arc;

/// One alert of a rule.
pub(in crate::rules) struct Active {
    pub(in crate::rules) labels: Labels,
    pub(in crate::rules) annotations: Labels,
    pub(in crate::rules) value: SampleValue,
    pub(in crate::rules) state: RuleAlertState,
    #[allow(clippy::struct_field_names)] // Prometheus' word
    pub(in crate::rules) active_at: Timestamp,
    pub(in crate::rules) fired_at: Option<Timestamp>,
    pub(in crate::rules) resolved_at: Option<Timestamp>,
    pub(in crate::rules) keep_firing_since: Option<Timestamp>,
    /// The latest evaluation that had it, by our clock.
    pub(super) last_seen: Timestamp,
    /// The latest slot that had it.
    pub(super) last_slot: Timestamp,
    /// How far the samples reached of the latest arrival that had it: ahead of us when its sender's clock is.
    pub(super) known_until: Timestamp,
    /// When it was last handed out; `None` makes it be handed out again.
    pub(super) sent_at: Option<Timestamp>,
    /// Under which name it was handed out before its rule had this identity. That claim ends when the next one is made.
    pub(super) former_claimant: Option<Arc<str>>,
    /// Since when its source is silent without having said that it ends.
    pub(in crate::rules) lost_since: Option<Timestamp>,
    /// `ALERTS` (of the present state) and `ALERTS_FOR_STATE`, built once.
    pub(super) series: Option<(Labels, Labels)>,
}

impl Active {
    pub(super) fn is_alive(&self) -> bool {
        self.state != RuleAlertState::Inactive
    }

    /// By this slot, or by an arrival after it; one of the very same time knew no more than the slot does.
    pub(super) fn is_seen(&self, at: Timestamp) -> bool {
        self.last_slot == at || self.known_until > at
    }

    /// Another rule state, or none, was stored and handed out as this alert until now.
    pub(super) fn from_record(record: &RuleAlertRecord, former_claimant: Option<Arc<str>>) -> Self {
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
    /// A new alert: its `for` begins.
    pub(super) fn pending(
        labels: Labels,
        value: SampleValue,
        at: Timestamp,
        former_claimant: Option<Arc<str>>,
    ) -> Self {
        Self {
            labels,
            annotations: Labels::empty(),
            value,
            state: RuleAlertState::Pending,
            active_at: at,
            fired_at: None,
            resolved_at: None,
            keep_firing_since: None,
            last_seen: at,
            last_slot: Timestamp::MIN,
            known_until: Timestamp::MIN,
            sent_at: None,
            former_claimant,
            lost_since: None,
            series: None,
        }
    }

    /// Takes new annotations; says whether they differ.
    pub(super) fn reword(&mut self, annotations: Labels) -> bool {
        let differs = annotations != self.annotations;
        if differs {
            self.annotations = annotations;
        }
        differs
    }

    pub(super) fn fires(&mut self, at: Timestamp) {
        self.state = RuleAlertState::Firing;
        self.fired_at = Some(at);
        self.series = None;
        self.sent_at = None;
    }

    /// Its end was handed out already.
    pub(super) fn pends_again(&mut self) {
        self.state = RuleAlertState::Pending;
        self.fired_at = None;
        self.series = None;
    }

    /// The clock was set: moments that waits are counted from move with it.
    pub(super) fn clock_jumped(&mut self, by_ms: i64) {
        let moved = |t: Timestamp| t.moved_by(by_ms);
        self.active_at = moved(self.active_at);
        self.fired_at = self.fired_at.map(moved);
        self.resolved_at = self.resolved_at.map(moved);
        self.keep_firing_since = self.keep_firing_since.map(moved);
        self.last_seen = moved(self.last_seen);
        self.last_slot = moved(self.last_slot);
        self.known_until = moved(self.known_until);
        self.sent_at = self.sent_at.map(moved);
    }
}

/// Equal bits; a histogram always counts as changed.
pub(super) fn same_value(a: &SampleValue, b: &SampleValue) -> bool {
    matches!((a, b), (SampleValue::Float(a), SampleValue::Float(b)) if a.to_bits() == b.to_bits())
}

pub(super) fn series_of(labels: &Labels, firing: bool) -> (Labels, Labels) {
    let state = if firing { "firing" } else { "pending" };
    let named = |name: &str| labels.with(METRIC_NAME, name);
    (named("ALERTS").with("alertstate", state), named("ALERTS_FOR_STATE"))
}

/// The row of one alert as it stands.
pub(super) fn record(rule: &Arc<str>, alert: &Active) -> RuleAlertRecord {
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
