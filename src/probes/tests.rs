//! Tests of probes, against sockets of this machine.
//! In: answers as bytes. Out: the samples that came of them.
//! Never: asks anything beyond loopback.
//! Start at [`check`].

use super::*;
use crate::model::sample::is_stale;
use crate::model::{Labels, labels::METRIC_NAME};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn probe(target: Target) -> Probe {
    Probe {
        name: "shop".into(),
        target,
        interval: Duration::from_secs(15),
        timeout: Duration::from_secs(20),
        expect_status: Vec::new(),
        checks: Vec::new(),
        labels: Labels::from_pairs([("service", "shop")]),
    }
}

fn wants(name: &str, path: &str, expect: &[&str]) -> Check {
    let expect = expect.iter().map(|text| Arc::from(*text)).collect();
    Check { name: name.into(), path: JsonPath::parse(path).unwrap(), expect }
}

/// A server that answers every connection with these bytes; `None`: it never answers.
async fn server(answer: Option<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut head = [0; 2048];
            if let Some(answer) = &answer {
                // A TCP probe says nothing and hangs up.
                if socket.read(&mut head).await.unwrap_or(0) > 0 {
                    drop(socket.write_all(answer.as_bytes()).await);
                }
            } else {
                open.push(socket);
            }
        }
    });
    address
}

fn http(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn test_client() -> reqwest::Client {
    drop(rustls::crypto::ring::default_provider().install_default());
    client().unwrap()
}

/// The samples without the duration, as `name{check} value`.
fn lines(probe: &Probe, outcome: &Outcome) -> Vec<String> {
    let line = |(labels, value): (Labels, f64)| {
        let check = labels.get("check").map_or(String::new(), |check| format!("{{{check}}}"));
        let value = if is_stale(value) { "stale".to_owned() } else { value.to_string() };
        format!("{}{check} {value}", labels.metric_name())
    };
    samples(probe, outcome).into_iter().map(line).filter(|line| !line.starts_with("probe_duration")).collect()
}

async fn check(answer: Option<String>, change: impl FnOnce(&mut Probe), failure: Option<&str>, expected: &[&str]) {
    let address = server(answer).await;
    let mut probe = probe(Target::Http(format!("http://{address}/health").into()));
    change(&mut probe);
    let outcome = ask(&test_client(), &probe).await;
    assert_eq!(outcome.failure, failure);
    assert_eq!(lines(&probe, &outcome), expected);
}

const BODY: &str = r#"{"status":"degraded","checks":{"db":{"status":"healthy","ms":2.5},"up":true},"list":[{"n":7}]}"#;

#[tokio::test]
async fn statuses() {
    check(Some(http("200 OK", "")), |_| {}, None, &["probe_success 1", "probe_http_status_code 200"]).await;
    let failed = ["probe_success 0", "probe_http_status_code 503"];
    check(Some(http("503 Away", "")), |_| {}, Some("status"), &failed).await;
    let expected = |p: &mut Probe| p.expect_status = vec![200, 503];
    check(Some(http("503 Away", "")), expected, None, &["probe_success 1", "probe_http_status_code 503"]).await;
    // A redirect is an answer.
    let moved = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_owned();
    check(Some(moved), |_| {}, Some("status"), &["probe_success 0", "probe_http_status_code 302"]).await;
    let garbage = ["probe_success 0", "probe_http_status_code stale"];
    check(Some("what?\r\n\r\n".to_owned()), |_| {}, Some("answer"), &garbage).await;
}

#[tokio::test]
async fn checks_inside_json() {
    let all = |p: &mut Probe| {
        p.checks = vec![
            wants("db", "checks.db.status", &["healthy"]),
            wants("whole", "$.status", &["healthy", "degraded"]),
            wants("ms", "checks.db.ms", &[]),
            wants("up", "checks.up", &["true"]),
            wants("item", "list[0].n", &[]),
        ];
    };
    let good = [
        "probe_success 1",
        "probe_http_status_code 200",
        "probe_check_success{db} 1",
        "probe_check_value{db} stale",
        "probe_check_success{whole} 1",
        "probe_check_value{whole} stale",
        "probe_check_value{ms} 2.5",
        "probe_check_success{up} 1",
        "probe_check_value{up} 1",
        "probe_check_value{item} 7",
    ];
    check(Some(http("200 OK", BODY)), all, None, &good).await;
    let wrong = |p: &mut Probe| {
        p.checks = vec![wants("whole", "status", &["healthy"]), wants("absent", "no.such[3].place", &["x"])];
    };
    let failed = [
        "probe_success 0",
        "probe_http_status_code 200",
        "probe_check_success{whole} 0",
        "probe_check_value{whole} stale",
        "probe_check_success{absent} 0",
        "probe_check_value{absent} stale",
    ];
    check(Some(http("200 OK", BODY)), wrong, Some("check"), &failed).await;
    // No JSON at all, and JSON without end.
    let one = |p: &mut Probe| p.checks = vec![wants("db", "db", &["ok"])];
    let unknown =
        ["probe_success 0", "probe_http_status_code 200", "probe_check_success{db} 0", "probe_check_value{db} stale"];
    check(Some(http("200 OK", "<html>")), one, Some("json"), &unknown).await;
    let one = |p: &mut Probe| p.checks = vec![wants("db", "db", &["ok"])];
    let cut =
        ["probe_success 0", "probe_http_status_code stale", "probe_check_success{db} 0", "probe_check_value{db} stale"];
    check(Some(http("200 OK", &"x".repeat(2 << 20))), one, Some("too_long"), &cut).await;
}

#[tokio::test]
async fn silence_ends_with_the_timeout() {
    let short = |p: &mut Probe| p.timeout = Duration::from_millis(50);
    check(None, short, Some("timeout"), &["probe_success 0", "probe_http_status_code stale"]).await;
}

#[tokio::test]
async fn tcp() {
    let address = server(None).await;
    let open = probe(Target::Tcp(address.as_str().into()));
    assert_eq!(lines(&open, &ask(&test_client(), &open).await), ["probe_success 1"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = probe(Target::Tcp(listener.local_addr().unwrap().to_string().into()));
    drop(listener);
    let outcome = ask(&test_client(), &closed).await;
    assert_eq!((outcome.failure, lines(&closed, &outcome)), (Some("connect"), vec!["probe_success 0".to_owned()]));
}

#[test]
fn labels_of_series() {
    let mut probe = probe(Target::Tcp("db:5432".into()));
    probe.labels = Labels::from_pairs([("service", "shop"), ("job", "mine"), (METRIC_NAME, "hidden"), ("check", "no")]);
    let outcome = Outcome { failure: None, took: Duration::from_millis(1500), status: None, checks: Vec::new() };
    let seen: Vec<String> = samples(&probe, &outcome).iter().map(|(labels, _)| labels.to_string()).collect();
    let rest = r#"instance="db:5432", job="mine", probe="shop", service="shop"}"#;
    let expected: Vec<String> = ["probe_success", "probe_duration_seconds"]
        .iter()
        .map(|name| format!("{{__name__=\"{name}\", {rest}"))
        .collect();
    assert_eq!(seen, expected);
    assert!((samples(&probe, &outcome)[1].1 - 1.5).abs() < f64::EPSILON);
    assert!(stale(&probe).iter().all(|(_, value)| is_stale(*value)));
}

#[test]
fn paths() {
    let read = |text: &str| JsonPath::parse(text);
    for good in ["a", "a.b", "$.a", "a[0]", "$[1].b", "a[0][1].c"] {
        assert_eq!(read(good).unwrap().to_string(), good);
    }
    for (bad, error) in [
        ("", PathError::Empty),
        ("$", PathError::Empty),
        ("a..b", PathError::Name),
        ("a.[0]", PathError::Name),
        ("a[x]", PathError::Index),
        ("a[0", PathError::Index),
        ("a[0]b", PathError::Index),
    ] {
        assert_eq!(read(bad), Err(error), "{bad}");
    }
}

#[tokio::test]
async fn reload_keeps_starts_and_ends() {
    let (heard, mut said) = tokio::sync::mpsc::channel(1000);
    let sink: Sink = Arc::new(move |probe: &Probe, samples: Vec<(Labels, f64)>| {
        drop(heard.try_send((probe.name.to_string(), samples[0].1)));
    });
    let prober = Prober::new(test_client(), sink);
    let address = server(None).await;
    let named = |name: &str| Probe {
        name: name.into(),
        interval: Duration::from_millis(20),
        ..probe(Target::Tcp(address.as_str().into()))
    };
    prober.reload(&[named("a"), named("b")]);
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 2 {
        let (name, success) = said.recv().await.unwrap();
        assert!((success - 1.0).abs() < f64::EPSILON);
        seen.insert(name);
    }
    prober.reload(&[named("a")]);
    // What was under way may still come before the end, nothing after it.
    let mut ended = false;
    for _ in 0..1000 {
        let (name, value) = said.recv().await.unwrap();
        assert!(!(ended && name == "b"), "asked after its end");
        ended |= name == "b" && is_stale(value);
        if ended && name == "a" {
            break;
        }
    }
    assert!(ended);
    prober.stop();
}
