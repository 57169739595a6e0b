//! What every store promises, and the shapes it speaks in.
//! In: nothing. Out: the [`Store`] trait, its queries, its limits and its errors.
//! Never: names a driver's type.
//! Start at [`Store`].

use crate::engine::Snapshot;
use crate::engine::limits::PAGE_WINDOW;
use crate::model::{
    AlertRecord, Incident, IncidentId, Member, Notification, NotificationKey, NotificationState, TimelineEntry,
    Timestamp, Write,
};
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// The longest page of incidents; a reader asks again with the last id.
pub const INCIDENTS_PAGE_MAX: usize = 1_000;
/// The longest page of the outbox.
pub const NOTIFICATIONS_PAGE_MAX: usize = 1_000;
/// The most timeline lines given at once; a storm writes one per alert, a person reads the newest.
pub const TIMELINE_MAX: usize = 10_000;
/// The most incidents, and the most outbox rows, that one `retain` removes, so that decisions wait for it only briefly.
pub const RETAIN_ROWS_MAX: usize = 500;
/// `load` returns resolved incidents this far back from the newest resolution (they may be reopened, or redirect), and ended
/// alerts this far back from the newest end.
pub const RESOLVED_KEPT_IN_MEMORY: Duration = Duration::from_hours(24);

pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Variants are what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Disk full, locked, busy: answer 503, try the same commit again.
    #[error("store is unavailable for now: {0}")]
    Unavailable(String),
    /// Corrupt, wrong version, fsync failed: stop and say so.
    #[error("store cannot be trusted: {0}")]
    Fatal(String),
    /// The file holds something else, or its beginning is damaged: stop and say what to do.
    #[error("store cannot be trusted: {0}")]
    NotADatabase(String),
}

/// The pages that count against the page limit of a process that starts: those of the last window before the last commit,
/// each once per receiver, incident and moment, whatever the number of its integrations.
pub(super) fn recent_pages<'a>(
    pages: impl Iterator<Item = &'a Notification>,
    last_moment: Option<Timestamp>,
) -> Vec<(Arc<str>, Timestamp)> {
    let rows: Vec<&Notification> = pages.collect();
    let Some(last) = last_moment.or_else(|| rows.iter().map(|row| row.created_at).max()) else { return Vec::new() };
    let recent = rows.into_iter().filter(|row| row.created_at + PAGE_WINDOW > last);
    let once: BTreeSet<(Timestamp, Arc<str>, Option<IncidentId>)> =
        recent.map(|row| (row.created_at, row.receiver.clone(), row.incident())).collect();
    once.into_iter().map(|(at, receiver, _)| (receiver, at)).collect()
}

/// Which incidents a reader wants, newest first.
#[derive(Clone, Debug, Default)]
pub struct IncidentQuery {
    pub statuses: Vec<crate::model::IncidentStatus>,
    pub severities: Vec<crate::model::Severity>,
    /// Only ids below this one (the cursor of the next page).
    pub before: Option<IncidentId>,
    pub limit: usize,
}

/// Which rows of the outbox a reader wants, the latest decided first. Empty and `None`: all.
#[derive(Clone, Debug, Default)]
pub struct NotificationQuery {
    pub states: Vec<NotificationState>,
    /// Names of [`crate::model::NotificationKind`].
    pub kinds: Vec<&'static str>,
    pub receiver: Option<String>,
    pub incident: Option<IncidentId>,
    /// Decided at this moment or later.
    pub since: Option<Timestamp>,
    /// Decided before this.
    pub until: Option<Timestamp>,
    /// Where the page before ended ([`NotificationPage::next`]).
    pub before: Option<u64>,
    pub limit: usize,
}

impl NotificationQuery {
    pub(super) fn wants(&self, row: &Notification) -> bool {
        (self.states.is_empty() || self.states.contains(&row.state))
            && (self.kinds.is_empty() || self.kinds.contains(&row.kind.name()))
            && self.receiver.as_deref().is_none_or(|receiver| *row.receiver == *receiver)
            && self.incident.is_none_or(|id| row.incident() == Some(id))
            && self.since.is_none_or(|since| row.created_at >= since)
            && self.until.is_none_or(|until| row.created_at < until)
    }
}

/// Rows of the outbox; the alerts of announcements are named in them, not repeated.
#[derive(Clone, Debug, Default)]
pub struct NotificationPage {
    pub rows: Vec<Notification>,
    /// For [`NotificationQuery::before`], when there are more.
    pub next: Option<u64>,
}

/// How long things are kept, for `retain`.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Incidents resolved before this go, with their members, timeline, notifications and the ended alerts that no other
    /// incident holds; not while one of their alerts fires. Ended alerts that no incident holds go by the same date.
    pub incidents_before: Timestamp,
    /// Sent, failed and superseded outbox rows without an incident created before this go.
    pub notifications_before: Timestamp,
}

/// Hard state. Two real implementations: memory and SQLite; one behaviour suite runs on both.
///
/// Laws: `commit` is all or nothing and durable when it returns; writes apply in order, a later one of a key replaces the
/// earlier; `load` after any crash returns exactly what the commits that returned wrote, or the one that was under way did.
/// `NotificationState` for a key that is not there changes nothing. A dropped alert is no longer loaded, and stays readable
/// through [`Store::alerts_of`] while it is a member of an incident that is kept.
pub trait Store: Send + Sync + 'static {
    fn load(&self) -> StoreFuture<'_, Snapshot>;
    /// One transaction. The caller gathers the outcomes of a batch of inputs (group commit).
    fn commit(&self, writes: Vec<Write>) -> StoreFuture<'_, ()>;
    /// Newest first, at most [`INCIDENTS_PAGE_MAX`].
    fn incidents(&self, query: IncidentQuery) -> StoreFuture<'_, Vec<Incident>>;
    fn incident(&self, id: IncidentId) -> StoreFuture<'_, Option<Incident>>;
    /// In the order in which they were attached, detached ones included.
    fn members(&self, id: IncidentId) -> StoreFuture<'_, Vec<Member>>;
    /// The alerts of its members (detached ones too) in order of fingerprint, also ended ones that memory has let go.
    fn alerts_of(&self, id: IncidentId) -> StoreFuture<'_, Vec<AlertRecord>>;
    /// In order of `seq`; the newest `limit`, at most [`TIMELINE_MAX`].
    fn timeline(&self, id: IncidentId, limit: usize) -> StoreFuture<'_, Vec<TimelineEntry>>;
    /// Pages and updates about it, in the order in which they were decided.
    fn notifications(&self, id: IncidentId) -> StoreFuture<'_, Vec<Notification>>;
    /// Rows of the outbox, at most [`NOTIFICATIONS_PAGE_MAX`].
    fn notification_page(&self, query: NotificationQuery) -> StoreFuture<'_, NotificationPage>;
    /// One row of the outbox, with everything that it takes to send it again.
    fn notification(&self, key: NotificationKey) -> StoreFuture<'_, Option<Notification>>;
    /// Removes what is older than `keep` allows, at most [`RETAIN_ROWS_MAX`] incidents and as many outbox rows per call.
    /// Returns how many of these two went; a full count means that there may be more.
    fn retain(&self, keep: Retention) -> StoreFuture<'_, u64>;
}

/// A store that others hold.
pub type SharedStore = Arc<dyn Store>;
