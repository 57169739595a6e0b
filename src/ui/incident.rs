//! One incident: what it is made of, why, who was told, and the buttons.
//! In: rows of the store and the engine's explanation. Out: the page; buttons post here and come back.
//! Never: changes anything but through the same commands as the API.
//! Start at [`show`].

use super::frame::{Frame, page, problem};
use super::incident_rows::{
    AlertRow, NotificationRow, RunRow, TimelineRow, alert_row, notification_row, run_row, timeline_row,
};
use super::incidents::Row;
use super::text;
use crate::api::auth::Principal;
use crate::api::context::{Context, Shared};
use crate::api::error::ApiError;
use crate::api::incidents::run;
use crate::api::notifications::send_again;
use crate::engine::{CommandKind, Settings};
use crate::incidents::words;
use crate::model::EscalationTarget;
use crate::model::{AlertRecord, Fingerprint, IncidentId, IncidentStatus, Member, NotificationKey, duration};
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
    /// What the acknowledgement or the snooze covers.
    covers: Vec<String>,
    more_covered: usize,
    successor: Option<String>,
    runs: Vec<RunRow>,
    alerts: Vec<AlertRow>,
    hidden_alerts: usize,
    timeline: Vec<TimelineRow>,
    notifications: Vec<NotificationRow>,
    why: Vec<WhyRow>,
}

/// For how long an incident can be snoozed from the page.
const LENGTHS: [&str; 6] = ["15m", "30m", "1h", "4h", "8h", "1d"];
/// Names that an acknowledgement covers, one by one.
const COVERS_MAX: usize = 20;
/// Incidents offered to merge into.
const OTHERS_MAX: usize = 50;

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

/// Whom an incident can be given to, as the form's options say it.
fn targets_of(settings: &Settings) -> Vec<String> {
    let users = settings.users.iter().map(|u| format!("user {}", u.name));
    let schedules = settings.schedules.iter().map(|s| format!("schedule {}", s.name));
    let receivers = settings.receivers.iter().map(|r| format!("receiver {}", r.name));
    users.chain(schedules).chain(receivers).collect()
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
    let is_triggered = incident.is_triggered();
    let next_of =
        |policy: &str| engine.next_of(id, policy).filter(|_| is_triggered).map(|line| text::humane(&line, now));
    let runs: Vec<RunRow> =
        incident.escalation.runs.iter().map(|run| run_row(run, next_of(&run.policy), &by_fingerprint)).collect();
    let targets = targets_of(engine.settings());
    drop(engine);
    let rules = context.rules.load();
    let lost_since =
        |r: &AlertRecord| rules.source_lost_since(r.fingerprint, |labels| context.registry.identity(labels));
    let here: Vec<&Member> = members.iter().filter(|m| !m.detached).collect();
    let mut alerts: Vec<(&AlertRecord, &Member)> =
        here.iter().filter_map(|m| Some((*by_fingerprint.get(&m.fingerprint)?, *m))).collect();
    alerts.sort_by_key(|(record, member)| (member.left_at.is_some(), !record.is_firing(), member.attached_at));
    let Ask { error, form, follow } = ask;
    let form = form.filled_in(headers);
    let is_open = incident.is_open();
    let covered = incident.covers();
    let covers: Vec<String> = covered.into_iter().flatten().take(COVERS_MAX).map(words::covered).collect();
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
        more_covered: covered.map_or(0, std::collections::BTreeSet::len).saturating_sub(COVERS_MAX),
        covers,
        successor: words::successor(&timeline).map(|id| id.to_string()),
        runs,
        hidden_alerts: alerts.len().saturating_sub(ALERTS_MAX),
        alerts: alerts.iter().take(ALERTS_MAX).map(|(r, m)| alert_row(r, m, lost_since(r), now)).collect(),
        timeline: timeline.iter().rev().map(|t| timeline_row(t, now)).collect(),
        notifications: notifications
            .iter()
            .rev()
            .take(NOTIFICATIONS_MAX)
            .map(|n| notification_row(n, context.next_try(n), is_open, now))
            .collect(),
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
    /// The key of a message that is to be sent again: that button is a field of its own.
    resend: String,
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
                "resend" => pressed.resend = value,
                "alert" => pressed.alerts.push(value),
                // A form of an older page; what is missing is said by the verb.
                _ => {}
            }
        }
        pressed
    }
}

impl Pressed {
    /// What was not typed yet.
    fn filled_in(mut self, headers: &HeaderMap) -> Self {
        if self.by.is_empty() {
            self.by = who(headers);
        }
        if self.duration.is_empty() {
            "1h".clone_into(&mut self.duration);
        }
        self
    }

    /// What the button asks for; detaching several alerts is several commands.
    fn kinds(&self, incident: IncidentId) -> Result<Vec<CommandKind>, ApiError> {
        self.named()?;
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

    fn named(&self) -> Result<(), ApiError> {
        if self.by.trim().is_empty() {
            return Err(ApiError::Invalid("fill in your name, so that others see who did it".to_owned()));
        }
        Ok(())
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
    if !pressed.resend.is_empty() {
        pressed.named()?;
        send_again(context, principal, &NotificationKey(pressed.resend.as_str().into()), Some(&pressed.by)).await?;
        return Ok(incident);
    }
    let note = Some(pressed.note.trim().to_owned()).filter(|n| !n.is_empty());
    let mut about = incident;
    for kind in pressed.kinds(incident)? {
        about = run(context, principal, kind, Some(&pressed.by), note.clone()).await?.unwrap_or(incident);
    }
    Ok(about)
}
