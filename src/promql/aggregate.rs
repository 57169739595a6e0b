//! Aggregations: many elements become one per group, or some of each group are picked.
//! In: an instant vector, grouping, a parameter. Out: one element per group, or the picked ones.
//! Never: builds a group's labels more than once.
//! Start at [`eval`].

use super::accumulator::Accumulator;
use super::ast::AggregateOp;
use super::eval::{Elem, Eval, Result, Val};
use super::histogram as native;
use super::kahan::{Kahan, Mean, Variance};
use super::plan::AggregateNode;
use super::projection::Groups;
use super::quantile;
use super::value::EvalError;
use crate::model::{Labels, SampleValue};
use std::cmp::Ordering;
use std::sync::Arc;

pub(super) fn eval(eval: &Eval<'_>, a: &AggregateNode, at: i64) -> Result<Vec<Elem>> {
    let param = a.param.as_ref().map(|node| eval.eval(node, at)).transpose()?;
    let elems = eval.vector(&a.inner, at)?;
    eval.about(a.place, || aggregated(eval, a, param, elems))
}

fn aggregated(eval: &Eval<'_>, a: &AggregateNode, param: Option<Val>, elems: Vec<Elem>) -> Result<Vec<Elem>> {
    match (a.op, param) {
        (AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk, Some(Val::Scalar(k))) => {
            pick(eval, a, elems, k)
        }
        (AggregateOp::LimitRatio, Some(Val::Scalar(ratio))) => limit_ratio(eval, a, elems, ratio),
        (AggregateOp::Quantile, Some(Val::Scalar(q))) => Ok(quantiles(eval, a, elems, q)),
        (AggregateOp::CountValues, Some(Val::String(label))) => count_values(a, elems, &label),
        (AggregateOp::Sum | AggregateOp::Avg, None) => Ok(sums(eval, a, elems)),
        (op, None) => Ok(reduce(eval, a, op, elems)),
        _ => Err(EvalError::Unsupported("wrong parameter of an aggregation".to_owned())),
    }
}

/// Numbers the groups and lets `fold` put each element into its group's state.
fn fold_groups<S>(
    a: &AggregateNode,
    elems: Vec<Elem>,
    start: impl Fn(&Elem) -> S,
    mut fold: impl FnMut(&mut S, Elem),
) -> Vec<(Labels, bool, S)> {
    let mut groups = Groups::new(&a.key);
    let mut states: Vec<(bool, S)> = Vec::new();
    for e in elems {
        let (number, new) = groups.number(&e.labels);
        if new {
            states.push((e.drop_name, start(&e)));
        }
        fold(&mut states[number].1, e);
    }
    let labelled =
        |(number, (drop_name, state)): (usize, (bool, S))| (a.key.build(groups.member(number)), drop_name, state);
    states.into_iter().enumerate().map(labelled).collect()
}

#[derive(Default)]
struct Sum {
    floats: Kahan,
    mean: Mean,
    has_float: bool,
    histograms: Accumulator,
    /// Histograms that do not fit each other: no result.
    broken: bool,
}

fn sums(eval: &Eval<'_>, a: &AggregateNode, elems: Vec<Elem>) -> Vec<Elem> {
    let is_avg = a.op == AggregateOp::Avg;
    let add = |s: &mut Sum, e: Elem| match &e.value {
        SampleValue::Float(v) => {
            s.has_float = true;
            if is_avg {
                s.mean.add(*v);
            } else {
                s.floats.add(*v);
            }
        }
        SampleValue::Histogram(h) => s.broken |= !s.histograms.add(h),
    };
    let groups = fold_groups(a, elems, |_| Sum::default(), add);
    let mut out = Vec::with_capacity(groups.len());
    for (labels, drop_name, s) in groups {
        if s.has_float && !s.histograms.is_empty() {
            eval.warn("encountered a mix of histograms and floats for aggregation".to_owned());
            continue;
        }
        if s.broken {
            eval.warn("vector contains a mix of histograms with exponential and custom buckets schemas".to_owned());
            continue;
        }
        s.histograms.note(eval);
        let value = match (s.has_float, is_avg) {
            (true, true) => SampleValue::Float(s.mean.mean()),
            (true, false) => SampleValue::Float(s.floats.total()),
            (false, true) => SampleValue::Histogram(Arc::new(s.histograms.mean())),
            (false, false) => SampleValue::Histogram(Arc::new(s.histograms.sum())),
        };
        out.push(Elem { labels, value, drop_name });
    }
    out
}

#[derive(Default)]
struct Reduced {
    count: f64,
    extreme: Option<f64>,
    variance: Variance,
    floats: usize,
}

/// Counting, extremes and spread.
fn reduce(eval: &Eval<'_>, a: &AggregateNode, op: AggregateOp, elems: Vec<Elem>) -> Vec<Elem> {
    let takes_histograms = matches!(op, AggregateOp::Count | AggregateOp::Group);
    let mut ignored = false;
    let groups = fold_groups(
        a,
        elems,
        |_| Reduced::default(),
        |s, e| {
            s.count += 1.0;
            let Some(v) = e.float() else {
                ignored |= !takes_histograms;
                return;
            };
            s.floats += 1;
            match op {
                AggregateOp::Min => s.extreme = Some(s.extreme.map_or(v, |m| if v < m || m.is_nan() { v } else { m })),
                AggregateOp::Max => s.extreme = Some(s.extreme.map_or(v, |m| if v > m || m.is_nan() { v } else { m })),
                AggregateOp::Stddev | AggregateOp::Stdvar => s.variance.add(v),
                _ => {}
            }
        },
    );
    if ignored {
        eval.info(format!("ignored histogram in {} aggregation", op.as_str()));
    }
    let keep = |s: &Reduced| takes_histograms || s.floats > 0;
    let value = |s: &Reduced| match op {
        AggregateOp::Count => s.count,
        AggregateOp::Min | AggregateOp::Max => s.extreme.unwrap_or(f64::NAN),
        AggregateOp::Stddev => s.variance.population().sqrt(),
        AggregateOp::Stdvar => s.variance.population(),
        _ => 1.0,
    };
    let groups = groups.into_iter().filter(|(_, _, s)| keep(s));
    groups.map(|(labels, drop_name, s)| Elem { labels, value: SampleValue::Float(value(&s)), drop_name }).collect()
}

fn quantiles(eval: &Eval<'_>, a: &AggregateNode, elems: Vec<Elem>, q: f64) -> Vec<Elem> {
    eval.about(a.param_place, || quantile::warn_of_quantile(eval, q));
    let mut ignored = false;
    let groups = fold_groups(
        a,
        elems,
        |_| Vec::new(),
        |values: &mut Vec<f64>, e| match e.float() {
            Some(v) => values.push(v),
            None => ignored = true,
        },
    );
    if ignored {
        eval.info("ignored histogram in quantile aggregation".to_owned());
    }
    let groups = groups.into_iter().filter(|(_, _, values)| !values.is_empty());
    groups
        .map(|(labels, drop_name, mut values)| Elem {
            labels,
            value: SampleValue::Float(quantile::of_values(q, &mut values)),
            drop_name,
        })
        .collect()
}

fn count_values(a: &AggregateNode, elems: Vec<Elem>, label: &str) -> Result<Vec<Elem>> {
    if label.is_empty() || label.chars().any(super::print::is_byte_stand_in) {
        return Err(EvalError::Data(format!("invalid label name {}", super::print::Quoted(label))));
    }
    // With `by`, the counted label is one of the group's even when it was not named.
    let everything = super::projection::Projection::new(&[], false);
    let mut groups = Groups::new(&everything);
    let mut counted: Vec<(Labels, f64)> = Vec::new();
    for e in elems {
        let text = match &e.value {
            SampleValue::Float(v) => super::print::Number(*v).to_string(),
            SampleValue::Histogram(h) => native::text(h),
        };
        let labels = a.key.build(&e.labels).with(label, &text);
        let (number, new) = groups.number(&labels);
        if new {
            counted.push((labels, 0.0));
        }
        counted[number].1 += 1.0;
    }
    // A name that `by` asks for stays, even one that a function within would have dropped.
    let value = |(labels, v)| Elem { labels, value: SampleValue::Float(v), drop_name: false };
    Ok(counted.into_iter().map(value).collect())
}

/// `topk`, `bottomk`, `limitk`: elements stay as they are.
fn pick(eval: &Eval<'_>, a: &AggregateNode, elems: Vec<Elem>, k: f64) -> Result<Vec<Elem>> {
    if k.is_nan() {
        return Err(EvalError::Data("Parameter value is NaN".to_owned()));
    }
    if k >= i64::MAX as f64 {
        return Err(EvalError::Data(format!("Scalar value {k} overflows int64")));
    }
    if k <= i64::MIN as f64 {
        return Err(EvalError::Data(format!("Scalar value {k} underflows int64")));
    }
    if k < 1.0 {
        return Ok(Vec::new());
    }
    let k = k as usize;
    let op = a.op;
    let mut ignored = false;
    let groups = fold_groups(
        a,
        elems,
        |_| Vec::new(),
        |picked: &mut Vec<Elem>, e| {
            if op == AggregateOp::Limitk {
                if picked.len() < k {
                    picked.push(e);
                }
            } else if e.float().is_some() {
                picked.push(e);
            } else {
                ignored = true;
            }
        },
    );
    if ignored {
        eval.info(format!("ignored histogram in {} aggregation", op.as_str()));
    }
    let mut out = Vec::new();
    for (_, _, mut picked) in groups {
        if op != AggregateOp::Limitk {
            picked.sort_by(|a, b| by_value(a, b, op == AggregateOp::Topk));
            picked.truncate(k);
        }
        out.append(&mut picked);
    }
    Ok(out)
}

/// The wanted first, NaN last.
fn by_value(a: &Elem, b: &Elem, largest_first: bool) -> Ordering {
    let (a, b) = (a.float().unwrap_or(f64::NAN), b.float().unwrap_or(f64::NAN));
    match a.partial_cmp(&b) {
        Some(order) if largest_first => order.reverse(),
        Some(order) => order,
        None => a.is_nan().cmp(&b.is_nan()),
    }
}

/// Picks each element by a hash of its labels, so that `r` and `r - 1` complement each other.
fn limit_ratio(eval: &Eval<'_>, a: &AggregateNode, mut elems: Vec<Elem>, ratio: f64) -> Result<Vec<Elem>> {
    if ratio.is_nan() {
        return Err(EvalError::Data("Ratio value is NaN".to_owned()));
    }
    let capped = ratio.clamp(-1.0, 1.0);
    if capped != ratio {
        let text = format!("ratio value should be between -1 and 1, got {ratio}, capping to {capped}");
        eval.about(a.param_place, || eval.warn(text));
    }
    let everything = super::projection::Projection::new(&[], false);
    elems.retain(|e| {
        let place = everything.hash(&e.labels) as f64 / u64::MAX as f64;
        if capped >= 0.0 { place < capped } else { place >= 1.0 + capped }
    });
    Ok(elems)
}
