//! How a body lies in a segment: mark, length, checksum, version, time, body.
//! In: a body, or the bytes of a segment. Out: the other.
//! Never: believes a length or a body whose checksum does not agree.
//! Start at [`header`] and [`read`].

use super::crc::crc32c;

/// Opens each segment; the last digit is the version of this format.
pub(super) const SEGMENT_MAGIC: &[u8; 8] = b"WFWAL\0\0\x01";
/// Opens each record, so that the next good one can be found behind a damaged one.
pub(super) const MARK: [u8; 4] = [0xf1, b'W', b'F', 0x1a];
/// Mark 4, length 4, checksum 4, version 1, time 8.
pub(super) const HEADER_BYTES: usize = 21;
/// No record is longer: no request body above 32 MiB is taken.
pub(super) const BODY_BYTES_MAX: usize = 33 << 20;

/// One accepted body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// `wire::remote_write::Version::code`; this room does not look into bodies.
    pub version: u8,
    /// When it was received, milliseconds since the epoch.
    pub received_ms: i64,
    /// Compressed, as the sender wrote it.
    pub body: &'a [u8],
}

/// What stands before the body in the segment.
pub(super) fn header(record: &Record<'_>) -> [u8; HEADER_BYTES] {
    let mut out = [0; HEADER_BYTES];
    out[0..4].copy_from_slice(&MARK);
    out[4..8].copy_from_slice(&(record.body.len() as u32).to_le_bytes());
    out[12] = record.version;
    out[13..21].copy_from_slice(&record.received_ms.to_le_bytes());
    let crc = crc32c(&[&out[4..8], &out[12..21], record.body]);
    out[8..12].copy_from_slice(&crc.to_le_bytes());
    out
}

fn word(header: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
}

/// How long the record at the start of `bytes` is with its header, by what this says.
pub(super) fn whole_length(bytes: &[u8]) -> Option<usize> {
    let header = bytes.first_chunk::<HEADER_BYTES>()?;
    let len = word(header, 4) as usize;
    (header[0..4] == MARK && len <= BODY_BYTES_MAX).then_some(HEADER_BYTES + len)
}

/// The record at the start of `bytes` and its whole length, if it is whole and undamaged.
pub(super) fn read(bytes: &[u8]) -> Option<(Record<'_>, usize)> {
    let whole = whole_length(bytes)?;
    let (header, body) = bytes.get(..whole)?.split_first_chunk::<HEADER_BYTES>()?;
    if crc32c(&[&header[4..8], &header[12..21], body]) != word(header, 8) {
        return None;
    }
    let (_, time) = header.split_last_chunk::<8>()?;
    Some((Record { version: header[12], received_ms: i64::from_le_bytes(*time), body }, whole))
}

/// Where the next good record behind a damaged place starts.
pub(super) fn find_next(bytes: &[u8]) -> Option<usize> {
    let marks = bytes.windows(MARK.len()).enumerate().filter(|(_, w)| *w == MARK);
    marks.map(|(at, _)| at).find(|at| read(&bytes[*at..]).is_some())
}
