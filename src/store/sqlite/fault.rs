//! What a SQLite error means for the caller: wait and try again, or stop.
//! In: driver errors. Out: [`StoreError`].
//! Never: retries by itself.
//! Start at [`fault`].

use crate::store::StoreError;

const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const NOMEM: i32 = 7;
const INTERRUPT: i32 = 9;
const FULL: i32 = 13;
const CANTOPEN: i32 = 14;
const NOTADB: i32 = 26;
/// Out of memory inside an IO call; every other IO error, a failed fsync above all, leaves the file in doubt.
const IOERR_NOMEM: i32 = 3082;

/// Sorts by SQLite's result code (<https://www.sqlite.org/rescode.html>).
pub(super) fn fault(error: sqlx::Error) -> StoreError {
    match &error {
        sqlx::Error::PoolTimedOut => StoreError::Unavailable("all readers are busy".to_owned()),
        sqlx::Error::Database(db) => {
            let code = db.code().and_then(|c| c.parse::<i32>().ok()).unwrap_or_default();
            classify(code, error.to_string())
        }
        _ => StoreError::Fatal(error.to_string()),
    }
}

fn classify(code: i32, text: String) -> StoreError {
    match code & 0xff {
        BUSY | LOCKED | NOMEM | INTERRUPT | FULL | CANTOPEN => StoreError::Unavailable(text),
        _ if code == IOERR_NOMEM => StoreError::Unavailable(text),
        NOTADB => StoreError::NotADatabase(text),
        _ => StoreError::Fatal(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disk_full_waits_and_a_failed_fsync_stops() {
        let check = |code, waits| {
            let is_wait = matches!(classify(code, String::new()), StoreError::Unavailable(_));
            assert_eq!(is_wait, waits, "code {code}");
        };
        check(13, true); // SQLITE_FULL
        check(5, true); // SQLITE_BUSY
        check(261, true); // SQLITE_BUSY_RECOVERY
        check(3082, true); // SQLITE_IOERR_NOMEM
        check(1034, false); // SQLITE_IOERR_FSYNC
        check(778, false); // SQLITE_IOERR_WRITE
        check(11, false); // SQLITE_CORRUPT
        check(26, false); // SQLITE_NOTADB
        check(8, false); // SQLITE_READONLY
        check(0, false);
    }
}
