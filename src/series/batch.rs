//! The samples of one request on their way into the head.
//! In: series and samples. Out: what happened to each; the head's totals are settled once, at the end.
//! Never: touches a shared counter per sample.
//! Start at [`Batch::append_by_span`], then [`Batch::append`].

use super::error::AppendError;
use super::head::Head;
use super::series::{NotPushed, Series};
use crate::model::{Labels, SampleValue};
use std::sync::Arc;
use std::time::Duration;

/// Samples further ahead of our clock are refused (Prometheus' receiver: `maxAheadTime`).
pub const AHEAD_MAX: Duration = Duration::from_mins(10);

/// What became of a sample that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    Added,
    /// The very same sample was there already.
    Known,
    /// The caller did not admit it (another HA replica is elected).
    NotAdmitted,
}

/// Made by [`Head::batch`]. Dropping it settles the totals.
#[derive(Debug)]
pub struct Batch<'h> {
    head: &'h Head,
    now_ms: i64,
    ahead_ms: i64,
    from_sender: bool,
    added: i64,
    span_ms: Option<(i64, i64)>,
    watched: bool,
}

impl<'h> Batch<'h> {
    pub(super) fn received(head: &'h Head, now_ms: i64) -> Self {
        let ahead_ms = now_ms.saturating_add(AHEAD_MAX.as_millis() as i64);
        Self { head, now_ms, ahead_ms, from_sender: true, added: 0, span_ms: None, watched: false }
    }

    pub(super) fn ours(head: &'h Head, now_ms: i64) -> Self {
        Self { ahead_ms: i64::MAX, from_sender: false, ..Self::received(head, now_ms) }
    }

    /// Whether a sample came to a series that some rule watches.
    pub fn watched(&self) -> bool {
        self.watched
    }

    /// Appends to the series that is known by its raw label bytes; `None` when these bytes are new here.
    /// `same` proves the labels (and the tag that was remembered with them); `admit` may turn the sample away by its tag.
    #[inline]
    pub fn append_by_span(
        &mut self,
        hash: u64,
        same: impl Fn(&Labels, u32) -> bool,
        admit: impl FnOnce(u32) -> bool,
        t_ms: i64,
        v: f64,
    ) -> Option<Result<Appended, AppendError>> {
        let head = self.head;
        head.with_alias(hash, same, |alias| {
            if !admit(alias.tag) {
                return Some(Ok(Appended::NotAdmitted));
            }
            match self.push(&alias.series, t_ms, &SampleValue::Float(v)) {
                Ok(appended) => Some(Ok(appended)),
                Err(NotPushed::Refused(e)) => Some(Err(e)),
                Err(NotPushed::Gone) => None,
            }
        })
        .flatten()
    }

    /// Appends to a series at hand.
    pub fn append(&mut self, series: &Arc<Series>, t_ms: i64, v: &SampleValue) -> Result<Appended, AppendError> {
        let mut current = series.clone();
        // A series that left in between is made anew; that it leaves again before the next line needs a whole idle window.
        for _ in 0..3 {
            match self.push(&current, t_ms, v) {
                Ok(appended) => return Ok(appended),
                Err(NotPushed::Refused(e)) => return Err(e),
                Err(NotPushed::Gone) => current = self.head.find_or_create(series.labels())?,
            }
        }
        Err(AppendError::TooOld)
    }

    #[inline]
    fn push(&mut self, series: &Arc<Series>, t_ms: i64, v: &SampleValue) -> Result<Appended, NotPushed> {
        if t_ms > self.ahead_ms {
            return Err(NotPushed::Refused(AppendError::TooFarAhead));
        }
        let inserted = series.push(t_ms, v, self.now_ms, self.head.keep)?;
        if !inserted.added {
            return Ok(Appended::Known);
        }
        self.added += 1 - i64::from(inserted.evicted);
        let (oldest, newest) = self.span_ms.unwrap_or((t_ms, t_ms));
        self.span_ms = Some((oldest.min(t_ms), newest.max(t_ms)));
        if series.is_watched() {
            self.watched = true;
            self.head.arrived(series);
        }
        Ok(Appended::Added)
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.head.tally(self.added, self.span_ms.filter(|_| self.from_sender));
    }
}
