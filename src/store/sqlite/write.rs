//! One batch, one transaction: many rows per statement, each statement prepared once.
//! In: a [`Batch`]. Out: rows on the disk, fsynced, or an error and nothing changed.
//! Never: one round trip per row of a table that a storm fills.
//! Start at [`commit`].

use super::fault::fault;
use super::numbers::{Numbers, Writer};
use crate::model::{
    AlertRecord, Fingerprint, Incident, IncidentId, Member, NflogEntry, NflogKey, NotificationKey, RuleAlertRecord,
    Silence, TimelineEntry, Timestamp,
};
use crate::store::StoreError;
use crate::store::batch::{AlertOp, Batch, Moved, NotificationOp};
use crate::store::event_rows::{event_columns, evidence_columns};
use crate::store::incident_rows::IncidentBody;
use crate::store::outbox_rows::NotificationBody;
use crate::store::rows::{AlertBody, NflogBody, RuleAlertBody, SilenceBody, encode, millis};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, Connection, Encode, Sqlite, SqliteConnection, Type};
use std::sync::{Arc, OnceLock};

/// Rows per statement: full chunks of the largest first, then smaller ones, so that a few prepared statements serve all counts and
/// most commits need few of them: each is a trip to the driver's thread.
const CHUNKS: [usize; 10] = [512, 256, 128, 64, 32, 16, 8, 4, 2, 1];

/// `INSERT` of any number of rows into one table.
struct Upsert {
    /// `INSERT INTO t (a, b) VALUES `.
    head: &'static str,
    columns: usize,
    /// `ON CONFLICT …`.
    tail: &'static str,
    /// The texts for [`CHUNKS`], made when first needed.
    texts: [OnceLock<String>; CHUNKS.len()],
}

impl Upsert {
    const fn new(head: &'static str, columns: usize, tail: &'static str) -> Self {
        Self { head, columns, tail, texts: [const { OnceLock::new() }; CHUNKS.len()] }
    }

    fn text(&'static self, chunk: usize) -> &'static str {
        self.texts[chunk].get_or_init(|| {
            let row = format!("({})", vec!["?"; self.columns].join(","));
            format!("{} VALUES {} {}", self.head, vec![row; CHUNKS[chunk]].join(","), self.tail)
        })
    }
}

static ALERT: Upsert = Upsert::new(
    "INSERT INTO alert (id, fingerprint, dropped, ended_at, body)",
    5,
    "ON CONFLICT (id) DO UPDATE SET dropped = excluded.dropped, ended_at = excluded.ended_at, \
     body = excluded.body",
);
static INCIDENT: Upsert = Upsert::new(
    "INSERT INTO incident (id, status, severity, opened_at, resolved_at, body)",
    6,
    "ON CONFLICT (id) DO UPDATE SET status = excluded.status, severity = excluded.severity, \
     opened_at = excluded.opened_at, resolved_at = excluded.resolved_at, body = excluded.body",
);
static MEMBER: Upsert = Upsert::new(
    "INSERT INTO member (incident, alert, fingerprint, attached_at, reason, runner_up, detached, left_at, evidence)",
    9,
    "ON CONFLICT (alert, incident, fingerprint) DO UPDATE SET attached_at = excluded.attached_at, reason = excluded.reason, \
     runner_up = excluded.runner_up, detached = excluded.detached, left_at = excluded.left_at, \
     evidence = excluded.evidence",
);
static TIMELINE: Upsert =
    Upsert::new("INSERT OR REPLACE INTO timeline (seq, incident, at, kind, text, actor, reason, data)", 8, "");
static SILENCE: Upsert = Upsert::new("INSERT OR REPLACE INTO silence (id, body)", 2, "");
static NOTIFICATION: Upsert = Upsert::new(
    "INSERT INTO notification (key, incident, created_at, state, attempts, sent_at, error, external_ref, body)",
    9,
    "ON CONFLICT (key) DO UPDATE SET incident = excluded.incident, created_at = excluded.created_at, \
     state = excluded.state, attempts = excluded.attempts, sent_at = excluded.sent_at, error = excluded.error, \
     external_ref = excluded.external_ref, body = excluded.body",
);
static NFLOG: Upsert = Upsert::new("INSERT OR REPLACE INTO nflog (group_key, receiver, integration, body)", 4, "");
static RULE_ALERT: Upsert = Upsert::new(
    "INSERT INTO rule_alert (rule, fingerprint, body)",
    3,
    "ON CONFLICT (rule, fingerprint) DO UPDATE SET body = excluded.body",
);

// Keys that go come as one JSON array: one statement whatever their number.
const DROP_ALERTS: &str = "UPDATE alert SET dropped = 1 WHERE id IN (SELECT value FROM json_each(?1))";
/// A dropped alert that is a member of no incident is never read again.
const FORGET_ALERTS: &str = "DELETE FROM alert WHERE id IN (SELECT value FROM json_each(?1)) \
     AND NOT EXISTS (SELECT 1 FROM member WHERE member.alert = alert.id) RETURNING fingerprint";
const DROP_SILENCES: &str = "DELETE FROM silence WHERE id IN (SELECT value FROM json_each(?1))";
const DROP_NFLOG: &str = "DELETE FROM nflog WHERE (group_key, receiver, integration) IN \
     (SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1))";
const DROP_RULE_ALERTS: &str = "DELETE FROM rule_alert WHERE (rule, fingerprint) IN \
     (SELECT value ->> 0, value ->> 1 FROM json_each(?1))";
const SET_MOMENT: &str = "UPDATE counter SET value = ?1 WHERE name = 'moment'";
const MOVE_NOTIFICATION: &str = "UPDATE notification SET state = ?2, attempts = ?3, sent_at = ?4, error = ?5, \
     external_ref = ?6 WHERE key = ?1";

/// Writes all of it or nothing. One fsync; a single row needs no transaction around it.
pub(super) async fn commit(writer: &mut Writer, batch: Batch) -> Result<(), StoreError> {
    let Writer { conn, numbers } = writer;
    match batch.len() {
        0 if batch.moment.is_none() => Ok(()),
        // The next commit tells the moment just as well.
        1 if batch.alerts.is_empty() => write(conn, numbers, Batch { moment: None, ..batch }).await.map(drop),
        _ => {
            let mut tx = conn.begin_with("BEGIN IMMEDIATE").await.map_err(fault)?;
            let forgotten = write(&mut tx, numbers, batch).await?;
            tx.commit().await.map_err(fault)?;
            numbers.forget(&forgotten)
        }
    }
}

/// Gives back the fingerprints whose rows went. A number that was given for a commit that then failed stays with its fingerprint.
async fn write(conn: &mut SqliteConnection, numbers: &mut Numbers, batch: Batch) -> Result<Vec<SqliteRow>, StoreError> {
    let Batch { alerts, incidents, members, timeline, silences, notifications, nflog, rule_alerts, moment } = batch;
    write_incidents(conn, values(incidents)).await?;
    let alerts: Vec<(Fingerprint, AlertOp)> = alerts.into_iter().collect();
    put_alerts(conn, numbers, &alerts).await?;
    write_members(conn, numbers, values(members)).await?;
    write_timeline(conn, values(timeline)).await?;
    let forgotten = drop_alerts(conn, numbers, &alerts).await?;
    write_silences(conn, split(silences)).await?;
    write_outbox(conn, notifications.into_iter().collect()).await?;
    write_nflog(conn, split(nflog)).await?;
    write_rule_alerts(conn, split(rule_alerts)).await?;
    if let Some(at) = moment {
        sqlx::query(SET_MOMENT).bind(at.as_millis()).execute(&mut *conn).await.map_err(fault)?;
    }
    Ok(forgotten)
}

async fn write_incidents(conn: &mut SqliteConnection, incidents: Vec<Arc<Incident>>) -> Result<(), StoreError> {
    put(conn, &INCIDENT, &incidents, |incident, row| {
        let (columns, body) = IncidentBody::of(incident);
        row.add(columns.id.0 as i64)?;
        row.add(columns.status.as_str())?;
        row.add(columns.severity.as_str())?;
        row.add(columns.opened_at.as_millis())?;
        row.add(millis(columns.resolved_at))?;
        row.add(encode(&body)?)
    })
    .await
}

/// Comes after the alerts, whose numbers it uses.
async fn write_members(
    conn: &mut SqliteConnection,
    numbers: &mut Numbers,
    members: Vec<Arc<Member>>,
) -> Result<(), StoreError> {
    put(conn, &MEMBER, &members, |member, row| {
        let Member { incident, fingerprint, attached_at, evidence, detached, left_at } = &**member;
        let (reason, runner_up, evidence) = evidence_columns(evidence)?;
        row.add(incident.0 as i64)?;
        row.add(numbers.give(*fingerprint))?;
        row.add(fingerprint.0 as i64)?;
        row.add(attached_at.as_millis())?;
        row.add(reason)?;
        row.add(runner_up)?;
        row.add(*detached)?;
        row.add(millis(*left_at))?;
        row.add(evidence)
    })
    .await
}

async fn write_timeline(conn: &mut SqliteConnection, timeline: Vec<Arc<TimelineEntry>>) -> Result<(), StoreError> {
    put(conn, &TIMELINE, &timeline, |entry, row| {
        let TimelineEntry { incident, seq, at, actor, note, event } = &**entry;
        let (text, reason, data) = event_columns(event, note)?;
        row.add(*seq as i64)?;
        row.add(incident.0 as i64)?;
        row.add(at.as_millis())?;
        row.add(event.kind().as_str())?;
        row.add(text)?;
        row.add(actor.as_deref())?;
        row.add(reason)?;
        row.add(data)
    })
    .await
}

async fn write_silences(conn: &mut SqliteConnection, silences: Split<Arc<str>, Silence>) -> Result<(), StoreError> {
    put(conn, &SILENCE, &silences.puts, |silence, row| {
        row.add(&*silence.id)?;
        row.add(encode(&SilenceBody::of(silence))?)
    })
    .await?;
    remove(conn, DROP_SILENCES, &silences.drops).await
}

async fn write_nflog(conn: &mut SqliteConnection, entries: Split<NflogKey, NflogEntry>) -> Result<(), StoreError> {
    put(conn, &NFLOG, &entries.puts, |entry, row| {
        let NflogKey { group_key, receiver, integration } = &entry.key;
        row.add(&**group_key)?;
        row.add(&**receiver)?;
        row.add(integration.to_string())?;
        row.add(encode(&NflogBody::of(entry))?)
    })
    .await?;
    let drops: Vec<_> =
        entries.drops.into_iter().map(|k| (k.group_key, k.receiver, k.integration.to_string())).collect();
    remove(conn, DROP_NFLOG, &drops).await
}

async fn write_rule_alerts(
    conn: &mut SqliteConnection,
    records: Split<(Arc<str>, Fingerprint), RuleAlertRecord>,
) -> Result<(), StoreError> {
    put(conn, &RULE_ALERT, &records.puts, |record, row| {
        row.add(&*record.rule)?;
        row.add(record.fingerprint.0 as i64)?;
        row.add(encode(&RuleAlertBody::of(record))?)
    })
    .await?;
    let drops: Vec<_> = records.drops.into_iter().map(|(rule, f)| (rule, f.0 as i64)).collect();
    remove(conn, DROP_RULE_ALERTS, &drops).await
}

async fn put_alerts(
    conn: &mut SqliteConnection,
    numbers: &mut Numbers,
    ops: &[(Fingerprint, AlertOp)],
) -> Result<(), StoreError> {
    let puts: Vec<(&Arc<AlertRecord>, bool)> =
        ops.iter().filter_map(|(_, op)| Some((op.record.as_ref()?, op.dropped))).collect();
    put(conn, &ALERT, &puts, |(record, dropped), row| {
        row.add(numbers.give(record.fingerprint))?;
        row.add(record.fingerprint.0 as i64)?;
        row.add(*dropped)?;
        row.add(millis(record.ended_at))?;
        row.add(encode(&AlertBody::of(record))?)
    })
    .await
}

/// Gives back the fingerprints whose rows went. Comes after the members, which hold rows.
async fn drop_alerts(
    conn: &mut SqliteConnection,
    numbers: &Numbers,
    ops: &[(Fingerprint, AlertOp)],
) -> Result<Vec<SqliteRow>, StoreError> {
    let drops: Vec<i64> = ops.iter().filter(|(_, op)| op.dropped).filter_map(|(f, _)| numbers.get(*f)).collect();
    if drops.is_empty() {
        return Ok(Vec::new());
    }
    remove(conn, DROP_ALERTS, &drops).await?;
    sqlx::query(FORGET_ALERTS).bind(encode(&drops)?).fetch_all(conn).await.map_err(fault)
}

async fn write_outbox(
    conn: &mut SqliteConnection,
    ops: Vec<(NotificationKey, NotificationOp)>,
) -> Result<(), StoreError> {
    let (mut puts, mut moves) = (Vec::new(), Vec::new());
    for (key, op) in ops {
        match op {
            NotificationOp::Put(row) => puts.push(row),
            NotificationOp::Move(moved) => moves.push((key, moved)),
        }
    }
    put(conn, &NOTIFICATION, &puts, |notification, row| {
        let (columns, body) = NotificationBody::of(notification);
        row.add(&*columns.key.0)?;
        row.add(notification.incident().map(|IncidentId(id)| id as i64))?;
        row.add(columns.created_at.as_millis())?;
        row.add(columns.state.as_str())?;
        row.add(columns.attempts)?;
        row.add(millis(columns.sent_at))?;
        row.add(columns.error)?;
        row.add(columns.external_ref.as_deref())?;
        row.add(encode(&body)?)
    })
    .await?;
    for (key, Moved { state, attempts, sent_at, error, external_ref }) in moves {
        sqlx::query(MOVE_NOTIFICATION)
            .bind(&*key.0)
            .bind(state.as_str())
            .bind(attempts)
            .bind(sent_at.map(Timestamp::as_millis))
            .bind(error)
            .bind(external_ref.as_deref())
            .execute(&mut *conn)
            .await
            .map_err(fault)?;
    }
    Ok(())
}

fn values<K, V>(table: impl IntoIterator<Item = (K, V)>) -> Vec<V> {
    table.into_iter().map(|(_, value)| value).collect()
}

/// The rows of one table that stay, and the keys of those that go.
struct Split<K, V> {
    puts: Vec<Arc<V>>,
    drops: Vec<K>,
}

fn split<K, V>(table: impl IntoIterator<Item = (K, Option<Arc<V>>)>) -> Split<K, V> {
    let mut split = Split { puts: Vec::new(), drops: Vec::new() };
    for (key, value) in table {
        match value {
            Some(value) => split.puts.push(value),
            None => split.drops.push(key),
        }
    }
    split
}

/// The values of one statement, in order.
#[derive(Default)]
struct Bound(SqliteArguments);

impl Bound {
    fn add<'a, T: Encode<'a, Sqlite> + Type<Sqlite>>(&mut self, value: T) -> Result<(), StoreError> {
        self.0.add(value).map_err(|e| StoreError::Fatal(format!("a value cannot be bound: {e}")))
    }
}

/// Writes rows in chunks; encoding a chunk and running it alternate, so that no task is held for long.
async fn put<T>(
    conn: &mut SqliteConnection,
    table: &'static Upsert,
    rows: &[T],
    mut bind: impl FnMut(&T, &mut Bound) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut rest = rows;
    while !rest.is_empty() {
        let chunk = CHUNKS.iter().position(|size| *size <= rest.len()).unwrap_or(CHUNKS.len() - 1);
        let (now, later) = rest.split_at(CHUNKS[chunk]);
        let mut bound = Bound::default();
        bound.0.reserve(now.len() * table.columns, 0);
        now.iter().try_for_each(|row| bind(row, &mut bound))?;
        sqlx::query_with(table.text(chunk), bound.0).execute(&mut *conn).await.map_err(fault)?;
        rest = later;
    }
    Ok(())
}

async fn remove<K: serde::Serialize>(
    conn: &mut SqliteConnection,
    statement: &'static str,
    keys: &[K],
) -> Result<(), StoreError> {
    if keys.is_empty() {
        return Ok(());
    }
    sqlx::query(statement).bind(encode(&keys)?).execute(conn).await.map_err(fault)?;
    Ok(())
}
