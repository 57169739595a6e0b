//! How much of what senders send is in work at once.
//! In: bodies as they come. Out: whole bodies that hold their share until they are dropped, or a refusal.
//! Never: waits for room: a sender that is refused tries again, and memory stays flat.
//! Start at [`Admission`].

use super::error::IngestError;
use crate::wire::remote_write;
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Compressed and decoded bytes of all requests that are in work, at most.
pub const IN_FLIGHT_BYTES_MAX: usize = 256 << 20;
/// Decoded bytes of whole bodies that wait for their turn, at most: about a hundred usual requests, a tenth of a second of
/// work. A request that comes later is refused at once, so that what is accepted is answered soon.
pub(super) const WAITING_BYTES_MAX: usize = 64 << 20;
/// The unit in which they are counted.
const PERMIT_BYTES: usize = 1024;

/// What requests may weigh.
#[derive(Clone, Copy, Debug)]
pub struct RequestLimits {
    /// A body as sent.
    pub body_bytes: usize,
    /// The length that it declares to have when decompressed.
    pub decoded_bytes: usize,
    /// Both, of all requests that are in work.
    pub in_flight_bytes: usize,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            body_bytes: remote_write::WIRE_BYTES_MAX,
            decoded_bytes: remote_write::DECODED_BYTES_MAX,
            in_flight_bytes: IN_FLIGHT_BYTES_MAX,
        }
    }
}

/// What is in work now, against the limits.
pub(super) struct Admission {
    in_flight: Arc<Semaphore>,
    in_flight_max: usize,
    /// Decoded bytes of bodies that are here and not yet in the head.
    waiting: Arc<AtomicUsize>,
    pub(super) limits: RequestLimits,
}

impl Admission {
    pub(super) fn new(limits: RequestLimits) -> Self {
        let permits = limits.in_flight_bytes.div_ceil(PERMIT_BYTES).min(Semaphore::MAX_PERMITS);
        Self { in_flight: Arc::new(Semaphore::new(permits)), in_flight_max: permits, waiting: Arc::default(), limits }
    }

    /// Begins a body; a length that is announced is checked before the first byte comes.
    pub(super) fn begin(&self, announced: Option<usize>) -> Result<Incoming, IngestError> {
        let max = self.limits.body_bytes.min(remote_write::WIRE_BYTES_MAX);
        if announced.is_some_and(|n| n > max) {
            return Err(IngestError::TooLarge { max });
        }
        let permits = Permits { from: self.in_flight.clone(), held: None };
        Ok(Incoming { permits, max, announced: announced.unwrap_or(0), first: None, gathered: BytesMut::new() })
    }

    /// A whole body's place among those that wait to be worked on.
    pub(super) fn turn(&self, decoded_bytes: usize) -> Result<WaitingBody, IngestError> {
        WaitingBody::take(&self.waiting, decoded_bytes)
    }

    /// Bytes of requests in work, in steps of a kilobyte.
    pub(super) fn in_flight_bytes(&self) -> usize {
        (self.in_flight_max - self.in_flight.available_permits()) * PERMIT_BYTES
    }

    #[cfg(test)]
    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// A body that is being received, with its share of the bytes in flight.
pub struct Incoming {
    permits: Permits,
    max: usize,
    announced: usize,
    /// The usual body comes in one piece and is not copied.
    first: Option<Bytes>,
    gathered: BytesMut,
}

impl Incoming {
    /// Takes the next piece.
    pub fn push(&mut self, data: Bytes) -> Result<(), IngestError> {
        let before = self.first.as_ref().map_or(self.gathered.len(), Bytes::len);
        if before + data.len() > self.max {
            return Err(IngestError::TooLarge { max: self.max });
        }
        // What is only announced takes no share yet: a few slow senders would hold all of it.
        self.permits.cover(before + data.len())?;
        if before == 0 {
            self.first = Some(data);
            return Ok(());
        }
        if let Some(first) = self.first.take() {
            self.gathered.reserve(self.announced.max(first.len() + data.len()));
            self.gathered.extend_from_slice(&first);
        }
        self.gathered.extend_from_slice(&data);
        Ok(())
    }

    /// The whole body, and its share, which must still cover what it decompresses to.
    pub(super) fn finish(self) -> (Bytes, Permits) {
        (self.first.unwrap_or_else(|| self.gathered.freeze()), self.permits)
    }
}

/// A whole body's place among those that wait for their turn, given back when it is dropped.
pub(super) struct WaitingBody {
    waiting: Arc<AtomicUsize>,
    bytes: usize,
}

impl WaitingBody {
    /// Fails when too much waits already; a body that would be alone always gets its turn.
    pub(super) fn take(waiting: &Arc<AtomicUsize>, bytes: usize) -> Result<Self, IngestError> {
        let before = waiting.fetch_add(bytes, Ordering::Relaxed);
        let turn = Self { waiting: waiting.clone(), bytes };
        if before > 0 && before + bytes > WAITING_BYTES_MAX {
            return Err(IngestError::Busy("too many requests are waiting"));
        }
        Ok(turn)
    }
}

impl Drop for WaitingBody {
    fn drop(&mut self) {
        self.waiting.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A body's share of the bytes in flight, given back when it is dropped.
pub(super) struct Permits {
    from: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
}

impl Permits {
    /// Grows the share to `bytes`; fails rather than waits, so that the sender backs off and memory stays flat.
    pub(super) fn cover(&mut self, bytes: usize) -> Result<(), IngestError> {
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = bytes.div_ceil(PERMIT_BYTES).saturating_sub(held);
        if more == 0 {
            return Ok(());
        }
        let busy = |_| IngestError::Busy("too many bytes are in work");
        let permit = self.from.clone().try_acquire_many_owned(more as u32).map_err(busy)?;
        match &mut self.held {
            Some(held) => held.merge(permit),
            None => self.held = Some(permit),
        }
        Ok(())
    }
}

/// A body with its share of the bytes in flight.
pub(super) struct Counted {
    pub(super) body: Bytes,
    pub(super) _permits: Permits,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}
