//! The plan: an expression made ready to be evaluated a million times.
//! In: a checked [`Expr`]. Out: [`Plan`], in which constants are folded, matchers compiled, selectors numbered.
//! Never: parses, compiles a regex or searches an index while it evaluates (once [`Plan::attach`] was called).
//! Start at [`Plan::new`].

use super::ast::{
    Aggregate, AggregateOp, At, Binary, BinaryOp, Boundary, Cardinality, DurationExpr, Expr, Matching, Place,
    RangeSelector, Selector, Type,
};
use super::binary::scalar_op;
use super::columns::{Columns, SeriesSet};
use super::eval::{Eval, duration_ms};
use super::functions::{Function, Kind};
use super::part::{self, Part};
use super::projection::Projection;
use super::value::{EvalError, Evaluated, LOOKBACK_DEFAULT, QueryOptions};
use crate::model::labels::METRIC_NAME;
use crate::model::pattern::Pattern;
use crate::model::{MatchOp, Matcher, Timestamp};
use crate::series::{Head, Series, Watch};
use std::sync::Arc;
use std::time::Duration;

/// How a rule's results depend on its inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanClass {
    /// Every element of the result depends on exactly one series: such a plan may be evaluated for some series alone.
    PerSeries,
    /// Elements depend on many series (aggregation, vector matching, `absent`) or on none.
    Joining,
}

/// What one selector of a plan selects.
#[derive(Clone, Debug)]
pub struct PlanSelector {
    /// The metric name's matcher included.
    pub matchers: Vec<Matcher>,
    /// How far back from the evaluation's time it may look: range, offset, lookback and enclosing sub-queries together.
    pub reach: Duration,
}

pub(super) struct SelectorNode {
    pub index: usize,
    pub at: Option<At>,
    pub offset_ms: i64,
    /// Zero for an instant selector.
    pub range_ms: i64,
    /// What depends on the query's step or range; `None` nearly always.
    pub lengths: Option<Box<Lengths>>,
    pub boundary: Boundary,
    /// Only counts and sums of histograms are asked for; Prometheus then reads each with a known reset hint.
    pub stats_only: bool,
}

/// Durations that are computed for each evaluation. One that is missing here is the constant beside it.
#[derive(Default)]
pub(super) struct Lengths {
    pub range: Option<DurationExpr>,
    pub offset: Option<DurationExpr>,
    pub step: Option<DurationExpr>,
}

pub(super) struct SubqueryNode {
    pub inner: Node,
    pub range_ms: i64,
    /// `None`: the context's default.
    pub step_ms: Option<i64>,
    pub at: Option<At>,
    pub offset_ms: i64,
    pub lengths: Option<Box<Lengths>>,
}

pub(super) struct BinaryNode {
    pub op: BinaryOp,
    pub left: Node,
    pub right: Node,
    pub return_bool: bool,
    /// Present when both sides are vectors.
    pub matching: Option<MatchNode>,
    /// Where it stands, for what is said of the result.
    pub place: Place,
}

#[derive(Clone)]
pub(super) struct MatchNode {
    pub key: Projection,
    pub card: Cardinality,
    pub include: Vec<String>,
    pub fill_left: Option<f64>,
    pub fill_right: Option<f64>,
}

pub(super) struct AggregateNode {
    pub op: AggregateOp,
    pub inner: Node,
    pub param: Option<Node>,
    pub key: Projection,
    /// Where the aggregated expression and the parameter stand.
    pub place: Place,
    pub param_place: Place,
}

pub(super) struct CallNode {
    pub function: &'static Function,
    pub args: Vec<Node>,
    /// Where the arguments stand.
    pub places: Vec<Place>,
}

/// The expression as it is evaluated: no parentheses, no names to look up.
pub(super) enum Node {
    Number(f64),
    String(Arc<str>),
    Selector(SelectorNode),
    Range(SelectorNode),
    Subquery(Box<SubqueryNode>),
    /// A pattern given as a literal: compiled once. The error is told when it is used, as in Prometheus.
    Pattern(Box<Result<Pattern, String>>),
    Negate(Box<Node>),
    Binary(Box<BinaryNode>),
    Aggregate(Box<AggregateNode>),
    Call(Box<CallNode>),
    /// A subtree that is evaluated by column.
    Part(Box<Part>),
}

/// An expression made ready. `Send` and `Sync`; evaluation takes `&self`.
pub struct Plan {
    pub(super) root: Node,
    pub(super) root_type: Type,
    pub(super) selectors: Vec<PlanSelector>,
    /// One per selector once attached, else empty. Equal selectors share one.
    pub(super) watches: Vec<Arc<Watch>>,
    class: PlanClass,
    /// What can be known to fail, whatever the data.
    refusal: Option<String>,
}

impl Plan {
    pub fn new(expr: &Expr) -> Self {
        let mut planner = Planner::default();
        let root = planner.node(expr, 0);
        let class =
            if planner.selectors.len() == 1 && is_per_series(expr) && is_name_pinned(&planner.selectors[0].matchers) {
                PlanClass::PerSeries
            } else {
                PlanClass::Joining
            };
        Self {
            root,
            root_type: expr.value_type(),
            selectors: planner.selectors,
            watches: Vec::new(),
            class,
            refusal: planner.refusal,
        }
    }

    /// Binds every selector to a live set of series of this head, so that evaluation searches nothing.
    pub fn attach(&mut self, head: &Head) {
        self.attach_with(|matchers| head.watch(matchers));
    }

    /// The same with watches that `watch` finds: rules that select alike share one.
    pub fn attach_with(&mut self, mut watch: impl FnMut(&[Matcher]) -> Arc<Watch>) {
        let mut watches: Vec<Arc<Watch>> = Vec::with_capacity(self.selectors.len());
        for (i, selector) in self.selectors.iter().enumerate() {
            let same = self.selectors[..i].iter().position(|s| s.matchers == selector.matchers);
            watches.push(same.map_or_else(|| watch(&selector.matchers), |same| watches[same].clone()));
        }
        if self.watches.is_empty() {
            part::compile(&mut self.root);
        }
        self.watches = watches;
    }

    /// The live sets, one per selector in the order of [`Plan::selectors`]; empty before [`Plan::attach`].
    pub fn watches(&self) -> &[Arc<Watch>] {
        &self.watches
    }

    pub fn selectors(&self) -> &[PlanSelector] {
        &self.selectors
    }

    pub fn class(&self) -> PlanClass {
        self.class
    }

    pub fn value_type(&self) -> Type {
        self.root_type
    }

    /// How far back an evaluation may look (with the default lookback): a window shorter than this is not warm.
    pub fn longest_range(&self) -> Duration {
        self.selectors.iter().map(|s| s.reach).max().unwrap_or_default()
    }

    /// The value at one moment.
    pub fn eval(&self, head: &Head, at: Timestamp, ctx: &QueryOptions) -> Result<Evaluated, EvalError> {
        self.permit()?;
        Eval::instant(self, Some(head), None, at, ctx).run()
    }

    /// The value at one moment, bit for bit that of [`Plan::eval`], from columns that are shared with other rules.
    /// Only for a plan that is attached.
    pub fn eval_shared(
        &self,
        head: &Head,
        at: Timestamp,
        ctx: &QueryOptions,
        columns: &Columns,
    ) -> Result<Evaluated, EvalError> {
        self.permit()?;
        let mut eval = Eval::instant(self, Some(head), None, at, ctx);
        eval.columns = Some(columns);
        eval.run()
    }

    /// The value at one moment as if there were these series only. Only for [`PlanClass::PerSeries`] plans,
    /// and only for series that the plan's one selector selects.
    pub fn eval_series(
        &self,
        series: &[Arc<Series>],
        at: Timestamp,
        ctx: &QueryOptions,
    ) -> Result<Evaluated, EvalError> {
        self.eval_only(&Arc::new(series.to_vec()), at, ctx, None)
    }

    /// The same, bit for bit, from columns that are shared with other rules which are given the same set.
    pub fn eval_series_shared(
        &self,
        series: &SeriesSet,
        at: Timestamp,
        ctx: &QueryOptions,
        columns: &Columns,
    ) -> Result<Evaluated, EvalError> {
        self.eval_only(series, at, ctx, Some(columns))
    }

    fn eval_only(
        &self,
        series: &SeriesSet,
        at: Timestamp,
        ctx: &QueryOptions,
        columns: Option<&Columns>,
    ) -> Result<Evaluated, EvalError> {
        self.permit()?;
        if self.class != PlanClass::PerSeries {
            return Err(EvalError::Unsupported("the expression joins series".to_owned()));
        }
        let mut eval = Eval::instant(self, None, Some(series), at, ctx);
        eval.columns = columns;
        eval.run()
    }

    /// The values at `start`, `start + step`, … up to `end`, as a matrix.
    pub fn eval_range(
        &self,
        head: &Head,
        start: Timestamp,
        end: Timestamp,
        step: Duration,
        ctx: &QueryOptions,
    ) -> Result<Evaluated, EvalError> {
        self.permit()?;
        super::range::eval_range(self, head, start, end, step, ctx)
    }

    fn permit(&self) -> Result<(), EvalError> {
        self.refusal.clone().map_or(Ok(()), |why| Err(EvalError::Data(why)))
    }
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan").field("selectors", &self.selectors).field("class", &self.class).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Planner {
    selectors: Vec<PlanSelector>,
    refusal: Option<String>,
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
    fn node(&mut self, expr: &Expr, outer_ms: i64) -> Node {
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
fn is_per_series(expr: &Expr) -> bool {
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
fn is_name_pinned(matchers: &[Matcher]) -> bool {
    matchers.iter().any(|m| m.name == METRIC_NAME && m.op == MatchOp::Equal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::parse;

    fn plan(text: &str) -> Plan {
        Plan::new(&parse(text).unwrap())
    }

    #[test]
    fn tells_per_series_from_joining() {
        let check = |text: &str, expect: PlanClass| assert_eq!(plan(text).class(), expect, "{text}");
        check("up == 0", PlanClass::PerSeries);
        check("rate(a_total{b=\"c\"}[5m]) * 60 > 5", PlanClass::PerSeries);
        check("time() - a > 3600", PlanClass::PerSeries);
        check("max_over_time(rate(a[1m])[5m:]) > 1", PlanClass::PerSeries);
        check("sum(a) > 1", PlanClass::Joining);
        check("a / b", PlanClass::Joining);
        check("a > 1 and a < 5", PlanClass::Joining);
        check("absent(a)", PlanClass::Joining);
        check("{job=\"x\"} > 1", PlanClass::Joining);
        check("a > scalar(b)", PlanClass::Joining);
        check("vector(1)", PlanClass::Joining);
        check("label_replace(a, \"b\", \"$1\", \"c\", \"(.*)\")", PlanClass::Joining);
    }

    #[test]
    fn knows_how_far_it_looks() {
        let check = |text: &str, secs: u64| assert_eq!(plan(text).longest_range().as_secs(), secs, "{text}");
        check("up", 300);
        check("rate(a[10m] offset 5m) + b", 900);
        check("max_over_time(rate(a[1m])[1h:1m] offset 10m)", 4260);
        check("1 + 1", 0);
    }

    #[test]
    fn folds_constants() {
        assert!(matches!(plan("-(1 + 2 * 3) ^ 2").root, Node::Number(v) if v == -49.0));
        assert!(matches!(plan("2 * pi()").root, Node::Number(_)));
    }
}
