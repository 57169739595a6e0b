//! Evaluation at one moment: a walk over the plan.
//! In: a plan, series, a time. Out: a value with its warnings.
//! Never: touches more samples than the context's budget.
//! Start at [`Eval::run`].

mod samples;

use super::ast::{DurationExpr, Place, Type};
use super::columns::{Columns, SeriesSet};
use super::durations::duration_ms;
use super::functions::{Kind, RangeCall};
use super::plan::{CallNode, Lengths, Node, Plan};
use super::projection::{has_duplicates, without_metadata};
use super::value::{Element, EvalError, Evaluated, QueryOptions, SeriesPoints, Value};
use super::{aggregate, binary, histogram};
use crate::model::{Labels, SampleValue, Timestamp};
use crate::series::Head;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(super) type Result<T> = std::result::Result<T, EvalError>;

/// One element on its way. The name is dropped at the very end (`drop_name`), so that `by (__name__)` still sees it.
#[derive(Clone, Debug)]
pub(super) struct Elem {
    pub labels: Labels,
    pub value: SampleValue,
    pub drop_name: bool,
}

impl Elem {
    pub fn float(&self) -> Option<f64> {
        match self.value {
            SampleValue::Float(v) => Some(v),
            SampleValue::Histogram(_) => None,
        }
    }
}

pub(super) enum Val {
    Scalar(f64),
    String(Arc<str>),
    Vector(Vec<Elem>),
}

/// What is to be said about a result.
#[derive(Default)]
pub(super) struct Notes {
    /// By text; of the places where the same is to be said the last one counts, as in Prometheus.
    warnings: BTreeMap<String, Place>,
    infos: BTreeMap<String, Place>,
}

/// How many different notes one evaluation keeps: they repeat, and a hostile label set must not fill memory.
const NOTES_MAX: usize = 64;
/// What a label's value may be long where samples come in; what stays below is bounded by the number of elements.
const LABEL_USUAL_BYTES: usize = 2048;

impl Notes {
    fn put(notes: &mut BTreeMap<String, Place>, text: String, place: Place) {
        if notes.len() < NOTES_MAX || notes.contains_key(&text) {
            notes.insert(text, place);
        }
    }

    fn listed(notes: &BTreeMap<String, Place>, kind: &str) -> Vec<String> {
        notes.iter().map(|(text, place)| format!("PromQL {kind}: {text} ({place})")).collect()
    }
}

/// One evaluation at one moment, or one step of a range query.
pub(super) struct Eval<'a> {
    plan: &'a Plan,
    head: Option<&'a Head>,
    pub only: Option<&'a SeriesSet>,
    /// Columns shared with other rules; without them parts are evaluated as they were written.
    pub columns: Option<&'a Columns>,
    pub ctx: &'a QueryOptions,
    pub at: i64,
    /// First and last moment of the whole query, and its step.
    pub start: i64,
    pub end: i64,
    pub step: i64,
    pub samples_left: Cell<usize>,
    bytes_left: Cell<usize>,
    pub notes: RefCell<Notes>,
    /// Where the part of the expression stands that notes are about now.
    pub place: Cell<Place>,
    /// Where the arguments of the function stand that is at work; four are enough for what is said of them.
    arg_places: Cell<[Place; 4]>,
}

/// Keeps a time so far from the ends of its type that no sum of times overflows.
pub(super) fn bounded(ms: i64) -> i64 {
    ms.clamp(-TIME_MAX_MS, TIME_MAX_MS)
}

/// Some 73 million years.
const TIME_MAX_MS: i64 = i64::MAX / 4;

fn millis(d: std::time::Duration) -> i64 {
    i64::try_from(d.as_millis()).unwrap_or(i64::MAX / 4)
}

impl<'a> Eval<'a> {
    pub fn instant(
        plan: &'a Plan,
        head: Option<&'a Head>,
        only: Option<&'a SeriesSet>,
        at: Timestamp,
        ctx: &'a QueryOptions,
    ) -> Self {
        let at = bounded(at.as_millis());
        let samples_left = Cell::new(ctx.samples_max);
        Self {
            plan,
            head,
            only,
            columns: None,
            ctx,
            at,
            start: at,
            end: at,
            step: 0,
            samples_left,
            bytes_left: Cell::new(ctx.bytes_max),
            notes: RefCell::default(),
            place: Cell::default(),
            arg_places: Cell::default(),
        }
    }

    /// Evaluates the whole plan at its moment.
    pub fn run(self) -> Result<Evaluated> {
        let value = match &self.plan.root {
            node @ (Node::Range(_) | Node::Subquery(_)) => Value::Matrix(self.matrix(node)?),
            node => Self::finish(self.eval(node, self.at)?)?,
        };
        let (warnings, infos) = self.into_notes();
        Ok(Evaluated { value, warnings, infos })
    }

    pub fn into_notes(self) -> (Vec<String>, Vec<String>) {
        let notes = self.notes.into_inner();
        (Notes::listed(&notes.warnings, "warning"), Notes::listed(&notes.infos, "info"))
    }

    /// One step of a range query: drops the names that are to be dropped.
    pub fn finish(val: Val) -> Result<Value> {
        Ok(match val {
            Val::Scalar(v) => Value::Scalar(v),
            Val::String(s) => Value::String(s),
            Val::Vector(elems) => {
                let dropped = elems.iter().any(|e| e.drop_name);
                let elements: Vec<Element> = elems
                    .into_iter()
                    .map(|e| Element { labels: named(e.labels, e.drop_name), value: e.value })
                    .collect();
                if dropped && has_duplicates(elements.iter().map(|e| &e.labels)) {
                    return Err(duplicate_labels());
                }
                Value::Vector(elements)
            }
        })
    }

    fn matrix(&self, node: &Node) -> Result<Vec<SeriesPoints>> {
        let mut all = Vec::new();
        self.each_window(node, self.at, |labels, drop_name, window| {
            all.push(SeriesPoints { labels: named(labels.clone(), drop_name), points: window.points() });
            Ok(())
        })?;
        all.sort_by(|a, b| a.labels.cmp(&b.labels));
        if has_duplicates(all.iter().map(|s| &s.labels)) {
            return Err(duplicate_labels());
        }
        Ok(all)
    }

    /// Takes samples from the budget, and ends the evaluation that nobody waits for.
    pub fn spend(&self, samples: usize) -> Result<()> {
        if self.ctx.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            return Err(EvalError::Stopped);
        }
        match self.samples_left.get().checked_sub(samples) {
            Some(left) => {
                self.samples_left.set(left);
                Ok(())
            }
            None => Err(EvalError::Budget("samples", self.ctx.samples_max)),
        }
    }

    /// Takes the bytes of a label that is about to be made from the budget, unless it is as short as labels are.
    pub fn spend_bytes(&self, bytes: usize) -> Result<()> {
        if bytes <= LABEL_USUAL_BYTES {
            return Ok(());
        }
        self.bytes_left.set(self.bytes_left_after(bytes)?);
        Ok(())
    }

    /// Whether a label that may be so long could be paid: before it is made.
    pub fn check_bytes(&self, bytes: usize) -> Result<()> {
        if bytes <= LABEL_USUAL_BYTES { Ok(()) } else { self.bytes_left_after(bytes).map(drop) }
    }

    fn bytes_left_after(&self, bytes: usize) -> Result<usize> {
        let left = self.bytes_left.get().checked_sub(bytes);
        left.ok_or(EvalError::Budget("bytes of labels", self.ctx.bytes_max))
    }

    pub fn warn(&self, text: String) {
        Notes::put(&mut self.notes.borrow_mut().warnings, text, self.place.get());
    }

    pub fn info(&self, text: String) {
        Notes::put(&mut self.notes.borrow_mut().infos, text, self.place.get());
    }

    /// Range and offset of a selector or sub-query in milliseconds, and the step that a sub-query has by expression.
    pub fn lengths(&self, range_ms: i64, offset_ms: i64, by: Option<&Lengths>) -> Result<(i64, i64, Option<i64>)> {
        let Some(by) = by else { return Ok((range_ms, offset_ms, None)) };
        let value = |e: &Option<DurationExpr>, signed: bool| {
            e.as_ref().map(|e| duration_ms(e, self.step, self.end - self.start, signed)).transpose()
        };
        let range = value(&by.range, false)?.unwrap_or(range_ms);
        Ok((range, value(&by.offset, true)?.unwrap_or(offset_ms), value(&by.step, false)?))
    }

    pub fn eval(&self, node: &Node, at: i64) -> Result<Val> {
        match node {
            Node::Number(v) => Ok(Val::Scalar(*v)),
            Node::String(s) => Ok(Val::String(s.clone())),
            Node::Selector(s) => self.select_instant(s, at).map(Val::Vector),
            Node::Range(_) | Node::Subquery(_) | Node::Pattern(_) => {
                Err(EvalError::Unsupported("a range vector has no value at one moment".to_owned()))
            }
            Node::Negate(inner) => Ok(match self.eval(inner, at)? {
                Val::Vector(mut elems) => {
                    for e in &mut elems {
                        e.value = histogram::negated(&e.value);
                        e.drop_name = true;
                    }
                    Val::Vector(elems)
                }
                Val::Scalar(v) => Val::Scalar(-v),
                other @ Val::String(_) => other,
            }),
            Node::Binary(b) => binary::eval(self, b, at),
            Node::Aggregate(a) => aggregate::eval(self, a, at).map(Val::Vector),
            Node::Call(call) => self.call(call, at),
            Node::Part(part) => part.eval(self, at).map(Val::Vector),
        }
    }

    pub fn vector(&self, node: &Node, at: i64) -> Result<Vec<Elem>> {
        match self.eval(node, at)? {
            Val::Vector(elems) => Ok(elems),
            Val::Scalar(_) | Val::String(_) => Err(EvalError::Unsupported("expected an instant vector".to_owned())),
        }
    }

    pub fn scalar(&self, node: &Node, at: i64) -> Result<f64> {
        match self.eval(node, at)? {
            Val::Scalar(v) => Ok(v),
            Val::Vector(_) | Val::String(_) => Err(EvalError::Unsupported("expected a scalar".to_owned())),
        }
    }

    pub fn string(&self, node: &Node, at: i64) -> Result<Arc<str>> {
        match self.eval(node, at)? {
            Val::String(s) => Ok(s),
            Val::Vector(_) | Val::Scalar(_) => Err(EvalError::Unsupported("expected a string".to_owned())),
        }
    }

    /// Lets notes be about the function's argument of this number.
    pub fn about_argument(&self, number: usize) {
        self.place.set(self.arg_places.get()[number.min(3)]);
    }

    /// Does some work, notes of which are about this place.
    pub fn about<T>(&self, place: Place, work: impl FnOnce() -> T) -> T {
        let before = self.place.replace(place);
        let result = work();
        self.place.set(before);
        result
    }

    fn call(&self, call: &CallNode, at: i64) -> Result<Val> {
        let mut places = [call.places.last().copied().unwrap_or_default(); 4];
        for (place, known) in places.iter_mut().zip(&call.places) {
            *place = *known;
        }
        let outer = (self.place.replace(places[0]), self.arg_places.replace(places));
        let result = self.called(call, at);
        self.place.set(outer.0);
        self.arg_places.set(outer.1);
        result
    }

    fn called(&self, call: &CallNode, at: i64) -> Result<Val> {
        match call.function.kind {
            Kind::Constant(v) => Ok(Val::Scalar(v)),
            Kind::Special(function) => function(self, &call.args, at),
            Kind::Math(function) => {
                let mut elems = self.vector(&call.args[0], at)?;
                elems.retain_mut(|e| {
                    let Some(v) = e.float() else { return false };
                    e.value = SampleValue::Float(function(v));
                    e.drop_name = true;
                    true
                });
                Ok(Val::Vector(elems))
            }
            Kind::Range { function, keeps_name } => {
                let mut scalars = smallvec::SmallVec::<[f64; 2]>::new();
                let mut range = None;
                for (node, arg) in call.args.iter().zip(call.function.args) {
                    match arg {
                        Type::Scalar => scalars.push(self.scalar(node, at)?),
                        _ => range = Some(node),
                    }
                }
                let range = range.ok_or_else(|| EvalError::Unsupported("expected a range vector".to_owned()))?;
                let mut out = Vec::new();
                self.each_window(range, at, |labels, drop_name, window| {
                    let called = RangeCall { eval: self, labels, scalars: &scalars, at };
                    if let Some(value) = function(&called, window) {
                        out.push(Elem { labels: labels.clone(), value, drop_name: drop_name || !keeps_name });
                    }
                    Ok(())
                })?;
                Ok(Val::Vector(out))
            }
        }
    }
}

fn named(labels: Labels, drop_name: bool) -> Labels {
    if drop_name { without_metadata(labels) } else { labels }
}

pub(super) fn duplicate_labels() -> EvalError {
    EvalError::Data("vector cannot contain metrics with the same labelset".to_owned())
}
