//! What people ask for: acknowledge, resolve, reopen, snooze, reassign, escalate, note; and silences.
//! In: [`Command`]. Out: the change and its timeline line, or a sentence that says why not.
//! Never: half a command; everything is checked before anything changes.
//! Start at [`Engine::command`]; merge, split and detach are in `moves`.

use super::core::Engine;
use super::limits;
use super::mute::silence_of;
use super::runs::position;
use super::{Command, CommandError, CommandKind, Reply};
use crate::escalation::{Next, next};
use crate::incidents::lifecycle::{self, Change, Refused, change};
use crate::incidents::title::cut;
use crate::incidents::words::ms_since;
use crate::model::timeline::{StepReason, TakenBack};
use crate::model::{
    Acknowledgement, EscalationTarget, Incident, IncidentId, Resolution, ResolvedBy, RunState, Snooze, TimelineEvent,
    duration,
};
use std::sync::Arc;
use std::time::Duration;

pub(super) type Answer = Result<Reply, CommandError>;

pub(super) fn conflict(text: String) -> CommandError {
    CommandError::Conflict(text)
}

/// Which state forbids it, and what can be done instead.
pub(super) fn refused_by(id: IncidentId, refused: &Refused) -> CommandError {
    CommandError::Conflict(format!("{id} {refused}: {}", refused.advice()))
}

/// Who asks, and the words they added.
pub(super) struct By {
    pub who: Arc<str>,
    pub note: String,
}

impl Engine {
    pub(super) fn command(&mut self, command: Command) -> Answer {
        let by = By { who: command.by, note: cut(command.note.unwrap_or_default(), limits::TEXT_MAX) };
        match command.kind {
            CommandKind::Acknowledge(id) => self.acknowledge(id, &by),
            CommandKind::Unacknowledge(id) => self.unacknowledge(id, &by),
            CommandKind::Resolve { incident, hold } => self.resolve_by_hand(incident, hold, &by),
            CommandKind::Reopen(id) => self.reopen(id, &by),
            CommandKind::Snooze { incident, duration } => self.snooze(incident, duration, &by),
            CommandKind::Reassign { incident, to } => self.reassign(incident, to, &by),
            CommandKind::Escalate(id) => self.escalate_now(id, &by),
            CommandKind::Note(id) => self.note(id, &by),
            CommandKind::Merge { into, from } => self.merge_incidents(into, &from, &by),
            CommandKind::Split { incident, alerts } => self.split(incident, &alerts, &by),
            CommandKind::Detach { incident, alert } => self.detach(incident, alert, &by),
            CommandKind::PutSilence { id, new_id, matchers, starts_at, ends_at, comment } => {
                self.put_silence(silence_of(id, matchers, starts_at, ends_at, &by.who, comment), new_id)
            }
            CommandKind::ExpireSilence(id) => self.expire_silence(&id),
            CommandKind::Resend { original, key } => self.resend(&original, key, &by.who),
        }
    }

    pub(super) fn known(&self, id: IncidentId) -> Result<&Incident, CommandError> {
        let incident = self.incidents.get(&id).map(|entry| &*entry.incident);
        incident.ok_or_else(|| CommandError::NotFound(id.to_string()))
    }

    /// The incident, unless it is resolved: nothing but a note can be added to what is over.
    pub(super) fn open_one(&self, id: IncidentId) -> Result<&Incident, CommandError> {
        let incident = self.known(id)?;
        lifecycle::must_be_open(incident).map_err(|refused| refused_by(id, &refused))?;
        Ok(incident)
    }

    /// Changes the state, or says which state forbids it.
    fn change(&mut self, id: IncidentId, to: Change) -> Result<(), CommandError> {
        self.known(id)?;
        let Some(incident) = self.edit(id) else { return Err(CommandError::NotFound(id.to_string())) };
        change(incident, to).map_err(|refused| refused_by(id, &refused))
    }

    pub(super) fn record_by(&mut self, id: IncidentId, event: TimelineEvent, by: &By) {
        self.record_as(id, event, Some(by.who.clone()), by.note.clone());
    }

    fn acknowledge(&mut self, id: IncidentId, by: &By) -> Answer {
        let (covers, severity) = (self.covers_of(id), self.known(id)?.severity);
        let ack = Acknowledgement { by: by.who.clone(), at: self.now, covers, severity };
        self.change(id, Change::Acknowledge(ack))?;
        self.stop_runs(id, TakenBack::IncidentAcknowledged);
        self.record_by(id, TimelineEvent::Acknowledged, by);
        self.tell_acknowledged(id, format!("acknowledged by {}", by.who));
        Ok(Reply::Incident(id))
    }

    fn unacknowledge(&mut self, id: IncidentId, by: &By) -> Answer {
        self.change(id, Change::Unacknowledge)?;
        self.record_by(id, TimelineEvent::Unacknowledged, by);
        self.start_runs(id, &StepReason::StartedAgain);
        Ok(Reply::Incident(id))
    }

    fn resolve_by_hand(&mut self, id: IncidentId, hold: Option<Duration>, by: &By) -> Answer {
        self.open_one(id)?;
        let still_firing = self.incidents.get(&id).map_or(0, |entry| entry.firing.len() as u32);
        let hold = hold.unwrap_or(self.settings.resolve_hold);
        if hold > limits::RESOLVE_HOLD_MAX {
            let max = duration::format(limits::RESOLVE_HOLD_MAX);
            return Err(CommandError::Invalid(format!("a resolve holds for at most {max}; 0 is for ever")));
        }
        let hold_until = (still_firing > 0 && !hold.is_zero()).then(|| self.now + hold);
        let by_hand = ResolvedBy::Person { by: by.who.clone(), still_firing, hold_until };
        self.resolve(id, Resolution { at: self.now, by: by_hand }, by.note.clone());
        Ok(Reply::Incident(id))
    }

    fn reopen(&mut self, id: IncidentId, by: &By) -> Answer {
        let incident = self.known(id)?;
        lifecycle::next(&incident.state, Change::Reopen).map_err(|refused| refused_by(id, &refused))?;
        let after_ms = incident.resolved_at().map_or(0, |at| ms_since(self.now, at));
        if self.incidents.get(&id).is_none_or(|entry| entry.firing.is_empty()) {
            return Err(conflict(format!(
                "none of the alerts of {id} fires any more, so it would end at once; if they fire again they open a new incident"
            )));
        }
        self.open_again(id);
        self.record_by(id, TimelineEvent::Reopened { alert: None, after_ms }, by);
        self.start_runs(id, &StepReason::StartedAgain);
        Ok(Reply::Incident(id))
    }

    fn snooze(&mut self, id: IncidentId, length: Duration, by: &By) -> Answer {
        let severity = self.open_one(id)?.severity;
        if length.is_zero() || length > limits::SNOOZE_MAX {
            let max = duration::format(limits::SNOOZE_MAX);
            return Err(CommandError::Invalid(format!("a snooze lasts longer than nothing and at most {max}")));
        }
        let (at, until, covers) = (self.now, self.now + length, self.covers_of(id));
        self.change(
            id,
            Change::Snooze(Snooze { by: by.who.clone(), at, until, covers, severity, acknowledged: None }),
        )?;
        self.stop_runs(id, TakenBack::IncidentSnoozed);
        let for_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        self.record_by(id, TimelineEvent::Snoozed { for_ms, until }, by);
        Ok(Reply::Incident(id))
    }

    fn reassign(&mut self, id: IncidentId, to: EscalationTarget, by: &By) -> Answer {
        let incident = self.open_one(id)?;
        if incident.escalation.runs.is_empty() {
            return Err(conflict(format!("{id} has no escalation policy that could page anybody")));
        }
        if self.contacts(std::slice::from_ref(&to), self.now).0.is_empty() {
            return Err(CommandError::Invalid(format!("not paged: {to} leads to no receiver")));
        }
        self.trigger(id);
        self.unhold_all(id);
        if let Some(incident) = self.edit(id) {
            incident.escalation.assigned_to = Some(to.clone());
        }
        self.record_by(id, TimelineEvent::Reassigned { to }, by);
        self.start_runs(id, &StepReason::StartedAgain);
        Ok(Reply::Incident(id))
    }

    /// The run whose next page is nearest takes its next step now.
    fn escalate_now(&mut self, id: IncidentId, by: &By) -> Answer {
        let incident = self.open_one(id)?;
        let is_snoozed = incident.snoozed_until().is_some();
        if let Some(ack) = incident.acknowledgement().filter(|_| !is_snoozed) {
            return Err(conflict(format!("{id} is acknowledged by {}; unacknowledge it first", ack.by)));
        }
        let Some(number) = incident.escalation.nearest().map(|run| run.run) else {
            return Err(conflict(format!("{id} has no escalation policy")));
        };
        let Some((run, policy)) = self.run_and_policy(id, number) else {
            return Err(conflict(format!("{id} has no escalation policy that is configured")));
        };
        let (place, state) = (position(run), run.state.clone());
        self.record_by(id, TimelineEvent::EscalationRequested, by);
        match state {
            RunState::Active { .. } | RunState::AskingAcknowledger { .. } | RunState::Resting if !is_snoozed => {
                let mut coming = next(&policy, place);
                if let Next::Step { at, position } = &mut coming
                    && position.round > place.round
                {
                    // A round that begins early counts from now.
                    position.round_started_at = self.now;
                    *at = self.now;
                }
                self.take(id, number, &policy, coming, StepReason::AskedFor { by: by.who.clone() });
            }
            _ => {
                self.trigger(id);
                self.start_runs(id, &StepReason::StartedAgain);
            }
        }
        Ok(Reply::Incident(id))
    }

    fn note(&mut self, id: IncidentId, by: &By) -> Answer {
        self.known(id)?;
        if by.note.trim().is_empty() {
            return Err(CommandError::Invalid("a note needs a text".to_owned()));
        }
        self.record_by(id, TimelineEvent::Noted, by);
        Ok(Reply::Incident(id))
    }
}
