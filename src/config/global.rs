//! `global`: what every receiver inherits.
//! In: the mapping. Out: [`Global`].
//! Never: fills in a receiver (that is `receivers`).
//! Start at [`global`].

use super::fields::{At, Fields};
use super::http;
use super::yaml::Position;
use crate::model::Secret;
use crate::notify::SecretSource;
use crate::notify::settings::{HttpConfig, PAGERDUTY_URL, SLACK_API_URL, Smarthost, TlsConfig};
use std::time::Duration;

/// How long an alert posted without an end lives (Alertmanager's default).
pub const RESOLVE_TIMEOUT: Duration = Duration::from_mins(5);

/// Checked `global`.
#[derive(Clone, Debug)]
pub struct Global {
    pub resolve_timeout: Duration,
    pub http: HttpConfig,
    pub smtp: Smtp,
    pub slack_api_url: Option<At<SecretSource>>,
    pub slack_app_token: Option<At<SecretSource>>,
    pub slack_app_url: Secret,
    pub pagerduty_url: Secret,
    /// Names of the keys for receiver kinds that are not supported, as far as they are set.
    pub foreign: Vec<&'static str>,
}

/// `smtp_*`.
#[derive(Clone, Debug)]
pub struct Smtp {
    pub from: Option<String>,
    pub hello: String,
    pub smarthost: Option<Smarthost>,
    pub auth_username: String,
    pub auth_password: Option<SecretSource>,
    pub auth_identity: String,
    pub require_tls: bool,
    pub force_implicit_tls: Option<bool>,
    pub tls: TlsConfig,
}

impl Default for Global {
    fn default() -> Self {
        Self {
            resolve_timeout: RESOLVE_TIMEOUT,
            http: HttpConfig::default(),
            smtp: Smtp {
                from: None,
                hello: String::new(),
                smarthost: None,
                auth_username: String::new(),
                auth_password: None,
                auth_identity: String::new(),
                require_tls: true,
                force_implicit_tls: None,
                tls: TlsConfig::default(),
            },
            slack_api_url: None,
            slack_app_token: None,
            slack_app_url: Secret::new(SLACK_API_URL),
            pagerduty_url: Secret::new(PAGERDUTY_URL),
            foreign: Vec::new(),
        }
    }
}

/// Secrets of receiver kinds that are not supported: read, so that a stock file is judged as Alertmanager judges it.
const FOREIGN_SECRETS: [(&str, &str); 7] = [
    ("opsgenie_api_key", "opsgenie_api_key_file"),
    ("victorops_api_key", "victorops_api_key_file"),
    ("wechat_api_secret", "wechat_api_secret_file"),
    ("telegram_bot_token", "telegram_bot_token_file"),
    ("rocketchat_token", "rocketchat_token_file"),
    ("rocketchat_token_id", "rocketchat_token_id_file"),
    ("mattermost_webhook_url", "mattermost_webhook_url_file"),
];

const FOREIGN_URLS: [&str; 9] = [
    "opsgenie_api_url",
    "victorops_api_url",
    "wechat_api_url",
    "wechat_api_corp_id",
    "telegram_api_url",
    "webex_api_url",
    "rocketchat_api_url",
    "jira_api_url",
    "hipchat_api_url",
];

/// Reads `global`.
pub fn global(f: Fields<'_>) -> Global {
    let default = Global::default();
    let mut foreign = Vec::new();
    for (key, file_key) in FOREIGN_SECRETS {
        let (inline, file) = (f.filled(key), f.filled(file_key));
        if let (Some(inline), Some(_)) = (inline, file) {
            f.notes().mistake_with(
                inline.at,
                format!("at most one of {key} & {file_key} must be configured"),
                "keep the file and remove the inline secret",
            );
        }
        if inline.is_some() || file.is_some() {
            foreign.push(key);
        }
    }
    for key in FOREIGN_URLS {
        if f.filled(key).is_some() {
            foreign.push(key);
        }
    }
    let slack_api_url = f.secret("slack_api_url", "slack_api_url_file");
    let slack_app_token = f.secret("slack_app_token", "slack_app_token_file");
    for (key, url) in [("slack_api_url", &slack_api_url)] {
        if let Some(url) = url {
            http::check_url(f.notes(), key, url);
        }
    }
    let global = Global {
        resolve_timeout: f.positive_duration("resolve_timeout").map_or(RESOLVE_TIMEOUT, |d| d.value),
        http: f.fields("http_config").map(http::http).unwrap_or_default(),
        smtp: smtp(&f),
        slack_api_url,
        slack_app_token,
        slack_app_url: url(&f, "slack_app_url").unwrap_or(default.slack_app_url),
        pagerduty_url: url(&f, "pagerduty_url").unwrap_or(default.pagerduty_url),
        foreign,
    };
    f.finish();
    global
}

fn smtp(f: &Fields<'_>) -> Smtp {
    let text = |key| f.filled(key).map(|t: At<&str>| t.value.to_owned());
    if let Some(secret) = f.filled("smtp_auth_secret").or(f.filled("smtp_auth_secret_file")) {
        cram_md5(f, secret.at);
    }
    Smtp {
        from: text("smtp_from"),
        hello: text("smtp_hello").unwrap_or_default(),
        smarthost: smarthost(f, "smtp_smarthost"),
        auth_username: text("smtp_auth_username").unwrap_or_default(),
        auth_password: f.secret("smtp_auth_password", "smtp_auth_password_file").map(|s| s.value),
        auth_identity: text("smtp_auth_identity").unwrap_or_default(),
        require_tls: f.bool("smtp_require_tls").unwrap_or(true),
        force_implicit_tls: f.bool("smtp_force_implicit_tls"),
        tls: f.fields("smtp_tls_config").map(http::tls).unwrap_or_default(),
    }
}

pub(super) fn cram_md5(f: &Fields<'_>, at: Position) {
    f.notes().warn(at, "CRAM-MD5 is not spoken", "PLAIN and LOGIN over TLS are, with the password");
}

/// `host:port`.
pub(super) fn smarthost(f: &Fields<'_>, key: &'static str) -> Option<Smarthost> {
    let text = f.filled(key)?;
    let parsed = Smarthost::parse(text.value);
    if parsed.is_none() {
        f.notes().mistake_with(
            text.at,
            format!("{key} {:?} is not an address", text.value),
            "write host:port, such as mail.example.org:587",
        );
    }
    parsed
}

/// A URL that may carry a key.
pub(super) fn url(f: &Fields<'_>, key: &'static str) -> Option<Secret> {
    let text = f.filled(key)?;
    let source = At { value: SecretSource::inline(text.value), at: text.at };
    http::check_url(f.notes(), key, &source);
    Some(Secret::new(text.value))
}
