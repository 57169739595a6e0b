//! Parts of a plan that are evaluated by column: chains over one selector, aggregations of them, matches between them.
//! In: a node of a rule's plan. Out: [`Part`], which gives bit for bit what the node itself would give.
//! Never: builds labels for an element that does not pass; hashes labels of a series set that has not changed.
//! Start at [`compile`], then [`Part::eval`].

use super::ast::{BinaryOp, Boundary, Cardinality};
use super::binary::{compare, scalar_op};
use super::columns::Reading;
use super::eval::{Elem, Eval, Result};
use super::functions::Kind;
use super::plan::{AggregateNode, BinaryNode, CallNode, Node, SelectorNode};
use super::rows::{Chain, GroupRows, Leaf, Pair, Rows, Set};
use crate::model::SampleValue;
use parking_lot::Mutex;
use smallvec::SmallVec;

/// A node, and the same made ready to be evaluated by column.
pub(super) struct Part {
    /// What it stands for: taken where there are no columns, and where histograms are met.
    pub original: Node,
    rows: Mutex<Rows>,
}

/// What one element goes through after another.
pub(super) enum Step {
    Math(fn(f64) -> f64),
    Negate,
    Scalar { op: BinaryOp, operand: Operand, swapped: bool, return_bool: bool },
}

/// The scalar side of an operator.
#[derive(Clone, Copy)]
pub(super) enum Operand {
    Number(f64),
    /// `time()`
    Time,
}

impl Step {
    /// Whether the metric name is lost.
    pub fn drops_name(&self) -> bool {
        match self {
            Self::Math(_) | Self::Negate => true,
            Self::Scalar { op, return_bool, .. } => !op.is_comparison() || *return_bool,
        }
    }

    /// `None` when a comparison does not hold.
    #[inline]
    pub fn apply(&self, v: f64, time: f64) -> Option<f64> {
        match self {
            Self::Math(function) => Some(function(v)),
            Self::Negate => Some(-v),
            Self::Scalar { op, operand, swapped, return_bool } => {
                let scalar = operand.value(time);
                let (l, r) = if *swapped { (scalar, v) } else { (v, scalar) };
                if !op.is_comparison() {
                    return Some(scalar_op(*op, l, r));
                }
                let hit = compare(*op, l, r);
                if *return_bool { Some(f64::from(u8::from(hit))) } else { hit.then_some(v) }
            }
        }
    }
}

impl Operand {
    #[inline]
    pub fn value(self, time: f64) -> f64 {
        match self {
            Self::Number(v) => v,
            Self::Time => time,
        }
    }
}

impl Part {
    pub fn eval(&self, eval: &Eval<'_>, at: i64) -> Result<Vec<Elem>> {
        if eval.columns.is_none() || at != eval.at {
            return eval.vector(&self.original, at);
        }
        let mut rows = self.rows.lock();
        let budget = eval.samples_left.get();
        if !rows.prepare(eval)? {
            drop(rows);
            eval.samples_left.set(budget);
            return eval.vector(&self.original, at);
        }
        let drop_name = rows.drops_name();
        let mut found: SmallVec<[(usize, f64); 8]> = SmallVec::new();
        rows.each(&mut |row, v| found.push((row, v)));
        let elem = |(row, v)| Some(Elem { labels: rows.labels(row)?, value: SampleValue::Float(v), drop_name });
        Ok(found.into_iter().filter_map(elem).collect())
    }
}

/// Replaces the largest subtrees that can be evaluated by column. Bare selectors stay: functions look at them.
pub(super) fn compile(node: &mut Node) {
    if !matches!(node, Node::Selector(_))
        && let Some(rows) = rows_of(node)
    {
        let original = std::mem::replace(node, Node::Number(0.0));
        *node = Node::Part(Box::new(Part { original, rows: Mutex::new(rows) }));
        return;
    }
    match node {
        Node::Negate(inner) => compile(inner),
        Node::Binary(b) => {
            compile(&mut b.left);
            compile(&mut b.right);
        }
        Node::Aggregate(a) => compile(&mut a.inner),
        Node::Call(call) => call.args.iter_mut().for_each(compile),
        // Within a sub-query every step is another moment.
        Node::Number(_)
        | Node::String(_)
        | Node::Selector(_)
        | Node::Range(_)
        | Node::Subquery(_)
        | Node::Pattern(_)
        | Node::Part(_) => {}
    }
}

fn rows_of(node: &Node) -> Option<Rows> {
    match node {
        Node::Selector(s) => leaf(s, Reading::Latest { offset_ms: s.offset_ms }),
        Node::Negate(inner) => Some(chain(rows_of(inner)?, Step::Negate)),
        Node::Call(call) => call_rows(call),
        Node::Binary(b) => binary_rows(b),
        Node::Aggregate(a) => aggregate_rows(a),
        _ => None,
    }
}

/// Whether all that the selector asks for is a look back by fixed lengths from the evaluation's moment.
fn is_simple(s: &SelectorNode) -> bool {
    s.at.is_none() && s.boundary == Boundary::Plain && s.lengths.is_none() && !s.stats_only
}

fn leaf(s: &SelectorNode, reading: Reading) -> Option<Rows> {
    is_simple(s).then(|| Rows::Leaf(Leaf::new(s.index, reading)))
}

fn chain(rows: Rows, step: Step) -> Rows {
    match rows {
        Rows::Chain(mut chain) => {
            chain.steps.push(step);
            Rows::Chain(chain)
        }
        inner => Rows::Chain(Box::new(Chain::new(inner, step))),
    }
}

fn call_rows(call: &CallNode) -> Option<Rows> {
    match call.function.kind {
        Kind::Math(function) => Some(chain(rows_of(call.args.first()?)?, Step::Math(function))),
        Kind::Range { keeps_name, .. } => {
            let mut scalars = SmallVec::new();
            let mut range = None;
            for arg in &call.args {
                match arg {
                    Node::Number(v) => scalars.push(v.to_bits()),
                    Node::Range(s) if range.is_none() => range = Some(s),
                    _ => return None,
                }
            }
            let s = range.filter(|s| is_simple(s))?;
            let (range_ms, offset_ms) = (s.range_ms, s.offset_ms);
            let reading = Reading::Window { function: call.function.name, range_ms, offset_ms, scalars };
            Some(Rows::Leaf(Leaf::over_range(s.index, reading, call.function, keeps_name)))
        }
        _ => None,
    }
}

fn operand(node: &Node) -> Option<Operand> {
    match node {
        Node::Number(v) => Some(Operand::Number(*v)),
        Node::Call(call) if call.function.name == "time" => Some(Operand::Time),
        _ => None,
    }
}

fn binary_rows(b: &BinaryNode) -> Option<Rows> {
    let Some(m) = &b.matching else {
        let (vector, operand, swapped) = match (operand(&b.left), operand(&b.right)) {
            (None, Some(operand)) => (&b.left, operand, false),
            (Some(operand), None) => (&b.right, operand, true),
            _ => return None,
        };
        let step = Step::Scalar { op: b.op, operand, swapped, return_bool: b.return_bool };
        return Some(chain(rows_of(vector)?, step));
    };
    if m.fill_left.is_some() || m.fill_right.is_some() {
        return None;
    }
    let (left, right) = (rows_of(&b.left)?, rows_of(&b.right)?);
    match (b.op, m.card) {
        (BinaryOp::And | BinaryOp::Unless, _) => Some(Rows::Set(Box::new(Set::new(b.op, m.key.clone(), left, right)))),
        (op, Cardinality::OneToOne | Cardinality::ManyToOne | Cardinality::OneToMany) if !op.is_set() => {
            Some(Rows::Pair(Box::new(Pair::new(op, b.return_bool, m.clone(), left, right))))
        }
        _ => None,
    }
}

fn aggregate_rows(a: &AggregateNode) -> Option<Rows> {
    if a.param.is_some() {
        return None;
    }
    GroupRows::new(a.op, a.key.clone(), rows_of(&a.inner)?).map(|group| Rows::Group(Box::new(group)))
}
