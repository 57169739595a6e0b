//! The grammar: operators by binding power, and what stands between them.
//! In: tokens. Out: a tree whose types were not looked at yet.
//! Never: recurses deeper, or takes more operators, than its limits.
//! Start at [`parse`], then [`Parser::expr`].

use super::super::ast::{Aggregate, AggregateOp, Call, Expr, NumberForm, Place, Selector};
use super::super::functions;
use super::super::print::Quoted;
use super::check::check;
use super::error::{EXPR_MAX_BYTES, NESTING_MAX, OPERATORS_MAX, ParseError, Result, error_at, refuse};
use super::features::{EXPERIMENTAL_FLAG, Features};
use super::lex::Lexer;
use super::literal::{duration_seconds, number_value, string_value};
use super::operators::UNARY;
use super::token::{Keyword, Kind, Token};
use crate::model::Matcher;

/// Reads and checks an expression of the whole language.
pub fn parse(text: &str) -> Result<Expr> {
    parse_with(text, Features::ALL)
}

/// Reads and checks an expression of the stable language and of what is switched on besides.
pub fn parse_with(text: &str, features: Features) -> Result<Expr> {
    let mut parser = Parser::new(text, features)?;
    if parser.peek()?.kind == Kind::End {
        let place = if text.is_empty() { "unknown position" } else { "1:1" };
        return Err(ParseError::Syntax(format!("{place}: parse error: no expression found in input")));
    }
    let mut expr = parser.expr(0)?;
    parser.end()?;
    check(&mut expr)?;
    Ok(expr)
}

/// Reads an instant selector alone, as `match[]` of the HTTP interface has it.
pub fn parse_selector(text: &str) -> Result<Selector> {
    let mut parser = Parser::new(text, Features::ALL)?;
    let token = parser.peek()?;
    if !token.kind.is_metric_name() && token.kind != Kind::LeftBrace {
        return Err(parser.unexpected("", ""));
    }
    let selector = parser.selector()?;
    parser.end()?;
    if selector.all_matchers().iter().all(Matcher::matches_empty) {
        return Err(ParseError::Syntax("match[] must contain at least one non-empty matcher".to_owned()));
    }
    Ok(selector)
}

pub(super) struct Parser<'a> {
    text: &'a str,
    pub features: Features,
    lexer: Lexer<'a>,
    ahead: Option<Token>,
    /// The token that was taken last.
    pub last: Place,
    depth: usize,
    operators: usize,
    /// How many aggregations are open: what is wrong within one is said to be wrong in it.
    aggregations: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, features: Features) -> Result<Self> {
        if text.len() > EXPR_MAX_BYTES {
            return Err(ParseError::TooLarge("text", EXPR_MAX_BYTES));
        }
        let last = Place { start: 0, end: 0, line: 1, column: 1 };
        Ok(Self { text, features, lexer: Lexer::new(text), ahead: None, last, depth: 0, operators: 0, aggregations: 0 })
    }

    /// The next token, which stays the next one.
    pub fn peek(&mut self) -> Result<Token> {
        match self.ahead {
            Some(token) => Ok(token),
            None => Ok(*self.ahead.insert(self.lexer.next()?)),
        }
    }

    /// Takes the next token.
    pub fn next(&mut self) -> Result<Token> {
        let token = self.peek()?;
        self.ahead = None;
        self.last = token.place;
        Ok(token)
    }

    /// Whether the token after the next one is an opening parenthesis.
    pub fn second_is_paren(&mut self) -> bool {
        let Some(token) = self.ahead else { return false };
        let mut rest = self.text[token.place.end as usize..].trim_start();
        while let Some(comment) = rest.strip_prefix('#') {
            rest = comment.split_once('\n').map_or("", |(_, rest)| rest.trim_start());
        }
        rest.starts_with('(')
    }

    /// Takes the next token if it is of this kind.
    pub fn accept(&mut self, kind: Kind) -> Result<Option<Token>> {
        if self.peek()?.kind == kind { self.next().map(Some) } else { Ok(None) }
    }

    pub fn accept_keyword(&mut self, keyword: Keyword) -> Result<Option<Token>> {
        self.accept(Kind::Keyword(keyword))
    }

    pub fn text_of(&self, token: Token) -> &'a str {
        &self.text[token.place.start as usize..token.place.end as usize]
    }

    /// The refusal of the next token.
    pub fn unexpected(&mut self, context: &str, expected: &str) -> ParseError {
        let token = match self.peek() {
            Ok(token) => token,
            Err(e) => return e,
        };
        let mut text = format!("unexpected {}", token.kind.described(self.text_of(token)));
        let context = if context.is_empty() && self.aggregations > 0 { "aggregation" } else { context };
        if !context.is_empty() {
            text = text + " in " + context;
        }
        if !expected.is_empty() {
            text = text + ", expected " + expected;
        }
        error_at(token.place, text)
    }

    pub fn expect(&mut self, kind: Kind, context: &str, expected: &str) -> Result<Token> {
        if self.peek()?.kind == kind { self.next() } else { Err(self.unexpected(context, expected)) }
    }

    fn end(&mut self) -> Result<()> {
        self.expect(Kind::End, "", "").map(|_| ())
    }

    pub fn count_operator(&mut self) -> Result<()> {
        self.operators += 1;
        if self.operators > OPERATORS_MAX {
            return Err(ParseError::TooLarge("operators", OPERATORS_MAX));
        }
        Ok(())
    }

    /// Runs one level deeper.
    pub fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == NESTING_MAX {
            return Err(ParseError::TooLarge("nesting", NESTING_MAX));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// An expression of operators that bind at least as tight as `min`.
    pub fn expr(&mut self, min: u8) -> Result<Expr> {
        self.nested(|parser| {
            let left = parser.operand()?;
            parser.binaries(left, min)
        })
    }

    /// What stands before, between or after binary operators.
    fn operand(&mut self) -> Result<Expr> {
        let token = self.peek()?;
        if let Some(is_minus) = is_sign(token.kind) {
            self.next()?;
            self.count_operator()?;
            // A power binds tighter than a sign, all else looser.
            let inner = self.expr(UNARY)?;
            let place = token.place.to(inner.place());
            return Ok(match inner {
                Expr::Number(v, form, _) => Expr::Number(if is_minus { -v } else { v }, form, place),
                inner if is_minus => Expr::Negate(Box::new(inner), place),
                inner => Expr::Plus(Box::new(inner), place),
            });
        }
        let primary = self.primary(token)?;
        self.postfix(primary)
    }

    fn primary(&mut self, token: Token) -> Result<Expr> {
        match token.kind {
            Kind::Number | Kind::Duration => {
                let (value, form, place) = self.number()?;
                Ok(Expr::Number(value, form, place))
            }
            Kind::Text => {
                self.next()?;
                Ok(Expr::String(string_value(self.text_of(token)).into(), token.place))
            }
            Kind::LeftParen => {
                self.next()?;
                let inner = self.expr(0)?;
                self.expect(Kind::RightParen, "", "")?;
                Ok(Expr::Paren(Box::new(inner), token.place.to(self.last)))
            }
            Kind::LeftBrace => self.selector().map(Expr::Selector),
            Kind::Aggregator(op) => self.aggregate_or_name(op),
            kind if kind.is_metric_name() => self.call_or_name(token),
            _ => Err(self.unexpected("", "")),
        }
    }

    /// A number or a duration as a number.
    pub fn number(&mut self) -> Result<(f64, NumberForm, Place)> {
        let token = self.next()?;
        let text = self.text_of(token);
        let (value, form) = if token.kind == Kind::Number {
            (number_value(text), NumberForm::Plain)
        } else {
            (duration_seconds(text), NumberForm::Duration)
        };
        match value {
            Ok(value) => Ok((value, form, token.place)),
            Err(why) => refuse(token.place, why),
        }
    }

    fn call_or_name(&mut self, token: Token) -> Result<Expr> {
        let is_function = match token.kind {
            Kind::Identifier => true,
            Kind::Keyword(k) => matches!(k, Keyword::Start | Keyword::End | Keyword::Step | Keyword::Range),
            _ => false,
        };
        self.next()?;
        if !is_function || self.peek()?.kind != Kind::LeftParen {
            return self.selector_named(token).map(Expr::Selector);
        }
        let args = self.arguments()?;
        let name = self.text_of(token);
        let Some(function) = functions::lookup(name) else {
            return refuse(token.place, format!("unknown function with name {}", Quoted(name)));
        };
        if function.experimental && !self.features.experimental_functions {
            return refuse(token.place, format!("function {} is not enabled", Quoted(name)));
        }
        Ok(Expr::Call(Call { function, args, place: token.place.to(self.last) }))
    }

    /// `(a, b)`
    fn arguments(&mut self) -> Result<Vec<Expr>> {
        self.expect(Kind::LeftParen, "", "")?;
        let mut args = Vec::new();
        if self.accept(Kind::RightParen)?.is_some() {
            return Ok(args);
        }
        loop {
            args.push(self.expr(0)?);
            let Some(comma) = self.accept(Kind::Comma)? else { break };
            if self.peek()?.kind == Kind::RightParen {
                return refuse(comma.place, "trailing commas not allowed in function call args");
            }
        }
        self.expect(Kind::RightParen, "", "")?;
        Ok(args)
    }

    fn aggregate_or_name(&mut self, op: AggregateOp) -> Result<Expr> {
        let token = self.next()?;
        let by_or_without = [Kind::Keyword(Keyword::By), Kind::Keyword(Keyword::Without)];
        let kind = self.peek()?.kind;
        if kind != Kind::LeftParen && !by_or_without.contains(&kind) {
            return self.selector_named(token).map(Expr::Selector);
        }
        self.aggregations += 1;
        let mut modifier = self.grouping()?;
        let args = self.nested(Self::arguments)?;
        self.aggregations -= 1;
        if modifier.is_none() {
            modifier = self.grouping()?;
        }
        let place = token.place.to(self.last);
        let (without, grouping) = modifier.unwrap_or_default();
        let wanted = 1 + usize::from(op.parameter().is_some());
        let got = args.len();
        if got == 0 {
            return refuse(place, "no arguments for aggregate expression provided");
        }
        if op.is_experimental() && !self.features.experimental_functions {
            let name = op.as_str();
            return refuse(place, format!("{name}() is experimental and must be enabled with {EXPERIMENTAL_FLAG}"));
        }
        let mut args = args.into_iter();
        let (param, expr) = if wanted == 2 { (args.next(), args.next()) } else { (None, args.next()) };
        match expr {
            Some(expr) if got == wanted => {
                Ok(Expr::Aggregate(Box::new(Aggregate { op, expr, param, without, grouping, place })))
            }
            _ => refuse(
                place,
                format!("wrong number of arguments for aggregate expression provided, expected {wanted}, got {got}"),
            ),
        }
    }

    /// `by (…)` or `without (…)`, if it is there.
    fn grouping(&mut self) -> Result<Option<(bool, Vec<String>)>> {
        let without = match self.peek()?.kind {
            Kind::Keyword(Keyword::By) => false,
            Kind::Keyword(Keyword::Without) => true,
            _ => return Ok(None),
        };
        self.next()?;
        Ok(Some((without, self.label_list()?)))
    }

    /// `(a, b)` of label names.
    pub fn label_list(&mut self) -> Result<Vec<String>> {
        const CONTEXT: &str = "grouping opts";
        self.expect(Kind::LeftParen, CONTEXT, "\"(\"")?;
        let mut labels = Vec::new();
        while self.peek()?.kind != Kind::RightParen {
            let token = self.peek()?;
            if token.kind == Kind::Text {
                let name = string_value(self.text_of(token));
                if name.is_empty() || name.chars().any(super::super::print::is_byte_stand_in) {
                    return refuse(token.place, format!("invalid label name for grouping: {}", Quoted(&name)));
                }
                labels.push(name);
            } else if token.kind.is_label_name() {
                labels.push(self.text_of(token).to_owned());
            } else {
                return Err(self.unexpected(CONTEXT, "label"));
            }
            self.next()?;
            if self.accept(Kind::Comma)?.is_none() {
                break;
            }
        }
        self.expect(Kind::RightParen, CONTEXT, "\",\" or \")\"")?;
        Ok(labels)
    }
}

/// Whether the token is a sign, and whether it is minus.
pub(super) fn is_sign(kind: Kind) -> Option<bool> {
    use super::super::ast::BinaryOp::{Add, Sub};
    match kind {
        Kind::Op(Add) => Some(false),
        Kind::Op(Sub) => Some(true),
        _ => None,
    }
}
