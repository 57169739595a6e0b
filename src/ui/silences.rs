//! Silences for people: the list, a form, and a preview that says what would fall quiet.
//! In: matchers as text. Out: the page; creating and expiring go through the same commands as the API.
//! Never: creates a silence without a name and a reason.
//! Start at [`list`].

use super::frame::{Frame, page};
use super::text;
use crate::alerts::matchers;
use crate::api::context::{Context, Shared};
use crate::api::error::ApiError;
use crate::api::incidents::send;
use crate::engine::CommandKind;
use crate::model::matcher::all_match;
use crate::model::{Matcher, Silence, Timestamp, duration};
use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

/// Expired silences are shown for this many rows.
const ROWS_MAX: usize = 300;

pub struct Row {
    id: String,
    state: &'static str,
    matchers: Vec<String>,
    ends: String,
    by: String,
    comment: String,
}

impl Row {
    fn new(silence: &Silence, now: Timestamp) -> Self {
        Self {
            id: silence.id.to_string(),
            state: silence.state(now).as_str(),
            matchers: silence.matchers.iter().map(ToString::to_string).collect(),
            ends: text::ago(silence.ends_at, now),
            by: silence.created_by.clone(),
            comment: silence.comment.clone(),
        }
    }
}

/// The form as it was sent.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Sent {
    verb: String,
    id: String,
    matchers: String,
    duration: String,
    by: String,
    comment: String,
}

#[derive(Template)]
#[template(path = "silences.html", config = "src/ui/askama.toml")]
struct Page {
    frame: Frame,
    error: Option<String>,
    preview: Option<String>,
    form: Sent,
    silences: Vec<Row>,
}

fn build(context: &Context, form: Sent, error: Option<String>, preview: Option<String>) -> Response {
    let now = context.clock.now();
    let silences = context.engine.read().silences(now);
    page(&Page {
        frame: Frame::new(context, "silences"),
        error,
        preview,
        form,
        silences: silences.iter().take(ROWS_MAX).map(|s| Row::new(s, now)).collect(),
    })
}

pub async fn list(State(context): Shared) -> Response {
    build(&context, Sent::default(), None, None)
}

impl Sent {
    fn matchers(&self) -> Result<Vec<Matcher>, ApiError> {
        matchers::parse(&self.matchers).map_err(|e| ApiError::Invalid(e.to_string()))
    }

    /// How many firing alerts would fall quiet: a silence that is too wide is seen before it is made.
    fn preview(&self, context: &Context) -> Result<String, ApiError> {
        let matchers = self.matchers()?;
        let (mut quiet, mut firing) = (0usize, 0usize);
        context.book.for_each(|record| {
            if record.is_firing() {
                firing += 1;
                quiet += usize::from(all_match(&matchers, &record.labels));
            }
        });
        let wide = if firing > 1 && quiet * 2 > firing { " That is more than half of what fires: is it too wide?" } else { "" };
        Ok(format!("{quiet} of {firing} firing alerts would fall quiet.{wide}"))
    }

    fn kind(&self, now: Timestamp) -> Result<CommandKind, ApiError> {
        if self.verb == "expire" {
            return Ok(CommandKind::ExpireSilence(self.id.as_str().into()));
        }
        let length = duration::parse(&self.duration)
            .ok_or_else(|| ApiError::Invalid(format!("{:?} is not a duration", self.duration)))?;
        Ok(CommandKind::PutSilence {
            id: None,
            new_id: uuid::Uuid::new_v4().to_string().into(),
            matchers: self.matchers()?,
            starts_at: now,
            ends_at: now + length,
            comment: self.comment.clone(),
        })
    }
}

pub async fn act(State(context): Shared, Form(sent): Form<Sent>) -> Response {
    if sent.verb == "preview" {
        return match sent.preview(&context) {
            Ok(text) => build(&context, sent, None, Some(text)),
            Err(error) => build(&context, sent, Some(error.to_string()), None),
        };
    }
    let done = match sent.kind(context.clock.now()) {
        Ok(kind) => send(&context, kind, Some(&sent.by), None).await,
        Err(error) => Err(error),
    };
    match done {
        Ok(_) => Redirect::to(&format!("{}/silences", context.route_prefix())).into_response(),
        Err(error) => build(&context, sent, Some(error.to_string()), None),
    }
}
