//! Printing: an expression as Prometheus prints it.
//! In: [`Expr`]. Out: its canonical text (`Display`), which parses to the same expression.
//! Never: loses a parenthesis that was written.
//! Start at the `Display` of [`Expr`].

use super::ast::{Aggregate, At, Binary, Cardinality, Expr, Selector};
use crate::model::Matcher;
use crate::model::duration;
use crate::model::labels::{METRIC_NAME, is_classic_label_name};
use std::fmt::{self, Display, Formatter, Write};
use std::time::Duration;

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
                c if c.is_control() => write!(f, "\\u{:04x}", c as u32)?,
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

fn print_matcher(m: &Matcher, f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "{}{}{}", Name(&m.name), m.op.as_str(), Quoted(&m.value))
}

fn print_suffix(at: Option<At>, offset_ms: i64, f: &mut Formatter<'_>) -> fmt::Result {
    match at {
        Some(At::Time(t)) => write!(f, " @ {:.3}", t.as_secs_f64())?,
        Some(At::Start) => f.write_str(" @ start()")?,
        Some(At::End) => f.write_str(" @ end()")?,
        None => {}
    }
    if offset_ms != 0 {
        let sign = if offset_ms < 0 { "-" } else { "" };
        write!(f, " offset {sign}{}", duration::format(Duration::from_millis(offset_ms.unsigned_abs())))?;
    }
    Ok(())
}

fn print_selector(s: &Selector, range: Option<Duration>, f: &mut Formatter<'_>) -> fmt::Result {
    if let Some(name) = &s.name {
        f.write_str(name)?;
    }
    if !s.matchers.is_empty() {
        f.write_char('{')?;
        for (i, m) in s.matchers.iter().enumerate() {
            if i > 0 {
                f.write_char(',')?;
            }
            print_matcher(m, f)?;
        }
        f.write_char('}')?;
    }
    if let Some(range) = range {
        write!(f, "[{}]", duration::format(range))?;
    }
    print_suffix(s.at, s.offset_ms, f)
}

fn print_binary(b: &Binary, f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "{} {}", b.left, b.op.as_str())?;
    if b.return_bool {
        f.write_str(" bool")?;
    }
    if let Some(m) = &b.matching {
        let grouped = matches!(m.card, Cardinality::ManyToOne | Cardinality::OneToMany);
        if m.on || grouped || !m.labels.is_empty() {
            write!(f, " {} ({})", if m.on { "on" } else { "ignoring" }, Names(&m.labels))?;
        }
        if grouped {
            let side = if m.card == Cardinality::ManyToOne { "group_left" } else { "group_right" };
            write!(f, " {side} ({})", Names(&m.include))?;
        }
        match (m.fill_left, m.fill_right) {
            (Some(l), Some(r)) if l == r => write!(f, " fill ({})", Number(l))?,
            (l, r) => {
                if let Some(l) = l {
                    write!(f, " fill_left ({})", Number(l))?;
                }
                if let Some(r) = r {
                    write!(f, " fill_right ({})", Number(r))?;
                }
            }
        }
    }
    write!(f, " {}", b.right)
}

fn print_aggregate(a: &Aggregate, f: &mut Formatter<'_>) -> fmt::Result {
    f.write_str(a.op.as_str())?;
    if a.without {
        write!(f, " without ({}) ", Names(&a.grouping))?;
    } else if !a.grouping.is_empty() {
        write!(f, " by ({}) ", Names(&a.grouping))?;
    }
    f.write_char('(')?;
    if let Some(param) = &a.param {
        write!(f, "{param}, ")?;
    }
    write!(f, "{})", a.expr)
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(v) => Number(*v).fmt(f),
            Self::String(s) => Quoted(s).fmt(f),
            Self::Selector(s) => print_selector(s, None, f),
            Self::Range(r) => print_selector(&r.selector, Some(r.range), f),
            Self::Subquery(s) => {
                write!(f, "{}[{}:", s.expr, duration::format(s.range))?;
                if let Some(step) = s.step {
                    f.write_str(&duration::format(step))?;
                }
                f.write_char(']')?;
                print_suffix(s.at, s.offset_ms, f)
            }
            Self::Negate(inner) => write!(f, "-{inner}"),
            Self::Paren(inner) => write!(f, "({inner})"),
            Self::Binary(b) => print_binary(b, f),
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
