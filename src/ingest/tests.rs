//! Remote write in front of a disk that fails, under load, and after a restart.
//! In: bodies, and faults in the log. Out: a refusal whenever the log has not got the body, and every accepted sample after a restart.
//! Never: accepts what is not written.
//! Start at [`nothing_is_acknowledged_that_the_log_has_not_got`].

use super::admission::{WAITING_BYTES_MAX, WaitingBody};
use super::remote_write::INLINE_BYTES_MAX;
use super::*;
use crate::clock::ManualClock;
use crate::model::{Labels, Sample, SampleValue, Timestamp};
use crate::series::Head;
use crate::series::ha::HaTracker;
use crate::wal::faults::{Call, EIO, ENOSPC, Faults};
use crate::wal::{Wal, WalConfig};
use crate::wire::remote_write::{self, Version};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

const NOW_MS: i64 = 1_767_323_045_000;

async fn take(door: &RemoteWrite, body: Vec<u8>) -> Result<Report, IngestError> {
    let mut incoming = door.begin(None)?;
    incoming.push(body.into())?;
    door.take(Version::V1, incoming, None).await
}

/// Whether one sample was taken.
async fn post(door: &RemoteWrite, n: i64) -> bool {
    let sample = Sample { t: Timestamp::from_millis(NOW_MS + n), v: n as f64 };
    let body = remote_write::encode(Version::V1, &[(Labels::from_pairs([("__name__", "m")]), vec![sample])]);
    match take(door, body).await {
        Ok(report) => {
            assert_eq!((report.samples, report.refusal(None)), (1, None));
            true
        }
        Err(IngestError::Log(_)) => false,
        Err(other) => panic!("{other:?}"),
    }
}

/// Times of all samples that a replay brings back.
fn replayed(dir: &std::path::Path) -> Vec<i64> {
    let head = Head::default();
    replay(dir, &head, &HaTracker::default(), Timestamp::MIN).expect("a whole log");
    let mut points = Vec::new();
    for series in head.select(&[]) {
        series.range(Timestamp::MIN, Timestamp::MAX, &mut points);
    }
    assert!(points.iter().all(|p| matches!(p.v, SampleValue::Float(v) if v == (p.t.as_millis() - NOW_MS) as f64)));
    points.iter().map(|p| p.t.as_millis() - NOW_MS).collect()
}

#[tokio::test]
async fn nothing_is_acknowledged_that_the_log_has_not_got() {
    let cases: [&[(Call, i32)]; 6] = [
        &[(Call::Write, ENOSPC)],
        &[(Call::Write, EIO), (Call::Cut, EIO)],
        &[(Call::Short(5), ENOSPC)],
        &[(Call::Short(25), EIO), (Call::Cut, EIO), (Call::Create, ENOSPC)],
        &[(Call::Write, ENOSPC), (Call::Write, ENOSPC), (Call::Write, ENOSPC)],
        // The first sync of a new segment.
        &[(Call::Sync, EIO)],
    ];
    for faults in cases {
        let dir = tempfile::tempdir().expect("a folder");
        let plan = Faults::default();
        let config = WalConfig { segment_bytes: 1, faults: plan.clone(), ..WalConfig::default() };
        let wal = Some(Arc::new(Wal::open(dir.path(), config, NOW_MS).expect("a log")));
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(NOW_MS)));
        let door = RemoteWrite::new(Arc::default(), wal, Arc::default(), clock, Arc::default());
        assert!(post(&door, 0).await);
        for (call, errno) in faults {
            plan.next(*call, *errno);
        }
        let (mut accepted, mut refused) = (vec![0], 0);
        for n in 1..8 {
            if post(&door, n).await {
                accepted.push(n);
            } else {
                refused += 1;
            }
        }
        assert!(refused > 0, "{faults:?}");
        drop(door);
        assert_eq!(replayed(dir.path()), accepted, "{faults:?}");
    }
}

#[test]
fn what_waits_is_bounded_and_a_lone_body_is_always_taken() {
    let waiting = Arc::default();
    let alone = WaitingBody::take(&waiting, 2 * WAITING_BYTES_MAX).expect("a lone body");
    assert!(matches!(WaitingBody::take(&waiting, 1), Err(IngestError::Busy(_))));
    drop(alone);
    let held: Vec<_> = (0..65).map_while(|_| WaitingBody::take(&waiting, 1 << 20).ok()).collect();
    assert_eq!(held.len(), 64);
    drop(held);
    assert_eq!(waiting.load(Ordering::Relaxed), 0);
}

/// The sender has hung up, and a thread still has its body to work on: the bytes are in work until that is done.
#[test]
fn what_a_sender_that_hung_up_has_sent_is_counted_until_it_is_done() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().max_blocking_threads(1).build();
    runtime.expect("a runtime").block_on(async {
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || wait.recv());
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(NOW_MS)));
        let door = RemoteWrite::new(Arc::default(), None, Arc::default(), clock, Arc::default());
        let sample = |i: i64| Sample { t: Timestamp::from_millis(NOW_MS + i), v: i as f64 };
        let labels = Labels::from_pairs([("__name__", "m")]);
        let body = remote_write::encode(Version::V1, &[(labels, (0..200_000).map(sample).collect())]);
        let turns = async {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            answer = take(&door, body) => panic!("{answer:?}"),
            () = turns => {}
        }
        let in_work = || (door.in_flight_bytes() > INLINE_BYTES_MAX, door.waiting_bytes() > 0);
        assert_eq!(in_work(), (true, true));
        go.send(()).expect("it waits");
        drop(busy.await);
        tokio::task::spawn_blocking(|| ()).await.expect("the one behind it");
        assert_eq!((in_work(), door.in_flight_bytes()), ((false, false), 0));
    });
}

/// Requests with known and new series, sweeps, watches and readers, all at once: no thread waits for ever, nothing is refused.
#[test]
fn requests_sweeps_watches_and_readers_at_once() {
    const ROUNDS: i64 = 120;
    let config = crate::series::HeadConfig { window: Duration::from_secs(5), ..Default::default() };
    let (head, ha) = (Head::new(config), HaTracker::default());
    let (head, ha) = (&head, &ha);
    std::thread::scope(|scope| {
        for thread in 0..3_i64 {
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let t = Timestamp::from_millis(NOW_MS + round * 1000);
                    let series = |i: i64| {
                        // Some series come each time, some every few rounds, after they have left.
                        let texts =
                            [format!("m{}", i % 7), format!("{thread}-{i}-{}", if i < 20 { 0 } else { round % 20 })];
                        let labels = Labels::from_pairs([("__name__", &texts[0]), ("i", &texts[1])]);
                        (labels, vec![Sample { t, v: i as f64 }])
                    };
                    let version = if round % 2 == 0 { Version::V1 } else { Version::V2 };
                    let body = remote_write::encode(version, &(0..40).map(series).collect::<Vec<_>>());
                    let report = append_body(version, &body, head, ha, t).expect("our own body");
                    assert_eq!((report.samples, report.refusal(None)), (40, None), "thread {thread}, round {round}");
                }
            });
        }
        scope.spawn(move || {
            for round in 0..ROUNDS {
                head.sweep(Timestamp::from_millis(NOW_MS + round * 1000));
                let watch = head.watch(&[crate::model::Matcher::equal("__name__", &format!("m{}", round % 7))]);
                // The first round may come before the first series.
                let count = head.series_count();
                assert!(count == 0 || head.memory_bytes() > 0, "round {round}");
                let read: usize = head.select(&[]).iter().map(|s| s.labels().len()).sum();
                assert_eq!((read % 2, watch.len() <= head.series_count()), (0, true));
                head.take_arrivals();
            }
        });
    });
    assert!(head.series_count() <= 3 * (20 + 20 * 20));
}

/// Keys that are remembered count when series are let in, as they do when series are sent away: or else the same series would
/// come in with each request and leave with each relief.
#[test]
fn series_do_not_come_and_go_each_second_when_memory_is_short() {
    let budget = 2 << 20;
    let config = crate::series::HeadConfig { memory_budget: Some(budget), ..Default::default() };
    let (head, ha) = (Head::new(config), HaTracker::default());
    let wanted = head.watch(&[crate::model::Matcher::equal("__name__", "wanted")]);
    let mut counts = Vec::new();
    for round in 0..12 {
        let t = Timestamp::from_millis(NOW_MS + round * 1000);
        for body in 0..16 {
            let series = |i: i64| {
                let name = if i % 10 == 0 { "wanted" } else { "other" };
                let labels = Labels::from_pairs([("__name__", name), ("i", &(body * 1000 + i).to_string())]);
                (labels, vec![Sample { t, v: 1.0 }])
            };
            let series: Vec<_> = (0..1000).map(series).collect();
            // Two senders, two spellings: two keys for each series.
            for version in [Version::V1, Version::V2] {
                let body = remote_write::encode(version, &series);
                let report = append_body(version, &body, &head, &ha, t).expect("our own body");
                assert_eq!((report.samples + report.left_out, report.refusal(None)), (1000, None));
            }
        }
        counts.push((head.relieve(t), head.series_count()));
        assert!(head.memory_bytes() < budget + budget / 8, "{} in round {round}", head.memory_bytes());
    }
    let settled = counts[4].1;
    assert!(settled > 2000 && settled < 16_000, "{counts:?}");
    assert!(counts[4..].iter().all(|(left, count)| (*left, *count) == (0, settled)), "{counts:?}");
    assert_eq!(wanted.len(), 1600, "what rules select is all there");
}

/// The log holds more than the budget does: after a restart the head is within it, with what is selected.
#[tokio::test]
async fn a_replay_keeps_to_the_memory_budget() {
    const ROUNDS: i64 = 60;
    let budget = 2 << 20;
    let dir = tempfile::tempdir().expect("a folder");
    let wal = Wal::open(dir.path(), WalConfig::default(), NOW_MS).expect("a log");
    for round in 0..ROUNDS {
        let t = Timestamp::from_millis(NOW_MS + round * 15_000);
        let series = |i: i64| {
            let name = if i % 10 == 0 { "wanted" } else { "other" };
            let labels = Labels::from_pairs([("__name__", name), ("i", &i.to_string())]);
            (labels, vec![Sample { t, v: (i * round) as f64 * 0.1 }])
        };
        let body = remote_write::encode(Version::V1, &(0..4000).map(series).collect::<Vec<_>>());
        wal.append(Version::V1.code(), t.as_millis(), body.into()).await.expect("written");
    }
    drop(wal);
    let config = crate::series::HeadConfig { memory_budget: Some(budget), ..Default::default() };
    let head = Head::new(config);
    let wanted = head.watch(&[crate::model::Matcher::equal("__name__", "wanted")]);
    let restored = replay(dir.path(), &head, &HaTracker::default(), Timestamp::MIN).expect("a whole log");
    assert_eq!(restored.log.records as i64, ROUNDS);
    assert!(head.take_arrivals().is_empty(), "what comes out of the log is no arrival");
    assert!(head.memory_bytes() < budget, "{} of {budget}", head.memory_bytes());
    assert_eq!(wanted.len(), 400);
    let mut points = Vec::new();
    wanted.snapshot().iter().for_each(|series| series.range(Timestamp::MIN, Timestamp::MAX, &mut points));
    assert_eq!(points.len() as i64, 400 * ROUNDS, "every sample of what is selected");
}
