//! Errors as answers: the one place where a refusal becomes a status code and a body.
//! In: why a request cannot be served. Out: `{"status":"error","errorType":…,"error":…}`, or a bare JSON string below `/api/v2`.
//! Never: leaks a path, a secret or a backtrace.
//! Start at [`ApiError`].

use crate::engine::CommandError;
use crate::inbox::InboxError;
use crate::store::StoreError;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// How long a sender shall wait after a 503.
const RETRY_AFTER_S: &str = "1";

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// 400
    #[error("{0}")]
    Invalid(String),
    /// 401
    #[error("authentication required: send a bearer token or basic credentials")]
    Unauthorized,
    /// 403
    #[error("{0}")]
    Forbidden(String),
    /// 404
    #[error("{0}")]
    NotFound(String),
    /// 409
    #[error("{0}")]
    Conflict(String),
    /// 413
    #[error("{0}")]
    TooLarge(String),
    /// 415
    #[error("{0}")]
    UnsupportedMedia(String),
    /// 422: Prometheus' answer to an expression that does not evaluate, Alertmanager's to a malformed id.
    #[error("{0}")]
    Unprocessable(String),
    /// 503: a query took longer than it may.
    #[error("{0}")]
    Timeout(String),
    /// 503 with Retry-After: come back soon, nothing was kept.
    #[error("{0}")]
    Unavailable(String),
    /// 500
    #[error("{0}")]
    Internal(String),
}

impl ApiError {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMedia(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Unprocessable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Timeout(_) | Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Prometheus' words where it has one.
    fn error_type(&self) -> &'static str {
        match self {
            Self::Invalid(_) | Self::TooLarge(_) | Self::UnsupportedMedia(_) => "bad_data",
            Self::Unauthorized | Self::Forbidden(_) => "unauthorized",
            Self::NotFound(_) => "not_found",
            Self::Conflict(_) => "conflict",
            Self::Unprocessable(_) => "execution",
            Self::Timeout(_) => "timeout",
            Self::Unavailable(_) => "unavailable",
            Self::Internal(_) => "internal",
        }
    }

    fn decorate(&self, mut response: Response) -> Response {
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        match self {
            Self::Unavailable(_) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
            }
            Self::Unauthorized => {
                // One line each: browsers do not find `Basic` in a list, and then ask nobody for a password.
                headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"watchfire\""));
                headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    status: &'static str,
    error_type: &'static str,
    error: &'a str,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let error = self.to_string();
        let body = Json(Body { status: "error", error_type: self.error_type(), error: &error });
        self.decorate(body.into_response())
    }
}

/// The same below `/api/v2`, where Alertmanager answers with a bare JSON string.
pub struct V2Error(pub ApiError);

impl From<ApiError> for V2Error {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl IntoResponse for V2Error {
    fn into_response(self) -> Response {
        let body = Json(self.0.to_string()).into_response();
        self.0.decorate(body)
    }
}

impl From<CommandError> for ApiError {
    fn from(error: CommandError) -> Self {
        let text = error.to_string();
        match error {
            CommandError::NotFound(_) => Self::NotFound(text),
            CommandError::Conflict(_) => Self::Conflict(text),
            CommandError::Invalid(_) => Self::Invalid(text),
        }
    }
}

impl From<InboxError> for ApiError {
    fn from(error: InboxError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::Unavailable(error.to_string()),
            StoreError::Fatal(_) | StoreError::NotADatabase(_) => Self::Internal(error.to_string()),
        }
    }
}
