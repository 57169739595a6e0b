//! Alerts of our own making that stand for as long as something is so.
//! In: what is so now. Out: the alerts that begin, go on and end, as their source claims them.
//! Never: ends what it has not begun, or lets a claim lapse while it is so.
//! Start at [`Standing::update`].

use crate::model::{Alert, Door, Labels, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A claim lives so long without being renewed, as Prometheus' do: four of the intervals in which the loops look.
const LEASE: Duration = Duration::from_mins(1);

/// One alert that is to stand.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) labels: Labels,
    pub(super) annotations: Labels,
    /// Since when it is so; kept from the first time.
    pub(super) since: Timestamp,
}

/// The alerts that one loop has standing, each with what it said last and since when.
#[derive(Debug, Default)]
pub(super) struct Standing {
    open: BTreeMap<Labels, Wanted>,
}

impl Standing {
    /// All that is so now: each is claimed anew, and what stood and is not among them ends.
    pub(super) fn update(&mut self, wanted: Vec<Wanted>, now: Timestamp) -> Vec<Alert> {
        let mut before = std::mem::take(&mut self.open);
        let mut alerts = Vec::with_capacity(wanted.len());
        for mut one in wanted {
            if let Some(known) = before.remove(&one.labels) {
                one.since = known.since;
            }
            alerts.push(alert(&one, now + LEASE));
            self.open.insert(one.labels.clone(), one);
        }
        alerts.extend(before.values().map(|ended| alert(ended, now)));
        alerts
    }
}

fn alert(one: &Wanted, ends_at: Timestamp) -> Alert {
    Alert {
        labels: one.labels.clone(),
        annotations: one.annotations.clone(),
        generator_url: Arc::from(""),
        starts_at: one.since,
        ends_at: Some(ends_at),
        ends_by_timeout: false,
        door: Door::RemoteWrite,
        claimant: Arc::from(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_is_renewed_and_ends_once() {
        let at = |secs: i64| Timestamp::from_millis(secs * 1000);
        let wanted = |names: &[&str], secs: i64| {
            let one = |name: &&str| Wanted {
                labels: Labels::from_pairs([("alertname", *name)]),
                annotations: Labels::empty(),
                since: at(secs),
            };
            names.iter().map(one).collect::<Vec<_>>()
        };
        let mut standing = Standing::default();
        let mut check = |names: &[&str], secs: i64, expect: &[(&str, i64, i64)]| {
            let alerts = standing.update(wanted(names, secs), at(secs));
            let found: Vec<_> =
                alerts.iter().map(|a| (a.labels.alert_name(), a.starts_at, a.ends_at.unwrap())).collect();
            assert_eq!(found, expect.iter().map(|(n, s, e)| (*n, at(*s), at(*e))).collect::<Vec<_>>(), "{secs}");
        };
        check(&[], 0, &[]);
        check(&["a"], 15, &[("a", 15, 75)]);
        check(&["a", "b"], 30, &[("a", 15, 90), ("b", 30, 90)]);
        check(&["b"], 45, &[("b", 30, 105), ("a", 15, 45)]);
        check(&[], 60, &[("b", 30, 60)]);
        check(&[], 75, &[]);
        check(&["a"], 90, &[("a", 90, 150)]);
    }
}
