//! The head as it was, from the log.
//! In: a folder of segments. Out: the samples of every body that was acknowledged, each taken at the time it was received.
//! Never: counts what it brings back as an arrival.
//! Start at [`replay`].

use super::remote_write::append_body;
use crate::model::Timestamp;
use crate::series::Head;
use crate::series::ha::HaTracker;
use crate::wal::WalError;
use crate::wire::remote_write::Version;
use std::path::Path;

/// What a replay of the log brought back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    pub log: crate::wal::Replayed,
    pub samples: u64,
    pub histograms: u64,
}

/// Fills the head from the log in `dir`, through the same code that took the bodies the first time, each at the time
/// it was received. Call it before [`crate::wal::Wal::open`], and after the watches of rules exist: with a memory budget their series stay.
pub fn replay(dir: &Path, head: &Head, ha: &HaTracker, since: Timestamp) -> Result<Replayed, WalError> {
    let mut done = Replayed::default();
    head.hush(true);
    let log = crate::wal::replay(dir, since.as_millis(), |record| {
        let Some(version) = Version::from_code(record.version) else { return };
        // Only bodies that could be opened were ever logged.
        let received = Timestamp::from_millis(record.received_ms);
        if let Ok(report) = append_body(version, record.body, head, ha, received) {
            done.samples += report.samples;
            done.histograms += report.histograms;
        }
        // The budget holds here too; that it does costs a look at a few sums.
        head.relieve(received);
    });
    head.hush(false);
    done.log = log?;
    Ok(done)
}
