//! In front of the parser crate: rewrites what it reads otherwise than Prometheus, and bounds what it is given.
//! In: the text as written. Out: [`Shimmed`], a text in which each string is a numbered token and each number is plain.
//! Never: lets a text through that is longer, deeper or wider than its limits.
//! Start at [`shim`].

use super::parse::ParseError;
use std::fmt::Write;

/// The longest expression, in bytes: some ten times the longest rule that is known to us.
pub const EXPR_MAX_BYTES: usize = 64 * 1024;
/// How deep parentheses, brackets and braces may nest, so that recursion over the tree fits every stack.
pub const NESTING_MAX: usize = 64;
/// How many operators an expression may hold: a chain of them is a tree as deep as the chain is long, and must fit
/// the stack of a worker thread even without optimisation. The longest known rules have some forty.
pub const OPERATORS_MAX: usize = 256;
/// The longest duration (a thousand years), so that sums of times cannot overflow.
const DURATION_MAX_MS: f64 = 1000.0 * 31_536_000_000.0;
/// Stands around the number of a string; a private-use character that no identifier can hold.
const MARK: char = '\u{E000}';

/// A text for the crate, and the strings that were taken out of it.
pub(super) struct Shimmed {
    pub text: String,
    strings: Vec<String>,
}

impl Shimmed {
    /// Puts the original string in the place of its token; other text stays as it is.
    pub fn restore(&self, text: &str) -> String {
        let number = text.strip_prefix(MARK).and_then(|t| t.strip_suffix(MARK)).and_then(|n| n.parse::<usize>().ok());
        number.and_then(|n| self.strings.get(n)).map_or_else(|| text.to_owned(), Clone::clone)
    }
}

pub(super) fn shim(text: &str) -> Result<Shimmed, ParseError> {
    if text.len() > EXPR_MAX_BYTES {
        return Err(ParseError::TooLarge("text", EXPR_MAX_BYTES));
    }
    let mut scanner = Scanner { rest: text, out: String::with_capacity(text.len() + 16), ..Scanner::default() };
    while let Some(c) = scanner.rest.chars().next() {
        scanner.token(c)?;
    }
    match scanner.open.last() {
        Some('(') => Err(syntax("unclosed left parenthesis")),
        Some('[') => Err(syntax("unclosed left bracket")),
        Some(_) => Err(syntax("unexpected end of input inside braces")),
        None if scanner.out.trim().is_empty() => Err(syntax("no expression found in input")),
        None => Ok(Shimmed { text: scanner.out, strings: scanner.strings }),
    }
}

fn syntax(text: impl Into<String>) -> ParseError {
    ParseError::Syntax(text.into())
}

#[derive(Default)]
struct Scanner<'a> {
    rest: &'a str,
    out: String,
    strings: Vec<String>,
    open: Vec<char>,
    operators: usize,
    powers: usize,
    /// A number here is a duration: after `[`, after `:` within brackets, after `offset` and its sign.
    want_duration: bool,
}

impl Scanner<'_> {
    fn take(&mut self, len: usize) -> &str {
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        taken
    }

    fn token(&mut self, c: char) -> Result<(), ParseError> {
        let in_brackets = self.open.last() == Some(&'[');
        let in_braces = self.open.last() == Some(&'{');
        let second = self.rest.chars().nth(1).unwrap_or(' ');
        match c {
            '"' | '\'' | '`' => return self.string(c),
            '#' => {
                let len = self.rest.find('\n').unwrap_or(self.rest.len());
                self.take(len);
                self.out.push(' ');
                return Ok(());
            }
            '0'..='9' => return self.number(),
            '.' if second.is_ascii_digit() => return self.number(),
            'a'..='z' | 'A'..='Z' | '_' => return self.word(in_braces),
            ':' if !in_brackets && !in_braces => return self.word(in_braces),
            '(' | '[' | '{' => {
                self.open.push(c);
                if self.open.len() > NESTING_MAX {
                    return Err(ParseError::TooLarge("nesting", NESTING_MAX));
                }
                self.want_duration = c == '[';
            }
            ')' | ']' | '}' => {
                let expected = match c {
                    ')' => '(',
                    ']' => '[',
                    _ => '{',
                };
                if self.open.pop() != Some(expected) {
                    return Err(syntax(format!("unexpected {c:?}")));
                }
                self.want_duration = false;
            }
            ':' => self.want_duration = true,
            '+' | '-' => self.count_operator()?,
            '^' if self.powers == NESTING_MAX => return Err(ParseError::TooLarge("powers", NESTING_MAX)),
            '*' | '/' | '%' | '^' | '=' | '!' | '<' | '>' => {
                // Matchers are no operators, and `>=` is one.
                let is_second_half = c == '=' && self.out.ends_with(['=', '!', '<', '>']);
                if !in_braces && !is_second_half {
                    self.count_operator()?;
                }
                // Powers lean to the right: each nests.
                self.powers += usize::from(c == '^');
                self.want_duration = false;
            }
            c if c.is_whitespace() => {}
            _ => self.want_duration = false,
        }
        self.out.push(c);
        self.take(c.len_utf8());
        Ok(())
    }

    fn count_operator(&mut self) -> Result<(), ParseError> {
        self.operators += 1;
        if self.operators > OPERATORS_MAX {
            return Err(ParseError::TooLarge("operators", OPERATORS_MAX));
        }
        Ok(())
    }

    fn word(&mut self, in_braces: bool) -> Result<(), ParseError> {
        let len = self
            .rest
            .bytes()
            .take_while(|b| b.is_ascii_alphanumeric() || *b == b'_' || (*b == b':' && !in_braces))
            .count();
        let word = self.take(len).to_owned();
        let lower = word.to_ascii_lowercase();
        if matches!(lower.as_str(), "and" | "or" | "unless" | "atan2") {
            self.count_operator()?;
            // Only VictoriaMetrics knows `{a="1" or b="2"}`; `or` as a label name is followed by an operator.
            if in_braces && !self.rest.trim_start().starts_with(['=', '!']) {
                return Err(syntax(format!(
                    "unexpected identifier {word:?} in label matching, expected \",\" or \"}}\""
                )));
            }
        }
        self.want_duration = lower == "offset";
        self.out.push_str(&word);
        Ok(())
    }

    /// Reads a number or a duration and writes it in a form that cannot be misread.
    fn number(&mut self) -> Result<(), ParseError> {
        let bytes = self.rest.as_bytes();
        let is_hex = self.rest.len() > 1 && bytes[0] == b'0' && bytes[1].eq_ignore_ascii_case(&b'x');
        let mut len = 0;
        while let Some(b) = bytes.get(len) {
            let after_exponent = len > 0 && !is_hex && bytes[len - 1].eq_ignore_ascii_case(&b'e');
            if b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_') || (after_exponent && matches!(b, b'+' | b'-')) {
                len += 1;
            } else {
                break;
            }
        }
        let text = self.take(len).to_owned();
        let bad = || syntax(format!("bad number or duration syntax: {text:?}"));
        let want_duration = std::mem::take(&mut self.want_duration);
        let is_duration_text = !is_hex && text.ends_with(['s', 'm', 'h', 'd', 'w', 'y']);
        if is_duration_text {
            let d = crate::model::duration::parse(&text)
                .ok_or_else(|| syntax(format!("not a valid duration string: {text:?}")))?;
            if d.as_millis() as f64 > DURATION_MAX_MS {
                return Err(syntax("duration out of range"));
            }
            if want_duration {
                return self.put_duration(d.as_millis() as u64);
            }
            return self.put(format_args!("{}", d.as_secs_f64()));
        }
        let value = parse_number(&text).ok_or_else(bad)?;
        if !want_duration {
            return if value.is_finite() { self.put(format_args!("{value}")) } else { self.put(format_args!("Inf")) };
        }
        let ms = (value * 1000.0).round();
        if ms > DURATION_MAX_MS {
            return Err(syntax("duration out of range"));
        }
        self.put_duration(ms as u64)
    }

    /// The crate reads no more than nine digits or so per unit.
    fn put_duration(&mut self, ms: u64) -> Result<(), ParseError> {
        let (days, ms) = (ms / 86_400_000, ms % 86_400_000);
        if days == 0 { self.put(format_args!("{ms}ms")) } else { self.put(format_args!("{days}d{ms}ms")) }
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) -> Result<(), ParseError> {
        self.out.write_fmt(text).map_err(|_| syntax("out of memory"))
    }

    fn string(&mut self, quote: char) -> Result<(), ParseError> {
        self.want_duration = false;
        let (value, len) = unquote(self.rest, quote)?;
        self.take(len);
        let number = self.strings.len();
        self.strings.push(value);
        self.put(format_args!("\"{MARK}{number}{MARK}\""))
    }
}

/// Go's `strconv.ParseInt(s, 0, 64)`, then `ParseFloat`: hex, octal with a leading zero, underscores between digits.
pub(super) fn parse_number(text: &str) -> Option<f64> {
    let bytes = text.as_bytes();
    for (i, b) in bytes.iter().enumerate() {
        let is_placed = i > 0 && (bytes[i - 1].is_ascii_hexdigit() || matches!(bytes[i - 1], b'x' | b'X'));
        if *b == b'_' && !(is_placed && bytes.get(i + 1).is_some_and(u8::is_ascii_hexdigit)) {
            return None;
        }
    }
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    if let Some(hex) = plain.strip_prefix("0x").or_else(|| plain.strip_prefix("0X")) {
        return i64::from_str_radix(hex, 16).ok().map(|v| v as f64);
    }
    if plain.len() > 1 && plain.starts_with('0') && plain.bytes().all(|b| matches!(b, b'0'..=b'7')) {
        return i64::from_str_radix(&plain, 8).ok().map(|v| v as f64);
    }
    if !plain.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-')) {
        return None;
    }
    plain.parse().ok()
}

/// Reads the string that `text` starts with; yields it and the length of its source.
pub(super) fn unquote(text: &str, quote: char) -> Result<(String, usize), ParseError> {
    let unterminated = || syntax(if quote == '`' { "unterminated raw string" } else { "unterminated quoted string" });
    if quote == '`' {
        let end = text[1..].find('`').ok_or_else(unterminated)?;
        return Ok((text[1..=end].to_owned(), end + 2));
    }
    let mut bytes: Vec<u8> = Vec::new();
    let mut at = 1;
    loop {
        let c = text[at..].chars().next().ok_or_else(unterminated)?;
        at += c.len_utf8();
        match c {
            '\n' => return Err(unterminated()),
            c if c == quote => break,
            '\\' => at += escape(&text[at..], quote, &mut bytes)?,
            c => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    // Go's strings may hold any bytes, ours may not: what is not UTF-8 becomes the replacement character.
    Ok((String::from_utf8_lossy(&bytes).into_owned(), at))
}

/// Reads one escape after its backslash; yields its length.
fn escape(text: &str, quote: char, out: &mut Vec<u8>) -> Result<usize, ParseError> {
    let c = text.chars().next().ok_or_else(|| syntax("escape sequence not terminated"))?;
    let plain = match c {
        'a' => Some(0x07),
        'b' => Some(0x08),
        'f' => Some(0x0c),
        'n' => Some(b'\n'),
        'r' => Some(b'\r'),
        't' => Some(b'\t'),
        'v' => Some(0x0b),
        '\\' => Some(b'\\'),
        c if c == quote => Some(c as u8),
        _ => None,
    };
    if let Some(byte) = plain {
        out.push(byte);
        return Ok(1);
    }
    let (skip, digits, radix) = match c {
        '0'..='7' => (0, 3, 8),
        'x' => (1, 2, 16),
        'u' => (1, 4, 16),
        'U' => (1, 8, 16),
        _ => return Err(syntax(format!("unknown escape sequence U+{:04X} {c:?}", c as u32))),
    };
    let code = text.get(skip..skip + digits).ok_or_else(|| syntax("escape sequence not terminated"))?;
    let value = u32::from_str_radix(code, radix).map_err(|_| syntax("illegal character in escape sequence"))?;
    if skip == 1 && digits > 2 {
        let c = char::from_u32(value).ok_or_else(|| syntax("escape sequence is an invalid Unicode code point"))?;
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    } else {
        out.push(u8::try_from(value).map_err(|_| syntax("escape sequence is an invalid Unicode code point"))?);
    }
    Ok(skip + digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let shimmed = shim(text).unwrap();
        let mut out = String::new();
        let mut parts = shimmed.text.split(MARK);
        while let Some(part) = parts.next() {
            out.push_str(part);
            if let Some(n) = parts.next() {
                out.push_str(&shimmed.strings[n.parse::<usize>().unwrap()]);
            }
        }
        assert_eq!(out, expect, "{text}");
    }

    #[test]
    fn numbers_and_durations_become_plain() {
        check("1_000 + 0x1F + 017 + 089", "1000 + 31 + 15 + 89");
        check("a[5m] offset -1h30m", "a[300000ms] offset -5400000ms");
        check("a[300:0.5] offset 60", "a[300000ms:500ms] offset 60000ms");
        check("a > 1m and job:x:rate5m", "a > 60 and job:x:rate5m");
        check("1e3 + .5 # comment\n+ 1e-3", "1000 + 0.5  \n+ 0.001");
    }

    #[test]
    fn strings_are_taken_out() {
        check(r#"a{b=~`\d+"`, c='x\'y', "d"="\x41\101\u00e9"}"#, r#"a{b=~"\d+"", c="x'y", "d"="AAé"}"#);
    }

    #[test]
    fn nonsense_and_giants_are_refused() {
        for text in ["", " # only a comment", "((1)", "1)", "a{b='c\n'}", "1__0", "0deadbeef", "2.5.", "a[99999999y]"] {
            assert!(shim(text).is_err(), "{text}");
        }
        assert!(shim(r#"a{b="1" or c="2"}"#).is_err());
        assert!(shim(&("(".repeat(65) + "1" + &")".repeat(65))).is_err());
        assert!(shim(&("1".to_owned() + &"+1".repeat(5000))).is_err());
        assert!(shim(&"a".repeat(EXPR_MAX_BYTES + 1)).is_err());
    }
}
