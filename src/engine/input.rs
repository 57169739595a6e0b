//! What can happen to the engine, and what comes out: two closed lists.
//! In: the doors, operators, receipts, the clock. Out: [`Outcome`].
//! Never: carries a handle, a socket or a secret.
//! Start at [`Input`].

use crate::model::{
    EscalationTarget, Fingerprint, IncidentId, Matcher, NflogKey, Notification, NotificationKey, Receipt,
    RuleAlertRecord, Timestamp, Transition, Write,
};
use std::sync::Arc;
use std::time::Duration;

/// Everything that can happen. The decide loop stamps one `now` on each.
#[derive(Clone, Debug)]
pub enum Input {
    /// News from the door (never refreshes).
    Transitions(Vec<Transition>),
    /// The rules' own state, to be stored with the transitions it caused.
    RuleAlerts(Vec<RuleAlertChange>),
    Command(Command),
    Receipt(Receipt),
    /// The wall clock was set, forward or back, while the monotonic one went on: waits move with it.
    ClockJumped {
        by_ms: i64,
    },
    /// Nothing but time.
    Tick,
}

#[derive(Clone, Debug)]
pub enum RuleAlertChange {
    Put(Arc<RuleAlertRecord>),
    Drop { rule: Arc<str>, fingerprint: Fingerprint },
}

/// What a person asks for.
#[derive(Clone, Debug)]
pub struct Command {
    /// Who asks; written into the timeline.
    pub by: Arc<str>,
    pub note: Option<String>,
    pub kind: CommandKind,
}

#[derive(Clone, Debug)]
pub enum CommandKind {
    Acknowledge(IncidentId),
    Unacknowledge(IncidentId),
    /// Alerts that still fire after `hold` open a new incident; `None`: as configured, zero: never.
    Resolve {
        incident: IncidentId,
        hold: Option<Duration>,
    },
    /// A resolved incident some of whose alerts still fire.
    Reopen(IncidentId),
    /// Quiet until then, then the policy starts again unless acknowledged or resolved.
    Snooze {
        incident: IncidentId,
        duration: Duration,
    },
    Reassign {
        incident: IncidentId,
        to: EscalationTarget,
    },
    /// Take the next step now.
    Escalate(IncidentId),
    Note(IncidentId),
    /// `from` becomes part of `into`.
    Merge {
        into: IncidentId,
        from: Vec<IncidentId>,
    },
    /// These alerts become an incident of their own.
    Split {
        incident: IncidentId,
        alerts: Vec<Fingerprint>,
    },
    /// This alert leaves and belongs nowhere.
    Detach {
        incident: IncidentId,
        alert: Fingerprint,
    },
    /// `new_id` is a fresh UUID made by the shell; it is used when a new silence comes to be.
    PutSilence {
        id: Option<Arc<str>>,
        new_id: Arc<str>,
        matchers: Vec<Matcher>,
        starts_at: Timestamp,
        ends_at: Timestamp,
        comment: String,
    },
    ExpireSilence(Arc<str>),
    /// A settled row goes out once more, as a row of its own under `key` ([`NotificationKey::resend`]).
    Resend {
        original: Arc<Notification>,
        key: NotificationKey,
    },
}

/// What a command came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Done,
    /// The incident the command was about (the new one after a split).
    Incident(IncidentId),
    Silence(Arc<str>),
}

/// Why a command was not carried out; variants are the API's answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// 404
    #[error("{0} not found")]
    NotFound(String),
    /// 409: the state forbids it; the text says which state and what to do.
    #[error("{0}")]
    Conflict(String),
    /// 400
    #[error("{0}")]
    Invalid(String),
}

/// What one input came to. Nothing in it may leave before `writes` are committed.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub writes: Vec<Write>,
    /// New rows of the outbox, also present in `writes`.
    pub send: Vec<Arc<Notification>>,
    /// Outbox rows that a newer message replaced (also in `writes` as `Superseded`); deliver drops them unless already on the wire.
    pub cancel: Vec<NotificationKey>,
    /// The answer when the input was a command.
    pub reply: Option<Result<Reply, CommandError>>,
    /// Versions that the door may now call committed.
    pub committed: Vec<(Fingerprint, u64)>,
    /// Things that cannot be, for the log and a counter.
    pub breaches: Vec<String>,
    /// Whoever heard of a fire there cannot be told its end: the receiver or integration is not configured any more. For the log.
    pub untold: Vec<NflogKey>,
}
