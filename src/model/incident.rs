//! Incidents: alerts that belong together, and the people who were told.
//! In: decisions of `incidents` and `escalation`. Out: plain rows for the store and for readers.
//! Never: moves by itself; `engine::apply` is the only writer.
//! Start at [`Incident`].

use super::alert::Door;
use super::escalation::Escalation;
use super::evidence::Evidence;
use super::ids::{Fingerprint, IncidentId};
use super::labels::Labels;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// The state in one word, as the API and the store's column say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IncidentStatus {
    Triggered,
    Acknowledged,
    Resolved,
}

impl IncidentStatus {
    pub const ALL: [Self; 3] = [Self::Triggered, Self::Acknowledged, Self::Resolved];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Triggered => "triggered",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == text)
    }
}

/// From the label `severity`, highest first when sorted descending. Unknown words are [`Severity::Medium`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    pub const ALL: [Self; 5] = [Self::Critical, Self::High, Self::Medium, Self::Low, Self::Info];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == text)
    }

    /// Reads the words that rules in the wild use (`page`, `warning`, `error`, `none`, …); any other is medium.
    pub fn of_label(value: &str) -> Self {
        Self::named(value).unwrap_or(Self::Medium)
    }

    /// The severity of one of those words, for people who ask by the word they wrote.
    pub fn named(value: &str) -> Option<Self> {
        Some(match value.to_ascii_lowercase().as_str() {
            "critical" | "page" | "emergency" | "fatal" | "disaster" | "p1" | "sev1" => Self::Critical,
            "high" | "error" | "major" | "p2" | "sev2" => Self::High,
            "medium" | "warning" | "warn" | "average" | "moderate" | "p3" | "sev3" => Self::Medium,
            "low" | "minor" | "p4" | "sev4" => Self::Low,
            "info" | "informational" | "none" | "notice" | "debug" | "p5" | "sev5" => Self::Info,
            _ => return None,
        })
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An alert's name and its `service` label, as acknowledgements cover them; empty when the label is absent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Covered {
    pub alertname: Arc<str>,
    pub service: Arc<str>,
}

/// Who has an incident in hand, since when, and what was known then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    pub by: Arc<str>,
    pub at: Timestamp,
    /// The names and services in the incident at that moment; at most [`COVERS_MAX`] pairs.
    pub covers: BTreeSet<Covered>,
    /// The incident's severity at that moment.
    pub severity: Severity,
}

/// Pairs that an acknowledgement lists; a storm of more names than this is covered as a whole.
pub const COVERS_MAX: usize = 500;

/// Quiet until a moment, by a person's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snooze {
    pub by: Arc<str>,
    pub at: Timestamp,
    /// On the wall clock: "until nine o'clock".
    pub until: Timestamp,
    pub covers: BTreeSet<Covered>,
    /// The incident's severity when it was snoozed.
    pub severity: Severity,
    /// It was acknowledged when it was snoozed.
    pub acknowledged: Option<Acknowledgement>,
}

/// Who ended an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolvedBy {
    /// All its alerts had ended.
    Itself,
    /// `hold_until`: alerts that still fire then open a new incident; `None`: never.
    Person {
        by: Arc<str>,
        still_firing: u32,
        hold_until: Option<Timestamp>,
    },
    Merge {
        by: Arc<str>,
        into: IncidentId,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    pub at: Timestamp,
    pub by: ResolvedBy,
}

/// The state of an incident with the data that only this state has. `incidents::lifecycle` is the one place that changes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IncidentState {
    Triggered,
    Acknowledged(Acknowledgement),
    Snoozed(Snooze),
    Resolved(Resolution),
}

/// One open or closed incident. Its alerts are [`Member`] rows of their own, so that a storm does not rewrite this row with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    pub id: IncidentId,
    /// What it is called, without the count of alerts: [`Incident::headline`] has both.
    pub title: String,
    pub state: IncidentState,
    /// The highest severity any of its alerts had.
    pub severity: Severity,
    /// Labels that all its alerts share.
    pub labels: Labels,
    /// The correlation domain (cluster and environment, `None` = label absent): never crossed by an attach or automatic merge.
    pub cluster: Option<Arc<str>>,
    pub environment: Option<Arc<str>>,
    pub opened_at: Timestamp,
    pub last_attached_at: Timestamp,
    /// The correlation rule and key it was opened under; later alerts with the same pair join it within the rule's window.
    pub correlation_rule: Option<Arc<str>>,
    pub correlation_key: Option<Arc<str>>,
    pub alert_count: u32,
    pub firing_count: u32,
    /// Doors its alerts were heard through.
    pub doors: BTreeSet<Door>,
    pub escalation: Escalation,
    /// Receivers that were paged for it, delivered or not (`escalation.delivered_to` says who got it).
    pub paged: BTreeSet<Arc<str>>,
    /// It was opened for alerts that still fired after this one was resolved by hand.
    pub predecessor: Option<IncidentId>,
}

impl Incident {
    /// The title with `(+3)` for three more alerts.
    pub fn headline(&self) -> String {
        match self.alert_count {
            0 | 1 => self.title.clone(),
            n => format!("{} (+{})", self.title, n - 1),
        }
    }

    /// A snoozed incident says what it was before.
    pub fn status(&self) -> IncidentStatus {
        match &self.state {
            IncidentState::Triggered => IncidentStatus::Triggered,
            IncidentState::Acknowledged(_) => IncidentStatus::Acknowledged,
            IncidentState::Snoozed(snooze) if snooze.acknowledged.is_some() => IncidentStatus::Acknowledged,
            IncidentState::Snoozed(_) => IncidentStatus::Triggered,
            IncidentState::Resolved(_) => IncidentStatus::Resolved,
        }
    }

    pub fn is_open(&self) -> bool {
        !matches!(self.state, IncidentState::Resolved(_))
    }

    /// Triggered and not snoozed: the state in which people are paged.
    pub fn is_triggered(&self) -> bool {
        self.state == IncidentState::Triggered
    }

    pub fn acknowledgement(&self) -> Option<&Acknowledgement> {
        match &self.state {
            IncidentState::Acknowledged(ack) => Some(ack),
            IncidentState::Snoozed(snooze) => snooze.acknowledged.as_ref(),
            IncidentState::Triggered | IncidentState::Resolved(_) => None,
        }
    }

    pub fn acknowledged_at(&self) -> Option<Timestamp> {
        self.acknowledgement().map(|ack| ack.at)
    }

    pub fn acknowledged_by(&self) -> Option<&Arc<str>> {
        self.acknowledgement().map(|ack| &ack.by)
    }

    /// What is covered by the acknowledgement or the snooze.
    pub fn covers(&self) -> Option<&BTreeSet<Covered>> {
        match &self.state {
            IncidentState::Acknowledged(ack) => Some(&ack.covers),
            IncidentState::Snoozed(snooze) => Some(&snooze.covers),
            IncidentState::Triggered | IncidentState::Resolved(_) => None,
        }
    }

    /// The severity that the acknowledgement or the snooze was given at.
    pub fn answered_severity(&self) -> Option<Severity> {
        match &self.state {
            IncidentState::Acknowledged(ack) => Some(ack.severity),
            IncidentState::Snoozed(snooze) => Some(snooze.severity),
            IncidentState::Triggered | IncidentState::Resolved(_) => None,
        }
    }

    pub fn snoozed_until(&self) -> Option<Timestamp> {
        match &self.state {
            IncidentState::Snoozed(snooze) => Some(snooze.until),
            _ => None,
        }
    }

    pub fn resolution(&self) -> Option<&Resolution> {
        match &self.state {
            IncidentState::Resolved(resolution) => Some(resolution),
            _ => None,
        }
    }

    pub fn resolved_at(&self) -> Option<Timestamp> {
        self.resolution().map(|resolution| resolution.at)
    }

    /// `None`: it is open, or ended by itself.
    pub fn resolved_by(&self) -> Option<&Arc<str>> {
        match &self.resolution()?.by {
            ResolvedBy::Itself => None,
            ResolvedBy::Person { by, .. } | ResolvedBy::Merge { by, .. } => Some(by),
        }
    }

    /// Set when operators merged it into another; its page redirects there.
    pub fn merged_into(&self) -> Option<IncidentId> {
        match &self.resolution()?.by {
            ResolvedBy::Merge { into, .. } => Some(*into),
            ResolvedBy::Itself | ResolvedBy::Person { .. } => None,
        }
    }

    /// When the alerts that still fire after a resolve by hand open a new incident.
    pub fn hold_until(&self) -> Option<Timestamp> {
        match &self.resolution()?.by {
            ResolvedBy::Person { hold_until, .. } => hold_until.filter(|_| self.firing_count > 0),
            ResolvedBy::Itself | ResolvedBy::Merge { .. } => None,
        }
    }

    /// How many of its alerts fire although a person resolved it.
    pub fn still_firing(&self) -> Option<u32> {
        match &self.resolution()?.by {
            ResolvedBy::Person { .. } => Some(self.firing_count),
            ResolvedBy::Itself | ResolvedBy::Merge { .. } => None,
        }
    }
}

/// One alert's place in an incident, with why it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub incident: IncidentId,
    pub fingerprint: Fingerprint,
    pub attached_at: Timestamp,
    /// Why it was attached, and which place came second.
    pub evidence: Evidence,
    /// Left it again: split off, detached, or merged away.
    pub detached: bool,
    /// When it was taken out, or, for an alert that fired again elsewhere, when that was noticed. `None`: its place is still here.
    pub left_at: Option<Timestamp>,
}
