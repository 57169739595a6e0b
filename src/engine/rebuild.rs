//! The engine under other settings, or after a restart: routes, groups, mutes and due times anew over what is known.
//! In: the settings, the alerts and incidents as they are. Out: the same decisions where nothing changed.
//! Never: flushes a group before its time, or forgets who was told of a fire.
//! Start at [`Engine::rebuild`].

use super::core::Engine;
use super::mute::Mutes;
use super::runs::position;
use crate::model::{Fingerprint, IncidentId, RunState, Timestamp};
use std::collections::BTreeSet;

impl Engine {
    /// Groups, routes and mutes anew from the settings, over the alerts as they are. `last_moment`: until when the engine ran
    /// before; ticks of groups after it are still to come.
    pub(super) fn rebuild(&mut self, last_moment: Timestamp) {
        let silences = std::mem::take(&mut self.mutes.silences);
        let epoch = self.mutes.epoch;
        self.mutes = Mutes { silences, epoch, ..Mutes::new(&self.settings) };
        let firing = self.alerts.values().map(|entry| &*entry.record).filter(|record| record.is_firing());
        self.mutes.rebuild(&self.settings, firing);
        self.rebuild_groups(last_moment);
        self.replan();
        self.arm_mutes();
        for receiver in self.page_limit.receivers() {
            self.arm_held(&receiver);
        }
    }

    fn rebuild_groups(&mut self, last_moment: Timestamp) {
        let timers = self.groups.clear();
        let known_firing: BTreeSet<Fingerprint> = self.groups.log.values().flat_map(|entry| entry.heard()).collect();
        let mut alerts: Vec<Fingerprint> = self.alerts.keys().copied().collect();
        alerts.sort_unstable();
        for alert in alerts {
            let Some(entry) = self.alerts.get_mut(&alert) else { continue };
            entry.groups.clear();
            // An ended alert is grouped only where its end is still to be told.
            let firing = entry.record.is_firing();
            if firing || known_firing.contains(&alert) {
                self.group(alert);
            }
            // Everybody is asked again: a mute may have begun or ended with the settings, or while nobody looked.
            if firing {
                self.waiting.forget(alert);
                self.changes.look_again.insert(alert);
            }
        }
        self.groups.keep_timers(&timers, last_moment, self.now);
        self.find_former_groups();
    }

    /// Due times of open incidents from the policies as they are now.
    fn replan(&mut self) {
        let open: Vec<IncidentId> =
            self.incidents.iter().filter(|(_, entry)| entry.is_open()).map(|(id, _)| *id).collect();
        for id in open {
            self.changes.rearm.insert(id);
            let Some(entry) = self.incidents.get(&id).filter(|entry| entry.incident.is_triggered()) else { continue };
            let runs = entry.incident.escalation.runs.clone();
            for run in runs {
                let RunState::Active { next_at } = run.state else { continue };
                match self.settings.policy(&run.policy) {
                    None => self.lose_policy(id, run.run),
                    Some(policy) => {
                        let at = crate::escalation::next(policy, position(&run)).at();
                        if at != next_at
                            && let Some(run) = self.run_mut(id, run.run)
                        {
                            run.state = RunState::Active { next_at: at };
                        }
                    }
                }
            }
        }
    }
}
