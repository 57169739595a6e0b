//! What would happen to an alert: who would be told, when, and why.
//! In: labels, `now`. Out: a [`Simulation`], by the same routes, mutes, policies and schedules that decide in earnest.
//! Never: changes anything, or leaves out rows without saying so.
//! Start at [`Engine::simulate`].

use super::core::Engine;
use super::limits;
use super::view::{Announced, SimulatedPage, Simulation};
use crate::escalation::{EscalationPolicy, Next, Position, due, next, on_call};
use crate::incidents::words;
use crate::model::timeline::PolicyStage;
use crate::model::{EscalationTarget, IncidentId, Labels, MuteReason, Timestamp};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Rows of a simulation, over all policies and rounds.
pub const SIMULATED_PAGES_MAX: usize = 1_000;
/// How far ahead the end of a mute is looked for: a week of intervals and a day.
const MUTE_LOOK_AHEAD: Duration = Duration::from_hours(8 * 24);

impl Engine {
    /// Who would be told of an alert with these labels that starts at `now`, when, and why. Nothing happens.
    pub fn simulate(&self, labels: &Labels, now: Timestamp) -> Simulation {
        let nodes = self.settings.route.match_all(labels);
        let announced = nodes.iter().filter_map(|node| {
            let receiver = node.receiver.clone()?;
            let group_key = node.group_key(&node.group_by.group_labels(labels));
            let at = now + node.group_wait;
            // Whether it is muted is asked when the group speaks, not when the alert starts.
            let by_time = || self.mutes.route(node, at).into_iter().next();
            let muted = self.mutes.alert(labels, at).or_else(by_time);
            Some(Announced { receiver, group_key, at, muted })
        });
        let announced = announced.collect();
        let mut policies: Vec<Arc<str>> = Vec::new();
        for policy in nodes.iter().filter_map(|node| node.escalation_policy.as_ref()) {
            if !policies.contains(policy) {
                policies.push(policy.clone());
            }
        }
        let look = |id| self.incidents.get(&id).map(|entry| &*entry.incident);
        let max = limits::INCIDENT_ALERTS_MAX;
        let placing = self.index.place(&self.settings.correlation, labels, now, max, look);
        let (pages, truncated) = self.simulate_pages(labels, &policies, placing.incident, now);
        let mut reason = self.simulated_reason(labels, &policies, placing.incident, now);
        let second = words::runner_up(&placing.evidence);
        reason = format!("{reason}: {}", words::evidence_text(&placing.evidence));
        if !second.is_empty() {
            reason = format!("{reason}; second best: {second}");
        }
        let status = self.mutes.status(labels, &nodes, now);
        Simulation { status, announced, policies, incident: placing.incident, reason, pages, truncated }
    }

    fn simulated_reason(
        &self,
        labels: &Labels,
        policies: &[Arc<str>],
        joins: Option<IncidentId>,
        now: Timestamp,
    ) -> String {
        let place = joins.map_or_else(|| "opens an incident".to_owned(), |id| format!("joins {id}"));
        let known = policies.iter().any(|name| self.settings.policy(name).is_some());
        match self.page_mute(labels, policies, now) {
            Some(mute) => format!("{place}, pages nobody at first: {mute}"),
            None if policies.is_empty() => format!("{place}, pages nobody: its routes name no escalation policy"),
            None if !known => format!("{place}, pages nobody: there is no escalation policy {}", policies.join(", ")),
            None => place,
        }
    }

    /// Why an alert pages nobody at a moment.
    fn page_mute(&self, labels: &Labels, policies: &[Arc<str>], at: Timestamp) -> Option<MuteReason> {
        self.mutes.alert(labels, at).or_else(|| {
            let mut mute = None;
            for name in policies {
                mute = Some(self.policy_mute(labels, name, at)?);
            }
            mute
        })
    }

    /// The interval that mutes every route of the alert that names the policy.
    fn policy_mute(&self, labels: &Labels, policy: &Arc<str>, at: Timestamp) -> Option<MuteReason> {
        let nodes = self.settings.route.match_all(labels).into_iter();
        let mut asking = nodes.filter(|node| node.escalation_policy.as_ref() == Some(policy)).peekable();
        asking.peek()?;
        let muted: Vec<Vec<MuteReason>> = asking.map(|node| self.mutes.route(node, at)).collect();
        muted.iter().all(|reasons| !reasons.is_empty()).then(|| muted.into_iter().flatten().next()).flatten()
    }

    /// The first moment from `at` on at which the policy may page for the alert; `None`: not within the next days.
    fn first_unmuted(&self, labels: &Labels, policy: &Arc<str>, at: Timestamp) -> Option<Timestamp> {
        let last = at + MUTE_LOOK_AHEAD;
        let minute = limits::INTERVAL_LOOK.as_millis() as i64;
        let mut moment = at;
        while moment <= last {
            let mute = self.mutes.alert(labels, moment).or_else(|| self.policy_mute(labels, policy, moment));
            match mute {
                None => return Some(moment),
                Some(MuteReason::Inhibited { .. }) => return None,
                Some(MuteReason::Silenced { id }) => {
                    moment =
                        self.mutes.silences.get(&id).map_or(last, |s| s.ends_at).max(moment + Duration::from_millis(1));
                }
                // Intervals turn on whole minutes.
                Some(_) => moment = Timestamp::from_millis((moment.as_millis().div_euclid(minute) + 1) * minute),
            }
        }
        None
    }

    /// The pages of every policy that would start, in order of time, one per contact and moment.
    fn simulate_pages(
        &self,
        labels: &Labels,
        policies: &[Arc<str>],
        joins: Option<IncidentId>,
        now: Timestamp,
    ) -> (Vec<SimulatedPage>, bool) {
        let joined = joins.and_then(|id| self.incidents.get(&id)).map(|entry| &*entry.incident);
        let is_covered = joined.is_some_and(|incident| incident.covers().is_some());
        let mut pages = Vec::new();
        let mut truncated = false;
        for policy in policies.iter().filter_map(|name| self.settings.policy(name)) {
            let runs_already = joined.is_some_and(|incident| incident.escalation.run_of(&policy.name).is_some());
            if !runs_already && !is_covered {
                truncated |= self.simulate_policy(labels, policy, now, &mut pages);
            }
        }
        pages.sort_by_key(|page: &SimulatedPage| page.at);
        let mut seen: BTreeSet<(Timestamp, Arc<str>)> = BTreeSet::new();
        for page in &mut pages {
            page.receivers.retain(|receiver| seen.insert((page.at, receiver.clone())));
        }
        pages.retain(|page| !page.receivers.is_empty() || page.unreachable);
        truncated |= pages.len() > SIMULATED_PAGES_MAX;
        pages.truncate(SIMULATED_PAGES_MAX);
        (pages, truncated)
    }

    /// Follows one policy as if nobody answered. True when there is more than fits.
    fn simulate_policy(
        &self,
        labels: &Labels,
        policy: &EscalationPolicy,
        now: Timestamp,
        pages: &mut Vec<SimulatedPage>,
    ) -> bool {
        let Some(starts_at) = self.first_unmuted(labels, &policy.name, now) else { return false };
        let mut place = Position { round: 0, step: 0, round_started_at: starts_at };
        let mut rows = 0;
        let mut moment = starts_at;
        // A step that reaches nobody hands on to the next of its round at once.
        let mut hands_on = false;
        loop {
            let coming = next(policy, place);
            let is_next_round = matches!(coming, Next::Step { position, .. } if position.round > place.round.max(1));
            let early = std::mem::take(&mut hands_on) && !is_next_round;
            let at = if early { moment } else { coming.at().max(moment) };
            let Some(at) = self.first_unmuted(labels, &policy.name, at) else { return false };
            moment = at;
            for coming in if early { vec![coming] } else { due(policy, place, at) } {
                let (targets, stage) = match coming {
                    Next::Step { position: taken, .. } => {
                        place = taken;
                        let step = policy.steps.get(taken.step as usize - 1);
                        let name = policy.name.clone();
                        let stage = PolicyStage::Step { policy: name, round: taken.round, step: taken.step };
                        (step.map(|s| s.notify.clone()).unwrap_or_default(), stage)
                    }
                    Next::Fallback { .. } => {
                        (policy.fallback.clone(), PolicyStage::Fallback { policy: policy.name.clone() })
                    }
                };
                let mut reaches_nobody = true;
                for target in targets {
                    let page = self.simulated_page(at, place, target, &stage);
                    reaches_nobody &= page.unreachable;
                    pages.push(page);
                    rows += 1;
                    if rows > SIMULATED_PAGES_MAX {
                        return true;
                    }
                }
                if matches!(coming, Next::Fallback { .. }) {
                    return false;
                }
                if reaches_nobody {
                    hands_on = true;
                    break;
                }
            }
        }
    }

    fn simulated_page(
        &self,
        at: Timestamp,
        place: Position,
        target: EscalationTarget,
        stage: &PolicyStage,
    ) -> SimulatedPage {
        let (contacts, unreachable) = self.contacts(std::slice::from_ref(&target), at);
        let person = match &target {
            EscalationTarget::Schedule(name) => {
                self.settings.schedule(name).and_then(|schedule| on_call(schedule, at)).map(|on| on.user)
            }
            EscalationTarget::User(_) | EscalationTarget::Receiver(_) => None,
        };
        let unreachable = !unreachable.is_empty();
        let reason = if unreachable {
            format!("not paged: {target} leads to no receiver ({})", words::stage(stage))
        } else {
            words::stage(stage)
        };
        SimulatedPage {
            at,
            policy: stage.policy().clone(),
            round: place.round,
            step: place.step,
            receivers: contacts.into_iter().map(|contact| contact.receiver).collect(),
            target,
            person,
            unreachable,
            reason,
        }
    }
}
