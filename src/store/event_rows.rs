//! Timeline events and evidence as columns: JSON, or the sentences of version 0.1.
//! In: typed data. Out: the columns, and back.
//! Never: makes sentences (`incidents::words` does, when somebody reads).
//! Start at [`event_columns`].

use super::contract::StoreError;
use super::rows::{decode, encode};
use crate::model::{Evidence, TimelineEvent, TimelineKind};

/// `text`, `reason` and `data`: what a person added is the reason of a line; rows of 0.1 keep their sentences.
pub(super) fn event_columns(event: &TimelineEvent, note: &str) -> Result<(String, String, Option<String>), StoreError> {
    match event {
        TimelineEvent::Recorded { text, reason, .. } => Ok((text.clone(), reason.clone(), None)),
        event => Ok((String::new(), note.to_owned(), Some(encode(event)?))),
    }
}

/// The event and the note from their columns.
pub(super) fn event_of(
    kind: TimelineKind,
    text: String,
    reason: String,
    data: Option<&str>,
) -> Result<(TimelineEvent, String), StoreError> {
    match data {
        Some(data) => Ok((decode("timeline", data)?, reason)),
        None => Ok((TimelineEvent::Recorded { kind, text, reason }, String::new())),
    }
}

/// `reason`, `runner_up` and `evidence`.
pub(super) fn evidence_columns(evidence: &Evidence) -> Result<(String, String, Option<String>), StoreError> {
    match evidence {
        Evidence::Recorded { reason, runner_up } => Ok((reason.clone(), runner_up.clone(), None)),
        evidence => Ok((String::new(), String::new(), Some(encode(evidence)?))),
    }
}

pub(super) fn evidence_of(reason: String, runner_up: String, data: Option<&str>) -> Result<Evidence, StoreError> {
    match data {
        Some(data) => decode("member", data),
        None => Ok(Evidence::Recorded { reason, runner_up }),
    }
}
