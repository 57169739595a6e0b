//! Remote write over HTTP: headers, statuses and bodies of answers.
//! In: a request. Out: the answer that a sender understands.
//! Never: answers 429 (stock Prometheus drops data on it), or looks into a body (`ingest` does).
//! Start at [`handle`].

use crate::ingest::{IngestError, RemoteWrite, Report};
use crate::wire::remote_write::{Version, negotiate};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use std::net::IpAddr;
use std::time::Duration;

/// Time for a body to come in whole: a sender that needs longer is broken or hostile, and its next try is cheap.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// What a 503 asks for.
const RETRY_AFTER_SECS: &str = "1";

const SAMPLES_WRITTEN: HeaderName = HeaderName::from_static("x-prometheus-remote-write-samples-written");
const HISTOGRAMS_WRITTEN: HeaderName = HeaderName::from_static("x-prometheus-remote-write-histograms-written");
const EXEMPLARS_WRITTEN: HeaderName = HeaderName::from_static("x-prometheus-remote-write-exemplars-written");

/// An answer that is not 2xx.
struct Refusal {
    status: StatusCode,
    text: String,
}

impl From<IngestError> for Refusal {
    fn from(error: IngestError) -> Self {
        let status = match error {
            IngestError::BadBody(_) => StatusCode::BAD_REQUEST,
            IngestError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            IngestError::Busy(_) | IngestError::Log(_) => StatusCode::SERVICE_UNAVAILABLE,
            IngestError::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { status, text: error.to_string() }
    }
}

/// Answers one POST. The method, the path and who is asking were checked before.
pub async fn handle(ingest: &RemoteWrite, headers: &HeaderMap, sender: Option<IpAddr>, body: Body) -> Response {
    let version = version_of(headers);
    let (status, report, text) = match version {
        Ok(version) => match take(ingest, version, headers, sender, body).await {
            Ok(report) => match report.refusal(sender) {
                Some(text) => (StatusCode::BAD_REQUEST, report, text),
                None => (StatusCode::NO_CONTENT, report, String::new()),
            },
            Err(refusal) => (refusal.status, Report::default(), refusal.text),
        },
        Err(ref text) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, Report::default(), text.clone()),
    };
    ingest.counters().answered(version.clone().ok(), status.as_u16());
    answer(version.ok(), status, &report, text)
}

async fn take(
    ingest: &RemoteWrite,
    version: Version,
    headers: &HeaderMap,
    sender: Option<IpAddr>,
    mut body: Body,
) -> Result<Report, Refusal> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    let mut incoming = ingest.begin(announced)?;
    let reading = async {
        while let Some(frame) = body.frame().await {
            let broken = |e| Refusal { status: StatusCode::BAD_REQUEST, text: format!("the body broke off: {e}") };
            if let Ok(data) = frame.map_err(broken)?.into_data() {
                incoming.push(data)?;
            }
        }
        Ok::<_, Refusal>(incoming)
    };
    // Not 408: a stock Prometheus drops the data on it, and a slow moment of the network is no reason for that.
    let late = |_| Refusal {
        status: StatusCode::SERVICE_UNAVAILABLE,
        text: format!("the body did not come within {BODY_TIMEOUT:?}; send it again later"),
    };
    let incoming = tokio::time::timeout(BODY_TIMEOUT, reading).await.map_err(late)??;
    Ok(ingest.take(version, incoming, sender).await?)
}

fn version_of(headers: &HeaderMap) -> Result<Version, String> {
    let text = |name| match headers.get(name).map(HeaderValue::to_str) {
        None => Ok(""),
        Some(Ok(text)) => Ok(text),
        Some(Err(_)) => Err("a header is not readable text".to_owned()),
    };
    negotiate(text(header::CONTENT_TYPE)?, text(header::CONTENT_ENCODING)?).map_err(|e| e.to_string())
}

fn answer(version: Option<Version>, status: StatusCode, report: &Report, text: String) -> Response {
    let mut response = if text.is_empty() {
        status.into_response()
    } else {
        (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text + "\n").into_response()
    };
    let headers = response.headers_mut();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECS));
    }
    if version == Some(Version::V2) {
        // Always, on failure too: a 2.0 sender reads their absence as "not understood".
        headers.insert(SAMPLES_WRITTEN, report.samples.into());
        headers.insert(HISTOGRAMS_WRITTEN, report.histograms.into());
        headers.insert(EXEMPLARS_WRITTEN, report.exemplars.into());
    }
    response
}
