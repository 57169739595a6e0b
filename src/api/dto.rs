//! The shapes of our own API: incidents and what hangs on them.
//! In: model rows. Out: JSON objects that borrow from them.
//! Never: computes anything but text forms; times are RFC 3339 UTC.
//! Start at [`IncidentDto`].

use crate::incidents::words;
use crate::model::{
    AlertRecord, EscalationRun, Incident, Labels, Member, NextTry, Notification, NotificationKind, TimelineEntry,
    TimelineEvent, Timestamp,
};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

/// A label set as a JSON object.
pub struct LabelsDto<'a>(pub &'a Labels);

impl Serialize for LabelsDto<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// A moment as text.
pub struct TimeDto(pub Timestamp);

impl Serialize for TimeDto {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_rfc3339())
    }
}

fn time(at: Option<Timestamp>) -> Option<TimeDto> {
    at.map(TimeDto)
}

/// `{"status":"success","data":…}`.
#[derive(Serialize)]
pub struct Success<T> {
    status: &'static str,
    data: T,
}

pub fn success<T: Serialize>(data: T) -> axum::Json<Success<T>> {
    axum::Json(Success { status: "success", data })
}

#[derive(Serialize)]
pub struct EscalationDto<'a> {
    policy: Option<&'a str>,
    step: u32,
    round: u32,
    next_at: Option<TimeDto>,
    exhausted: bool,
}

/// One policy at work for an incident.
#[derive(Serialize)]
pub struct RunDto<'a> {
    policy: &'a str,
    run: u32,
    round: u32,
    step: u32,
    next_at: Option<TimeDto>,
    state: &'static str,
    /// The fingerprint of the alert whose route asked for it.
    because: Option<String>,
}

impl<'a> RunDto<'a> {
    fn new(run: &'a EscalationRun) -> Self {
        Self {
            policy: &run.policy,
            run: run.run,
            round: run.round,
            step: run.step,
            next_at: time(run.next_at()),
            state: run.state.as_str(),
            because: run.because.map(|alert| alert.to_string()),
        }
    }
}

/// A name and a service that an acknowledgement covers.
#[derive(Serialize)]
pub struct CoveredDto<'a> {
    alertname: &'a str,
    service: &'a str,
}

#[derive(Serialize)]
pub struct IncidentDto<'a> {
    id: String,
    title: String,
    status: &'static str,
    severity: &'static str,
    opened_at: TimeDto,
    acknowledged_at: Option<TimeDto>,
    acknowledged_by: Option<&'a str>,
    resolved_at: Option<TimeDto>,
    resolved_by: Option<&'a str>,
    snoozed_until: Option<TimeDto>,
    labels: LabelsDto<'a>,
    alert_count: u32,
    firing_count: u32,
    sources: Vec<&'static str>,
    /// The run nearest to its next page.
    escalation: EscalationDto<'a>,
    escalations: Vec<RunDto<'a>>,
    /// How many of its alerts fire although a person resolved it; null while it is open or when it ended by itself.
    still_firing: Option<u32>,
    /// When those open a new incident; null when none fires, or when they never do.
    hold_until: Option<TimeDto>,
    predecessor: Option<String>,
    /// What the acknowledgement or the snooze covers; null when there is none.
    covers: Option<Vec<CoveredDto<'a>>>,
    merged_into: Option<String>,
    url: String,
    /// Opened for the alerts that still fired when the hold after a resolve by hand was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    successor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alerts: Option<Vec<AlertDto<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeline: Option<Vec<TimelineDto<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notifications: Option<Vec<NotificationDto<'a>>>,
}

impl<'a> IncidentDto<'a> {
    pub fn new(incident: &'a Incident, external_url: &str) -> Self {
        let escalation = &incident.escalation;
        let nearest = escalation.nearest();
        let covered =
            |pair: &'a crate::model::Covered| CoveredDto { alertname: &pair.alertname, service: &pair.service };
        Self {
            id: incident.id.to_string(),
            title: incident.headline(),
            status: incident.status().as_str(),
            severity: incident.severity.as_str(),
            opened_at: TimeDto(incident.opened_at),
            acknowledged_at: time(incident.acknowledged_at()),
            acknowledged_by: incident.acknowledged_by().map(|by| &**by),
            resolved_at: time(incident.resolved_at()),
            resolved_by: incident.resolved_by().map(|by| &**by),
            snoozed_until: time(incident.snoozed_until()),
            labels: LabelsDto(&incident.labels),
            alert_count: incident.alert_count,
            firing_count: incident.firing_count,
            sources: incident.doors.iter().map(|d| d.as_str()).collect(),
            escalation: EscalationDto {
                policy: nearest.map(|run| &*run.policy),
                step: nearest.map_or(0, |run| run.step),
                round: nearest.map_or(0, |run| run.round),
                next_at: time(nearest.and_then(EscalationRun::next_at)),
                exhausted: escalation.is_exhausted(),
            },
            escalations: escalation.runs.iter().map(RunDto::new).collect(),
            still_firing: incident.still_firing(),
            hold_until: time(incident.hold_until()),
            predecessor: incident.predecessor.map(|id| id.to_string()),
            covers: incident.covers().map(|covers| covers.iter().map(covered).collect()),
            merged_into: incident.merged_into().map(|id| id.to_string()),
            url: format!("{}/incidents/{}", external_url.trim_end_matches('/'), incident.id),
            successor: None,
            alerts: None,
            timeline: None,
            notifications: None,
        }
    }

    /// With everything that hangs on it.
    #[must_use]
    pub fn with_details(
        mut self,
        members: &'a [Member],
        alerts: &'a [AlertRecord],
        timeline: &'a [TimelineEntry],
        notifications: &'a [Notification],
        next_try: impl Fn(&Notification) -> Option<NextTry>,
    ) -> Self {
        let alert = |member: &'a Member| {
            let record = alerts.iter().find(|a| a.fingerprint == member.fingerprint)?;
            Some(AlertDto::new(record, member))
        };
        self.successor = words::successor(timeline).map(|id| id.to_string());
        self.alerts = Some(members.iter().filter(|m| !m.detached).filter_map(alert).collect());
        self.timeline = Some(timeline.iter().map(TimelineDto::new).collect());
        self.notifications = Some(notifications.iter().map(|n| NotificationDto::new(n, next_try(n))).collect());
        self
    }
}

#[derive(Serialize)]
pub struct AlertDto<'a> {
    fingerprint: String,
    labels: LabelsDto<'a>,
    annotations: LabelsDto<'a>,
    generator_url: &'a str,
    state: &'static str,
    starts_at: TimeDto,
    ends_at: Option<TimeDto>,
    sources: Vec<&'static str>,
    attached_at: TimeDto,
    /// When it left for another incident.
    left_at: Option<TimeDto>,
    reason: String,
    runner_up: String,
}

impl<'a> AlertDto<'a> {
    fn new(record: &'a AlertRecord, member: &'a Member) -> Self {
        Self {
            fingerprint: record.fingerprint.to_string(),
            labels: LabelsDto(&record.labels),
            annotations: LabelsDto(&record.annotations),
            generator_url: &record.generator_url,
            state: if record.is_firing() { "firing" } else { "resolved" },
            starts_at: TimeDto(record.starts_at),
            ends_at: time(record.ended_at),
            sources: record.doors().into_iter().map(super::super::model::alert::Door::as_str).collect(),
            attached_at: TimeDto(member.attached_at),
            left_at: time(member.left_at),
            reason: words::evidence_text(&member.evidence),
            runner_up: words::runner_up(&member.evidence),
        }
    }
}

/// A line of the story: the data of the event, and what it says in words.
#[derive(Serialize)]
pub struct TimelineDto<'a> {
    seq: u64,
    at: TimeDto,
    kind: &'static str,
    text: String,
    actor: Option<&'a str>,
    reason: String,
    data: &'a TimelineEvent,
}

impl<'a> TimelineDto<'a> {
    fn new(entry: &'a TimelineEntry) -> Self {
        Self {
            seq: entry.seq,
            at: TimeDto(entry.at),
            kind: entry.event.kind().as_str(),
            text: words::text(entry),
            actor: entry.actor.as_deref(),
            reason: words::reason(entry),
            data: &entry.event,
        }
    }
}

#[derive(Serialize)]
pub struct NotificationDto<'a> {
    key: String,
    kind: &'static str,
    receiver: &'a str,
    integration: &'a str,
    state: &'static str,
    attempts: u32,
    created_at: TimeDto,
    next_at: Option<TimeDto>,
    sent_at: Option<TimeDto>,
    error: Option<&'a str>,
    reason: String,
}

/// Why it was written, and what it waits for while it does.
fn reason_of(row: &Notification, waits: Option<&NextTry>) -> String {
    let reasons = [row.reason(), waits.map_or("", |waits| &waits.reason)];
    reasons.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
}

impl<'a> NotificationDto<'a> {
    fn new(notification: &'a Notification, waits: Option<NextTry>) -> Self {
        Self {
            key: notification.key.to_string(),
            kind: notification.kind.name(),
            receiver: &notification.receiver,
            integration: notification.integration.kind(),
            state: notification.state.as_str(),
            attempts: notification.attempts,
            created_at: TimeDto(notification.created_at),
            next_at: time(waits.as_ref().and_then(|waits| waits.at)),
            sent_at: time(notification.sent_at),
            error: notification.error.as_deref(),
            reason: reason_of(notification, waits.as_ref()),
        }
    }
}

/// A row of the outbox by itself.
#[derive(Serialize)]
pub struct NotificationRowDto<'a> {
    key: &'a str,
    kind: &'static str,
    incident: Option<String>,
    /// The key of the group that an announcement is about.
    group: Option<&'a str>,
    receiver: &'a str,
    /// `slack/0`: the kind, and the index within the kind.
    integration: String,
    state: &'static str,
    attempts: u32,
    created_at: TimeDto,
    next_at: Option<TimeDto>,
    sent_at: Option<TimeDto>,
    error: Option<&'a str>,
    /// Why it was written, and what it waits for while it does.
    reason: String,
}

impl<'a> NotificationRowDto<'a> {
    pub fn new(row: &'a Notification, waits: Option<NextTry>) -> Self {
        let group = match &row.kind {
            NotificationKind::Announcement { group_key, .. } => Some(&**group_key),
            NotificationKind::Page { .. } | NotificationKind::Update { .. } => None,
        };
        Self {
            key: &row.key.0,
            kind: row.kind.name(),
            incident: row.incident().map(|id| id.to_string()),
            group,
            receiver: &row.receiver,
            integration: row.integration.to_string(),
            state: row.state.as_str(),
            attempts: row.attempts,
            created_at: TimeDto(row.created_at),
            next_at: time(waits.as_ref().and_then(|waits| waits.at)),
            sent_at: time(row.sent_at),
            error: row.error.as_deref(),
            reason: reason_of(row, waits.as_ref()),
        }
    }
}
