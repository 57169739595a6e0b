//! A message sent again because a person asks for it.
//! In: a row of the outbox that was settled, and the key of the new one. Out: a new row with the same words.
//! Never: changes what is known of who was told: the notification log is the groups' own.
//! Start at [`Engine::resend`].

use super::core::Engine;
use super::{CommandError, Reply};
use crate::model::{
    IncidentStatus, Message, MessageIncident, Notification, NotificationKey, NotificationKind, NotificationState,
    TimelineKind,
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
        let is_page = matches!(row.kind, NotificationKind::Page { .. });
        if let Some(id) = row.incident()
            && let Some(case) = self.cases.get_mut(&id)
        {
            if is_page {
                case.pages.insert(key);
            }
            let kind = if is_page { TimelineKind::Paged } else { TimelineKind::Noted };
            let text = format!("message to {} sent again by {by}", row.receiver);
            self.say_as(id, kind, text, original.key.to_string(), Some(by.clone()));
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
        if let NotificationKind::Page { incident: id, .. } = original.kind {
            let status = self.cases.get(&id).map(|case| case.incident.status);
            if status.is_none_or(|status| status == IncidentStatus::Resolved) {
                return conflict(format!("{id} is over; its page is not sent again"));
            }
        }
        if self.outbox.contains_key(key) {
            return conflict(format!("{key} is still on its way"));
        }
        Ok(())
    }
}
