//! The words of the house: plain data that every other room speaks.
//! In: nothing. Out: types whose constructors refuse nonsense.
//! Never: reads a clock, does IO, locks, logs, or serialises itself (wire shapes live in `api`, `wire` and `store`).
//! Start at [`labels::Labels`], then [`alert::AlertRecord`] and [`incident::Incident`].

pub mod alert;
pub mod duration;
pub mod ids;
pub mod incident;
pub mod labels;
pub mod matcher;
pub mod notification;
pub mod pattern;
pub mod quote;
pub mod receiver;
pub mod sample;
pub mod secret;
pub mod silence;
pub mod time;
pub mod write;

pub use alert::{Alert, AlertRecord, Door, Lease, SourceKey, Transition, TransitionKind};
pub use ids::{Fingerprint, IncidentId, NotificationKey, SeriesId};
pub use incident::{Escalation, Incident, IncidentStatus, Member, Severity, TimelineEntry, TimelineKind};
pub use labels::{Labels, LabelsBuilder};
pub use matcher::{MatchOp, Matcher};
pub use notification::{
    Message, MessageAlert, MessageIncident, NextTry, Notification, NotificationKind, NotificationState, Receipt,
    ReceiptOutcome,
};
pub use receiver::{IntegrationId, IntegrationSpec, ReceiverSpec};
pub use sample::{Histogram, Sample, SampleValue};
pub use secret::{Secret, SecretSource};
pub use silence::Silence;
pub use time::Timestamp;
pub use write::{NflogEntry, NflogKey, RuleAlertRecord, RuleAlertState, Write};
