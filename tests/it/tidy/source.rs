//! Rust text as the tidy test reads it: without comments and strings, without test code, cut into functions and modules.
//! In: the text of a file. Out: places in it.
//! Never: parses Rust; braces, words and attributes are enough.
//! Start at [`mask`].

use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

static FIELD: LazyLock<Regex> = pattern!(r"^(pub(\([^)]*\))? )?\w+:[^:]");
static FUNCTION: LazyLock<Regex> = pattern!(r"\bfn (\w+)");
static MODULE: LazyLock<Regex> = pattern!(r"\bmod (\w+);");
static PATH: LazyLock<Regex> = pattern!(r"\b((?:crate|watchfire)::|(?:super::)+)");
static WORD: LazyLock<Regex> = pattern!(r"^\s*(\w+)");

/// The text with comments, strings and character literals blanked out: every byte keeps its place and its line.
pub fn mask(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at);
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    String::from_utf8(out).unwrap()
}

/// Where the comment or literal that begins at `at` ends; `at` itself when none begins.
fn literal_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let starts_word = at == 0 || !is_word(bytes[at - 1]);
    if rest.starts_with(b"//") {
        return at + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
    }
    if rest.starts_with(b"/*") {
        return block_comment_end(bytes, at);
    }
    if rest[0] == b'"' {
        return string_end(bytes, at + 1);
    }
    let prefix = rest.iter().take_while(|b| matches!(b, b'r' | b'b' | b'c')).count();
    let hashes = rest[prefix..].iter().take_while(|b| **b == b'#').count();
    if starts_word && prefix > 0 && rest[..prefix].contains(&b'r') && rest.get(prefix + hashes) == Some(&b'"') {
        let close: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
        let body = at + prefix + hashes + 1;
        let found = bytes[body..].windows(close.len()).position(|w| w == close);
        return found.map_or(bytes.len(), |n| body + n + close.len());
    }
    if rest[0] == b'\'' {
        return char_end(bytes, at);
    }
    // A non-ASCII character outside of literals is kept; its bytes are not looked at.
    at
}

fn block_comment_end(bytes: &[u8], from: usize) -> usize {
    let mut depth = 0;
    let mut at = from;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    at
}

fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// `'x'`, `'\n'`, `'ä'`; a lifetime is no literal.
fn char_end(bytes: &[u8], at: usize) -> usize {
    if bytes.get(at + 1) == Some(&b'\\') {
        return bytes[at + 3..].iter().position(|b| *b == b'\'').map_or(bytes.len(), |n| at + 3 + n + 1);
    }
    let text = std::str::from_utf8(&bytes[at + 1..]).unwrap_or_default();
    let Some(first) = text.chars().next() else { return at };
    let close = at + 1 + first.len_utf8();
    if bytes.get(close) == Some(&b'\'') { close + 1 } else { at }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Blanks a place out, line ends excepted.
pub fn blank(masked: &mut String, range: Range<usize>) {
    let kept: String = masked[range.clone()].bytes().map(|b| if b == b'\n' { '\n' } else { ' ' }).collect();
    masked.replace_range(range, &kept);
}

/// The masked text without anything that stands below `#[cfg(test)]`, wherever in the file it is.
pub fn without_tests(masked: &str) -> String {
    let mut code = masked.to_owned();
    for (start, _) in masked.match_indices("#[cfg(test)]") {
        let end = item_end(masked, start);
        blank(&mut code, start..end);
    }
    code
}

/// Where the item, statement or field below the attribute at `start` ends.
fn item_end(masked: &str, start: usize) -> usize {
    let bytes = masked.as_bytes();
    let mut at = start;
    // This attribute and those after it.
    while bytes.get(at) == Some(&b'#') {
        at = masked[at..].find('[').map_or(bytes.len(), |n| close_of(bytes, at + n) + 1);
        at += masked[at..].len() - masked[at..].trim_start().len();
    }
    let head = &masked[at..];
    let words = ["pub", "fn", "mod", "impl", "struct", "enum", "const", "static", "use", "async", "if", "let"];
    let is_field = !words.iter().any(|w| head.starts_with(w)) || field_of(head);
    while at < bytes.len() {
        match bytes[at] {
            b'{' => return close_of(bytes, at) + 1,
            b'(' | b'[' => at = close_of(bytes, at),
            b';' => return at + 1,
            b',' if is_field => return at + 1,
            b'}' => return at,
            _ => {}
        }
        at += 1;
    }
    at
}

/// `pub name: Type,`
fn field_of(head: &str) -> bool {
    FIELD.is_match(head)
}

/// Where the bracket that opens at `open` closes.
pub fn close_of(bytes: &[u8], open: usize) -> usize {
    let mut depth = 0_i32;
    for (at, byte) in bytes.iter().enumerate().skip(open) {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    bytes.len() - 1
}

pub fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

pub struct Function {
    pub name: String,
    pub line: usize,
    pub body: Range<usize>,
    /// Lines between the braces.
    pub lines: usize,
}

/// Every function that has a body.
pub fn functions(masked: &str) -> Vec<Function> {
    let bytes = masked.as_bytes();
    let mut found = Vec::new();
    for captures in FUNCTION.captures_iter(masked) {
        let name = captures.get(1).unwrap();
        let mut at = name.end();
        while at < bytes.len() && !matches!(bytes[at], b'{' | b';') {
            if matches!(bytes[at], b'(' | b'[') {
                at = close_of(bytes, at);
            }
            at += 1;
        }
        if bytes.get(at) != Some(&b'{') {
            continue;
        }
        let body = at..close_of(bytes, at);
        let lines = masked[body.clone()].matches('\n').count().saturating_sub(1);
        found.push(Function { name: name.as_str().to_owned(), line: line_of(masked, name.start()), body, lines });
    }
    found
}

/// A file of `src` as the tests look at it.
pub struct Source {
    /// Relative to the project.
    pub at: String,
    /// The first folder or file below `src`.
    pub room: String,
    pub text: String,
    /// The masked text without tests; empty when the whole file is one.
    pub code: String,
    /// How deep the file's module is: `src/lib.rs` 0, `src/api/mod.rs` 1, `src/api/v2/alerts.rs` 3.
    pub depth: usize,
}

/// Every file below `src`, and what is wrong with how they hang together.
pub fn read_all(root: &Path) -> (Vec<Source>, Vec<String>) {
    let mut files = Vec::new();
    rust_files(&root.join("src"), &mut files);
    let masked: BTreeMap<PathBuf, String> =
        files.iter().map(|f| (f.clone(), mask(&fs::read_to_string(f).unwrap()))).collect();
    let reached = reached(root, &masked);
    let mut sources = Vec::new();
    let mut lost = Vec::new();
    for file in files {
        let at = file.strip_prefix(root).unwrap().display().to_string();
        let code = match reached.get(&file) {
            Some(Reached::Code) => without_tests(&masked[&file]),
            Some(Reached::Tests) => String::new(),
            None => {
                lost.push(format!("{at}: no `mod` reaches it: declare or delete it"));
                continue;
            }
        };
        let below = file.strip_prefix(root.join("src")).unwrap();
        let room = below.iter().next().unwrap().to_string_lossy().trim_end_matches(".rs").to_owned();
        let is_root = matches!(room.as_str(), "lib" | "main");
        let stem = file.file_stem().unwrap().to_string_lossy().into_owned();
        let depth = if is_root { 0 } else { below.iter().count() - usize::from(stem == "mod") };
        sources.push(Source { at, room, text: fs::read_to_string(&file).unwrap(), code, depth });
    }
    (sources, lost)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reached {
    Code,
    /// Only through a `#[cfg(test)] mod`.
    Tests,
}

/// The files that `mod` lines lead to from `lib.rs` and `main.rs`.
fn reached(root: &Path, masked: &BTreeMap<PathBuf, String>) -> BTreeMap<PathBuf, Reached> {
    let mut found = BTreeMap::new();
    let mut open: Vec<(PathBuf, Reached)> =
        ["src/lib.rs", "src/main.rs"].iter().map(|f| (root.join(f), Reached::Code)).collect();
    while let Some((file, kind)) = open.pop() {
        let known = found.get(&file);
        if known == Some(&Reached::Code) || known == Some(&kind) {
            continue;
        }
        found.insert(file.clone(), kind);
        let text = fs::read_to_string(&file).unwrap();
        let code = without_tests(&masked[&file]);
        for (name, at) in modules(&masked[&file]) {
            let in_code = code[at..].starts_with("mod ");
            let kind = if in_code { kind } else { Reached::Tests };
            open.extend(module_files(&file, &text, &name, at).into_iter().filter(|f| f.exists()).map(|f| (f, kind)));
        }
    }
    found
}

/// (name, place of the word `mod`) of the modules that are files of their own.
fn modules(masked: &str) -> Vec<(String, usize)> {
    MODULE.captures_iter(masked).map(|c| (c[1].to_owned(), c.get(0).unwrap().start())).collect()
}

/// Where the module's file may be.
fn module_files(file: &Path, text: &str, name: &str, at: usize) -> Vec<PathBuf> {
    let folder = file.parent().unwrap();
    let before = text[..at].trim_end().rsplit('\n').next().unwrap_or_default().trim();
    if let Some(path) = before.strip_prefix("#[path = \"").and_then(|p| p.strip_suffix("\"]")) {
        return vec![folder.join(path)];
    }
    let stem = file.file_stem().unwrap().to_string_lossy();
    let folder = if matches!(&*stem, "mod" | "lib" | "main") { folder.to_owned() } else { folder.join(&*stem) };
    vec![folder.join(format!("{name}.rs")), folder.join(name).join("mod.rs")]
}

pub fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Rooms that the code imports, by `crate::room`, `crate::{room, …}`, `watchfire::room` or enough `super::`, with their lines.
pub fn imports(code: &str, depth: usize, rooms: &BTreeSet<&str>) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for hit in PATH.find_iter(code) {
        let climbs = hit.as_str().matches("super::").count();
        if climbs > 0 && climbs < depth {
            continue;
        }
        let rest = &code[hit.end()..];
        let line = line_of(code, hit.start());
        let names: Vec<String> = if rest.starts_with('{') {
            top_level(&code[hit.end() + 1..close_of(code.as_bytes(), hit.end())])
        } else {
            vec![rest.to_owned()]
        };
        found.extend(names.iter().filter_map(|n| WORD.captures(n)).map(|c| (line, c[1].to_owned())));
    }
    found.retain(|(_, name)| rooms.contains(name.as_str()));
    found
}

/// The parts of a list between commas, not of the lists inside it.
fn top_level(list: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => parts.push(String::new()),
            _ => parts.last_mut().unwrap().push(c),
        }
    }
    parts
}
