//! A range query: the plan evaluated at each step, gathered by series.
//! In: a plan, first and last moment, a step. Out: a matrix.
//! Never: takes more steps than the context allows.
//! Start at [`eval_range`].

use super::ast::Type;
use super::eval::{Eval, bounded, duplicate_labels};
use super::plan::Plan;
use super::value::{EvalError, Evaluated, QueryOptions, SeriesPoints, Value};
use crate::model::{Labels, SampleValue, Timestamp};
use crate::series::{Head, Point};
use foldhash::fast::FixedState;
use std::collections::HashMap;
use std::time::Duration;

pub(super) fn eval_range(
    plan: &Plan,
    head: &Head,
    start: Timestamp,
    end: Timestamp,
    step: Duration,
    ctx: &QueryOptions,
) -> Result<Evaluated, EvalError> {
    if !matches!(plan.root_type, Type::Scalar | Type::Vector) {
        let got = plan.root_type.as_str();
        return Err(EvalError::Unsupported(format!(
            "invalid expression type {got:?} for range query, must be Scalar or instant Vector"
        )));
    }
    let (start, end) = (bounded(start.as_millis()), bounded(end.as_millis()));
    let step_ms = i64::try_from(step.as_millis()).unwrap_or(i64::MAX / 4).max(1);
    let span = end - start;
    if span / step_ms >= i64::try_from(ctx.steps_max).unwrap_or(i64::MAX) {
        return Err(EvalError::Budget("steps", ctx.steps_max));
    }
    let mut eval = Eval::instant(plan, Some(head), None, Timestamp::from_millis(start), ctx);
    eval.end = end;
    eval.step = step_ms;
    let mut gathered = Gathered::default();
    let mut at = start;
    while at <= end {
        eval.at = at;
        let value = Eval::finish(eval.eval(&plan.root, at)?)?;
        gathered.take(Timestamp::from_millis(at), value)?;
        at += step_ms;
    }
    let (warnings, infos) = eval.into_notes();
    Ok(Evaluated { value: Value::Matrix(gathered.sorted()), warnings, infos })
}

#[derive(Default)]
struct Gathered {
    by_labels: HashMap<Labels, usize, FixedState>,
    all: Vec<SeriesPoints>,
}

impl Gathered {
    fn put(&mut self, labels: Labels, t: Timestamp, v: SampleValue) -> Result<(), EvalError> {
        let index = *self.by_labels.entry(labels).or_insert_with_key(|labels| {
            self.all.push(SeriesPoints { labels: labels.clone(), points: Vec::new() });
            self.all.len() - 1
        });
        let points = &mut self.all[index].points;
        if points.last().is_some_and(|p| p.t == t) {
            return Err(duplicate_labels());
        }
        points.push(Point { t, v });
        Ok(())
    }

    fn take(&mut self, t: Timestamp, value: Value) -> Result<(), EvalError> {
        match value {
            Value::Scalar(v) => self.put(Labels::empty(), t, SampleValue::Float(v)),
            Value::Vector(elements) => elements.into_iter().try_for_each(|e| self.put(e.labels, t, e.value)),
            Value::String(_) | Value::Matrix(_) => Ok(()),
        }
    }

    fn sorted(mut self) -> Vec<SeriesPoints> {
        self.all.sort_by(|a, b| a.labels.cmp(&b.labels));
        self.all
    }
}
