//! The one listener's routes, in the order of the road, with authentication and the limits of bodies around them.
//! In: the running system. Out: an axum router that `app` serves.
//! Never: lets a browser of another site change anything, or a request in without its credentials.
//! Start at [`router`].

use super::auth::Principal;
use super::context::{Context, Shared};
use super::error::ApiError;
use super::peer::{PeerAddress, peer_of};
use super::{health, heartbeats, incidents, notifications, prometheus, rules, v2, write};
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use std::sync::Arc;

/// The longest body of anything but remote write: 100,000 alerts are far less, a page's form is nothing.
pub const BODY_BYTES_MAX: usize = 16 << 20;

/// Paths that answer without credentials: probes ask them.
const OPEN_PATHS: [&str; 2] = ["/-/healthy", "/-/ready"];

/// Every route of the API; `pages` are the UI's, which shares the context and brings the answer for paths that nobody has.
pub fn router(context: Arc<Context>, pages: Router<Arc<Context>>) -> Router {
    let doors = Router::new()
        .route("/api/v1/write", post(remote_write))
        .route("/api/v1/alertmanager", post(v2::alerts::webhook))
        .route("/api/v2/alerts", get(v2::alerts::list).post(v2::alerts::post))
        .route("/api/v2/alerts/groups", get(v2::alerts::groups))
        .route("/api/v2/silences", get(v2::silences::list).post(v2::silences::post))
        .route("/api/v2/silence/{id}", get(v2::silences::one).delete(v2::silences::expire))
        .route("/api/v2/status", get(v2::status::status))
        .route("/api/v2/receivers", get(v2::status::receivers));
    let own = Router::new()
        .route("/api/v1/incidents", get(incidents::list))
        .route("/api/v1/incidents/{id}", get(incidents::one))
        .route("/api/v1/incidents/{id}/{verb}", post(incidents::command))
        .route("/api/v1/notifications", get(notifications::list))
        .route("/api/v1/notifications/{*path}", post(notifications::resend))
        .route("/api/v1/heartbeat/{name}", post(heartbeats::beat))
        .route("/api/v1/oncall", get(health::on_call))
        .route("/api/v1/status", get(health::status));
    let prometheus = Router::new()
        .route("/api/v1/rules", get(rules::rules))
        .route("/api/v1/alerts", get(rules::alerts))
        .route("/api/v1/query", get(prometheus::query).post(prometheus::query))
        .route("/api/v1/query_range", get(prometheus::query_range).post(prometheus::query_range))
        .route("/api/v1/series", get(prometheus::series).post(prometheus::series))
        .route("/api/v1/labels", get(prometheus::labels).post(prometheus::labels))
        .route("/api/v1/label/{name}/values", get(prometheus::label_values))
        .route("/api/v1/metadata", get(prometheus::metadata))
        .route("/api/v1/parse_query", get(prometheus::parse_query).post(prometheus::parse_query))
        .route("/api/v1/format_query", get(prometheus::format_query).post(prometheus::format_query))
        .route("/api/v1/status/buildinfo", get(prometheus::build_info));
    let life = Router::new()
        .route("/metrics", get(health::metrics))
        .route("/-/healthy", get(health::healthy))
        .route("/-/ready", get(health::ready))
        .route("/-/reload", post(health::reload));
    let all = doors
        .merge(own)
        .merge(prometheus)
        .merge(life)
        .merge(pages)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(context.clone(), guard));
    let prefix = context.route_prefix();
    let routed = if prefix.is_empty() { all } else { Router::new().nest(&prefix, all) };
    routed.with_state(context)
}

async fn remote_write(State(context): Shared, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let peer = parts.extensions.get::<PeerAddress>().map(|PeerAddress(address)| *address);
    let peer = peer.map(|peer| peer_of(peer, &parts.headers, &context.settings.load().trusted_proxies));
    write::handle(&context.write, &parts.headers, peer, body).await
}

async fn wrong_method(request: Request) -> Response {
    let text = format!("{} is not allowed at {}\n", request.method(), request.uri().path());
    (axum::http::StatusCode::METHOD_NOT_ALLOWED, text).into_response()
}

/// Credentials for all but the probes; a browser's request from another site changes nothing; strict headers on every answer.
async fn guard(State(context): Shared, mut request: Request<Body>, next: Next) -> Response {
    let path = request.uri().path();
    let open = OPEN_PATHS.iter().any(|p| path.ends_with(p));
    let principal = match context.auth.load().check(request.headers()) {
        Some(principal) => principal,
        None if open => Principal::Anyone,
        None => return ApiError::Unauthorized.into_response(),
    };
    request.extensions_mut().insert(principal);
    if !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) && is_cross_site(&request) {
        return ApiError::Forbidden("a page of another site may not change anything here".to_owned()).into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let mut set = |name, value| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    set(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(header::REFERRER_POLICY, "same-origin");
    response
}

/// Browsers say where a form came from; programs say nothing.
fn is_cross_site(request: &Request<Body>) -> bool {
    let text = |name| request.headers().get(name).and_then(|v: &HeaderValue| v.to_str().ok());
    match (text(header::ORIGIN), text(header::HOST)) {
        (None, _) => false,
        (Some(origin), host) => {
            let origin_host = origin.split_once("://").map_or(origin, |(_, rest)| rest);
            host != Some(origin_host)
        }
    }
}
