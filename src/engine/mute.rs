//! Who is quiet: silences, inhibition and time intervals as the engine keeps them.
//! In: alerts that start and end, silence commands, time. Out: why an alert is muted, and which are free again.
//! Never: drops an alert; a muted one is grouped and correlated like any other, and waits.
//! Start at [`Engine::mute_reason`].

use super::core::Engine;
use super::limits;
use super::timers::Timer;
use super::view::AlertStatus;
use super::{CommandError, Reply, Settings};
use crate::alerts::silence::{SilenceError, Silences};
use crate::alerts::{Inhibitor, Muter, RouteNode, TimeIntervals};
use crate::model::silence::SilenceState;
use crate::model::{AlertRecord, Fingerprint, Labels, Matcher, MuteReason, Silence, Timestamp, Write};
use smallvec::SmallVec;
use std::sync::Arc;

/// Everything that mutes.
pub(super) struct Mutes {
    pub silences: Silences,
    pub inhibitor: Inhibitor,
    pub intervals: TimeIntervals,
    /// Counts what may have changed an answer: sources that come and go, silences that begin and end.
    pub epoch: u64,
}

impl std::fmt::Debug for Mutes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mutes {{ silences: {}, epoch: {} }}", self.silences.len(), self.epoch)
    }
}

impl Mutes {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            silences: Silences::new(),
            inhibitor: Inhibitor::new(settings.inhibit_rules.clone()),
            intervals: intervals_of(settings),
            epoch: 0,
        }
    }

    /// New rules over the alerts that fire; silences stay.
    pub(super) fn rebuild<'a>(&mut self, settings: &Settings, firing: impl Iterator<Item = &'a AlertRecord>) {
        self.inhibitor = Inhibitor::new(settings.inhibit_rules.clone());
        self.intervals = intervals_of(settings);
        self.epoch += 1;
        for record in firing {
            self.inhibitor.update(record);
        }
    }

    /// An alert started or ended: it may mute others, or no more.
    pub(super) fn update(&mut self, record: &AlertRecord) {
        if self.inhibitor.update(record) {
            self.epoch += 1;
        }
    }

    /// Silenced or inhibited: what mutes the alert on every route.
    pub(super) fn alert(&self, labels: &Labels, now: Timestamp) -> Option<MuteReason> {
        if let Some(by) = self.inhibitor.inhibited_by(labels)
            && let Some(source) = by.sources.first()
        {
            return Some(MuteReason::Inhibited { source: *source, rule: by.rule });
        }
        self.silences.silenced_by(labels, now).into_iter().next().map(|id| MuteReason::Silenced { id })
    }

    /// What mutes a whole route now.
    pub(super) fn route(&self, route: &RouteNode, now: Timestamp) -> Vec<MuteReason> {
        self.muter().route(route, now)
    }

    fn muter(&self) -> Muter<'_> {
        Muter { silences: &self.silences, inhibitor: &self.inhibitor, intervals: &self.intervals }
    }

    pub(super) fn status(&self, labels: &Labels, routes: &[&RouteNode], now: Timestamp) -> AlertStatus {
        let mut status = AlertStatus {
            silenced_by: self.silences.silenced_by(labels, now),
            inhibited_by: self.inhibitor.inhibited_by(labels).map(|by| by.sources).unwrap_or_default(),
            muted_by: Vec::new(),
        };
        let muted: Vec<Vec<MuteReason>> = routes.iter().map(|route| self.route(route, now)).collect();
        // Muted by time only when no route is left that would tell.
        if !muted.is_empty() && muted.iter().all(|reasons| !reasons.is_empty()) {
            status.muted_by = muted.into_iter().flat_map(interval_names).collect();
            status.muted_by.sort_unstable();
            status.muted_by.dedup();
        }
        status
    }
}

fn intervals_of(settings: &Settings) -> TimeIntervals {
    TimeIntervals::new(settings.time_intervals.iter().map(|(name, list)| (Arc::from(name.as_str()), list.clone())))
}

/// The names of the intervals that mute a route.
pub(super) fn interval_names(reasons: Vec<MuteReason>) -> Vec<Arc<str>> {
    reasons.iter().filter_map(MuteReason::interval).cloned().collect()
}

fn is_interval(mute: &MuteReason) -> bool {
    mute.interval().is_some()
}

impl Engine {
    /// Why a firing alert pages nobody now; `None`: it may. An alert is also muted while time mutes every route that would page.
    pub(super) fn mute_reason(&self, alert: Fingerprint) -> Option<MuteReason> {
        let entry = self.alerts.get(&alert)?;
        self.mutes.alert(&entry.record.labels, self.now).or_else(|| {
            if self.settings.time_intervals.is_empty() || self.settings.policy_override(&entry.record.labels).is_some()
            {
                return None;
            }
            let nodes = self.settings.route.match_all(&entry.record.labels);
            let mut paging = nodes.into_iter().filter(|node| node.escalation_policy.is_some()).peekable();
            paging.peek()?;
            let muted: Vec<Vec<MuteReason>> = paging.map(|node| self.mutes.route(node, self.now)).collect();
            let all = muted.iter().all(|reasons| !reasons.is_empty());
            all.then(|| muted.into_iter().flatten().next()).flatten()
        })
    }

    /// Time mutes one of several routes of an alert, and so a policy that it would ask for: what mutes it.
    pub(super) fn mute_of_a_route(&self, alert: Fingerprint) -> Option<MuteReason> {
        let entry = self.alerts.get(&alert)?;
        if self.settings.time_intervals.is_empty() || self.asks(alert).len() == entry.policies.len() {
            return None;
        }
        let nodes = self.settings.route.match_all(&entry.record.labels);
        let paging = nodes.into_iter().filter(|node| node.escalation_policy.is_some());
        paging.flat_map(|node| self.mutes.route(node, self.now)).next()
    }

    /// The policies that an alert asks for now: of its routes that time does not mute. Nothing is said of its own mutes.
    pub(super) fn asks(&self, alert: Fingerprint) -> SmallVec<[Arc<str>; 1]> {
        let Some(entry) = self.alerts.get(&alert) else { return SmallVec::new() };
        if self.settings.time_intervals.is_empty() || self.settings.policy_override(&entry.record.labels).is_some() {
            return entry.policies.clone();
        }
        let mut policies: SmallVec<[Arc<str>; 1]> = SmallVec::new();
        for node in self.settings.route.match_all(&entry.record.labels) {
            let Some(policy) = &node.escalation_policy else { continue };
            if !policies.contains(policy) && self.mutes.route(node, self.now).is_empty() {
                policies.push(policy.clone());
            }
        }
        policies
    }

    /// Sets when silences must be looked at next, and whether time intervals must be.
    pub(super) fn arm_mutes(&mut self) {
        self.timers.set(Timer::Silences, self.mutes.silences.next_change(self.now));
    }

    /// A silence began or ended by itself.
    pub(super) fn silences_changed(&mut self) {
        self.mutes.epoch += 1;
        let now = self.now;
        let over = |mute: &MuteReason| match mute {
            MuteReason::Silenced { id } => {
                self.mutes.silences.get(id).is_none_or(|silence| silence.state(now) != SilenceState::Active)
            }
            _ => false,
        };
        for mute in self.waiting.mutes(over) {
            self.free(&mute);
        }
        self.arm_mutes();
    }

    /// Time intervals turn on whole minutes: whoever waits for one is looked at again.
    pub(super) fn intervals_passed(&mut self) {
        for mute in self.waiting.mutes(is_interval) {
            self.free(&mute);
        }
    }

    /// Makes an alert wait for the end of its mute.
    pub(super) fn wait_for(&mut self, alert: Fingerprint, mute: MuteReason) {
        if is_interval(&mute) && self.timers.at(&Timer::Intervals).is_none() {
            let minute = limits::INTERVAL_LOOK.as_millis() as i64;
            let next = (self.now.as_millis().div_euclid(minute) + 1) * minute;
            self.timers.set(Timer::Intervals, Some(Timestamp::from_millis(next)));
        }
        self.waiting.wait(alert, mute);
    }

    pub(super) fn put_silence(&mut self, silence: Silence, new_id: Arc<str>) -> Result<Reply, CommandError> {
        let set = self.mutes.silences.set(silence, new_id, self.now).map_err(refused)?;
        self.changes.rest.extend(set.rows.into_iter().map(Write::Silence));
        self.silences_changed();
        self.recheck_silenced();
        Ok(Reply::Silence(set.id))
    }

    pub(super) fn expire_silence(&mut self, id: &Arc<str>) -> Result<Reply, CommandError> {
        let row = self.mutes.silences.expire(id, self.now).map_err(refused)?;
        self.changes.rest.extend(row.map(Write::Silence));
        self.silences_changed();
        Ok(Reply::Silence(id.clone()))
    }

    /// A silence may have been changed in place and match no more what it did.
    fn recheck_silenced(&mut self) {
        for mute in self.waiting.mutes(|mute| matches!(mute, MuteReason::Silenced { .. })) {
            self.free(&mute);
        }
    }

    /// Forgets silences that ended long ago.
    pub(super) fn sweep_silences(&mut self) {
        let dropped = self.mutes.silences.gc(self.now);
        self.changes.rest.extend(dropped.into_iter().map(Write::SilenceDropped));
    }
}

fn refused(error: SilenceError) -> CommandError {
    match error {
        SilenceError::NotFound => CommandError::NotFound("silence".to_owned()),
        SilenceError::Invalid(text) => CommandError::Invalid(text),
        SilenceError::Full => CommandError::Conflict(error.to_string()),
    }
}

/// A silence as a command describes it; an empty id means a new one.
pub(super) fn silence_of(
    id: Option<Arc<str>>,
    matchers: Vec<Matcher>,
    starts_at: Timestamp,
    ends_at: Timestamp,
    by: &str,
    comment: String,
) -> Silence {
    Silence {
        id: id.unwrap_or_else(|| "".into()),
        matchers,
        starts_at,
        ends_at,
        updated_at: starts_at,
        created_by: by.to_owned(),
        comment,
        annotations: Labels::empty(),
    }
}
