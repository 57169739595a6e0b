//! Which row an alert has: fingerprints are hashes, row numbers count up, and only rows that count up are appended.
//! In: the tables at start, fingerprints. Out: numbers, the next one for a fingerprint that is new.
//! Never: gives two numbers to one fingerprint; a number whose commit failed stays with its fingerprint.
//! Start at [`Numbers::give`].

use super::fault::fault;
use crate::model::Fingerprint;
use crate::store::StoreError;
use foldhash::fast::FixedState;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use std::collections::HashMap;

/// Rows read at once at start.
const PAGE: i64 = 16_384;
/// By the narrow index, ?1 the last number seen, ?2 the size of the page.
const OF_ALERTS: &str = "SELECT id, fingerprint FROM alert WHERE id > ?1 ORDER BY id LIMIT ?2";
/// Members whose alert has no row.
const OF_MEMBERS: &str = "SELECT DISTINCT alert, fingerprint FROM member WHERE alert > ?1 \
     AND NOT EXISTS (SELECT 1 FROM alert WHERE alert.id = member.alert) ORDER BY alert LIMIT ?2";

/// The one connection that writes, and what it knows.
#[derive(Debug)]
pub(super) struct Writer {
    pub conn: SqliteConnection,
    pub numbers: Numbers,
}

/// 16 bytes for each alert in the database, those kept for their incidents included.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    of: HashMap<Fingerprint, i64, FixedState>,
    last: i64,
}

impl Numbers {
    pub async fn load(conn: &mut SqliteConnection) -> Result<Self, StoreError> {
        let mut numbers = Self::default();
        for statement in [OF_ALERTS, OF_MEMBERS] {
            let mut last = i64::MIN;
            loop {
                let rows = sqlx::query(statement).bind(last).bind(PAGE).fetch_all(&mut *conn).await.map_err(fault)?;
                for row in &rows {
                    last = row.try_get(0).map_err(fault)?;
                    numbers.of.insert(fingerprint(row, 1)?, last);
                    numbers.last = numbers.last.max(last);
                }
                if (rows.len() as i64) < PAGE {
                    break;
                }
            }
        }
        Ok(numbers)
    }

    pub fn get(&self, fingerprint: Fingerprint) -> Option<i64> {
        self.of.get(&fingerprint).copied()
    }

    /// Its number, a new one if it has none.
    pub fn give(&mut self, fingerprint: Fingerprint) -> i64 {
        *self.of.entry(fingerprint).or_insert_with(|| {
            self.last += 1;
            self.last
        })
    }

    /// After the commit that removed these rows of `fingerprint`s, and all that named them.
    pub fn forget(&mut self, rows: &[SqliteRow]) -> Result<(), StoreError> {
        for row in rows {
            self.of.remove(&fingerprint(row, 0)?);
        }
        Ok(())
    }
}

fn fingerprint(row: &SqliteRow, column: usize) -> Result<Fingerprint, StoreError> {
    row.try_get::<i64, _>(column).map(|bits| Fingerprint(bits as u64)).map_err(fault)
}
