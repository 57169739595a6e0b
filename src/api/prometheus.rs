//! Prometheus' query API over the window that is held, so that Grafana and promtool can look at it.
//! In: `/api/v1/{query,query_range,series,labels,label/…,metadata}`. Out: Prometheus' JSON, its errors and limits.
//! Never: evaluates without a budget.
//! Start at [`query`]; rules and alerts are in [`super::rules`].

use super::context::{Context, Shared};
use super::dto::{LabelsDto, success};
use super::error::ApiError;
use super::params::Params;
use crate::model::{Labels, Matcher, SampleValue, Timestamp, duration};
use crate::promql::{EvalContext, EvalError, Evaluated, Plan, Value, parse, parse_selector};
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Samples that one query may touch: a tenth of Prometheus' default, since memory here is for the window.
const SAMPLES_MAX: usize = 5_000_000;
/// Series or values in one list.
const LIST_MAX: usize = 100_000;

/// A float as Prometheus prints it in JSON: a string, shortest form, `NaN`, `+Inf`, `-Inf`.
pub fn float(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() }
    } else if value != 0.0 && !(1e-6..1e21).contains(&value.abs()) {
        // Go switches to an exponent there, with a sign and at least two digits.
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |d| ('-', d));
        format!("{mantissa}e{sign}{digits:0>2}")
    } else {
        format!("{value}")
    }
}

fn moment(at: Timestamp) -> Json {
    json!(at.as_millis() as f64 / 1000.0)
}

/// One sample under its key: `value` or `histogram`.
fn sample(at: Timestamp, value: &SampleValue) -> Json {
    match value {
        SampleValue::Float(v) => json!([moment(at), float(*v)]),
        SampleValue::Histogram(h) => json!([moment(at), { "count": float(h.count), "sum": float(h.sum) }]),
    }
}

fn labels_json(labels: &Labels) -> Json {
    serde_json::to_value(LabelsDto(labels)).unwrap_or(Json::Null)
}

fn key(value: &SampleValue, plural: bool) -> &'static str {
    match (value, plural) {
        (SampleValue::Float(_), false) => "value",
        (SampleValue::Float(_), true) => "values",
        (SampleValue::Histogram(_), false) => "histogram",
        (SampleValue::Histogram(_), true) => "histograms",
    }
}

fn result(value: &Value, at: Timestamp) -> Json {
    match value {
        Value::Scalar(v) => json!({ "resultType": "scalar", "result": [moment(at), float(*v)] }),
        Value::String(text) => json!({ "resultType": "string", "result": [moment(at), &**text] }),
        Value::Vector(elements) => {
            let result: Vec<Json> = elements
                .iter()
                .map(|e| json!({ "metric": labels_json(&e.labels), key(&e.value, false): sample(at, &e.value) }))
                .collect();
            json!({ "resultType": "vector", "result": result })
        }
        Value::Matrix(series) => {
            let result: Vec<Json> = series
                .iter()
                .map(|s| {
                    let mut row = json!({ "metric": labels_json(&s.labels) });
                    for plural in ["values", "histograms"] {
                        let points: Vec<Json> =
                            s.points.iter().filter(|p| key(&p.v, true) == plural).map(|p| sample(p.t, &p.v)).collect();
                        if !points.is_empty() {
                            row[plural] = Json::Array(points);
                        }
                    }
                    row
                })
                .collect();
            json!({ "resultType": "matrix", "result": result })
        }
    }
}

#[derive(Serialize)]
struct Answer {
    status: &'static str,
    data: Json,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    infos: Vec<String>,
}

fn answer(evaluated: Evaluated, at: Timestamp) -> Response {
    let data = result(&evaluated.value, at);
    axum::Json(Answer { status: "success", data, warnings: evaluated.warnings, infos: evaluated.infos }).into_response()
}

fn time(params: &Params, name: &str) -> Result<Option<Timestamp>, ApiError> {
    let Some(text) = params.one(name) else { return Ok(None) };
    if let Ok(seconds) = text.parse::<f64>() {
        return Ok(Some(Timestamp::from_secs_f64(seconds)));
    }
    let parsed = Timestamp::parse_rfc3339(text);
    parsed.map(Some).ok_or_else(|| {
        ApiError::Invalid(format!("invalid parameter {name:?}: cannot parse {text:?} to a valid timestamp"))
    })
}

fn step(params: &Params) -> Result<Duration, ApiError> {
    let text = params.one("step").unwrap_or("");
    let invalid =
        || ApiError::Invalid(format!("invalid parameter \"step\": cannot parse {text:?} to a valid duration"));
    let step = match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() && seconds > 0.0 => Duration::from_millis((seconds * 1000.0) as u64),
        Ok(_) => Duration::ZERO,
        Err(_) => duration::parse(text).ok_or_else(invalid)?,
    };
    if step.is_zero() {
        return Err(ApiError::Invalid(
            "invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer"
                .to_owned(),
        ));
    }
    Ok(step)
}

fn plan(params: &Params) -> Result<Plan, ApiError> {
    let text = params.one("query").ok_or_else(|| ApiError::Invalid("invalid parameter \"query\": empty".to_owned()))?;
    let expr = parse(text).map_err(|e| ApiError::Invalid(format!("invalid parameter \"query\": {e}")))?;
    Ok(Plan::new(&expr))
}

fn limits() -> EvalContext {
    EvalContext { samples_max: SAMPLES_MAX, experimental: true, ..EvalContext::default() }
}

fn refused(error: &EvalError) -> ApiError {
    ApiError::Unprocessable(error.to_string())
}

/// Runs off the reactor's threads: a heavy query must not hold up a page.
async fn evaluate<T: Send + 'static>(
    context: Arc<Context>,
    work: impl FnOnce(&Context) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let done = tokio::task::spawn_blocking(move || work(&context)).await;
    done.map_err(|e| ApiError::Internal(format!("the query failed: {e}")))?
}

pub async fn query(State(context): Shared, uri: Uri, body: Bytes) -> Result<Response, ApiError> {
    let params = Params::with_form(&uri, &body);
    let at = time(&params, "time")?.unwrap_or_else(|| context.clock.now());
    let plan = plan(&params)?;
    let evaluated =
        evaluate(context, move |context| plan.eval(&context.head, at, &limits()).map_err(|e| refused(&e))).await?;
    Ok(answer(evaluated, at))
}

pub async fn query_range(State(context): Shared, uri: Uri, body: Bytes) -> Result<Response, ApiError> {
    let params = Params::with_form(&uri, &body);
    let missing = |name: &str| ApiError::Invalid(format!("invalid parameter {name:?}: it is missing"));
    let start = time(&params, "start")?.ok_or_else(|| missing("start"))?;
    let end = time(&params, "end")?.ok_or_else(|| missing("end"))?;
    let step = step(&params)?;
    if end < start {
        return Err(ApiError::Invalid(
            "invalid parameter \"end\": end timestamp must not be before start time".to_owned(),
        ));
    }
    if end.since(start).as_millis() / step.as_millis().max(1) > 11_000 {
        return Err(ApiError::Invalid(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)"
                .to_owned(),
        ));
    }
    let plan = plan(&params)?;
    let work =
        move |context: &Context| plan.eval_range(&context.head, start, end, step, &limits()).map_err(|e| refused(&e));
    Ok(answer(evaluate(context, work).await?, end))
}

/// The selectors of `match[]`; any of them selects.
fn selectors(params: &Params) -> Result<Vec<Vec<Matcher>>, ApiError> {
    params
        .all("match[]")
        .map(|text| {
            let selector =
                parse_selector(text).map_err(|e| ApiError::Invalid(format!("invalid parameter \"match[]\": {e}")))?;
            Ok(selector.all_matchers())
        })
        .collect()
}

pub async fn series(State(context): Shared, uri: Uri, body: Bytes) -> Result<Response, ApiError> {
    let params = Params::with_form(&uri, &body);
    let selectors = selectors(&params)?;
    if selectors.is_empty() {
        return Err(ApiError::Invalid("no match[] parameter provided".to_owned()));
    }
    let limit = params.number("limit", LIST_MAX)?.clamp(1, LIST_MAX);
    let found: BTreeSet<Labels> =
        selectors.iter().flat_map(|s| context.head.select(s)).map(|s| s.labels().clone()).take(limit).collect();
    Ok(success(found.iter().map(LabelsDto).collect::<Vec<_>>()).into_response())
}

pub async fn labels(State(context): Shared, uri: Uri, body: Bytes) -> Result<Response, ApiError> {
    let params = Params::with_form(&uri, &body);
    let selectors = selectors(&params)?;
    let names: BTreeSet<Arc<str>> = if selectors.is_empty() {
        context.head.label_names(&[]).into_iter().collect()
    } else {
        selectors.iter().flat_map(|s| context.head.label_names(s)).collect()
    };
    Ok(success(names.into_iter().take(LIST_MAX).collect::<Vec<_>>()).into_response())
}

pub async fn label_values(State(context): Shared, Path(name): Path<String>, uri: Uri) -> Result<Response, ApiError> {
    let selectors = selectors(&Params::of(&uri))?;
    let values: BTreeSet<Arc<str>> = if selectors.is_empty() {
        context.head.label_values(&name, &[]).into_iter().collect()
    } else {
        selectors.iter().flat_map(|s| context.head.label_values(&name, s)).collect()
    };
    Ok(success(values.into_iter().take(LIST_MAX).collect::<Vec<_>>()).into_response())
}

pub async fn metadata(State(context): Shared, uri: Uri) -> Result<Response, ApiError> {
    let params = Params::of(&uri);
    let (wanted, limit) = (params.one("metric"), params.number("limit", LIST_MAX)?);
    let book = context.head.metadata().lock();
    let rows: serde_json::Map<String, Json> = book
        .iter()
        .filter(|(name, _)| wanted.is_none_or(|w| w == &***name))
        .take(limit)
        .map(|(name, m)| (name.to_string(), json!([{ "type": m.kind, "help": &*m.help, "unit": &*m.unit }])))
        .collect();
    drop(book);
    Ok(success(rows).into_response())
}

/// Grafana asks it to know what the data source can do.
pub async fn build_info() -> Response {
    success(json!({
        "version": "3.5.0", "revision": "", "branch": "", "buildUser": "", "buildDate": "", "goVersion": "",
        "application": format!("Watchfire {}", env!("CARGO_PKG_VERSION")),
    }))
    .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_as_prometheus_does() {
        for (value, text) in [
            (1.0, "1"),
            (0.1, "0.1"),
            (1e21, "1e+21"),
            (1.5e-7, "1.5e-07"),
            (123456789.0, "123456789"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Inf"),
            (0.0, "0"),
        ] {
            assert_eq!(float(value), text);
        }
    }
}
