//! Silences: `GET` and `POST /api/v2/silences`, `GET` and `DELETE /api/v2/silence/{id}`.
//! In: postable silences. Out: Alertmanager's shapes and states.
//! Never: keeps a silence that the engine has not taken.
//! Start at [`post`].

use crate::alerts::matchers;
use crate::api::auth::Principal;
use crate::api::context::Shared;
use crate::api::dto::{LabelsDto, TimeDto};
use crate::api::error::{ApiError, V2Error};
use crate::api::incidents::send;
use crate::api::params::Params;
use crate::engine::{CommandKind, Reply};
use crate::model::silence::SilenceState;
use crate::model::{MatchOp, Matcher, Silence, Timestamp};
use axum::Extension;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostedMatcher {
    name: String,
    value: String,
    is_regex: bool,
    #[serde(default = "yes")]
    is_equal: Option<bool>,
}

#[allow(clippy::unnecessary_wraps, reason = "serde's default must have the field's type")]
fn yes() -> Option<bool> {
    Some(true)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Posted {
    #[serde(default)]
    id: Option<String>,
    matchers: Vec<PostedMatcher>,
    starts_at: String,
    ends_at: String,
    created_by: String,
    comment: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MatcherDto<'a> {
    is_equal: bool,
    is_regex: bool,
    name: &'a str,
    value: &'a str,
}

/// A silence as Alertmanager prints it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Gettable<'a> {
    annotations: LabelsDto<'a>,
    comment: &'a str,
    created_by: &'a str,
    ends_at: TimeDto,
    id: &'a str,
    matchers: Vec<MatcherDto<'a>>,
    starts_at: TimeDto,
    status: State2,
    updated_at: TimeDto,
}

#[derive(Serialize)]
pub struct State2 {
    state: &'static str,
}

impl<'a> Gettable<'a> {
    fn new(silence: &'a Silence, now: Timestamp) -> Self {
        let matcher = |m: &'a Matcher| MatcherDto {
            is_equal: matches!(m.op, MatchOp::Equal | MatchOp::Regex),
            is_regex: matches!(m.op, MatchOp::Regex | MatchOp::NotRegex),
            name: &m.name,
            value: &m.value,
        };
        Self {
            annotations: LabelsDto(&silence.annotations),
            comment: &silence.comment,
            created_by: &silence.created_by,
            ends_at: TimeDto(silence.ends_at),
            id: &silence.id,
            matchers: silence.matchers.iter().map(matcher).collect(),
            starts_at: TimeDto(silence.starts_at),
            status: State2 { state: silence.state(now).as_str() },
            updated_at: TimeDto(silence.updated_at),
        }
    }
}

fn op(is_regex: bool, is_equal: bool) -> MatchOp {
    match (is_regex, is_equal) {
        (false, true) => MatchOp::Equal,
        (false, false) => MatchOp::NotEqual,
        (true, true) => MatchOp::Regex,
        (true, false) => MatchOp::NotRegex,
    }
}

fn time(name: &str, text: &str) -> Result<Timestamp, ApiError> {
    Timestamp::parse_rfc3339(text).ok_or_else(|| ApiError::Invalid(format!("{name} {text:?} is not an RFC 3339 time")))
}

/// `POST /api/v2/silences` → `{"silenceID": …}`.
pub async fn post(
    State(context): Shared,
    Extension(principal): Extension<Principal>,
    body: Bytes,
) -> Result<Response, V2Error> {
    let posted: Posted =
        serde_json::from_slice(&body).map_err(|e| ApiError::Invalid(format!("parsing silence body failed: {e}")))?;
    let matcher = |m: &PostedMatcher| {
        Matcher::new(&m.name, op(m.is_regex, m.is_equal.unwrap_or(true)), &m.value)
            .map_err(|e| ApiError::Invalid(format!("silence invalid: invalid label matcher {:?}: {e}", m.name)))
    };
    let (starts_at, ends_at) = (time("startsAt", &posted.starts_at)?, time("endsAt", &posted.ends_at)?);
    // Word for word what Alertmanager's handler says before it looks at anything else; amtool shows it to people.
    let refused = |why: &str| ApiError::Invalid(format!("Failed to create silence: {why}"));
    if starts_at >= ends_at {
        return Err(refused("start time must be before end time").into());
    }
    if ends_at < context.clock.now() {
        return Err(refused("end time can't be in the past").into());
    }
    let kind = CommandKind::PutSilence {
        id: posted.id.filter(|id| !id.is_empty()).map(Into::into),
        new_id: uuid::Uuid::new_v4().to_string().into(),
        matchers: posted.matchers.iter().map(matcher).collect::<Result<_, _>>()?,
        starts_at,
        ends_at,
        comment: posted.comment,
    };
    match send(&context, &principal, kind, Some(&posted.created_by), None).await? {
        Some(Reply::Silence(id)) => Ok(Json(json!({ "silenceID": &*id })).into_response()),
        other => Err(ApiError::Internal(format!("a silence was answered with {other:?}")).into()),
    }
}

/// `GET /api/v2/silences`: filters compare a silence's matchers literally, they are not evaluated.
pub async fn list(State(context): Shared, uri: Uri) -> Result<Response, V2Error> {
    let params = Params::of(&uri);
    let filters: Vec<Matcher> = params
        .all("filter")
        .filter(|t| !t.is_empty())
        .map(|text| matchers::parse_one(text).map_err(|e| ApiError::Invalid(e.to_string())))
        .collect::<Result<_, _>>()?;
    let states = [
        (SilenceState::Active, params.flag("active", true)?),
        (SilenceState::Pending, params.flag("pending", true)?),
        (SilenceState::Expired, params.flag("expired", true)?),
    ];
    let now = context.clock.now();
    let silences = context.engine.read().silences(now);
    let wanted = |silence: &Silence| {
        states.iter().any(|(state, wanted)| *wanted && silence.state(now) == *state)
            && filters
                .iter()
                .all(|f| silence.matchers.iter().any(|m| m.name == f.name && m.op == f.op && m.value == f.value))
    };
    let found: Vec<Gettable<'_>> = silences.iter().filter(|s| wanted(s)).map(|s| Gettable::new(s, now)).collect();
    Ok(Json(found).into_response())
}

fn valid_id(id: &str) -> Result<(), ApiError> {
    uuid::Uuid::parse_str(id)
        .map(drop)
        .map_err(|_| ApiError::Unprocessable(format!("silenceID in path must be of type uuid: {id:?}")))
}

pub async fn one(State(context): Shared, Path(id): Path<String>) -> Result<Response, V2Error> {
    valid_id(&id)?;
    let now = context.clock.now();
    let silence = context.engine.read().silence(&id).cloned();
    let silence = silence.ok_or_else(|| ApiError::NotFound(format!("silence {id} not found")))?;
    Ok(Json(Gettable::new(&silence, now)).into_response())
}

pub async fn expire(
    State(context): Shared,
    Path(id): Path<String>,
    Extension(principal): Extension<Principal>,
) -> Result<Response, V2Error> {
    valid_id(&id)?;
    send(&context, &principal, CommandKind::ExpireSilence(id.as_str().into()), None, None).await?;
    Ok(().into_response())
}
