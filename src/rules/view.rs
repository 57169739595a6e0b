//! Rules as readers see them: the matter of `/api/v1/rules` and `/api/v1/alerts`.
//! In: groups. Out: [`RulesView`], plain and cheap to share.
//! Never: JSON.
//! Start at [`RulesView`].

use super::alerting::Active;
use super::expand::printable;
use super::group::{Rule, RuleGroup, Work};
use crate::model::{Fingerprint, Labels, RuleAlertState, SampleValue, Timestamp};
use crate::template::float_e;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Debug, Default)]
pub struct RulesView {
    pub groups: Vec<GroupView>,
    /// Added to alerts that are handed out, where the alert has no such label.
    pub external_labels: Labels,
}

#[derive(Clone, Debug)]
pub struct GroupView {
    pub name: Arc<str>,
    pub file: Arc<str>,
    pub interval: Duration,
    pub query_offset: Duration,
    pub limit: usize,
    pub evaluation_time: Duration,
    pub last_evaluation: Option<Timestamp>,
    pub missed_slots: u64,
    pub rules: Vec<RuleView>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Not evaluated yet.
    Unknown,
    Ok,
    Err,
}

impl Health {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Ok => "ok",
            Self::Err => "err",
        }
    }
}

#[derive(Clone, Debug)]
pub struct RuleView {
    pub name: Arc<str>,
    /// In canonical form.
    pub query: Arc<str>,
    pub labels: Labels,
    pub health: Health,
    pub last_error: Option<Arc<str>>,
    pub evaluation_time: Duration,
    pub last_evaluation: Option<Timestamp>,
    /// Evaluated for single series as they arrive; else when its inputs have settled.
    pub per_series: bool,
    /// How long the oldest sample of the last arrival waited for this rule's evaluation; `None` before the first.
    pub arrival_latency: Option<Duration>,
    pub kind: RuleKindView,
}

impl RuleView {
    /// Pending and firing ones.
    pub fn alerts(&self) -> &[AlertView] {
        match &self.kind {
            RuleKindView::Alerting { alerts, .. } | RuleKindView::Recording { alerts } => alerts,
        }
    }
}

#[derive(Clone, Debug)]
pub enum RuleKindView {
    Recording {
        /// The one that says that a limit leaves series out, while it does.
        alerts: Vec<AlertView>,
    },
    Alerting {
        /// `firing`, `pending`, `inactive`, or `unknown` before the first evaluation.
        state: &'static str,
        for_: Duration,
        keep_firing_for: Duration,
        annotations: Labels,
        /// Pending and firing ones, by label.
        alerts: Vec<AlertView>,
    },
}

#[derive(Clone, Debug)]
pub struct AlertView {
    pub labels: Labels,
    pub annotations: Labels,
    /// `pending` or `firing`.
    pub state: &'static str,
    pub active_at: Timestamp,
    pub keep_firing_since: Option<Timestamp>,
    /// Since when its source is silent without having ended: it is held, not resolved.
    pub source_lost_since: Option<Timestamp>,
    /// In exponent form: `1e+00`; a histogram's text.
    pub value: String,
}

impl RulesView {
    /// When the source of an alert was heard last, if a rule holds the alert because its source is silent. `identity` tells
    /// by which fingerprint an alert is kept that is handed out with these labels.
    pub fn source_lost_since(
        &self,
        fingerprint: Fingerprint,
        identity: impl Fn(&Labels) -> Fingerprint,
    ) -> Option<Timestamp> {
        let lost = self.alerts().filter(|alert| alert.source_lost_since.is_some());
        let mut it = lost.filter(|alert| identity(&self.external_labels.overlaid(&alert.labels)) == fingerprint);
        it.next()?.source_lost_since
    }

    /// All pending and firing alerts of all rules, for `/api/v1/alerts`.
    pub fn alerts(&self) -> impl Iterator<Item = &AlertView> {
        self.groups.iter().flat_map(|g| &g.rules).flat_map(RuleView::alerts)
    }
}

pub(super) fn view(groups: &[RuleGroup], external_labels: &Labels) -> RulesView {
    RulesView { groups: groups.iter().map(group).collect(), external_labels: external_labels.clone() }
}

fn group(group: &RuleGroup) -> GroupView {
    GroupView {
        name: group.name.clone(),
        file: group.file.clone(),
        interval: group.interval,
        query_offset: group.query_offset,
        limit: group.limit,
        evaluation_time: group.evaluation_time,
        last_evaluation: group.last_evaluation,
        missed_slots: group.missed_slots,
        rules: group.rules.iter().map(rule).collect(),
    }
}

fn rule(rule: &Rule) -> RuleView {
    let kind = match &rule.work {
        Work::Recording(r) => {
            RuleKindView::Recording { alerts: r.overflow.active.values().filter_map(alert).collect() }
        }
        Work::Alerting(a) => {
            let mut alerts: Vec<AlertView> = a.active.values().filter_map(alert).collect();
            alerts.sort_by(|x, y| x.labels.cmp(&y.labels));
            let unknown = rule.last_evaluation.is_none() && alerts.is_empty();
            RuleKindView::Alerting {
                state: if unknown { "unknown" } else { a.state() },
                for_: a.for_,
                keep_firing_for: a.keep_firing_for,
                annotations: Labels::from_pairs(a.annotation_names.iter().map(|(n, v)| (n.as_ref(), v.as_ref()))),
                alerts,
            }
        }
    };
    let health = match (&rule.error, rule.last_evaluation) {
        (Some(_), _) => Health::Err,
        (None, None) => Health::Unknown,
        (None, Some(_)) => Health::Ok,
    };
    RuleView {
        name: rule.name.clone(),
        query: rule.query.clone(),
        labels: rule.labels.clone(),
        health,
        last_error: rule.error.clone(),
        evaluation_time: rule.evaluation_time,
        last_evaluation: rule.last_evaluation,
        per_series: rule.is_per_series(),
        arrival_latency: rule.arrival_latency,
        kind,
    }
}

fn alert(active: &Active) -> Option<AlertView> {
    let state = match active.state {
        RuleAlertState::Pending => "pending",
        RuleAlertState::Firing => "firing",
        RuleAlertState::Inactive => return None,
    };
    let value = match (&active.value, printable(&active.value)) {
        (SampleValue::Float(v), _) => float_e(*v, None),
        (SampleValue::Histogram(_), text) => text.print(),
    };
    Some(AlertView {
        labels: active.labels.clone(),
        annotations: active.annotations.clone(),
        state,
        active_at: active.active_at,
        keep_firing_since: active.keep_firing_since,
        source_lost_since: active.lost_since,
        value,
    })
}
