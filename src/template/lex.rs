//! Cuts a template into text and tokens, honouring trim markers and comments.
//! In: template text. Out: [`Piece`]s with positions in bytes.
//! Never: knows keywords; `parse` does.
//! Start at [`pieces`].

/// Literal text, or the tokens of one action.
pub(super) enum Piece<'a> {
    Text(&'a str),
    Action { at: usize, tokens: Vec<Token> },
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// `.name`
    Field(String),
    Dot,
    /// `$` or `$name`, the dollar included.
    Var(String),
    Ident(String),
    Str(String),
    Char(char),
    Int(i64),
    Float(f64),
    Pipe,
    Open,
    Close,
    Declare,
    Assign,
    Comma,
}

#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) at: usize,
    pub(super) end: usize,
    /// Whether white space stands before it; `.a .b` and `.a.b` differ.
    pub(super) spaced: bool,
}

/// Position and reason.
pub(super) type LexError = (usize, String);

const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// The whole template in pieces.
pub(super) fn pieces(source: &str) -> Result<Vec<Piece<'_>>, LexError> {
    let mut out = Vec::new();
    let (mut at, mut trim_next) = (0, false);
    while at <= source.len() {
        let open = source[at..].find("{{").map(|i| at + i);
        let mut text = &source[at..open.unwrap_or(source.len())];
        if trim_next {
            text = text.trim_start_matches(SPACE);
        }
        let Some(open) = open else {
            push_text(&mut out, text);
            break;
        };
        let mut body = open + 2;
        if has_trim_marker(&source[body..]) {
            text = text.trim_end_matches(SPACE);
            body += 2;
        }
        push_text(&mut out, text);
        if source[body..].starts_with("/*") {
            (at, trim_next) = comment(source, open, body)?;
            continue;
        }
        let mut lexer = Lexer { source, at: body };
        let tokens = lexer.action(open)?;
        at = lexer.at;
        trim_next = source[..at].ends_with("-}}") && lexer.trimmed();
        out.push(Piece::Action { at: open, tokens });
    }
    Ok(out)
}

fn push_text<'a>(out: &mut Vec<Piece<'a>>, text: &'a str) {
    if !text.is_empty() {
        out.push(Piece::Text(text));
    }
}

fn has_trim_marker(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next() == Some('-') && chars.next().is_some_and(|c| SPACE.contains(&c))
}

fn comment(source: &str, open: usize, body: usize) -> Result<(usize, bool), LexError> {
    let end = source[body..].find("*/").ok_or((open, "unclosed comment".to_owned()))? + body + 2;
    let rest = &source[end..];
    if rest.starts_with("}}") {
        return Ok((end + 2, false));
    }
    let space = rest.chars().next().filter(|c| SPACE.contains(c)).map_or(0, char::len_utf8);
    if space > 0 && rest[space..].starts_with("-}}") {
        return Ok((end + space + 3, true));
    }
    Err((open, "comment ends before closing delimiter".to_owned()))
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.source[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Whether the action that just ended had ` -}}` with its space.
    fn trimmed(&self) -> bool {
        self.source[..self.at - 3].ends_with(SPACE)
    }

    fn action(&mut self, open: usize) -> Result<Vec<Token>, LexError> {
        let mut tokens = Vec::new();
        let mut depth = 0usize;
        loop {
            let before = self.at;
            self.at = self.source.len() - self.rest().trim_start_matches(SPACE).len();
            let spaced = self.at > before || tokens.is_empty();
            let rest = self.rest();
            if rest.starts_with("}}") || (spaced && rest.starts_with("-}}")) {
                if depth > 0 {
                    return Err((self.at, "unclosed left paren".to_owned()));
                }
                self.at += if rest.starts_with('-') { 3 } else { 2 };
                return Ok(tokens);
            }
            let at = self.at;
            let kind = self.token().map_err(|reason| {
                let reason = if reason.is_empty() { "unclosed action".to_owned() } else { reason };
                (if reason == "unclosed action" { open } else { at }, reason)
            })?;
            match kind {
                Kind::Open => depth += 1,
                Kind::Close if depth == 0 => return Err((at, "unexpected right paren".to_owned())),
                Kind::Close => depth -= 1,
                _ => {}
            }
            tokens.push(Token { kind, at, end: self.at, spaced });
        }
    }

    /// One token; an empty reason stands for the end of the text.
    fn token(&mut self) -> Result<Kind, String> {
        let Some(c) = self.peek() else { return Err(String::new()) };
        let simple = match c {
            '|' => Some(Kind::Pipe),
            '(' => Some(Kind::Open),
            ')' => Some(Kind::Close),
            ',' => Some(Kind::Comma),
            '=' => Some(Kind::Assign),
            _ => None,
        };
        if let Some(kind) = simple {
            self.at += 1;
            return Ok(kind);
        }
        match c {
            ':' if self.rest().starts_with(":=") => {
                self.at += 2;
                Ok(Kind::Declare)
            }
            ':' => Err("expected :=".to_owned()),
            '"' => self.quoted('"').and_then(|raw| unquote(&raw)).map(Kind::Str),
            '`' => self.raw().map(Kind::Str),
            '\'' => self.character(),
            '$' => {
                self.at += 1;
                let name = self.word();
                Ok(Kind::Var(format!("${name}")))
            }
            '.' if !self.rest()[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                self.at += 1;
                let name = self.word();
                Ok(if name.is_empty() { Kind::Dot } else { Kind::Field(name) })
            }
            '+' | '-' | '.' | '0'..='9' => self.number(),
            c if c == '_' || c.is_alphabetic() => Ok(Kind::Ident(self.word())),
            c => Err(format!("unexpected {c:?} in command")),
        }
    }

    fn word(&mut self) -> String {
        let rest = self.rest();
        let end = rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len());
        let word = rest[..end].to_owned();
        self.at += end;
        word
    }

    /// The text between quotes, escapes still in it.
    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let unterminated =
            || if quote == '"' { "unterminated quoted string" } else { "unterminated character constant" }.to_owned();
        let mut escaped = false;
        for (i, c) in self.rest().char_indices().skip(1) {
            match c {
                '\n' => break,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                c if c == quote => {
                    let raw = self.rest()[1..i].to_owned();
                    self.at += i + 1;
                    return Ok(raw);
                }
                _ => {}
            }
        }
        Err(unterminated())
    }

    fn raw(&mut self) -> Result<String, String> {
        let end = self.rest()[1..].find('`').ok_or("unterminated raw quoted string")?;
        let raw = self.rest()[1..=end].replace('\r', "");
        self.at += end + 2;
        Ok(raw)
    }

    fn character(&mut self) -> Result<Kind, String> {
        let text = unquote(&self.quoted('\'')?)?;
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (Some(c), None) => Ok(Kind::Char(c)),
            _ => Err(format!("malformed character constant: '{text}'")),
        }
    }

    fn number(&mut self) -> Result<Kind, String> {
        let rest = self.rest();
        let mut end = 0;
        let mut before = ' ';
        let hex = rest.trim_start_matches(['+', '-']).get(..2).is_some_and(|p| p.eq_ignore_ascii_case("0x"));
        for c in rest.chars() {
            let sign = matches!(c, '+' | '-')
                && (end == 0 || (!hex && matches!(before, 'e' | 'E')) || matches!(before, 'p' | 'P'));
            if !sign && c != '.' && c != '_' && !c.is_alphanumeric() {
                break;
            }
            before = c;
            end += c.len_utf8();
        }
        let text = &rest[..end];
        let kind = super::scalar::parse_number(text).ok_or_else(|| format!("bad number syntax: {text:?}"))?;
        self.at += end;
        Ok(kind)
    }
}

/// Resolves Go's escapes.
pub(super) fn unquote(raw: &str) -> Result<String, String> {
    let bad = || format!("invalid syntax in quoted text: {raw:?}");
    let mut out: Vec<u8> = Vec::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let escape = chars.next().ok_or_else(bad)?;
        match escape {
            'a' => out.push(7),
            'b' => out.push(8),
            'f' => out.push(12),
            'n' => out.push(b'\n'),
            'r' => out.push(b'\r'),
            't' => out.push(b'\t'),
            'v' => out.push(11),
            '\\' | '"' | '\'' => out.push(escape as u8),
            'x' => out.push(hex(&mut chars, 2, None, 16).and_then(|n| u8::try_from(n).ok()).ok_or_else(bad)?),
            '0'..='7' => {
                let byte = hex(&mut chars, 2, Some(escape), 8).and_then(|n| u8::try_from(n).ok());
                out.push(byte.ok_or_else(bad)?);
            }
            'u' | 'U' => {
                let digits = if escape == 'u' { 4 } else { 8 };
                let c = hex(&mut chars, digits, None, 16).and_then(char::from_u32).ok_or_else(bad)?;
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            _ => return Err(bad()),
        }
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

fn hex(chars: &mut std::str::Chars<'_>, digits: usize, first: Option<char>, radix: u32) -> Option<u32> {
    let text: String = first.into_iter().chain(chars.by_ref().take(digits)).collect();
    u32::from_str_radix(&text, radix).ok()
}
