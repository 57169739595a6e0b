//! Live sets of series that rules watch, kept up to date as series come and go.
//! In: matchers. Out: [`Watch`], shared with the rule that asked.
//! Never: costs anything for a sample of a series without watches.
//! Start at [`Watch::snapshot`].

use super::series::Series;
use crate::model::labels::METRIC_NAME;
use crate::model::{MatchOp, Matcher};
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The live set of series that some matchers select.
#[derive(Debug)]
pub struct Watch {
    id: u32,
    matchers: Vec<Matcher>,
    series: RwLock<Arc<Vec<Arc<Series>>>>,
    generation: AtomicU64,
}

impl Watch {
    /// Unique for the life of the head.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The set now, copied.
    pub fn series(&self) -> Vec<Arc<Series>> {
        self.series.read().to_vec()
    }

    /// The set now, shared: for large sets that are read often.
    pub fn snapshot(&self) -> Arc<Vec<Arc<Series>>> {
        self.series.read().clone()
    }

    pub fn len(&self) -> usize {
        self.series.read().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Grows whenever the set changes.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Whether `series` is in the set; cheap, because the series knows its watches.
    pub fn contains(&self, series: &Series) -> bool {
        series.is_watched_by(self.id)
    }

    fn add(&self, series: &Arc<Series>) {
        Arc::make_mut(&mut *self.series.write()).push(series.clone());
        self.generation.fetch_add(1, Ordering::Release);
    }

    fn remove_dead(&self) {
        let mut series = self.series.write();
        if series.iter().any(|s| s.is_gone()) {
            Arc::make_mut(&mut *series).retain(|s| !s.is_gone());
            self.generation.fetch_add(1, Ordering::Release);
        }
    }
}

/// All watches, by the metric name that they ask for, so that a new series meets few of them.
#[derive(Debug, Default)]
pub(super) struct Watches {
    by_metric: HashMap<String, Vec<Arc<Watch>>>,
    others: Vec<Arc<Watch>>,
    next_id: u32,
}

impl Watches {
    /// A watch over `selected`, which the caller found with the same matchers.
    pub fn add(&mut self, matchers: &[Matcher], selected: Vec<Arc<Series>>) -> Arc<Watch> {
        self.drop_unheld();
        let id = self.next_id;
        self.next_id += 1;
        for series in &selected {
            series.watched_by(id);
        }
        let series = RwLock::new(Arc::new(selected));
        let watch = Arc::new(Watch { id, matchers: matchers.to_vec(), series, generation: AtomicU64::new(0) });
        let metric = matchers.iter().find(|m| m.name == METRIC_NAME && m.op == MatchOp::Equal);
        match metric {
            Some(m) => self.by_metric.entry(m.value.clone()).or_default().push(watch.clone()),
            None => self.others.push(watch.clone()),
        }
        watch
    }

    /// Puts a new series into every watch that selects it.
    pub fn introduce(&self, series: &Arc<Series>, labels: &[(&str, &str)]) {
        for watch in self.selecting(labels) {
            // The series learns of it first, so that a reader that sees it in the set can ask `contains`.
            series.watched_by(watch.id);
            watch.add(series);
        }
    }

    /// Whether somebody watches such a series.
    pub fn selects(&self, labels: &[(&str, &str)]) -> bool {
        self.selecting(labels).next().is_some()
    }

    fn selecting<'a>(&'a self, labels: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = &'a Arc<Watch>> {
        let value = |name: &str| labels.iter().find(|(n, _)| *n == name).map_or("", |(_, v)| *v);
        let named = self.by_metric.get(value(METRIC_NAME)).map_or(&[][..], Vec::as_slice);
        // A watch whose last holder is gone is dropped at the next chance; until then it gathers nothing.
        let selects = move |w: &&Arc<Watch>| w.matchers.iter().all(|m| m.matches_value(value(&m.name)));
        named.iter().chain(&self.others).filter(move |w| Arc::strong_count(w) > 1 && selects(w))
    }

    /// Takes series that have left out of every watch.
    pub fn remove_dead(&mut self) {
        self.drop_unheld();
        for watch in self.by_metric.values().flatten().chain(&self.others) {
            watch.remove_dead();
        }
    }

    fn drop_unheld(&mut self) {
        let keep = |watch: &Arc<Watch>| {
            let held = Arc::strong_count(watch) > 1;
            if !held {
                for series in watch.series.read().iter() {
                    series.unwatched_by(watch.id);
                }
            }
            held
        };
        self.others.retain(keep);
        self.by_metric.retain(|_, watches| {
            watches.retain(keep);
            !watches.is_empty()
        });
    }
}
