//! Why nobody is notified of an alert: silences, inhibition and time intervals, asked in one place.
//! In: an alert's labels, its route, the moment. Out: every [`MuteReason`] that holds.
//! Never: drops an alert; muted ones stay visible with their reasons.
//! Start at [`Muter::why`].

use crate::alerts::inhibit::{Inhibition, Inhibitor};
use crate::alerts::route::RouteNode;
use crate::alerts::silence::Silences;
use crate::alerts::time_interval::TimeIntervals;
use crate::model::{Labels, MuteReason, Timestamp};

/// What can mute, borrowed for one look.
#[derive(Clone, Copy)]
pub struct Muter<'a> {
    pub silences: &'a Silences,
    pub inhibitor: &'a Inhibitor,
    pub intervals: &'a TimeIntervals,
}

impl Muter<'_> {
    /// Everything that mutes an alert on this route now, in the order in which Alertmanager asks: inhibition, active
    /// intervals, mute intervals, silences. Empty, and without an allocation, when nothing does.
    pub fn why(&self, labels: &Labels, route: &RouteNode, now: Timestamp) -> Vec<MuteReason> {
        let mut reasons = self.inhibited(labels);
        reasons.extend(self.route(route, now));
        reasons.extend(self.silenced(labels, now));
        reasons
    }

    /// What mutes the alert on any route: inhibition and silences (the API's `suppressed`).
    pub fn alert(&self, labels: &Labels, now: Timestamp) -> Vec<MuteReason> {
        let mut reasons = self.inhibited(labels);
        reasons.extend(self.silenced(labels, now));
        reasons
    }

    /// What mutes the whole route now: its time intervals (a group's `mutedBy`).
    pub fn route(&self, route: &RouteNode, now: Timestamp) -> Vec<MuteReason> {
        let active = &route.active_time_intervals;
        if !active.is_empty() && self.intervals.holding(active, now).is_empty() {
            return active.iter().map(|name| MuteReason::OutsideActiveTime { name: name.clone() }).collect();
        }
        if route.mute_time_intervals.is_empty() {
            return Vec::new();
        }
        let holding = self.intervals.holding(&route.mute_time_intervals, now);
        holding.into_iter().map(|name| MuteReason::MuteTimeInterval { name }).collect()
    }

    fn inhibited(&self, labels: &Labels) -> Vec<MuteReason> {
        let Some(Inhibition { rule, sources }) = self.inhibitor.inhibited_by(labels) else { return Vec::new() };
        sources.into_iter().map(|source| MuteReason::Inhibited { source, rule: rule.clone() }).collect()
    }

    fn silenced(&self, labels: &Labels, now: Timestamp) -> impl Iterator<Item = MuteReason> {
        self.silences.silenced_by(labels, now).into_iter().map(|id| MuteReason::Silenced { id })
    }
}
