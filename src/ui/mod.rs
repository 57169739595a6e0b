//! The pages: server-rendered, escaped, without scripts.
//! In: the same running system that the API reads. Out: HTML that works with nothing but a browser.
//! Never: changes anything but through the same commands as the API; never runs a script (the policy forbids it).
//! Start at [`pages`].

mod assets;
mod frame;
mod graph;
mod incident;
mod incident_rows;
mod incidents;
mod rules;
mod runbooks;
mod silences;
mod text;

use crate::api::context::Context;
use axum::Router;
use axum::routing::get;
use std::sync::Arc;

/// The routes of all pages.
pub fn pages() -> Router<Arc<Context>> {
    Router::new()
        .route("/", get(incidents::list))
        .route("/incidents", get(incidents::list))
        .route("/incidents/{id}", get(incident::show).post(incident::act))
        .route("/graph", get(graph::show))
        .route("/rules", get(rules::list))
        .route("/runbooks/{alert}", get(runbooks::show))
        .route("/silences", get(silences::list).post(silences::act))
        .route("/assets/style.css", get(assets::style))
        .route("/assets/icon.svg", get(assets::icon))
        .fallback(frame::nowhere)
}
