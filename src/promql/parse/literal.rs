//! Numbers, durations and strings.
//! In: text at a cut. Out: a token, or the value of one; refusals in the words of Go's `strconv`.
//! Never: loses a byte of a string: one that is no UTF-8 becomes a character that stands for it.
//! Start at [`number_value`], [`duration_seconds`], [`string_value`].

use super::super::print::{Quoted, byte_stand_in};
use super::error::Result;
use super::lex::{Lexer, quoted_char};
use super::token::Kind;

/// The units of a duration in the order in which they may be written, in milliseconds.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// The longest duration that Go's `time.Duration` holds, in milliseconds.
const DURATION_MAX_MS: u64 = i64::MAX as u64 / 1_000_000;

fn is_unit(c: char) -> bool {
    matches!(c, 's' | 'm' | 'h' | 'd' | 'w' | 'y')
}

impl Lexer<'_> {
    /// A number or duration, of which the first character was read.
    pub(super) fn number(&mut self) -> Result<Kind> {
        if self.scan_number() {
            return Ok(Kind::Number);
        }
        if self.scan_duration() {
            return Ok(Kind::Duration);
        }
        let text = format!("bad number or duration syntax: {}", Quoted(self.taken()));
        Err(self.error(text))
    }

    /// What is scanned need not be a number; [`number_value`] tells.
    fn scan_number(&mut self) -> bool {
        let hex = self.taken() == "0" && self.accept(|c| matches!(c, 'x' | 'X'));
        let is_digit = |c: char| if hex { c.is_ascii_hexdigit() } else { c.is_ascii_digit() };
        if hex {
            self.accept(|c| c == '_');
        }
        let (mut dot, mut exponent) = (false, false);
        while let Some(c) = self.peek() {
            match c {
                c if is_digit(c) => {
                    self.bump();
                }
                '_' => {
                    self.bump();
                    if self.accept(|c| matches!(c, '.' | '_' | 'e' | 'E')) || !self.peek().is_some_and(is_digit) {
                        return false;
                    }
                }
                '.' => {
                    self.bump();
                    if dot || self.accept(|c| matches!(c, '.' | '_')) || hex {
                        return false;
                    }
                    dot = true;
                }
                'e' | 'E' => {
                    self.bump();
                    if exponent || self.accept(|c| matches!(c, '.' | '_' | 'e' | 'E')) {
                        return false;
                    }
                    exponent = true;
                    self.accept(|c| matches!(c, '+' | '-'));
                    if !self.peek().is_some_and(is_digit) {
                        return false;
                    }
                }
                _ => break,
            }
        }
        !self.peek().is_some_and(|c| c == '_' || c.is_ascii_alphanumeric())
    }

    /// Goes on where the number ended: units, and more numbers with units.
    fn scan_duration(&mut self) -> bool {
        if !self.accept(is_unit) {
            return false;
        }
        self.accept(|c| c == 's');
        while self.accept(|c| c.is_ascii_digit()) {
            self.accept_all(|c| c.is_ascii_digit());
            if !self.accept(|c| is_unit(c) && c != 'y') {
                return false;
            }
            self.accept(|c| c == 's');
        }
        // The character behind is shown in the refusal.
        !self.accept(|c| c == '_' || c.is_ascii_alphanumeric())
    }

    /// A string, of which the opening quote was read.
    pub(super) fn string(&mut self, quote: char) -> Result<Kind> {
        loop {
            match self.bump() {
                None => {
                    let kind = if quote == '`' { "raw" } else { "quoted" };
                    return Err(self.error(format!("unterminated {kind} string")));
                }
                Some(c) if c == quote => return Ok(Kind::Text),
                // What was no UTF-8 came as this character.
                Some(char::REPLACEMENT_CHARACTER) => return Err(self.error("invalid UTF-8 rune")),
                Some('\n') if quote != '`' => return Err(self.error("unterminated quoted string")),
                Some('\\') if quote != '`' => self.escape(quote)?,
                Some(_) => {}
            }
        }
    }

    fn escape(&mut self, quote: char) -> Result<()> {
        let not_terminated = "escape sequence not terminated";
        let Some(c) = self.bump() else { return Err(self.error(not_terminated)) };
        let (digits, radix, max) = match c {
            'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => return Ok(()),
            c if c == quote => return Ok(()),
            '0'..='7' => (3, 8, 255),
            'x' => (2, 16, 255),
            'u' => (4, 16, 0x0010_ffff),
            'U' => (8, 16, 0x0010_ffff),
            c => return Err(self.error(format!("unknown escape sequence {}", described(c)))),
        };
        let (mut value, mut first) = (0u32, (radix == 8).then_some(c));
        for _ in 0..digits {
            let Some(c) = first.take().or_else(|| self.bump()) else { return Err(self.error(not_terminated)) };
            let Some(digit) = c.to_digit(radix) else {
                return Err(self.error(format!("illegal character {} in escape sequence", described(c))));
            };
            value = value.wrapping_mul(radix).wrapping_add(digit);
        }
        if value > max || (0xd800..0xe000).contains(&value) {
            return Err(self.error("escape sequence is an invalid Unicode code point"));
        }
        Ok(())
    }
}

/// A character as Go's `%#U` writes it.
fn described(c: char) -> String {
    let quoted = quoted_char(c);
    let is_plain = quoted.chars().nth(1) == Some(c);
    let shown = if is_plain || c == '\'' { format!(" '{c}'") } else { String::new() };
    format!("U+{:04X}{shown}", c as u32)
}

/// Go's `strconv.ParseInt(s, 0, 64)`, then `ParseFloat`: hex, octal with a leading zero, underscores between digits.
pub fn number_value(text: &str) -> std::result::Result<f64, String> {
    let refuse = |why: &str| Err(format!("error parsing number: strconv.ParseFloat: parsing {}: {why}", Quoted(text)));
    let bytes = text.as_bytes();
    for (i, b) in bytes.iter().enumerate() {
        let is_placed = i > 0 && (bytes[i - 1].is_ascii_hexdigit() || matches!(bytes[i - 1], b'x' | b'X'));
        if *b == b'_' && !(is_placed && bytes.get(i + 1).is_some_and(u8::is_ascii_hexdigit)) {
            return refuse("invalid syntax");
        }
    }
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    if let Some(hex) = plain.strip_prefix("0x").or_else(|| plain.strip_prefix("0X")) {
        return i64::from_str_radix(hex, 16).map_or_else(|_| refuse("invalid syntax"), |v| Ok(v as f64));
    }
    if plain.len() > 1
        && plain.starts_with('0')
        && let Ok(octal) = i64::from_str_radix(&plain, 8)
    {
        return Ok(octal as f64);
    }
    match plain.parse::<f64>() {
        Ok(v) if v.is_infinite() && plain.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
            refuse("value out of range")
        }
        Ok(v) => Ok(v),
        Err(_) => refuse("invalid syntax"),
    }
}

/// The value of a duration, `1h30m`.
pub(super) fn duration_seconds(text: &str) -> std::result::Result<f64, String> {
    let (mut rest, mut next_unit, mut total) = (text, 0, 0u64);
    let not_valid = || format!("not a valid duration string: {}", Quoted(text));
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number = &rest[..digits];
        if number.is_empty() {
            return Err(not_valid());
        }
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(|b| !b.is_ascii_digit()).count();
        let name = &rest[..letters];
        let Some(unit) = UNITS.iter().position(|(unit, _)| *unit == name) else {
            return Err(format!("unknown unit {} in duration {}", Quoted(name), Quoted(text)));
        };
        if unit < next_unit {
            return Err(not_valid());
        }
        next_unit = unit + 1;
        let ms = number.parse::<u64>().ok().and_then(|n| n.checked_mul(UNITS[unit].1));
        let sum = ms.and_then(|ms| total.checked_add(ms)).filter(|sum| *sum <= DURATION_MAX_MS);
        total = sum.ok_or("duration out of range")?;
        rest = &rest[letters..];
    }
    Ok(total as f64 / 1000.0)
}

/// What stands between the quotes of a string that the lexer let through.
pub(super) fn string_value(text: &str) -> String {
    let inner = &text[1..text.len() - 1];
    if text.starts_with('`') {
        return inner.to_owned();
    }
    let mut bytes: Vec<u8> = Vec::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        let put = |bytes: &mut Vec<u8>, c: char| bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        if c != '\\' {
            put(&mut bytes, c);
            continue;
        }
        match chars.next().unwrap_or('\\') {
            'x' => bytes.push(code(&mut chars, 0, 2, 16) as u8),
            'u' => put(&mut bytes, char::from_u32(code(&mut chars, 0, 4, 16)).unwrap_or('\u{fffd}')),
            'U' => put(&mut bytes, char::from_u32(code(&mut chars, 0, 8, 16)).unwrap_or('\u{fffd}')),
            c @ '0'..='7' => bytes.push(code(&mut chars, c as u32 - '0' as u32, 2, 8) as u8),
            'a' => bytes.push(0x07),
            'b' => bytes.push(0x08),
            'f' => bytes.push(0x0c),
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            't' => bytes.push(b'\t'),
            'v' => bytes.push(0x0b),
            c => put(&mut bytes, c),
        }
    }
    // Go's strings may hold any bytes, ours may not.
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|b| byte_stand_in(*b)));
    }
    out
}

/// Some digits of an escape sequence, after those that `first` stands for.
fn code(chars: &mut std::str::Chars<'_>, first: u32, digits: usize, radix: u32) -> u32 {
    (0..digits).fold(first, |value, _| {
        let digit = chars.next().and_then(|c| c.to_digit(radix)).unwrap_or_default();
        value.wrapping_mul(radix).wrapping_add(digit)
    })
}
