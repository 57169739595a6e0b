//! `http_config` and `tls_config`: how a destination is reached.
//! In: the mapping as prometheus/common defines it. Out: [`HttpConfig`].
//! Never: drops a setting that changes who can read a message; what is not supported is refused.
//! Start at [`http`].

use crate::model::{Secret, SecretSource};
use crate::yaml::{At, Fields, Notes};
use std::path::PathBuf;
use std::time::Duration;

/// `http_config`, the part of it that is supported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpConfig {
    pub basic_auth: Option<BasicAuth>,
    pub authorization: Option<Authorization>,
    pub tls: TlsConfig,
    /// Off unless written; when on, only within the same scheme, host and port, so that credentials stay there.
    pub follow_redirects: bool,
    pub proxy_url: Option<Secret>,
    /// Refuse destinations on loopback, private, link-local and metadata addresses. Off by default: destinations are
    /// written by whoever may edit the configuration, and most webhooks live in the private network.
    pub deny_private: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasicAuth {
    pub username: String,
    pub password: Option<SecretSource>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// `Bearer` unless written.
    pub scheme: String,
    pub credentials: SecretSource,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    pub ca_file: Option<PathBuf>,
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    pub insecure_skip_verify: bool,
}

/// Reads `http_config` of a receiver or of `global`.
pub fn http(f: Fields<'_>) -> HttpConfig {
    let basic_auth = f.fields("basic_auth").map(basic_auth);
    let mut authorization = f.fields("authorization").and_then(authorization);
    if let Some(token) = f.secret("bearer_token", "bearer_token_file") {
        if basic_auth.is_some() || authorization.is_some() {
            f.notes().mistake(
                token.at,
                "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured",
            );
        }
        authorization = Some(Authorization { scheme: "Bearer".to_owned(), credentials: token.value });
    }
    if basic_auth.is_some() && authorization.is_some() {
        f.notes().mistake(f.at(), "at most one of basic_auth, oauth2 & authorization must be configured");
    }
    let proxy = f.filled("proxy_url");
    f.unsupported(
        &["oauth2", "no_proxy", "proxy_from_environment", "proxy_connect_header", "http_headers"],
        "use authorization, basic_auth, tls_config or proxy_url",
    );
    let out = HttpConfig {
        basic_auth,
        authorization,
        tls: f.fields("tls_config").map(tls).unwrap_or_default(),
        follow_redirects: f.bool("follow_redirects").unwrap_or(false),
        proxy_url: proxy.map(|p| Secret::new(p.value)),
        deny_private: f.bool("deny_private").unwrap_or(false),
    };
    // HTTP/2 is negotiated in any case.
    f.bool("enable_http2");
    f.finish();
    out
}

fn basic_auth(f: Fields<'_>) -> BasicAuth {
    f.unsupported(&["username_file"], "write username");
    let auth = BasicAuth {
        username: f.text("username").map(|t| t.value.to_owned()).unwrap_or_default(),
        password: f.secret("password", "password_file").map(|s| s.value),
    };
    f.finish();
    auth
}

fn authorization(f: Fields<'_>) -> Option<Authorization> {
    let scheme = f.filled("type");
    if let Some(basic) = scheme.filter(|s| s.value.eq_ignore_ascii_case("basic")) {
        f.notes().mistake_with(
            basic.at,
            "authorization type cannot be set to \"basic\", use \"basic_auth\" instead",
            "write basic_auth: {username: …, password_file: …}",
        );
    }
    let credentials = f.secret("credentials", "credentials_file");
    if credentials.is_none() && scheme.is_none_or(|s| !s.value.eq_ignore_ascii_case("basic")) {
        f.notes().mistake_with(f.at(), "authorization has no credentials", "write credentials_file or credentials");
    }
    let out = credentials.map(|c| Authorization {
        scheme: scheme.map_or("Bearer", |s| s.value.trim()).to_owned(),
        credentials: c.value,
    });
    f.finish();
    out
}

/// Reads `tls_config`.
pub fn tls(f: Fields<'_>) -> TlsConfig {
    f.unsupported(
        &["ca", "cert", "key", "ca_ref", "cert_ref", "key_ref", "server_name", "min_version", "max_version"],
        "use ca_file, cert_file and key_file; TLS 1.2 and 1.3 are spoken and the name in the URL is verified",
    );
    let out = TlsConfig {
        ca_file: f.file("ca_file"),
        cert_file: f.file("cert_file"),
        key_file: f.file("key_file"),
        insecure_skip_verify: f.bool("insecure_skip_verify").unwrap_or(false),
    };
    if out.cert_file.is_some() != out.key_file.is_some() {
        f.notes().mistake_with(
            f.at(),
            "exactly one of key or key_file must be configured when a client certificate is configured",
            "write both cert_file and key_file, or neither",
        );
    }
    f.finish();
    out
}

/// Whether an inline URL is one that can be called: `http` or `https`, a host, and no template.
pub fn check_url(notes: &Notes, key: &str, source: &At<SecretSource>) {
    let SecretSource::Inline(secret) = &source.value else { return };
    if let Some((text, advice)) = url_mistake(secret.expose()) {
        notes.mistake_with(source.at, format!("{key}: {text}"), advice);
    }
}

/// What is wrong with a URL, without quoting it: URLs carry secrets.
pub fn url_mistake(url: &str) -> Option<(&'static str, &'static str)> {
    let http = "write a URL that begins with http:// or https://";
    if url.contains("{{") {
        return Some((
            "templates in a URL are not supported",
            "write the URL itself: messages may not choose where they go",
        ));
    }
    let Ok(parsed) = reqwest::Url::parse(url) else { return Some(("it is not a URL", http)) };
    if !matches!(parsed.scheme(), "http" | "https") {
        return Some(("unsupported scheme for URL", http));
    }
    match parsed.host_str() {
        Some(host) if !host.is_empty() => None,
        _ => Some(("missing host for URL", http)),
    }
}

/// A URL that may carry a key.
pub fn url(f: &Fields<'_>, key: &'static str) -> Option<Secret> {
    let text = f.filled(key)?;
    let source = At { value: SecretSource::inline(text.value), at: text.at };
    check_url(f.notes(), key, &source);
    Some(Secret::new(text.value))
}

/// `timeout` of one attempt; zero is the channel's own.
pub fn timeout(f: &Fields<'_>) -> Option<Duration> {
    f.duration("timeout").map(|d| d.value).filter(|d| !d.is_zero())
}
