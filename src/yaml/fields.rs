//! Fields: a mapping of the file, read key by key with the type each key must have.
//! In: a [`Node`] and the name it goes by. Out: values with their place; what does not fit becomes a mistake and `None`.
//! Never: leaves a key unread without saying so ([`Fields::finish`] refuses unknown ones, with the nearest known name).
//! Start at [`Fields`].

use super::mistakes::Notes;
use super::tree::{Key, Node, Position, Value};
use crate::model::{SecretSource, duration};
use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Duration;

/// A value and where it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At<T> {
    pub value: T,
    pub at: Position,
}

/// One mapping while it is read.
pub struct Fields<'a> {
    notes: &'a Notes,
    /// The section, as sentences name it: `route`, `webhook_configs`.
    name: &'a str,
    at: Position,
    entries: &'a [(Key, Node)],
    /// Every key that was asked for: the known names.
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Fields<'a> {
    /// `None` (with a mistake) when `node` is no mapping; nothing at all counts as an empty one.
    pub fn open(notes: &'a Notes, name: &'a str, node: &'a Node) -> Option<Self> {
        let entries: &[_] = match &node.value {
            Value::Map(entries) => entries,
            Value::Null => &[],
            _ => {
                notes.mistake(node.at, format!("{name} must be a mapping of fields, not {}", node.kind()));
                return None;
            }
        };
        Some(Self { notes, name, at: node.at, entries, asked: RefCell::default() })
    }

    pub fn at(&self) -> Position {
        self.at
    }

    pub fn notes(&self) -> &'a Notes {
        self.notes
    }

    /// The value of `key`; `None` when it is missing or null.
    pub fn node(&self, key: &'static str) -> Option<&'a Node> {
        self.written(key).filter(|n| n.value != Value::Null)
    }

    /// The value of `key`, null too.
    pub fn written(&self, key: &'static str) -> Option<&'a Node> {
        self.asked.borrow_mut().push(key);
        self.entries.iter().find(|(k, _)| k.name == key).map(|(_, n)| n)
    }

    fn wrong(&self, node: &Node, key: &str, expected: &str) {
        let got = match &node.value {
            Value::Scalar { text, .. } if text.len() <= 40 && !is_secret_key(key) => format!("{text:?}"),
            _ => node.kind().to_owned(),
        };
        self.notes.mistake(node.at, format!("{key} must be {expected}, not {got}"));
    }

    fn scalar(&self, key: &'static str, expected: &str) -> Option<(&'a str, &'a Node)> {
        let node = self.node(key)?;
        if let Value::Scalar { text, .. } = &node.value {
            return Some((text, node));
        }
        self.wrong(node, key, expected);
        None
    }

    pub fn text(&self, key: &'static str) -> Option<At<&'a str>> {
        let (text, node) = self.scalar(key, "text")?;
        Some(At { value: text, at: node.at })
    }

    /// As [`Fields::text`], with the empty text read as "not written", as Alertmanager does.
    pub fn filled(&self, key: &'static str) -> Option<At<&'a str>> {
        self.text(key).filter(|t| !t.value.is_empty())
    }

    fn parsed<T>(&self, key: &'static str, expected: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<At<T>> {
        let (text, node) = self.scalar(key, expected)?;
        let value = parse(text);
        if value.is_none() {
            self.wrong(node, key, expected);
        }
        value.map(|value| At { value, at: node.at })
    }

    pub fn bool(&self, key: &'static str) -> Option<bool> {
        let parse = |text: &str| match text {
            "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
            "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
            _ => None,
        };
        self.parsed(key, "true or false", parse).map(|v| v.value)
    }

    /// A whole number from 0 to `max`.
    pub fn count(&self, key: &'static str, max: u64) -> Option<At<u64>> {
        let expected = format!("a whole number from 0 to {max}");
        self.parsed(key, &expected, |t| t.parse().ok().filter(|n| *n <= max))
    }

    pub fn duration(&self, key: &'static str) -> Option<At<Duration>> {
        self.parsed(key, "a duration such as 30s, 5m or 1h30m", duration::parse)
    }

    /// A duration that must not be zero.
    pub fn positive_duration(&self, key: &'static str) -> Option<At<Duration>> {
        let found = self.duration(key)?;
        if found.value.is_zero() {
            self.notes.mistake_with(found.at, format!("{key} cannot be zero"), "write a duration above 0s");
            return None;
        }
        Some(found)
    }

    /// A value written with a unit of bytes: `8MiB`, `64KiB`, `1GiB`, or a plain number of bytes.
    pub fn bytes(&self, key: &'static str) -> Option<At<u64>> {
        self.parsed(key, "a size such as 512KiB, 8MiB or 1GiB", parse_bytes)
    }

    pub fn fields(&self, key: &'static str) -> Option<Fields<'a>> {
        Fields::open(self.notes, key, self.node(key)?)
    }

    /// The items of a list; nothing when it is missing.
    pub fn list(&self, key: &'static str) -> &'a [Node] {
        match self.node(key).map(|n| (&n.value, n)) {
            None => &[],
            Some((Value::List(items), _)) => items,
            Some((_, node)) => {
                self.wrong(node, key, "a list");
                &[]
            }
        }
    }

    /// Each item of a list of mappings, opened.
    pub fn each(&self, key: &'static str) -> Vec<Fields<'a>> {
        self.list(key).iter().filter_map(|item| Fields::open(self.notes, key, item)).collect()
    }

    /// A list of single values; `None` when it is missing.
    pub fn texts(&self, key: &'static str) -> Option<Vec<At<&'a str>>> {
        self.node(key)?;
        Some(self.list(key).iter().filter_map(|item| self.item_text(key, item)).collect())
    }

    fn item_text(&self, key: &str, item: &'a Node) -> Option<At<&'a str>> {
        if let Value::Scalar { text, .. } = &item.value {
            return Some(At { value: text, at: item.at });
        }
        self.notes.mistake(item.at, format!("{key} must hold single values, not {}", item.kind()));
        None
    }

    /// A mapping of free names to single values, in the order of the file.
    pub fn pairs(&self, key: &'static str) -> Vec<(At<&'a str>, At<&'a str>)> {
        let Some(node) = self.node(key) else { return Vec::new() };
        let Value::Map(entries) = &node.value else {
            self.wrong(node, key, "a mapping of names to values");
            return Vec::new();
        };
        let mut pairs = Vec::new();
        for (name, value) in entries {
            let name_at = At { value: name.name.as_str(), at: name.at };
            match &value.value {
                Value::Null => pairs.push((name_at, At { value: "", at: value.at })),
                _ => pairs.extend(self.item_text(key, value).map(|v| (name_at, v))),
            }
        }
        pairs
    }

    /// A file by its path; it must be readable when the configuration is taken into use.
    pub fn file(&self, key: &'static str) -> Option<PathBuf> {
        let path = self.filled(key)?;
        Some(self.notes.named_file(key, path.value, path.at))
    }

    /// A secret, inline under `key` or in the file that `file_key` names; never both.
    pub fn secret(&self, key: &'static str, file_key: &'static str) -> Option<At<SecretSource>> {
        let inline = self.filled(key);
        let file = self.filled(file_key);
        if let (Some(inline), Some(_)) = (inline, file) {
            self.notes.mistake_with(
                inline.at,
                format!("at most one of {key} & {file_key} must be configured"),
                "keep the file and remove the inline secret",
            );
        }
        if let Some(file) = file {
            let path = self.notes.named_file(file_key, file.value, file.at);
            return Some(At { value: SecretSource::File(path), at: file.at });
        }
        inline.map(|t| At { value: SecretSource::inline(t.value), at: t.at })
    }

    /// Fields of Alertmanager that load but change nothing here; each that is written is warned about.
    pub fn unused(&self, keys: &[&'static str]) {
        for key in keys {
            if let Some(node) = self.node(key) {
                self.notes.warn(node.at, format!("{key} is not used"), "Watchfire reads this field and ignores it");
            }
        }
    }

    /// Fields of Alertmanager whose absence would change what is sent, or to whom: refused when written.
    pub fn unsupported(&self, keys: &[&'static str], advice: &str) {
        for key in keys {
            if let Some(node) = self.node(key) {
                self.notes.mistake_with(node.at, format!("{key} is not supported yet"), advice);
            }
        }
    }

    /// Refuses every key that was never asked for.
    pub fn finish(self) {
        let asked = self.asked.borrow();
        for (key, _) in self.entries {
            if asked.contains(&key.name.as_str()) {
                continue;
            }
            let text = format!("field {} not found in {}", key.name, self.name);
            let advice = if let Some(known) = nearest(&key.name, &asked) {
                format!("did you mean {known}?")
            } else {
                let mut known: Vec<&str> = asked.clone();
                known.sort_unstable();
                known.dedup();
                format!("known fields: {}", known.join(", "))
            };
            self.notes.mistake_with(key.at, text, advice);
        }
    }
}

/// Keys whose values are never quoted in a message.
pub fn is_secret_key(key: &str) -> bool {
    let plain_file = key.ends_with("_file");
    !plain_file
        && ["password", "secret", "token", "credentials", "api_key", "service_key", "routing_key", "url"]
            .iter()
            .any(|word| key.contains(word))
        && key != "external_url"
}

/// A size as a flag: see [`Fields::bytes`].
pub fn size(text: &str) -> Result<u64, String> {
    parse_bytes(text).filter(|n| *n > 0).ok_or_else(|| format!("{text:?} is not a size such as 512MiB or 2GiB"))
}

fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let unit: u64 = match text[digits..].trim() {
        "" | "B" => 1,
        "KB" | "KiB" => 1 << 10,
        "MB" | "MiB" => 1 << 20,
        "GB" | "GiB" => 1 << 30,
        "TB" | "TiB" => 1 << 40,
        _ => return None,
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(unit)
}

/// The known name that differs by at most two letters.
pub fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    known.iter().map(|k| (distance(name, k), *k)).filter(|(d, k)| *d <= 2 && *d < k.len()).min().map(|(_, k)| k)
}

/// Levenshtein distance; names are short.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let change = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
