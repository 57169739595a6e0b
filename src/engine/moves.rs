//! Alerts that change their incident by hand, or because a hold is over: merge, split, detach, and the successor of an incident
//! that was resolved while its alerts fired.
//! In: commands, a hold that ends. Out: members moved, incidents opened and closed.
//! Never: half a command; everything is checked before anything changes.
//! Start at [`Engine::merge_incidents`].

use super::commands::{Answer, By, conflict};
use super::core::Engine;
use super::limits;
use super::membership::{alert_ref, severity_of};
use super::{CommandError, Reply};
use crate::model::timeline::StepReason;
use crate::model::{
    AlertRecord, Evidence, Fingerprint, IncidentId, Member, Resolution, ResolvedBy, TimelineEvent, Timestamp, Write,
};
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

impl Engine {
    pub(super) fn merge_incidents(&mut self, into: IncidentId, from: &[IncidentId], by: &By) -> Answer {
        self.open_one(into)?;
        let from: BTreeSet<IncidentId> = from.iter().copied().collect();
        if from.is_empty() {
            return Err(CommandError::Invalid("name at least one incident to merge".to_owned()));
        }
        if from.contains(&into) {
            return Err(conflict(format!("{into} cannot be merged into itself")));
        }
        let mut total = self.known(into)?.alert_count as usize;
        for id in &from {
            total += self.open_one(*id)?.alert_count as usize;
        }
        if total > limits::INCIDENT_ALERTS_MAX {
            let max = limits::INCIDENT_ALERTS_MAX;
            return Err(conflict(format!("together they hold {total} alerts; the limit is {max}")));
        }
        for id in from {
            let alerts: Vec<Fingerprint> =
                self.incidents.get(&id).map(|entry| entry.members.keys().copied().collect()).unwrap_or_default();
            self.move_alerts(id, into, &alerts, &Evidence::MergedFrom { incident: id, by: by.who.clone() });
            // Who merges knows what comes along: the answer to the incident covers it from now on.
            let covers = self.covers_of(into);
            if let Some(incident) = self.edit(into) {
                crate::incidents::lifecycle::cover(incident, covers);
            }
            self.record_by(id, TimelineEvent::MergedInto { into }, by);
            self.record_by(into, TimelineEvent::Merged { from: id }, by);
            let merged = ResolvedBy::Merge { by: by.who.clone(), into };
            self.resolve(id, Resolution { at: self.now, by: merged }, String::new());
        }
        self.ensure_runs_of_all(into);
        Ok(Reply::Incident(into))
    }

    /// What was moved here asks for its policies, if they do not run yet.
    fn ensure_runs_of_all(&mut self, id: IncidentId) {
        let firing: Vec<Fingerprint> =
            self.incidents.get(&id).map(|entry| entry.firing.iter().copied().collect()).unwrap_or_default();
        for alert in firing {
            if self.mute_reason(alert).is_none()
                && let Some(record) = self.alerts.get(&alert).map(|entry| entry.record.clone())
            {
                self.ensure_runs(id, &record);
            }
        }
        self.wait_for_the_muted(id);
    }

    pub(super) fn split(&mut self, id: IncidentId, alerts: &[Fingerprint], by: &By) -> Answer {
        self.open_one(id)?;
        let alerts: BTreeSet<Fingerprint> = alerts.iter().copied().collect();
        let records = self.members_named(id, &alerts)?;
        let Some(first) = records.first().cloned() else {
            return Err(CommandError::Invalid("name at least one alert to split off".to_owned()));
        };
        let Some(entry) = self.incidents.get(&id) else { return Err(CommandError::NotFound(id.to_string())) };
        if records.len() == entry.members.len() {
            return Err(conflict(format!("that would leave {id} without alerts")));
        }
        let old = entry.incident.clone();
        let new = self.open_empty(&first, None);
        if let Some(incident) = self.edit(new) {
            // Both stay in the domain they were opened in, and whoever has the one in hand has the other.
            incident.cluster.clone_from(&old.cluster);
            incident.environment.clone_from(&old.environment);
            crate::incidents::lifecycle::split(incident, &old);
            incident.escalation.assigned_to.clone_from(&old.escalation.assigned_to);
            if !old.is_triggered() {
                // The answer runs out here as it does there, and the policies start again.
                incident.escalation.runs.clone_from(&old.escalation.runs);
                incident.escalation.last_run = old.escalation.last_run;
            }
        }
        let fingerprints: Vec<Fingerprint> = alerts.into_iter().collect();
        self.record_by(new, TimelineEvent::OpenedBySplit { from: id }, by);
        self.move_alerts(id, new, &fingerprints, &Evidence::SplitOff { incident: id, by: by.who.clone() });
        self.record_by(id, TimelineEvent::SplitOff { into: new, alerts: records.len() as u32 }, by);
        if old.is_triggered() {
            self.start_runs(new, &StepReason::IncidentOpened);
        }
        Ok(Reply::Incident(new))
    }

    pub(super) fn detach(&mut self, id: IncidentId, alert: Fingerprint, by: &By) -> Answer {
        self.open_one(id)?;
        let records = self.members_named(id, &BTreeSet::from([alert]))?;
        let Some(record) = records.first().cloned() else { return Err(CommandError::NotFound(alert.to_string())) };
        self.take_out(id, alert);
        if let Some(entry) = self.alerts.get_mut(&alert) {
            entry.incident = None;
            entry.apart = true;
        }
        self.waiting.forget(alert);
        self.recount(id, &record);
        self.record_by(id, TimelineEvent::AlertDetached { alert: alert_ref(&record) }, by);
        Ok(Reply::Incident(id))
    }

    fn members_named(
        &self,
        id: IncidentId,
        alerts: &BTreeSet<Fingerprint>,
    ) -> Result<Vec<Arc<AlertRecord>>, CommandError> {
        let entry = self.incidents.get(&id).ok_or_else(|| CommandError::NotFound(id.to_string()))?;
        let record = |alert: &Fingerprint| {
            // One that fires elsewhere by now is shown here as having left, and is moved from there.
            let here = entry.members.contains_key(alert);
            let known = here.then(|| self.alerts.get(alert)).flatten().filter(|known| known.incident == Some(id));
            known.map(|e| e.record.clone()).ok_or_else(|| CommandError::NotFound(format!("alert {alert} in {id}")))
        };
        alerts.iter().map(record).collect()
    }

    /// Marks an alert's place in an incident as left.
    fn take_out(&mut self, id: IncidentId, alert: Fingerprint) -> Option<Arc<Member>> {
        let now = self.now;
        let entry = self.incidents.get_mut(&id)?;
        entry.firing.remove(&alert);
        let mut member = entry.members.remove(&alert)?;
        let left = Arc::make_mut(&mut member);
        left.detached = true;
        left.left_at = Some(now);
        self.changes.rest.push(Write::Member(member.clone()));
        Some(member)
    }

    fn move_alerts(&mut self, from: IncidentId, to: IncidentId, alerts: &[Fingerprint], evidence: &Evidence) {
        let attached_at = self.incidents.get(&to).map(|entry| entry.incident.last_attached_at);
        for alert in alerts {
            let Some(entry) = self.alerts.get(alert) else { continue };
            let (record, is_here) = (entry.record.clone(), entry.incident == Some(from));
            if is_here {
                self.take_out(from, *alert);
                self.recount(from, &record);
                self.put_member(to, &record, evidence.clone());
            }
        }
        // What people move does not keep a correlation window open.
        if let (Some(at), Some(incident)) = (attached_at, self.edit(to)) {
            incident.last_attached_at = at;
        }
    }

    /// The hold of an incident that was resolved by hand is over: what still fires opens a new one that names it.
    pub(super) fn open_successor(&mut self, id: IncidentId) {
        let now = self.now;
        let Some(entry) = self.incidents.get(&id) else { return };
        let Some(Resolution { at, by: ResolvedBy::Person { by, .. } }) = entry.incident.resolution().cloned() else {
            return;
        };
        let mut firing: Vec<Arc<AlertRecord>> =
            entry.firing.iter().filter_map(|alert| self.alerts.get(alert)).map(|a| a.record.clone()).collect();
        // The worst comes first, of equals the oldest: it names the new incident.
        firing.sort_by_key(|r| (Reverse(severity_of(r)), r.starts_at, r.fingerprint));
        self.leave_resolved(id, now);
        let mut opened: Option<IncidentId> = None;
        let still_firing = firing.len() as u32;
        for record in firing {
            let alert = record.fingerprint;
            if let Some(entry) = self.alerts.get_mut(&alert) {
                entry.incident = None;
            }
            if let Some(mute) = self.mute_reason(alert) {
                // It opens an incident of its own when its mute ends.
                self.wait_for(alert, mute);
                continue;
            }
            let new = opened.unwrap_or_else(|| self.open_for_still_firing(&record, id, &by, at, still_firing));
            opened = Some(new);
            self.put_member(new, &record, Evidence::StillFiring { incident: id, by: by.clone(), resolved_at: at });
        }
        if let Some(new) = opened {
            self.record(id, TimelineEvent::Succeeded { successor: new });
            self.start_runs(new, &StepReason::IncidentOpened);
        }
    }

    fn open_for_still_firing(
        &mut self,
        worst: &Arc<AlertRecord>,
        predecessor: IncidentId,
        resolved_by: &Arc<str>,
        resolved_at: Timestamp,
        still_firing: u32,
    ) -> IncidentId {
        let (config, max) = (&self.settings.correlation, limits::INCIDENT_ALERTS_MAX);
        let placing = self.index.place(config, &worst.labels, self.now, max, |_| None);
        let new = self.open_empty(worst, Some((placing.rule, placing.key)));
        if let Some(incident) = self.edit(new) {
            incident.predecessor = Some(predecessor);
        }
        let resolved_by = resolved_by.clone();
        self.record(new, TimelineEvent::OpenedStillFiring { predecessor, resolved_by, resolved_at, still_firing });
        new
    }

    /// The alerts that still fire leave the resolved incident, which keeps them in its list.
    fn leave_resolved(&mut self, id: IncidentId, now: Timestamp) {
        let Some(entry) = self.incidents.get_mut(&id) else { return };
        for alert in std::mem::take(&mut entry.firing) {
            if let Some(member) = entry.members.get_mut(&alert) {
                Arc::make_mut(member).left_at = Some(now);
                self.changes.rest.push(Write::Member(member.clone()));
            }
        }
        if let Some(incident) = self.edit(id) {
            incident.firing_count = 0;
        }
    }
}
