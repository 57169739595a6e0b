//! Runs a parsed template over data, on limited fuel.
//! In: nodes, data, surroundings. Out: text, or an error with Go's wording and position.
//! Never: writes more than [`OUTPUT_MAX_BYTES`] or takes more than [`FUEL_STEPS`] steps.
//! Start at [`Env`].

use super::escape::Html;
use super::node::{Atom, Branch, Callee, Command, Node, Pipe, SourceText, Word};
use super::set::{Body, Definitions, FailureKind, FuncMap, TemplateError, position};
use super::value::{Value, View};
use crate::model::{Labels, Timestamp};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Steps that one expansion may take; a long notification needs a few thousand.
pub const FUEL_STEPS: usize = 100_000;
/// Bytes that one expansion may write; no channel takes more.
pub const OUTPUT_MAX_BYTES: usize = 64 << 10;
/// How deep `template` calls may nest.
const CALLS_MAX: usize = 64;
/// How deep templates may start templates (`routeLabels`).
const REENTRY_MAX: usize = 8;

/// What functions may ask of the world around the template.
pub trait Env {
    /// An instant query at the evaluation time (Prometheus' `query`).
    fn query(&self, expr: &str) -> Result<Vec<QuerySample>, String> {
        Err(format!("no query can be run here: {expr}"))
    }

    /// The evaluation time.
    fn now(&self) -> Timestamp {
        Timestamp::EPOCH
    }

    /// The address under which users reach us, without a slash at its end.
    #[allow(clippy::unnecessary_literal_bound)] // others give a text of their own
    fn external_url(&self) -> &str {
        ""
    }
}

/// Surroundings that know nothing.
pub struct NoEnv;

impl Env for NoEnv {}

/// One element of a query's result.
#[derive(Clone, Debug)]
pub struct QuerySample {
    pub labels: Labels,
    /// A number, or a histogram's text.
    pub value: Value,
}

/// The surroundings of a function call.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    pub env: &'a dyn Env,
    /// The data the template was started with.
    pub root: &'a Value,
    pub(super) funcs: FuncMap,
    pub(super) depth: usize,
}

impl Call<'_> {
    /// Expands a text inside this expansion, with the same data and functions.
    pub fn expand(&self, name: &str, text: &str) -> Result<String, String> {
        if self.depth >= REENTRY_MAX {
            return Err(format!("templates nested deeper than {REENTRY_MAX}: {name}"));
        }
        let template = super::Template::parse(name, text, self.funcs).map_err(|e| e.to_string())?;
        template.execute_at_depth(self.root, self.env, self.depth + 1).map_err(|e| e.to_string())
    }
}

/// Where it went wrong and why.
struct Failure {
    at: usize,
    node: Arc<str>,
    kind: FailureKind,
    reason: String,
}

type Run<T> = Result<T, Failure>;

fn fail<T>(span: &SourceText, reason: impl Into<String>) -> Run<T> {
    fail_as(span, FailureKind::Other, reason)
}

fn fail_as<T>(span: &SourceText, kind: FailureKind, reason: impl Into<String>) -> Run<T> {
    Err(Failure { at: span.at, node: span.text.clone(), kind, reason: reason.into() })
}

/// What a node asks of the loop around it.
#[derive(PartialEq)]
enum Jump {
    Break,
    Continue,
}

type Flow = ControlFlow<Jump>;

pub(super) struct Exec<'a> {
    call: Call<'a>,
    defs: &'a Definitions,
    vars: Vec<(Arc<str>, Value)>,
    html: Option<Html>,
    out: String,
    fuel: usize,
    calls: usize,
    /// The body that runs now, for positions.
    body: Option<(Arc<str>, Arc<str>)>,
}

impl<'a> Exec<'a> {
    pub(super) fn new(call: Call<'a>, defs: &'a Definitions, html: bool) -> Self {
        let html = html.then(Html::default);
        Self { call, defs, vars: Vec::new(), html, out: String::new(), fuel: FUEL_STEPS, calls: 0, body: None }
    }

    pub(super) fn run(mut self, main: &Body, vars: &[(&'static str, &'static str)]) -> Result<String, TemplateError> {
        let root = self.call.root.clone();
        self.vars.push((Arc::from("$"), root.clone()));
        for (name, field) in vars {
            let value = match &root {
                Value::Object(o) => o.field(field),
                Value::Map(m) => m.entries.get(*field).cloned(),
                _ => None,
            };
            self.vars.push((Arc::from(*name), value.unwrap_or_default()));
        }
        self.body = Some((main.name.clone(), main.source.clone()));
        match self.list(&main.nodes, &root) {
            Ok(_) => Ok(self.out),
            Err(failure) => {
                let (name, source) = self.body.unwrap_or_else(|| (main.name.clone(), main.source.clone()));
                let (line, column) = position(&source, failure.at);
                let node = failure.node.chars().take(64).collect();
                let Failure { kind, reason, .. } = failure;
                Err(TemplateError::Execute { name: name.to_string(), line, column, node, kind, reason })
            }
        }
    }

    fn burn(&mut self, span: &SourceText) -> Run<()> {
        if self.fuel == 0 {
            return fail(span, format!("stopped after {FUEL_STEPS} steps"));
        }
        self.fuel -= 1;
        Ok(())
    }

    fn write(&mut self, text: &str, span: Option<&SourceText>) -> Run<()> {
        if self.out.len() + text.len() > OUTPUT_MAX_BYTES {
            let nowhere = SourceText { at: 0, text: Arc::from("text") };
            return fail(span.unwrap_or(&nowhere), format!("output is longer than {OUTPUT_MAX_BYTES} bytes"));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn list(&mut self, nodes: &[Node], dot: &Value) -> Run<Flow> {
        for node in nodes {
            let flow = self.node(node, dot)?;
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(Flow::Continue(()))
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Run<Flow> {
        match node {
            Node::Text(text) => {
                if let Some(html) = &mut self.html {
                    html.feed(text);
                }
                self.write(text, None)?;
            }
            Node::Action(pipe) => {
                let value = self.pipe(pipe, dot)?;
                if pipe.vars.is_empty() {
                    self.print(&value, &pipe.span)?;
                }
            }
            Node::If(branch) | Node::With(branch) => return self.if_or_with(node, branch, dot),
            Node::Range(branch) => return self.range(branch, dot),
            Node::Template { name, pipe, span } => self.template(name, pipe.as_ref(), span, dot)?,
            Node::Break => return Ok(Flow::Break(Jump::Break)),
            Node::Continue => return Ok(Flow::Break(Jump::Continue)),
        }
        Ok(Flow::Continue(()))
    }

    fn print(&mut self, value: &Value, span: &SourceText) -> Run<()> {
        if let Value::Func(_) = value {
            return fail(span, "can't print func");
        }
        let text = match &mut self.html {
            Some(html) => html.escape(value),
            None => value.print(),
        };
        self.write(&text, Some(span))
    }

    fn if_or_with(&mut self, node: &Node, branch: &Branch, dot: &Value) -> Run<Flow> {
        let scope = self.vars.len();
        let value = self.pipe(&branch.pipe, dot)?;
        let flow = if value.truth() {
            let inner = if matches!(node, Node::With(_)) { &value } else { dot };
            self.list(&branch.body, inner)
        } else {
            self.list(&branch.otherwise, dot)
        };
        self.vars.truncate(scope);
        flow
    }

    fn range(&mut self, branch: &Branch, dot: &Value) -> Run<Flow> {
        let scope = self.vars.len();
        let subject = self.pipe_value(&branch.pipe, dot)?;
        let items: Vec<(Value, Value)> = match (&subject, subject.view()) {
            (Value::Nil, _) => Vec::new(),
            (Value::Int(n), _) => {
                (0..(*n).clamp(0, FUEL_STEPS as i64)).map(|i| (Value::Int(i), Value::Int(i))).collect()
            }
            (_, Some(View::List(l))) => l.into_iter().enumerate().map(|(i, v)| (Value::Int(i as i64), v)).collect(),
            (_, Some(View::Map(m))) => m.into_iter().map(|(k, v)| (Value::Str(k), v)).collect(),
            _ => return fail(&branch.pipe.span, format!("range can't iterate over {}", subject.print())),
        };
        let mut flow = Flow::Continue(());
        if items.is_empty() {
            flow = self.list(&branch.otherwise, dot)?;
        }
        for (key, item) in items {
            self.burn(&branch.pipe.span)?;
            let inner = self.vars.len();
            match branch.pipe.vars.as_slice() {
                [one] => self.bind(one, item.clone(), branch.pipe.assigns),
                [first, second] => {
                    self.bind(first, key, branch.pipe.assigns);
                    self.bind(second, item.clone(), branch.pipe.assigns);
                }
                _ => {}
            }
            let step = self.list(&branch.body, &item)?;
            self.vars.truncate(inner);
            if step == Flow::Break(Jump::Break) {
                break;
            }
        }
        self.vars.truncate(scope);
        Ok(flow)
    }

    fn template(&mut self, name: &Arc<str>, pipe: Option<&Pipe>, span: &SourceText, dot: &Value) -> Run<()> {
        let Some(body) = self.defs.get(name).cloned() else {
            return fail_as(span, FailureKind::NotDefined, format!("template {name:?} not defined"));
        };
        let dot = match pipe {
            Some(pipe) => self.pipe(pipe, dot)?,
            None => Value::Nil,
        };
        if self.calls >= CALLS_MAX {
            return fail(span, format!("exceeded maximum template depth ({CALLS_MAX})"));
        }
        self.burn(span)?;
        self.calls += 1;
        let vars = std::mem::replace(&mut self.vars, vec![(Arc::from("$"), dot.clone())]);
        let outer = self.body.replace((body.name.clone(), body.source.clone()));
        let _ended = self.list(&body.nodes, &dot)?;
        // Only after success: a failure keeps the inner body, whose position it names.
        self.body = outer;
        self.vars = vars;
        self.calls -= 1;
        Ok(())
    }

    fn bind(&mut self, name: &Arc<str>, value: Value, assigns: bool) {
        if assigns && let Some(slot) = self.vars.iter_mut().rev().find(|(n, _)| n == name) {
            slot.1 = value;
            return;
        }
        self.vars.push((name.clone(), value));
    }

    /// The pipeline's value; its variables are set.
    fn pipe(&mut self, pipe: &Pipe, dot: &Value) -> Run<Value> {
        let value = self.pipe_value(pipe, dot)?;
        for name in &pipe.vars {
            self.bind(name, value.clone(), pipe.assigns);
        }
        Ok(value)
    }

    fn pipe_value(&mut self, pipe: &Pipe, dot: &Value) -> Run<Value> {
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(command, dot, value)?);
        }
        Ok(value.unwrap_or_default())
    }

    fn command(&mut self, command: &Command, dot: &Value, piped: Option<Value>) -> Run<Value> {
        self.burn(&command.span)?;
        let Some((first, rest)) = command.words.split_first() else { return Ok(Value::Nil) };
        if let Atom::Func { name, call } = &first.operand
            && first.fields.is_empty()
        {
            return self.function(name, *call, rest, piped, dot, &command.span);
        }
        let has_args = !rest.is_empty() || piped.is_some();
        if first.fields.is_empty() {
            if has_args {
                return fail(&command.span, format!("can't give argument to non-function {}", first.span.text));
            }
            return self.word(first, dot);
        }
        let receiver = self.operand(first, dot)?;
        let mut args = Vec::with_capacity(rest.len() + 1);
        for word in rest {
            args.push(self.word(word, dot)?);
        }
        args.extend(piped);
        Self::fields(receiver, &first.fields, &args, told_at(first))
    }

    fn function(
        &mut self,
        name: &str,
        callee: Callee,
        words: &[Word],
        piped: Option<Value>,
        dot: &Value,
        span: &SourceText,
    ) -> Run<Value> {
        let func = match callee {
            Callee::Table(func) => func,
            Callee::And | Callee::Or => {
                // Stops at the first value that decides.
                let stop_at = matches!(callee, Callee::Or);
                let mut last = None;
                for word in words {
                    let value = self.word(word, dot)?;
                    if value.truth() == stop_at {
                        return Ok(value);
                    }
                    last = Some(value);
                }
                let reason = format!("wrong number of args for {name}: want at least 1 got 0");
                return piped.or(last).map_or_else(|| fail_as(span, FailureKind::Arguments, reason), Ok);
            }
        };
        let mut args = Vec::with_capacity(words.len() + 1);
        for word in words {
            args.push(self.word(word, dot)?);
        }
        args.extend(piped);
        func(&self.call, &args).or_else(|reason| {
            // A wrong number or type of arguments is Go's own complaint, not the function's.
            if reason.starts_with("wrong number of args") {
                fail_as(span, FailureKind::Arguments, reason)
            } else if reason.starts_with("wrong ") || reason.starts_with("invalid value;") {
                fail(span, reason)
            } else {
                fail_as(span, FailureKind::Call, format!("error calling {name}: {reason}"))
            }
        })
    }

    fn word(&mut self, word: &Word, dot: &Value) -> Run<Value> {
        let value = self.operand(word, dot)?;
        if word.fields.is_empty() { Ok(value) } else { Self::fields(value, &word.fields, &[], told_at(word)) }
    }

    fn operand(&mut self, word: &Word, dot: &Value) -> Run<Value> {
        self.burn(&word.span)?;
        match &word.operand {
            Atom::Dot => Ok(dot.clone()),
            Atom::Const(value) => Ok(value.clone()),
            Atom::Nil => Ok(Value::Nil),
            Atom::Var(name) => {
                Ok(self.vars.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.clone()).unwrap_or_default())
            }
            Atom::Pipe(pipe) => self.pipe(pipe, dot),
            Atom::Func { name, call } => self.function(name, *call, &[], None, dot, &word.span),
        }
    }

    /// Follows fields; the last one may be a method that takes `args`.
    fn fields(receiver: Value, fields: &[Arc<str>], args: &[Value], span: &SourceText) -> Run<Value> {
        let mut value = receiver;
        for (i, name) in fields.iter().enumerate() {
            let last = i + 1 == fields.len();
            let args = if last { args } else { &[] };
            value = match field(&value, name, args, i > 0) {
                Ok(value) => value,
                Err((kind, reason)) => return fail_as(span, kind, reason),
            };
        }
        Ok(value)
    }
}

/// Where Go says that a field of this word cannot be read: of `(f "x").y`, at what was evaluated last.
fn told_at(word: &Word) -> &SourceText {
    let Atom::Pipe(pipe) = &word.operand else { return &word.span };
    let last = pipe.commands.last().and_then(|command| command.words.last());
    last.map_or(&word.span, |last| if last.fields.is_empty() { told_at(last) } else { &last.span })
}

fn field(receiver: &Value, name: &str, args: &[Value], chained: bool) -> Result<Value, (FailureKind, String)> {
    let found = match receiver {
        Value::Nil if chained => {
            return Err((FailureKind::Other, format!("nil pointer evaluating interface {{}}.{name}")));
        }
        Value::Nil => Some(Value::Nil),
        Value::Map(map) => Some(map.entries.get(name).cloned().unwrap_or_else(|| map.missing.clone())),
        Value::Object(object) => {
            if let Some(result) = object.method(name, args) {
                return result.map_err(|reason| (FailureKind::Call, format!("error calling {name}: {reason}")));
            }
            object.field(name)
        }
        _ => None,
    };
    match found {
        None => Err((FailureKind::NoField, format!("can't evaluate field {name} in type {}", receiver.type_name()))),
        Some(_) if !args.is_empty() => Err((FailureKind::Other, format!("{name} is not a method but has arguments"))),
        Some(value) => Ok(value),
    }
}
