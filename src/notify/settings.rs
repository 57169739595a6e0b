//! Settings of receivers: Alertmanager's fields and defaults, checked by `config` and consumed when notifiers are built.
//! In: the checked configuration. Out: plain structs; [`ReceiverConfig::spec`] is what decisions may know of them.
//! Never: prints a secret; a URL that may carry one is a [`Secret`] as well.
//! Start at [`ReceiverConfig`].

use super::TemplateField;
use crate::model::{IntegrationId, IntegrationSpec, ReceiverSpec, Secret};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Events API v2 of `PagerDuty`.
pub const PAGERDUTY_URL: &str = "https://events.pagerduty.com/v2/enqueue";
/// Slack's Web API, used with a bot token.
pub const SLACK_API_URL: &str = "https://slack.com/api/";

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

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverConfig {
    pub name: Arc<str>,
    /// In the order of Alertmanager's struct.
    pub integrations: Vec<IntegrationConfig>,
}

impl ReceiverConfig {
    /// What the engine may know: kinds and flags, no address, no secret.
    pub fn spec(&self) -> ReceiverSpec {
        ReceiverSpec {
            name: Arc::clone(&self.name),
            integrations: self.ids().into_iter().zip(&self.integrations).map(|(id, one)| one.spec(id)).collect(),
        }
    }

    /// The identities of its integrations, in their order.
    pub fn ids(&self) -> Vec<IntegrationId> {
        IntegrationId::numbered(self.integrations.iter().map(IntegrationConfig::kind))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IntegrationConfig {
    Webhook(WebhookConfig),
    Slack(SlackConfig),
    Email(EmailConfig),
    PagerDuty(PagerDutyConfig),
    Log(LogConfig),
    /// A kind of Alertmanager's that we do not deliver to.
    Foreign(ForeignConfig),
}

impl IntegrationConfig {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Slack(_) => "slack",
            Self::Email(_) => "email",
            Self::PagerDuty(_) => "pagerduty",
            Self::Log(_) => "log",
            Self::Foreign(c) => c.kind,
        }
    }

    /// Whether announcements of resolved alerts go out; `None` was not written, so the channel's default holds.
    fn send_resolved_written(&self) -> (Option<bool>, bool) {
        match self {
            Self::Webhook(c) => (c.send_resolved, true),
            Self::Slack(c) => (c.send_resolved, false),
            Self::Email(c) => (c.send_resolved, false),
            Self::PagerDuty(c) => (c.send_resolved, true),
            Self::Log(c) => (c.send_resolved, true),
            Self::Foreign(c) => (c.send_resolved, c.send_resolved_default),
        }
    }

    /// Every text in it that is a template.
    pub fn templates(&self) -> Vec<TemplateField<'_>> {
        fn field<'a>(name: &'static str, text: &'a str) -> TemplateField<'a> {
            TemplateField { name, text, is_html: false }
        }
        fn set<'a>(name: &'static str, text: Option<&'a Arc<str>>) -> Option<TemplateField<'a>> {
            text.map(|text| field(name, text))
        }
        match self {
            Self::Slack(c) => {
                let written = [
                    set("color", c.color.as_ref()),
                    set("title", c.title.as_ref()),
                    set("title_link", c.title_link.as_ref()),
                    set("pretext", c.pretext.as_ref()),
                    set("text", c.text.as_ref()),
                    set("fallback", c.fallback.as_ref()),
                    set("footer", c.footer.as_ref()),
                    c.channel.as_deref().map(|channel| field("channel", channel)),
                ];
                let fields = c.fields.iter().flat_map(|f| [field("fields", &f.title), field("fields", &f.value)]);
                written.into_iter().flatten().chain(fields).collect()
            }
            Self::Email(c) => {
                let html = c.html.as_ref().map(|html| TemplateField { is_html: true, ..field("html", html) });
                let headers = c.headers.iter().map(|(_, value)| field("headers", value));
                let addresses = [field("to", &c.to), field("from", &c.from)];
                html.into_iter().chain(set("text", c.text.as_ref())).chain(headers).chain(addresses).collect()
            }
            Self::PagerDuty(c) => {
                let written = [
                    set("client", c.client.as_ref()),
                    set("client_url", c.client_url.as_ref()),
                    set("description", c.description.as_ref()),
                    set("severity", c.severity.as_ref()),
                    set("class", c.class.as_ref()),
                    set("component", c.component.as_ref()),
                    set("group", c.group.as_ref()),
                    set("source", c.source.as_ref()),
                ];
                let details = c.details.iter().map(|(_, value)| field("details", value));
                written.into_iter().flatten().chain(details).collect()
            }
            Self::Webhook(_) | Self::Log(_) | Self::Foreign(_) => Vec::new(),
        }
    }

    /// Slack with a bot token edits its first message; `PagerDuty` keeps one incident by its key.
    fn updates_in_place(&self) -> bool {
        match self {
            Self::Slack(c) => matches!(c.destination, SlackDestination::Bot { .. }),
            Self::PagerDuty(_) => true,
            Self::Webhook(_) | Self::Email(_) | Self::Log(_) | Self::Foreign(_) => false,
        }
    }

    /// A page's end is told unless `send_resolved: false` was written out.
    pub fn spec(&self, id: IntegrationId) -> IntegrationSpec {
        let (written, default) = self.send_resolved_written();
        let max_alerts = match self {
            Self::Webhook(c) => c.max_alerts,
            _ => 0,
        };
        IntegrationSpec {
            id,
            send_resolved: written.unwrap_or(default),
            send_resolved_pages: written.unwrap_or(true),
            updates_in_place: self.updates_in_place(),
            max_alerts,
        }
    }
}

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

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookConfig {
    /// `None`: true.
    pub send_resolved: Option<bool>,
    pub url: SecretSource,
    /// 0 = all.
    pub max_alerts: usize,
    /// Of one attempt; `None` or zero: 10 s.
    pub timeout: Option<Duration>,
    pub http: HttpConfig,
    /// Ours: signs the body, header `X-Watchfire-Signature: t=<unix seconds>,v1=<hex HMAC-SHA-256 of "<t>.<body>">`.
    pub hmac_secret: Option<SecretSource>,
}

impl WebhookConfig {
    pub fn new(url: SecretSource) -> Self {
        Self { send_resolved: None, url, max_alerts: 0, timeout: None, http: HttpConfig::default(), hmac_secret: None }
    }
}

/// How Slack is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlackDestination {
    /// `api_url` / `api_url_file`: an incoming webhook. Messages cannot be changed afterwards.
    Webhook(SecretSource),
    /// A bot token (`app_token`): messages are updated in place and escalations go into the thread.
    Bot {
        token: SecretSource,
        /// [`SLACK_API_URL`] unless written; ends with `/`.
        api_url: Secret,
    },
}

/// Templates are Go templates over Alertmanager's data; `None` means Watchfire's own text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlackConfig {
    /// `None`: false for announcements, true for pages.
    pub send_resolved: Option<bool>,
    pub destination: SlackDestination,
    /// Required with a bot token; with an incoming webhook it is passed on as written.
    pub channel: Option<String>,
    pub username: Option<String>,
    pub icon_emoji: Option<String>,
    pub icon_url: Option<String>,
    pub color: Option<Arc<str>>,
    pub title: Option<Arc<str>>,
    pub title_link: Option<Arc<str>>,
    pub pretext: Option<Arc<str>>,
    pub text: Option<Arc<str>>,
    pub fallback: Option<Arc<str>>,
    pub footer: Option<Arc<str>>,
    pub fields: Vec<SlackField>,
    pub http: HttpConfig,
    pub timeout: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlackField {
    pub title: Arc<str>,
    pub value: Arc<str>,
    pub short: bool,
}

impl SlackConfig {
    pub fn new(destination: SlackDestination) -> Self {
        Self {
            send_resolved: None,
            destination,
            channel: None,
            username: None,
            icon_emoji: None,
            icon_url: None,
            color: None,
            title: None,
            title_link: None,
            pretext: None,
            text: None,
            fallback: None,
            footer: None,
            fields: Vec::new(),
            http: HttpConfig::default(),
            timeout: None,
        }
    }
}

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

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PagerDutyConfig {
    /// `None`: true.
    pub send_resolved: Option<bool>,
    /// The integration key (`routing_key`, or the older `service_key`: the same key on Events v2).
    pub routing_key: SecretSource,
    /// [`PAGERDUTY_URL`] unless written.
    pub url: Secret,
    pub client: Option<Arc<str>>,
    pub client_url: Option<Arc<str>>,
    pub description: Option<Arc<str>>,
    /// A template that yields critical, error, warning or info; `None`: from the incident's or alerts' severity.
    pub severity: Option<Arc<str>>,
    pub class: Option<Arc<str>>,
    pub component: Option<Arc<str>>,
    pub group: Option<Arc<str>>,
    pub source: Option<Arc<str>>,
    /// Merged over the default details.
    pub details: Vec<(String, Arc<str>)>,
    pub http: HttpConfig,
    pub timeout: Option<Duration>,
}

impl PagerDutyConfig {
    pub fn new(routing_key: SecretSource) -> Self {
        Self {
            send_resolved: None,
            routing_key,
            url: Secret::new(PAGERDUTY_URL),
            client: None,
            client_url: None,
            description: None,
            severity: None,
            class: None,
            component: None,
            group: None,
            source: None,
            details: Vec::new(),
            http: HttpConfig::default(),
            timeout: None,
        }
    }
}

/// A kind of Alertmanager's that we do not deliver to: what is sent to it fails at once, and says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignConfig {
    /// `opsgenie`, `telegram`, …
    pub kind: &'static str,
    /// `None`: the kind's default.
    pub send_resolved: Option<bool>,
    pub send_resolved_default: bool,
}

/// Writes one log line per notification: for trying things out, and as a last resort that cannot fail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogConfig {
    /// `None`: true.
    pub send_resolved: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smarthost_is_read() {
        let check = |text: &str, want: Option<(&str, u16)>| {
            let got = Smarthost::parse(text);
            assert_eq!(got, want.map(|(h, port)| Smarthost { host: h.to_owned(), port }), "{text}");
        };
        check("mail.example.org:587", Some(("mail.example.org", 587)));
        check("[::1]:25", Some(("::1", 25)));
        check("mail.example.org", None);
        check(":25", None);
        check("a:0", None);
        check("a\r\nb:25", None);
    }

    #[test]
    fn an_escalation_hears_of_the_end_unless_told_otherwise() {
        let smarthost = Smarthost { host: "h".into(), port: 25 };
        let mut email = EmailConfig::new("a@example.org", "w@example.org", smarthost);
        let spec = IntegrationConfig::Email(email.clone()).spec(IntegrationId::new("email", 0));
        assert_eq!((spec.send_resolved, spec.send_resolved_pages), (false, true));
        email.send_resolved = Some(false);
        let spec = IntegrationConfig::Email(email).spec(IntegrationId::new("email", 0));
        assert_eq!((spec.send_resolved, spec.send_resolved_pages), (false, false));
    }

    #[test]
    fn debug_shows_no_secret() {
        let mut hook = WebhookConfig::new(SecretSource::inline("https://user:hunter2@example.org/token"));
        hook.hmac_secret = Some(SecretSource::inline("hunter2"));
        hook.http.proxy_url = Some(Secret::new("http://hunter2@proxy"));
        assert!(!format!("{hook:?}").contains("hunter2"));
    }
}
