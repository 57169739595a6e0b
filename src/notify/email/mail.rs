//! One mail: headers, a text and an HTML part.
//! In: rendered texts, one recipient. Out: a MIME message with a fixed Message-ID.
//! Never: lets a line end from an alert into a header.
//! Start at [`Mail::to_message`].

use crate::model::Timestamp;
use crate::notify::http::USER_AGENT;
use crate::notify::text::{hex, one_line};
use lettre::Message;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Mailboxes, MultiPart};
use sha2::{Digest, Sha256};
use std::time::{Duration, SystemTime};

/// Everything but the recipient.
pub(super) struct Mail {
    pub from: Mailbox,
    /// What the `To` header shows: all of them, as the operator wrote it.
    pub to_shown: Mailboxes,
    pub subject: String,
    pub text: String,
    pub html: String,
    /// Further headers of the operator, rendered.
    pub headers: Vec<(String, String)>,
    pub at: Timestamp,
    /// The notification's idempotency key: the Message-ID is derived from it, so a repeat is recognised as one.
    pub key: String,
    /// The incident or group: what mails of one thread have in common.
    pub thread: String,
}

impl Mail {
    pub fn to_message(&self, recipient: &Mailbox) -> Result<Message, String> {
        let domain = self.from.email.domain();
        let thread = format!("<{}.watchfire@{domain}>", short_hash(&[&self.thread]));
        let id = format!("<{}.watchfire@{domain}>", short_hash(&[&self.key, recipient.email.as_ref()]));
        let millis = u64::try_from(self.at.as_millis()).unwrap_or_default();
        let mut builder = Message::builder()
            .from(self.from.clone())
            .subject(one_line(&self.subject))
            .date(SystemTime::UNIX_EPOCH + Duration::from_millis(millis))
            .message_id(Some(id))
            .in_reply_to(thread.clone())
            .references(thread)
            .user_agent(USER_AGENT.to_owned());
        for mailbox in self.to_shown.iter() {
            builder = builder.to(mailbox.clone());
        }
        for (name, value) in &self.headers {
            let name = HeaderName::new_from_ascii(name.clone()).map_err(|_| format!("`{name}` is no header name"))?;
            builder = builder.raw_header(HeaderValue::new(name, one_line(value)));
        }
        let envelope = lettre::address::Envelope::new(Some(self.from.email.clone()), vec![recipient.email.clone()])
            .map_err(|e| e.to_string())?;
        builder
            .envelope(envelope)
            .multipart(MultiPart::alternative_plain_html(self.text.clone(), self.html.clone()))
            .map_err(|e| format!("the mail cannot be built: {e}"))
    }
}

fn short_hash(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    hex(&hasher.finalize()[..16])
}
