//! Quoted text as Alertmanager prints it in keys that are compared and stored.
//! In: label values. Out: Go's `%q`, and the escaping of matchers.
//! Never: used for people's text.
//! Start at [`go_quoted`].

use crate::model::Labels;
use std::fmt::Write;

/// Go's `%q`: printable text as it is, control characters and quotes escaped.
pub fn go_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0b' => out.push_str("\\v"),
            '\x0c' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => _ = write!(out, "\\x{:02x}", c as u32),
            c if (c.is_control() || (c.is_whitespace() && c != ' ')) && (c as u32) < 0x1_0000 => {
                _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// The value of a matcher in a route key: only backslash, line feed and quote are escaped.
pub fn matcher_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' => out.push_str("\\\""),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// A label set in a group key: `{a="b", c="d"}`.
pub fn labels_text(out: &mut String, labels: &Labels) {
    out.push('{');
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        out.push_str(name);
        out.push('=');
        go_quoted(out, value);
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_as_go_does() {
        let check = |text: &str, expect: &str| {
            let mut out = String::new();
            go_quoted(&mut out, text);
            assert_eq!(out, expect);
        };
        check("a\"b\\c\n", r#""a\"b\\c\n""#);
        check("\u{1}\u{7f}\u{85}", r#""\x01\x7f\u0085""#);
        check("über 🙂 'x'", "\"über 🙂 'x'\"");
    }
}
