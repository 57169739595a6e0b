//! The pages, from a real process: what a browser gets, and what its forms do.
//! In: alerts with hostile labels through the alert door, forms as a browser sends them. Out: HTML and status codes.
//! Never: trusts the code that renders; only bytes that came over HTTP count.
//! Start at [`hostile_text_stays_text`].

use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const CONFIG: &str = "
route: { receiver: ops, group_by: [alertname], group_wait: 1s, routes: [{ matchers: [alertname!=Watchdog], escalation_policy: ladder }] }
receivers: [{ name: ops, log_configs: [{}] }]
escalation_policies:
  - { name: ladder, repeat: 0, steps: [{ after: 0s, notify: [{ receiver: ops }] }, { after: 1h, notify: [{ receiver: ops }] }] }
correlation: { rules: [{ name: service, match: ['service=~\".+\"'], by: [service], window: 10m }] }
";

/// Each wants to leave its place in the HTML in another way.
const HOSTILE: [&str; 5] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "\u{202e}الخادم </td></table>",
];

struct Site {
    child: Child,
    url: String,
    client: Client,
    _dir: TempDir,
}

impl Drop for Site {
    fn drop(&mut self) {
        // A process that has ended already cannot be killed; nothing is left to do then.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Asks until the answer is there; panics with what was missing after a generous while.
async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut probe: impl FnMut() -> F) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "not in time: {what}");
        tokio::task::yield_now().await;
    }
}

impl Site {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        std::fs::write(dir.path().join("watchfire.yml"), CONFIG).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_watchfire"))
            .args(["serve", "--config.file", "watchfire.yml", "--storage.path", "data", "--log.level", "error"])
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // Fails only when another test of this process has installed it, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let site = Self { child, url: format!("http://127.0.0.1:{port}"), client, _dir: dir };
        until("the server is ready", || async {
            site.client.get(format!("{}/-/ready", site.url)).send().await.ok().filter(|r| r.status().is_success())
        })
        .await;
        site
    }

    async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.url)).header("accept", "text/html").send().await.unwrap()
    }

    async fn page(&self, path: &str) -> String {
        let response = self.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.text().await.unwrap()
    }

    async fn press(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        self.client.post(format!("{}{path}", self.url)).form(fields).send().await.unwrap()
    }

    /// Posts alerts and waits until all are in incidents.
    async fn alerts(&self, alerts: Value) {
        let count = alerts.as_array().unwrap().len() as u64;
        let posted = self.client.post(format!("{}/api/v2/alerts", self.url)).json(&alerts).send().await.unwrap();
        assert_eq!(posted.status(), StatusCode::OK);
        until("the alerts are in incidents", || async {
            let list = self.client.get(format!("{}/api/v1/incidents", self.url)).send().await.ok()?;
            let list: Value = list.json().await.ok()?;
            let held = list["data"]["incidents"].as_array()?.iter().filter_map(|i| i["alert_count"].as_u64());
            (held.sum::<u64>() >= count).then_some(())
        })
        .await;
    }
}

fn alert(name: &str, service: &str) -> Value {
    json!({ "labels": { "alertname": name, "service": service, "severity": "critical" }, "annotations": { "summary": "it broke" } })
}

/// What no page may hold, whatever the alerts say.
fn check_html(path: &str, html: &str) {
    for bad in ["<script", "<img src=x", "<style", "style=\"", "javascript:alert(1)\"", "' onmouseover='"] {
        assert!(!html.contains(bad), "{path} holds {bad}:\n{html}");
    }
    for tag in html.split('<').filter_map(|rest| rest.split('>').next()) {
        assert!(!tag.contains(" on"), "{path} has a handler or an attribute like one in <{tag}>");
    }
    assert_eq!(html.matches("</table>").count(), html.matches("<table").count(), "{path}: tables are closed once");
    assert!(html.contains("<html lang=\"en\">") && html.contains("name=\"viewport\""), "{path}");
}

fn check_headers(path: &str, response: &Response) {
    let header = |name: &str| response.headers().get(name).map_or("", |v| v.to_str().unwrap());
    let policy = header("content-security-policy");
    for part in
        ["default-src 'none'", "style-src 'self'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"]
    {
        assert!(policy.contains(part), "{path}: {policy}");
    }
    assert!(!policy.contains("unsafe"), "{path}: {policy}");
    assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
    assert_eq!(header("content-type"), "text/html; charset=utf-8", "{path}");
}

#[tokio::test]
async fn hostile_text_stays_text() {
    let site = Site::start().await;
    let alerts = HOSTILE.map(|text| {
        json!({
            "labels": { "alertname": text, "instance": text, "service": text, "severity": text },
            "annotations": { "summary": text, "description": text, "runbook_url": text },
            "generatorURL": "javascript:alert(1)",
        })
    });
    site.alerts(json!(alerts)).await;
    let silence = [
        ("verb", "create"),
        ("matchers", "alertname=\"<script>x\""),
        ("duration", "1h"),
        ("by", HOSTILE[1]),
        ("comment", HOSTILE[0]),
    ];
    assert_eq!(site.press("/silences", &silence).await.status(), StatusCode::SEE_OTHER);
    assert_eq!(
        site.press("/incidents/INC-1", &[("verb", "note"), ("by", HOSTILE[1]), ("note", HOSTILE[0])]).await.status(),
        StatusCode::SEE_OTHER
    );
    let mut paths = ["/", "/incidents", "/rules", "/silences"].map(str::to_owned).to_vec();
    paths.extend(
        (1..=HOSTILE.len()).flat_map(|n| [format!("/incidents/INC-{n}"), format!("/incidents/INC-{n}?follow=on")]),
    );
    paths.push("/silences?matchers=%22%3E%3Cscript%3Ealert(1)%3C/script%3E".to_owned());
    for path in &paths {
        let response = site.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        check_headers(path, &response);
        check_html(path, &response.text().await.unwrap());
    }
    let all = site.page("/").await;
    assert!(
        all.contains("&#60;script&#62;alert(1)") || all.contains("&lt;script&gt;alert(1)"),
        "shown as text:\n{all}"
    );
    for path in ["/incidents/INC-999", "/incidents/%3Cscript%3E", "/no/%3Cscript%3Ealert(1)"] {
        let response = site.get(path).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        check_headers(path, &response);
        check_html(path, &response.text().await.unwrap());
    }
}

/// The list has an end, the sentence above it counts all.
#[tokio::test]
async fn more_incidents_than_the_list_holds_are_counted() {
    let site = Site::start().await;
    let post = async |name: &str, count: usize| {
        let alerts: Vec<_> = (0..count).map(|n| alert(name, &format!("{name}{n}"))).collect();
        let posted = site.client.post(format!("{}/api/v2/alerts", site.url)).json(&alerts).send().await.unwrap();
        assert_eq!(posted.status(), StatusCode::OK);
    };
    // The oldest fall off the list: who asks nobody, when it is counted there.
    post("Watchdog", 20).await;
    post("NoAnswer", 510).await;
    until("all are counted", || async {
        let home = site.page("/").await;
        (home.contains("510 waiting for an answer") && home.contains("20 that page nobody")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_buttons_do_what_they_say() {
    let site = Site::start().await;
    site.alerts(json!([alert("DiskFull", "db"), alert("SlowQueries", "db"), alert("NoAnswer", "web")])).await;
    let home = site.page("/").await;
    assert!(home.contains("2 waiting for an answer") && home.contains("http-equiv=\"refresh\""), "{home}");
    let page = site.page("/incidents/INC-1").await;
    assert!(!page.contains("http-equiv=\"refresh\""), "a page with a form never reloads");
    assert!(!site.page("/incidents/INC-1?follow=on").await.contains("<form"), "a page that reloads has no form");
    for word in [
        "triggered",
        "critical",
        "DiskFull",
        "it broke",
        "Next:",
        "rule service",
        "Who was told",
        "The tree of why",
        "Merge into",
    ] {
        assert!(page.contains(word), "{word} is not on the page:\n{page}");
    }
    for verb in ["acknowledge", "resolve", "snooze", "escalate", "note", "reassign", "merge", "split", "detach"] {
        assert!(page.contains(&format!("value=\"{verb}\"")), "no button {verb}");
    }
    let done = site.press("/incidents/INC-1", &[("verb", "acknowledge"), ("by", "ana"), ("note", "on it")]).await;
    assert_eq!(done.status(), StatusCode::SEE_OTHER);
    assert_eq!(done.headers()["location"], "/incidents/INC-1");
    assert!(done.headers()["set-cookie"].to_str().unwrap().starts_with("watchfire_name=ana;"));
    let page = site.page("/incidents/INC-1").await;
    assert!(
        page.contains("status acknowledged") && page.contains("<bdi>ana</bdi>") && page.contains("on it"),
        "{page}"
    );
    assert!(page.contains("value=\"unacknowledge\"") && !page.contains("value=\"acknowledge\""));

    // Split one alert off, and bring it back by merging.
    let mark =
        page.split("name=\"alert\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a box per alert");
    let split = site.press("/incidents/INC-1", &[("verb", "split"), ("by", "ana"), ("alert", mark)]).await;
    assert_eq!(
        (split.status(), &split.headers()["location"]),
        (StatusCode::SEE_OTHER, &"/incidents/INC-3".parse().unwrap())
    );
    let merged = site.press("/incidents/INC-3", &[("verb", "merge"), ("by", "ana"), ("into", "INC-1")]).await;
    assert_eq!(
        (merged.status(), &merged.headers()["location"]),
        (StatusCode::SEE_OTHER, &"/incidents/INC-1".parse().unwrap())
    );
    assert!(site.page("/incidents/INC-3").await.contains("Merged into <a href=\"/incidents/INC-1\">"));
}

#[tokio::test]
async fn what_is_resolved_by_hand_says_what_fires_on_and_can_be_reopened() {
    let site = Site::start().await;
    site.alerts(json!([alert("DiskFull", "db"), alert("SlowQueries", "db")])).await;
    let page = site.page("/incidents/INC-1").await;
    assert!(page.contains(">Resolve (2 still fire)</button>") && !page.contains("value=\"reopen\""), "{page}");
    assert!(page.contains("<bdi>ladder</bdi>") && page.contains("asked for by <bdi>DiskFull</bdi>"), "{page}");
    assert!(page.contains("round 1, step 1") && page.contains("round 1 step 2 at"), "{page}");
    site.press("/incidents/INC-1", &[("verb", "acknowledge"), ("by", "ana")]).await;
    let page = site.page("/incidents/INC-1").await;
    assert!(page.contains("covers what was known: <bdi>DiskFull of db</bdi>, <bdi>SlowQueries of db</bdi>"), "{page}");
    site.press("/incidents/INC-1", &[("verb", "snooze"), ("by", "ana"), ("duration", "1h")]).await;
    assert!(site.page("/incidents/INC-1").await.contains("The snooze covers what was known"));
    site.press("/incidents/INC-1", &[("verb", "resolve"), ("by", "ana")]).await;
    let page = site.page("/incidents/INC-1").await;
    assert!(page.contains("<b>2 alerts still fire</b> although this was resolved by hand"), "{page}");
    assert!(page.contains("a new incident opens for them in 59 min"), "{page}");
    assert!(page.contains("value=\"reopen\""), "{page}");
    let done = site.press("/incidents/INC-1", &[("verb", "reopen"), ("by", "ana")]).await;
    assert_eq!(done.status(), StatusCode::SEE_OTHER);
    assert!(site.page("/incidents/INC-1").await.contains("status triggered"));

    // The successor and the one before it lead to each other, and what left is marked.
    let hold = json!({ "by": "ana", "hold": "100ms" });
    let resolve = site.client.post(format!("{}/api/v1/incidents/INC-1/resolve", site.url)).json(&hold);
    assert_eq!(resolve.send().await.unwrap().status(), StatusCode::OK);
    let page = until("a successor", || async {
        let page = site.page("/incidents/INC-1").await;
        let is_named = page.contains("<a href=\"/incidents/INC-2\">INC-2</a> was opened for them");
        (is_named && page.matches("it is in another incident, or in none").count() == 2).then_some(page)
    })
    .await;
    assert!(!page.contains("value=\"reopen\""), "nothing of it fires here any more");
    let page = site.page("/incidents/INC-2").await;
    assert!(page.contains("alerts of <a href=\"/incidents/INC-1\">INC-1</a> still fired"), "{page}");
}

#[tokio::test]
async fn the_source_link_of_a_rule_opens_a_query_page() {
    let site = Site::start().await;
    // Our rules' source link, as `promql` writes it.
    let page = site.page("/graph?g0.expr=vector(7)+%3E+5&g0.tab=1").await;
    check_html("/graph", &page);
    assert!(page.contains("vector(7) &#62; 5") || page.contains("vector(7) &gt; 5"), "{page}");
    assert!(page.contains("<b><bdi>7</bdi></b>") && page.contains("href=\"/rules\""), "{page}");
    let response = site.get("/graph").await;
    check_headers("/graph", &response);
    assert!(response.text().await.unwrap().contains("name=\"g0.expr\""));
    for (query, status, said) in [
        ("g0.expr=up%7Bx%3D%22%3Cscript%3Ealert(1)%3C/script%3E%22%7D", StatusCode::OK, "Nothing at"),
        ("g0.expr=%3Cscript%3Ealert(1)%3C/script%3E", StatusCode::BAD_REQUEST, "role=\"alert\""),
        ("g0.expr=%22%3C/td%3E%3Cscript%3E%22", StatusCode::OK, "<b><bdi>"),
        ("g0.expr=up&g0.moment_input=%22%3E%3Cscript%3Ex", StatusCode::BAD_REQUEST, "valid timestamp"),
        ("g0.expr=time()&g0.moment_input=2026-01-02T03:04:05Z", StatusCode::OK, "1767323045"),
        ("g0.expr=label_replace(vector(1),%22a%22,%22%3Cimg%20src=x%3E%22,%22%22,%22%22)", StatusCode::OK, "img src=x"),
    ] {
        let response = site.get(&format!("/graph?{query}")).await;
        assert_eq!(response.status(), status, "{query}");
        check_headers(query, &response);
        let html = response.text().await.unwrap();
        check_html(query, &html);
        assert!(html.contains(said), "{query} does not say {said:?}:\n{html}");
    }
}

#[tokio::test]
async fn refusals_are_sentences_and_the_form_is_kept() {
    let site = Site::start().await;
    site.alerts(json!([alert("DiskFull", "db")])).await;
    let ack = [("verb", "acknowledge"), ("by", "ana")];
    assert_eq!(site.press("/incidents/INC-1", &ack).await.status(), StatusCode::SEE_OTHER);
    let check = async |path: &str, fields: &[(&str, &str)], status: StatusCode, said: &str| {
        let response = site.press(path, fields).await;
        assert_eq!(response.status(), status, "{fields:?}");
        check_headers(path, &response);
        let html = response.text().await.unwrap();
        check_html(path, &html);
        assert!(html.contains("role=\"alert\"") && html.contains(said), "{fields:?} does not say {said:?}:\n{html}");
        html
    };
    let again = [("verb", "acknowledge"), ("by", "ben"), ("note", "half a thought")];
    let html = check(
        "/incidents/INC-1",
        &again,
        StatusCode::CONFLICT,
        "INC-1 is already acknowledged by ana: unacknowledge it first",
    )
    .await;
    assert!(html.contains("value=\"ben\"") && html.contains("value=\"half a thought\""), "what was typed is kept");
    let cases: [(&[(&str, &str)], &str); 4] = [
        (&[("verb", "note"), ("by", "ana")], "Write the note first"),
        (&[("verb", "acknowledge")], "Fill in your name"),
        (&[("verb", "split"), ("by", "ana")], "Mark at least one alert"),
        (&[("verb", "explode"), ("by", "ana")], "No button"),
    ];
    for (fields, said) in cases {
        check("/incidents/INC-1", fields, StatusCode::BAD_REQUEST, said).await;
    }
    let wrong = [("verb", "create"), ("matchers", "a=~\"(\""), ("duration", "8h"), ("by", "ana"), ("comment", "why")];
    let html = check("/silences", &wrong, StatusCode::BAD_REQUEST, "Not done.").await;
    assert!(
        html.contains("<option selected>8h</option>") && html.contains("value=\"why\""),
        "what was chosen is kept:\n{html}"
    );
    let preview = [("verb", "preview"), ("matchers", "alertname=\"DiskFull\""), ("duration", "4h")];
    let html = site.press("/silences", &preview).await.text().await.unwrap();
    assert!(
        html.contains("1 of 1 firing alerts would fall quiet") && html.contains("<option selected>4h</option>"),
        "{html}"
    );
}

#[tokio::test]
async fn another_site_changes_nothing() {
    let site = Site::start().await;
    site.alerts(json!([alert("DiskFull", "db")])).await;
    let own = site.url.clone();
    let cases = [
        ("https://evil.example", StatusCode::FORBIDDEN),
        ("null", StatusCode::FORBIDDEN),
        (own.as_str(), StatusCode::SEE_OTHER),
    ];
    for (origin, status) in cases {
        let form = [("verb", "acknowledge"), ("by", "mallory")];
        let post = site.client.post(format!("{}/incidents/INC-1", site.url)).header("origin", origin).form(&form);
        assert_eq!(post.send().await.unwrap().status(), status, "{origin}");
        let acknowledged = site.page("/incidents/INC-1").await.contains("status acknowledged");
        assert_eq!(acknowledged, status == StatusCode::SEE_OTHER, "{origin}");
    }
}
