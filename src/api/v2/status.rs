//! `GET /api/v2/status` and `/api/v2/receivers`.
//! In: nothing. Out: what amtool and karma ask first.
//! Never: shows a secret; the configuration is printed with secrets masked.
//! Start at [`status`].

use crate::api::context::Shared;
use crate::api::dto::TimeDto;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::json;

pub async fn status(State(context): Shared) -> Response {
    let config = context.config_text();
    Json(json!({
        "cluster": { "status": "disabled", "peers": [] },
        "versionInfo": {
            "version": env!("CARGO_PKG_VERSION"),
            "revision": "",
            "branch": "",
            "buildUser": "",
            "buildDate": "",
            "goVersion": "",
        },
        "config": { "original": &*config },
        "uptime": TimeDto(context.started_at),
    }))
    .into_response()
}

pub async fn receivers(State(context): Shared) -> Response {
    let names: Vec<_> =
        context.engine.read().settings().receivers.iter().map(|r| json!({ "name": &*r.name })).collect();
    Json(names).into_response()
}
