//! What selectors and range functions give for each series of a set, computed once for all rules that ask alike.
//! In: a watch's series, a moment. Out: [`Column`], one float per series, in the set's order.
//! Never: outlives its turn: what was computed before [`Columns::turn`] or [`Columns::forget`] is computed anew.
//! Start at [`Columns::get`].

use super::eval::{Eval, Result};
use super::functions::{Function, Kind, RangeCall};
use super::window::Window;
use crate::model::sample::STALE_NAN_BITS;
use crate::model::{SampleValue, Timestamp};
use crate::series::Series;
use smallvec::SmallVec;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

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

/// The columns of one turn; buffers live on from turn to turn.
#[derive(Default)]
pub struct Columns {
    turn: u64,
    stamps: Cell<u64>,
    by_reading: RefCell<HashMap<(u32, Reading), Arc<Column>, foldhash::fast::FixedState>>,
}

impl Columns {
    /// A new turn begins: samples may have come.
    pub fn turn(&mut self) {
        self.turn += 1;
        if self.turn.is_multiple_of(IDLE_TURNS_MAX) {
            let oldest = self.turn - IDLE_TURNS_MAX;
            self.by_reading.get_mut().retain(|_, column| column.turn >= oldest);
        }
    }

    /// A number that was not given before.
    pub(super) fn next_stamp(&self) -> u64 {
        self.stamps.set(self.stamps.get() + 1);
        self.stamps.get()
    }

    /// A rule wrote to series of this watch.
    pub fn forget(&self, watch: u32) {
        for ((id, _), column) in self.by_reading.borrow_mut().iter_mut() {
            if *id == watch {
                // What is still in use elsewhere is replaced; nothing is in use between two rules.
                if let Some(column) = Arc::get_mut(column) {
                    column.turn = u64::MAX;
                }
            }
        }
    }

    /// The column of this reading over `series` at the evaluation's moment.
    pub(super) fn get(
        &self,
        eval: &Eval<'_>,
        watch: u32,
        reading: &Reading,
        function: Option<&'static Function>,
        series: &SeriesSet,
    ) -> Result<Arc<Column>> {
        let mut all = self.by_reading.borrow_mut();
        if let Some(known) = all.get(&(watch, reading.clone()))
            && known.turn == self.turn
            && known.at == eval.at
            && Arc::ptr_eq(&known.series, series)
        {
            return Ok(known.clone());
        }
        let old = all.remove(&(watch, reading.clone())).and_then(Arc::into_inner);
        let mut values = old.map(|old| old.values).unwrap_or_default();
        values.clear();
        values.reserve(series.len());
        let mut column =
            Column { turn: self.turn, at: eval.at, series: series.clone(), values, samples: 0, has_histograms: false };
        match (reading, function.map(|f| f.kind)) {
            (Reading::Latest { offset_ms }, _) => column.fill_latest(eval, *offset_ms),
            (Reading::Window { range_ms, offset_ms, scalars, .. }, Some(Kind::Range { function, .. })) => {
                let scalars: SmallVec<[f64; 2]> = scalars.iter().map(|bits| f64::from_bits(*bits)).collect();
                let end = eval.moment(None, *offset_ms, eval.at);
                let mut window = Window::new(end.saturating_sub(*range_ms), end);
                column.fill_windows(eval, &mut window, |labels, window| {
                    function(&RangeCall { eval, labels, scalars: &scalars, at: eval.at }, window)
                });
            }
            (Reading::Window { .. }, _) => column.has_histograms = true,
        }
        let column = Arc::new(column);
        all.insert((watch, reading.clone()), column.clone());
        Ok(column)
    }
}

impl Column {
    fn fill_latest(&mut self, eval: &Eval<'_>, offset_ms: i64) {
        let until = eval.moment(None, offset_ms, eval.at);
        let after = Timestamp::from_millis(until.saturating_sub(eval.lookback_ms()));
        let until = Timestamp::from_millis(until);
        let series = self.series.clone();
        for one in series.iter() {
            self.values.push(match one.latest(after, until) {
                Some(point) => match point.v {
                    SampleValue::Float(v) => v,
                    SampleValue::Histogram(_) => {
                        self.has_histograms = true;
                        return;
                    }
                },
                None => ABSENT,
            });
        }
        self.samples = self.values.iter().filter(|v| !is_absent(**v)).count();
    }

    fn fill_windows(
        &mut self,
        eval: &Eval<'_>,
        window: &mut Window,
        mut function: impl FnMut(&crate::model::Labels, &Window) -> Option<SampleValue>,
    ) {
        let (start, end) = (Timestamp::from_millis(window.start), Timestamp::from_millis(window.end));
        let series = self.series.clone();
        for one in series.iter() {
            window.clear();
            one.visit(start, end, |t, v| window.push(t.as_millis(), v));
            window.fill_starts(one, start, end);
            self.has_histograms |= !window.histograms.is_empty();
            self.samples += window.len();
            if self.has_histograms || self.samples > eval.ctx.samples_max {
                // The count says that it is too much for anybody.
                return;
            }
            let value = if window.is_empty() { None } else { function(one.labels(), window) };
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
