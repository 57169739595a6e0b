//! The head: all series that are held, and the sets that rules watch.
//! In: labels, time, value. Out: shared handles.
//! Never: keeps more than the window, or lets a new series push out a known one.
//! Start at [`Head::append`], or [`Head::batch`] for whole requests.

use super::batch::Batch;
use super::chunk::{Retention, ms};
use super::error::AppendError;
use super::hash::Hasher;
use super::index::Index;
use super::metadata::MetadataBook;
use super::series::Series;
use super::watch::{Watch, Watches};
use crate::model::{Labels, Matcher, SampleValue, Timestamp};
use hashbrown::HashTable;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Locks of the series tables; a power of two well above the number of cores, so that writers seldom meet.
const SHARDS: usize = 64;
/// Raw spellings remembered per series on average: two replicas, and a change of external labels on both.
const ALIASES_PER_SERIES: usize = 4;
/// Arrivals that wait for the evaluate loop at most; beyond, a slot of their group will see them.
const ARRIVALS_MAX: usize = 1 << 20;
/// A pause in the samples that is longer than this is a gap (Prometheus' look-back: shorter ones no query sees).
const CONTINUITY: Duration = Duration::from_mins(5);

#[derive(Clone, Debug)]
pub struct HeadConfig {
    /// How far back a series keeps samples; a series to which nothing came for so long leaves.
    pub window: Duration,
    /// How much older than the newest sample of its series a sample may be.
    pub out_of_order_window: Duration,
    /// Series held at most. Known ones keep working when it is reached, new ones are refused.
    pub series_max: usize,
    pub limits: LabelLimits,
}

impl Default for HeadConfig {
    fn default() -> Self {
        Self {
            window: Duration::from_hours(1),
            out_of_order_window: Duration::from_mins(10),
            series_max: 2_000_000,
            limits: LabelLimits::default(),
        }
    }
}

/// What a label set may be, checked once, when a series is new. Far above what exporters write, far below what hurts.
#[derive(Clone, Copy, Debug)]
pub struct LabelLimits {
    pub labels_max: usize,
    pub name_bytes_max: usize,
    pub value_bytes_max: usize,
}

impl Default for LabelLimits {
    fn default() -> Self {
        Self { labels_max: 64, name_bytes_max: 256, value_bytes_max: 2048 }
    }
}

impl LabelLimits {
    fn check(&self, labels: &Labels) -> Result<(), AppendError> {
        let refuse = |what, limit| {
            // The name itself may be what is too long.
            let metric = labels.metric_name().chars().take(128).collect();
            Err(AppendError::LabelLimit { what, limit, metric })
        };
        for (i, (name, value)) in labels.iter().enumerate() {
            if i >= self.labels_max {
                return refuse("the number of labels", self.labels_max);
            }
            if name.len() > self.name_bytes_max {
                return refuse("the length of a label name", self.name_bytes_max);
            }
            if value.len() > self.value_bytes_max {
                return refuse("the length of a label value", self.value_bytes_max);
            }
        }
        Ok(())
    }
}

/// A series under the hash of the bytes that a sender writes for its labels.
#[derive(Debug)]
pub(super) struct Alias {
    hash: u64,
    pub series: Arc<Series>,
    /// What the caller wants to remember with it (the HA replica that writes these bytes).
    pub tag: u32,
}

type Shards<T> = Box<[RwLock<HashTable<T>>]>;

fn shards<T>() -> Shards<T> {
    (0..SHARDS).map(|_| RwLock::new(HashTable::new())).collect()
}

fn shard<T>(shards: &Shards<T>, hash: u64) -> &RwLock<HashTable<T>> {
    // The table itself uses the lowest and the highest bits.
    &shards[(hash >> 40) as usize % SHARDS]
}

/// Since when samples came without a gap.
#[derive(Clone, Copy, Debug, Default)]
struct Coverage {
    start_ms: Option<i64>,
    newest_ms: Option<i64>,
}

#[derive(Debug)]
pub struct Head {
    pub(super) config: HeadConfig,
    pub(super) keep: Retention,
    hasher: Hasher,
    /// By the hash of the labels.
    known: Shards<(u64, Arc<Series>)>,
    /// By the hash of the raw label span.
    aliases: Shards<Alias>,
    index: RwLock<Index>,
    watches: RwLock<Watches>,
    arrivals: Mutex<Vec<Arc<Series>>>,
    metadata: Mutex<MetadataBook>,
    coverage: Mutex<Coverage>,
    samples: AtomicI64,
    /// The latest `now` that anybody brought.
    now_ms: AtomicI64,
}

impl Default for Head {
    fn default() -> Self {
        Self::new(HeadConfig::default())
    }
}

// Locks are always taken in this order: watches, a shard, index, one watch or series.
impl Head {
    pub fn new(config: HeadConfig) -> Self {
        let millis = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
        Self {
            keep: Retention { window: millis(config.window), out_of_order: millis(config.out_of_order_window) },
            config,
            hasher: Hasher::default(),
            known: shards(),
            aliases: shards(),
            index: RwLock::default(),
            watches: RwLock::default(),
            arrivals: Mutex::default(),
            metadata: Mutex::default(),
            coverage: Mutex::default(),
            samples: AtomicI64::new(0),
            now_ms: AtomicI64::new(i64::MIN),
        }
    }

    /// Adds one sample of our own making; the series is made when it is new. The same sample twice is fine.
    pub fn append(&self, labels: &Labels, t: Timestamp, v: SampleValue) -> Result<Arc<Series>, AppendError> {
        let series = self.find_or_create(labels)?;
        let mut batch = Batch::ours(self, ms(t).max(self.now_ms.load(Ordering::Relaxed)));
        batch.append(&series, ms(t), &v)?;
        Ok(series)
    }

    /// For the samples of one request, received at `now`.
    pub fn batch(&self, now: Timestamp) -> Batch<'_> {
        self.now_ms.fetch_max(ms(now), Ordering::Relaxed);
        Batch::received(self, ms(now))
    }

    /// How far back a series keeps samples.
    pub fn window(&self) -> Duration {
        self.config.window
    }

    /// The keyed hashes under which series are found.
    pub fn hasher(&self) -> &Hasher {
        &self.hasher
    }

    /// The series with this hash ([`Hasher::labels`]) whose labels are the `same`.
    pub fn find(&self, hash: u64, same: impl Fn(&Labels) -> bool) -> Option<Arc<Series>> {
        shard(&self.known, hash).read().find(hash, |(h, s)| *h == hash && same(s.labels())).map(|(_, s)| s.clone())
    }

    /// The series with these labels, made if it is new and within the limits.
    pub fn find_or_create(&self, labels: &Labels) -> Result<Arc<Series>, AppendError> {
        let hash = self.hasher.labels(labels);
        if let Some(series) = self.find(hash, |l| l == labels) {
            return Ok(series);
        }
        self.config.limits.check(labels)?;
        let watches = self.watches.read();
        let mut known = shard(&self.known, hash).write();
        if let Some((_, series)) = known.find(hash, |(h, s)| *h == hash && s.labels() == labels) {
            return Ok(series.clone());
        }
        let mut index = self.index.write();
        if index.len() >= self.config.series_max {
            let metric = labels.metric_name().to_owned();
            return Err(AppendError::TooManySeries { limit: self.config.series_max, metric });
        }
        let series = index.insert(labels.clone());
        watches.introduce(&series);
        drop(index);
        known.insert_unique(hash, (hash, series.clone()), |(h, _)| *h);
        Ok(series)
    }

    /// Remembers that the raw bytes with this hash mean `series`.
    pub fn alias(&self, hash: u64, series: &Arc<Series>, tag: u32) {
        let mut aliases = shard(&self.aliases, hash).write();
        let alias = Alias { hash, series: series.clone(), tag };
        let full = aliases.len() > self.config.series_max * ALIASES_PER_SERIES / SHARDS;
        match aliases.find_mut(hash, |a| a.hash == hash && (a.series.is_gone() || Arc::ptr_eq(&a.series, series))) {
            Some(old) => *old = alias,
            // Without room the series is found by its labels, only more slowly.
            None if full => {}
            None => drop(aliases.insert_unique(hash, alias, |a| a.hash)),
        }
    }

    /// Calls `found` for the alias with this hash whose labels are the `same`.
    #[inline]
    pub(super) fn with_alias<R>(
        &self,
        hash: u64,
        same: impl Fn(&Labels, u32) -> bool,
        found: impl FnOnce(&Alias) -> R,
    ) -> Option<R> {
        let aliases = shard(&self.aliases, hash).read();
        aliases.find(hash, |a| a.hash == hash && same(a.series.labels(), a.tag)).map(found)
    }

    /// Every series that all matchers select, in no order.
    pub fn select(&self, matchers: &[Matcher]) -> Vec<Arc<Series>> {
        self.index.read().select(matchers)
    }

    /// A set that is kept up to date for as long as somebody else holds it.
    pub fn watch(&self, matchers: &[Matcher]) -> Arc<Watch> {
        let mut watches = self.watches.write();
        let selected = self.select(matchers);
        watches.add(matchers, selected)
    }

    /// Whether some rule watches series of these labels.
    pub fn is_watched(&self, labels: &Labels) -> bool {
        self.watches.read().selects(labels)
    }

    /// The watched series to which samples came since the last call, each once.
    pub fn take_arrivals(&self) -> Vec<Arc<Series>> {
        let arrivals = std::mem::take(&mut *self.arrivals.lock());
        for series in &arrivals {
            series.forget_note();
        }
        arrivals
    }

    #[inline]
    pub(super) fn arrived(&self, series: &Arc<Series>) {
        if series.note() {
            let mut arrivals = self.arrivals.lock();
            if arrivals.len() < ARRIVALS_MAX {
                arrivals.push(series.clone());
            } else {
                series.forget_note();
            }
        }
    }

    /// Lets series go to which nothing came for a window; returns how many.
    pub fn sweep(&self, now: Timestamp) -> usize {
        self.now_ms.fetch_max(ms(now), Ordering::Relaxed);
        let cutoff = ms(now).saturating_sub(self.keep.window);
        let mut watches = self.watches.write();
        let mut gone = Vec::new();
        for shard in &self.known {
            shard.write().retain(|(_, series)| {
                let leaves = series.leave_if_idle(cutoff);
                if leaves {
                    gone.push(series.clone());
                }
                !leaves
            });
        }
        if gone.is_empty() {
            return 0;
        }
        self.index.write().remove(&gone);
        watches.remove_dead();
        drop(watches);
        for shard in &self.aliases {
            shard.write().retain(|alias| !alias.series.is_gone());
        }
        let samples: usize = gone.iter().map(|series| series.size().0).sum();
        self.samples.fetch_sub(samples as i64, Ordering::Relaxed);
        gone.len()
    }

    /// What a request brought, told once at its end.
    pub(super) fn tally(&self, added: i64, span_ms: Option<(i64, i64)>) {
        self.samples.fetch_add(added, Ordering::Relaxed);
        let Some((oldest, newest)) = span_ms else { return };
        let mut coverage = self.coverage.lock();
        let gap = coverage.newest_ms.is_none_or(|n| oldest.saturating_sub(n) > CONTINUITY.as_millis() as i64);
        if gap {
            coverage.start_ms = Some(oldest);
        }
        coverage.newest_ms = coverage.newest_ms.max(Some(newest));
    }

    pub fn series_count(&self) -> usize {
        self.index.read().len()
    }

    pub fn sample_count(&self) -> usize {
        usize::try_from(self.samples.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Bytes that series and samples take, estimated by walking them all: for a scrape, not for a hot path.
    pub fn memory_bytes(&self) -> usize {
        // Two table entries, an index place and a posting per label, of which series have about ten.
        const PER_SERIES: usize = 24 + 16 + 8 + 10 * 4;
        let series: usize = self.index.read().all().map(|s| s.size().1 + PER_SERIES).sum();
        series + size_of::<Self>()
    }

    /// The time of the newest sample that a sender brought.
    pub fn newest_sample_time(&self) -> Option<Timestamp> {
        self.coverage.lock().newest_ms.map(Timestamp::from_millis)
    }

    /// Since when senders' samples came without a pause of more than five minutes; at most a window ago.
    pub fn coverage_start(&self) -> Option<Timestamp> {
        let coverage = *self.coverage.lock();
        let (start, newest) = (coverage.start_ms?, coverage.newest_ms?);
        Some(Timestamp::from_millis(start.max(newest.saturating_sub(self.keep.window))))
    }

    /// Names of all labels of the selected series, sorted; no matchers: of all series.
    pub fn label_names(&self, matchers: &[Matcher]) -> Vec<Arc<str>> {
        if matchers.is_empty() {
            return self.index.read().label_names().into_iter().collect();
        }
        let selected = self.select(matchers);
        let names: BTreeSet<&str> = selected.iter().flat_map(|s| s.labels().iter().map(|(n, _)| n)).collect();
        names.into_iter().map(Arc::from).collect()
    }

    /// Values of a label over the selected series, sorted; no matchers: over all series.
    pub fn label_values(&self, name: &str, matchers: &[Matcher]) -> Vec<Arc<str>> {
        if matchers.is_empty() {
            return self.index.read().label_values(name).into_iter().collect();
        }
        let selected = self.select(matchers);
        let values: BTreeSet<&str> = selected.iter().filter_map(|s| s.labels().get(name)).collect();
        values.into_iter().map(Arc::from).collect()
    }

    /// Type, help and unit by metric.
    pub fn metadata(&self) -> &Mutex<MetadataBook> {
        &self.metadata
    }
}
