//! The functions of `PromQL`, one file per family.
//! In: a name. Out: [`Function`]: its types and what it does.
//! Never: looks a function up during an evaluation; the plan holds it.
//! Start at [`lookup`]; a new function is a line in its family's table.

mod calendar;
mod extended;
mod histograms;
mod info;
mod labels;
mod math;
mod over_time;
mod query;
mod rate;
mod regression;
mod vectors;

pub(super) use extended::{between, interpolated};
pub(super) use rate::{Stretch, stretched};

use super::ast::Type;
use super::eval::{Eval, Result, Val};
use super::plan::Node;
use super::print::Quoted;
use super::window::Window;
use crate::model::{Labels, SampleValue};

/// A function's signature and its deed.
pub struct Function {
    pub name: &'static str,
    pub args: &'static [Type],
    /// 0: exactly `args`; n > 0: the last argument may be missing or come up to n times in all; below 0: any number.
    pub variadic: i32,
    pub returns: Type,
    pub experimental: bool,
    /// Whether each element of the result comes from one element of the input, its labels kept.
    pub per_series: bool,
    pub(super) kind: Kind,
}

/// What a range function is told beside its window.
pub(super) struct RangeCall<'a> {
    pub eval: &'a Eval<'a>,
    pub labels: &'a Labels,
    pub scalars: &'a [f64],
    /// The evaluation's moment, in milliseconds.
    pub at: i64,
}

impl RangeCall<'_> {
    pub fn warn(&self, text: &str) {
        self.eval.warn(format!("{text} for metric name {}", Quoted(self.labels.metric_name())));
    }

    pub fn info(&self, text: &str) {
        self.eval.info(format!("{text} for metric name {}", Quoted(self.labels.metric_name())));
    }

    /// Floats count, histograms are passed over; that is said when both are there.
    pub fn note_ignored_histograms(&self, w: &Window) {
        if !w.histograms.is_empty() && !w.floats.is_empty() {
            self.info("ignored histograms in a range containing both floats and histograms");
        }
    }

    /// Whether the window holds both kinds, which is then said; no value can be given.
    pub fn is_mixed(&self, w: &Window) -> bool {
        let mixed = !w.histograms.is_empty() && !w.floats.is_empty();
        if mixed {
            self.warn("encountered a mix of histograms and floats");
        }
        mixed
    }
}

type RangeFn = fn(&RangeCall<'_>, &Window) -> Option<SampleValue>;
type SpecialFn = fn(&Eval<'_>, &[Node], i64) -> Result<Val>;

#[derive(Clone, Copy)]
pub(super) enum Kind {
    Constant(f64),
    /// Each float by itself; histograms vanish.
    Math(fn(f64) -> f64),
    /// At most one value from the samples of one series.
    Range {
        function: RangeFn,
        keeps_name: bool,
    },
    Special(SpecialFn),
}

impl Function {
    const fn math(name: &'static str, function: fn(f64) -> f64) -> Self {
        Self::new(name, &[Type::Vector], Type::Vector, Kind::Math(function)).each()
    }

    const fn range(name: &'static str, function: RangeFn) -> Self {
        Self::new(name, &[Type::Matrix], Type::Vector, Kind::Range { function, keeps_name: false }).each()
    }

    const fn range_with(name: &'static str, args: &'static [Type], function: RangeFn) -> Self {
        Self::new(name, args, Type::Vector, Kind::Range { function, keeps_name: false }).each()
    }

    const fn special(name: &'static str, args: &'static [Type], function: SpecialFn) -> Self {
        Self::new(name, args, Type::Vector, Kind::Special(function))
    }

    const fn new(name: &'static str, args: &'static [Type], returns: Type, kind: Kind) -> Self {
        Self { name, args, variadic: 0, returns, experimental: false, per_series: false, kind }
    }

    const fn each(mut self) -> Self {
        self.per_series = true;
        self
    }

    const fn variadic(mut self, variadic: i32) -> Self {
        self.variadic = variadic;
        self
    }

    const fn returns(mut self, returns: Type) -> Self {
        self.returns = returns;
        self
    }

    const fn experimental(mut self) -> Self {
        self.experimental = true;
        self
    }

    const fn keeping_name(mut self) -> Self {
        if let Kind::Range { function, .. } = self.kind {
            self.kind = Kind::Range { function, keeps_name: true };
        }
        self
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

static FAMILIES: [&[Function]; 10] = [
    rate::FUNCTIONS,
    over_time::FUNCTIONS,
    regression::FUNCTIONS,
    math::FUNCTIONS,
    calendar::FUNCTIONS,
    labels::FUNCTIONS,
    vectors::FUNCTIONS,
    histograms::FUNCTIONS,
    query::FUNCTIONS,
    info::FUNCTIONS,
];

/// The function of this name.
pub(super) fn lookup(name: &str) -> Option<&'static Function> {
    FAMILIES.iter().flat_map(|family| family.iter()).find(|f| f.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> = FAMILIES.iter().flat_map(|f| f.iter()).map(|f| f.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
