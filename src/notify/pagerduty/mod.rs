//! `PagerDuty` Events API v2: trigger, acknowledge, resolve.
//! In: a notification. Out: one event; the incident's id (or a hash of the group key) is its `dedup_key`, so a repeat is no second one.
//! Never: sends a storm raw; alerts are listed up to a limit.
//! Start at [`PagerDuty`].

mod settings;

pub use settings::{KIND, PAGERDUTY_URL, PagerDutyConfig};

use super::http::HttpDestination;
use super::text::hex;
use super::{Attempt, Delivery, Notifier, NotifyError, NotifyFuture, Renderer, html, text};
use crate::model::{IncidentStatus, Message, Notification, Severity};
use reqwest::header::HeaderMap;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Limits of the Events API.
const SUMMARY_CHARS_MAX: usize = 1024;
const DETAIL_CHARS_MAX: usize = 8192;

pub struct PagerDuty {
    config: PagerDutyConfig,
    destination: HttpDestination,
    renderer: Renderer,
}

impl PagerDuty {
    pub fn new(config: &PagerDutyConfig, renderer: Renderer) -> Result<Self, String> {
        let destination = HttpDestination::new("pagerduty", &config.http, config.timeout)?;
        Ok(Self { config: config.clone(), destination, renderer })
    }

    async fn send(&self, notification: &Notification, attempt: &Attempt) -> Result<Delivery, NotifyError> {
        let routing_key = self.config.routing_key.read().await?;
        let mut event = self.event(&notification.message, &self.renderer.at(attempt.at));
        event["routing_key"] = Value::String(routing_key.expose().to_owned());
        let body = serde_json::to_vec(&event).expect("a JSON tree with string keys is serialisable");
        self.destination.post(&self.config.url, HeaderMap::new(), body, &[&routing_key]).await?;
        Ok(Delivery { external_ref: event["dedup_key"].as_str().map(Into::into) })
    }

    fn event(&self, message: &Message, render: &Renderer) -> Value {
        let config = &self.config;
        let action = action(message);
        let mut event = json!({"event_action": action, "dedup_key": dedup_key(message)});
        if action != "trigger" {
            return event;
        }
        let summary = render.line("description", config.description.as_ref(), message, || summary(message));
        let first = |name: &str| message.alerts.first().map_or("", |a| a.labels.value(name)).to_owned();
        let source = render.line("source", config.source.as_ref(), message, || {
            [first("instance"), message.external_url.to_string(), "watchfire".to_owned()]
                .into_iter()
                .find(|s| !s.is_empty())
                .unwrap_or_default()
        });
        let mut payload = Map::new();
        payload.insert("summary".to_owned(), json!(text::cut(&summary, SUMMARY_CHARS_MAX)));
        payload.insert("source".to_owned(), json!(source));
        payload.insert("severity".to_owned(), json!(self.severity(message, render)));
        if let Some(since) = message.alerts.iter().filter(|a| a.ended_at.is_none()).map(|a| a.starts_at).min() {
            payload.insert("timestamp".to_owned(), json!(since.to_rfc3339()));
        }
        for (name, template) in [("class", &config.class), ("component", &config.component), ("group", &config.group)] {
            if let Some(value) = render.optional(name, template.as_ref(), message) {
                payload.insert(name.to_owned(), json!(value));
            }
        }
        payload.insert("custom_details".to_owned(), self.details(message, render));
        event["payload"] = Value::Object(payload);
        let client: Option<String> = render.optional("client", config.client.as_ref(), message);
        event["client"] = json!(client.unwrap_or_else(|| "Watchfire".to_owned()));
        let link = text::link(message);
        let client_url = render.line("client_url", config.client_url.as_ref(), message, || link.to_owned());
        if html::is_web_link(&client_url) {
            event["client_url"] = json!(client_url);
        }
        if html::is_web_link(link) {
            event["links"] = json!([{"href": link, "text": "Watchfire"}]);
        }
        event
    }

    /// `PagerDuty` knows four words; a template that says another is not obeyed.
    fn severity(&self, message: &Message, render: &Renderer) -> String {
        let default = || match text::severity(message) {
            Severity::Critical => "critical",
            Severity::High => "error",
            Severity::Medium => "warning",
            Severity::Low | Severity::Info => "info",
        };
        let said = render.optional("severity", self.config.severity.as_ref(), message);
        let said = said.map(|s| s.trim().to_lowercase());
        said.filter(|s| ["critical", "error", "warning", "info"].contains(&s.as_str()))
            .unwrap_or_else(|| default().to_owned())
    }

    fn details(&self, message: &Message, render: &Renderer) -> Value {
        let list = |firing: bool| {
            let alerts = message.alerts.iter().filter(|a| a.ended_at.is_none() == firing);
            let lines: Vec<String> = alerts.take(text::ALERTS_LISTED_MAX).map(text::alert_line).collect();
            text::cut(&lines.join("\n"), DETAIL_CHARS_MAX)
        };
        let firing = message.alerts.iter().filter(|a| a.ended_at.is_none()).count();
        let mut details = Map::new();
        details.insert("firing".to_owned(), json!(list(true)));
        details.insert("resolved".to_owned(), json!(list(false)));
        details.insert("num_firing".to_owned(), json!(firing));
        details.insert("num_resolved".to_owned(), json!(message.alerts.len() - firing));
        if let Some(incident) = &message.incident {
            details.insert("incident".to_owned(), json!(incident.id.to_string()));
            details.insert("reason".to_owned(), json!(incident.reason));
        }
        for (name, template) in &self.config.details {
            let template: &Arc<str> = template;
            let value = render.text("details", Some(template), message, String::new);
            details.insert(name.clone(), json!(text::cut(&value, DETAIL_CHARS_MAX)));
        }
        Value::Object(details)
    }
}

impl Notifier for PagerDuty {
    fn notify<'a>(&'a self, notification: &'a Notification, attempt: &'a Attempt) -> NotifyFuture<'a> {
        Box::pin(self.send(notification, attempt))
    }

    fn kind(&self) -> &'static str {
        KIND.name
    }
}

fn action(message: &Message) -> &'static str {
    match message.incident.as_ref().map(|i| i.status) {
        Some(IncidentStatus::Acknowledged) => "acknowledge",
        Some(IncidentStatus::Resolved) => "resolve",
        Some(IncidentStatus::Triggered) => "trigger",
        None if message.firing => "trigger",
        None => "resolve",
    }
}

fn dedup_key(message: &Message) -> String {
    match &message.incident {
        Some(incident) => incident.id.to_string(),
        None => hex(&Sha256::digest(message.group_key.as_bytes())),
    }
}

/// The API's summary is read aloud on the phone: the sentence without the link.
fn summary(message: &Message) -> String {
    match &message.incident {
        Some(incident) => format!("{} {}", incident.id, text::one_line(&incident.title)),
        None => text::title(message),
    }
}
