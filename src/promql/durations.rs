//! Duration expressions: `step()`, `range()`, arithmetic, as milliseconds.
//! In: an expression, the step and the range of the query. Out: a length of time, or why it is none.
//! Never: looks at samples.
//! Start at [`duration_ms`].

use super::ast::{BinaryOp, DurationExpr};
use super::binary;
use super::eval::Result;
use super::value::EvalError;

/// The value of a duration in milliseconds. `signed`: whether it may be zero or negative, as an offset may.
pub(super) fn duration_ms(expr: &DurationExpr, step_ms: i64, range_ms: i64, signed: bool) -> Result<i64> {
    let place = expr.place();
    let refuse = |what: &str| Err(EvalError::Data(format!("{}:{}: {what}", place.start, place.end)));
    let seconds = duration_secs(expr, step_ms as f64 / 1000.0, range_ms as f64 / 1000.0)?;
    if seconds.is_nan() || (!signed && seconds <= 0.0) {
        return refuse("duration must be greater than 0");
    }
    if seconds.abs() > DURATION_MAX_SECS {
        return refuse("duration is out of range");
    }
    Ok((seconds * 1000.0) as i64)
}

/// What Go's `time.Duration` holds.
const DURATION_MAX_SECS: f64 = 9_223_372_036.0;

fn duration_secs(expr: &DurationExpr, step: f64, range: f64) -> Result<f64> {
    let both = |sides: &(DurationExpr, DurationExpr)| -> Result<(f64, f64)> {
        Ok((duration_secs(&sides.0, step, range)?, duration_secs(&sides.1, step, range)?))
    };
    Ok(match expr {
        DurationExpr::Number(v, ..) => *v,
        DurationExpr::Step(_) => step,
        DurationExpr::Range(_) => range,
        DurationExpr::Negate(inner, _) => -duration_secs(inner, step, range)?,
        DurationExpr::Paren(inner, _) => duration_secs(inner, step, range)?,
        DurationExpr::Min(sides, _) => both(sides).map(|(a, b)| a.min(b))?,
        DurationExpr::Max(sides, _) => both(sides).map(|(a, b)| a.max(b))?,
        DurationExpr::Binary(op, sides) => {
            let (a, b) = both(sides)?;
            if b == 0.0 && matches!(op, BinaryOp::Div | BinaryOp::Mod) {
                let (place, what) = (expr.place(), if *op == BinaryOp::Div { "division" } else { "modulo" });
                return Err(EvalError::Data(format!("{}:{}: {what} by zero", place.start, place.end)));
            }
            binary::scalar_op(*op, a, b)
        }
    })
}
