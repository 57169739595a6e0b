//! The warm gate: after a start nothing resolves, and no `absent()` fires, until the head knows enough again.
//! In: the expression, the head, when we started. Out: whether an answer may be believed.
//! Never: holds back the start of an ordinary alert.
//! Start at [`Warmth`].

use crate::model::labels::ALERT_NAME;
use crate::model::{Labels, Timestamp};
use crate::promql::{Expr, LOOKBACK_DEFAULT, Plan};
use crate::series::Head;
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
        head.coverage_start().is_some_and(|start| start <= at - self.reach)
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
    pub(super) fn may_end(&self, head: &Head, plan: &Plan, alert: &Labels, at: Timestamp, started: Timestamp) -> bool {
        if started == Timestamp::MIN {
            return true;
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
