//! `PromQL`: an expression, the held window and a time give a value, as in Prometheus 3.
//! In: text, [`crate::series::Head`]. Out: [`Evaluated`], with warnings and infos.
//! Never: parses, compiles or searches during an evaluation; exceeds its budget; panics on data.
//! Start at [`parse()`], then [`Plan::new`], [`Plan::attach`], [`Plan::eval`].

pub mod ast;

mod accumulator;
mod aggregate;
mod binary;
mod columns;
mod durations;
mod eval;
mod fold;
mod functions;
mod histogram;
mod kahan;
mod parse;
mod part;
mod plan;
mod pretty;
mod print;
mod projection;
mod quantile;
mod range;
mod recent;
mod rows;
mod smoothed;
mod value;
mod window;

pub use ast::{Expr, Type};
pub use columns::{Columns, SeriesSet};
pub use functions::Function;
pub use histogram::{Bucket, buckets as histogram_buckets, is_reset, stepped as stepped_histogram};
pub use parse::{Features, ParseError, number_value, parse, parse_selector, parse_with};
pub use plan::{Plan, PlanClass, PlanSelector};
pub use print::print_number;
pub use value::{
    Element, EvalError, Evaluated, LOOKBACK_DEFAULT, QueryOptions, SAMPLES_MAX_DEFAULT, STEPS_MAX_DEFAULT,
    SeriesPoints, Value,
};
