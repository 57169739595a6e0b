//! What slots and settled scrapes have made due, one rule after another, so that samples that come need not wait for all.
//! In: groups whose slot has come, joining rules whose inputs are whole. Out: the next rule and its moment.
//! Never: changes the order of a group's rules, or takes up a group anew before it is through.
//! Start at [`EvalQueue::next`].

use crate::model::Timestamp;
use std::collections::{HashSet, VecDeque};
use std::time::Duration;

/// Why a group's rules are evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Its slot has come: all of its rules.
    Slot,
    /// Inputs of these joining rules have settled.
    Settled,
}

/// Rules of one group that are evaluated at one moment, in the group's order.
#[derive(Debug)]
pub(super) struct Item {
    group: usize,
    at: Timestamp,
    cause: Cause,
    /// When it came into the queue, by the stopwatch.
    asked: Duration,
    rules: VecDeque<usize>,
    has_begun: bool,
    /// The time that its rules have taken so far.
    spent: Duration,
}

impl Item {
    pub(super) fn new(
        group: usize,
        at: Timestamp,
        cause: Cause,
        asked: Duration,
        rules: impl IntoIterator<Item = usize>,
    ) -> Self {
        Self { group, at, cause, asked, rules: rules.into_iter().collect(), has_begun: false, spent: Duration::ZERO }
    }
}

/// The next rule to evaluate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Next {
    pub group: usize,
    pub rule: usize,
    pub at: Timestamp,
    pub cause: Cause,
    pub asked: Duration,
    /// The first of its item: columns computed before are not for it.
    pub is_first: bool,
}

/// First in, first out. Holds at most one item for each group, and none without rules.
#[derive(Debug, Default)]
pub(super) struct EvalQueue {
    items: VecDeque<Item>,
    groups: HashSet<usize>,
}

impl EvalQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether the group still has rules to go through.
    pub(super) fn holds(&self, group: usize) -> bool {
        self.groups.contains(&group)
    }

    /// False when the item has no rules: there is nothing to go through.
    pub(super) fn push(&mut self, item: Item) -> bool {
        let takes = !item.rules.is_empty() && self.groups.insert(item.group);
        if takes {
            self.items.push_back(item);
        }
        takes
    }

    pub(super) fn next(&mut self) -> Option<Next> {
        let item = self.items.front_mut()?;
        let is_first = !std::mem::replace(&mut item.has_begun, true);
        let Item { group, at, cause, asked, .. } = *item;
        item.rules.pop_front().map(|rule| Next { group, rule, at, cause, asked, is_first })
    }

    /// The clock was set: what waits is evaluated at the same moment as it would have been.
    pub(super) fn clock_jumped(&mut self, by_ms: i64) {
        for item in &mut self.items {
            item.at = item.at.moved_by(by_ms);
        }
    }

    /// Adds the time that the last rule took. A slot that is through thereby comes back, with the time it took.
    pub(super) fn done(&mut self, took: Duration) -> Option<(Timestamp, Duration)> {
        let item = self.items.front_mut()?;
        item.spent += took;
        if !item.rules.is_empty() {
            return None;
        }
        let item = self.items.pop_front()?;
        self.groups.remove(&item.group);
        (item.cause == Cause::Slot).then_some((item.at, item.spent))
    }
}
