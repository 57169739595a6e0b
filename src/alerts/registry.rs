//! The registry: all alerts by fingerprint; repeats of what is known are absorbed here.
//! In: posts of all sources, in parallel. Out: [`Observed`]: absorbed, or a [`Transition`] for the single writer.
//! Never: holds a lock across calls, or reports a transition as done before it was committed.
//! Start at [`AlertRegistry::observe`] and [`AlertRegistry::expire`].

mod clock;
mod due;
mod ends;
mod entry;

use crate::alerts::lease::Claim;
use crate::model::{Alert, AlertRecord, Door, Fingerprint, Labels, Lease, Timestamp, Transition, TransitionKind};
use dashmap::DashMap;
use dashmap::mapref::entry::Entry as Slot;
use due::DueQueue;
use ends::EndRules;
pub use ends::authority;
use entry::{Effect, Entry, SourceUpdate};
use foldhash::fast::FixedState;
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Sources that one alert may have; a sender label with a new value in each post must not grow a record without end.
pub const SOURCES_PER_ALERT_MAX: usize = 32;
/// Alerts held by default: about 600 bytes each, so that a flood stays below a gigabyte.
pub const ALERTS_MAX: usize = 1_000_000;
/// Alertmanager's webhook gives no end while an alert fires. An alert that it has not repeated for so long is taken as ended;
/// its `repeat_interval` is rarely more than half of it.
pub const WEBHOOK_LEASE: Duration = Duration::from_hours(24);
/// An ended alert is kept this long after it was last heard of. Prometheus repeats an end for 15 minutes.
pub const ENDED_RETENTION: Duration = Duration::from_mins(15);
/// Alertmanager's default for an alert that is posted without an end.
pub const RESOLVE_TIMEOUT: Duration = Duration::from_mins(5);
/// The labels that name the sender of an alert rather than the trouble.
pub const SENDER_LABELS: [&str; 4] = ["__replica__", "prometheus", "prometheus_replica", "replica"];
/// Shards of the map: more than the threads that post at once.
const SHARDS: usize = 64;

#[derive(Clone, Debug)]
pub struct RegistryConfig {
    /// Labels that name the sender: no part of the identity.
    pub drop_labels: Vec<Arc<str>>,
    /// The longest claim that a webhook post makes.
    pub webhook_lease: Duration,
    /// How long a sender's lease lasts at most once another sender reported the end of the same generator's alert, and how
    /// long nothing resolves by time after the clock jumped.
    pub resolve_timeout: Duration,
    pub ended_retention: Duration,
    pub alerts_max: usize,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self {
            drop_labels: SENDER_LABELS.into_iter().map(Arc::from).collect(),
            webhook_lease: WEBHOOK_LEASE,
            resolve_timeout: RESOLVE_TIMEOUT,
            ended_retention: ENDED_RETENTION,
            alerts_max: ALERTS_MAX,
        }
    }
}

/// Why a post could not be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// Answer 503; known alerts are still refreshed.
    #[error("too many alerts: {max} are held already")]
    Full { max: usize },
    /// Answer 400.
    #[error("at least one label is needed that does not name the sender")]
    NoIdentity,
}

/// Why a post changed nothing though it was no refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IgnoredReason {
    /// An end for an alert that this source never reported as firing, and that ends nobody else's lease either (see
    /// `ends`). Alertmanager stores it and notifies nobody; here it is not stored.
    EndOfUnknown,
    /// The alert has [`SOURCES_PER_ALERT_MAX`] live sources; it fires anyway.
    TooManySources,
    /// An end by time so soon after a jump of the clock that the time may be wrong.
    HeldAfterClockJump,
}

impl IgnoredReason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EndOfUnknown => "the source ended an alert that it had not reported as firing",
            Self::TooManySources => "the alert has as many sources as are kept",
            Self::HeldAfterClockJump => {
                "the clock has just jumped, so an end of another sender's alert is not believed"
            }
        }
    }
}

/// What became of a post.
#[derive(Clone, Debug)]
pub enum Observed {
    /// Known, same content: the lease was extended and nothing else need happen.
    Refresh,
    /// To be decided on and committed before the sender is answered "done".
    Transition(Transition),
    Ignored {
        reason: IgnoredReason,
    },
}

/// The concurrent map. Every method takes and releases its locks inside.
pub struct AlertRegistry {
    config: RegistryConfig,
    map: DashMap<Fingerprint, Entry, FixedState>,
    held: AtomicUsize,
    versions: AtomicU64,
    leases: DueQueue,
    ended: DueQueue,
    no_sender: Arc<str>,
    /// Nothing resolves by time before this moment (milliseconds): the clock jumped.
    held_until: AtomicI64,
}

impl AlertRegistry {
    pub fn new(config: RegistryConfig) -> Self {
        Self {
            config,
            map: DashMap::with_hasher_and_shard_amount(FixedState::default(), SHARDS),
            held: AtomicUsize::new(0),
            versions: AtomicU64::new(0),
            leases: DueQueue::default(),
            ended: DueQueue::default(),
            no_sender: Arc::from(""),
            held_until: AtomicI64::new(i64::MIN),
        }
    }

    /// The fingerprint that `labels` have here: without the labels that name a sender.
    pub fn identity(&self, labels: &Labels) -> Fingerprint {
        Fingerprint::of_pairs(labels.iter().filter(|(name, _)| !self.names_sender(name)))
    }

    /// Takes one post. A refresh costs a hash, a map look-up and a few comparisons. While the last transition of the
    /// fingerprint is not [`AlertRegistry::committed`], a repeat is that transition again, so that "done" always means durable:
    /// the writer must take the same version twice without harm.
    pub fn observe(&self, alert: Alert, now: Timestamp) -> Result<Observed, RegistryError> {
        let (fingerprint, sender) = self.identify(&alert.labels)?;
        let update = SourceUpdate {
            door: alert.door,
            sender: &sender,
            claimant: &alert.claimant,
            claim: self.claim(&alert, now),
            annotations: &alert.annotations,
            generator_url: &alert.generator_url,
        };
        match self.map.entry(fingerprint) {
            Slot::Occupied(mut slot) => {
                let entry = slot.get_mut();
                let rules = EndRules {
                    resolve_timeout: self.config.resolve_timeout,
                    held_until: self.held_until(now),
                    no_sender: &self.no_sender,
                };
                let effect = entry.apply(&update, &rules, now);
                Ok(self.publish(fingerprint, entry, effect, now))
            }
            Slot::Vacant(_) if !update.claim.is_live(now) => {
                Ok(Observed::Ignored { reason: IgnoredReason::EndOfUnknown })
            }
            Slot::Vacant(slot) => {
                self.reserve_room()?;
                let labels = if sender.is_empty() { alert.labels.clone() } else { self.strip(&alert.labels) };
                let mut entry = Entry::new(fingerprint, labels, &update, &self.no_sender, now);
                let observed = self.publish(fingerprint, &mut entry, Effect::Changed(TransitionKind::Started), now);
                slot.insert(entry);
                Ok(observed)
            }
        }
    }

    /// The writer has committed the transition `version` of `fingerprint`; repeats are refreshes from now on.
    pub fn committed(&self, fingerprint: Fingerprint, version: u64) {
        if let Some(mut entry) = self.map.get_mut(&fingerprint)
            && entry.version == version
        {
            entry.pending = None;
        }
    }

    /// Ends the alerts whose last lease has run out, at most `max` of them.
    pub fn expire(&self, now: Timestamp, max: usize) -> Vec<Transition> {
        let mut transitions = Vec::new();
        if self.held_until(now).is_some() {
            return transitions;
        }
        while transitions.len() < max
            && let Some((due, fingerprint)) = self.leases.pop_due(now)
        {
            let Some(mut entry) = self.map.get_mut(&fingerprint) else { continue };
            if entry.lease_due != due {
                // The queue holds an earlier item for the same alert; this one is a leftover.
                continue;
            }
            entry.lease_due = Timestamp::MAX;
            let effect = entry.expire(now);
            if effect == Effect::Refreshed {
                self.arm(fingerprint, &mut entry, now);
                continue;
            }
            if let Observed::Transition(t) = self.publish(fingerprint, &mut entry, effect, now) {
                transitions.push(t);
            }
        }
        transitions
    }

    /// When [`AlertRegistry::expire`] may have work; at times early, never late.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        // During a hold there is nothing to do before it is over.
        let held_until = Timestamp::from_millis(self.held_until.load(Ordering::Relaxed));
        self.leases.next().map(|due| due.max(held_until))
    }

    /// Forgets the alerts that ended and were not heard of for the retention, at most `max`; their rows are to be dropped.
    pub fn gc(&self, now: Timestamp, max: usize) -> Vec<Fingerprint> {
        let mut dropped = Vec::new();
        while dropped.len() < max
            && let Some((_, fingerprint)) = self.ended.pop_due(now)
        {
            let Some(mut entry) = self.map.get_mut(&fingerprint) else { continue };
            entry.gc_armed = false;
            let quiet_until = entry.quiet_until(self.config.ended_retention);
            if entry.record.is_firing() || quiet_until > now || entry.pending.is_some() {
                self.arm(fingerprint, &mut entry, now);
                continue;
            }
            drop(entry);
            if self.drop_ended(fingerprint) {
                dropped.push(fingerprint);
            }
        }
        dropped
    }

    /// Forgets one alert if it has ended and that is committed; says whether it did.
    pub fn drop_ended(&self, fingerprint: Fingerprint) -> bool {
        let gone = self.map.remove_if(&fingerprint, |_, e| !e.record.is_firing() && e.pending.is_none());
        if gone.is_some() {
            self.held.fetch_sub(1, Ordering::Relaxed);
        }
        gone.is_some()
    }

    /// Fills the registry after a restart. A lease that was granted until a time gets its length again, counted from
    /// `now`: its source could not be heard while we were down. Open leases and ended alerts stay as they were.
    pub fn restore(&self, records: impl IntoIterator<Item = AlertRecord>, now: Timestamp) {
        for mut record in records {
            if record.is_firing() {
                for lease in &mut record.leases {
                    grant_again(lease, now);
                }
            }
            let fingerprint = record.fingerprint;
            let mut entry = Entry::restored(record);
            self.arm(fingerprint, &mut entry, now);
            if self.map.insert(fingerprint, entry).is_none() {
                self.held.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// The record as of the last post, refreshes included.
    pub fn get(&self, fingerprint: Fingerprint) -> Option<Arc<AlertRecord>> {
        self.map.get(&fingerprint).map(|entry| Arc::clone(&entry.record))
    }

    /// Visits every record, shard by shard; not a snapshot of one moment. `visit` must not call the registry: it would wait
    /// for the shard that is being visited.
    pub fn for_each(&self, mut visit: impl FnMut(&Arc<AlertRecord>)) {
        for entry in &self.map {
            visit(&entry.record);
        }
    }

    /// Alerts held, ended ones included.
    pub fn len(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn names_sender(&self, name: &str) -> bool {
        self.config.drop_labels.iter().any(|d| **d == *name)
    }

    fn strip(&self, labels: &Labels) -> Labels {
        labels.retain(|name, _| !self.names_sender(name))
    }

    /// The fingerprint, and the sender as text: the dropped labels printed, empty without any.
    fn identify(&self, labels: &Labels) -> Result<(Fingerprint, SenderText), RegistryError> {
        let mut sender = SenderText::new();
        let mut kept = 0;
        let fingerprint = Fingerprint::of_pairs(labels.iter().filter(|(name, value)| {
            if !self.names_sender(name) {
                kept += 1;
                return true;
            }
            if !sender.is_empty() {
                sender.push(b',');
            }
            sender.extend_from_slice(name.as_bytes());
            sender.extend_from_slice(b"=");
            sender.extend_from_slice(value.as_bytes());
            false
        }));
        if kept == 0 { Err(RegistryError::NoIdentity) } else { Ok((fingerprint, sender)) }
    }

    fn claim(&self, alert: &Alert, now: Timestamp) -> Claim {
        let mut claim =
            Claim { starts_at: alert.starts_at, ends_at: alert.ends_at, ends_by_timeout: alert.ends_by_timeout };
        if alert.door == Door::AlertmanagerWebhook {
            let cap = now + self.config.webhook_lease;
            if claim.ends_at.is_none_or(|end| end > cap) {
                claim.ends_at = Some(cap);
                claim.ends_by_timeout = true;
            }
        }
        claim
    }

    fn reserve_room(&self) -> Result<(), RegistryError> {
        let max = self.config.alerts_max;
        let taken = self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < max).then_some(n + 1));
        taken.map(|_| ()).map_err(|_| RegistryError::Full { max })
    }

    /// Numbers the change, arms the queues, and repeats what is not committed yet.
    fn publish(&self, fingerprint: Fingerprint, entry: &mut Entry, effect: Effect, now: Timestamp) -> Observed {
        match effect {
            Effect::Ignored(reason) => return Observed::Ignored { reason },
            Effect::Changed(kind) => {
                entry.version = self.versions.fetch_add(1, Ordering::Relaxed) + 1;
                // A change on top of a transition that is not committed is part of that transition.
                entry.pending = match (kind, entry.pending) {
                    (TransitionKind::Changed, Some(pending)) => Some(pending),
                    (kind, _) => Some(kind),
                };
                self.arm(fingerprint, entry, now);
            }
            Effect::Refreshed => self.arm(fingerprint, entry, now),
        }
        match entry.pending {
            Some(kind) => {
                Observed::Transition(Transition { kind, record: Arc::clone(&entry.record), version: entry.version })
            }
            None => Observed::Refresh,
        }
    }

    fn arm(&self, fingerprint: Fingerprint, entry: &mut Entry, now: Timestamp) {
        if entry.record.is_firing() {
            if let Some(end) = entry.record.lease_end()
                && end < entry.lease_due
            {
                entry.lease_due = end;
                self.leases.push(end, fingerprint);
            }
        } else if !entry.gc_armed {
            entry.gc_armed = true;
            // At least a retention ahead when something is still to be committed, so that the queue never spins.
            let wait = if entry.pending.is_some() { now + self.config.ended_retention } else { Timestamp::MIN };
            self.ended.push(entry.quiet_until(self.config.ended_retention).max(wait), fingerprint);
        }
    }
}

/// The sender's labels as text; on the stack for the usual one or two labels.
type SenderText = SmallVec<[u8; 96]>;

fn grant_again(lease: &mut Lease, now: Timestamp) {
    if let Some(end) = lease.ends_at
        && end > lease.updated_at
    {
        lease.ends_at = Some(now + end.since(lease.updated_at));
        // Counted as heard now, or the next restart would grant more than was ever granted.
        lease.updated_at = now;
    }
}

#[cfg(test)]
mod ends_tests;
#[cfg(test)]
mod tests;
