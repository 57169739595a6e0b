//! The outbox as people see it: what was refused is said wherever they look, and can be sent again.
//! In: a webhook that refuses for good and is mended. Out: the log, the status, the metrics, `/api/v1/notifications`.
//! Never: looks into the process.
//! Start at [`a_refusal_for_good_is_said_everywhere_until_a_message_is_taken`].

use crate::support::http_sink::{HttpSink, Reply};
use crate::support::process::eventually;
use crate::support::watchfire::Watchfire;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::SeqCst};
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(30);

struct World {
    server: Watchfire,
    sink: HttpSink,
    /// What the webhook answers.
    status: Arc<AtomicU16>,
}

impl World {
    async fn new(status: u16) -> Self {
        let status = Arc::new(AtomicU16::new(status));
        let says = status.clone();
        let sink = HttpSink::start(move |_, _| Reply::status(says.load(SeqCst))).await;
        let config = format!(
            "route: {{ receiver: chat, group_by: [alertname], group_wait: 0s, group_interval: 1h }}\n\
             receivers: [{{ name: chat, webhook_configs: [{{ url: '{}' }}] }}]\n",
            sink.url("/hook")
        );
        Self { server: Watchfire::start(&config).await, sink, status }
    }

    async fn fire(&self, name: &str) {
        self.server.post("/api/v2/alerts", &json!([{ "labels": { "alertname": name } }])).await.expect(200);
    }

    async fn rows(&self, query: &[(&str, &str)]) -> Vec<Value> {
        let answer = self.server.ask("/api/v1/notifications", query).await.expect(200);
        assert_eq!(answer["status"], "success");
        answer["data"]["notifications"].as_array().unwrap().clone()
    }

    /// The one row that the query finds, as soon as it is as wanted.
    async fn row(&self, query: &[(&str, &str)], is: impl Fn(&Value) -> bool) -> Value {
        eventually(WITHIN, "the row", || async {
            match &self.rows(query).await[..] {
                [row] if is(row) => Ok(row.clone()),
                rows => Err(format!("{rows:?}")),
            }
        })
        .await
    }

    async fn deliver_says(&self, status: &str, words: &str) {
        eventually(WITHIN, status, || async {
            let answer = self.server.get("/api/v1/status").await.expect(200);
            let parts = answer["data"]["parts"].as_array().unwrap().clone();
            let part = parts.into_iter().find(|p| p["part"] == "deliver").unwrap();
            let said = part["status"] == status && part["text"].as_str().unwrap().contains(words);
            if said { Ok(()) } else { Err(part.to_string()) }
        })
        .await;
    }

    async fn resend(&self, key: &str) -> crate::support::watchfire::Answer {
        self.server.post(&format!("/api/v1/notifications/{key}/resend"), &json!({ "by": "ana" })).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_for_good_is_said_everywhere_until_a_message_is_taken() {
    let mut world = World::new(404).await;
    world.fire("Down").await;
    let row = world.row(&[("state", "failed")], |_| true).await;
    let key = row["key"].as_str().unwrap().to_owned();
    assert_eq!(
        (&row["kind"], &row["receiver"], &row["integration"]),
        (&json!("announcement"), &json!("chat"), &json!("webhook/0"))
    );
    assert_eq!((&row["attempts"], &row["incident"], &row["next_at"]), (&json!(1), &Value::Null, &Value::Null));
    assert_eq!(row["group"], "{}:{alertname=\"Down\"}");
    assert_eq!(row["reason"], "first notification of this group");
    assert!(row["error"].as_str().unwrap().contains("404"), "{row}");
    world.deliver_says("degraded", "refused for good: chat webhook/0").await;
    let metrics = world.server.get("/metrics").await.text;
    assert!(
        metrics.contains("watchfire_notifications_given_up_total{receiver=\"chat\",integration=\"webhook/0\"} 1"),
        "{metrics}"
    );

    // A second refusal of the same words is no news.
    world.fire("Slow").await;
    let failed = || async { world.rows(&[("state", "failed"), ("receiver", "chat")]).await.len() };
    eventually(WITHIN, "two rows", || async { if failed().await == 2 { Ok(()) } else { Err(String::new()) } }).await;
    let log = world.server.log_tail();
    assert_eq!(log.matches("a message was given up for good").count(), 1, "{log}");

    world.status.store(200, SeqCst);
    world.sink.taken_so_far();
    let answer = world.resend(&key).await.expect(200);
    let again = answer["data"]["notification"]["key"].as_str().unwrap().to_owned();
    assert_eq!(again, format!("{key}/resend1"));
    let got = world.sink.next().await;
    assert_eq!(got.header("idempotency-key"), again);
    assert_eq!(got.json()["alerts"][0]["labels"]["alertname"], "Down", "the whole message, not its names alone");
    let row = world.row(&[("state", "sent")], |_| true).await;
    assert_eq!(row["reason"], "sent again by ana; first notification of this group");
    world.deliver_says("ok", "").await;
    let second = world.resend(&again).await.expect(200);
    assert_eq!(second["data"]["notification"]["key"], format!("{key}/resend2"));

    for (path, status) in [("nothing", 404), ("nothing/else", 404)] {
        assert_eq!(world.resend(path).await.status, status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_says_until_when_and_why() {
    let world = World::new(503).await;
    for n in 0..6 {
        world.fire(&format!("A{n}")).await;
    }
    // Five failures open the breaker; every row says when it is tried next.
    world.deliver_says("degraded", "not reachable: chat webhook/0").await;
    let pending = [("state", "pending")];
    let away = |row: &Value| row["reason"].as_str().unwrap().contains("the destination is away since");
    let rows = eventually(WITHIN, "all are held", || async {
        let rows = world.rows(&pending).await;
        if rows.len() == 6 && rows.iter().all(away) { Ok(rows) } else { Err(format!("{rows:?}")) }
    })
    .await;
    assert!(rows.iter().all(|row| row["next_at"].is_string()), "{rows:?}");
    let busy = world.resend(rows[0]["key"].as_str().unwrap()).await;
    assert_eq!(busy.status, 409, "{}", busy.text);

    // In pages, the latest first, each once.
    let (mut seen, mut next) = (Vec::new(), None::<String>);
    loop {
        let mut query = vec![("limit", "4")];
        query.extend(next.as_deref().map(|next| ("next", next)));
        let answer = world.server.ask("/api/v1/notifications", &query).await.expect(200);
        let page = answer["data"]["notifications"].as_array().unwrap().clone();
        seen.extend(page.iter().map(|row| row["group"].as_str().unwrap().to_owned()));
        match answer["data"]["next"].as_str() {
            Some(cursor) => next = Some(cursor.to_owned()),
            None => break,
        }
    }
    let all: Vec<String> = (0..6).rev().map(|n| format!("{{}}:{{alertname=\"A{n}\"}}")).collect();
    assert_eq!(seen, all);
    for query in [("kind", "page"), ("receiver", "nobody"), ("incident", "INC-9"), ("until", "2020-01-01T00:00:00Z")] {
        assert_eq!(world.rows(&[query]).await.len(), 0, "{query:?}");
    }
    for query in [("kind", "announcement"), ("receiver", "chat"), ("since", "2020-01-01T00:00:00Z")] {
        assert_eq!(world.rows(&[query]).await.len(), 6, "{query:?}");
    }
    assert_eq!(world.server.ask("/api/v1/notifications", &[("state", "lost")]).await.status, 400);
}

/// The page of an incident says what was refused, and its button sends it again.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_page_is_sent_again_from_the_page() {
    let status = Arc::new(AtomicU16::new(404));
    let says = status.clone();
    let mut sink = HttpSink::start(move |_, _| Reply::status(says.load(SeqCst))).await;
    let config = format!(
        "route: {{ receiver: log, group_wait: 0s, escalation_policy: ladder }}\n\
         receivers: [{{ name: log, log_configs: [{{}}] }}, {{ name: phone, webhook_configs: [{{ url: '{}' }}] }}]\n\
         escalation_policies: [{{ name: ladder, repeat_after: 1h, steps: [{{ notify: [{{ receiver: phone }}] }}] }}]\n",
        sink.url("/call")
    );
    let server = Watchfire::start(&config).await;
    server.post("/api/v2/alerts", &json!([{ "labels": { "alertname": "Down" } }])).await.expect(200);
    let button = "name=\"resend\" value=\"INC-1/r1/s1/phone/webhook0\"";
    let page = eventually(WITHIN, "the refusal is on the page", || async {
        let page = server.get("/incidents/INC-1").await.text;
        if page.contains(button) { Ok(page) } else { Err(page) }
    })
    .await;
    for part in
        ["<span class=\"sent failed\">failed</span> <span class=\"dim\">1 try</span>", "404", "page, round 1 step 1"]
    {
        assert!(page.contains(part), "{part} is not on\n{page}");
    }
    status.store(200, SeqCst);
    sink.taken_so_far();
    let press = |by: &'static str| {
        let form = [("by", by), ("resend", "INC-1/r1/s1/phone/webhook0")];
        server.send(server.request(reqwest::Method::POST, "/incidents/INC-1").form(&form))
    };
    let refused = press("").await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    // The client follows to the page.
    assert!(press("ana").await.expect_text(200).contains("sent again by ana"));
    assert_eq!(sink.next().await.header("idempotency-key"), "INC-1/r1/s1/phone/webhook0/resend1");
}
