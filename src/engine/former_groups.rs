//! What was told of alerts that no group announces any more: a route, a matcher or a receiver has changed since.
//! In: the notification log against the groups as they are, alerts that end. Out: the end, under the key of the beginning.
//! Never: tells a new fire, or repeats one.
//! Start at [`Engine::find_former_groups`] and [`Engine::end_for_former_groups`].

use super::announce::{Announcing, Content, address, digest};
use super::core::Engine;
use crate::model::{AlertRecord, Fingerprint, Labels, NflogEntry, NflogKey, NotificationKind};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The log keeps what was told so long after the last end; nothing repeats it.
const LOG_KEPT: Duration = Duration::from_hours(24);

/// Ends that are owed: integrations by what they heard, and the alerts that they wait for.
#[derive(Debug, Default)]
pub(super) struct FormerGroups {
    by_key: BTreeMap<NflogKey, BTreeSet<Fingerprint>>,
    by_alert: BTreeMap<Fingerprint, BTreeSet<NflogKey>>,
}

impl FormerGroups {
    pub(super) fn owes(&self, key: &NflogKey) -> bool {
        self.by_key.contains_key(key)
    }

    fn add(&mut self, key: &NflogKey, alert: Fingerprint) {
        self.by_key.entry(key.clone()).or_default().insert(alert);
        self.by_alert.entry(alert).or_default().insert(key.clone());
    }

    fn remove(&mut self, key: &NflogKey, alert: Fingerprint) {
        if let Some(alerts) = self.by_key.get_mut(key) {
            alerts.remove(&alert);
            if alerts.is_empty() {
                self.by_key.remove(key);
            }
        }
        if let Some(keys) = self.by_alert.get_mut(&alert) {
            keys.remove(key);
            if keys.is_empty() {
                self.by_alert.remove(&alert);
            }
        }
    }
}

impl Engine {
    /// Compares the log with the groups: who heard of an alert that its group does not hold now is owed the end.
    pub(super) fn find_former_groups(&mut self) {
        self.groups.former = FormerGroups::default();
        let entries: Vec<_> = self.groups.log.values().cloned().collect();
        let mut ended: BTreeSet<NflogKey> = BTreeSet::new();
        for entry in entries {
            if self.find_owed(&entry) {
                ended.insert(entry.key.clone());
            }
        }
        for key in ended {
            self.tell_former(&key);
        }
    }

    /// Notes whose ends are owed to an integration by no group. True when one of them has ended already.
    fn find_owed(&mut self, entry: &NflogEntry) -> bool {
        let name = (entry.key.group_key.clone(), entry.key.receiver.clone());
        let group = self.groups.by_name.get(&name).and_then(|id| self.groups.table.get(*id));
        let mut has_ended = false;
        for alert in entry.heard() {
            let Some(known) = self.alerts.get(&alert) else { continue };
            if group.is_none_or(|group| !group.alerts.contains_key(&alert)) {
                self.groups.former.add(&entry.key, alert);
                has_ended |= !known.record.is_firing();
            }
        }
        has_ended
    }

    /// A message arrived that had waited: its group may be gone since, and what it tells of may have ended.
    pub(super) fn owe_late_ends(&mut self, key: &NflogKey) {
        let entry = self.groups.log.get(key).cloned();
        if entry.is_some_and(|entry| self.find_owed(&entry)) {
            self.tell_former(key);
        }
    }

    /// Alerts that messages on their way tell of: while they may arrive their ends may have to be told.
    pub(super) fn about_to_be_told(&self) -> BTreeSet<Fingerprint> {
        let rows = self.groups.on_the_way.values().filter_map(|key| self.outbox.get(key));
        let firing = rows.filter_map(|row| match &row.notification.kind {
            NotificationKind::Announcement { firing, .. } => Some(firing),
            _ => None,
        });
        firing.flatten().copied().collect()
    }

    /// An alert ended: whoever heard of it in a group that it is not in any more hears of its end.
    pub(super) fn end_for_former_groups(&mut self, alert: Fingerprint) {
        let keys = self.groups.former.by_alert.get(&alert).cloned().unwrap_or_default();
        for key in keys {
            self.tell_former(&key);
        }
    }

    /// Tells one integration which of the alerts that it heard of have ended and which fire on.
    fn tell_former(&mut self, key: &NflogKey) {
        let settings = self.settings.clone();
        let Some(entry) = self.groups.log.get(key).cloned() else { return };
        let receiver = settings.receiver(&key.receiver);
        let integration = receiver.and_then(|r| r.integrations.iter().find(|i| i.id == key.integration));
        let (Some(receiver), Some(integration)) = (receiver, integration) else {
            self.changes.untold.push(key.clone());
            return self.drop_former(key);
        };
        if !integration.send_resolved {
            return self.drop_former(key);
        }
        let records: Vec<Arc<AlertRecord>> =
            entry.heard().filter_map(|alert| self.alerts.get(&alert)).map(|a| a.record.clone()).collect();
        let content = Content::of(records.iter().collect());
        if content.resolved.is_empty() || self.is_on_the_way(key, &content) {
            return;
        }
        // The group is gone and its labels with it: what its alerts have in common stands for them.
        let labels = records
            .iter()
            .skip(1)
            .fold(records.first().map_or_else(Labels::empty, |r| r.labels.clone()), |common, record| {
                common.common(&record.labels)
            });
        let announcing = Announcing {
            group_key: &key.group_key,
            labels: &labels,
            log_expires_at: self.now + LOG_KEPT,
            settings: &settings,
            now: self.now,
        };
        let reason = "an alert that this group has told of has ended, though no route leads here any more".to_owned();
        let mut notification =
            address(&announcing, receiver, integration, &content, &digest(&content.records, true), reason);
        self.link_incidents(&mut notification);
        self.send_announcement(key.clone(), notification);
    }

    fn drop_former(&mut self, key: &NflogKey) {
        for alert in self.groups.former.by_key.get(key).cloned().unwrap_or_default() {
            self.groups.former.remove(key, alert);
        }
    }

    /// An announcement arrived: what it said has ended is owed no more.
    pub(super) fn former_told(&mut self, key: &NflogKey) {
        let entry = self.groups.log.get(key).cloned();
        for alert in self.groups.former.by_key.get(key).cloned().unwrap_or_default() {
            if entry.as_ref().is_none_or(|entry| !entry.has_heard(alert)) {
                self.groups.former.remove(key, alert);
            }
        }
    }
}
