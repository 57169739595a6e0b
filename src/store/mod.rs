//! The store: hard state, written in one transaction per outcome and read back at start.
//! In: [`crate::model::Write`]s. Out: [`Snapshot`] at start; pages of incidents, timelines and notifications for readers.
//! Never: decides anything; no `now()` in SQL.
//! Start at [`Store`].

use crate::model::{
    AlertRecord, Incident, IncidentId, Member, NflogEntry, Notification, RuleAlertRecord, Silence, TimelineEntry,
    Timestamp, Write,
};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

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
}

/// Everything that must be in memory again after a restart.
#[derive(Debug, Default)]
pub struct Snapshot {
    pub alerts: Vec<AlertRecord>,
    /// Open incidents, and resolved ones of the last while (for reopen and redirects).
    pub incidents: Vec<Incident>,
    /// Members of those incidents.
    pub members: Vec<Member>,
    pub silences: Vec<Silence>,
    pub nflog: Vec<NflogEntry>,
    /// Outbox rows still pending.
    pub outbox: Vec<Notification>,
    pub rule_alerts: Vec<RuleAlertRecord>,
    /// The highest ids ever given, resolved incidents and dropped rows included.
    pub last_incident: u64,
    pub last_timeline_seq: u64,
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

/// How long things are kept, for `retain`.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Resolved incidents with their timeline and notifications older than this go.
    pub incidents_before: Timestamp,
    /// Sent, failed and superseded outbox rows without an incident older than this go.
    pub notifications_before: Timestamp,
}

/// Hard state. Two real implementations: memory and SQLite; one behaviour suite runs on both.
///
/// Laws: `commit` is all or nothing and durable when it returns; writes apply in order, a later one of a key replaces the
/// earlier; `load` after any crash returns exactly what the commits that returned wrote.
pub trait Store: Send + Sync + 'static {
    fn load(&self) -> StoreFuture<'_, Snapshot>;
    /// One transaction. The caller gathers the outcomes of a batch of inputs (group commit).
    fn commit(&self, writes: Vec<Write>) -> StoreFuture<'_, ()>;
    fn incidents(&self, query: IncidentQuery) -> StoreFuture<'_, Vec<Incident>>;
    fn incident(&self, id: IncidentId) -> StoreFuture<'_, Option<Incident>>;
    fn members(&self, id: IncidentId) -> StoreFuture<'_, Vec<Member>>;
    /// Alerts by fingerprint, also ended ones that memory has let go.
    fn alerts_of(&self, id: IncidentId) -> StoreFuture<'_, Vec<AlertRecord>>;
    /// In order of `seq`; at most `limit`, the newest.
    fn timeline(&self, id: IncidentId, limit: usize) -> StoreFuture<'_, Vec<TimelineEntry>>;
    fn notifications(&self, id: IncidentId) -> StoreFuture<'_, Vec<Notification>>;
    fn retain(&self, keep: Retention) -> StoreFuture<'_, u64>;
}

/// A store that others hold.
pub type SharedStore = Arc<dyn Store>;
