//! Secrets: text that must not be shown.
//! In: the text, from configuration or a file. Out: the text, only through [`Secret::expose`].
//! Never: shows itself; `Debug` prints `<secret>`, and there is no `Display` and no `Serialize`.
//! Start at [`Secret`].

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// A password, a token, or a URL that carries one.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that sends it. What is returned must not reach a log, an error or a page.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// A secret in the configuration itself, or a file that is read again at each send (so a rotated secret needs no reload).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    Inline(Secret),
    File(PathBuf),
}

impl SecretSource {
    pub fn inline(text: &str) -> Self {
        Self::Inline(Secret::new(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_show_it() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?}"), "<secret>");
        assert_eq!(secret.expose(), "hunter2");
    }
}
