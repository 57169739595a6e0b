//! How an evaluation reaches samples: series of a selector, their newest samples, windows, sub-queries.
//! In: a selector's node and a moment. Out: visits, one series at a time.
//! Never: copies samples that it can lend, or goes on beyond the evaluation's budget.
//! Start at [`Eval::each_latest`] and [`Eval::each_window`].

use super::super::ast::{At, Boundary};
use super::super::columns::SeriesSet;
use super::super::plan::{Node, SelectorNode, SubqueryNode};
use super::super::smoothed::each_smoothed;
use super::super::value::EvalError;
use super::super::window::{self, Window};
use super::{Elem, Eval, Result, Val, bounded, millis};
use crate::model::{Labels, Timestamp};
use crate::series::{Point, Series};
use foldhash::fast::FixedState;
use std::collections::HashMap;
use std::sync::Arc;

/// A sub-query may have more steps than a range query: Prometheus bounds it by samples alone.
const SUBQUERY_STEPS_FACTOR: i128 = 100;

impl Eval<'_> {
    /// The series that a selector selects, now.
    pub fn series(&self, index: usize) -> SeriesSet {
        if let Some(only) = self.only {
            return only.clone();
        }
        match (self.plan.watches.get(index), self.head) {
            (Some(watch), _) => watch.snapshot(),
            (None, Some(head)) => Arc::new(head.select(&self.plan.selectors[index].matchers)),
            (None, None) => SeriesSet::default(),
        }
    }

    /// The watch of a selector, and the series to look at.
    pub fn watched(&self, index: usize) -> Option<(u32, SeriesSet)> {
        let watch = self.plan.watches.get(index)?;
        Some((watch.id(), self.only.map_or_else(|| watch.snapshot(), Clone::clone)))
    }

    pub fn lookback_ms(&self) -> i64 {
        millis(self.ctx.lookback)
    }

    pub fn matchers(&self, index: usize) -> &[crate::model::Matcher] {
        &self.plan.selectors[index].matchers
    }

    /// The moment that a selector looks back from.
    pub fn moment(&self, pinned: Option<At>, offset_ms: i64, at: i64) -> i64 {
        let base = match pinned {
            Some(At::Time(t)) => t.as_millis(),
            Some(At::Start) => self.start,
            Some(At::End) => self.end,
            None => at,
        };
        bounded(base.saturating_sub(offset_ms))
    }

    pub(super) fn select_instant(&self, s: &SelectorNode, at: i64) -> Result<Vec<Elem>> {
        let series = self.series(s.index);
        let mut out = Vec::with_capacity(series.len());
        self.each_latest(&series, s, at, |series, point| {
            out.push(Elem { labels: series.labels().clone(), value: point.v, drop_name: false });
        })?;
        Ok(out)
    }

    /// The moment that the info series of an expression are looked at: that of its first selector.
    pub fn info_moment(&self, node: &Node, at: i64) -> Result<i64> {
        Ok(self.first_moment(node, at)?.unwrap_or(at))
    }

    fn first_moment(&self, node: &Node, at: i64) -> Result<Option<i64>> {
        let first = |nodes: &mut dyn Iterator<Item = &Node>| -> Result<Option<i64>> {
            for node in nodes {
                if let Some(found) = self.first_moment(node, at)? {
                    return Ok(Some(found));
                }
            }
            Ok(None)
        };
        match node {
            Node::Selector(s) | Node::Range(s) => {
                let (_, offset_ms, _) = self.lengths(s.range_ms, s.offset_ms, s.lengths.as_deref())?;
                Ok(Some(self.moment(s.at, offset_ms, at)))
            }
            Node::Subquery(s) => {
                let (_, offset_ms, _) = self.lengths(s.range_ms, s.offset_ms, s.lengths.as_deref())?;
                self.first_moment(&s.inner, self.moment(s.at, offset_ms, at))
            }
            Node::Negate(inner) => self.first_moment(inner, at),
            Node::Aggregate(a) => self.first_moment(&a.inner, at),
            Node::Binary(b) => first(&mut [&b.left, &b.right].into_iter()),
            Node::Call(call) => first(&mut call.args.iter()),
            Node::Part(part) => self.first_moment(&part.original, at),
            Node::Number(_) | Node::String(_) | Node::Pattern(_) => Ok(None),
        }
    }

    /// Visits the newest live sample of each series.
    pub fn each_latest(
        &self,
        series: &[Arc<Series>],
        s: &SelectorNode,
        at: i64,
        visit: impl FnMut(&Series, Point),
    ) -> Result<()> {
        let (_, offset_ms, _) = self.lengths(0, s.offset_ms, s.lengths.as_deref())?;
        let until = self.moment(s.at, offset_ms, at);
        if s.boundary == Boundary::Smoothed {
            return each_smoothed(self, series, until, visit);
        }
        self.each_latest_within(series, s.stats_only, until.saturating_sub(millis(self.ctx.lookback)), until, visit)
    }

    /// The same for the function `timestamp`. With `@`, Prometheus forgets the offset when it looks for a sample, but
    /// not when it loads those that it looks at.
    pub fn each_latest_for_timestamp(
        &self,
        series: &[Arc<Series>],
        s: &SelectorNode,
        at: i64,
        visit: impl FnMut(&Series, Point),
    ) -> Result<()> {
        if s.at.is_none() || s.boundary == Boundary::Smoothed {
            return self.each_latest(series, s, at, visit);
        }
        let (_, offset_ms, _) = self.lengths(0, s.offset_ms, s.lengths.as_deref())?;
        let (looked, loaded) = (self.moment(s.at, 0, at), self.moment(s.at, offset_ms, at));
        let after = looked.max(loaded).saturating_sub(millis(self.ctx.lookback));
        self.each_latest_within(series, s.stats_only, after, looked.min(loaded), visit)
    }

    fn each_latest_within(
        &self,
        series: &[Arc<Series>],
        stats_only: bool,
        after: i64,
        until: i64,
        mut visit: impl FnMut(&Series, Point),
    ) -> Result<()> {
        let (after, until) = (Timestamp::from_millis(after), Timestamp::from_millis(until));
        let mut count = 0;
        for one in series {
            if let Some(mut point) = one.latest(after, until).filter(|p| !p.v.is_stale()) {
                count += 1;
                window::make_hint_known(one, &mut point, stats_only, after);
                visit(one, point);
            }
        }
        self.spend(count)
    }

    /// Visits each series' samples in a range selector or sub-query; series without samples are left out.
    pub fn each_window(
        &self,
        node: &Node,
        at: i64,
        mut visit: impl FnMut(&Labels, bool, &mut Window) -> Result<()>,
    ) -> Result<()> {
        match node {
            Node::Range(s) => {
                let (range_ms, offset_ms, _) = self.lengths(s.range_ms, s.offset_ms, s.lengths.as_deref())?;
                let end = self.moment(s.at, offset_ms, at);
                let start = end.saturating_sub(range_ms);
                let mut window = Window::new(start, end);
                window.boundary = s.boundary;
                let lookback = millis(self.ctx.lookback);
                let (after, until) = match s.boundary {
                    Boundary::Plain => (start, end),
                    Boundary::Anchored => (bounded(start.saturating_sub(lookback)), end),
                    Boundary::Smoothed => {
                        (bounded(start.saturating_sub(lookback)), bounded(end.saturating_add(lookback)))
                    }
                };
                let (after, until) = (Timestamp::from_millis(after), Timestamp::from_millis(until));
                let mut points = Vec::new();
                for series in self.series(s.index).iter() {
                    points.clear();
                    series.range(after, until, &mut points);
                    if s.boundary != Boundary::Plain && !Window::trim(&mut points, s.boundary, start, end) {
                        continue;
                    }
                    window.fill(&mut points);
                    if window.is_empty() {
                        continue;
                    }
                    window.fill_starts(series, after, until);
                    window.make_hints_known(series, s.stats_only);
                    self.spend(window.len())?;
                    visit(series.labels(), false, &mut window)?;
                }
                Ok(())
            }
            Node::Subquery(s) => {
                let (range_ms, offset_ms, step_ms) = self.lengths(s.range_ms, s.offset_ms, s.lengths.as_deref())?;
                let end = self.moment(s.at, offset_ms, at);
                let mut window = Window::new(end.saturating_sub(range_ms), end);
                for (labels, drop_name, mut points) in self.subquery(s, step_ms, window.start, end)? {
                    window.fill(&mut points);
                    visit(&labels, drop_name, &mut window)?;
                }
                Ok(())
            }
            _ => Err(EvalError::Unsupported("expected a range vector".to_owned())),
        }
    }

    /// Steps are multiples of the step since the epoch, in `(start, end]`.
    fn subquery(
        &self,
        s: &SubqueryNode,
        step_ms: Option<i64>,
        start: i64,
        end: i64,
    ) -> Result<Vec<(Labels, bool, Vec<Point>)>> {
        let step = step_ms.or(s.step_ms).unwrap_or_else(|| millis(self.ctx.subquery_step)).max(1);
        // As in Prometheus the division cuts towards zero, so before the epoch the first step may lie a step early.
        let mut at = step * (start / step);
        if at <= start {
            at += step;
        }
        if (end.saturating_sub(at) / step) as i128 > self.ctx.steps_max as i128 * SUBQUERY_STEPS_FACTOR {
            return Err(EvalError::Budget("steps", self.ctx.steps_max));
        }
        let mut by_labels: HashMap<Labels, usize, FixedState> = HashMap::default();
        let mut all: Vec<(Labels, bool, Vec<Point>)> = Vec::new();
        while at <= end {
            let t = Timestamp::from_millis(at);
            match self.eval(&s.inner, at)? {
                Val::Vector(elems) => {
                    self.spend(elems.len())?;
                    for e in elems {
                        let index = *by_labels.entry(e.labels).or_insert_with_key(|labels| {
                            all.push((labels.clone(), e.drop_name, Vec::new()));
                            all.len() - 1
                        });
                        all[index].2.push(Point { t, v: window::without_hint(e.value) });
                    }
                }
                Val::Scalar(_) | Val::String(_) => {
                    return Err(EvalError::Unsupported("expected an instant vector".to_owned()));
                }
            }
            at += step;
        }
        Ok(all)
    }
}
