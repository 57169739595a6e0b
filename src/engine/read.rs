//! The engine under a read lock: what API, UI and CLI show.
//! In: ids, labels, `now`. Out: shared rows and small views.
//! Never: changes anything; nothing here is slower than what it returns.
//! Start at [`Engine::incident`].

use super::core::Engine;
use super::view::{AlertStatus, Counts, GroupView, OnCallView};
use crate::escalation::on_call;
use crate::model::silence::SilenceState;
use crate::model::{
    AlertRecord, Fingerprint, Incident, IncidentId, IncidentStatus, Labels, Member, Notification, Silence, Timestamp,
};
use std::sync::Arc;

impl Engine {
    /// An open incident, or one resolved within the last half hour; older ones are in the store.
    pub fn incident(&self, id: IncidentId) -> Option<&Arc<Incident>> {
        self.incidents.get(&id).map(|entry| &entry.incident)
    }

    /// Newest first.
    pub fn open_incidents(&self) -> Vec<Arc<Incident>> {
        self.incidents.values().rev().filter(|entry| entry.is_open()).map(|entry| entry.incident.clone()).collect()
    }

    /// Open ones and those still in memory, newest first.
    pub fn incidents(&self) -> impl Iterator<Item = &Arc<Incident>> {
        self.incidents.values().rev().map(|entry| &entry.incident)
    }

    /// The alerts whose place is in an incident, by fingerprint; empty when the incident is not in memory.
    pub fn members(&self, id: IncidentId) -> Vec<Arc<Member>> {
        self.incidents.get(&id).map(|entry| entry.members.values().cloned().collect()).unwrap_or_default()
    }

    /// The open incident an alert belongs to, or the last one it did.
    pub fn incident_of(&self, alert: Fingerprint) -> Option<IncidentId> {
        self.alerts.get(&alert)?.incident
    }

    pub fn alert(&self, alert: Fingerprint) -> Option<&Arc<AlertRecord>> {
        self.alerts.get(&alert).map(|entry| &entry.record)
    }

    /// In no order; ended ones are kept for half an hour.
    pub fn alerts(&self) -> impl Iterator<Item = &Arc<AlertRecord>> {
        self.alerts.values().map(|entry| &entry.record)
    }

    /// Why an alert with these labels is quiet at `now`.
    pub fn alert_status(&self, labels: &Labels, now: Timestamp) -> AlertStatus {
        let routes = self.settings.route.match_all(labels);
        self.mutes.status(labels, &routes, now)
    }

    /// The receivers its groups are announced to, in the order of the routes, each once.
    pub fn receivers_of(&self, labels: &Labels) -> Vec<Arc<str>> {
        let mut receivers: Vec<Arc<str>> = Vec::new();
        for receiver in self.settings.route.match_all(labels).into_iter().filter_map(|node| node.receiver.as_ref()) {
            if !receivers.contains(receiver) {
                receivers.push(receiver.clone());
            }
        }
        receivers
    }

    /// Groups sorted by labels, then receiver; their alerts by fingerprint.
    pub fn groups(&self, now: Timestamp) -> Vec<GroupView> {
        let nodes = self.settings.route.nodes();
        let view = |group: crate::alerts::GroupView<'_>| {
            let node = nodes.get(group.route)?;
            let muted = self.mutes.route(node, now);
            Some(GroupView {
                labels: group.labels.clone(),
                receiver: node.receiver.clone()?,
                key: group.key.clone(),
                muted_by: super::mute::interval_names(muted),
                alerts: group.alerts.values().cloned().collect(),
                next_flush: group.next_flush,
            })
        };
        let mut groups: Vec<GroupView> = self.groups.table.iter().filter_map(view).collect();
        groups.sort_by(|a, b| (&a.labels, &a.receiver, &a.key).cmp(&(&b.labels, &b.receiver, &b.key)));
        groups
    }

    /// Active by end, pending by start, expired with the latest end first.
    pub fn silences(&self, now: Timestamp) -> Vec<Arc<Silence>> {
        let all = [SilenceState::Active, SilenceState::Pending, SilenceState::Expired];
        self.mutes.silences.query(&[], &all, now)
    }

    pub fn silence(&self, id: &str) -> Option<&Arc<Silence>> {
        self.mutes.silences.get(id)
    }

    /// Who is on call in each schedule.
    pub fn on_call(&self, now: Timestamp) -> Vec<OnCallView> {
        let one = |schedule: &crate::escalation::Schedule| {
            let person = on_call(schedule, now)?;
            Some(OnCallView { schedule: schedule.name.clone(), user: person.user, until: person.until })
        };
        self.settings.schedules.iter().filter_map(one).collect()
    }

    /// Rows of the outbox that are neither delivered nor given up, by key.
    pub fn pending(&self) -> impl Iterator<Item = &Arc<Notification>> {
        self.outbox.iter().map(|(_, pending)| &pending.notification)
    }

    /// For gauges; walks what it counts.
    pub fn counts(&self, now: Timestamp) -> Counts {
        let incidents = |status| self.incidents.values().filter(|entry| entry.incident.status() == status).count();
        let asks_nobody = |entry: &&super::entry::IncidentEntry| {
            entry.incident.status() == IncidentStatus::Triggered && entry.incident.escalation.runs.is_empty()
        };
        let silences = |state| self.mutes.silences.iter().filter(|silence| silence.state(now) == state).count();
        let alerts_firing = self.alerts.values().filter(|entry| entry.record.is_firing()).count();
        Counts {
            alerts_firing,
            alerts_ended: self.alerts.len() - alerts_firing,
            alerts_waiting: self.waiting.len(),
            groups: self.groups.table.len(),
            incidents_triggered: incidents(IncidentStatus::Triggered),
            incidents_asking_nobody: self.incidents.values().filter(asks_nobody).count(),
            incidents_acknowledged: incidents(IncidentStatus::Acknowledged),
            incidents_resolved: incidents(IncidentStatus::Resolved),
            silences_active: silences(SilenceState::Active),
            silences_pending: silences(SilenceState::Pending),
            silences_expired: silences(SilenceState::Expired),
            outbox_pending: self.outbox.len(),
            pages_held_back: self.page_limit.held_total(),
            nflog_entries: self.groups.log.len(),
        }
    }
}
