//! The HTTP of all channels: one client, short timeouts, no redirects, answers told apart.
//! In: a URL, headers, a body. Out: [`Answer`], or temporary/permanent as the caller must know.
//! Never: shows a URL or a credential in an error; follows a redirect to another host; reads a body without a limit.
//! Start at [`HttpDestination::post`].

mod guard;
mod settings;

pub use settings::{Authorization, BasicAuth, HttpConfig, TlsConfig, check_url, http, timeout, tls, url, url_mistake};

use super::NotifyError;
use crate::model::{Secret, SecretSource};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, ClientBuilder, StatusCode, Url, redirect};
use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A dead host must not hold a slot for long.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Of one attempt, connecting included, unless the integration sets its own.
pub const TOTAL_TIMEOUT: Duration = Duration::from_secs(10);
/// No integration may ask for more: deliver's own watchdog lies above it.
pub const TIMEOUT_MAX: Duration = Duration::from_mins(1);
/// Within one host only, and only when switched on.
const REDIRECTS_MAX: usize = 3;
pub const USER_AGENT: &str = concat!("Watchfire/", env!("CARGO_PKG_VERSION"));

/// So much of an answer is read: Slack returns the whole message it was sent.
const RESPONSE_BODY_BYTES_MAX: usize = 64 * 1024;
/// So much of an answer is kept in an error: it is stored and shown.
const ERROR_CHARS_MAX: usize = 1024;

/// What the destination answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: StatusCode,
    pub retry_after: Option<Duration>,
    /// At most [`RESPONSE_BODY_BYTES_MAX`], lossy.
    pub body: String,
}

/// One integration's way out.
pub(super) struct HttpDestination {
    client: Client,
    config: HttpConfig,
    timeout: Duration,
    /// How errors call it: `webhook`, `slack`, `pagerduty`.
    kind: &'static str,
}

impl HttpDestination {
    /// Fails with a sentence when TLS files or the proxy cannot be used.
    pub fn new(kind: &'static str, config: &HttpConfig, timeout: Option<Duration>) -> Result<Self, String> {
        let timeout = timeout.filter(|t| !t.is_zero()).unwrap_or(TOTAL_TIMEOUT).min(TIMEOUT_MAX);
        Ok(Self { client: client_for(config)?, config: config.clone(), timeout, kind })
    }

    /// Posts JSON. `secrets` are blotted out of whatever the destination says, beside the URL and our own credentials.
    /// An `Err` is final for this attempt; 2xx answers come back as `Ok`.
    pub async fn post(
        &self,
        url: &Secret,
        extra_headers: HeaderMap,
        body: Vec<u8>,
        secrets: &[&Secret],
    ) -> Result<Answer, NotifyError> {
        let parsed = Url::parse(url.expose())
            .ok()
            .filter(|u| matches!(u.scheme(), "http" | "https"))
            .ok_or_else(|| NotifyError::permanent(format!("{}: the url is not an http or https url", self.kind)))?;
        if self.config.deny_private && !guard::host_may_be_public(&parsed) {
            return Err(NotifyError::permanent(format!("{}: the destination is not a public address", self.kind)));
        }
        let (authorization, own_secret) = self.authorization().await?;
        let mut hidden: Vec<&Secret> = vec![url];
        hidden.extend(secrets);
        hidden.extend(own_secret.as_ref());
        hidden.extend(self.config.proxy_url.as_ref());
        let mut request = self
            .client
            .post(parsed)
            .timeout(self.timeout)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .headers(extra_headers)
            .body(body);
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        let response = request.send().await.map_err(|e| self.transport_error(e, &hidden))?;
        let answer = read_answer(response).await;
        self.judge(answer, &hidden)
    }

    async fn authorization(&self) -> Result<(Option<HeaderValue>, Option<Secret>), NotifyError> {
        let (text, secret) = if let Some(basic) = &self.config.basic_auth {
            let password = match &basic.password {
                Some(source) => source.read().await?,
                None => Secret::new(""),
            };
            let pair = format!("{}:{}", basic.username, password.expose());
            (format!("Basic {}", base64::Engine::encode(&base64::prelude::BASE64_STANDARD, pair)), password)
        } else if let Some(authorization) = &self.config.authorization {
            let credentials = authorization.credentials.read().await?;
            (format!("{} {}", authorization.scheme, credentials.expose()), credentials)
        } else {
            return Ok((None, None));
        };
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| NotifyError::permanent(format!("{}: credentials hold a control character", self.kind)))?;
        value.set_sensitive(true);
        Ok((Some(value), Some(secret)))
    }

    fn judge(&self, answer: Answer, hidden: &[&Secret]) -> Result<Answer, NotifyError> {
        let status = answer.status;
        if status.is_success() {
            return Ok(answer);
        }
        let mut reason = format!("{} answered {status}", self.kind);
        if status.is_redirection() {
            reason.push_str(" (redirects to another host are never followed)");
        }
        let said = redact(&answer.body, hidden);
        if !said.is_empty() {
            let _ = write!(reason, ": {said}");
        }
        let temporary = status.is_server_error()
            || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY].contains(&status);
        Err(if temporary {
            NotifyError::Temporary { reason, retry_after: answer.retry_after }
        } else {
            NotifyError::Permanent { reason }
        })
    }

    fn transport_error(&self, error: reqwest::Error, hidden: &[&Secret]) -> NotifyError {
        let error = error.without_url();
        let what = if error.is_timeout() {
            "no answer in time"
        } else if error.is_connect() {
            "cannot connect"
        } else {
            "the connection failed"
        };
        let mut cause: &dyn std::error::Error = &error;
        while let Some(next) = cause.source() {
            cause = next;
        }
        let reason = redact(&format!("{}: {what}: {cause}", self.kind), hidden);
        NotifyError::Temporary { reason, retry_after: None }
    }
}

/// Headers of our own making: names are constants, values that are not header-safe lose what is not.
pub(super) fn header(map: &mut HeaderMap, name: &'static str, value: &str) {
    let safe: String = value.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').collect();
    if let Ok(value) = HeaderValue::from_str(&safe) {
        map.insert(HeaderName::from_static(name), value);
    }
}

async fn read_answer(mut response: reqwest::Response) -> Answer {
    let status = response.status();
    let retry_after = retry_after(response.headers());
    let mut body = Vec::new();
    // A body that breaks off or never ends does not change what the status line said.
    while body.len() < RESPONSE_BODY_BYTES_MAX {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk[..chunk.len().min(RESPONSE_BODY_BYTES_MAX - body.len())]),
            Ok(None) | Err(_) => break,
        }
    }
    Answer { status, retry_after, body: String::from_utf8_lossy(&body).into_owned() }
}

/// Seconds, or an HTTP date measured against the answer's own `Date`, so that clocks need not agree.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(secs) = text.parse::<u64>() {
        return Some(Duration::from_secs(secs));
    }
    let date = |text: &str| jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp().as_second());
    let then = date(text)?;
    let now = date(headers.get(DATE)?.to_str().ok()?)?;
    Some(Duration::from_secs(then.saturating_sub(now).max(0) as u64))
}

/// Blots secrets out of text that others wrote, flattens control characters and cuts to a readable length.
pub(super) fn redact(text: &str, hidden: &[&Secret]) -> String {
    let mut text = text.to_owned();
    for secret in hidden {
        let mut parts = vec![secret.expose().to_owned()];
        if let Ok(url) = Url::parse(secret.expose()) {
            parts.extend(url.query().map(str::to_owned));
            parts.extend(url.password().map(str::to_owned));
            parts.push(url.path().to_owned());
            parts.extend(url.path_segments().into_iter().flatten().map(str::to_owned));
        }
        // Short path segments such as `v2` say nothing and would blot out half the text.
        for part in parts.iter().filter(|p| p.len() >= 6) {
            text = text.replace(part.as_str(), "<secret>");
        }
    }
    let flat: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    flat.trim().chars().take(ERROR_CHARS_MAX).collect()
}

fn client_for(config: &HttpConfig) -> Result<Client, String> {
    static SHARED: OnceLock<Client> = OnceLock::new();
    let is_plain = config.proxy_url.is_none()
        && !config.follow_redirects
        && !config.deny_private
        && config.tls == TlsConfig::default();
    let failed = |e: reqwest::Error| format!("cannot build an http client: {e}");
    if !is_plain {
        return customised(config)?.build().map_err(failed);
    }
    if let Some(client) = SHARED.get() {
        return Ok(client.clone());
    }
    let client = base().build().or_else(|error| {
        // A container without CA certificates has no trust anchors; plain http must work there all the same.
        tracing::warn!(%error, "no usable system certificates: https destinations will be refused");
        base().tls_certs_only([]).build().map_err(failed)
    })?;
    Ok(SHARED.get_or_init(|| client).clone())
}

/// Makes ring the process's TLS provider; whoever comes second finds it there.
pub fn install_tls_provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn base() -> ClientBuilder {
    install_tls_provider();
    Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(redirect::Policy::none())
        .no_gzip()
        .no_proxy()
        .referer(false)
        .pool_idle_timeout(Duration::from_secs(90))
}

fn customised(config: &HttpConfig) -> Result<ClientBuilder, String> {
    let mut builder = base();
    if config.follow_redirects {
        builder = builder.redirect(redirect::Policy::custom(|attempt| {
            let origin = |u: &Url| (u.scheme().to_owned(), u.host_str().map(str::to_owned), u.port_or_known_default());
            let within = attempt.previous().first().is_some_and(|first| origin(first) == origin(attempt.url()));
            if within && attempt.previous().len() <= REDIRECTS_MAX { attempt.follow() } else { attempt.stop() }
        }));
    }
    if let Some(proxy) = &config.proxy_url {
        let proxy = reqwest::Proxy::all(proxy.expose()).map_err(|_| "proxy_url is not a url".to_owned())?;
        builder = builder.proxy(proxy);
    }
    if config.deny_private {
        builder = builder.dns_resolver(Arc::new(guard::PublicOnly));
    }
    with_tls(builder, &config.tls)
}

fn with_tls(mut builder: ClientBuilder, tls: &TlsConfig) -> Result<ClientBuilder, String> {
    let read = |path: &std::path::Path| std::fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()));
    if let Some(path) = &tls.ca_file {
        let certs = reqwest::Certificate::from_pem_bundle(&read(path)?)
            .map_err(|e| format!("{} is not a PEM bundle: {e}", path.display()))?;
        builder = builder.tls_certs_only(certs);
    }
    match (&tls.cert_file, &tls.key_file) {
        (Some(cert), Some(key)) => {
            let mut pem = read(key)?;
            pem.push(b'\n');
            pem.extend(read(cert)?);
            let identity = reqwest::Identity::from_pem(&pem)
                .map_err(|e| format!("{} and its key are not usable: {e}", cert.display()))?;
            builder = builder.identity(identity);
        }
        (None, None) => {}
        _ => return Err("cert_file and key_file belong together".to_owned()),
    }
    Ok(if tls.insecure_skip_verify { builder.tls_danger_accept_invalid_certs(true) } else { builder })
}

impl SecretSource {
    /// The secret as of now. A file that cannot be read is temporary: it may be in the middle of a rotation.
    pub async fn read(&self) -> Result<Secret, NotifyError> {
        match self {
            Self::Inline(secret) => Ok(secret.clone()),
            Self::File(path) => match tokio::fs::read_to_string(path).await {
                Ok(text) => Ok(Secret::new(text.trim())),
                Err(e) => Err(NotifyError::Temporary {
                    reason: format!("cannot read the secret file {}: {e}", path.display()),
                    retry_after: None,
                }),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let check = |value: &'static str, date: Option<&'static str>, want: Option<u64>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
            if let Some(date) = date {
                headers.insert(DATE, HeaderValue::from_static(date));
            }
            assert_eq!(retry_after(&headers), want.map(Duration::from_secs), "{value}");
        };
        check("120", None, Some(120));
        let now = Some("Wed, 21 Oct 2015 07:28:00 GMT");
        check("Wed, 21 Oct 2015 07:30:00 GMT", now, Some(120));
        check("Wed, 21 Oct 2015 07:00:00 GMT", now, Some(0));
        check("Wed, 21 Oct 2015 07:30:00 GMT", None, None);
        check("soon", now, None);
    }

    #[test]
    fn secrets_are_blotted_out_of_what_others_say() {
        let url = Secret::new("https://user:hunter22@hooks.example.org/services/T0000000/very-secret?token=abcdef");
        let said = "no such hook /services/T0000000/very-secret?token=abcdef\r\nfor hunter22 (very-secret)";
        let shown = redact(said, &[&url]);
        for secret in ["hunter22", "very-secret", "abcdef", "\r", "\n"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn header_values_cannot_break_out() {
        let mut map = HeaderMap::new();
        header(&mut map, "idempotency-key", "a\r\nX-Evil: 1\u{1f600}");
        assert_eq!(map["idempotency-key"], "aX-Evil: 1");
    }
}
