//! Why an alert is not told: silences, inhibition and time intervals, asked in one place.
//! In: an alert's labels, its route, the moment. Out: every [`MuteReason`] that holds.
//! Never: drops an alert; muted ones stay visible with their reasons.
//! Start at [`Muter::why`].

use crate::alerts::inhibit::{Inhibition, Inhibitor};
use crate::alerts::route::RouteNode;
use crate::alerts::silence::Silences;
use crate::alerts::time_interval::TimeIntervals;
use crate::model::{Labels, Timestamp};
use std::fmt;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MuteReason {
    /// Ids of the silences.
    SilencedBy(Vec<Arc<str>>),
    /// The rule and the alerts that mute it.
    InhibitedBy(Inhibition),
    /// Names of the route's `mute_time_intervals` that hold now.
    MutedBy(Vec<Arc<str>>),
    /// Names of the route's `active_time_intervals`, none of which holds now.
    OutsideActive(Vec<Arc<str>>),
}

impl fmt::Display for MuteReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SilencedBy(ids) => write!(f, "silenced by {}", ids.join(", ")),
            Self::InhibitedBy(by) => {
                write!(f, "inhibited by ")?;
                for source in &by.sources {
                    write!(f, "{source}, ")?;
                }
                write!(f, "{}", by.rule)
            }
            Self::MutedBy(names) => write!(f, "muted during {}", names.join(", ")),
            Self::OutsideActive(names) => write!(f, "outside of {}", names.join(", ")),
        }
    }
}

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
        let mut reasons = Vec::new();
        reasons.extend(self.inhibitor.inhibited_by(labels).map(MuteReason::InhibitedBy));
        reasons.extend(self.route(route, now));
        let ids = self.silences.silenced_by(labels, now);
        reasons.extend((!ids.is_empty()).then_some(MuteReason::SilencedBy(ids)));
        reasons
    }

    /// What mutes the alert on any route: inhibition and silences (the API's `suppressed`).
    pub fn alert(&self, labels: &Labels, now: Timestamp) -> Vec<MuteReason> {
        let mut reasons = Vec::new();
        reasons.extend(self.inhibitor.inhibited_by(labels).map(MuteReason::InhibitedBy));
        let ids = self.silences.silenced_by(labels, now);
        reasons.extend((!ids.is_empty()).then_some(MuteReason::SilencedBy(ids)));
        reasons
    }

    /// What mutes the whole route now: its time intervals (a group's `mutedBy`).
    pub fn route(&self, route: &RouteNode, now: Timestamp) -> Option<MuteReason> {
        let active = &route.active_time_intervals;
        if !active.is_empty() && self.intervals.holding(active, now).is_empty() {
            return Some(MuteReason::OutsideActive(active.clone()));
        }
        if route.mute_time_intervals.is_empty() {
            return None;
        }
        let holding = self.intervals.holding(&route.mute_time_intervals, now);
        (!holding.is_empty()).then_some(MuteReason::MutedBy(holding))
    }
}
