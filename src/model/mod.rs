//! The words of the house: plain data that every other room speaks.
//! In: nothing. Out: types whose constructors refuse nonsense.
//! Never: reads a clock, does IO, locks, logs, or serialises itself (wire shapes live in `api`, `wire` and `store`); the one
//! exception is the data of timeline events, which is stored and served as it is.
//! Start at [`labels::Labels`], then [`alert::AlertRecord`] and [`incident::Incident`].

pub mod alert;
pub mod duration;
pub mod escalation;
pub mod evidence;
pub mod ids;
pub mod incident;
pub mod labels;
pub mod matcher;
pub mod mute;
pub mod network;
pub mod notification;
pub mod pattern;
pub mod quote;
pub mod receiver;
pub mod sample;
pub mod secret;
pub mod silence;
pub mod time;
pub mod timeline;
pub mod write;

pub use alert::{Alert, AlertRecord, Door, Lease, SourceKey, Transition, TransitionKind, is_heartbeat};
pub use escalation::{Escalation, EscalationRun, EscalationTarget, RunState};
pub use evidence::{Evidence, RunnerUp, RunnerUpReason};
pub use ids::{Fingerprint, IncidentId, NotificationKey, SeriesId};
pub use incident::{
    Acknowledgement, Covered, Incident, IncidentState, IncidentStatus, Member, Resolution, ResolvedBy, Severity, Snooze,
};
pub use labels::{Labels, LabelsBuilder};
pub use matcher::{MatchOp, Matcher};
pub use mute::MuteReason;
pub use network::Network;
pub use notification::{
    IncidentLink, MESSAGE_INCIDENTS_MAX, Message, MessageAlert, MessageIncident, NextTry, Notification,
    NotificationKind, NotificationState, Receipt, ReceiptOutcome,
};
pub use receiver::{Destination, IntegrationId, IntegrationSpec, ReceiverSpec};
pub use sample::{Histogram, Sample, SampleValue};
pub use secret::{Secret, SecretSource};
pub use silence::Silence;
pub use time::Timestamp;
pub use timeline::{TimelineEntry, TimelineEvent, TimelineKind};
pub use write::{NflogEntry, NflogKey, RuleAlertRecord, RuleAlertState, Write};
