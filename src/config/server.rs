//! `storage`, `web`, `ingest`, `paging`, `evaluation`, `external_labels`: how this server runs.
//! In: the sections. Out: plain settings with every default filled in.
//! Never: opens a socket or a folder.
//! Start at [`web`].

use super::fields::{At, Fields, size};
use super::http::url_mistake;
use super::mistakes::Notes;
use super::yaml::Position;
use crate::alerts::BookConfig;
use crate::model::labels::is_classic_label_name;
use crate::model::{Labels, Secret};
use crate::notify::SecretSource;
use crate::promql::Features;
use crate::series::ha::HaConfig;
use crate::series::{HeadConfig, LabelLimits};
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

/// Limits and label names of remote write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingest {
    /// How much of each series is kept for rules and queries.
    pub window: Duration,
    /// Samples older than the newest of their series by at most this are still taken.
    pub out_of_order_window: Duration,
    pub cluster_label: Arc<str>,
    pub replica_label: Arc<str>,
    /// A replica that was silent for this long loses its election.
    pub replica_failover: Duration,
    /// Labels that name the sender and do not make an alert another one.
    pub drop_labels: Vec<Arc<str>>,
    pub limits: Limits,
}

/// Each default is that of the room that keeps to it.
impl Default for Ingest {
    fn default() -> Self {
        let (head, ha, book) = (HeadConfig::default(), HaConfig::default(), BookConfig::default());
        Self {
            window: head.window,
            out_of_order_window: head.out_of_order_window,
            cluster_label: Arc::from(ha.cluster_label),
            replica_label: Arc::from(ha.replica_label),
            replica_failover: ha.failover,
            drop_labels: book.drop_labels,
            limits: Limits {
                series: head.series_max as u64,
                series_per_metric: head.series_per_metric_max as u64,
                series_per_source: head.series_per_source_max as u64,
                memory_bytes: None,
                labels_per_series: head.limits.labels_max as u64,
                label_name_bytes: head.limits.name_bytes_max as u64,
                label_value_bytes: head.limits.value_bytes_max as u64,
                body_bytes: 32 << 20,
                decoded_bytes: 32 << 20,
                in_flight_bytes: 256 << 20,
                alerts: book.alerts_max as u64,
            },
        }
    }
}

impl Ingest {
    pub fn head(&self) -> HeadConfig {
        HeadConfig {
            window: self.window,
            out_of_order_window: self.out_of_order_window,
            series_max: self.limits.series as usize,
            series_per_metric_max: self.limits.series_per_metric as usize,
            series_per_source_max: self.limits.series_per_source as usize,
            source_label: self.cluster_label.to_string(),
            memory_budget: self.limits.head_bytes(),
            limits: LabelLimits {
                labels_max: self.limits.labels_per_series as usize,
                name_bytes_max: self.limits.label_name_bytes as usize,
                value_bytes_max: self.limits.label_value_bytes as usize,
            },
        }
    }

    pub fn ha(&self) -> HaConfig {
        HaConfig {
            cluster_label: self.cluster_label.to_string(),
            replica_label: self.replica_label.to_string(),
            failover: self.replica_failover,
        }
    }

    pub fn book(&self) -> BookConfig {
        BookConfig {
            drop_labels: self.drop_labels.clone(),
            alerts_max: self.limits.alerts as usize,
            ..BookConfig::default()
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    pub series: u64,
    pub series_per_metric: u64,
    /// The source is the value of [`Ingest::cluster_label`].
    pub series_per_source: u64,
    /// What the process may take, at least [`MEMORY_BYTES_MIN`]: see [`Limits::head_bytes`] and [`Limits::door_bytes`].
    pub memory_bytes: Option<u64>,
    pub labels_per_series: u64,
    pub label_name_bytes: u64,
    pub label_value_bytes: u64,
    /// As sent, compressed.
    pub body_bytes: u64,
    /// Declared decompressed length.
    pub decoded_bytes: u64,
    /// Of all requests that are being read.
    pub in_flight_bytes: u64,
    /// Alerts held at once, over all doors.
    pub alerts: u64,
}

/// The program itself takes a third of this.
pub const MEMORY_BYTES_MIN: u64 = 64 << 20;

impl Limits {
    /// Five eighths of the memory are for series and samples. A quarter is for requests in work, and what is left is for
    /// alerts, rules and the program itself.
    pub fn head_bytes(&self) -> Option<usize> {
        self.memory_bytes.map(|memory| (memory / 8 * 5) as usize)
    }

    /// Of all requests that are being read, and of one when it is decompressed: within a quarter of the memory.
    pub fn door_bytes(&self) -> (usize, usize) {
        let all = self.memory_bytes.map_or(self.in_flight_bytes, |memory| self.in_flight_bytes.min(memory / 4));
        let one = if self.memory_bytes.is_some() { self.decoded_bytes.min(all / 2) } else { self.decoded_bytes };
        (all as usize, one as usize)
    }
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
        SecretSource::File(path) => notes.read(key, path, source.at).map(|text| Secret::new(text.trim_end())),
    }
}

/// Reads `ingest`.
pub fn ingest(root: &Fields<'_>) -> Ingest {
    let mut ingest = Ingest::default();
    let Some(f) = root.fields("ingest") else { return ingest };
    if let Some(window) = f.positive_duration("window") {
        ingest.window = window.value;
    }
    if let Some(window) = f.duration("out_of_order_window") {
        ingest.out_of_order_window = window.value;
    }
    if let Some(label) = label_name(&f, "cluster_label") {
        ingest.cluster_label = label;
    }
    if let Some(label) = label_name(&f, "replica_label") {
        ingest.replica_label = label;
    }
    if let Some(failover) = f.positive_duration("replica_failover") {
        ingest.replica_failover = failover.value;
    }
    if let Some(labels) = f.texts("drop_labels") {
        ingest.drop_labels = labels.iter().map(|l| Arc::from(l.value)).collect();
    }
    if let Some(f) = f.fields("limits") {
        limits(f, &mut ingest.limits);
    }
    f.finish();
    ingest
}

fn limits(f: Fields<'_>, limits: &mut Limits) {
    let counts: [(&'static str, &mut u64); 5] = [
        ("series", &mut limits.series),
        ("series_per_metric", &mut limits.series_per_metric),
        ("series_per_source", &mut limits.series_per_source),
        ("labels_per_series", &mut limits.labels_per_series),
        ("alerts", &mut limits.alerts),
    ];
    for (key, limit) in counts {
        if let Some(n) = f.count(key, 1 << 40) {
            set(&f, key, n, limit);
        }
    }
    let sizes: [(&'static str, &mut u64); 5] = [
        ("label_name_bytes", &mut limits.label_name_bytes),
        ("label_value_bytes", &mut limits.label_value_bytes),
        ("body_bytes", &mut limits.body_bytes),
        ("decoded_bytes", &mut limits.decoded_bytes),
        ("in_flight_bytes", &mut limits.in_flight_bytes),
    ];
    for (key, limit) in sizes {
        if let Some(n) = f.bytes(key) {
            set(&f, key, n, limit);
        }
    }
    if let Some(budget) = f.bytes("memory") {
        match enough_memory(budget.value) {
            Ok(bytes) => limits.memory_bytes = Some(bytes),
            Err(why) => f.notes().mistake(budget.at, why),
        }
    }
    f.finish();
}

/// Reads the flag.
pub fn memory_budget(text: &str) -> Result<u64, String> {
    enough_memory(size(text)?)
}

fn enough_memory(bytes: u64) -> Result<u64, String> {
    let least = MEMORY_BYTES_MIN >> 20;
    if bytes < MEMORY_BYTES_MIN { Err(format!("a memory budget is at least {least}MiB")) } else { Ok(bytes) }
}

fn set(f: &Fields<'_>, key: &str, written: At<u64>, limit: &mut u64) {
    if written.value == 0 {
        f.notes().mistake_with(written.at, format!("{key} cannot be zero"), "every limit is at least 1");
    } else {
        *limit = written.value;
    }
}

fn label_name(f: &Fields<'_>, key: &'static str) -> Option<Arc<str>> {
    let name = f.filled(key)?;
    if !is_classic_label_name(name.value) {
        f.notes().mistake(name.at, format!("invalid label name {:?} in {key}", name.value));
    }
    Some(Arc::from(name.value))
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
