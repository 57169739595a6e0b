//! Cutting: the text becomes tokens, one at a time.
//! In: the text. Out: [`Token`]s, or an error at the place where no token begins or ends.
//! Never: looks at more than the text around the cut and which braces, brackets and parentheses are open.
//! Start at [`Lexer::next`].

use super::super::ast::{BinaryOp, Place};
use super::error::{ParseError, Result, error_at};
use super::token::{Keyword, Kind, Token, keyword};

pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    /// Where the current token starts.
    start: usize,
    line: u32,
    /// The offset of the first byte of the line.
    line_start: usize,
    /// What places up to here were counted.
    counted: usize,
    parens: usize,
    in_braces: bool,
    in_brackets: bool,
    /// Within brackets, before the first number: words and operators of durations are looked for.
    in_duration: bool,
    seen_number: bool,
    seen_colon: bool,
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

fn is_letter(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic()
}

fn is_word(c: char) -> bool {
    is_letter(c) || c.is_ascii_digit()
}

/// A character as Go's `%q` writes it.
pub(super) fn quoted_char(c: char) -> String {
    let text = super::super::print::Quoted(&c.to_string()).to_string();
    let inner = &text[1..text.len() - 1];
    match c {
        '\'' => "'\\''".to_owned(),
        '"' => "'\"'".to_owned(),
        _ => format!("'{inner}'"),
    }
}

impl<'a> Lexer<'a> {
    pub fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            start: 0,
            line: 1,
            line_start: 0,
            counted: 0,
            parens: 0,
            in_braces: false,
            in_brackets: false,
            in_duration: false,
            seen_number: false,
            seen_colon: false,
        }
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    pub(super) fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    pub(super) fn accept(&mut self, fits: impl Fn(char) -> bool) -> bool {
        let found = self.peek().is_some_and(fits);
        if found {
            self.bump();
        }
        found
    }

    pub(super) fn accept_all(&mut self, fits: impl Fn(char) -> bool) {
        while self.accept(&fits) {}
    }

    /// What of the token has been read.
    pub(super) fn taken(&self) -> &'a str {
        &self.text[self.start..self.at]
    }

    /// The current token's place. Starts never go back, so lines are counted once.
    fn place(&mut self) -> Place {
        for (i, b) in self.text.as_bytes()[self.counted..self.start].iter().enumerate() {
            if *b == b'\n' {
                self.line += 1;
                self.line_start = self.counted + i + 1;
            }
        }
        self.counted = self.counted.max(self.start);
        let column = (self.start - self.line_start + 1) as u32;
        Place { start: self.start as u32, end: self.at as u32, line: self.line, column }
    }

    pub(super) fn error(&mut self, text: impl std::fmt::Display) -> ParseError {
        error_at(self.place(), text)
    }

    /// An error that stands behind what was read.
    fn error_behind<T>(&mut self, text: &str) -> Result<T> {
        self.start = self.at;
        Err(self.error(text))
    }

    fn emit(&mut self, kind: Kind) -> Token {
        Token { kind, place: self.place() }
    }

    /// The next token; after the last one [`Kind::End`], again and again.
    pub fn next(&mut self) -> Result<Token> {
        self.skip();
        self.start = self.at;
        let kind = if self.in_braces {
            self.inside_braces()?
        } else if self.in_duration {
            self.inside_duration()?
        } else {
            self.statement()?
        };
        Ok(self.emit(kind))
    }

    /// White space and comments; within a duration that has not begun a comment is none.
    fn skip(&mut self) {
        loop {
            self.accept_all(is_space);
            if self.peek() != Some('#') || self.in_duration {
                return;
            }
            self.accept_all(|c| c != '\n');
        }
    }

    fn statement(&mut self) -> Result<Kind> {
        let Some(c) = self.bump() else {
            if self.parens > 0 {
                return Err(self.error("unclosed left parenthesis"));
            }
            if self.in_brackets {
                return Err(self.error("unclosed left bracket"));
            }
            return Ok(Kind::End);
        };
        Ok(match c {
            ',' => Kind::Comma,
            '@' => Kind::At,
            '+' | '-' | '*' | '/' | '%' | '^' => arithmetic(c),
            '=' => match self.peek() {
                Some('=') => self.second(BinaryOp::Equal),
                Some('~') => return Err(self.error("unexpected character after '=': '~'")),
                _ => Kind::Assign,
            },
            '!' => match self.peek() {
                Some('=') => self.second(BinaryOp::NotEqual),
                other => return Err(self.unexpected_after("after '!'", other)),
            },
            '<' if self.peek() == Some('=') => self.second(BinaryOp::LessOrEqual),
            '<' => Kind::Op(BinaryOp::Less),
            '>' if self.peek() == Some('=') => self.second(BinaryOp::GreaterOrEqual),
            '>' => Kind::Op(BinaryOp::Greater),
            '0'..='9' => self.number()?,
            '.' if self.peek().is_some_and(|c| c.is_ascii_digit()) => self.number()?,
            '"' | '\'' | '`' => self.string(c)?,
            c if self.in_brackets && (is_letter(c) || c == ':') => self.in_open_brackets(c)?,
            c if is_letter(c) || c == ':' => self.word(),
            '(' => self.open_paren(),
            ')' => self.close_paren()?,
            '{' => {
                self.in_braces = true;
                Kind::LeftBrace
            }
            '[' if self.in_brackets => return Err(self.error("unexpected left bracket '['")),
            '[' => {
                self.in_brackets = true;
                self.in_duration = true;
                self.seen_number = false;
                self.seen_colon = false;
                Kind::LeftBracket
            }
            ']' if !self.in_brackets => return Err(self.error("unexpected right bracket ']'")),
            ']' => {
                self.in_brackets = false;
                Kind::RightBracket
            }
            c => return Err(self.error(format!("unexpected character: {}", quoted_char(c)))),
        })
    }

    fn second(&mut self, op: BinaryOp) -> Kind {
        self.bump();
        Kind::Op(op)
    }

    fn unexpected_after(&mut self, place: &str, c: Option<char>) -> ParseError {
        // Go prints the end of the input as the rune that stands for none.
        let c = c.map_or_else(|| "'\u{fffd}'".to_owned(), quoted_char);
        self.error(format!("unexpected character {place}: {c}"))
    }

    fn open_paren(&mut self) -> Kind {
        self.parens += 1;
        Kind::LeftParen
    }

    fn close_paren(&mut self) -> Result<Kind> {
        if self.parens == 0 {
            return self.error_behind("unexpected right parenthesis ')'");
        }
        self.parens -= 1;
        Ok(Kind::RightParen)
    }

    fn word(&mut self) -> Kind {
        self.accept_all(|c| is_word(c) || c == ':');
        let word = self.taken();
        keyword(word).unwrap_or(if word.contains(':') { Kind::MetricIdentifier } else { Kind::Identifier })
    }

    /// A letter or colon within brackets, after a number.
    fn in_open_brackets(&mut self, c: char) -> Result<Kind> {
        if c == ':' {
            if self.seen_colon {
                return Err(self.error("unexpected colon ':'"));
            }
            self.seen_colon = true;
            return Ok(Kind::Colon);
        }
        match self.duration_word() {
            Some(kind) => Ok(kind),
            None => Err(self.error(format!("unexpected character: {}, expected ':'", quoted_char(c)))),
        }
    }

    fn duration_word(&mut self) -> Option<Kind> {
        self.accept_all(is_letter);
        Some(match self.taken().to_ascii_lowercase().as_str() {
            "step" => Kind::Keyword(Keyword::Step),
            "range" => Kind::Keyword(Keyword::Range),
            "min_of" => Kind::MinOf,
            "max_of" => Kind::MaxOf,
            _ => return None,
        })
    }

    fn inside_duration(&mut self) -> Result<Kind> {
        let Some(c) = self.bump() else {
            return Err(self.error("unexpected end of input in duration expression"));
        };
        Ok(match c {
            ']' => {
                self.in_brackets = false;
                self.in_duration = false;
                Kind::RightBracket
            }
            ':' if self.seen_colon => {
                return self.error_behind("unexpected repeated colon in duration expression");
            }
            ':' => {
                self.seen_colon = true;
                if !self.seen_number {
                    return self.error_behind("unexpected colon before duration in duration expression");
                }
                Kind::Colon
            }
            '(' => self.open_paren(),
            ')' => self.close_paren()?,
            // Between what `max_of` is given.
            ',' if self.seen_number => Kind::Comma,
            '+' | '-' | '*' | '/' | '%' | '^' => arithmetic(c),
            '0'..='9' => self.first_number()?,
            '.' if self.peek().is_some_and(|c| c.is_ascii_digit()) => self.first_number()?,
            c => {
                let Some(kind) = is_letter(c).then(|| self.duration_word()).flatten() else {
                    let text = format!("unexpected character in duration expression: {}", quoted_char(c));
                    return Err(self.error(text));
                };
                self.seen_number = true;
                kind
            }
        })
    }

    fn first_number(&mut self) -> Result<Kind> {
        self.in_duration = false;
        self.seen_number = true;
        self.number()
    }

    fn inside_braces(&mut self) -> Result<Kind> {
        let Some(c) = self.bump() else {
            return Err(self.error("unexpected end of input inside braces"));
        };
        Ok(match c {
            ',' => Kind::Comma,
            '"' | '\'' | '`' => self.string(c)?,
            '=' if self.accept(|c| c == '~') => Kind::Match,
            '=' => Kind::Assign,
            '!' => match self.bump() {
                Some('~') => Kind::NotMatch,
                Some('=') => Kind::Op(BinaryOp::NotEqual),
                other => return Err(self.unexpected_after("after '!' inside braces", other)),
            },
            '{' => return Err(self.error("unexpected left brace '{'")),
            '}' => {
                self.in_braces = false;
                Kind::RightBrace
            }
            c if is_letter(c) => {
                self.accept_all(is_word);
                Kind::Identifier
            }
            c => return Err(self.error(format!("unexpected character inside braces: {}", quoted_char(c)))),
        })
    }
}

fn arithmetic(c: char) -> Kind {
    Kind::Op(match c {
        '+' => BinaryOp::Add,
        '-' => BinaryOp::Sub,
        '*' => BinaryOp::Mul,
        '/' => BinaryOp::Div,
        '%' => BinaryOp::Mod,
        _ => BinaryOp::Pow,
    })
}
