//! The query page: where the source link of a rule's alert leads, `/graph?g0.expr=…`, Prometheus' path.
//! In: an expression and a moment. Out: what it is then, and over the window that is held, as a table.
//! Never: evaluates in another way than `/api/v1/query` does, or draws: no script runs here.
//! Start at [`show`].

use super::frame::{Frame, page};
use super::text;
use crate::api::context::{Context, Shared};
use crate::api::error::ApiError;
use crate::api::params::Params;
use crate::api::prometheus::{at_moment, float, over_range};
use crate::model::{Labels, SampleValue, Timestamp, duration};
use crate::promql::{Evaluated, Value};
use askama::Template;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Series in the table; the API has all.
const ROWS_MAX: usize = 200;
/// Moments that the window is looked at.
const STEPS: u32 = 120;

/// One series of the result.
#[derive(Default)]
pub struct ValueRow {
    labels: String,
    now: String,
    least: String,
    most: String,
    /// Between which moments of the window it had a value.
    from: String,
    until: String,
}

#[derive(Template)]
#[template(path = "graph.html", config = "src/ui/askama.toml")]
struct Page {
    frame: Frame,
    expr: String,
    time: String,
    asked: bool,
    error: Option<String>,
    at: String,
    window: String,
    rows: Vec<ValueRow>,
    hidden: usize,
    notes: Vec<String>,
}

/// What the table shows, in order of the labels.
type Rows = BTreeMap<Labels, ValueRow>;

fn value_text(value: &SampleValue) -> String {
    match value {
        SampleValue::Float(value) => float(*value),
        SampleValue::Histogram(h) => format!("histogram of {} with sum {}", float(h.count), float(h.sum)),
    }
}

fn row<'a>(rows: &'a mut Rows, labels: &Labels) -> &'a mut ValueRow {
    let text = if labels.is_empty() { "{}".to_owned() } else { labels.to_string() };
    rows.entry(labels.clone()).or_insert_with(|| ValueRow { labels: text, ..ValueRow::default() })
}

fn put_now(rows: &mut Rows, value: &Value) {
    match value {
        Value::Scalar(value) => row(rows, &Labels::empty()).now = float(*value),
        Value::String(text) => row(rows, &Labels::empty()).now = text.to_string(),
        Value::Vector(elements) => elements.iter().for_each(|e| row(rows, &e.labels).now = value_text(&e.value)),
        Value::Matrix(series) => {
            for one in series {
                let last = one.points.last().map_or(String::new(), |point| value_text(&point.v));
                row(rows, &one.labels).now = format!("{} samples, the last {last}", one.points.len());
            }
        }
    }
}

fn put_window(rows: &mut Rows, value: &Value, now: Timestamp) {
    let Value::Matrix(series) = value else { return };
    for one in series {
        let row = row(rows, &one.labels);
        let values = one.points.iter().filter_map(|point| match point.v {
            SampleValue::Float(value) if !value.is_nan() => Some(value),
            _ => None,
        });
        if let Some((least, most)) = values.fold(None, |seen: Option<(f64, f64)>, value| {
            seen.map_or(Some((value, value)), |(least, most)| Some((least.min(value), most.max(value))))
        }) {
            row.least = float(least);
            row.most = float(most);
        }
        if let (Some(first), Some(last)) = (one.points.first(), one.points.last()) {
            row.from = text::near(first.t, now);
            row.until = text::near(last.t, now);
        }
    }
}

/// Both questions: the moment, and the window that ends with it. Only numbers have a course over a window.
async fn ask(
    context: &Arc<Context>,
    expr: &str,
    time: &str,
    now: Timestamp,
) -> Result<(Rows, Timestamp, Vec<String>), ApiError> {
    let query = [("query", expr.to_owned()), ("time", time.to_owned())];
    let (Evaluated { value, mut warnings, infos }, at) = at_moment(context.clone(), &Params::from_pairs(query)).await?;
    let mut rows = Rows::new();
    put_now(&mut rows, &value);
    if matches!(value, Value::Scalar(_) | Value::Vector(_)) {
        let window = context.head.window();
        let range = [
            ("query", expr.to_owned()),
            ("start", (at - window).to_rfc3339()),
            ("end", at.to_rfc3339()),
            ("step", format!("{}ms", (window / STEPS).as_millis().max(1))),
        ];
        let (over, _) = over_range(context.clone(), &Params::from_pairs(range)).await?;
        put_window(&mut rows, &over.value, now);
    }
    warnings.extend(infos);
    Ok((rows, at, warnings))
}

/// `GET /graph?g0.expr=up&g0.moment_input=2026-01-02T03:04:05Z`; any other parameter of Prometheus' page is read over.
pub async fn show(State(context): Shared, uri: Uri) -> Response {
    let params = Params::of(&uri);
    let expr = params.one("g0.expr").unwrap_or("").to_owned();
    let time = params.one("g0.moment_input").unwrap_or("").to_owned();
    let now = context.clock.now();
    let asked = !expr.trim().is_empty();
    let answer = if asked { Some(ask(&context, &expr, &time, now).await) } else { None };
    let (rows, at, notes, error) = match answer {
        None => (Rows::new(), now, Vec::new(), None),
        Some(Ok((rows, at, notes))) => (rows, at, notes, None),
        Some(Err(error)) => (Rows::new(), now, Vec::new(), Some(error)),
    };
    let status = error.as_ref().map(ApiError::status);
    let mut response = page(&Page {
        frame: Frame::new(&context, "rules"),
        expr,
        time,
        asked,
        error: error.map(|error| text::sentence(&error.to_string())),
        at: text::clock(at),
        window: duration::format(context.head.window()),
        hidden: rows.len().saturating_sub(ROWS_MAX),
        rows: rows.into_values().take(ROWS_MAX).collect(),
        notes,
    });
    if let Some(status) = status {
        *response.status_mut() = status;
    }
    response
}
