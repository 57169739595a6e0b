//! Receivers as decisions see them: names and integrations, without addresses or secrets.
//! In: the checked configuration. Out: [`ReceiverSpec`], one per receiver; an integration is known by its [`IntegrationId`].
//! Never: holds a URL or a token (those stay in `notify`).
//! Start at [`IntegrationId`].

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// Which integration of a receiver: its kind, and its index among those of that kind, as Alertmanager counts. A webhook that is
/// added above a Slack channel changes nothing for the channel. Written as `slack/0`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IntegrationId {
    /// `webhook`, `slack`, …; empty only in rows of version 0.1 that did not say.
    kind: Arc<str>,
    number: Number,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Number {
    /// Among the receiver's integrations of this kind.
    OfKind(u32),
    /// Among all its integrations: what version 0.1 stored, until [`ReceiverSpec::find`] has looked it up. Written as `slack@2`.
    OfAll(u32),
}

impl IntegrationId {
    pub fn new(kind: &str, index: u32) -> Self {
        Self { kind: Arc::from(kind), number: Number::OfKind(index) }
    }

    /// As a row of version 0.1 names it; `kind` is empty where the row does not say.
    pub fn from_position(kind: &str, position: u32) -> Self {
        Self { kind: Arc::from(kind), number: Number::OfAll(position) }
    }

    /// Gives each of a receiver's integrations, whose kinds these are, its identity.
    pub fn numbered<'a>(kinds: impl IntoIterator<Item = &'a str>) -> Vec<Self> {
        let mut counts: HashMap<&str, u32> = HashMap::new();
        let mut next = |kind: &'a str| {
            let count = counts.entry(kind).or_default();
            *count += 1;
            *count - 1
        };
        kinds.into_iter().map(|kind| Self::new(kind, next(kind))).collect()
    }

    pub fn kind(&self) -> &Arc<str> {
        &self.kind
    }

    /// As a part of a notification's key: `slack0`.
    pub fn key_part(&self) -> String {
        match self.number {
            Number::OfKind(index) => format!("{}{index}", self.kind),
            Number::OfAll(position) => position.to_string(),
        }
    }

    /// Reads what [`fmt::Display`] prints.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some((kind, index)) = text.split_once('/') {
            return Some(Self::new(kind, index.parse().ok()?)).filter(|id| !id.kind.is_empty());
        }
        let (kind, position) = text.split_once('@')?;
        Some(Self::from_position(kind, position.parse().ok()?))
    }
}

impl fmt::Display for IntegrationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            Number::OfKind(index) => write!(f, "{}/{index}", self.kind),
            Number::OfAll(position) => write!(f, "{}@{position}", self.kind),
        }
    }
}

impl fmt::Debug for IntegrationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One way of telling a receiver: a webhook, a mailbox, a chat channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntegrationSpec {
    pub id: IntegrationId,
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
pub type Destination = (Arc<str>, IntegrationId);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverSpec {
    pub name: Arc<str>,
    pub integrations: Vec<IntegrationSpec>,
}

impl ReceiverSpec {
    /// The integration that a stored row names. A position of version 0.1 counts over all kinds; where the row knows the kind too,
    /// an integration of another kind in that place is not the one that was meant.
    pub fn find(&self, id: &IntegrationId) -> Option<&IntegrationSpec> {
        match id.number {
            Number::OfKind(_) => self.integrations.iter().find(|integration| integration.id == *id),
            Number::OfAll(position) => {
                self.integrations.get(position as usize).filter(|found| id.kind.is_empty() || id.kind == found.id.kind)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integration_is_counted_within_its_kind() {
        let ids = IntegrationId::numbered(["webhook", "webhook", "slack", "webhook"]);
        let said: Vec<String> = ids.iter().map(ToString::to_string).collect();
        assert_eq!(said, ["webhook/0", "webhook/1", "slack/0", "webhook/2"]);
        assert_eq!(ids[1].key_part(), "webhook1");
    }

    #[test]
    fn what_is_printed_is_read() {
        for id in [
            IntegrationId::new("slack", 3),
            IntegrationId::from_position("slack", 3),
            IntegrationId::from_position("", 0),
        ] {
            assert_eq!(IntegrationId::parse(&id.to_string()), Some(id));
        }
        for text in ["", "slack", "slack/", "/0", "slack/x", "@", "slack@-1"] {
            assert_eq!(IntegrationId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_position_of_version_0_1_is_looked_up() {
        let spec = |id| IntegrationSpec {
            id,
            send_resolved: true,
            send_resolved_pages: true,
            updates_in_place: false,
            max_alerts: 0,
        };
        let ids = IntegrationId::numbered(["webhook", "email", "email"]);
        let receiver = ReceiverSpec { name: "ops".into(), integrations: ids.into_iter().map(spec).collect() };
        let found = |id: &IntegrationId| receiver.find(id).map(|i| i.id.to_string());
        assert_eq!(found(&IntegrationId::from_position("", 2)).as_deref(), Some("email/1"));
        assert_eq!(found(&IntegrationId::from_position("email", 2)).as_deref(), Some("email/1"));
        assert_eq!(found(&IntegrationId::from_position("slack", 2)), None);
        assert_eq!(found(&IntegrationId::from_position("", 3)), None);
        assert_eq!(found(&IntegrationId::new("email", 0)).as_deref(), Some("email/0"));
        assert_eq!(found(&IntegrationId::new("slack", 0)), None);
    }
}
