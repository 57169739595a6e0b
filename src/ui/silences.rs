//! Silences for people: the list, a form, and a preview that says what would fall quiet.
//! In: matchers as text. Out: the page; creating and expiring go through the same commands as the API.
//! Never: creates a silence without a name and a reason.
//! Start at [`list`].

use super::frame::{Frame, page};
use super::text;
use crate::alerts::matchers;
use crate::api::auth::Principal;
use crate::api::context::{Context, Shared};
use crate::api::error::ApiError;
use crate::api::incidents::send;
use crate::engine::CommandKind;
use crate::model::matcher::all_match;
use crate::model::{Matcher, Silence, Timestamp, duration};
use askama::Template;
use axum::Extension;
use axum::Form;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

/// Expired silences are shown for this many rows.
const ROWS_MAX: usize = 300;

pub struct Row {
    id: String,
    state: &'static str,
    matchers: Vec<String>,
    ends: String,
    ends_at: String,
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
            ends_at: silence.ends_at.to_rfc3339(),
            by: silence.created_by.clone(),
            comment: silence.comment.clone(),
        }
    }
}

/// Lengths the form offers, and the one it starts with.
const LENGTHS: [&str; 7] = ["30m", "1h", "2h", "4h", "8h", "1d", "7d"];
const LENGTH_DEFAULT: &str = "2h";
/// Alerts a preview lists one by one.
const PREVIEW_MAX: usize = 12;

/// What would fall quiet.
pub struct Preview {
    text: String,
    /// More than half of what fires.
    wide: bool,
    alerts: Vec<String>,
    more: usize,
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
    preview: Option<Preview>,
    form: Sent,
    lengths: &'static [&'static str],
    silences: Vec<Row>,
}

fn build(context: &Context, mut form: Sent, error: Option<&ApiError>, preview: Option<Preview>) -> Response {
    let now = context.clock.now();
    if form.duration.is_empty() {
        LENGTH_DEFAULT.clone_into(&mut form.duration);
    }
    let silences = context.engine.read().silences(now);
    let mut response = page(&Page {
        frame: Frame::new(context, "silences"),
        error: error.map(|e| text::sentence(&e.to_string())),
        lengths: &LENGTHS,
        preview,
        form,
        silences: silences.iter().take(ROWS_MAX).map(|s| Row::new(s, now)).collect(),
    });
    if let Some(error) = error {
        *response.status_mut() = error.status();
    }
    response
}

/// The page; a link from an incident brings the matchers with it.
pub async fn list(State(context): Shared, Query(form): Query<Sent>) -> Response {
    build(&context, form, None, None)
}

impl Sent {
    fn matchers(&self) -> Result<Vec<Matcher>, ApiError> {
        matchers::parse(&self.matchers).map_err(|e| ApiError::Invalid(e.to_string()))
    }

    /// How many firing alerts would fall quiet: a silence that is too wide is seen before it is made.
    fn preview(&self, context: &Context) -> Result<Preview, ApiError> {
        let matchers = self.matchers()?;
        let (mut alerts, mut quiet, mut firing) = (Vec::new(), 0usize, 0usize);
        context.registry.for_each(|record| {
            if !record.is_firing() {
                return;
            }
            firing += 1;
            if all_match(&matchers, &record.labels) {
                quiet += 1;
                if alerts.len() < PREVIEW_MAX {
                    let place = ["instance", "service", "job"].iter().find_map(|name| record.labels.get(name));
                    alerts.push(format!("{} {}", record.labels.alert_name(), place.unwrap_or("")).trim().to_owned());
                }
            }
        });
        alerts.sort_unstable();
        Ok(Preview {
            text: format!("{quiet} of {firing} firing alerts would fall quiet."),
            wide: firing > 1 && quiet * 2 > firing,
            more: quiet - alerts.len(),
            alerts,
        })
    }

    fn kind(&self, now: Timestamp) -> Result<CommandKind, ApiError> {
        if self.verb == "expire" {
            return Ok(CommandKind::ExpireSilence(self.id.as_str().into()));
        }
        for (value, what) in [(&self.by, "your name"), (&self.comment, "why it shall be quiet")] {
            if value.trim().is_empty() {
                return Err(ApiError::Invalid(format!("fill in {what}: others will ask")));
            }
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

pub async fn act(
    State(context): Shared,
    Extension(principal): Extension<Principal>,
    Form(sent): Form<Sent>,
) -> Response {
    if sent.verb == "preview" {
        return match sent.preview(&context) {
            Ok(text) => build(&context, sent, None, Some(text)),
            Err(error) => build(&context, sent, Some(&error), None),
        };
    }
    let done = match sent.kind(context.clock.now()) {
        Ok(kind) => send(&context, &principal, kind, Some(&sent.by), None).await,
        Err(error) => Err(error),
    };
    match done {
        Ok(_) => Redirect::to(&format!("{}/silences", context.route_prefix())).into_response(),
        Err(error) => build(&context, sent, Some(&error), None),
    }
}
