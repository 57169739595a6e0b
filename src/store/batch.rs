//! The writes of one commit, sorted by table, with only the last word on each key.
//! In: [`Write`]s in order. Out: [`Batch`], whose tables can be written in any order with the same result.
//! Never: touches a database.
//! Start at [`Batch::of`].

use crate::model::{
    AlertRecord, Fingerprint, Incident, IncidentId, Member, NflogEntry, NflogKey, Notification, NotificationKey,
    NotificationState, RuleAlertRecord, Silence, TimelineEntry, Timestamp, Write,
};
use indexmap::IndexMap;
use std::hash::Hash;
use std::sync::Arc;

type Table<K, V> = IndexMap<K, V, foldhash::fast::FixedState>;

/// What becomes of an alert's row.
#[derive(Debug)]
pub(super) struct AlertOp {
    /// The new row; `None` when only the mark changes.
    pub record: Option<Arc<AlertRecord>>,
    pub dropped: bool,
}

/// The columns of an outbox row that move.
#[derive(Clone, Debug)]
pub(super) struct Moved {
    pub state: NotificationState,
    pub attempts: u32,
    pub sent_at: Option<Timestamp>,
    pub error: Option<String>,
    pub external_ref: Option<Arc<str>>,
}

impl Moved {
    pub(super) fn apply_to(self, row: &mut Notification) {
        let Self { state, attempts, sent_at, error, external_ref } = self;
        row.state = state;
        row.attempts = attempts;
        row.sent_at = sent_at;
        row.error = error;
        row.external_ref = external_ref;
    }
}

#[derive(Debug)]
pub(super) enum NotificationOp {
    Put(Arc<Notification>),
    Move(Moved),
}

/// Tables keep the order of first mention, so that rows whose keys count up are appended in order.
/// In the tables of `Option`s `None` means: the row goes.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub alerts: Table<Fingerprint, AlertOp>,
    pub incidents: Table<IncidentId, Arc<Incident>>,
    pub members: Table<(IncidentId, Fingerprint), Arc<Member>>,
    pub timeline: Table<u64, Arc<TimelineEntry>>,
    pub silences: Table<Arc<str>, Option<Arc<Silence>>>,
    pub notifications: Table<NotificationKey, NotificationOp>,
    pub nflog: Table<NflogKey, Option<Arc<NflogEntry>>>,
    pub rule_alerts: Table<(Arc<str>, Fingerprint), Option<Arc<RuleAlertRecord>>>,
    /// When the last of these was decided.
    pub moment: Option<Timestamp>,
}

impl Batch {
    pub(super) fn of(writes: Vec<Write>) -> Self {
        let mut batch = Self::default();
        for write in writes {
            batch.add(write);
        }
        batch
    }

    /// How many rows will be touched, the moment left out.
    pub(super) fn len(&self) -> usize {
        let Self { alerts, incidents, members, timeline, silences, notifications, nflog, rule_alerts, moment: _ } =
            self;
        alerts.len()
            + incidents.len()
            + members.len()
            + timeline.len()
            + silences.len()
            + notifications.len()
            + nflog.len()
            + rule_alerts.len()
    }

    fn add(&mut self, write: Write) {
        match write {
            Write::Alert(record) => {
                self.alerts.insert(record.fingerprint, AlertOp { record: Some(record), dropped: false });
            }
            Write::AlertDropped(fingerprint) => {
                let op = self.alerts.entry(fingerprint).or_insert(AlertOp { record: None, dropped: true });
                op.dropped = true;
            }
            Write::Incident(incident) => put(&mut self.incidents, incident.id, incident),
            Write::Member(member) => put(&mut self.members, (member.incident, member.fingerprint), member),
            Write::Timeline(entry) => put(&mut self.timeline, entry.seq, entry),
            Write::Silence(silence) => put(&mut self.silences, Arc::clone(&silence.id), Some(silence)),
            Write::SilenceDropped(id) => put(&mut self.silences, id, None),
            Write::Notification(row) => put(&mut self.notifications, row.key.clone(), NotificationOp::Put(row)),
            Write::NotificationState { key, state, attempts, sent_at, error, external_ref } => {
                self.move_notification(key, Moved { state, attempts, sent_at, error, external_ref });
            }
            Write::Nflog(entry) => put(&mut self.nflog, entry.key.clone(), Some(entry)),
            Write::NflogDropped(key) => put(&mut self.nflog, key, None),
            Write::RuleAlert(record) => {
                put(&mut self.rule_alerts, (Arc::clone(&record.rule), record.fingerprint), Some(record));
            }
            Write::RuleAlertDropped { rule, fingerprint } => put(&mut self.rule_alerts, (rule, fingerprint), None),
            Write::Moment(at) => self.moment = Some(at),
        }
    }

    fn move_notification(&mut self, key: NotificationKey, moved: Moved) {
        match self.notifications.get_mut(&key) {
            Some(NotificationOp::Put(row)) => moved.apply_to(Arc::make_mut(row)),
            Some(NotificationOp::Move(earlier)) => *earlier = moved,
            None => put(&mut self.notifications, key, NotificationOp::Move(moved)),
        }
    }
}

fn put<K: Hash + Eq, V>(table: &mut Table<K, V>, key: K, value: V) {
    table.insert(key, value);
}
