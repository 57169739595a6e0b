//! `storage`, `web`, `paging`, `evaluation`, `external_labels`: how this server runs.
//! In: the sections. Out: plain settings with every default filled in.
//! Never: opens a socket or a folder.
//! Start at [`web`].

use super::files;
use crate::model::SecretSource;
use crate::model::labels::is_classic_label_name;
use crate::model::{Labels, Network, Secret};
use crate::notify::http::url_mistake;
use crate::promql::Features;
use crate::yaml::Notes;
use crate::yaml::Position;
use crate::yaml::{At, Fields};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Where we listen unless told otherwise: this machine only, one above Alertmanager's 9093 and its cluster port 9094.
pub const LISTEN_ADDRESS: &str = "127.0.0.1:9095";
/// A token that is shorter can be guessed.
const TOKEN_MIN_BYTES: usize = 16;
/// Prometheus' `batch_send_deadline`: a scrape that is not there by then does not come whole.
const SETTLE: Duration = Duration::from_secs(5);
/// Prometheus' default for `evaluation_interval` is 1m; ours follows the usual scrape interval.
pub const EVALUATION_INTERVAL: Duration = Duration::from_secs(15);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Database and write-ahead log live here.
    pub path: PathBuf,
    /// Resolved incidents with their timelines are kept this long.
    pub retention: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Web {
    pub listen_address: SocketAddr,
    /// How people reach us, for links in messages; without a slash at the end.
    pub external_url: Option<Arc<str>>,
    pub auth: Auth,
    pub max_connections: usize,
    /// Whose `Forwarded` and `X-Forwarded-For` are believed.
    pub trusted_proxies: Vec<Network>,
}

/// Who may talk to any door. Empty: everybody, which is allowed on loopback or with `--insecure` only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Auth {
    pub bearer_tokens: Vec<Secret>,
    pub basic_auth_users: Vec<BasicUser>,
}

impl Auth {
    pub fn is_off(&self) -> bool {
        self.bearer_tokens.is_empty() && self.basic_auth_users.is_empty()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasicUser {
    pub username: Arc<str>,
    pub password: Secret,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paging {
    /// For each contact; 0 = no limit.
    pub max_pages_per_minute: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// Of groups that do not set their own.
    pub interval: Duration,
    /// Groups look this far back, unless they set their own.
    pub query_offset: Duration,
    /// How long a rule that joins series waits at most for the rest of a scrape.
    pub settle: Duration,
    /// A group's `limit` keeps as many alerts as it allows, instead of failing the rule as Prometheus does.
    pub keep_within_limit: bool,
    /// Every evaluation is made in full as well, and compared: for those who look for a fault in us.
    pub verify: bool,
    /// What rules and queries may use besides the stable language; flags say it, not the file.
    pub features: Features,
}

/// Reads `storage`.
pub fn storage(root: &Fields<'_>) -> Storage {
    let mut storage = Storage { path: PathBuf::from("./data"), retention: Duration::from_hours(90 * 24) };
    let Some(f) = root.fields("storage") else { return storage };
    if let Some(path) = f.filled("path") {
        storage.path = f.notes().path(path.value);
    }
    if let Some(retention) = f.positive_duration("retention") {
        storage.retention = retention.value;
    }
    f.finish();
    storage
}

/// Reads `web`.
pub fn web(root: &Fields<'_>) -> Web {
    let mut web = Web {
        listen_address: SocketAddr::from(([127, 0, 0, 1], 9095)),
        external_url: None,
        auth: Auth::default(),
        max_connections: 1024,
        trusted_proxies: Vec::new(),
    };
    let Some(f) = root.fields("web") else { return web };
    if let Some(address) = f.filled("listen_address") {
        match listen_address(address.value) {
            Ok(parsed) => web.listen_address = parsed,
            Err(text) => f.notes().mistake_with(address.at, text, "write address:port, such as 127.0.0.1:9095"),
        }
    }
    if let Some(url) = f.filled("external_url") {
        match external_url(url.value) {
            Ok(url) => web.external_url = Some(url),
            Err(text) => f.notes().mistake_with(url.at, text, "write how browsers reach this server"),
        }
    }
    if let Some(max) = f.count("max_connections", 1_000_000).filter(|m| m.value > 0) {
        web.max_connections = max.value as usize;
    }
    for text in f.texts("trusted_proxies").unwrap_or_default() {
        match Network::parse(text.value) {
            Some(network) => web.trusted_proxies.push(network),
            None => f.notes().mistake_with(
                text.at,
                format!("{:?} in trusted_proxies is no address and no network", text.value),
                "write an address or a CIDR, such as 10.0.0.0/8",
            ),
        }
    }
    if let Some(f) = f.fields("auth") {
        web.auth = auth(f);
    }
    f.finish();
    web
}

/// `address:port`; `:9095` means every address, as Prometheus reads it.
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let full = match text {
        t if t.starts_with(':') => format!("0.0.0.0{t}"),
        t => t.replacen("localhost:", "127.0.0.1:", 1),
    };
    full.parse().map_err(|_| format!("listen address {text:?} is not address:port"))
}

/// Whether other machines can reach this address.
pub fn is_exposed(address: SocketAddr) -> bool {
    !address.ip().to_canonical().is_loopback()
}

/// Checks a URL that people click on, and takes the slash off its end.
pub fn external_url(text: &str) -> Result<Arc<str>, String> {
    match url_mistake(text) {
        Some((mistake, _)) => Err(format!("external_url {text:?}: {mistake}")),
        None => Ok(Arc::from(text.trim_end_matches('/'))),
    }
}

fn auth(f: Fields<'_>) -> Auth {
    let notes = f.notes();
    let mut auth = Auth::default();
    let mut token = |text: &str, at: Position, key: &str| {
        if text.len() < TOKEN_MIN_BYTES {
            notes.mistake_with(
                at,
                format!("a token in {key} is shorter than {TOKEN_MIN_BYTES} characters"),
                "make one with: openssl rand -hex 32",
            );
        }
        auth.bearer_tokens.push(Secret::new(text));
    };
    for text in f.texts("bearer_tokens").unwrap_or_default() {
        token(text.value, text.at, "bearer_tokens");
    }
    if let Some(path) = f.filled("bearer_tokens_file") {
        let source = SecretSource::File(notes.path(path.value));
        if let Some(text) = read(notes, "bearer_tokens_file", &At { value: source, at: path.at }) {
            let mut lines =
                text.expose().lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).peekable();
            if lines.peek().is_none() {
                notes.mistake_with(path.at, "bearer_tokens_file holds no token", "write one token on each line");
            }
            lines.for_each(|line| token(line, path.at, "bearer_tokens_file"));
        }
    }
    for user in f.each("basic_auth_users") {
        let username = user.filled("username");
        let password = user.secret("password", "password_file");
        if username.is_none() || password.is_none() {
            notes.mistake_with(
                user.at(),
                "a user needs a username and a password",
                "write { username: ana, password_file: … }",
            );
        }
        let password = password.and_then(|p| read(notes, "password_file", &p));
        if let (Some(name), Some(password)) = (username, password) {
            if password.is_empty() {
                notes.mistake_with(
                    user.at(),
                    "the password is empty",
                    "write the password on the first line of the file",
                );
            }
            auth.basic_auth_users.push(BasicUser { username: name.value.into(), password });
        }
        user.finish();
    }
    f.finish();
    auth
}

/// The text of a secret now. `None` when its file cannot be read, or when files are not to be looked at.
fn read(notes: &Notes, key: &'static str, source: &At<SecretSource>) -> Option<Secret> {
    match &source.value {
        SecretSource::Inline(secret) => Some(secret.clone()),
        SecretSource::File(path) => files::read(notes, key, path, source.at).map(|text| Secret::new(text.trim_end())),
    }
}

/// Reads `paging`, or the limit alone at the top level.
pub fn paging(root: &Fields<'_>) -> Paging {
    let mut paging = Paging { max_pages_per_minute: 10 };
    if let Some(max) = root.count("max_pages_per_minute", 100_000) {
        paging.max_pages_per_minute = max.value as u32;
    }
    let Some(f) = root.fields("paging") else { return paging };
    if let Some(max) = f.count("max_pages_per_minute", 100_000) {
        paging.max_pages_per_minute = max.value as u32;
    }
    f.finish();
    paging
}

/// Reads `evaluation`.
pub fn evaluation(root: &Fields<'_>) -> Evaluation {
    let mut evaluation = Evaluation {
        interval: EVALUATION_INTERVAL,
        query_offset: Duration::ZERO,
        settle: SETTLE,
        keep_within_limit: false,
        verify: cfg!(debug_assertions),
        features: Features::default(),
    };
    let Some(f) = root.fields("evaluation") else { return evaluation };
    if let Some(interval) = f.positive_duration("interval") {
        evaluation.interval = interval.value;
    }
    if let Some(offset) = f.duration("query_offset") {
        evaluation.query_offset = offset.value;
    }
    if let Some(settle) = f.positive_duration("settle") {
        evaluation.settle = settle.value;
    }
    evaluation.keep_within_limit = f.bool("keep_within_limit").unwrap_or(evaluation.keep_within_limit);
    evaluation.verify = f.bool("verify").unwrap_or(evaluation.verify);
    f.finish();
    evaluation
}

/// Reads `external_labels`, which are laid under the labels of alerts from our own rules.
pub fn external_labels(root: &Fields<'_>) -> Labels {
    let pairs = root.pairs("external_labels");
    for (name, _) in &pairs {
        if !is_classic_label_name(name.value) {
            root.notes().mistake(name.at, format!("invalid label name {:?} in external_labels", name.value));
        }
    }
    Labels::from_pairs(pairs.iter().map(|(n, v)| (n.value, v.value)))
}
