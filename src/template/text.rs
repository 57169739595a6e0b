//! Escapes and small string functions that several tables share.
//! In: text. Out: text.
//! Never: knows about templates.
//! Start at [`html_escape`].

/// Appends formatted text.
pub(super) fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing into a String cannot fail.
    let _infallible = std::fmt::Write::write_fmt(out, text);
}

/// html/template's table for text and quoted attributes.
pub fn html_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '\0' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Go's `template.JSEscapeString`.
pub fn js_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '\'' | '"' => {
                out.push('\\');
                out.push(c);
            }
            '<' | '>' | '&' | '=' => push(&mut out, format_args!("\\u{:04X}", c as u32)),
            c if c.is_control() || c == '\u{2028}' || c == '\u{2029}' => {
                push(&mut out, format_args!("\\u{:04X}", c as u32));
            }
            c => out.push(c),
        }
    }
    out
}

/// Percent-encodes all but unreserved characters; a space is `+` in a query (Go's `url.QueryEscape`).
pub fn percent_encode(text: &str, plus: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(b as char),
            b' ' if plus => out.push('+'),
            b => push(&mut out, format_args!("%{b:02X}")),
        }
    }
    out
}

/// Go's `url.QueryUnescape`.
pub fn percent_decode(text: &str) -> Result<String, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        match b {
            b'+' => out.push(b' '),
            b'%' => {
                let digits: Vec<u8> = bytes.by_ref().take(2).collect();
                let digits = String::from_utf8_lossy(&digits).into_owned();
                let byte = u8::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 2);
                out.push(byte.ok_or_else(|| format!("invalid URL escape \"%{digits}\""))?);
            }
            b => out.push(b),
        }
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// Upper-cases the first letter of each word, as Go's `cases.Title` does; `lower_rest` says what happens to the other letters.
/// Words are Unicode's (UAX 29): digits and `_` belong to them, and so do `'`, `’`, `.`, `:` between letters, and `,` `.` `'` `;`
/// between digits.
pub fn title(text: &str, lower_rest: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut before, mut has_letter) = (None::<char>, false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        let between = |is: fn(char) -> bool| before.is_some_and(is) && next.is_some_and(is);
        let joins = match c {
            '\'' | '’' | '.' => between(char::is_alphabetic) || between(char::is_numeric),
            ':' | '·' => between(char::is_alphabetic),
            ',' | ';' => between(char::is_numeric),
            _ => c.is_alphanumeric() || c == '_',
        };
        has_letter &= joins;
        match (c.is_alphabetic(), has_letter) {
            (true, false) => out.push(upper(c)),
            (true, true) if lower_rest => out.push(lower(c)),
            _ => out.push(c),
        }
        has_letter |= c.is_alphabetic();
        before = Some(c);
    }
    out
}

/// Go maps each character to one; those that would become several stay.
fn upper(c: char) -> char {
    let mut upper = c.to_uppercase();
    upper.next().filter(|_| upper.next().is_none()).unwrap_or(c)
}

fn lower(c: char) -> char {
    let mut lower = c.to_lowercase();
    lower.next().filter(|_| lower.next().is_none()).unwrap_or(c)
}

/// Go's `strings.ToUpper`.
pub fn to_upper(text: &str) -> String {
    text.chars().map(upper).collect()
}

/// Go's `strings.ToLower`.
pub fn to_lower(text: &str) -> String {
    text.chars().map(lower).collect()
}

/// JSON text of a string as Go writes it: `<`, `>`, `&` and the line separators are escaped.
pub fn json_string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => push(&mut out, format_args!("\\u{:04x}", c as u32)),
            c if (c as u32) < 0x20 => push(&mut out, format_args!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Go's `$1`, `${1}`, `$name` in a replacement become the regex crate's braces form, where `$1x` means group `1x` in both.
pub fn replace_all(pattern: &str, with: &str, text: &str) -> Result<String, String> {
    let regex = crate::model::pattern::unanchored(pattern)?;
    Ok(regex.replace_all(text, with).into_owned())
}
