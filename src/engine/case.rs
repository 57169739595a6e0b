//! An incident in memory: its row, its alerts, its pages on the way.
//! In: decisions of the engine. Out: the next moment it must be looked at.
//! Never: writes; the engine records every change.
//! Start at [`Case`].

use super::Settings;
use crate::model::{Fingerprint, Incident, IncidentStatus, Member, NotificationKey, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Case {
    pub incident: Arc<Incident>,
    /// Alerts whose place is here, ended ones included.
    pub members: BTreeMap<Fingerprint, Arc<Member>>,
    pub firing: BTreeSet<Fingerprint>,
    /// Pages in the outbox that are neither delivered nor given up.
    pub pages: BTreeSet<NotificationKey>,
    /// Every firing alert is muted; the policy rests until one is not.
    pub paused: bool,
    /// When the last step was taken, while none of its pages is delivered and one is still on its way.
    pub undelivered_since: Option<Timestamp>,
    /// Attach and end lines written so far.
    pub lines: u32,
}

impl Case {
    pub(super) fn new(incident: Incident) -> Self {
        Self {
            incident: Arc::new(incident),
            members: BTreeMap::new(),
            firing: BTreeSet::new(),
            pages: BTreeSet::new(),
            paused: false,
            undelivered_since: None,
            lines: 0,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.incident.status != IncidentStatus::Resolved
    }

    pub(super) fn is_snoozed(&self) -> bool {
        self.incident.snoozed_until.is_some()
    }

    /// Triggered and not snoozed: the state in which people are paged.
    pub(super) fn wants_an_answer(&self) -> bool {
        self.incident.status == IncidentStatus::Triggered && self.incident.snoozed_until.is_none()
    }

    /// When time alone changes something here.
    pub(super) fn due(&self, settings: &Settings) -> Option<Timestamp> {
        let incident = &self.incident;
        if let (Some(until), true) = (incident.snoozed_until, self.is_open()) {
            return Some(until);
        }
        match incident.status {
            IncidentStatus::Resolved => None,
            IncidentStatus::Acknowledged => ack_times_out_at(incident, settings),
            IncidentStatus::Triggered if self.paused => None,
            IncidentStatus::Triggered => {
                let late = self.undelivered_since.map(|at| at + settings.delivery_timeout);
                incident.escalation.next_at.into_iter().chain(late).min()
            }
        }
    }
}

/// When an acknowledged incident pages again, where its policy says so.
pub(super) fn ack_times_out_at(incident: &Incident, settings: &Settings) -> Option<Timestamp> {
    let policy = settings.policy(incident.escalation.policy.as_deref()?)?;
    Some(incident.acknowledged_at? + policy.ack_timeout?)
}
