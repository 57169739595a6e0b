//! Explanations: why an incident is as it is.
//! In: an incident, `now`. Out: lines of a tree.
//! Never: changes anything, or says more than a page can hold.
//! Start at [`Engine::why`].

use super::core::Engine;
use super::entry::{IncidentEntry, ack_times_out_at};
use super::membership::alert_ref;
use super::runs::position;
use super::view::WhyLine;
use crate::escalation::{EscalationPolicy, Next, Position, next};
use crate::incidents::words;
use crate::model::{EscalationRun, Incident, IncidentId, IncidentState, ResolvedBy, RunState, Timestamp};

/// Alerts listed one by one in an explanation.
const ALERTS_SHOWN_MAX: usize = 20;

struct Tree(Vec<WhyLine>);

impl Tree {
    fn add(&mut self, depth: u8, text: impl Into<String>) {
        self.0.push(WhyLine { depth, text: text.into() });
    }
}

impl Engine {
    /// Why the incident is open, who was paged or not and why, and what happens next. `None` when it is not in memory.
    pub fn why(&self, id: IncidentId, now: Timestamp) -> Option<Vec<WhyLine>> {
        let entry = self.incidents.get(&id)?;
        let mut tree = Tree(Vec::new());
        Self::why_here(&mut tree, entry);
        self.why_alerts(&mut tree, entry, now);
        self.why_paged(&mut tree, entry);
        self.why_next(&mut tree, entry);
        Some(tree.0)
    }

    fn why_here(tree: &mut Tree, entry: &IncidentEntry) {
        let incident = &entry.incident;
        tree.add(0, format!("{} is {}: {}", incident.id, incident.status().as_str(), incident.headline()));
        tree.add(1, format!("opened at {}", incident.opened_at));
        match (&incident.correlation_rule, &incident.correlation_key) {
            (Some(rule), Some(key)) => tree.add(1, format!("gathers alerts by rule {rule} with {key}")),
            _ => tree.add(1, "split off by hand; no alert joins it by itself"),
        }
        if let Some(before) = incident.predecessor {
            tree.add(1, format!("opened because alerts of {before} still fired after it was resolved by hand"));
        }
        if let Some(over) = incident.resolution() {
            let by = match &over.by {
                ResolvedBy::Itself => "by itself: all alerts had ended".to_owned(),
                ResolvedBy::Person { by, .. } => format!("by {by}"),
                ResolvedBy::Merge { by, into } => format!("by {by}, merged into {into}"),
            };
            tree.add(1, format!("resolved at {} {by}", over.at));
        }
    }

    fn why_alerts(&self, tree: &mut Tree, entry: &IncidentEntry, now: Timestamp) {
        let incident = &entry.incident;
        tree.add(0, format!("{} of {} alerts fire", incident.firing_count, incident.alert_count));
        for (alert, member) in entry.members.iter().take(ALERTS_SHOWN_MAX) {
            let Some(known) = self.alerts.get(alert) else { continue };
            let state = match (member.left_at, known.record.is_firing()) {
                (Some(at), _) => format!("left at {at}"),
                (None, true) => "fires".to_owned(),
                (None, false) => "ended".to_owned(),
            };
            tree.add(1, format!("{} {state}", alert_ref(&known.record).name));
            tree.add(2, format!("here because: {}", words::evidence_text(&member.evidence)));
            let second = words::runner_up(&member.evidence);
            if !second.is_empty() {
                tree.add(2, format!("second best: {second}"));
            }
            if let Some(mute) = self.mutes.alert(&known.record.labels, now) {
                tree.add(2, mute.to_string());
            }
        }
        if entry.members.len() > ALERTS_SHOWN_MAX {
            tree.add(1, format!("and {} more", entry.members.len() - ALERTS_SHOWN_MAX));
        }
    }

    fn why_paged(&self, tree: &mut Tree, entry: &IncidentEntry) {
        let escalation = &entry.incident.escalation;
        if escalation.runs.is_empty() {
            tree.add(0, "nobody is paged: the routes of its alerts name no escalation policy");
        }
        for run in &escalation.runs {
            tree.add(0, format!("policy {}, round {}, step {}", run.policy, run.round, run.step));
            let because = run.because.and_then(|alert| self.alerts.get(&alert)).map(|a| alert_ref(&a.record).name);
            if let Some(name) = because {
                tree.add(1, format!("asked for by {name}"));
            }
        }
        for receiver in &entry.incident.paged {
            let delivered = escalation.delivered_to.iter().any(|(name, _)| name == receiver);
            let word = if delivered { "was paged" } else { "was paged; not delivered so far" };
            tree.add(1, format!("{receiver} {word}"));
        }
        for receiver in &escalation.held {
            let at = self.timers.at(&super::timers::Timer::Held(receiver.clone()));
            let when = at.map(|at| format!(", not before {at}")).unwrap_or_default();
            tree.add(1, format!("the page to {receiver} is held back by the limit{when}"));
        }
        if let Some(target) = &escalation.assigned_to {
            tree.add(1, format!("given to {target}"));
        }
    }

    /// What happens next, a line for each policy, the nearest first. `None` when it is not in memory.
    pub fn next(&self, id: IncidentId) -> Option<Vec<String>> {
        self.incidents.get(&id).map(|entry| self.next_lines(&entry.incident))
    }

    /// What the incident's run of a policy does next. `None` when it is not in memory, or runs no such policy.
    pub fn next_of(&self, id: IncidentId, policy: &str) -> Option<String> {
        let incident = &self.incidents.get(&id)?.incident;
        incident.escalation.run_of(policy).map(|run| self.next_of_run(incident, run))
    }

    fn why_next(&self, tree: &mut Tree, entry: &IncidentEntry) {
        tree.add(0, "next");
        for line in self.next_lines(&entry.incident) {
            tree.add(1, line);
        }
    }

    fn next_lines(&self, incident: &Incident) -> Vec<String> {
        match &incident.state {
            IncidentState::Resolved(over) => match over.by {
                ResolvedBy::Person { hold_until: Some(until), .. } if incident.firing_count > 0 => {
                    vec![format!(
                        "{} alerts still fire; those that do at {until} open a new incident",
                        incident.firing_count
                    )]
                }
                _ => vec!["nothing: it is over".to_owned()],
            },
            IncidentState::Snoozed(snooze) => {
                vec![format!("snoozed until {}; then the policy starts again", snooze.until)]
            }
            IncidentState::Acknowledged(ack) => vec![match ack_times_out_at(incident, &self.settings) {
                Some(at) => format!("acknowledged by {}; pages again at {at}", ack.by),
                None => format!("acknowledged by {}; pages nobody any more", ack.by),
            }],
            IncidentState::Triggered if incident.escalation.runs.is_empty() => {
                vec!["nobody: there is no policy to follow".to_owned()]
            }
            IncidentState::Triggered => {
                let mut runs: Vec<&EscalationRun> = incident.escalation.runs.iter().collect();
                runs.sort_by_key(|run| run.next_at().unwrap_or(Timestamp::MAX));
                runs.into_iter().map(|run| self.next_of_run(incident, run)).collect()
            }
        }
    }

    fn next_of_run(&self, incident: &Incident, run: &EscalationRun) -> String {
        match &run.state {
            RunState::AskingAcknowledger { by, until } => {
                format!("{by} was asked first; policy {} starts at {until}", run.policy)
            }
            RunState::Resting => format!("policy {} rests until an alert that may page asks for it", run.policy),
            RunState::Exhausted => format!("nothing by itself: policy {} is exhausted", run.policy),
            RunState::Stopped => format!("policy {} has stopped", run.policy),
            RunState::UnknownPolicy => format!("nobody: there is no escalation policy {}", run.policy),
            RunState::Active { .. } => {
                let Some(policy) = self.settings.policy(&run.policy) else {
                    return format!("nobody: there is no escalation policy {}", run.policy);
                };
                match next(policy, position(run)) {
                    Next::Step { at, position } => {
                        let assigned = incident.escalation.assigned_to.as_ref();
                        let targets =
                            assigned.map_or_else(|| names(policy, position), |target| vec![target.to_string()]);
                        format!("round {} step {} at {at}: {}", position.round, position.step, targets.join(", "))
                    }
                    Next::Fallback { at } => format!("policy {} is exhausted at {at}", run.policy),
                }
            }
        }
    }
}

fn names(policy: &EscalationPolicy, place: Position) -> Vec<String> {
    let step = policy.steps.get(place.step as usize - 1);
    step.map(|step| step.notify.iter().map(ToString::to_string).collect()).unwrap_or_default()
}
