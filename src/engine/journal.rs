//! What one call of `apply` gathers before it hands it out.
//! In: every change, as it is decided. Out: [`Outcome`], rows in an order a store with foreign keys accepts.
//! Never: decides.
//! Start at [`Turn`].

use super::core::Engine;
use super::limits;
use super::{CommandError, Outcome, Reply};
use crate::incidents::title::cut;
use crate::model::{
    Fingerprint, Incident, IncidentId, Notification, NotificationKey, TimelineEntry, TimelineKind, Write,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The changes of one call.
#[derive(Debug, Default)]
pub(super) struct Turn {
    pub alerts: Vec<Write>,
    pub rest: Vec<Write>,
    pub send: Vec<Arc<Notification>>,
    pub cancel: Vec<NotificationKey>,
    pub committed: Vec<(Fingerprint, u64)>,
    pub reply: Option<Result<Reply, CommandError>>,
    /// Incidents whose row changed; written once, however often they did.
    pub dirty: BTreeSet<IncidentId>,
    /// Incidents whose due time must be set anew.
    pub rearm: BTreeSet<IncidentId>,
    /// Muted alerts whose cause has gone.
    pub look_again: BTreeSet<Fingerprint>,
}

impl Engine {
    /// Ends the turn.
    pub(super) fn finish(&mut self) -> Outcome {
        let turn = std::mem::take(&mut self.turn);
        let mut writes = turn.alerts;
        writes.reserve(turn.dirty.len() + turn.rest.len());
        for id in turn.dirty {
            if let Some(case) = self.cases.get(&id) {
                writes.push(Write::Incident(case.incident.clone()));
            }
        }
        writes.extend(turn.rest);
        Outcome { writes, send: turn.send, cancel: turn.cancel, reply: turn.reply, committed: turn.committed }
    }

    /// The incident, to be changed; its row is written at the end of the turn.
    pub(super) fn edit(&mut self, id: IncidentId) -> Option<&mut Incident> {
        let case = self.cases.get_mut(&id)?;
        self.turn.dirty.insert(id);
        self.turn.rearm.insert(id);
        Some(Arc::make_mut(&mut case.incident))
    }

    /// A line of the incident's story. `reason` is the evidence, empty when the text says it all.
    pub(super) fn say(&mut self, id: IncidentId, kind: TimelineKind, text: String, reason: String) {
        self.say_as(id, kind, text, reason, None);
    }

    /// The same, done by a person.
    pub(super) fn say_as(
        &mut self,
        id: IncidentId,
        kind: TimelineKind,
        text: String,
        reason: String,
        actor: Option<Arc<str>>,
    ) {
        self.last_timeline_seq += 1;
        let entry = TimelineEntry {
            incident: id,
            seq: self.last_timeline_seq,
            at: self.now,
            kind,
            text: cut(text, limits::TEXT_MAX),
            actor,
            reason: cut(reason, limits::TEXT_MAX),
        };
        self.turn.rest.push(Write::Timeline(Arc::new(entry)));
    }

    /// A line that a storm would repeat: written [`limits::TIMELINE_LINES_MAX`] times per incident, then once more to say so.
    pub(super) fn say_bounded(&mut self, id: IncidentId, kind: TimelineKind, text: impl FnOnce() -> (String, String)) {
        let Some(case) = self.cases.get_mut(&id) else { return };
        case.lines = case.lines.saturating_add(1);
        if case.lines <= limits::TIMELINE_LINES_MAX {
            let (text, reason) = text();
            self.say(id, kind, text, reason);
        } else if case.lines == limits::TIMELINE_LINES_MAX + 1 {
            let text = "more alerts come and go; they are no longer listed one by one".to_owned();
            self.say(id, kind, text, "the list of alerts keeps the reason of each".to_owned());
        }
    }
}
