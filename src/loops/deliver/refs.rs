//! What destinations called earlier messages, so that later ones can update them.
//! In: deliveries. Out: the reference of an incident's or a group's first message.
//! Never: keeps more than a bound.
//! Start at [`Refs`].

use super::order::OrderKey;
use crate::model::{Notification, NotificationKind};
use indexmap::IndexMap;
use std::sync::Arc;

/// Incidents and groups whose first message is remembered per destination; older ones get a new message.
const REFS_MAX: usize = 10_000;

/// What a destination called the first message about an incident or group.
#[derive(Default)]
pub(super) struct Refs(IndexMap<OrderKey, Arc<str>>);

impl Refs {
    /// The row's own reference wins: it survives a restart.
    pub fn get(&self, notification: &Notification) -> Option<Arc<str>> {
        notification.external_ref.clone().or_else(|| self.0.get(&OrderKey::of(notification)).cloned())
    }

    pub fn put(&mut self, notification: &Notification, external_ref: Option<&Arc<str>>) {
        let key = OrderKey::of(notification);
        let announced_end =
            matches!(notification.kind, NotificationKind::Announcement { .. }) && !notification.message.firing;
        match external_ref {
            // A group that fires again later gets a message of its own, not a change far up in the channel.
            Some(_) if announced_end => drop(self.0.shift_remove(&key)),
            Some(reference) => {
                if self.0.len() >= REFS_MAX {
                    self.0.shift_remove_index(0);
                }
                self.0.insert(key, Arc::clone(reference));
            }
            None => {}
        }
    }
}
