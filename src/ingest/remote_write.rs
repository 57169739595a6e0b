//! One body of remote write, from its bytes to samples in the head and in the log.
//! In: a received body, its protocol version, its sender. Out: what became of its samples.
//! Never: says that a body is taken before the log has it, or does more per known sample than the head needs.
//! Start at [`RemoteWrite::take`].

use super::admission::{Admission, Counted, Incoming, RequestLimits};
use super::append::Append;
use super::counters::IngestCounters;
use super::error::IngestError;
use super::report::Report;
use super::senders::SenderClocks;
use crate::clock::Clock;
use crate::model::Timestamp;
use crate::series::Head;
use crate::series::ha::HaTracker;
use crate::wal::{Wal, WalStatus};
use crate::wire::remote_write::{self, BadBody, Version};
use bytes::Bytes;
use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::Notify;

/// A message longer than this is decoded on a blocking thread: it would hold up other connections for milliseconds.
pub(super) const INLINE_BYTES_MAX: usize = 2 << 20;

/// Takes bodies; cheap to clone.
#[derive(Clone)]
pub struct RemoteWrite {
    shared: Arc<Shared>,
}

struct Shared {
    head: Arc<Head>,
    wal: Option<Arc<Wal>>,
    ha: Arc<HaTracker>,
    clock: Arc<dyn Clock>,
    arrivals: Arc<Notify>,
    counters: IngestCounters,
    senders: SenderClocks,
    admission: Admission,
}

thread_local! {
    /// The decoded message and the symbol table, used again by each request on this thread.
    static SCRATCH: RefCell<(Vec<u8>, remote_write::v2::Symbols)> = RefCell::default();
}

impl RemoteWrite {
    /// `arrivals` is notified when a sample came to a watched series. Without a log samples live in memory only.
    pub fn new(
        head: Arc<Head>,
        wal: Option<Arc<Wal>>,
        ha: Arc<HaTracker>,
        clock: Arc<dyn Clock>,
        arrivals: Arc<Notify>,
    ) -> Self {
        Self::with_limits(head, wal, ha, clock, arrivals, RequestLimits::default())
    }

    /// As [`RemoteWrite::new`], with other limits; above the defaults a body's two cannot go.
    pub fn with_limits(
        head: Arc<Head>,
        wal: Option<Arc<Wal>>,
        ha: Arc<HaTracker>,
        clock: Arc<dyn Clock>,
        arrivals: Arc<Notify>,
        limits: RequestLimits,
    ) -> Self {
        let shared = Shared {
            head,
            wal,
            ha,
            clock,
            arrivals,
            counters: IngestCounters::default(),
            senders: SenderClocks::default(),
            admission: Admission::new(limits),
        };
        Self { shared: Arc::new(shared) }
    }

    pub fn counters(&self) -> &IngestCounters {
        &self.shared.counters
    }

    /// Whose samples are off our clock.
    pub fn senders(&self) -> &SenderClocks {
        &self.shared.senders
    }

    /// How the log is; `None` without one.
    pub fn wal_status(&self) -> Option<WalStatus> {
        self.shared.wal.as_ref().map(|wal| wal.status())
    }

    /// Bytes of requests in work, in steps of a kilobyte.
    pub fn in_flight_bytes(&self) -> usize {
        self.shared.admission.in_flight_bytes()
    }

    /// Begins a body of the announced length, if one is announced.
    pub fn begin(&self, announced: Option<usize>) -> Result<Incoming, IngestError> {
        self.shared.admission.begin(announced)
    }

    /// Takes a whole body. When this returns a report, its samples are in the head and its bytes in the log.
    pub async fn take(
        &self,
        version: Version,
        incoming: Incoming,
        sender: Option<IpAddr>,
    ) -> Result<Report, IngestError> {
        let shared = &self.shared;
        let (body, mut permits) = incoming.finish();
        shared.counters.wire_bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
        let decoded = remote_write::declared_length_within(&body, shared.admission.limits.decoded_bytes)?;
        permits.cover(body.len() + decoded)?;
        // From here on the body carries its share with it, also when the sender has hung up and no request waits for it.
        let body = Bytes::from_owner(Counted { body, _permits: permits });
        let turn = shared.admission.turn(decoded)?;
        // Others' bodies come in first; under overload that shows how many there are.
        tokio::task::yield_now().await;
        let now = shared.clock.now();
        let report = if decoded <= INLINE_BYTES_MAX {
            let _turn = turn;
            shared.append(version, &body, now)?
        } else {
            let (shared, body) = (shared.clone(), body.clone());
            let work = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                shared.append(version, &body, now)
            });
            work.await.map_err(|_| IngestError::Internal)??
        };
        shared.counters.decoded_bytes.fetch_add(decoded as u64, Ordering::Relaxed);
        if let Some(wal) = shared.wal.as_ref().filter(|_| report.kept_something()) {
            // The head has the samples already; a sender that is refused sends them again, and the same samples are fine.
            wal.append(version.code(), now.as_millis(), body).await?;
        }
        shared.counters.count(&report);
        shared.note_sender(sender, &report, now);
        if report.watched {
            shared.arrivals.notify_one();
        }
        Ok(report)
    }

    #[cfg(test)]
    pub(super) fn waiting_bytes(&self) -> usize {
        self.shared.admission.waiting_bytes()
    }
}

impl Shared {
    fn append(&self, version: Version, body: &[u8], now: Timestamp) -> Result<Report, BadBody> {
        append_body(version, body, &self.head, &self.ha, now)
    }

    fn note_sender(&self, sender: Option<IpAddr>, report: &Report, now: Timestamp) {
        let (Some(sender), Some(newest)) = (sender, report.newest) else { return };
        if let Some(offset_ms) = self.senders.note(sender, newest, now) {
            let refused = report.rejected_for("too_far_ahead");
            tracing::warn!(%sender, offset_ms, refused, "a sender's samples are ahead of our clock");
        }
    }
}

/// Decompresses and appends one body on this thread.
pub fn append_body(
    version: Version,
    body: &[u8],
    head: &Head,
    ha: &HaTracker,
    now: Timestamp,
) -> Result<Report, BadBody> {
    SCRATCH.with_borrow_mut(|(buffer, symbols)| {
        let message = remote_write::decompress(body, buffer)?;
        Ok(Append::run(version, message, symbols, head, ha, now))
    })
}
