//! Back to where the last commit left it: the engine rebuilt from stored rows, and groups rebuilt after a reload.
//! In: [`Restored`], or new settings. Out: the same state, and what came due meanwhile.
//! Never: opens an incident for an alert that already had one, or forgets who was told.
//! Start at [`Engine::restore`].

use super::case::Case;
use super::core::{AlertEntry, Engine, Pending};
use super::mute::Mutes;
use super::{Outcome, Settings};
use crate::alerts::Silences;
use crate::model::{
    AlertRecord, Fingerprint, Incident, IncidentId, IntegrationId, Member, NflogEntry, NflogKey, Notification,
    NotificationKind, Silence, Timestamp, Write,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What was stored, as `store::Snapshot` hands it over at start.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    pub alerts: Vec<AlertRecord>,
    /// Open incidents, resolved ones of the last while, and every resolved one that a firing alert still belongs to.
    pub incidents: Vec<Incident>,
    /// Members of those incidents, those that left included.
    pub members: Vec<Member>,
    pub silences: Vec<Silence>,
    pub nflog: Vec<NflogEntry>,
    /// Outbox rows still pending.
    pub outbox: Vec<Notification>,
    /// Receivers paged within the last minute, with when; keeps the page limit over a restart. May be left empty.
    pub recent_pages: Vec<(Arc<str>, Timestamp)>,
    pub last_incident: u64,
    pub last_timeline_seq: u64,
}

impl Engine {
    /// The engine as it was when the last commit returned; what came due meanwhile is decided at `now` and in the outcome.
    /// Restored outbox rows are not in `Outcome::send`: the caller hands them to deliver itself, under their old keys.
    pub fn restore(settings: Arc<Settings>, restored: Restored, now: Timestamp) -> (Self, Outcome) {
        let mut engine = Self::new(settings);
        engine.begin(now);
        let restored = engine.integrations_of_today(restored);
        engine.last_incident = restored.incidents.iter().map(|i| i.id.0).max().unwrap_or(0).max(restored.last_incident);
        engine.last_timeline_seq = restored.last_timeline_seq;
        engine.mutes.silences = Silences::restore(restored.silences.into_iter().map(Arc::new));
        engine.groups.log = restored.nflog.into_iter().map(|e| (e.key.clone(), Arc::new(e))).collect();
        for (receiver, at) in restored.recent_pages {
            engine.throttle.remember(receiver, at);
        }
        for record in restored.alerts {
            engine.restore_alert(record);
        }
        for incident in restored.incidents {
            engine.restore_incident(incident);
        }
        engine.restore_members(restored.members);
        for notification in restored.outbox {
            engine.restore_pending(notification);
        }
        engine.rebuild();
        engine.settle();
        let outcome = engine.finish();
        (engine, outcome)
    }

    /// Rows of version 0.1 name an integration by its position over all kinds. They are looked up once, and written again by what
    /// they are called now.
    fn integrations_of_today(&mut self, mut restored: Restored) -> Restored {
        let settings = self.settings.clone();
        for entry in &mut restored.nflog {
            let is = settings.integration(&entry.key.receiver, &entry.key.integration);
            if is != entry.key.integration {
                self.turn.rest.push(Write::NflogDropped(entry.key.clone()));
                entry.key.integration = is;
                self.turn.rest.push(Write::Nflog(Arc::new(entry.clone())));
            }
        }
        for incident in &mut restored.incidents {
            let is = |(receiver, stored): &(Arc<str>, IntegrationId)| {
                (receiver.clone(), settings.integration(receiver, stored))
            };
            let heard = incident.escalation.heard.iter().map(is).collect();
            if heard != incident.escalation.heard {
                incident.escalation.heard = heard;
                self.turn.dirty.insert(incident.id);
            }
        }
        for notification in &mut restored.outbox {
            let is = settings.integration(&notification.receiver, &notification.integration);
            if is != notification.integration {
                notification.integration = is;
                self.turn.rest.push(Write::Notification(Arc::new(notification.clone())));
            }
        }
        restored
    }

    fn restore_alert(&mut self, record: AlertRecord) {
        if let Some(ended) = record.ended_at {
            self.ended.push_back((ended.min(self.now), record.fingerprint));
        }
        let entry =
            AlertEntry { record: Arc::new(record), incident: None, policy: None, groups: Vec::new(), apart: false };
        self.alerts.insert(entry.record.fingerprint, entry);
    }

    fn restore_incident(&mut self, incident: Incident) {
        let id = incident.id;
        for receiver in &incident.escalation.held {
            self.held.entry(receiver.clone()).or_default().insert((std::cmp::Reverse(incident.severity), id));
        }
        match incident.resolved_at {
            Some(at) => self.closed.push_back((at.min(self.now), id)),
            None => self.index.open(&incident),
        }
        self.cases.insert(id, Case::new(incident));
        self.turn.rearm.insert(id);
    }

    /// Each alert belongs where it was put last; one that left keeps no claim.
    fn restore_members(&mut self, members: Vec<Member>) {
        // Of all an alert's rows the latest speaks; where it was moved at one moment, the place it was moved to.
        let mut latest: BTreeMap<Fingerprint, (Timestamp, bool, IncidentId)> = BTreeMap::new();
        let mut left: BTreeMap<(IncidentId, Fingerprint), Option<Timestamp>> = BTreeMap::new();
        for member in members {
            let (alert, id) = (member.fingerprint, member.incident);
            let place = (member.attached_at, !member.detached, id);
            let known = latest.entry(alert).or_insert(place);
            *known = (*known).max(place);
            if member.left_at.is_some() {
                left.insert((id, alert), member.left_at);
            }
            if let Some(case) = self.cases.get_mut(&id).filter(|_| !member.detached) {
                case.lines = case.lines.saturating_add(1);
                case.members.insert(alert, Arc::new(member));
            }
        }
        for (alert, (_, here, id)) in latest {
            let Some(entry) = self.alerts.get_mut(&alert) else { continue };
            if let Some(left_at) = left.get(&(id, alert)).copied().flatten() {
                // Taken out while it fired as it does now: it stays out. Set aside because it fired anew, muted: it waits.
                entry.apart = !here && entry.record.starts_at <= left_at;
                continue;
            }
            // What began after the incident was over is another failure, which waits for a place of its own.
            let over = self.cases.get(&id).and_then(|case| case.incident.resolved_at);
            if entry.record.is_firing() && over.is_some_and(|over| entry.record.starts_at > over) {
                continue;
            }
            entry.incident = Some(id);
            if entry.record.is_firing()
                && let Some(case) = self.cases.get_mut(&id)
            {
                case.firing.insert(alert);
            }
        }
    }

    fn restore_pending(&mut self, notification: Notification) {
        let key = notification.key.clone();
        match &notification.kind {
            NotificationKind::Page { incident, round, step } => {
                if let Some(case) = self.cases.get_mut(incident) {
                    let escalation = &case.incident.escalation;
                    if (escalation.round, escalation.step) == (*round, *step)
                        && !escalation.reached
                        && case.wants_an_answer()
                    {
                        let at = notification.created_at;
                        case.undelivered_since = Some(case.undelivered_since.map_or(at, |known| known.min(at)));
                    }
                    case.pages.insert(key.clone());
                }
            }
            NotificationKind::Announcement { .. } if key.is_resend() => {}
            NotificationKind::Announcement { group_key, .. } => {
                let place = NflogKey {
                    group_key: group_key.clone(),
                    receiver: notification.receiver.clone(),
                    integration: notification.integration.clone(),
                };
                self.groups.on_the_way.insert(place, key.clone());
            }
            NotificationKind::Update { .. } => {}
        }
        // It may have been sent just before the end; nobody knows.
        self.outbox.insert(key, Pending { notification: Arc::new(notification), maybe_heard: true, blocked: false });
    }

    /// Groups, routes and mutes anew from the settings, over the alerts as they are.
    pub(super) fn rebuild(&mut self) {
        let silences = std::mem::take(&mut self.mutes.silences);
        let epoch = self.mutes.epoch;
        self.mutes = Mutes { silences, epoch, ..Mutes::new(&self.settings) };
        let firing = self.alerts.values().map(|entry| &*entry.record).filter(|record| record.is_firing());
        self.mutes.rebuild(&self.settings, firing);
        self.groups.clear();
        let known_firing: BTreeSet<Fingerprint> =
            self.groups.log.values().flat_map(|entry| entry.firing.iter().copied()).collect();
        let mut alerts: Vec<Fingerprint> = self.alerts.keys().copied().collect();
        alerts.sort_unstable();
        for alert in alerts {
            let Some(entry) = self.alerts.get_mut(&alert) else { continue };
            entry.groups.clear();
            // An ended alert is grouped only where its end is still to be told.
            let firing = entry.record.is_firing();
            if firing || known_firing.contains(&alert) {
                self.group(alert);
            }
            // Everybody is asked again: a mute may have begun or ended with the settings, or while nobody looked.
            if firing {
                self.waiting.forget(alert);
                self.turn.look_again.insert(alert);
            }
        }
        for case in self.cases.values_mut() {
            case.paused = false;
        }
        self.replan();
        self.arm_mutes();
        let held: Vec<Arc<str>> = self.held.keys().cloned().collect();
        for receiver in held {
            self.arm_held(&receiver);
        }
    }

    /// Due times of open incidents from the policies as they are now.
    fn replan(&mut self) {
        let ids: Vec<IncidentId> = self.cases.iter().filter(|(_, case)| case.is_open()).map(|(id, _)| *id).collect();
        for id in ids {
            self.turn.rearm.insert(id);
            let Some(case) = self.cases.get(&id).filter(|case| case.wants_an_answer()) else { continue };
            let escalation = &case.incident.escalation;
            if escalation.exhausted || escalation.policy.is_none() {
                continue;
            }
            let policy = escalation.policy.as_deref().and_then(|name| self.settings.policy(name));
            let place = super::page::position(&case.incident);
            let next_at = policy.map(|policy| crate::escalation::next(policy, place).at());
            if next_at != escalation.next_at {
                let missing = next_at.is_none();
                if let Some(incident) = self.edit(id) {
                    incident.escalation.next_at = next_at;
                }
                if missing {
                    let text = "nobody is paged any more".to_owned();
                    let reason = "its escalation policy is not in the configuration any more".to_owned();
                    self.say(id, crate::model::TimelineKind::NotPaged, text, reason);
                }
            }
        }
    }
}
