//! Parameters of the query API, read as Prometheus reads them.
//! In: texts. Out: times, durations, limits; refusals in Prometheus' words.
//! Never: guesses.
//! Start at [`time`].

use super::super::error::ApiError;
use super::super::params::Params;
use crate::model::{Timestamp, duration};
use crate::promql::ParseError;
use std::time::Duration;

/// What Go's `time.Duration` holds, in seconds.
const DURATION_MAX_S: f64 = 9_223_372_036.0;

pub(super) fn invalid(name: &str, why: impl std::fmt::Display) -> ApiError {
    ApiError::Invalid(format!("invalid parameter \"{name}\": {why}"))
}

pub(super) fn unparsed(name: &str, error: &ParseError) -> ApiError {
    invalid(name, error)
}

/// Unix seconds, or RFC 3339.
fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Ok(Timestamp::from_secs_f64(seconds));
    }
    Timestamp::parse_rfc3339(text).ok_or_else(|| format!("cannot parse \"{text}\" to a valid timestamp"))
}

/// A time that may be missing.
pub(super) fn time(params: &Params, name: &str) -> Result<Option<Timestamp>, ApiError> {
    let Some(text) = params.one(name) else { return Ok(None) };
    moment(text).map(Some).map_err(|e| invalid(name, format!("invalid time value for '{name}': {e}")))
}

/// A time that must be there.
pub(super) fn required_time(params: &Params, name: &str) -> Result<Timestamp, ApiError> {
    moment(params.one(name).unwrap_or("")).map_err(|e| invalid(name, e))
}

/// Seconds, or a duration; in seconds, and possibly not positive.
pub(super) fn seconds(text: &str) -> Result<f64, String> {
    if let Ok(seconds) = text.parse::<f64>() {
        if seconds.abs() > DURATION_MAX_S {
            return Err(format!("cannot parse \"{text}\" to a valid duration. It overflows int64"));
        }
        return if seconds.is_nan() { Ok(0.0) } else { Ok(seconds) };
    }
    let parsed = duration::parse(text).map(|d| d.as_secs_f64());
    parsed.ok_or_else(|| format!("cannot parse \"{text}\" to a valid duration"))
}

/// The resolution of a range query.
pub(super) fn step(params: &Params) -> Result<Duration, ApiError> {
    let seconds = seconds(params.one("step").unwrap_or("")).map_err(|e| invalid("step", e))?;
    let step = Duration::from_millis((seconds.max(0.0) * 1000.0) as u64);
    if step.is_zero() {
        let why = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(invalid("step", why));
    }
    Ok(step)
}

/// How many results are wanted; none: all.
pub(super) fn limit(params: &Params) -> Result<Option<usize>, ApiError> {
    let Some(text) = params.one("limit") else { return Ok(None) };
    match text.parse::<i64>() {
        Ok(0) => Ok(None),
        Ok(limit) => match usize::try_from(limit) {
            Ok(limit) => Ok(Some(limit)),
            Err(_) => Err(invalid("limit", "limit must be non-negative")),
        },
        Err(_) => Err(invalid("limit", format!("strconv.Atoi: parsing \"{text}\": invalid syntax"))),
    }
}

/// Cuts a list and says so.
pub(super) fn truncated<T>(list: &mut Vec<T>, limit: Option<usize>, warnings: &mut Vec<String>) {
    if let Some(limit) = limit.filter(|limit| list.len() > *limit) {
        list.truncate(limit);
        warnings.push("results truncated due to limit".to_owned());
    }
}
