//! Reading rows back: everything at start, pages for readers.
//! In: queries. Out: model structs.
//! Never: writes; its connections are read-only, and a long read does not hold the writer up.
//! Start at [`load`] and [`incidents`].

use super::fault::fault;
use crate::engine::limits::PAGE_WINDOW;
use crate::model::write::{NflogEntry, NflogKey, RuleAlertRecord};
use crate::model::{
    AlertRecord, Fingerprint, Incident, IncidentId, IncidentStatus, IntegrationId, Member, Notification,
    NotificationKey, NotificationKind, NotificationState, Severity, Silence, TimelineEntry, TimelineKind, Timestamp,
};
use crate::store::contract::recent_pages;
use crate::store::event_rows::{event_of, evidence_of};
use crate::store::incident_rows::{IncidentColumns, StoredIncident};
use crate::store::outbox_rows::{NotificationBody, NotificationColumns, fill_announcements};
use crate::store::rows::{AlertBody, NflogBody, RuleAlertBody, SilenceBody, decode, encode, known, moment};
use crate::store::{
    INCIDENTS_PAGE_MAX, IncidentQuery, NOTIFICATIONS_PAGE_MAX, NotificationPage, NotificationQuery,
    RESOLVED_KEPT_IN_MEMORY, Snapshot, StoreError, TIMELINE_MAX,
};
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Row, Sqlite, SqliteConnection, SqlitePool, Type};
use std::sync::Arc;

/// Rows read at once while loading: the driver's rows are large, the model's are not.
const LOAD_PAGE: i64 = 4096;

/// Open ones, those resolved since ?1, and those that a firing alert still belongs to.
const LOADED_INCIDENTS: &str = "SELECT id FROM incident WHERE status <> 'resolved' OR resolved_at >= ?1 \
     UNION SELECT member.incident FROM alert JOIN member ON member.alert = alert.id \
     WHERE alert.ended_at IS NULL AND alert.dropped = 0 AND member.detached = 0 AND member.left_at IS NULL";

// Each pages by its first column, the row's number: ?1 the last one seen, ?2 the size of the page, ?3 the loaded incidents,
// ?4 how long ago an alert may have ended.
const LOAD_ALERTS: &str = "SELECT id, fingerprint, ended_at, body FROM alert WHERE id > ?1 AND dropped = 0 \
     AND (ended_at IS NULL OR ended_at >= ?4 OR EXISTS (SELECT 1 FROM member \
         WHERE member.alert = alert.id AND member.incident IN (SELECT value FROM json_each(?3)))) \
     ORDER BY id LIMIT ?2";
const LOAD_INCIDENTS: &str = "SELECT id, status, severity, opened_at, resolved_at, body FROM incident \
     WHERE id > ?1 AND id IN (SELECT value FROM json_each(?3)) ORDER BY id LIMIT ?2";
/// The `+` keeps the index on `incident` out of it, which would gather and sort all members for each page.
const LOAD_MEMBERS: &str = "SELECT id, incident, fingerprint, attached_at, reason, runner_up, detached, left_at, evidence FROM member \
     WHERE id > ?1 AND +incident IN (SELECT value FROM json_each(?3)) ORDER BY id LIMIT ?2";
const LOAD_SILENCES: &str = "SELECT rowid, id, body FROM silence WHERE rowid > ?1 ORDER BY rowid LIMIT ?2";
const LOAD_NFLOG: &str = "SELECT rowid, group_key, receiver, integration, body FROM nflog \
     WHERE rowid > ?1 ORDER BY rowid LIMIT ?2";
const LOAD_OUTBOX: &str = "SELECT id, key, created_at, state, attempts, sent_at, error, external_ref, body \
     FROM notification WHERE id > ?1 AND state = 'pending' ORDER BY id LIMIT ?2";
const LOAD_SENT: &str = "SELECT id, key, created_at, state, attempts, sent_at, error, external_ref, body FROM notification \
     WHERE id > ?1 AND external_ref IS NOT NULL AND state = 'sent' \
     AND (incident IS NULL OR incident IN (SELECT value FROM json_each(?3))) ORDER BY id LIMIT ?2";
const LOAD_RULE_ALERTS: &str = "SELECT id, rule, fingerprint, body FROM rule_alert WHERE id > ?1 ORDER BY id LIMIT ?2";
const NEWEST: &str =
    "SELECT (SELECT max(resolved_at) FROM incident), (SELECT max(ended_at) FROM alert WHERE ended_at NOT NULL)";
const LAST_NUMBERS: &str = "SELECT \
     max((SELECT value FROM counter WHERE name = 'incident'), (SELECT coalesce(max(id), 0) FROM incident)), \
     max((SELECT value FROM counter WHERE name = 'timeline'), (SELECT coalesce(max(seq), 0) FROM timeline)), \
     (SELECT value FROM counter WHERE name = 'moment')";
/// Pages and updates of the last rows, newest first: what of them counts against the page limit is asked of the rows.
const RECENT: &str = "SELECT id, key, created_at, state, attempts, sent_at, error, external_ref, body \
     FROM notification WHERE id > (SELECT coalesce(max(id), 0) FROM notification) - ?1 AND incident IS NOT NULL \
     AND created_at >= ?2 ORDER BY id";
/// Rows that are looked through for recent pages: far more than the page limit lets out in a window.
const RECENT_ROWS_MAX: i64 = 100_000;

const INCIDENTS: &str = "SELECT id, status, severity, opened_at, resolved_at, body FROM incident \
     WHERE id < ?1 AND status IN (SELECT value FROM json_each(?2)) AND severity IN (SELECT value FROM json_each(?3)) \
     ORDER BY id DESC LIMIT ?4";
const INCIDENT: &str = "SELECT id, status, severity, opened_at, resolved_at, body FROM incident WHERE id = ?1";
const MEMBERS: &str = "SELECT id, incident, fingerprint, attached_at, reason, runner_up, detached, left_at, evidence FROM member \
     WHERE incident = ?1";
const ALERTS_OF: &str = "SELECT alert.id, alert.fingerprint, alert.ended_at, alert.body FROM member \
     JOIN alert ON alert.id = member.alert WHERE member.incident = ?1";
const TIMELINE: &str = "SELECT seq, incident, at, kind, text, actor, reason, data FROM timeline \
     WHERE incident = ?1 ORDER BY seq DESC LIMIT ?2";
const NOTIFICATIONS: &str = "SELECT id, key, created_at, state, attempts, sent_at, error, external_ref, body \
     FROM notification WHERE incident = ?1 ORDER BY created_at, key";

/// ?1 the number to go on from, then what is wanted; `null` and empty lists: all.
const NOTIFICATION_PAGE: &str = "SELECT id, key, created_at, state, attempts, sent_at, error, external_ref, body \
     FROM notification WHERE id < ?1 AND state IN (SELECT value FROM json_each(?2)) \
     AND (?3 IS NULL OR body ->> '$.receiver' = ?3) AND (?4 IS NULL OR incident = ?4) \
     AND created_at >= ?5 AND created_at < ?6 \
     AND EXISTS (SELECT 1 FROM json_each(?7) WHERE json_type(body, '$.kind.' || value) IS NOT NULL) \
     ORDER BY id DESC LIMIT ?8";
const NOTIFICATION: &str = "SELECT id, key, created_at, state, attempts, sent_at, error, external_ref, body \
     FROM notification WHERE key = ?1";
/// The narrow index finds the numbers; only these rows are read.
const ALERTS_NAMED: &str = "SELECT id, fingerprint, ended_at, body FROM alert WHERE id IN \
     (SELECT id FROM alert WHERE fingerprint IN (SELECT value FROM json_each(?1)))";

fn get<'r, T: Decode<'r, Sqlite> + Type<Sqlite>>(row: &'r SqliteRow, column: usize) -> Result<T, StoreError> {
    row.try_get(column).map_err(fault)
}

fn time(row: &SqliteRow, column: usize) -> Result<Timestamp, StoreError> {
    get::<i64>(row, column).map(Timestamp::from_millis)
}

fn text(row: &SqliteRow, column: usize) -> Result<Arc<str>, StoreError> {
    get::<&str>(row, column).map(Arc::from)
}

fn maybe_text(row: &SqliteRow, column: usize) -> Result<Option<Arc<str>>, StoreError> {
    get::<Option<&str>>(row, column).map(|text| text.map(Arc::from))
}

fn fingerprint(row: &SqliteRow, column: usize) -> Result<Fingerprint, StoreError> {
    get::<i64>(row, column).map(|bits| Fingerprint(bits as u64))
}

fn incident_id(row: &SqliteRow, column: usize) -> Result<IncidentId, StoreError> {
    get::<i64>(row, column).map(|id| IncidentId(id as u64))
}

fn alert(row: &SqliteRow) -> Result<AlertRecord, StoreError> {
    decode::<AlertBody>("alert", get(row, 3)?)?.into_record(fingerprint(row, 1)?, moment(get(row, 2)?))
}

fn incident_row(row: &SqliteRow) -> Result<Incident, StoreError> {
    let (status, severity) = (get(row, 1)?, get(row, 2)?);
    let columns = IncidentColumns {
        id: incident_id(row, 0)?,
        status: known("incident", status, IncidentStatus::parse(status))?,
        severity: known("incident", severity, Severity::parse(severity))?,
        opened_at: time(row, 3)?,
        resolved_at: moment(get(row, 4)?),
    };
    decode::<StoredIncident>("incident", get(row, 5)?)?.into_incident(columns)
}

fn member(row: &SqliteRow) -> Result<Member, StoreError> {
    Ok(Member {
        incident: incident_id(row, 1)?,
        fingerprint: fingerprint(row, 2)?,
        attached_at: time(row, 3)?,
        evidence: evidence_of(get(row, 4)?, get(row, 5)?, get(row, 8)?)?,
        detached: get(row, 6)?,
        left_at: moment(get(row, 7)?),
    })
}

fn timeline_entry(row: &SqliteRow) -> Result<TimelineEntry, StoreError> {
    let kind = get(row, 3)?;
    let kind = known("timeline", kind, TimelineKind::parse(kind))?;
    let (event, note) = event_of(kind, get(row, 4)?, get(row, 6)?, get(row, 7)?)?;
    Ok(TimelineEntry {
        seq: get::<i64>(row, 0)? as u64,
        incident: incident_id(row, 1)?,
        at: time(row, 2)?,
        actor: maybe_text(row, 5)?,
        note,
        event,
    })
}

fn silence(row: &SqliteRow) -> Result<Silence, StoreError> {
    decode::<SilenceBody>("silence", get(row, 2)?)?.into_silence(text(row, 1)?)
}

fn nflog_entry(row: &SqliteRow) -> Result<NflogEntry, StoreError> {
    let integration = get(row, 3)?;
    let integration = known("nflog", integration, IntegrationId::parse(integration))?;
    let key = NflogKey { group_key: text(row, 1)?, receiver: text(row, 2)?, integration };
    Ok(decode::<NflogBody>("nflog", get(row, 4)?)?.into_entry(key))
}

fn outbox_row(row: &SqliteRow) -> Result<Notification, StoreError> {
    let state = get(row, 3)?;
    let columns = NotificationColumns {
        key: NotificationKey(text(row, 1)?),
        created_at: time(row, 2)?,
        state: known("notification", state, NotificationState::parse(state))?,
        attempts: get(row, 4)?,
        sent_at: moment(get(row, 5)?),
        error: get(row, 6)?,
        external_ref: maybe_text(row, 7)?,
    };
    decode::<NotificationBody>("notification", get(row, 8)?)?.into_notification(columns)
}

fn rule_alert(row: &SqliteRow) -> Result<RuleAlertRecord, StoreError> {
    Ok(decode::<RuleAlertBody>("rule_alert", get(row, 3)?)?.into_record(text(row, 1)?, fingerprint(row, 2)?))
}

fn all<T>(rows: &[SqliteRow], read: fn(&SqliteRow) -> Result<T, StoreError>) -> Result<Vec<T>, StoreError> {
    rows.iter().map(read).collect()
}

/// What of the store is loaded: these incidents (JSON), and what of the rest ended no earlier.
struct Only<'a> {
    incidents: &'a str,
    ended_floor: i64,
}

/// All rows of a `LOAD_…` statement, page by page.
async fn pages<T>(
    conn: &mut SqliteConnection,
    statement: &'static str,
    only: &Only<'_>,
    read: fn(&SqliteRow) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let (mut out, mut last) = (Vec::new(), i64::MIN);
    loop {
        let query = sqlx::query(statement).bind(last).bind(LOAD_PAGE).bind(only.incidents).bind(only.ended_floor);
        let rows = query.fetch_all(&mut *conn).await.map_err(fault)?;
        for row in &rows {
            out.push(read(row)?);
        }
        match rows.last() {
            Some(row) if rows.len() as i64 == LOAD_PAGE => last = get(row, 0)?,
            _ => return Ok(out),
        }
    }
}

/// Everything, as of one moment.
pub(super) async fn load(readers: &SqlitePool) -> Result<Snapshot, StoreError> {
    let mut tx = readers.begin().await.map_err(fault)?;
    let conn: &mut SqliteConnection = &mut tx;
    let newest = sqlx::query(NEWEST).fetch_one(&mut *conn).await.map_err(fault)?;
    let back = |ms| (Timestamp::from_millis(ms) - RESOLVED_KEPT_IN_MEMORY).as_millis();
    let resolved_floor = get::<Option<i64>>(&newest, 0)?.map_or(i64::MIN, back);
    let ended_floor = get::<Option<i64>>(&newest, 1)?.map_or(i64::MIN, back);
    let ids = sqlx::query(LOADED_INCIDENTS).bind(resolved_floor).fetch_all(&mut *conn).await.map_err(fault)?;
    let ids = encode(&ids.iter().map(|row| get(row, 0)).collect::<Result<Vec<i64>, _>>()?)?;
    let only = &Only { incidents: &ids, ended_floor };
    let numbers = sqlx::query(LAST_NUMBERS).fetch_one(&mut *conn).await.map_err(fault)?;
    let alerts = pages(conn, LOAD_ALERTS, only, alert).await?;
    let mut outbox = pages(conn, LOAD_OUTBOX, only, outbox_row).await?;
    fill_announcements(&mut outbox, &alerts);
    let last_moment = Some(get::<i64>(&numbers, 2)?).filter(|ms| *ms > 0).map(Timestamp::from_millis);
    let recent_since = last_moment.map_or(i64::MIN, |at| (at - PAGE_WINDOW).as_millis());
    let recent = sqlx::query(RECENT).bind(RECENT_ROWS_MAX).bind(recent_since).fetch_all(&mut *conn).await;
    let recent: Vec<Notification> = all(&recent.map_err(fault)?, outbox_row)?;
    let is_page = |row: &&Notification| matches!(row.kind, NotificationKind::Page { .. });
    Ok(Snapshot {
        alerts,
        incidents: pages(conn, LOAD_INCIDENTS, only, incident_row).await?,
        members: pages(conn, LOAD_MEMBERS, only, member).await?,
        silences: pages(conn, LOAD_SILENCES, only, silence).await?,
        nflog: pages(conn, LOAD_NFLOG, only, nflog_entry).await?,
        outbox,
        sent: pages(conn, LOAD_SENT, only, outbox_row).await?,
        rule_alerts: pages(conn, LOAD_RULE_ALERTS, only, rule_alert).await?,
        recent_pages: recent_pages(recent.iter().filter(is_page), last_moment),
        last_incident: get::<i64>(&numbers, 0)? as u64,
        last_timeline_seq: get::<i64>(&numbers, 1)? as u64,
        last_moment,
    })
}

pub(super) async fn incidents(readers: &SqlitePool, query: IncidentQuery) -> Result<Vec<Incident>, StoreError> {
    let IncidentQuery { statuses, severities, before, limit } = query;
    let statuses = if statuses.is_empty() { IncidentStatus::ALL.to_vec() } else { statuses };
    let severities = if severities.is_empty() { Severity::ALL.to_vec() } else { severities };
    let rows = sqlx::query(INCIDENTS)
        .bind(before.map_or(i64::MAX, |id| i64::try_from(id.0).unwrap_or(i64::MAX)))
        .bind(encode(&statuses.iter().map(|s| s.as_str()).collect::<Vec<_>>())?)
        .bind(encode(&severities.iter().map(|s| s.as_str()).collect::<Vec<_>>())?)
        .bind(limit.min(INCIDENTS_PAGE_MAX) as i64)
        .fetch_all(readers)
        .await
        .map_err(fault)?;
    all(&rows, incident_row)
}

pub(super) async fn incident(readers: &SqlitePool, id: IncidentId) -> Result<Option<Incident>, StoreError> {
    let row = sqlx::query(INCIDENT).bind(id.0 as i64).fetch_optional(readers).await.map_err(fault)?;
    row.as_ref().map(incident_row).transpose()
}

pub(super) async fn members(readers: &SqlitePool, id: IncidentId) -> Result<Vec<Member>, StoreError> {
    let rows = sqlx::query(MEMBERS).bind(id.0 as i64).fetch_all(readers).await.map_err(fault)?;
    let mut members = all(&rows, member)?;
    members.sort_by_key(|m| (m.attached_at, m.fingerprint));
    Ok(members)
}

pub(super) async fn alerts_of(readers: &SqlitePool, id: IncidentId) -> Result<Vec<AlertRecord>, StoreError> {
    let rows = sqlx::query(ALERTS_OF).bind(id.0 as i64).fetch_all(readers).await.map_err(fault)?;
    let mut alerts = all(&rows, alert)?;
    alerts.sort_by_key(|a| a.fingerprint);
    Ok(alerts)
}

pub(super) async fn timeline(
    readers: &SqlitePool,
    id: IncidentId,
    limit: usize,
) -> Result<Vec<TimelineEntry>, StoreError> {
    let query = sqlx::query(TIMELINE).bind(id.0 as i64).bind(limit.min(TIMELINE_MAX) as i64);
    let mut lines = all(&query.fetch_all(readers).await.map_err(fault)?, timeline_entry)?;
    lines.reverse();
    Ok(lines)
}

pub(super) async fn notifications(readers: &SqlitePool, id: IncidentId) -> Result<Vec<Notification>, StoreError> {
    let rows = sqlx::query(NOTIFICATIONS).bind(id.0 as i64).fetch_all(readers).await.map_err(fault)?;
    all(&rows, outbox_row)
}

pub(super) async fn notification_page(
    readers: &SqlitePool,
    query: NotificationQuery,
) -> Result<NotificationPage, StoreError> {
    let NotificationQuery { states, kinds, receiver, incident, since, until, before, limit } = query;
    let states = if states.is_empty() { NotificationState::ALL.to_vec() } else { states };
    let kinds = if kinds.is_empty() { NotificationKind::NAMES.to_vec() } else { kinds };
    let limit = limit.min(NOTIFICATIONS_PAGE_MAX);
    let rows = sqlx::query(NOTIFICATION_PAGE)
        .bind(before.map_or(i64::MAX, |number| i64::try_from(number).unwrap_or(i64::MAX)))
        .bind(encode(&states.iter().map(|s| s.as_str()).collect::<Vec<_>>())?)
        .bind(receiver)
        .bind(incident.map(|id| id.0 as i64))
        .bind(since.map_or(i64::MIN, Timestamp::as_millis))
        .bind(until.map_or(i64::MAX, Timestamp::as_millis))
        .bind(encode(&kinds)?)
        .bind(limit as i64 + 1)
        .fetch_all(readers)
        .await
        .map_err(fault)?;
    let page = &rows[..rows.len().min(limit)];
    let next = match page.last() {
        Some(last) if rows.len() > limit => Some(get::<i64>(last, 0)? as u64),
        _ => None,
    };
    Ok(NotificationPage { rows: all(page, outbox_row)?, next })
}

pub(super) async fn notification(
    readers: &SqlitePool,
    key: NotificationKey,
) -> Result<Option<Notification>, StoreError> {
    let row = sqlx::query(NOTIFICATION).bind(&*key.0).fetch_optional(readers).await.map_err(fault)?;
    let Some(found) = row.as_ref().map(outbox_row).transpose()? else { return Ok(None) };
    let named: Vec<i64> = found.message.alerts.iter().map(|alert| alert.fingerprint.0 as i64).collect();
    let rows = sqlx::query(ALERTS_NAMED).bind(encode(&named)?).fetch_all(readers).await.map_err(fault)?;
    let mut found = [found];
    fill_announcements(&mut found, &all(&rows, alert)?);
    let [found] = found;
    Ok(Some(found))
}
