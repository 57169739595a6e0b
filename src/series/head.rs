//! The head: all series that are held, and the sets that rules watch.
//! In: labels, time, value. Out: shared handles.
//! Never: keeps more than the window, or lets a new series push out a known one.
//! Start at [`Head::append`], or [`Head::batch`] for whole requests.

mod read;

use super::admission::{Budget, LabelLimits, LeftOut};
use super::aliases::Aliases;
use super::batch::Batch;
use super::error::AppendError;
use super::hash::SpanHasher;
use super::index::{Index, Slot};
use super::metadata::MetadataBook;
use super::pool::{PairId, Pool};
use super::region::{Data, REGION, Region, Retention, ms};
use super::series::Series;
use super::sweep::Fruitless;
use super::watch::Watches;
use crate::model::labels::METRIC_NAME;
use crate::model::{Labels, SampleValue, SeriesId, Timestamp};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use smallvec::SmallVec;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Raw spellings remembered per series on average: two replicas, two protocol versions.
const ALIASES_PER_SERIES: usize = 4;
/// Regions at most, whatever the configuration says: 134 million series.
const REGIONS_MAX: usize = 1 << 18;
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
    /// Samples further ahead of our clock are refused.
    pub future_limit: Duration,
    /// Series held at most. Known ones keep working when it is reached, new ones are refused.
    pub series_max: usize,
    /// The same for each metric, and for each source.
    pub series_per_metric_max: usize,
    pub series_per_source_max: usize,
    /// The label whose value names the source.
    pub source_label: String,
    /// Bytes that series and samples may take; `None` for as much as `series_max` leads to.
    pub memory_budget: Option<usize>,
    pub limits: LabelLimits,
}

impl Default for HeadConfig {
    fn default() -> Self {
        Self {
            window: Duration::from_hours(1),
            out_of_order_window: Duration::from_mins(10),
            future_limit: super::batch::FUTURE_LIMIT,
            series_max: 2_000_000,
            series_per_metric_max: usize::MAX,
            series_per_source_max: usize::MAX,
            source_label: "cluster".to_owned(),
            memory_budget: None,
            limits: LabelLimits::default(),
        }
    }
}

/// Where a series is; good until it leaves, and known to be so by the generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesHandle {
    pub(super) slot: Slot,
    pub(super) generation: u32,
}

impl SeriesHandle {
    pub(super) fn of(id: SeriesId) -> Self {
        Self { slot: id.0 as u32, generation: (id.0 >> 32) as u32 }
    }

    pub(super) fn id(self) -> SeriesId {
        SeriesId(u64::from(self.generation) << 32 | u64::from(self.slot))
    }
}

/// Since when samples came without a gap.
#[derive(Clone, Copy, Debug, Default)]
struct Coverage {
    start_ms: Option<i64>,
    newest_ms: Option<i64>,
}

#[derive(Debug)]
pub struct Head {
    config: HeadConfig,
    pub(super) keep: Retention,
    hasher: SpanHasher,
    aliases: RwLock<Aliases>,
    pub(super) pool: Arc<RwLock<Pool>>,
    pub(super) index: RwLock<Index>,
    regions: Box<[OnceLock<Arc<Region>>]>,
    /// Bytes of all blocks.
    block_bytes: Arc<AtomicUsize>,
    /// Bytes of the senders' keys, as they were when somebody last wrote to them: a request that is asked for its place holds
    /// them already.
    alias_bytes: AtomicUsize,
    /// Labels of all series.
    pub(super) label_count: AtomicUsize,
    pub(super) watches: RwLock<Watches>,
    arrivals: Mutex<Vec<Arc<Series>>>,
    metadata: Mutex<MetadataBook>,
    coverage: Mutex<Coverage>,
    pub(super) samples: AtomicI64,
    /// The latest `now` of any caller.
    pub(super) now_ms: AtomicI64,
    left_out: LeftOut,
    pub(super) fruitless: Mutex<Option<Fruitless>>,
    pub(super) sweeping: Mutex<()>,
    pub(super) is_hushed: AtomicBool,
}

impl Default for Head {
    fn default() -> Self {
        Self::new(HeadConfig::default())
    }
}

// Locks are always taken in this order: watches, pool, index, a region, one watch or series. The aliases are held by a
// request over all of these; a thread that writes to them holds none of the others but a region's. A relief holds `fruitless` over
// its sweep, and a sweep `sweeping` over all others; requests take neither.
impl Head {
    pub fn new(config: HeadConfig) -> Self {
        let millis = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
        let regions = (config.series_max / REGION + 2).min(REGIONS_MAX);
        Self {
            keep: Retention { window: millis(config.window), out_of_order: millis(config.out_of_order_window) },
            config,
            hasher: SpanHasher::default(),
            aliases: RwLock::default(),
            pool: Arc::default(),
            index: RwLock::default(),
            regions: (0..regions).map(|_| OnceLock::new()).collect(),
            block_bytes: Arc::default(),
            alias_bytes: AtomicUsize::new(0),
            label_count: AtomicUsize::new(0),
            watches: RwLock::default(),
            arrivals: Mutex::default(),
            metadata: Mutex::default(),
            coverage: Mutex::default(),
            samples: AtomicI64::new(0),
            now_ms: AtomicI64::new(i64::MIN),
            left_out: LeftOut::default(),
            fruitless: Mutex::default(),
            sweeping: Mutex::default(),
            is_hushed: AtomicBool::new(false),
        }
    }

    /// Adds one sample of our own making; the series is made when it is new. The same sample twice is fine.
    pub fn append(&self, labels: &Labels, t: Timestamp, v: SampleValue) -> Result<Arc<Series>, AppendError> {
        let series = self.find_or_create(labels)?;
        let mut batch = Batch::ours(self, ms(t).max(self.now_ms.load(Ordering::Relaxed)));
        batch.append(&series, ms(t), &v)?;
        Ok(series)
    }

    /// Adds one sample that says since when its count runs.
    pub fn append_started(
        &self,
        labels: &Labels,
        t: Timestamp,
        v: SampleValue,
        start: Timestamp,
    ) -> Result<Arc<Series>, AppendError> {
        let series = self.append(labels, t, v)?;
        series.started_at(t, start);
        Ok(series)
    }

    /// While it is hushed, samples that come to watched series are no arrivals: those of a log are looked at in slots.
    pub fn hush(&self, hushed: bool) {
        self.is_hushed.store(hushed, Ordering::Relaxed);
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
    pub fn hasher(&self) -> &SpanHasher {
        &self.hasher
    }

    pub(super) fn aliases(&self) -> RwLockReadGuard<'_, Aliases> {
        self.aliases.read()
    }

    /// The region of a slot; made when its first series comes.
    pub(super) fn region(&self, slot: Slot) -> &Arc<Region> {
        let number = (slot as usize / REGION).min(self.regions.len() - 1);
        self.regions[number].get_or_init(|| Arc::new(Region::new(self.block_bytes.clone())))
    }

    /// The series with these labels, made if it is new and may come in.
    pub fn find_or_create(&self, labels: &Labels) -> Result<Arc<Series>, AppendError> {
        let pairs: SmallVec<[(&str, &str); 32]> = labels.iter().collect();
        let now_ms = self.now_ms.load(Ordering::Relaxed);
        // A series that leaves right here would have been idle for a whole window.
        for _ in 0..3 {
            let place = self.place(&pairs, now_ms)?;
            if let Some(series) = self.handle(place) {
                return Ok(series);
            }
        }
        Err(AppendError::TooOld)
    }

    /// The handle of the series at a place, unless it has left.
    pub fn handle(&self, place: SeriesHandle) -> Option<Arc<Series>> {
        let region = self.region(place.slot);
        let mut data = region.data.lock();
        let i = place.slot as usize % REGION;
        (data.is_alive(i) && data.generation(i) == place.generation).then(|| self.handle_in(&mut data, place.slot))
    }

    pub(super) fn handle_in(&self, data: &mut Data, slot: Slot) -> Arc<Series> {
        let i = slot as usize % REGION;
        if let Some(handle) = data.handle(i) {
            return handle.clone();
        }
        let id = SeriesHandle { slot, generation: data.generation(i) }.id();
        let series = Arc::new(Series::new(id, slot, self.region(slot).clone(), self.pool.clone()));
        data.set_handle(i, series.clone());
        series
    }

    /// The place of the series with these labels, which are sorted and not empty.
    pub(super) fn place(&self, labels: &[(&str, &str)], now_ms: i64) -> Result<SeriesHandle, AppendError> {
        let value = |name: &str| labels.iter().find(|(n, _)| *n == name).map_or("", |(_, v)| *v);
        let metric = value(METRIC_NAME);
        let watches = self.watches.read();
        let selected = watches.selects(labels);
        {
            let (pool, index) = (self.pool.read(), self.index.read());
            if let Some(place) = self.find(&pool, &index, labels) {
                return Ok(place);
            }
            self.config.limits.check(labels, metric)?;
            // Asked here too, so that a flood of series that cannot come in holds up no other request.
            self.admit(&pool, &index, metric, value(&self.config.source_label), selected)?;
        }
        let (mut pool, mut index) = (self.pool.write(), self.index.write());
        let ids: SmallVec<[PairId; 32]> = labels.iter().map(|(name, value)| pool.intern(name, value)).collect();
        let hash = index.hash(&ids);
        // Between the two locks another request may have brought it, or taken the last room.
        let other = match self.find_ids(&index, hash, &ids) {
            Some(place) => Some(Ok(place)),
            None => self.admit(&pool, &index, metric, value(&self.config.source_label), selected).err().map(Err),
        };
        if let Some(other) = other {
            for id in ids {
                pool.release(id);
            }
            return other;
        }
        let slot = index.insert(hash, pool.named(&ids, METRIC_NAME), self.source_of(&pool, &ids));
        self.label_count.fetch_add(ids.len(), Ordering::Relaxed);
        let mut data = self.region(slot).data.lock();
        // A sweep may know of a later time than this request: what is new must not be idle already.
        data.create(slot as usize % REGION, &ids, now_ms.max(self.now_ms.load(Ordering::Relaxed)));
        let place = SeriesHandle { slot, generation: data.generation(slot as usize % REGION) };
        let handle = selected.then(|| self.handle_in(&mut data, slot));
        drop((data, index, pool));
        if let Some(series) = handle {
            watches.introduce(&series, labels);
        }
        Ok(place)
    }

    fn find(&self, pool: &Pool, index: &Index, labels: &[(&str, &str)]) -> Option<SeriesHandle> {
        let ids: SmallVec<[PairId; 32]> =
            labels.iter().map(|(name, value)| pool.find(name, value)).collect::<Option<_>>()?;
        self.find_ids(index, index.hash(&ids), &ids)
    }

    fn find_ids(&self, index: &Index, hash: u32, ids: &[PairId]) -> Option<SeriesHandle> {
        let mut generation = 0;
        let slot = index.find(hash, |slot| {
            let data = self.region(slot).data.lock();
            let i = slot as usize % REGION;
            generation = data.generation(i);
            data.labels(i) == ids
        })?;
        Some(SeriesHandle { slot, generation })
    }

    /// Whether one more series may come in.
    fn admit(&self, pool: &Pool, index: &Index, metric: &str, source: &str, selected: bool) -> Result<(), AppendError> {
        let config = &self.config;
        let of_metric = pool.find(METRIC_NAME, metric).map_or(0, |pair| index.of_metric(pair));
        let source_pair = pool.find(&config.source_label, source);
        let of_source = if source.is_empty() || source_pair.is_some() { index.of_source(source_pair) } else { 0 };
        let refuse = |what: &str, limit| {
            Err(AppendError::TooManySeries { what: what.to_owned(), limit, metric: metric.to_owned() })
        };
        if index.len() >= config.series_max || !index.has_slot(self.regions.len() * REGION) {
            return refuse("in all", config.series_max);
        }
        if of_metric >= config.series_per_metric_max {
            return refuse("of one metric", config.series_per_metric_max);
        }
        if of_source >= config.series_per_source_max {
            return refuse(&format!("from {}={source:?}", config.source_label), config.series_per_source_max);
        }
        let budget = Budget(config.memory_budget);
        if budget.0.is_some() && !budget.has_room(self.taken(pool, index), selected) {
            return Err(AppendError::NoRoom { metric: metric.to_owned() });
        }
        Ok(())
    }

    pub(super) fn source_of(&self, pool: &Pool, ids: &[PairId]) -> Option<PairId> {
        pool.named(ids, &self.config.source_label)
    }

    /// Remembers what keys mean, unless the series have left.
    pub(super) fn remember(&self, keys: impl Iterator<Item = (u128, SeriesHandle, u32)>, minute: u32) {
        let mut aliases = self.aliases.write();
        for (key, place, tag) in keys {
            // Without room the series is found by its labels, only more slowly.
            if aliases.len() >= self.config.series_max.saturating_mul(ALIASES_PER_SERIES) {
                break;
            }
            let data = self.region(place.slot).data.lock();
            let i = place.slot as usize % REGION;
            if data.is_alive(i) && data.generation(i) == place.generation {
                aliases.insert(key, place.slot, tag, minute);
            }
        }
        self.alias_bytes.store(aliases.bytes(), Ordering::Relaxed);
    }

    /// Forgets the keys of series that have left, and those that no sender has used since the minute `oldest`. A request may hold
    /// keys of what has left; when this returns, none does.
    pub(super) fn forget_keys(&self, gone: impl Fn(Slot) -> bool, oldest: u32) {
        let mut aliases = self.aliases.write();
        aliases.retain(|slot, met| !gone(slot) && met >= oldest);
        self.alias_bytes.store(aliases.bytes(), Ordering::Relaxed);
    }

    pub(super) fn arrived(&self, series: &mut Vec<Arc<Series>>) {
        let mut arrivals = self.arrivals.lock();
        let room = ARRIVALS_MAX.saturating_sub(arrivals.len()).min(series.len());
        arrivals.extend(series.drain(..room));
        drop(arrivals);
        Series::forget_notes(series);
        series.clear();
    }

    /// What a request brought, counted once at its end.
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
}
