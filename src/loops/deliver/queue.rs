//! The queue of one destination: lanes by urgency, one message at a time of each incident or group, retries by due time.
//! In: notifications, and what became of them. Out: the next one to send.
//! Never: reads a clock; times are spans since the destination's start.
//! Start at [`Queue::pop`].

use super::order::{Item, LANES, OrderKey, QueuePlace, STALE_MIN, is_urgent, lane, lanes_of};
use crate::model::{Notification, NotificationKey, NotificationKind};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

type Waiting = BTreeMap<(Duration, u64), NotificationKey>;

#[derive(Default)]
pub(super) struct Queue {
    items: HashMap<NotificationKey, (Item, QueuePlace)>,
    /// Keys; one that is no longer `Ready` in `items` was cancelled and is skipped.
    lanes: [VecDeque<NotificationKey>; LANES],
    /// A key in here has one message under way (ready, waiting or on the wire); the others stand in line.
    lines: HashMap<OrderKey, VecDeque<NotificationKey>>,
    /// Between tries, by due time: urgent ones, then the others.
    waiting: [Waiting; 2],
    seq: u64,
    /// Keys in `lanes` and `lines` whose message was cancelled.
    stale: usize,
    /// Pages that came since [`Self::unannounced_pages`] was last asked.
    new_pages: Vec<NotificationKey>,
}

impl Queue {
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// False when it is here already (a restart dispatches what is still pending).
    pub fn push(&mut self, notification: Arc<Notification>, age: Duration, now: Duration) -> bool {
        let key = notification.key.clone();
        if self.items.contains_key(&key) {
            return false;
        }
        let item = Item {
            attempts: notification.attempts,
            notification,
            age_when_queued: age,
            queued_at: now,
            reported_at: None,
            blocked: false,
        };
        if is_page(&item.notification) {
            self.new_pages.push(key.clone());
        }
        let place = if let Some(line) = self.lines.get_mut(&OrderKey::of(&item.notification)) {
            line.push_back(key.clone());
            QueuePlace::Parked
        } else {
            self.lines.insert(OrderKey::of(&item.notification), VecDeque::new());
            self.lanes[lane(&item.notification)].push_back(key.clone());
            QueuePlace::Ready
        };
        self.items.insert(key, (item, place));
        true
    }

    /// The most urgent message that may be sent now; it counts as on the wire until [`Self::settle`] or [`Self::retry`].
    pub fn pop(&mut self, only_urgent: bool) -> Option<Item> {
        for lane in &mut self.lanes[lanes_of(only_urgent)] {
            while let Some(key) = lane.pop_front() {
                if let Some((item, place @ QueuePlace::Ready)) = self.items.get_mut(&key) {
                    *place = QueuePlace::OnWire;
                    return Some(item.clone());
                }
            }
        }
        None
    }

    pub fn has_ready(&self, only_urgent: bool) -> bool {
        self.lanes[lanes_of(only_urgent)]
            .iter()
            .flatten()
            .any(|key| self.items.get(key).is_some_and(|(_, place)| *place == QueuePlace::Ready))
    }

    /// Puts a message that failed for now between tries; its line goes on waiting. False when it was cancelled meanwhile.
    pub fn retry(&mut self, item: Item, due: Duration) -> bool {
        let key = item.notification.key.clone();
        if !self.items.contains_key(&key) {
            self.advance(&OrderKey::of(&item.notification));
            return false;
        }
        self.seq += 1;
        self.waiting[waiting_of(&item.notification)].insert((due, self.seq), key.clone());
        if is_page(&item.notification) && !item.blocked {
            self.new_pages.push(key.clone());
        }
        self.items.insert(key, (item, QueuePlace::Waiting(due, self.seq)));
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
        if let QueuePlace::Waiting(due, seq) = place {
            self.waiting[waiting_of(&item.notification)].remove(&(due, seq));
        }
        if matches!(place, QueuePlace::Ready | QueuePlace::Waiting(..)) {
            self.advance(&OrderKey::of(&item.notification));
        }
        if matches!(place, QueuePlace::Ready | QueuePlace::Parked) {
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
        for which in 0..self.waiting.len() {
            while self.waiting[which].first_key_value().is_some_and(|((due, _), _)| *due <= now) {
                self.wake_first_of(which);
            }
        }
    }

    /// Makes the one that is due first ready before its time, as a probe; an urgent one if there is any.
    pub fn wake_first(&mut self, only_urgent: bool) {
        let which = usize::from(!only_urgent && self.waiting[0].is_empty());
        self.wake_first_of(which);
    }

    fn wake_first_of(&mut self, which: usize) {
        let Some((_, key)) = self.waiting[which].pop_first() else { return };
        if let Some((item, place)) = self.items.get_mut(&key) {
            *place = QueuePlace::Ready;
            self.lanes[lane(&item.notification)].push_back(key);
        }
    }

    /// The destination is back: nothing needs to wait for its own time, and nothing is blocked.
    pub fn wake_all(&mut self) {
        self.wake(Duration::MAX);
        self.items.values_mut().for_each(|(item, _)| item.blocked = false);
    }

    /// When the next one of these is due again.
    pub fn next_due(&self, urgent: bool) -> Option<Duration> {
        self.waiting[usize::from(!urgent)].first_key_value().map(|((due, _), _)| *due)
    }

    /// Pages that wait and of which the engine does not know that the destination is away: of all, or of those that came since the
    /// last call. Those between tries count where it `is_away`, not where it only asked for a moment's rest. They count as reported
    /// from now on.
    pub fn unannounced_pages(&mut self, of_all: bool, is_away: bool) -> Vec<Item> {
        let new: Vec<NotificationKey> = std::mem::take(&mut self.new_pages);
        let keys = if of_all { self.items.keys().cloned().collect() } else { new };
        let mut unannounced = Vec::new();
        for key in keys {
            let Some((item, place)) = self.items.get_mut(&key) else { continue };
            let is_held = match place {
                QueuePlace::Ready | QueuePlace::Parked => true,
                QueuePlace::Waiting(..) => is_away,
                QueuePlace::OnWire => false,
            };
            if is_held && is_page(&item.notification) && !item.blocked {
                item.blocked = true;
                unannounced.push(item.clone());
            }
        }
        unannounced.sort_by(|a, b| a.notification.key.cmp(&b.notification.key));
        unannounced
    }

    /// The destination is not away: whatever came meanwhile needs no word.
    pub fn forget_new_pages(&mut self) {
        self.new_pages.clear();
    }

    /// Where a message is, if it is here.
    pub fn place(&self, key: &NotificationKey) -> Option<(&Item, QueuePlace)> {
        self.items.get(key).map(|(item, place)| (item, *place))
    }

    fn advance(&mut self, order: &OrderKey) {
        let Some(line) = self.lines.get_mut(order) else { return };
        while let Some(key) = line.pop_front() {
            if let Some((item, place @ QueuePlace::Parked)) = self.items.get_mut(&key) {
                *place = QueuePlace::Ready;
                self.lanes[lane(&item.notification)].push_back(key);
                return;
            }
        }
        self.lines.remove(order);
    }
}

fn is_page(notification: &Notification) -> bool {
    matches!(notification.kind, NotificationKind::Page { .. })
}

fn waiting_of(notification: &Notification) -> usize {
    usize::from(!is_urgent(notification))
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
