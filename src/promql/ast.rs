//! The syntax tree of `PromQL`.
//! In: what [`super::parse`] read. Out: [`Expr`], which knows its [`Type`], its [`Place`] in the text, and prints as
//! Prometheus prints (`print.rs`).
//! Never: holds a value that was not checked.
//! Start at [`Expr`].

use crate::model::{Matcher, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// What an expression yields. The texts are those of Prometheus' messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Scalar,
    String,
    /// Instant vector.
    Vector,
    /// Range vector.
    Matrix,
}

impl Type {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::String => "string",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
        }
    }

    /// As the JSON interface and some messages call it.
    pub fn short(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::String => "string",
            Self::Vector => "vector",
            Self::Matrix => "matrix",
        }
    }
}

/// Where a part of an expression was written. What it means does not depend on it, so all places are equal.
#[derive(Clone, Copy, Debug, Default, Eq)]
pub struct Place {
    /// The offset of the first byte, and of the one after the last.
    pub start: u32,
    pub end: u32,
    /// Both count from 1; the column counts bytes.
    pub line: u32,
    pub column: u32,
}

impl PartialEq for Place {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Place {
    /// From the start of this to the end of the other.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self { end: other.end, ..self }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// How a number was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberForm {
    Plain,
    /// As a duration, `5m` for 300, and so it is printed.
    Duration,
}

/// A checked expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    Number(f64, NumberForm, Place),
    String(Arc<str>, Place),
    Selector(Selector),
    Range(RangeSelector),
    Subquery(Box<Subquery>),
    /// Unary minus.
    Negate(Box<Expr>, Place),
    /// Unary plus: without effect, but it is printed.
    Plus(Box<Expr>, Place),
    Paren(Box<Expr>, Place),
    Binary(Box<Binary>),
    Aggregate(Box<Aggregate>),
    Call(Call),
}

/// `@ …`: the moment that a selector is pinned to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    Time(Timestamp),
    /// The first moment of the whole query.
    Start,
    /// The last moment of the whole query.
    End,
}

/// How the samples around the ends of a selector's time are seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Boundary {
    /// Only what lies within.
    #[default]
    Plain,
    /// `anchored`: the last sample before the range stands at its start, the last one within at its end.
    Anchored,
    /// `smoothed`: values at the ends are interpolated between the samples around them.
    Smoothed,
}

/// A duration that depends on the query: `step() * 2`. Its value is in seconds.
#[derive(Clone, Debug, PartialEq)]
pub enum DurationExpr {
    Number(f64, NumberForm, Place),
    Step(Place),
    Range(Place),
    Negate(Box<DurationExpr>, Place),
    Paren(Box<DurationExpr>, Place),
    /// One of `+ - * / % ^`.
    Binary(BinaryOp, Box<(DurationExpr, DurationExpr)>),
    Min(Box<(DurationExpr, DurationExpr)>, Place),
    Max(Box<(DurationExpr, DurationExpr)>, Place),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Selector {
    /// The name written before the braces.
    pub name: Option<Arc<str>>,
    /// The matchers within the braces, as written.
    pub matchers: Vec<Matcher>,
    pub at: Option<At>,
    /// How far back; negative is forward. Zero when `offset_expr` says it.
    pub offset_ms: i64,
    pub offset_expr: Option<DurationExpr>,
    pub boundary: Boundary,
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RangeSelector {
    pub selector: Selector,
    /// Zero when `range_expr` says it.
    pub range: Duration,
    pub range_expr: Option<DurationExpr>,
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    pub expr: Expr,
    /// Zero when `range_expr` says it.
    pub range: Duration,
    pub range_expr: Option<DurationExpr>,
    /// `None`: the default step of the evaluation, or what `step_expr` says.
    pub step: Option<Duration>,
    pub step_expr: Option<DurationExpr>,
    pub at: Option<At>,
    pub offset_ms: i64,
    pub offset_expr: Option<DurationExpr>,
    pub place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
    And,
    Or,
    Unless,
}

impl BinaryOp {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::Atan2 => "atan2",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Greater => ">",
            Self::Less => "<",
            Self::GreaterOrEqual => ">=",
            Self::LessOrEqual => "<=",
            Self::And => "and",
            Self::Or => "or",
            Self::Unless => "unless",
        }
    }

    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Equal | Self::NotEqual | Self::Greater | Self::Less | Self::GreaterOrEqual | Self::LessOrEqual
        )
    }

    pub fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }
}

/// Which side of a vector match may have several elements per match group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cardinality {
    OneToOne,
    /// `group_left`
    ManyToOne,
    /// `group_right`
    OneToMany,
    /// Set operators.
    ManyToMany,
}

/// How elements of two vectors find each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Matching {
    /// `on` when true, else `ignoring`.
    pub on: bool,
    pub labels: Vec<String>,
    pub card: Cardinality,
    /// Labels copied from the "one" side.
    pub include: Vec<String>,
    pub fill_left: Option<f64>,
    pub fill_right: Option<f64>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    pub op: BinaryOp,
    pub left: Expr,
    pub right: Expr,
    pub return_bool: bool,
    /// Present when both sides are vectors.
    pub matching: Option<Matching>,
    /// Where the operator stands.
    pub op_place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AggregateOp {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    CountValues,
    Quantile,
    Limitk,
    LimitRatio,
}

impl AggregateOp {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Count => "count",
            Self::Min => "min",
            Self::Max => "max",
            Self::Group => "group",
            Self::Stddev => "stddev",
            Self::Stdvar => "stdvar",
            Self::Topk => "topk",
            Self::Bottomk => "bottomk",
            Self::CountValues => "count_values",
            Self::Quantile => "quantile",
            Self::Limitk => "limitk",
            Self::LimitRatio => "limit_ratio",
        }
    }

    /// The type of the parameter, for those that take one.
    pub fn parameter(self) -> Option<Type> {
        match self {
            Self::Topk | Self::Bottomk | Self::Quantile | Self::Limitk | Self::LimitRatio => Some(Type::Scalar),
            Self::CountValues => Some(Type::String),
            _ => None,
        }
    }

    /// Whether Prometheus has it behind `promql-experimental-functions`.
    pub fn is_experimental(self) -> bool {
        matches!(self, Self::Limitk | Self::LimitRatio)
    }

    /// Whether the output elements are input elements.
    pub fn is_selection(self) -> bool {
        matches!(self, Self::Topk | Self::Bottomk | Self::Limitk | Self::LimitRatio)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    pub op: AggregateOp,
    pub expr: Expr,
    pub param: Option<Expr>,
    /// `without` when true, else `by`.
    pub without: bool,
    pub grouping: Vec<String>,
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub function: &'static super::functions::Function,
    pub args: Vec<Expr>,
    pub place: Place,
}

impl Expr {
    pub fn value_type(&self) -> Type {
        match self {
            Self::Number(..) => Type::Scalar,
            Self::String(..) => Type::String,
            Self::Selector(_) | Self::Aggregate(_) => Type::Vector,
            Self::Range(_) | Self::Subquery(_) => Type::Matrix,
            Self::Negate(inner, _) | Self::Plus(inner, _) | Self::Paren(inner, _) => inner.value_type(),
            Self::Binary(b) => {
                if b.left.value_type() == Type::Scalar && b.right.value_type() == Type::Scalar {
                    Type::Scalar
                } else {
                    Type::Vector
                }
            }
            Self::Call(call) => call.function.returns,
        }
    }

    /// Where it was written.
    pub fn place(&self) -> Place {
        match self {
            Self::Number(_, _, place)
            | Self::String(_, place)
            | Self::Negate(_, place)
            | Self::Plus(_, place)
            | Self::Paren(_, place) => *place,
            Self::Selector(s) => s.place,
            Self::Range(r) => r.place,
            Self::Subquery(s) => s.place,
            Self::Binary(b) => b.left.place().to(b.right.place()),
            Self::Aggregate(a) => a.place,
            Self::Call(call) => call.place,
        }
    }

    /// The same expression without the parentheses around it.
    pub fn unwrapped(&self) -> &Self {
        let mut expr = self;
        while let Self::Paren(inner, _) = expr {
            expr = inner;
        }
        expr
    }

    /// Calls `visit` for this expression and all within it, parents first.
    pub fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Self)) {
        visit(self);
        match self {
            Self::Number(..) | Self::String(..) | Self::Selector(_) | Self::Range(_) => {}
            Self::Subquery(s) => s.expr.walk(visit),
            Self::Negate(inner, _) | Self::Plus(inner, _) | Self::Paren(inner, _) => inner.walk(visit),
            Self::Binary(b) => {
                b.left.walk(visit);
                b.right.walk(visit);
            }
            Self::Aggregate(a) => {
                if let Some(param) = &a.param {
                    param.walk(visit);
                }
                a.expr.walk(visit);
            }
            Self::Call(call) => call.args.iter().for_each(|arg| arg.walk(visit)),
        }
    }
}

impl DurationExpr {
    /// Where it was written.
    pub fn place(&self) -> Place {
        match self {
            Self::Number(_, _, place)
            | Self::Step(place)
            | Self::Range(place)
            | Self::Negate(_, place)
            | Self::Paren(_, place)
            | Self::Min(_, place)
            | Self::Max(_, place) => *place,
            Self::Binary(_, sides) => sides.0.place().to(sides.1.place()),
        }
    }
}
