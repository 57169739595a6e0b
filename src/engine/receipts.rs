//! What destinations said: pages that arrived or failed move escalations, announcements fill the notification log.
//! In: [`Receipt`]. Out: outbox rows, timeline lines, the next step when a page failed for good.
//! Never: sends again by itself (`loops::deliver` retries; a group's next flush does).
//! Start at [`Engine::receipt`].

use super::core::Engine;
use super::outbox::Pending;
use crate::model::timeline::{MessageAbout, StepReason};
use crate::model::{
    EscalationRun, IncidentId, IncidentStatus, Notification, NotificationKey, NotificationKind, NotificationState,
    Receipt, ReceiptOutcome, RunState, TimelineEvent, Write,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A step of a run, as the row of its page names it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct StepOfRun {
    run: u32,
    round: u32,
    step: u32,
}

impl Engine {
    pub(super) fn receipt(&mut self, receipt: &Receipt) {
        if self.outbox.contains(&receipt.key) {
            match &receipt.outcome {
                ReceiptOutcome::Retrying { error, .. } => self.retrying(receipt, error),
                ReceiptOutcome::Blocked { reason, .. } => self.blocked(receipt, reason),
                ReceiptOutcome::Delivered { .. } | ReceiptOutcome::Failed { .. } => self.settled(receipt),
            }
        } else if let Some(notification) = self.outbox.cancelled(&receipt.key).cloned() {
            self.late(receipt, &notification);
        }
    }

    /// Failed for now: said once, then only counted.
    fn retrying(&mut self, receipt: &Receipt, error: &str) {
        let Some(pending) = self.outbox.get_mut(&receipt.key) else { return };
        pending.may_be_delivered = true;
        pending.blocked = false;
        let first = pending.notification.attempts == 0;
        let notification = Arc::make_mut(&mut pending.notification);
        notification.attempts = receipt.attempts;
        notification.error = Some(error.to_owned());
        let notification = pending.notification.clone();
        self.write_state(receipt, NotificationState::Pending, Some(error.to_owned()));
        if let (true, Some(id)) = (first, notification.incident()) {
            let event = TimelineEvent::MessageFailed {
                receiver: notification.receiver.clone(),
                about: about(&notification),
                error: error.to_owned(),
                for_good: false,
            };
            self.record(id, event);
        }
    }

    /// Its destination is away and it was not even tried: nobody got it, so the next step does not wait for it.
    fn blocked(&mut self, receipt: &Receipt, reason: &str) {
        let Some(pending) = self.outbox.get_mut(&receipt.key) else { return };
        pending.blocked = true;
        Arc::make_mut(&mut pending.notification).error = Some(reason.to_owned());
        let notification = pending.notification.clone();
        self.write_state(receipt, NotificationState::Pending, Some(reason.to_owned()));
        let NotificationKind::Page { incident: id, run, round, step } = notification.kind else { return };
        let event = TimelineEvent::PageBlocked { receiver: notification.receiver.clone(), reason: reason.to_owned() };
        self.record(id, event);
        let why = StepReason::PageBlocked { receiver: notification.receiver.clone(), reason: reason.to_owned() };
        for number in self.runs_at(id, StepOfRun { run, round, step }, &receipt.key) {
            self.hurry_unless_awaited(id, number, why.clone());
        }
    }

    /// The runs whose last step a page belongs to: its own, and those that paged the same contact at the same moment.
    fn runs_at(&self, id: IncidentId, of: StepOfRun, key: &NotificationKey) -> Vec<u32> {
        let Some(entry) = self.incidents.get(&id) else { return Vec::new() };
        let shared = entry.pages.get(key);
        let is_at = |run: &&EscalationRun| {
            // Rows of version 0.1 name no run.
            let own = of.run == run.run || of.run == 0;
            (own && (of.round, of.step) == (run.round, run.step))
                || (run.run != of.run && shared.is_some_and(|runs| runs.contains(&run.run)))
        };
        entry.incident.escalation.runs.iter().filter(is_at).map(|run| run.run).collect()
    }

    /// Whether a page of a run's last step may still arrive soon.
    fn is_awaited(&self, id: IncidentId, number: u32) -> bool {
        let Some(entry) = self.incidents.get(&id) else { return false };
        let of_run = entry.pages.iter().filter(|(_, runs)| runs.contains(&number));
        of_run.into_iter().any(|(key, _)| self.outbox.get(key).is_some_and(|pending| !pending.blocked))
    }

    /// Takes the next step of a run now if the last one has reached nobody and none of its pages may arrive soon.
    fn hurry_unless_awaited(&mut self, id: IncidentId, number: u32, why: StepReason) {
        let Some(entry) = self.incidents.get(&id) else { return };
        let Some(run) = entry.run(number) else { return };
        if !run.reached
            && entry.incident.is_triggered()
            && !self.is_awaited(id, number)
            && let Some((run, policy)) = self.run_and_policy(id, number)
        {
            if matches!(run.state, RunState::Active { .. } | RunState::AskingAcknowledger { .. })
                && let Err(silent) = self.speaks_for(id, &policy.name)
            {
                // Nobody asks for it now: it goes on when somebody does.
                return self.rest(id, number, silent);
            }
            self.hurry(id, number, &policy, why);
        }
    }

    /// Delivered, or given up: the row leaves the outbox.
    fn settled(&mut self, receipt: &Receipt) {
        let Some(Pending { notification, may_be_delivered, .. }) = self.outbox.take(&receipt.key) else { return };
        let error = match &receipt.outcome {
            ReceiptOutcome::Failed { error } => Some(error.clone()),
            ReceiptOutcome::Delivered { .. } | ReceiptOutcome::Retrying { .. } | ReceiptOutcome::Blocked { .. } => None,
        };
        let state = if error.is_some() { NotificationState::Failed } else { NotificationState::Sent };
        self.write_state(receipt, state, error.clone());
        match &notification.kind {
            // Sent again by hand: the group's own log knows nothing of it.
            NotificationKind::Announcement { .. } if receipt.key.is_resend() => {}
            NotificationKind::Announcement { .. } => self.announced(&notification, receipt.at, error.is_none()),
            NotificationKind::Update { incident } => self.record(*incident, outcome_line(&notification, error)),
            NotificationKind::Page { incident, run, round, step } => {
                let step = StepOfRun { run: *run, round: *round, step: *step };
                // An earlier try may have arrived although its answer did not, also one of the process before.
                if error.is_none() || may_be_delivered || notification.attempts > 0 {
                    self.note_delivered(*incident, &notification);
                }
                self.page_settled(*incident, step, &receipt.key, &notification, error);
            }
        }
    }

    /// The destination got a page of the incident, or may have: it hears of the end.
    fn note_delivered(&mut self, id: IncidentId, notification: &Notification) {
        let destination = (notification.receiver.clone(), notification.integration.clone());
        if let Some(incident) = self.edit(id) {
            incident.escalation.delivered_to.insert(destination);
        }
    }

    fn page_settled(
        &mut self,
        id: IncidentId,
        of: StepOfRun,
        key: &NotificationKey,
        notification: &Notification,
        error: Option<String>,
    ) {
        self.record(id, outcome_line(notification, error.clone()));
        let runs = self.runs_at(id, of, key);
        let Some(entry) = self.incidents.get_mut(&id) else { return };
        entry.pages.remove(key);
        self.changes.rearm.insert(id);
        for run in runs {
            self.step_settled(id, run, notification, error.as_deref());
        }
    }

    /// One page of the last step of a run is settled: the step reached somebody, or still waits, or goes on early.
    fn step_settled(&mut self, id: IncidentId, number: u32, notification: &Notification, error: Option<&str>) {
        let waiting = self.is_awaited(id, number);
        let Some(entry) = self.incidents.get_mut(&id) else { return };
        let reached = entry.run(number).is_some_and(|run| run.reached) || error.is_none();
        if reached || !waiting {
            entry.undelivered_since.remove(&number);
        }
        match error {
            None => {
                if let Some(run) = self.run_mut(id, number) {
                    run.reached = true;
                }
            }
            Some(error) => {
                let (receiver, error) = (notification.receiver.clone(), error.to_owned());
                self.hurry_unless_awaited(id, number, StepReason::PageFailed { receiver, error });
            }
        }
    }

    /// A row that was taken back had been on the wire: what arrived has arrived.
    fn late(&mut self, receipt: &Receipt, notification: &Arc<Notification>) {
        if !matches!(receipt.outcome, ReceiptOutcome::Delivered { .. }) {
            return;
        }
        self.outbox.forget_cancelled(&receipt.key);
        self.write_state(receipt, NotificationState::Sent, None);
        match &notification.kind {
            NotificationKind::Announcement { .. } if receipt.key.is_resend() => {}
            NotificationKind::Announcement { .. } => self.announced(notification, receipt.at, true),
            NotificationKind::Update { .. } => {}
            NotificationKind::Page { incident, .. } => {
                let id = *incident;
                let destination = (notification.receiver.clone(), notification.integration.clone());
                let Some(edited) = self.edit(id) else { return };
                let new = edited.escalation.delivered_to.insert(destination.clone());
                let over = !edited.is_open();
                let receiver = notification.receiver.clone();
                let event = TimelineEvent::MessageDelivered { receiver, about: MessageAbout::Page, taken_back: true };
                self.record(id, event);
                if over && new {
                    self.tell_end(id, &BTreeSet::from([destination]));
                }
            }
        }
    }

    fn write_state(&mut self, receipt: &Receipt, state: NotificationState, error: Option<String>) {
        let delivered = match &receipt.outcome {
            ReceiptOutcome::Delivered { external_ref } => Some(external_ref.clone()),
            _ => None,
        };
        self.changes.rest.push(Write::NotificationState {
            key: receipt.key.clone(),
            state,
            attempts: receipt.attempts,
            sent_at: delivered.is_some().then_some(receipt.at),
            error,
            external_ref: delivered.flatten(),
        });
    }
}

/// What a message about an incident says.
pub(super) fn about(notification: &Notification) -> MessageAbout {
    let status = notification.message.incident.as_ref().map(|incident| incident.status);
    match (&notification.kind, status) {
        (NotificationKind::Update { .. }, Some(IncidentStatus::Resolved)) => MessageAbout::End,
        (NotificationKind::Update { .. }, _) => MessageAbout::Acknowledgement,
        (NotificationKind::Page { .. } | NotificationKind::Announcement { .. }, _) => MessageAbout::Page,
    }
}

fn outcome_line(notification: &Notification, error: Option<String>) -> TimelineEvent {
    let (receiver, about) = (notification.receiver.clone(), about(notification));
    match error {
        None => TimelineEvent::MessageDelivered { receiver, about, taken_back: false },
        Some(error) => TimelineEvent::MessageFailed { receiver, about, error, for_good: true },
    }
}
