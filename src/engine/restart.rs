//! Back to where the last commit left it: everything that must be in memory again, from the stored rows.
//! In: a [`Snapshot`] and `now`. Out: [`Restart`]: engine, registry, rows to send again, and what came due meanwhile.
//! Never: opens an incident for an alert that already had one, forgets who was told, or sends before a commit.
//! Start at [`Restart::new`]; the program, the stories and the simulator use the same.

use super::core::Engine;
use super::entry::{AlertEntry, IncidentEntry};
use super::{Outcome, Settings};
use crate::alerts::{AlertRegistry, RegistryConfig, Silences};
use crate::model::{
    AlertRecord, Fingerprint, Incident, IncidentId, IntegrationId, Member, NflogEntry, NflogKey, Notification,
    NotificationKey, NotificationKind, RuleAlertRecord, RunState, Silence, Timestamp, Write,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Everything that must be in memory again after a restart, as the store hands it over.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Firing ones, those that ended within a day of the newest end, and members of these incidents.
    pub alerts: Vec<AlertRecord>,
    /// Open incidents, resolved ones of the last day, and every resolved one that a firing alert still belongs to.
    pub incidents: Vec<Incident>,
    /// Members of those incidents, those that left included.
    pub members: Vec<Member>,
    pub silences: Vec<Silence>,
    pub nflog: Vec<NflogEntry>,
    /// Outbox rows still pending.
    pub outbox: Vec<Notification>,
    /// Delivered rows whose destination gave them a name (`external_ref`), oldest first: those of these incidents, and all
    /// announcements. Later messages update them.
    pub sent: Vec<Notification>,
    pub rule_alerts: Vec<RuleAlertRecord>,
    /// Receivers paged within the last [`super::limits::PAGE_WINDOW`] before the last commit, each page once, with when.
    pub recent_pages: Vec<(Arc<str>, Timestamp)>,
    /// The highest ids ever given, resolved incidents and dropped rows included.
    pub last_incident: u64,
    pub last_timeline_seq: u64,
    /// When the last commit was decided; `None` in folders of version 0.1.
    pub last_moment: Option<Timestamp>,
}

/// What a process begins with.
pub struct Restart {
    pub engine: Engine,
    pub registry: AlertRegistry,
    /// What came due while nobody ran: to be committed, and only then sent.
    pub first: Outcome,
    /// Rows of the outbox that an earlier process committed and nobody has settled: sent again at once, under their keys.
    pub resend: Vec<Arc<Notification>>,
    /// See [`Snapshot::sent`].
    pub sent: Vec<Notification>,
    pub rule_alerts: Vec<RuleAlertRecord>,
}

/// A wall clock that is so far behind the last commit has been set back; less than this is drift.
const CLOCK_BEHIND_MS: i64 = 2_000;

impl Restart {
    /// Everything as it was when the last commit returned; what came due meanwhile is decided at `now`. A clock that is behind
    /// the last commit shifts the stored moments: waits go on from where they were.
    pub fn new(settings: Arc<Settings>, registry: RegistryConfig, mut snapshot: Snapshot, now: Timestamp) -> Self {
        let last_moment = snapshot.last_moment.unwrap_or(now);
        let behind_ms = now.as_millis() - last_moment.as_millis();
        let was = if behind_ms < -CLOCK_BEHIND_MS { last_moment } else { now };
        let mut sent = std::mem::take(&mut snapshot.sent);
        for row in &mut sent {
            row.integration = settings.integration(&row.receiver, &row.integration);
        }
        let rule_alerts = std::mem::take(&mut snapshot.rule_alerts);
        let registry = AlertRegistry::new(registry);
        registry.restore(snapshot.alerts.iter().cloned(), now);
        let pending: Vec<NotificationKey> = snapshot.outbox.iter().map(|row| row.key.clone()).collect();
        let mut engine = Engine::new(settings);
        engine.restore(snapshot, was);
        if was > now {
            engine.shift(now, behind_ms);
        }
        engine.rebuild(last_moment.min(now));
        engine.settle();
        let first = engine.finish();
        let resend = pending.iter().filter_map(|key| engine.outbox.get(key)).map(|row| row.notification.clone());
        let resend = resend.collect();
        Self { engine, registry, first, resend, sent, rule_alerts }
    }
}

impl Engine {
    /// The stored rows back in memory; nothing is decided.
    fn restore(&mut self, snapshot: Snapshot, now: Timestamp) {
        self.begin(now);
        let snapshot = self.integrations_of_today(snapshot);
        self.last_incident = snapshot.incidents.iter().map(|i| i.id.0).max().unwrap_or(0).max(snapshot.last_incident);
        self.last_timeline_seq = snapshot.last_timeline_seq;
        self.mutes.silences = Silences::restore(snapshot.silences.into_iter().map(Arc::new));
        self.groups.log = snapshot.nflog.into_iter().map(|e| (e.key.clone(), Arc::new(e))).collect();
        for (receiver, at) in snapshot.recent_pages {
            // The clock may have been set back since: no page holds a place longer than one that goes out now.
            self.page_limit.remember(receiver, at.min(now));
        }
        for record in snapshot.alerts {
            self.restore_alert(record);
        }
        for incident in snapshot.incidents {
            self.restore_incident(incident);
        }
        self.restore_members(snapshot.members);
        for notification in snapshot.outbox {
            self.restore_pending(notification);
        }
    }

    /// Rows of version 0.1 name an integration by its position over all kinds. They are looked up once, and written again by what
    /// they are called now.
    fn integrations_of_today(&mut self, mut snapshot: Snapshot) -> Snapshot {
        let settings = self.settings.clone();
        for entry in &mut snapshot.nflog {
            let is = settings.integration(&entry.key.receiver, &entry.key.integration);
            if is != entry.key.integration {
                self.changes.rest.push(Write::NflogDropped(entry.key.clone()));
                entry.key.integration = is;
                self.changes.rest.push(Write::Nflog(Arc::new(entry.clone())));
            }
        }
        for incident in &mut snapshot.incidents {
            let is = |(receiver, stored): &(Arc<str>, IntegrationId)| {
                (receiver.clone(), settings.integration(receiver, stored))
            };
            let delivered_to = incident.escalation.delivered_to.iter().map(is).collect();
            if delivered_to != incident.escalation.delivered_to {
                incident.escalation.delivered_to = delivered_to;
                self.changes.dirty.insert(incident.id);
            }
        }
        for notification in &mut snapshot.outbox {
            let is = settings.integration(&notification.receiver, &notification.integration);
            if is != notification.integration {
                notification.integration = is;
                self.changes.rest.push(Write::Notification(Arc::new(notification.clone())));
            }
        }
        snapshot
    }

    fn restore_alert(&mut self, record: AlertRecord) {
        if let Some(ended) = record.ended_at {
            self.ended.push_back((ended.min(self.now), record.fingerprint));
        }
        self.alerts.insert(record.fingerprint, AlertEntry::new(Arc::new(record)));
    }

    fn restore_incident(&mut self, incident: Incident) {
        let id = incident.id;
        for receiver in &incident.escalation.held {
            self.page_limit.restore_held(receiver.clone(), incident.severity, id);
        }
        match incident.resolved_at() {
            Some(at) => self.closed.push_back((at.min(self.now), id)),
            None => self.index.open(&incident),
        }
        self.incidents.insert(id, IncidentEntry::new(incident));
        self.changes.rearm.insert(id);
    }

    /// Each alert belongs where it was put last; one that left keeps no claim.
    fn restore_members(&mut self, members: Vec<Member>) {
        // A place in an incident that counts firing alerts speaks first: moments may be wrong, where the clock was set. Else the
        // latest of an alert's rows does; where it was moved at one moment, the place it was moved to.
        let mut latest: BTreeMap<Fingerprint, (bool, Timestamp, bool, IncidentId)> = BTreeMap::new();
        let mut left: BTreeMap<(IncidentId, Fingerprint), Option<Timestamp>> = BTreeMap::new();
        for member in members {
            let (alert, id) = (member.fingerprint, member.incident);
            let counts = self.incidents.get(&id).is_some_and(|entry| entry.incident.firing_count > 0);
            let is_here = counts && !member.detached && member.left_at.is_none();
            let place = (is_here, member.attached_at, !member.detached, id);
            let known = latest.entry(alert).or_insert(place);
            *known = (*known).max(place);
            if member.left_at.is_some() {
                left.insert((id, alert), member.left_at);
            }
            if let Some(entry) = self.incidents.get_mut(&id).filter(|_| !member.detached) {
                entry.lines = entry.lines.saturating_add(1);
                entry.members.insert(alert, Arc::new(member));
            }
        }
        let mut still_firing: BTreeMap<IncidentId, Vec<(Timestamp, Fingerprint)>> = BTreeMap::new();
        for (alert, (_, _, here, id)) in latest {
            let Some(entry) = self.alerts.get_mut(&alert) else { continue };
            if let Some(left_at) = left.get(&(id, alert)).copied().flatten() {
                // Taken out while it fired as it does now: it stays out. Set aside because it fired anew, muted: it waits.
                entry.apart = !here && entry.record.starts_at <= left_at;
                continue;
            }
            if entry.record.is_firing() && self.incidents.get(&id).is_some_and(|incident| !incident.is_open()) {
                still_firing.entry(id).or_default().push((entry.record.starts_at, alert));
                continue;
            }
            entry.incident = Some(id);
            if entry.record.is_firing()
                && let Some(incident) = self.incidents.get_mut(&id)
            {
                incident.firing.insert(alert);
            }
        }
        for (id, alerts) in still_firing {
            self.restore_still_firing(id, alerts);
        }
        self.cover_what_is_known();
    }

    /// An answer of version 0.1 says nothing of what was known: it covers what is.
    fn cover_what_is_known(&mut self) {
        let says_nothing = |entry: &&IncidentEntry| entry.incident.covers().is_some_and(BTreeSet::is_empty);
        let ids: Vec<IncidentId> = self.incidents.values().filter(says_nothing).map(|e| e.incident.id).collect();
        for id in ids {
            let covers = self.covers_of(id);
            if let Some(incident) = self.edit(id) {
                crate::incidents::lifecycle::cover(incident, covers);
            }
        }
    }

    /// A resolved incident has as many firing alerts as its row counts, those that began first. What began after it was over is
    /// another failure, which waits for a place of its own.
    fn restore_still_firing(&mut self, id: IncidentId, mut alerts: Vec<(Timestamp, Fingerprint)>) {
        let Some(incident) = self.incidents.get_mut(&id) else { return };
        alerts.sort_unstable();
        alerts.truncate(incident.incident.firing_count as usize);
        for (_, alert) in alerts {
            incident.firing.insert(alert);
            if let Some(entry) = self.alerts.get_mut(&alert) {
                entry.incident = Some(id);
            }
        }
    }

    fn restore_pending(&mut self, notification: Notification) {
        let key = notification.key.clone();
        match &notification.kind {
            // What people sent again belongs to no step.
            NotificationKind::Page { .. } if key.is_resend() => {}
            NotificationKind::Page { incident, run, round, step } => {
                if let Some(entry) = self.incidents.get_mut(incident) {
                    let at = notification.created_at.min(self.now);
                    // After the fallback there is nobody left to turn to.
                    let of = |r: &&crate::model::EscalationRun| {
                        let waits = !r.reached && r.state != RunState::Exhausted;
                        (*run == r.run || *run == 0) && (*round, *step) == (r.round, r.step) && waits
                    };
                    let waits = entry.incident.escalation.runs.iter().find(of).map(|r| r.run);
                    if let Some(number) = waits.filter(|_| entry.incident.is_triggered()) {
                        let known = entry.undelivered_since.entry(number).or_insert(at);
                        *known = (*known).min(at);
                    }
                    entry.pages.entry(key).or_default().extend(waits);
                }
            }
            NotificationKind::Announcement { .. } if key.is_resend() => {}
            NotificationKind::Announcement { group_key, .. } => {
                let place = NflogKey {
                    group_key: group_key.clone(),
                    receiver: notification.receiver.clone(),
                    integration: notification.integration.clone(),
                };
                self.groups.on_the_way.insert(place, key);
            }
            NotificationKind::Update { .. } => {}
        }
        // It may have been sent just before the end; nobody knows.
        self.outbox.put(Arc::new(notification), true);
    }
}
