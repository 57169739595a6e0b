//! Settings of e-mail: Alertmanager's `email_configs`, and `smtp_…` of `global`.
//! In: the mapping of the file. Out: [`EmailConfig`].
//! Never: prints a password.
//! Start at [`read`].

use super::{Email, addresses};
use crate::model::SecretSource;
use crate::notify::http::{self, TlsConfig};
use crate::notify::kinds::{Capability, Kind, Repeats};
use crate::notify::settings::{Defaults, IntegrationConfig, Settings, template};
use crate::notify::{Notifier, Renderer, TemplateField};
use crate::yaml::{At, Fields, Position};
use std::sync::Arc;
use std::time::Duration;

pub const KIND: Kind =
    Kind { name: "email", key: "email_configs", read, read_global: |global| drop(SmtpDefaults::read(global)) };

/// `host:port` of a mail server. IPv6 hosts are written in brackets and kept without them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Smarthost {
    pub host: String,
    pub port: u16,
}

impl Smarthost {
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return None;
        }
        Some(Self { host: host.to_owned(), port: port.parse().ok().filter(|p| *p != 0)? })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmailConfig {
    /// `None`: false for announcements, true for pages.
    pub send_resolved: Option<bool>,
    /// One address or a list separated by commas; each gets a message of its own.
    pub to: String,
    pub from: String,
    pub smarthost: Smarthost,
    /// What we call ourselves in EHLO; empty: the machine's name.
    pub hello: String,
    pub auth_username: String,
    pub auth_password: Option<SecretSource>,
    /// The authorization identity of PLAIN; empty: the username.
    pub auth_identity: String,
    /// STARTTLS or implicit TLS is needed, or nothing is sent. Default true.
    pub require_tls: bool,
    /// TLS from the first byte; `None`: on port 465.
    pub force_implicit_tls: Option<bool>,
    pub tls: TlsConfig,
    /// Further headers, `Subject` among them; the values are templates.
    pub headers: Vec<(String, Arc<str>)>,
    pub html: Option<Arc<str>>,
    pub text: Option<Arc<str>>,
    pub timeout: Option<Duration>,
}

impl EmailConfig {
    pub fn new(to: &str, from: &str, smarthost: Smarthost) -> Self {
        Self {
            send_resolved: None,
            to: to.to_owned(),
            from: from.to_owned(),
            smarthost,
            hello: String::new(),
            auth_username: String::new(),
            auth_password: None,
            auth_identity: String::new(),
            require_tls: true,
            force_implicit_tls: None,
            tls: TlsConfig::default(),
            headers: Vec::new(),
            html: None,
            text: None,
            timeout: None,
        }
    }
}

impl Settings for EmailConfig {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn send_resolved(&self) -> Option<bool> {
        self.send_resolved
    }

    fn send_resolved_default(&self) -> bool {
        false
    }

    /// A repeat has the same Message-ID, which many servers and readers drop, and some do not.
    fn capability(&self) -> Capability {
        Capability { updates_in_place: false, threads: true, acknowledgements: false, repeats: Repeats::BestEffort }
    }

    fn templates(&self) -> Vec<TemplateField<'_>> {
        let html = self.html.as_ref().map(|html| TemplateField { is_html: true, ..TemplateField::new("html", html) });
        let text = self.text.as_ref().map(|text| TemplateField::new("text", text));
        let headers = self.headers.iter().map(|(_, value)| TemplateField::new("headers", value));
        let addresses = [TemplateField::new("to", &self.to), TemplateField::new("from", &self.from)];
        html.into_iter().chain(text).chain(headers).chain(addresses).collect()
    }

    fn build(&self, renderer: &Renderer) -> Result<Arc<dyn Notifier>, String> {
        Ok(Arc::new(Email::new(self, renderer.clone())?))
    }
}

/// `smtp_*`.
#[derive(Clone, Debug)]
struct SmtpDefaults {
    from: Option<String>,
    hello: String,
    smarthost: Option<Smarthost>,
    auth_username: String,
    auth_password: Option<SecretSource>,
    auth_identity: String,
    require_tls: bool,
    force_implicit_tls: Option<bool>,
    tls: TlsConfig,
}

impl SmtpDefaults {
    fn read(f: &Fields<'_>) -> Self {
        let text = |key| f.filled(key).map(|t: At<&str>| t.value.to_owned());
        if let Some(secret) = f.filled("smtp_auth_secret").or(f.filled("smtp_auth_secret_file")) {
            cram_md5(f, secret.at);
        }
        Self {
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
}

fn cram_md5(f: &Fields<'_>, at: Position) {
    f.notes().warn(at, "CRAM-MD5 is not spoken", "PLAIN and LOGIN over TLS are, with the password");
}

/// `host:port`.
fn smarthost(f: &Fields<'_>, key: &'static str) -> Option<Smarthost> {
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

fn read(f: Fields<'_>, defaults: &Defaults<'_>) -> IntegrationConfig {
    let smtp = SmtpDefaults::read(&defaults.global);
    let (notes, at) = (f.notes(), f.at());
    let text = |key, or: &str| f.filled(key).map_or_else(|| or.to_owned(), |t: At<&str>| t.value.to_owned());
    let to = text("to", "");
    let from = text("from", smtp.from.as_deref().unwrap_or(""));
    for (key, addresses) in [("to", &to), ("from", &from)] {
        if !addresses.is_empty()
            && let Err(text) = addresses::check(addresses)
        {
            let at = f.filled(key).map_or(at, |written| written.at);
            notes.mistake_with(at, format!("{key}: {text}"), "write ana@example.org, or several with commas between");
        }
    }
    if to.is_empty() {
        notes.mistake_with(at, "missing to address in email config", "write to: with one address or several");
    }
    if from.is_empty() {
        notes.mistake_with(at, "no global SMTP from set", "write from: here or smtp_from: in global");
    }
    let written = f.filled("smarthost").is_some();
    let smarthost = smarthost(&f, "smarthost").or_else(|| smtp.smarthost.clone().filter(|_| !written));
    if smarthost.is_none() && !written {
        notes.mistake_with(
            at,
            "no global SMTP smarthost set",
            "write smarthost: host:port here or smtp_smarthost: in global",
        );
    }
    if let Some(secret) = f.filled("auth_secret").or(f.filled("auth_secret_file")) {
        cram_md5(&f, secret.at);
    }
    f.unused(&["threading"]);
    let mut headers: Vec<(String, Arc<str>)> = Vec::new();
    for (name, value) in f.pairs("headers") {
        if headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name.value)) {
            notes.mistake(name.at, format!("duplicate header {:?} in email config", name.value));
        }
        headers.push((name.value.to_owned(), Arc::from(value.value)));
    }
    let password = f.secret("auth_password", "auth_password_file").map(|s| s.value);
    let email = EmailConfig {
        send_resolved: f.bool("send_resolved"),
        hello: text("hello", &smtp.hello),
        auth_username: text("auth_username", &smtp.auth_username),
        auth_password: password.or_else(|| smtp.auth_password.clone()),
        auth_identity: text("auth_identity", &smtp.auth_identity),
        require_tls: f.bool("require_tls").unwrap_or(smtp.require_tls),
        force_implicit_tls: f.bool("force_implicit_tls").or(smtp.force_implicit_tls),
        tls: f.fields("tls_config").map_or_else(|| smtp.tls.clone(), http::tls),
        headers,
        html: template(&f, "html"),
        text: template(&f, "text"),
        timeout: http::timeout(&f),
        ..EmailConfig::new(&to, &from, smarthost.unwrap_or_else(|| Smarthost { host: String::new(), port: 25 }))
    };
    f.finish();
    IntegrationConfig::new(email)
}
