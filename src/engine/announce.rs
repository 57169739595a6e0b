//! Announcements: groups tell their receivers, with Alertmanager's semantics.
//! In: alerts in their groups, flush times, receipts. Out: one notification per integration that needs to hear, and the log of it.
//! Never: two undelivered announcements of one group to one integration; the newer replaces the older.
//! Start at [`Engine::flush`].

use super::Settings;
use super::core::Engine;
use super::former_groups::FormerGroups;
use super::limits;
use super::message::{Digest, announcement_key, incident_link, short_hash};
use crate::alerts::group::MessageKey;
use crate::alerts::nflog::{NotifyDecision, NotifyReason, SkipReason, decide};
use crate::alerts::{Flush, GroupId, Groups as GroupTable, RouteNode};
use crate::model::{
    AlertRecord, Fingerprint, IncidentId, IntegrationId, IntegrationSpec, Labels, MESSAGE_INCIDENTS_MAX, NflogEntry,
    NflogKey, Notification, NotificationKey, NotificationKind, NotificationState, ReceiverSpec, Timestamp, Write,
};
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Groups and what their receivers know.
#[derive(Default)]
pub(super) struct Groups {
    pub table: GroupTable,
    /// What each group is about beyond its alerts.
    pub state: BTreeMap<GroupId, GroupState>,
    /// The notification log.
    pub log: BTreeMap<NflogKey, Arc<NflogEntry>>,
    /// The undelivered announcement of a group to an integration.
    pub on_the_way: BTreeMap<NflogKey, NotificationKey>,
    /// Groups by key and receiver, as receipts name them.
    pub by_name: BTreeMap<(Arc<str>, Arc<str>), GroupId>,
    /// What was told of alerts that are in no such group any more.
    pub former: FormerGroups,
}

/// When each group, by key and receiver, is flushed next, and whether it was before.
pub(super) type GroupTimers = BTreeMap<(Arc<str>, Arc<str>), (Timestamp, bool)>;

impl Groups {
    /// Forgets the groups but for their timers; what receivers know and what is on its way to them stays.
    pub(super) fn clear(&mut self) -> GroupTimers {
        let next = |(name, id): (&(Arc<str>, Arc<str>), &GroupId)| {
            let group = self.table.get(*id)?;
            Some((name.clone(), (group.next_flush, group.has_flushed)))
        };
        let timers = self.by_name.iter().filter_map(next).collect();
        self.table = GroupTable::new();
        self.state.clear();
        self.by_name.clear();
        timers
    }

    /// Groups that were there before go on with their ticks: as `timers` has them or, after a restart, at the first tick after
    /// `last_moment` that follows from when their receivers were told last.
    pub(super) fn keep_timers(&mut self, timers: &GroupTimers, last_moment: Timestamp, now: Timestamp) {
        let mut told: BTreeMap<(Arc<str>, Arc<str>), Timestamp> = BTreeMap::new();
        for entry in self.log.values() {
            let at = told.entry((entry.key.group_key.clone(), entry.key.receiver.clone())).or_insert(entry.at);
            *at = (*at).max(entry.at);
        }
        for (name, id) in &self.by_name {
            let next = timers.get(name).copied();
            let interval = self.table.interval(*id).unwrap_or_default();
            let next = next.or_else(|| told.get(name).map(|at| (next_tick(*at, interval, last_moment), true)));
            match next {
                // A shorter interval holds from now on.
                Some((next, true)) => self.table.resume(*id, next.min(now + interval), true),
                Some((next, false)) => self.table.resume(*id, next, false),
                // Never flushed: it waits from when its first alert was taken, not from when we started.
                None => {
                    let Some(group) = self.table.get(*id) else { continue };
                    let taken_at = group.alerts.values().map(|alert| alert.updated_at).min();
                    let next = group.next_flush - now.since(taken_at.unwrap_or(now));
                    self.table.resume(*id, next.max(now), false);
                }
            }
        }
    }

    /// The wall clock was set. Returns the log entries, whose repeats wait from their moment on.
    pub(super) fn shift(&mut self, by_ms: i64) -> Vec<Arc<NflogEntry>> {
        self.table.shift(by_ms);
        for state in self.state.values_mut() {
            state.quiet_until = state.quiet_until.map(|at| at.shifted(by_ms));
        }
        for entry in self.log.values_mut() {
            let moved = Arc::make_mut(entry);
            moved.at = moved.at.shifted(by_ms);
            moved.expires_at = moved.expires_at.shifted(by_ms);
        }
        self.log.values().cloned().collect()
    }
}

/// The first of the ticks `interval` apart, counted from `told_at`, that comes after `last_moment`.
fn next_tick(told_at: Timestamp, interval: Duration, last_moment: Timestamp) -> Timestamp {
    let step = (interval.as_millis() as i64).max(1);
    let passed = (last_moment.as_millis() - told_at.as_millis()).max(0) / step;
    told_at.shifted(step.saturating_mul(passed + 1))
}

#[derive(Debug, Default)]
pub(super) struct GroupState {
    /// It stands in [`Groups::by_name`].
    pub named: bool,
    /// Alerts came or went since the last flush.
    pub changed: bool,
    /// The mutes' epoch at the last flush.
    pub epoch: u64,
    /// Before this, a flush without changes tells nobody anything new.
    pub quiet_until: Option<Timestamp>,
    /// The ended alerts of the last flush, to leave when everybody has heard.
    pub told: Option<Flush>,
}

impl std::fmt::Debug for Groups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Groups {{ groups: {}, log: {} }}", self.table.len(), self.log.len())
    }
}

/// What a group has to say, before it is addressed to anybody.
pub(super) struct Content<'a> {
    /// Sorted.
    pub firing: Vec<Fingerprint>,
    pub resolved: Vec<Fingerprint>,
    pub records: Vec<&'a Arc<AlertRecord>>,
}

impl<'a> Content<'a> {
    pub(super) fn of(records: Vec<&'a Arc<AlertRecord>>) -> Self {
        let of = |firing: bool| -> Vec<Fingerprint> {
            let mut list: Vec<Fingerprint> =
                records.iter().filter(|a| a.is_firing() == firing).map(|a| a.fingerprint).collect();
            list.sort_unstable();
            list
        };
        Self { firing: of(true), resolved: of(false), records }
    }
}

/// The group that an announcement is about.
pub(super) struct Announcing<'a> {
    pub group_key: &'a Arc<str>,
    pub labels: &'a Labels,
    /// The log entry expires then.
    pub log_expires_at: Timestamp,
    pub settings: &'a Settings,
    pub now: Timestamp,
}

impl Engine {
    /// Puts an alert into the groups of the routes that take it, and notes the policies they name.
    pub(super) fn group(&mut self, alert: Fingerprint) {
        let settings = self.settings.clone();
        let Some(entry) = self.alerts.get_mut(&alert) else { return };
        let nodes = settings.route.match_all(&entry.record.labels);
        entry.policies = policies_of(&settings, &entry.record.labels, &nodes);
        entry.groups.clear();
        for node in nodes {
            let Some(receiver) = &node.receiver else { continue };
            let id = self.groups.table.insert(node, &entry.record, self.now);
            entry.groups.push(id);
            let state = self.groups.state.entry(id).or_default();
            state.changed = true;
            if !state.named
                && let Some(group) = self.groups.table.get(id)
            {
                state.named = true;
                self.groups.by_name.insert((group.key.clone(), receiver.clone()), id);
            }
        }
    }

    /// An alert in its groups got a newer record. `news`: it ended, so its groups have something to tell.
    pub(super) fn regroup(&mut self, alert: Fingerprint, news: bool) {
        let settings = self.settings.clone();
        let Some(entry) = self.alerts.get(&alert) else { return };
        for id in &entry.groups {
            // An alert whose end was told has left its group and must not come back by an echo of that end.
            let held = self.groups.table.get(*id).filter(|group| group.alerts.contains_key(&alert));
            let Some(group) = held else { continue };
            if let Some(node) = settings.route.nodes().get(group.route) {
                self.groups.table.insert(node, &entry.record, self.now);
            }
            if let Some(state) = self.groups.state.get_mut(id) {
                state.changed |= news;
            }
        }
    }

    /// Whether an ended alert still waits in a group for its end to be told.
    pub(super) fn is_grouped(&self, alert: Fingerprint) -> bool {
        let groups = self.alerts.get(&alert).map(|entry| &entry.groups[..]).unwrap_or_default();
        groups.iter().any(|id| self.groups.table.get(*id).is_some_and(|g| g.alerts.contains_key(&alert)))
    }

    /// A group's time has come: mute, compare with the log, tell who needs to hear.
    pub(super) fn flush(&mut self, id: GroupId) {
        let now = self.now;
        let settings = self.settings.clone();
        let Some(node) = self.groups.table.get(id).and_then(|g| settings.route.nodes().get(g.route)) else { return };
        let epoch = self.mutes.epoch;
        let by_time = !(node.mute_time_intervals.is_empty() && node.active_time_intervals.is_empty());
        let state = self.groups.state.entry(id).or_default();
        let idle = !state.changed && state.epoch == epoch && !by_time && state.quiet_until.is_some_and(|at| now < at);
        if idle {
            // Nothing to compare: only the next tick is set. A storm's groups would cost their whole size each second.
            self.groups.table.skip(id, now);
            return;
        }
        let Some(flush) = self.groups.table.flush(id, now) else { return };
        let all_told = self.announce(&flush, node, &settings);
        let state = self.groups.state.entry(id).or_default();
        state.changed = false;
        state.epoch = epoch;
        if all_told {
            self.group_done(&flush);
        } else {
            let ended = flush.alerts.iter().filter(|a| !a.is_firing()).cloned().collect();
            self.groups.state.entry(id).or_default().told = Some(Flush { alerts: ended, ..flush });
        }
    }

    fn group_done(&mut self, flush: &Flush) {
        self.groups.table.done(flush);
        if self.groups.table.get(flush.group).is_none() {
            self.groups.state.remove(&flush.group);
            let key = &flush.group_key;
            let names = (key.clone(), "".into())..;
            let gone = |(name, id): &(&(Arc<str>, Arc<str>), &GroupId)| name.0 == *key && **id == flush.group;
            let name = self.groups.by_name.range(names).take_while(|(name, _)| name.0 == *key).find(gone);
            if let Some(name) = name.map(|(name, _)| name.clone()) {
                self.groups.by_name.remove(&name);
            }
        } else if let Some(state) = self.groups.state.get_mut(&flush.group) {
            state.told = None;
        }
    }

    /// Tells each integration that needs to hear. True when none is left waiting. What is muted is told to nobody, but for the
    /// end of an alert: whoever heard of the fire hears of it. Muted by time, nothing is queued for later: the next tick after
    /// the interval decides.
    fn announce(&mut self, flush: &Flush, node: &RouteNode, settings: &Arc<Settings>) -> bool {
        let Some(receiver) = node.receiver.as_ref().and_then(|name| settings.receiver(name)) else { return true };
        let now = self.now;
        let muted_by_time = !self.mutes.route(node, now).is_empty();
        let is_open = |record: &&Arc<AlertRecord>| !muted_by_time && self.mutes.alert(&record.labels, now).is_none();
        let (open, muted): (Vec<_>, Vec<_>) = flush.alerts.iter().partition(is_open);
        let content = Content::of(open);
        let announcing = Announcing {
            group_key: &flush.group_key,
            labels: &flush.labels,
            log_expires_at: now + node.repeat_interval * 2,
            settings,
            now,
        };
        let mut quiet_until = Some(now + node.repeat_interval);
        let mut waiting = false;
        let mut digests: [Option<Digest>; 2] = [None, None];
        for integration in &receiver.integrations {
            let key = NflogKey {
                group_key: flush.group_key.clone(),
                receiver: receiver.name.clone(),
                integration: integration.id.clone(),
            };
            let entry = self.groups.log.get(&key).cloned();
            let owed = entry.as_ref().and_then(|entry| with_owed_ends(&content, &muted, entry));
            let is_shared = owed.is_none();
            let own = owed.as_ref().unwrap_or(&content);
            if own.records.is_empty() {
                // Alertmanager's pipeline ends when everything is muted: nobody is told, nothing is logged.
                continue;
            }
            let decision = self.decide_for(integration, &key, entry.as_deref(), own, node);
            match decision {
                NotifyDecision::Skip(_) => {
                    quiet_until = quiet_until.min(entry.map(|e| e.at + node.repeat_interval));
                    waiting |= self.withdraw(&key, own);
                }
                NotifyDecision::Notify(_) if own.firing.is_empty() && !integration.send_resolved => {
                    // Only ends, to somebody who wants none: it counts as told, so that the log forgets.
                    self.log_told(&key, &own.firing, &own.resolved, now, announcing.log_expires_at);
                }
                NotifyDecision::Notify(why) => {
                    // Until its receipt comes there is nothing to compare again.
                    waiting = true;
                    if self.is_on_the_way(&key, own) {
                        continue;
                    }
                    let unshared;
                    let digest = if is_shared {
                        digests[usize::from(integration.send_resolved)]
                            .get_or_insert_with(|| digest(&own.records, integration.send_resolved))
                    } else {
                        unshared = digest(&own.records, integration.send_resolved);
                        &unshared
                    };
                    let mut notification = address(&announcing, receiver, integration, own, digest, why.to_string());
                    self.link_incidents(&mut notification);
                    self.send_announcement(key, notification);
                }
            }
        }
        self.quiet(flush.group, quiet_until);
        !waiting
    }

    /// What one integration needs to hear, by the log and by what may have reached it already.
    fn decide_for(
        &self,
        integration: &IntegrationSpec,
        key: &NflogKey,
        entry: Option<&NflogEntry>,
        own: &Content<'_>,
        node: &RouteNode,
    ) -> NotifyDecision {
        let wants_ends = integration.send_resolved;
        match decide(entry, &own.firing, &own.resolved, self.now, node.repeat_interval, wants_ends) {
            NotifyDecision::Skip(SkipReason::NeverNotified | SkipReason::KnownResolved)
                if wants_ends && self.may_have_told(key, &own.resolved) =>
            {
                NotifyDecision::Notify(NotifyReason::AllResolved)
            }
            decision => decision,
        }
    }

    /// Names the incidents that the alerts of an announcement are in, the latest first.
    pub(super) fn link_incidents(&self, notification: &mut Notification) {
        let alerts = notification.message.alerts.iter();
        let ids: BTreeSet<IncidentId> =
            alerts.filter_map(|alert| self.alerts.get(&alert.fingerprint)?.incident).collect();
        let known = ids.into_iter().rev().filter_map(|id| self.incidents.get(&id));
        let links = known.take(MESSAGE_INCIDENTS_MAX);
        let links = links.map(|entry| incident_link(&entry.incident, &self.settings.external_url)).collect();
        Arc::make_mut(&mut notification.message).incidents = links;
    }

    /// Puts an announcement into the outbox in place of the one that is on its way to the same integration.
    pub(super) fn send_announcement(&mut self, key: NflogKey, notification: Notification) {
        self.supersede(&key);
        self.groups.on_the_way.insert(key, notification.key.clone());
        self.post(Arc::new(notification));
    }

    fn quiet(&mut self, group: GroupId, until: Option<Timestamp>) {
        self.groups.state.entry(group).or_default().quiet_until = until;
    }

    /// Whether what the integration should hear is on its way already.
    pub(super) fn is_on_the_way(&self, key: &NflogKey, content: &Content<'_>) -> bool {
        let pending = self.groups.on_the_way.get(key).and_then(|key| self.outbox.get(key));
        pending.is_some_and(|p| match &p.notification.kind {
            NotificationKind::Announcement { firing, resolved, .. } => {
                *firing == content.firing && *resolved == content.resolved
            }
            _ => false,
        })
    }

    /// Whether a message that no receipt has settled may have told of these alerts as firing: then their ends are owed.
    fn may_have_told(&self, key: &NflogKey, ended: &[Fingerprint]) -> bool {
        let pending = self.groups.on_the_way.get(key).and_then(|key| self.outbox.get(key));
        pending.filter(|pending| pending.may_be_delivered).is_some_and(|pending| match &pending.notification.kind {
            NotificationKind::Announcement { firing, .. } => ended.iter().any(|alert| firing.contains(alert)),
            _ => false,
        })
    }

    /// Nothing needs to be told any more; what is on its way with old contents is taken back. True while something still is.
    fn withdraw(&mut self, key: &NflogKey, content: &Content<'_>) -> bool {
        if self.groups.on_the_way.contains_key(key) && self.is_on_the_way(key, content) {
            return true;
        }
        self.supersede(key);
        false
    }

    fn supersede(&mut self, key: &NflogKey) {
        let Some(old) = self.groups.on_the_way.remove(key) else { return };
        let firing = match self.outbox.get(&old).map(|pending| &pending.notification.kind) {
            Some(NotificationKind::Announcement { firing, .. }) => firing.clone(),
            _ => Vec::new(),
        };
        if self.cancel(&old) {
            self.owe_ends(key, &firing);
        }
    }

    /// A message that is not sent again may have told of these fires: their ends are owed, as if it had.
    fn owe_ends(&mut self, key: &NflogKey, firing: &[Fingerprint]) {
        let known = self.groups.log.get(key).cloned();
        let is_news = |alert: &&Fingerprint| known.as_ref().is_none_or(|entry| !entry.has_heard(**alert));
        let news: Vec<Fingerprint> = firing.iter().filter(is_news).copied().collect();
        if news.is_empty() {
            return;
        }
        let mut entry = known.map_or_else(
            || NflogEntry {
                key: key.clone(),
                firing: Vec::new(),
                resolved: Vec::new(),
                owed: Vec::new(),
                at: Timestamp::EPOCH,
                expires_at: self.now,
            },
            Arc::unwrap_or_clone,
        );
        entry.owed.extend(news);
        entry.owed.sort_unstable();
        let entry = Arc::new(entry);
        self.changes.rest.push(Write::Nflog(entry.clone()));
        self.groups.log.insert(key.clone(), entry);
    }

    /// An announcement was delivered or given up.
    pub(super) fn announced(&mut self, notification: &Notification, at: Timestamp, delivered: bool) {
        let NotificationKind::Announcement { group_key, firing, resolved, log_expires_at, .. } = &notification.kind
        else {
            return;
        };
        let key = NflogKey {
            group_key: group_key.clone(),
            receiver: notification.receiver.clone(),
            integration: notification.integration.clone(),
        };
        let current = self.groups.on_the_way.get(&key) == Some(&notification.key);
        if current {
            self.groups.on_the_way.remove(&key);
        }
        if delivered {
            // Alertmanager stamps the entry when the pipeline ran, so that repeats keep their distance.
            let newer = self.groups.log.get(&key).is_some_and(|entry| entry.at > at);
            if !newer {
                self.log_told(&key, firing, resolved, at, *log_expires_at);
                self.former_told(&key);
                self.owe_late_ends(&key);
            }
        }
        self.finish_group(group_key, &notification.receiver, delivered, current);
    }

    /// One announcement of a group is settled: the last one lets the told ends leave, a failed one is tried at the next flush.
    fn finish_group(&mut self, group_key: &Arc<str>, receiver: &Arc<str>, delivered: bool, current: bool) {
        let Some(id) = self.groups.by_name.get(&(group_key.clone(), receiver.clone())).copied() else { return };
        let from = NflogKey {
            group_key: group_key.clone(),
            receiver: receiver.clone(),
            integration: IntegrationId::new("", 0),
        };
        let of_group = |key: &NflogKey| key.group_key == *group_key && key.receiver == *receiver;
        let open = self.groups.on_the_way.range(from..).next().is_some_and(|(key, _)| of_group(key));
        let Some(state) = self.groups.state.get_mut(&id) else { return };
        // A failure is tried again at the next flush; what arrived after it was taken back must be compared with what holds now.
        state.changed |= !delivered || !current;
        if !delivered {
            state.told = None;
        } else if !open && let Some(flush) = state.told.take() {
            self.group_done(&flush);
        }
    }

    fn log_told(
        &mut self,
        key: &NflogKey,
        firing: &[Fingerprint],
        resolved: &[Fingerprint],
        at: Timestamp,
        expires_at: Timestamp,
    ) {
        let owed = self.groups.log.get(key).map_or(Vec::new(), |entry| {
            let is_open = |alert: &Fingerprint| self.alerts.contains_key(alert);
            let told =
                |alert: &Fingerprint| firing.binary_search(alert).is_ok() || resolved.binary_search(alert).is_ok();
            let mut owed: Vec<Fingerprint> = entry.heard().filter(is_open).filter(|alert| !told(alert)).collect();
            owed.sort_unstable();
            owed
        });
        let entry = Arc::new(NflogEntry {
            key: key.clone(),
            firing: firing.to_vec(),
            resolved: resolved.to_vec(),
            owed,
            at,
            expires_at,
        });
        self.changes.rest.push(Write::Nflog(entry.clone()));
        self.groups.log.insert(key.clone(), entry);
    }

    /// Whether an integration that heard of a fire has not heard of its end: the destination may be away for longer than a log
    /// entry lives, and repeats that would renew the entry do not arrive either.
    fn owes_an_end(&self, entry: &NflogEntry) -> bool {
        let is_open = |alert: &Fingerprint| {
            self.alerts.get(alert).is_some_and(|known| known.record.is_firing() || self.is_grouped(*alert))
        };
        self.groups.former.owes(&entry.key)
            || self.groups.on_the_way.contains_key(&entry.key)
            || entry.heard().any(|alert| is_open(&alert))
    }

    /// Forgets log entries that nobody will ask for.
    pub(super) fn sweep_nflog(&mut self) {
        let now = self.now;
        // Not while the end of something in it is owed: no repeat of a former group keeps its entry alive.
        let is_over = |e: &&Arc<NflogEntry>| e.expires_at <= now && !self.owes_an_end(e);
        let over: Vec<NflogKey> = self.groups.log.values().filter(is_over).map(|e| e.key.clone()).collect();
        for key in over {
            self.groups.log.remove(&key);
            self.changes.rest.push(Write::NflogDropped(key));
        }
    }
}

/// The escalation policies that an alert asks for: its heartbeat's own, else those of its routes, each once.
fn policies_of(settings: &Settings, labels: &Labels, nodes: &[&RouteNode]) -> SmallVec<[Arc<str>; 1]> {
    let mut policies: SmallVec<[Arc<str>; 1]> = settings.policy_override(labels).into_iter().collect();
    if policies.is_empty() {
        for policy in nodes.iter().filter_map(|node| node.escalation_policy.as_ref()) {
            if !policies.contains(policy) {
                policies.push(policy.clone());
            }
        }
    }
    policies
}

/// What this integration hears where muted alerts have ended of which it heard: their ends, and the muted ones that still fire,
/// so that it takes nothing for over that is not.
fn with_owed_ends<'a>(
    content: &Content<'a>,
    muted: &[&'a Arc<AlertRecord>],
    entry: &NflogEntry,
) -> Option<Content<'a>> {
    let heard = |record: &&&'a Arc<AlertRecord>| entry.has_heard(record.fingerprint);
    let is_owed = muted.iter().filter(heard).any(|record| !record.is_firing());
    is_owed.then(|| {
        let owed = muted.iter().filter(heard).copied();
        Content::of(content.records.iter().copied().chain(owed).collect())
    })
}

pub(super) fn digest(records: &[&Arc<AlertRecord>], send_resolved: bool) -> Digest {
    let mut keyed: Vec<(MessageKey<'_>, &Arc<AlertRecord>)> =
        records.iter().map(|record| (MessageKey::of(&record.labels), *record)).collect();
    // Only the first thousand are listed; the rest need no order.
    if keyed.len() > limits::MESSAGE_ALERTS_MAX {
        keyed.select_nth_unstable_by(limits::MESSAGE_ALERTS_MAX, |a, b| a.0.cmp(&b.0));
        keyed[..limits::MESSAGE_ALERTS_MAX].sort_by(|a, b| a.0.cmp(&b.0));
    } else {
        keyed.sort_by(|a, b| a.0.cmp(&b.0));
    }
    Digest::of(keyed.into_iter().map(|(_, record)| record).filter(|record| send_resolved || record.is_firing()))
}

/// The announcement to one integration.
pub(super) fn address(
    announcing: &Announcing<'_>,
    receiver: &ReceiverSpec,
    integration: &IntegrationSpec,
    content: &Content<'_>,
    digest: &Digest,
    reason: String,
) -> Notification {
    let Announcing { group_key, labels, log_expires_at, settings, now } = *announcing;
    let message =
        digest.message(&receiver.name, group_key, labels, &settings.external_url, integration.max_alerts, None);
    let bytes = |list: &[Fingerprint]| -> Vec<u8> { list.iter().flat_map(|fp| fp.0.to_le_bytes()).collect() };
    let text = short_hash([&bytes(&content.firing)[..], &bytes(&content.resolved)[..]]);
    Notification {
        key: NotificationKey(announcement_key(group_key, now, &text, &receiver.name, &integration.id)),
        kind: NotificationKind::Announcement {
            group_key: group_key.clone(),
            firing: content.firing.clone(),
            resolved: content.resolved.clone(),
            log_expires_at,
            reason,
        },
        receiver: receiver.name.clone(),
        integration: integration.id.clone(),
        message: Arc::new(message),
        created_at: now,
        state: NotificationState::Pending,
        attempts: 0,
        sent_at: None,
        error: None,
        external_ref: None,
    }
}
