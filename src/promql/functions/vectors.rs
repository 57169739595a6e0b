//! Presence, conversion between scalar and vector, and order by value.
//! In: a vector, range or scalar. Out: another.
//! Never: keeps a histogram where order by value is asked for.
//! Start at the table.

use super::super::ast::Type;
use super::super::eval::{Elem, Eval, Result, Val};
use super::super::plan::Node;
use super::Function;
use crate::model::labels::METRIC_NAME;
use crate::model::{Labels, LabelsBuilder, MatchOp, Matcher, SampleValue};
use std::cmp::Ordering;

const VECTOR: &[Type] = &[Type::Vector];

pub(super) static FUNCTIONS: &[Function] = &[
    Function::special("absent", VECTOR, absent),
    Function::special("absent_over_time", &[Type::Matrix], absent_over_time),
    Function::special("scalar", VECTOR, scalar).returns(Type::Scalar),
    Function::special("vector", &[Type::Scalar], |eval, args, at| Ok(one(Labels::empty(), eval.scalar(&args[0], at)?))),
    Function::special("sort", VECTOR, |e, args, at| sort(e, args, at, false)),
    Function::special("sort_desc", VECTOR, |e, args, at| sort(e, args, at, true)),
];

fn one(labels: Labels, v: f64) -> Val {
    Val::Vector(vec![Elem { labels, value: SampleValue::Float(v), drop_name: false }])
}

/// The labels that the missing series would have: those that one `=` matcher alone speaks of.
fn missing_labels(matchers: &[Matcher]) -> Labels {
    let mut builder = LabelsBuilder::new();
    let mut seen: Vec<&str> = Vec::new();
    for m in matchers.iter().filter(|m| m.name != METRIC_NAME) {
        if m.op == MatchOp::Equal && !seen.contains(&m.name.as_str()) {
            seen.push(&m.name);
            builder.set(&m.name, &m.value);
        } else {
            builder.remove(&m.name);
        }
    }
    builder.build()
}

fn absent(eval: &Eval<'_>, args: &[Node], at: i64) -> Result<Val> {
    if !eval.vector(&args[0], at)?.is_empty() {
        return Ok(Val::Vector(Vec::new()));
    }
    let labels = match &args[0] {
        Node::Selector(s) => missing_labels(eval.matchers(s.index)),
        _ => Labels::empty(),
    };
    Ok(one(labels, 1.0))
}

fn absent_over_time(eval: &Eval<'_>, args: &[Node], at: i64) -> Result<Val> {
    let mut found = false;
    eval.each_window(&args[0], at, |_, _, _| {
        found = true;
        Ok(())
    })?;
    if found {
        return Ok(Val::Vector(Vec::new()));
    }
    let labels = match &args[0] {
        Node::Range(s) => missing_labels(eval.matchers(s.index)),
        _ => Labels::empty(),
    };
    Ok(one(labels, 1.0))
}

fn scalar(eval: &Eval<'_>, args: &[Node], at: i64) -> Result<Val> {
    let elems = eval.vector(&args[0], at)?;
    let mut floats = elems.iter().filter_map(Elem::float);
    Ok(Val::Scalar(match (floats.next(), floats.next()) {
        (Some(v), None) => v,
        _ => f64::NAN,
    }))
}

/// NaN comes last in both directions.
fn sort(eval: &Eval<'_>, args: &[Node], at: i64, descending: bool) -> Result<Val> {
    let mut elems = eval.vector(&args[0], at)?;
    elems.retain(|e| e.float().is_some());
    elems.sort_by(|a, b| {
        let (a, b) = (a.float().unwrap_or(f64::NAN), b.float().unwrap_or(f64::NAN));
        match (a.is_nan(), b.is_nan()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) if descending => b.total_cmp(&a),
            (false, false) => a.total_cmp(&b),
        }
    });
    Ok(Val::Vector(elems))
}
