//! Globs: `rules/*.yml` as Go's `filepath.Glob` reads it, in every segment of the path.
//! In: a pattern. Out: the paths that exist and match, sorted.
//! Never: follows `**`, or fails on a folder that cannot be read (it holds no match then).
//! Start at [`expand`].

use std::path::{Component, Path, PathBuf};

/// How many files one pattern may name.
pub const MATCHES_MAX: usize = 10_000;

/// Whether `text` is a pattern rather than the name of one file.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// The files that `pattern` names.
pub fn expand(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let text = part.as_os_str().to_string_lossy();
        if matches!(part, Component::Normal(_)) && is_pattern(&text) {
            found = found.iter().flat_map(|dir| matches_in(dir, &text)).take(MATCHES_MAX).collect();
        } else {
            for path in &mut found {
                path.push(part);
            }
        }
    }
    found.retain(|path| path.exists());
    found.sort();
    found
}

fn matches_in(dir: &Path, pattern: &str) -> Vec<PathBuf> {
    let here = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let Ok(entries) = std::fs::read_dir(here) else { return Vec::new() };
    let pattern: Vec<char> = pattern.chars().collect();
    entries
        .flatten()
        .map(|entry| entry.file_name())
        .filter(|name| matches(&pattern, &name.to_string_lossy().chars().collect::<Vec<_>>()))
        .map(|name| dir.join(name))
        .collect()
}

/// `*` any run, `?` one, `[a-z]` or `[^a-z]` a class, `\` the next one itself.
fn matches(pattern: &[char], name: &[char]) -> bool {
    match pattern {
        [] => name.is_empty(),
        ['*', rest @ ..] => (0..=name.len()).any(|skip| matches(rest, &name[skip..])),
        ['?', rest @ ..] => !name.is_empty() && matches(rest, &name[1..]),
        ['[', rest @ ..] => {
            let Some(end) = rest.iter().skip(1).position(|c| *c == ']').map(|i| i + 1) else { return false };
            let [first, tail @ ..] = name else { return false };
            let (class, negated) = match &rest[..end] {
                ['^', class @ ..] => (class, true),
                class => (class, false),
            };
            in_class(class, *first) != negated && matches(&rest[end + 1..], tail)
        }
        ['\\', c, rest @ ..] | [c, rest @ ..] => name.first() == Some(c) && matches(rest, &name[1..]),
    }
}

fn in_class(class: &[char], c: char) -> bool {
    match class {
        [from, '-', to, rest @ ..] => (*from..=*to).contains(&c) || in_class(rest, c),
        [one, rest @ ..] => *one == c || in_class(rest, c),
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        let check = |pattern: &str, name: &str, expect: bool| {
            let (p, n): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
            assert_eq!(matches(&p, &n), expect, "{pattern} on {name}");
        };
        check("*.yml", "a.yml", true);
        check("*.yml", "a.yaml", false);
        check("a?[0-9].yml", "ab7.yml", true);
        check("a?[^0-9].yml", "ab7.yml", false);
        check("*", "", true);
        check(r"\*.yml", "*.yml", true);
        check("[", "[", false);
    }

    #[test]
    fn files_are_found_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.yml", "a.yml", "c.txt"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let names = |pattern: &str| -> Vec<String> {
            let found = expand(&dir.path().join(pattern));
            found.iter().map(|p| p.file_name().unwrap().to_string_lossy().into_owned()).collect()
        };
        assert_eq!(names("*.yml"), ["a.yml", "b.yml"]);
        assert_eq!(names("c.txt"), ["c.txt"]);
        assert!(names("d/*.yml").is_empty());
        assert!(names("missing.yml").is_empty());
    }
}
