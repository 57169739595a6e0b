//! The outbox over HTTP: what was told, what waits and why, what was refused; and a message sent again.
//! In: `/api/v1/notifications…`. Out: rows as the store holds them, with what deliver knows of the pending ones.
//! Never: sends by itself; a message is sent again by a command.
//! Start at [`list`] and [`resend`].

use super::auth::Principal;
use super::context::{Context, Shared};
use super::dto::{NotificationRowDto, success};
use super::error::ApiError;
use super::incidents::{send, words};
use super::params::Params;
use crate::engine::CommandKind;
use crate::model::{
    IncidentId, NextTry, Notification, NotificationKey, NotificationKind, NotificationState, Timestamp,
};
use crate::store::{NOTIFICATIONS_PAGE_MAX, NotificationQuery};
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

/// Rows on one page when the caller does not say.
const PAGE: usize = 100;
/// How often one message is sent again by hand: whoever wants more has another trouble.
const RESENDS_MAX: u32 = 100;
/// What follows a key in the path of the command.
const RESEND: &str = "/resend";

/// What deliver knows of a pending row.
pub type NextTries = Box<dyn Fn(&Notification) -> Option<NextTry> + Send + Sync>;

fn moment(params: &Params, name: &str) -> Result<Option<Timestamp>, ApiError> {
    let wrong = |text: &str| ApiError::Invalid(format!("parameter {name}: {text:?} is not an RFC 3339 time"));
    params.one(name).map(|text| Timestamp::parse_rfc3339(text).ok_or_else(|| wrong(text))).transpose()
}

fn query(params: &Params) -> Result<NotificationQuery, ApiError> {
    let incident = |text: &str| {
        IncidentId::parse(text)
            .ok_or_else(|| ApiError::Invalid(format!("parameter incident: {text:?} is no incident id: write INC-1")))
    };
    let before = |text: &str| {
        u64::from_str_radix(text, 36)
            .map_err(|_| ApiError::Invalid(format!("parameter next: {text:?} is not the next of an earlier answer")))
    };
    let kind = |word: &str| NotificationKind::NAMES.into_iter().find(|name| *name == word);
    let states = NotificationState::ALL.map(NotificationState::as_str);
    Ok(NotificationQuery {
        states: words(params, "state", states, NotificationState::parse)?,
        kinds: words(params, "kind", NotificationKind::NAMES, kind)?,
        receiver: params.one("receiver").map(str::to_owned),
        incident: params.one("incident").map(incident).transpose()?,
        since: moment(params, "since")?,
        until: moment(params, "until")?,
        before: params.one("next").map(before).transpose()?,
        limit: params.number("limit", PAGE)?.clamp(1, NOTIFICATIONS_PAGE_MAX),
    })
}

/// `GET /api/v1/notifications?state=&receiver=&incident=&kind=&since=&until=&limit=&next=`, the latest decided first.
pub async fn list(State(context): Shared, uri: Uri) -> Result<Response, ApiError> {
    let page = context.store.notification_page(query(&Params::of(&uri))?).await?;
    let rows: Vec<NotificationRowDto<'_>> = page.rows.iter().map(|row| shown(&context, row)).collect();
    Ok(success(json!({ "notifications": rows, "next": page.next.map(base36) })).into_response())
}

fn shown<'a>(context: &Context, row: &'a Notification) -> NotificationRowDto<'a> {
    NotificationRowDto::new(row, context.next_try(row))
}

/// The cursor as callers see it: nothing to count with.
fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    while number > 0 || digits.is_empty() {
        digits.push(char::from_digit((number % 36) as u32, 36).unwrap_or('0'));
        number /= 36;
    }
    digits.into_iter().rev().collect()
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Body {
    by: Option<String>,
}

/// `POST /api/v1/notifications/KEY/resend` → the new row. Keys hold slashes, written as they are or as `%2F`.
pub async fn resend(
    State(context): Shared,
    Path(path): Path<String>,
    Extension(principal): Extension<Principal>,
    body: Bytes,
) -> Result<Response, ApiError> {
    let key = path.strip_suffix(RESEND).map(|key| NotificationKey(key.into())).ok_or_else(|| {
        ApiError::NotFound(format!("no command for {path:?}: write /api/v1/notifications/KEY/resend"))
    })?;
    let body: Body = if body.is_empty() {
        Body::default()
    } else {
        serde_json::from_slice(&body).map_err(|e| ApiError::Invalid(format!("body: {e}")))?
    };
    let row = send_again(&context, &principal, &key, body.by.as_deref()).await?;
    Ok(success(json!({ "notification": shown(&context, &row) })).into_response())
}

/// Sends a settled message again for a person, also from the page's button. Returns the new row.
pub async fn send_again(
    context: &Context,
    principal: &Principal,
    key: &NotificationKey,
    by: Option<&str>,
) -> Result<Notification, ApiError> {
    // One at a time: the next free number is looked up in the store, where the one before is when its command was answered.
    let _one_at_a_time = context.resends.lock().await;
    let not_found =
        || ApiError::NotFound(format!("no message {key}: /api/v1/notifications lists those that there are"));
    let original = context.store.notification(key.clone()).await?.ok_or_else(not_found)?;
    let new_key = free_key(context, key).await?;
    let kind = CommandKind::Resend { original: Arc::new(original), key: new_key.clone() };
    send(context, principal, kind, by, None).await?;
    context.store.notification(new_key).await?.ok_or_else(not_found)
}

async fn free_key(context: &Context, key: &NotificationKey) -> Result<NotificationKey, ApiError> {
    for number in 1..=RESENDS_MAX {
        let candidate = key.resend(number);
        if context.store.notification(candidate.clone()).await?.is_none() {
            return Ok(candidate);
        }
    }
    Err(ApiError::Conflict(format!("{} was sent again {RESENDS_MAX} times already", key.original())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_given() {
        for number in [0, 1, 35, 36, 1_234_567, u64::MAX] {
            assert_eq!(u64::from_str_radix(&base36(number), 36), Ok(number));
        }
    }

    #[test]
    fn a_query_is_read_or_refused_with_the_parameter() {
        let read = |text: &str| query(&Params::of(&format!("/x?{text}").parse().unwrap()));
        let all = read("").unwrap();
        assert!(all.states.is_empty() && all.kinds.is_empty() && all.before.is_none());
        assert_eq!(all.limit, PAGE);
        let some = read("state=failed,sent&kind=page&incident=INC-7&limit=5&next=zz").unwrap();
        assert_eq!(some.states, [NotificationState::Failed, NotificationState::Sent]);
        assert_eq!((some.kinds, some.incident, some.before), (vec!["page"], Some(IncidentId(7)), Some(1295)));
        for wrong in ["state=lost", "kind=mail", "incident=7", "since=today", "until=1", "limit=x", "next=*"] {
            let error = read(wrong).expect_err(wrong).to_string();
            assert!(error.contains(wrong.split('=').next().unwrap()), "{error}");
        }
    }
}
