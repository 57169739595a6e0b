//! Who may come in: bearer tokens and basic auth, for every door.
//! In: the checked configuration and a request's headers. Out: yes with a name, or no.
//! Never: compares secrets in a time that depends on them, or says which part was wrong.
//! Start at [`Auth::check`].

use crate::model::secret::Secret;
use axum::http::{HeaderMap, header};
use base64::Engine as _;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// Who may come in. Without tokens and users everybody may (the listener is then loopback, or `--insecure` was said).
#[derive(Default)]
pub struct Auth {
    tokens: Vec<[u8; 32]>,
    /// Name and the digest of `name:password`.
    users: Vec<(String, [u8; 32])>,
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

impl Auth {
    pub fn new<'a>(
        tokens: impl IntoIterator<Item = &'a Secret>,
        users: impl IntoIterator<Item = (&'a str, &'a Secret)>,
    ) -> Self {
        let users = users
            .into_iter()
            .map(|(name, password)| (name.to_owned(), digest(&format!("{name}:{}", password.expose()))));
        Self { tokens: tokens.into_iter().map(|t| digest(t.expose())).collect(), users: users.collect() }
    }

    pub fn is_open(&self) -> bool {
        self.tokens.is_empty() && self.users.is_empty()
    }

    /// Whether the request may come in; every candidate is compared, whatever the first ones said.
    pub fn check(&self, headers: &HeaderMap) -> bool {
        if self.is_open() {
            return true;
        }
        let Some(value) = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()) else { return false };
        let Some((scheme, rest)) = value.split_once(' ') else { return false };
        let matches = |candidates: &mut dyn Iterator<Item = &[u8; 32]>, given: &str| {
            let given = digest(given);
            candidates.fold(Choice::from(0), |hit, known| hit | known.ct_eq(&given)).into()
        };
        if scheme.eq_ignore_ascii_case("bearer") {
            return matches(&mut self.tokens.iter(), rest.trim());
        }
        if scheme.eq_ignore_ascii_case("basic") {
            let decoded = base64::engine::general_purpose::STANDARD.decode(rest.trim()).ok();
            let Some(pair) = decoded.and_then(|bytes| String::from_utf8(bytes).ok()) else { return false };
            return matches(&mut self.users.iter().map(|(_, digest)| digest), &pair);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: Option<&str>, expect: bool) {
        let (token, password) = (Secret::new("t0ken"), Secret::new("p:w"));
        let auth = Auth::new([&token], [("ana", &password)]);
        let mut headers = HeaderMap::new();
        if let Some(value) = value {
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        }
        assert_eq!(auth.check(&headers), expect, "{value:?}");
    }

    #[test]
    fn tokens_and_users() {
        check(None, false);
        check(Some("Bearer t0ken"), true);
        check(Some("bearer t0ken"), true);
        check(Some("Bearer other"), false);
        check(Some("Basic YW5hOnA6dw=="), true);
        check(Some("Basic YW5hOng="), false);
        check(Some("Basic !"), false);
        check(Some("Digest x"), false);
        assert!(Auth::default().check(&HeaderMap::new()));
    }
}
