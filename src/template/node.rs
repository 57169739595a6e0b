//! The parsed template: lists of nodes, pipelines of commands.
//! In: what `parse` reads. Out: what `exec` walks.
//! Never: resolved data; function names are resolved to pointers here, nothing else.
//! Start at [`Node`].

use super::set::Func;
use super::value::Value;
use std::sync::Arc;

/// A piece of a template.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Text(Arc<str>),
    /// `{{ pipeline }}`; prints unless it declares.
    Action(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    /// `{{ template "name" pipeline }}`
    Template {
        name: Arc<str>,
        pipe: Option<Pipe>,
        span: SourceText,
    },
    Break,
    Continue,
}

/// The body shared by if, with and range.
#[derive(Clone, Debug)]
pub(super) struct Branch {
    pub(super) pipe: Pipe,
    pub(super) body: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

/// Where a node stands in the template's text, and the text itself for error messages.
#[derive(Clone, Debug)]
pub(super) struct SourceText {
    pub(super) at: usize,
    pub(super) text: Arc<str>,
}

#[derive(Clone, Debug)]
pub(super) struct Pipe {
    /// Variables set by `:=` or `=`; two at most (range).
    pub(super) vars: Vec<Arc<str>>,
    pub(super) assigns: bool,
    pub(super) commands: Vec<Command>,
    pub(super) span: SourceText,
}

/// An operand and its arguments.
#[derive(Clone, Debug)]
pub(super) struct Command {
    pub(super) words: Vec<Word>,
    pub(super) span: SourceText,
}

#[derive(Clone, Debug)]
pub(super) struct Word {
    pub(super) operand: Atom,
    /// Fields that follow without a space: `.a.b`, `$x.a`, `(pipe).a`.
    pub(super) fields: Vec<Arc<str>>,
    pub(super) span: SourceText,
}

#[derive(Clone, Debug)]
pub(super) enum Atom {
    Dot,
    Var(Arc<str>),
    Const(Value),
    Nil,
    Func { name: Arc<str>, call: Callee },
    Pipe(Box<Pipe>),
}

/// What a function name stands for.
#[derive(Clone, Copy)]
pub(super) enum Callee {
    /// `and`, `or`: arguments are evaluated only as far as needed.
    And,
    Or,
    Table(Func),
}

impl std::fmt::Debug for Callee {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::And => "and",
            Self::Or => "or",
            Self::Table(_) => "func",
        })
    }
}
