//! The log as a whole: what is written, killed, damaged and repaired.
//! In: temporary folders. Out: the records that come back.
//! Never: sleeps.
//! Start at the first test.

use super::faults::{Call, EIO, ENOSPC};
use super::*;
use bytes::Bytes;
use std::time::Duration;

/// Version, time, body.
type Body = (u8, i64, Vec<u8>);

fn bodies(dir: &Path) -> Result<(Vec<Body>, Replayed), WalError> {
    let mut out = Vec::new();
    let found = replay(dir, i64::MIN, |r| out.push((r.version, r.received_ms, r.body.to_vec())))?;
    Ok((out, found))
}

async fn write(dir: &Path, config: WalConfig, range: std::ops::Range<i64>) {
    let wal = Wal::open(dir, config, range.start * 1000).unwrap();
    for i in range {
        wal.append(1, i * 1000, Bytes::from(vec![i as u8; 100])).await.unwrap();
    }
}

fn only_segments(dir: &Path) -> Vec<PathBuf> {
    segment::list(dir).unwrap().into_iter().map(|n| segment::path(dir, n)).collect()
}

#[tokio::test]
async fn what_was_written_comes_back_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let config = WalConfig { segment_bytes: 1000, ..WalConfig::default() };
    write(dir.path(), config.clone(), 0..25).await;
    write(dir.path(), config, 25..50).await;
    let (got, found) = bodies(dir.path()).unwrap();
    let expect: Vec<_> = (0..50_i64).map(|i| (1, i * 1000, vec![i as u8; 100])).collect();
    assert_eq!(got, expect);
    assert!(found.segments > 4 && found.records == 50 && found.torn_bytes == 0, "{found:?}");
    let mut late = Vec::new();
    replay(dir.path(), 40_000, |r| late.push(r.received_ms)).unwrap();
    assert_eq!(late, (40..50).map(|i| i * 1000).collect::<Vec<i64>>());
}

#[tokio::test]
async fn segments_older_than_the_window_leave() {
    let dir = tempfile::tempdir().unwrap();
    let config = WalConfig { segment_bytes: 200, window: Duration::from_secs(10), ..WalConfig::default() };
    write(dir.path(), config.clone(), 0..60).await;
    write(dir.path(), config, 60..61).await;
    let (got, _) = bodies(dir.path()).unwrap();
    let oldest = got.first().unwrap().1;
    assert!((47_000..=50_000).contains(&oldest), "{oldest}");
    assert_eq!(got.last().unwrap().1, 60_000);
}

/// A kill may cut the last write at any byte: all records before it are there, and the next start works.
#[tokio::test]
async fn a_torn_tail_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), WalConfig::default(), 0..3).await;
    let path = only_segments(dir.path()).pop().unwrap();
    let whole = std::fs::read(&path).unwrap();
    for len in (0..whole.len()).step_by(3) {
        std::fs::write(&path, &whole[..len]).unwrap();
        let (got, found) = bodies(dir.path()).unwrap();
        let records = len.saturating_sub(8) / 121;
        assert_eq!(got.len(), records, "cut at {len}");
        let rest = if len < 8 { len } else { (len - 8) % 121 };
        assert_eq!(found.torn_bytes, rest as u64, "cut at {len}");
        assert_eq!(std::fs::metadata(&path).unwrap().len() as usize, len - rest, "cut at {len}");
    }
    // Zeros at the end are what power loss leaves of a file that had grown.
    std::fs::write(&path, [&whole[..], &[0; 500]].concat()).unwrap();
    assert_eq!(bodies(dir.path()).unwrap().0.len(), 3);
}

#[tokio::test]
async fn damage_in_the_middle_is_refused_until_repaired() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), WalConfig::default(), 0..5).await;
    let path = only_segments(dir.path()).pop().unwrap();
    let whole = std::fs::read(&path).unwrap();
    // A stride that meets every part of a record; each step syncs a file.
    for at in (8..whole.len() - 121).step_by(11) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        std::fs::write(&path, &damaged).unwrap();
        let error = bodies(dir.path()).unwrap_err();
        let record = 8 + (at - 8) / 121 * 121;
        assert!(matches!(&error, WalError::Corrupt { offset, .. } if *offset == record as u64), "{at}: {error}");
        let text = error.to_string();
        assert!(text.contains("00000001.wal") && text.contains("watchfire repair"), "{text}");
        let repaired = repair(dir.path()).unwrap();
        assert_eq!(repaired, Repaired { segments: 1, dropped_bytes: 121 }, "{at}");
        assert_eq!(bodies(dir.path()).unwrap().0.len(), 4, "{at}");
    }
}

#[tokio::test]
async fn a_failed_write_is_an_error_and_not_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let wal = Wal::open(dir.path(), WalConfig { segment_bytes: 1, ..WalConfig::default() }, 0).unwrap();
    wal.append(1, 0, Bytes::from_static(b"a")).await.unwrap();
    // The next append opens a new segment, and there its name is taken by a folder.
    let taken = segment::path(dir.path(), 2);
    std::fs::create_dir(&taken).unwrap();
    assert!(matches!(wal.append(1, 1, Bytes::from_static(b"b")).await, Err(WalError::Busy(_))));
    let status = wal.status();
    assert!(!status.failed && status.refused.is_some_and(|why| why.contains("00000002.wal")), "health hears why");
    std::fs::remove_dir(&taken).unwrap();
    wal.append(1, 2, Bytes::from_static(b"c")).await.unwrap();
    assert_eq!(wal.status().refused, None);
    drop(wal);
    let (got, _) = bodies(dir.path()).unwrap();
    assert_eq!(got.iter().map(|r| r.2.clone()).collect::<Vec<_>>(), [b"a".to_vec(), b"c".to_vec()]);
}

#[test]
fn a_folder_that_is_missing_is_an_empty_log() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(bodies(&dir.path().join("none")).unwrap().1, Replayed::default());
}

/// Whatever call fails, and however far a write came: an error is said, nothing of the body is in the log, and later
/// bodies are, as long as the log can be trusted.
#[tokio::test]
async fn a_disk_that_fails_is_never_answered_with_written() {
    let cases: [(&[(Call, i32)], bool); 7] = [
        (&[(Call::Write, ENOSPC)], true),
        (&[(Call::Write, EIO)], true),
        (&[(Call::Short(1), ENOSPC)], true),
        (&[(Call::Short(30), EIO)], true),
        (&[(Call::Short(120), ENOSPC)], true),
        // What was written cannot be taken back: the segment is left as it is, and a new one begun.
        (&[(Call::Short(60), ENOSPC), (Call::Cut, EIO)], true),
        (&[(Call::Short(60), ENOSPC), (Call::Cut, EIO), (Call::Create, ENOSPC)], true),
    ];
    for (faults, goes_on) in cases {
        let dir = tempfile::tempdir().unwrap();
        let config = WalConfig::default();
        let wal = Wal::open(dir.path(), config.clone(), 0).unwrap();
        let body = |n: u8| Bytes::from(vec![n; 100]);
        wal.append(1, 0, body(0)).await.unwrap();
        for (call, errno) in faults {
            config.faults.next(*call, *errno);
        }
        let mut expect = vec![vec![0; 100]];
        let mut refused = 0;
        for n in 1..5_u8 {
            match wal.append(1, i64::from(n), body(n)).await {
                Ok(()) => expect.push(vec![n; 100]),
                Err(WalError::Busy(_)) => refused += 1,
                Err(other) => panic!("{faults:?}: {other}"),
            }
        }
        assert!(refused >= 1 && (expect.len() > 2) == goes_on, "{faults:?}: {refused} refused");
        drop(wal);
        let (got, _) = bodies(dir.path()).unwrap();
        assert_eq!(got.into_iter().map(|r| r.2).collect::<Vec<_>>(), expect, "{faults:?}");
    }
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let config = WalConfig { segment_bytes: 1, ..WalConfig::default() };
    let wal = Wal::open(dir.path(), config.clone(), 0).unwrap();
    wal.append(1, 0, Bytes::from_static(b"a")).await.unwrap();
    // The next append closes this segment, which is synced for that.
    config.faults.next(Call::Sync, EIO);
    assert!(matches!(wal.append(1, 1, Bytes::from_static(b"b")).await, Err(WalError::Failed(_))));
    assert!(wal.status().failed);
    for n in 2..4 {
        assert!(matches!(wal.append(1, n, Bytes::from_static(b"c")).await, Err(WalError::Failed(_))));
    }
    drop(wal);
    assert_eq!(bodies(dir.path()).unwrap().0.len(), 1, "nothing of what was refused");
}
