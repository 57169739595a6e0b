//! Selectors, and what is written behind an expression: ranges, sub-queries, `offset`, `@`, `anchored`, `smoothed`.
//! In: tokens. Out: a selector, or an expression with what was added to it.
//! Never: takes a modifier that its expression cannot have.
//! Start at [`Parser::selector`] and [`Parser::postfix`].

use super::super::ast::{At, BinaryOp, Boundary, DurationExpr, Expr, Place, RangeSelector, Selector, Subquery};
use super::super::print::{Quoted, print_number};
use super::duration::ParsedDuration;
use super::error::{Result, error_at, refuse};
use super::literal::string_value;
use super::parser::{Parser, is_sign};
use super::token::{Keyword, Kind, Token};
use crate::model::labels::METRIC_NAME;
use crate::model::{MatchOp, Matcher, Timestamp};
use std::time::Duration;

const MATCHING: &str = "label matching";

/// The parts of an expression that `@` and `offset` speak of.
struct Modified<'a> {
    at: &'a mut Option<At>,
    offset_ms: &'a mut i64,
    offset_expr: &'a mut Option<DurationExpr>,
    place: &'a mut Place,
}

fn modified(expr: &mut Expr) -> Option<Modified<'_>> {
    Some(match expr {
        Expr::Selector(s) => Modified {
            at: &mut s.at,
            offset_ms: &mut s.offset_ms,
            offset_expr: &mut s.offset_expr,
            place: &mut s.place,
        },
        Expr::Range(RangeSelector { selector: s, place, .. }) => {
            Modified { at: &mut s.at, offset_ms: &mut s.offset_ms, offset_expr: &mut s.offset_expr, place }
        }
        Expr::Subquery(s) => Modified {
            at: &mut s.at,
            offset_ms: &mut s.offset_ms,
            offset_expr: &mut s.offset_expr,
            place: &mut s.place,
        },
        _ => return None,
    })
}

impl Parser<'_> {
    /// `name`, `name{…}` or `{…}`.
    pub fn selector(&mut self) -> Result<Selector> {
        if self.peek()?.kind == Kind::LeftBrace {
            let place = self.peek()?.place;
            let matchers = self.matchers()?;
            return Ok(selector(None, matchers, place.to(self.last)));
        }
        let name = self.next()?;
        self.selector_named(name)
    }

    /// The rest of a selector whose name was read.
    pub fn selector_named(&mut self, name: Token) -> Result<Selector> {
        let matchers = if self.peek()?.kind == Kind::LeftBrace { self.matchers()? } else { Vec::new() };
        let text = self.text_of(name);
        Ok(selector(Some(text.into()), matchers, name.place.to(self.last)))
    }

    fn matchers(&mut self) -> Result<Vec<Matcher>> {
        self.next()?;
        let mut matchers = Vec::new();
        while self.peek()?.kind != Kind::RightBrace {
            matchers.push(self.matcher()?);
            if self.accept(Kind::Comma)?.is_none() {
                break;
            }
        }
        self.expect(Kind::RightBrace, MATCHING, "\",\" or \"}\"")?;
        Ok(matchers)
    }

    fn matcher(&mut self) -> Result<Matcher> {
        let token = self.peek()?;
        let name = match token.kind {
            Kind::Identifier => self.text_of(token).to_owned(),
            Kind::Text => string_value(self.text_of(token)),
            _ => return Err(self.unexpected(MATCHING, "identifier or \"}\"")),
        };
        self.next()?;
        let op = match self.peek()?.kind {
            Kind::Assign => MatchOp::Equal,
            Kind::Match => MatchOp::Regex,
            Kind::NotMatch => MatchOp::NotRegex,
            Kind::Op(BinaryOp::NotEqual) => MatchOp::NotEqual,
            // A string alone is the metric's name.
            _ if token.kind == Kind::Text => return Ok(Matcher::equal(METRIC_NAME, &name)),
            _ => return Err(self.unexpected(MATCHING, "label matching operator")),
        };
        self.next()?;
        let value = self.expect(Kind::Text, MATCHING, "string")?;
        let value = string_value(self.text_of(value));
        Matcher::new(&name, op, &value).map_err(|e| error_at(token.place, e))
    }

    /// Everything that binds tighter than an operator.
    pub fn postfix(&mut self, mut expr: Expr) -> Result<Expr> {
        loop {
            match self.peek()?.kind {
                Kind::LeftBracket => expr = self.range(expr)?,
                Kind::At => self.at(&mut expr)?,
                Kind::Keyword(Keyword::Offset) => self.offset(&mut expr)?,
                Kind::Keyword(Keyword::Anchored) => self.boundary(&mut expr, Boundary::Anchored)?,
                Kind::Keyword(Keyword::Smoothed) => self.boundary(&mut expr, Boundary::Smoothed)?,
                _ => return Ok(expr),
            }
            self.count_operator()?;
        }
    }

    /// `[5m]`, `[5m:]`, `[5m:1m]`
    fn range(&mut self, expr: Expr) -> Result<Expr> {
        const BOTH: &str = "subquery or range";
        let bracket = self.next()?;
        let range = self.positive_duration()?;
        match self.peek()?.kind {
            Kind::RightBracket => {
                self.next()?;
                return ranged(expr, range, bracket.place, self.last);
            }
            Kind::Colon => self.next()?,
            _ => return Err(self.unexpected(BOTH, "\":\" or \"]\"")),
        };
        let step = match self.peek()?.kind {
            Kind::RightBracket => None,
            _ => Some(self.positive_duration()?),
        };
        self.expect(Kind::RightBracket, "subquery selector", "\"]\"")?;
        let place = expr.place().to(self.last);
        let (range, range_expr) = length(range);
        let (step, step_expr) = step.map_or((None, None), |step| match length(step) {
            (step, None) => (Some(step), None),
            (_, step_expr) => (None, step_expr),
        });
        Ok(Expr::Subquery(Box::new(Subquery {
            expr,
            range,
            range_expr,
            step,
            step_expr,
            at: None,
            offset_ms: 0,
            offset_expr: None,
            place,
        })))
    }

    fn offset(&mut self, expr: &mut Expr) -> Result<()> {
        self.next()?;
        let span = self.offset_duration()?;
        let (place, end) = (expr.place(), self.last);
        let Some(m) = modified(expr) else {
            return refuse(
                place,
                "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
            );
        };
        if *m.offset_ms != 0 || m.offset_expr.is_some() {
            return refuse(place, "offset may not be set multiple times");
        }
        match span {
            ParsedDuration::Seconds(s) => *m.offset_ms = (s * 1000.0).round() as i64,
            ParsedDuration::Expr(expr) => *m.offset_expr = Some(expr),
        }
        *m.place = m.place.to(end);
        Ok(())
    }

    fn at(&mut self, expr: &mut Expr) -> Result<()> {
        const EXPECTED: &str = "timestamp";
        self.next()?;
        let token = self.peek()?;
        let place = expr.place();
        let at = if let Kind::Keyword(keyword @ (Keyword::Start | Keyword::End)) = token.kind {
            self.next()?;
            self.expect(Kind::LeftParen, "@", EXPECTED)?;
            self.expect(Kind::RightParen, "@", EXPECTED)?;
            if keyword == Keyword::Start { At::Start } else { At::End }
        } else {
            let sign = is_sign(token.kind);
            if sign.is_some() {
                self.next()?;
            }
            if !matches!(self.peek()?.kind, Kind::Number | Kind::Duration) {
                return Err(self.unexpected("@", EXPECTED));
            }
            let (value, ..) = self.number()?;
            let value = if sign == Some(true) { -value } else { value };
            if !value.is_finite() || value >= i64::MAX as f64 || value <= i64::MIN as f64 {
                let text = if value.is_finite() { format!("{value:.6}") } else { print_number(value) };
                return refuse(place, format!("timestamp out of bounds for @ modifier: {text}"));
            }
            At::Time(Timestamp::from_millis((value * 1000.0).round() as i64))
        };
        check_modifiable(expr, place)?;
        let end = self.last;
        if let Some(m) = modified(expr) {
            *m.at = Some(at);
            *m.place = m.place.to(end);
        }
        Ok(())
    }

    fn boundary(&mut self, expr: &mut Expr, boundary: Boundary) -> Result<()> {
        let word = if boundary == Boundary::Anchored { "anchored" } else { "smoothed" };
        self.next()?;
        let (place, end) = (expr.place(), self.last);
        if !self.features.extended_range_selectors {
            return refuse(place, format!("{word} modifier is experimental and not enabled"));
        }
        let selector = match expr {
            Expr::Selector(s) => s,
            Expr::Range(r) => {
                r.place = r.place.to(end);
                &mut r.selector
            }
            Expr::Subquery(_) => return refuse(place, format!("{word} modifier is not supported for subqueries")),
            _ => return refuse(place, format!("{word} modifier not implemented")),
        };
        if !matches!(selector.boundary, Boundary::Plain) && selector.boundary != boundary {
            return refuse(place, "anchored and smoothed modifiers cannot be used together");
        }
        selector.boundary = boundary;
        selector.place = selector.place.to(end);
        Ok(())
    }
}

fn selector(name: Option<std::sync::Arc<str>>, matchers: Vec<Matcher>, place: Place) -> Selector {
    Selector { name, matchers, at: None, offset_ms: 0, offset_expr: None, boundary: Boundary::Plain, place }
}

/// Whether `@` may stand behind the expression.
fn check_modifiable(expr: &mut Expr, place: Place) -> Result<()> {
    match modified(expr) {
        None => refuse(
            place,
            "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery",
        ),
        Some(m) if m.at.is_some() => refuse(place, "@ <timestamp> may not be set multiple times"),
        Some(_) => Ok(()),
    }
}

/// The plain length, and the expression when there is none.
fn length(span: ParsedDuration) -> (Duration, Option<DurationExpr>) {
    match span {
        ParsedDuration::Seconds(s) => (Duration::from_millis((s * 1000.0).round() as u64), None),
        ParsedDuration::Expr(expr) => (Duration::ZERO, Some(expr)),
    }
}

fn ranged(expr: Expr, range: ParsedDuration, bracket: Place, end: Place) -> Result<Expr> {
    let place = expr.place().to(end);
    let Expr::Selector(selector) = expr else { return refuse(bracket, "ranges only allowed for vector selectors") };
    if selector.offset_ms != 0 || selector.offset_expr.is_some() {
        return refuse(bracket, "no offset modifiers allowed before range");
    }
    if selector.at.is_some() {
        return refuse(bracket, "no @ modifiers allowed before range");
    }
    if selector.boundary != Boundary::Plain {
        let word = if selector.boundary == Boundary::Anchored { "anchored" } else { "smoothed" };
        return refuse(bracket, format!("no {word} modifiers allowed before range"));
    }
    let (range, range_expr) = length(range);
    Ok(Expr::Range(RangeSelector { selector, range, range_expr, place }))
}

/// The names of a selector, for messages.
pub(super) fn name_twice(name: &str, other: &str) -> String {
    format!("metric name must not be set twice: {} or {}", Quoted(name), Quoted(other))
}
