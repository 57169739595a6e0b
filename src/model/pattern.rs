//! Regular expressions as the field writes them: Go's RE2 syntax, anchored at both ends.
//! In: a pattern from a matcher, a rule or a config. Out: a compiled, linear-time [`Pattern`] bounded in size.
//! Never: backtracks, or grows beyond [`SIZE_MAX_BYTES`].
//! Start at [`Pattern::anchored`].

mod go;

use regex::{Regex, RegexBuilder};
use std::fmt;

/// The most memory that one compiled pattern may take.
pub const SIZE_MAX_BYTES: usize = 4 << 20;

/// A pattern that must match the whole text.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    /// Compiles `^(?s:text)$`, Prometheus' reading of a matcher.
    pub fn anchored(text: &str) -> Result<Self, String> {
        let regex = compile(&format!("^(?s:{})$", go::translate(text)?))?;
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
    compile(&go::translate(text)?)
}

fn compile(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text).size_limit(SIZE_MAX_BYTES).build().map_err(|e| e.to_string())
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
