//! The house's own syntax tree of PromQL.
//! In: what [`super::parse`] read. Out: [`Expr`], which knows its [`Type`] and prints as Prometheus prints (`print.rs`).
//! Never: holds a type of the parser crate, or a value that was not checked.
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
}

/// A checked expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    Number(f64),
    String(Arc<str>),
    Selector(Selector),
    Range(RangeSelector),
    Subquery(Box<Subquery>),
    /// Unary minus; a unary plus leaves nothing behind.
    Negate(Box<Expr>),
    Paren(Box<Expr>),
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

#[derive(Clone, Debug, PartialEq)]
pub struct Selector {
    /// The name written before the braces.
    pub name: Option<Arc<str>>,
    /// The matchers within the braces, as written.
    pub matchers: Vec<Matcher>,
    pub at: Option<At>,
    /// How far back; negative is forward.
    pub offset_ms: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RangeSelector {
    pub selector: Selector,
    pub range: Duration,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    pub expr: Expr,
    pub range: Duration,
    /// `None`: the default step of the evaluation.
    pub step: Option<Duration>,
    pub at: Option<At>,
    pub offset_ms: i64,
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
}

#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub function: &'static super::functions::Function,
    pub args: Vec<Expr>,
}

impl Expr {
    pub fn value_type(&self) -> Type {
        match self {
            Self::Number(_) => Type::Scalar,
            Self::String(_) => Type::String,
            Self::Selector(_) | Self::Aggregate(_) => Type::Vector,
            Self::Range(_) | Self::Subquery(_) => Type::Matrix,
            Self::Negate(inner) | Self::Paren(inner) => inner.value_type(),
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

    /// The same expression without the parentheses around it.
    pub fn unwrapped(&self) -> &Self {
        let mut expr = self;
        while let Self::Paren(inner) = expr {
            expr = inner;
        }
        expr
    }

    /// Calls `visit` for this expression and all within it, parents first.
    pub fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Self)) {
        visit(self);
        match self {
            Self::Number(_) | Self::String(_) | Self::Selector(_) | Self::Range(_) => {}
            Self::Subquery(s) => s.expr.walk(visit),
            Self::Negate(inner) | Self::Paren(inner) => inner.walk(visit),
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
