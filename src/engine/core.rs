//! The engine itself: its state, and `apply`, the one order of decisions.
//! In: [`Input`] and `now`. Out: [`Outcome`].
//! Never: waits, reads a clock, or acts.
//! Start at [`Engine::apply`].

use super::announce::Groups;
use super::case::Case;
use super::journal::Turn;
use super::limits;
use super::mute::Mutes;
use super::timers::{Timer, Timers};
use super::waiting::Waiting;
use super::{Input, Outcome, RuleAlertChange, Settings};
use crate::alerts::GroupId;
use crate::escalation::Throttle;
use crate::incidents::Index;
use crate::model::{
    AlertRecord, Fingerprint, IncidentId, Notification, NotificationKey, Severity, Timestamp, Transition, Write,
};
use foldhash::fast::FixedState;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// The single writer's state. Hold it behind one lock: `apply` writes, everything else reads.
#[derive(Debug)]
pub struct Engine {
    pub(super) settings: Arc<Settings>,
    /// The latest `now` given; decisions never go back in time.
    pub(super) now: Timestamp,
    /// Looked up half a dozen times for each new one; whoever goes through all of them sorts.
    pub(super) alerts: HashMap<Fingerprint, AlertEntry, FixedState>,
    /// Alerts in the order they ended, for the sweep.
    pub(super) ended: VecDeque<(Timestamp, Fingerprint)>,
    pub(super) cases: BTreeMap<IncidentId, Case>,
    /// Resolved incidents in the order they were, for the sweep.
    pub(super) closed: VecDeque<(Timestamp, IncidentId)>,
    pub(super) index: Index,
    pub(super) mutes: Mutes,
    pub(super) waiting: Waiting,
    pub(super) groups: Groups,
    pub(super) outbox: BTreeMap<NotificationKey, Pending>,
    /// Rows taken back that may have been on the wire already, until their receipt comes or the sweep does.
    pub(super) cancelled: BTreeMap<NotificationKey, (Arc<Notification>, Timestamp)>,
    pub(super) throttle: Throttle,
    /// Incidents whose page to a receiver waits for the page limit, in the order in which they go out.
    pub(super) held: BTreeMap<Arc<str>, BTreeSet<(Reverse<Severity>, IncidentId)>>,
    pub(super) timers: Timers,
    pub(super) turn: Turn,
    pub(super) last_incident: u64,
    pub(super) last_timeline_seq: u64,
}

/// One alert as the engine knows it.
#[derive(Debug)]
pub(super) struct AlertEntry {
    pub record: Arc<AlertRecord>,
    /// The incident it belongs to, or belonged to last.
    pub incident: Option<IncidentId>,
    /// The policy its routes name.
    pub policy: Option<Arc<str>>,
    /// The groups it is announced in.
    pub groups: Vec<GroupId>,
    /// An operator took it out of its incident: it stays out until it starts anew.
    pub apart: bool,
}

/// A row of the outbox on its way.
#[derive(Debug)]
pub(super) struct Pending {
    pub notification: Arc<Notification>,
    /// It may have reached its destination although no receipt said so.
    pub maybe_heard: bool,
    /// Its destination is known to be away: nobody waits for it.
    pub blocked: bool,
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
            cases: BTreeMap::new(),
            closed: VecDeque::new(),
            index: Index::default(),
            waiting: Waiting::default(),
            outbox: BTreeMap::new(),
            cancelled: BTreeMap::new(),
            throttle: Throttle::default(),
            held: BTreeMap::new(),
            timers: Timers::default(),
            turn: Turn::default(),
            last_incident: 0,
            last_timeline_seq: 0,
        }
    }

    /// Decides one input at `now`. Time that has passed is decided first, then the news, then what the news made due.
    pub fn apply(&mut self, now: Timestamp, input: Input) -> Outcome {
        self.begin(now);
        self.settle();
        match input {
            Input::Transitions(transitions) => {
                // Merge all before any is judged: a source and its target in one batch mute each other as they should.
                let started: Vec<Fingerprint> = transitions.into_iter().filter_map(|t| self.merge(t)).collect();
                for alert in started {
                    let muted = self.mute_cause(alert);
                    self.group(alert);
                    self.correlate(alert, muted);
                }
            }
            Input::Command(command) => self.turn.reply = Some(self.command(command)),
            Input::Receipt(receipt) => self.receipt(&receipt),
            Input::RuleAlerts(changes) => self.turn.rest.extend(changes.into_iter().map(rule_alert_write)),
            Input::Tick => {}
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

    /// Groups are rebuilt and announce again what their receivers do not know yet; alerts, incidents, silences and the notification
    /// log stay. Incidents keep their place in their policy, whose steps may have moved.
    pub fn reload(&mut self, now: Timestamp, settings: Arc<Settings>) -> Outcome {
        self.begin(now);
        self.settle();
        self.settings = settings;
        self.rebuild();
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
            for alert in std::mem::take(&mut self.turn.look_again) {
                self.look_again(alert);
            }
            for id in std::mem::take(&mut self.turn.rearm) {
                self.resolve_if_over(id);
                let due = self.cases.get(&id).and_then(|case| case.due(&self.settings));
                self.timers.set(Timer::Incident(id), due);
            }
            let mut due = self.timers.pop_due(self.now);
            let group = self.groups.table.pop_due(self.now);
            let calm = self.turn.look_again.is_empty() && self.turn.rearm.is_empty();
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
            if let (true, Some(id)) = (self.turn.rearm.is_empty(), group) {
                self.flush(id);
            }
        }
    }

    /// What runs first among things due at once: mutes, then incidents from critical to info, then the rest in its order.
    fn urgency(&self, timer: &Timer) -> (u8, Reverse<Severity>) {
        match timer {
            Timer::Silences | Timer::Intervals => (0, Reverse(Severity::Critical)),
            Timer::Incident(id) => {
                (1, Reverse(self.cases.get(id).map_or(Severity::Info, |case| case.incident.severity)))
            }
            Timer::Held(_) => (2, Reverse(Severity::Critical)),
            Timer::Sweep => (3, Reverse(Severity::Critical)),
        }
    }

    /// Takes news from the door into the table. Returns the alert when it starts to fire: only that needs a place.
    fn merge(&mut self, transition: Transition) -> Option<Fingerprint> {
        let Transition { record, version, .. } = transition;
        let fingerprint = record.fingerprint;
        self.turn.alerts.push(Write::Alert(record.clone()));
        self.turn.committed.push((fingerprint, version));
        let firing = record.is_firing();
        let known = self.alerts.get_mut(&fingerprint);
        let was_firing = known.as_ref().is_some_and(|entry| entry.record.is_firing());
        if let Some(entry) = known {
            entry.record = record.clone();
        } else {
            let entry =
                AlertEntry { record: record.clone(), incident: None, policy: None, groups: Vec::new(), apart: false };
            self.alerts.insert(fingerprint, entry);
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
        self.free(&super::waiting::Cause::Alert(fingerprint));
        self.ended.push_back((self.now, fingerprint));
        self.regroup(fingerprint, true);
        self.leave_firing(fingerprint, record);
    }

    /// A cause of quiet is gone: whoever waited for it is looked at again.
    pub(super) fn free(&mut self, cause: &super::waiting::Cause) {
        let freed = self.waiting.lift(cause);
        self.turn.look_again.extend(freed);
    }

    /// Lets go of what nobody needs in memory any more; rows stay in the store until its own retention.
    fn sweep(&mut self) {
        let now = self.now;
        self.timers.set(Timer::Sweep, Some(now + limits::SWEEP_EVERY));
        let over = |at: Timestamp| at + limits::KEEP_ENDED <= now;
        while let Some((_, alert)) = self.ended.front().copied().filter(|(at, _)| over(*at)) {
            self.ended.pop_front();
            self.drop_alert(alert);
        }
        while let Some((_, id)) = self.closed.front().copied().filter(|(at, _)| over(*at)) {
            self.closed.pop_front();
            self.drop_case(id);
        }
        self.cancelled.retain(|_, (_, at)| !over(*at));
        self.throttle.sweep(limits::PAGE_WINDOW, now);
        self.sweep_nflog();
        self.sweep_silences();
    }

    fn drop_alert(&mut self, alert: Fingerprint) {
        let Some(entry) = self.alerts.get(&alert) else { return };
        let Some(ended_at) = entry.record.ended_at else { return };
        let open = entry.incident.and_then(|id| self.cases.get(&id)).is_some_and(Case::is_open);
        if open || self.is_grouped(alert) {
            // Still shown by an open incident, or its end is not told yet: look again later.
            self.ended.push_back((self.now, alert));
        } else if ended_at + limits::KEEP_ENDED <= self.now || entry.record.updated_at + limits::KEEP_ENDED <= self.now
        {
            let placed = entry.incident.is_some();
            self.alerts.remove(&alert);
            if !placed {
                // Nothing else points at the row; with an incident it goes when the incident does.
                self.turn.alerts.push(Write::AlertDropped(alert));
            }
        }
    }

    fn drop_case(&mut self, id: IncidentId) {
        let Some(case) = self.cases.get(&id) else { return };
        if case.is_open() {
            return;
        }
        if case.firing.is_empty() {
            self.cases.remove(&id);
        } else {
            // An alert that was resolved by hand still fires: its incident must be known, or it would page anew.
            self.closed.push_back((self.now, id));
        }
    }
}

fn rule_alert_write(change: RuleAlertChange) -> Write {
    match change {
        RuleAlertChange::Put(record) => Write::RuleAlert(record),
        RuleAlertChange::Drop { rule, fingerprint } => Write::RuleAlertDropped { rule, fingerprint },
    }
}
