//! Settings of Slack: Alertmanager's `slack_configs`, and `slack_…` of `global`.
//! In: the mapping of the file. Out: [`SlackConfig`].
//! Never: prints a token, or the URL of an incoming webhook.
//! Start at [`read`].

use super::Slack;
use crate::model::{Secret, SecretSource};
use crate::notify::http::{self, HttpConfig};
use crate::notify::kinds::{Capability, Kind, Repeats};
use crate::notify::settings::{Defaults, IntegrationConfig, Settings, template};
use crate::notify::{Notifier, Renderer, TemplateField};
use crate::yaml::{At, Fields};
use std::sync::Arc;
use std::time::Duration;

pub const KIND: Kind =
    Kind { name: "slack", key: "slack_configs", read, read_global: |global| drop(SlackDefaults::read(global)) };

/// Slack's Web API, used with a bot token.
pub const SLACK_API_URL: &str = "https://slack.com/api/";
/// Alertmanager's way to use a bot token before `app_token`: this URL, with the token as `authorization`.
const CHAT_POST_MESSAGE: &str = "https://slack.com/api/chat.postMessage";

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

impl Settings for SlackConfig {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn send_resolved(&self) -> Option<bool> {
        self.send_resolved
    }

    fn send_resolved_default(&self) -> bool {
        false
    }

    /// A bot edits its first message and continues in its thread, and could look its messages up by the key in their metadata.
    fn capability(&self) -> Capability {
        let bot = matches!(self.destination, SlackDestination::Bot { .. });
        let repeats = if bot { Repeats::Reconcilable } else { Repeats::BestEffort };
        Capability { updates_in_place: bot, threads: bot, acknowledgements: false, repeats }
    }

    fn templates(&self) -> Vec<TemplateField<'_>> {
        let written = [
            ("color", &self.color),
            ("title", &self.title),
            ("title_link", &self.title_link),
            ("pretext", &self.pretext),
            ("text", &self.text),
            ("fallback", &self.fallback),
            ("footer", &self.footer),
        ];
        let written = written.into_iter().filter_map(|(name, text)| Some(TemplateField::new(name, text.as_ref()?)));
        let channel = self.channel.as_deref().map(|channel| TemplateField::new("channel", channel));
        let fields =
            self.fields.iter().flat_map(|f| [&f.title, &f.value]).map(|text| TemplateField::new("fields", text));
        written.chain(channel).chain(fields).collect()
    }

    fn build(&self, renderer: &Renderer) -> Result<Arc<dyn Notifier>, String> {
        Ok(Arc::new(Slack::new(self, renderer.clone())?))
    }
}

/// `slack_…` of `global`.
struct SlackDefaults {
    api_url: Option<At<SecretSource>>,
    app_token: Option<At<SecretSource>>,
    app_url: Secret,
}

impl SlackDefaults {
    fn read(global: &Fields<'_>) -> Self {
        let api_url = global.secret("slack_api_url", "slack_api_url_file");
        if let Some(url) = &api_url {
            http::check_url(global.notes(), "slack_api_url", url);
        }
        Self {
            api_url,
            app_token: global.secret("slack_app_token", "slack_app_token_file"),
            app_url: http::url(global, "slack_app_url").unwrap_or_else(|| Secret::new(SLACK_API_URL)),
        }
    }
}

fn read(f: Fields<'_>, defaults: &Defaults<'_>) -> IntegrationConfig {
    let http_config = defaults.http(&f);
    let destination = slack_destination(&f, SlackDefaults::read(&defaults.global), &http_config);
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
        http: http_config,
        timeout: http::timeout(&f),
        ..SlackConfig::new(destination)
    };
    f.finish();
    IntegrationConfig::new(config)
}

/// `api_url` or `app_token`, here or in `global`; what is written here wins over all of `global`.
fn slack_destination(f: &Fields<'_>, defaults: SlackDefaults, http_config: &HttpConfig) -> Option<SlackDestination> {
    let (notes, at) = (f.notes(), f.at());
    let api_url = f.secret("api_url", "api_url_file");
    let app_token = f.secret("app_token", "app_token_file");
    let app_url = http::url(f, "app_url").unwrap_or(defaults.app_url);
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
        (None, None) => (defaults.api_url, defaults.app_token),
        written => written,
    };
    let update = f.bool("update_message").unwrap_or(false);
    let old_bot = api_url.as_ref().and_then(|url| match &url.value {
        SecretSource::Inline(text) if text.expose() == CHAT_POST_MESSAGE => http_config.authorization.as_ref(),
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
