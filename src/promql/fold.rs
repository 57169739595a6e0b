//! Aggregations that add one float after another: sum, avg, min, max, count, group, stddev, stdvar.
//! In: numbered groups and values. Out: one value per group that had any.
//! Never: differs in a bit from `aggregate`, which folds elements with labels.
//! Start at [`Fold::add`].

use super::ast::AggregateOp;
use super::kahan::{Kahan, Mean, Variance};

/// The state of all groups.
pub(super) struct Fold {
    states: States,
    /// Groups in order of their first element: the order in which the general evaluator yields them.
    order: Vec<u32>,
    touched: Vec<bool>,
}

enum States {
    Sum(Vec<Kahan>),
    Avg(Vec<Mean>),
    Count(Vec<f64>),
    Min(Vec<f64>),
    Max(Vec<f64>),
    Group,
    Stddev(Vec<Variance>),
    Stdvar(Vec<Variance>),
}

fn renew<T: Default + Clone>(states: &mut Vec<T>, len: usize) {
    states.clear();
    states.resize(len, T::default());
}

impl Fold {
    pub fn new(op: AggregateOp) -> Option<Self> {
        let states = match op {
            AggregateOp::Sum => States::Sum(Vec::new()),
            AggregateOp::Avg => States::Avg(Vec::new()),
            AggregateOp::Count => States::Count(Vec::new()),
            AggregateOp::Min => States::Min(Vec::new()),
            AggregateOp::Max => States::Max(Vec::new()),
            AggregateOp::Group => States::Group,
            AggregateOp::Stddev => States::Stddev(Vec::new()),
            AggregateOp::Stdvar => States::Stdvar(Vec::new()),
            _ => return None,
        };
        Some(Self { states, order: Vec::new(), touched: Vec::new() })
    }

    /// Forgets all values; there are so many groups.
    pub fn begin(&mut self, groups: usize) {
        self.order.clear();
        renew(&mut self.touched, groups);
        match &mut self.states {
            States::Sum(s) => renew(s, groups),
            States::Avg(s) => renew(s, groups),
            States::Count(s) | States::Min(s) | States::Max(s) => renew(s, groups),
            States::Stddev(s) | States::Stdvar(s) => renew(s, groups),
            States::Group => {}
        }
    }

    #[inline]
    pub fn add(&mut self, group: usize, v: f64) {
        let first = !self.touched[group];
        if first {
            self.touched[group] = true;
            self.order.push(group as u32);
        }
        match &mut self.states {
            States::Sum(s) => s[group].add(v),
            States::Avg(s) => s[group].add(v),
            States::Count(s) => s[group] += 1.0,
            States::Min(s) => {
                if first || v < s[group] || s[group].is_nan() {
                    s[group] = v;
                }
            }
            States::Max(s) => {
                if first || v > s[group] || s[group].is_nan() {
                    s[group] = v;
                }
            }
            States::Group => {}
            States::Stddev(s) | States::Stdvar(s) => s[group].add(v),
        }
    }

    pub fn each(&self, visit: &mut dyn FnMut(usize, f64)) {
        for group in self.order.iter().map(|g| *g as usize) {
            let value = match &self.states {
                States::Sum(s) => s[group].total(),
                States::Avg(s) => s[group].mean(),
                States::Count(s) | States::Min(s) | States::Max(s) => s[group],
                States::Group => 1.0,
                States::Stddev(s) => s[group].population().sqrt(),
                States::Stdvar(s) => s[group].population(),
            };
            visit(group, value);
        }
    }
}
