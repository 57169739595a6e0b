//! Firing alerts that are muted: who they are, and what has to go for them to be looked at again.
//! In: an alert and its mute. Out: the alerts that are free when a mute ends.
//! Never: decides whether an alert is muted.
//! Start at [`Waiting::wait`].

use crate::model::{Fingerprint, MuteReason};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub(super) struct Waiting {
    by_alert: BTreeMap<Fingerprint, MuteReason>,
    by_mute: BTreeMap<MuteReason, BTreeSet<Fingerprint>>,
}

impl Waiting {
    pub(super) fn wait(&mut self, alert: Fingerprint, mute: MuteReason) {
        self.forget(alert);
        self.by_mute.entry(mute.clone()).or_default().insert(alert);
        self.by_alert.insert(alert, mute);
    }

    pub(super) fn forget(&mut self, alert: Fingerprint) {
        let Some(mute) = self.by_alert.remove(&alert) else { return };
        if let Some(alerts) = self.by_mute.get_mut(&mute) {
            alerts.remove(&alert);
            if alerts.is_empty() {
                self.by_mute.remove(&mute);
            }
        }
    }

    /// The mute has ended: these alerts must be looked at again.
    pub(super) fn lift(&mut self, mute: &MuteReason) -> BTreeSet<Fingerprint> {
        let alerts = self.by_mute.remove(mute).unwrap_or_default();
        for alert in &alerts {
            self.by_alert.remove(alert);
        }
        alerts
    }

    /// The alert has ended: those that it inhibited must be looked at again.
    pub(super) fn lift_source(&mut self, source: Fingerprint) -> BTreeSet<Fingerprint> {
        let first = MuteReason::Inhibited { source, rule: "".into() };
        let of_source = |mute: &&MuteReason| matches!(mute, MuteReason::Inhibited { source: s, .. } if *s == source);
        let mutes: Vec<MuteReason> =
            self.by_mute.range(first..).map(|(m, _)| m).take_while(of_source).cloned().collect();
        mutes.iter().flat_map(|mute| self.lift(mute)).collect()
    }

    /// Every mute of a kind, to be lifted together.
    pub(super) fn mutes(&self, keep: impl Fn(&MuteReason) -> bool) -> Vec<MuteReason> {
        self.by_mute.keys().filter(|c| keep(c)).cloned().collect()
    }

    pub(super) fn holds(&self, alert: Fingerprint) -> bool {
        self.by_alert.contains_key(&alert)
    }

    pub(super) fn len(&self) -> usize {
        self.by_alert.len()
    }
}
