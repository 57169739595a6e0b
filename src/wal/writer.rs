//! Takes bodies and writes them, many with one call.
//! In: bodies of requests. Out: "written", after `write(2)` and before the sender gets its 2xx.
//! Never: retries a failed sync, or leaves half a record before the next one.
//! Start at [`Wal::open`] and [`Wal::append`].

use super::file::SegmentFile;
use super::record::{BODY_BYTES_MAX, HEADER_BYTES, Record, SEGMENT_MAGIC, header};
use super::{WalError, segment};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Bodies that wait for the writer at most; `ingest` bounds their bytes.
const QUEUE_MAX: usize = 1024;
/// Bytes that one write gathers at most.
const GROUP_BYTES_MAX: usize = 4 << 20;

#[derive(Clone, Debug)]
pub struct WalConfig {
    /// A segment is closed when it is this long.
    pub segment_bytes: u64,
    /// Segments whose records are all older than this are deleted; the head's window.
    pub window: Duration,
    /// How often what was written is made safe against power loss.
    pub sync_interval: Duration,
    #[cfg(test)]
    pub(crate) faults: super::faults::Faults,
}

impl Default for WalConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            window: Duration::from_hours(1),
            sync_interval: Duration::from_secs(1),
            #[cfg(test)]
            faults: super::faults::Faults::default(),
        }
    }
}

enum Job {
    Append { version: u8, received_ms: i64, body: Bytes, done: oneshot::Sender<Result<(), WalError>> },
    Stop,
}

/// Shared with the thread that syncs, so that a slow disk does not hold up writes.
#[derive(Debug, Default)]
struct Health {
    /// Set once a sync failed: nothing is accepted any more.
    failed: AtomicBool,
    segments: AtomicU64,
    /// Why the last write failed; empty when it did not.
    refused: Mutex<Option<String>>,
    /// When the sync that is under way began.
    syncing_since: Mutex<Option<Instant>>,
}

/// How the log is, for health.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WalStatus {
    /// A sync failed: nothing is accepted until a restart.
    pub failed: bool,
    /// Why the last write failed, when it did.
    pub refused: Option<String>,
    /// How long the sync that is under way has taken so far.
    pub syncing_for: Duration,
}

/// The open log. Dropping it syncs and ends its threads.
#[derive(Debug)]
pub struct Wal {
    jobs: SyncSender<Job>,
    health: Arc<Health>,
    writer: Option<JoinHandle<()>>,
}

impl Wal {
    /// Starts a new segment in `dir`, which is made if it is missing. `now_ms` bounds the age of segments found there.
    pub fn open(dir: &Path, config: WalConfig, now_ms: i64) -> Result<Self, WalError> {
        std::fs::create_dir_all(dir).map_err(WalError::io(dir))?;
        let health = Arc::new(Health::default());
        let mut log = Log::new(dir, config, health.clone(), now_ms)?;
        log.rotate(now_ms)?;
        let (jobs, queue) = sync_channel(QUEUE_MAX);
        let writer = std::thread::Builder::new().name("wal-write".into()).spawn(move || log.run(&queue));
        let writer = writer.map_err(WalError::io(dir))?;
        Ok(Self { jobs, health, writer: Some(writer) })
    }

    /// Returns once the operating system has the body. After an error nothing of it is in the log.
    pub async fn append(&self, version: u8, received_ms: i64, body: Bytes) -> Result<(), WalError> {
        let failed = || WalError::Failed("a sync failed, or the writer has stopped".to_owned());
        if self.health.failed.load(Ordering::Acquire) {
            return Err(failed());
        }
        let (done, written) = oneshot::channel();
        match self.jobs.try_send(Job::Append { version, received_ms, body, done }) {
            Ok(()) => written.await.unwrap_or_else(|_| Err(failed())),
            Err(TrySendError::Full(_)) => Err(WalError::Busy("its queue is full".to_owned())),
            Err(TrySendError::Disconnected(_)) => Err(failed()),
        }
    }

    pub fn status(&self) -> WalStatus {
        WalStatus {
            failed: self.health.failed.load(Ordering::Acquire),
            refused: self.health.refused.lock().clone(),
            syncing_for: self.health.syncing_since.lock().map(|since| since.elapsed()).unwrap_or_default(),
        }
    }

    pub fn segments(&self) -> u64 {
        self.health.segments.load(Ordering::Relaxed)
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        // A blocking send: the writer drains its queue, so this ends. If the writer is gone there is nothing to stop.
        if self.jobs.send(Job::Stop).is_ok()
            && let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the write-ahead log's writer ended by a panic");
        }
    }
}

/// A closed segment and a bound of its newest record's time.
struct Closed {
    path: PathBuf,
    newest_ms: i64,
}

struct Log {
    dir: PathBuf,
    config: WalConfig,
    health: Arc<Health>,
    closed: VecDeque<Closed>,
    next: u64,
    file: Option<Arc<SegmentFile>>,
    path: PathBuf,
    len: u64,
    opened_ms: i64,
    newest_ms: i64,
    dirty: Arc<AtomicBool>,
    /// Headers and bodies of what is written with the next call.
    gathered: Vec<([u8; HEADER_BYTES], Bytes)>,
}

impl Log {
    fn new(dir: &Path, config: WalConfig, health: Arc<Health>, now_ms: i64) -> Result<Self, WalError> {
        let numbers = segment::list(dir)?;
        let mut closed = VecDeque::new();
        let mut newest_ms = now_ms;
        // From the newest back: all of a segment was received before the next one begins.
        for number in numbers.iter().rev() {
            let path = segment::path(dir, *number);
            let first = segment::first_received_ms(&path);
            closed.push_front(Closed { path, newest_ms });
            newest_ms = first.unwrap_or(newest_ms);
        }
        let next = numbers.last().map_or(1, |n| n + 1);
        Ok(Self {
            dir: dir.to_owned(),
            config,
            health,
            closed,
            next,
            file: None,
            path: PathBuf::new(),
            len: 0,
            opened_ms: now_ms,
            newest_ms: now_ms,
            dirty: Arc::default(),
            gathered: Vec::new(),
        })
    }

    /// Closes the segment, opens the next, and deletes what is older than the window.
    fn rotate(&mut self, now_ms: i64) -> Result<(), WalError> {
        self.sync();
        self.check_trusted()?;
        let path = segment::path(&self.dir, self.next);
        let open = || -> std::io::Result<SegmentFile> {
            let file = SegmentFile::create(&path, &self.config)?;
            file.write(&[SEGMENT_MAGIC])?;
            file.sync_all()?;
            // The name itself must survive power loss, too.
            File::open(&self.dir)?.sync_all()?;
            Ok(file)
        };
        let file = open().map_err(|e| {
            // Half a file would be in the way of the next attempt.
            drop(std::fs::remove_file(&path));
            WalError::io(&path)(e)
        })?;
        if self.file.is_some() {
            self.closed.push_back(Closed { path: self.path.clone(), newest_ms: self.newest_ms });
        }
        self.file = Some(Arc::new(file));
        self.path = path;
        self.len = SEGMENT_MAGIC.len() as u64;
        self.next += 1;
        self.opened_ms = now_ms;
        let cutoff = now_ms.saturating_sub(self.config.window.as_millis() as i64);
        while self.closed.front().is_some_and(|c| c.newest_ms < cutoff) {
            if let Some(old) = self.closed.pop_front()
                && let Err(error) = std::fs::remove_file(&old.path)
            {
                tracing::warn!(path = %old.path.display(), %error, "an old segment cannot be deleted");
            }
        }
        self.health.segments.store(self.closed.len() as u64 + 1, Ordering::Relaxed);
        Ok(())
    }

    /// Until `ingest` drops its handle: waits for bodies, writes all that wait, answers.
    fn run(mut self, queue: &Receiver<Job>) {
        let file = Arc::new(Mutex::new(self.file.clone()));
        let syncer = self.spawn_syncer(&file);
        let mut waiting = Vec::new();
        loop {
            let mut next = match queue.recv() {
                Ok(job) => Some(job),
                Err(_) => break,
            };
            self.gathered.clear();
            let mut bytes = 0;
            let mut stop = false;
            let mut newest_ms = self.newest_ms;
            while let Some(job) = next.take() {
                let Job::Append { version, received_ms, body, done } = job else {
                    stop = true;
                    break;
                };
                if body.len() > BODY_BYTES_MAX {
                    drop(done.send(Err(WalError::Busy("the body is too long for a record".to_owned()))));
                } else {
                    let record = Record { version, received_ms, body: &body };
                    let header = header(&record);
                    bytes += HEADER_BYTES + body.len();
                    self.gathered.push((header, body));
                    newest_ms = newest_ms.max(received_ms);
                    waiting.push(done);
                }
                if bytes < GROUP_BYTES_MAX {
                    next = queue.try_recv().ok();
                }
            }
            self.newest_ms = newest_ms;
            let result = self.write();
            *self.health.refused.lock() = result.as_ref().err().map(ToString::to_string);
            if let Some(open) = &self.file {
                *file.lock() = Some(open.clone());
            }
            // Only now, so that the syncer that takes this note finds the file that was written.
            self.dirty.store(true, Ordering::Release);
            // Before the answers: dropping a body frees its sender's share of the bytes in flight.
            self.gathered.clear();
            for done in waiting.drain(..) {
                // A sender that has hung up needs no answer.
                let answer = match &result {
                    Ok(()) => Ok(()),
                    Err(WalError::Failed(why)) => Err(WalError::Failed(why.clone())),
                    Err(e) => Err(WalError::Busy(e.to_string())),
                };
                drop(done.send(answer));
            }
            if stop {
                break;
            }
        }
        self.sync();
        drop(syncer);
    }

    fn write(&mut self) -> Result<(), WalError> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        self.check_trusted()?;
        let age = self.newest_ms.saturating_sub(self.opened_ms);
        // Time closes segments too, so that a quiet log does not keep hours.
        let over = self.len >= self.config.segment_bytes || age > self.config.window.as_millis() as i64 / 4;
        if self.file.is_none() || (over && self.len > SEGMENT_MAGIC.len() as u64) {
            self.rotate(self.newest_ms)?;
        }
        let Some(file) = &self.file else { return Err(WalError::Busy("no segment is open".to_owned())) };
        let parts: Vec<&[u8]> = self.gathered.iter().flat_map(|(header, body)| [&header[..], &body[..]]).collect();
        if let Err(error) = file.write(&parts) {
            // Take back what was written of it, so that the next record follows a whole one; failing that, leave this segment.
            if file.cut(self.len).is_err() {
                self.closed.push_back(Closed { path: self.path.clone(), newest_ms: self.newest_ms });
                self.file = None;
            }
            return Err(WalError::io(&self.path)(error));
        }
        let written: usize = parts.iter().map(|part| part.len()).sum();
        self.len += written as u64;
        Ok(())
    }

    /// Also after our own sync: what would be written behind a failed one cannot be relied on.
    fn check_trusted(&self) -> Result<(), WalError> {
        let failed = self.health.failed.load(Ordering::Acquire);
        if failed { Err(WalError::Failed("a sync failed".to_owned())) } else { Ok(()) }
    }

    fn sync(&self) {
        if let Some(file) = &self.file {
            sync_or_fail(file, &self.health);
        }
    }

    /// A thread that syncs once an interval, until the returned sender is dropped.
    fn spawn_syncer(&self, file: &Arc<Mutex<Option<Arc<SegmentFile>>>>) -> Option<SyncSender<()>> {
        let (alive, ended) = sync_channel::<()>(1);
        let (interval, health, dirty) = (self.config.sync_interval, self.health.clone(), self.dirty.clone());
        let file: Weak<_> = Arc::downgrade(file);
        let spawned = std::thread::Builder::new().name("wal-sync".into()).spawn(move || {
            while ended.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                let Some(shared) = file.upgrade() else { return };
                let noted = dirty.swap(false, Ordering::AcqRel);
                let current = shared.lock().clone();
                if let Some(file) = current.filter(|_| noted) {
                    sync_or_fail(&file, &health);
                }
            }
        });
        if let Err(error) = spawned {
            tracing::error!(%error, "the write-ahead log cannot be synced");
            self.health.failed.store(true, Ordering::Release);
            return None;
        }
        Some(alive)
    }
}

/// After a failed sync the kernel may have dropped the pages; a second sync that succeeds would be a lie.
fn sync_or_fail(file: &SegmentFile, health: &Health) {
    *health.syncing_since.lock() = Some(Instant::now());
    let synced = file.sync_data();
    *health.syncing_since.lock() = None;
    if let Err(error) = synced {
        tracing::error!(%error, "syncing the write-ahead log failed: no more samples are accepted until a restart");
        health.failed.store(true, Ordering::Release);
    }
}
