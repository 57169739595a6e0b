//! Rows: what a part of a plan yields, numbered by place, so that labels are compared once per change of a set only.
//! In: columns of the selectors. Out: row numbers and values; labels of a row when somebody asks.
//! Never: yields in another order than the general evaluator, on whose order sums depend.
//! Start at [`Rows::prepare`], then [`Rows::each`].

use super::ast::{AggregateOp, BinaryOp, Cardinality};
use super::binary::{compare, result_labels, scalar_op};
use super::columns::{ABSENT, Column, Reading, SeriesSet, is_absent};
use super::eval::{Eval, Result};
use super::fold::Fold;
use super::functions::Function;
use super::part::Step;
use super::plan::MatchNode;
use super::projection::{Numbers, Projection};
use crate::model::Labels;
use std::collections::HashSet;
use std::sync::Arc;

/// What the rows are computed from. Each keeps what does not change between evaluations: numbers of groups and partners.
pub(super) enum Rows {
    Leaf(Leaf),
    Chain(Box<Chain>),
    Group(Box<GroupRows>),
    Pair(Box<Pair>),
    Set(Box<Set>),
}

/// No such row.
const NONE: u32 = u32::MAX;

impl Rows {
    /// Brings everything up to date for the evaluation's moment. False when only the general evaluator can tell.
    pub fn prepare(&mut self, eval: &Eval<'_>) -> Result<bool> {
        match self {
            Self::Leaf(leaf) => leaf.prepare(eval),
            Self::Chain(chain) => {
                chain.time = eval.at as f64 / 1000.0;
                chain.inner.prepare(eval)
            }
            Self::Group(group) => group.prepare(eval),
            Self::Pair(pair) => pair.prepare(eval),
            Self::Set(set) => set.prepare(eval),
        }
    }

    /// Another number whenever rows have other labels than before.
    fn stamp(&self) -> u64 {
        match self {
            Self::Leaf(leaf) => leaf.stamp,
            Self::Chain(chain) => chain.inner.stamp(),
            Self::Group(group) => group.stamp,
            Self::Pair(pair) => pair.stamp,
            Self::Set(set) => set.left.stamp(),
        }
    }

    /// How many rows at the beginning are those of an earlier stamp.
    fn kept(&self, since: u64) -> usize {
        match self {
            Self::Leaf(leaf) if leaf.before == since => leaf.kept,
            Self::Chain(chain) => chain.inner.kept(since),
            Self::Set(set) => set.left.kept(since),
            // A change that was not seen lies between, or nothing is known.
            Self::Leaf(_) | Self::Group(_) | Self::Pair(_) => 0,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.series.len(),
            Self::Chain(chain) => chain.inner.len(),
            Self::Group(group) => group.numbers.len(),
            Self::Pair(pair) => pair.many.len(),
            Self::Set(set) => set.left.len(),
        }
    }

    pub fn drops_name(&self) -> bool {
        match self {
            Self::Leaf(leaf) => leaf.drops_name,
            Self::Chain(chain) => chain.inner.drops_name() || chain.steps.iter().any(Step::drops_name),
            Self::Group(group) => group.inner.drops_name(),
            Self::Pair(pair) => pair.return_bool || !pair.op.is_comparison(),
            Self::Set(set) => set.left.drops_name(),
        }
    }

    /// The labels of a row, the name not yet dropped; `None` for a row that never has a value.
    pub fn labels(&self, row: usize) -> Option<Labels> {
        match self {
            Self::Leaf(leaf) => leaf.series.get(row).map(|s| s.labels().clone()),
            Self::Chain(chain) => chain.inner.labels(row),
            Self::Group(group) => Some(group.key.build(group.numbers.member(row))),
            Self::Pair(pair) => pair.labels(row),
            Self::Set(set) => set.left.labels(row),
        }
    }

    /// Visits the rows that have a value now.
    pub fn each(&mut self, visit: &mut dyn FnMut(usize, f64)) {
        match self {
            Self::Leaf(leaf) => {
                for (row, v) in leaf.values().iter().enumerate().filter(|(_, v)| !is_absent(**v)) {
                    visit(row, *v);
                }
            }
            Self::Chain(chain) => chain.each(visit),
            Self::Group(group) => group.each(visit),
            Self::Pair(pair) => pair.each(visit),
            Self::Set(set) => set.each(visit),
        }
    }
}

/// A selector, or a range function of one: a row per series.
pub(super) struct Leaf {
    index: usize,
    reading: Reading,
    function: Option<&'static Function>,
    drops_name: bool,
    series: SeriesSet,
    stamp: u64,
    /// The stamp before, and how many series at the beginning are the same.
    before: u64,
    kept: usize,
    column: Option<Arc<Column>>,
}

impl Leaf {
    pub fn new(index: usize, reading: Reading) -> Self {
        let series = SeriesSet::default();
        Self { index, reading, function: None, drops_name: false, series, stamp: 0, before: 0, kept: 0, column: None }
    }

    pub fn over_range(index: usize, reading: Reading, function: &'static Function, keeps_name: bool) -> Self {
        Self { function: Some(function), drops_name: !keeps_name, ..Self::new(index, reading) }
    }

    fn prepare(&mut self, eval: &Eval<'_>) -> Result<bool> {
        self.column = None;
        let (Some(columns), Some((watch, series))) = (eval.columns, eval.watched(self.index)) else { return Ok(false) };
        if !Arc::ptr_eq(&series, &self.series) || self.stamp == 0 {
            let kept = self.series.iter().zip(series.iter()).take_while(|(a, b)| Arc::ptr_eq(a, b)).count();
            if self.stamp == 0 || kept < self.series.len() || kept < series.len() {
                self.kept = kept;
                self.before = self.stamp;
                self.stamp = columns.next_stamp();
            }
            self.series = series;
        }
        let column = columns.get(eval, watch, &self.reading, self.function, &self.series);
        eval.spend(column.samples)?;
        let usable = !column.has_histograms;
        self.column = Some(column);
        Ok(usable)
    }

    fn values(&self) -> &[f64] {
        self.column.as_ref().map_or(&[], |c| &c.values)
    }
}

/// Arithmetic with scalars, functions of one number and comparisons, one after another.
pub(super) struct Chain {
    inner: Rows,
    pub steps: Vec<Step>,
    time: f64,
}

impl Chain {
    pub fn new(inner: Rows, step: Step) -> Self {
        Self { inner, steps: vec![step], time: 0.0 }
    }

    fn each(&mut self, visit: &mut dyn FnMut(usize, f64)) {
        let time = self.time;
        // The most common rule by far deserves a loop of its own: a threshold.
        if let (Rows::Leaf(leaf), [Step::Scalar { op, operand, swapped, return_bool: false }]) =
            (&self.inner, self.steps.as_slice())
            && op.is_comparison()
        {
            let op = if *swapped { mirrored(*op) } else { *op };
            return threshold(op, leaf.values(), operand.value(time), visit);
        }
        let steps = &self.steps;
        self.inner.each(&mut |row, v| {
            let mut v = v;
            for step in steps {
                match step.apply(v, time) {
                    Some(next) => v = next,
                    None => return,
                }
            }
            visit(row, v);
        });
    }
}

/// `bound op v` as `v op bound`.
fn mirrored(op: BinaryOp) -> BinaryOp {
    match op {
        BinaryOp::Greater => BinaryOp::Less,
        BinaryOp::Less => BinaryOp::Greater,
        BinaryOp::GreaterOrEqual => BinaryOp::LessOrEqual,
        BinaryOp::LessOrEqual => BinaryOp::GreaterOrEqual,
        other => other,
    }
}

/// Visits the values for which the comparison holds, one tight loop per operator.
fn threshold(op: BinaryOp, values: &[f64], bound: f64, visit: &mut dyn FnMut(usize, f64)) {
    fn scan(values: &[f64], holds: impl Fn(f64) -> bool, visit: &mut dyn FnMut(usize, f64)) {
        for (row, v) in values.iter().enumerate() {
            // An absent value is a NaN, for which only `!=` holds.
            if holds(*v) && !is_absent(*v) {
                visit(row, *v);
            }
        }
    }
    match op {
        BinaryOp::Greater => scan(values, |v| v > bound, visit),
        BinaryOp::Less => scan(values, |v| v < bound, visit),
        BinaryOp::GreaterOrEqual => scan(values, |v| v >= bound, visit),
        BinaryOp::LessOrEqual => scan(values, |v| v <= bound, visit),
        _ => scan(values, |v| compare(op, v, bound), visit),
    }
}

/// An aggregation: a row per group.
pub(super) struct GroupRows {
    key: Projection,
    inner: Rows,
    fold: Fold,
    seen: u64,
    stamp: u64,
    /// The number of the group of each inner row.
    number_of: Vec<u32>,
    numbers: Numbers,
}

impl GroupRows {
    /// `None` for an aggregation that is more than a fold.
    pub fn new(op: AggregateOp, key: Projection, inner: Rows) -> Option<Self> {
        let fold = Fold::new(op)?;
        Some(Self { key, inner, fold, seen: 0, stamp: 0, number_of: Vec::new(), numbers: Numbers::default() })
    }

    fn prepare(&mut self, eval: &Eval<'_>) -> Result<bool> {
        if !self.inner.prepare(eval)? {
            return Ok(false);
        }
        let stamp = self.inner.stamp();
        if stamp != self.seen {
            if self.seen == 0 || self.inner.kept(self.seen) < self.number_of.len() {
                self.number_of.clear();
                self.numbers = Numbers::default();
            }
            for row in self.number_of.len()..self.inner.len() {
                let labels = self.inner.labels(row);
                let number = labels.map(|labels| self.numbers.number(&self.key, &labels).0);
                self.number_of.push(number.map_or(NONE, |n| n as u32));
            }
            self.seen = stamp;
            self.stamp = eval.columns.map_or(0, super::columns::Columns::next_stamp);
        }
        Ok(true)
    }

    fn each(&mut self, visit: &mut dyn FnMut(usize, f64)) {
        self.fold.begin(self.numbers.len());
        let (fold, number_of) = (&mut self.fold, &self.number_of);
        self.inner.each(&mut |row, v| fold.add(number_of[row] as usize, v));
        self.fold.each(visit);
    }
}

/// An operator between two vectors: a row per element of the "many" side, the one that is walked.
pub(super) struct Pair {
    op: BinaryOp,
    return_bool: bool,
    matching: MatchNode,
    /// Whether the many side is the right one.
    swapped: bool,
    many: Rows,
    one: Rows,
    seen: (u64, u64),
    stamp: u64,
    /// For each many row its partner.
    partner: Vec<u32>,
    /// Two rows could meet where one is allowed: whether they do is for the general evaluator to say.
    ambiguous: bool,
    values: Vec<f64>,
}

impl Pair {
    pub fn new(op: BinaryOp, return_bool: bool, matching: MatchNode, left: Rows, right: Rows) -> Self {
        let swapped = matching.card == Cardinality::OneToMany;
        let (many, one) = if swapped { (right, left) } else { (left, right) };
        let (partner, values) = (Vec::new(), Vec::new());
        Self {
            op,
            return_bool,
            matching,
            swapped,
            many,
            one,
            seen: (0, 0),
            stamp: 0,
            partner,
            ambiguous: false,
            values,
        }
    }

    fn prepare(&mut self, eval: &Eval<'_>) -> Result<bool> {
        if !self.many.prepare(eval)? || !self.one.prepare(eval)? {
            return Ok(false);
        }
        let stamps = (self.many.stamp(), self.one.stamp());
        if stamps != self.seen {
            self.ambiguous = !self.find_partners();
            self.seen = stamps;
            self.stamp = eval.columns.map_or(0, super::columns::Columns::next_stamp);
        }
        Ok(!self.ambiguous)
    }

    /// False when labels alone do not rule out an error.
    fn find_partners(&mut self) -> bool {
        let key = &self.matching.key;
        let mut numbers = Numbers::default();
        // By number, the row of the one side that has it.
        let mut rows = Vec::new();
        for row in 0..self.one.len() {
            let Some(labels) = self.one.labels(row) else { continue };
            if !numbers.number(key, &labels).1 {
                return false;
            }
            rows.push(row);
        }
        self.partner.clear();
        let one_to_one = self.matching.card == Cardinality::OneToOne;
        let mut taken = vec![false; if one_to_one { self.one.len() } else { 0 }];
        let mut results = HashSet::new();
        for row in 0..self.many.len() {
            let labels = self.many.labels(row);
            let partner = labels.as_ref().and_then(|labels| numbers.find(key, labels)).map(|n| rows[n]);
            self.partner.push(partner.map_or(NONE, |row| row as u32));
            let (Some(partner), Some(labels)) = (partner, labels) else { continue };
            let fresh = if one_to_one {
                !std::mem::replace(&mut taken[partner], true)
            } else {
                let one = self.one.labels(partner).unwrap_or_else(Labels::empty);
                results.insert(result_labels(self.op, &self.matching, &labels, &one))
            };
            if !fresh {
                return false;
            }
        }
        true
    }

    fn labels(&self, row: usize) -> Option<Labels> {
        let partner = self.partner.get(row).copied().filter(|n| *n != NONE)?;
        let (many, one) = (self.many.labels(row)?, self.one.labels(partner as usize)?);
        Some(result_labels(self.op, &self.matching, &many, &one))
    }

    fn each(&mut self, visit: &mut dyn FnMut(usize, f64)) {
        self.values.clear();
        self.values.resize(self.one.len(), ABSENT);
        let (values, partner) = (&mut self.values, &self.partner);
        self.one.each(&mut |row, v| values[row] = v);
        let (op, swapped, return_bool) = (self.op, self.swapped, self.return_bool);
        self.many.each(&mut |row, v| {
            // A row without a partner asks beyond the end.
            let Some(other) = values.get(partner[row] as usize).copied().filter(|v| !is_absent(*v)) else { return };
            let (l, r) = if swapped { (other, v) } else { (v, other) };
            if !op.is_comparison() {
                visit(row, scalar_op(op, l, r));
            } else if return_bool {
                visit(row, f64::from(u8::from(compare(op, l, r))));
            } else if compare(op, l, r) {
                visit(row, l);
            }
        });
    }
}

/// `and`, `unless`: the rows of the left side.
pub(super) struct Set {
    op: BinaryOp,
    key: Projection,
    left: Rows,
    right: Rows,
    seen: (u64, u64),
    /// For each left row the number of its key, if the right side has it; for each right row the number of its own.
    left_key: Vec<u32>,
    right_key: Vec<u32>,
    present: Vec<bool>,
}

impl Set {
    pub fn new(op: BinaryOp, key: Projection, left: Rows, right: Rows) -> Self {
        let (left_key, right_key, present) = (Vec::new(), Vec::new(), Vec::new());
        Self { op, key, left, right, seen: (0, 0), left_key, right_key, present }
    }

    fn prepare(&mut self, eval: &Eval<'_>) -> Result<bool> {
        if !self.left.prepare(eval)? || !self.right.prepare(eval)? {
            return Ok(false);
        }
        let stamps = (self.left.stamp(), self.right.stamp());
        if stamps != self.seen {
            let mut numbers = Numbers::default();
            let mut number = |labels: Option<Labels>| labels.map_or(NONE, |l| numbers.number(&self.key, &l).0 as u32);
            self.right_key = (0..self.right.len()).map(|row| number(self.right.labels(row))).collect();
            let find = |row| self.left.labels(row).and_then(|l| numbers.find(&self.key, &l)).map_or(NONE, |n| n as u32);
            self.left_key = (0..self.left.len()).map(find).collect();
            self.present = vec![false; numbers.len()];
            self.seen = stamps;
        }
        Ok(true)
    }

    fn each(&mut self, visit: &mut dyn FnMut(usize, f64)) {
        self.present.fill(false);
        let (present, right_key) = (&mut self.present, &self.right_key);
        self.right.each(&mut |row, _| present[right_key[row] as usize] = true);
        let (left_key, wanted) = (&self.left_key, self.op == BinaryOp::And);
        self.left.each(&mut |row, v| {
            if present.get(left_key[row] as usize).copied().unwrap_or(false) == wanted {
                visit(row, v);
            }
        });
    }
}
