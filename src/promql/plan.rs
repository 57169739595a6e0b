//! The plan: an expression made ready to be evaluated a million times.
//! In: a checked [`Expr`]. Out: [`Plan`], in which constants are folded, matchers compiled, selectors numbered.
//! Never: parses, compiles a regex or searches an index while it evaluates (once [`Plan::attach`] was called).
//! Start at [`Plan::new`].

mod planner;

use super::ast::{AggregateOp, At, BinaryOp, Boundary, Cardinality, DurationExpr, Expr, Place, Type};
use super::columns::{Columns, SeriesSet};
use super::eval::Eval;
use super::functions::Function;
use super::part::{self, Part};
use super::projection::Projection;
use super::value::{EvalError, Evaluated, QueryOptions};
use crate::model::pattern::Pattern;
use crate::model::{Matcher, Timestamp};
use crate::series::{Head, Series, Watch};
use planner::{Planner, is_name_pinned, is_per_series};
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
