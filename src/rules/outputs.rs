//! The series that a rule writes: each sample into the head, a stale marker for what vanished.
//! In: label sets and values of one evaluation. Out: samples in the head.
//! Never: writes a series twice at one time.
//! Start at [`Outputs::write`].

use crate::model::sample::stale_marker;
use crate::model::{Labels, SampleValue, Timestamp};
use crate::series::Head;
use std::collections::HashMap;

/// The live series of one rule.
#[derive(Default)]
pub(super) struct Outputs {
    /// With the turn that wrote each last.
    live: HashMap<Labels, u64>,
    turn: u64,
}

impl Outputs {
    /// Writes one sample of this turn. What the head refuses (a sample older than its window) is left out, as in Prometheus.
    pub(super) fn write(&mut self, head: &Head, labels: &Labels, at: Timestamp, value: SampleValue) {
        if head.append(labels, at, value).is_err() {
            return;
        }
        match self.live.get_mut(labels) {
            Some(turn) => *turn = self.turn,
            None => {
                self.live.insert(labels.clone(), self.turn);
            }
        }
    }

    /// Ends a turn: what it did not write is marked stale and forgotten.
    pub(super) fn settle(&mut self, head: &Head, at: Timestamp) {
        let turn = self.turn;
        self.live.retain(|labels, last| {
            if *last != turn {
                let _refused = head.append(labels, at, SampleValue::Float(stale_marker()));
            }
            *last == turn
        });
        self.turn += 1;
    }

    /// Marks everything stale; the rule has gone.
    pub(super) fn end(&mut self, head: &Head, at: Timestamp) {
        self.turn += 1;
        self.settle(head, at);
    }
}
