//! The planner: an expression becomes nodes that are quick to evaluate, once per rule.
//! In: a parsed expression. Out: nodes, selectors with how far they look, what refuses to run.
//! Never: looks at samples.
//! Start at [`Planner::node`].

use super::super::ast::{
    Aggregate, Binary, Boundary, DurationExpr, Expr, Matching, Place, RangeSelector, Selector, Type,
};
use super::super::binary::scalar_op;
use super::super::durations::duration_ms;
use super::super::functions::Kind;
use super::super::projection::Projection;
use super::super::value::LOOKBACK_DEFAULT;
use super::{AggregateNode, BinaryNode, CallNode, Lengths, MatchNode, Node, PlanSelector, SelectorNode, SubqueryNode};
use crate::model::labels::METRIC_NAME;
use crate::model::pattern::Pattern;
use crate::model::{MatchOp, Matcher};
use std::time::Duration;

#[derive(Default)]
pub(super) struct Planner {
    pub(super) selectors: Vec<PlanSelector>,
    pub(super) refusal: Option<String>,
    /// What the enclosing functions need of histograms.
    need: HistogramNeed,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum HistogramNeed {
    #[default]
    Unsaid,
    Stats,
    /// Something needs the buckets; nothing within changes that.
    Buckets,
}

impl HistogramNeed {
    fn of(self, function: &str) -> Self {
        match (self, function) {
            (Self::Buckets, _) | (_, "histogram_quantile" | "histogram_quantiles" | "histogram_fraction") => {
                Self::Buckets
            }
            (_, "histogram_count" | "histogram_sum" | "histogram_avg") => Self::Stats,
            (need, _) => need,
        }
    }
}

fn millis(d: Duration) -> i64 {
    i64::try_from(d.as_millis()).unwrap_or(i64::MAX / 4)
}

impl Planner {
    /// `outer_ms`: how far back the enclosing sub-queries look.
    pub(super) fn node(&mut self, expr: &Expr, outer_ms: i64) -> Node {
        match expr {
            Expr::Number(v, ..) => Node::Number(*v),
            Expr::String(s, _) => Node::String(s.clone()),
            Expr::Paren(inner, _) | Expr::Plus(inner, _) => self.node(inner, outer_ms),
            Expr::Selector(s) => Node::Selector(self.selector(s, 0, None, outer_ms)),
            Expr::Range(RangeSelector { selector, range, range_expr, .. }) => {
                Node::Range(self.selector(selector, millis(*range), range_expr.as_ref(), outer_ms))
            }
            Expr::Subquery(s) => {
                let lengths = lengths(s.range_expr.as_ref(), s.offset_expr.as_ref(), s.step_expr.as_ref());
                let (range_ms, offset_ms) = reach(millis(s.range), s.offset_ms, lengths.as_deref());
                let need = std::mem::replace(&mut self.need, HistogramNeed::Buckets);
                let inner = self.node(&s.expr, outer_ms.saturating_add(range_ms).saturating_add(offset_ms.max(0)));
                self.need = need;
                let (range_ms, step_ms) = (millis(s.range), s.step.map(millis));
                let (at, offset_ms) = (s.at, s.offset_ms);
                Node::Subquery(Box::new(SubqueryNode { inner, range_ms, step_ms, at, offset_ms, lengths }))
            }
            Expr::Negate(inner, _) => match self.node(inner, outer_ms) {
                Node::Number(v) => Node::Number(-v),
                node => Node::Negate(Box::new(node)),
            },
            Expr::Binary(b) => self.binary(b, outer_ms),
            Expr::Aggregate(a) => self.aggregate(a, outer_ms),
            Expr::Call(call) => {
                let function = call.function;
                if let Kind::Constant(v) = function.kind {
                    return Node::Number(v);
                }
                self.refuse_boundary(function.name, &call.args);
                let need = self.need;
                self.need = need.of(function.name);
                let mut args: Vec<Node> = call.args.iter().map(|arg| self.node(arg, outer_ms)).collect();
                self.need = need;
                if function.name == "info" {
                    self.info_selector(call.args.get(1), &mut args);
                }
                if function.name == "label_replace"
                    && let Some(Node::String(text)) = args.get(4)
                {
                    args[4] = Node::Pattern(Box::new(Pattern::anchored(text).map_err(|_| text.to_string())));
                }
                let places = call.args.iter().map(note_place).collect();
                Node::Call(Box::new(CallNode { function, args, places }))
            }
        }
    }

    fn selector(&mut self, s: &Selector, range_ms: i64, range: Option<&DurationExpr>, outer_ms: i64) -> SelectorNode {
        let lengths = lengths(range, s.offset_expr.as_ref(), None);
        let (reach_ms, offset_ms) = reach(range_ms, s.offset_ms, lengths.as_deref());
        let lookback = if reach_ms == 0 || s.boundary != Boundary::Plain { millis(LOOKBACK_DEFAULT) } else { 0 };
        let reach_ms = reach_ms.saturating_add(lookback).saturating_add(offset_ms.max(0)).saturating_add(outer_ms);
        let reach = Duration::from_millis(reach_ms.unsigned_abs());
        self.selectors.push(PlanSelector { matchers: s.all_matchers(), reach });
        let (index, boundary) = (self.selectors.len() - 1, s.boundary);
        let stats_only = self.need == HistogramNeed::Stats;
        SelectorNode { index, at: s.at, offset_ms: s.offset_ms, range_ms, lengths, boundary, stats_only }
    }

    /// `anchored` and `smoothed` change what few functions see; the others refuse them.
    fn refuse_boundary(&mut self, function: &str, args: &[Expr]) {
        for arg in args {
            let Expr::Range(r) = arg.unwrapped() else { continue };
            let (word, allowed): (_, &[&str]) = match r.selector.boundary {
                Boundary::Plain => continue,
                Boundary::Anchored => ("anchored", &["changes", "delta", "increase", "rate", "resets"]),
                Boundary::Smoothed => ("smoothed", &["delta", "increase", "rate"]),
            };
            if !allowed.contains(&function) {
                let allowed = allowed.join(", ");
                let why = format!("{word} modifier can only be used with: {allowed} - not with {function}");
                self.refusal.get_or_insert(why);
            }
        }
    }

    /// The second argument of `info` says which info series are read; without a name, `target_info`.
    fn info_selector(&mut self, written: Option<&Expr>, args: &mut Vec<Node>) {
        let mut matchers = match written {
            Some(Expr::Selector(s)) => s.all_matchers(),
            _ => Vec::new(),
        };
        if matchers.iter().all(|m| m.name != METRIC_NAME) {
            matchers.push(Matcher::equal(METRIC_NAME, "target_info"));
        }
        if let Some(Node::Selector(s)) = args.get(1) {
            self.selectors[s.index].matchers = matchers;
            return;
        }
        let reach = self.selectors.iter().map(|s| s.reach).max().unwrap_or_default();
        self.selectors.push(PlanSelector { matchers, reach });
        args.push(Node::Selector(SelectorNode {
            index: self.selectors.len() - 1,
            at: None,
            offset_ms: 0,
            range_ms: 0,
            lengths: None,
            boundary: Boundary::Plain,
            stats_only: false,
        }));
    }

    fn binary(&mut self, b: &Binary, outer_ms: i64) -> Node {
        let need = std::mem::take(&mut self.need);
        let (left, right) = (self.node(&b.left, outer_ms), self.node(&b.right, outer_ms));
        self.need = need;
        if let (Node::Number(l), Node::Number(r)) = (&left, &right) {
            return Node::Number(scalar_op(b.op, *l, *r));
        }
        let matching = b.matching.as_ref().map(|m: &Matching| MatchNode {
            key: Projection::new(&m.labels, m.on),
            card: m.card,
            include: m.include.clone(),
            fill_left: m.fill_left,
            fill_right: m.fill_right,
        });
        let place = b.left.place().to(b.right.place());
        Node::Binary(Box::new(BinaryNode { op: b.op, left, right, return_bool: b.return_bool, matching, place }))
    }

    fn aggregate(&mut self, a: &Aggregate, outer_ms: i64) -> Node {
        let param = a.param.as_ref().map(|p| self.node(p, outer_ms));
        let inner = self.node(&a.expr, outer_ms);
        Node::Aggregate(Box::new(AggregateNode {
            op: a.op,
            inner,
            param,
            key: Projection::new(&a.grouping, !a.without),
            place: a.expr.unwrapped().place(),
            param_place: a.param.as_ref().map_or(a.place, |p| p.unwrapped().place()),
        }))
    }
}

/// Where notes about an argument say that it stands: without its parentheses. Prometheus loses the place of sub-queries.
fn note_place(arg: &Expr) -> Place {
    match arg.unwrapped() {
        Expr::Subquery(_) => Place { start: 0, end: 0, line: 1, column: 1 },
        arg => arg.place(),
    }
}

fn lengths(
    range: Option<&DurationExpr>,
    offset: Option<&DurationExpr>,
    step: Option<&DurationExpr>,
) -> Option<Box<Lengths>> {
    let any = range.is_some() || offset.is_some() || step.is_some();
    any.then(|| Box::new(Lengths { range: range.cloned(), offset: offset.cloned(), step: step.cloned() }))
}

/// How far back a selector looks at one moment alone, where the query's step and range are zero.
fn reach(range_ms: i64, offset_ms: i64, lengths: Option<&Lengths>) -> (i64, i64) {
    let known = |expr: &Option<DurationExpr>, constant: i64| {
        expr.as_ref().map_or(constant, |e| duration_ms(e, 0, 0, true).unwrap_or(0))
    };
    lengths.map_or((range_ms, offset_ms), |l| (known(&l.range, range_ms), known(&l.offset, offset_ms)))
}

/// Whether each element of the vector or range comes from one series, labels kept apart from the name.
pub(super) fn is_per_series(expr: &Expr) -> bool {
    match expr {
        Expr::Selector(_) | Expr::Range(_) => true,
        Expr::Number(..) | Expr::String(..) | Expr::Aggregate(_) => false,
        Expr::Paren(inner, _) | Expr::Negate(inner, _) | Expr::Plus(inner, _) => is_per_series(inner),
        Expr::Subquery(s) => is_per_series(&s.expr),
        Expr::Binary(b) if b.matching.is_none() => match (b.left.value_type(), b.right.value_type()) {
            (Type::Vector, Type::Scalar) => is_per_series(&b.left) && is_free_of_series(&b.right),
            (Type::Scalar, Type::Vector) => is_per_series(&b.right) && is_free_of_series(&b.left),
            _ => false,
        },
        Expr::Binary(_) => false,
        Expr::Call(call) => {
            call.function.per_series
                && call.args.iter().all(|arg| match arg.value_type() {
                    Type::Vector | Type::Matrix => is_per_series(arg),
                    Type::Scalar | Type::String => is_free_of_series(arg),
                })
                && call.args.iter().any(|arg| matches!(arg.value_type(), Type::Vector | Type::Matrix))
        }
    }
}

fn is_free_of_series(expr: &Expr) -> bool {
    let mut free = true;
    expr.walk(&mut |e| free &= !matches!(e, Expr::Selector(_) | Expr::Range(_)));
    free
}

/// With several metric names, dropping the name could make two series one.
pub(super) fn is_name_pinned(matchers: &[Matcher]) -> bool {
    matchers.iter().any(|m| m.name == METRIC_NAME && m.op == MatchOp::Equal)
}
