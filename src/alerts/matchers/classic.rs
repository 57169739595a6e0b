//! The classic grammar: `name op value`, where the value runs to the end and its quotes are optional.
//! In: text. Out: matchers, or the error text that Alertmanager prints.
//! Never: accepts a name beyond `[a-zA-Z_:][a-zA-Z0-9_:]*`.
//! Start at [`parse_classic`].

use super::{MatcherError, build};
use crate::model::labels::is_classic_metric_name;
use crate::model::{MatchOp, Matcher};

/// Many matchers: braces off, then cut at the commas that are neither quoted nor escaped.
pub fn parse_classic(text: &str) -> Result<Vec<Matcher>, MatcherError> {
    let text = text.strip_prefix('{').unwrap_or(text);
    let text = text.strip_suffix('}').unwrap_or(text);
    let (mut matchers, mut start) = (Vec::new(), 0);
    let (mut quoted, mut escaped) = (false, false);
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '"' => quoted = !quoted,
            '\\' => escaped = true,
            ',' if !quoted => {
                matchers.push(parse_single(&text[start..i])?);
                start = i + 1;
            }
            _ => {}
        }
    }
    let last = text[start..].trim();
    if !last.is_empty() {
        matchers.push(parse_single(last)?);
    }
    Ok(matchers)
}

/// One matcher.
pub(super) fn parse_single(text: &str) -> Result<Matcher, MatcherError> {
    let bad = || MatcherError::Syntax(format!("bad matcher format: {text}"));
    let rest = text.trim_start_matches(is_re2_space);
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).unwrap_or(rest.len());
    let (name, rest) = rest.split_at(end);
    if !is_classic_metric_name(name) {
        return Err(bad());
    }
    let rest = rest.trim_start_matches(is_re2_space);
    let (op, len) = match rest.as_bytes() {
        [b'=', b'~', ..] => (MatchOp::Regex, 2),
        [b'=', ..] => (MatchOp::Equal, 1),
        [b'!', b'=', ..] => (MatchOp::NotEqual, 2),
        [b'!', b'~', ..] => (MatchOp::NotRegex, 2),
        _ => return Err(bad()),
    };
    let raw = rest[len..].trim_matches(is_re2_space);
    build(name, op, &unescape(raw)?)
}

/// `\s` of RE2.
fn is_re2_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\x0c' | '\r')
}

/// Takes the quotes off and reads `\n`, `\"` and `\\`; any other backslash stands for itself.
fn unescape(raw: &str) -> Result<String, MatcherError> {
    let stray = || MatcherError::Syntax(format!("matcher value contains unescaped double quote: {raw}"));
    let inner = raw.strip_prefix('"');
    let mut open_quote = inner.is_some();
    let text = inner.unwrap_or(raw);
    let mut value = String::with_capacity(text.len());
    let mut chars = text.char_indices();
    while let Some((i, c)) = chars.next() {
        let is_last = i + c.len_utf8() == text.len();
        match c {
            '\\' if !is_last => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, e @ ('"' | '\\'))) => value.push(e),
                Some((_, other)) => value.extend(['\\', other]),
                None => value.push('\\'),
            },
            '"' if open_quote && is_last => open_quote = false,
            '"' => return Err(stray()),
            c => value.push(c),
        }
    }
    if open_quote { Err(stray()) } else { Ok(value) }
}
