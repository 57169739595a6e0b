//! `receivers`: Alertmanager's receivers, of the kinds that can deliver.
//! In: the list and [`Global`], whose values fill in what a receiver leaves out. Out: [`Receiver`]s.
//! Never: makes a receiver that looks configured and tells nobody: kinds that cannot deliver are listed, and
//! `check` says so. Where a mistake was noted the value returned is a stand-in that is never used.
//! Start at [`receivers`].

use super::fields::{At, Fields};
use super::foreign;
use super::global::{self, Global};
use super::http;
use super::yaml::Position;
use crate::model::Secret;
use crate::notify::addresses;
use crate::notify::settings::{
    EmailConfig, HttpConfig, LogConfig, PagerDutyConfig, SlackConfig, SlackDestination, SlackField, Smarthost,
    WebhookConfig,
};
use crate::notify::{IntegrationConfig, ReceiverConfig, SecretSource};
use std::sync::Arc;
use std::time::Duration;

/// How many alerts a webhook may be told at once.
const MAX_ALERTS_MAX: u64 = 1_000_000;
/// Alertmanager's way to use a bot token before `app_token`: this URL, with the token as `authorization`.
const CHAT_POST_MESSAGE: &str = "https://slack.com/api/chat.postMessage";

/// A receiver, and what of it cannot deliver.
#[derive(Clone, Debug)]
pub struct Receiver {
    pub at: Position,
    pub config: ReceiverConfig,
    /// Where each of its integrations is written.
    pub places: Vec<Position>,
    /// Kinds that Alertmanager knows and Watchfire does not deliver to (`opsgenie`), and where they are written.
    pub foreign: Vec<At<&'static str>>,
}

/// Reads the list `receivers` of the whole file.
pub fn receivers(root: &Fields<'_>, global: &Global) -> Vec<Receiver> {
    let mut out: Vec<Receiver> = Vec::new();
    for f in root.each("receivers") {
        let receiver = receiver(f, global);
        if !receiver.config.name.is_empty() && out.iter().any(|r| r.config.name == receiver.config.name) {
            root.notes().mistake_with(
                receiver.at,
                format!("notification config name {:?} is not unique", receiver.config.name),
                "give each receiver a name of its own",
            );
        }
        out.push(receiver);
    }
    out
}

fn receiver(f: Fields<'_>, global: &Global) -> Receiver {
    let name = f.filled("name");
    if name.is_none() {
        f.notes().mistake_with(f.at(), "missing name in receiver", "write name: and refer to it from a route");
    }
    // Labels of receivers are shown by Alertmanager's API only.
    f.pairs("labels");
    let (mut integrations, mut places) = (Vec::new(), Vec::new());
    let mut add = |key, read: fn(Fields<'_>, &Global) -> IntegrationConfig| {
        for c in f.each(key) {
            places.push(c.at());
            integrations.push(read(c, global));
        }
    };
    add("webhook_configs", webhook);
    add("email_configs", email);
    add("pagerduty_configs", pagerduty);
    add("slack_configs", slack);
    add("log_configs", log);
    let mut foreign = Vec::new();
    for integration in foreign::read(&f, global) {
        foreign.push(At { value: integration.value.kind(), at: integration.at });
        places.push(integration.at);
        integrations.push(integration.value);
    }
    let out = Receiver {
        at: name.map_or(f.at(), |n| n.at),
        config: ReceiverConfig { name: Arc::from(name.map_or("", |n| n.value)), integrations },
        places,
        foreign,
    };
    f.finish();
    out
}

fn log(f: Fields<'_>, _: &Global) -> IntegrationConfig {
    let log = LogConfig { send_resolved: f.bool("send_resolved") };
    f.finish();
    IntegrationConfig::Log(log)
}

fn http_config(f: &Fields<'_>, global: &Global) -> HttpConfig {
    f.fields("http_config").map_or_else(|| global.http.clone(), http::http)
}

fn timeout(f: &Fields<'_>) -> Option<Duration> {
    f.duration("timeout").map(|d| d.value).filter(|d| !d.is_zero())
}

/// A template or plain text that is used when it is written.
fn template(f: &Fields<'_>, key: &'static str) -> Option<Arc<str>> {
    f.text(key).map(|t| Arc::from(t.value))
}

fn webhook(f: Fields<'_>, global: &Global) -> IntegrationConfig {
    let url = f.secret("url", "url_file");
    match &url {
        Some(url) => http::check_url(f.notes(), "url", url),
        None => f.notes().mistake_with(
            f.at(),
            "one of url or url_file must be configured",
            "write url: http://… or url_file: with the path of a file that holds it",
        ),
    }
    f.unsupported(&["payload"], "the body is Alertmanager's version 4");
    let mut hook = WebhookConfig::new(url.map_or_else(|| SecretSource::inline(""), |u| u.value));
    hook.send_resolved = f.bool("send_resolved");
    hook.max_alerts = f.count("max_alerts", MAX_ALERTS_MAX).map_or(0, |n| n.value as usize);
    hook.timeout = timeout(&f);
    hook.http = http_config(&f, global);
    hook.hmac_secret = f.secret("hmac_secret", "hmac_secret_file").map(|s| s.value);
    f.finish();
    IntegrationConfig::Webhook(hook)
}

fn email(f: Fields<'_>, global: &Global) -> IntegrationConfig {
    let smtp = &global.smtp;
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
    let smarthost = global::smarthost(&f, "smarthost").or_else(|| smtp.smarthost.clone().filter(|_| !written));
    if smarthost.is_none() && !written {
        notes.mistake_with(
            at,
            "no global SMTP smarthost set",
            "write smarthost: host:port here or smtp_smarthost: in global",
        );
    }
    if let Some(secret) = f.filled("auth_secret").or(f.filled("auth_secret_file")) {
        global::cram_md5(&f, secret.at);
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
        timeout: timeout(&f),
        ..EmailConfig::new(&to, &from, smarthost.unwrap_or_else(|| Smarthost { host: String::new(), port: 25 }))
    };
    f.finish();
    IntegrationConfig::Email(email)
}

fn pagerduty(f: Fields<'_>, global: &Global) -> IntegrationConfig {
    let routing = f.secret("routing_key", "routing_key_file");
    let service = f.secret("service_key", "service_key_file");
    if routing.is_none() && service.is_none() {
        f.notes().mistake_with(
            f.at(),
            "missing service or routing key in PagerDuty config",
            "write routing_key_file: (or routing_key:) with the integration key of Events API v2",
        );
    }
    f.unused(&["images", "links"]);
    let key = routing.or(service).map_or_else(|| SecretSource::inline(""), |k| k.value);
    let config = PagerDutyConfig {
        send_resolved: f.bool("send_resolved"),
        url: global::url(&f, "url").unwrap_or_else(|| global.pagerduty_url.clone()),
        client: template(&f, "client"),
        client_url: template(&f, "client_url"),
        description: template(&f, "description"),
        severity: template(&f, "severity"),
        class: template(&f, "class"),
        component: template(&f, "component"),
        group: template(&f, "group"),
        source: template(&f, "source"),
        details: f.pairs("details").iter().map(|(k, v)| (k.value.to_owned(), Arc::from(v.value))).collect(),
        http: http_config(&f, global),
        timeout: timeout(&f),
        ..PagerDutyConfig::new(key)
    };
    f.finish();
    IntegrationConfig::PagerDuty(config)
}

fn slack(f: Fields<'_>, global: &Global) -> IntegrationConfig {
    let http = http_config(&f, global);
    let destination = slack_destination(&f, global, &http);
    f.unused(&[
        "callback_id",
        "image_url",
        "thumb_url",
        "link_names",
        "mrkdwn_in",
        "actions",
        "short_fields",
        "message_text",
    ]);
    let text = |key| f.filled(key).map(|t: At<&str>| t.value.to_owned());
    let channel = text("channel");
    if channel.is_none() && matches!(destination, Some(SlackDestination::Bot { .. })) {
        f.notes().mistake_with(f.at(), "missing channel in Slack config", "a bot token needs channel: #name or an id");
    }
    let fields = f.each("fields").into_iter().map(slack_field).collect();
    let destination = destination.unwrap_or_else(|| SlackDestination::Webhook(SecretSource::inline("")));
    let config = SlackConfig {
        send_resolved: f.bool("send_resolved"),
        channel,
        username: text("username"),
        icon_emoji: text("icon_emoji"),
        icon_url: text("icon_url"),
        color: template(&f, "color"),
        title: template(&f, "title"),
        title_link: template(&f, "title_link"),
        pretext: template(&f, "pretext"),
        text: template(&f, "text"),
        fallback: template(&f, "fallback"),
        footer: template(&f, "footer"),
        fields,
        http,
        timeout: timeout(&f),
        ..SlackConfig::new(destination)
    };
    f.finish();
    IntegrationConfig::Slack(config)
}

/// `api_url` or `app_token`, here or in `global`; what is written here wins over all of `global`.
fn slack_destination(f: &Fields<'_>, global: &Global, http: &HttpConfig) -> Option<SlackDestination> {
    let (notes, at) = (f.notes(), f.at());
    let api_url = f.secret("api_url", "api_url_file");
    let app_token = f.secret("app_token", "app_token_file");
    let app_url = global::url(f, "app_url").unwrap_or_else(|| global.slack_app_url.clone());
    if let Some(url) = &api_url {
        http::check_url(notes, "api_url", url);
    }
    if let (Some(_), Some(token)) = (&api_url, &app_token) {
        notes.mistake_with(
            token.at,
            "at most one of api_url/api_url_file & app_token/app_token_file must be configured",
            "an incoming webhook needs api_url alone, a bot its app_token alone",
        );
    }
    let (api_url, app_token) = match (api_url, app_token) {
        (None, None) => (global.slack_api_url.clone(), global.slack_app_token.clone()),
        written => written,
    };
    let update = f.bool("update_message").unwrap_or(false);
    let old_bot = api_url.as_ref().and_then(|url| match &url.value {
        SecretSource::Inline(text) if text.expose() == CHAT_POST_MESSAGE => http.authorization.as_ref(),
        _ => None,
    });
    let (url, token) = match (old_bot, api_url, app_token) {
        (Some(authorization), ..) => (None, Some(authorization.credentials.clone())),
        // A token serves pages better than a webhook does: messages can be updated and threads used.
        (None, _, Some(token)) => (None, Some(token.value)),
        (None, url, None) => (url, None),
    };
    if update && token.is_none() {
        notes.mistake_with(
            at,
            "update_message can only be used with bot tokens. api_url must be set to https://slack.com/api/chat.postMessage",
            "write app_token_file: with a bot token; messages are then always updated in place",
        );
    }
    match (url, token) {
        (_, Some(token)) => Some(SlackDestination::Bot { token, api_url: with_slash(&app_url) }),
        (Some(url), None) => Some(SlackDestination::Webhook(url.value)),
        (None, None) => {
            notes.mistake_with(
                at,
                "no Slack API URL nor App token set either inline or in a file",
                "write api_url_file: (incoming webhook) or app_token_file: (bot), here or as slack_… in global",
            );
            None
        }
    }
}

/// The base of Slack's Web API; Alertmanager writes the whole method there.
fn with_slash(url: &Secret) -> Secret {
    let text = url.expose().trim_end_matches("chat.postMessage").trim_end_matches('/');
    Secret::new(format!("{text}/"))
}

fn slack_field(f: Fields<'_>) -> SlackField {
    let field = SlackField {
        title: Arc::from(f.filled("title").map_or("", |t| t.value)),
        value: Arc::from(f.filled("value").map_or("", |t| t.value)),
        short: f.bool("short").unwrap_or(false),
    };
    if field.title.is_empty() {
        f.notes().mistake_with(f.at(), "missing title in Slack field configuration", "write title:");
    }
    if field.value.is_empty() {
        f.notes().mistake_with(f.at(), "missing value in Slack field configuration", "write value:");
    }
    f.finish();
    field
}
