//! Binary operators: between scalars, a scalar and a vector, two vectors.
//! In: two nodes. Out: a scalar, or the elements that match and pass.
//! Never: guesses at a match: a duplicate on the "one" side is an error, as in Prometheus.
//! Start at [`eval`].

use super::ast::{BinaryOp, Cardinality};
use super::eval::{Elem, Eval, Result, Val};
use super::histogram as native;
use super::plan::{BinaryNode, MatchNode};
use super::projection::{Groups, is_metadata, without_metadata};
use super::value::EvalError;
use crate::model::labels::METRIC_NAME;
use crate::model::{Labels, LabelsBuilder, SampleValue};
use std::collections::HashSet;
use std::sync::Arc;

/// Arithmetic, or a comparison as 0 or 1.
pub(super) fn scalar_op(op: BinaryOp, l: f64, r: f64) -> f64 {
    match op {
        BinaryOp::Add => l + r,
        BinaryOp::Sub => l - r,
        BinaryOp::Mul => l * r,
        BinaryOp::Div => l / r,
        BinaryOp::Mod => l % r,
        BinaryOp::Pow => l.powf(r),
        BinaryOp::Atan2 => l.atan2(r),
        _ => f64::from(u8::from(compare(op, l, r))),
    }
}

fn compare(op: BinaryOp, l: f64, r: f64) -> bool {
    match op {
        BinaryOp::Equal => l == r,
        BinaryOp::NotEqual => l != r,
        BinaryOp::Greater => l > r,
        BinaryOp::Less => l < r,
        BinaryOp::GreaterOrEqual => l >= r,
        BinaryOp::LessOrEqual => l <= r,
        _ => false,
    }
}

pub(super) fn eval(eval: &Eval<'_>, b: &BinaryNode, at: i64) -> Result<Val> {
    let left = eval.eval(&b.left, at)?;
    let right = eval.eval(&b.right, at)?;
    eval.about(b.place, || operated(eval, b, left, right))
}

fn operated(eval: &Eval<'_>, b: &BinaryNode, left: Val, right: Val) -> Result<Val> {
    match (left, right, &b.matching) {
        (Val::Scalar(l), Val::Scalar(r), _) => Ok(Val::Scalar(scalar_op(b.op, l, r))),
        (Val::Vector(v), Val::Scalar(s), _) => Ok(Val::Vector(with_scalar(eval, b, v, s, false))),
        (Val::Scalar(s), Val::Vector(v), _) => Ok(Val::Vector(with_scalar(eval, b, v, s, true))),
        (Val::Vector(l), Val::Vector(r), Some(m)) if b.op.is_set() => Ok(Val::Vector(set_op(b.op, m, l, r))),
        (Val::Vector(l), Val::Vector(r), Some(m)) => match_vectors(eval, b, m, &l, &r).map(Val::Vector),
        _ => Err(EvalError::Unsupported("binary operators need scalars or vectors".to_owned())),
    }
}

fn with_scalar(eval: &Eval<'_>, b: &BinaryNode, mut elems: Vec<Elem>, scalar: f64, swapped: bool) -> Vec<Elem> {
    let op = b.op;
    elems.retain_mut(|e| {
        let SampleValue::Float(v) = e.value else { return with_histogram(eval, b, e, scalar, swapped) };
        let (l, r) = if swapped { (scalar, v) } else { (v, scalar) };
        if op.is_comparison() {
            let hit = compare(op, l, r);
            if b.return_bool {
                e.value = SampleValue::Float(f64::from(u8::from(hit)));
                e.drop_name = true;
            }
            return hit || b.return_bool;
        }
        e.value = SampleValue::Float(scalar_op(op, l, r));
        e.drop_name = true;
        true
    });
    elems
}

/// A histogram may be multiplied and divided by a float, nothing else.
fn with_histogram(eval: &Eval<'_>, b: &BinaryNode, e: &mut Elem, scalar: f64, swapped: bool) -> bool {
    let float = SampleValue::Float(scalar);
    let (l, r) = if swapped { (&float, &e.value) } else { (&e.value, &float) };
    let Some(outcome) = combine(eval, b.op, l, r) else { return false };
    e.value = outcome.value;
    e.drop_name = true;
    outcome.keep
}

struct Outcome {
    value: SampleValue,
    /// False when a comparison does not hold.
    keep: bool,
}

/// One pair of values; `None` when the operator does not take such values.
fn combine(eval: &Eval<'_>, op: BinaryOp, l: &SampleValue, r: &SampleValue) -> Option<Outcome> {
    let histogram = |h| Some(Outcome { value: SampleValue::Histogram(Arc::new(h)), keep: true });
    let refuse = |l: &str, r: &str| {
        eval.info(format!(
            "incompatible sample types encountered for binary operator {}: {l} {} {r}",
            super::print::Quoted(op.as_str()),
            op.as_str()
        ));
        None
    };
    match (l, r) {
        (SampleValue::Float(l), SampleValue::Float(r)) => Some(if op.is_comparison() {
            Outcome { value: SampleValue::Float(*l), keep: compare(op, *l, *r) }
        } else {
            Outcome { value: SampleValue::Float(scalar_op(op, *l, *r)), keep: true }
        }),
        (SampleValue::Histogram(l), SampleValue::Histogram(r)) => match op {
            BinaryOp::Add | BinaryOp::Sub => {
                let is_sub = op == BinaryOp::Sub;
                let combined = if is_sub { native::sub(l, r) } else { native::add(l, r) };
                let Some(combined) = combined else {
                    eval.warn(format!("incompatible bucket layout encountered for binary operator {}", op.as_str()));
                    return None;
                };
                let deed = if is_sub { "subtraction" } else { "addition" };
                if combined.hint_collision {
                    eval.warn(format!("conflicting counter resets during histogram {deed}"));
                }
                if combined.reconciled {
                    eval.info(format!("mismatched custom buckets were reconciled during {deed}"));
                }
                histogram(combined.histogram)
            }
            BinaryOp::Equal | BinaryOp::NotEqual => {
                let keep = native::equal(l, r) == (op == BinaryOp::Equal);
                Some(Outcome { value: SampleValue::Histogram(l.clone()), keep })
            }
            _ => refuse("histogram", "histogram"),
        },
        (SampleValue::Histogram(h), SampleValue::Float(v)) => match op {
            BinaryOp::Mul => histogram(native::scaled(h, *v)),
            BinaryOp::Div => histogram(native::divided(h, *v)),
            _ => refuse("histogram", "float"),
        },
        (SampleValue::Float(v), SampleValue::Histogram(h)) => match op {
            BinaryOp::Mul => histogram(native::scaled(h, *v)),
            _ => refuse("float", "histogram"),
        },
    }
}

fn set_op(op: BinaryOp, m: &MatchNode, mut left: Vec<Elem>, right: Vec<Elem>) -> Vec<Elem> {
    if op == BinaryOp::Or {
        let groups = grouped(m, &left);
        let others: Vec<Elem> = right.into_iter().filter(|e| groups.find(&e.labels).is_none()).collect();
        left.extend(others);
    } else {
        let groups = grouped(m, &right);
        left.retain(|e| groups.find(&e.labels).is_some() == (op == BinaryOp::And));
    }
    left
}

fn grouped<'m>(m: &'m MatchNode, elems: &[Elem]) -> Groups<'m> {
    let mut groups = Groups::with_capacity(&m.key, elems.len());
    for e in elems {
        groups.number(&e.labels);
    }
    groups
}

/// Prometheus' `VectorBinop`. In here "many" is the side that is walked and "one" the side that is looked up.
fn match_vectors(eval: &Eval<'_>, b: &BinaryNode, m: &MatchNode, left: &[Elem], right: &[Elem]) -> Result<Vec<Elem>> {
    let swapped = m.card == Cardinality::OneToMany;
    let (many, one) = if swapped { (right, left) } else { (left, right) };
    let (fill_many, fill_one) = if swapped { (m.fill_right, m.fill_left) } else { (m.fill_left, m.fill_right) };
    if (many.is_empty() && fill_many.is_none()) || (one.is_empty() && fill_one.is_none()) {
        return Ok(Vec::new());
    }
    let mut groups = Groups::with_capacity(&m.key, one.len());
    let mut by_group: Vec<&Elem> = Vec::with_capacity(one.len());
    for e in one {
        let (number, new) = groups.number(&e.labels);
        if !new {
            return Err(duplicate_on_one_side(m, &by_group[number].labels, &e.labels));
        }
        by_group.push(e);
    }
    let mut pairs = Pairs {
        eval,
        b,
        m,
        swapped,
        used: vec![false; by_group.len()],
        kept: vec![false; by_group.len()],
        seen: HashSet::new(),
        out: Vec::new(),
    };
    let mut unmatched = Groups::new(&m.key);
    for e in many {
        match (groups.find(&e.labels), fill_one) {
            (Some(number), _) => {
                pairs.put(&e.labels, &e.value, &by_group[number].labels, &by_group[number].value, Some(number))?;
            }
            (None, Some(fill)) => {
                let (_, new) = unmatched.number(&e.labels);
                if !new && m.card == Cardinality::OneToOne {
                    return Err(many_to_many());
                }
                pairs.put(&e.labels, &e.value, &Labels::empty(), &SampleValue::Float(fill), None)?;
            }
            (None, None) => {}
        }
    }
    if let Some(fill) = fill_many {
        for (number, e) in by_group.iter().enumerate() {
            if !pairs.used[number] {
                let labels = m.key.build(&e.labels);
                pairs.put(&labels, &SampleValue::Float(fill), &e.labels, &e.value, None)?;
            }
        }
    }
    Ok(pairs.out)
}

struct Pairs<'a> {
    eval: &'a Eval<'a>,
    b: &'a BinaryNode,
    m: &'a MatchNode,
    swapped: bool,
    /// Per element of the "one" side: whether it found a partner.
    used: Vec<bool>,
    /// Whether it has a result.
    kept: Vec<bool>,
    /// Results of grouped matching, which must differ within a match group.
    seen: HashSet<(usize, Labels)>,
    out: Vec<Elem>,
}

impl Pairs<'_> {
    fn put(
        &mut self,
        many: &Labels,
        many_value: &SampleValue,
        one: &Labels,
        one_value: &SampleValue,
        number: Option<usize>,
    ) -> Result<()> {
        if let Some(n) = number {
            self.used[n] = true;
        }
        let (l, r) = if self.swapped { (one_value, many_value) } else { (many_value, one_value) };
        let Some(outcome) = combine(self.eval, self.b.op, l, r) else { return Ok(()) };
        let value = if self.b.return_bool {
            SampleValue::Float(f64::from(u8::from(outcome.keep)))
        } else if outcome.keep {
            outcome.value
        } else {
            return Ok(());
        };
        let labels = self.result_labels(many, one);
        if self.m.card == Cardinality::OneToOne {
            // What a comparison drops may match as often as it likes.
            if number.is_some_and(|n| std::mem::replace(&mut self.kept[n], true)) {
                return Err(many_to_many());
            }
        } else if !self.seen.insert((number.unwrap_or(usize::MAX), labels.clone())) {
            return Err(EvalError::Data(
                "multiple matches for labels: grouping labels must ensure unique matches".to_owned(),
            ));
        }
        let drop_name = self.b.return_bool || !self.b.op.is_comparison();
        self.out.push(Elem { labels, value, drop_name });
        Ok(())
    }

    fn result_labels(&self, many: &Labels, one: &Labels) -> Labels {
        let drops_name = !self.b.op.is_comparison();
        if self.m.card == Cardinality::OneToOne {
            if self.m.key.keeps {
                let labels = self.m.key.build(many);
                return if drops_name { without_metadata(labels) } else { labels };
            }
            // `ignoring` leaves the name alone here; the key never counts it.
            if drops_name {
                return many.retain(|name, _| self.m.key.counts(name) && !is_metadata(name));
            }
            return many.retain(|name, _| name == METRIC_NAME || self.m.key.counts(name));
        }
        if self.m.include.is_empty() {
            return if drops_name { without_metadata(many.clone()) } else { many.clone() };
        }
        let kept = if drops_name { without_metadata(many.clone()) } else { many.clone() };
        let mut builder = LabelsBuilder::from(&kept);
        for name in &self.m.include {
            match one.value(name) {
                "" => builder.remove(name),
                value => builder.set(name, value),
            };
        }
        builder.build()
    }
}

fn many_to_many() -> EvalError {
    EvalError::Data(
        "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)".to_owned(),
    )
}

fn duplicate_on_one_side(m: &MatchNode, first: &Labels, second: &Labels) -> EvalError {
    let side = if m.card == Cardinality::OneToMany { "left" } else { "right" };
    let group = m.key.build(first);
    let (a, b) = if first <= second { (first, second) } else { (second, first) };
    EvalError::Data(format!(
        "found duplicate series for the match group {group} on the {side} hand-side of the operation: [{a}, {b}]\
         ;many-to-many matching not allowed: matching labels must be unique on one side"
    ))
}
