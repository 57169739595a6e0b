//! Templates as others use them: one text, or a set of named ones that share definitions.
//! In: text, functions, data. Out: the expanded text.
//! Never: reads files.
//! Start at [`TemplateSet::parse`].

use super::builtins;
use super::exec::{Call, Env, Exec, NoEnv};
use super::node::Node;
use super::parse;
use super::value::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// A function of the template language: the call's surroundings, then the arguments, the piped one last.
pub type Func = fn(&Call<'_>, &[Value]) -> Result<Value, String>;

/// A table of functions over Go's built-in ones.
#[derive(Clone, Copy)]
pub struct FuncMap(pub &'static [(&'static str, Func)]);

impl FuncMap {
    /// Go's built-ins alone.
    pub const BUILTINS: Self = Self(&[]);

    pub(super) fn get(self, name: &str) -> Option<Func> {
        let find = |table: &[(&'static str, Func)]| table.iter().find(|(n, _)| *n == name).map(|(_, f)| *f);
        find(self.0).or_else(|| find(builtins::TABLE))
    }
}

impl std::fmt::Debug for FuncMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(n, _)| n)).finish()
    }
}

/// How output is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// text/template: as it is.
    Text,
    /// html/template: escaped for the place it lands in.
    Html,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The text is not a template; reported when configuration or rules are loaded.
    #[error("template: {name}:{line}: {reason}")]
    Parse { name: String, line: usize, column: usize, reason: String },
    /// It went wrong while it ran; the caller falls back to plain text.
    #[error("template: {name}:{line}:{column}: executing {name:?} at <{node}>: {reason}")]
    Execute { name: String, line: usize, column: usize, node: String, kind: FailureKind, reason: String },
}

/// Why a run failed, for whoever tries a template before it is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// It calls a template that is not defined.
    NotDefined,
    /// It asks for a field that its data never has.
    NoField,
    /// It gives a function a number of arguments that the function never takes.
    Arguments,
    /// A function or method refused what it was given: other data may suit it.
    Call,
    Other,
}

pub(super) type Definitions = HashMap<Arc<str>, Arc<Body>>;

/// A parsed body and the text it came from, for positions in errors.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) name: Arc<str>,
    pub(super) source: Arc<str>,
    pub(super) nodes: Vec<Node>,
}

/// Named definitions (`define`) that templates may use.
#[derive(Clone, Debug)]
pub struct TemplateSet {
    funcs: FuncMap,
    mode: Mode,
    defs: Arc<Definitions>,
}

impl TemplateSet {
    pub fn new(funcs: FuncMap, mode: Mode) -> Self {
        Self { funcs, mode, defs: Arc::default() }
    }

    /// Adds the definitions of a file; a later definition of a name replaces an earlier one. The file's own body is
    /// kept under `name`.
    pub fn add(&mut self, name: &str, text: &str) -> Result<(), TemplateError> {
        let main = self.read(name, text, &[])?;
        let defs = Arc::make_mut(&mut self.defs);
        defs.insert(main.name.clone(), main);
        Ok(())
    }

    /// Parses one text that may use the set's definitions.
    pub fn parse(&self, name: &str, text: &str) -> Result<Template, TemplateError> {
        self.clone().parse_with(name, text, &[])
    }

    /// As [`TemplateSet::parse`]; each of `vars` (`$labels`, …) is the root's field of the paired name.
    fn parse_with(
        mut self,
        name: &str,
        text: &str,
        vars: &'static [(&'static str, &'static str)],
    ) -> Result<Template, TemplateError> {
        let main = self.read(name, text, vars)?;
        Ok(Template { main, vars, funcs: self.funcs, mode: self.mode, defs: self.defs })
    }

    fn read(
        &mut self,
        name: &str,
        text: &str,
        vars: &[(&'static str, &'static str)],
    ) -> Result<Arc<Body>, TemplateError> {
        let names: Vec<&str> = vars.iter().map(|(n, _)| *n).collect();
        let (nodes, defs) = parse::parse(text, self.funcs, &names).map_err(|(at, reason)| {
            let (line, column) = position(text, at);
            TemplateError::Parse { name: name.to_owned(), line, column, reason }
        })?;
        let source: Arc<str> = Arc::from(text);
        if !defs.is_empty() {
            let all = Arc::make_mut(&mut self.defs);
            for (name, nodes) in defs {
                all.insert(name.clone(), Arc::new(Body { name, source: source.clone(), nodes }));
            }
        }
        Ok(Arc::new(Body { name: Arc::from(name), source, nodes }))
    }
}

/// Line from 1 and column from 0 in bytes, as Go counts.
pub(super) fn position(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..at.min(text.len())];
    let line_start = before.rfind('\n').map_or(0, |i| i + 1);
    (before.matches('\n').count() + 1, before.len() - line_start)
}

/// A text ready to be expanded many times.
#[derive(Clone, Debug)]
pub struct Template {
    main: Arc<Body>,
    vars: &'static [(&'static str, &'static str)],
    funcs: FuncMap,
    mode: Mode,
    defs: Arc<Definitions>,
}

impl Template {
    /// Parses a text that stands alone.
    pub fn parse(name: &str, text: &str, funcs: FuncMap) -> Result<Self, TemplateError> {
        TemplateSet::new(funcs, Mode::Text).parse(name, text)
    }

    /// As [`Template::parse`] with variables that exist from the start: name (with `$`) and field of the root.
    pub fn parse_with_vars(
        name: &str,
        text: &str,
        funcs: FuncMap,
        vars: &'static [(&'static str, &'static str)],
    ) -> Result<Self, TemplateError> {
        TemplateSet::new(funcs, Mode::Text).parse_with(name, text, vars)
    }

    /// Whether it is plain text without any action: expanding gives [`Template::source`] whatever the data. A text with
    /// comments or definitions is none: it gives less than its source.
    pub fn is_plain(&self) -> bool {
        let text = |n: &Node| if let Node::Text(text) = n { Some(text.len()) } else { None };
        self.main.nodes.iter().map(text).sum::<Option<usize>>() == Some(self.main.source.len())
    }

    /// The text as it was written.
    pub fn source(&self) -> &str {
        &self.main.source
    }

    /// Expands with functions that ask nobody.
    pub fn execute(&self, data: &Value) -> Result<String, TemplateError> {
        self.execute_in(data, &NoEnv)
    }

    /// Expands; `env` answers `query`, `now`, `externalURL` and `pathPrefix`.
    pub fn execute_in(&self, data: &Value, env: &dyn Env) -> Result<String, TemplateError> {
        self.execute_at_depth(data, env, 0)
    }

    pub(super) fn execute_at_depth(&self, data: &Value, env: &dyn Env, depth: usize) -> Result<String, TemplateError> {
        let call = Call { env, root: data, funcs: self.funcs, depth };
        Exec::new(call, &self.defs, self.mode == Mode::Html).run(&self.main, self.vars)
    }
}
