//! One incident: what it is made of, why, who was told, and the buttons.
//! In: rows of the store and the engine's explanation. Out: the page; buttons post here and come back.
//! Never: shows a link that is not http or https.
//! Start at [`show`].

use super::frame::{Frame, page, problem};
use super::incidents::Row;
use super::text;
use crate::api::context::{Context, Shared};
use crate::api::error::ApiError;
use crate::api::incidents::run;
use crate::engine::CommandKind;
use crate::model::incident::EscalationTarget;
use crate::model::{AlertRecord, IncidentId, Member, Notification, NotificationKind, TimelineEntry, Timestamp, duration};
use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine as _;
use serde::Deserialize;
use std::collections::HashMap;

/// Alerts, timeline lines and notifications on the page; the API has all.
const ALERTS_MAX: usize = 200;
const TIMELINE_MAX: usize = 500;
const NOTIFICATIONS_MAX: usize = 100;

pub struct AlertRow {
    state: &'static str,
    name: String,
    summary: String,
    labels: Vec<(String, String)>,
    since: String,
    sources: String,
    links: Vec<(&'static str, String)>,
    reason: String,
    runner_up: String,
}

pub struct TimelineRow {
    kind: &'static str,
    at: String,
    clock: String,
    text: String,
    actor: String,
    reason: String,
}

pub struct NotificationRow {
    receiver: String,
    integration: String,
    what: String,
    state: &'static str,
    attempts: u32,
    when: String,
    error: String,
}

pub struct WhyRow {
    depth: u8,
    text: String,
}

#[derive(Template)]
#[template(path = "incident.html", config = "src/ui/askama.toml")]
struct Page {
    frame: Frame,
    i: Row,
    error: Option<String>,
    who: String,
    targets: Vec<String>,
    alerts: Vec<AlertRow>,
    hidden_alerts: usize,
    timeline: Vec<TimelineRow>,
    notifications: Vec<NotificationRow>,
    why: Vec<WhyRow>,
}

/// Annotations are hostile text: only plain web addresses become links.
fn web_link(url: &str) -> Option<String> {
    (url.starts_with("https://") || url.starts_with("http://")).then(|| url.to_owned())
}

fn alert_row(record: &AlertRecord, member: &Member, now: Timestamp) -> AlertRow {
    let runbook = record.annotations.get("runbook_url").and_then(web_link).map(|url| ("runbook", url));
    let source = web_link(&record.generator_url).map(|url| ("source", url));
    let summary = record.annotations.get("summary").or_else(|| record.annotations.get("description")).unwrap_or("");
    AlertRow {
        state: if record.is_firing() { "firing" } else { "resolved" },
        name: record.labels.alert_name().to_owned(),
        summary: summary.to_owned(),
        labels: record.labels.iter().filter(|(n, _)| *n != "alertname").map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
        since: match record.ended_at {
            None => text::ago(record.starts_at, now),
            Some(end) => format!("ended {}", text::ago(end, now)),
        },
        sources: record.doors().iter().map(|d| d.as_str().replace('_', " ")).collect::<Vec<_>>().join(", "),
        links: runbook.into_iter().chain(source).collect(),
        reason: member.reason.clone(),
        runner_up: member.runner_up.clone(),
    }
}

fn timeline_row(entry: &TimelineEntry) -> TimelineRow {
    TimelineRow {
        kind: entry.kind.as_str(),
        at: entry.at.to_rfc3339(),
        clock: entry.at.to_rfc3339()[11..19].to_owned(),
        text: entry.text.clone(),
        actor: entry.actor.as_deref().map_or(String::new(), |by| format!("by {by}")),
        reason: entry.reason.clone(),
    }
}

fn notification_row(notification: &Notification, now: Timestamp) -> NotificationRow {
    NotificationRow {
        receiver: notification.receiver.to_string(),
        integration: notification.integration_kind.to_string(),
        what: match &notification.kind {
            NotificationKind::Page { round, step, .. } => format!("page, round {round} step {step}"),
            NotificationKind::Update { .. } if notification.message.firing => "update".to_owned(),
            NotificationKind::Update { .. } => "end".to_owned(),
            NotificationKind::Announcement { .. } => "announcement".to_owned(),
        },
        state: notification.state.as_str(),
        attempts: notification.attempts,
        when: text::ago(notification.sent_at.unwrap_or(notification.created_at), now),
        error: notification.error.clone().unwrap_or_default(),
    }
}

/// The name the browser signed in with, so that it need not be typed.
fn who(headers: &HeaderMap) -> String {
    let basic = headers.get("authorization").and_then(|v| v.to_str().ok()).and_then(|v| v.strip_prefix("Basic "));
    let decoded = basic.and_then(|b| base64::engine::general_purpose::STANDARD.decode(b).ok());
    let pair = decoded.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    pair.split(':').next().unwrap_or("").to_owned()
}

async fn build(context: &Context, id: &str, headers: &HeaderMap, error: Option<String>) -> Result<Response, ApiError> {
    let id = IncidentId::parse(id).ok_or_else(|| ApiError::NotFound(format!("{id:?} is no incident id")))?;
    let now = context.clock.now();
    let incident = context.store.incident(id).await?.ok_or_else(|| ApiError::NotFound(format!("{id} not found")))?;
    let members = context.store.members(id).await?;
    let records = context.store.alerts_of(id).await?;
    let by_fingerprint: HashMap<_, _> = records.iter().map(|r| (r.fingerprint, r)).collect();
    let timeline = context.store.timeline(id, TIMELINE_MAX).await?;
    let notifications = context.store.notifications(id).await?;
    let engine = context.engine.read();
    let why = engine.why(id, now).unwrap_or_default().into_iter().map(|l| WhyRow { depth: l.depth.min(3), text: l.text }).collect();
    let settings = engine.settings();
    let targets = settings
        .users
        .iter()
        .map(|u| format!("user {}", u.name))
        .chain(settings.schedules.iter().map(|s| format!("schedule {}", s.name)))
        .chain(settings.receivers.iter().map(|r| format!("receiver {}", r.name)))
        .collect();
    drop(engine);
    let here: Vec<&Member> = members.iter().filter(|m| !m.detached).collect();
    let mut alerts: Vec<(&AlertRecord, &Member)> =
        here.iter().filter_map(|m| Some((*by_fingerprint.get(&m.fingerprint)?, *m))).collect();
    alerts.sort_by_key(|(record, member)| (!record.is_firing(), member.attached_at));
    Ok(page(&Page {
        frame: Frame::new(context, "incidents"),
        i: Row::new(&incident, now),
        error,
        who: who(headers),
        targets,
        hidden_alerts: alerts.len().saturating_sub(ALERTS_MAX),
        alerts: alerts.iter().take(ALERTS_MAX).map(|(r, m)| alert_row(r, m, now)).collect(),
        timeline: timeline.iter().rev().map(timeline_row).collect(),
        notifications: notifications.iter().rev().take(NOTIFICATIONS_MAX).map(|n| notification_row(n, now)).collect(),
        why,
    }))
}

pub async fn show(State(context): Shared, Path(id): Path<String>, headers: HeaderMap) -> Response {
    build(&context, &id, &headers, None).await.unwrap_or_else(|error| problem(&context, &error))
}

/// A pressed button.
#[derive(Deserialize)]
pub struct Pressed {
    verb: String,
    by: String,
    #[serde(default)]
    note: String,
    #[serde(default)]
    duration: String,
    #[serde(default)]
    target: String,
}

impl Pressed {
    fn kind(&self, incident: IncidentId) -> Result<CommandKind, ApiError> {
        Ok(match self.verb.as_str() {
            "acknowledge" => CommandKind::Acknowledge(incident),
            "unacknowledge" => CommandKind::Unacknowledge(incident),
            "resolve" => CommandKind::Resolve(incident),
            "escalate" => CommandKind::Escalate(incident),
            "note" if self.note.trim().is_empty() => return Err(ApiError::Invalid("a note wants text".to_owned())),
            "note" => CommandKind::Note(incident),
            "snooze" => CommandKind::Snooze {
                incident,
                duration: duration::parse(&self.duration)
                    .ok_or_else(|| ApiError::Invalid(format!("{:?} is not a duration", self.duration)))?,
            },
            "reassign" => CommandKind::Reassign { incident, to: self.target()? },
            other => return Err(ApiError::Invalid(format!("no button {other:?}"))),
        })
    }

    fn target(&self) -> Result<EscalationTarget, ApiError> {
        match self.target.split_once(' ') {
            Some(("user", name)) => Ok(EscalationTarget::User(name.into())),
            Some(("schedule", name)) => Ok(EscalationTarget::Schedule(name.into())),
            Some(("receiver", name)) => Ok(EscalationTarget::Receiver(name.into())),
            _ => Err(ApiError::Invalid("choose whom to reassign to".to_owned())),
        }
    }
}

/// `POST /incidents/INC-1`: does it, then shows the incident as it is; a refusal is said on the page.
pub async fn act(
    State(context): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
    Form(pressed): Form<Pressed>,
) -> Response {
    let incident = IncidentId::parse(&id).ok_or_else(|| ApiError::NotFound(format!("{id:?} is no incident id")));
    let kind = incident.and_then(|incident| pressed.kind(incident));
    let note = Some(pressed.note.trim().to_owned()).filter(|n| !n.is_empty());
    let done = match kind {
        Ok(kind) => run(&context, kind, Some(&pressed.by), note).await,
        Err(error) => Err(error),
    };
    match done {
        Ok(_) => Redirect::to(&format!("{}/incidents/{id}", context.route_prefix())).into_response(),
        Err(error) => build(&context, &id, &headers, Some(error.to_string()))
            .await
            .unwrap_or_else(|missing| problem(&context, &missing)),
    }
}
