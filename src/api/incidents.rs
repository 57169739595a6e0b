//! Incidents over HTTP: the list, one whole, and what people do to them.
//! In: `/api/v1/incidents…`. Out: what the store holds; commands go through the inbox and answer after the commit.
//! Never: changes an incident by itself.
//! Start at [`list`] and [`command`].

use super::auth::Principal;
use super::context::Shared;
use super::dto::{IncidentDto, success};
use super::error::ApiError;
use super::params::Params;
use crate::alerts::matchers;
use crate::engine::{Command, CommandKind, Input, Reply};
use crate::model::EscalationTarget;
use crate::model::{Fingerprint, IncidentId, IncidentStatus, Matcher, Severity, Timestamp, duration};
use crate::store::IncidentQuery;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;

/// Incidents on one page when the caller does not say, and at most.
const PAGE: usize = 100;
const PAGE_MAX: usize = 1_000;
/// Timeline lines with one incident; the newest.
const TIMELINE_MAX: usize = 1_000;
/// The longest a note or a name may be, in bytes.
const NOTE_BYTES_MAX: usize = 4_096;
/// What can be done to an incident; `acknowledge` and `unacknowledge` are the long words of the first two.
const VERBS: [&str; 11] =
    ["ack", "unack", "resolve", "reopen", "snooze", "reassign", "escalate", "note", "merge", "split", "detach"];
/// How far a snooze may reach.
const SNOOZE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// A list of words separated by commas, or the parameter several times.
pub(super) fn words<T, const N: usize>(
    params: &Params,
    name: &str,
    known: [&str; N],
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, ApiError> {
    let unknown = |word: &str| {
        let known = known.join(", ");
        ApiError::Invalid(format!("parameter {name}: {word:?} is not known: write one of {known}"))
    };
    params
        .all(name)
        .flat_map(|list| list.split(','))
        .filter(|word| !word.is_empty())
        .map(|word| parse(word).ok_or_else(|| unknown(word)))
        .collect()
}

/// `GET /api/v1/incidents?status=&severity=&filter=&limit=&next=`, newest first.
pub async fn list(State(context): Shared, uri: Uri) -> Result<Response, ApiError> {
    let params = Params::of(&uri);
    let filters: Vec<Matcher> = params
        .all("filter")
        .filter(|text| !text.is_empty())
        .map(|text| matchers::parse_one(text).map_err(|e| ApiError::Invalid(format!("parameter filter: {e}"))))
        .collect::<Result<_, _>>()?;
    let before = match params.one("next") {
        None => None,
        Some(text) => Some(
            IncidentId::parse(text)
                .ok_or_else(|| ApiError::Invalid(format!("parameter next: {text:?} is no incident id")))?,
        ),
    };
    let limit = params.number("limit", PAGE)?.clamp(1, PAGE_MAX);
    let mut query = IncidentQuery {
        statuses: words(&params, "status", IncidentStatus::ALL.map(IncidentStatus::as_str), IncidentStatus::parse)?,
        severities: words(&params, "severity", Severity::ALL.map(Severity::as_str), Severity::named)?,
        before,
        limit,
    };
    // Labels are not columns: read on until the page is full or the list is at its end.
    let (mut found, mut next) = (Vec::new(), None);
    'pages: loop {
        let page = context.store.incidents(query.clone()).await?;
        let last_page = page.len() < query.limit;
        for incident in page {
            query.before = Some(incident.id);
            if found.len() == limit {
                next = found.last().map(|i: &crate::model::Incident| i.id.to_string());
                break 'pages;
            }
            if filters.iter().all(|m| m.matches(&incident.labels)) {
                found.push(incident);
            }
        }
        if last_page {
            break;
        }
    }
    let url = context.external_url();
    let incidents: Vec<IncidentDto<'_>> = found.iter().map(|i| IncidentDto::new(i, &url)).collect();
    Ok(success(json!({ "incidents": incidents, "next": next })).into_response())
}

fn id_of(text: &str) -> Result<IncidentId, ApiError> {
    IncidentId::parse(text).ok_or_else(|| ApiError::NotFound(format!("{text:?} is no incident id: write INC-1")))
}

/// `GET /api/v1/incidents/INC-1`.
pub async fn one(State(context): Shared, Path(id): Path<String>) -> Result<Response, ApiError> {
    answer(&context, id_of(&id)?).await
}

async fn answer(context: &super::context::Context, id: IncidentId) -> Result<Response, ApiError> {
    let incident =
        context.store.incident(id).await?.ok_or_else(|| {
            ApiError::NotFound(format!("no incident {id}: /api/v1/incidents lists those that there are"))
        })?;
    let members = context.store.members(id).await?;
    let alerts = context.store.alerts_of(id).await?;
    let timeline = context.store.timeline(id, TIMELINE_MAX).await?;
    let notifications = context.store.notifications(id).await?;
    let url = context.external_url();
    let incident =
        IncidentDto::new(&incident, &url)
            .with_details(&members, &alerts, &timeline, &notifications, |row| context.next_try(row));
    Ok(success(json!({ "incident": incident })).into_response())
}

/// The body of a command; which fields matter depends on the command.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Body {
    by: Option<String>,
    note: Option<String>,
    /// snooze: `1h30m`
    duration: Option<String>,
    /// snooze: RFC 3339
    until: Option<String>,
    /// reassign: one of the three
    user: Option<String>,
    schedule: Option<String>,
    receiver: Option<String>,
    /// reassign: the same as one object
    to: Option<To>,
    /// merge: the incidents that become part of this one
    #[serde(alias = "incidents")]
    from: Vec<String>,
    /// split: the alerts' fingerprints
    #[serde(alias = "fingerprints")]
    alerts: Vec<String>,
    /// detach: one fingerprint
    alert: Option<String>,
    /// resolve: alerts that still fire after it open a new incident; `0`: never
    hold: Option<String>,
}

/// Whom an incident is given to.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct To {
    user: Option<String>,
    schedule: Option<String>,
    receiver: Option<String>,
}

fn fingerprint(text: &str) -> Result<Fingerprint, ApiError> {
    Fingerprint::parse(text)
        .ok_or_else(|| ApiError::Invalid(format!("{text:?} is no fingerprint: write its sixteen hex digits")))
}

impl Body {
    fn snooze(&self, now: Timestamp) -> Result<Duration, ApiError> {
        let length = match (&self.duration, &self.until) {
            (Some(text), None) => duration::parse(text)
                .ok_or_else(|| ApiError::Invalid(format!("duration {text:?} is not a duration: write 30m or 1h30m")))?,
            (None, Some(text)) => Timestamp::parse_rfc3339(text)
                .ok_or_else(|| ApiError::Invalid(format!("until {text:?} is not an RFC 3339 time")))?
                .since(now),
            _ => return Err(ApiError::Invalid("snooze wants either duration or until".to_owned())),
        };
        if length.is_zero() || length > SNOOZE_MAX {
            return Err(ApiError::Invalid("a snooze lasts longer than nothing and at most 30 days".to_owned()));
        }
        Ok(length)
    }

    fn hold(&self) -> Result<Option<Duration>, ApiError> {
        let read = |text: &String| {
            duration::parse(text)
                .ok_or_else(|| ApiError::Invalid(format!("hold {text:?} is not a duration: write 1h, or 0 for ever")))
        };
        self.hold.as_ref().map(read).transpose()
    }

    fn target(&self) -> Result<EscalationTarget, ApiError> {
        let to = self.to.as_ref();
        let user = self.user.as_ref().or_else(|| to?.user.as_ref());
        let schedule = self.schedule.as_ref().or_else(|| to?.schedule.as_ref());
        let receiver = self.receiver.as_ref().or_else(|| to?.receiver.as_ref());
        match (user, schedule, receiver) {
            (Some(name), None, None) => Ok(EscalationTarget::User(name.as_str().into())),
            (None, Some(name), None) => Ok(EscalationTarget::Schedule(name.as_str().into())),
            (None, None, Some(name)) => Ok(EscalationTarget::Receiver(name.as_str().into())),
            _ => Err(ApiError::Invalid("reassign wants exactly one of user, schedule, receiver".to_owned())),
        }
    }

    fn kind(&self, verb: &str, incident: IncidentId, now: Timestamp) -> Result<CommandKind, ApiError> {
        Ok(match verb {
            "acknowledge" | "ack" => CommandKind::Acknowledge(incident),
            "unacknowledge" | "unack" => CommandKind::Unacknowledge(incident),
            "resolve" => CommandKind::Resolve { incident, hold: self.hold()? },
            "reopen" => CommandKind::Reopen(incident),
            "snooze" => CommandKind::Snooze { incident, duration: self.snooze(now)? },
            "reassign" => CommandKind::Reassign { incident, to: self.target()? },
            "escalate" => CommandKind::Escalate(incident),
            "note" if self.note.as_deref().unwrap_or("").trim().is_empty() => {
                return Err(ApiError::Invalid("a note wants text: {\"note\": \"…\"}".to_owned()));
            }
            "note" => CommandKind::Note(incident),
            "merge" => {
                let from: Vec<IncidentId> = self.from.iter().map(|id| id_of(id)).collect::<Result<_, _>>()?;
                if from.is_empty() {
                    return Err(ApiError::Invalid(
                        "merge wants the incidents that become part of this one: {\"from\": [\"INC-2\"]}".to_owned(),
                    ));
                }
                CommandKind::Merge { into: incident, from }
            }
            "split" => {
                let alerts: Vec<Fingerprint> = self.alerts.iter().map(|a| fingerprint(a)).collect::<Result<_, _>>()?;
                if alerts.is_empty() {
                    return Err(ApiError::Invalid(
                        "split wants the alerts that leave: {\"alerts\": [\"<fingerprint>\"]}".to_owned(),
                    ));
                }
                CommandKind::Split { incident, alerts }
            }
            "detach" => {
                let alert = self.alert.as_deref().ok_or_else(|| {
                    ApiError::Invalid("detach wants the alert that leaves: {\"alert\": \"<fingerprint>\"}".to_owned())
                })?;
                CommandKind::Detach { incident, alert: fingerprint(alert)? }
            }
            other => {
                let verbs = VERBS.join(", ");
                return Err(ApiError::NotFound(format!("no command {other:?}: write one of {verbs}")));
            }
        })
    }
}

/// `POST /api/v1/incidents/INC-1/{verb}` → the incident as it is then.
pub async fn command(
    State(context): Shared,
    Path((id, verb)): Path<(String, String)>,
    Extension(principal): Extension<Principal>,
    body: Bytes,
) -> Result<Response, ApiError> {
    let id = id_of(&id)?;
    let body: Body = if body.is_empty() {
        Body::default()
    } else {
        serde_json::from_slice(&body).map_err(|e| ApiError::Invalid(format!("body: {e}")))?
    };
    let kind = body.kind(&verb, id, context.clock.now())?;
    let about = run(&context, &principal, kind, body.by.as_deref(), body.note.clone()).await?;
    answer(&context, about.unwrap_or(id)).await
}

/// Carries out a command for a person; also the pages' buttons. Returns the incident it ended up with.
pub async fn run(
    context: &super::context::Context,
    principal: &Principal,
    kind: CommandKind,
    by: Option<&str>,
    note: Option<String>,
) -> Result<Option<IncidentId>, ApiError> {
    let named = incidents_of(&kind);
    match send(context, principal, kind, by, note).await {
        Ok(Some(Reply::Incident(id))) => Ok(Some(id)),
        Ok(_) => Ok(None),
        Err(ApiError::NotFound(text)) => {
            Err(closed_long_ago(context, &named).await?.unwrap_or(ApiError::NotFound(text)))
        }
        Err(error) => Err(error),
    }
}

/// The incidents that a command names.
fn incidents_of(kind: &CommandKind) -> Vec<IncidentId> {
    match kind {
        CommandKind::Acknowledge(id)
        | CommandKind::Unacknowledge(id)
        | CommandKind::Reopen(id)
        | CommandKind::Escalate(id)
        | CommandKind::Note(id) => vec![*id],
        CommandKind::Snooze { incident, .. }
        | CommandKind::Resolve { incident, .. }
        | CommandKind::Reassign { incident, .. }
        | CommandKind::Split { incident, .. }
        | CommandKind::Detach { incident, .. } => vec![*incident],
        CommandKind::Merge { into, from } => std::iter::once(into).chain(from).copied().collect(),
        CommandKind::PutSilence { .. } | CommandKind::ExpireSilence(_) | CommandKind::Resend { .. } => Vec::new(),
    }
}

/// The engine lets go of incidents some time after their end, the store keeps them: they exist, but nothing can be done to them.
async fn closed_long_ago(
    context: &super::context::Context,
    named: &[IncidentId],
) -> Result<Option<ApiError>, ApiError> {
    for id in named {
        let Some(incident) = context.store.incident(*id).await? else { continue };
        let text = match (incident.merged_into(), incident.resolved_at()) {
            (Some(into), _) => format!("{id} was merged into {into}: act on that one"),
            (None, Some(at)) => {
                let by = incident.resolved_by().map(|by| format!(" by {by}")).unwrap_or_default();
                format!("{id} was resolved{by} at {at} and is closed: nothing can be done to it any more")
            }
            (None, None) => continue,
        };
        return Ok(Some(ApiError::Conflict(text)));
    }
    Ok(None)
}

/// Hands a command to the writer and waits until what it came to is on disk. A user that acts under another name is kept in the
/// note, which the timeline shows, and in the log.
pub async fn send(
    context: &super::context::Context,
    principal: &Principal,
    kind: CommandKind,
    by: Option<&str>,
    note: Option<String>,
) -> Result<Option<Reply>, ApiError> {
    let (by, signed_in) = principal.acts_as(by);
    if by.len() > NOTE_BYTES_MAX || note.as_ref().is_some_and(|n| n.len() > NOTE_BYTES_MAX) {
        return Err(ApiError::Invalid(format!("by and note hold at most {NOTE_BYTES_MAX} bytes")));
    }
    let note = match signed_in {
        Some(user) => {
            tracing::info!(%by, user, command = ?kind, "a command under another name than the user that signed in");
            Some([note.unwrap_or_default(), format!("(signed in as {user})")].join(" ").trim().to_owned())
        }
        None => note,
    };
    Ok(context.inbox.submit(Input::Command(Command { by, note, kind })).await?.transpose()?)
}
