//! Reads the log back: at start, and to repair it.
//! In: a folder. Out: its records in order, a torn tail cut off.
//! Never: steps over a damaged record in silence; only [`repair`] does, when asked.
//! Start at [`replay`].

use super::record::{Record, SEGMENT_MAGIC};
use super::window::{STRETCH_BYTES, Window};
use super::{WalError, segment};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

/// What a replay found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    pub segments: usize,
    pub records: usize,
    pub bytes: u64,
    /// Bytes of a torn tail that were cut off: a write that was never answered.
    pub torn_bytes: u64,
}

/// What a repair dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    pub segments: usize,
    pub dropped_bytes: u64,
}

/// Calls `each` for every record since `since_ms`, oldest first. A folder that does not exist is an empty log.
/// Call it before [`super::Wal::open`]: the newest segment's torn tail is cut off here.
pub fn replay(dir: &Path, since_ms: i64, mut each: impl FnMut(Record<'_>)) -> Result<Replayed, WalError> {
    let mut found = Replayed::default();
    let numbers = segment::list(dir)?;
    let mut firsts: Vec<Option<i64>> =
        numbers.iter().map(|n| segment::first_received_ms(&segment::path(dir, *n))).collect();
    firsts.push(None);
    // One buffer for all segments, and one look at each record.
    let mut buffer = Vec::new();
    for (i, number) in numbers.iter().enumerate() {
        // All of a segment was received before the next one begins.
        if firsts.get(i + 1).copied().flatten().is_some_and(|next| next < since_ms) {
            continue;
        }
        let path = segment::path(dir, *number);
        let file = File::open(&path).map_err(WalError::io(&path))?;
        let mut window = Window::open(file, buffer, STRETCH_BYTES).map_err(WalError::io(&path))?;
        while let Some((record, len)) = window.next().map_err(WalError::io(&path))? {
            found.bytes += len as u64;
            if record.received_ms >= since_ms {
                found.records += 1;
                each(record);
            }
        }
        let offset = window.offset();
        // Each process writes new segments, so any segment may end where one was killed; what matters is that nothing good
        // comes after the damage.
        if window.find_next().map_err(WalError::io(&path))? {
            return Err(WalError::Corrupt { path, offset });
        }
        let end = window.offset();
        if offset < end {
            cut(&path, offset)?;
            found.torn_bytes += end - offset;
        }
        buffer = window.into_buffer();
        found.segments += 1;
    }
    Ok(found)
}

fn cut(path: &Path, offset: u64) -> Result<(), WalError> {
    let file = OpenOptions::new().write(true).open(path).map_err(WalError::io(path))?;
    file.set_len(offset).and_then(|()| file.sync_all()).map_err(WalError::io(path))
}

/// Drops every damaged stretch and keeps all good records; each segment is replaced as a whole or not at all.
pub fn repair(dir: &Path) -> Result<Repaired, WalError> {
    let mut done = Repaired::default();
    for number in segment::list(dir)? {
        let path = segment::path(dir, number);
        let bytes = std::fs::read(&path).map_err(WalError::io(&path))?;
        let scan = segment::scan(&bytes);
        if !scan.damaged {
            continue;
        }
        let beside = path.with_extension("repair");
        let write = || -> std::io::Result<u64> {
            let mut file = File::create(&beside)?;
            file.write_all(SEGMENT_MAGIC)?;
            let mut kept = SEGMENT_MAGIC.len() as u64;
            for range in scan.good {
                kept += range.len() as u64;
                file.write_all(&bytes[range])?;
            }
            file.sync_all()?;
            std::fs::rename(&beside, &path)?;
            Ok(kept)
        };
        let kept = write().map_err(WalError::io(&path))?;
        done.segments += 1;
        done.dropped_bytes += (bytes.len() as u64).saturating_sub(kept);
    }
    Ok(done)
}
