//! The two files that pages need, compiled in.
//! In: nothing. Out: bytes that browsers may keep for an hour.
//! Never: reads a disk.
//! Start at [`style`].

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "public, max-age=3600")], text).into_response()
}

pub async fn style() -> Response {
    asset("text/css; charset=utf-8", include_str!("assets/style.css"))
}

pub async fn icon() -> Response {
    asset("image/svg+xml", include_str!("assets/icon.svg"))
}
