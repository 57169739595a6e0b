//! Incidents: alerts that belong together, and the people who were told.
//! In: decisions of `incidents` and `escalation`. Out: plain rows for the store and for readers.
//! Never: moves by itself; `engine::apply` is the only writer.
//! Start at [`Incident`].

use super::ids::{Fingerprint, IncidentId};
use super::labels::Labels;
use super::receiver::IntegrationId;
use super::time::Timestamp;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// Where an incident stands in its policy. Steps and rounds count from 1; 0 means "none taken yet".
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Escalation {
    /// Name of the policy; `None`: nobody is to be paged.
    pub policy: Option<Arc<str>>,
    /// The last step taken in this round.
    pub step: u32,
    pub round: u32,
    /// When this round began; a step's `after` counts from here.
    pub round_started_at: Option<Timestamp>,
    /// When the next step is due; `None` when acknowledged, resolved or exhausted.
    pub next_at: Option<Timestamp>,
    /// The policy's fallback was told: nothing more will happen by itself.
    pub exhausted: bool,
    /// An operator gave the incident to this target; the policy's steps page it instead of their own targets.
    pub assigned_to: Option<EscalationTarget>,
    /// How often the policy was started: 1 from the opening on, one more after each un-acknowledge, ack time-out, snooze, reassign.
    pub run: u32,
    /// A page of the last step taken was delivered, so a failure of its others does not hurry the next step.
    pub reached: bool,
    /// Receivers whose page waits for the page limit.
    pub held: BTreeSet<Arc<str>>,
    /// Receivers and integrations that heard of the incident, or may have: exactly these hear of its end.
    pub heard: BTreeSet<(Arc<str>, IntegrationId)>,
}

/// Whom a step tells.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EscalationTarget {
    User(Arc<str>),
    Schedule(Arc<str>),
    Receiver(Arc<str>),
}

/// One open or closed incident. Its alerts are [`Member`] rows of their own, so that a storm does not rewrite this row with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    pub id: IncidentId,
    pub title: String,
    pub status: IncidentStatus,
    /// The highest severity any of its alerts had.
    pub severity: Severity,
    /// Labels that all its alerts share.
    pub labels: Labels,
    /// The correlation domain (cluster and environment, `None` = label absent): never crossed by an attach or automatic merge.
    pub cluster: Option<Arc<str>>,
    pub environment: Option<Arc<str>>,
    pub opened_at: Timestamp,
    pub last_attached_at: Timestamp,
    pub acknowledged_at: Option<Timestamp>,
    pub acknowledged_by: Option<Arc<str>>,
    pub resolved_at: Option<Timestamp>,
    /// Who resolved it; `None` with `resolved_at` set means: by itself, all alerts had ended.
    pub resolved_by: Option<Arc<str>>,
    pub snoozed_until: Option<Timestamp>,
    /// The correlation rule and key it was opened under; later alerts with the same pair join it within the rule's window.
    pub correlation_rule: Option<Arc<str>>,
    pub correlation_key: Option<Arc<str>>,
    pub alert_count: u32,
    pub firing_count: u32,
    /// Doors its alerts were heard through.
    pub doors: BTreeSet<super::alert::Door>,
    pub escalation: Escalation,
    /// Receivers that were paged for it, delivered or not (`escalation.heard` says who heard).
    pub paged: BTreeSet<Arc<str>>,
    /// Set when operators merged it into another; it is resolved then and its page redirects.
    pub merged_into: Option<IncidentId>,
}

/// One alert's place in an incident, with why it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub incident: IncidentId,
    pub fingerprint: Fingerprint,
    pub attached_at: Timestamp,
    /// Why it was attached: the rule, the labels, the gap.
    pub reason: String,
    /// The next best place and why it lost; empty when there was none.
    pub runner_up: String,
    /// Left it again: split off, detached, or merged away.
    pub detached: bool,
    /// When it was taken out, or, for an alert that fired again elsewhere, when that was noticed. `None`: its place is still here.
    pub left_at: Option<Timestamp>,
}

/// What a timeline line is about; the API's `kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimelineKind {
    Opened,
    AlertAttached,
    AlertEnded,
    AlertDetached,
    SeverityRaised,
    Paged,
    NotPaged,
    PageSent,
    PageFailed,
    Escalated,
    Exhausted,
    Acknowledged,
    Unacknowledged,
    AckTimedOut,
    Snoozed,
    Unsnoozed,
    Reassigned,
    Noted,
    Merged,
    Split,
    Resolved,
    Reopened,
}

impl TimelineKind {
    pub const ALL: [Self; 22] = [
        Self::Opened,
        Self::AlertAttached,
        Self::AlertEnded,
        Self::AlertDetached,
        Self::SeverityRaised,
        Self::Paged,
        Self::NotPaged,
        Self::PageSent,
        Self::PageFailed,
        Self::Escalated,
        Self::Exhausted,
        Self::Acknowledged,
        Self::Unacknowledged,
        Self::AckTimedOut,
        Self::Snoozed,
        Self::Unsnoozed,
        Self::Reassigned,
        Self::Noted,
        Self::Merged,
        Self::Split,
        Self::Resolved,
        Self::Reopened,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::AlertAttached => "alert_attached",
            Self::AlertEnded => "alert_ended",
            Self::AlertDetached => "alert_detached",
            Self::SeverityRaised => "severity_raised",
            Self::Paged => "paged",
            Self::NotPaged => "not_paged",
            Self::PageSent => "page_sent",
            Self::PageFailed => "page_failed",
            Self::Escalated => "escalated",
            Self::Exhausted => "exhausted",
            Self::Acknowledged => "acknowledged",
            Self::Unacknowledged => "unacknowledged",
            Self::AckTimedOut => "ack_timed_out",
            Self::Snoozed => "snoozed",
            Self::Unsnoozed => "unsnoozed",
            Self::Reassigned => "reassigned",
            Self::Noted => "noted",
            Self::Merged => "merged",
            Self::Split => "split",
            Self::Resolved => "resolved",
            Self::Reopened => "reopened",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == text)
    }
}

/// One line of an incident's story, append-only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineEntry {
    pub incident: IncidentId,
    /// Counts up over all incidents: the journal's order.
    pub seq: u64,
    pub at: Timestamp,
    pub kind: TimelineKind,
    /// A sentence for people: "paged ana by first (round 1, step 1)".
    pub text: String,
    /// Who did it; `None` for Watchfire itself.
    pub actor: Option<Arc<str>>,
    /// Why: the evidence behind the decision; empty when the text says it all.
    pub reason: String,
}
