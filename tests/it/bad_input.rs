//! Bad input: what is wrong, huge or hostile is answered clearly, and nothing that was accepted is lost by it.
//! In: bodies, files and folders that no sane program would give. Out: a 4xx, or an exit code and a sentence.
//! Never: leaves a case without a check that the server is alive and still knows what it knew.
//! Start at [`bodies`].

use crate::support::process::Process;
use crate::support::watchfire::{Answer, Watchfire, folder, serve};
use reqwest::Method;
use serde_json::json;
use std::path::Path;
use std::time::Duration;

const CONFIG: &str = "receivers: [{ name: ops, log_configs: [{}] }]\nroute: { receiver: ops, group_wait: 0s }\n";
const WITHIN: Duration = Duration::from_secs(60);
const RW1: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// A snappy block that says it holds `length` bytes.
fn lying(length: u64, body: &[u8]) -> Vec<u8> {
    let (mut out, mut left) = (Vec::new(), length);
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
    out.extend_from_slice(body);
    out
}

fn snappy(body: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(body).unwrap()
}

/// One series with one label, as remote-write 1.0 has it, its value given as bytes.
fn series(value: &[u8]) -> Vec<u8> {
    let field = |number: u8, body: &[u8]| [&[number << 3 | 2, body.len() as u8], body].concat();
    let label = |name: &[u8], value: &[u8]| field(1, &[field(1, name), field(2, value)].concat());
    let sample = field(2, &[&[9][..], &1.0f64.to_le_bytes(), &[16, 1]].concat());
    field(1, &[label(b"__name__", b"up"), label(b"job", value), sample].concat())
}

async fn send(server: &Watchfire, path: &str, kind: &str, body: Vec<u8>) -> Answer {
    let mut request = server.request(Method::POST, path).header("content-type", kind).body(body);
    if kind == RW1 {
        request = request.header("content-encoding", "snappy").header("x-prometheus-remote-write-version", "0.1.0");
    }
    match request.send().await {
        Ok(answer) => Answer { status: answer.status().as_u16(), text: answer.text().await.unwrap_or_default() },
        // A server that refuses a body by its declared length may hang up while it is still being sent.
        Err(error) if error.is_request() || error.is_body() => Answer { status: 413, text: "hung up".to_owned() },
        Err(error) => panic!("{path}: {error:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies() {
    let mut server = Watchfire::start(CONFIG).await;
    let known = json!([{ "labels": { "alertname": "Known" } }]);
    server.post("/api/v2/alerts", &known).await.expect(200);

    let (write, webhook, alerts) = ("/api/v1/write", "/api/v1/alertmanager", "/api/v2/alerts");
    let silences = "/api/v2/silences";
    let deep = |n: usize| [vec![b'['; n], vec![b']'; n]].concat();
    let nested = br#"[{"labels":{"alertname":"a"},"annotations":"#.iter().copied();
    let nested: Vec<u8> = nested.chain(b"{\"x\":".repeat(5_000)).collect();
    let huge = vec![b' '; 100 << 20];
    let not_utf8 = b"[{\"labels\":{\"alertname\":\"\xff\xfe\"}}]".to_vec();
    let hook_not_utf8 = b"{\"version\":\"4\",\"alerts\":[{\"labels\":{\"alertname\":\"\xc3\x28\"}}]}".to_vec();
    let cases: Vec<(&str, &str, &str, Vec<u8>, u16)> = vec![
        ("not protobuf", write, RW1, snappy(b"what is this"), 400),
        ("a cut message", write, RW1, snappy(&series(b"node")[..20]), 400),
        ("a label's value is not UTF-8", write, RW1, snappy(&series(b"\xff\xfe")), 400),
        ("not snappy", write, RW1, b"\x05hello world, this is no snappy".to_vec(), 400),
        ("snappy that holds less than it says", write, RW1, lying(1000, &[0x10, b'a', b'b', b'c', b'd', b'e']), 400),
        ("snappy that says 4 GB", write, RW1, lying(0xffff_ffff, b"x"), 400),
        ("snappy that says more than 32 bits hold", write, RW1, lying(1 << 40, b"x"), 400),
        ("an empty body", write, RW1, Vec::new(), 400),
        ("100 MB", write, RW1, huge.clone(), 413),
        ("JSON for remote-write", write, JSON, b"{}".to_vec(), 415),
        ("100 MB of alerts", alerts, JSON, huge.clone(), 413),
        ("100 MB of webhook", webhook, JSON, huge.clone(), 413),
        ("100 MB of silence", silences, JSON, huge, 413),
        ("deep lists", alerts, JSON, deep(100_000), 400),
        ("deep objects", alerts, JSON, nested, 400),
        ("deep lists in a webhook", webhook, JSON, deep(100_000), 400),
        ("deep lists in a silence", silences, JSON, deep(100_000), 400),
        ("deep lists in a command", "/api/v1/incidents/INC-1/note", JSON, deep(100_000), 400),
        ("alerts that are not UTF-8", alerts, JSON, not_utf8, 400),
        ("a webhook that is not UTF-8", webhook, JSON, hook_not_utf8, 400),
        ("no JSON", alerts, JSON, b"{".to_vec(), 400),
        ("an alert without labels", alerts, JSON, b"[{\"labels\":{}}]".to_vec(), 400),
        ("a time that is none", alerts, JSON, br#"[{"labels":{"a":"b"},"startsAt":"noon"}]"#.to_vec(), 400),
        ("an end before the start", alerts, JSON, br#"[{"labels":{"a":"b"},"startsAt":"2026-01-02T00:00:00Z","endsAt":"2026-01-01T00:00:00Z"}]"#.to_vec(), 400),
        ("another webhook's version", webhook, JSON, br#"{"version":"3","alerts":[]}"#.to_vec(), 400),
        ("a silence without matchers", silences, JSON, br#"{"matchers":[],"startsAt":"2026-01-01T00:00:00Z","endsAt":"2126-01-01T00:00:00Z","createdBy":"a","comment":"c"}"#.to_vec(), 400),
    ];
    for (name, path, kind, body, status) in cases {
        let answer = send(&server, path, kind, body).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.text);
        assert!(!answer.text.trim().is_empty(), "{name}: the answer says nothing");
        server.get("/-/ready").await.expect(200);
    }
    // Nothing came in by the way, and nothing that was in is gone, not even by kill -9.
    for _ in 0..2 {
        let alerts = server.get("/api/v2/alerts").await.expect(200);
        let names: Vec<&str> =
            alerts.as_array().unwrap().iter().filter_map(|a| a["labels"]["alertname"].as_str()).collect();
        assert_eq!(names, ["Known"]);
        assert_eq!(server.get("/api/v2/silences").await.expect(200), json!([]));
        server.restart(async {}).await;
    }
    // What is only long is taken: annotations are cut and say so, labels are kept whole.
    let long = json!([
        { "labels": { "alertname": "Long", "stack": "s".repeat(60_000) },
          "annotations": { "log": "x".repeat(81_920), "summary": "short" } },
        { "labels": { "alertname": "TooLong", "stack": "s".repeat(70_000) } },
    ]);
    let answer = server.post("/api/v2/alerts", &long).await;
    assert!(answer.status == 400 && answer.text.contains("alert 1: label"), "{}", answer.text);
    assert!(server.log_tail().contains("an alert was refused"), "{}", server.log_tail());
    let found = server.ask("/api/v2/alerts", &[("filter", "alertname=Long")]).await.expect(200);
    assert_eq!(found[0]["labels"]["stack"].as_str().map(str::len), Some(60_000));
    assert_eq!(found[0]["annotations"]["summary"], "short");
    assert!(found[0]["annotations"]["log"].as_str().is_some_and(|log| log.ends_with("x… [cut: 81920 bytes]")));
    let many: serde_json::Map<String, serde_json::Value> = (0..200).map(|i| (format!("l{i}"), json!("v"))).collect();
    server.post("/api/v2/alerts", &json!([{ "labels": many }])).await.expect(200);
    // Good neighbours of a bad alert are kept.
    let mixed = json!([{ "labels": { "alertname": "Good" } }, { "labels": {} }]);
    assert_eq!(server.post("/api/v2/alerts", &mixed).await.status, 400);
    let good = server.ask("/api/v2/alerts", &[("filter", "alertname=Good")]).await.expect(200);
    assert_eq!(good.as_array().unwrap().len(), 1);
}

/// A server that must not start: exit code 1 and a log that names `reasons`.
fn refuses(name: &str, dir: &Path, more: &[&str], reasons: &[&str]) {
    let mut server: Process = serve(dir, more);
    assert_eq!(server.ended(WITHIN), Some(1), "{name}: {}", server.log());
    for reason in reasons {
        assert!(server.log().contains(reason), "{name}: wanted {reason:?} in\n{}", server.log());
    }
    assert!(!server.log().contains("panicked"), "{name}: {}", server.log());
}

#[test]
fn configurations() {
    let check = |name: &str, config: &str, reasons: &[&str]| refuses(name, folder(config).path(), &[], reasons);
    check(
        "an unknown receiver in a route",
        &CONFIG.replace("receiver: ops,", "receiver: nobody,"),
        &["watchfire.yml:2:20:", "nobody"],
    );
    check(
        "a secret's file that is not there",
        &CONFIG.replace("log_configs: [{}]", "webhook_configs: [{ url_file: secrets/url }]"),
        &["watchfire.yml:1:", "secrets/url"],
    );
    check(
        "a secret's file that is a folder",
        &CONFIG.replace("log_configs: [{}]", "webhook_configs: [{ url_file: . }]"),
        &["watchfire.yml:1:"],
    );
    check(
        "tokens that cannot be read",
        &format!("{CONFIG}web: {{ auth: {{ bearer_tokens_file: no/tokens }} }}\n"),
        &["watchfire.yml:3:", "no/tokens"],
    );
    check("an unknown field", &format!("{CONFIG}rout: {{}}\n"), &["watchfire.yml:3:1:", "rout"]);
    check("no YAML", "route: [\n", &["watchfire.yml:"]);
    check("nothing but depth", &"[".repeat(10_000), &["watchfire.yml"]);
    check(
        "two mistakes at once",
        "route: { receiver: a }\nreceivers: [{ name: b, log_configs: [{}] }]\nx: 1\n",
        &[":1:", ":3:1:"],
    );
    let dir = folder(CONFIG);
    std::fs::write(dir.path().join("watchfire.yml"), b"route: \xff\xfe\n").unwrap();
    refuses("a file that is not UTF-8", dir.path(), &[], &["watchfire.yml"]);
    std::fs::remove_file(dir.path().join("watchfire.yml")).unwrap();
    refuses("no file", dir.path(), &[], &["watchfire.yml"]);
    let dir = folder(&format!("{CONFIG}rule_files: [rules.yml]\n"));
    std::fs::write(
        dir.path().join("rules.yml"),
        "groups:\n  - name: g\n    rules:\n      - alert: A\n        expr: sum(\n",
    )
    .unwrap();
    refuses("a rule that does not parse", dir.path(), &[], &["rules.yml:5:15:", "unclosed left parenthesis"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn places() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let dir = folder(CONFIG);
    refuses(
        "a port in use",
        dir.path(),
        &["--web.listen-address", &address],
        &[&address, "in use", "--web.listen-address"],
    );

    // Also where tests run as root, nobody can write below a file.
    refuses(
        "a data folder below a file",
        dir.path(),
        &["--storage.path", "watchfire.yml/data"],
        &["watchfire.yml/data"],
    );
    std::fs::create_dir(dir.path().join("broken")).unwrap();
    std::fs::write(
        dir.path().join("broken/watchfire.db"),
        b"this is no database, but long enough to look like one".repeat(100),
    )
    .unwrap();
    refuses("a data folder with something else in it", dir.path(), &["--storage.path", "broken"], &["watchfire.db"]);
    assert!(dir.path().join("broken/watchfire.db").metadata().unwrap().len() > 5_000, "what was there is still there");

    // Two servers never share a folder; the first does not suffer.
    let server = Watchfire::start(CONFIG).await;
    refuses("a data folder in use", server.dir.path(), &[], &["data"]);
    server.post("/api/v2/alerts", &json!([{ "labels": { "alertname": "A" } }])).await.expect(200);
}
