//! Runbooks: what `runbook_url` of the shipped rules leads to.
//! In: the files under docs/runbooks, compiled in. Out: their text, as it is written.
//! Never: reads a disk, or renders anything a file says.
//! Start at [`show`].

use super::frame;
use crate::api::context::Shared;
use axum::extract::{Path, Request};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

/// (alert, text), sorted by alert; written by build.rs.
static RUNBOOKS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/runbooks.rs"));

/// `GET /runbooks/{alert}`
pub async fn show(context: Shared, Path(alert): Path<String>, request: Request) -> Response {
    match RUNBOOKS.binary_search_by(|(name, _)| (*name).cmp(alert.trim_end_matches(".md"))) {
        Ok(at) => ([(CONTENT_TYPE, "text/plain; charset=utf-8")], RUNBOOKS[at].1).into_response(),
        Err(_) => frame::nowhere(context, request).await,
    }
}

#[cfg(test)]
mod tests {
    use super::RUNBOOKS;

    #[test]
    fn sorted_and_there() {
        assert!(RUNBOOKS.is_sorted_by_key(|(name, _)| *name));
        assert!(RUNBOOKS.iter().any(|(name, text)| *name == "TargetDown" && text.starts_with("# TargetDown")));
    }
}
