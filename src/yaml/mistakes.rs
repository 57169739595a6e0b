//! Mistakes: everything that is wrong with a configuration, each with its place and what to do about it.
//! In: one call per mistake, in any order. Out: [`Mistakes`], sorted by place, and [`Warning`]s that do not keep it from loading.
//! Never: stops at the first one, or quotes a secret.
//! Start at [`Notes`].

use super::tree::Position;
use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};

/// How many mistakes are kept: nobody reads more, and a file of garbage has no end of them.
pub const MISTAKES_MAX: usize = 100;

/// One thing that is wrong. Prints as `file:line:column: text`, the advice on a line of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// As it was given; empty for text that came from no file.
    pub file: String,
    pub at: Position,
    /// What is wrong; Alertmanager's own sentence where it has one.
    pub text: String,
    /// What to do.
    pub advice: Option<String>,
}

impl Mistake {
    pub fn new(file: &str, at: Position, text: impl Into<String>) -> Self {
        Self { file: file.to_owned(), at, text: text.into(), advice: None }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}:", self.file)?;
        }
        if self.at.line > 0 {
            write!(f, "{}:{}:", self.at.line, self.at.column)?;
        }
        let space = if self.file.is_empty() && self.at.line == 0 { "" } else { " " };
        write!(f, "{space}{}", self.text)?;
        match &self.advice {
            Some(advice) => write!(f, "\n    {advice}"),
            None => Ok(()),
        }
    }
}

/// Something that loads but is probably not meant.
pub type Warning = Mistake;

/// All mistakes of one configuration, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, mistake) in self.0.iter().enumerate() {
            let newline = if i == 0 { "" } else { "\n" };
            write!(f, "{newline}{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// A file that the configuration names and that must be readable when it is taken into use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    pub at: Position,
    /// The field that names it.
    pub key: &'static str,
    pub path: PathBuf,
}

/// Where mistakes and warnings are gathered while a file is read.
#[derive(Debug)]
pub struct Notes {
    file: String,
    /// Relative paths start here: the folder of the configuration file.
    dir: PathBuf,
    files: RefCell<Vec<NamedFile>>,
    look_at_files: bool,
    mistakes: RefCell<Vec<Mistake>>,
    warnings: RefCell<Vec<Warning>>,
}

impl Notes {
    /// With `look_at_files`, files that the configuration names must be there and readable.
    pub fn new(file: &str, look_at_files: bool) -> Self {
        let dir = Path::new(file).parent().map(Path::to_owned).unwrap_or_default();
        Self {
            file: file.to_owned(),
            dir,
            look_at_files,
            files: RefCell::default(),
            mistakes: RefCell::default(),
            warnings: RefCell::default(),
        }
    }

    /// `text` as a path, from the folder of the configuration file when it is relative.
    pub fn path(&self, text: &str) -> PathBuf {
        self.dir.join(text)
    }

    /// Warnings about another file that this one names.
    pub fn add_warnings(&self, warnings: Vec<Warning>) {
        self.warnings.borrow_mut().extend(warnings);
    }

    /// As [`Notes::path`], and remembers that the file must be readable.
    pub fn named_file(&self, key: &'static str, text: &str, at: Position) -> PathBuf {
        let path = self.path(text);
        self.files.borrow_mut().push(NamedFile { at, key, path: path.clone() });
        path
    }

    /// The files that the configuration names, for whoever may open them.
    pub fn named_files(&self) -> Vec<NamedFile> {
        self.files.borrow().clone()
    }

    /// Whether files that the configuration names must be there and readable.
    pub fn looks_at_files(&self) -> bool {
        self.look_at_files
    }

    pub fn unreadable(&self, key: &str, path: &Path, at: Position, error: &str) {
        self.mistake_with(
            at,
            format!("cannot read {key} {}: {error}", path.display()),
            "write the path of a file that this user may read (relative paths start at the configuration file)",
        );
    }

    pub fn mistake(&self, at: Position, text: impl Into<String>) {
        self.push(&self.mistakes, at, text.into(), None);
    }

    /// A mistake with a sentence that says what to do.
    pub fn mistake_with(&self, at: Position, text: impl Into<String>, advice: impl Into<String>) {
        self.push(&self.mistakes, at, text.into(), Some(advice.into()));
    }

    pub fn warn(&self, at: Position, text: impl Into<String>, advice: impl Into<String>) {
        self.push(&self.warnings, at, text.into(), Some(advice.into()));
    }

    /// Mistakes of another file that this one names.
    pub fn add(&self, mistakes: Mistakes) {
        let mut list = self.mistakes.borrow_mut();
        let room = MISTAKES_MAX.saturating_sub(list.len());
        list.extend(mistakes.0.into_iter().take(room));
    }

    fn push(&self, list: &RefCell<Vec<Mistake>>, at: Position, text: String, advice: Option<String>) {
        let mut list = list.borrow_mut();
        let mistake = Mistake { file: self.file.clone(), at, text, advice };
        if list.len() < MISTAKES_MAX && !list.contains(&mistake) {
            list.push(mistake);
        }
    }

    pub fn is_clean(&self) -> bool {
        self.mistakes.borrow().is_empty()
    }

    /// The warnings when nothing is wrong, else all that is.
    pub fn into_result(self) -> Result<Vec<Warning>, Mistakes> {
        let mut mistakes = self.mistakes.into_inner();
        if mistakes.is_empty() {
            let mut warnings = self.warnings.into_inner();
            warnings.sort();
            return Ok(warnings);
        }
        mistakes.sort();
        Err(Mistakes(mistakes))
    }
}
