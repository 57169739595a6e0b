//! Durations within brackets and after `offset`: a literal, or an expression of the query's step and range.
//! In: tokens. Out: [`ParsedDuration`].
//! Never: computes what depends on the query.
//! Start at [`Parser::positive_duration`].

use super::super::ast::{BinaryOp, DurationExpr};
use super::error::{Result, refuse};
use super::operators::{UNARY, power, right_power};
use super::parser::{Parser, is_sign};
use super::token::{Keyword, Kind, Token};

/// A length of time.
pub(super) enum ParsedDuration {
    /// Known, since only literals and signs were written.
    Seconds(f64),
    Expr(DurationExpr),
}

/// Where messages say that a duration stands, and what they say is wanted there.
const BRACKETS: &str = "subquery selector";
const OFFSET: &str = "offset";
const EXPECTED: &str = "number, duration, step(), or range()";

/// What Go's `time.Duration` holds, in seconds.
const SECONDS_MAX: f64 = 9_223_372_036.854_776;

fn span(expr: DurationExpr) -> Result<ParsedDuration> {
    match expr {
        DurationExpr::Number(v, _, place) if !(-SECONDS_MAX..=SECONDS_MAX).contains(&v) => {
            refuse(place, "duration out of range")
        }
        DurationExpr::Number(v, ..) => Ok(ParsedDuration::Seconds(v)),
        expr => Ok(ParsedDuration::Expr(expr)),
    }
}

impl Parser<'_> {
    /// Within brackets: more than nothing, as far as that can be known now.
    pub fn positive_duration(&mut self) -> Result<ParsedDuration> {
        let expr = self.duration(0, BRACKETS)?;
        if let DurationExpr::Number(v, ..) = expr
            && v.partial_cmp(&0.0) != Some(std::cmp::Ordering::Greater)
        {
            return refuse(expr.place(), "duration must be greater than 0");
        }
        span(expr)
    }

    /// After `offset`: no operators but signs, unless in parentheses.
    pub fn offset_duration(&mut self) -> Result<ParsedDuration> {
        let expr = self.duration_operand(OFFSET, true)?;
        span(expr)
    }

    fn duration(&mut self, min: u8, context: &str) -> Result<DurationExpr> {
        self.nested(|parser| {
            let mut left = parser.duration_operand(context, false)?;
            while let Kind::Op(op) = parser.peek()?.kind
                && is_arithmetic(op)
                && power(op) >= min
            {
                let op_place = parser.next()?.place;
                parser.count_operator()?;
                let right = parser.duration(right_power(op), context)?;
                if let DurationExpr::Number(v, ..) = right
                    && v == 0.0
                    && matches!(op, BinaryOp::Div | BinaryOp::Mod)
                {
                    let what = if op == BinaryOp::Div { "division" } else { "modulo" };
                    return refuse(op_place, format!("{what} by zero"));
                }
                left = DurationExpr::Binary(op, Box::new((left, right)));
            }
            Ok(left)
        })
    }

    fn duration_operand(&mut self, context: &str, in_offset: bool) -> Result<DurationExpr> {
        let token = self.peek()?;
        if let Some(is_minus) = is_sign(token.kind) {
            self.next()?;
            self.count_operator()?;
            let inner = if in_offset {
                self.nested(|parser| parser.duration_operand(context, true))?
            } else {
                self.duration(UNARY, context)?
            };
            return Ok(match inner {
                DurationExpr::Number(v, form, place) if is_minus => {
                    DurationExpr::Number(-v, form, token.place.to(place))
                }
                inner if is_minus => {
                    let place = token.place.to(inner.place());
                    DurationExpr::Negate(Box::new(inner), place)
                }
                inner => inner,
            });
        }
        match token.kind {
            Kind::Number | Kind::Duration => {
                let (value, form, place) = self.number()?;
                Ok(DurationExpr::Number(value, form, place))
            }
            Kind::LeftParen => {
                self.next()?;
                let inner = self.duration(0, context)?;
                self.expect(Kind::RightParen, context, EXPECTED)?;
                Ok(DurationExpr::Paren(Box::new(inner), token.place.to(self.last)))
            }
            Kind::Keyword(keyword @ (Keyword::Step | Keyword::Range)) => {
                self.next()?;
                self.expect(Kind::LeftParen, context, EXPECTED)?;
                self.expect(Kind::RightParen, context, EXPECTED)?;
                let place = token.place.to(self.last);
                Ok(if keyword == Keyword::Step { DurationExpr::Step(place) } else { DurationExpr::Range(place) })
            }
            _ => match self.extreme(token) {
                Some(is_min) => self.extreme_of(token, is_min, context),
                None => Err(self.unexpected(context, EXPECTED)),
            },
        }
    }

    /// `min_of` and `max_of` are plain identifiers outside brackets.
    fn extreme(&self, token: Token) -> Option<bool> {
        match token.kind {
            Kind::MinOf => Some(true),
            Kind::MaxOf => Some(false),
            Kind::Identifier if self.text_of(token).eq_ignore_ascii_case("min_of") => Some(true),
            Kind::Identifier if self.text_of(token).eq_ignore_ascii_case("max_of") => Some(false),
            _ => None,
        }
    }

    fn extreme_of(&mut self, token: Token, is_min: bool, context: &str) -> Result<DurationExpr> {
        self.next()?;
        self.expect(Kind::LeftParen, context, EXPECTED)?;
        let left = self.duration(0, context)?;
        self.expect(Kind::Comma, context, EXPECTED)?;
        let right = self.duration(0, context)?;
        self.expect(Kind::RightParen, context, EXPECTED)?;
        let (sides, place) = (Box::new((left, right)), token.place.to(self.last));
        Ok(if is_min { DurationExpr::Min(sides, place) } else { DurationExpr::Max(sides, place) })
    }
}

fn is_arithmetic(op: BinaryOp) -> bool {
    use BinaryOp::{Add, Div, Mod, Mul, Pow, Sub};
    matches!(op, Add | Sub | Mul | Div | Mod | Pow)
}
