//! Silences: who asked for quiet, for what, and until when.
//! In: the API. Out: [`Silence`], whose state follows from the time alone.
//! Never: deletes itself; `alerts::silence` keeps the list.
//! Start at [`Silence::state`].

use super::labels::Labels;
use super::matcher::Matcher;
use super::time::Timestamp;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// A UUID, as Alertmanager's API wants it.
    pub id: Arc<str>,
    /// All must hold; at least one does not match the empty string.
    pub matchers: Vec<Matcher>,
    pub starts_at: Timestamp,
    pub ends_at: Timestamp,
    pub updated_at: Timestamp,
    pub created_by: String,
    pub comment: String,
    pub annotations: Labels,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SilenceState {
    Active,
    Pending,
    Expired,
}

impl SilenceState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pending => "pending",
            Self::Expired => "expired",
        }
    }
}

impl Silence {
    pub fn state(&self, now: Timestamp) -> SilenceState {
        if now < self.starts_at {
            SilenceState::Pending
        } else if now < self.ends_at {
            SilenceState::Active
        } else {
            SilenceState::Expired
        }
    }
}
