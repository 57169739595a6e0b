//! The UTF-8 grammar: `name op value` with commas; names and values unquoted or double-quoted with Go's escapes.
//! In: text. Out: matchers, or an error that names the columns, in Alertmanager's words.
//! Never: looks further ahead than one token.
//! Start at [`parse_utf8`].

use super::{MatcherError, build};
use crate::model::{MatchOp, Matcher};
use std::iter::Peekable;
use std::str::CharIndices;

const NO_OPEN_BRACE: &str = "expected opening brace";
const NO_CLOSE_BRACE: &str = "expected close brace";
const NO_LABEL_NAME: &str = "expected label name";
const NO_LABEL_VALUE: &str = "expected label value";
const NO_OPERATOR: &str = "expected an operator such as '=', '!=', '=~' or '!~'";
const NO_COMMA_OR_CLOSE: &str = "expected a comma or close brace";
const NO_MATCHER_OR_CLOSE: &str = "expected a matcher or close brace after comma";
const NO_END: &str = "expected end of input";
const END: &str = "end of input";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Open,
    Close,
    Comma,
    Op(MatchOp),
    Quoted,
    Unquoted,
}

/// A token and its columns, counted in characters.
#[derive(Clone, Copy, Debug)]
struct Token<'a> {
    kind: Kind,
    text: &'a str,
    start: usize,
    end: usize,
}

impl Token<'_> {
    fn unexpected(&self, wanted: &str) -> String {
        format!("{}:{}: unexpected {}: {wanted}", self.start, self.end, self.text)
    }

    fn unquote(&self) -> Result<String, String> {
        if self.kind == Kind::Unquoted {
            return Ok(self.text.to_owned());
        }
        let inner = self.text.get(1..self.text.len() - 1).unwrap_or("");
        go_unescape(inner).ok_or_else(|| format!("{}:{}: {}: invalid input", self.start, self.end, self.text))
    }
}

/// Characters that cannot stand in an unquoted name or value.
pub fn is_reserved(c: char) -> bool {
    c.is_whitespace() || matches!(c, '{' | '}' | '!' | '=' | '~' | ',' | '\\' | '"' | '\'' | '`')
}

fn is_text(token: &Token<'_>) -> bool {
    matches!(token.kind, Kind::Quoted | Kind::Unquoted)
}

struct Lexer<'a> {
    text: &'a str,
    chars: Peekable<CharIndices<'a>>,
    column: usize,
    /// Scanned and not taken yet; at the end of the input scanning again costs nothing.
    peeked: Option<Token<'a>>,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, chars: text.char_indices().peekable(), column: 0, peeked: None }
    }

    fn peek(&mut self) -> Result<Option<Token<'a>>, String> {
        if self.peeked.is_none() {
            self.peeked = self.scan()?;
        }
        Ok(self.peeked)
    }

    fn next(&mut self) -> Result<Option<Token<'a>>, String> {
        match self.peeked.take() {
            Some(token) => Ok(Some(token)),
            None => self.scan(),
        }
    }

    fn bump_if(&mut self, want: impl Fn(char) -> bool) -> bool {
        let hit = self.chars.next_if(|(_, c)| want(*c)).is_some();
        self.column += usize::from(hit);
        hit
    }

    fn offset(&mut self) -> usize {
        self.chars.peek().map_or(self.text.len(), |(i, _)| *i)
    }

    fn scan(&mut self) -> Result<Option<Token<'a>>, String> {
        while self.bump_if(char::is_whitespace) {}
        let (from, start) = (self.offset(), self.column);
        let Some((_, c)) = self.chars.next() else { return Ok(None) };
        self.column += 1;
        let kind = match c {
            '{' => Kind::Open,
            '}' => Kind::Close,
            ',' => Kind::Comma,
            '=' if self.bump_if(|c| c == '~') => Kind::Op(MatchOp::Regex),
            '=' => Kind::Op(MatchOp::Equal),
            '!' if self.bump_if(|c| c == '=') => Kind::Op(MatchOp::NotEqual),
            '!' if self.bump_if(|c| c == '~') => Kind::Op(MatchOp::NotRegex),
            '!' => return Err(self.bad_bang(start)),
            '"' => self.quoted(from, start)?,
            c if is_reserved(c) => return Err(format!("{start}:{}: {c}: invalid input", self.column)),
            _ => {
                while self.bump_if(|c| !is_reserved(c)) {}
                Kind::Unquoted
            }
        };
        let to = self.offset();
        Ok(Some(Token { kind, text: &self.text[from..to], start, end: self.column }))
    }

    fn bad_bang(&mut self, start: usize) -> String {
        match self.chars.peek() {
            Some((_, c)) => format!("{start}:{}: unexpected {c}: expected one of '=~'", self.column + 1),
            None => format!("{start}:{}: unexpected end of input, expected one of '=~'", self.column),
        }
    }

    fn quoted(&mut self, from: usize, start: usize) -> Result<Kind, String> {
        let mut escaped = false;
        for (_, c) in self.chars.by_ref() {
            self.column += 1;
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => return Ok(Kind::Quoted),
                _ => {}
            }
        }
        Err(format!("{start}:{}: {}: missing end \"", self.column, &self.text[from..]))
    }
}

/// Any number of matchers, with or without braces, a trailing comma allowed.
pub fn parse_utf8(text: &str) -> Result<Vec<Matcher>, MatcherError> {
    parse_tokens(&mut Lexer::new(text))
}

fn parse_tokens(lexer: &mut Lexer<'_>) -> Result<Vec<Matcher>, MatcherError> {
    let syntax = MatcherError::Syntax;
    let mut matchers = Vec::new();
    let braced = match lexer.peek().map_err(syntax)? {
        None => return Ok(matchers),
        Some(t) => t.kind == Kind::Open,
    };
    if braced {
        lexer.next().map_err(syntax)?;
    }
    loop {
        match lexer.peek().map_err(syntax)? {
            None => break,
            Some(t) if t.kind == Kind::Close => break,
            Some(t) if !matchers.is_empty() && !is_text(&t) => return Err(syntax(t.unexpected(NO_MATCHER_OR_CLOSE))),
            Some(_) => matchers.push(parse_matcher(lexer)?),
        }
        match lexer.peek().map_err(syntax)? {
            None => break,
            Some(t) if t.kind == Kind::Comma => _ = lexer.next().map_err(syntax)?,
            Some(t) if t.kind == Kind::Close => break,
            Some(t) => return Err(syntax(t.unexpected(NO_COMMA_OR_CLOSE))),
        }
    }
    close(lexer, braced).map_err(syntax)?;
    Ok(matchers)
}

fn close(lexer: &mut Lexer<'_>, braced: bool) -> Result<(), String> {
    match (lexer.next()?, braced) {
        (None, true) => return Err(format!("0:{}: {END}: {NO_CLOSE_BRACE}", lexer.column)),
        (None, false) => return Ok(()),
        (Some(_), false) => return Err(format!("0:{}: }}: {NO_OPEN_BRACE}", lexer.column)),
        (Some(_), true) => {}
    }
    match lexer.next()? {
        None => Ok(()),
        Some(t) => Err(format!("{}:{}: {}: {NO_END}", t.start, t.end, t.text)),
    }
}

fn parse_matcher(lexer: &mut Lexer<'_>) -> Result<Matcher, MatcherError> {
    let mut expect = |wanted: &str, fits: fn(&Token<'_>) -> bool| match lexer.next() {
        Err(e) => Err(MatcherError::Syntax(format!("{e}: {wanted}"))),
        Ok(None) => Err(MatcherError::Syntax(format!("{END}: {wanted}"))),
        Ok(Some(t)) if fits(&t) => Ok(t),
        Ok(Some(t)) => Err(MatcherError::Syntax(t.unexpected(wanted))),
    };
    let name = expect(NO_LABEL_NAME, is_text)?.unquote().map_err(MatcherError::Syntax)?;
    let op = expect(NO_OPERATOR, |t| matches!(t.kind, Kind::Op(_)))?.kind;
    let value = expect(NO_LABEL_VALUE, is_text)?.unquote().map_err(MatcherError::Syntax)?;
    let Kind::Op(op) = op else { return Err(MatcherError::Syntax(NO_OPERATOR.to_owned())) };
    build(&name, op, &value)
}

/// Reads the escapes of a Go string literal; `None` where Go refuses, or where the bytes are no UTF-8.
fn go_unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            // Go's literals in double quotes hold no line feed.
            '\n' => return None,
            '\\' => unescape_one(&mut chars, &mut bytes)?,
            c => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    String::from_utf8(bytes).ok()
}

fn unescape_one(chars: &mut std::str::Chars<'_>, bytes: &mut Vec<u8>) -> Option<()> {
    let digits = |chars: &mut std::str::Chars<'_>, first: Option<char>, count: usize, radix: u32| {
        let taken = first.into_iter().chain(chars.by_ref().take(count));
        taken.map(|c| c.to_digit(radix)).try_fold((0u32, 0), |(sum, n), d| Some((sum * radix + d?, n + 1)))
    };
    let byte = match chars.next()? {
        'a' => 7,
        'b' => 8,
        'f' => 0x0c,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        '\\' => b'\\',
        '"' => b'"',
        'x' => match digits(chars, None, 2, 16)? {
            (value, 2) => value as u8,
            _ => return None,
        },
        c @ '0'..='7' => match digits(chars, Some(c), 2, 8)? {
            (value, 3) => u8::try_from(value).ok()?,
            _ => return None,
        },
        c @ ('u' | 'U') => {
            let count = if c == 'u' { 4 } else { 8 };
            let (value, taken) = digits(chars, None, count, 16)?;
            let c = char::from_u32(value).filter(|_| taken == count)?;
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(());
        }
        _ => return None,
    };
    bytes.push(byte);
    Some(())
}
