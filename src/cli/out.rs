//! Out: the one place that writes to the terminal.
//! In: lines. Out: stdout for what was asked for, stderr for what went wrong.
//! Never: panics because the reader of a pipe went away.
//! Start at [`line`].

use std::fmt::Display;
use std::io::Write;

/// One line to stdout. A closed pipe is the reader's choice and no error.
pub fn line(text: impl Display) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// One line to stderr.
pub fn complain(text: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Pretty JSON to stdout.
pub fn json(value: &serde_json::Value) {
    line(serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string()));
}
