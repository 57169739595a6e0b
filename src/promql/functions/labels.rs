//! Labels rewritten, and elements ordered by them.
//! In: an instant vector and names. Out: the same values under other labels, or in another order.
//! Never: compiles a pattern: the plan did.
//! Start at [`label_replace`].

use super::super::ast::Type;
use super::super::eval::{Elem, Eval, Result, Val, duplicate_labels};
use super::super::plan::Node;
use super::super::projection::has_duplicates;
use super::super::value::EvalError;
use super::Function;
use crate::model::labels::METRIC_NAME;
use std::cmp::Ordering;

const S: Type = Type::String;

pub(super) static FUNCTIONS: &[Function] = &[
    Function::special("label_replace", &[Type::Vector, S, S, S, S], label_replace),
    Function::special("label_join", &[Type::Vector, S, S, S], label_join).variadic(-1),
    Function::special("sort_by_label", &[Type::Vector, S], |e, args, at| sort_by_label(e, args, at, false))
        .variadic(-1)
        .experimental(),
    Function::special("sort_by_label_desc", &[Type::Vector, S], |e, args, at| sort_by_label(e, args, at, true))
        .variadic(-1)
        .experimental(),
];

fn put(e: &mut Elem, name: &str, value: &str) {
    e.labels = e.labels.with(name, value);
    if name == METRIC_NAME {
        e.drop_name = false;
    }
}

fn checked(elems: Vec<Elem>) -> Result<Val> {
    if has_duplicates(elems.iter().map(|e| &e.labels)) { Err(duplicate_labels()) } else { Ok(Val::Vector(elems)) }
}

fn check_name(name: &str, function: &str) -> Result<()> {
    if name.is_empty() || name.chars().any(super::super::print::is_byte_stand_in) {
        return Err(EvalError::Data(format!("invalid destination label name in {function}(): {name}")));
    }
    Ok(())
}

fn label_replace(eval: &Eval<'_>, args: &[Node], at: i64) -> Result<Val> {
    let [vector, target, replacement, source, Node::Pattern(pattern)] = args else {
        return Err(EvalError::Unsupported("label_replace needs a pattern".to_owned()));
    };
    let pattern = pattern
        .as_ref()
        .as_ref()
        .map_err(|e| EvalError::Data(format!("invalid regular expression in label_replace(): {e}")))?;
    let (target, replacement, source) =
        (eval.string(target, at)?, eval.string(replacement, at)?, eval.string(source, at)?);
    check_name(&target, "label_replace")?;
    let mut elems = eval.vector(vector, at)?;
    let references = replacement.matches('$').count();
    let mut text = String::new();
    for e in &mut elems {
        text.clear();
        let labels = e.labels.clone();
        let Some(found) = pattern.regex().captures(labels.value(&source)) else { continue };
        // At most so long: each reference may stand for the whole text.
        eval.check_bytes(replacement.len().saturating_add(references.saturating_mul(labels.value(&source).len())))?;
        found.expand(&replacement, &mut text);
        eval.spend_bytes(text.len())?;
        put(e, &target, &text);
    }
    checked(elems)
}

fn label_join(eval: &Eval<'_>, args: &[Node], at: i64) -> Result<Val> {
    let (target, separator) = (eval.string(&args[1], at)?, eval.string(&args[2], at)?);
    check_name(&target, "label_join")?;
    let sources = args[3..].iter().map(|node| eval.string(node, at)).collect::<Result<Vec<_>>>()?;
    let mut elems = eval.vector(&args[0], at)?;
    for e in &mut elems {
        let values: Vec<&str> = sources.iter().map(|source| e.labels.value(source)).collect();
        let separators = separator.len().saturating_mul(values.len());
        eval.spend_bytes(values.iter().fold(separators, |sum, value| sum + value.len()))?;
        let joined = values.join(&separator);
        put(e, &target, &joined);
    }
    checked(elems)
}

fn sort_by_label(eval: &Eval<'_>, args: &[Node], at: i64, descending: bool) -> Result<Val> {
    let names = args[1..].iter().map(|node| eval.string(node, at)).collect::<Result<Vec<_>>>()?;
    let mut elems = eval.vector(&args[0], at)?;
    elems.sort_by(|a, b| {
        let by_names = names.iter().map(|n| natural(a.labels.value(n), b.labels.value(n))).find(|o| o.is_ne());
        let order = by_names.unwrap_or_else(|| a.labels.cmp(&b.labels));
        if descending { order.reverse() } else { order }
    });
    Ok(Val::Vector(elems))
}

/// Text in which runs of digits compare as numbers: `a2` before `a10`.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        match (a.is_empty(), b.is_empty()) {
            (true, true) => return Ordering::Equal,
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            (false, false) => {}
        }
        let (x, y) = (run(a), run(b));
        let is_number = |t: &str| t.starts_with(|c: char| c.is_ascii_digit());
        let order = if is_number(x) && is_number(y) {
            let (p, q) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
            p.len().cmp(&q.len()).then_with(|| p.cmp(q)).then_with(|| x.len().cmp(&y.len()))
        } else {
            x.cmp(y)
        };
        if order.is_ne() {
            return order;
        }
        a = &a[x.len()..];
        b = &b[y.len()..];
    }
}

/// The digits, or the other text, that `text` begins with.
fn run(text: &str) -> &str {
    let digits = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len());
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Labels, SampleValue, Timestamp};
    use crate::promql::{Plan, QueryOptions, parse};
    use crate::series::Head;

    /// Long texts of which a little is taken, or nothing: what counts is what is made of them.
    #[test]
    fn label_replace_pays_for_what_it_makes() {
        let (head, now) = (Head::default(), Timestamp::EPOCH);
        for n in 0..100 {
            let long = format!("{n}-{}", "x".repeat(2000));
            let labels = Labels::from_pairs([("__name__", "m"), ("long", &long)]);
            head.append(&labels, now, SampleValue::Float(1.0)).unwrap();
        }
        let ctx = QueryOptions { bytes_max: 10_000, ..QueryOptions::default() };
        let check = |replacement: &str, pattern: &str, fits: bool| {
            let text = format!("label_replace(m, \"n\", \"{replacement}\", \"long\", \"{pattern}\")");
            let got = Plan::new(&parse(&text).unwrap()).eval(&head, now, &ctx).map(drop);
            let expect = if fits { Ok(()) } else { Err(EvalError::Budget("bytes of labels", 10_000)) };
            assert_eq!(got, expect, "{text}");
        };
        check("$1$1", "([0-9]+)-x*", true);
        check("$1$1$1", "none of them (.*)", true);
        check("$1$1", "(.*)", false);
        // As long as it may be, one alone is too much.
        check("$1$1$1$1$1$1", "(.*)", false);
    }

    #[test]
    fn digits_compare_as_numbers() {
        let check = |a: &str, b: &str, expect: Ordering| assert_eq!(natural(a, b), expect, "{a} {b}");
        check("a2", "a10", Ordering::Less);
        check("4m600", "4m1000", Ordering::Less);
        check("", "a", Ordering::Less);
        check("x1y2", "x1y2", Ordering::Equal);
        check("b1", "a2", Ordering::Greater);
    }
}
