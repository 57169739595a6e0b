//! Recording rules: the result under a new name, written back as series.
//! In: an evaluated vector. Out: samples in the head, and an alert while a limit leaves some of them out.
//! Never: keeps label sets that the last result did not have.
//! Start at [`Recorder::apply`].

use super::alerting::AlertingRule;
use super::context::EvalContext;
use super::evaluation::{Evaluation, LimitAction};
use super::file::RuleSpec;
use super::outputs::Outputs;
use crate::model::labels::METRIC_NAME;
use crate::model::{Labels, LabelsBuilder, Timestamp};
use crate::promql::Element;
use crate::series::Head;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The error when two elements become one series.
pub(super) const DUPLICATE: &str = "vector contains metrics with the same labelset after applying rule labels";

pub(super) struct Recorder {
    name: Arc<str>,
    labels: Vec<(Arc<str>, Arc<str>)>,
    /// Label sets made before, by the element they were made of: built once, not at each evaluation.
    made: HashMap<Labels, (Labels, u64)>,
    turn: u64,
    pub(super) outputs: Outputs,
    /// The alert that stands for the series that a limit leaves out.
    pub(super) overflow: AlertingRule,
}

impl Recorder {
    pub(super) fn new(spec: &RuleSpec, id: Arc<str>, generator_url: Arc<str>) -> Self {
        Self {
            name: spec.name.clone(),
            labels: spec.labels.clone(),
            made: HashMap::new(),
            turn: 0,
            outputs: Outputs::default(),
            overflow: AlertingRule::for_overflow(spec, id, generator_url),
        }
    }

    /// Takes the state over from the rule of the same identity before a reload.
    pub(super) fn inherit(&mut self, old: Self, out: &mut Evaluation) {
        self.outputs = old.outputs;
        self.made = old.made;
        self.turn = old.turn;
        self.overflow.inherit(old.overflow, out);
    }

    /// One evaluation at a slot. What is beyond the limit fails it, or is left out, and an alert says so.
    pub(super) fn apply(
        &mut self,
        ctx: &EvalContext<'_>,
        mut elements: Vec<Element>,
        out: &mut Evaluation,
    ) -> Result<(), String> {
        let mut surplus = elements.len().saturating_sub(if ctx.limit == 0 { usize::MAX } else { ctx.limit });
        if surplus > 0 && ctx.config.limit_action == LimitAction::Fail {
            if self.overflow.holds_any() {
                // Before a reload the limit left out what was beyond it.
                self.overflow.apply_surplus(ctx, 0, out);
            }
            return Err(format!("exceeded limit of {} with {} series", ctx.limit, elements.len()));
        }
        if surplus > 0 {
            // Those that were recorded before go on, so that no series comes and goes; then by label.
            let key = |e: &Element| !self.made.contains_key(&e.labels);
            elements.sort_by(|a, b| key(a).cmp(&key(b)).then_with(|| a.labels.cmp(&b.labels)));
            elements.truncate(ctx.limit);
        }
        let recorded = self.record(ctx.head, ctx.query_at, elements);
        if recorded.is_err() {
            surplus = 0;
        }
        if surplus > 0 || self.overflow.holds_any() {
            self.overflow.apply_surplus(ctx, surplus, out);
        }
        recorded
    }

    fn make(&self, element: &Labels) -> Labels {
        let mut builder = LabelsBuilder::from(element);
        builder.set(METRIC_NAME, &self.name);
        for (name, value) in &self.labels {
            builder.set(name, value);
        }
        builder.build()
    }

    fn record(&mut self, head: &Head, at: Timestamp, elements: Vec<Element>) -> Result<(), String> {
        self.turn += 1;
        let mut fresh = false;
        let mut samples = Vec::with_capacity(elements.len());
        for element in elements {
            let made = if let Some((made, turn)) = self.made.get_mut(&element.labels) {
                *turn = self.turn;
                made.clone()
            } else {
                fresh = true;
                let made = self.make(&element.labels);
                self.made.insert(element.labels, (made.clone(), self.turn));
                made
            };
            samples.push((made, element.value));
        }
        let turn = self.turn;
        self.made.retain(|_, (_, last)| *last == turn);
        // Without a new element the sets are those that were found distinct before.
        if fresh && samples.iter().map(|(l, _)| l).collect::<HashSet<_>>().len() != samples.len() {
            self.made.clear();
            return Err(DUPLICATE.to_owned());
        }
        for (labels, value) in samples {
            self.outputs.write(head, &labels, at, value);
        }
        self.outputs.settle(head, at);
        Ok(())
    }
}
