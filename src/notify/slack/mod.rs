//! Slack: an incoming webhook, or a bot token that updates its message in place and continues in its thread.
//! In: a notification. Out: one message; `channel:ts` as its name for later ones.
//! Never: lets an alert's text mention, shout or link.
//! Start at [`Slack`].

mod mrkdwn;
mod settings;

pub use settings::{KIND, SLACK_API_URL, SlackConfig, SlackDestination, SlackField};

use self::mrkdwn::{escape, escaped_message};
use super::http::{Answer, HttpConfig, HttpDestination};
use super::{Attempt, Delivery, Notifier, NotifyError, NotifyFuture, Renderer, html, text};
use crate::model::{Message, Notification, Secret, SecretSource};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Slack cuts attachment text near 8,000 characters and folds it long before; ours is cut with a word about it.
const TEXT_CHARS_MAX: usize = 3000;
const TITLE_CHARS_MAX: usize = 1024;
/// Errors of the Web API that pass by themselves; all others need a person.
const TEMPORARY_ERRORS: [&str; 8] = [
    "ratelimited",
    "rate_limited",
    "message_limit_exceeded",
    "internal_error",
    "fatal_error",
    "service_unavailable",
    "request_timeout",
    "team_added_to_org",
];

pub struct Slack {
    config: SlackConfig,
    destination: HttpDestination,
    renderer: Renderer,
}

impl Slack {
    pub fn new(config: &SlackConfig, renderer: Renderer) -> Result<Self, String> {
        let mut http = config.http.clone();
        if matches!(config.destination, SlackDestination::Bot { .. }) {
            // The token is the only credential that goes to the Web API.
            http = HttpConfig { basic_auth: None, authorization: None, ..http };
            if config.channel.is_none() {
                return Err("channel is required with a bot token".to_owned());
            }
        }
        let destination = HttpDestination::new("slack", &http, config.timeout)?;
        Ok(Self { config: config.clone(), destination, renderer })
    }

    async fn send(&self, notification: &Notification, attempt: &Attempt) -> Result<Delivery, NotifyError> {
        let message = escaped_message(&notification.message);
        let mut payload = self.payload(&message, &self.renderer.at(attempt.at));
        match &self.config.destination {
            SlackDestination::Webhook(url) => {
                let url = url.read().await?;
                let answer = self.destination.post(&url, HeaderMap::new(), bytes(&payload), &[]).await?;
                // Incoming webhooks say `ok`; some gateways answer 200 with the Web API's `{"ok":false}`.
                api_result(&answer)?;
                Ok(Delivery::default())
            }
            SlackDestination::Bot { token, api_url } => {
                payload.insert(
                    "metadata".to_owned(),
                    json!({"event_type": "watchfire_notification", "event_payload": {"key": notification.key.0.as_ref()}}),
                );
                let bot = Bot { destination: &self.destination, token, api_url };
                bot.deliver(payload, &message, attempt).await
            }
        }
    }

    /// What `chat.postMessage` and incoming webhooks have in common. `message` is escaped already.
    fn payload(&self, message: &Message, render: &Renderer) -> Map<String, Value> {
        let config = &self.config;
        let link = text::link(message);
        let default_link = || if html::is_web_link(link) { link.to_owned() } else { String::new() };
        let title = render.line("title", config.title.as_ref(), message, || text::title(message));
        let title = text::cut(&title, TITLE_CHARS_MAX);
        let body = render.text("text", config.text.as_ref(), message, || text::plain(message));
        let mut attachment = Map::new();
        let mut put = |name: &str, value: String| {
            if !value.is_empty() {
                attachment.insert(name.to_owned(), Value::String(value));
            }
        };
        put("fallback", render.line("fallback", config.fallback.as_ref(), message, || title.clone()));
        put("title", title);
        put("title_link", render.line("title_link", config.title_link.as_ref(), message, default_link));
        put("pretext", render.optional("pretext", config.pretext.as_ref(), message).unwrap_or_default());
        put("text", text::cut(&body, TEXT_CHARS_MAX));
        put("footer", render.optional("footer", config.footer.as_ref(), message).unwrap_or_default());
        put("color", render.line("color", config.color.as_ref(), message, || html::colour(message).to_owned()));
        let fields: Vec<Value> = config
            .fields
            .iter()
            .map(|field| {
                let say = |template| render.text("fields", Some(template), message, String::new);
                json!({"title": say(&field.title), "value": say(&field.value), "short": field.short})
            })
            .collect();
        if !fields.is_empty() {
            attachment.insert("fields".to_owned(), Value::Array(fields));
        }
        attachment.insert("mrkdwn_in".to_owned(), json!(["fallback", "pretext", "text"]));

        let mut payload = Map::new();
        let channel: Option<Arc<str>> = config.channel.as_deref().map(Into::into);
        let mut optional = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                payload.insert(name.to_owned(), Value::String(value));
            }
        };
        optional("channel", render.optional("channel", channel.as_ref(), message));
        optional("username", config.username.clone());
        optional("icon_emoji", config.icon_emoji.clone());
        optional("icon_url", config.icon_url.clone());
        payload.insert("attachments".to_owned(), Value::Array(vec![Value::Object(attachment)]));
        payload
    }
}

impl Notifier for Slack {
    fn notify<'a>(&'a self, notification: &'a Notification, attempt: &'a Attempt) -> NotifyFuture<'a> {
        Box::pin(self.send(notification, attempt))
    }

    fn kind(&self) -> &'static str {
        KIND.name
    }
}

const THREAD_GONE: &str = "thread_not_found";

/// What the Web API did not do.
enum Refusal {
    /// The message that a thread hangs from was deleted: begin anew.
    ThreadGone,
    Error(NotifyError),
}

impl From<NotifyError> for Refusal {
    fn from(error: NotifyError) -> Self {
        Self::Error(error)
    }
}

impl From<Refusal> for NotifyError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::ThreadGone => Self::permanent(format!("slack answered {THREAD_GONE}")),
            Refusal::Error(error) => error,
        }
    }
}

/// The Web API, as the bot.
struct Bot<'a> {
    destination: &'a HttpDestination,
    token: &'a SecretSource,
    api_url: &'a Secret,
}

impl Bot<'_> {
    /// The first message is posted; later ones add a line to its thread (which notifies its readers) and bring the first up to date
    /// (which does not). A first message that is gone is posted anew.
    async fn deliver(
        &self,
        mut payload: Map<String, Value>,
        message: &Message,
        attempt: &Attempt,
    ) -> Result<Delivery, NotifyError> {
        let previous = attempt.previous_ref.as_deref().and_then(|r| r.split_once(':').map(|parts| (r, parts)));
        let Some((reference, (channel, ts))) = previous else {
            let answer = self.call("chat.postMessage", &payload).await?;
            return Ok(Delivery { external_ref: reference_of(&answer) });
        };
        let mut line = text::sentence(message);
        if let Some(reason) = message.incident.as_ref().map(|i| &i.reason).filter(|r| !r.is_empty()) {
            line.push('\n');
            line.push_str(reason);
        }
        let mut reply = json!({"channel": channel, "thread_ts": ts, "text": text::cut(&line, TEXT_CHARS_MAX)});
        // An escalation is broadcast to the channel: readers of the thread did not answer.
        let escalates = message.firing && message.incident.as_ref().is_some_and(|i| i.step > 1 || i.round > 1);
        reply["reply_broadcast"] = Value::Bool(escalates);
        if let (Some(metadata), Some(reply)) = (payload.get("metadata"), reply.as_object_mut()) {
            reply.insert("metadata".to_owned(), metadata.clone());
        }
        let reply = reply.as_object().cloned().unwrap_or_default();
        match self.call("chat.postMessage", &reply).await {
            Err(Refusal::ThreadGone) => {
                let answer = self.call("chat.postMessage", &payload).await?;
                return Ok(Delivery { external_ref: reference_of(&answer) });
            }
            other => other?,
        };
        payload.insert("channel".to_owned(), json!(channel));
        payload.insert("ts".to_owned(), json!(ts));
        // The reply has been delivered; an outdated first message is no reason to send it again.
        if let Err(error) = self.call("chat.update", &payload).await.map_err(NotifyError::from) {
            tracing::warn!(receiver = %message.receiver, %error, "slack message could not be updated in place");
        }
        Ok(Delivery { external_ref: Some(reference.into()) })
    }

    async fn call(&self, method: &str, payload: &Map<String, Value>) -> Result<Value, Refusal> {
        let token = self.token.read().await?;
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
            .map_err(|_| NotifyError::permanent("slack: the token holds a control character"))?;
        bearer.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, bearer);
        let url = Secret::new(format!("{}{method}", self.api_url.expose()));
        let answer = self.destination.post(&url, headers, bytes(payload), &[&token]).await?;
        api_result(&answer)
    }
}

fn bytes(payload: &Map<String, Value>) -> Vec<u8> {
    serde_json::to_vec(payload).expect("a JSON tree with string keys is serialisable")
}

/// `{"ok":false,"error":"…"}` comes with status 200.
fn api_result(answer: &Answer) -> Result<Value, Refusal> {
    let value: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    if value["ok"] != Value::Bool(false) {
        return Ok(value);
    }
    let error = value["error"].as_str().unwrap_or("no reason given");
    if error == THREAD_GONE {
        return Err(Refusal::ThreadGone);
    }
    let reason = format!("slack answered {}", text::cut(&escape(&text::one_line(error)), 200));
    Err(if TEMPORARY_ERRORS.contains(&error) {
        NotifyError::Temporary { reason, retry_after: answer.retry_after }
    } else {
        NotifyError::Permanent { reason }
    }
    .into())
}

fn reference_of(answer: &Value) -> Option<Arc<str>> {
    let (channel, ts) = (answer["channel"].as_str()?, answer["ts"].as_str()?);
    Some(format!("{channel}:{ts}").into())
}
