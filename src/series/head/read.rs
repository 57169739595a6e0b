//! What rules, queries and the status read of the head.
//! In: matchers. Out: series, watches, label names and values, counts and bytes.
//! Never: changes a series.
//! Start at [`Head::select`].

use super::super::admission::Budget;
use super::super::index::{Index, Slot};
use super::super::metadata::MetadataBook;
use super::super::pool::{PairId, Pool};
use super::super::region::{Data, REGION, Region};
use super::super::select::Selection;
use super::super::series::Series;
use super::super::watch::Watch;
use super::Head;
use crate::model::{Labels, Matcher, Timestamp};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Head {
    /// Every series that all matchers select, in no order.
    pub fn select(&self, matchers: &[Matcher]) -> Vec<Arc<Series>> {
        let mut out = Vec::new();
        Selection::new(self, matchers).visit(|data, slot| out.push(self.handle_in(data, slot)));
        out
    }

    /// A set that is kept up to date for as long as somebody else holds it.
    pub fn watch(&self, matchers: &[Matcher]) -> Arc<Watch> {
        let mut watches = self.watches.write();
        let selected = self.select(matchers);
        watches.add(matchers, selected)
    }

    /// Whether some rule watches series of these labels.
    pub fn is_watched(&self, labels: &Labels) -> bool {
        self.watches.read().selects(&labels.iter().collect::<Vec<_>>())
    }

    /// The watched series to which samples came since the last call, each once.
    pub fn take_arrivals(&self) -> Vec<Arc<Series>> {
        let arrivals = std::mem::take(&mut *self.arrivals.lock());
        Series::forget_notes(&arrivals);
        arrivals
    }

    pub fn series_count(&self) -> usize {
        self.index.read().len()
    }

    /// The limit of [`Self::series_count`].
    pub fn series_max(&self) -> usize {
        self.config.series_max
    }

    pub fn sample_count(&self) -> usize {
        usize::try_from(self.samples.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Bytes that series and samples take; handles that rules and queries hold are not in it.
    pub fn memory_bytes(&self) -> usize {
        self.taken(&self.pool.read(), &self.index.read())
    }

    /// The one sum by which series are let in and sent away.
    pub(super) fn taken(&self, pool: &Pool, index: &Index) -> usize {
        pool.bytes()
            + index.bytes()
            + index.slots_end() as usize * Data::BYTES_PER_SERIES
            + self.label_count.load(Ordering::Relaxed) * size_of::<PairId>()
            + self.block_bytes.load(Ordering::Relaxed)
            + self.alias_bytes.load(Ordering::Relaxed)
    }

    /// What leaves with a series besides its blocks, on average: its keys, its texts, and the ids of its labels. Its place stays.
    pub(in crate::series) fn bytes_gone_with_one(&self) -> usize {
        let (texts, series) = (self.pool.read().text_bytes(), self.series_count().max(1));
        let ids = self.label_count.load(Ordering::Relaxed) * size_of::<PairId>();
        (texts + ids + self.alias_bytes.load(Ordering::Relaxed)) / series
    }

    /// The budget, and what is to be counted when it leaves series out.
    pub(in crate::series) fn budget(&self) -> Budget {
        Budget(self.config.memory_budget)
    }

    /// Counts samples of a series that the budget leaves out.
    pub fn leave_out(&self, metric: &str, samples: u64) {
        self.left_out.count(metric, samples);
    }

    /// Samples that the memory budget left out, by metric.
    pub fn left_out(&self) -> Vec<(Arc<str>, u64)> {
        self.left_out.counts()
    }

    pub(in crate::series) fn regions(&self) -> impl Iterator<Item = (Slot, &Arc<Region>)> {
        self.regions.iter().enumerate().filter_map(|(i, region)| Some(((i * REGION) as Slot, region.get()?)))
    }

    pub(in crate::series) fn future_limit_ms(&self) -> i64 {
        i64::try_from(self.config.future_limit.as_millis()).unwrap_or(i64::MAX)
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
            return self.pool.read().names();
        }
        self.selected_texts(matchers, |(name, _)| Some(name))
    }

    /// Values of a label over the selected series, sorted; no matchers: over all series.
    pub fn label_values(&self, name: &str, matchers: &[Matcher]) -> Vec<Arc<str>> {
        if matchers.is_empty() {
            return self.pool.read().values(name);
        }
        self.selected_texts(matchers, |(n, value)| (n == name).then_some(value))
    }

    fn selected_texts(
        &self,
        matchers: &[Matcher],
        text: impl for<'p> Fn((&'p str, &'p str)) -> Option<&'p str>,
    ) -> Vec<Arc<str>> {
        let mut pairs: BTreeSet<PairId> = BTreeSet::new();
        let selection = Selection::new(self, matchers);
        selection.visit(|data, slot| pairs.extend(data.labels(slot as usize % REGION)));
        let pool = self.pool.read();
        let texts: BTreeSet<&str> = pairs.iter().filter_map(|pair| text(pool.pair(*pair))).collect();
        texts.into_iter().map(Arc::from).collect()
    }

    /// Type, help and unit by metric.
    pub fn metadata(&self) -> &Mutex<MetadataBook> {
        &self.metadata
    }
}
