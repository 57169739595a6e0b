//! Aggregation groups: the alerts of one route with the same group labels, and when they are looked at next.
//! In: records and the route nodes that take them. Out: [`Flush`]: everything a group holds, at its time.
//! Never: decides whether anybody is notified (`mute` and `nflog` do), or keeps more groups than alerts times their routes.
//! Start at [`Groups::insert`], [`Groups::flush`] and [`Groups::done`].

use crate::alerts::route::RouteNode;
use crate::model::{AlertRecord, Fingerprint, Labels, Timestamp};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// The number of a group. It is never given to another one, so a flush of a group that is gone changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u64);

/// What a group holds at its time.
#[derive(Clone, Debug)]
pub struct Flush {
    pub group: GroupId,
    /// Alertmanager's text: `{}/{owner="team-A"}:{alertname="X"}`.
    pub group_key: Arc<str>,
    pub labels: Labels,
    /// [`RouteNode::index`].
    pub route: usize,
    /// Firing and ended, by fingerprint; [`message_order`] is for whoever builds a message of them.
    pub alerts: Vec<Arc<AlertRecord>>,
}

impl Flush {
    /// Fingerprints of the firing and of the ended alerts, each sorted, as `nflog::decide` takes them.
    pub fn split(&self) -> (Vec<Fingerprint>, Vec<Fingerprint>) {
        let of = |firing| self.alerts.iter().filter(move |a| a.is_firing() == firing).map(|a| a.fingerprint).collect();
        (of(true), of(false))
    }
}

/// A group for readers.
#[derive(Clone, Copy, Debug)]
pub struct GroupView<'a> {
    pub id: GroupId,
    pub key: &'a Arc<str>,
    pub labels: &'a Labels,
    pub route: usize,
    pub alerts: &'a BTreeMap<Fingerprint, Arc<AlertRecord>>,
    pub next_flush: Timestamp,
    pub has_flushed: bool,
}

struct AlertGroup {
    key: Arc<str>,
    labels: Labels,
    route: usize,
    interval: Duration,
    next_flush: Timestamp,
    has_flushed: bool,
    alerts: BTreeMap<Fingerprint, Arc<AlertRecord>>,
}

/// All groups of one routing tree. A new tree needs new groups: fill them from the registry.
#[derive(Default)]
pub struct Groups {
    next_id: u64,
    by_id: HashMap<GroupId, AlertGroup>,
    by_labels: HashMap<(usize, Labels), GroupId>,
    due: BTreeSet<(Timestamp, GroupId)>,
}

impl Groups {
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a record, new or newer, into the group of `route` it belongs to. The first alert opens the group, which is
    /// due after `group_wait`; an alert that began longer ago than that makes a group that was never flushed due at once.
    pub fn insert(&mut self, route: &RouteNode, alert: &Arc<AlertRecord>, now: Timestamp) -> GroupId {
        let labels = route.group_by.group_labels(&alert.labels);
        let place = (route.index, labels);
        let id = match self.by_labels.get(&place) {
            Some(id) => *id,
            None => self.open(route, place, now),
        };
        let Some(group) = self.by_id.get_mut(&id) else { return id };
        group.alerts.insert(alert.fingerprint, Arc::clone(alert));
        if !group.has_flushed && alert.starts_at + route.group_wait < now && group.next_flush > now {
            self.due.remove(&(group.next_flush, id));
            group.next_flush = now;
            self.due.insert((now, id));
        }
        id
    }

    /// When the next group is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// A group that is due now; it stays due until [`Groups::flush`]. Once its receivers are notified, call [`Groups::done`].
    pub fn pop_due(&self, now: Timestamp) -> Option<GroupId> {
        self.due.first().filter(|(at, _)| *at <= now).map(|(_, id)| *id)
    }

    /// What the group holds, and its next time: one group interval from now.
    pub fn flush(&mut self, group: GroupId, now: Timestamp) -> Option<Flush> {
        let held = self.by_id.get_mut(&group)?;
        self.due.remove(&(held.next_flush, group));
        held.next_flush = now + held.interval;
        held.has_flushed = true;
        self.due.insert((held.next_flush, group));
        Some(Flush {
            group,
            group_key: Arc::clone(&held.key),
            labels: held.labels.clone(),
            route: held.route,
            alerts: held.alerts.values().cloned().collect(),
        })
    }

    /// The group has nothing new to say: only its next time is set, one group interval from now.
    pub fn skip(&mut self, group: GroupId, now: Timestamp) {
        let Some(held) = self.by_id.get_mut(&group) else { return };
        self.due.remove(&(held.next_flush, group));
        held.next_flush = now + held.interval;
        self.due.insert((held.next_flush, group));
    }

    /// The flush succeeded: every receiver was notified or need not be. Ended alerts leave unless they changed
    /// meanwhile, and an empty group with them. Not called after a failure: the next flush has them still.
    pub fn done(&mut self, flush: &Flush) {
        let Some(group) = self.by_id.get_mut(&flush.group) else { return };
        for notified in flush.alerts.iter().filter(|a| !a.is_firing()) {
            if group
                .alerts
                .get(&notified.fingerprint)
                .is_some_and(|held| Arc::ptr_eq(held, notified) || held == notified)
            {
                group.alerts.remove(&notified.fingerprint);
            }
        }
        if group.alerts.is_empty() {
            self.close(flush.group);
        }
    }

    pub fn interval(&self, group: GroupId) -> Option<Duration> {
        self.by_id.get(&group).map(|held| held.interval)
    }

    /// The group was in another table before: it goes on at `next_flush`.
    pub fn resume(&mut self, group: GroupId, next_flush: Timestamp, has_flushed: bool) {
        let Some(held) = self.by_id.get_mut(&group) else { return };
        self.due.remove(&(held.next_flush, group));
        held.next_flush = next_flush;
        held.has_flushed = has_flushed;
        self.due.insert((next_flush, group));
    }

    /// The wall clock was set: ticks go on from where they were.
    pub fn shift(&mut self, by_ms: i64) {
        self.due.clear();
        for (id, held) in &mut self.by_id {
            held.next_flush = held.next_flush.shifted(by_ms);
            self.due.insert((held.next_flush, *id));
        }
    }

    /// For readers (`/api/v2/alerts/groups`), in no order.
    pub fn iter(&self) -> impl Iterator<Item = GroupView<'_>> {
        self.by_id.iter().map(|(id, group)| view(*id, group))
    }

    pub fn get(&self, group: GroupId) -> Option<GroupView<'_>> {
        self.by_id.get(&group).map(|g| view(group, g))
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    fn open(&mut self, route: &RouteNode, place: (usize, Labels), now: Timestamp) -> GroupId {
        let id = GroupId(self.next_id);
        self.next_id += 1;
        let next_flush = now + route.group_wait;
        let group = AlertGroup {
            key: route.group_key(&place.1),
            labels: place.1.clone(),
            route: route.index,
            interval: route.group_interval,
            next_flush,
            has_flushed: false,
            alerts: BTreeMap::new(),
        };
        self.by_id.insert(id, group);
        self.by_labels.insert(place, id);
        self.due.insert((next_flush, id));
        id
    }

    fn close(&mut self, id: GroupId) {
        if let Some(group) = self.by_id.remove(&id) {
            self.due.remove(&(group.next_flush, id));
            self.by_labels.remove(&(group.route, group.labels));
        }
    }
}

fn view(id: GroupId, group: &AlertGroup) -> GroupView<'_> {
    GroupView {
        id,
        key: &group.key,
        labels: &group.labels,
        route: group.route,
        alerts: &group.alerts,
        next_flush: group.next_flush,
        has_flushed: group.has_flushed,
    }
}

/// The order of alerts in a message: by `job`, then `instance` (with the label before without), then the label sets,
/// the smaller one first (Alertmanager, `AlertSlice.Less` and `LabelSet.Before`).
pub fn message_order(a: &Labels, b: &Labels) -> Ordering {
    MessageKey::of(a).cmp(&MessageKey::of(b))
}

/// What [`message_order`] compares first, looked up once for a list that is to be sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageKey<'a> {
    job: Option<&'a str>,
    instance: Option<&'a str>,
    labels: &'a Labels,
}

impl<'a> MessageKey<'a> {
    pub fn of(labels: &'a Labels) -> Self {
        let mut key = Self { job: None, instance: None, labels };
        for (name, value) in labels {
            match name {
                "instance" => key.instance = Some(value),
                "job" => key.job = Some(value),
                // Names are sorted.
                _ if name > "job" => break,
                _ => {}
            }
        }
        key
    }
}

impl Ord for MessageKey<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let by = |a: Option<&str>, b: Option<&str>| a.is_none().cmp(&b.is_none()).then_with(|| a.cmp(&b));
        by(self.job, other.job)
            .then_with(|| by(self.instance, other.instance))
            .then_with(|| label_set_order(self.labels, other.labels))
    }
}

impl PartialOrd for MessageKey<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn label_set_order(a: &Labels, b: &Labels) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| {
        for ((a_name, a_value), (b_name, b_value)) in a.iter().zip(b) {
            // The set that lacks the smaller name comes first.
            let by = b_name.cmp(a_name).then_with(|| a_value.cmp(b_value));
            if by.is_ne() {
                return by;
            }
        }
        Ordering::Equal
    })
}
