//! The life of an incident: one table of transitions, the only place that changes a state.
//! In: an incident and what is to happen to it. Out: its new state, or which state forbids it.
//! Never: knows alerts, policies or messages.
//! Start at [`next`]; `docs/incidents.md` has the table as a picture.

use crate::model::incident::COVERS_MAX;
use crate::model::{
    Acknowledgement, Covered, Incident, IncidentId, IncidentState, Resolution, ResolvedBy, Snooze, Timestamp,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What can happen to a state.
#[derive(Clone, Debug)]
pub enum Change {
    Acknowledge(Acknowledgement),
    /// A person takes an acknowledgement back.
    Unacknowledge,
    /// It wants an answer (again): a snooze or an acknowledgement ran out or did not cover what came, or it was reassigned.
    Trigger,
    /// What the snooze keeps of an acknowledgement is filled in here.
    Snooze(Snooze),
    Resolve(Resolution),
    Reopen,
}

/// Which state forbids a change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("is already acknowledged by {by}")]
    AlreadyAcknowledged { by: Arc<str> },
    #[error("is not acknowledged")]
    NotAcknowledged,
    #[error("is already resolved{}", .by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default())]
    Resolved { by: Option<Arc<str>> },
    #[error("was merged into {into}")]
    Merged { into: IncidentId },
    #[error("is not resolved")]
    NotResolved,
}

impl Refused {
    /// What the caller can do instead.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::AlreadyAcknowledged { .. } => "unacknowledge it first to take it over",
            Self::NotAcknowledged => "there is nothing to take back",
            Self::Resolved { .. } => "reopen it first if its alerts still fire",
            Self::Merged { .. } => "act on that one",
            Self::NotResolved => "only what is resolved can be reopened",
        }
    }
}

/// The table of transitions.
pub fn next(state: &IncidentState, change: Change) -> Result<IncidentState, Refused> {
    use IncidentState::{Acknowledged, Resolved, Snoozed, Triggered};
    match (state, change) {
        (Resolved(over), Change::Reopen) => match &over.by {
            ResolvedBy::Merge { into, .. } => Err(Refused::Merged { into: *into }),
            ResolvedBy::Itself | ResolvedBy::Person { .. } => Ok(Triggered),
        },
        (Resolved(over), _) => Err(over_by(over)),
        (_, Change::Reopen) => Err(Refused::NotResolved),
        (_, Change::Resolve(resolution)) => Ok(Resolved(resolution)),
        (_, Change::Trigger) => Ok(Triggered),
        (Acknowledged(ack), Change::Acknowledge(_)) => Err(Refused::AlreadyAcknowledged { by: ack.by.clone() }),
        (Triggered | Snoozed(_), Change::Acknowledge(ack)) => Ok(Acknowledged(ack)),
        (Acknowledged(_), Change::Unacknowledge) => Ok(Triggered),
        (Snoozed(snooze), Change::Unacknowledge) if snooze.acknowledged.is_some() => Ok(Triggered),
        (Triggered | Snoozed(_), Change::Unacknowledge) => Err(Refused::NotAcknowledged),
        (Acknowledged(ack), Change::Snooze(snooze)) => {
            Ok(Snoozed(Snooze { acknowledged: Some(ack.clone()), ..snooze }))
        }
        (Snoozed(old), Change::Snooze(snooze)) => {
            Ok(Snoozed(Snooze { acknowledged: old.acknowledged.clone(), ..snooze }))
        }
        (Triggered, Change::Snooze(snooze)) => Ok(Snoozed(snooze)),
    }
}

fn over_by(over: &Resolution) -> Refused {
    match &over.by {
        ResolvedBy::Merge { into, .. } => Refused::Merged { into: *into },
        ResolvedBy::Person { by, .. } => Refused::Resolved { by: Some(by.clone()) },
        ResolvedBy::Itself => Refused::Resolved { by: None },
    }
}

/// Carries out a change. The incident stays as it was when it is refused.
pub fn change(incident: &mut Incident, change: Change) -> Result<(), Refused> {
    incident.state = next(&incident.state, change)?;
    Ok(())
}

/// What is split off an incident is in the same state: whoever has the one in hand has the other.
pub fn split(new: &mut Incident, old: &Incident) {
    new.state = old.state.clone();
}

/// Alerts were put into an incident by hand: the answer that it has covers them too.
pub fn cover(incident: &mut Incident, covers: BTreeSet<Covered>) {
    let known = match &mut incident.state {
        IncidentState::Acknowledged(ack) => &mut ack.covers,
        IncidentState::Snoozed(snooze) => &mut snooze.covers,
        IncidentState::Triggered | IncidentState::Resolved(_) => return,
    };
    known.extend(covers);
    while known.len() > COVERS_MAX {
        known.pop_last();
    }
}

/// Whether anything but a note can be done to it.
pub fn must_be_open(incident: &Incident) -> Result<(), Refused> {
    incident.resolution().map_or(Ok(()), |over| Err(over_by(over)))
}

/// The wall clock was set: moments that mark the beginning of a wait move with it. A snooze ends when the wall clock says so.
pub fn shift(incident: &mut Incident, by_ms: i64) {
    let shifted = |at: Timestamp| at.shifted(by_ms);
    match &mut incident.state {
        IncidentState::Acknowledged(ack) => ack.at = shifted(ack.at),
        IncidentState::Resolved(over) => {
            if let ResolvedBy::Person { hold_until: Some(until), .. } = &mut over.by {
                *until = shifted(*until);
            }
        }
        IncidentState::Triggered | IncidentState::Snoozed(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Severity;

    fn ack(by: &str) -> Acknowledgement {
        Acknowledgement { by: by.into(), at: Timestamp::EPOCH, covers: BTreeSet::new(), severity: Severity::Info }
    }

    fn snooze(acknowledged: Option<&str>) -> Snooze {
        let acknowledged = acknowledged.map(ack);
        Snooze {
            by: "cy".into(),
            at: Timestamp::EPOCH,
            until: Timestamp::EPOCH,
            covers: BTreeSet::new(),
            severity: Severity::Info,
            acknowledged,
        }
    }

    fn over(by: ResolvedBy) -> Resolution {
        Resolution { at: Timestamp::EPOCH, by }
    }

    fn word(state: &Result<IncidentState, Refused>) -> String {
        match state {
            Ok(IncidentState::Triggered) => "triggered".to_owned(),
            Ok(IncidentState::Acknowledged(ack)) => format!("acknowledged by {}", ack.by),
            Ok(IncidentState::Snoozed(s)) => {
                format!("snoozed{}", s.acknowledged.as_ref().map_or(String::new(), |a| format!(", of {}", a.by)))
            }
            Ok(IncidentState::Resolved(_)) => "resolved".to_owned(),
            Err(refused) => refused.to_string(),
        }
    }

    /// Every state against every change: the table in `docs/incidents.md`.
    #[test]
    fn the_table() {
        let states = [
            IncidentState::Triggered,
            IncidentState::Acknowledged(ack("ana")),
            IncidentState::Snoozed(snooze(None)),
            IncidentState::Snoozed(snooze(Some("ana"))),
            IncidentState::Resolved(over(ResolvedBy::Itself)),
            IncidentState::Resolved(over(ResolvedBy::Merge { by: "ana".into(), into: IncidentId(2) })),
        ];
        let changes = || {
            [
                Change::Acknowledge(ack("bob")),
                Change::Unacknowledge,
                Change::Trigger,
                Change::Snooze(snooze(None)),
                Change::Resolve(over(ResolvedBy::Itself)),
                Change::Reopen,
            ]
        };
        let merged = "was merged into INC-2";
        let expected = [
            ["acknowledged by bob", "is not acknowledged", "triggered", "snoozed", "resolved", "is not resolved"],
            [
                "is already acknowledged by ana",
                "triggered",
                "triggered",
                "snoozed, of ana",
                "resolved",
                "is not resolved",
            ],
            ["acknowledged by bob", "is not acknowledged", "triggered", "snoozed", "resolved", "is not resolved"],
            ["acknowledged by bob", "triggered", "triggered", "snoozed, of ana", "resolved", "is not resolved"],
            [
                "is already resolved",
                "is already resolved",
                "is already resolved",
                "is already resolved",
                "is already resolved",
                "triggered",
            ],
            [merged; 6],
        ];
        for (state, expected) in states.iter().zip(expected) {
            let got: Vec<String> = changes().into_iter().map(|change| word(&next(state, change))).collect();
            assert_eq!(got, expected, "{state:?}");
        }
    }
}
