//! The warmup gate: after a gap of our own making no `absent()` fires, and after any gap nothing resolves, until the head
//! knows enough again.
//! In: the expression, the head, what is known of gaps. Out: whether an answer may be believed.
//! Never: holds back the start of an ordinary alert, or an `absent()` because senders are silent: that is what it is for.
//! Start at [`WarmupGate`].

use super::ingest_gap::Silence;
use super::scrapes::source_of;
use crate::model::labels::{ALERT_NAME, METRIC_NAME};
use crate::model::{Fingerprint, Labels, Matcher, Timestamp};
use crate::promql::{Expr, LOOKBACK_DEFAULT, Plan};
use crate::series::Head;
use foldhash::fast::FixedState;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// What one rule needs before its silence means something.
pub(super) struct WarmupGate {
    /// How far back it looks, lookback included.
    reach: Duration,
    /// Whether it reads ranges; an instant selector needs one fresh sample only.
    ranges: bool,
    /// Whether it fires on missing data.
    absent: bool,
    /// Whether it is nothing but an `absent()`: samples that are there end its alert, and they are proof enough.
    is_ended_by_presence: bool,
    /// A source from which nothing came for so long is silent. Half of the shortest range: a rate needs two samples in it.
    silent_after: Duration,
}

fn is_absence(expr: &Expr) -> bool {
    matches!(expr, Expr::Call(call) if matches!(call.function.name, "absent" | "absent_over_time"))
}

impl WarmupGate {
    pub(super) fn new(expr: &Expr, plan: &Plan) -> Self {
        let (mut ranges, mut absent, mut silent_after) = (false, false, LOOKBACK_DEFAULT);
        expr.walk(&mut |e| match e {
            Expr::Range(range) => {
                ranges = true;
                if !range.range.is_zero() {
                    silent_after = silent_after.min(range.range / 2);
                }
            }
            Expr::Subquery(_) => ranges = true,
            e => absent |= is_absence(e),
        });
        let is_ended_by_presence = is_absence(expr.unwrapped());
        Self { reach: plan.longest_range(), ranges, absent, is_ended_by_presence, silent_after }
    }

    pub(super) fn is_ended_by_presence(&self) -> bool {
        self.is_ended_by_presence
    }

    pub(super) fn silent_after(&self) -> Duration {
        self.silent_after
    }

    fn covered(&self, head: &Head, at: Timestamp) -> bool {
        // Further back than the head holds samples nothing can be waited for.
        let reach = self.reach.min(head.window());
        head.coverage_start().is_some_and(|start| start <= at - reach)
    }

    /// Whether the rule cannot be believed yet: senders were heard, but not for as long as it looks back, or what it
    /// misses may be on its way.
    pub(super) fn is_gap(&self, head: &Head, at: Timestamp, silence: Silence) -> bool {
        silence.known_since != Timestamp::MIN
            && head.coverage_start().is_some()
            && (self.ranges && !self.absent && !self.covered(head, at) || !self.may_start(head, at, silence))
    }

    /// Whether the rule may start an alert now. What is absent is a fact unless it may have come while we could not take it:
    /// then only when senders are heard again and without a hole, or we have listened for as long as the rule looks back.
    pub(super) fn may_start(&self, head: &Head, at: Timestamp, silence: Silence) -> bool {
        let missed = silence.missed_until;
        !self.absent
            || missed == Timestamp::MIN
            || at >= missed + self.reach
            || (self.covered(head, at) && head.newest_sample_time().is_some_and(|t| t > missed))
    }

    /// Whether an alert that was carried over a gap may end now: its window is covered, and a series that could
    /// have kept it alive was heard since, or everything that is silent has been silent for a whole window.
    pub(super) fn may_end(&self, head: &Head, plan: &Plan, alert: &Labels, at: Timestamp, silence: Silence) -> bool {
        let since = silence.known_since;
        if since == Timestamp::MIN || self.is_ended_by_presence {
            return true;
        }
        if silence.is_after_pause && self.ranges && at < since + self.reach {
            return false;
        }
        if head.newest_sample_time().is_none_or(|t| t <= since) {
            return false;
        }
        if at >= since + self.reach.max(LOOKBACK_DEFAULT) && self.covered(head, at) {
            return true;
        }
        if self.ranges && !self.covered(head, at) {
            return false;
        }
        plan.watches().iter().any(|watch| {
            let fits =
                |labels: &Labels| labels.iter().all(|(n, v)| alert.get(n).is_none_or(|a| a == v) || n == ALERT_NAME);
            watch.snapshot().iter().any(|s| s.newest().is_some_and(|t| t > since) && fits(s.labels()))
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
    pub(super) fn lost_since(
        &mut self,
        head: &Head,
        plan: &Plan,
        recorded: &HashSet<Arc<str>>,
        alert: &Labels,
        silent_since: Timestamp,
    ) -> Option<Timestamp> {
        let marks = self.by_source.get_or_insert_with(|| Self::gather(plan));
        let silent = |mark: &Mark| mark.newest <= silent_since && !mark.is_end;
        let names = ["job", "instance"];
        if names.iter().any(|name| alert.get(name).is_none()) {
            // Of many sources: lost only when all are.
            let are_silent = marks.values().all(silent);
            return marks.values().map(|mark| mark.newest).max().filter(|_| are_silent);
        }
        let newest = marks.get(&source_of(alert)).filter(|mark| silent(mark))?.newest;
        let matchers = names.map(|name| Matcher::equal(name, alert.value(name)));
        let is_ours = |name: &str| matches!(name, "ALERTS" | "ALERTS_FOR_STATE") || recorded.contains(name);
        let is_heard = head.select(&matchers).iter().any(|series| {
            series.newest().is_some_and(|t| t > silent_since) && !is_ours(series.labels().value(METRIC_NAME))
        });
        (!is_heard).then_some(newest)
    }
}
