//! Door A: remote write over HTTP.
//! In: a request's headers and body. Out: samples in the head and in the log, then the answer.
//! Never: says 2xx before the log has the body, 429 (stock Prometheus drops data on it), or holds more than its limits.
//! Start at [`WriteDoor::handle`].

mod counters;
mod ingest;
mod report;
#[cfg(test)]
mod tests;

pub use counters::WriteCounters;
pub use ingest::Ingest;
pub use report::Report;

use crate::clock::Clock;
use crate::model::Timestamp;
use crate::series::Head;
use crate::series::ha::HaTracker;
use crate::wal::{Wal, WalError, WalStatus};
use crate::wire::remote_write::{self, Version, negotiate};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Compressed and decoded bytes of all requests that are in work, at most.
pub const IN_FLIGHT_BYTES_MAX: usize = 256 << 20;
/// Time for a body to come in whole: a sender that needs longer is broken or hostile, and its next try is cheap.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Decoded bytes of whole bodies that wait for their turn, at most: about a hundred usual requests, a tenth of a second of
/// work. Whoever comes later hears 503 at once, so that what is accepted is answered soon and memory stays flat.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// The unit in which they are counted.
const PERMIT_BYTES: usize = 1024;
/// A message longer than this is decoded on a blocking thread: it would hold up other connections for milliseconds.
const INLINE_BYTES_MAX: usize = 2 << 20;
/// What a 503 asks for.
const RETRY_AFTER_SECS: &str = "1";

const SAMPLES_WRITTEN: HeaderName = HeaderName::from_static("x-prometheus-remote-write-samples-written");
const HISTOGRAMS_WRITTEN: HeaderName = HeaderName::from_static("x-prometheus-remote-write-histograms-written");
const EXEMPLARS_WRITTEN: HeaderName = HeaderName::from_static("x-prometheus-remote-write-exemplars-written");

/// What requests may weigh.
#[derive(Clone, Copy, Debug)]
pub struct DoorLimits {
    /// A body as sent.
    pub body_bytes: usize,
    /// The length that it declares to have when decompressed.
    pub decoded_bytes: usize,
    /// Both, of all requests that are in work.
    pub in_flight_bytes: usize,
}

impl Default for DoorLimits {
    fn default() -> Self {
        Self {
            body_bytes: remote_write::WIRE_BYTES_MAX,
            decoded_bytes: remote_write::DECODED_BYTES_MAX,
            in_flight_bytes: IN_FLIGHT_BYTES_MAX,
        }
    }
}

/// Everything that the door needs; cheap to clone.
#[derive(Clone)]
pub struct WriteDoor {
    shared: Arc<Shared>,
}

struct Shared {
    head: Arc<Head>,
    wal: Option<Arc<Wal>>,
    ha: Arc<HaTracker>,
    clock: Arc<dyn Clock>,
    arrivals: Arc<Notify>,
    counters: WriteCounters,
    in_flight: Arc<Semaphore>,
    in_flight_max: usize,
    /// Decoded bytes of bodies that are here and not yet in the head.
    waiting: Arc<AtomicUsize>,
    limits: DoorLimits,
}

/// An answer that is not 2xx.
struct Refusal {
    status: StatusCode,
    text: String,
}

impl Refusal {
    fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }

    fn busy(text: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, text)
    }
}

impl From<remote_write::BadBody> for Refusal {
    fn from(e: remote_write::BadBody) -> Self {
        Self::new(StatusCode::BAD_REQUEST, e.to_string())
    }
}

thread_local! {
    /// The decoded message and the symbol table, used again by each request on this thread.
    static SCRATCH: RefCell<(Vec<u8>, remote_write::v2::Symbols)> = RefCell::default();
}

impl WriteDoor {
    /// `arrivals` is notified when a sample came to a watched series. Without a log samples live in memory only.
    pub fn new(
        head: Arc<Head>,
        wal: Option<Arc<Wal>>,
        ha: Arc<HaTracker>,
        clock: Arc<dyn Clock>,
        arrivals: Arc<Notify>,
    ) -> Self {
        Self::with_limits(head, wal, ha, clock, arrivals, DoorLimits::default())
    }

    /// As [`WriteDoor::new`], with other limits; above the defaults a body's two cannot go.
    pub fn with_limits(
        head: Arc<Head>,
        wal: Option<Arc<Wal>>,
        ha: Arc<HaTracker>,
        clock: Arc<dyn Clock>,
        arrivals: Arc<Notify>,
        limits: DoorLimits,
    ) -> Self {
        let permits = limits.in_flight_bytes.div_ceil(PERMIT_BYTES).min(Semaphore::MAX_PERMITS);
        let shared = Shared {
            head,
            wal,
            ha,
            clock,
            arrivals,
            counters: WriteCounters::default(),
            in_flight: Arc::new(Semaphore::new(permits)),
            in_flight_max: permits,
            waiting: Arc::default(),
            limits,
        };
        Self { shared: Arc::new(shared) }
    }

    pub fn counters(&self) -> &WriteCounters {
        &self.shared.counters
    }

    /// How the log behind the door is; `None` without one.
    pub fn wal_status(&self) -> Option<WalStatus> {
        self.shared.wal.as_ref().map(|wal| wal.status())
    }

    /// Bytes of requests in work, in steps of a kilobyte.
    pub fn in_flight_bytes(&self) -> usize {
        (self.shared.in_flight_max - self.shared.in_flight.available_permits()) * PERMIT_BYTES
    }

    /// Answers one POST. The method, the path and who is asking were checked before.
    pub async fn handle(&self, headers: &HeaderMap, body: Body) -> Response {
        let version = version_of(headers);
        let (status, report, text) = match version {
            Ok(version) => match self.write(version, headers, body).await {
                Ok(report) => match report.refusal() {
                    Some(text) => (StatusCode::BAD_REQUEST, report, text),
                    None => (StatusCode::NO_CONTENT, report, String::new()),
                },
                Err(refusal) => (refusal.status, Report::default(), refusal.text),
            },
            Err(ref text) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, Report::default(), text.clone()),
        };
        self.shared.counters.answered(version.clone().ok(), status.as_u16());
        answer(version.ok(), status, &report, text)
    }

    async fn write(&self, version: Version, headers: &HeaderMap, body: Body) -> Result<Report, Refusal> {
        let shared = &self.shared;
        let mut permits = Permits::new(shared.in_flight.clone());
        let reading = read_body(headers, body, &mut permits, shared.limits.body_bytes);
        // Not 408: a stock Prometheus drops the data on it, and a slow moment of the network is no reason for that.
        let late = |_| Refusal::busy(format!("the body did not come within {BODY_TIMEOUT:?}; send it again later"));
        let body = tokio::time::timeout(BODY_TIMEOUT, reading).await.map_err(late)??;
        shared.counters.wire_bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
        let decoded = remote_write::declared_length_within(&body, shared.limits.decoded_bytes)?;
        permits.cover(body.len() + decoded)?;
        // From here on whoever holds the body holds its share, also when the sender has hung up and nobody waits for us.
        let body = Bytes::from_owner(Counted { body, _permits: permits });
        let turn = Turn::take(&shared.waiting, decoded)?;
        // Others' bodies come in first; under overload that shows how many there are.
        tokio::task::yield_now().await;
        let now = shared.clock.now();
        let report = if decoded <= INLINE_BYTES_MAX {
            let _turn = turn;
            shared.ingest(version, &body, now)?
        } else {
            let (shared, body) = (shared.clone(), body.clone());
            let work = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                shared.ingest(version, &body, now)
            });
            work.await.map_err(|_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error"))??
        };
        shared.counters.decoded_bytes.fetch_add(decoded as u64, Ordering::Relaxed);
        if let Some(wal) = shared.wal.as_ref().filter(|_| report.kept_something()) {
            // The head has the samples already; a sender that hears 503 sends them again, and the same samples are fine.
            wal.append(version.code(), now.as_millis(), body).await.map_err(|e| Refusal::busy(e.to_string()))?;
        }
        shared.count(&report);
        if report.watched {
            shared.arrivals.notify_one();
        }
        Ok(report)
    }
}

impl Shared {
    fn ingest(&self, version: Version, body: &[u8], now: Timestamp) -> Result<Report, Refusal> {
        Ok(ingest_body(version, body, &self.head, &self.ha, now)?)
    }

    fn count(&self, report: &Report) {
        let counts = [
            (&self.counters.samples, report.samples),
            (&self.counters.histograms, report.histograms),
            (&self.counters.exemplars, report.exemplars),
            (&self.counters.metadata, report.metadata),
            (&self.counters.ha_dropped, report.ha_dropped),
        ];
        for (counter, n) in counts.into_iter().filter(|(_, n)| *n > 0) {
            counter.fetch_add(n, Ordering::Relaxed);
        }
        for (reason, n) in &report.rejected {
            self.counters.reject(reason, *n);
        }
    }
}

/// Decompresses and ingests one body on this thread.
pub fn ingest_body(
    version: Version,
    body: &[u8],
    head: &Head,
    ha: &HaTracker,
    now: Timestamp,
) -> Result<Report, remote_write::BadBody> {
    SCRATCH.with_borrow_mut(|(buffer, symbols)| {
        let message = remote_write::decompress(body, buffer)?;
        Ok(Ingest::run(version, message, symbols, head, ha, now))
    })
}

/// What a replay of the log brought back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    pub log: crate::wal::Replayed,
    pub samples: u64,
    pub histograms: u64,
}

/// Fills the head from the log in `dir`, through the same code that took the bodies the first time, each at the time
/// it was received. Call it before [`Wal::open`], and after whoever selects series that must stay has his watches.
pub fn replay(dir: &std::path::Path, head: &Head, ha: &HaTracker, since: Timestamp) -> Result<Restored, WalError> {
    let mut restored = Restored::default();
    let (mut samples, mut histograms) = (0, 0);
    head.hush(true);
    let replayed = crate::wal::replay(dir, since.as_millis(), |record| {
        let Some(version) = Version::from_code(record.version) else { return };
        // Only bodies that could be opened were ever logged.
        let received = Timestamp::from_millis(record.received_ms);
        if let Ok(report) = ingest_body(version, record.body, head, ha, received) {
            samples += report.samples;
            histograms += report.histograms;
        }
        // The budget holds here too; that it does costs a look at a few sums.
        head.relieve(received);
    });
    head.hush(false);
    restored.log = replayed?;
    (restored.samples, restored.histograms) = (samples, histograms);
    Ok(restored)
}

/// A whole body's place among those that wait for their turn, given back when it is dropped.
struct Turn {
    waiting: Arc<AtomicUsize>,
    bytes: usize,
}

impl Turn {
    /// Fails when too much waits already; a body that would be alone always gets its turn.
    fn take(waiting: &Arc<AtomicUsize>, bytes: usize) -> Result<Self, Refusal> {
        let before = waiting.fetch_add(bytes, Ordering::Relaxed);
        let turn = Self { waiting: waiting.clone(), bytes };
        if before > 0 && before + bytes > WAITING_BYTES_MAX {
            return Err(Refusal::busy("too many requests are waiting; send it again later"));
        }
        Ok(turn)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.waiting.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A body's share of the bytes in flight, given back when it is dropped.
struct Permits {
    from: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
}

impl Permits {
    fn new(from: Arc<Semaphore>) -> Self {
        Self { from, held: None }
    }

    /// Grows the share to `bytes`; fails rather than waits, so that the sender backs off and memory stays flat.
    fn cover(&mut self, bytes: usize) -> Result<(), Refusal> {
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = bytes.div_ceil(PERMIT_BYTES).saturating_sub(held);
        if more == 0 {
            return Ok(());
        }
        let busy = |_| Refusal::busy("too many bytes are in work; send it again later");
        let permit = self.from.clone().try_acquire_many_owned(more as u32).map_err(busy)?;
        match &mut self.held {
            Some(held) => held.merge(permit),
            None => self.held = Some(permit),
        }
        Ok(())
    }
}

/// A body with its share of the bytes in flight.
struct Counted {
    body: Bytes,
    _permits: Permits,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

fn version_of(headers: &HeaderMap) -> Result<Version, String> {
    let text = |name| match headers.get(name).map(HeaderValue::to_str) {
        None => Ok(""),
        Some(Ok(text)) => Ok(text),
        Some(Err(_)) => Err("a header is not readable text".to_owned()),
    };
    negotiate(text(header::CONTENT_TYPE)?, text(header::CONTENT_ENCODING)?).map_err(|e| e.to_string())
}

/// Collects the body within the limits. A length that is announced is checked before the first byte is read.
async fn read_body(headers: &HeaderMap, mut body: Body, permits: &mut Permits, max: usize) -> Result<Bytes, Refusal> {
    let max = max.min(remote_write::WIRE_BYTES_MAX);
    let too_large = || Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is longer than {max} bytes"));
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    if announced.is_some_and(|n: usize| n > max) {
        return Err(too_large());
    }
    // What is only announced takes no share yet: a few slow senders would hold all of it.
    let mut first: Option<Bytes> = None;
    let mut gathered = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Refusal::new(StatusCode::BAD_REQUEST, format!("the body broke off: {e}")))?;
        let Ok(data) = frame.into_data() else { continue };
        let before = first.as_ref().map_or(gathered.len(), Bytes::len);
        if before + data.len() > max {
            return Err(too_large());
        }
        permits.cover(before + data.len())?;
        if before == 0 {
            // The usual body comes in one piece and is not copied.
            first = Some(data);
            continue;
        }
        if let Some(first) = first.take() {
            gathered.reserve(announced.unwrap_or(0).max(first.len() + data.len()));
            gathered.extend_from_slice(&first);
        }
        gathered.extend_from_slice(&data);
    }
    Ok(first.unwrap_or_else(|| gathered.freeze()))
}

fn answer(version: Option<Version>, status: StatusCode, report: &Report, text: String) -> Response {
    let mut response = if text.is_empty() {
        status.into_response()
    } else {
        (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text + "\n").into_response()
    };
    let headers = response.headers_mut();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECS));
    }
    if version == Some(Version::V2) {
        // Always, on failure too: a 2.0 sender reads their absence as "not understood".
        headers.insert(SAMPLES_WRITTEN, report.samples.into());
        headers.insert(HISTOGRAMS_WRITTEN, report.histograms.into());
        headers.insert(EXEMPLARS_WRITTEN, report.exemplars.into());
    }
    response
}
