//! Who may come in: bearer tokens and basic auth, for every door.
//! In: the checked configuration and a request's headers. Out: yes with a name ([`Principal`]), or no.
//! Never: compares secrets in a time that depends on them, or says which part was wrong.
//! Start at [`Auth::check`].

use crate::model::secret::Secret;
use axum::http::{HeaderMap, header};
use base64::Engine as _;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// Who made a request, as far as the credentials say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// No credentials are asked for.
    Anyone,
    /// Whoever holds a bearer token: tokens have no names.
    Token,
    /// A user of basic authentication.
    User(Arc<str>),
}

impl Principal {
    /// What stands for a person where a request names none.
    pub fn name(&self) -> &str {
        match self {
            Self::Anyone => "api",
            Self::Token => "token",
            Self::User(name) => name,
        }
    }

    /// Who acts: the name in the request, else the principal's. A request is free to name another than the user that signed in
    /// (a chat bot acts for people), but then both are kept: the second value is that user.
    pub fn acts_as(&self, by: Option<&str>) -> (Arc<str>, Option<&str>) {
        let by = by.map(str::trim).filter(|by| !by.is_empty());
        let signed_in = match self {
            Self::User(name) if by.is_some_and(|by| by != &**name) => Some(&**name),
            Self::Anyone | Self::Token | Self::User(_) => None,
        };
        (by.unwrap_or(self.name()).into(), signed_in)
    }
}

/// Who may come in. Without tokens and users everybody may (the listener is then loopback, or `--insecure` was said).
#[derive(Default)]
pub struct Auth {
    tokens: Vec<[u8; 32]>,
    /// Name and the digest of `name:password`.
    users: Vec<(Arc<str>, [u8; 32])>,
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
            .map(|(name, password)| (Arc::from(name), digest(&format!("{name}:{}", password.expose()))));
        Self { tokens: tokens.into_iter().map(|t| digest(t.expose())).collect(), users: users.collect() }
    }

    pub fn is_open(&self) -> bool {
        self.tokens.is_empty() && self.users.is_empty()
    }

    /// Who may come in; every candidate is compared, whatever the first ones said.
    pub fn check(&self, headers: &HeaderMap) -> Option<Principal> {
        if self.is_open() {
            return Some(Principal::Anyone);
        }
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, rest) = value.split_once(' ')?;
        if scheme.eq_ignore_ascii_case("bearer") {
            return matching(self.tokens.iter(), rest.trim()).map(|_| Principal::Token);
        }
        if scheme.eq_ignore_ascii_case("basic") {
            let decoded = base64::engine::general_purpose::STANDARD.decode(rest.trim()).ok()?;
            let pair = String::from_utf8(decoded).ok()?;
            let number = matching(self.users.iter().map(|(_, digest)| digest), &pair)?;
            return self.users.get(number).map(|(name, _)| Principal::User(name.clone()));
        }
        None
    }
}

/// Which of the digests is that of `given`.
fn matching<'a>(candidates: impl Iterator<Item = &'a [u8; 32]>, given: &str) -> Option<usize> {
    let given = digest(given);
    let mut hit = Choice::from(0);
    let mut at = 0;
    for (number, known) in (0_u64..).zip(candidates) {
        let same = known.ct_eq(&given);
        at = u64::conditional_select(&at, &number, same);
        hit |= same;
    }
    bool::from(hit).then_some(at as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_users() {
        let secrets = ["t0ken", "other-t0ken", "p:w", "pw"].map(Secret::new);
        let auth = Auth::new([&secrets[0], &secrets[1]], [("ana", &secrets[2]), ("bob", &secrets[3])]);
        let check = |value: Option<&str>, expect: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            }
            assert_eq!(auth.check(&headers).as_ref().map(Principal::name), expect, "{value:?}");
        };
        check(None, None);
        check(Some("Bearer t0ken"), Some("token"));
        check(Some("bearer other-t0ken"), Some("token"));
        check(Some("Bearer other"), None);
        check(Some("Basic YW5hOnA6dw=="), Some("ana"));
        check(Some("Basic Ym9iOnB3"), Some("bob"));
        check(Some("Basic Ym9iOnA6dw=="), None); // bob with ana's password
        check(Some("Basic YW5hOng="), None);
        check(Some("Basic !"), None);
        check(Some("Digest x"), None);
        assert_eq!(Auth::default().check(&HeaderMap::new()), Some(Principal::Anyone));
    }

    #[test]
    fn a_request_may_name_somebody_and_the_user_is_kept() {
        let check = |principal: &Principal, by: Option<&str>, who: &str, signed_in: Option<&str>| {
            let (actor, user) = principal.acts_as(by);
            assert_eq!((&*actor, user), (who, signed_in), "{principal:?} {by:?}");
        };
        let ana = Principal::User("ana".into());
        check(&Principal::Anyone, None, "api", None);
        check(&Principal::Anyone, Some(" bob "), "bob", None);
        check(&Principal::Token, Some("  "), "token", None);
        check(&Principal::Token, Some("bob"), "bob", None);
        check(&ana, None, "ana", None);
        check(&ana, Some("ana"), "ana", None);
        check(&ana, Some("bob"), "bob", Some("ana"));
    }
}
