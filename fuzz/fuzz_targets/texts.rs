//! Any text as each language that users write: configuration, rule files, unit tests, PromQL, matchers, templates.
//! In: the fuzzer's bytes; the first one picks the language. Out: a crash, if there is one.
//! Never: reads the files that a text names.
//! Start at the target.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;
use watchfire::config::{self, Files};
use watchfire::notify::Templates;
use watchfire::rules::{Reading, unittest};
use watchfire::{alerts, promql};
use watchfire_fuzz::within;

const BASE_BYTES: usize = 8 << 20;
/// Per byte of the text: a tree of nodes with names and places, and a sentence for each mistake.
const FACTOR: usize = 4096;

/// What is read prints itself, and the print is read as the same.
fn expression(text: &str) {
    let Ok(expr) = promql::parse(text) else { return };
    let printed = expr.to_string();
    let again = promql::parse(&printed).unwrap_or_else(|e| panic!("{text:?} prints as {printed:?}, which is refused: {e}"));
    assert_eq!(again.to_string(), printed, "from {text:?}");
}

fn read(language: u8, text: &str) {
    match language % 6 {
        0 => drop(config::parse(text, "fuzz.yml", Files::Ignore).map(|loaded| loaded.config.print())),
        1 => drop(config::rule_file(Path::new("fuzz.yml"), text, Reading::default())),
        2 => drop(unittest::parse(text)),
        3 => expression(text),
        4 => drop(alerts::matchers::parse(text)),
        _ => drop(Templates::new([("fuzz.tmpl", text)])),
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((language, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    within("a text", BASE_BYTES + FACTOR * text.len(), || read(*language, text));
});
