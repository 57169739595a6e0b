//! The body of an incident's row, as it is written now and as version 0.1 wrote it.
//! In: an [`Incident`], taken apart field by field. Out: the same incident.
//! Never: talks to a database.
//! Start at [`IncidentBody`].

use super::contract::StoreError;
use super::rows::{IntegrationBody, LabelsBody, known, millis, moment};
use crate::model::{
    Acknowledgement, Covered, Door, Escalation, EscalationRun, EscalationTarget, Fingerprint, Incident, IncidentId,
    IncidentState, IncidentStatus, Resolution, ResolvedBy, RunState, Severity, Snooze, Timestamp,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// `id`, `status`, `severity`, `opened_at` and `resolved_at` are columns.
#[derive(Serialize, Deserialize)]
pub(super) struct IncidentBody {
    title: String,
    state: StateBody,
    labels: LabelsBody,
    cluster: Option<Arc<str>>,
    environment: Option<Arc<str>>,
    last_attached_at: i64,
    correlation_rule: Option<Arc<str>>,
    correlation_key: Option<Arc<str>>,
    alert_count: u32,
    firing_count: u32,
    doors: Vec<String>,
    escalation: EscalationBody,
    paged: Vec<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    predecessor: Option<u64>,
}

/// A row of this version or of 0.1, told apart by the fields that only one of them has.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum StoredIncident {
    Now(Box<IncidentBody>),
    Of01(Box<IncidentBodyOf01>),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StateBody {
    Triggered,
    Acknowledged(AcknowledgementBody),
    Snoozed {
        by: Arc<str>,
        at: i64,
        until: i64,
        covers: Vec<(Arc<str>, Arc<str>)>,
        #[serde(default = "worst")]
        severity: Severity,
        acknowledged: Option<AcknowledgementBody>,
    },
    /// The moment is a column.
    Resolved(ResolvedBody),
}

#[derive(Serialize, Deserialize)]
struct AcknowledgementBody {
    by: Arc<str>,
    at: i64,
    covers: Vec<(Arc<str>, Arc<str>)>,
    #[serde(default = "worst")]
    severity: Severity,
}

/// An answer whose row does not say at which severity it was given covers every one.
fn worst() -> Severity {
    Severity::Critical
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ResolvedBody {
    Itself,
    Person { by: Arc<str>, still_firing: u32, hold_until: Option<i64> },
    Merge { by: Arc<str>, into: u64 },
}

#[derive(Serialize, Deserialize)]
struct EscalationBody {
    runs: Vec<RunBody>,
    last_run: u32,
    assigned_to: Option<EscalationTarget>,
    held: Vec<Arc<str>>,
    delivered_to: Vec<(Arc<str>, IntegrationBody)>,
}

#[derive(Serialize, Deserialize)]
struct RunBody {
    policy: Arc<str>,
    run: u32,
    because: Option<Fingerprint>,
    step: u32,
    round: u32,
    round_started_at: i64,
    reached: bool,
    state: RunStateBody,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RunStateBody {
    AskingAcknowledger { by: Arc<str>, until: i64 },
    Active { next_at: i64 },
    Resting,
    Exhausted,
    Stopped,
    UnknownPolicy,
}

/// The columns of an incident's row that are not its body.
pub(super) struct IncidentColumns {
    pub id: IncidentId,
    pub status: IncidentStatus,
    pub severity: Severity,
    pub opened_at: Timestamp,
    pub resolved_at: Option<Timestamp>,
}

fn pairs(covers: BTreeSet<Covered>) -> Vec<(Arc<str>, Arc<str>)> {
    covers.into_iter().map(|pair| (pair.alertname, pair.service)).collect()
}

fn covers(pairs: Vec<(Arc<str>, Arc<str>)>) -> BTreeSet<Covered> {
    pairs.into_iter().map(|(alertname, service)| Covered { alertname, service }).collect()
}

impl AcknowledgementBody {
    fn of(ack: Acknowledgement) -> Self {
        Self { by: ack.by, at: ack.at.as_millis(), covers: pairs(ack.covers), severity: ack.severity }
    }

    fn into_acknowledgement(self) -> Acknowledgement {
        let (at, covers) = (Timestamp::from_millis(self.at), covers(self.covers));
        Acknowledgement { by: self.by, at, covers, severity: self.severity }
    }
}

impl StateBody {
    fn of(state: IncidentState) -> Self {
        match state {
            IncidentState::Triggered => Self::Triggered,
            IncidentState::Acknowledged(ack) => Self::Acknowledged(AcknowledgementBody::of(ack)),
            IncidentState::Snoozed(snooze) => Self::Snoozed {
                by: snooze.by,
                at: snooze.at.as_millis(),
                until: snooze.until.as_millis(),
                covers: pairs(snooze.covers),
                severity: snooze.severity,
                acknowledged: snooze.acknowledged.map(AcknowledgementBody::of),
            },
            IncidentState::Resolved(over) => Self::Resolved(match over.by {
                ResolvedBy::Itself => ResolvedBody::Itself,
                ResolvedBy::Person { by, still_firing, hold_until } => {
                    ResolvedBody::Person { by, still_firing, hold_until: millis(hold_until) }
                }
                ResolvedBy::Merge { by, into } => ResolvedBody::Merge { by, into: into.0 },
            }),
        }
    }

    fn into_state(self, resolved_at: Option<Timestamp>) -> IncidentState {
        match self {
            Self::Triggered => IncidentState::Triggered,
            Self::Acknowledged(ack) => IncidentState::Acknowledged(ack.into_acknowledgement()),
            Self::Snoozed { by, at, until, covers: pairs, severity, acknowledged } => IncidentState::Snoozed(Snooze {
                by,
                at: Timestamp::from_millis(at),
                until: Timestamp::from_millis(until),
                covers: covers(pairs),
                severity,
                acknowledged: acknowledged.map(AcknowledgementBody::into_acknowledgement),
            }),
            Self::Resolved(by) => {
                let by = match by {
                    ResolvedBody::Itself => ResolvedBy::Itself,
                    ResolvedBody::Person { by, still_firing, hold_until } => {
                        ResolvedBy::Person { by, still_firing, hold_until: moment(hold_until) }
                    }
                    ResolvedBody::Merge { by, into } => ResolvedBy::Merge { by, into: IncidentId(into) },
                };
                IncidentState::Resolved(Resolution { at: resolved_at.unwrap_or(Timestamp::EPOCH), by })
            }
        }
    }
}

impl RunBody {
    fn of(run: EscalationRun) -> Self {
        let EscalationRun { policy, run, because, step, round, round_started_at, reached, state } = run;
        let state = match state {
            RunState::AskingAcknowledger { by, until } => {
                RunStateBody::AskingAcknowledger { by, until: until.as_millis() }
            }
            RunState::Active { next_at } => RunStateBody::Active { next_at: next_at.as_millis() },
            RunState::Resting => RunStateBody::Resting,
            RunState::Exhausted => RunStateBody::Exhausted,
            RunState::Stopped => RunStateBody::Stopped,
            RunState::UnknownPolicy => RunStateBody::UnknownPolicy,
        };
        Self { policy, run, because, step, round, round_started_at: round_started_at.as_millis(), reached, state }
    }

    fn into_run(self) -> EscalationRun {
        let at = Timestamp::from_millis;
        EscalationRun {
            policy: self.policy,
            run: self.run,
            because: self.because,
            step: self.step,
            round: self.round,
            round_started_at: at(self.round_started_at),
            reached: self.reached,
            state: match self.state {
                RunStateBody::AskingAcknowledger { by, until } => RunState::AskingAcknowledger { by, until: at(until) },
                RunStateBody::Active { next_at } => RunState::Active { next_at: at(next_at) },
                RunStateBody::Resting => RunState::Resting,
                RunStateBody::Exhausted => RunState::Exhausted,
                RunStateBody::Stopped => RunState::Stopped,
                RunStateBody::UnknownPolicy => RunState::UnknownPolicy,
            },
        }
    }
}

fn destinations(stored: Vec<(Arc<str>, IntegrationBody)>) -> Result<BTreeSet<crate::model::Destination>, StoreError> {
    stored.into_iter().map(|(receiver, body)| Ok((receiver, body.into_id("")?))).collect()
}

fn doors(stored: &[String]) -> Result<BTreeSet<Door>, StoreError> {
    stored.iter().map(|d| known("incident", d, Door::parse(d))).collect()
}

impl IncidentBody {
    pub(super) fn of(incident: &Incident) -> (IncidentColumns, Self) {
        let (status, resolved_at) = (incident.status(), incident.resolved_at());
        let Incident {
            id,
            title,
            state,
            severity,
            labels,
            cluster,
            environment,
            opened_at,
            last_attached_at,
            correlation_rule,
            correlation_key,
            alert_count,
            firing_count,
            doors,
            escalation: Escalation { runs, last_run, assigned_to, held, delivered_to },
            paged,
            predecessor,
        } = incident.clone();
        let columns = IncidentColumns { id, status, severity, opened_at, resolved_at };
        let escalation = EscalationBody {
            runs: runs.into_iter().map(RunBody::of).collect(),
            last_run,
            assigned_to,
            held: held.into_iter().collect(),
            delivered_to: delivered_to.into_iter().map(|(name, id)| (name, IntegrationBody::of(&id))).collect(),
        };
        let body = Self {
            title,
            state: StateBody::of(state),
            labels: LabelsBody(labels),
            cluster,
            environment,
            last_attached_at: last_attached_at.as_millis(),
            correlation_rule,
            correlation_key,
            alert_count,
            firing_count,
            doors: doors.into_iter().map(|d| d.as_str().to_owned()).collect(),
            escalation,
            paged: paged.into_iter().collect(),
            predecessor: predecessor.map(|id| id.0),
        };
        (columns, body)
    }
}

impl StoredIncident {
    pub(super) fn into_incident(self, columns: IncidentColumns) -> Result<Incident, StoreError> {
        match self {
            Self::Now(body) => body.into_incident(columns),
            Self::Of01(body) => body.into_incident(columns),
        }
    }
}

impl IncidentBody {
    fn into_incident(self, columns: IncidentColumns) -> Result<Incident, StoreError> {
        let IncidentColumns { id, status: _, severity, opened_at, resolved_at } = columns;
        Ok(Incident {
            id,
            title: self.title,
            state: self.state.into_state(resolved_at),
            severity,
            labels: self.labels.0,
            cluster: self.cluster,
            environment: self.environment,
            opened_at,
            last_attached_at: Timestamp::from_millis(self.last_attached_at),
            correlation_rule: self.correlation_rule,
            correlation_key: self.correlation_key,
            alert_count: self.alert_count,
            firing_count: self.firing_count,
            doors: doors(&self.doors)?,
            escalation: Escalation {
                runs: self.escalation.runs.into_iter().map(RunBody::into_run).collect(),
                last_run: self.escalation.last_run,
                assigned_to: self.escalation.assigned_to,
                held: self.escalation.held.into_iter().collect(),
                delivered_to: destinations(self.escalation.delivered_to)?,
            },
            paged: self.paged.into_iter().collect(),
            predecessor: self.predecessor.map(IncidentId),
        })
    }
}

/// What version 0.1 wrote: one policy, and the state in fields beside each other.
#[derive(Deserialize)]
pub(super) struct IncidentBodyOf01 {
    title: String,
    labels: LabelsBody,
    cluster: Option<Arc<str>>,
    environment: Option<Arc<str>>,
    last_attached_at: i64,
    acknowledged_at: Option<i64>,
    acknowledged_by: Option<Arc<str>>,
    resolved_by: Option<Arc<str>>,
    snoozed_until: Option<i64>,
    correlation_rule: Option<Arc<str>>,
    correlation_key: Option<Arc<str>>,
    alert_count: u32,
    firing_count: u32,
    doors: Vec<String>,
    escalation: EscalationBodyOf01,
    paged: Vec<Arc<str>>,
    merged_into: Option<u64>,
}

#[derive(Deserialize)]
struct EscalationBodyOf01 {
    policy: Option<Arc<str>>,
    step: u32,
    round: u32,
    round_started_at: Option<i64>,
    next_at: Option<i64>,
    exhausted: bool,
    assigned_to: Option<EscalationTarget>,
    run: u32,
    reached: bool,
    held: Vec<Arc<str>>,
    heard: Vec<(Arc<str>, IntegrationBody)>,
}

/// A person whom the row does not name.
const UNNAMED: &str = "somebody";

impl IncidentBodyOf01 {
    fn into_incident(self, columns: IncidentColumns) -> Result<Incident, StoreError> {
        let IncidentColumns { id, status, severity, opened_at, resolved_at } = columns;
        let state = self.state(status, resolved_at);
        let is_triggered = state == IncidentState::Triggered;
        let title = without_count(&self.title).to_owned();
        Ok(Incident {
            id,
            title,
            state,
            severity,
            labels: self.labels.0,
            cluster: self.cluster,
            environment: self.environment,
            opened_at,
            last_attached_at: Timestamp::from_millis(self.last_attached_at),
            correlation_rule: self.correlation_rule,
            correlation_key: self.correlation_key,
            alert_count: self.alert_count,
            firing_count: self.firing_count,
            doors: doors(&self.doors)?,
            escalation: self.escalation.into_escalation(is_triggered, opened_at)?,
            paged: self.paged.into_iter().collect(),
            predecessor: None,
        })
    }

    fn state(&self, status: IncidentStatus, resolved_at: Option<Timestamp>) -> IncidentState {
        let unnamed = || Arc::from(UNNAMED);
        let acknowledged = (status == IncidentStatus::Acknowledged).then(|| Acknowledgement {
            by: self.acknowledged_by.clone().unwrap_or_else(unnamed),
            at: moment(self.acknowledged_at).unwrap_or(Timestamp::EPOCH),
            covers: BTreeSet::new(),
            severity: worst(),
        });
        if status == IncidentStatus::Resolved {
            let by = match (self.merged_into, &self.resolved_by) {
                (Some(into), by) => {
                    ResolvedBy::Merge { by: by.clone().unwrap_or_else(unnamed), into: IncidentId(into) }
                }
                // Then a resolve by hand was for ever.
                (None, Some(by)) => {
                    ResolvedBy::Person { by: by.clone(), still_firing: self.firing_count, hold_until: None }
                }
                (None, None) => ResolvedBy::Itself,
            };
            return IncidentState::Resolved(Resolution { at: resolved_at.unwrap_or(Timestamp::EPOCH), by });
        }
        match (moment(self.snoozed_until), acknowledged) {
            (Some(until), acknowledged) => IncidentState::Snoozed(Snooze {
                by: unnamed(),
                at: acknowledged.as_ref().map_or(Timestamp::from_millis(self.last_attached_at), |ack| ack.at),
                until,
                covers: BTreeSet::new(),
                severity: worst(),
                acknowledged,
            }),
            (None, Some(acknowledged)) => IncidentState::Acknowledged(acknowledged),
            (None, None) => IncidentState::Triggered,
        }
    }
}

/// Version 0.1 kept the count of alerts in the title: `InstanceDown node (+3)`.
fn without_count(title: &str) -> &str {
    match title.rsplit_once(" (+") {
        Some((base, count)) if count.strip_suffix(')').is_some_and(|n| n.parse::<u32>().is_ok()) => base,
        _ => title,
    }
}

impl EscalationBodyOf01 {
    fn into_escalation(self, is_triggered: bool, opened_at: Timestamp) -> Result<Escalation, StoreError> {
        let state = match (self.next_at, self.exhausted) {
            _ if !is_triggered => RunState::Stopped,
            (_, true) => RunState::Exhausted,
            (Some(next_at), false) => RunState::Active { next_at: Timestamp::from_millis(next_at) },
            (None, false) => RunState::UnknownPolicy,
        };
        let run = self.policy.map(|policy| EscalationRun {
            policy,
            run: self.run,
            because: None,
            step: self.step,
            round: self.round,
            round_started_at: moment(self.round_started_at).unwrap_or(opened_at),
            reached: self.reached,
            state,
        });
        Ok(Escalation {
            runs: run.into_iter().collect(),
            last_run: self.run,
            assigned_to: self.assigned_to,
            held: self.held.into_iter().collect(),
            delivered_to: destinations(self.heard)?,
        })
    }
}
