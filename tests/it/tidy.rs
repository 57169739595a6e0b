//! Tidy: rules of the house that a test keeps, so that nobody has to remember them.
//! In: the source text. Out: one failure that lists every breach with what to do instead.
//! Never: parses Rust; lines and words are enough (`tidy/source.rs`).
//! Start at [`FLOORS`] and [`BANNED`].

/// A regular expression that is compiled once.
macro_rules! pattern {
    ($text:expr) => {
        std::sync::LazyLock::new(|| regex::Regex::new($text).unwrap())
    };
}

mod source;

use regex::Regex;
use source::{Source, functions, imports, line_of, mask, read_all, rust_files, without_tests};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

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
    ("main", 8),
    ("lib", 8),
];

/// (importer, imported): neighbours on one floor that may meet, each with its reason in ARCHITECTURE.md ("Neighbours").
const SIBLINGS: &[(&str, &str)] = &[("ui", "api"), ("ingest", "wire"), ("ingest", "wal"), ("ingest", "clock")];

/// Rooms of the functional core: time, chance and IO come in as arguments.
const CORE: &[&str] =
    &["model", "series", "template", "yaml", "promql", "alerts", "incidents", "escalation", "rules", "engine"];

/// The longest a file may be, tests included.
const LINES_MAX: usize = 800;

/// The longest the body of a function may be: what fits on a screen.
const FUNCTION_LINES_MAX: usize = 70;

/// (file, function, why it may be longer): tables of data and nothing else.
const LONG_FUNCTIONS: &[(&str, &str, &str)] = &[];

/// (file, public name, why it stands although nothing mentions it).
const UNMENTIONED: &[(&str, &str, &str)] = &[];

/// What of the core is stored and served as it is: typed events, versioned, and the words that they are made of.
const SERIALISED: &[&str] = &[
    "src/model/escalation.rs",
    "src/model/evidence.rs",
    "src/model/ids.rs",
    "src/model/incident.rs",
    "src/model/mute.rs",
    "src/model/time.rs",
    "src/model/timeline.rs",
];

/// Where the state of an incident may be written: the table of transitions, and the rows it is read back from.
const STATE_WRITERS: &[&str] = &["src/incidents/lifecycle.rs", "src/store/"];

/// (file, function): where an incident is made; its first state is written there.
const STATE_BEGINS: (&str, &str) = ("src/engine/membership.rs", "open_empty");

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

type Pattern = LazyLock<Regex>;

static TUPLE_ASSIGNMENT: Pattern = pattern!(r"(?m)^\s*\([^()\n]*,[^()\n]*\) = \(");
static TUPLE_PARAMETER: Pattern = pattern!(r"\bfn \w+[^;{]*?[(,]\s*\(\w+, \w+[^()]*\): \(");
static STATE_WRITE: Pattern =
    pattern!(r"\bstate\s*[:=]\s*(?:\w+::)*IncidentState::|\bincident\.state\s*=[^=]|&mut \w*incident\.state\b");
static SERIALIZE: Pattern = pattern!(r"\bSerialize\b");
static IMPORT: Pattern = pattern!(r"(?m)^\s*(pub(\([a-z]+\))? )?use [^;]*;");
static INLINED: Pattern = pattern!(r"\{+ ?(\w+)");
static PUBLIC_ITEM: Pattern =
    pattern!(r"\bpub(?:\([a-z]+\))? (?:async )?(?:const )?(?:fn|struct|enum|const|static|type|trait) (?:mut )?(\w+)");

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn floor(room: &str) -> u8 {
    FLOORS.iter().find(|(r, _)| *r == room).unwrap_or_else(|| panic!("room {room} has no floor: add it to FLOORS")).1
}

fn may_import(room: &str, import: &str) -> bool {
    import == room || floor(import) < floor(room) || SIBLINGS.contains(&(room, import))
}

fn breaches(source: &Source) -> Vec<String> {
    let Source { at, room, text, code, depth } = source;
    let mut found = Vec::new();
    if !text.starts_with("//!") {
        found.push(format!("{at}:1: opens without `//!`: say what it does, in/out, never, where to start"));
    }
    let lines = text.lines().count();
    if lines > LINES_MAX {
        found.push(format!("{at}: {lines} lines, at most {LINES_MAX}: split it by meaning"));
    }
    let rooms: BTreeSet<&str> = FLOORS.iter().map(|(room, _)| *room).collect();
    for (line, import) in imports(code, *depth, &rooms) {
        if !may_import(room, &import) {
            found.push(format!("{at}:{line}: {room} imports {import}: imports go down only"));
        }
    }
    for (banned, rooms, excused, instead) in BANNED {
        let here = rooms.is_empty() || rooms.contains(&room.as_str());
        if here && !excused.contains(&room.as_str()) {
            let hits = code.match_indices(banned).map(|(place, _)| line_of(code, place));
            found.extend(hits.map(|line| format!("{at}:{line}: `{banned}` is banned here: {instead}")));
        }
    }
    if CORE.contains(&room.as_str()) && !SERIALISED.contains(&at.as_str()) {
        let hits = SERIALIZE.find_iter(code).map(|hit| line_of(code, hit.start()));
        found.extend(hits.map(|line| format!("{at}:{line}: wire shapes live in `api`, `wire`, `store`, `notify`")));
    }
    found.extend(long_functions(source));
    found.extend(tuple_tricks(source));
    found.extend(state_writes(source));
    found
}

fn long_functions(source: &Source) -> Vec<String> {
    let excused = |name: &str| LONG_FUNCTIONS.iter().any(|(file, f, _)| *file == source.at && *f == name);
    let long = functions(&source.code).into_iter().filter(|f| f.lines > FUNCTION_LINES_MAX && !excused(&f.name));
    long.map(|f| {
        let (at, line, name, lines) = (&source.at, f.line, f.name, f.lines);
        format!("{at}:{line}: `{name}` has {lines} lines, at most {FUNCTION_LINES_MAX}: give its parts names")
    })
    .collect()
}

/// Tuples that only make several statements or arguments look like one.
fn tuple_tricks(source: &Source) -> Vec<String> {
    let Source { at, code, .. } = source;
    let tricks =
        [(&TUPLE_ASSIGNMENT, "assign one after the other"), (&TUPLE_PARAMETER, "name the pair, or pass two arguments")];
    let hits = |(pattern, instead): &(&Pattern, &str)| {
        let lines = pattern.find_iter(code).map(|hit| line_of(code, hit.end()));
        lines.map(|line| format!("{at}:{line}: a tuple in disguise: {instead}")).collect::<Vec<_>>()
    };
    tricks.iter().flat_map(hits).collect()
}

/// A state changes in `incidents::lifecycle` only; whoever reads it may match on it anywhere.
fn state_writes(source: &Source) -> Vec<String> {
    let Source { at, code, .. } = source;
    if STATE_WRITERS.iter().any(|allowed| at.starts_with(allowed)) {
        return Vec::new();
    }
    let (file, begin) = STATE_BEGINS;
    let begins =
        |place: usize| at == file && functions(code).iter().any(|f| f.name == begin && f.body.contains(&place));
    let hits = STATE_WRITE.find_iter(code).filter(|hit| !begins(hit.start()));
    hits.map(|hit| {
        format!("{at}:{}: the state is written outside of `incidents::lifecycle`", line_of(code, hit.start()))
    })
    .collect()
}

/// How often each word stands in the text, imports left out: naming an item in `use` is not using it.
fn count_words(text: &str, counts: &mut BTreeMap<String, usize>) {
    let masked = IMPORT.replace_all(&mask(text), " ").into_owned();
    let words = masked.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|w| !w.is_empty());
    // `format!("{NAME}")` and the pages' `{{ name }}` mention it too.
    let inlined = INLINED.captures_iter(text).map(|c| c.get(1).unwrap().as_str());
    for word in words.chain(inlined) {
        *counts.entry(word.to_owned()).or_default() += 1;
    }
}

/// Public items that are declared and never mentioned again, neither by code, tests, benches, fuzz targets nor pages.
fn unmentioned(sources: &[Source]) -> Vec<String> {
    let mut counts = BTreeMap::new();
    let mut others = Vec::new();
    for dir in ["src", "tests", "benches", "fuzz/src", "fuzz/fuzz_targets", "fuzz/examples", "examples"] {
        rust_files(&root().join(dir), &mut others);
    }
    for file in others {
        count_words(&fs::read_to_string(file).unwrap(), &mut counts);
    }
    for page in fs::read_dir(root().join("src/ui/templates")).into_iter().flatten() {
        count_words(&fs::read_to_string(page.unwrap().path()).unwrap(), &mut counts);
    }
    let mut found = Vec::new();
    for source in sources {
        for captures in PUBLIC_ITEM.captures_iter(&source.code) {
            let name = captures.get(1).unwrap();
            let excused = UNMENTIONED.iter().any(|(file, n, _)| *file == source.at && *n == name.as_str());
            if counts.get(name.as_str()).is_none_or(|n| *n <= 1) && !excused {
                let line = line_of(&source.code, name.start());
                found.push(format!("{}:{line}: nothing mentions `{}`: delete it", source.at, name.as_str()));
            }
        }
    }
    found
}

#[test]
fn the_house_is_in_order() {
    let (sources, mut found) = read_all(&root());
    assert!(sources.len() > 200, "the source was not found");
    found.extend(sources.iter().flat_map(breaches));
    found.extend(unmentioned(&sources));
    assert!(found.is_empty(), "{} breaches:\n{}", found.len(), found.join("\n"));
}

/// An exception that excuses nothing is a leftover.
#[test]
fn every_exception_is_needed() {
    let (sources, _) = read_all(&root());
    for (file, name, _) in LONG_FUNCTIONS {
        let source = sources.iter().find(|s| s.at == *file).unwrap_or_else(|| panic!("{file} is gone"));
        let needed = functions(&source.code).iter().any(|f| f.name == *name && f.lines > FUNCTION_LINES_MAX);
        assert!(needed, "{file}: `{name}` needs no exception any more");
    }
    for (file, name, _) in UNMENTIONED {
        assert!(sources.iter().any(|s| s.at == *file && s.code.contains(name)), "{file}: `{name}` is gone");
    }
    for (room, import) in SIBLINGS {
        let rooms = BTreeSet::from([*import]);
        let mut of_room = sources.iter().filter(|s| s.room == *room);
        assert!(of_room.any(|s| !imports(&s.code, s.depth, &rooms).is_empty()), "{room} imports no {import} any more");
    }
}

/// The breaches that are found in `text`, as a file of `model`.
fn found_in(text: &str) -> Vec<String> {
    let code = without_tests(&mask(text));
    breaches(&Source { at: "src/model/x.rs".into(), room: "model".into(), text: text.into(), code, depth: 2 })
}

#[test]
fn a_breach_is_seen() {
    let check = |text: &str, expect: &[&str]| {
        let found = found_in(&format!("//! Said.\n{text}"));
        assert_eq!(found.len(), expect.len(), "{text}\n{found:?}");
        for (found, expect) in found.iter().zip(expect) {
            assert!(found.contains(expect), "{text}\n{found}");
        }
    };
    check(
        "use crate::engine::Engine;\nlet t = SystemTime::now();\n",
        &["x.rs:2: model imports engine", "x.rs:3: `Sys"],
    );
    check("use crate::{model::{Labels, engine}, alerts};\n", &["imports alerts"]);
    check("use super::super::alerts;\nuse super::alerts;\n", &["x.rs:2: model imports alerts"]);
    check(
        "// SystemTime::now\nlet a = \"todo!(\"; let b = r#\"\"dbg!(\"#;\nlet c = '\"'; dbg!(c)\n",
        &["x.rs:4: `dbg!("],
    );
    // Code after a test module counts, what is in it does not.
    check("#[cfg(test)]\nmod tests {\n dbg!(1)\n}\nfn f() { todo!() }\n", &["x.rs:6: `todo!("]);
    check("struct S {\n #[cfg(test)]\n a: (dbg!(), u8),\n b: unsafe fn() }\n", &["x.rs:5: `unsafe "]);
    let body = "    let x = 1;\n".repeat(FUNCTION_LINES_MAX);
    check(&format!("fn long(\n    a: [u8; 2],\n) {{\n{body}}}\n"), &[]);
    check(&format!("fn long() {{\n    let y = \"{{\";\n{body}}}\n"), &["`long` has 71 lines"]);
    check("fn f(&mut self) {\n    (self.a, self.b) = (1, 2);\n}\n", &["a tuple in disguise"]);
    check("fn f(\n    a: u8,\n    (b, c): (u8, u8),\n) {}\n", &["a tuple in disguise"]);
    check("#[derive(Clone, Serialize)]\nstruct S;\n", &["wire shapes"]);
    check("incident.state = next;\nlet _ = incident.state == x;\n", &["x.rs:2: the state"]);
    check("Incident { state: IncidentState::Triggered }\n", &["the state"]);
    assert!(found_in("fn f() {}\n")[0].contains("opens without"));
}

#[test]
fn the_map_is_short_and_names_every_room() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    assert!(map.lines().count() <= 250, "ARCHITECTURE.md: at most 250 lines");
    for (room, _) in FLOORS.iter().filter(|(room, _)| *room != "lib") {
        assert!(map.contains(&format!("`{room}")), "ARCHITECTURE.md does not name `{room}`");
    }
}
