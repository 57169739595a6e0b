//! Announcements lead to the incidents that their alerts are in, and to the alerts there: in each channel's own words.
//! In: an announcement with the incident that the engine names. Out: what arrived.
//! Never: lets the title of an incident out of its place.
//! Start at [`linked`].

use super::make::{announcement, at, with};
use crate::support::http_sink::{HttpSink, Reply};
use crate::support::smtp_sink::SmtpSink;
use serde_json::json;
use std::sync::Arc;
use watchfire::model::{IncidentId, IncidentLink, Notification, SecretSource};
use watchfire::notify::email::{Email, EmailConfig, Smarthost};
use watchfire::notify::render::NoTemplates;
use watchfire::notify::slack::{Slack, SlackConfig, SlackDestination};
use watchfire::notify::webhook::{Webhook, WebhookConfig};
use watchfire::notify::{Attempt, Notifier, Renderer};

const URL: &str = "http://watchfire.example.org/incidents/INC-7";

fn linked(kind: &str) -> Notification {
    let link = IncidentLink { id: IncidentId(7), url: URL.to_owned(), title: "api <down>".to_owned() };
    with(announcement("k", kind), |message| message.incidents = vec![link])
}

fn renderer() -> Renderer {
    Renderer::new(Arc::new(NoTemplates))
}

async fn send(notifier: &dyn Notifier, notification: &Notification) {
    let attempt = Attempt::first(at("2026-01-02T03:04:07Z"));
    notifier.notify(notification, &attempt).await.expect("delivered");
}

#[tokio::test]
async fn in_a_webhook() {
    let mut sink = HttpSink::always(200).await;
    let config = WebhookConfig::new(SecretSource::inline(&sink.url("/")));
    send(&Webhook::new(&config).expect("a webhook"), &linked("webhook")).await;
    let body = sink.next().await.json();
    assert_eq!(body["incidents"], json!([{ "id": "INC-7", "url": URL, "title": "api <down>" }]));
    assert!(body["incident"].is_null(), "that is what makes it a page: {body}");
}

#[tokio::test]
async fn in_slack() {
    let mut sink = HttpSink::start(|_, _| Reply::With(200, vec![], "ok".to_owned())).await;
    let config = SlackConfig::new(SlackDestination::Webhook(SecretSource::inline(&sink.url("/services/x"))));
    send(&Slack::new(&config, renderer()).expect("slack"), &linked("slack")).await;
    let body = sink.next().await.json();
    let attachment = &body["attachments"][0];
    assert_eq!(attachment["title_link"], URL);
    let text = attachment["text"].as_str().expect("text");
    assert!(text.contains(&format!("- INC-7 api &lt;down&gt;: {URL}\n- alerts of INC-7: {URL}#alerts")), "{text}");
}

#[tokio::test]
async fn in_a_mail() {
    let sink = SmtpSink::start(|_, _| "250 ok").await;
    let smarthost = Smarthost { host: "127.0.0.1".to_owned(), port: sink.address.port() };
    let mut config = EmailConfig::new("ana@example.org", "watchfire@example.org", smarthost);
    config.require_tls = false;
    send(&Email::new(&config, renderer()).expect("email"), &linked("email")).await;
    let mail = sink.mails()[0].unfolded();
    for part in [
        format!("- INC-7 api <down>: {URL}"),
        format!("- alerts of INC-7: {URL}#alerts"),
        "Open the incident</a>".to_owned(),
        "INC-7 api &lt;down&gt;</a>".to_owned(),
        "alerts of INC-7</a>".to_owned(),
    ] {
        assert!(mail.contains(&part), "{part} is not in\n{mail}");
    }
}
