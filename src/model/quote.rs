//! Quoted text as Go's `%q` and `strconv.Quote` print it: in keys that are compared and stored, and in templates.
//! In: text. Out: the same between double quotes, with escapes for what Go holds to be unprintable.
//! Never: used for JSON, whose escapes differ.
//! Start at [`go_quoted`].

use std::fmt::Write;

/// Go's `strconv.Quote`, as a string of its own.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    go_quoted(&mut out, text);
    out
}

/// Go's `strconv.Quote`, behind what `out` holds.
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
            c if is_printable(c) => out.push(c),
            // Writing to a string cannot fail.
            c if (c as u32) < 0x80 => _ = write!(out, "\\x{:02x}", c as u32),
            c if (c as u32) < 0x1_0000 => _ = write!(out, "\\u{:04x}", c as u32),
            c => _ = write!(out, "\\U{:08x}", c as u32),
        }
    }
    out.push('"');
}

/// Go's `unicode.IsPrint`, as far as it goes without tables: of white space only the ASCII blank, no control or format
/// characters, nothing from the private areas. Code points that no Unicode version has assigned yet count as printable.
fn is_printable(c: char) -> bool {
    match c {
        ' ' => true,
        c if c.is_control() || c.is_whitespace() => false,
        // Category Cf (Unicode 15).
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}' | '\u{891}' | '\u{8e2}' => {
            false
        }
        '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => false,
        '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' => false,
        '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}' | '\u{e0020}'..='\u{e007f}' => false,
        // Private use, and the last two of each plane, which are no characters.
        '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}' => false,
        c => c as u32 & 0xfffe != 0xfffe,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_as_go_does() {
        let check = |text: &str, expect: &str| assert_eq!(quote(text), expect);
        check("a\"b\\c\n", r#""a\"b\\c\n""#);
        check("\u{1}\u{7f}\u{85}", r#""\x01\x7f\u0085""#);
        check("über 🙂 'x'", "\"über 🙂 'x'\"");
        check("a\u{a0}b\u{200b}c\u{feff}", r#""a\u00a0b\u200bc\ufeff""#);
        check("\u{e000}\u{f0000}\u{ffff}", r#""\ue000\U000f0000\uffff""#);
    }
}
