//! What people ask for: acknowledge, resolve, snooze, reassign, escalate, note, merge, split, detach; and silences.
//! In: [`Command`]. Out: the change and its timeline line, or a sentence that says why not.
//! Never: half a command; everything is checked before anything changes.
//! Start at [`Engine::command`].

use super::case::Case;
use super::core::Engine;
use super::limits;
use super::mute::silence_of;
use super::place::{name_of, target_name};
use super::{Command, CommandError, CommandKind, Reply};
use crate::escalation::next;
use crate::incidents::title::cut;
use crate::model::incident::EscalationTarget;
use crate::model::{
    AlertRecord, Fingerprint, Incident, IncidentId, IncidentStatus, Member, TimelineKind, Write, duration,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

type Answer = Result<Reply, CommandError>;

fn conflict(text: String) -> CommandError {
    CommandError::Conflict(text)
}

/// Who asks, and the words they added.
struct By {
    who: Arc<str>,
    note: String,
}

impl Engine {
    pub(super) fn command(&mut self, command: Command) -> Answer {
        let by = By { who: command.by, note: cut(command.note.unwrap_or_default(), limits::TEXT_MAX) };
        match command.kind {
            CommandKind::Acknowledge(id) => self.acknowledge(id, &by),
            CommandKind::Unacknowledge(id) => self.unacknowledge(id, &by),
            CommandKind::Resolve(id) => self.resolve_by_hand(id, &by),
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

    fn known(&self, id: IncidentId) -> Result<&Incident, CommandError> {
        self.cases.get(&id).map(|case| &*case.incident).ok_or_else(|| CommandError::NotFound(id.to_string()))
    }

    /// The incident, unless it is resolved: nothing but a note can be added to what is over.
    fn open_one(&self, id: IncidentId) -> Result<&Incident, CommandError> {
        let incident = self.known(id)?;
        match (incident.merged_into, incident.status) {
            (Some(into), _) => Err(conflict(format!("{id} was merged into {into}; act on that one"))),
            (None, IncidentStatus::Resolved) => {
                let by = incident.resolved_by.as_deref().map(|by| format!(" by {by}")).unwrap_or_default();
                Err(conflict(format!("{id} is already resolved{by}")))
            }
            _ => Ok(incident),
        }
    }

    fn told(&mut self, id: IncidentId, kind: TimelineKind, text: String, by: &By) {
        self.say_as(id, kind, text, by.note.clone(), Some(by.who.clone()));
    }

    fn acknowledge(&mut self, id: IncidentId, by: &By) -> Answer {
        let incident = self.open_one(id)?;
        if incident.status == IncidentStatus::Acknowledged && incident.snoozed_until.is_none() {
            let who = incident.acknowledged_by.as_deref().unwrap_or("somebody");
            return Err(conflict(format!("{id} is already acknowledged by {who}")));
        }
        let now = self.now;
        self.cancel_pages(id, "the incident is acknowledged");
        self.unhold_all(id);
        if let Some(incident) = self.edit(id) {
            incident.status = IncidentStatus::Acknowledged;
            incident.acknowledged_at = Some(now);
            incident.acknowledged_by = Some(by.who.clone());
            incident.snoozed_until = None;
            incident.escalation.next_at = None;
        }
        self.rest(id);
        let text = format!("acknowledged by {}", by.who);
        self.told(id, TimelineKind::Acknowledged, text.clone(), by);
        self.tell_change(id, "ack", &text);
        Ok(Reply::Incident(id))
    }

    /// The policy's own state in memory, put to rest.
    fn rest(&mut self, id: IncidentId) {
        if let Some(case) = self.cases.get_mut(&id) {
            (case.paused, case.undelivered_since) = (false, None);
        }
    }

    fn unacknowledge(&mut self, id: IncidentId, by: &By) -> Answer {
        if self.open_one(id)?.status != IncidentStatus::Acknowledged {
            return Err(conflict(format!("{id} is not acknowledged")));
        }
        self.trigger(id);
        let text = format!("acknowledgement taken back by {}; the policy starts again", by.who);
        self.told(id, TimelineKind::Unacknowledged, text, by);
        self.start_policy(id);
        Ok(Reply::Incident(id))
    }

    pub(super) fn trigger(&mut self, id: IncidentId) {
        if let Some(incident) = self.edit(id) {
            incident.status = IncidentStatus::Triggered;
            (incident.acknowledged_at, incident.acknowledged_by, incident.snoozed_until) = (None, None, None);
        }
        self.rest(id);
    }

    fn resolve_by_hand(&mut self, id: IncidentId, by: &By) -> Answer {
        self.open_one(id)?;
        let reason = if by.note.is_empty() { format!("resolved by {}", by.who) } else { by.note.clone() };
        self.resolve(id, Some(by.who.clone()), &reason);
        Ok(Reply::Incident(id))
    }

    fn snooze(&mut self, id: IncidentId, length: Duration, by: &By) -> Answer {
        self.open_one(id)?;
        if length.is_zero() || length > limits::SNOOZE_MAX {
            let max = duration::format(limits::SNOOZE_MAX);
            return Err(CommandError::Invalid(format!("a snooze lasts longer than nothing and at most {max}")));
        }
        let until = self.now + length;
        self.cancel_pages(id, "the incident is snoozed");
        self.unhold_all(id);
        if let Some(incident) = self.edit(id) {
            incident.snoozed_until = Some(until);
            incident.escalation.next_at = None;
        }
        self.rest(id);
        let text = format!("snoozed by {} for {}, until {until}", by.who, duration::format(length));
        self.told(id, TimelineKind::Snoozed, text, by);
        Ok(Reply::Incident(id))
    }

    fn reassign(&mut self, id: IncidentId, to: EscalationTarget, by: &By) -> Answer {
        let incident = self.open_one(id)?;
        if incident.escalation.policy.is_none() {
            return Err(conflict(format!("{id} has no escalation policy that could page anybody")));
        }
        let (contacts, mut why) = self.contacts(std::slice::from_ref(&to), self.now);
        if contacts.is_empty() {
            let why = why.pop().unwrap_or_else(|| format!("{} is unknown", target_name(&to)));
            return Err(CommandError::Invalid(why));
        }
        let text = format!("given to {} by {}; the policy starts again", target_name(&to), by.who);
        self.trigger(id);
        self.unhold_all(id);
        if let Some(incident) = self.edit(id) {
            incident.escalation.assigned_to = Some(to);
        }
        self.told(id, TimelineKind::Reassigned, text, by);
        self.start_policy(id);
        Ok(Reply::Incident(id))
    }

    fn escalate_now(&mut self, id: IncidentId, by: &By) -> Answer {
        let incident = self.open_one(id)?;
        if incident.status == IncidentStatus::Acknowledged {
            let who = incident.acknowledged_by.as_deref().unwrap_or("somebody");
            return Err(conflict(format!("{id} is acknowledged by {who}; unacknowledge it first")));
        }
        let (snoozed, exhausted) = (incident.snoozed_until.is_some(), incident.escalation.exhausted);
        let Some((case, policy)) = self.case_and_policy(id) else {
            return Err(conflict(format!("{id} has no escalation policy")));
        };
        let place = super::page::position(&case.incident);
        self.told(id, TimelineKind::Escalated, format!("{} asked for the next step now", by.who), by);
        if snoozed || exhausted {
            self.trigger(id);
            self.start_policy(id);
            return Ok(Reply::Incident(id));
        }
        self.rest(id);
        let mut coming = next(&policy, place);
        if let crate::escalation::Next::Step { at, position } = &mut coming
            && position.round > place.round
        {
            // A round that begins early counts from now.
            position.round_started_at = self.now;
            *at = self.now;
        }
        self.take(id, &policy, coming, &format!("{} asked for it", by.who));
        Ok(Reply::Incident(id))
    }

    fn note(&mut self, id: IncidentId, by: &By) -> Answer {
        self.known(id)?;
        if by.note.trim().is_empty() {
            return Err(CommandError::Invalid("a note needs a text".to_owned()));
        }
        self.say_as(id, TimelineKind::Noted, by.note.clone(), String::new(), Some(by.who.clone()));
        Ok(Reply::Incident(id))
    }

    fn merge_incidents(&mut self, into: IncidentId, from: &[IncidentId], by: &By) -> Answer {
        self.open_one(into)?;
        let from: BTreeSet<IncidentId> = from.iter().copied().collect();
        if from.is_empty() {
            return Err(CommandError::Invalid("name at least one incident to merge".to_owned()));
        }
        if from.contains(&into) {
            return Err(conflict(format!("{into} cannot be merged into itself")));
        }
        let mut total = self.known(into)?.alert_count as usize;
        for id in &from {
            total += self.open_one(*id)?.alert_count as usize;
        }
        if total > limits::INCIDENT_ALERTS_MAX {
            return Err(conflict(format!(
                "together they hold {total} alerts; the limit is {}",
                limits::INCIDENT_ALERTS_MAX
            )));
        }
        for id in from {
            let alerts: Vec<Fingerprint> =
                self.cases.get(&id).map(|c| c.members.keys().copied().collect()).unwrap_or_default();
            self.move_alerts(id, into, &alerts, &format!("merged from {id} by {}", by.who));
            let policy = self.cases.get(&id).and_then(|case| case.incident.escalation.policy.clone());
            self.told(id, TimelineKind::Merged, format!("merged into {into} by {}", by.who), by);
            self.told(into, TimelineKind::Merged, format!("{id} merged into this by {}", by.who), by);
            if let Some(incident) = self.edit(id) {
                incident.merged_into = Some(into);
            }
            self.resolve(id, Some(by.who.clone()), &format!("merged into {into}"));
            let without = self.cases.get(&into).is_some_and(|case| {
                case.incident.escalation.policy.is_none() && case.incident.status == IncidentStatus::Triggered
            });
            if without && policy.is_some() {
                if let Some(incident) = self.edit(into) {
                    incident.escalation.policy = policy;
                }
                self.start_policy(into);
            }
        }
        Ok(Reply::Incident(into))
    }

    fn split(&mut self, id: IncidentId, alerts: &[Fingerprint], by: &By) -> Answer {
        self.open_one(id)?;
        let alerts: BTreeSet<Fingerprint> = alerts.iter().copied().collect();
        let records = self.members_named(id, &alerts)?;
        let Some(first) = records.first().cloned() else {
            return Err(CommandError::Invalid("name at least one alert to split off".to_owned()));
        };
        let Some(case) = self.cases.get(&id) else { return Err(CommandError::NotFound(id.to_string())) };
        if records.len() == case.members.len() {
            return Err(conflict(format!("that would leave {id} without alerts")));
        }
        let old = case.incident.clone();
        let new = self.open_empty(&first, old.escalation.policy.clone(), None);
        if let Some(incident) = self.edit(new) {
            // Both stay in the domain they were opened in, and whoever has the one in hand has the other.
            (incident.cluster, incident.environment) = (old.cluster.clone(), old.environment.clone());
            incident.status = old.status;
            (incident.acknowledged_at, incident.acknowledged_by) = (old.acknowledged_at, old.acknowledged_by.clone());
            incident.snoozed_until = old.snoozed_until;
        }
        let fingerprints: Vec<Fingerprint> = alerts.into_iter().collect();
        self.told(new, TimelineKind::Opened, format!("split off {id} by {}", by.who), by);
        self.move_alerts(id, new, &fingerprints, &format!("split off {id} by {}", by.who));
        self.told(id, TimelineKind::Split, format!("{} alerts split off into {new} by {}", records.len(), by.who), by);
        if self.cases.get(&new).is_some_and(Case::wants_an_answer) {
            self.start_policy(new);
        }
        Ok(Reply::Incident(new))
    }

    fn detach(&mut self, id: IncidentId, alert: Fingerprint, by: &By) -> Answer {
        self.open_one(id)?;
        let records = self.members_named(id, &BTreeSet::from([alert]))?;
        let Some(record) = records.first().cloned() else { return Err(CommandError::NotFound(alert.to_string())) };
        self.take_out(id, alert);
        if let Some(entry) = self.alerts.get_mut(&alert) {
            (entry.incident, entry.apart) = (None, true);
        }
        self.waiting.forget(alert);
        self.recount(id, &record);
        let text = format!("{} taken out by {}; it belongs nowhere until it fires anew", name_of(&record), by.who);
        self.told(id, TimelineKind::AlertDetached, text, by);
        Ok(Reply::Incident(id))
    }

    fn members_named(
        &self,
        id: IncidentId,
        alerts: &BTreeSet<Fingerprint>,
    ) -> Result<Vec<Arc<AlertRecord>>, CommandError> {
        let case = self.cases.get(&id).ok_or_else(|| CommandError::NotFound(id.to_string()))?;
        let record = |fp: &Fingerprint| {
            let entry = case.members.contains_key(fp).then(|| self.alerts.get(fp)).flatten();
            entry.map(|e| e.record.clone()).ok_or_else(|| CommandError::NotFound(format!("alert {fp} in {id}")))
        };
        alerts.iter().map(record).collect()
    }

    /// Marks an alert's place in an incident as left.
    fn take_out(&mut self, id: IncidentId, alert: Fingerprint) -> Option<Arc<Member>> {
        let now = self.now;
        let case = self.cases.get_mut(&id)?;
        case.firing.remove(&alert);
        let mut member = case.members.remove(&alert)?;
        let left = Arc::make_mut(&mut member);
        (left.detached, left.left_at) = (true, Some(now));
        self.turn.rest.push(Write::Member(member.clone()));
        Some(member)
    }

    fn move_alerts(&mut self, from: IncidentId, to: IncidentId, alerts: &[Fingerprint], reason: &str) {
        let attached_at = self.cases.get(&to).map(|case| case.incident.last_attached_at);
        for alert in alerts {
            let Some(record) = self.alerts.get(alert).map(|entry| entry.record.clone()) else { continue };
            self.take_out(from, *alert);
            self.recount(from, &record);
            self.put_member(to, &record, reason.to_owned(), String::new());
        }
        if let Some(case) = self.cases.get_mut(&to) {
            // It may bring an alert that is not muted; if it does not, the policy comes to rest again.
            case.paused = false;
        }
        // What people move does not keep a correlation window open.
        if let (Some(at), Some(incident)) = (attached_at, self.edit(to)) {
            incident.last_attached_at = at;
        }
    }
}
