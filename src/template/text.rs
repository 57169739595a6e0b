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

/// Upper-cases the first letter of each word; `rest` says what happens to the other letters.
pub fn title(text: &str, lower_rest: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        let letter = c.is_alphanumeric() || c == '_' || (inside && c == '\'');
        match (letter, inside) {
            (true, false) => out.extend(c.to_uppercase()),
            (true, true) if lower_rest => out.extend(c.to_lowercase()),
            _ => out.push(c),
        }
        inside = letter;
    }
    out
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
