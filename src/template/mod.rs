//! Go's text/template, our own engine: the language of alert annotations and notification texts.
//! In: template text, a table of functions, data. Out: text, or an error that says where and why.
//! Never: does IO, runs without fuel, or writes more than [`exec::OUTPUT_MAX_BYTES`].
//! Start at [`TemplateSet`] and [`Template::parse`].

pub mod alertmanager;
mod builtins;
mod escape;
pub mod exec;
mod fmt;
pub mod humanize;
mod lex;
mod node;
mod parse;
pub mod prometheus;
mod scalar;
mod set;
mod text;
pub mod time;
mod value;

pub use exec::{Call, Env, NoEnv, QuerySample};
pub use fmt::{float_e, float_g};
pub use set::{FailureKind, Func, FuncMap, Mode, Template, TemplateError, TemplateSet};
pub use value::{Map, Object, Value, View};
