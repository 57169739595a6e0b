//! Receivers as decisions see them: names and counts, without addresses or secrets.
//! In: the checked configuration. Out: [`ReceiverSpec`], one per receiver; integrations are known by their index.
//! Never: holds a URL or a token (those stay in `notify`).
//! Start at [`ReceiverSpec`].

use std::sync::Arc;

/// One way of telling a receiver: a webhook, a mailbox, a chat channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntegrationSpec {
    /// `webhook`, `slack`, `email`, `pagerduty`, `log`.
    pub kind: &'static str,
    /// Whether announcements of resolved alerts go out (Alertmanager's option and defaults).
    pub send_resolved: bool,
    /// Whether a page's end is told, which is the default even where `send_resolved` is false by default.
    pub send_resolved_pages: bool,
    /// A later message changes the first one where it stands: such a channel hears of an acknowledgement too.
    pub updates_in_place: bool,
    /// At most this many alerts in one message; 0 = the house limit `engine::limits::MESSAGE_ALERTS_MAX`.
    pub max_alerts: usize,
}

/// One integration of one receiver.
pub type Destination = (Arc<str>, usize);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverSpec {
    pub name: Arc<str>,
    pub integrations: Vec<IntegrationSpec>,
}
