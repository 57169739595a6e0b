//! The debug mode: what running state yields is compared with a full evaluation, bit for bit.
//! In: two results of one rule at one moment. Out: where they differ.
//! Never: minds the order of elements, or compares while samples come in between.
//! Start at [`verified`].

use super::context::EvalContext;
use super::group::Rule;
use crate::model::SampleValue;
use crate::promql::{Element, EvalError, Evaluated, SeriesSet, Value};

/// So often is a difference looked at again: samples may come between the two evaluations.
const ATTEMPTS: usize = 3;

/// Evaluates the rule from shared columns, and in debug mode in full as well.
pub(super) fn verified(rule: &Rule, only: Option<&SeriesSet>, ctx: &EvalContext<'_>) -> Result<Evaluated, EvalError> {
    let at = ctx.query_at;
    let options = &ctx.config.query;
    let shared = || match only {
        Some(series) => rule.plan.eval_series_shared(series, at, options, ctx.columns),
        None => rule.plan.eval_shared(ctx.head, at, options, ctx.columns),
    };
    if !ctx.config.verify {
        return shared();
    }
    let full = || match only {
        Some(series) => rule.plan.eval_series(series, at, options),
        None => rule.plan.eval(ctx.head, at, options),
    };
    let mut found = None;
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            ctx.columns.refresh();
        }
        let before = samples_taken(rule);
        let (ours, theirs) = (shared(), full());
        found = difference(&ours, &theirs);
        if found.is_none() {
            return ours;
        }
        if samples_taken(rule) != before {
            // Nothing can be said of it.
            return theirs;
        }
    }
    Err(EvalError::Data(format!("incremental and full evaluation differ: {}", found.unwrap_or_default())))
}

fn samples_taken(rule: &Rule) -> u64 {
    let series = |watch: &crate::series::Watch| -> u64 {
        watch.snapshot().iter().map(|s| u64::from(s.appended()) + u64::from(s.reordered())).sum()
    };
    rule.plan.watches().iter().map(|watch| series(watch)).sum()
}

fn difference(ours: &Result<Evaluated, EvalError>, theirs: &Result<Evaluated, EvalError>) -> Option<String> {
    match (ours, theirs) {
        (Ok(a), Ok(b)) => match (&a.value, &b.value) {
            (Value::Vector(a), Value::Vector(b)) => elements_differ(a, b),
            (Value::Scalar(a), Value::Scalar(b)) if same_float(*a, *b) => None,
            (Value::String(a), Value::String(b)) if a == b => None,
            (a, b) => Some(format!("{a:?} instead of {b:?}")),
        },
        (Err(a), Err(b)) if a == b => None,
        (a, b) => Some(format!("{a:?} instead of {b:?}")),
    }
}

fn elements_differ(ours: &[Element], theirs: &[Element]) -> Option<String> {
    let sorted = |all: &[Element]| {
        let mut all: Vec<Element> = all.to_vec();
        all.sort_by(|a, b| a.labels.cmp(&b.labels));
        all
    };
    let (a, b) = (sorted(ours), sorted(theirs));
    if a.len() != b.len() {
        return Some(format!("{} elements instead of {}", a.len(), b.len()));
    }
    let differ = |(a, b): &(&Element, &Element)| a.labels != b.labels || !same_value(&a.value, &b.value);
    let (a, b) = a.iter().zip(&b).find(differ)?;
    Some(format!("{} {:?} instead of {} {:?}", a.labels, a.value, b.labels, b.value))
}

fn same_value(a: &SampleValue, b: &SampleValue) -> bool {
    match (a, b) {
        (SampleValue::Float(a), SampleValue::Float(b)) => same_float(*a, *b),
        // Debug text tells every field, and a NaN like itself.
        (SampleValue::Histogram(a), SampleValue::Histogram(b)) => format!("{a:?}") == format!("{b:?}"),
        _ => false,
    }
}

/// Equal bits, but for the payload of a NaN, which the compiler is free to choose.
fn same_float(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}
