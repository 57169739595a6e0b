//! The engine itself: its state, and `apply`, the one order of decisions.
//! In: [`Input`] and `now`. Out: [`Outcome`].
//! Never: waits, reads a clock, or acts.
//! Start at [`Engine::apply`].

use super::announce::Groups;
use super::changes::Changes;
use super::entry::{AlertEntry, IncidentEntry};
use super::limits;
use super::mute::Mutes;
use super::outbox::Outbox;
use super::page_limit::PageLimit;
use super::timers::{Timer, Timers};
use super::waiting::Waiting;
use super::{Input, Outcome, RuleAlertChange, Settings};
use crate::alerts::group::message_order;
use crate::incidents::Index;
use crate::model::{AlertRecord, Fingerprint, IncidentId, MuteReason, Severity, Timestamp, Transition, Write};
use foldhash::fast::FixedState;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// The single writer's state. Hold it behind one lock: `apply` writes, everything else reads.
#[derive(Debug)]
pub struct Engine {
    pub(super) settings: Arc<Settings>,
    /// The latest `now` given; decisions never go back in time, unless the clock was set.
    pub(super) now: Timestamp,
    /// Looked up half a dozen times for each new alert. Its order is not the same in two runs: whatever decides by going
    /// through all of them must sort them first.
    pub(super) alerts: HashMap<Fingerprint, AlertEntry, FixedState>,
    /// Alerts in the order they ended, for the sweep.
    pub(super) ended: VecDeque<(Timestamp, Fingerprint)>,
    pub(super) incidents: BTreeMap<IncidentId, IncidentEntry>,
    /// Resolved incidents in the order they were, for the sweep.
    pub(super) closed: VecDeque<(Timestamp, IncidentId)>,
    pub(super) index: Index,
    pub(super) mutes: Mutes,
    pub(super) waiting: Waiting,
    pub(super) groups: Groups,
    pub(super) outbox: Outbox,
    pub(super) page_limit: PageLimit,
    pub(super) timers: Timers,
    pub(super) changes: Changes,
    pub(super) last_incident: u64,
    pub(super) last_timeline_seq: u64,
}

impl Engine {
    pub fn new(settings: Arc<Settings>) -> Self {
        Self {
            mutes: Mutes::new(&settings),
            groups: Groups::default(),
            settings,
            now: Timestamp::MIN,
            alerts: HashMap::default(),
            ended: VecDeque::new(),
            incidents: BTreeMap::new(),
            closed: VecDeque::new(),
            index: Index::default(),
            waiting: Waiting::default(),
            outbox: Outbox::default(),
            page_limit: PageLimit::default(),
            timers: Timers::default(),
            changes: Changes::default(),
            last_incident: 0,
            last_timeline_seq: 0,
        }
    }

    /// Decides one input at `now`. Time that has passed is decided first, then the news, then what the news made due.
    pub fn apply(&mut self, now: Timestamp, input: Input) -> Outcome {
        if let Input::ClockJumped { by_ms } = input {
            self.shift(now, by_ms);
        }
        self.begin(now);
        self.settle();
        match input {
            Input::Transitions(transitions) => {
                // Merge all before any is judged: a source and its target in one batch mute each other as they should.
                let started: Vec<Fingerprint> = transitions.into_iter().filter_map(|t| self.merge(t)).collect();
                for alert in self.in_order(started) {
                    let muted = self.mute_reason(alert);
                    self.group(alert);
                    self.correlate(alert, muted);
                }
            }
            Input::Command(command) => self.changes.reply = Some(self.command(command)),
            Input::Receipt(receipt) => self.receipt(&receipt),
            Input::RuleAlerts(changes) => self.changes.rest.extend(changes.into_iter().map(rule_alert_write)),
            Input::ClockJumped { .. } | Input::Tick => {}
        }
        // Escalate and announce: both are due times, also when they are due at once.
        self.settle();
        debug_assert_eq!(super::invariants::check_touched(self), Ok(()));
        self.finish()
    }

    /// When `apply` should be called even if nothing happens.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.timers.next().into_iter().chain(self.groups.table.next_due()).min()
    }

    /// Everything that the new settings leave as it was goes on undisturbed: groups keep their timers, incidents their place in
    /// their policies, whose steps may have moved. Whoever was told of a fire hears of its end, also where no route leads any more.
    pub fn reload(&mut self, now: Timestamp, settings: Arc<Settings>) -> Outcome {
        self.begin(now);
        self.settle();
        self.settings = settings;
        self.rebuild(self.now);
        self.settle();
        self.finish()
    }

    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    pub(super) fn begin(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        if self.timers.at(&Timer::Sweep).is_none() {
            self.timers.set(Timer::Sweep, Some(self.now + limits::SWEEP_EVERY));
        }
    }

    /// Runs everything that is due, and what becomes due by it, until nothing is. Critical incidents go before lesser ones.
    pub(super) fn settle(&mut self) {
        loop {
            for alert in std::mem::take(&mut self.changes.look_again) {
                self.look_again(alert);
            }
            for id in std::mem::take(&mut self.changes.rearm) {
                self.resolve_if_over(id);
                let due = self.incidents.get(&id).and_then(|entry| entry.due(&self.settings));
                self.timers.set(Timer::Incident(id), due);
            }
            let mut due = self.timers.pop_due(self.now);
            let group = self.groups.table.pop_due(self.now);
            let calm = self.changes.look_again.is_empty() && self.changes.rearm.is_empty();
            if due.is_empty() && group.is_none() && calm {
                break;
            }
            due.sort_by_key(|timer| self.urgency(timer));
            for timer in due {
                match timer {
                    Timer::Silences => self.silences_changed(),
                    Timer::Intervals => self.intervals_passed(),
                    Timer::Incident(id) => self.advance(id),
                    Timer::Held(receiver) => self.release_held(&receiver),
                    Timer::Sweep => self.sweep(),
                }
            }
            // Groups come last: a page should not wait behind the announcements of a storm.
            if let (true, Some(id)) = (self.changes.rearm.is_empty(), group) {
                self.flush(id);
            }
        }
    }

    /// What runs first among things due at once: mutes, then incidents from critical to info, then the rest in its order.
    fn urgency(&self, timer: &Timer) -> (u8, Reverse<Severity>) {
        match timer {
            Timer::Silences | Timer::Intervals => (0, Reverse(Severity::Critical)),
            Timer::Incident(id) => {
                (1, Reverse(self.incidents.get(id).map_or(Severity::Info, |entry| entry.incident.severity)))
            }
            Timer::Held(_) => (2, Reverse(Severity::Critical)),
            Timer::Sweep => (3, Reverse(Severity::Critical)),
        }
    }

    /// The order within a batch says nothing about the alerts: the earlier comes first, then the more severe, then by labels.
    fn in_order(&self, alerts: Vec<Fingerprint>) -> Vec<Fingerprint> {
        let mut records: Vec<&AlertRecord> =
            alerts.iter().filter_map(|alert| self.alerts.get(alert)).map(|entry| &*entry.record).collect();
        let key = |r: &AlertRecord| (r.starts_at, Reverse(super::membership::severity_of(r)));
        records.sort_by(|a, b| key(a).cmp(&key(b)).then_with(|| message_order(&a.labels, &b.labels)));
        records.into_iter().map(|record| record.fingerprint).collect()
    }

    /// Takes a transition into the table. Returns the alert when it starts to fire: only that needs a place.
    fn merge(&mut self, transition: Transition) -> Option<Fingerprint> {
        let Transition { record, version, .. } = transition;
        let fingerprint = record.fingerprint;
        self.changes.committed.push((fingerprint, version));
        let firing = record.is_firing();
        let known = self.alerts.get_mut(&fingerprint);
        if known.as_deref().is_some_and(|entry| version < entry.version) {
            // Two requests saw the alert in one order and came here in the other: the later word stands.
            return None;
        }
        self.changes.alerts.push(Write::Alert(record.clone()));
        let was_firing = known.as_ref().is_some_and(|entry| entry.record.is_firing());
        if let Some(entry) = known {
            entry.record = record.clone();
            entry.version = version;
        } else {
            self.alerts.insert(fingerprint, AlertEntry { version, ..AlertEntry::new(record.clone()) });
        }
        match (was_firing, firing) {
            (false, true) => {
                self.mutes.update(&record);
                Some(fingerprint)
            }
            (true, true) => {
                self.regroup(fingerprint, false);
                self.changed(fingerprint, &record);
                None
            }
            (true, false) => {
                self.end(fingerprint, &record);
                None
            }
            (false, false) => {
                // A later end or other words about it: a group that has not told the end yet tells the newest.
                self.regroup(fingerprint, false);
                self.ended.push_back((self.now, fingerprint));
                None
            }
        }
    }

    /// An alert stopped firing.
    fn end(&mut self, fingerprint: Fingerprint, record: &Arc<AlertRecord>) {
        self.mutes.update(record);
        self.waiting.forget(fingerprint);
        let freed = self.waiting.lift_source(fingerprint);
        self.changes.woken.extend(freed.iter().copied());
        self.changes.look_again.extend(freed);
        self.ended.push_back((self.now, fingerprint));
        self.regroup(fingerprint, true);
        self.leave_firing(fingerprint, record);
        self.end_for_former_groups(fingerprint);
    }

    /// A mute has ended: whoever waited for it is looked at again.
    pub(super) fn free(&mut self, mute: &MuteReason) {
        let freed = self.waiting.lift(mute);
        self.changes.woken.extend(freed.iter().copied());
        self.changes.look_again.extend(freed);
    }

    /// Lets go of what nobody needs in memory any more; rows stay in the store until its own retention.
    fn sweep(&mut self) {
        let now = self.now;
        self.timers.set(Timer::Sweep, Some(now + limits::SWEEP_EVERY));
        // While something waits its progress is stored, for a successor whose clock is behind.
        self.changes.is_moment_due = self.timers.len() > 1;
        let over = |at: Timestamp| at + limits::KEEP_ENDED <= now;
        let is_any_over = self.ended.front().is_some_and(|(at, _)| over(*at));
        let about_to_be_told = if is_any_over { self.about_to_be_told() } else { BTreeSet::new() };
        while let Some((_, alert)) = self.ended.front().copied().filter(|(at, _)| over(*at)) {
            self.ended.pop_front();
            if about_to_be_told.contains(&alert) {
                self.ended.push_back((now, alert));
            } else {
                self.drop_alert(alert);
            }
        }
        while let Some((_, id)) = self.closed.front().copied().filter(|(at, _)| over(*at)) {
            self.closed.pop_front();
            self.drop_incident(id);
        }
        self.outbox.sweep(over);
        self.page_limit.sweep(now);
        self.sweep_nflog();
        self.sweep_silences();
    }

    fn drop_alert(&mut self, alert: Fingerprint) {
        let Some(entry) = self.alerts.get(&alert) else { return };
        let Some(ended_at) = entry.record.ended_at else { return };
        let open = entry.incident.and_then(|id| self.incidents.get(&id)).is_some_and(IncidentEntry::is_open);
        if open || self.is_grouped(alert) {
            // Still shown by an open incident, or its end is not told yet: look again later.
            self.ended.push_back((self.now, alert));
        } else if ended_at + limits::KEEP_ENDED <= self.now || entry.record.updated_at + limits::KEEP_ENDED <= self.now
        {
            let placed = entry.incident.is_some();
            self.alerts.remove(&alert);
            if !placed {
                // Nothing else points at the row; with an incident it goes when the incident does.
                self.changes.alerts.push(Write::AlertDropped(alert));
            }
        } else {
            // The clock was set back since: its time comes later.
            self.ended.push_back((self.now, alert));
        }
    }

    fn drop_incident(&mut self, id: IncidentId) {
        let Some(entry) = self.incidents.get(&id) else { return };
        let Some(resolved_at) = entry.incident.resolved_at() else { return };
        if !entry.firing.is_empty() || resolved_at + limits::KEEP_ENDED > self.now {
            // An alert that was resolved by hand still fires: its incident must be known, or it would page anew. Or it was
            // reopened and ended again later.
            self.closed.push_back((self.now, id));
        } else {
            self.incidents.remove(&id);
        }
    }
}

fn rule_alert_write(change: RuleAlertChange) -> Write {
    match change {
        RuleAlertChange::Put(record) => Write::RuleAlert(record),
        RuleAlertChange::Drop { rule, fingerprint } => Write::RuleAlertDropped { rule, fingerprint },
    }
}
