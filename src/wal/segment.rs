//! The files of the log: numbered, each with records of one stretch of time.
//! In: a folder. Out: its segments in order.
//! Never: touches a file that does not look like a segment.
//! Start at [`list`].

use super::WalError;
use super::record::{HEADER_BYTES, SEGMENT_MAGIC, read};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

pub(super) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:08}.wal"))
}

/// Numbers of all segments, rising.
pub(super) fn list(dir: &Path) -> Result<Vec<u64>, WalError> {
    let mut numbers = Vec::new();
    let entries = match std::fs::read_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(numbers),
        other => other.map_err(WalError::io(dir))?,
    };
    for entry in entries {
        let name = entry.map_err(WalError::io(dir))?.file_name();
        let number: Option<u64> = name.to_str().and_then(|n| n.strip_suffix(".wal")).and_then(|n| n.parse().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The receive time of a segment's first record, read without the rest.
pub(super) fn first_received_ms(path: &Path) -> Option<i64> {
    let mut start = [0_u8; SEGMENT_MAGIC.len() + HEADER_BYTES];
    File::open(path).ok()?.read_exact(&mut start).ok()?;
    let (_, time) = start.split_last_chunk::<8>()?;
    Some(i64::from_le_bytes(*time))
}

/// A segment as a repair sees it.
pub(super) struct Scan {
    /// Byte ranges of good records.
    pub good: Vec<std::ops::Range<usize>>,
    pub damaged: bool,
}

/// Finds the good records, before and behind damage. An empty file is what a crash right after its creation leaves; one without
/// the magic is damaged from its first byte.
pub(super) fn scan(bytes: &[u8]) -> Scan {
    let (mut good, mut damaged) = (Vec::new(), false);
    let mut at = if bytes.starts_with(SEGMENT_MAGIC) { SEGMENT_MAGIC.len() } else { 0 };
    damaged |= at == 0 && !bytes.is_empty();
    while at < bytes.len() {
        if let Some((_, len)) = read(&bytes[at..]) {
            good.push(at..at + len);
            at += len;
            continue;
        }
        damaged = true;
        match super::record::find_next(&bytes[at..]) {
            Some(next) => at += next.max(1),
            None => break,
        }
    }
    Scan { good, damaged }
}
