//! How Watchfire itself is: probes, metrics, status, reload, who is on call.
//! In: health reports, counters. Out: plain words for probes, OpenMetrics, JSON.
//! Never: waits for a part that hangs.
//! Start at [`status`].

use super::context::{ReloadError, Shared};
use super::dto::{TimeDto, success};
use super::error::ApiError;
use crate::telemetry::Exposition;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long a reload may take before the caller is told to look again.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(60);

pub async fn healthy() -> &'static str {
    "Watchfire is healthy.\n"
}

/// 503 until state is loaded, and again while stopping.
pub async fn ready(State(context): Shared) -> Response {
    if context.health.is_ready() {
        "Watchfire is ready.\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "Watchfire is not ready: state is being loaded, or it is stopping.\n")
            .into_response()
    }
}

pub async fn metrics(State(context): Shared, headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("");
    let exposition = Exposition::for_accept(accept);
    ([(CONTENT_TYPE, exposition.content_type())], context.metrics.encode(exposition)).into_response()
}

/// `GET /api/v1/status`: each part's health and the figures a person asks first.
pub async fn status(State(context): Shared) -> Response {
    let report = context.health.report();
    let counts = context.engine.read().counts(context.clock.now());
    let parts: Vec<_> = report
        .parts
        .iter()
        .map(|p| json!({ "part": p.part.as_str(), "status": p.status.as_str(), "text": p.text, "since": TimeDto(p.since) }))
        .collect();
    success(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "started_at": TimeDto(context.started_at),
        "ready": report.ready,
        "status": report.status.as_str(),
        "parts": parts,
        "series": context.head.series_count(),
        "alerts": { "firing": counts.alerts_firing, "ended": counts.alerts_ended },
        "groups": counts.groups,
        "incidents": {
            "triggered": counts.incidents_triggered,
            "acknowledged": counts.incidents_acknowledged,
            "resolved": counts.incidents_resolved,
        },
        "silences": { "active": counts.silences_active, "pending": counts.silences_pending, "expired": counts.silences_expired },
        "notifications": { "pending": counts.outbox_pending, "held_back": counts.pages_held_back },
    }))
    .into_response()
}

/// `POST /-/reload`: all or nothing; a refusal names file, line and column.
pub async fn reload(State(context): Shared) -> Result<&'static str, ApiError> {
    let (order, answer) = oneshot::channel();
    let stopping = |()| ApiError::Unavailable("watchfire is stopping".to_owned());
    context.reload.send(order).await.map_err(|e| {
        let _: () = drop(e);
        stopping(())
    })?;
    match tokio::time::timeout(RELOAD_TIMEOUT, answer).await {
        Ok(Ok(Ok(()))) => Ok("reloaded\n"),
        Ok(Ok(Err(error @ ReloadError::Wrong(_)))) => {
            Err(ApiError::Internal(format!("failed to reload config: {error}")))
        }
        Ok(Ok(Err(ReloadError::NotNow(error)))) => Err(error.into()),
        Ok(Err(_)) => Err(stopping(())),
        Err(_) => Err(ApiError::Unavailable("the reload takes long: look at /api/v1/status".to_owned())),
    }
}

/// `GET /api/v1/oncall`: who is on call in each schedule, until when.
pub async fn on_call(State(context): Shared) -> Response {
    let now = context.clock.now();
    let shifts = context.engine.read().on_call(now);
    let shifts: Vec<_> = shifts
        .iter()
        .map(|s| json!({ "schedule": &*s.schedule, "user": &*s.user, "until": TimeDto(s.until) }))
        .collect();
    success(json!({ "oncall": shifts })).into_response()
}
