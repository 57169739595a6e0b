//! YAML with positions: every value knows the line and column it was written at, so that a mistake can be shown.
//! In: the text of a file. Out: a tree of [`Node`]s, or the one syntax mistake that kept it from being one.
//! Never: gives a plain scalar a type (`1s`, `007` and `yes` stay text until a field asks) or expands aliases without limit.
//! Start at [`parse`].

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use std::fmt;

/// The largest file that is read; a configuration is written by people.
pub const FILE_MAX_BYTES: usize = 4 << 20;

/// Line and column, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    pub line: u64,
    pub column: u64,
}

/// One value where it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub at: Position,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    /// `plain` scalars were written without quotes and may be read as a number or a boolean.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    /// In the order of the file; keys are unique.
    Map(Vec<(Key, Node)>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    pub at: Position,
    pub name: String,
}

impl Node {
    /// What it is, for sentences: "a list".
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Scalar { .. } => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// Reads the first document of `text`. An empty text is [`Value::Null`].
pub fn parse(text: &str) -> Result<Node, (Position, String)> {
    if text.len() > FILE_MAX_BYTES {
        return Err((
            Position { line: 1, column: 1 },
            format!("the file is larger than {FILE_MAX_BYTES} bytes; split it up"),
        ));
    }
    let options = serde_saphyr::options! { with_snippet: false };
    match serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options) {
        Ok(raw) => Ok(node(raw, text)),
        Err(error) => {
            let at = error.location().map_or(Position { line: 1, column: 1 }, position);
            Err((at, plain_message(&error.to_string())))
        }
    }
}

/// The library's sentence without the position that it appends: positions are printed in front, once.
fn plain_message(text: &str) -> String {
    let first = text.lines().next().unwrap_or(text);
    let first = first.split(" at line ").next().unwrap_or(first);
    let first = first.split("; use from_str_multiple").next().unwrap_or(first);
    let first = first.split(", set DuplicateKeyPolicy").next().unwrap_or(first);
    first.strip_prefix("error: ").unwrap_or(first).trim().to_owned()
}

fn position(at: serde_saphyr::Location) -> Position {
    Position { line: at.line().max(1), column: at.column().max(1) }
}

/// The tree as the library hands it over; numbers and booleans are read back from the source text.
enum Raw {
    Null,
    /// Quoted, block or plain text.
    Text(String),
    /// A plain scalar that looks like a number or a boolean; its own spelling is in the source.
    Typed,
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

fn node(raw: Spanned<Raw>, source: &str) -> Node {
    let at = position(raw.referenced);
    let written = || {
        let span = raw.defined.span();
        let start = usize::try_from(span.byte_offset()?).ok()?;
        let len = usize::try_from(span.byte_len()?).ok()?;
        source.get(start..start + len)
    };
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Typed => Value::Scalar { text: written().unwrap_or_default().trim().to_owned(), plain: true },
        Raw::Text(text) => {
            let plain = written().is_some_and(|w| w == text);
            Value::Scalar { text, plain }
        }
        Raw::List(items) => Value::List(items.into_iter().map(|item| node(item, source)).collect()),
        Raw::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(key, value)| (Key { at: position(key.referenced), name: key.value }, node(value, source)))
                .collect(),
        ),
    };
    Node { at, value }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Raw, E> {
        Ok(Raw::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prints a tree as `value@line:column`, compactly.
    fn show(node: &Node) -> String {
        let at = format!("{}:{}", node.at.line, node.at.column);
        match &node.value {
            Value::Null => format!("~@{at}"),
            Value::Scalar { text, plain: true } => format!("{text}@{at}"),
            Value::Scalar { text, plain: false } => format!("{text:?}@{at}"),
            Value::List(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" ")),
            Value::Map(entries) => {
                let text: Vec<String> = entries
                    .iter()
                    .map(|(k, v)| format!("{}@{}:{}={}", k.name, k.at.line, k.at.column, show(v)))
                    .collect();
                format!("{{{}}}", text.join(" "))
            }
        }
    }

    #[track_caller]
    fn check(text: &str, expect: &str) {
        let got = match parse(text) {
            Ok(node) => show(&node),
            Err((at, message)) => format!("{}:{}: {message}", at.line, at.column),
        };
        assert_eq!(got, expect, "{text}");
    }

    #[test]
    fn values_keep_their_spelling_and_place() {
        check(
            "a: 1\nb: [007, yes, 1.50, 1s, \"2\", ~]\n",
            "{a@1:1=1@1:4 b@2:1=[007@2:5 yes@2:10 1.50@2:15 1s@2:21 \"2\"@2:25 ~@2:30]}",
        );
        check("a:\n  b:\n", "{a@1:1={b@2:3=~@2:4}}");
        check("", "~@1:1");
        check("a: &x 5\nb: *x\n", "{a@1:1=5@1:7 b@2:1=5@2:4}");
        check("a: |\n  two\n  lines\n", "{a@1:1=\"two\\nlines\\n\"@2:3}");
        check("ünï: 5 # c\nb: 0x1F", "{ünï@1:1=5@1:6 b@2:1=0x1F@2:4}");
    }

    #[test]
    fn syntax_mistakes_have_a_place() {
        check("a: 1\na: 2\n", "2:1: duplicate mapping key: a");
        check("a: [1, 2\n", "1:4: unclosed bracket '['");
        check("a: b: c\n", "1:5: mapping values are not allowed in this context");
        check("a: *x\n", "1:4: alias references unknown anchor");
        check("a: 1\n---\nb: 2\n", "3:1: multiple YAML documents detected");
    }
}
