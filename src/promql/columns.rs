//! What selectors and range functions give for each series of a set, computed once for all rules that ask alike.
//! In: a watch's series, a moment. Out: [`Column`], one float per series, in the set's order.
//! Never: outlives its turn: what was computed before [`Columns::turn`], [`Columns::arrive`] or [`Columns::forget`] is
//! computed anew.
//! Start at [`Columns::get`].

use super::eval::Eval;
use super::functions::{Function, Kind, RangeCall, Stretch, stretched};
use super::recent::{Recents, Unanswered};
use super::window::Window;
use crate::model::sample::STALE_NAN_BITS;
use crate::model::{SampleValue, Timestamp};
use crate::series::Series;
use smallvec::SmallVec;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Columns that nobody asked for in so many turns are dropped: a rule with an interval of minutes keeps its buffer.
const IDLE_TURNS_MAX: u64 = 256;

/// A set of series, shared.
pub type SeriesSet = Arc<Vec<Arc<Series>>>;

/// What a column holds for each series.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reading {
    /// The newest live sample.
    Latest { offset_ms: i64 },
    /// A range function over the samples in a window.
    Window { function: &'static str, range_ms: i64, offset_ms: i64, scalars: SmallVec<[u64; 2]> },
}

/// No value for this series. A stale marker is never the value of anything, so its bits are free.
pub(super) const ABSENT: f64 = f64::from_bits(STALE_NAN_BITS);

#[inline]
pub(super) fn is_absent(v: f64) -> bool {
    v.to_bits() == STALE_NAN_BITS
}

/// One float per series, [`ABSENT`] where there is none.
pub(super) struct Column {
    turn: u64,
    at: i64,
    series: SeriesSet,
    pub values: Vec<f64>,
    /// Samples that were looked at: they count for the budget of everybody who uses them.
    pub samples: usize,
    /// A histogram was among the inputs: the column is not complete then, and nobody may use it.
    pub has_histograms: bool,
}

/// The columns of one turn; buffers live on from turn to turn, and so do the recent samples from which they are made.
#[derive(Default)]
pub struct Columns {
    stamps: Cell<u64>,
    /// Over whole watches.
    whole: RefCell<Table>,
    /// Over the series that moved.
    moved: RefCell<Table>,
    recents: RefCell<Recents>,
}

#[derive(Default)]
struct Table {
    turn: u64,
    columns: HashMap<(u32, Reading), Arc<Column>, foldhash::fast::FixedState>,
}

impl Table {
    fn turn(&mut self) {
        self.turn += 1;
        if self.turn.is_multiple_of(IDLE_TURNS_MAX) {
            let oldest = self.turn - IDLE_TURNS_MAX;
            self.columns.retain(|_, column| column.turn >= oldest);
        }
    }
}

impl Columns {
    /// `held`: how far back the head keeps samples.
    pub fn new(held: Duration) -> Self {
        let held_ms = i64::try_from(held.as_millis()).unwrap_or(i64::MAX);
        Self { recents: RefCell::new(Recents::new(held_ms)), ..Self::default() }
    }

    /// A new turn of whole watches begins: samples may have come.
    pub fn turn(&mut self, now: Timestamp) {
        self.recents.get_mut().turn(now.as_millis());
        self.whole.get_mut().turn();
    }

    /// Samples came: columns of the series that moved are computed anew. Those of whole watches keep their turn, so that
    /// rules of one slot see the same when arrivals are evaluated between them.
    pub fn arrive(&mut self) {
        self.moved.get_mut().turn();
    }

    /// What was computed in this turn is computed anew.
    pub fn refresh(&self) {
        self.whole.borrow_mut().turn();
        self.moved.borrow_mut().turn();
    }

    /// Forgets everything: there are other rules now.
    pub fn clear(&mut self) {
        self.whole.get_mut().columns.clear();
        self.moved.get_mut().columns.clear();
        self.recents.get_mut().clear();
    }

    /// A number that was not given before.
    pub(super) fn next_stamp(&self) -> u64 {
        self.stamps.set(self.stamps.get() + 1);
        self.stamps.get()
    }

    /// A rule wrote to series of this watch.
    pub fn forget(&self, watch: u32) {
        self.whole.borrow_mut().columns.retain(|(id, _), _| *id != watch);
    }

    /// The column of this reading over `series` at the evaluation's moment.
    pub(super) fn get(
        &self,
        eval: &Eval<'_>,
        watch: u32,
        reading: &Reading,
        function: Option<&'static Function>,
        series: &SeriesSet,
    ) -> Arc<Column> {
        let table = &mut *if eval.only.is_some() { self.moved.borrow_mut() } else { self.whole.borrow_mut() };
        let key = (watch, reading.clone());
        if let Some(known) = table.columns.get(&key)
            && known.turn == table.turn
            && known.at == eval.at
            && Arc::ptr_eq(&known.series, series)
        {
            return known.clone();
        }
        let old = table.columns.remove(&key).and_then(Arc::into_inner);
        let mut values = old.map(|old| old.values).unwrap_or_default();
        values.clear();
        values.reserve(series.len());
        let (turn, at, series) = (table.turn, eval.at, series.clone());
        let mut column = Column { turn, at, series, values, samples: 0, has_histograms: false };
        let recents = &mut *self.recents.borrow_mut();
        match (reading, function) {
            (Reading::Latest { offset_ms }, _) => column.fill_latest(eval, recents, *offset_ms),
            (Reading::Window { range_ms, offset_ms, scalars, .. }, Some(function)) => {
                let scalars: SmallVec<[f64; 2]> = scalars.iter().map(|bits| f64::from_bits(*bits)).collect();
                let end = eval.moment(None, *offset_ms, eval.at);
                let mut window = Window::new(end.saturating_sub(*range_ms), end);
                column.fill_windows(eval, recents, &mut window, function, &scalars);
            }
            (Reading::Window { .. }, None) => column.has_histograms = true,
        }
        let column = Arc::new(column);
        table.columns.insert(key, column.clone());
        column
    }
}

impl Column {
    fn fill_latest(&mut self, eval: &Eval<'_>, recents: &mut Recents, offset_ms: i64) {
        let until = eval.moment(None, offset_ms, eval.at);
        let after = until.saturating_sub(eval.lookback_ms());
        for one in self.series.iter() {
            let Ok(newest) = recents.latest(one, after, until) else {
                self.has_histograms = true;
                return;
            };
            self.values.push(newest.unwrap_or(ABSENT));
        }
        self.samples = self.values.iter().filter(|v| !is_absent(**v)).count();
    }

    fn fill_windows(
        &mut self,
        eval: &Eval<'_>,
        recents: &mut Recents,
        window: &mut Window,
        function: &'static Function,
        scalars: &[f64],
    ) {
        let Kind::Range { function: general, .. } = function.kind else {
            self.has_histograms = true;
            return;
        };
        let stretches = match function.name {
            "rate" => Some(Stretch { start: window.start, end: window.end, is_counter: true, is_rate: true }),
            "increase" => Some(Stretch { start: window.start, end: window.end, is_counter: true, is_rate: false }),
            "delta" => Some(Stretch { start: window.start, end: window.end, is_counter: false, is_rate: false }),
            _ => None,
        };
        for one in self.series.iter() {
            window.clear();
            // Start timestamps tell of resets that values do not show: the general evaluator knows them.
            self.has_histograms |= one.has_starts();
            match recents.window(one, window.start, window.end, eval.at) {
                Ok(span) => {
                    self.samples += span.floats.len();
                    if let Some(stretch) = &stretches
                        && (span.is_rising || !stretch.is_counter)
                    {
                        // Without resets the outer samples tell all.
                        self.values.push(match span.floats {
                            [first, .., last] => stretched(last.v - first.v, first, last, span.floats.len(), stretch),
                            _ => ABSENT,
                        });
                        continue;
                    }
                    window.floats.extend_from_slice(span.floats);
                }
                Err(Unanswered::Histogram) => self.has_histograms = true,
                Err(Unanswered::TooLong) => {
                    let (start, end) = (Timestamp::from_millis(window.start), Timestamp::from_millis(window.end));
                    one.visit(start, end, |t, v| window.push(t.as_millis(), v));
                    self.samples += window.len();
                    self.has_histograms |= !window.histograms.is_empty();
                }
            }
            if self.has_histograms || self.samples > eval.ctx.samples_max {
                // The count says that it is too much for anybody.
                return;
            }
            let call = RangeCall { eval, labels: one.labels(), scalars, at: eval.at };
            let value = if window.is_empty() { None } else { general(&call, window) };
            self.values.push(match value {
                Some(SampleValue::Float(v)) => v,
                Some(SampleValue::Histogram(_)) => {
                    self.has_histograms = true;
                    return;
                }
                None => ABSENT,
            });
        }
    }
}
