//! What the end that one sender reports means for the leases of others.
//! In: an end, and the leases of the alert. Out: leases that end with it, or that are shortened.
//! Never: touches the leases of our own rules, or believes an end over what was reported after it.
//! Start at [`Entry::end_for_others`].
//!
//! A sender ends its own lease. Three things make that too little: a pod that is restarted has another address, a second
//! Alertmanager reports the end of what the first one reported as firing, and a person ends an alert by hand.

use super::IgnoredReason;
use super::entry::{Effect, Entry, SourceUpdate};
use crate::model::{Door, Lease, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// What an entry must know to judge an end.
pub(super) struct EndRules<'a> {
    /// How long another sender's lease lasts at most once its generator reported an end.
    pub(super) resolve_timeout: Duration,
    /// The clock jumped: until then no end by time is believed.
    pub(super) held_until: Option<Timestamp>,
    pub(super) no_sender: &'a Arc<str>,
}

/// The host and port of a generator URL: whose alert it is. Empty when the URL names none.
pub fn authority(url: &str) -> &str {
    let Some((_, rest)) = url.split_once("://") else { return "" };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

impl Entry {
    /// An end of a sender that holds no lease here; `at` is where its lease would be. With a generator URL it ends the
    /// leases of the same generator that were reported before it, and is kept, so that its repeats are known. Without one,
    /// and without a label that names the sender, it is a person's word (`amtool alert add --end`): every posted lease ends.
    pub(super) fn end_for_others(
        &mut self,
        at: usize,
        update: &SourceUpdate<'_>,
        rules: &EndRules<'_>,
        now: Timestamp,
    ) -> Effect {
        debug_assert!(at <= self.record.leases.len());
        let Some(end) = update.claim.ends_at else { return Effect::Ignored(IgnoredReason::EndOfUnknown) };
        if rules.held_until.is_some() && update.door == Door::AlertmanagerApi {
            return Effect::Ignored(IgnoredReason::HeldAfterClockJump);
        }
        let by_hand = update.door == Door::AlertmanagerApi
            && update.sender.is_empty()
            && authority(update.generator_url).is_empty();
        let ended: Vec<usize> = (0..self.record.leases.len())
            .filter(|i| {
                let lease = &self.record.leases[*i];
                let covers = match update.door {
                    _ if by_hand => is_posted(lease),
                    // The other of two Alertmanagers may name the other of two Prometheus servers.
                    Door::AlertmanagerWebhook => self.is_earlier_of_door(*i, update, end),
                    _ => self.is_earlier_word(*i, update, end),
                };
                covers && lease.is_live(now)
            })
            .collect();
        if ended.is_empty() {
            return Effect::Ignored(IgnoredReason::EndOfUnknown);
        }
        let leases = &mut Arc::make_mut(&mut self.record).leases;
        for i in ended {
            let lease = &mut leases[i];
            // An alert does not end before it began, nor later than now.
            lease.ends_at = Some(end.max(lease.starts_at).min(now));
            lease.ends_by_timeout = false;
            lease.updated_at = now;
        }
        if !by_hand && self.has_room(now) {
            self.add(update, rules.no_sender, now);
        }
        self.settle(true, now)
    }

    /// Instead of an end that may be the jump's work, lease `i` runs until the hold is over.
    pub(super) fn hold(&mut self, i: usize, until: Timestamp, now: Timestamp) -> Effect {
        let lease = &mut Arc::make_mut(&mut self.record).leases[i];
        lease.ends_at = Some(until);
        lease.ends_by_timeout = true;
        lease.updated_at = now;
        Effect::Refreshed
    }

    /// The clock was set by `by_ms` and says `now`: leases that lived before keep the time that they had left.
    pub(super) fn move_leases(&mut self, by_ms: i64, now: Timestamp) {
        let moved = |t: Timestamp| Timestamp::from_millis(t.as_millis().saturating_add(by_ms));
        let before = Timestamp::from_millis(now.as_millis().saturating_sub(by_ms));
        for lease in &mut Arc::make_mut(&mut self.record).leases {
            if let Some(end) = lease.ends_at.filter(|end| *end > before) {
                lease.ends_at = Some(moved(end));
                lease.updated_at = moved(lease.updated_at);
            }
        }
    }

    /// The sender of lease `own` ends it. What the same generator reported before from another address (a restarted pod, the
    /// other of two Alertmanagers) is believed for [`EndRules::resolve_timeout`] longer, unless it is reported again.
    pub(super) fn shorten_unheard(
        &mut self,
        own: usize,
        update: &SourceUpdate<'_>,
        rules: &EndRules<'_>,
        now: Timestamp,
    ) {
        let Some(end) = update.claim.ends_at else { return };
        if self.record.leases.len() == 1 {
            return;
        }
        let latest = now + rules.resolve_timeout;
        for i in (0..self.record.leases.len()).filter(|i| *i != own) {
            let lease = &self.record.leases[i];
            if lease.is_live(now)
                && lease.ends_at.is_none_or(|ends| ends > latest)
                && self.is_earlier_word(i, update, end)
            {
                let lease = &mut Arc::make_mut(&mut self.record).leases[i];
                lease.ends_at = Some(latest);
                lease.ends_by_timeout = true;
                // A restart grants a lease its length again, counted from here.
                lease.updated_at = end;
            }
        }
    }

    /// Whether lease `i` is of the same generator and sender labels as the end, and was not reported after it.
    fn is_earlier_word(&self, i: usize, update: &SourceUpdate<'_>, end: Timestamp) -> bool {
        self.is_earlier_of_door(i, update, end)
            && authority(&self.contents[i].generator_url) == authority(update.generator_url)
    }

    /// Whether lease `i` came by the same door with the same sender labels as the end, and was not reported after it.
    fn is_earlier_of_door(&self, i: usize, update: &SourceUpdate<'_>, end: Timestamp) -> bool {
        let lease = &self.record.leases[i];
        is_posted(lease)
            && lease.source.door == update.door
            && lease.source.sender.as_bytes() == update.sender
            && lease.updated_at <= end
    }
}

/// Our own rules say themselves when their alerts end.
fn is_posted(lease: &Lease) -> bool {
    lease.source.door != Door::RemoteWrite
}
