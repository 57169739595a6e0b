//! What one call of `apply` gathers before it hands it out.
//! In: every change, as it is decided. Out: [`Outcome`], rows in an order a store with foreign keys accepts.
//! Never: decides.
//! Start at [`Changes`].

use super::core::Engine;
use super::limits;
use super::{CommandError, Outcome, Reply};
use crate::incidents::title::cut;
use crate::model::{
    Fingerprint, Incident, IncidentId, NflogKey, Notification, NotificationKey, TimelineEntry, TimelineEvent, Write,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The changes of one call.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub alerts: Vec<Write>,
    pub rest: Vec<Write>,
    pub send: Vec<Arc<Notification>>,
    pub cancel: Vec<NotificationKey>,
    pub committed: Vec<(Fingerprint, u64)>,
    pub reply: Option<Result<Reply, CommandError>>,
    /// The moment is to be stored although nothing else changed.
    pub is_moment_due: bool,
    pub breaches: Vec<String>,
    /// Ends that nobody is left to be told: their receiver or integration is not configured any more.
    pub untold: Vec<NflogKey>,
    /// Incidents whose row changed; written once, however often they did.
    pub dirty: BTreeSet<IncidentId>,
    /// Incidents whose due time must be set anew.
    pub rearm: BTreeSet<IncidentId>,
    /// Muted alerts whose mute has ended.
    pub look_again: BTreeSet<Fingerprint>,
    /// Those of them that waited for it in this process: what was muted when it joined may page again now.
    pub woken: BTreeSet<Fingerprint>,
}

impl Engine {
    /// Ends the call: everything that was gathered, and the moment it was decided at.
    pub(super) fn finish(&mut self) -> Outcome {
        let changes = std::mem::take(&mut self.changes);
        let mut writes = changes.alerts;
        writes.reserve(changes.dirty.len() + changes.rest.len() + 1);
        for id in changes.dirty {
            if let Some(entry) = self.incidents.get(&id) {
                writes.push(Write::Incident(entry.incident.clone()));
            }
        }
        writes.extend(changes.rest);
        if !writes.is_empty() || changes.is_moment_due {
            writes.push(Write::Moment(self.now));
        }
        Outcome {
            writes,
            send: changes.send,
            cancel: changes.cancel,
            reply: changes.reply,
            committed: changes.committed,
            breaches: changes.breaches,
            untold: changes.untold,
        }
    }

    /// The incident, to be changed; its row is written at the end of the call.
    pub(super) fn edit(&mut self, id: IncidentId) -> Option<&mut Incident> {
        let entry = self.incidents.get_mut(&id)?;
        self.changes.dirty.insert(id);
        self.changes.rearm.insert(id);
        Some(Arc::make_mut(&mut entry.incident))
    }

    /// Something that cannot be: an id that a part holds and another has lost. A test stops here; in service it is counted and
    /// logged, and the decision goes on without it.
    pub(super) fn breach(&mut self, what: impl FnOnce() -> String) {
        let what = what();
        debug_assert!(false, "{what}");
        self.changes.breaches.push(what);
    }

    /// A line of the incident's story.
    pub(super) fn record(&mut self, id: IncidentId, event: TimelineEvent) {
        self.record_as(id, event, None, String::new());
    }

    /// The same, done by a person, who added a note.
    pub(super) fn record_as(&mut self, id: IncidentId, event: TimelineEvent, actor: Option<Arc<str>>, note: String) {
        self.last_timeline_seq += 1;
        let entry = TimelineEntry {
            incident: id,
            seq: self.last_timeline_seq,
            at: self.now,
            actor,
            note: cut(note, limits::TEXT_MAX),
            event,
        };
        self.changes.rest.push(Write::Timeline(Arc::new(entry)));
    }

    /// A line that a storm would repeat: written [`limits::TIMELINE_LINES_MAX`] times per incident, then once more to say so.
    pub(super) fn record_bounded(&mut self, id: IncidentId, event: impl FnOnce() -> TimelineEvent) {
        let Some(entry) = self.incidents.get_mut(&id) else { return };
        entry.lines = entry.lines.saturating_add(1);
        if entry.lines <= limits::TIMELINE_LINES_MAX {
            self.record(id, event());
        } else if entry.lines == limits::TIMELINE_LINES_MAX + 1 {
            self.record(id, TimelineEvent::AlertsUnlisted);
        }
    }
}
