//! Files that a configuration names: opened when it is taken into use, read when they are needed at once.
//! In: what was noted while the configuration was read. Out: a mistake for each file that cannot be read.
//! Never: opens a file when the text alone is judged.
//! Start at [`check`].

use crate::yaml::{NamedFile, Notes, Position};
use std::path::Path;

/// Opens every file that the configuration names.
pub fn check(notes: &Notes) {
    for NamedFile { at, key, path } in notes.named_files() {
        let opened = std::fs::File::open(&path).and_then(|file| file.metadata());
        match opened {
            Err(error) => notes.unreadable(key, &path, at, &error.to_string()),
            Ok(meta) if meta.is_dir() => notes.unreadable(key, &path, at, "it is a folder"),
            Ok(_) => {}
        }
    }
}

/// The text of a file that is needed now; `None` (with a mistake) when it cannot be read.
/// Nothing is read, and nothing noted, when files are not to be looked at.
pub fn read(notes: &Notes, key: &'static str, path: &Path, at: Position) -> Option<String> {
    if !notes.looks_at_files() {
        return None;
    }
    std::fs::read_to_string(path).map_err(|error| notes.unreadable(key, path, at, &error.to_string())).ok()
}
