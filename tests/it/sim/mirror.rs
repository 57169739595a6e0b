//! What the commits so far have made of the rows: the simulator's own view, beside the store's.
//! In: the writes of commits that took effect. Out: rows to judge by.
//! Never: reads the store.
//! Start at [`Mirror::apply`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use watchfire::model::{
    Fingerprint, Incident, IncidentId, Notification, NotificationKey, NotificationKind, NotificationState, Timestamp,
    Write,
};

/// A page as it was committed.
#[derive(Clone, Debug)]
pub struct Page {
    pub incident: IncidentId,
    pub receiver: Arc<str>,
    /// When it was decided, on the clock that never jumps.
    pub at_ms: u64,
}

#[derive(Default)]
pub struct Mirror {
    pub alerts: BTreeMap<Fingerprint, bool>,
    /// Alerts that have ended since the last look.
    pub ended: BTreeSet<Fingerprint>,
    pub incidents: BTreeMap<IncidentId, Arc<Incident>>,
    /// When each incident's state last changed, on the clock that never jumps.
    pub changed_at_ms: BTreeMap<IncidentId, u64>,
    pub silences: BTreeMap<Arc<str>, (Timestamp, Timestamp)>,
    pub states: BTreeMap<NotificationKey, NotificationState>,
    /// The last rows, for people who have one sent again.
    pub rows: VecDeque<Arc<Notification>>,
    pub pages: Vec<Page>,
    pub commits: u64,
    /// The last commit in which an incident was answered or over, whatever came later in it.
    pub answered_in: BTreeMap<IncidentId, u64>,
}

/// Rows that may be sent again.
const ROWS_MAX: usize = 40;

/// A page goes to every integration of its contact; together they are one.
fn slot(key: &NotificationKey) -> &str {
    key.0.rsplit_once('/').map_or(&*key.0, |(slot, _)| slot)
}

impl Mirror {
    /// Takes one commit. `at_ms`: when it was asked for. Returns the promises that its rows break.
    pub fn apply(&mut self, writes: &[Write], at_ms: u64) -> Vec<String> {
        self.commits += 1;
        let mut broken = Vec::new();
        let mut slots: BTreeSet<&str> = BTreeSet::new();
        let mut new: BTreeMap<&NotificationKey, &Arc<Notification>> = BTreeMap::new();
        for write in writes {
            match write {
                Write::Alert(alert) => {
                    self.alerts.insert(alert.fingerprint, alert.is_firing());
                    if !alert.is_firing() {
                        self.ended.insert(alert.fingerprint);
                    }
                }
                Write::AlertDropped(alert) => drop(self.alerts.remove(alert)),
                Write::Incident(incident) => self.incident(incident, at_ms),
                Write::Silence(s) => drop(self.silences.insert(s.id.clone(), (s.starts_at, s.ends_at))),
                Write::SilenceDropped(id) => drop(self.silences.remove(id)),
                Write::Notification(row) => {
                    if self.states.insert(row.key.clone(), row.state).is_some() {
                        broken.push(format!("WF-12: the key {} is used for a second message", row.key));
                    }
                    new.insert(&row.key, row);
                    self.rows.push_back(row.clone());
                    if self.rows.len() > ROWS_MAX {
                        self.rows.pop_front();
                    }
                }
                Write::NotificationState { key, state, .. } => drop(self.states.insert(key.clone(), *state)),
                _ => {}
            }
        }
        for row in new.values().filter(|row| self.states[&row.key] == NotificationState::Pending) {
            let NotificationKind::Page { incident: id, .. } = row.kind else { continue };
            // What people send again is their own affair.
            if row.key.is_resend() {
                continue;
            }
            // A page that replaces one of the same moment is the same page, as the server counts them.
            let replaces = |page: &Page| page.incident == id && page.receiver == row.receiver;
            let is_new = !self.pages.iter().rev().take_while(|page| page.at_ms == at_ms).any(replaces);
            if slots.insert(slot(&row.key)) && is_new {
                self.pages.push(Page { incident: id, receiver: row.receiver.clone(), at_ms });
            }
            match self.incidents.get(&id) {
                Some(incident) if incident.is_triggered() => {}
                Some(incident) => {
                    broken.push(format!("WF-15: {} is written for {id}: {:?}", row.key, incident.state));
                }
                None => broken.push(format!("WF-13: {} is written for an incident that is not", row.key)),
            }
        }
        broken
    }

    fn incident(&mut self, incident: &Arc<Incident>, at_ms: u64) {
        let state = |i: &Incident| (i.status(), i.snoozed_until(), i.escalation.last_run);
        if !incident.is_triggered() {
            self.answered_in.insert(incident.id, self.commits);
        }
        let known = self.incidents.insert(incident.id, incident.clone());
        if known.is_none_or(|known| state(&known) != state(incident)) {
            self.changed_at_ms.insert(incident.id, at_ms);
        }
    }

    pub fn pending(&self) -> BTreeSet<NotificationKey> {
        let pending = self.states.iter().filter(|(_, state)| **state == NotificationState::Pending);
        pending.map(|(key, _)| key.clone()).collect()
    }
}
