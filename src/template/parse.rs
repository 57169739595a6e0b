//! Reads tokens into nodes; knows keywords, scopes of variables, and which functions exist.
//! In: template text and the table of functions. Out: the main body and the templates it defines.
//! Never: evaluates anything.
//! Start at [`parse`].

use super::lex::{self, Kind, Piece, Token};
use super::node::{Atom, Branch, Callee, Command, Node, Pipe, SourceText, Word};
use super::set::FuncMap;
use super::value::Value;
use std::sync::Arc;

/// How deep blocks and parentheses may nest; a person never needs twenty, and recursion here is on our stack.
const NESTING_MAX: usize = 100;

/// Position and reason.
pub(super) type ParseError = (usize, String);

/// Templates by name, as `define` and `block` make them.
pub(super) type Defs = Vec<(Arc<str>, Vec<Node>)>;

/// How a list of nodes came to its end.
enum End {
    Eof,
    Closed,
    Else(Vec<Token>, usize),
}

pub(super) struct Parser<'a> {
    source: &'a str,
    pieces: std::vec::IntoIter<Piece<'a>>,
    funcs: FuncMap,
    vars: Vec<String>,
    depth: usize,
    ranges: usize,
    pub(super) defs: Defs,
}

/// Parses `source`; `vars` are the variables that exist from the start (`$` always does).
pub(super) fn parse(source: &str, funcs: FuncMap, vars: &[&str]) -> Result<(Vec<Node>, Defs), ParseError> {
    let pieces = lex::pieces(source)?.into_iter();
    let mut names = vec!["$".to_owned()];
    names.extend(vars.iter().map(|v| (*v).to_owned()));
    let mut parser = Parser { source, pieces, funcs, vars: names, depth: 0, ranges: 0, defs: Vec::new() };
    let (nodes, end) = parser.list(true)?;
    match end {
        End::Eof => Ok((nodes, parser.defs)),
        End::Closed => Err((0, "unexpected {{end}}".to_owned())),
        End::Else(_, at) => Err((at, "unexpected {{else}}".to_owned())),
    }
}

impl Parser<'_> {
    fn list(&mut self, top: bool) -> Result<(Vec<Node>, End), ParseError> {
        self.depth += 1;
        if self.depth > NESTING_MAX {
            return Err((0, format!("nested deeper than {NESTING_MAX}")));
        }
        let mut nodes = Vec::new();
        let end = loop {
            let Some(piece) = self.pieces.next() else { break End::Eof };
            match piece {
                Piece::Text(text) => nodes.push(Node::Text(Arc::from(text))),
                Piece::Action { at, tokens } => {
                    if let Some(end) = self.action(at, tokens, top, &mut nodes)? {
                        break end;
                    }
                }
            }
        };
        self.depth -= 1;
        Ok((nodes, end))
    }

    fn action(
        &mut self,
        at: usize,
        mut tokens: Vec<Token>,
        top: bool,
        nodes: &mut Vec<Node>,
    ) -> Result<Option<End>, ParseError> {
        let keyword = match tokens.first() {
            None => return Err((at, "missing value for command".to_owned())),
            Some(Token { kind: Kind::Ident(word), .. }) => word.clone(),
            Some(_) => String::new(),
        };
        let rest = |tokens: &mut Vec<Token>| tokens.drain(1..).collect::<Vec<_>>();
        match keyword.as_str() {
            "end" => return self.alone(&tokens, "end").map(|()| Some(End::Closed)),
            "else" => return Ok(Some(End::Else(rest(&mut tokens), at))),
            "if" | "with" | "range" => {
                let node = self.control(&keyword, rest(&mut tokens), at)?;
                nodes.push(node);
            }
            "break" | "continue" => {
                self.alone(&tokens, &keyword)?;
                if self.ranges == 0 {
                    return Err((at, format!("{{{{{keyword}}}}} outside {{{{range}}}}")));
                }
                nodes.push(if keyword == "break" { Node::Break } else { Node::Continue });
            }
            "define" => {
                if !top || self.depth > 1 {
                    return Err((at, "unexpected {{define}}".to_owned()));
                }
                self.define(&rest(&mut tokens), at)?;
            }
            "template" => nodes.push(self.template(rest(&mut tokens), at)?),
            "block" => {
                let tokens = rest(&mut tokens);
                self.body_of(&tokens, at)?;
                nodes.push(self.template(tokens, at)?);
            }
            _ => {
                let pipe = self.pipeline(&tokens, at, "command")?;
                nodes.push(Node::Action(pipe));
            }
        }
        Ok(None)
    }

    fn alone(&self, tokens: &[Token], keyword: &str) -> Result<(), ParseError> {
        match tokens.get(1) {
            None => Ok(()),
            Some(t) => Err((t.at, format!("unexpected {:?} in {keyword}", &self.source[t.at..t.end]))),
        }
    }

    fn name(tokens: &[Token], at: usize, clause: &str) -> Result<Arc<str>, ParseError> {
        match tokens.first() {
            Some(Token { kind: Kind::Str(name), .. }) => Ok(Arc::from(name.as_str())),
            _ => Err((at, format!("missing name in {clause} clause"))),
        }
    }

    fn define(&mut self, tokens: &[Token], at: usize) -> Result<(), ParseError> {
        if tokens.len() > 1 {
            return Err((at, "unexpected text in define clause".to_owned()));
        }
        self.body_of(tokens, at)
    }

    /// The body of define and block: its own scope, up to its end.
    fn body_of(&mut self, tokens: &[Token], at: usize) -> Result<(), ParseError> {
        let name = Self::name(tokens, at, "define")?;
        let vars = std::mem::replace(&mut self.vars, vec!["$".to_owned()]);
        let ranges = std::mem::take(&mut self.ranges);
        let (body, end) = self.list(false)?;
        self.vars = vars;
        self.ranges = ranges;
        match end {
            End::Closed => {
                self.defs.push((name, body));
                Ok(())
            }
            _ => Err((at, "unexpected EOF in define clause".to_owned())),
        }
    }

    fn template(&mut self, tokens: Vec<Token>, at: usize) -> Result<Node, ParseError> {
        let name = Self::name(&tokens, at, "template")?;
        let pipe = if tokens.len() > 1 { Some(self.pipeline(&tokens[1..], at, "template clause")?) } else { None };
        Ok(Node::Template { name, pipe, span: self.span(at, at + 2) })
    }

    fn control(&mut self, keyword: &str, tokens: Vec<Token>, at: usize) -> Result<Node, ParseError> {
        let scope = self.vars.len();
        let pipe = self.pipeline(&tokens, at, keyword)?;
        if keyword != "range" && pipe.vars.len() > 1 {
            return Err((at, format!("too many declarations in {keyword}")));
        }
        self.ranges += usize::from(keyword == "range");
        let inner = self.vars.len();
        let (body, end) = self.list(false)?;
        self.vars.truncate(inner);
        self.ranges -= usize::from(keyword == "range");
        let otherwise = match end {
            End::Closed => Vec::new(),
            End::Eof => return Err((at, "unexpected EOF".to_owned())),
            End::Else(rest, else_at) => self.otherwise(keyword, rest, else_at)?,
        };
        self.vars.truncate(scope);
        let branch = Branch { pipe, body, otherwise };
        Ok(match keyword {
            "if" => Node::If(branch),
            "with" => Node::With(branch),
            _ => Node::Range(branch),
        })
    }

    /// `else`, `else if x`, `else with x`.
    fn otherwise(&mut self, keyword: &str, mut rest: Vec<Token>, at: usize) -> Result<Vec<Node>, ParseError> {
        let next = match rest.first() {
            None => None,
            Some(Token { kind: Kind::Ident(word), .. }) if word == keyword && keyword != "range" => Some(word.clone()),
            Some(t) => return Err((t.at, format!("unexpected {:?} in else", &self.source[t.at..t.end]))),
        };
        if let Some(word) = next {
            let tokens = rest.drain(1..).collect();
            self.depth += 1;
            if self.depth > NESTING_MAX {
                return Err((at, format!("nested deeper than {NESTING_MAX}")));
            }
            let node = self.control(&word, tokens, at);
            self.depth -= 1;
            return Ok(vec![node?]);
        }
        let (nodes, end) = self.list(false)?;
        match end {
            End::Closed => Ok(nodes),
            End::Else(_, at) => Err((at, "expected end; found {{else}}".to_owned())),
            End::Eof => Err((at, "unexpected EOF".to_owned())),
        }
    }

    fn span(&self, from: usize, to: usize) -> SourceText {
        SourceText { at: from, text: Arc::from(self.source.get(from..to).unwrap_or_default()) }
    }

    fn span_of(&self, tokens: &[Token], at: usize) -> SourceText {
        match (tokens.first(), tokens.last()) {
            (Some(first), Some(last)) => self.span(first.at, last.end),
            _ => self.span(at, at),
        }
    }

    /// `$a, $b := cmd | cmd`.
    fn pipeline(&mut self, tokens: &[Token], at: usize, context: &str) -> Result<Pipe, ParseError> {
        let (vars, assigns, skip) = Self::declaration(tokens, context)?;
        if assigns {
            for var in &vars {
                self.known(var, at)?;
            }
        }
        let body = &tokens[skip..];
        let mut commands = Vec::new();
        let mut start = 0;
        let mut depth = 0usize;
        for (i, token) in body.iter().enumerate() {
            match token.kind {
                Kind::Open => depth += 1,
                Kind::Close => depth = depth.saturating_sub(1),
                Kind::Pipe if depth == 0 => {
                    commands.push(self.command(&body[start..i], token.at)?);
                    start = i + 1;
                }
                _ => {}
            }
        }
        if body.is_empty() {
            return Err((at, format!("missing value for {context}")));
        }
        commands.push(self.command(&body[start..], at)?);
        for command in &commands[1..] {
            if let Some(Word { operand: Atom::Const(_) | Atom::Nil | Atom::Dot, fields, span }) = command.words.first()
                && fields.is_empty()
            {
                return Err((span.at, format!("non executable command in pipeline stage {}", 2)));
            }
        }
        if !assigns {
            // Declared names are visible only after the pipeline that makes them.
            self.vars.extend(vars.iter().map(ToString::to_string));
        }
        Ok(Pipe { vars, assigns, commands, span: self.span_of(tokens, at) })
    }

    /// The variables before `:=` or `=`, whether it is `=`, and how many tokens they took.
    fn declaration(tokens: &[Token], context: &str) -> Result<(Vec<Arc<str>>, bool, usize), ParseError> {
        let var = |i: usize| match tokens.get(i).map(|t| &t.kind) {
            Some(Kind::Var(name)) => Some(Arc::<str>::from(name.as_str())),
            _ => None,
        };
        let sets = |i: usize| match tokens.get(i).map(|t| &t.kind) {
            Some(Kind::Declare) => Some(false),
            Some(Kind::Assign) => Some(true),
            _ => None,
        };
        if let (Some(name), Some(assigns)) = (var(0), sets(1)) {
            return Ok((vec![name], assigns, 2));
        }
        if let (Some(first), Some(Kind::Comma), Some(second)) = (var(0), tokens.get(1).map(|t| &t.kind), var(2)) {
            if context != "range" {
                return Err((tokens[0].at, format!("too many declarations in {context}")));
            }
            return match sets(3) {
                Some(assigns) => Ok((vec![first, second], assigns, 4)),
                None => Err((tokens[0].at, "range can only initialize variables".to_owned())),
            };
        }
        Ok((Vec::new(), false, 0))
    }

    fn known(&self, var: &str, at: usize) -> Result<(), ParseError> {
        if self.vars.iter().any(|v| v == var) { Ok(()) } else { Err((at, format!("undefined variable {var:?}"))) }
    }

    fn command(&mut self, tokens: &[Token], at: usize) -> Result<Command, ParseError> {
        let mut words = Vec::new();
        let mut i = 0;
        while i < tokens.len() {
            if i > 0 && !tokens[i].spaced {
                let t = &tokens[i];
                return Err((t.at, format!("unexpected {:?} in operand", &self.source[t.at..t.end])));
            }
            let start = i;
            let operand = self.operand(tokens, &mut i)?;
            let (operand, mut fields) = operand;
            while let Some(Token { kind: Kind::Field(name), spaced: false, .. }) = tokens.get(i) {
                if matches!(operand, Atom::Const(_) | Atom::Nil) {
                    return Err((tokens[i].at, "unexpected . after term".to_owned()));
                }
                fields.push(Arc::from(name.as_str()));
                i += 1;
            }
            words.push(Word { operand, fields, span: self.span_of(&tokens[start..i], at) });
        }
        if words.is_empty() {
            return Err((at, "missing value for command".to_owned()));
        }
        let plain = |w: &Word| matches!(w.operand, Atom::Const(_) | Atom::Nil | Atom::Dot) && w.fields.is_empty();
        if words.len() > 1 && plain(&words[0]) {
            let what = &words[0].span.text;
            return Err((words[0].span.at, format!("can't give argument to non-function {what}")));
        }
        Ok(Command { words, span: self.span_of(tokens, at) })
    }

    fn operand(&mut self, tokens: &[Token], i: &mut usize) -> Result<(Atom, Vec<Arc<str>>), ParseError> {
        let token = &tokens[*i];
        *i += 1;
        let operand = match &token.kind {
            Kind::Dot => Atom::Dot,
            Kind::Field(name) => return Ok((Atom::Dot, vec![Arc::from(name.as_str())])),
            Kind::Var(name) => {
                self.known(name, token.at)?;
                Atom::Var(Arc::from(name.as_str()))
            }
            Kind::Str(text) => Atom::Const(Value::from(text.as_str())),
            Kind::Char(c) => Atom::Const(Value::Int(i64::from(*c as u32))),
            Kind::Int(n) => Atom::Const(Value::Int(*n)),
            Kind::Float(v) => Atom::Const(Value::Float(*v)),
            Kind::Ident(word) => match word.as_str() {
                "true" | "false" => Atom::Const(Value::Bool(word == "true")),
                "nil" => Atom::Nil,
                _ => self.function(word, token.at)?,
            },
            Kind::Open => {
                let close = matching(tokens, *i - 1).ok_or((token.at, "unclosed left paren".to_owned()))?;
                self.depth += 1;
                if self.depth > NESTING_MAX {
                    return Err((token.at, format!("nested deeper than {NESTING_MAX}")));
                }
                let pipe = self.pipeline(&tokens[*i..close], token.at, "parenthesized pipeline");
                self.depth -= 1;
                *i = close + 1;
                Atom::Pipe(Box::new(pipe?))
            }
            _ => {
                let text = &self.source[token.at..token.end];
                return Err((token.at, format!("unexpected {text:?} in operand")));
            }
        };
        Ok((operand, Vec::new()))
    }

    fn function(&self, word: &str, at: usize) -> Result<Atom, ParseError> {
        let call = match word {
            "and" => Callee::And,
            "or" => Callee::Or,
            _ => match self.funcs.get(word) {
                Some(func) => Callee::Table(func),
                None => return Err((at, format!("function {word:?} not defined"))),
            },
        };
        Ok(Atom::Func { name: Arc::from(word), call })
    }
}

fn matching(tokens: &[Token], open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        match token.kind {
            Kind::Open => depth += 1,
            Kind::Close if depth == 1 => return Some(i),
            Kind::Close => depth -= 1,
            _ => {}
        }
    }
    None
}
