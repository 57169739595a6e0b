//! Go's built-in functions: comparison, indexing, printing, escaping.
//! In: arguments. Out: values, or Go's words for why not.
//! Never: `and` and `or`, which must not evaluate everything and live in `exec`.
//! Start at [`TABLE`].

use super::exec::Call;
use super::fmt;
use super::set::Func;
use super::text::{html_escape, js_escape, percent_encode};
use super::value::{Value, View};
use std::cmp::Ordering;

pub(super) const TABLE: &[(&str, Func)] = &[
    ("not", not),
    ("len", len),
    ("index", index),
    ("slice", slice),
    ("print", |_, a| Ok(fmt::sprint(a).into())),
    ("println", |_, a| Ok(fmt::sprintln(a).into())),
    ("printf", printf),
    ("html", |_, a| Ok(html_escape(&fmt::sprint(a)).into())),
    ("js", |_, a| Ok(js_escape(&fmt::sprint(a)).into())),
    ("urlquery", |_, a| Ok(percent_encode(&fmt::sprint(a), true).into())),
    ("call", call),
    ("eq", eq),
    ("ne", |_, a| Ok(Value::Bool(!equal(arg(a, 0, 2)?, &a[1])?))),
    ("lt", |_, a| order(a, Ordering::is_lt)),
    ("le", |_, a| order(a, Ordering::is_le)),
    ("gt", |_, a| order(a, Ordering::is_gt)),
    ("ge", |_, a| order(a, Ordering::is_ge)),
];

/// The argument at `i` of exactly `want`.
pub(super) fn arg(args: &[Value], i: usize, want: usize) -> Result<&Value, String> {
    match args.get(i) {
        Some(value) if args.len() == want => Ok(value),
        _ => Err(format!("wrong number of args: want {want} got {}", args.len())),
    }
}

/// The text at `i` of exactly `want` arguments.
pub(super) fn text_arg(args: &[Value], i: usize, want: usize) -> Result<&str, String> {
    let value = arg(args, i, want)?;
    match value.as_text() {
        Some(text) => Ok(text),
        None if matches!(value, Value::Nil) => Err("invalid value; expected string".to_owned()),
        None => Err(format!("wrong type for value; expected string; got {}", value.type_name())),
    }
}

fn not(_: &Call<'_>, args: &[Value]) -> Result<Value, String> {
    Ok(Value::Bool(!arg(args, 0, 1)?.truth()))
}

fn len(_: &Call<'_>, args: &[Value]) -> Result<Value, String> {
    let value = arg(args, 0, 1)?;
    let n = match (value.as_text(), value) {
        (Some(text), _) => text.len(),
        (_, Value::List(l)) => l.len(),
        (_, Value::Map(m)) => m.entries.len(),
        _ => match value.view() {
            Some(View::List(l)) => l.len(),
            Some(View::Map(m)) => m.len(),
            _ if matches!(value, Value::Nil) => return Err("len of nil pointer".to_owned()),
            _ => return Err(format!("len of type {}", value.type_name())),
        },
    };
    Ok(Value::Int(n as i64))
}

fn index(_: &Call<'_>, args: &[Value]) -> Result<Value, String> {
    let Some((first, keys)) = args.split_first() else {
        return Err("wrong number of args for index: want at least 1 got 0".to_owned());
    };
    let mut value = first.clone();
    for key in keys {
        value = index_one(&value, key)?;
    }
    Ok(value)
}

fn index_one(value: &Value, key: &Value) -> Result<Value, String> {
    if let Some(text) = value.as_text() {
        let i = position(key, text.len())?;
        return Ok(Value::Int(i64::from(text.as_bytes()[i])));
    }
    if let Value::List(items) = value {
        return Ok(items[position(key, items.len())?].clone());
    }
    let key_text = || key.as_text().ok_or_else(|| format!("value has type {}; should be string", key.type_name()));
    match value {
        Value::Nil => Err("index of untyped nil".to_owned()),
        Value::Map(map) => Ok(map.entries.get(key_text()?).cloned().unwrap_or_else(|| map.missing.clone())),
        Value::Object(object) => match object.view() {
            View::List(items) => Ok(items[position(key, items.len())?].clone()),
            View::Map(entries) => {
                let name = key_text()?;
                let found = entries.into_iter().find(|(k, _)| k == name).map(|(_, v)| v);
                Ok(found.unwrap_or_else(|| Value::from("")))
            }
            View::Struct(_) => Err(format!("can't index item of type {}", value.type_name())),
        },
        _ => Err(format!("can't index item of type {}", value.type_name())),
    }
}

fn position(key: &Value, len: usize) -> Result<usize, String> {
    match key {
        Value::Int(i) if (0..len as i64).contains(i) => Ok(*i as usize),
        Value::Int(i) => Err(format!("index out of range: {i}")),
        Value::Nil => Err("cannot index slice/array with nil".to_owned()),
        other => Err(format!("cannot index slice/array with type {}", other.type_name())),
    }
}

fn slice(_: &Call<'_>, args: &[Value]) -> Result<Value, String> {
    let Some((value, bounds)) = args.split_first() else {
        return Err("wrong number of args for slice: want at least 1 got 0".to_owned());
    };
    let items = match value.view() {
        Some(View::List(items)) => Some(items),
        _ => None,
    };
    let len = match (&items, value.as_text()) {
        (Some(items), _) => items.len(),
        (None, Some(text)) => text.len(),
        _ => return Err(format!("can't slice item of type {}", value.type_name())),
    };
    let bound = |i: usize, default: usize| bounds.get(i).map_or(Ok(default), |key| position(key, len + 1));
    let (from, to) = (bound(0, 0)?, bound(1, len)?);
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    match (items, value.as_text()) {
        (Some(items), _) => Ok(Value::list(items[from..to].to_vec())),
        (None, text) => {
            let bytes = text.map(|t| &t.as_bytes()[from..to]).unwrap_or_default();
            Ok(String::from_utf8_lossy(bytes).into_owned().into())
        }
    }
}

fn printf(_: &Call<'_>, args: &[Value]) -> Result<Value, String> {
    let Some((format, rest)) = args.split_first() else {
        return Err("wrong number of args for printf: want at least 1 got 0".to_owned());
    };
    let format = text_arg(std::slice::from_ref(format), 0, 1)?;
    Ok(fmt::sprintf(format, rest).into())
}

fn call(_: &Call<'_>, args: &[Value]) -> Result<Value, String> {
    match args.split_first() {
        Some((Value::Func(bound), rest)) => (bound.0)(rest),
        Some((other, _)) => Err(format!("non-function of type {}", other.type_name())),
        None => Err("wrong number of args for call: want at least 1 got 0".to_owned()),
    }
}

fn eq(_: &Call<'_>, args: &[Value]) -> Result<Value, String> {
    let Some((first, others)) = args.split_first().filter(|(_, o)| !o.is_empty()) else {
        return Err("missing argument for comparison".to_owned());
    };
    for other in others {
        if equal(first, other)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

const INCOMPATIBLE: &str = "incompatible types for comparison";

/// Go's `==` on basic kinds; a float and an int are not comparable.
fn equal(a: &Value, b: &Value) -> Result<bool, String> {
    if let (Some(a), Some(b)) = (a.as_text(), b.as_text()) {
        return Ok(a == b);
    }
    match (a, b) {
        (Value::Nil, Value::Nil) => Ok(true),
        (Value::Nil, _) | (_, Value::Nil) => Ok(false),
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::Int(a), Value::Int(b)) => Ok(a == b),
        (Value::Float(a), Value::Float(b)) => Ok(a == b),
        (Value::List(_) | Value::Map(_), _) | (_, Value::List(_) | Value::Map(_)) => {
            Err("non-comparable types".to_owned())
        }
        (Value::Object(a), Value::Object(b)) if a.type_name() == b.type_name() => Ok(a.print() == b.print()),
        _ => Err(INCOMPATIBLE.to_owned()),
    }
}

fn order(args: &[Value], test: fn(Ordering) -> bool) -> Result<Value, String> {
    let (a, b) = (arg(args, 0, 2)?, &args[1]);
    if let (Some(a), Some(b)) = (a.as_text(), b.as_text()) {
        return Ok(Value::Bool(test(a.cmp(b))));
    }
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Ok(Value::Bool(test(a.cmp(b)))),
        (Value::Float(a), Value::Float(b)) => Ok(Value::Bool(a.partial_cmp(b).is_some_and(test))),
        (Value::Bool(_) | Value::Nil, _) => Err("invalid type for comparison".to_owned()),
        (Value::Object(x), Value::Object(y)) => match (x.number(), y.number()) {
            (Some(x), Some(y)) => Ok(Value::Bool(x.partial_cmp(&y).is_some_and(test))),
            _ => Err("invalid type for comparison".to_owned()),
        },
        _ => Err(INCOMPATIBLE.to_owned()),
    }
}
