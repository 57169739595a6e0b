//! Printing: an expression as Prometheus prints it.
//! In: [`Expr`]. Out: its canonical text (`Display`), which parses to the same expression.
//! Never: loses a parenthesis that was written.
//! Start at the `Display` of [`Expr`].

use super::ast::{
    Aggregate, At, Binary, Boundary, Cardinality, DurationExpr, Expr, NumberForm, RangeSelector, Selector, Subquery,
};
use crate::model::Matcher;
use crate::model::duration;
use crate::model::labels::{METRIC_NAME, is_classic_label_name};
use std::fmt::{self, Display, Formatter, Write};
use std::time::Duration;

/// A string's byte that is no UTF-8 is held as a character from the end of Unicode's last private plane.
const STAND_IN: u32 = 0x0010_ff00;

/// The character that stands for a byte from 128 on.
pub(super) fn byte_stand_in(byte: u8) -> char {
    char::from_u32(STAND_IN + u32::from(byte)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Whether the character stands for a byte that is no UTF-8.
pub(super) fn is_byte_stand_in(c: char) -> bool {
    c == char::REPLACEMENT_CHARACTER || (STAND_IN + 0x80..=STAND_IN + 0xff).contains(&(c as u32))
}

/// What Go's `unicode.IsPrint` denies: spaces but the plain one, formats, separators, private use.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{e000}'..='\u{f8ff}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}'
            | '\u{e0000}'..='\u{e0fff}' | '\u{f0000}'..='\u{10ffff}')
}

/// Quotes as Go's `%q`.
pub(super) struct Quoted<'a>(pub &'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\x07' => f.write_str("\\a")?,
                '\x08' => f.write_str("\\b")?,
                '\x0c' => f.write_str("\\f")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                '\x0b' => f.write_str("\\v")?,
                c if c.is_ascii_control() => write!(f, "\\x{:02x}", c as u32)?,
                c if c != char::REPLACEMENT_CHARACTER && is_byte_stand_in(c) => {
                    write!(f, "\\x{:02x}", c as u32 - STAND_IN)?;
                }
                c if is_unprintable(c) && c as u32 > 0xffff => write!(f, "\\U{:08x}", c as u32)?,
                c if is_unprintable(c) => write!(f, "\\u{:04x}", c as u32)?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

/// A float as Go's `strconv.FormatFloat(v, 'f', -1, 64)`.
pub(super) struct Number(pub f64);

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.is_nan() {
            f.write_str("NaN")
        } else if self.0.is_infinite() {
            f.write_str(if self.0 > 0.0 { "+Inf" } else { "-Inf" })
        } else {
            write!(f, "{}", self.0)
        }
    }
}

/// A float as expressions print it: `NaN`, `+Inf`, never with an exponent.
pub fn print_number(v: f64) -> String {
    Number(v).to_string()
}

struct Name<'a>(&'a str);

impl Display for Name<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if is_classic_label_name(self.0) { f.write_str(self.0) } else { Quoted(self.0).fmt(f) }
    }
}

struct Names<'a>(&'a [String]);

impl Display for Names<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (i, name) in self.0.iter().enumerate() {
            write!(f, "{}{}", if i == 0 { "" } else { ", " }, Name(name))?;
        }
        Ok(())
    }
}

/// Seconds as they were written.
fn print_seconds(v: f64, form: NumberForm, f: &mut Formatter<'_>) -> fmt::Result {
    if form == NumberForm::Plain {
        return Number(v).fmt(f);
    }
    let sign = if v < 0.0 { "-" } else { "" };
    write!(f, "{sign}{}", duration::format(Duration::from_millis((v.abs() * 1000.0).round() as u64)))
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(v, form, _) => print_seconds(*v, *form, f),
            Self::Step(_) => f.write_str("step()"),
            Self::Range(_) => f.write_str("range()"),
            Self::Negate(inner, _) => write!(f, "-{inner}"),
            Self::Paren(inner, _) => write!(f, "({inner})"),
            Self::Binary(op, sides) => write!(f, "{} {} {}", sides.0, op.as_str(), sides.1),
            Self::Min(sides, _) => write!(f, "min_of({}, {})", sides.0, sides.1),
            Self::Max(sides, _) => write!(f, "max_of({}, {})", sides.0, sides.1),
        }
    }
}

/// A length within brackets.
struct Length<'a>(Duration, &'a Option<DurationExpr>);

impl Display for Length<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(expr) => expr.fmt(f),
            None => f.write_str(&duration::format(self.0)),
        }
    }
}

fn print_boundary(boundary: Boundary, f: &mut Formatter<'_>) -> fmt::Result {
    f.write_str(match boundary {
        Boundary::Plain => "",
        Boundary::Anchored => " anchored",
        Boundary::Smoothed => " smoothed",
    })
}

fn print_suffix(
    at: Option<At>,
    offset_ms: i64,
    offset_expr: Option<&DurationExpr>,
    f: &mut Formatter<'_>,
) -> fmt::Result {
    match at {
        Some(At::Time(t)) => write!(f, " @ {:.3}", t.as_secs_f64())?,
        Some(At::Start) => f.write_str(" @ start()")?,
        Some(At::End) => f.write_str(" @ end()")?,
        None => {}
    }
    if let Some(expr) = offset_expr {
        write!(f, " offset {expr}")?;
    } else if offset_ms != 0 {
        let sign = if offset_ms < 0 { "-" } else { "" };
        write!(f, " offset {sign}{}", duration::format(Duration::from_millis(offset_ms.unsigned_abs())))?;
    }
    Ok(())
}

fn print_matchers(s: &Selector, f: &mut Formatter<'_>) -> fmt::Result {
    if let Some(name) = &s.name {
        f.write_str(name)?;
    }
    if s.matchers.is_empty() {
        return Ok(());
    }
    // In order of their texts, however they were written.
    let mut texts: Vec<String> =
        s.matchers.iter().map(|m| format!("{}{}{}", Name(&m.name), m.op.as_str(), Quoted(&m.value))).collect();
    texts.sort_unstable();
    write!(f, "{{{}}}", texts.join(","))
}

/// What follows an aggregation's or sub-query's expression.
pub(super) fn subquery_suffix(s: &Subquery, f: &mut impl Write) -> fmt::Result {
    write!(f, "[{}:", Length(s.range, &s.range_expr))?;
    if s.step.is_some() || s.step_expr.is_some() {
        write!(f, "{}", Length(s.step.unwrap_or_default(), &s.step_expr))?;
    }
    write!(f, "]{}", Suffix(s.at, s.offset_ms, s.offset_expr.as_ref()))
}

struct Suffix<'a>(Option<At>, i64, Option<&'a DurationExpr>);

impl Display for Suffix<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        print_suffix(self.0, self.1, self.2, f)
    }
}

/// The operator and what stands behind it.
pub(super) fn print_operator(b: &Binary, f: &mut impl Write) -> fmt::Result {
    f.write_str(b.op.as_str())?;
    if b.return_bool {
        f.write_str(" bool")?;
    }
    let Some(m) = &b.matching else { return Ok(()) };
    let grouped = matches!(m.card, Cardinality::ManyToOne | Cardinality::OneToMany);
    if m.on || grouped || !m.labels.is_empty() {
        write!(f, " {} ({})", if m.on { "on" } else { "ignoring" }, Names(&m.labels))?;
    }
    if grouped {
        let side = if m.card == Cardinality::ManyToOne { "group_left" } else { "group_right" };
        write!(f, " {side} ({})", Names(&m.include))?;
    }
    match (m.fill_left, m.fill_right) {
        (Some(l), Some(r)) if l == r || (l.is_nan() && r.is_nan()) => write!(f, " fill ({})", Number(l)),
        (l, r) => {
            if let Some(l) = l {
                write!(f, " fill_left ({})", Number(l))?;
            }
            if let Some(r) = r {
                write!(f, " fill_right ({})", Number(r))?;
            }
            Ok(())
        }
    }
}

/// The operator and its grouping, up to the parenthesis.
pub(super) fn print_aggregate_head(a: &Aggregate, f: &mut impl Write) -> fmt::Result {
    f.write_str(a.op.as_str())?;
    if a.without {
        write!(f, " without ({}) ", Names(&a.grouping))
    } else if a.grouping.is_empty() {
        Ok(())
    } else {
        write!(f, " by ({}) ", Names(&a.grouping))
    }
}

fn print_aggregate(a: &Aggregate, f: &mut Formatter<'_>) -> fmt::Result {
    print_aggregate_head(a, f)?;
    f.write_char('(')?;
    if let Some(param) = &a.param {
        write!(f, "{param}, ")?;
    }
    write!(f, "{})", a.expr)
}

fn print_selector(s: &Selector, range: Option<&RangeSelector>, f: &mut Formatter<'_>) -> fmt::Result {
    print_matchers(s, f)?;
    if let Some(r) = range {
        write!(f, "[{}]", Length(r.range, &r.range_expr))?;
    }
    print_boundary(s.boundary, f)?;
    print_suffix(s.at, s.offset_ms, s.offset_expr.as_ref(), f)
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(v, form, _) => print_seconds(*v, *form, f),
            Self::String(s, _) => Quoted(s).fmt(f),
            Self::Selector(s) => print_selector(s, None, f),
            Self::Range(r) => print_selector(&r.selector, Some(r), f),
            Self::Subquery(s) => {
                s.expr.fmt(f)?;
                subquery_suffix(s, f)
            }
            Self::Negate(inner, _) => write!(f, "-{inner}"),
            Self::Plus(inner, _) => write!(f, "+{inner}"),
            Self::Paren(inner, _) => write!(f, "({inner})"),
            Self::Binary(b) => {
                write!(f, "{} ", b.left)?;
                print_operator(b, f)?;
                write!(f, " {}", b.right)
            }
            Self::Aggregate(a) => print_aggregate(a, f),
            Self::Call(call) => {
                write!(f, "{}(", call.function.name)?;
                for (i, arg) in call.args.iter().enumerate() {
                    write!(f, "{}{arg}", if i == 0 { "" } else { ", " })?;
                }
                f.write_char(')')
            }
        }
    }
}

impl Selector {
    /// All matchers, the one for the name included.
    pub fn all_matchers(&self) -> Vec<Matcher> {
        let name = self.name.iter().map(|name| Matcher::equal(METRIC_NAME, name));
        name.chain(self.matchers.iter().cloned()).collect()
    }
}
