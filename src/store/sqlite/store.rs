//! The handle on the database and its side of the `Store` contract.
//! In: calls of the trait. Out: futures that run on the writer's or a reader's connection.
//! Never: holds SQL (that is in `write`, `read` and `retain`).
//! Start at [`SqliteStore::open`].

use super::numbers::Writer;
use super::{open, read, retain, write};
use crate::model::{AlertRecord, Incident, IncidentId, Member, Notification, NotificationKey, TimelineEntry, Write};
use crate::store::batch::Batch;
use crate::store::{
    IncidentQuery, NotificationPage, NotificationQuery, Retention, Snapshot, Store, StoreError, StoreFuture,
};
use sqlx::{Connection, SqlitePool};
use std::fs::File;
use std::path::Path;
use tokio::sync::Mutex;

/// Hard state in one file. Dropping it is safe at any moment; [`SqliteStore::close`] also folds the journal in.
#[derive(Debug)]
pub struct SqliteStore {
    /// `None` after `close`.
    writer: Mutex<Option<Writer>>,
    readers: SqlitePool,
    /// Held for as long as the store lives, so that no second process opens the folder.
    _lock: File,
}

impl SqliteStore {
    /// Opens, or creates, `watchfire.db` in this folder and brings its schema up to date. The folder is created when missing.
    ///
    /// Every error is `Fatal` and names the path and what to do: the folder cannot be written, another process holds it,
    /// the file is not a database or is damaged, or a newer version of Watchfire wrote it.
    pub async fn open(folder: &Path) -> Result<Self, StoreError> {
        let opened = open::open(folder).await?;
        Ok(Self { writer: Mutex::new(Some(opened.writer)), readers: opened.readers, _lock: opened.lock })
    }

    /// Whether the folder holds a database; [`Self::open`] would make one.
    pub fn is_in(folder: &Path) -> bool {
        folder.join(super::open::DATABASE_FILE).is_file()
    }

    /// Waits for what is under way, folds the journal into the database and closes both. Later calls are refused.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.readers.close().await;
        match self.writer.lock().await.take() {
            Some(writer) => writer.conn.close().await.map_err(super::fault::fault),
            None => Ok(()),
        }
    }
}

fn open_writer(writer: &mut Option<Writer>) -> Result<&mut Writer, StoreError> {
    writer.as_mut().ok_or_else(|| StoreError::Fatal("the store was closed".to_owned()))
}

impl Store for SqliteStore {
    fn load(&self) -> StoreFuture<'_, Snapshot> {
        Box::pin(read::load(&self.readers))
    }

    fn commit(&self, writes: Vec<Write>) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let batch = Batch::of(writes);
            let mut writer = self.writer.lock().await;
            write::commit(open_writer(&mut writer)?, batch).await
        })
    }

    fn incidents(&self, query: IncidentQuery) -> StoreFuture<'_, Vec<Incident>> {
        Box::pin(read::incidents(&self.readers, query))
    }

    fn incident(&self, id: IncidentId) -> StoreFuture<'_, Option<Incident>> {
        Box::pin(read::incident(&self.readers, id))
    }

    fn members(&self, id: IncidentId) -> StoreFuture<'_, Vec<Member>> {
        Box::pin(read::members(&self.readers, id))
    }

    fn alerts_of(&self, id: IncidentId) -> StoreFuture<'_, Vec<AlertRecord>> {
        Box::pin(read::alerts_of(&self.readers, id))
    }

    fn timeline(&self, id: IncidentId, limit: usize) -> StoreFuture<'_, Vec<TimelineEntry>> {
        Box::pin(read::timeline(&self.readers, id, limit))
    }

    fn notifications(&self, id: IncidentId) -> StoreFuture<'_, Vec<Notification>> {
        Box::pin(read::notifications(&self.readers, id))
    }

    fn notification_page(&self, query: NotificationQuery) -> StoreFuture<'_, NotificationPage> {
        Box::pin(read::notification_page(&self.readers, query))
    }

    fn notification(&self, key: NotificationKey) -> StoreFuture<'_, Option<Notification>> {
        Box::pin(read::notification(&self.readers, key))
    }

    fn retain(&self, keep: Retention) -> StoreFuture<'_, u64> {
        Box::pin(async move {
            let mut writer = self.writer.lock().await;
            retain::retain(open_writer(&mut writer)?, keep).await
        })
    }
}
