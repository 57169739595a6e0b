//! The warm gate: after a start nothing resolves, and no `absent()` fires, until the head knows enough again.
//! In: the expression, the head, when we started. Out: whether an answer may be believed.
//! Never: holds back the start of an ordinary alert.
//! Start at [`Warmth`].

use super::sources::source_of;
use crate::model::labels::ALERT_NAME;
use crate::model::{Fingerprint, Labels, Matcher, Timestamp};
use crate::promql::{Expr, LOOKBACK_DEFAULT, Plan};
use crate::series::Head;
use foldhash::fast::FixedState;
use std::collections::HashMap;
use std::time::Duration;

/// What one rule needs before its silence means something.
pub(super) struct Warmth {
    /// How far back it looks, lookback included.
    reach: Duration,
    /// Whether it reads ranges; an instant selector needs one fresh sample only.
    ranges: bool,
    /// Whether it fires on missing data.
    absent: bool,
}

impl Warmth {
    pub(super) fn new(expr: &Expr, plan: &Plan) -> Self {
        let (mut ranges, mut absent) = (false, false);
        expr.walk(&mut |e| match e {
            Expr::Range(_) | Expr::Subquery(_) => ranges = true,
            Expr::Call(call) => absent |= matches!(call.function.name, "absent" | "absent_over_time"),
            _ => {}
        });
        Self { reach: plan.longest_range(), ranges, absent }
    }

    fn covered(&self, head: &Head, at: Timestamp) -> bool {
        // Further back than the head holds samples nothing can be waited for.
        let reach = self.reach.min(head.window());
        head.coverage_start().is_some_and(|start| start <= at - reach)
    }

    /// Whether the rule's silence cannot be believed yet: senders were heard, but not for as long as it looks back.
    pub(super) fn is_gap(&self, head: &Head, at: Timestamp, started: Timestamp) -> bool {
        (self.ranges || self.absent)
            && started != Timestamp::MIN
            && head.coverage_start().is_some()
            && !self.covered(head, at)
    }

    /// Whether the rule may start an alert now.
    pub(super) fn may_start(&self, head: &Head, at: Timestamp, started: Timestamp) -> bool {
        !self.absent
            || started == Timestamp::MIN
            || (self.covered(head, at) && head.newest_sample_time().is_some_and(|t| t > started))
    }

    /// Whether an alert that was carried over the start may end now: its window is covered, and a series that could
    /// have kept it alive was heard since, or everything that is silent has been silent for a whole window.
    /// `after_gap`: what began then was a gap in what reached us, not a start: its hole is in the windows.
    pub(super) fn may_end(
        &self,
        head: &Head,
        plan: &Plan,
        alert: &Labels,
        at: Timestamp,
        (started, after_gap): (Timestamp, bool),
    ) -> bool {
        if started == Timestamp::MIN {
            return true;
        }
        if after_gap && self.ranges && at < started + self.reach {
            return false;
        }
        if head.newest_sample_time().is_none_or(|t| t <= started) {
            return false;
        }
        if at >= started + self.reach.max(LOOKBACK_DEFAULT) && self.covered(head, at) {
            return true;
        }
        if self.ranges && !self.covered(head, at) {
            return false;
        }
        plan.watches().iter().any(|watch| {
            let fits =
                |labels: &Labels| labels.iter().all(|(n, v)| alert.get(n).is_none_or(|a| a == v) || n == ALERT_NAME);
            watch.snapshot().iter().any(|s| s.newest().is_some_and(|t| t > started) && fits(s.labels()))
        })
    }
}

/// The newest sample of each source of a rule, gathered when an alert is missing for the first time in an evaluation.
#[derive(Default)]
pub(super) struct Watermarks {
    by_source: Option<HashMap<Fingerprint, Mark, FixedState>>,
}

#[derive(Clone, Copy)]
struct Mark {
    newest: Timestamp,
    /// The newest sample says itself that the series has ended.
    is_end: bool,
}

impl Watermarks {
    fn gather(plan: &Plan) -> HashMap<Fingerprint, Mark, FixedState> {
        let mut by_source: HashMap<Fingerprint, Mark, FixedState> = HashMap::default();
        for watch in plan.watches() {
            for series in watch.snapshot().iter() {
                let Some(newest) = series.tail().newest else { continue };
                let mark = Mark { newest: newest.t, is_end: newest.v.is_stale() };
                let known = by_source.entry(source_of(series.labels())).or_insert(mark);
                if known.newest < mark.newest {
                    *known = mark;
                }
            }
        }
        by_source
    }

    /// When the source of an alert was heard last, if it has fallen silent without a word: no stale marker, and nothing
    /// else of it is heard. Series that are silent for as long as the head keeps samples leave, and then this ends.
    pub(super) fn lost_since(&mut self, head: &Head, plan: &Plan, alert: &Labels, at: Timestamp) -> Option<Timestamp> {
        let marks = self.by_source.get_or_insert_with(|| Self::gather(plan));
        let silent = |mark: &Mark| mark.newest <= at - LOOKBACK_DEFAULT && !mark.is_end;
        let names = ["job", "instance"];
        if names.iter().any(|name| alert.get(name).is_none()) {
            // Of many sources: lost only when all are.
            let are_silent = marks.values().all(silent);
            return marks.values().map(|mark| mark.newest).max().filter(|_| are_silent);
        }
        let newest = marks.get(&source_of(alert)).filter(|mark| silent(mark))?.newest;
        let matchers = names.map(|name| Matcher::equal(name, alert.value(name)));
        let is_heard = head.select(&matchers).iter().any(|s| s.newest().is_some_and(|t| t > at - LOOKBACK_DEFAULT));
        (!is_heard).then_some(newest)
    }
}
