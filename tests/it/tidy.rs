//! Tidy: rules of the house that a test keeps, so that nobody has to remember them.
//! In: the source text. Out: one failure that lists every breach with what to do instead.
//! Never: parses Rust; lines and words are enough.
//! Start at [`FLOORS`] and [`BANNED`].

use std::fs;
use std::path::{Path, PathBuf};

/// Each room's floor. A room imports from lower floors only; the pairs in [`SIBLINGS`] are the named exceptions.
const FLOORS: &[(&str, u8)] = &[
    ("model", 0),
    ("series", 1),
    ("template", 1),
    ("yaml", 1),
    ("promql", 2),
    ("alerts", 2),
    ("incidents", 2),
    ("escalation", 2),
    ("rules", 3),
    ("engine", 3),
    ("wire", 4),
    ("wal", 4),
    ("store", 4),
    ("notify", 4),
    ("telemetry", 4),
    ("probes", 4),
    ("clock", 4),
    ("inbox", 4),
    ("ingest", 4),
    ("config", 5),
    ("api", 5),
    ("ui", 5),
    ("loops", 5),
    ("app", 6),
    ("cli", 7),
    ("main", 7),
    ("lib", 8),
];

/// (importer, imported): neighbours on one floor that may meet, each with its reason in ARCHITECTURE.md ("Neighbours").
const SIBLINGS: &[(&str, &str)] = &[("ui", "api"), ("ingest", "wire"), ("ingest", "wal"), ("ingest", "clock")];

/// Rooms of the functional core: time, chance and IO come in as arguments.
const CORE: &[&str] =
    &["model", "series", "template", "yaml", "promql", "alerts", "incidents", "escalation", "rules", "engine"];

/// The longest a file may be, tests included.
const LINES_MAX: usize = 800;

/// (text, rooms it is banned in or empty for all, rooms excused, what to use instead)
const BANNED: &[(&str, &[&str], &[&str], &str)] = &[
    ("SystemTime::now", &[], &["clock"], "take `now` as an argument, or ask `clock::Clock`"),
    ("Instant::now", CORE, &[], "take `now` as an argument"),
    ("Timestamp::now(", &[], &[], "take `now` as an argument, or ask `clock::Clock`"),
    ("Zoned::now(", &[], &[], "take `now` as an argument"),
    ("async fn", CORE, &[], "the core does not wait; put it into a shell room"),
    ("tokio::", CORE, &[], "the core does not wait; put it into a shell room"),
    ("tracing::", CORE, &[], "return what happened; the shell logs it"),
    ("std::fs", CORE, &[], "the core does no IO; pass the text in"),
    ("std::net::Tcp", CORE, &[], "the core does no IO"),
    ("std::net::Udp", CORE, &[], "the core does no IO"),
    (" rand::", CORE, &[], "pass the random number in"),
    ("derive(Serialize", CORE, &[], "wire shapes live in `api`, `wire`, `store`"),
    ("unbounded_channel", &[], &[], "a bounded channel with a named limit"),
    ("unsafe ", &[], &[], "safe code"),
    ("todo!(", &[], &[], "write it, or leave it out and say so"),
    ("unimplemented!(", &[], &[], "write it, or leave it out and say so"),
    ("dbg!(", &[], &[], "a tracing event"),
    ("println!(", &[], &["cli"], "`cli::out`, or a tracing event"),
    ("env::var(", &[], &["cli"], "a flag or the config file"),
    ("thread::sleep", &[], &[], "a due time, or tokio's paused clock in tests"),
    ("#[ignore", &[], &[], "a test that runs"),
];

fn source_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            source_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn room_of(file: &Path) -> String {
    let relative = file.strip_prefix(root().join("src")).unwrap();
    let first = relative.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn floor(room: &str) -> u8 {
    FLOORS.iter().find(|(r, _)| *r == room).unwrap_or_else(|| panic!("room {room} has no floor: add it to FLOORS")).1
}

/// Rooms named in `crate::room` or `watchfire::room` on this line.
fn imports(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        let word = |text: &str| text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
        let rest = &line[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            found.extend(list.split(',').map(|part| word(part.trim())).filter(|w| !w.is_empty()));
        } else {
            found.push(word(rest));
        }
    }
    found.retain(|name| FLOORS.iter().any(|(room, _)| room == name));
    found
}

fn breaches(file: &Path, text: &str) -> Vec<String> {
    let room = room_of(file);
    let at = file.strip_prefix(root()).unwrap().display().to_string();
    let mut found = Vec::new();
    if !text.starts_with("//!") {
        found.push(format!("{at}:1: opens without `//!`: say what it does, in/out, never, where to start"));
    }
    let lines = text.lines().count();
    if lines > LINES_MAX {
        found.push(format!("{at}: {lines} lines, at most {LINES_MAX}: split it by meaning"));
    }
    // Tests stand at the end of a file and may use what they like.
    let code = text.split("#[cfg(test)]").next().unwrap_or(text);
    let is_test_file = file.file_name().is_some_and(|n| n == "tests.rs");
    for (number, line) in code.lines().enumerate().filter(|_| !is_test_file) {
        let code = line.split("//").next().unwrap_or(line);
        for import in imports(code) {
            let allowed =
                import == room || floor(&import) < floor(&room) || SIBLINGS.contains(&(room.as_str(), import.as_str()));
            if !allowed {
                found.push(format!("{at}:{}: {room} imports {import}: imports go down only", number + 1));
            }
        }
        for (banned, rooms, excused, instead) in BANNED {
            let here = rooms.is_empty() || rooms.contains(&room.as_str());
            if here && !excused.contains(&room.as_str()) && code.contains(banned) {
                found.push(format!("{at}:{}: `{banned}` is banned here: {instead}", number + 1));
            }
        }
    }
    found
}

#[test]
fn the_house_is_in_order() {
    let mut files = Vec::new();
    source_files(&root().join("src"), &mut files);
    assert!(files.len() > 20, "the source was not found");
    let found: Vec<String> = files.iter().flat_map(|file| breaches(file, &fs::read_to_string(file).unwrap())).collect();
    assert!(found.is_empty(), "{} breaches:\n{}", found.len(), found.join("\n"));
}

#[test]
fn a_breach_is_seen() {
    let file = root().join("src/model/time.rs");
    let found = breaches(&file, "use crate::engine::Engine;\nlet t = SystemTime::now();\n");
    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn the_map_is_short_and_names_every_room() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    assert!(map.lines().count() <= 250, "ARCHITECTURE.md: at most 250 lines");
    for (room, _) in FLOORS.iter().filter(|(room, _)| *room != "lib") {
        assert!(map.contains(&format!("`{room}")), "ARCHITECTURE.md does not name `{room}`");
    }
}
