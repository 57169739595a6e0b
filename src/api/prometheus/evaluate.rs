//! Queries: at one moment, or at each step of a range.
//! In: an expression, times, limits. Out: its value, warnings and infos.
//! Never: runs on the reactor's threads, beyond its deadline, or with more queries beside it than [`CONCURRENT_MAX`].
//! Start at [`query`].

use super::super::context::{Context, Shared};
use super::super::dto::success;
use super::super::error::ApiError;
use super::super::params::Params;
use super::json::{Answer, ResultDto};
use super::reading::{invalid, limit, required_time, seconds, step, time, truncated, unparsed};
use crate::model::Timestamp;
use crate::promql::{EvalError, Evaluated, Plan, QueryOptions, Type, Value, parse_with};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Samples that one query may touch: a tenth of Prometheus' default, since memory here is for the window.
const SAMPLES_MAX: usize = 5_000_000;
/// Points per series of a range query, the first included (Prometheus' limit).
const POINTS_MAX: u128 = 11_000;
/// Prometheus' default of `--query.timeout`; a request may ask for less.
const TIMEOUT: Duration = Duration::from_mins(2);
/// Queries that run at the same time (Prometheus' default of `--query.max-concurrency`); others wait for their turn.
const CONCURRENT_MAX: usize = 20;

static TURNS: Semaphore = Semaphore::const_new(CONCURRENT_MAX);

/// What a request says of how it is evaluated.
struct Wanted {
    plan: Plan,
    limit: Option<usize>,
    timeout: Duration,
    context: QueryOptions,
}

fn timeout(params: &Params) -> Result<Duration, ApiError> {
    let Some(text) = params.one("timeout") else { return Ok(TIMEOUT) };
    let seconds = seconds(text).map_err(|e| invalid("timeout", e))?;
    Ok(Duration::from_secs_f64(seconds.max(0.0)).min(TIMEOUT))
}

fn wanted(context: &Context, params: &Params, limit: Option<usize>) -> Result<Wanted, ApiError> {
    let timeout = timeout(params)?;
    let settings = context.settings.load();
    let features = settings.features;
    let mut context = QueryOptions {
        subquery_step: settings.evaluation_interval,
        samples_max: SAMPLES_MAX,
        steps_max: POINTS_MAX as usize + 1,
        ..QueryOptions::default()
    };
    if let Some(text) = params.one("lookback_delta") {
        let seconds =
            seconds(text).map_err(|e| ApiError::Invalid(format!("error parsing lookback delta duration: {e}")))?;
        if seconds > 0.0 {
            context.lookback = Duration::from_secs_f64(seconds);
        }
    }
    let expr = parse_with(params.one("query").unwrap_or(""), features).map_err(|e| unparsed("query", &e))?;
    Ok(Wanted { plan: Plan::new(&expr), limit, timeout, context })
}

fn refused(error: &EvalError) -> ApiError {
    match error {
        EvalError::Stopped => ApiError::Timeout(error.to_string()),
        other => ApiError::Unprocessable(other.to_string()),
    }
}

/// Waits for a turn, then evaluates off the reactor's threads: a heavy query must not hold up a page.
async fn evaluate(
    context: Arc<Context>,
    mut wanted: Wanted,
    work: impl FnOnce(&Context, &Wanted) -> Result<Evaluated, EvalError> + Send + 'static,
) -> Result<Evaluated, ApiError> {
    let stop = Arc::new(AtomicBool::new(false));
    wanted.context.stop = Some(stop.clone());
    let (timeout, limit) = (wanted.timeout, wanted.limit);
    let run = async {
        let turn = TURNS.acquire().await.map_err(|e| ApiError::Internal(e.to_string()))?;
        let done = tokio::task::spawn_blocking(move || {
            // The turn lasts as long as the work does, also when nobody waits for it any more.
            let _turn = turn;
            work(&context, &wanted)
        });
        done.await.map_err(|e| ApiError::Internal(format!("the query failed: {e}")))
    };
    let Ok(result) = tokio::time::timeout(timeout, run).await else {
        stop.store(true, Ordering::Relaxed);
        return Err(refused(&EvalError::Stopped));
    };
    let mut evaluated = result?.map_err(|e| refused(&e))?;
    match &mut evaluated.value {
        Value::Vector(list) => truncated(list, limit, &mut evaluated.warnings),
        Value::Matrix(list) => truncated(list, limit, &mut evaluated.warnings),
        Value::Scalar(_) | Value::String(_) => {}
    }
    Ok(evaluated)
}

fn answer(evaluated: Evaluated, at: Timestamp) -> Response {
    let Evaluated { value, warnings, infos } = evaluated;
    axum::Json(Answer::new(ResultDto { at, value: &value }, warnings, infos)).into_response()
}

pub async fn query(State(context): Shared, uri: Uri, body: Bytes) -> Result<Response, ApiError> {
    let (evaluated, at) = at_moment(context, &Params::with_form(&uri, &body)).await?;
    Ok(answer(evaluated, at))
}

/// The value at one moment, as the parameters of `/api/v1/query` ask for it; also for the query page.
pub async fn at_moment(context: Arc<Context>, params: &Params) -> Result<(Evaluated, Timestamp), ApiError> {
    let limit = limit(params)?;
    let at = time(params, "time")?.unwrap_or_else(|| context.clock.now());
    let wanted = wanted(&context, params, limit)?;
    let work = move |context: &Context, wanted: &Wanted| wanted.plan.eval(&context.head, at, &wanted.context);
    Ok((evaluate(context, wanted, work).await?, at))
}

pub async fn query_range(State(context): Shared, uri: Uri, body: Bytes) -> Result<Response, ApiError> {
    let (evaluated, end) = over_range(context, &Params::with_form(&uri, &body)).await?;
    Ok(answer(evaluated, end))
}

/// The values at each step of a range, as the parameters of `/api/v1/query_range` ask for them, and the end of it.
pub async fn over_range(context: Arc<Context>, params: &Params) -> Result<(Evaluated, Timestamp), ApiError> {
    let limit = limit(params)?;
    let (start, end) = (required_time(params, "start")?, required_time(params, "end")?);
    if end < start {
        return Err(invalid("end", "end timestamp must not be before start time"));
    }
    let step = step(params)?;
    if end.since(start).as_millis() / step.as_millis().max(1) > POINTS_MAX {
        return Err(ApiError::Invalid(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)"
                .to_owned(),
        ));
    }
    let wanted = wanted(&context, params, limit)?;
    let kind = wanted.plan.value_type();
    if !matches!(kind, Type::Scalar | Type::Vector) {
        let kind = kind.as_str();
        let why = format!("invalid expression type \"{kind}\" for range query, must be Scalar or instant Vector");
        return Err(invalid("query", why));
    }
    let work = move |context: &Context, wanted: &Wanted| {
        wanted.plan.eval_range(&context.head, start, end, step, &wanted.context)
    };
    Ok((evaluate(context, wanted, work).await?, end))
}

/// Grafana asks it to know what the data source can do.
pub async fn build_info() -> Response {
    success(json!({
        "version": "3.5.0", "revision": "", "branch": "", "buildUser": "", "buildDate": "", "goVersion": "",
        "application": format!("Watchfire {}", env!("CARGO_PKG_VERSION")),
    }))
    .into_response()
}
