//! Each channel against a fake receiver.
//! In: one notification. Out: what arrived, or which error.
//! Never: goes through the loop `deliver`.
//! Start at [`webhook_body_is_alertmanagers_with_the_incident`].

use super::make::{alert, announcement, at, page, update, with};
use crate::support::http_sink::{HttpSink, Reply};
use crate::support::smtp_sink::SmtpSink;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use watchfire::model::{IncidentStatus, Labels, Notification, Secret, SecretSource};
use watchfire::notify::email::{Email, EmailConfig, Smarthost};
use watchfire::notify::http::{Authorization, BasicAuth};
use watchfire::notify::pagerduty::{PagerDuty, PagerDutyConfig};
use watchfire::notify::render::NoTemplates;
use watchfire::notify::slack::{Slack, SlackConfig, SlackDestination, SlackField};
use watchfire::notify::webhook::{Webhook, WebhookConfig, signature};
use watchfire::notify::{Attempt, Delivery, Notifier, NotifyError, Renderer, Templates};

fn renderer() -> Renderer {
    Renderer::new(Arc::new(NoTemplates))
}

/// The real template engine.
fn templates() -> Renderer {
    Renderer::new(Arc::new(Templates::default()))
}

fn attempt() -> Attempt {
    Attempt::first(at("2026-01-02T03:04:07Z"))
}

fn following(reference: &str) -> Attempt {
    Attempt { previous_ref: Some(reference.into()), ..attempt() }
}

async fn send(notifier: &dyn Notifier, notification: &Notification) -> Result<Delivery, NotifyError> {
    notifier.notify(notification, &attempt()).await
}

fn webhook(url: &str, change: impl FnOnce(&mut WebhookConfig)) -> Webhook {
    let mut config = WebhookConfig::new(SecretSource::inline(url));
    change(&mut config);
    Webhook::new(&config).expect("a webhook")
}

#[tokio::test]
async fn webhook_body_is_alertmanagers_with_the_incident() {
    let mut sink = HttpSink::always(200).await;
    let hook = webhook(&sink.url("/first"), |_| {});
    send(&hook, &announcement("k1", "webhook")).await.expect("delivered");
    let got = sink.next().await;
    assert_eq!(got.path, "/first");
    assert_eq!(got.header("content-type"), "application/json");
    assert_eq!(got.header("idempotency-key"), "k1");
    assert_eq!(got.header("x-attempt"), "1");
    assert_eq!(got.header("user-agent"), concat!("Watchfire/", env!("CARGO_PKG_VERSION")));
    let alert = |instance: &str, status: &str, ends: &str, fingerprint: &str| {
        json!({
            "status": status,
            "labels": {"alertname": "Down", "instance": instance, "severity": "critical"},
            "annotations": {"summary": "it is <down> & out"},
            "startsAt": "2026-01-02T03:04:05.000Z",
            "endsAt": ends,
            "generatorURL": "http://prom:9090/graph?g0.expr=up",
            "fingerprint": fingerprint,
        })
    };
    let prints: Vec<String> =
        announcement("", "").message.alerts.iter().map(|alert| alert.fingerprint.to_string()).collect();
    let mut want = json!({
        "version": "4",
        "groupKey": "{}:{alertname=\"Down\"}",
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "team.ops",
        "groupLabels": {"alertname": "Down"},
        "commonLabels": {"alertname": "Down", "severity": "critical"},
        "commonAnnotations": {"summary": "it is <down> & out"},
        "externalURL": "http://watchfire.example.org",
        "alerts": [
            alert("a:9100", "firing", "0001-01-01T00:00:00Z", &prints[0]),
            alert("b:9100", "resolved", "2026-01-02T03:14:05.000Z", &prints[1]),
        ],
    });
    assert_eq!(got.json(), want);

    send(&hook, &page("k2", "webhook", 7)).await.expect("delivered");
    let got = sink.next().await;
    want["alerts"] = json!([alert("a:9100", "firing", "0001-01-01T00:00:00Z", &prints[0])]);
    want["incident"] = json!({
        "id": "INC-7", "url": "http://watchfire.example.org/incidents/INC-7", "status": "triggered", "severity": "critical",
        "title": "checkout is down", "step": 1, "round": 1, "reason": "step 1 of policy default", "held_back": 0,
    });
    assert_eq!(got.json(), want);
    assert_eq!(sink.connections(), 1, "the connection is used again");
}

#[tokio::test]
async fn webhook_cuts_what_is_too_much_and_says_so() {
    let mut sink = HttpSink::always(204).await;
    let hook = webhook(&sink.url("/"), |c| c.max_alerts = 2);
    let alerts = (0..5).map(|i| alert("Down", &format!("h{i}"), false)).collect();
    let many = with(announcement("k", "webhook"), |m| {
        m.alerts = alerts;
        m.truncated_alerts = 3;
    });
    send(&hook, &many).await.expect("delivered");
    let body = sink.next().await.json();
    assert_eq!((body["alerts"].as_array().map(Vec::len), &body["truncatedAlerts"]), (Some(2), &json!(6)));
}

#[tokio::test]
async fn webhook_is_signed_and_authorized() {
    let mut sink = HttpSink::always(200).await;
    let folder = tempfile::tempdir().expect("a folder");
    let token_file = folder.path().join("token");
    std::fs::write(&token_file, "first-token\n").expect("written");
    let hook = webhook(&sink.url("/"), |c| {
        c.hmac_secret = Some(SecretSource::inline("key"));
        let credentials = SecretSource::File(token_file.clone());
        c.http.authorization = Some(Authorization { scheme: "Bearer".to_owned(), credentials });
    });
    send(&hook, &page("k", "webhook", 1)).await.expect("delivered");
    let got = sink.next().await;
    assert_eq!(got.header("authorization"), "Bearer first-token");
    assert_eq!(got.header("x-watchfire-signature"), signature(&Secret::new("key"), attempt().at, &got.body));
    // The file is read again at each send.
    std::fs::write(&token_file, "second-token").expect("written");
    send(&hook, &page("k", "webhook", 1)).await.expect("delivered");
    assert_eq!(sink.next().await.header("authorization"), "Bearer second-token");
    std::fs::remove_file(&token_file).expect("removed");
    let error = send(&hook, &page("k", "webhook", 1)).await.expect_err("no token");
    assert!(matches!(error, NotifyError::Temporary { .. }), "{error}");

    let hook = webhook(&sink.url("/"), |c| {
        let password = Some(SecretSource::inline("hunter22"));
        c.http.basic_auth = Some(BasicAuth { username: "ana".to_owned(), password });
    });
    send(&hook, &page("k", "webhook", 1)).await.expect("delivered");
    assert_eq!(sink.next().await.header("authorization"), "Basic YW5hOmh1bnRlcjIy");
}

#[tokio::test]
async fn answers_are_told_apart() {
    /// `want`: `None` is permanent; else the seconds that were asked for, 0 when none were.
    async fn check(status: u16, headers: Vec<(&'static str, String)>, want: Option<u64>) {
        let sink = HttpSink::start(move |_, _| Reply::With(status, headers.clone(), "because".to_owned())).await;
        let error = send(&webhook(&sink.url("/"), |_| {}), &page("k", "webhook", 1)).await.expect_err("refused");
        assert!(error.to_string().contains(&status.to_string()) && error.to_string().contains("because"), "{error}");
        let got = match error {
            NotifyError::Temporary { retry_after, .. } => Some(retry_after.map_or(0, |pause| pause.as_secs())),
            NotifyError::Permanent { .. } => None,
        };
        assert_eq!(got, want, "{status}");
    }
    for status in [500, 502, 504, 408] {
        check(status, vec![], Some(0)).await;
    }
    check(503, vec![("retry-after", "7".to_owned())], Some(7)).await;
    check(429, vec![("retry-after", "30".to_owned())], Some(30)).await;
    for status in [400, 401, 403, 404, 410, 422] {
        check(status, vec![], None).await;
    }
    // Nobody listens there any more.
    let gone = HttpSink::always(200).await.url("/").replace("http://127.0.0.1", "http://127.0.0.2");
    let error = send(&webhook(&gone, |_| {}), &page("k", "webhook", 1)).await.expect_err("refused");
    assert!(matches!(error, NotifyError::Temporary { .. }), "{error}");
}

#[tokio::test]
async fn a_receiver_that_never_answers_is_temporary() {
    let sink = HttpSink::start(|_, _| Reply::Hang).await;
    let hook = webhook(&sink.url("/"), |c| c.timeout = Some(Duration::from_millis(50)));
    let error = send(&hook, &page("k", "webhook", 1)).await.expect_err("no answer");
    assert!(matches!(&error, NotifyError::Temporary { reason, .. } if reason.contains("no answer in time")), "{error}");
}

#[tokio::test]
async fn redirects_carry_nothing_elsewhere() {
    let mut thief = HttpSink::always(200).await;
    let elsewhere = thief.url("/steal");
    let mut sink = HttpSink::start(move |_, request| match request.path.as_str() {
        "/out" => Reply::With(307, vec![("location", elsewhere.clone())], String::new()),
        "/in" => Reply::With(307, vec![("location", "/there".to_owned())], String::new()),
        _ => Reply::status(200),
    })
    .await;
    for follow in [false, true] {
        let hook = webhook(&sink.url("/out"), |c| c.http.follow_redirects = follow);
        let error = send(&hook, &page("k", "webhook", 1)).await.expect_err("not followed");
        assert!(matches!(error, NotifyError::Permanent { .. }), "{error}");
    }
    assert!(thief.taken_so_far().is_empty());
    let hook = webhook(&sink.url("/in"), |c| c.http.follow_redirects = true);
    send(&hook, &page("k", "webhook", 1)).await.expect("followed within the host");
    assert_eq!(sink.taken_so_far().last().map(|r| r.path.clone()), Some("/there".to_owned()));
}

#[tokio::test]
async fn private_destinations_are_refused_where_that_is_wanted() {
    let mut sink = HttpSink::always(200).await;
    let by_name = sink.url("/").replace("127.0.0.1", "localhost");
    for url in [sink.url("/"), by_name] {
        let hook = webhook(&url, |c| c.http.deny_private = true);
        send(&hook, &page("k", "webhook", 1)).await.expect_err("refused");
    }
    assert!(sink.taken_so_far().is_empty());
}

#[tokio::test]
async fn no_error_shows_a_secret() {
    let secrets = ["hunter22", "secret-path", "hmac-key-1", "bearer-1234"];
    let sink = HttpSink::start(|_, request| {
        let mut echo = format!("{} {:?} hmac-key-1 hunter22", request.path, request.headers);
        echo.push_str(&String::from_utf8_lossy(&request.body));
        Reply::With(400, vec![], echo)
    })
    .await;
    let url = format!("http://ana:hunter22@{}/secret-path/x", sink.address);
    let change = |c: &mut WebhookConfig| {
        c.hmac_secret = Some(SecretSource::inline("hmac-key-1"));
        let credentials = SecretSource::inline("bearer-1234");
        c.http.authorization = Some(Authorization { scheme: "Bearer".to_owned(), credentials });
    };
    let dead = "http://ana:hunter22@127.0.0.1:1/secret-path/x".to_owned();
    for url in [url, dead, "ftp://ana:hunter22@x/secret-path".to_owned(), "secret-path hunter22".to_owned()] {
        let error = send(&webhook(&url, change), &page("k", "webhook", 1)).await.expect_err("refused");
        let shown = format!("{error} {error:?}");
        assert!(!secrets.iter().any(|s| shown.contains(s)), "{shown}");
    }
}

fn slack(config: SlackConfig) -> Slack {
    Slack::new(&config, renderer()).expect("slack")
}

#[tokio::test]
async fn slack_webhook_escapes_what_alerts_say() {
    let mut sink = HttpSink::start(|_, _| Reply::With(200, vec![], "ok".to_owned())).await;
    let mut config = SlackConfig::new(SlackDestination::Webhook(SecretSource::inline(&sink.url("/services/x"))));
    config.pretext = Some("<!here> look".into());
    config.fields = vec![SlackField { title: "team".into(), value: "ops".into(), short: true }];
    let evil = with(page("k", "slack", 7), |m| {
        m.incident.as_mut().expect("a page").title = "<!channel> & <http://evil|click> @here".to_owned();
        m.alerts[0].annotations = Labels::from_pairs([("summary", "<!everyone> \u{7}")]);
    });
    send(&slack(config), &evil).await.expect("delivered");
    let body = sink.next().await.json();
    let attachment = &body["attachments"][0];
    assert_eq!(
        attachment["title"],
        "[FIRING:1] CRITICAL INC-7 &lt;!channel&gt; &amp; &lt;http://evil|click&gt; @\u{2060}here"
    );
    assert_eq!(attachment["title_link"], "http://watchfire.example.org/incidents/INC-7");
    assert_eq!(attachment["pretext"], "<!here> look", "the operator may shout");
    assert_eq!(attachment["fields"][0], json!({"title": "team", "value": "ops", "short": true}));
    let text = attachment["text"].as_str().expect("text");
    assert!(text.contains("&lt;!everyone&gt;") && !text.contains("<!"), "{text}");
    assert!(text.contains("since 2026-01-02 03:04:05 UTC") && text.contains("step 1 of policy default"), "{text}");
}

fn bot(sink: &HttpSink) -> Slack {
    let token = SecretSource::inline("xoxb-secret-token");
    let api_url = Secret::new(sink.url("/api/"));
    let mut config = SlackConfig::new(SlackDestination::Bot { token, api_url });
    config.channel = Some("#ops".to_owned());
    slack(config)
}

#[tokio::test]
async fn slack_bot_updates_in_place_and_threads() {
    let answer = json!({"ok": true, "channel": "C1", "ts": "17.5"});
    let mut sink = HttpSink::start(move |_, _| Reply::json(&answer)).await;
    let bot = bot(&sink);
    let delivery = send(&bot, &page("k1", "slack", 7)).await.expect("delivered");
    assert_eq!(delivery.external_ref.as_deref(), Some("C1:17.5"));
    let first = sink.next().await;
    assert_eq!(
        (first.path.as_str(), first.header("authorization")),
        ("/api/chat.postMessage", "Bearer xoxb-secret-token")
    );
    assert_eq!(first.json()["channel"], "#ops");
    assert_eq!(first.json()["metadata"]["event_payload"]["key"], "k1");

    let end = update("k2", "slack", 7, IncidentStatus::Resolved);
    let delivery = bot.notify(&end, &following("C1:17.5")).await.expect("delivered");
    assert_eq!(delivery.external_ref.as_deref(), Some("C1:17.5"));
    let (reply, change) = (sink.next().await, sink.next().await);
    assert_eq!((reply.path.as_str(), &reply.json()["thread_ts"]), ("/api/chat.postMessage", &json!("17.5")));
    assert!(reply.json()["text"].as_str().expect("text").contains("resolved"));
    assert_eq!((change.path.as_str(), &change.json()["ts"]), ("/api/chat.update", &json!("17.5")));
    assert_eq!(change.json()["channel"], "C1");
}

#[tokio::test]
async fn slack_errors_are_told_apart() {
    async fn check(reply: fn() -> Reply, temporary: bool) {
        let sink = HttpSink::start(move |_, _| reply()).await;
        let error = send(&bot(&sink), &page("k", "slack", 1)).await.expect_err("refused");
        assert_eq!(matches!(error, NotifyError::Temporary { .. }), temporary, "{error}");
        assert!(!format!("{error:?}").contains("xoxb"), "{error}");
    }
    check(|| Reply::json(&json!({"ok": false, "error": "ratelimited"})), true).await;
    check(|| Reply::json(&json!({"ok": false, "error": "internal_error"})), true).await;
    check(|| Reply::json(&json!({"ok": false, "error": "channel_not_found"})), false).await;
    check(|| Reply::json(&json!({"ok": false, "error": "invalid_auth"})), false).await;
    check(|| Reply::With(429, vec![("retry-after", "3".to_owned())], String::new()), true).await;
    check(|| Reply::status(404), false).await;
}

fn mail_to(sink: &SmtpSink, to: &str) -> EmailConfig {
    let smarthost = Smarthost { host: "127.0.0.1".to_owned(), port: sink.address.port() };
    let mut config = EmailConfig::new(to, "Watchfire <watchfire@example.org>", smarthost);
    config.require_tls = false;
    config
}

fn email(config: &EmailConfig) -> Email {
    Email::new(config, renderer()).expect("email")
}

#[tokio::test]
async fn mail_goes_to_each_recipient_with_both_parts() {
    let sink = SmtpSink::start(|_, _| "250 ok").await;
    let mailer = email(&mail_to(&sink, "ana@example.org, Bob <bob@example.org>"));
    send(&mailer, &page("k", "email", 7)).await.expect("delivered");
    let mails = sink.mails();
    let to: Vec<_> = mails.iter().map(|m| m.to.clone()).collect();
    assert_eq!(to, [["ana@example.org"], ["bob@example.org"]]);
    for mail in &mails {
        assert_eq!(mail.header("Subject"), "[FIRING:1] CRITICAL INC-7 checkout is down");
        assert!(mail.header("Content-Type").starts_with("multipart/alternative"), "{}", mail.data);
        for part in ["Content-Type: text/plain", "Content-Type: text/html"] {
            assert!(mail.data.contains(part), "{part}");
        }
        assert!(mail.unfolded().contains("&lt;down&gt; &amp; out"), "escaped in the html part: {}", mail.data);
    }
    assert_ne!(mails[0].header("Message-ID"), mails[1].header("Message-ID"));
    // A repeat is the same mail; another message about the incident is in the same thread.
    send(&mailer, &page("k", "email", 7)).await.expect("delivered");
    send(&mailer, &update("k2", "email", 7, IncidentStatus::Resolved)).await.expect("delivered");
    let again = sink.mails();
    assert_eq!(again[2].header("Message-ID"), mails[0].header("Message-ID"));
    assert_ne!(again[4].header("Message-ID"), mails[0].header("Message-ID"));
    assert_eq!(again[4].header("References"), mails[0].header("References"));
    assert!(again[4].header("Subject").starts_with("[RESOLVED] INC-7"));
}

#[tokio::test]
async fn a_retry_goes_only_to_those_who_have_nothing() {
    let sink = SmtpSink::start(|number, address| match (number, address) {
        (_, "gone@example.org") => "550 no such user",
        (2, "bob@example.org") => "451 later",
        _ => "250 ok",
    })
    .await;
    let mailer = email(&mail_to(&sink, "ana@example.org, bob@example.org, gone@example.org"));
    let error = send(&mailer, &page("k", "email", 7)).await.expect_err("bob waits");
    assert!(matches!(&error, NotifyError::Temporary { reason, .. } if reason.contains("bob@example.org")), "{error}");
    send(&mailer, &page("k", "email", 7)).await.expect("delivered");
    let to: Vec<_> = sink.mails().into_iter().flat_map(|m| m.to).collect();
    assert_eq!(to, ["ana@example.org", "bob@example.org"]);
    let error = send(&email(&mail_to(&sink, "gone@example.org")), &page("k", "email", 7)).await.expect_err("nobody");
    assert!(matches!(error, NotifyError::Permanent { .. }), "{error}");
}

#[tokio::test]
async fn mail_headers_cannot_be_injected() {
    let sink = SmtpSink::start(|_, _| "250 ok").await;
    let mut config = mail_to(&sink, "ana@example.org");
    config.headers = vec![("X-Who".to_owned(), "{{ .CommonLabels.who }}".into())];
    let evil = with(page("k", "email", 7), |m| {
        m.incident.as_mut().expect("a page").title = "x\r\nBcc: all@example.org\r\n\r\nboo".to_owned();
        m.common_labels = Labels::from_pairs([("who", "y\r\nBcc: all@example.org")]);
    });
    let mailer = Email::new(&config, templates()).expect("email");
    send(&mailer, &evil).await.expect("delivered");
    let mail = &sink.mails()[0];
    assert_eq!(mail.header("Bcc"), "");
    assert_eq!(mail.header("Subject"), "[FIRING:1] CRITICAL INC-7 x  Bcc: all@example.org    boo");
    assert_eq!(mail.header("X-Who"), "y  Bcc: all@example.org");
    assert!(!sink.commands().iter().any(|c| c.contains("all@example.org")));
}

#[tokio::test]
async fn mail_needs_tls_unless_told_otherwise() {
    let sink = SmtpSink::start(|_, _| "250 ok").await;
    let mut config = mail_to(&sink, "ana@example.org");
    config.require_tls = true;
    let error = send(&email(&config), &page("k", "email", 7)).await.expect_err("no STARTTLS there");
    assert!(matches!(error, NotifyError::Permanent { .. }), "{error}");
    assert!(sink.mails().is_empty() && !sink.commands().iter().any(|c| c.starts_with("MAIL")));

    config.require_tls = false;
    config.auth_username = "ana".to_owned();
    config.auth_password = Some(SecretSource::inline("hunter22"));
    send(&email(&config), &page("k", "email", 7)).await.expect("loopback may see a password");
    assert!(sink.commands().iter().any(|c| c.starts_with("AUTH PLAIN")));
    config.smarthost.host = "mail.example.org".to_owned();
    assert!(Email::new(&config, renderer()).is_err(), "others may not");
}

#[tokio::test]
async fn a_failed_template_is_said_and_plain_text_is_sent() {
    let sink = SmtpSink::start(|_, _| "250 ok").await;
    let mut config = mail_to(&sink, "ana@example.org");
    config.text = Some("{{ .Broken".into());
    config.html = Some("{{ .Broken".into());
    config.headers = vec![("Subject".to_owned(), "{{ .Broken".into())];
    send(&email(&config), &page("k", "email", 7)).await.expect("delivered");
    let mail = &sink.mails()[0];
    assert_eq!(mail.header("Subject"), "[FIRING:1] CRITICAL INC-7 checkout is down");
    let unfolded = mail.unfolded();
    for said in
        ["the template `text` of receiver team.ops failed", "the template `html`", "since 2026-01-02 03:04:05 UTC"]
    {
        assert!(unfolded.contains(said), "{said} in {unfolded}");
    }
}

#[tokio::test]
async fn operators_templates_are_alertmanagers() {
    let files =
        [("ours.tmpl", r#"{{ define "who" }}{{ range .Alerts.Firing }}{{ .Labels.instance }};{{ end }}{{ end }}"#)];
    let renderer = Renderer::new(Arc::new(Templates::new(files).expect("templates")));
    let mut sink = HttpSink::always(200).await;
    let mut config = SlackConfig::new(SlackDestination::Webhook(SecretSource::inline(&sink.url("/"))));
    config.title = Some(r#"{{ template "slack.default.title" . }}"#.into());
    config.text =
        Some(r#"{{ template "who" . }} {{ .CommonAnnotations.summary }} <http://x|{{ .Status | toUpper }}>"#.into());
    config.footer = Some(r"{{ (index .Alerts 0).StartsAt | since | humanizeDuration }}".into());
    send(&Slack::new(&config, renderer.clone()).expect("slack"), &announcement("k", "slack")).await.expect("delivered");
    let attachment = &sink.next().await.json()["attachments"][0];
    assert_eq!(attachment["title"], "[FIRING:1] Down (critical)");
    assert_eq!(attachment["text"], "a:9100; it is &lt;down&gt; &amp; out <http://x|FIRING>");
    assert_eq!(attachment["footer"], "2s");

    let mails = SmtpSink::start(|_, _| "250 ok").await;
    let mut config = mail_to(&mails, "ana@example.org");
    config.headers = vec![("Subject".to_owned(), r#"{{ template "email.default.subject" . }}!"#.into())];
    config.text = Some("{{ .CommonAnnotations.summary }}".into());
    config.html = Some("<b>{{ .CommonAnnotations.summary }}</b>".into());
    send(&Email::new(&config, renderer).expect("email"), &announcement("k", "email")).await.expect("delivered");
    let mail = &mails.mails()[0];
    assert_eq!(mail.header("Subject"), "[FIRING:1] Down (critical)!");
    let body = mail.unfolded();
    assert!(body.contains("\nit is <down> & out\n") && body.contains("<b>it is &lt;down&gt; &amp; out</b>"), "{body}");
}

#[tokio::test]
async fn alertmanagers_default_names_say_our_own_words() {
    let mails = SmtpSink::start(|_, _| "250 ok").await;
    let mut config = mail_to(&mails, "ana@example.org");
    config.html = Some(r#"{{ template "email.default.html" . }}"#.into());
    config.text = Some(r#"{{ template "email.default.text" . }}"#.into());
    let mailer = Email::new(&config, templates()).expect("email");
    send(&mailer, &page("k", "email", 7)).await.expect("delivered");
    let plain = Email::new(&mail_to(&mails, "ana@example.org"), renderer()).expect("email");
    send(&plain, &page("k", "email", 7)).await.expect("delivered");
    let bodies: Vec<Vec<String>> = mails
        .mails()
        .iter()
        .map(|m| {
            m.unfolded()
                .lines()
                .filter(|l| !l.contains("boundary=") && !l.starts_with("--"))
                .map(str::to_owned)
                .collect()
        })
        .collect();
    assert_eq!(bodies[0], bodies[1], "the named defaults say what is said without a template");
}

#[tokio::test]
async fn pagerduty_triggers_acknowledges_and_resolves() {
    let mut sink = HttpSink::always(202).await;
    let mut config = PagerDutyConfig::new(SecretSource::inline("routing-key-1"));
    config.url = Secret::new(sink.url("/v2/enqueue"));
    config.component = Some("checkout".into());
    config.details = vec![("team".to_owned(), "ops".into())];
    let pager = PagerDuty::new(&config, renderer()).expect("pagerduty");
    send(&pager, &page("k1", "pagerduty", 7)).await.expect("delivered");
    let event = sink.next().await.json();
    assert_eq!(event["routing_key"], "routing-key-1");
    assert_eq!((&event["event_action"], &event["dedup_key"]), (&json!("trigger"), &json!("INC-7")));
    let payload = &event["payload"];
    assert_eq!((&payload["severity"], &payload["source"]), (&json!("critical"), &json!("a:9100")));
    assert_eq!(payload["summary"], "INC-7 checkout is down");
    assert_eq!(payload["timestamp"], "2026-01-02T03:04:05.000Z");
    assert_eq!((&payload["component"], &payload["custom_details"]["team"]), (&json!("checkout"), &json!("ops")));
    assert_eq!(event["links"][0]["href"], "http://watchfire.example.org/incidents/INC-7");
    for (status, action) in [(IncidentStatus::Acknowledged, "acknowledge"), (IncidentStatus::Resolved, "resolve")] {
        send(&pager, &update("k2", "pagerduty", 7, status)).await.expect("delivered");
        let event = sink.next().await.json();
        assert_eq!(event, json!({"event_action": action, "dedup_key": "INC-7", "routing_key": "routing-key-1"}));
    }
    send(&pager, &announcement("k3", "pagerduty")).await.expect("delivered");
    let event = sink.next().await.json();
    assert_eq!(event["dedup_key"].as_str().map(str::len), Some(64));
    assert_eq!(event["payload"]["custom_details"]["num_resolved"], 1);
}
