//! A store that forgets when the process ends: for tests, trials and the simulator.
//! In: the same writes as every store. Out: the same answers.
//! Never: touches the disk.
//! Start at [`MemoryStore`].

use super::batch::Moved;
use super::contract::{
    INCIDENTS_PAGE_MAX, IncidentQuery, NOTIFICATIONS_PAGE_MAX, NotificationPage, NotificationQuery,
    RESOLVED_KEPT_IN_MEMORY, RETAIN_ROWS_MAX, Retention, Store, StoreError, StoreFuture, TIMELINE_MAX, recent_pages,
};
use crate::engine::Snapshot;
use crate::model::{
    AlertRecord, Fingerprint, Incident, IncidentId, Member, NflogEntry, NflogKey, Notification, NotificationKey,
    NotificationKind, NotificationState, RuleAlertRecord, Silence, TimelineEntry, Timestamp, Write,
};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Hard state in maps behind one lock. Grows with what is written; `retain` is what bounds it.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Tables>);

#[derive(Debug)]
struct AlertRow {
    record: Arc<AlertRecord>,
    dropped: bool,
}

#[derive(Debug, Default)]
struct Tables {
    alerts: BTreeMap<Fingerprint, AlertRow>,
    incidents: BTreeMap<IncidentId, Arc<Incident>>,
    members: BTreeMap<(IncidentId, Fingerprint), Arc<Member>>,
    timeline: BTreeMap<(IncidentId, u64), Arc<TimelineEntry>>,
    silences: BTreeMap<Arc<str>, Arc<Silence>>,
    notifications: BTreeMap<NotificationKey, Arc<Notification>>,
    /// Their order, by a number that counts up.
    notification_order: BTreeMap<u64, NotificationKey>,
    nflog: BTreeMap<NflogKey, Arc<NflogEntry>>,
    rule_alerts: BTreeMap<(Arc<str>, Fingerprint), Arc<RuleAlertRecord>>,
    last_incident: u64,
    last_timeline_seq: u64,
    last_moment: Option<Timestamp>,
}

impl MemoryStore {
    pub fn new() -> Self {
        Self::default()
    }

    fn answer<T: Send + 'static>(&self, read: impl FnOnce(&mut Tables) -> T) -> StoreFuture<'_, T> {
        let answer = read(&mut self.0.lock());
        Box::pin(async move { Ok::<T, StoreError>(answer) })
    }
}

impl Tables {
    fn apply(&mut self, write: Write) {
        match write {
            Write::Alert(record) => {
                self.alerts.insert(record.fingerprint, AlertRow { record, dropped: false });
            }
            Write::AlertDropped(fingerprint) => {
                if let Some(row) = self.alerts.get_mut(&fingerprint) {
                    row.dropped = true;
                }
            }
            Write::Incident(incident) => {
                self.last_incident = self.last_incident.max(incident.id.0);
                self.incidents.insert(incident.id, incident);
            }
            Write::Member(member) => {
                self.members.insert((member.incident, member.fingerprint), member);
            }
            Write::Timeline(entry) => {
                self.last_timeline_seq = self.last_timeline_seq.max(entry.seq);
                self.timeline.insert((entry.incident, entry.seq), entry);
            }
            Write::Silence(silence) => {
                self.silences.insert(Arc::clone(&silence.id), silence);
            }
            Write::SilenceDropped(id) => {
                self.silences.remove(&id);
            }
            Write::Notification(row) => {
                let key = row.key.clone();
                if self.notifications.insert(key.clone(), row).is_none() {
                    let last = self.notification_order.last_key_value().map_or(0, |(number, _)| *number);
                    self.notification_order.insert(last + 1, key);
                }
            }
            Write::NotificationState { key, state, attempts, sent_at, error, external_ref } => {
                if let Some(row) = self.notifications.get_mut(&key) {
                    Moved { state, attempts, sent_at, error, external_ref }.apply_to(Arc::make_mut(row));
                }
            }
            Write::Nflog(entry) => {
                self.nflog.insert(entry.key.clone(), entry);
            }
            Write::NflogDropped(key) => {
                self.nflog.remove(&key);
            }
            Write::RuleAlert(record) => {
                self.rule_alerts.insert((Arc::clone(&record.rule), record.fingerprint), record);
            }
            Write::RuleAlertDropped { rule, fingerprint } => {
                self.rule_alerts.remove(&(rule, fingerprint));
            }
            Write::Moment(at) => self.last_moment = Some(at),
        }
    }

    fn snapshot(&self) -> Snapshot {
        let newest = self.incidents.values().filter_map(|i| i.resolved_at()).max();
        let floor = newest.map(|at| at - RESOLVED_KEPT_IN_MEMORY);
        let incidents: Vec<Incident> = self
            .incidents
            .values()
            .filter(|i| i.is_open() || i.resolved_at() >= floor || self.has_firing(i.id))
            .map(|i| Incident::clone(i))
            .collect();
        let kept: BTreeSet<IncidentId> = incidents.iter().map(|i| i.id).collect();
        let members = owned(self.members.values().filter(|m| kept.contains(&m.incident)));
        let placed: BTreeSet<Fingerprint> = members.iter().map(|m| m.fingerprint).collect();
        let newest = self.alerts.values().filter_map(|a| a.record.ended_at).max();
        let floor = newest.map(|at| at - RESOLVED_KEPT_IN_MEMORY);
        let alerts = self.alerts.iter().filter(|(fingerprint, row)| {
            let is_recent = row.record.is_firing() || row.record.ended_at >= floor;
            !row.dropped && (is_recent || placed.contains(fingerprint))
        });
        Snapshot {
            alerts: alerts.map(|(_, row)| AlertRecord::clone(&row.record)).collect(),
            incidents,
            members,
            silences: owned(self.silences.values()),
            nflog: owned(self.nflog.values()),
            outbox: owned(self.notifications.values().filter(|n| n.state == NotificationState::Pending)),
            sent: self.sent(&kept),
            rule_alerts: owned(self.rule_alerts.values()),
            recent_pages: self.recent_pages(),
            last_incident: self.last_incident,
            last_timeline_seq: self.last_timeline_seq,
            last_moment: self.last_moment,
        }
    }

    /// Each page of the last window, once per receiver, incident and moment.
    fn recent_pages(&self) -> Vec<(Arc<str>, Timestamp)> {
        let pages = self.notifications.values().filter(|n| matches!(n.kind, NotificationKind::Page { .. }));
        recent_pages(pages.map(|n| &**n), self.last_moment)
    }

    /// Delivered rows with a name of their destination's, oldest first.
    fn sent(&self, incidents: &BTreeSet<IncidentId>) -> Vec<Notification> {
        let named = |n: &&Arc<Notification>| n.external_ref.is_some() && n.state == NotificationState::Sent;
        let kept = |n: &&Arc<Notification>| n.incident().is_none_or(|id| incidents.contains(&id));
        // In the order of the rows: moments are out of order where the clock was set.
        owned(self.notification_order.values().filter_map(|key| self.notifications.get(key)).filter(named).filter(kept))
    }

    fn members_of(&self, id: IncidentId) -> impl Iterator<Item = &Arc<Member>> {
        self.members.range((id, Fingerprint(0))..=(id, Fingerprint(u64::MAX))).map(|(_, m)| m)
    }

    /// Whether an alert that fires still belongs to it.
    fn has_firing(&self, id: IncidentId) -> bool {
        let fires = |row: &AlertRow| !row.dropped && row.record.is_firing();
        self.members_of(id)
            .any(|m| !m.detached && m.left_at.is_none() && self.alerts.get(&m.fingerprint).is_some_and(fires))
    }

    fn retain(&mut self, keep: Retention) -> u64 {
        let old: BTreeSet<IncidentId> = self
            .incidents
            .values()
            .filter(|i| !i.is_open() && !self.has_firing(i.id))
            .filter(|i| i.resolved_at().is_some_and(|at| at < keep.incidents_before))
            .map(|i| i.id)
            .take(RETAIN_ROWS_MAX)
            .collect();
        let of_old: BTreeSet<Fingerprint> =
            self.members.keys().filter(|(id, _)| old.contains(id)).map(|(_, fingerprint)| *fingerprint).collect();
        self.incidents.retain(|id, _| !old.contains(id));
        self.members.retain(|(id, _), _| !old.contains(id));
        self.timeline.retain(|(id, _), _| !old.contains(id));
        self.notifications.retain(|_, n| n.incident().is_none_or(|id| !old.contains(&id)));

        let mut gone = 0;
        self.notifications.retain(|_, n| {
            let drop = gone < RETAIN_ROWS_MAX
                && n.incident().is_none()
                && n.state != NotificationState::Pending
                && n.created_at < keep.notifications_before;
            gone += usize::from(drop);
            !drop
        });
        let Self { notification_order, notifications, .. } = self;
        notification_order.retain(|_, key| notifications.contains_key(key));
        let held: BTreeSet<Fingerprint> = self.members.keys().map(|(_, fingerprint)| *fingerprint).collect();
        self.alerts.retain(|fingerprint, row| {
            let is_old =
                row.record.ended_at.is_some_and(|at| of_old.contains(fingerprint) || at < keep.incidents_before);
            held.contains(fingerprint) || !(row.dropped || is_old)
        });
        (old.len() + gone) as u64
    }
}

fn owned<'a, T: Clone + 'a>(rows: impl Iterator<Item = &'a Arc<T>>) -> Vec<T> {
    rows.map(|row| T::clone(row)).collect()
}

impl Store for MemoryStore {
    fn load(&self) -> StoreFuture<'_, Snapshot> {
        self.answer(|tables| tables.snapshot())
    }

    fn commit(&self, writes: Vec<Write>) -> StoreFuture<'_, ()> {
        self.answer(|tables| writes.into_iter().for_each(|write| tables.apply(write)))
    }

    fn incidents(&self, query: IncidentQuery) -> StoreFuture<'_, Vec<Incident>> {
        self.answer(|tables| {
            let before = query.before.unwrap_or(IncidentId(u64::MAX));
            let wanted = |i: &&Arc<Incident>| {
                (query.statuses.is_empty() || query.statuses.contains(&i.status()))
                    && (query.severities.is_empty() || query.severities.contains(&i.severity))
            };
            let page = tables.incidents.range(..before).rev().map(|(_, incident)| incident);
            owned(page.filter(wanted).take(query.limit.min(INCIDENTS_PAGE_MAX)))
        })
    }

    fn incident(&self, id: IncidentId) -> StoreFuture<'_, Option<Incident>> {
        self.answer(|tables| tables.incidents.get(&id).map(|i| Incident::clone(i)))
    }

    fn members(&self, id: IncidentId) -> StoreFuture<'_, Vec<Member>> {
        self.answer(|tables| {
            let mut members = owned(tables.members_of(id));
            members.sort_by_key(|m| (m.attached_at, m.fingerprint));
            members
        })
    }

    fn alerts_of(&self, id: IncidentId) -> StoreFuture<'_, Vec<AlertRecord>> {
        self.answer(|tables| {
            let rows = tables.members_of(id).filter_map(|m| tables.alerts.get(&m.fingerprint));
            rows.map(|row| AlertRecord::clone(&row.record)).collect()
        })
    }

    fn timeline(&self, id: IncidentId, limit: usize) -> StoreFuture<'_, Vec<TimelineEntry>> {
        self.answer(|tables| {
            let newest = tables.timeline.range((id, 0)..=(id, u64::MAX)).rev().map(|(_, entry)| entry);
            let mut lines = owned(newest.take(limit.min(TIMELINE_MAX)));
            lines.reverse();
            lines
        })
    }

    fn notifications(&self, id: IncidentId) -> StoreFuture<'_, Vec<Notification>> {
        self.answer(|tables| {
            let mut rows = owned(tables.notifications.values().filter(|n| n.incident() == Some(id)));
            rows.sort_by(|a, b| (a.created_at, &a.key).cmp(&(b.created_at, &b.key)));
            rows
        })
    }

    fn notification_page(&self, query: NotificationQuery) -> StoreFuture<'_, NotificationPage> {
        self.answer(|tables| {
            let limit = query.limit.min(NOTIFICATIONS_PAGE_MAX);
            let before = tables.notification_order.range(..query.before.unwrap_or(u64::MAX)).rev();
            let row = |(number, key): (&u64, &NotificationKey)| Some((*number, tables.notifications.get(key)?));
            let mut wanted = before.filter_map(row).filter(|(_, row)| query.wants(row));
            let page: Vec<(u64, &Arc<Notification>)> = wanted.by_ref().take(limit).collect();
            let next = wanted.next().and(page.last()).map(|(number, _)| *number);
            NotificationPage { rows: owned(page.into_iter().map(|(_, row)| row)), next }
        })
    }

    fn notification(&self, key: NotificationKey) -> StoreFuture<'_, Option<Notification>> {
        self.answer(|tables| tables.notifications.get(&key).map(|row| Notification::clone(row)))
    }

    fn retain(&self, keep: Retention) -> StoreFuture<'_, u64> {
        self.answer(|tables| tables.retain(keep))
    }
}
