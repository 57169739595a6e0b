//! Matchers as the configuration writes them: `matchers` lists, and the older `match` and `match_re` mappings.
//! In: fields of a route, an inhibition rule or a correlation rule. Out: [`Matcher`]s.
//! Never: has a grammar of its own (that is `alerts::matchers`).
//! Start at [`list`].

use crate::alerts::matchers;
use crate::model::Matcher;
use crate::model::labels::is_classic_label_name;
use crate::yaml::Fields;
use crate::yaml::Value;

/// A list of matcher texts, each of which may hold several; one text alone is taken as a list of one.
pub fn list(f: &Fields<'_>, key: &'static str) -> Vec<Matcher> {
    let texts = match f.node(key).map(|n| &n.value) {
        Some(Value::Scalar { .. }) => f.text(key).into_iter().collect(),
        _ => f.texts(key).unwrap_or_default(),
    };
    let mut out = Vec::new();
    for text in texts {
        match matchers::parse_with_warning(text.value) {
            Ok(parsed) => {
                if let Some(warning) = parsed.warning {
                    f.notes().warn(text.at, warning, "quote the value, so that every version reads it alike");
                }
                out.extend(parsed.matchers);
            }
            Err(error) => f.notes().mistake_with(
                text.at,
                format!("{key}: {error}"),
                "write name=\"value\" with one of = != =~ !~; several are separated by commas",
            ),
        }
    }
    out
}

/// One text, which may hold several matchers.
pub fn parse(text: &str) -> Result<Vec<Matcher>, String> {
    matchers::parse(text).map_err(|error| error.to_string())
}

/// `match: {name: value}`.
pub fn equal(f: &Fields<'_>, key: &'static str) -> Vec<Matcher> {
    let mut out = Vec::new();
    for (name, value) in f.pairs(key) {
        if !is_classic_label_name(name.value) {
            f.notes().mistake(name.at, format!("invalid label name {:?}", name.value));
        }
        out.push(matchers::from_match(name.value, value.value));
    }
    out
}

/// `match_re: {name: pattern}`.
pub fn regex(f: &Fields<'_>, key: &'static str) -> Vec<Matcher> {
    let mut out = Vec::new();
    for (name, pattern) in f.pairs(key) {
        if !is_classic_label_name(name.value) {
            f.notes().mistake(name.at, format!("invalid label name {:?}", name.value));
        }
        if pattern.value.is_empty() {
            let text = format!("{key}: {} has no pattern", name.value);
            f.notes().mistake_with(name.at, text, "write a regular expression, which must match the whole value");
            continue;
        }
        match matchers::from_match_re(name.value, pattern.value) {
            Ok(matcher) => out.push(matcher),
            Err(error) => f.notes().mistake_with(
                pattern.at,
                format!("{key}: {:?}: {error}", pattern.value),
                "write it in RE2 syntax, without look-around and back-references",
            ),
        }
    }
    out
}
