//! One alert in the registry: its record, what each source posted last, and what the writer has not committed yet.
//! In: an update from one source. Out: its [`Effect`]: a refresh, a change, or nothing.
//! Never: locks or counts (the registry does).
//! Start at [`Entry::apply`].

use super::ends::EndRules;
use super::{IgnoredReason, SOURCES_PER_ALERT_MAX};
use crate::alerts::lease::{Claim, merge, summary};
use crate::model::{AlertRecord, Door, Fingerprint, Labels, Lease, SourceKey, Timestamp, TransitionKind};
use smallvec::{SmallVec, smallvec};
use std::sync::Arc;
use std::time::Duration;

/// A post, borrowed: nothing is kept of a refresh.
pub(super) struct SourceUpdate<'a> {
    pub(super) door: Door,
    /// The sender labels as text.
    pub(super) sender: &'a [u8],
    pub(super) claimant: &'a Arc<str>,
    pub(super) claim: Claim,
    pub(super) annotations: &'a Labels,
    pub(super) generator_url: &'a Arc<str>,
}

impl SourceUpdate<'_> {
    pub(super) fn lease(&self, no_sender: &Arc<str>, now: Timestamp) -> Lease {
        let sender = if self.sender.is_empty() {
            Arc::clone(no_sender)
        } else {
            Arc::from(String::from_utf8_lossy(self.sender).as_ref())
        };
        Lease {
            source: SourceKey { door: self.door, sender, claimant: Arc::clone(self.claimant) },
            starts_at: self.claim.starts_at,
            ends_at: self.claim.ends_at,
            ends_by_timeout: self.claim.ends_by_timeout,
            updated_at: now,
        }
    }

    pub(super) fn content(&self) -> Content {
        Content { annotations: self.annotations.clone(), generator_url: Arc::clone(self.generator_url) }
    }
}

/// What a post means for the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Refreshed,
    Changed(TransitionKind),
    Ignored(IgnoredReason),
}

/// Annotations and URL as a source sent them, kept because the record shows another source's once the first one ends.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Content {
    annotations: Labels,
    pub(super) generator_url: Arc<str>,
}

pub(super) struct Entry {
    /// Nobody else holds it between two transitions, so a refresh changes it without a copy.
    pub(super) record: Arc<AlertRecord>,
    /// One for each of the record's leases, in the same order.
    pub(super) contents: SmallVec<[Content; 1]>,
    pub(super) version: u64,
    /// What was handed to the writer and is not committed yet.
    pub(super) pending: Option<TransitionKind>,
    /// The time of this alert's valid item in the lease queue; `MAX` when there is none.
    pub(super) lease_due: Timestamp,
    pub(super) gc_armed: bool,
}

impl Entry {
    pub(super) fn new(
        fingerprint: Fingerprint,
        labels: Labels,
        update: &SourceUpdate<'_>,
        no_sender: &Arc<str>,
        now: Timestamp,
    ) -> Self {
        let record = AlertRecord {
            fingerprint,
            labels,
            annotations: update.annotations.clone(),
            generator_url: Arc::clone(update.generator_url),
            starts_at: update.claim.starts_at,
            ended_at: None,
            updated_at: now,
            leases: vec![update.lease(no_sender, now)],
        };
        Self { contents: smallvec![update.content()], ..Self::of(record) }
    }

    pub(super) fn restored(record: AlertRecord) -> Self {
        let content =
            Content { annotations: record.annotations.clone(), generator_url: Arc::clone(&record.generator_url) };
        Self { contents: smallvec![content; record.leases.len()], ..Self::of(record) }
    }

    fn of(record: AlertRecord) -> Self {
        Self {
            record: Arc::new(record),
            contents: SmallVec::new(),
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

    pub(super) fn apply(&mut self, update: &SourceUpdate<'_>, rules: &EndRules<'_>, now: Timestamp) -> Effect {
        match self.find(update).or_else(|i| self.adopt(update).ok_or(i)) {
            Ok(i) if self.is_refresh(i, update, now) => {
                let record = Arc::make_mut(&mut self.record);
                let lease = &mut record.leases[i];
                let claim = merge(Claim::of(lease), update.claim, now);
                lease.ends_at = claim.ends_at;
                lease.ends_by_timeout = claim.ends_by_timeout;
                lease.updated_at = now;
                record.updated_at = now;
                Effect::Refreshed
            }
            Ok(i) => {
                let ends = self.record.leases[i].is_live(now) && !update.claim.is_live(now);
                // A webhook says "resolved" whatever the time is; a post to the API only says when.
                if let Some(until) = rules.held_until.filter(|_| ends && update.door == Door::AlertmanagerApi) {
                    return self.hold(i, until, now);
                }
                if ends {
                    self.shorten_unheard(i, update, rules, now);
                }
                self.update(i, update, now)
            }
            Err(i) if !update.claim.is_live(now) => self.end_for_others(i, update, rules, now),
            Err(_) if !self.has_room(now) => Effect::Ignored(IgnoredReason::TooManySources),
            Err(_) => self.join(update, rules.no_sender, now),
        }
    }

    /// The index of the source's lease, or where it would be.
    fn find(&self, update: &SourceUpdate<'_>) -> Result<usize, usize> {
        self.record.leases.binary_search_by(|lease| {
            let source = &lease.source;
            let sender = || source.sender.as_bytes().cmp(update.sender);
            let claimant = || source.claimant.as_bytes().cmp(update.claimant.as_bytes());
            source.door.cmp(&update.door).then_with(sender).then_with(claimant)
        })
    }

    /// Version 0.1 stored leases without a claimant. The first source that has the same labels takes such a lease over, or
    /// it would never end. Returns where the lease is now.
    fn adopt(&mut self, update: &SourceUpdate<'_>) -> Option<usize> {
        let is_unclaimed = |lease: &Lease| {
            let source = &lease.source;
            source.claimant.is_empty() && source.door == update.door && source.sender.as_bytes() == update.sender
        };
        let from = self.record.leases.iter().position(is_unclaimed)?;
        let leases = &mut Arc::make_mut(&mut self.record).leases;
        let mut lease = leases.remove(from);
        lease.source.claimant = Arc::clone(update.claimant);
        let to = leases.partition_point(|l| l.source < lease.source);
        leases.insert(to, lease);
        let content = self.contents.remove(from);
        self.contents.insert(to, content);
        Some(to)
    }

    /// All leases may have run out by now.
    pub(super) fn expire(&mut self, now: Timestamp) -> Effect {
        if self.record.leases.iter().any(|l| l.is_live(now)) {
            return Effect::Refreshed;
        }
        self.settle(false, now)
    }

    /// The usual case, without a copy: the source repeats what it said last.
    fn is_refresh(&self, i: usize, update: &SourceUpdate<'_>, now: Timestamp) -> bool {
        let (lease, content) = (&self.record.leases[i], &self.contents[i]);
        let claim = merge(Claim::of(lease), update.claim, now);
        self.record.is_firing()
            && lease.is_live(now)
            && claim.is_live(now)
            && claim.starts_at == lease.starts_at
            && content.annotations == *update.annotations
            && content.generator_url == *update.generator_url
    }

    fn update(&mut self, i: usize, update: &SourceUpdate<'_>, now: Timestamp) -> Effect {
        let record = Arc::make_mut(&mut self.record);
        let shared = record.leases.len() > 1;
        let lease = &mut record.leases[i];
        let was_live = lease.is_live(now);
        let claim = merge(Claim::of(lease), update.claim, now);
        lease.starts_at = claim.starts_at;
        lease.ends_at = claim.ends_at;
        lease.ends_by_timeout = claim.ends_by_timeout;
        lease.updated_at = now;
        self.contents[i] = update.content();
        // One of several sources came or went. The alert fires as before, but the 2xx promises that this is stored.
        self.settle(shared && was_live != claim.is_live(now), now)
    }

    fn join(&mut self, update: &SourceUpdate<'_>, no_sender: &Arc<str>, now: Timestamp) -> Effect {
        self.make_room(now);
        self.add(update, no_sender, now);
        self.settle(true, now)
    }

    pub(super) fn add(&mut self, update: &SourceUpdate<'_>, no_sender: &Arc<str>, now: Timestamp) {
        let lease = update.lease(no_sender, now);
        let leases = &mut Arc::make_mut(&mut self.record).leases;
        let at = leases.partition_point(|l| l.source < lease.source);
        leases.insert(at, lease);
        self.contents.insert(at, update.content());
    }

    pub(super) fn has_room(&self, now: Timestamp) -> bool {
        let leases = &self.record.leases;
        leases.len() < SOURCES_PER_ALERT_MAX || leases.iter().any(|l| !l.is_live(now))
    }

    /// At the limit, the lease that ended first is dropped.
    fn make_room(&mut self, now: Timestamp) {
        let leases = &self.record.leases;
        if leases.len() < SOURCES_PER_ALERT_MAX {
            return;
        }
        let oldest = (0..leases.len()).filter(|i| !leases[*i].is_live(now)).min_by_key(|i| leases[*i].ends_at);
        if let Some(i) = oldest {
            Arc::make_mut(&mut self.record).leases.remove(i);
            self.contents.remove(i);
        }
    }

    /// Derives the record from its leases and says what is new about it. `changed`: the set of live sources is another.
    pub(super) fn settle(&mut self, changed: bool, now: Timestamp) -> Effect {
        let record = Arc::make_mut(&mut self.record);
        let was_firing = record.is_firing();
        let next = summary(&record.leases, now);
        let content = &self.contents[next.content_of];
        let changed = changed
            || record.starts_at != next.starts_at
            || record.ended_at != next.ended_at
            || record.annotations != content.annotations
            || record.generator_url != content.generator_url;
        record.starts_at = next.starts_at;
        record.ended_at = next.ended_at;
        record.updated_at = now;
        record.annotations = content.annotations.clone();
        record.generator_url = Arc::clone(&content.generator_url);
        match (was_firing, record.is_firing()) {
            (true, false) => Effect::Changed(TransitionKind::Ended),
            (false, true) => Effect::Changed(TransitionKind::Started),
            _ if changed => Effect::Changed(TransitionKind::Changed),
            _ => Effect::Refreshed,
        }
    }
}
