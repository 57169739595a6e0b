//! What a failed attempt means to the caller.
//! In: what a destination or the network did. Out: [`NotifyError`].
//! Never: holds a URL or a secret; errors are stored and shown.
//! Start at [`NotifyError`].

use std::time::Duration;

/// Variants are what the caller does next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotifyError {
    /// Try again, not before `retry_after` when the destination named one.
    #[error("{reason}")]
    Temporary { reason: String, retry_after: Option<Duration> },
    /// Never try this message again; the escalation goes on at once.
    #[error("{reason}")]
    Permanent { reason: String },
}

impl NotifyError {
    pub fn permanent(reason: impl Into<String>) -> Self {
        Self::Permanent { reason: reason.into() }
    }

    pub fn temporary(reason: impl Into<String>) -> Self {
        Self::Temporary { reason: reason.into(), retry_after: None }
    }
}
