//! A message sent again because a person asks for it.
//! In: a row of the outbox that was settled, and the key of the new one. Out: a new row with the same words.
//! Never: changes what is known of who was told: the notification log is the groups' own.
//! Start at [`Engine::resend`].

use super::core::Engine;
use super::{CommandError, Reply};
use crate::model::{
    Message, MessageIncident, Notification, NotificationKey, NotificationKind, NotificationState, TimelineEvent,
};
use std::sync::Arc;

impl Engine {
    pub(super) fn resend(
        &mut self,
        original: &Notification,
        key: NotificationKey,
        by: &Arc<str>,
    ) -> Result<Reply, CommandError> {
        self.may_resend(original, &key)?;
        let reason = format!("sent again by {by}; {}", original.reason());
        let mut row = Notification {
            key: key.clone(),
            created_at: self.now,
            state: NotificationState::Pending,
            attempts: 0,
            sent_at: None,
            error: None,
            external_ref: None,
            ..original.clone()
        };
        match &mut row.kind {
            NotificationKind::Announcement { reason: of, .. } => *of = reason,
            NotificationKind::Page { .. } | NotificationKind::Update { .. } => {
                let incident =
                    row.message.incident.clone().map(|incident| MessageIncident { reason: reason.clone(), ..incident });
                row.message = Arc::new(Message { incident, ..Message::clone(&row.message) });
            }
        }
        let about = super::receipts::about(&row);
        if let Some(id) = row.incident() {
            let wants_pages = self.incidents.get(&id).is_some_and(|entry| entry.incident.is_triggered());
            if let NotificationKind::Page { run, .. } = row.kind
                && wants_pages
                && let Some(entry) = self.incidents.get_mut(&id)
            {
                entry.pages.entry(key).or_default().insert(run);
            }
            let event = TimelineEvent::SentAgain { receiver: row.receiver.clone(), key: original.key.0.clone(), about };
            self.record_as(id, event, Some(by.clone()), String::new());
        }
        self.post(Arc::new(row));
        Ok(Reply::Done)
    }

    fn may_resend(&self, original: &Notification, key: &NotificationKey) -> Result<(), CommandError> {
        let conflict = |text: String| Err(CommandError::Conflict(text));
        match original.state {
            NotificationState::Sent | NotificationState::Failed => {}
            NotificationState::Pending => return conflict(format!("{} is still on its way", original.key)),
            NotificationState::Superseded => {
                return conflict(format!("{} was replaced by a newer message", original.key));
            }
        }
        let (receiver, integration) = (&original.receiver, &original.integration);
        if self.settings.receiver(receiver).and_then(|receiver| receiver.find(integration)).is_none() {
            return conflict(format!("receiver {receiver} has no integration {integration} any more"));
        }
        if let NotificationKind::Page { incident: id, .. } = original.kind
            && self.incidents.get(&id).is_none_or(|entry| !entry.is_open())
        {
            return conflict(format!("{id} is over; its page is not sent again"));
        }
        if self.outbox.contains(key) {
            return conflict(format!("{key} is still on its way"));
        }
        Ok(())
    }
}
