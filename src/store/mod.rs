//! The store: hard state, written in one transaction per batch of outcomes and read back at start.
//! In: [`crate::model::Write`]s. Out: [`Snapshot`] at start; pages of incidents, timelines and notifications for readers.
//! Never: decides anything; no `now()` in SQL.
//! Start at [`Store`]; [`SqliteStore`] is the one that lasts, [`MemoryStore`] the one that tests hold.

mod batch;
mod contract;
mod event_rows;
mod incident_rows;
mod memory;
mod outbox_rows;
mod rows;
mod sqlite;

pub use crate::engine::Snapshot;
pub use contract::{
    INCIDENTS_PAGE_MAX, IncidentQuery, NOTIFICATIONS_PAGE_MAX, NotificationPage, NotificationQuery,
    RESOLVED_KEPT_IN_MEMORY, RETAIN_ROWS_MAX, Retention, SharedStore, Store, StoreError, StoreFuture, TIMELINE_MAX,
};
pub use memory::MemoryStore;
pub use sqlite::SqliteStore;
