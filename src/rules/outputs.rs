//! The series that a rule writes: each sample into the head, a stale marker for what vanished.
//! In: label sets and values of one evaluation. Out: samples in the head.
//! Never: writes a series twice at one time.
//! Start at [`Outputs::write`].

use crate::model::sample::stale_marker;
use crate::model::{Labels, SampleValue, Timestamp};
use crate::series::{Head, Series};
use std::collections::HashMap;

/// The live series of one rule.
#[derive(Default)]
pub(super) struct Outputs {
    /// With the turn that wrote each last.
    live: HashMap<Labels, u64>,
    turn: u64,
    /// Watches whose series were written to since somebody took note.
    touched: Vec<u32>,
}

impl Outputs {
    /// Writes one sample of this turn. What the head refuses (a sample older than its window) is left out, as in Prometheus.
    pub(super) fn write(&mut self, head: &Head, labels: &Labels, at: Timestamp, value: SampleValue) {
        let Ok(series) = head.append(labels, at, value) else { return };
        self.note(&series);
        match self.live.get_mut(labels) {
            Some(turn) => *turn = self.turn,
            None => {
                self.live.insert(labels.clone(), self.turn);
            }
        }
    }

    fn note(&mut self, series: &Series) {
        if series.is_watched() {
            self.touched.extend(series.watch_ids());
        }
    }

    /// The watches whose series were written to since the last call.
    pub(super) fn take_touched(&mut self) -> Vec<u32> {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        touched
    }

    /// Ends a turn: what it did not write is marked stale and forgotten.
    pub(super) fn settle(&mut self, head: &Head, at: Timestamp) {
        let turn = self.turn;
        let mut ended = Vec::new();
        self.live.retain(|labels, last| {
            if *last != turn {
                ended.extend(head.append(labels, at, SampleValue::Float(stale_marker())).ok());
            }
            *last == turn
        });
        for series in &ended {
            self.note(series);
        }
        self.turn += 1;
    }

    /// Marks everything stale; the rule has gone.
    pub(super) fn end(&mut self, head: &Head, at: Timestamp) {
        self.turn += 1;
        self.settle(head, at);
    }
}
