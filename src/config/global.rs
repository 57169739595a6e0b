//! `global`: what every receiver inherits.
//! In: the mapping, or nothing. Out: [`Global`].
//! Never: fills in a receiver: each kind of integration reads its own keys.
//! Start at [`global`].

use crate::notify::{Defaults, KINDS, foreign};
use crate::yaml::{Fields, Node, Position, Value};
use std::time::Duration;

/// How long an alert posted without an end lives (Alertmanager's default).
pub const RESOLVE_TIMEOUT: Duration = Duration::from_mins(5);
/// What a file without `global` says in it.
static NOTHING: Node = Node { at: Position { line: 0, column: 0 }, value: Value::Null };

/// Checked `global`.
pub struct Global<'a> {
    pub resolve_timeout: Duration,
    pub defaults: Defaults<'a>,
}

/// Reads `global`; the caller finishes `defaults.global` when the receivers have read theirs.
pub fn global<'a>(root: &Fields<'a>) -> Option<Global<'a>> {
    let f = root.fields("global").or_else(|| Fields::open(root.notes(), "global", &NOTHING))?;
    for kind in &KINDS {
        (kind.read_global)(&f);
    }
    foreign::set_in_global(&f);
    Some(Global {
        resolve_timeout: f.positive_duration("resolve_timeout").map_or(RESOLVE_TIMEOUT, |d| d.value),
        defaults: Defaults::new(f),
    })
}
