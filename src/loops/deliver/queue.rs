//! The queue of one destination: lanes by urgency, one message at a time of each incident or group, retries by due time.
//! In: notifications, and what became of them. Out: the next one to send.
//! Never: reads a clock; times are spans since the destination's start.
//! Start at [`Queue::pop`].

use super::order::{Item, LANES, OrderKey, Place, STALE_MIN, lane};
use crate::model::{Notification, NotificationKey};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

#[derive(Default)]
pub(super) struct Queue {
    items: HashMap<NotificationKey, (Item, Place)>,
    /// Keys; one that is no longer `Ready` in `items` was cancelled and is skipped.
    lanes: [VecDeque<NotificationKey>; LANES],
    /// A key in here has one message under way (ready, waiting or on the wire); the others stand in line.
    lines: HashMap<OrderKey, VecDeque<NotificationKey>>,
    waiting: BTreeMap<(Duration, u64), NotificationKey>,
    seq: u64,
    /// Keys in `lanes` and `lines` whose message was cancelled.
    stale: usize,
}

impl Queue {
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// False when it is here already (a restart dispatches what is still pending).
    pub fn push(&mut self, notification: Arc<Notification>) -> bool {
        let key = notification.key.clone();
        if self.items.contains_key(&key) {
            return false;
        }
        let item = Item { attempts: notification.attempts, notification, reported_at: None };
        let place = if let Some(line) = self.lines.get_mut(&OrderKey::of(&item.notification)) {
            line.push_back(key.clone());
            Place::Parked
        } else {
            self.lines.insert(OrderKey::of(&item.notification), VecDeque::new());
            self.lanes[lane(&item.notification)].push_back(key.clone());
            Place::Ready
        };
        self.items.insert(key, (item, place));
        true
    }

    /// The most urgent message that may be sent now; it counts as on the wire until [`Self::settle`] or [`Self::retry`].
    pub fn pop(&mut self) -> Option<Item> {
        for lane in &mut self.lanes {
            while let Some(key) = lane.pop_front() {
                if let Some((item, place @ Place::Ready)) = self.items.get_mut(&key) {
                    *place = Place::OnWire;
                    return Some(item.clone());
                }
            }
        }
        None
    }

    pub fn has_ready(&self) -> bool {
        self.lanes.iter().flatten().any(|key| self.items.get(key).is_some_and(|(_, place)| *place == Place::Ready))
    }

    /// Puts a message that failed for now between tries; its line goes on waiting. False when it was cancelled meanwhile.
    pub fn retry(&mut self, item: Item, due: Duration) -> bool {
        let key = item.notification.key.clone();
        if !self.items.contains_key(&key) {
            self.advance(&OrderKey::of(&item.notification));
            return false;
        }
        self.seq += 1;
        self.waiting.insert((due, self.seq), key.clone());
        self.items.insert(key, (item, Place::Waiting(due, self.seq)));
        true
    }

    /// A message on the wire is done with, for good or ill: the next of its incident or group gets ready.
    pub fn settle(&mut self, notification: &Notification) {
        self.items.remove(&notification.key);
        self.advance(&OrderKey::of(notification));
    }

    /// Drops a message. One on the wire stays there, but is not tried again.
    pub fn cancel(&mut self, key: &NotificationKey) {
        let Some((item, place)) = self.items.remove(key) else { return };
        if let Place::Waiting(due, seq) = place {
            self.waiting.remove(&(due, seq));
        }
        if matches!(place, Place::Ready | Place::Waiting(..)) {
            self.advance(&OrderKey::of(&item.notification));
        }
        if matches!(place, Place::Ready | Place::Parked) {
            self.stale += 1;
            self.sweep();
        }
    }

    /// A destination that is down for days must not collect the keys of everything that was replaced meanwhile.
    fn sweep(&mut self) {
        if self.stale > STALE_MIN.max(self.items.len()) {
            self.lanes.iter_mut().chain(self.lines.values_mut()).for_each(|l| l.retain(|k| self.items.contains_key(k)));
            self.stale = 0;
        }
    }

    /// Makes everything ready whose time has come.
    pub fn wake(&mut self, now: Duration) {
        while self.waiting.first_key_value().is_some_and(|((due, _), _)| *due <= now) {
            self.wake_first();
        }
    }

    /// Makes the one that is due first ready before its time, as a probe.
    pub fn wake_first(&mut self) {
        let Some((_, key)) = self.waiting.pop_first() else { return };
        if let Some((item, place)) = self.items.get_mut(&key) {
            *place = Place::Ready;
            self.lanes[lane(&item.notification)].push_back(key);
        }
    }

    /// The destination is back: nothing needs to wait for its own time.
    pub fn wake_all(&mut self) {
        self.wake(Duration::MAX);
    }

    pub fn next_due(&self) -> Option<Duration> {
        self.waiting.first_key_value().map(|((due, _), _)| *due)
    }

    fn advance(&mut self, order: &OrderKey) {
        let Some(line) = self.lines.get_mut(order) else { return };
        while let Some(key) = line.pop_front() {
            if let Some((item, place @ Place::Parked)) = self.items.get_mut(&key) {
                *place = Place::Ready;
                self.lanes[lane(&item.notification)].push_back(key);
                return;
            }
        }
        self.lines.remove(order);
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
