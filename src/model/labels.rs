//! A label set: sorted, unique names, one allocation.
//! In: pairs in any order. Out: [`Labels`], cheap to clone, compare and hash.
//! Never: holds an empty value (an empty value means "no such label", as in Prometheus) or a name twice.
//! Start at [`Labels::from_pairs`] and [`LabelsBuilder`].

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// The reserved name of the metric.
pub const METRIC_NAME: &str = "__name__";
/// The name of an alert.
pub const ALERT_NAME: &str = "alertname";

/// A sorted label set, packed as text: for each pair the name's length, the name, the value's length, the value.
/// A length is one `char` whose code is the length (surrogates stepped over), so the whole stays valid UTF-8,
/// needs one allocation, and equality is one comparison of bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Labels(Arc<str>);

/// Room for the text of a usual label set.
const PACKED_BYTES_GUESS: usize = 512;
/// The longest name or value that a label set can hold, in bytes (well above every limit at the doors).
pub const LENGTH_MAX: usize = 0x10_FFFF - 0x800;

fn length_char(len: usize) -> char {
    let len = len.min(LENGTH_MAX) as u32;
    let code = if len >= 0xD800 { len + 0x800 } else { len };
    char::from_u32(code).unwrap_or('\0')
}

fn char_length(c: char) -> usize {
    let code = c as usize;
    if code >= 0xE000 { code - 0x800 } else { code }
}

fn cut(text: &str) -> &str {
    if text.len() <= LENGTH_MAX {
        return text;
    }
    let mut end = LENGTH_MAX;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

impl Labels {
    pub fn empty() -> Self {
        Self(Arc::from(""))
    }

    /// Sorts; a later pair overrides an earlier one of the same name; empty values vanish.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let pairs: Vec<(N, V)> = pairs.into_iter().collect();
        Self::from_refs(pairs.iter().map(|(n, v)| (n.as_ref(), v.as_ref())).collect())
    }

    /// The same from borrowed pairs, without another list of them.
    pub fn from_refs(mut refs: Vec<(&str, &str)>) -> Self {
        refs.sort_by(|a, b| a.0.cmp(b.0));
        // `dedup` keeps the first of equals, and the last is wanted.
        refs.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                *earlier = *later;
            }
            same
        });
        refs.retain(|(_, value)| !value.is_empty());
        Self::pack(refs)
    }

    /// From pairs that are known to be sorted, unique and not empty; cheaper than [`Labels::from_pairs`].
    pub fn from_sorted<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self::pack(pairs)
    }

    fn pack<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        // Most sets are a dozen short pairs: one allocation here, and the exact one below.
        let mut text = String::with_capacity(PACKED_BYTES_GUESS);
        for (name, value) in pairs {
            for part in [cut(name), cut(value)] {
                text.push(length_char(part.len()));
                text.push_str(part);
            }
        }
        Self(Arc::from(text))
    }

    pub fn iter(&self) -> Iter<'_> {
        Iter { rest: &self.0 }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// The value, or `""` when there is no such label: Prometheus' reading in matchers and `equal`.
    pub fn value(&self, name: &str) -> &str {
        self.get(name).unwrap_or("")
    }

    /// The value of `__name__`, or `""`.
    pub fn metric_name(&self) -> &str {
        self.value(METRIC_NAME)
    }

    pub fn alert_name(&self) -> &str {
        self.value(ALERT_NAME)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Bytes held, for budgets.
    pub fn size_bytes(&self) -> usize {
        self.0.len()
    }

    /// Only the labels for which `keep` holds.
    #[must_use]
    pub fn retain(&self, mut keep: impl FnMut(&str, &str) -> bool) -> Self {
        Self::pack(self.iter().filter(|(n, v)| keep(n, v)))
    }

    /// This set with `name` set to `value` (removed when empty).
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut builder = LabelsBuilder::from(self);
        builder.set(name, value);
        builder.build()
    }

    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        self.retain(|n, _| n != name)
    }

    /// This set overlaid by `over`, whose values win.
    #[must_use]
    pub fn overlaid(&self, over: &Self) -> Self {
        let mut builder = LabelsBuilder::from(self);
        for (n, v) in over {
            builder.set(n, v);
        }
        builder.build()
    }

    /// The pairs that both sets hold with equal values.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        self.retain(|n, v| other.get(n) == Some(v))
    }
}

/// Pairs in byte order of their names.
#[derive(Clone)]
pub struct Iter<'a> {
    rest: &'a str,
}

impl<'a> Iter<'a> {
    fn part(&mut self) -> Option<&'a str> {
        let first = *self.rest.as_bytes().first()?;
        let (start, end) = if first.is_ascii() {
            // Nearly all lengths are one byte.
            (1, 1 + usize::from(first))
        } else {
            let c = self.rest.chars().next()?;
            (c.len_utf8(), c.len_utf8() + char_length(c))
        };
        let (part, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        part.get(start..)
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a str);
    fn next(&mut self) -> Option<Self::Item> {
        Some((self.part()?, self.part()?))
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a str, &'a str);
    type IntoIter = Iter<'a>;
    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self::empty()
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Labels {
    /// `{a="b", c="d"}`, values quoted; the metric name is a label like any other here.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (n, v)) in self.iter().enumerate() {
            let sep = if i == 0 { "" } else { ", " };
            write!(f, "{sep}{n}={v:?}")?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Collects changes to a label set. An empty value removes the label.
#[derive(Clone, Debug, Default)]
pub struct LabelsBuilder {
    pairs: Vec<(String, String)>,
}

impl LabelsBuilder {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        match self.pairs.iter_mut().find(|(n, _)| n == name) {
            Some(pair) => value.clone_into(&mut pair.1),
            None => self.pairs.push((name.to_owned(), value.to_owned())),
        }
        self
    }

    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.pairs.retain(|(n, _)| n != name);
        self
    }

    pub fn get(&self, name: &str) -> &str {
        self.pairs.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }

    pub fn build(&self) -> Labels {
        Labels::from_pairs(self.pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())))
    }
}

impl From<&Labels> for LabelsBuilder {
    fn from(labels: &Labels) -> Self {
        Self { pairs: labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect() }
    }
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`: the classic label name.
pub fn is_classic_label_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The classic metric name: a label name that may also hold colons.
pub fn is_classic_metric_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_' || b == b':')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_unique_and_without_empty_values() {
        let labels = Labels::from_pairs([("b", "2"), ("a", "1"), ("c", ""), ("a", "0")]);
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("a", "0"), ("b", "2")]);
        assert_eq!(labels.to_string(), r#"{a="0", b="2"}"#);
        assert_eq!((labels.value("a"), labels.value("z"), labels.len()), ("0", "", 2));
    }

    #[test]
    fn long_and_odd_text_survives() {
        for len in [0x7f, 0x80, 0x7ff, 0xd7ff, 0xd800, 0xe000, 0x1_0000, 300_000] {
            let value = "ü".repeat(len / 2) + if len % 2 == 1 { "x" } else { "" };
            let labels = Labels::from_pairs([("k", value.as_str()), ("z", "1")]);
            assert_eq!((labels.get("k"), labels.get("z")), (Some(value.as_str()), Some("1")), "{len}");
        }
    }

    #[test]
    fn sets_are_combined() {
        let a = Labels::from_pairs([("a", "1"), ("b", "2")]);
        let b = Labels::from_pairs([("b", "3"), ("c", "4")]);
        assert_eq!(a.overlaid(&b), Labels::from_pairs([("a", "1"), ("b", "3"), ("c", "4")]));
        assert_eq!(a.common(&b), Labels::empty());
        assert_eq!(a.with("b", ""), Labels::from_pairs([("a", "1")]));
        assert!(a < b);
    }
}
