//! Announcements: groups tell their receivers, with Alertmanager's semantics.
//! In: alerts in their groups, flush times, receipts. Out: one notification per integration that needs to hear, and the log of it.
//! Never: two undelivered announcements of one group to one integration; the newer replaces the older.
//! Start at [`Engine::flush`].

use super::Settings;
use super::core::Engine;
use super::limits;
use super::message::{Digest, announcement_key, short_hash};
use crate::alerts::group::MessageKey;
use crate::alerts::nflog::{NotifyDecision, decide};
use crate::alerts::{Flush, GroupId, Groups as GroupTable, RouteNode};
use crate::model::{
    AlertRecord, Fingerprint, NflogEntry, NflogKey, Notification, NotificationKey, NotificationKind, NotificationState,
    ReceiverSpec, Timestamp, Write,
};
use std::collections::BTreeMap;
use std::sync::Arc;

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
}

impl Groups {
    /// Forgets the groups; what receivers know and what is on its way to them stays.
    pub(super) fn clear(&mut self) {
        self.table = GroupTable::new();
        self.state.clear();
        self.by_name.clear();
    }
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

/// What a flush says, before it is addressed.
struct Say<'a> {
    firing: Vec<Fingerprint>,
    resolved: Vec<Fingerprint>,
    records: Vec<&'a Arc<AlertRecord>>,
}

impl Engine {
    /// Puts an alert into the groups of the routes that take it, and notes the policy they name.
    pub(super) fn group(&mut self, alert: Fingerprint) {
        let settings = self.settings.clone();
        let Some(entry) = self.alerts.get_mut(&alert) else { return };
        let nodes = settings.route.match_all(&entry.record.labels);
        let routed = || nodes.iter().find_map(|node| node.escalation_policy.clone());
        entry.policy = settings.policy_override(&entry.record.labels).or_else(routed);
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
        // Muted by time counts as told: nothing is queued for later, the next tick after the interval decides.
        let muted_by_time = self.mutes.route(node, now).is_some();
        let all_told = muted_by_time || self.announce(&flush, node, &settings);
        let state = self.groups.state.entry(id).or_default();
        (state.changed, state.epoch) = (false, epoch);
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

    /// Tells each integration that needs to hear. True when none is left waiting.
    fn announce(&mut self, flush: &Flush, node: &RouteNode, settings: &Arc<Settings>) -> bool {
        let Some(receiver) = node.receiver.as_ref().and_then(|name| settings.receiver(name)) else { return true };
        let now = self.now;
        let unmuted = |record: &&Arc<AlertRecord>| self.mutes.alert(&record.labels, now).is_none();
        let records: Vec<&Arc<AlertRecord>> = flush.alerts.iter().filter(unmuted).collect();
        let of = |firing: bool| -> Vec<Fingerprint> {
            records.iter().filter(|a| a.is_firing() == firing).map(|a| a.fingerprint).collect()
        };
        let say = Say { firing: of(true), resolved: of(false), records };
        let mut quiet_until = Some(now + node.repeat_interval);
        let mut waiting = false;
        if say.records.is_empty() {
            // Alertmanager's pipeline ends when everything is muted: nobody is told, nothing is logged.
            self.quiet(flush.group, quiet_until);
            return true;
        }
        let mut digests: [Option<Digest>; 2] = [None, None];
        for (index, integration) in receiver.integrations.iter().enumerate() {
            let key =
                NflogKey { group_key: flush.group_key.clone(), receiver: receiver.name.clone(), integration: index };
            let entry = self.groups.log.get(&key);
            let decision = decide(
                entry.map(|e| &**e),
                &say.firing,
                &say.resolved,
                now,
                node.repeat_interval,
                integration.send_resolved,
            );
            match decision {
                NotifyDecision::Skip(_) => {
                    quiet_until = quiet_until.min(entry.map(|e| e.at + node.repeat_interval));
                    waiting |= self.withdraw(&key, &say);
                }
                NotifyDecision::Notify(_) if say.firing.is_empty() && !integration.send_resolved => {
                    // Only ends, to somebody who wants none: it counts as told, so that the log forgets.
                    self.log_told(&key, &say.firing, &say.resolved, now, now + node.repeat_interval * 2);
                }
                NotifyDecision::Notify(_) => {
                    // Until its receipt comes there is nothing to compare again.
                    waiting = true;
                    if self.is_on_the_way(&key, &say) {
                        continue;
                    }
                    let digest = digests[usize::from(integration.send_resolved)]
                        .get_or_insert_with(|| digest(&say.records, integration.send_resolved));
                    let notification = address(flush, node, receiver, index, &say, digest, (settings, now));
                    self.supersede(&key);
                    self.groups.on_the_way.insert(key, notification.key.clone());
                    self.post(Arc::new(notification));
                }
            }
        }
        self.quiet(flush.group, quiet_until);
        !waiting
    }

    fn quiet(&mut self, group: GroupId, until: Option<Timestamp>) {
        self.groups.state.entry(group).or_default().quiet_until = until;
    }

    /// Whether what the integration should hear is on its way already.
    fn is_on_the_way(&self, key: &NflogKey, say: &Say<'_>) -> bool {
        let pending = self.groups.on_the_way.get(key).and_then(|key| self.outbox.get(key));
        pending.is_some_and(|p| match &p.notification.kind {
            NotificationKind::Announcement { firing, resolved, .. } => {
                *firing == say.firing && *resolved == say.resolved
            }
            _ => false,
        })
    }

    /// Nothing needs to be told any more; what is on its way with old news is taken back. True while something still is.
    fn withdraw(&mut self, key: &NflogKey, say: &Say<'_>) -> bool {
        if self.groups.on_the_way.contains_key(key) && self.is_on_the_way(key, say) {
            return true;
        }
        self.supersede(key);
        false
    }

    fn supersede(&mut self, key: &NflogKey) {
        if let Some(old) = self.groups.on_the_way.remove(key) {
            self.cancel(&old);
        }
    }

    /// An announcement was delivered or given up.
    pub(super) fn announced(&mut self, notification: &Notification, at: Timestamp, delivered: bool) {
        let NotificationKind::Announcement { group_key, firing, resolved, log_expires_at } = &notification.kind else {
            return;
        };
        let key = NflogKey {
            group_key: group_key.clone(),
            receiver: notification.receiver.clone(),
            integration: notification.integration,
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
            }
        }
        self.finish_group(group_key, &notification.receiver, delivered, current);
    }

    /// One announcement of a group is settled: the last one lets the told ends leave, a failed one is tried at the next flush.
    fn finish_group(&mut self, group_key: &Arc<str>, receiver: &Arc<str>, delivered: bool, current: bool) {
        let Some(id) = self.groups.by_name.get(&(group_key.clone(), receiver.clone())).copied() else { return };
        let from = NflogKey { group_key: group_key.clone(), receiver: receiver.clone(), integration: 0 };
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
        let entry = Arc::new(NflogEntry {
            key: key.clone(),
            firing: firing.to_vec(),
            resolved: resolved.to_vec(),
            at,
            expires_at,
        });
        self.turn.rest.push(Write::Nflog(entry.clone()));
        self.groups.log.insert(key.clone(), entry);
    }

    /// Forgets log entries that nobody will ask for.
    pub(super) fn sweep_nflog(&mut self) {
        let now = self.now;
        let over: Vec<NflogKey> =
            self.groups.log.values().filter(|e| e.expires_at <= now).map(|e| e.key.clone()).collect();
        for key in over {
            self.groups.log.remove(&key);
            self.turn.rest.push(Write::NflogDropped(key));
        }
    }
}

fn digest(records: &[&Arc<AlertRecord>], send_resolved: bool) -> Digest {
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
fn address(
    flush: &Flush,
    node: &RouteNode,
    receiver: &ReceiverSpec,
    index: usize,
    say: &Say<'_>,
    digest: &Digest,
    (settings, now): (&Settings, Timestamp),
) -> Notification {
    let integration = &receiver.integrations[index];
    let message = digest.message(
        &receiver.name,
        &flush.group_key,
        &flush.labels,
        &settings.external_url,
        integration.max_alerts,
        None,
    );
    let bytes = |list: &[Fingerprint]| -> Vec<u8> { list.iter().flat_map(|fp| fp.0.to_le_bytes()).collect() };
    let content = short_hash([&bytes(&say.firing)[..], &bytes(&say.resolved)[..]]);
    Notification {
        key: NotificationKey(announcement_key(&flush.group_key, now, &content, &receiver.name, index)),
        kind: NotificationKind::Announcement {
            group_key: flush.group_key.clone(),
            firing: say.firing.clone(),
            resolved: say.resolved.clone(),
            log_expires_at: now + node.repeat_interval * 2,
        },
        receiver: receiver.name.clone(),
        integration: index,
        integration_kind: integration.kind.into(),
        message: Arc::new(message),
        created_at: now,
        state: NotificationState::Pending,
        attempts: 0,
        sent_at: None,
        error: None,
        external_ref: None,
    }
}
