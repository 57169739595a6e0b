//! Explanations: why an incident is as it is, and what would happen to an alert.
//! In: an incident or labels, `now`. Out: lines of a tree; a [`Simulation`].
//! Never: changes anything, or says more than a page can hold.
//! Start at [`Engine::why`].

use super::case::{Case, ack_times_out_at};
use super::core::Engine;
use super::limits;
use super::page::position;
use super::place::target_name;
use super::view::{SimulatedPage, Simulation, WhyLine};
use crate::escalation::{EscalationPolicy, Next, Position, next};
use crate::model::{Incident, IncidentId, IncidentStatus, Labels, Timestamp};
use std::sync::Arc;

/// Alerts listed one by one in an explanation.
const ALERTS_SHOWN_MAX: usize = 20;
/// Steps listed by a simulation, over all rounds.
const STEPS_SHOWN_MAX: usize = 50;

struct Tree(Vec<WhyLine>);

impl Tree {
    fn add(&mut self, depth: u8, text: impl Into<String>) {
        self.0.push(WhyLine { depth, text: text.into() });
    }
}

impl Engine {
    /// Why the incident is open, who was paged or not and why, and what happens next. `None` when it is not in memory.
    pub fn why(&self, id: IncidentId, now: Timestamp) -> Option<Vec<WhyLine>> {
        let case = self.cases.get(&id)?;
        let mut tree = Tree(Vec::new());
        self.why_here(&mut tree, case);
        self.why_alerts(&mut tree, case, now);
        self.why_paged(&mut tree, case);
        self.why_next(&mut tree, case, now);
        Some(tree.0)
    }

    fn why_here(&self, tree: &mut Tree, case: &Case) {
        let incident = &case.incident;
        tree.add(0, format!("{} is {}: {}", incident.id, incident.status.as_str(), incident.title));
        tree.add(1, format!("opened at {}", incident.opened_at));
        match (&incident.correlation_rule, &incident.correlation_key) {
            (Some(rule), Some(key)) => tree.add(1, format!("gathers alerts by rule {rule} with {key}")),
            _ => tree.add(1, "split off by hand; no alert joins it by itself"),
        }
        if let Some(into) = incident.merged_into {
            tree.add(1, format!("merged into {into}"));
        }
        if let Some(at) = incident.resolved_at {
            let by = incident
                .resolved_by
                .as_deref()
                .map_or("by itself: all alerts had ended".to_owned(), |by| format!("by {by}"));
            tree.add(1, format!("resolved at {at} {by}"));
        }
    }

    fn why_alerts(&self, tree: &mut Tree, case: &Case, now: Timestamp) {
        let incident = &case.incident;
        tree.add(0, format!("{} of {} alerts fire", incident.firing_count, incident.alert_count));
        for (alert, member) in case.members.iter().take(ALERTS_SHOWN_MAX) {
            let Some(entry) = self.alerts.get(alert) else { continue };
            let state = if entry.record.is_firing() { "fires" } else { "ended" };
            tree.add(1, format!("{} {state}", super::place::name_of(&entry.record)));
            tree.add(2, format!("here because: {}", member.reason));
            if !member.runner_up.is_empty() {
                tree.add(2, format!("second best: {}", member.runner_up));
            }
            if let Some(cause) = self.mutes.alert(&entry.record.labels, now) {
                tree.add(2, cause.to_string());
            }
        }
        if case.members.len() > ALERTS_SHOWN_MAX {
            tree.add(1, format!("and {} more", case.members.len() - ALERTS_SHOWN_MAX));
        }
    }

    fn why_paged(&self, tree: &mut Tree, case: &Case) {
        let escalation = &case.incident.escalation;
        let Some(policy) = &escalation.policy else {
            tree.add(0, "nobody is paged: the routes of its alerts name no escalation policy");
            return;
        };
        tree.add(0, format!("policy {policy}, round {}, step {}", escalation.round, escalation.step));
        for receiver in &case.incident.paged {
            let heard = escalation.heard.iter().any(|(name, _)| name == receiver);
            let word = if heard { "was paged" } else { "was paged; not delivered so far" };
            tree.add(1, format!("{receiver} {word}"));
        }
        for receiver in &escalation.held {
            let at = self.timers.at(&super::timers::Timer::Held(receiver.clone()));
            let when = at.map(|at| format!(", not before {at}")).unwrap_or_default();
            tree.add(1, format!("the page to {receiver} is held back by the limit{when}"));
        }
        if let Some(target) = &escalation.assigned_to {
            tree.add(1, format!("given to {}", target_name(target)));
        }
    }

    fn why_next(&self, tree: &mut Tree, case: &Case, now: Timestamp) {
        let incident = &case.incident;
        tree.add(0, "next");
        let text = match incident.status {
            IncidentStatus::Resolved => "nothing: it is over".to_owned(),
            _ if incident.snoozed_until.is_some() => {
                let until = incident.snoozed_until.unwrap_or(now);
                format!("snoozed until {until}; then the policy starts again")
            }
            IncidentStatus::Acknowledged => {
                let by = incident.acknowledged_by.as_deref().unwrap_or("somebody");
                match ack_times_out_at(incident, &self.settings) {
                    Some(at) => format!("acknowledged by {by}; pages again at {at}"),
                    None => format!("acknowledged by {by}; pages nobody any more"),
                }
            }
            IncidentStatus::Triggered if case.paused => {
                "every firing alert is muted; the policy goes on when one is not".to_owned()
            }
            IncidentStatus::Triggered => self.next_step_text(incident),
        };
        tree.add(1, text);
    }

    fn next_step_text(&self, incident: &Incident) -> String {
        let policy = incident.escalation.policy.as_deref().and_then(|name| self.settings.policy(name));
        let Some(policy) = policy else { return "nobody: there is no policy to follow".to_owned() };
        if incident.escalation.exhausted {
            return "nothing by itself: the policy is exhausted".to_owned();
        }
        match next(policy, position(incident)) {
            Next::Step { at, position } => {
                let targets = incident
                    .escalation
                    .assigned_to
                    .as_ref()
                    .map_or_else(|| names(policy, position), |target| vec![target_name(target)]);
                format!("round {} step {} at {at}: {}", position.round, position.step, targets.join(", "))
            }
            Next::Fallback { at } => format!("the policy is exhausted at {at}"),
        }
    }

    /// Who would be told of an alert with these labels that starts at `now`, when, and why. Nothing happens.
    pub fn simulate(&self, labels: &Labels, now: Timestamp) -> Simulation {
        let nodes = self.settings.route.match_all(labels);
        let status = self.mutes.status(labels, &nodes, now);
        let announcements = nodes.iter().filter_map(|node| {
            let key = node.group_key(&node.group_by.group_labels(labels));
            Some((node.receiver.clone()?, key, now + node.group_wait))
        });
        let announcements = announcements.collect();
        let policy = nodes.iter().find_map(|node| node.escalation_policy.clone());
        let placing = self.index.place(&self.settings.correlation, labels, now, limits::INCIDENT_ALERTS_MAX, |id| {
            self.cases.get(&id).map(|case| &*case.incident)
        });
        let muted = !(status.silenced_by.is_empty() && status.inhibited_by.is_empty() && status.muted_by.is_empty());
        let (pages, mut reason) = match (placing.incident, &policy) {
            _ if muted => (Vec::new(), "pages nobody: it is muted".to_owned()),
            (Some(id), _) => (Vec::new(), format!("joins {id}, which goes its own way: {}", placing.reason)),
            (None, None) => (Vec::new(), "pages nobody: its routes name no escalation policy".to_owned()),
            (None, Some(name)) => match self.settings.policy(name) {
                Some(policy) => (self.simulate_policy(policy, now), format!("opens an incident: {}", placing.reason)),
                None => (Vec::new(), format!("pages nobody: there is no escalation policy {name}")),
            },
        };
        if !placing.runner_up.is_empty() {
            reason.push_str(&format!("; second best: {}", placing.runner_up));
        }
        Simulation { status, announcements, policy, incident: placing.incident, reason, pages }
    }

    fn simulate_policy(&self, policy: &EscalationPolicy, now: Timestamp) -> Vec<SimulatedPage> {
        let mut pages = Vec::new();
        let mut place = Position { round: 0, step: 0, round_started_at: now };
        for _ in 0..STEPS_SHOWN_MAX {
            let coming = next(policy, place);
            let (targets, reason) = match coming {
                Next::Step { position: taken, .. } => {
                    place = taken;
                    let targets =
                        policy.steps.get(taken.step as usize - 1).map(|s| s.notify.clone()).unwrap_or_default();
                    (targets, format!("round {} step {} of policy {}", taken.round, taken.step, policy.name))
                }
                Next::Fallback { .. } => (policy.fallback.clone(), format!("fallback of policy {}", policy.name)),
            };
            for target in targets {
                let (contacts, unreachable) = self.contacts(std::slice::from_ref(&target), coming.at());
                let receivers: Vec<Arc<str>> = contacts.into_iter().map(|contact| contact.receiver).collect();
                let reason = unreachable.into_iter().next().unwrap_or_else(|| reason.clone());
                pages.push(SimulatedPage {
                    at: coming.at(),
                    round: place.round,
                    step: place.step,
                    target,
                    receivers,
                    reason,
                });
            }
            if matches!(coming, Next::Fallback { .. }) {
                break;
            }
        }
        pages
    }
}

fn names(policy: &EscalationPolicy, place: Position) -> Vec<String> {
    let step = policy.steps.get(place.step as usize - 1);
    step.map(|step| step.notify.iter().map(target_name).collect()).unwrap_or_default()
}
