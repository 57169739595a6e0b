//! Go's fmt: `%v` of every value, the verbs of printf, and the number formats behind them.
//! In: values and format text. Out: text, byte for byte as Go prints it.
//! Never: panics on a wrong verb; Go prints `%!d(string=x)` and so do we.
//! Start at [`print`] and [`sprintf`].

use super::text::push;
use super::value::Value;
use crate::model::quote::quote;

/// The widest padding and the longest precision that a format may ask for; Go stops at a million, we much sooner.
const WIDTH_MAX: usize = 4096;

/// `%v`.
pub(super) fn print(value: &Value) -> String {
    match value {
        Value::Nil => "<no value>".to_owned(),
        other => nested(other),
    }
}

/// `%v` inside a list or a map, where nil is `<nil>`.
pub(super) fn nested(value: &Value) -> String {
    match value {
        Value::Nil => "<nil>".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Float(v) => float_g(*v),
        Value::Str(s) | Value::Safe(_, s) => s.to_string(),
        Value::List(items) => print_list(items),
        Value::Map(map) => print_map(map.entries.iter().map(|(k, v)| (k.as_ref(), v))),
        Value::Object(object) => object.print(),
        Value::Func(_) => "func".to_owned(),
    }
}

pub(super) fn print_list(items: &[Value]) -> String {
    let parts: Vec<String> = items.iter().map(nested).collect();
    format!("[{}]", parts.join(" "))
}

pub(super) fn print_map<'a>(entries: impl Iterator<Item = (&'a str, &'a Value)>) -> String {
    let parts: Vec<String> = entries.map(|(k, v)| format!("{k}:{}", nested(v))).collect();
    format!("map[{}]", parts.join(" "))
}

/// Go's `print`: spaces between operands when neither is a string.
pub(super) fn sprint(args: &[Value]) -> String {
    let mut out = String::new();
    for (i, arg) in args.iter().enumerate() {
        let is_text = |v: &Value| v.as_text().is_some();
        if i > 0 && !is_text(arg) && !is_text(&args[i - 1]) {
            out.push(' ');
        }
        out.push_str(&nested(arg));
    }
    out
}

/// Go's `println`: spaces between all operands and a line end.
pub(super) fn sprintln(args: &[Value]) -> String {
    let parts: Vec<String> = args.iter().map(nested).collect();
    parts.join(" ") + "\n"
}

fn non_finite(v: f64) -> Option<&'static str> {
    if v.is_nan() {
        Some("NaN")
    } else if v == f64::INFINITY {
        Some("+Inf")
    } else if v == f64::NEG_INFINITY {
        Some("-Inf")
    } else {
        None
    }
}

/// The shortest digits that read back as `v`, and the decimal exponent of the first one.
fn shortest(v: f64) -> (bool, String, i32) {
    split_exponent(&format!("{:e}", v.abs()), v)
}

fn rounded(v: f64, digits_after_first: usize) -> (bool, String, i32) {
    split_exponent(&format!("{:.*e}", digits_after_first, v.abs()), v)
}

fn split_exponent(text: &str, v: f64) -> (bool, String, i32) {
    let (mantissa, exp) = text.split_once('e').unwrap_or((text, "0"));
    (v.is_sign_negative(), mantissa.replace('.', ""), exp.parse().unwrap_or(0))
}

fn exponent_form(negative: bool, digits: &str, exp: i32) -> String {
    let mut out = String::from(if negative { "-" } else { "" });
    out.push_str(&digits[..1]);
    if digits.len() > 1 {
        out.push('.');
        out.push_str(&digits[1..]);
    }
    out.push('e');
    out.push(if exp < 0 { '-' } else { '+' });
    push(&mut out, format_args!("{:02}", exp.abs()));
    out
}

fn plain_form(negative: bool, digits: &str, exp: i32) -> String {
    let mut out = String::from(if negative { "-" } else { "" });
    if exp < 0 {
        out.push_str("0.");
        out.push_str(&"0".repeat((-exp - 1) as usize));
        out.push_str(digits);
        return out;
    }
    let whole = exp as usize + 1;
    if digits.len() <= whole {
        out.push_str(digits);
        out.push_str(&"0".repeat(whole - digits.len()));
    } else {
        out.push_str(&digits[..whole]);
        out.push('.');
        out.push_str(&digits[whole..]);
    }
    out
}

/// `%v` of a float: the shortest digits; exponent form below 1e-4 and from 1e6 on (Go decides
/// with precision 6 but cuts no digits).
pub fn float_g(v: f64) -> String {
    if let Some(text) = non_finite(v) {
        return text.to_owned();
    }
    let (negative, digits, exp) = shortest(v);
    if (-4..6).contains(&exp) { plain_form(negative, &digits, exp) } else { exponent_form(negative, &digits, exp) }
}

/// `%.{precision}g`: that many significant digits, trailing zeros cut.
pub fn float_g_precision(v: f64, precision: usize) -> String {
    if let Some(text) = non_finite(v) {
        return text.to_owned();
    }
    let precision = precision.max(1);
    let (negative, digits, exp) = rounded(v, precision - 1);
    let digits = digits.trim_end_matches('0');
    let digits = if digits.is_empty() { "0" } else { digits };
    if exp < -4 || exp >= precision as i32 {
        exponent_form(negative, digits, exp)
    } else {
        plain_form(negative, digits, exp)
    }
}

/// `%e`, with the shortest digits when no precision is given: the form of `value` in Prometheus' alert API.
pub fn float_e(v: f64, precision: Option<usize>) -> String {
    if let Some(text) = non_finite(v) {
        return text.to_owned();
    }
    let (negative, digits, exp) = precision.map_or_else(|| shortest(v), |p| rounded(v, p));
    exponent_form(negative, &digits, exp)
}

/// One verb of a format: flags, width, precision.
#[derive(Default)]
struct Spec {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: usize,
    precision: Option<usize>,
}

impl Spec {
    fn read(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, args: &mut std::slice::Iter<'_, Value>) -> Self {
        let mut spec = Self::default();
        while let Some(c) = chars.peek() {
            match c {
                '-' => spec.minus = true,
                '+' => spec.plus = true,
                '#' => spec.sharp = true,
                ' ' => spec.space = true,
                '0' => spec.zero = true,
                _ => break,
            }
            chars.next();
        }
        spec.width = Self::number(chars, args).unwrap_or(0);
        if chars.next_if_eq(&'.').is_some() {
            spec.precision = Some(Self::number(chars, args).unwrap_or(0));
        }
        spec
    }

    fn number(
        chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
        args: &mut std::slice::Iter<'_, Value>,
    ) -> Option<usize> {
        if chars.next_if_eq(&'*').is_some() {
            return match args.next() {
                Some(Value::Int(i)) => Some((*i).clamp(0, WIDTH_MAX as i64) as usize),
                _ => None,
            };
        }
        let mut number = None;
        while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
            number = Some((number.unwrap_or(0) * 10 + digit as usize).min(WIDTH_MAX));
            chars.next();
        }
        number
    }

    fn pad(&self, text: &str, numeric: bool) -> String {
        let missing = self.width.saturating_sub(text.chars().count());
        if missing == 0 {
            return text.to_owned();
        }
        if self.minus {
            return format!("{text}{}", " ".repeat(missing));
        }
        if self.zero && numeric {
            let (sign, rest) = if text.starts_with(['-', '+']) { text.split_at(1) } else { ("", text) };
            return format!("{sign}{}{rest}", "0".repeat(missing));
        }
        format!("{}{text}", " ".repeat(missing))
    }

    fn signed(&self, text: String) -> String {
        if text.starts_with(['-', '+']) {
            text
        } else if self.plus {
            format!("+{text}")
        } else if self.space {
            format!(" {text}")
        } else {
            text
        }
    }

    fn cut(&self, text: &str) -> String {
        self.precision.map_or_else(|| text.to_owned(), |p| text.chars().take(p).collect())
    }

    fn integer(&self, i: i64, verb: char) -> Option<String> {
        let magnitude = i.unsigned_abs();
        let digits = match verb {
            'd' | 'v' => magnitude.to_string(),
            'x' => format!("{}{magnitude:x}", if self.sharp { "0x" } else { "" }),
            'X' => format!("{}{magnitude:X}", if self.sharp { "0X" } else { "" }),
            'o' => format!("{}{magnitude:o}", if self.sharp { "0" } else { "" }),
            'O' => format!("0o{magnitude:o}"),
            'b' => format!("{magnitude:b}"),
            'c' => return Some(self.pad(&char::from_u32(i as u32).unwrap_or('\u{fffd}').to_string(), false)),
            'q' => return Some(self.pad(&format!("'{}'", char::from_u32(i as u32).unwrap_or('\u{fffd}')), false)),
            'U' => return Some(self.pad(&format!("U+{magnitude:04X}"), false)),
            _ => return None,
        };
        let digits = match self.precision {
            Some(p) if digits.len() < p => format!("{}{digits}", "0".repeat(p - digits.len())),
            _ => digits,
        };
        let text = if i < 0 { format!("-{digits}") } else { self.signed(digits) };
        Some(self.pad(&text, self.precision.is_none()))
    }

    fn float(&self, v: f64, verb: char) -> Option<String> {
        let text = match (non_finite(v), verb) {
            (Some(text), 'e' | 'E' | 'f' | 'F' | 'g' | 'G' | 'v') => {
                // Zeros are never put in front of NaN and Inf.
                return Some(Self { zero: false, ..*self }.pad(text, false));
            }
            (_, 'e' | 'E') => float_e(v, Some(self.precision.unwrap_or(6))),
            (_, 'f' | 'F') => format!("{:.*}", self.precision.unwrap_or(6), v),
            (_, 'g' | 'G' | 'v') => self.precision.map_or_else(|| float_g(v), |p| float_g_precision(v, p)),
            _ => return None,
        };
        let text = if verb.is_ascii_uppercase() { text.to_uppercase() } else { text };
        Some(self.pad(&self.signed(text), true))
    }

    fn text(&self, text: &str, verb: char) -> Option<String> {
        let out = match verb {
            's' | 'v' => self.cut(text),
            'q' if self.sharp && !text.contains('`') => format!("`{}`", self.cut(text)),
            'q' => quote(&self.cut(text)),
            'x' => hex(text, "0123456789abcdef"),
            'X' => hex(text, "0123456789ABCDEF"),
            _ => return None,
        };
        Some(self.pad(&out, false))
    }

    fn apply(&self, value: &Value, verb: char) -> String {
        if verb == 'T' {
            return self.pad(value.type_name(), false);
        }
        let done = match value {
            Value::Bool(b) if matches!(verb, 't' | 'v') => Some(self.pad(&b.to_string(), false)),
            Value::Int(i) => self.integer(*i, verb),
            Value::Float(v) => self.float(*v, verb),
            Value::Str(s) | Value::Safe(_, s) => self.text(s, verb),
            Value::List(items) if verb != 'v' => {
                let parts: Vec<String> = items.iter().map(|v| self.apply(v, verb)).collect();
                Some(format!("[{}]", parts.join(" ")))
            }
            Value::Object(_) | Value::List(_) | Value::Map(_) if matches!(verb, 'v' | 's' | 'q') => {
                self.text(&nested(value), verb)
            }
            Value::Nil if verb == 'v' => Some(self.pad("<nil>", false)),
            _ => None,
        };
        done.unwrap_or_else(|| match value {
            Value::Nil => format!("%!{verb}(<nil>)"),
            other => format!("%!{verb}({}={})", other.type_name(), nested(other)),
        })
    }
}

fn hex(text: &str, digits: &str) -> String {
    let digit = |n: u8| char::from(digits.as_bytes()[usize::from(n)]);
    text.bytes().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}

/// Go's `Sprintf`.
pub(super) fn sprintf(format: &str, args: &[Value]) -> String {
    let mut out = String::with_capacity(format.len() + 16);
    let mut chars = format.chars().peekable();
    let mut rest = args.iter();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let spec = Spec::read(&mut chars, &mut rest);
        match chars.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) => match rest.next() {
                Some(value) => out.push_str(&spec.apply(value, verb)),
                None => push(&mut out, format_args!("%!{verb}(MISSING)")),
            },
        }
    }
    let extra: Vec<String> = rest
        .map(|v| match v {
            Value::Nil => "<nil>".to_owned(),
            v => format!("{}={}", v.type_name(), nested(v)),
        })
        .collect();
    if !extra.is_empty() {
        push(&mut out, format_args!("%!(EXTRA {})", extra.join(", ")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: &str, args: &[Value], expect: &str) {
        assert_eq!(sprintf(format, args), expect, "{format}");
    }

    #[test]
    fn prints_floats_as_go() {
        for (v, expect) in [
            (100000.0, "100000"),
            (123456.0, "123456"),
            (1e6, "1e+06"),
            (1353755652.0, "1.353755652e+09"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5, "1.5"),
            (-0.25, "-0.25"),
            (0.0, "0"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(float_g(v), expect);
        }
        assert_eq!(float_e(1.0, None), "1e+00");
        assert_eq!(float_g_precision(1234567.0, 4), "1.235e+06");
        assert_eq!(float_g_precision(100.0, 4), "100");
    }

    #[test]
    fn printf_is_gos() {
        let f = |v: f64| Value::Float(v);
        check(
            "%.2f|%5.1f|%-6.2f|%06.2f|%+.1f",
            &[f(1.005), f(2.25), f(1.5), f(-1.5), f(3.0)],
            "1.00|  2.2|1.50  |-01.50|+3.0",
        );
        check(
            "%d|%5d|%-5d|%05d|%x|%#x|%+d",
            &(1..8).map(Value::Int).collect::<Vec<_>>(),
            "1|    2|3    |00004|5|0x6|+7",
        );
        check(
            "%s|%q|%10s|%-4s|%.2s",
            &["a", "b\"", "c", "d", "efg"].map(Value::from),
            "a|\"b\\\"\"|         c|d   |ef",
        );
        check("%t %v %T %T", &[true.into(), false.into(), f(1.0), Value::from("x")], "true false float64 string");
        check("%d %s", &[f(1.5), Value::Int(1)], "%!d(float64=1.5) %!s(int=1)");
        check("%d %%", &[], "%!d(MISSING) %");
        check("x", &[Value::Int(1)], "x%!(EXTRA int=1)");
        check("%e %g %.3g %G", &[f(1234.5), f(1e21), f(1234.5), f(1e-7)], "1.234500e+03 1e+21 1.23e+03 1E-07");
        check("%", &[], "%!(NOVERB)");
    }
}
