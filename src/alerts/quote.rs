//! Quoted text as Alertmanager prints it in keys that are compared and stored.
//! In: label values. Out: a route key's matchers, a group key's labels.
//! Never: used for people's text.
//! Start at [`labels_text`].

use crate::model::Labels;
use crate::model::quote::go_quoted;

/// The value of a matcher in a route key: only backslash, line feed and quote are escaped.
pub fn matcher_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' => out.push_str("\\\""),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// A label set in a group key: `{a="b", c="d"}`.
pub fn labels_text(out: &mut String, labels: &Labels) {
    out.push('{');
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        out.push_str(name);
        out.push('=');
        go_quoted(out, value);
    }
    out.push('}');
}
