//! Opening the data folder: the lock, the file, its schema, and an error that says what to do.
//! In: a folder. Out: the writer's connection and a pool of readers.
//! Never: repairs, or opens what a newer version wrote.
//! Start at [`open`].

use super::fault::fault;
use super::numbers::{Numbers, Writer};
use crate::store::StoreError;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Row, SqlSafeStr, SqliteConnection, SqlitePool};
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::Duration;

pub(super) const DATABASE_FILE: &str = "watchfire.db";
const LOCK_FILE: &str = "watchfire.lock";
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);
/// Forward only: a file is never changed once released; the next change is the next number.
const MIGRATIONS: [(i64, &str, &str); 5] = [
    (1, "hard state", include_str!("migrations/0001_hard_state.sql")),
    (2, "rows by number", include_str!("migrations/0002_rows_by_number.sql")),
    (3, "sent references", include_str!("migrations/0003_sent_references.sql")),
    (4, "integrations by kind", include_str!("migrations/0004_integrations_by_kind.sql")),
    (5, "typed events", include_str!("migrations/0005_typed_events.sql")),
];

/// Readers are the API and the pages; more would only queue on the same disk.
const READERS_MAX: u32 = 4;
/// How long a reader waits for a connection before it answers 503.
const READER_WAIT: Duration = Duration::from_secs(5);
/// How long SQLite waits for a lock that a backup tool holds.
const BUSY_WAIT: Duration = Duration::from_secs(2);
/// The journal is folded into the database at this many pages (16 MiB): rarely enough that a storm's pages are
/// written back once, often enough that a start after a crash reads little.
const CHECKPOINT_PAGES: &str = "4096";
/// What the journal file shrinks back to after a storm.
const JOURNAL_KEPT_BYTES: &str = "33554432";
/// 32 MiB of pages for the writer, so that the indexes of 100,000 alerts stay in memory (negative: KiB).
const WRITER_CACHE: &str = "-32768";
/// Each chunked statement is kept prepared: four sizes of ten tables, and the single ones.
const STATEMENTS_KEPT: usize = 128;
/// Larger files are not checked page by page at each start: that would take longer than a restart may.
const QUICK_CHECK_BYTES_MAX: u64 = 512 * 1024 * 1024;

pub(super) struct Opened {
    pub writer: Writer,
    pub readers: SqlitePool,
    pub lock: File,
}

pub(super) async fn open(folder: &Path) -> Result<Opened, StoreError> {
    let lock = take_lock(folder).await?;
    let file = folder.join(DATABASE_FILE);
    let name = |e| named(&file, e);
    let options = SqliteConnectOptions::new().filename(&file).busy_timeout(BUSY_WAIT).foreign_keys(false);

    let mut writer = options
        .clone()
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .statement_cache_capacity(STATEMENTS_KEPT)
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .pragma("journal_size_limit", JOURNAL_KEPT_BYTES)
        .pragma("cache_size", WRITER_CACHE)
        .connect()
        .await
        .map_err(|e| name(fault(e)))?;
    check(&mut writer, &file).await.map_err(name)?;
    migrate(&mut writer).await.map_err(name)?;
    let numbers = Numbers::load(&mut writer).await.map_err(name)?;
    let writer = Writer { conn: writer, numbers };

    let readers = SqlitePoolOptions::new()
        .max_connections(READERS_MAX)
        .acquire_timeout(READER_WAIT)
        .connect_lazy_with(options.read_only(true));
    Ok(Opened { writer, readers, lock })
}

/// A process that was just killed may hold its lock a moment longer; one that runs holds it for good.
async fn take_lock(folder: &Path) -> Result<File, StoreError> {
    let at = folder.display();
    let fatal = |text: String| StoreError::Fatal(text);
    std::fs::create_dir_all(folder).map_err(|e| fatal(format!("data folder {at} cannot be created: {e}")))?;
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(folder.join(LOCK_FILE))
        .map_err(|e| fatal(format!("data folder {at} cannot be written to: {e}")))?;
    for _ in 0..LOCK_TRIES {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_PAUSE).await,
            Err(TryLockError::Error(e)) => return Err(fatal(format!("data folder {at} cannot be locked: {e}"))),
        }
    }
    Err(fatal(format!("data folder {at} is in use by another watchfire process")))
}

/// An error of opening never calls for waiting: nothing has been promised yet, and the operator is looking.
fn named(file: &Path, error: StoreError) -> StoreError {
    let at = file.display();
    match error {
        StoreError::Unavailable(text) => StoreError::Fatal(format!("{at} cannot be opened: {text}")),
        StoreError::NotADatabase(_) => StoreError::Fatal(format!(
            "{at} is not a database, or is damaged; move it away to start anew, or put a backup in its place"
        )),
        StoreError::Fatal(text) => StoreError::Fatal(format!("{at}: {text}")),
    }
}

async fn check(writer: &mut SqliteConnection, file: &Path) -> Result<(), StoreError> {
    if std::fs::metadata(file).is_ok_and(|m| m.len() > QUICK_CHECK_BYTES_MAX) {
        return Ok(());
    }
    let row = sqlx::query("PRAGMA quick_check(1)").fetch_one(writer).await.map_err(fault)?;
    let verdict: String = row.try_get(0).map_err(fault)?;
    if verdict == "ok" {
        return Ok(());
    }
    Err(StoreError::Fatal(format!("the database is damaged ({verdict}); put a backup in its place")))
}

async fn migrate(writer: &mut SqliteConnection) -> Result<(), StoreError> {
    let step = |(version, about, sql): (i64, &'static str, &'static str)| {
        Migration::new(version, about.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    let newest = MIGRATIONS.len();
    Migrator::with_migrations(MIGRATIONS.into_iter().map(step).collect()).run(writer).await.map_err(
        |e| match e {
            MigrateError::VersionMissing(version) => StoreError::Fatal(format!(
                "written by a newer watchfire (schema {version}, this one knows {newest}); start that version, or restore a \
                 backup made before the upgrade"
            )),
            MigrateError::VersionMismatch(version) => {
                StoreError::Fatal(format!("schema {version} was made by a build that was never released"))
            }
            MigrateError::Execute(e) | MigrateError::ExecuteMigration(e, _) => fault(e),
            other => StoreError::Fatal(other.to_string()),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Fingerprint, IncidentId, IntegrationId, Write};
    use crate::store::{SqliteStore, Store};

    /// Rows as schema 1 wrote them: two alerts (the second known to memory no more), a member of each, one of an alert without a row,
    /// and an entry of the log with its fingerprints as numbers.
    const ROWS_OF_1: &str = r#"
        INSERT INTO alert (id, fingerprint, dropped, ended_at, body) VALUES
            (1, -2, 0, NULL, '{"labels":{"alertname":"A"},"annotations":{},"generator_url":"","starts_at":1,"updated_at":2,"leases":[]}'),
            (5, 7, 1, 9, '{"labels":{"alertname":"B"},"annotations":{},"generator_url":"","starts_at":1,"updated_at":2,"leases":[]}');
        INSERT INTO incident (id, status, severity, opened_at, resolved_at, body) VALUES (1, 'triggered', 'critical', 1, NULL,
            '{"title":"t","labels":{},"cluster":null,"environment":null,"last_attached_at":1,"acknowledged_at":null,"acknowledged_by":null,"resolved_by":null,"snoozed_until":null,"correlation_rule":null,"correlation_key":null,"alert_count":3,"firing_count":1,"doors":[],"escalation":{"policy":null,"step":0,"round":0,"round_started_at":null,"next_at":null,"exhausted":false,"assigned_to":null,"run":0,"reached":false,"held":[],"heard":[["ops",1]]},"paged":[],"merged_into":null}');
        INSERT INTO member (incident, fingerprint, attached_at, reason, runner_up, detached, left_at) VALUES
            (1, -2, 1, 'r', '', 0, NULL), (1, 7, 2, 'r', '', 0, NULL), (1, 8, 3, 'r', '', 0, NULL);
        INSERT INTO nflog (group_key, receiver, integration, body) VALUES
            ('{}', 'ops', 0, '{"firing":[1,18446744073709551615],"resolved":[],"at":1,"expires_at":2}');
        INSERT INTO notification (key, incident, created_at, state, attempts, sent_at, error, external_ref, body) VALUES
            ('INC-1/r1/s1/ops/1', 1, 1, 'pending', 0, NULL, NULL, NULL,
            '{"kind":{"page":{"incident":1,"round":1,"step":1}},"receiver":"ops","integration":1,"integration_kind":"slack","message":{"firing":true,"receiver":"ops","group_key":"","group_labels":{},"common_labels":{},"common_annotations":{},"external_url":"","alerts":[],"truncated_alerts":0,"incident":null}}');
    "#;

    async fn make_schema_1(folder: &Path) {
        let options = SqliteConnectOptions::new().filename(folder.join(DATABASE_FILE)).create_if_missing(true);
        let mut conn = options.connect().await.unwrap();
        let (version, about, sql) = MIGRATIONS[0];
        let first = Migration::new(version, about.into(), MigrationType::Simple, sql.into_sql_str(), false);
        Migrator::with_migrations(vec![first]).run(&mut conn).await.unwrap();
        sqlx::raw_sql(ROWS_OF_1).execute(&mut conn).await.unwrap();
        sqlx::Connection::close(conn).await.unwrap();
    }

    #[tokio::test]
    async fn a_database_of_schema_1_is_read_and_written_on() {
        let folder = tempfile::tempdir().unwrap();
        make_schema_1(folder.path()).await;
        let store = SqliteStore::open(folder.path()).await.unwrap();
        let loaded = store.load().await.unwrap();
        let names: Vec<&str> = loaded.alerts.iter().map(|a| a.labels.alert_name()).collect();
        assert_eq!(names, ["A"]);
        let members: Vec<Fingerprint> = loaded.members.iter().map(|m| m.fingerprint).collect();
        assert_eq!(members, [Fingerprint(u64::MAX - 1), Fingerprint(7), Fingerprint(8)]);
        assert_eq!(loaded.nflog[0].firing, [Fingerprint(1), Fingerprint(u64::MAX)]);
        let (nowhere, slack) = (IntegrationId::from_position("", 0), IntegrationId::from_position("slack", 1));
        assert_eq!((&loaded.nflog[0].key.integration, &loaded.outbox[0].integration), (&nowhere, &slack));
        let heard: Vec<String> =
            loaded.incidents[0].escalation.delivered_to.iter().map(|(name, id)| format!("{name} {id}")).collect();
        assert_eq!(heard, ["ops @1"]);
        assert_eq!(store.alerts_of(IncidentId(1)).await.unwrap().len(), 2);

        // Every alert and member is written again, one is new: each keeps its one row, also when opened once more.
        let again = |fingerprint: u64| {
            let mut record = loaded.alerts[0].clone();
            record.fingerprint = Fingerprint(fingerprint);
            record
        };
        let mut writes: Vec<Write> = [u64::MAX - 1, 7, 8, 100].map(|f| Write::Alert(again(f).into())).into();
        writes.extend(loaded.members.iter().map(|m| Write::Member(m.clone().into())));
        for _ in 0..2 {
            store.commit(writes.clone()).await.unwrap();
        }
        store.close().await.unwrap();
        drop(store);
        let store = SqliteStore::open(folder.path()).await.unwrap();
        store.commit(writes).await.unwrap();
        let loaded = store.load().await.unwrap();
        assert_eq!((loaded.alerts.len(), loaded.members.len()), (4, 3));
        assert_eq!(store.alerts_of(IncidentId(1)).await.unwrap().len(), 3);
    }
}
