//! Paths into a JSON answer: `checks.database.status`, `$.nodes[0].ok`.
//! In: text once, documents at every probe. Out: the value there, or nothing.
//! Never: searches or filters; a path names one place.
//! Start at [`JsonPath::parse`].

use serde_json::Value;
use std::fmt;
use std::str::FromStr;

/// A path that names one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPath {
    text: String,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Field(String),
    Item(usize),
}

/// What is wrong with a path; the text says it to people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("the path is empty")]
    Empty,
    #[error("a name is missing between dots")]
    Name,
    #[error("[…] must hold a whole number, such as [0]")]
    Index,
}

impl JsonPath {
    /// Names separated by dots, with `[n]` for items of lists; a leading `$` is allowed, as others write it.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let rest = text.strip_prefix('$').unwrap_or(text);
        let rest = rest.strip_prefix('.').unwrap_or(rest);
        if rest.is_empty() {
            return Err(PathError::Empty);
        }
        let mut steps = Vec::new();
        for part in rest.split('.') {
            let (name, mut indexes) = part.find('[').map_or((part, ""), |at| part.split_at(at));
            // `$[0]` begins with an item; everywhere else a name comes first.
            if name.is_empty() && (indexes.is_empty() || !steps.is_empty()) {
                return Err(PathError::Name);
            }
            if !name.is_empty() {
                steps.push(Step::Field(name.to_owned()));
            }
            while !indexes.is_empty() {
                let inside = indexes.strip_prefix('[').ok_or(PathError::Index)?;
                let (number, more) = inside.split_once(']').ok_or(PathError::Index)?;
                steps.push(Step::Item(number.parse().map_err(|_| PathError::Index)?));
                indexes = more;
            }
        }
        Ok(Self { text: text.to_owned(), steps })
    }

    /// The value at this place.
    pub fn find<'v>(&self, document: &'v Value) -> Option<&'v Value> {
        self.steps.iter().try_fold(document, |value, step| match step {
            Step::Field(name) => value.get(name),
            Step::Item(index) => value.get(index),
        })
    }
}

impl FromStr for JsonPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::parse(text)
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A single value as text, the way `expect` is compared with it.
pub fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A single value as a number: numbers, and 1 or 0 for true and false.
pub fn as_number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
        _ => None,
    }
}
