//! What the evaluation of one rule knows of the world around it.
//! In: the head, the settings, the moment, what is known of gaps. Out: the answers that alerts and templates ask for.
//! Never: changes anything.
//! Start at [`EvalContext`].

use super::evaluation::RuleSetConfig;
use super::ingest_gap::Silence;
use super::warmup::{WarmupGate, Watermarks};
use crate::model::{Labels, Timestamp};
use crate::promql::{Columns, Plan};
use crate::series::Head;
use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

/// Why a rule is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trigger {
    /// Its slot has come. The whole result is at hand: an alert that is missing from it may end.
    Slot,
    /// Samples came. Part of the result, or the whole between slots: alerts may start only.
    Arrival,
}

/// When and why a rule is evaluated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// By our own clock.
    pub(super) at: Timestamp,
    /// What the expression is evaluated at.
    pub(super) query_at: Timestamp,
    pub(super) trigger: Trigger,
}

/// Everything that one evaluation of one rule asks for.
pub(super) struct EvalContext<'a> {
    pub(super) head: &'a Head,
    pub(super) config: &'a RuleSetConfig,
    pub(super) columns: &'a Columns,
    pub(super) silence: Silence,
    /// Metrics that rules write: that they go on says nothing of a sender.
    recorded: &'a HashSet<Arc<str>>,
    /// The moment by our own clock: starts, ends and waits are counted by it.
    pub(super) at: Timestamp,
    /// The moment that the expression is evaluated at, and that written samples carry.
    pub(super) query_at: Timestamp,
    pub(super) trigger: Trigger,
    /// Most alerts or series that the rule may give; 0 = no limit.
    pub(super) limit: usize,
    evidence: Option<Evidence<'a>>,
}

/// By what a rule judges the silence of series.
struct Evidence<'a> {
    gate: &'a WarmupGate,
    plan: &'a Plan,
    marks: RefCell<Watermarks>,
}

impl<'a> EvalContext<'a> {
    /// Before a rule is named: what all evaluations of one turn share.
    pub(super) fn new(
        head: &'a Head,
        config: &'a RuleSetConfig,
        columns: &'a Columns,
        silence: Silence,
        recorded: &'a HashSet<Arc<str>>,
        at: Timestamp,
    ) -> Self {
        let trigger = Trigger::Slot;
        Self { head, config, columns, silence, recorded, at, query_at: at, trigger, limit: 0, evidence: None }
    }

    /// The same for one rule at its moment: its limit, and what its silence means.
    pub(super) fn for_rule(&self, gate: &'a WarmupGate, plan: &'a Plan, moment: &Moment, limit: usize) -> Self {
        let Self { head, config, columns, silence, recorded, .. } = *self;
        let Moment { at, query_at, trigger } = *moment;
        let evidence = Some(Evidence { gate, plan, marks: RefCell::default() });
        Self { head, config, columns, silence, recorded, at, query_at, trigger, limit, evidence }
    }

    /// Whether no alert may end now, whatever the result says: the clock was set a short while ago.
    pub(super) fn holds_ends(&self) -> bool {
        self.at < self.silence.held_until
    }

    /// Whether an alert that was not seen since [`Silence::known_since`] may end now.
    pub(super) fn may_end(&self, alert: &Labels) -> bool {
        let judge = |e: &Evidence<'_>| e.gate.may_end(self.head, e.plan, alert, self.at, self.silence);
        self.evidence.as_ref().is_none_or(judge)
    }

    /// When the source of an alert was heard last, if it fell silent without a word.
    pub(super) fn lost_since(&self, alert: &Labels) -> Option<Timestamp> {
        let evidence = self.evidence.as_ref().filter(|_| self.silence.known_since != Timestamp::MIN)?;
        if evidence.gate.is_ended_by_presence() {
            return None;
        }
        let silent_since = self.query_at - evidence.gate.silent_after();
        evidence.marks.borrow_mut().lost_since(self.head, evidence.plan, self.recorded, alert, silent_since)
    }
}
