//! Values that templates handle: Go's kinds, and objects with fields and methods.
//! In: data from rules and notifications. Out: [`Value`] with Go's truth, printing and comparison.
//! Never: holds a reference; clones are cheap.
//! Start at [`Value`].

use super::fmt;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

/// A value as a template sees it.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// Go's nil interface, printed `<no value>`.
    #[default]
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Arc<str>),
    /// Text that is trusted where its kind fits (`safeHtml`, `safeUrl`); plain text in text mode.
    Safe(SafeKind, Arc<str>),
    List(Arc<Vec<Self>>),
    Map(Arc<Map>),
    Object(Arc<dyn Object>),
    /// A bound function, for `call`.
    Func(Arc<Bound>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SafeKind {
    Html,
    Url,
}

/// A function value that `call` can run.
pub struct Bound(pub BoundFn);

type BoundFn = Box<dyn Fn(&[Value]) -> Result<Value, String> + Send + Sync>;

impl Debug for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("func")
    }
}

/// A map with sorted keys, as Go prints and ranges over it.
#[derive(Clone, Debug, Default)]
pub struct Map {
    pub entries: BTreeMap<Arc<str>, Value>,
    /// What a missing key gives: `""` for maps of strings, nil for maps of anything.
    pub missing: Value,
}

/// How an object may be looked into by `range`, `len`, `index` and JSON.
pub enum View {
    /// A struct or a scalar: not iterable. The pairs are its JSON fields, in order.
    Struct(Vec<(&'static str, Value)>),
    List(Vec<Value>),
    Map(Vec<(Arc<str>, Value)>),
}

/// Data with behaviour: a label set, a moment, an alert.
pub trait Object: Send + Sync + Debug {
    /// Go's name of the type, for errors and `%T`.
    fn type_name(&self) -> &'static str;
    /// The field, or the map's entry; `None` when there is no such field (an error in Go).
    fn field(&self, name: &str) -> Option<Value>;
    /// Calls a method; `None` when there is no such method.
    fn method(&self, name: &str, args: &[Value]) -> Option<Result<Value, String>> {
        let _ = (name, args);
        None
    }
    fn view(&self) -> View {
        View::Struct(Vec::new())
    }
    /// `%v`.
    fn print(&self) -> String {
        match self.view() {
            View::List(items) => fmt::print_list(&items),
            View::Map(entries) => fmt::print_map(entries.iter().map(|(k, v)| (k.as_ref(), v))),
            View::Struct(fields) => {
                let parts: Vec<String> = fields.iter().map(|(_, v)| fmt::nested(v)).collect();
                format!("{{{}}}", parts.join(" "))
            }
        }
    }
    /// The JSON text when it is not what `view` gives (a moment is a string).
    fn json(&self) -> Option<String> {
        None
    }
    /// The number behind it, where functions take numbers (a duration's seconds).
    fn number(&self) -> Option<f64> {
        None
    }
    /// For functions that need the Rust value back.
    fn as_any(&self) -> &dyn std::any::Any;
}

impl Value {
    pub fn str(text: impl Into<Arc<str>>) -> Self {
        Self::Str(text.into())
    }

    pub fn list(items: Vec<Self>) -> Self {
        Self::List(Arc::new(items))
    }

    pub fn object(object: impl Object + 'static) -> Self {
        Self::Object(Arc::new(object))
    }

    /// A map of strings: a missing key gives `""`.
    pub fn string_map<K: Into<Arc<str>>, V: Into<Arc<str>>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        let entries = pairs.into_iter().map(|(k, v)| (k.into(), Self::Str(v.into()))).collect();
        Self::Map(Arc::new(Map { entries, missing: Self::str("") }))
    }

    /// A map of anything: a missing key gives nil, printed `<no value>`.
    pub fn map<K: Into<Arc<str>>>(pairs: impl IntoIterator<Item = (K, Self)>) -> Self {
        let entries = pairs.into_iter().map(|(k, v)| (k.into(), v)).collect();
        Self::Map(Arc::new(Map { entries, missing: Self::Nil }))
    }

    /// Go's truth: not the zero value, not empty.
    pub fn truth(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(b) => *b,
            Self::Int(i) => *i != 0,
            Self::Float(v) => *v != 0.0,
            Self::Str(s) | Self::Safe(_, s) => !s.is_empty(),
            Self::List(l) => !l.is_empty(),
            Self::Map(m) => !m.entries.is_empty(),
            Self::Func(_) => true,
            Self::Object(o) => match o.view() {
                View::Struct(_) => true,
                View::List(l) => !l.is_empty(),
                View::Map(m) => !m.is_empty(),
            },
        }
    }

    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Str(_) => "string",
            Self::Safe(SafeKind::Html, _) => "template.HTML",
            Self::Safe(SafeKind::Url, _) => "template.URL",
            Self::List(_) => "[]interface {}",
            Self::Map(m) if matches!(m.missing, Self::Str(_)) => "map[string]string",
            Self::Map(_) => "map[string]interface {}",
            Self::Object(o) => o.type_name(),
            Self::Func(_) => "func",
        }
    }

    /// The text of a string value, trusted or not.
    pub fn as_text(&self) -> Option<&Arc<str>> {
        match self {
            Self::Str(s) | Self::Safe(_, s) => Some(s),
            _ => None,
        }
    }

    /// `%v`, as `{{ }}` prints it.
    pub fn print(&self) -> String {
        fmt::print(self)
    }

    /// What `range`, `len` and `index` see of a list or a map.
    pub fn view(&self) -> Option<View> {
        match self {
            Self::List(l) => Some(View::List(l.as_ref().clone())),
            Self::Map(m) => Some(View::Map(m.entries.iter().map(|(k, v)| (k.clone(), v.clone())).collect())),
            Self::Object(o) => match o.view() {
                View::Struct(_) => None,
                view => Some(view),
            },
            _ => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Str(Arc::from(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Str(Arc::from(text))
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}

impl From<f64> for Value {
    fn from(v: f64) -> Self {
        Self::Float(v)
    }
}

impl From<i64> for Value {
    fn from(v: i64) -> Self {
        Self::Int(v)
    }
}
