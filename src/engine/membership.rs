//! Alerts find their incident, and leave it when they end.
//! In: an alert that starts, changes, ends or is no longer muted. Out: members, counts, opened and resolved incidents.
//! Never: pages; an incident that wants people starts a run of a policy instead.
//! Start at [`Engine::correlate`].

use super::core::Engine;
use super::entry::IncidentEntry;
use super::limits;
use super::message::narrow;
use crate::incidents::lifecycle::{Change, change};
use crate::incidents::words::ms_since;
use crate::incidents::{Placing, title};
use crate::model::timeline::{AlertRef, NotPaged, StepReason};
use crate::model::{
    AlertRecord, Escalation, Evidence, Fingerprint, Incident, IncidentId, IncidentState, Member, MuteReason,
    Resolution, ResolvedBy, Severity, TimelineEvent, Write,
};
use std::collections::BTreeSet;
use std::sync::Arc;

const SEVERITY: &str = "severity";

/// The severity an alert's labels speak of.
pub(super) fn severity_of(record: &AlertRecord) -> Severity {
    Severity::of_label(record.labels.value(SEVERITY))
}

/// How a line names an alert.
pub(super) fn alert_ref(record: &AlertRecord) -> AlertRef {
    AlertRef { name: title::base(&record.labels, limits::TITLE_MAX), fingerprint: record.fingerprint }
}

impl Engine {
    /// Gives a firing alert its place: an open incident that the rules name, else an incident of its own. Where it was before
    /// counts for nothing, unless people put it there. A muted alert may join, but never opens an incident; it is looked at
    /// again when its mute ends.
    pub(super) fn correlate(&mut self, alert: Fingerprint, muted: Option<MuteReason>) {
        let Some(entry) = self.alerts.get_mut(&alert).filter(|entry| entry.record.is_firing()) else { return };
        entry.apart = false;
        let (record, previous) = (entry.record.clone(), entry.incident);
        if crate::model::alert::is_heartbeat(&record.labels) {
            return;
        }
        if let Some(id) = previous.filter(|id| muted.is_none() && self.may_reopen(*id)) {
            self.reopen_for(id, &record);
        } else {
            let placing = self.place(&record, previous);
            let left = previous.filter(|id| placing.incident != Some(*id));
            match (placing.incident, &muted) {
                (Some(id), _) if previous == Some(id) => self.rejoin(id, &record, placing, muted.as_ref()),
                (Some(id), _) => self.attach(id, &record, placing, muted.as_ref()),
                (None, None) => {
                    self.open(&record, placing);
                }
                (None, Some(_)) => self.forget_place(alert),
            }
            if let Some(id) = left {
                self.note_left(id, alert);
            }
        }
        if let Some(mute) = muted {
            self.wait_for(alert, mute);
        }
    }

    /// Where the rules put it; an incident that people put it into is asked first, with the same gap and age.
    fn place(&self, record: &AlertRecord, previous: Option<IncidentId>) -> Placing {
        let (config, max) = (&self.settings.correlation, limits::INCIDENT_ALERTS_MAX);
        let look = |id| self.incidents.get(&id).map(|entry| &*entry.incident);
        let by_hand = |entry: &&IncidentEntry| {
            let evidence = entry.members.get(&record.fingerprint).map(|member| &member.evidence);
            entry.is_open() && matches!(evidence, Some(Evidence::MergedFrom { .. } | Evidence::SplitOff { .. }))
        };
        let kept = previous.and_then(|id| self.incidents.get(&id)).filter(by_hand);
        kept.and_then(|entry| self.index.stay(config, &record.labels, self.now, max, &entry.incident))
            .unwrap_or_else(|| self.index.place(config, &record.labels, self.now, max, look))
    }

    /// Ended by itself, a short while ago: what comes back now is the same trouble.
    fn may_reopen(&self, id: IncidentId) -> bool {
        let window = self.settings.correlation.reopen_window;
        let over = self.incidents.get(&id).and_then(|entry| entry.incident.resolution());
        let by_itself = |over: &&Resolution| over.by == ResolvedBy::Itself;
        over.filter(by_itself).is_some_and(|over| !window.is_zero() && self.now < over.at + window)
    }

    /// The incident is open again and its policies start anew; its end was told, so nobody has heard of this yet.
    fn reopen_for(&mut self, id: IncidentId, record: &Arc<AlertRecord>) {
        let now = self.now;
        let Some(entry) = self.incidents.get_mut(&id) else { return };
        entry.firing.insert(record.fingerprint);
        let after_ms = entry.incident.resolved_at().map_or(0, |at| ms_since(now, at));
        self.open_again(id);
        let Some(incident) = self.edit(id) else { return };
        incident.last_attached_at = now;
        incident.severity = incident.severity.max(severity_of(record));
        self.recount(id, record);
        self.record(id, TimelineEvent::Reopened { alert: Some(alert_ref(record)), after_ms });
        self.start_runs(id, &StepReason::StartedAgain);
    }

    /// The state of an incident that is open again after its end.
    pub(super) fn open_again(&mut self, id: IncidentId) {
        let Some(incident) = self.edit(id) else { return };
        if let Err(refused) = change(incident, Change::Reopen) {
            return self.breach(|| format!("{id} {refused} and is reopened"));
        }
        incident.escalation.delivered_to.clear();
        incident.escalation.assigned_to = None;
        let reopened = incident.clone();
        self.index.open(&reopened);
    }

    /// A muted alert without a place: its old one must not claim it after a restart.
    fn forget_place(&mut self, alert: Fingerprint) {
        if let Some(entry) = self.alerts.get_mut(&alert) {
            entry.incident = None;
        }
    }

    /// It fires anew elsewhere, or waits for a place: its line in the old incident says that it left.
    fn note_left(&mut self, id: IncidentId, alert: Fingerprint) {
        let now = self.now;
        let Some(entry) = self.incidents.get_mut(&id) else { return };
        if let Some(member) = entry.members.get_mut(&alert)
            && member.left_at.is_none()
        {
            Arc::make_mut(member).left_at = Some(now);
            self.changes.rest.push(Write::Member(member.clone()));
        }
        if entry.firing.remove(&alert) {
            // Resolved by hand while it fired, and it has ended since without being counted.
            if let Some(incident) = self.edit(id) {
                incident.firing_count = incident.firing_count.saturating_sub(1);
            }
        }
    }

    /// A mute ended, or may have: an alert that still fires now opens, joins or wakes an incident.
    pub(super) fn look_again(&mut self, alert: Fingerprint) {
        let was_waiting = self.changes.woken.remove(&alert);
        let Some(entry) = self.alerts.get(&alert) else { return };
        if !entry.record.is_firing() || entry.apart {
            return;
        }
        let (record, incident) = (entry.record.clone(), entry.incident);
        if let Some(mute) = self.mute_reason(alert) {
            self.wait_for(alert, mute);
            return;
        }
        match incident {
            Some(id) if self.incidents.get(&id).is_some_and(IncidentEntry::is_open) => {
                self.changes.rearm.insert(id);
                if was_waiting {
                    self.ask_unmuted(id, &record);
                } else {
                    self.ensure_runs(id, &record);
                }
            }
            Some(_) => {}
            None => self.correlate(alert, None),
        }
    }

    fn open(&mut self, record: &Arc<AlertRecord>, placing: Placing) -> IncidentId {
        let id = self.open_empty(record, Some((placing.rule.clone(), placing.key.clone())));
        self.record(id, TimelineEvent::Opened { alert: alert_ref(record), evidence: placing.evidence.clone() });
        self.put_member(id, record, placing.evidence);
        self.start_runs(id, &StepReason::IncidentOpened);
        id
    }

    /// A new incident without members, in the domain of `record`. Its story and policies are the caller's.
    pub(super) fn open_empty(&mut self, record: &AlertRecord, rule: Option<(Arc<str>, Arc<str>)>) -> IncidentId {
        self.last_incident += 1;
        let id = IncidentId(self.last_incident);
        let domain = crate::incidents::Domain::of(&self.settings.correlation, &record.labels);
        let (correlation_rule, correlation_key) = rule.unzip();
        let incident = Incident {
            id,
            title: title::base(&record.labels, limits::TITLE_MAX),
            state: IncidentState::Triggered,
            severity: severity_of(record),
            labels: record.labels.clone(),
            cluster: domain.cluster,
            environment: domain.environment,
            opened_at: self.now,
            last_attached_at: self.now,
            correlation_rule,
            correlation_key,
            alert_count: 0,
            firing_count: 0,
            doors: BTreeSet::new(),
            escalation: Escalation::default(),
            paged: BTreeSet::new(),
            predecessor: None,
        };
        self.index.open(&incident);
        self.incidents.insert(id, IncidentEntry::new(incident));
        self.changes.dirty.insert(id);
        self.changes.rearm.insert(id);
        id
    }

    fn attach(&mut self, id: IncidentId, record: &Arc<AlertRecord>, placing: Placing, muted: Option<&MuteReason>) {
        let before = self.incidents.get(&id).map(|entry| entry.incident.severity);
        let evidence = placing.evidence;
        self.put_member(id, record, evidence.clone());
        let alert = alert_ref(record);
        self.record_bounded(id, || TimelineEvent::AlertAttached { alert, again: false, evidence });
        self.joined(id, record, before, muted);
        if muted.is_none() {
            self.ask_the_exhausted(id, record);
        }
    }

    /// The rules put it back into the incident that it was in.
    fn rejoin(&mut self, id: IncidentId, record: &Arc<AlertRecord>, placing: Placing, muted: Option<&MuteReason>) {
        let now = self.now;
        let before = self.incidents.get(&id).map(|entry| entry.incident.severity);
        if let Some(entry) = self.incidents.get_mut(&id) {
            entry.firing.insert(record.fingerprint);
        }
        if let Some(incident) = self.edit(id) {
            incident.last_attached_at = now;
            incident.severity = incident.severity.max(severity_of(record));
        }
        self.recount(id, record);
        let evidence = placing.evidence;
        self.record_bounded(id, || TimelineEvent::AlertAttached { alert: alert_ref(record), again: true, evidence });
        self.joined(id, record, before, muted);
    }

    /// What follows from one more firing alert: a raised severity is said, and it asks for its policies.
    fn joined(
        &mut self,
        id: IncidentId,
        record: &Arc<AlertRecord>,
        before: Option<Severity>,
        muted: Option<&MuteReason>,
    ) {
        let Some(entry) = self.incidents.get(&id) else {
            return self.breach(|| format!("an alert joined {id}, which is not known"));
        };
        let severity = entry.incident.severity;
        if before.is_some_and(|before| before < severity) {
            self.record(id, TimelineEvent::SeverityRaised { alert: alert_ref(record), severity });
        }
        match muted {
            Some(mute) => {
                let (alert, mute) = (alert_ref(record), mute.clone());
                self.record_bounded(id, || TimelineEvent::NotPaged(NotPaged::AlertMuted { alert, mute }));
            }
            None => self.ask(id, record),
        }
    }

    /// Puts a firing or ended alert into an incident and brings the incident's row up to date.
    pub(super) fn put_member(&mut self, id: IncidentId, record: &Arc<AlertRecord>, evidence: Evidence) {
        let (now, fingerprint) = (self.now, record.fingerprint);
        let member =
            Arc::new(Member { incident: id, fingerprint, attached_at: now, evidence, detached: false, left_at: None });
        self.changes.rest.push(Write::Member(member.clone()));
        if let Some(entry) = self.alerts.get_mut(&fingerprint) {
            entry.incident = Some(id);
        }
        if let Some(entry) = self.incidents.get_mut(&id) {
            entry.members.insert(fingerprint, member);
            if record.is_firing() {
                entry.firing.insert(fingerprint);
            }
        }
        if let Some(incident) = self.edit(id) {
            incident.last_attached_at = now;
            narrow(&mut incident.labels, &record.labels);
            let before = incident.severity;
            incident.severity = before.max(severity_of(record));
            if before < incident.severity {
                self.hurry_held(id, before);
            }
        }
        self.recount(id, record);
    }

    /// Counts and doors after `record` came or went.
    pub(super) fn recount(&mut self, id: IncidentId, record: &AlertRecord) {
        let Some(entry) = self.incidents.get(&id) else {
            return self.breach(|| format!("{id} is counted and is not known"));
        };
        let (all, firing) = (entry.members.len() as u32, entry.firing.len() as u32);
        if let Some(incident) = self.edit(id) {
            incident.alert_count = all;
            incident.firing_count = firing;
            incident.doors.extend(record.leases.iter().map(|lease| lease.source.door));
        }
    }

    /// Still firing, with other words or one more source.
    pub(super) fn changed(&mut self, alert: Fingerprint, record: &AlertRecord) {
        let incident = self.alerts.get(&alert).and_then(|entry| entry.incident);
        let Some((id, entry)) = incident.and_then(|id| Some((id, self.incidents.get(&id)?))) else { return };
        if entry.is_open() && record.leases.iter().any(|lease| !entry.incident.doors.contains(&lease.source.door)) {
            self.recount(id, record);
        }
    }

    /// An alert ended: its incident has one less.
    pub(super) fn leave_firing(&mut self, alert: Fingerprint, record: &AlertRecord) {
        let incident = self.alerts.get(&alert).and_then(|entry| entry.incident);
        let Some((id, entry)) = incident.and_then(|id| Some((id, self.incidents.get_mut(&id)?))) else { return };
        if !entry.firing.remove(&alert) {
            return;
        }
        if entry.is_open() {
            self.recount(id, record);
            self.record_bounded(id, || TimelineEvent::AlertEnded { alert: alert_ref(record) });
        } else if let Some(incident) = self.edit(id) {
            incident.firing_count = incident.firing_count.saturating_sub(1);
        }
    }

    /// Resolves an open incident none of whose alerts fires any more.
    pub(super) fn resolve_if_over(&mut self, id: IncidentId) {
        let over = self.incidents.get(&id).is_some_and(|entry| entry.is_open() && entry.firing.is_empty());
        if over {
            let resolution = Resolution { at: self.now, by: ResolvedBy::Itself };
            self.resolve(id, resolution, String::new());
        }
    }
}
