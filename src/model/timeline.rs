//! The story of an incident as typed events. Stored and served as data; `incidents::words` makes the sentences.
//! In: every decision about an incident. Out: [`TimelineEntry`], append-only.
//! Never: holds a sentence, but for the rows that version 0.1 wrote.
//! Start at [`TimelineEvent`].

use super::escalation::EscalationTarget;
use super::evidence::Evidence;
use super::ids::{Fingerprint, IncidentId};
use super::incident::Severity;
use super::mute::MuteReason;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One line of an incident's story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineEntry {
    pub incident: IncidentId,
    /// Counts up over all incidents: the journal's order.
    pub seq: u64,
    pub at: Timestamp,
    /// Who did it; `None` for Watchfire itself.
    pub actor: Option<Arc<str>>,
    /// The words that person added.
    pub note: String,
    pub event: TimelineEvent,
}

/// An alert as a line names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertRef {
    pub name: String,
    pub fingerprint: Fingerprint,
}

/// Where in a policy a page belongs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum PolicyStage {
    Step {
        policy: Arc<str>,
        round: u32,
        step: u32,
    },
    Fallback {
        policy: Arc<str>,
    },
    /// Before the first step: the one who had acknowledged.
    Acknowledger {
        policy: Arc<str>,
    },
}

impl PolicyStage {
    pub fn policy(&self) -> &Arc<str> {
        match self {
            Self::Step { policy, .. } | Self::Fallback { policy } | Self::Acknowledger { policy } => policy,
        }
    }
}

/// Why a step is taken now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "because", rename_all = "snake_case")]
pub enum StepReason {
    IncidentOpened,
    StartedAgain,
    /// An alert that joined brought the policy.
    AlertAsksForIt {
        alert: AlertRef,
    },
    Unanswered {
        for_ms: u64,
    },
    /// It fell due while nobody could take it.
    Overdue {
        by_ms: u64,
    },
    NotDelivered {
        within_ms: u64,
    },
    PageFailed {
        receiver: Arc<str>,
        error: String,
    },
    /// Its destination is known to be away.
    PageBlocked {
        receiver: Arc<str>,
        reason: String,
    },
    NobodyInStepBefore,
    AskedFor {
        by: Arc<str>,
    },
    /// Held back until now by the page limit.
    LimitFreed,
    PagedAgain {
        acknowledged_by: Arc<str>,
        why: PageAgain,
    },
}

/// What an acknowledgement or a snooze did not cover.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum PageAgain {
    NewAlertName { alert: AlertRef, alertname: String },
    NewService { alert: AlertRef, service: String },
    SeverityRose { alert: AlertRef, severity: Severity },
}

impl PageAgain {
    pub fn alert(&self) -> &AlertRef {
        match self {
            Self::NewAlertName { alert, .. } | Self::NewService { alert, .. } | Self::SeverityRose { alert, .. } => {
                alert
            }
        }
    }
}

/// Why a message that was decided is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TakenBack {
    IncidentAcknowledged,
    IncidentSnoozed,
    IncidentResolved,
    PolicyStartedAgain,
    NewerPage,
}

/// Why somebody is not paged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum NotPaged {
    /// The routes of its alerts name no escalation policy.
    NoPolicy,
    UnknownPolicy {
        policy: Arc<str>,
    },
    PolicyRemoved {
        policy: Arc<str>,
    },
    AllMuted {
        mute: MuteReason,
    },
    AlertMuted {
        alert: AlertRef,
        mute: MuteReason,
    },
    /// The alerts that asked for the policy have ended; others fire.
    NobodyAsks {
        policy: Arc<str>,
    },
    Unreachable {
        target: EscalationTarget,
        stage: PolicyStage,
        reason: StepReason,
    },
    HeldBack {
        receiver: Arc<str>,
        limit: u32,
        stage: PolicyStage,
        reason: StepReason,
    },
    HeldPageDropped {
        receiver: Arc<str>,
        mute: Option<MuteReason>,
    },
    RoundOver {
        round: u32,
        reason: StepReason,
    },
    TakenBack {
        receiver: Arc<str>,
        reason: TakenBack,
    },
    /// Another policy of the incident paged the same contact at this moment.
    SameMoment {
        receiver: Arc<str>,
        stage: PolicyStage,
    },
    /// An acknowledgement or a snooze covers the alert.
    Covered {
        alert: AlertRef,
        by: Arc<str>,
        snoozed: bool,
    },
}

/// What a message was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageAbout {
    Page,
    Acknowledgement,
    End,
}

/// Everything that can be in an incident's story.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum TimelineEvent {
    Opened {
        alert: AlertRef,
        evidence: Evidence,
    },
    OpenedBySplit {
        from: IncidentId,
    },
    /// Alerts of an incident resolved by hand still fired when its hold was over.
    OpenedStillFiring {
        predecessor: IncidentId,
        resolved_by: Arc<str>,
        resolved_at: Timestamp,
        still_firing: u32,
    },
    AlertAttached {
        alert: AlertRef,
        /// It was in this incident before.
        again: bool,
        evidence: Evidence,
    },
    /// From here on alerts that come and go are not listed one by one.
    AlertsUnlisted,
    AlertEnded {
        alert: AlertRef,
    },
    AlertDetached {
        alert: AlertRef,
    },
    SeverityRaised {
        alert: AlertRef,
        severity: Severity,
    },
    PolicyStarted {
        policy: Arc<str>,
        alert: AlertRef,
    },
    PagedAgain {
        acknowledged_by: Arc<str>,
        snoozed: bool,
        level: Severity,
        why: PageAgain,
    },
    Paged {
        receiver: Arc<str>,
        /// "ana (on call in primary)"; empty when the step names the receiver itself.
        contact: String,
        stage: PolicyStage,
        reason: StepReason,
        held_back: u32,
    },
    NotPaged(NotPaged),
    MessageDelivered {
        receiver: Arc<str>,
        about: MessageAbout,
        /// It had been taken back and arrived all the same.
        taken_back: bool,
    },
    MessageFailed {
        receiver: Arc<str>,
        about: MessageAbout,
        error: String,
        /// Not tried again.
        for_good: bool,
    },
    /// The destination is known to be away; the page waits untried.
    PageBlocked {
        receiver: Arc<str>,
        reason: String,
    },
    /// A person asked for it.
    SentAgain {
        receiver: Arc<str>,
        key: Arc<str>,
        about: MessageAbout,
    },
    Escalated {
        stage: PolicyStage,
        reason: StepReason,
    },
    EscalationRequested,
    EscalationResumed {
        alert: AlertRef,
    },
    Exhausted {
        policy: Arc<str>,
    },
    Acknowledged,
    Unacknowledged,
    AckTimedOut {
        by: Arc<str>,
        after_ms: u64,
    },
    Snoozed {
        for_ms: u64,
        until: Timestamp,
    },
    SnoozeEnded,
    Reassigned {
        to: EscalationTarget,
    },
    Noted,
    MergedInto {
        into: IncidentId,
    },
    Merged {
        from: IncidentId,
    },
    SplitOff {
        into: IncidentId,
        alerts: u32,
    },
    Resolved {
        /// Receivers to whom the end is written.
        notified: Vec<Arc<str>>,
        /// Of its alerts, when a person resolved it.
        still_firing: u32,
        /// Alerts that still fire then open a new incident.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hold_until: Option<Timestamp>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        merged_into: Option<IncidentId>,
    },
    /// `alert`: it fires again; `None`: a person reopened it.
    Reopened {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        alert: Option<AlertRef>,
        after_ms: u64,
    },
    /// The hold after a resolve by hand ended and alerts still fired.
    Succeeded {
        successor: IncidentId,
    },
    /// A row of version 0.1: its sentences.
    Recorded {
        kind: TimelineKind,
        text: String,
        reason: String,
    },
}

/// What a timeline line is about; the API's `kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimelineKind {
    Opened,
    AlertAttached,
    AlertEnded,
    AlertDetached,
    SeverityRaised,
    PolicyStarted,
    PagedAgain,
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
    pub const ALL: [Self; 24] = [
        Self::Opened,
        Self::AlertAttached,
        Self::AlertEnded,
        Self::AlertDetached,
        Self::SeverityRaised,
        Self::PolicyStarted,
        Self::PagedAgain,
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
            Self::PolicyStarted => "policy_started",
            Self::PagedAgain => "paged_again",
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

impl TimelineEvent {
    pub fn kind(&self) -> TimelineKind {
        match self {
            Self::Opened { .. } | Self::OpenedBySplit { .. } | Self::OpenedStillFiring { .. } => TimelineKind::Opened,
            Self::AlertAttached { .. } | Self::AlertsUnlisted => TimelineKind::AlertAttached,
            Self::AlertEnded { .. } => TimelineKind::AlertEnded,
            Self::AlertDetached { .. } => TimelineKind::AlertDetached,
            Self::SeverityRaised { .. } => TimelineKind::SeverityRaised,
            Self::PolicyStarted { .. } => TimelineKind::PolicyStarted,
            Self::PagedAgain { .. } => TimelineKind::PagedAgain,
            Self::Paged { .. } => TimelineKind::Paged,
            Self::NotPaged(_) => TimelineKind::NotPaged,
            Self::MessageDelivered { .. } => TimelineKind::PageSent,
            Self::MessageFailed { .. } | Self::PageBlocked { .. } => TimelineKind::PageFailed,
            Self::SentAgain { about: MessageAbout::Page, .. } => TimelineKind::Paged,
            Self::SentAgain { .. } => TimelineKind::Noted,
            Self::Escalated { .. } | Self::EscalationRequested | Self::EscalationResumed { .. } => {
                TimelineKind::Escalated
            }
            Self::Exhausted { .. } => TimelineKind::Exhausted,
            Self::Acknowledged => TimelineKind::Acknowledged,
            Self::Unacknowledged => TimelineKind::Unacknowledged,
            Self::AckTimedOut { .. } => TimelineKind::AckTimedOut,
            Self::Snoozed { .. } => TimelineKind::Snoozed,
            Self::SnoozeEnded => TimelineKind::Unsnoozed,
            Self::Reassigned { .. } => TimelineKind::Reassigned,
            Self::Noted => TimelineKind::Noted,
            Self::MergedInto { .. } | Self::Merged { .. } => TimelineKind::Merged,
            Self::SplitOff { .. } => TimelineKind::Split,
            Self::Resolved { .. } | Self::Succeeded { .. } => TimelineKind::Resolved,
            Self::Reopened { .. } => TimelineKind::Reopened,
            Self::Recorded { kind, .. } => *kind,
        }
    }
}
