//! Matchers: `name op value`, with `=`, `!=`, `=~`, `!~`.
//! In: name, operator, value. Out: [`Matcher`], which answers for one value or a label set.
//! Never: parses text (`alerts::matchers` and `promql` have their own grammars) or matches part of a value.
//! Start at [`Matcher::new`].

use super::labels::Labels;
use super::pattern::Pattern;
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MatchOp {
    Equal,
    NotEqual,
    Regex,
    NotRegex,
}

impl MatchOp {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matcher {
    pub name: String,
    pub op: MatchOp,
    pub value: String,
    /// Present for the two regex operators only.
    pattern: Option<Pattern>,
}

impl Matcher {
    /// Fails only when a regex does not compile; the text says why.
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Self, String> {
        let pattern = match op {
            MatchOp::Regex | MatchOp::NotRegex => Some(Pattern::anchored(value)?),
            MatchOp::Equal | MatchOp::NotEqual => None,
        };
        Ok(Self { name: name.to_owned(), op, value: value.to_owned(), pattern })
    }

    pub fn equal(name: &str, value: &str) -> Self {
        Self { name: name.to_owned(), op: MatchOp::Equal, value: value.to_owned(), pattern: None }
    }

    /// Whether `value` (empty when the label is missing) satisfies this matcher.
    pub fn matches_value(&self, value: &str) -> bool {
        let hit = match &self.pattern {
            Some(pattern) => pattern.is_match(value),
            None => value == self.value,
        };
        hit == matches!(self.op, MatchOp::Equal | MatchOp::Regex)
    }

    pub fn matches(&self, labels: &Labels) -> bool {
        self.matches_value(labels.value(&self.name))
    }

    /// Whether a missing label satisfies this matcher.
    pub fn matches_empty(&self) -> bool {
        self.matches_value("")
    }
}

/// Whether every matcher holds.
pub fn all_match(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|m| m.matches(labels))
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if super::labels::is_classic_label_name(&self.name) {
            write!(f, "{}{}{:?}", self.name, self.op.as_str(), self.value)
        } else {
            write!(f, "{:?}{}{:?}", self.name, self.op.as_str(), self.value)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_label_is_empty() {
        let labels = Labels::from_pairs([("a", "1")]);
        let check = |name, op, value, expect| {
            assert_eq!(Matcher::new(name, op, value).unwrap().matches(&labels), expect, "{name}{op:?}{value}");
        };
        check("a", MatchOp::Equal, "1", true);
        check("b", MatchOp::Equal, "", true);
        check("b", MatchOp::NotEqual, "", false);
        check("a", MatchOp::Regex, "1|2", true);
        check("a", MatchOp::NotRegex, ".+", false);
        check("b", MatchOp::NotRegex, ".+", true);
    }
}
