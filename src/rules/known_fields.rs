//! Fields of a rule file that nobody knows, every one of them.
//! In: the file's text. Out: their names and places.
//! Never: looks at values; `file` reads those.
//! Start at [`unknown`].

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};
use std::fmt;

const FILE: &[&str] = &["groups"];
const GROUP: &[&str] = &["name", "interval", "query_offset", "limit", "labels", "rules"];
const RULE: &[&str] = &["record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations"];

/// The unknown fields of a document, in its order.
pub(super) fn unknown(text: &str) -> Result<Vec<(String, Location)>, serde_saphyr::Error> {
    let options = serde_saphyr::options! { with_snippet: false };
    let file: Fields = serde_saphyr::from_str_with_options(text, options)?;
    let mut found = Vec::new();
    file.not_in(FILE, &mut found);
    for group in file.items("groups") {
        group.not_in(GROUP, &mut found);
        for rule in group.items("rules") {
            rule.not_in(RULE, &mut found);
        }
    }
    Ok(found)
}

/// A document without its single values.
enum Fields {
    Map(Vec<(Spanned<String>, Self)>),
    List(Vec<Self>),
    Value,
}

impl Fields {
    fn not_in(&self, known: &[&str], found: &mut Vec<(String, Location)>) {
        let Self::Map(entries) = self else { return };
        let unknown = entries.iter().filter(|(key, _)| !known.contains(&key.value.as_str()));
        found.extend(unknown.map(|(key, _)| (key.value.clone(), key.referenced)));
    }

    fn items(&self, name: &str) -> &[Self] {
        let Self::Map(entries) = self else { return &[] };
        match entries.iter().find(|(key, _)| key.value == name) {
            Some((_, Self::List(items))) => items,
            _ => &[],
        }
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> Result<Fields, E> {
        Ok(Fields::Value)
    }

    fn visit_none<E>(self) -> Result<Fields, E> {
        Ok(Fields::Value)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Fields, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Fields, E> {
        Ok(Fields::Value)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Fields, E> {
        Ok(Fields::Value)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Fields, E> {
        Ok(Fields::Value)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Fields, E> {
        Ok(Fields::Value)
    }

    fn visit_str<E>(self, _: &str) -> Result<Fields, E> {
        Ok(Fields::Value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Fields, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Fields::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Fields::Map(entries))
    }
}
