//! Recording rules: the result under a new name, written back as series.
//! In: an evaluated vector. Out: samples in the head.
//! Never: keeps label sets that the last result did not have.
//! Start at [`Recorder::record`].

use super::outputs::Outputs;
use crate::model::labels::METRIC_NAME;
use crate::model::{Labels, LabelsBuilder, Timestamp};
use crate::promql::Element;
use crate::series::Head;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What it says when two elements become one series.
pub(super) const DUPLICATE: &str = "vector contains metrics with the same labelset after applying rule labels";

pub(super) struct Recorder {
    name: Arc<str>,
    labels: Vec<(Arc<str>, Arc<str>)>,
    /// Label sets made before, by the element they were made of: built once, not at each evaluation.
    made: HashMap<Labels, (Labels, u64)>,
    turn: u64,
    pub(super) outputs: Outputs,
}

impl Recorder {
    pub(super) fn new(name: Arc<str>, labels: Vec<(Arc<str>, Arc<str>)>) -> Self {
        Self { name, labels, made: HashMap::new(), turn: 0, outputs: Outputs::default() }
    }

    fn make(&self, element: &Labels) -> Labels {
        let mut builder = LabelsBuilder::from(element);
        builder.set(METRIC_NAME, &self.name);
        for (name, value) in &self.labels {
            builder.set(name, value);
        }
        builder.build()
    }

    pub(super) fn record(&mut self, head: &Head, at: Timestamp, elements: Vec<Element>) -> Result<usize, String> {
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
        let count = samples.len();
        for (labels, value) in samples {
            self.outputs.write(head, &labels, at, value);
        }
        self.outputs.settle(head, at);
        Ok(count)
    }
}
