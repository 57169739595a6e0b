//! Client: one request to a running server, answered or explained.
//! In: [`ClientArgs`], a path, a JSON body. Out: the answer as JSON.
//! Never: prints the token, follows a redirect, or waits longer than [`TIMEOUT`].
//! Start at [`Client`].

use super::args::ClientArgs;
use reqwest::{Method, Url};
use serde_json::Value;
use std::time::Duration;

/// A server that takes longer is not well, and the user should hear so.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How much of an answer that is no JSON is shown.
const EXCERPT_CHARS: usize = 300;

pub struct Client {
    base: Url,
    token: Option<String>,
    http: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Client {
    pub fn new(args: &ClientArgs) -> Result<Self, String> {
        let mut base = Url::parse(&args.url).map_err(|e| format!("--url {:?}: {e}", args.url))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(format!("--url {:?}: write http:// or https://", args.url));
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let token = match &args.token_file {
            None => None,
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|e| format!("cannot read the token file {}: {e}", path.display()))?;
                Some(text.lines().next().unwrap_or("").trim().to_owned())
            }
        };
        // Fails only when a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("watchfire/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| format!("cannot make an HTTP client: {e}"))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| format!("cannot start: {e}"))?;
        Ok(Self { base, token, http, runtime })
    }

    pub fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Value, String> {
        self.call(Method::GET, path, query, None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Result<Value, String> {
        self.call(Method::POST, path, &[], Some(body))
    }

    pub fn delete(&self, path: &str) -> Result<Value, String> {
        self.call(Method::DELETE, path, &[], None)
    }

    /// Whether the server says that it is ready.
    pub fn probe(&self) -> Result<(), String> {
        match self.send(Method::GET, "-/ready", &[], None)? {
            (status, _) if status.is_success() => Ok(()),
            (status, _) => Err(format!("not ready: {status}")),
        }
    }

    fn call(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Value, String> {
        let (status, text) = self.send(method, path, query, body)?;
        let value: Option<Value> = if text.is_empty() { Some(Value::Null) } else { serde_json::from_str(&text).ok() };
        match value {
            Some(value) if status.is_success() => Ok(value),
            Some(value) => Err(format!("{status}: {}", error_text(&value))),
            None => Err(format!("{status}: not JSON: {}", text.chars().take(EXCERPT_CHARS).collect::<String>())),
        }
    }

    fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<(reqwest::StatusCode, String), String> {
        let mut url = self.base.join(path).map_err(|e| format!("{path}: {e}"))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.http.request(method, url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = self.runtime.block_on(async {
            let response = request.send().await?;
            let status = response.status();
            Ok::<_, reqwest::Error>((status, response.text().await?))
        });
        answer.map_err(|e| format!("{}: {}", self.base, reason(&e)))
    }
}

/// The innermost cause says what happened ("connection refused"); the outer ones only where.
fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// Our errors are objects, Alertmanager's are bare strings.
fn error_text(value: &Value) -> String {
    match value {
        Value::Null => "no further word".to_owned(),
        Value::String(text) => text.clone(),
        _ => value
            .get("error")
            .or_else(|| value.get("message"))
            .and_then(Value::as_str)
            .map_or_else(|| value.to_string(), str::to_owned),
    }
}
