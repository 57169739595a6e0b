//! Arithmetic on each element: rounding, roots, logarithms, angles, clamping.
//! In: an instant vector. Out: the same elements with other values, histograms left out.
//! Never: depends on the time.
//! Start at the table.

use super::super::ast::Type;
use super::super::eval::{Elem, Eval, Result, Val};
use super::super::plan::Node;
use super::{Function, Kind};
use crate::model::SampleValue;

const SCALARS: &[Type] = &[Type::Vector, Type::Scalar];

pub(super) static FUNCTIONS: &[Function] = &[
    Function::math("abs", f64::abs),
    Function::math("ceil", f64::ceil),
    Function::math("floor", f64::floor),
    Function::math("exp", f64::exp),
    Function::math("sqrt", f64::sqrt),
    Function::math("ln", f64::ln),
    Function::math("log2", f64::log2),
    Function::math("log10", f64::log10),
    Function::math("sin", f64::sin),
    Function::math("cos", f64::cos),
    Function::math("tan", f64::tan),
    Function::math("asin", f64::asin),
    Function::math("acos", f64::acos),
    Function::math("atan", f64::atan),
    Function::math("sinh", f64::sinh),
    Function::math("cosh", f64::cosh),
    Function::math("tanh", f64::tanh),
    Function::math("asinh", f64::asinh),
    Function::math("acosh", f64::acosh),
    Function::math("atanh", f64::atanh),
    Function::math("rad", |v| v * std::f64::consts::PI / 180.0),
    Function::math("deg", |v| v * 180.0 / std::f64::consts::PI),
    Function::math("sgn", sgn),
    Function::new("pi", &[], Type::Scalar, Kind::Constant(std::f64::consts::PI)),
    Function::special("round", SCALARS, round).variadic(1).each(),
    Function::special("clamp", &[Type::Vector, Type::Scalar, Type::Scalar], |e, args, at| {
        clamp(e, args, at, e.scalar(&args[1], at)?, e.scalar(&args[2], at)?)
    })
    .each(),
    Function::special("clamp_min", SCALARS, |e, args, at| clamp(e, args, at, e.scalar(&args[1], at)?, f64::INFINITY))
        .each(),
    Function::special("clamp_max", SCALARS, |e, args, at| {
        clamp(e, args, at, f64::NEG_INFINITY, e.scalar(&args[1], at)?)
    })
    .each(),
];

fn sgn(v: f64) -> f64 {
    if v > 0.0 {
        1.0
    } else if v < 0.0 {
        -1.0
    } else {
        v
    }
}

pub(super) fn each_float(eval: &Eval<'_>, node: &Node, at: i64, change: impl Fn(f64) -> f64) -> Result<Vec<Elem>> {
    let mut elems = eval.vector(node, at)?;
    elems.retain_mut(|e| {
        let Some(v) = e.float() else { return false };
        e.value = SampleValue::Float(change(v));
        e.drop_name = true;
        true
    });
    Ok(elems)
}

fn round(eval: &Eval<'_>, args: &[Node], at: i64) -> Result<Val> {
    let to = args.get(1).map_or(Ok(1.0), |node| eval.scalar(node, at))?;
    // Prometheus multiplies by the inverse, which keeps `round(x, 0.1)` exact.
    let inverse = 1.0 / to;
    each_float(eval, &args[0], at, |v| (v * inverse + 0.5).floor() / inverse).map(Val::Vector)
}

/// Go's `math.Max`: infinity wins over NaN, NaN over everything else.
pub(super) fn go_max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}

/// Go's `math.Min`, likewise.
pub(super) fn go_min(a: f64, b: f64) -> f64 {
    -go_max(-a, -b)
}

fn clamp(eval: &Eval<'_>, args: &[Node], at: i64, min: f64, max: f64) -> Result<Val> {
    let change = |v: f64| go_max(min, go_min(max, v));
    // What is to be said of the elements is said even when none is left.
    let mut elems = each_float(eval, &args[0], at, change)?;
    if max < min {
        elems.clear();
    }
    Ok(Val::Vector(elems))
}
