//! Types: what Prometheus refuses although the grammar allows it.
//! In: a tree. Out: the same, with vector matching left only where two vectors meet; or the first thing that is wrong.
//! Never: looks at text.
//! Start at [`check`].

use super::super::ast::{Aggregate, AggregateOp, Binary, Call, Cardinality, Expr, Place, Selector, Type};
use super::super::print::Quoted;
use super::error::{Result, refuse};
use super::selector::name_twice;
use crate::model::Matcher;
use crate::model::labels::METRIC_NAME;

/// Looks at the whole expression, in Prometheus' order, and says its type.
pub(super) fn check(expr: &mut Expr) -> Result<Type> {
    let place = expr.place();
    match expr {
        Expr::Number(..) | Expr::String(..) => {}
        Expr::Selector(s) => check_selector(s, true)?,
        Expr::Range(r) => check_selector(&r.selector, true)?,
        Expr::Subquery(s) => {
            let got = check(&mut s.expr)?;
            if got != Type::Vector {
                let got = got.short();
                return refuse(place, format!("subquery is only allowed on instant vector, got {got} instead"));
            }
        }
        Expr::Paren(inner, _) => {
            check(inner)?;
        }
        Expr::Negate(inner, _) | Expr::Plus(inner, _) => {
            let got = check(inner)?;
            if !matches!(got, Type::Scalar | Type::Vector) {
                let text = "unary expression only allowed on expressions of type scalar or instant vector, got";
                return refuse(place, format!("{text} \"{}\"", got.as_str()));
            }
        }
        Expr::Binary(b) => check_binary(b, place)?,
        Expr::Aggregate(a) => check_aggregate(a)?,
        Expr::Call(call) => check_call(call)?,
    }
    Ok(expr.value_type())
}

fn expect_type(expr: &mut Expr, wanted: Type, context: &str) -> Result<()> {
    let got = check(expr)?;
    if got == wanted {
        return Ok(());
    }
    refuse(expr.place(), format!("expected type {} in {context}, got {}", wanted.as_str(), got.as_str()))
}

fn check_selector(s: &Selector, needs_matcher: bool) -> Result<()> {
    if let Some(name) = &s.name {
        return match s.matchers.iter().find(|m| m.name == METRIC_NAME) {
            Some(m) => refuse(s.place, name_twice(name, &m.value)),
            None => Ok(()),
        };
    }
    if needs_matcher && s.matchers.iter().all(Matcher::matches_empty) {
        return refuse(s.place, "vector selector must contain at least one non-empty matcher");
    }
    Ok(())
}

fn check_aggregate(a: &mut Aggregate) -> Result<()> {
    expect_type(&mut a.expr, Type::Vector, "aggregation expression")?;
    let wanted = if a.op == AggregateOp::CountValues { Type::String } else { Type::Scalar };
    match &mut a.param {
        Some(param) => expect_type(param, wanted, "aggregation parameter"),
        None => Ok(()),
    }
}

fn check_binary(b: &mut Binary, place: Place) -> Result<()> {
    let (left, right) = (check(&mut b.left)?, check(&mut b.right)?);
    let op = Quoted(b.op.as_str());
    if b.return_bool && !b.op.is_comparison() {
        return refuse(b.op_place, "bool modifier can only be used on comparison operators");
    }
    if b.op.is_comparison() && !b.return_bool && (left, right) == (Type::Scalar, Type::Scalar) {
        return refuse(b.op_place, "comparisons between scalars must use BOOL modifier");
    }
    if let Some(m) = &b.matching
        && m.on
        && let Some(label) = m.labels.iter().find(|label| m.include.contains(label))
    {
        let label = Quoted(label);
        return refuse(b.op_place, format!("label {label} must not occur in ON and GROUP clause at once"));
    }
    for (side, expr) in [(left, &b.left), (right, &b.right)] {
        if !matches!(side, Type::Scalar | Type::Vector) {
            return refuse(expr.place(), "binary expression must contain only scalar and instant vector types");
        }
    }
    if (left, right) != (Type::Vector, Type::Vector) {
        if let Some(m) = b.matching.take() {
            if !m.labels.is_empty() {
                return refuse(place, "vector matching only allowed between instant vectors");
            }
            if m.fill_left.is_some() || m.fill_right.is_some() {
                return refuse(place, "filling in missing series only allowed between instant vectors");
            }
        }
        if b.op.is_set() {
            return refuse(place, format!("set operator {op} not allowed in binary scalar expression"));
        }
        return Ok(());
    }
    if let Some(m) = &b.matching
        && b.op.is_set()
    {
        if m.card != Cardinality::ManyToMany {
            return refuse(place, format!("no grouping allowed for {op} operation"));
        }
        if m.fill_left.is_some() || m.fill_right.is_some() {
            return refuse(place, "filling in missing series not allowed for set operators");
        }
    }
    Ok(())
}

fn check_call(call: &mut Call) -> Result<()> {
    let function = call.function;
    let (most, got, name) = (function.args.len(), call.args.len(), Quoted(function.name));
    if function.variadic == 0 && got != most {
        return refuse(call.place, format!("expected {most} argument(s) in call to {name}, got {got}"));
    }
    if function.variadic != 0 {
        let least = most - 1;
        if got < least {
            return refuse(call.place, format!("expected at least {least} argument(s) in call to {name}, got {got}"));
        }
        let limit = usize::try_from(function.variadic).map_or(usize::MAX, |more| least + more);
        if got > limit {
            return refuse(call.place, format!("expected at most {limit} argument(s) in call to {name}, got {got}"));
        }
    }
    let context = format!("call to function {name}");
    for (i, arg) in call.args.iter_mut().enumerate() {
        if function.name == "info" && i == 1 {
            check_info_selector(arg, call.place, &context)?;
            continue;
        }
        if let Some(wanted) = function.args.get(i).or(function.args.last()) {
            expect_type(arg, *wanted, &context)?;
        }
    }
    Ok(())
}

/// The second argument of `info` selects labels of info series, of whatever name.
fn check_info_selector(arg: &mut Expr, call: Place, context: &str) -> Result<()> {
    let got = arg.value_type();
    if got != Type::Vector {
        let (wanted, got) = (Type::Vector.as_str(), got.as_str());
        return refuse(call, format!("expected type {wanted} in {context}, got {got}"));
    }
    match arg {
        Expr::Selector(s) if s.name.is_none() => check_selector(s, false),
        Expr::Selector(s) => refuse(s.place, "expected label selectors only, got vector selector instead"),
        _ => refuse(arg.place(), "expected label selectors only"),
    }
}
