//! Functions of the query itself: its moments, its step, the greater of two scalars.
//! In: nothing, or scalars. Out: a scalar.
//! Never: looks at series.
//! Start at the table.

use super::super::ast::Type;
use super::super::eval::Val;
use super::Function;
use super::math::{go_max, go_min};

const TWO: &[Type] = &[Type::Scalar, Type::Scalar];

pub(super) static FUNCTIONS: &[Function] = &[
    Function::special("start", &[], |e, _, _| Ok(Val::Scalar(e.start as f64 / 1000.0)))
        .returns(Type::Scalar)
        .experimental(),
    Function::special("end", &[], |e, _, _| Ok(Val::Scalar(e.end as f64 / 1000.0)))
        .returns(Type::Scalar)
        .experimental(),
    Function::special("step", &[], |e, _, _| Ok(Val::Scalar(e.step as f64 / 1000.0)))
        .returns(Type::Scalar)
        .experimental(),
    Function::special("range", &[], |e, _, _| Ok(Val::Scalar((e.end - e.start) as f64 / 1000.0)))
        .returns(Type::Scalar)
        .experimental(),
    Function::special("min_of", TWO, |e, args, at| {
        let (a, b) = (e.scalar(&args[0], at)?, e.scalar(&args[1], at)?);
        Ok(Val::Scalar(go_min(a, b)))
    })
    .returns(Type::Scalar)
    .experimental(),
    Function::special("max_of", TWO, |e, args, at| {
        let (a, b) = (e.scalar(&args[0], at)?, e.scalar(&args[1], at)?);
        Ok(Val::Scalar(go_max(a, b)))
    })
    .returns(Type::Scalar)
    .experimental(),
];
