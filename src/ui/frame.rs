//! What every page has around it: navigation, health, the clock; and how a page becomes an answer.
//! In: the running system and a template. Out: HTML with a strict content security policy.
//! Never: allows a script, a frame, or a form that posts elsewhere.
//! Start at [`Frame::new`].

use crate::api::context::{Context, Shared};
use crate::api::error::ApiError;
use crate::telemetry::{HealthReport, Status};
use askama::Template;
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

/// No scripts at all; style and pictures from here; forms post here.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

pub struct Frame {
    pub prefix: String,
    /// Which entry of the navigation is this one.
    pub here: &'static str,
    pub health: String,
    pub health_class: &'static str,
    pub version: &'static str,
    pub now: String,
}

impl Frame {
    pub fn new(context: &Context, here: &'static str) -> Self {
        let report = context.health.report();
        let health_class = report.status.as_str();
        Self {
            prefix: context.route_prefix(),
            here,
            health: summary(&report),
            health_class,
            version: env!("CARGO_PKG_VERSION"),
            now: super::text::clock(context.clock.now()),
        }
    }
}

/// One line: all is well, or which part is not and why.
fn summary(report: &HealthReport) -> String {
    let unwell: Vec<String> = report
        .parts
        .iter()
        .filter(|p| p.status != Status::Ok)
        .map(|p| format!("{} {}: {}", p.part.as_str(), p.status.as_str(), p.text))
        .collect();
    if unwell.is_empty() { "all parts are well".to_owned() } else { unwell.join("; ") }
}

/// Renders a page; a template that fails is our defect and says so.
pub fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => {
            ([(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, POLICY)], html).into_response()
        }
        Err(error) => ApiError::Internal(format!("the page could not be rendered: {error}")).into_response(),
    }
}

#[derive(Template)]
#[template(path = "problem.html", config = "src/ui/askama.toml")]
struct Problem {
    frame: Frame,
    title: String,
    text: String,
}

/// An error for people.
pub fn problem(context: &Context, error: &ApiError) -> Response {
    let title = match error {
        ApiError::NotFound(_) => "Not found",
        ApiError::Unavailable(_) => "Not now",
        _ => "That did not work",
    };
    let problem = Problem {
        frame: Frame::new(context, ""),
        title: title.to_owned(),
        text: super::text::sentence(&error.to_string()),
    };
    let mut response = page(&problem);
    *response.status_mut() = error.status();
    response
}

/// A path that nobody has: a page for browsers, the API's error for programs.
pub async fn nowhere(State(context): Shared, request: Request) -> Response {
    let error = ApiError::NotFound(format!("nothing is at {}", request.uri().path()));
    let accepts = request.headers().get(ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("");
    if accepts.contains("text/html") { problem(&context, &error) } else { error.into_response() }
}
