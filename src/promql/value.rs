//! What an evaluation yields.
//! In: nothing. Out: [`Value`] and [`Evaluated`].
//! Never: holds a stale marker.
//! Start at [`Evaluated`].

use super::parse::Features;
use crate::model::{Labels, SampleValue};
use crate::series::Point;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The result of a query.
#[derive(Clone, Debug)]
pub enum Value {
    Scalar(f64),
    String(Arc<str>),
    /// No two elements have equal labels. In no order, unless the expression sorts.
    Vector(Vec<Element>),
    /// The result of a range query, or of a range selector. In order of the labels.
    Matrix(Vec<SeriesPoints>),
}

/// One element of an instant vector.
#[derive(Clone, Debug)]
pub struct Element {
    pub labels: Labels,
    pub value: SampleValue,
}

/// One series of a range vector or of a range query's result.
#[derive(Clone, Debug)]
pub struct SeriesPoints {
    pub labels: Labels,
    pub points: Vec<Point>,
}

/// A value and what is to be said about it.
#[derive(Clone, Debug)]
pub struct Evaluated {
    pub value: Value,
    /// The result may be wrong: `PromQL warning: …`, sorted and unique.
    pub warnings: Vec<String>,
    /// The expression may be meant otherwise: `PromQL info: …`, sorted and unique.
    pub infos: Vec<String>,
}

/// How an evaluation is made.
#[derive(Clone, Debug)]
pub struct QueryOptions {
    /// How old a sample an instant selector may return.
    pub lookback: std::time::Duration,
    /// The step of sub-queries that name none; Prometheus takes the global evaluation interval.
    pub subquery_step: std::time::Duration,
    /// How many samples one evaluation may touch, all steps and sub-queries together.
    pub samples_max: usize,
    /// How many bytes of long labels one evaluation may make: `label_replace` in itself doubles them each time.
    pub bytes_max: usize,
    /// How many steps a range query or one sub-query may have.
    pub steps_max: usize,
    /// What expressions may use that are read while this one is evaluated, as by `query` in a template.
    pub features: Features,
    /// Set by whoever no longer waits for the result; the evaluation then ends with [`EvalError::Stopped`].
    pub stop: Option<Arc<AtomicBool>>,
}

impl Default for QueryOptions {
    fn default() -> Self {
        Self {
            lookback: LOOKBACK_DEFAULT,
            subquery_step: std::time::Duration::from_mins(1),
            samples_max: SAMPLES_MAX_DEFAULT,
            bytes_max: BYTES_MAX_DEFAULT,
            steps_max: STEPS_MAX_DEFAULT,
            features: Features::default(),
            stop: None,
        }
    }
}

/// Prometheus' default of `--query.lookback-delta`.
pub const LOOKBACK_DEFAULT: std::time::Duration = std::time::Duration::from_mins(5);
/// Prometheus' default of `--query.max-samples`.
pub const SAMPLES_MAX_DEFAULT: usize = 50_000_000;
/// Prometheus has no such limit; a thousand labels of the longest kind that samples may come with are a thirtieth of it.
pub const BYTES_MAX_DEFAULT: usize = 64 << 20;
/// Prometheus' limit of points per series in `query_range`.
pub const STEPS_MAX_DEFAULT: usize = 11_000;

/// Why there is no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// The expression asks for more than it is allowed; others are not touched.
    #[error("query processing would exceed its budget of {1} {0}")]
    Budget(&'static str, usize),
    /// The data does not fit the expression, as in many-to-many matching.
    #[error("{0}")]
    Data(String),
    /// Nobody waits for the result any more.
    #[error("query timed out in expression evaluation")]
    Stopped,
    /// The call is wrong: not a per-series plan.
    #[error("{0}")]
    Unsupported(String),
}
