//! The samples of one request on their way into the head.
//! In: keys or places, and samples. Out: what happened to each; the head's totals are settled once, at the end.
//! Never: takes a lock per sample: the table of known keys is held for the whole request, a region for as long as samples
//! go to neighbours, which is how senders order them.
//! Start at [`Batch::slot_of`] and [`Batch::append_group`], then [`Batch::append`].

use super::aliases::{Aliases, Cursor};
use super::block::Raw;
use super::error::AppendError;
use super::head::{Head, SeriesHandle};
use super::region::{Data, Inserted, REGION};
use super::series::Series;
use crate::model::{Labels, SampleValue, Timestamp};
use parking_lot::{MutexGuard, RwLockReadGuard};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The default of [`super::HeadConfig::future_limit`] (Prometheus' receiver: `maxAheadTime`).
pub const FUTURE_LIMIT: Duration = Duration::from_mins(10);

/// What became of a sample that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    Added,
    /// The very same sample was there already.
    Known,
}

/// A key that is to be remembered when the request ends.
struct Fresh {
    key: u128,
    place: SeriesHandle,
    tag: u32,
}

/// Made by [`Head::batch`]. Dropping it settles the totals.
pub struct Batch<'h> {
    head: &'h Head,
    now_ms: i64,
    ahead_ms: i64,
    from_sender: bool,
    /// Whether watches are notified of samples that come to their series.
    tells: bool,
    aliases: Option<RwLockReadGuard<'h, Aliases>>,
    cursor: Cursor,
    /// The region of the last sample.
    region: Option<(u32, MutexGuard<'h, Data>)>,
    fresh: Vec<Fresh>,
    arrived: Vec<Arc<Series>>,
    watched: bool,
    added: i64,
    span_ms: Option<(i64, i64)>,
}

impl<'h> Batch<'h> {
    pub(super) fn received(head: &'h Head, now_ms: i64) -> Self {
        Self {
            head,
            now_ms,
            ahead_ms: now_ms.saturating_add(head.future_limit_ms()),
            from_sender: true,
            tells: !head.is_hushed.load(Ordering::Relaxed),
            aliases: None,
            cursor: Cursor::new(now_ms),
            region: None,
            fresh: Vec::new(),
            arrived: Vec::new(),
            watched: false,
            added: 0,
            span_ms: None,
        }
    }

    pub(super) fn ours(head: &'h Head, now_ms: i64) -> Self {
        let mut batch = Self::received(head, now_ms);
        batch.ahead_ms = i64::MAX;
        batch.from_sender = false;
        batch
    }

    /// The newest sample that was added.
    pub fn newest(&self) -> Option<Timestamp> {
        self.span_ms.map(|(_, newest)| Timestamp::from_millis(newest))
    }

    /// Whether a sample came to a series that some rule watches.
    pub fn watched(&self) -> bool {
        self.watched
    }

    /// The slot and the tag that were remembered with this key, for [`Self::append_group`].
    #[inline]
    pub fn slot_of(&mut self, key: u128) -> Option<(u32, u32)> {
        if self.aliases.is_none() {
            // A thread that writes to the aliases may be waiting for the region that we hold.
            self.release();
        }
        let head = self.head;
        let aliases = self.aliases.get_or_insert_with(|| head.aliases());
        aliases.find(key, &mut self.cursor).map(|alias| (alias.slot, alias.tag))
    }

    /// Appends samples of known series, in order; `each` hears what became of them, `None` when a series has left. All
    /// their memory is asked for before the first is written to, so that one waits for memory while the others come too:
    /// with a million series nothing of them is in a cache.
    #[inline]
    pub fn append_group<T>(
        &mut self,
        group: &[T],
        sample: impl Fn(&T) -> (u32, i64, u64),
        mut each: impl FnMut(&T, Option<Result<Appended, AppendError>>),
    ) {
        let touched = group.iter().fold(0_u32, |sum, item| {
            let (data, i) = self.data(sample(item).0);
            sum.wrapping_add(data.touch(i))
        });
        std::hint::black_box(touched);
        for item in group {
            let (slot, t_ms, bits) = sample(item);
            each(item, self.append_slot(slot, t_ms, bits));
        }
    }

    /// The place and the tag that were remembered with this key.
    #[inline]
    pub fn known(&mut self, key: u128) -> Option<(SeriesHandle, u32)> {
        let (slot, tag) = self.slot_of(key)?;
        let (data, i) = self.data(slot);
        data.is_alive(i).then(|| (SeriesHandle { slot, generation: data.generation(i) }, tag))
    }

    #[inline]
    fn append_slot(&mut self, slot: u32, t_ms: i64, bits: u64) -> Option<Result<Appended, AppendError>> {
        if t_ms > self.ahead_ms {
            return Some(Err(AppendError::TooFarAhead));
        }
        let (now_ms, keep) = (self.now_ms, self.head.keep);
        let (data, i) = self.data(slot);
        if !data.is_alive(i) {
            return None;
        }
        let result = data.append_float(i, Raw { t: t_ms, bits }, now_ms, keep);
        Some(result.map(|inserted| self.settle(slot, t_ms, inserted)))
    }

    /// Appends to the series at a place; `None` when it has left in the meantime.
    pub fn append_at(&mut self, at: SeriesHandle, t_ms: i64, v: &SampleValue) -> Option<Result<Appended, AppendError>> {
        if t_ms > self.ahead_ms {
            return Some(Err(AppendError::TooFarAhead));
        }
        let (now_ms, keep) = (self.now_ms, self.head.keep);
        let (data, i) = self.data(at.slot);
        if !data.is_alive(i) || data.generation(i) != at.generation {
            return None;
        }
        let result = match v {
            SampleValue::Float(v) => data.append_float(i, Raw { t: t_ms, bits: v.to_bits() }, now_ms, keep),
            SampleValue::Histogram(_) => data.append(i, t_ms, v, now_ms, keep),
        };
        Some(result.map(|inserted| self.settle(at.slot, t_ms, inserted)))
    }

    /// Appends to a series at hand; one that has left in between is made anew.
    pub fn append(&mut self, series: &Series, t_ms: i64, v: &SampleValue) -> Result<Appended, AppendError> {
        let mut place = SeriesHandle::of(series.id());
        // That it leaves again before the next line needs a whole idle window.
        for _ in 0..3 {
            if let Some(result) = self.append_at(place, t_ms, v) {
                return result;
            }
            self.release();
            place = self.head.place(&series.labels().iter().collect::<Vec<_>>(), self.now_ms)?;
        }
        Err(AppendError::TooOld)
    }

    /// The place of the series with these sorted labels, made if it is new and may come in.
    pub fn place(&mut self, labels: &[(&str, &str)]) -> Result<SeriesHandle, AppendError> {
        self.release();
        self.head.place(labels, self.now_ms)
    }

    /// The labels of the series at a place, for a message; empty when it has left.
    pub fn labels(&mut self, place: SeriesHandle) -> Labels {
        self.release();
        self.head.handle(place).map(|series| series.labels().clone()).unwrap_or_default()
    }

    /// Remembers that this key means the series at `place`.
    pub fn remember(&mut self, key: u128, place: SeriesHandle, tag: u32) {
        self.fresh.push(Fresh { key, place, tag });
    }

    #[inline]
    fn data(&mut self, slot: u32) -> (&mut Data, usize) {
        let number = slot / REGION as u32;
        if self.region.as_ref().is_none_or(|(held, _)| *held != number) {
            // What was held is given back before the next is asked for.
            self.region = None;
            self.region = Some((number, self.head.region(slot).data.lock()));
        }
        let (_, data) = self.region.as_mut().expect("it was put there above");
        (data, slot as usize % REGION)
    }

    /// Before anything else in the head is locked.
    fn release(&mut self) {
        self.region = None;
    }

    #[inline]
    fn settle(&mut self, slot: u32, t_ms: i64, inserted: Inserted) -> Appended {
        if !inserted.added {
            return Appended::Known;
        }
        self.added += 1 - i64::from(inserted.evicted);
        let (oldest, newest) = self.span_ms.unwrap_or((t_ms, t_ms));
        self.span_ms = Some((oldest.min(t_ms), newest.max(t_ms)));
        if let Some((_, data)) = &mut self.region {
            let i = slot as usize % REGION;
            if self.tells && data.is_watched(i) {
                self.watched = true;
                if let Some(handle) = data.handle(i) {
                    handle.count(inserted.late);
                }
                self.arrived.extend(data.note(i));
            }
        }
        Appended::Added
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.release();
        self.aliases = None;
        if !self.arrived.is_empty() {
            self.head.arrived(&mut self.arrived);
        }
        if !self.fresh.is_empty() {
            self.head.remember(self.fresh.drain(..).map(|f| (f.key, f.place, f.tag)), self.cursor.minute);
        }
        // A sample from a clock ahead of ours says no more than that somebody is heard now.
        let heard = |(oldest, newest): (i64, i64)| (oldest.min(self.now_ms), newest.min(self.now_ms));
        self.head.tally(self.added, self.span_ms.filter(|_| self.from_sender).map(heard));
    }
}
