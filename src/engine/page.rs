//! Escalation carried out: steps are taken, pages written or held back.
//! In: an incident that is due. Out: notifications, timeline lines, the next due time.
//! Never: pages for a resolved, acknowledged or snoozed incident.
//! Start at [`Engine::advance`].

use super::core::Engine;
use super::entry::ack_times_out_at;
use super::runs::position;
use super::tell::MessageDraft;
use crate::escalation::{EscalationPolicy, Next, Position, due, next, on_call};
use crate::incidents::words::{self, ms_since};
use crate::model::timeline::{NotPaged, PolicyStage, StepReason, TakenBack};
use crate::model::{
    EscalationRun, EscalationTarget, IncidentId, IncidentState, NotificationKind, RunState, Severity, TimelineEvent,
    Timestamp,
};
use std::sync::Arc;

/// A receiver to page, and in whose name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contact {
    pub receiver: Arc<str>,
    /// "ana", "ana (on call in primary)"; empty when the step names the receiver itself.
    pub as_whom: String,
}

/// Where a run stands, as lines and messages say it.
pub(super) fn stage_of(run: &EscalationRun) -> PolicyStage {
    let policy = run.policy.clone();
    match run.state {
        RunState::AskingAcknowledger { .. } => PolicyStage::Acknowledger { policy },
        RunState::Exhausted => PolicyStage::Fallback { policy },
        _ => PolicyStage::Step { policy, round: run.round, step: run.step },
    }
}

/// The part of a key that names run, round and step. An incident's first run has no number in it, as in version 0.1.
fn slot_of(run: &EscalationRun) -> String {
    let slot = match run.state {
        RunState::AskingAcknowledger { .. } => "acknowledger".to_owned(),
        RunState::Exhausted => "fallback".to_owned(),
        _ => format!("r{}/s{}", run.round, run.step),
    };
    if run.run > 1 { format!("run{}/{slot}", run.run) } else { slot }
}

impl Engine {
    /// Does what time asks of an incident: a snooze, an acknowledgement or a hold ends, a step is due, or a page stays
    /// undelivered.
    pub(super) fn advance(&mut self, id: IncidentId) {
        let now = self.now;
        self.changes.rearm.insert(id);
        let Some(entry) = self.incidents.get(&id) else {
            return self.breach(|| format!("{id} is due and is not known"));
        };
        let over = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        match &entry.incident.state {
            IncidentState::Snoozed(snooze) => {
                if snooze.until <= now {
                    self.trigger(id);
                    self.record(id, TimelineEvent::SnoozeEnded);
                    self.start_runs(id, &StepReason::StartedAgain);
                }
            }
            IncidentState::Acknowledged(ack) => {
                if over(ack_times_out_at(&entry.incident, &self.settings)) {
                    let event = TimelineEvent::AckTimedOut { by: ack.by.clone(), after_ms: ms_since(now, ack.at) };
                    self.trigger(id);
                    self.record(id, event);
                    self.start_runs(id, &StepReason::StartedAgain);
                }
            }
            IncidentState::Triggered => {
                for (_, run) in entry.runs_due(&self.settings).into_iter().take_while(|(at, _)| *at <= now) {
                    self.climb(id, run);
                }
            }
            IncidentState::Resolved(_) => {
                if over(entry.due(&self.settings)) {
                    self.open_successor(id);
                }
            }
        }
    }

    /// Takes every step of a run that is due, in order; or the next one early when the last one reached nobody in time.
    fn climb(&mut self, id: IncidentId, number: u32) {
        let now = self.now;
        let Some(entry) = self.incidents.get(&id) else { return };
        let Some(run) = entry.run(number) else { return };
        let Some(policy) = self.settings.policy(&run.policy).cloned() else {
            return self.lose_policy(id, number);
        };
        let late = entry.undelivered_since.get(&number).is_some_and(|at| *at + self.settings.delivery_timeout <= now);
        let begins = matches!(run.state, RunState::AskingAcknowledger { .. });
        let steps = match run.state {
            RunState::Active { next_at } if next_at <= now => due(&policy, position(run), now),
            _ => Vec::new(),
        };
        if let Err(silent) = self.speaks_for(id, &policy.name) {
            if begins || !steps.is_empty() {
                return self.rest(id, number, silent);
            }
            // Nothing is due but to hurry, and nobody asks for that: it goes on, or rests, at its time.
            if let Some(entry) = self.incidents.get_mut(&id) {
                entry.undelivered_since.remove(&number);
            }
            return;
        }
        let reason = StepReason::NotDelivered { within_ms: self.settings.delivery_timeout.as_millis() as u64 };
        if begins {
            self.begin_policy(id, number, &policy, if late { Some(reason) } else { None });
        } else if steps.is_empty() {
            if late {
                if let Some(entry) = self.incidents.get_mut(&id) {
                    entry.undelivered_since.remove(&number);
                }
                self.hurry(id, number, &policy, reason);
            }
        } else {
            let missed = steps.len();
            for step in steps {
                if self.has_taken(id, number, &step) {
                    // The step before it had nobody to page and handed on.
                    continue;
                }
                let reason = match (missed, step.at() < now) {
                    (2.., true) => StepReason::Overdue { by_ms: ms_since(now, step.at()) },
                    _ => self.unanswered(id, number),
                };
                self.take(id, number, &policy, step, reason);
            }
        }
    }

    fn has_taken(&self, id: IncidentId, number: u32, step: &Next) -> bool {
        let Some(run) = self.incidents.get(&id).and_then(|entry| entry.run(number)) else { return true };
        match step {
            Next::Step { position, .. } => (run.round, run.step) >= (position.round, position.step),
            Next::Fallback { .. } => run.state == RunState::Exhausted,
        }
    }

    /// The one who had acknowledged did not answer again: the policy begins with its first step, now.
    fn begin_policy(&mut self, id: IncidentId, number: u32, policy: &EscalationPolicy, early: Option<StepReason>) {
        let now = self.now;
        let Some(run) = self.run_mut(id, number) else { return };
        let asked_at = run.round_started_at;
        run.round_started_at = now;
        let coming = next(policy, position(run));
        run.state = RunState::Active { next_at: coming.at() };
        if coming.at() <= now {
            let reason = early.unwrap_or(StepReason::Unanswered { for_ms: ms_since(now, asked_at) });
            self.take(id, number, policy, coming, reason);
        }
    }

    pub(super) fn lose_policy(&mut self, id: IncidentId, number: u32) {
        let Some(run) = self.run_mut(id, number) else { return };
        run.state = RunState::UnknownPolicy;
        let policy = run.policy.clone();
        self.record(id, TimelineEvent::NotPaged(NotPaged::PolicyRemoved { policy }));
    }

    /// Why the next step of a run comes: nobody answered, or it is the first.
    fn unanswered(&self, id: IncidentId, number: u32) -> StepReason {
        let Some(entry) = self.incidents.get(&id) else { return StepReason::StartedAgain };
        let Some(run) = entry.run(number) else { return StepReason::StartedAgain };
        let opened_at = entry.incident.opened_at;
        match (run.step, run.run) {
            (0, 1) => StepReason::IncidentOpened,
            (0, _) => entry.start_reasons.get(&number).cloned().unwrap_or(StepReason::StartedAgain),
            (_, 1) => StepReason::Unanswered { for_ms: ms_since(self.now, opened_at) },
            _ => StepReason::Unanswered { for_ms: ms_since(self.now, run.round_started_at) },
        }
    }

    /// Takes the next step of the round now, without waiting for its time; after the last step of the last round, the fallback.
    /// The next round never comes early: it would only page the same people again.
    pub(super) fn hurry(&mut self, id: IncidentId, number: u32, policy: &EscalationPolicy, reason: StepReason) {
        let Some(run) = self.incidents.get(&id).and_then(|entry| entry.run(number)) else { return };
        match run.state {
            RunState::AskingAcknowledger { .. } => self.begin_policy(id, number, policy, Some(reason)),
            RunState::Active { .. } => {
                let place = position(run);
                match next(policy, place) {
                    Next::Step { position: coming, .. } if coming.round > place.round.max(1) => {
                        let why = NotPaged::RoundOver { round: place.round, reason };
                        self.record(id, TimelineEvent::NotPaged(why));
                    }
                    coming => self.take(id, number, policy, coming, reason),
                }
            }
            RunState::Resting | RunState::Exhausted | RunState::Stopped | RunState::UnknownPolicy => {}
        }
    }

    /// Takes one step: its contacts are paged or held back. A step that has nobody to page hands on to the next.
    pub(super) fn take(
        &mut self,
        id: IncidentId,
        number: u32,
        policy: &EscalationPolicy,
        coming: Next,
        reason: StepReason,
    ) {
        let Some(entry) = self.incidents.get_mut(&id).filter(|entry| entry.incident.is_triggered()) else { return };
        entry.undelivered_since.remove(&number);
        let assigned = entry.incident.escalation.assigned_to.clone();
        let targets = match coming {
            Next::Step { position: taken, .. } => {
                let own = policy.steps.get(taken.step as usize - 1).map(|s| s.notify.clone()).unwrap_or_default();
                assigned.map_or(own, |target| vec![target])
            }
            Next::Fallback { .. } => policy.fallback.clone(),
        };
        let Some(run) = self.run_mut(id, number) else { return };
        match coming {
            Next::Step { position: taken, .. } => {
                run.round = taken.round;
                run.step = taken.step;
                run.round_started_at = taken.round_started_at;
                run.reached = false;
                run.state = RunState::Active { next_at: next(policy, taken).at() };
            }
            Next::Fallback { .. } => run.state = RunState::Exhausted,
        }
        let stage = stage_of(run);
        if !matches!(coming, Next::Step { position: Position { step: 1, round: 1, .. }, .. }) {
            self.record(id, TimelineEvent::Escalated { stage: stage.clone(), reason: reason.clone() });
        }
        let (contacts, unreachable) = self.contacts(&targets, self.now);
        for target in unreachable {
            let why = NotPaged::Unreachable { target, stage: stage.clone(), reason: reason.clone() };
            self.record(id, TimelineEvent::NotPaged(why));
        }
        let paged_nobody = contacts.is_empty();
        for contact in contacts {
            self.page_or_hold(id, number, &contact, &reason);
        }
        if matches!(coming, Next::Fallback { .. }) {
            self.record(id, TimelineEvent::Exhausted { policy: policy.name.clone() });
        } else if paged_nobody {
            self.hurry(id, number, policy, StepReason::NobodyInStepBefore);
        }
    }

    /// The receivers behind the targets at a moment, each once, and the targets that have none.
    pub(super) fn contacts(
        &self,
        targets: &[EscalationTarget],
        at: Timestamp,
    ) -> (Vec<Contact>, Vec<EscalationTarget>) {
        let (mut contacts, mut unreachable): (Vec<Contact>, Vec<EscalationTarget>) = (Vec::new(), Vec::new());
        for target in targets {
            let found: Vec<Contact> = match target {
                EscalationTarget::Receiver(name) => {
                    let known = self.settings.receiver(name).is_some_and(|r| !r.integrations.is_empty());
                    let contact = Contact { receiver: name.clone(), as_whom: String::new() };
                    known.then_some(contact).into_iter().collect()
                }
                EscalationTarget::User(name) => self.user_contacts(name, name.to_string()),
                EscalationTarget::Schedule(name) => {
                    let person = self.settings.schedule(name).and_then(|schedule| on_call(schedule, at));
                    person.map_or(Vec::new(), |person| {
                        self.user_contacts(&person.user, format!("{} (on call in {name})", person.user))
                    })
                }
            };
            if found.is_empty() {
                unreachable.push(target.clone());
            }
            for contact in found {
                if !contacts.iter().any(|c| c.receiver == contact.receiver) {
                    contacts.push(contact);
                }
            }
        }
        (contacts, unreachable)
    }

    pub(super) fn page_or_hold(&mut self, id: IncidentId, number: u32, contact: &Contact, reason: &StepReason) {
        if self.is_paged_now(id, number, contact) {
            return;
        }
        let Some(entry) = self.incidents.get(&id) else { return };
        let Some(run) = entry.run(number) else { return };
        let (critical, stage) = (entry.incident.severity == Severity::Critical, stage_of(run));
        let limit = self.settings.max_pages_per_minute;
        // A page that replaces one of this very moment takes over its place in the window, as a restart would count them.
        let replaces =
            entry.paged_at_once.at == self.now && entry.paged_at_once.receivers.contains_key(&contact.receiver);
        if replaces || self.page_limit.take(&contact.receiver, limit, critical, self.now) {
            self.page(id, number, contact, reason);
            return;
        }
        self.hold(id, number, &contact.receiver);
        let receiver = contact.receiver.clone();
        let why = NotPaged::HeldBack { receiver, limit: limit.unwrap_or_default(), stage, reason: reason.clone() };
        self.record(id, TimelineEvent::NotPaged(why));
    }

    /// Another policy of the incident has paged the contact at this moment: that page is this step's too.
    fn is_paged_now(&mut self, id: IncidentId, number: u32, contact: &Contact) -> bool {
        let now = self.now;
        let Some(entry) = self.incidents.get_mut(&id) else { return false };
        let Some(run) = entry.run(number) else { return false };
        let (policy, stage) = (run.policy.clone(), stage_of(run));
        let Some((other, keys)) = entry.paged_at_once.receivers.get(&contact.receiver) else { return false };
        if entry.paged_at_once.at != now || *other == policy {
            return false;
        }
        for key in keys {
            if let Some(runs) = entry.pages.get_mut(key) {
                runs.insert(number);
                entry.undelivered_since.entry(number).or_insert(now);
            }
        }
        let why = NotPaged::SameMoment { receiver: contact.receiver.clone(), stage };
        self.record(id, TimelineEvent::NotPaged(why));
        true
    }

    /// Writes one page per integration of the contact's receiver.
    pub(super) fn page(&mut self, id: IncidentId, number: u32, contact: &Contact, reason: &StepReason) {
        let settings = self.settings.clone();
        self.unhold(id, &contact.receiver);
        let Some(receiver) = settings.receiver(&contact.receiver) else { return };
        let held_back = self.page_limit.held_count(&contact.receiver);
        let now = self.now;
        let Some(incident) = self.edit(id) else { return };
        incident.paged.insert(contact.receiver.clone());
        let Some(run) = incident.escalation.runs.iter().find(|run| run.run == number).cloned() else { return };
        self.cancel_pages_to(id, &contact.receiver, TakenBack::NewerPage);
        let stage = stage_of(&run);
        let draft = MessageDraft {
            kind: NotificationKind::Page { incident: id, run: number, round: run.round, step: run.step },
            slot: slot_of(&run),
            reason: words::page_reason(&stage, reason),
            place: (run.round, run.step),
            held_back,
        };
        let keys = self.write_incident_messages(id, receiver, &draft, |_| true);
        if let Some(entry) = self.incidents.get_mut(&id) {
            for key in &keys {
                entry.pages.entry(key.clone()).or_default().insert(number);
                // After the fallback there is nobody left to turn to.
                if run.state != RunState::Exhausted {
                    entry.undelivered_since.entry(number).or_insert(now);
                }
            }
            if entry.paged_at_once.at != now {
                entry.paged_at_once.at = now;
                entry.paged_at_once.receivers.clear();
            }
            entry.paged_at_once.receivers.insert(contact.receiver.clone(), (run.policy.clone(), keys));
        }
        self.record(
            id,
            TimelineEvent::Paged {
                receiver: contact.receiver.clone(),
                contact: contact.as_whom.clone(),
                stage,
                reason: reason.clone(),
                held_back,
            },
        );
    }
}
