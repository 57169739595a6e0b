//! Removing what is older than it may be, a little at a time.
//! In: two moments. Out: how much went.
//! Never: removes a pending row, an open incident, or the highest number ever given.
//! Start at [`retain`].

use super::fault::fault;
use super::numbers::Writer;
use crate::store::rows::encode;
use crate::store::{RETAIN_ROWS_MAX, Retention, StoreError};
use sqlx::{Connection, Row};

const OLD_INCIDENTS: &str = "SELECT id FROM incident WHERE resolved_at < ?1 AND status = 'resolved' \
     AND NOT EXISTS (SELECT 1 FROM member JOIN alert ON alert.id = member.alert \
         WHERE member.incident = incident.id AND member.detached = 0 AND member.left_at IS NULL \
         AND alert.ended_at IS NULL AND alert.dropped = 0) \
     ORDER BY id LIMIT ?2";
/// The numbers outlive the rows that carried them.
const KEEP_NUMBERS: [&str; 2] = [
    "UPDATE counter SET value = max(value, (SELECT coalesce(max(id), 0) FROM incident)) WHERE name = 'incident'",
    "UPDATE counter SET value = max(value, (SELECT coalesce(max(seq), 0) FROM timeline)) WHERE name = 'timeline'",
];
/// Alerts that only these incidents held.
const FORGET_THEIR_ALERTS: &str = "DELETE FROM alert WHERE (dropped = 1 OR ended_at IS NOT NULL) AND id IN \
         (SELECT alert FROM member WHERE incident IN (SELECT value FROM json_each(?1))) \
     AND NOT EXISTS (SELECT 1 FROM member WHERE member.alert = alert.id \
         AND member.incident NOT IN (SELECT value FROM json_each(?1))) RETURNING fingerprint";
const FORGET_INCIDENTS: [&str; 4] = [
    "DELETE FROM member WHERE incident IN (SELECT value FROM json_each(?1))",
    "DELETE FROM timeline WHERE incident IN (SELECT value FROM json_each(?1))",
    "DELETE FROM notification WHERE incident IN (SELECT value FROM json_each(?1))",
    "DELETE FROM incident WHERE id IN (SELECT value FROM json_each(?1))",
];
/// The process that would have dropped them did not run for long.
const FORGET_ALERTS: &str = "DELETE FROM alert WHERE id IN (SELECT id FROM alert WHERE ended_at < ?1 \
     AND NOT EXISTS (SELECT 1 FROM member WHERE member.alert = alert.id) LIMIT ?2) RETURNING fingerprint";
const FORGET_ANNOUNCEMENTS: &str = "DELETE FROM notification WHERE id IN (SELECT id FROM notification \
     WHERE incident IS NULL AND created_at < ?1 AND state <> 'pending' LIMIT ?2)";

pub(super) async fn retain(writer: &mut Writer, keep: Retention) -> Result<u64, StoreError> {
    let limit = RETAIN_ROWS_MAX as i64;
    let mut forgotten = Vec::new();
    let mut tx = writer.conn.begin_with("BEGIN IMMEDIATE").await.map_err(fault)?;
    let rows = sqlx::query(OLD_INCIDENTS)
        .bind(keep.incidents_before.as_millis())
        .bind(limit)
        .fetch_all(&mut *tx)
        .await
        .map_err(fault)?;
    let old = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>().map_err(fault)?;
    if !old.is_empty() {
        for statement in KEEP_NUMBERS {
            sqlx::query(statement).execute(&mut *tx).await.map_err(fault)?;
        }
        let ids = encode(&old)?;
        let alerts = sqlx::query(FORGET_THEIR_ALERTS).bind(ids.as_str()).fetch_all(&mut *tx).await;
        forgotten.extend(alerts.map_err(fault)?);
        for statement in FORGET_INCIDENTS {
            sqlx::query(statement).bind(ids.as_str()).execute(&mut *tx).await.map_err(fault)?;
        }
    }
    let alerts = sqlx::query(FORGET_ALERTS)
        .bind(keep.incidents_before.as_millis())
        .bind(limit)
        .fetch_all(&mut *tx)
        .await
        .map_err(fault)?;
    forgotten.extend(alerts);
    let announcements = sqlx::query(FORGET_ANNOUNCEMENTS)
        .bind(keep.notifications_before.as_millis())
        .bind(limit)
        .execute(&mut *tx)
        .await
        .map_err(fault)?;
    let gone = old.len() as u64 + announcements.rows_affected();
    tx.commit().await.map_err(fault)?;
    writer.numbers.forget(&forgotten)?;
    Ok(gone)
}
