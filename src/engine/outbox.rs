//! The outbox in memory: messages that are neither delivered nor given up, and those taken back that may arrive all the same.
//! In: messages that were decided, receipts. Out: the rows, by key.
//! Never: sends.
//! Start at [`Outbox`].

use crate::model::{Notification, NotificationKey, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug, Default)]
pub(super) struct Outbox {
    rows: BTreeMap<NotificationKey, Pending>,
    /// Taken back, perhaps on the wire already, until their receipt comes or the sweep does.
    cancelled: BTreeMap<NotificationKey, (Arc<Notification>, Timestamp)>,
}

/// A row of the outbox on its way.
#[derive(Debug)]
pub(super) struct Pending {
    pub notification: Arc<Notification>,
    /// It may have reached its destination although no receipt said so.
    pub may_be_delivered: bool,
    /// Its destination is known to be away: nobody waits for it.
    pub blocked: bool,
}

impl Outbox {
    pub(super) fn put(&mut self, notification: Arc<Notification>, may_be_delivered: bool) {
        self.rows.insert(notification.key.clone(), Pending { notification, may_be_delivered, blocked: false });
    }

    pub(super) fn get(&self, key: &NotificationKey) -> Option<&Pending> {
        self.rows.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &NotificationKey) -> Option<&mut Pending> {
        self.rows.get_mut(key)
    }

    pub(super) fn contains(&self, key: &NotificationKey) -> bool {
        self.rows.contains_key(key)
    }

    pub(super) fn take(&mut self, key: &NotificationKey) -> Option<Pending> {
        self.rows.remove(key)
    }

    /// By key.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&NotificationKey, &Pending)> {
        self.rows.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Keeps what was taken back for a receipt that may still come.
    pub(super) fn remember_cancelled(&mut self, notification: Arc<Notification>, now: Timestamp) {
        self.cancelled.insert(notification.key.clone(), (notification, now));
    }

    pub(super) fn cancelled(&self, key: &NotificationKey) -> Option<&Arc<Notification>> {
        self.cancelled.get(key).map(|(notification, _)| notification)
    }

    pub(super) fn forget_cancelled(&mut self, key: &NotificationKey) {
        self.cancelled.remove(key);
    }

    pub(super) fn sweep(&mut self, over: impl Fn(Timestamp) -> bool) {
        self.cancelled.retain(|_, (_, at)| !over(*at));
    }

    /// The wall clock was set.
    pub(super) fn shift(&mut self, by_ms: i64) {
        for (_, at) in self.cancelled.values_mut() {
            *at = at.shifted(by_ms);
        }
    }
}
