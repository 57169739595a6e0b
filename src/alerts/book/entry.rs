//! One alert in the book: its record, what each source said, and what the writer has not committed yet.
//! In: a post of one source. Out: [`Heard`]: the same, news, or nothing.
//! Never: locks or counts (the book does).
//! Start at [`Entry::hear`].

use super::{IgnoredReason, SOURCES_PER_ALERT_MAX};
use crate::alerts::merge::{Span, merge, summary};
use crate::model::{AlertRecord, Door, Fingerprint, Labels, Lease, SourceKey, Timestamp, TransitionKind};
use smallvec::{SmallVec, smallvec};
use std::sync::Arc;
use std::time::Duration;

/// A post, borrowed: nothing is kept of a refresh.
pub(super) struct Post<'a> {
    pub(super) door: Door,
    /// The sender labels as text.
    pub(super) sender: &'a [u8],
    pub(super) span: Span,
    pub(super) annotations: &'a Labels,
    pub(super) generator_url: &'a Arc<str>,
}

impl Post<'_> {
    fn lease(&self, no_sender: &Arc<str>, now: Timestamp) -> Lease {
        let sender = if self.sender.is_empty() {
            Arc::clone(no_sender)
        } else {
            Arc::from(String::from_utf8_lossy(self.sender).as_ref())
        };
        Lease {
            source: SourceKey { door: self.door, sender },
            starts_at: self.span.starts_at,
            ends_at: self.span.ends_at,
            ends_by_timeout: self.span.ends_by_timeout,
            updated_at: now,
        }
    }

    fn said(&self) -> Said {
        Said { annotations: self.annotations.clone(), generator_url: Arc::clone(self.generator_url) }
    }
}

/// What a post means for the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Same,
    News(TransitionKind),
    Ignored(IgnoredReason),
}

/// A source's own words, kept so that another source's end can bring them forward.
#[derive(Clone, PartialEq, Eq)]
struct Said {
    annotations: Labels,
    generator_url: Arc<str>,
}

pub(super) struct Entry {
    /// Unshared between transitions, so that a refresh changes it in place.
    pub(super) record: Arc<AlertRecord>,
    /// One for each of the record's leases.
    said: SmallVec<[Said; 1]>,
    pub(super) version: u64,
    /// What the writer was told and has not committed.
    pub(super) pending: Option<TransitionKind>,
    /// The time of this alert's valid item in the lease queue; `MAX` when there is none.
    pub(super) lease_due: Timestamp,
    pub(super) gc_armed: bool,
}

impl Entry {
    pub(super) fn new(
        fingerprint: Fingerprint,
        labels: Labels,
        post: &Post<'_>,
        no_sender: &Arc<str>,
        now: Timestamp,
    ) -> Self {
        let record = AlertRecord {
            fingerprint,
            labels,
            annotations: post.annotations.clone(),
            generator_url: Arc::clone(post.generator_url),
            starts_at: post.span.starts_at,
            ended_at: None,
            updated_at: now,
            leases: vec![post.lease(no_sender, now)],
        };
        Self { said: smallvec![post.said()], ..Self::of(record) }
    }

    pub(super) fn restored(record: AlertRecord) -> Self {
        let said = Said { annotations: record.annotations.clone(), generator_url: Arc::clone(&record.generator_url) };
        Self { said: smallvec![said; record.leases.len()], ..Self::of(record) }
    }

    fn of(record: AlertRecord) -> Self {
        Self {
            record: Arc::new(record),
            said: SmallVec::new(),
            version: 0,
            pending: None,
            lease_due: Timestamp::MAX,
            gc_armed: false,
        }
    }

    /// Until when an ended alert is kept.
    pub(super) fn quiet_until(&self, retention: Duration) -> Timestamp {
        self.record.ended_at.unwrap_or(Timestamp::MIN).max(self.record.updated_at) + retention
    }

    pub(super) fn hear(&mut self, post: &Post<'_>, no_sender: &Arc<str>, now: Timestamp) -> Heard {
        let found = self.record.leases.binary_search_by(|lease| {
            lease.source.door.cmp(&post.door).then_with(|| lease.source.sender.as_bytes().cmp(post.sender))
        });
        match found {
            Ok(i) if self.is_refresh(i, post, now) => {
                let record = Arc::make_mut(&mut self.record);
                let lease = &mut record.leases[i];
                let span = merge(Span::of(lease), post.span, now);
                lease.ends_at = span.ends_at;
                lease.ends_by_timeout = span.ends_by_timeout;
                lease.updated_at = now;
                record.updated_at = now;
                Heard::Same
            }
            Ok(i) => self.update(i, post, now),
            Err(_) if !post.span.is_live(now) => Heard::Ignored(IgnoredReason::EndOfUnknown),
            Err(_) if !self.has_room(now) => Heard::Ignored(IgnoredReason::TooManySources),
            Err(_) => self.join(post, no_sender, now),
        }
    }

    /// All leases may have run out by now.
    pub(super) fn expire(&mut self, now: Timestamp) -> Heard {
        if self.record.leases.iter().any(|l| l.is_live(now)) {
            return Heard::Same;
        }
        self.settle(false, now)
    }

    /// The usual case, without a copy: the source goes on saying what it said.
    fn is_refresh(&self, i: usize, post: &Post<'_>, now: Timestamp) -> bool {
        let (lease, said) = (&self.record.leases[i], &self.said[i]);
        let span = merge(Span::of(lease), post.span, now);
        self.record.is_firing()
            && lease.is_live(now)
            && span.is_live(now)
            && span.starts_at == lease.starts_at
            && said.annotations == *post.annotations
            && said.generator_url == *post.generator_url
    }

    fn update(&mut self, i: usize, post: &Post<'_>, now: Timestamp) -> Heard {
        let record = Arc::make_mut(&mut self.record);
        let shared = record.leases.len() > 1;
        let lease = &mut record.leases[i];
        let was_live = lease.is_live(now);
        let span = merge(Span::of(lease), post.span, now);
        lease.starts_at = span.starts_at;
        lease.ends_at = span.ends_at;
        lease.ends_by_timeout = span.ends_by_timeout;
        lease.updated_at = now;
        self.said[i] = post.said();
        // One source of several came or went: no end, no start, but it must be as durable as the answer says.
        self.settle(shared && was_live != span.is_live(now), now)
    }

    fn join(&mut self, post: &Post<'_>, no_sender: &Arc<str>, now: Timestamp) -> Heard {
        self.make_room(now);
        let record = Arc::make_mut(&mut self.record);
        let lease = post.lease(no_sender, now);
        let at = record.leases.partition_point(|l| l.source < lease.source);
        record.leases.insert(at, lease);
        self.said.insert(at, post.said());
        self.settle(true, now)
    }

    fn has_room(&self, now: Timestamp) -> bool {
        let leases = &self.record.leases;
        leases.len() < SOURCES_PER_ALERT_MAX || leases.iter().any(|l| !l.is_live(now))
    }

    /// At the limit, the source that ended first makes room.
    fn make_room(&mut self, now: Timestamp) {
        let leases = &self.record.leases;
        if leases.len() < SOURCES_PER_ALERT_MAX {
            return;
        }
        let oldest = (0..leases.len()).filter(|i| !leases[*i].is_live(now)).min_by_key(|i| leases[*i].ends_at);
        if let Some(i) = oldest {
            Arc::make_mut(&mut self.record).leases.remove(i);
            self.said.remove(i);
        }
    }

    /// Derives the record from its leases and says what is new about it. `changed`: the set of live sources is another.
    fn settle(&mut self, changed: bool, now: Timestamp) -> Heard {
        let record = Arc::make_mut(&mut self.record);
        let was_firing = record.is_firing();
        let next = summary(&record.leases, now);
        let said = &self.said[next.voice];
        let changed = changed
            || record.starts_at != next.starts_at
            || record.ended_at != next.ended_at
            || record.annotations != said.annotations
            || record.generator_url != said.generator_url;
        record.starts_at = next.starts_at;
        record.ended_at = next.ended_at;
        record.updated_at = now;
        record.annotations = said.annotations.clone();
        record.generator_url = Arc::clone(&said.generator_url);
        match (was_firing, record.is_firing()) {
            (true, false) => Heard::News(TransitionKind::Ended),
            (false, true) => Heard::News(TransitionKind::Started),
            _ if changed => Heard::News(TransitionKind::Changed),
            _ => Heard::Same,
        }
    }
}
