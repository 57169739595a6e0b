//! What the engine keeps of an alert and of an incident in memory, beside their rows.
//! In: decisions of the engine. Out: the next moment an incident must be looked at.
//! Never: writes; the engine records every change.
//! Start at [`IncidentEntry`].

use super::Settings;
use crate::alerts::GroupId;
use crate::model::timeline::StepReason;
use crate::model::{
    AlertRecord, EscalationRun, Fingerprint, Incident, IncidentId, IncidentState, Member, NotificationKey, ResolvedBy,
    RunState, Timestamp,
};
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One alert as the engine knows it.
#[derive(Debug)]
pub(super) struct AlertEntry {
    pub record: Arc<AlertRecord>,
    /// The registry's version of `record`; 0 for one of before a restart.
    pub version: u64,
    /// The incident it belongs to, or belonged to last.
    pub incident: Option<IncidentId>,
    /// The escalation policies that its routes name, each once.
    pub policies: SmallVec<[Arc<str>; 1]>,
    /// The groups it is announced in.
    pub groups: Vec<GroupId>,
    /// An operator took it out of its incident: it stays out until it starts anew.
    pub apart: bool,
}

impl AlertEntry {
    pub(super) fn new(record: Arc<AlertRecord>) -> Self {
        Self { record, version: 0, incident: None, policies: SmallVec::new(), groups: Vec::new(), apart: false }
    }
}

/// An incident: its row, its alerts, its pages on the way.
#[derive(Debug)]
pub(super) struct IncidentEntry {
    pub incident: Arc<Incident>,
    /// Alerts whose place is here, ended ones included.
    pub members: BTreeMap<Fingerprint, Arc<Member>>,
    pub firing: BTreeSet<Fingerprint>,
    /// Pages in the outbox that are neither delivered nor given up, with the runs whose step they belong to.
    pub pages: BTreeMap<NotificationKey, BTreeSet<u32>>,
    /// Per run: when the last step was taken, while none of its pages is delivered and one is still on its way.
    pub undelivered_since: BTreeMap<u32, Timestamp>,
    /// Per run that has taken no step yet: why it was started.
    pub start_reasons: BTreeMap<u32, StepReason>,
    /// Per receiver whose page is held back: the run it belongs to.
    pub held_for: BTreeMap<Arc<str>, u32>,
    /// What was paged at the latest moment: one page per contact and moment, whichever policies ask for it.
    pub paged_at_once: PagedAtOnce,
    /// Attach and end lines written so far.
    pub lines: u32,
}

/// The receivers that one moment has paged, each with the policy that did and the keys of the page.
#[derive(Debug, Default)]
pub(super) struct PagedAtOnce {
    pub at: Timestamp,
    pub receivers: BTreeMap<Arc<str>, (Arc<str>, Vec<NotificationKey>)>,
}

impl IncidentEntry {
    pub(super) fn new(incident: Incident) -> Self {
        Self {
            incident: Arc::new(incident),
            members: BTreeMap::new(),
            firing: BTreeSet::new(),
            pages: BTreeMap::new(),
            undelivered_since: BTreeMap::new(),
            start_reasons: BTreeMap::new(),
            held_for: BTreeMap::new(),
            paged_at_once: PagedAtOnce::default(),
            lines: 0,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.incident.is_open()
    }

    pub(super) fn run(&self, run: u32) -> Option<&EscalationRun> {
        self.incident.escalation.runs.iter().find(|r| r.run == run)
    }

    /// The runs that something waits for, and when; the earliest first.
    pub(super) fn runs_due(&self, settings: &Settings) -> Vec<(Timestamp, u32)> {
        let late = |run: &EscalationRun| self.undelivered_since.get(&run.run).map(|at| *at + settings.delivery_timeout);
        let due = |run: &EscalationRun| {
            let is_due = matches!(run.state, RunState::Active { .. } | RunState::AskingAcknowledger { .. });
            run.next_at().into_iter().chain(late(run).filter(|_| is_due)).min().map(|at| (at, run.run))
        };
        let mut runs: Vec<(Timestamp, u32)> = self.incident.escalation.runs.iter().filter_map(due).collect();
        runs.sort_unstable();
        runs
    }

    /// When time alone changes something here.
    pub(super) fn due(&self, settings: &Settings) -> Option<Timestamp> {
        match &self.incident.state {
            IncidentState::Triggered => self.runs_due(settings).first().map(|(at, _)| *at),
            IncidentState::Acknowledged(_) => ack_times_out_at(&self.incident, settings),
            IncidentState::Snoozed(snooze) => Some(snooze.until),
            IncidentState::Resolved(over) => match over.by {
                ResolvedBy::Person { hold_until, .. } if !self.firing.is_empty() => hold_until,
                _ => None,
            },
        }
    }
}

/// When an acknowledged incident pages again: the first of its policies that says so decides.
pub(super) fn ack_times_out_at(incident: &Incident, settings: &Settings) -> Option<Timestamp> {
    let IncidentState::Acknowledged(ack) = &incident.state else { return None };
    let timeout = |run: &EscalationRun| settings.policy(&run.policy)?.ack_timeout;
    incident.escalation.runs.iter().filter_map(timeout).min().map(|timeout| ack.at + timeout)
}
