//! Regular expressions as the field writes them: Go's RE2 syntax, anchored at both ends.
//! In: a pattern from a matcher, a rule or a config. Out: a compiled, linear-time [`Pattern`] bounded in size.
//! Never: backtracks, or grows beyond [`SIZE_MAX_BYTES`].
//! Start at [`Pattern::anchored`].

use regex::{Regex, RegexBuilder};
use std::fmt;

/// The most memory that one compiled pattern may take.
pub const SIZE_MAX_BYTES: usize = 1 << 20;

/// A pattern that must match the whole text.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    /// Compiles `^(?s:text)$`, Prometheus' reading of a matcher.
    pub fn anchored(text: &str) -> Result<Self, String> {
        let regex = compile(&format!("^(?s:{})$", to_rust(text)))?;
        Ok(Self { text: text.to_owned(), regex })
    }

    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// For replacements (`label_replace`): the whole, anchored expression.
    pub fn regex(&self) -> &Regex {
        &self.regex
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

/// Compiles a Go pattern without anchors (template functions `match` and `reReplaceAll`).
pub fn unanchored(text: &str) -> Result<Regex, String> {
    compile(&to_rust(text))
}

fn compile(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text).size_limit(SIZE_MAX_BYTES).build().map_err(|e| e.to_string())
}

/// Go's `\d \w \s \b` are ASCII and Rust's are Unicode; Go has `\Q…\E` and `\z`, and reads `[[a]` and `&&` in classes as plain text.
fn to_rust(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut chars = text.chars().peekable();
    let mut in_class = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('Q') => {
                    let mut quoted = String::new();
                    while let Some(q) = chars.next() {
                        if q == '\\' && chars.peek() == Some(&'E') {
                            chars.next();
                            break;
                        }
                        quoted.push(q);
                    }
                    out.push_str(&regex::escape(&quoted));
                }
                Some(e) => out.push_str(&escape(e, in_class)),
                None => out.push('\\'),
            },
            '[' if in_class => {
                if chars.peek() == Some(&':') {
                    out.push('[');
                    // A POSIX class such as [:alpha:] passes through to its end.
                    for p in chars.by_ref() {
                        out.push(p);
                        if p == ']' {
                            break;
                        }
                    }
                } else {
                    out.push_str("\\[");
                }
            }
            '[' => {
                in_class = true;
                out.push('[');
                if chars.peek() == Some(&'^') {
                    chars.next();
                    out.push('^');
                }
                if chars.peek() == Some(&']') {
                    chars.next();
                    out.push_str("\\]");
                }
            }
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            '&' | '~' if in_class => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}

fn escape(c: char, in_class: bool) -> String {
    let set = match c {
        'd' | 'D' => "0-9",
        'w' | 'W' => "0-9A-Za-z_",
        's' | 'S' => "\\t\\n\\f\\r ",
        'b' => return "(?-u:\\b)".to_owned(),
        'B' => return "(?-u:\\B)".to_owned(),
        _ => return format!("\\{c}"),
    };
    match (c.is_ascii_uppercase(), in_class) {
        (false, true) => set.to_owned(),
        (false, false) => format!("[{set}]"),
        (true, _) => format!("[^{set}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, text: &str, expect: bool) {
        assert_eq!(Pattern::anchored(pattern).unwrap().is_match(text), expect, "{pattern} on {text:?}");
    }

    #[test]
    fn reads_as_go_does() {
        check("a|b", "ab", false);
        check("a.b", "a\nb", true);
        check(r"\d+", "٣", false);
        check(r"[\d_]+", "1_2", true);
        check(r"\Qa.b\E.*", "a.bc", true);
        check(r"\Qa.b\E", "axb", false);
        check("[[]", "[", true);
        check("[]a]+", "a]", true);
        check("[[:alpha:]]+", "abc", true);
        check("[^\\s]+", "a b", false);
        check(r"foo\.example", "foo.example", true);
        assert!(Pattern::anchored("(").is_err());
        assert!(Pattern::anchored("(((a{1000}){1000}){1000})").is_err());
    }
}
