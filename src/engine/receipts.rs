//! What destinations said: pages that arrived or failed move escalations, announcements fill the notification log.
//! In: [`Receipt`]. Out: outbox rows, timeline lines, the next step when a page failed for good.
//! Never: sends again by itself (`loops::deliver` retries; a group's next flush does).
//! Start at [`Engine::receipt`].

use super::case::Case;
use super::core::{Engine, Pending};
use crate::model::{
    IncidentId, IncidentStatus, Notification, NotificationKey, NotificationKind, NotificationState, Receipt,
    ReceiptOutcome, TimelineKind, Write,
};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Engine {
    pub(super) fn receipt(&mut self, receipt: &Receipt) {
        if self.outbox.contains_key(&receipt.key) {
            match &receipt.outcome {
                ReceiptOutcome::Retrying { error, .. } => self.retrying(receipt, error),
                ReceiptOutcome::Blocked { reason, .. } => self.blocked(receipt, reason),
                ReceiptOutcome::Delivered { .. } | ReceiptOutcome::Failed { .. } => self.settled(receipt),
            }
        } else if let Some((notification, _)) = self.cancelled.get(&receipt.key).cloned() {
            self.late(receipt, &notification);
        }
    }

    /// Failed for now: said once, then only counted.
    fn retrying(&mut self, receipt: &Receipt, error: &str) {
        let Some(pending) = self.outbox.get_mut(&receipt.key) else { return };
        (pending.maybe_heard, pending.blocked) = (true, false);
        let first = pending.notification.attempts == 0;
        let notification = Arc::make_mut(&mut pending.notification);
        notification.attempts = receipt.attempts;
        notification.error = Some(error.to_owned());
        let notification = pending.notification.clone();
        self.write_state(receipt, NotificationState::Pending, Some(error.to_owned()));
        if let (true, Some(id)) = (first, notification.incident()) {
            let text = format!("message to {} not delivered yet; trying on", notification.receiver);
            self.say(id, TimelineKind::PageFailed, text, error.to_owned());
        }
    }

    /// Its destination is away and it was not even tried: nobody heard, so the next step does not wait for it.
    fn blocked(&mut self, receipt: &Receipt, reason: &str) {
        let Some(pending) = self.outbox.get_mut(&receipt.key) else { return };
        pending.blocked = true;
        Arc::make_mut(&mut pending.notification).error = Some(reason.to_owned());
        let notification = pending.notification.clone();
        self.write_state(receipt, NotificationState::Pending, Some(reason.to_owned()));
        let NotificationKind::Page { incident: id, round, step } = notification.kind else { return };
        let text = format!("page to {} waits, its destination is away", notification.receiver);
        self.say(id, TimelineKind::PageFailed, text, reason.to_owned());
        let why = format!("the page to {} waits: {reason}", notification.receiver);
        self.hurry_unless_awaited(id, (round, step), &why);
    }

    /// Whether a page of this step may still arrive soon.
    fn is_awaited(&self, case: &Case, step: (u32, u32)) -> bool {
        let on_its_way = |key: &NotificationKey| {
            let pending = self.outbox.get(key).filter(|pending| !pending.blocked);
            let kind = pending.map(|pending| &pending.notification.kind);
            matches!(kind, Some(NotificationKind::Page { round, step: s, .. }) if (*round, *s) == step)
        };
        case.pages.iter().any(on_its_way)
    }

    /// Takes the next step now if this one is the current one, has reached nobody, and none of its pages may arrive soon.
    fn hurry_unless_awaited(&mut self, id: IncidentId, step: (u32, u32), why: &str) {
        let Some(case) = self.cases.get(&id) else { return };
        let escalation = &case.incident.escalation;
        let current = (escalation.round, escalation.step) == step;
        if current
            && !escalation.reached
            && case.wants_an_answer()
            && !self.is_awaited(case, step)
            && let Some((_, policy)) = self.case_and_policy(id)
        {
            self.hurry(id, &policy, why);
        }
    }

    /// Delivered, or given up: the row leaves the outbox.
    fn settled(&mut self, receipt: &Receipt) {
        let Some(Pending { notification, .. }) = self.outbox.remove(&receipt.key) else { return };
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
            NotificationKind::Update { incident } => {
                let status = notification.message.incident.as_ref().map(|i| i.status);
                let what = if status == Some(IncidentStatus::Resolved) { "the end" } else { "the acknowledgement" };
                let (kind, text) = match &error {
                    None => (TimelineKind::PageSent, format!("{} heard of {what}", notification.receiver)),
                    Some(_) => {
                        (TimelineKind::PageFailed, format!("{} could not be told {what}", notification.receiver))
                    }
                };
                self.say(*incident, kind, text, error.unwrap_or_default());
            }
            NotificationKind::Page { incident, round, step } => {
                self.page_settled(*incident, (*round, *step), &receipt.key, &notification, error);
            }
        }
    }

    fn page_settled(
        &mut self,
        id: IncidentId,
        step: (u32, u32),
        key: &NotificationKey,
        notification: &Notification,
        error: Option<String>,
    ) {
        let Some(case) = self.cases.get_mut(&id) else { return };
        case.pages.remove(key);
        let escalation = &case.incident.escalation;
        let current = (escalation.round, escalation.step) == step;
        let reached = escalation.reached || error.is_none();
        let waiting = self.cases.get(&id).is_some_and(|case| self.is_awaited(case, step));
        let Some(case) = self.cases.get_mut(&id) else { return };
        if current && (reached || !waiting) {
            case.undelivered_since = None;
        }
        self.turn.rearm.insert(id);
        match error {
            None => {
                if let Some(incident) = self.edit(id) {
                    incident.escalation.heard.insert((notification.receiver.clone(), notification.integration.clone()));
                    incident.escalation.reached |= current;
                }
                let text = format!("{} got the page", notification.receiver);
                self.say(id, TimelineKind::PageSent, text, String::new());
            }
            Some(error) => {
                let text = format!("page to {} failed for good", notification.receiver);
                self.say(id, TimelineKind::PageFailed, text, error.clone());
                if notification.attempts > 0
                    && let Some(incident) = self.edit(id)
                {
                    // An earlier try may have arrived although its answer did not.
                    incident.escalation.heard.insert((notification.receiver.clone(), notification.integration.clone()));
                }
                self.hurry_unless_awaited(id, step, &format!("the page to {} failed: {error}", notification.receiver));
            }
        }
    }

    /// A row that was taken back had been on the wire: what arrived has arrived.
    fn late(&mut self, receipt: &Receipt, notification: &Arc<Notification>) {
        if !matches!(receipt.outcome, ReceiptOutcome::Delivered { .. }) {
            return;
        }
        self.cancelled.remove(&receipt.key);
        self.write_state(receipt, NotificationState::Sent, None);
        match &notification.kind {
            NotificationKind::Announcement { .. } if receipt.key.is_resend() => {}
            NotificationKind::Announcement { .. } => self.announced(notification, receipt.at, true),
            NotificationKind::Update { .. } => {}
            NotificationKind::Page { incident, .. } => {
                let (id, place) = (*incident, (notification.receiver.clone(), notification.integration.clone()));
                let Some(edited) = self.edit(id) else { return };
                let new = edited.escalation.heard.insert(place.clone());
                let over = edited.resolved_at.is_some();
                let text = format!("{} got the page although it had been taken back", notification.receiver);
                self.say(id, TimelineKind::PageSent, text, String::new());
                if over && new {
                    self.tell_end(id, &BTreeSet::from([place]));
                }
            }
        }
    }

    fn write_state(&mut self, receipt: &Receipt, state: NotificationState, error: Option<String>) {
        let delivered = match &receipt.outcome {
            ReceiptOutcome::Delivered { external_ref } => Some(external_ref.clone()),
            _ => None,
        };
        self.turn.rest.push(Write::NotificationState {
            key: receipt.key.clone(),
            state,
            attempts: receipt.attempts,
            sent_at: delivered.is_some().then_some(receipt.at),
            error,
            external_ref: delivered.flatten(),
        });
    }
}
