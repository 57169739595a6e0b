//! One incident: what it is made of, why, who was told, and the buttons.
//! In: rows of the store and the engine's explanation. Out: the page; buttons post here and come back.
//! Never: shows a link that is not http or https.
//! Start at [`show`].

use super::frame::{Frame, page, problem};
use super::incidents::Row;
use super::text;
use crate::api::auth::Principal;
use crate::api::context::{Context, Shared};
use crate::api::error::ApiError;
use crate::api::incidents::run;
use crate::engine::CommandKind;
use crate::incidents::words;
use crate::model::EscalationTarget;
use crate::model::{
    AlertRecord, Fingerprint, IncidentId, IncidentStatus, Matcher, Member, Notification, NotificationKind,
    TimelineEntry, Timestamp, duration,
};
use crate::store::IncidentQuery;
use askama::Template;
use axum::Extension;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine as _;
use serde::Deserialize;
use std::collections::HashMap;

/// Alerts, timeline lines and notifications on the page; the API has all.
const ALERTS_MAX: usize = 200;
const TIMELINE_MAX: usize = 500;
const NOTIFICATIONS_MAX: usize = 100;

pub struct AlertRow {
    fingerprint: String,
    state: &'static str,
    name: String,
    summary: String,
    labels: Vec<(String, String)>,
    since: String,
    since_at: String,
    /// Why it has not ended although nothing says that it goes on.
    held: String,
    sources: String,
    links: Vec<(&'static str, String)>,
    reason: String,
    runner_up: String,
    /// The query of the silences page that fills its form with this alert's labels.
    silence: String,
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
    next: String,
    error: Option<String>,
    form: Pressed,
    /// The page reads itself again and has no form that could be lost by it.
    follow: bool,
    lengths: &'static [&'static str],
    targets: Vec<String>,
    /// Open incidents this one can become part of: id and title.
    others: Vec<(String, String)>,
    /// Alerts can be marked and moved.
    movable: bool,
    alerts: Vec<AlertRow>,
    hidden_alerts: usize,
    timeline: Vec<TimelineRow>,
    notifications: Vec<NotificationRow>,
    why: Vec<WhyRow>,
}

/// For how long an incident can be snoozed from the page.
const LENGTHS: [&str; 6] = ["15m", "30m", "1h", "4h", "8h", "1d"];
/// Incidents offered to merge into.
const OTHERS_MAX: usize = 50;

/// The matchers of exactly this alert, as a query.
fn silence_query(record: &AlertRecord) -> String {
    let matchers: Vec<String> = record.labels.iter().map(|(n, v)| Matcher::equal(n, v).to_string()).collect();
    form_urlencoded::Serializer::new(String::new()).append_pair("matchers", &matchers.join(", ")).finish()
}

/// Annotations are hostile text: only plain web addresses become links.
fn web_link(url: &str) -> Option<String> {
    (url.starts_with("https://") || url.starts_with("http://")).then(|| url.to_owned())
}

fn alert_row(record: &AlertRecord, member: &Member, lost_since: Option<Timestamp>, now: Timestamp) -> AlertRow {
    let lost_since = lost_since.filter(|_| record.is_firing());
    let runbook = record.annotations.get("runbook_url").and_then(web_link).map(|url| ("runbook", url));
    let source = web_link(&record.generator_url).map(|url| ("source", url));
    let summary = record.annotations.get("summary").or_else(|| record.annotations.get("description")).unwrap_or("");
    AlertRow {
        fingerprint: record.fingerprint.to_string(),
        silence: silence_query(record),
        since_at: record.ended_at.unwrap_or(record.starts_at).to_rfc3339(),
        held: lost_since.map_or(String::new(), |since| text::source_lost(since, now)),
        state: if record.is_firing() { "firing" } else { "resolved" },
        name: record.labels.alert_name().to_owned(),
        summary: summary.to_owned(),
        labels: record
            .labels
            .iter()
            .filter(|(n, _)| *n != "alertname")
            .map(|(n, v)| (n.to_owned(), v.to_owned()))
            .collect(),
        since: match record.ended_at {
            None => text::ago(record.starts_at, now),
            Some(end) => format!("ended {}", text::ago(end, now)),
        },
        sources: record.doors().iter().map(|d| d.as_str().replace('_', " ")).collect::<Vec<_>>().join(", "),
        links: runbook.into_iter().chain(source).collect(),
        reason: words::evidence_text(&member.evidence),
        runner_up: words::runner_up(&member.evidence),
    }
}

fn timeline_row(entry: &TimelineEntry, now: Timestamp) -> TimelineRow {
    let line = words::text(entry);
    TimelineRow {
        kind: entry.event.kind().as_str(),
        at: entry.at.to_rfc3339(),
        clock: text::near(entry.at, now).trim_end_matches(" UTC").to_owned(),
        text: text::humane(&line, now),
        // Most texts name who did it already.
        actor: match entry.actor.as_deref() {
            Some(by) if !line.contains(by) => format!("by {by}"),
            _ => String::new(),
        },
        reason: text::humane(&words::reason(entry), now),
    }
}

fn notification_row(notification: &Notification, now: Timestamp) -> NotificationRow {
    NotificationRow {
        receiver: notification.receiver.to_string(),
        integration: notification.integration.kind().to_string(),
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

/// Remembers a typed name for the next incident; it only fills in a field and proves nothing.
const NAME_COOKIE: &str = "watchfire_name";

fn name_cookie(name: &str) -> String {
    let name: String = form_urlencoded::byte_serialize(name.trim().as_bytes()).collect();
    format!("{NAME_COOKIE}={name}; Path=/; Max-Age=31536000; SameSite=Strict; HttpOnly")
}

/// The name the browser signed in with, or the one typed last, so that it need not be typed at night.
fn who(headers: &HeaderMap) -> String {
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    let Some(basic) = header("authorization").and_then(|v| v.strip_prefix("Basic ")) else {
        let cookies = header("cookie").unwrap_or("").replace("; ", "&");
        let mut pairs = form_urlencoded::parse(cookies.as_bytes());
        return pairs.find(|(name, _)| name == NAME_COOKIE).map_or(String::new(), |(_, name)| name.into_owned());
    };
    let decoded = base64::engine::general_purpose::STANDARD.decode(basic).ok();
    let pair = decoded.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    pair.split(':').next().unwrap_or("").to_owned()
}

/// What the page shows besides the incident itself.
#[derive(Default)]
struct Ask {
    error: Option<String>,
    form: Pressed,
    follow: bool,
}

async fn build(context: &Context, id: &str, headers: &HeaderMap, ask: Ask) -> Result<Response, ApiError> {
    let id = IncidentId::parse(id).ok_or_else(|| ApiError::NotFound(format!("{id:?} is no incident id")))?;
    let now = context.clock.now();
    let incident = context.store.incident(id).await?.ok_or_else(|| ApiError::NotFound(format!("{id} not found")))?;
    let members = context.store.members(id).await?;
    let records = context.store.alerts_of(id).await?;
    let by_fingerprint: HashMap<_, _> = records.iter().map(|r| (r.fingerprint, r)).collect();
    let timeline = context.store.timeline(id, TIMELINE_MAX).await?;
    let notifications = context.store.notifications(id).await?;
    let open = vec![IncidentStatus::Triggered, IncidentStatus::Acknowledged];
    let others = IncidentQuery { statuses: open, limit: OTHERS_MAX, ..IncidentQuery::default() };
    let others = context.store.incidents(others).await?;
    let engine = context.engine.read();
    let why = engine.why(id, now).unwrap_or_default().into_iter();
    let why: Vec<WhyRow> = why.map(|l| WhyRow { depth: l.depth.min(3), text: text::humane(&l.text, now) }).collect();
    let next_lines: Vec<String> =
        engine.next(id).unwrap_or_default().iter().map(|line| text::humane(line, now)).collect();
    let settings = engine.settings();
    let targets = settings
        .users
        .iter()
        .map(|u| format!("user {}", u.name))
        .chain(settings.schedules.iter().map(|s| format!("schedule {}", s.name)))
        .chain(settings.receivers.iter().map(|r| format!("receiver {}", r.name)))
        .collect();
    drop(engine);
    let rules = context.rules.load();
    let lost_since =
        |r: &AlertRecord| rules.source_lost_since(r.fingerprint, |labels| context.registry.identity(labels));
    let here: Vec<&Member> = members.iter().filter(|m| !m.detached).collect();
    let mut alerts: Vec<(&AlertRecord, &Member)> =
        here.iter().filter_map(|m| Some((*by_fingerprint.get(&m.fingerprint)?, *m))).collect();
    alerts.sort_by_key(|(record, member)| (!record.is_firing(), member.attached_at));
    let Ask { error, mut form, follow } = ask;
    if form.by.is_empty() {
        form.by = who(headers);
    }
    if form.duration.is_empty() {
        "1h".clone_into(&mut form.duration);
    }
    let is_open = incident.is_open();
    let i = Row::new(&incident, now);
    // The engine knows more than the row: whom the next step pages.
    let next = match (next_lines.first(), incident.escalation.next_at()) {
        (Some(line), Some(at)) if incident.is_triggered() => format!("{} ({line})", text::due(at, now)),
        _ => i.next.clone(),
    };
    Ok(page(&Page {
        frame: Frame::new(context, "incidents"),
        i,
        next,
        error: error.as_deref().map(text::sentence),
        form,
        follow: follow && is_open,
        lengths: &LENGTHS,
        targets,
        others: others.iter().filter(|o| o.id != id).map(|o| (o.id.to_string(), o.headline())).collect(),
        movable: is_open && !follow,
        hidden_alerts: alerts.len().saturating_sub(ALERTS_MAX),
        alerts: alerts.iter().take(ALERTS_MAX).map(|(r, m)| alert_row(r, m, lost_since(r), now)).collect(),
        timeline: timeline.iter().rev().map(|t| timeline_row(t, now)).collect(),
        notifications: notifications.iter().rev().take(NOTIFICATIONS_MAX).map(|n| notification_row(n, now)).collect(),
        why,
    }))
}

/// `?follow=on`: the page that reads itself again.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Wish {
    follow: String,
}

pub async fn show(
    State(context): Shared,
    Path(id): Path<String>,
    Query(wish): Query<Wish>,
    headers: HeaderMap,
) -> Response {
    let ask = Ask { follow: wish.follow == "on", ..Ask::default() };
    build(&context, &id, &headers, ask).await.unwrap_or_else(|error| problem(&context, &error))
}

/// A pressed button, with the fields of the form around it.
#[derive(Default)]
pub struct Pressed {
    verb: String,
    by: String,
    note: String,
    duration: String,
    target: String,
    into: String,
    /// Fingerprints of the marked alerts: the one field that comes several times.
    alerts: Vec<String>,
}

impl From<Vec<(String, String)>> for Pressed {
    fn from(fields: Vec<(String, String)>) -> Self {
        let mut pressed = Self::default();
        for (name, value) in fields {
            match name.as_str() {
                "verb" => pressed.verb = value,
                "by" => pressed.by = value,
                "note" => pressed.note = value,
                "duration" => pressed.duration = value,
                "target" => pressed.target = value,
                "into" => pressed.into = value,
                "alert" => pressed.alerts.push(value),
                // A form of an older page; what is missing is said by the verb.
                _ => {}
            }
        }
        pressed
    }
}

impl Pressed {
    /// What the button asks for; detaching several alerts is several commands.
    fn kinds(&self, incident: IncidentId) -> Result<Vec<CommandKind>, ApiError> {
        if self.by.trim().is_empty() {
            return Err(ApiError::Invalid("fill in your name, so that others see who did it".to_owned()));
        }
        let one = match self.verb.as_str() {
            "acknowledge" => CommandKind::Acknowledge(incident),
            "unacknowledge" => CommandKind::Unacknowledge(incident),
            "resolve" => CommandKind::Resolve { incident, hold: None },
            "reopen" => CommandKind::Reopen(incident),
            "escalate" => CommandKind::Escalate(incident),
            "note" if self.note.trim().is_empty() => {
                return Err(ApiError::Invalid("write the note first: it was empty".to_owned()));
            }
            "note" => CommandKind::Note(incident),
            "snooze" => CommandKind::Snooze {
                incident,
                duration: duration::parse(&self.duration)
                    .ok_or_else(|| ApiError::Invalid(format!("{:?} is not a duration", self.duration)))?,
            },
            "reassign" => CommandKind::Reassign { incident, to: self.target()? },
            "merge" => {
                let into = IncidentId::parse(&self.into)
                    .ok_or_else(|| ApiError::Invalid("choose the incident to merge into".to_owned()))?;
                CommandKind::Merge { into, from: vec![incident] }
            }
            "split" => CommandKind::Split { incident, alerts: self.marked()? },
            "detach" => {
                let marked = self.marked()?.into_iter();
                return Ok(marked.map(|alert| CommandKind::Detach { incident, alert }).collect());
            }
            other => return Err(ApiError::Invalid(format!("no button {other:?}"))),
        };
        Ok(vec![one])
    }

    fn marked(&self) -> Result<Vec<Fingerprint>, ApiError> {
        if self.alerts.is_empty() {
            return Err(ApiError::Invalid("mark at least one alert first".to_owned()));
        }
        let parse = |text: &String| {
            Fingerprint::parse(text).ok_or_else(|| ApiError::Invalid(format!("{text:?} is no fingerprint")))
        };
        self.alerts.iter().map(parse).collect()
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

/// `POST /incidents/INC-1`: does it, then shows the incident it ended up with; a refusal is said on the page.
pub async fn act(
    State(context): Shared,
    Path(id): Path<String>,
    Extension(principal): Extension<Principal>,
    headers: HeaderMap,
    Form(fields): Form<Vec<(String, String)>>,
) -> Response {
    let pressed = Pressed::from(fields);
    match carry_out(&context, &principal, &id, &pressed).await {
        Ok(about) => {
            let there = Redirect::to(&format!("{}/incidents/{about}", context.route_prefix()));
            ([(SET_COOKIE, name_cookie(&pressed.by))], there).into_response()
        }
        Err(error) => {
            let ask = Ask { error: Some(error.to_string()), form: pressed, follow: false };
            let mut response =
                build(&context, &id, &headers, ask).await.unwrap_or_else(|missing| problem(&context, &missing));
            *response.status_mut() = error.status();
            response
        }
    }
}

async fn carry_out(
    context: &Context,
    principal: &Principal,
    id: &str,
    pressed: &Pressed,
) -> Result<IncidentId, ApiError> {
    let incident = IncidentId::parse(id).ok_or_else(|| ApiError::NotFound(format!("{id:?} is no incident id")))?;
    let note = Some(pressed.note.trim().to_owned()).filter(|n| !n.is_empty());
    let mut about = incident;
    for kind in pressed.kinds(incident)? {
        about = run(context, principal, kind, Some(&pressed.by), note.clone()).await?.unwrap_or(incident);
    }
    Ok(about)
}
