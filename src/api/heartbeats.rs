//! `POST /api/v1/heartbeat/NAME`: somebody outside says that it is alive.
//! In: the name. Out: 204, or 404 with what to write into the configuration.
//! Never: stores anything; the table of heartbeats is in memory, and a restart counts as a beat.
//! Start at [`beat`].

use super::context::Shared;
use super::error::ApiError;
use axum::extract::{Path, State};
use axum::http::StatusCode;

pub async fn beat(State(context): Shared, Path(name): Path<String>) -> Result<StatusCode, ApiError> {
    let now = context.clock.now();
    let mut heartbeats = context.heartbeats.lock();
    if heartbeats.beat(&name, now) {
        return Ok(StatusCode::NO_CONTENT);
    }
    let known: Vec<&str> = heartbeats.names().map(|name| &**name).collect();
    let known = if known.is_empty() { "there are none yet".to_owned() } else { format!("known: {}", known.join(", ")) };
    Err(ApiError::NotFound(format!(
        "no heartbeat has the name {name:?} ({known}): add it to heartbeats: in the configuration and reload, \
         such as heartbeats: [{{ name: {name:?}, interval: 1m, grace: 5m }}]"
    )))
}
