//! Alertmanager's behaviour tables, asked for through the public interface of a running Watchfire.
//! In: `alertmanager-behaviour` of the conformance folder, or our own data of the same shape. Out: pass or fail.
//! Never: looks at a parser or a route from the inside (`alerts` does).
//! Start at [`matchers_in_filters`].

use crate::support::watchfire::Watchfire;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use watchfire::model::{Labels, MatchOp, Matcher, Timestamp};

const CONFIG: &str = "receivers: [{ name: ops, log_configs: [{}] }]\nroute: { receiver: ops }\n";

fn table(file: &str) -> Value {
    let folder = match std::env::var("WATCHFIRE_CONFORMANCE") {
        Ok(folder) => format!("{folder}/alertmanager-behaviour"),
        Err(_) => concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/alerts").to_owned(),
    };
    serde_json::from_str(&std::fs::read_to_string(format!("{folder}/{file}")).unwrap()).unwrap()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// Now and some seconds, as RFC 3339.
fn soon(secs: i64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp::from_millis(now.as_millis() as i64 + secs * 1000).to_rfc3339()
}

#[tokio::test(flavor = "multi_thread")]
async fn fingerprints() {
    let server = Watchfire::start(CONFIG).await;
    let data = table("fingerprints.json");
    let mut checked = 0;
    for case in list(&data, "cases") {
        let labels = case["labels"].as_object().unwrap();
        let answer = server.post("/api/v2/alerts", &json!([{ "labels": labels }])).await;
        if labels.is_empty() {
            assert_eq!(answer.status, 400, "no labels: {}", answer.text);
            continue;
        }
        answer.expect(200);
        // An empty value is no label, so it cannot be asked for.
        if labels.values().any(|v| v == "") {
            continue;
        }
        let all = server.get("/api/v2/alerts").await.expect(200);
        let found = all.as_array().unwrap().iter().find(|a| a["labels"].as_object() == Some(labels));
        assert_eq!(found.unwrap()["fingerprint"], case["fingerprint"], "{case}");
        checked += 1;
    }
    assert!(checked > 1);
}

/// A filter, and the one matcher it is, or none when it must be refused.
type Filter = (String, Option<(String, String, String)>);

/// What of the tables concerns a filter: it is one matcher, read by the newer parser unless only the classic one can,
/// and by the classic one where both can and disagree.
fn filters(data: &Value) -> Vec<Filter> {
    let mut found = Vec::new();
    for section in ["fallback_single", "utf8_single_matcher", "classic_matchers", "classic_and_utf8_compliance"] {
        for case in list(data, section) {
            let input = case["input"].as_str().unwrap();
            let matchers = list(case, "matchers");
            let refused = case["error"].is_string();
            let braced = input.starts_with('{') || input.ends_with('}');
            // An error of only one of the two parsers is no refusal; a list's commas are no filter's, and the classic parser
            // takes a last comma for a part of the value unless the name is quoted, which only the newer one reads.
            let applies = match section {
                "fallback_single" => true,
                "utf8_single_matcher" => !refused && (input.starts_with('"') || !input.ends_with(',')),
                "classic_matchers" => !refused && matchers.len() == 1 && !input.contains(['{', ',']),
                _ => !input.contains(['{', ',']) && (refused || matchers.len() == 1),
            };
            if applies && !input.is_empty() {
                let text = |m: &Value, key: &str| m[key].as_str().unwrap().to_owned();
                let one = |m: &Value| (text(m, "name"), text(m, "op"), text(m, "value"));
                // A filter with braces is refused by Alertmanager's API whatever is in them.
                found.push((input.to_owned(), (!refused && !braced).then(|| one(&matchers[0]))));
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn matchers_in_filters() {
    let server = Watchfire::start(CONFIG).await;
    let filters = filters(&table("matchers.json"));
    // For each matcher an alert with its name and value, and some that are near.
    let mut sets: BTreeSet<Vec<(String, String)>> = BTreeSet::from([vec![("other".to_owned(), "x".to_owned())]]);
    for (name, _, value) in filters.iter().filter_map(|(_, matcher)| matcher.as_ref()) {
        for value in [value.as_str(), "bar", "bark", "500", "abc", "~~"] {
            sets.insert(vec![(name.clone(), value.to_owned())]);
        }
    }
    let mut posted = Vec::new();
    for (i, set) in sets.iter().filter(|set| !set[0].1.is_empty()).enumerate() {
        let mut labels: Map<String, Value> = set.iter().map(|(n, v)| (n.clone(), json!(v))).collect();
        labels.insert("probe".to_owned(), json!(i.to_string()));
        posted.push(labels);
    }
    let body: Vec<Value> = posted.iter().map(|labels| json!({ "labels": labels })).collect();
    server.post("/api/v2/alerts", &json!(body)).await.expect(200);
    let probe = |labels: &Map<String, Value>| labels["probe"].as_str().unwrap().to_owned();

    let mut read = 0;
    for (filter, matcher) in &filters {
        let answer = server.ask("/api/v2/alerts", &[("filter", filter)]).await;
        let Some((name, op, value)) = matcher else {
            assert_eq!(answer.status, 400, "{filter}: {}", answer.text);
            assert!(answer.json().is_string(), "Alertmanager's errors are bare strings: {}", answer.text);
            continue;
        };
        let op = match op.as_str() {
            "=" => MatchOp::Equal,
            "!=" => MatchOp::NotEqual,
            "=~" => MatchOp::Regex,
            _ => MatchOp::NotRegex,
        };
        let matcher = Matcher::new(name, op, value).unwrap();
        let wanted: BTreeSet<String> = posted
            .iter()
            .filter(|l| matcher.matches(&Labels::from_pairs(l.iter().map(|(n, v)| (n.as_str(), v.as_str().unwrap())))))
            .map(probe)
            .collect();
        let got = answer.expect(200);
        let got: BTreeSet<String> =
            got.as_array().unwrap().iter().map(|a| probe(a["labels"].as_object().unwrap())).collect();
        assert_eq!(got, wanted, "{filter}");
        read += 1;
    }
    assert!(read > 1, "the tables hold filters");
}

#[tokio::test(flavor = "multi_thread")]
async fn routes() {
    let data = table("routes.json");
    let yaml = data["route_yaml"].as_str().unwrap();
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for line in yaml.lines().flat_map(|l| l.split(['{', '}'])) {
        if let Some((_, name)) = line.split_once("receiver:") {
            names.insert(name.trim().trim_matches(['\'', '"']));
        }
    }
    let receivers: Vec<Value> = names.iter().map(|n| json!({ "name": n, "log_configs": [{}] })).collect();
    let route: String = yaml.trim_matches('\n').lines().fold(String::new(), |out, line| out + "  " + line + "\n");
    let server = Watchfire::start(&format!("route:\n{route}\nreceivers: {}\n", json!(receivers))).await;
    assert!(!list(&data, "cases").is_empty());
    for case in list(&data, "cases") {
        server.post("/api/v2/alerts", &json!([{ "labels": case["labels"] }])).await.expect(200);
        let all = server.get("/api/v2/alerts").await.expect(200);
        let found = all.as_array().unwrap().iter().find(|a| a["labels"] == case["labels"]).unwrap();
        let got: Vec<&Value> = list(found, "receivers").iter().map(|r| &r["name"]).collect();
        let wanted: Vec<&Value> = list(case, "routes").iter().map(|r| &r["receiver"]).collect();
        assert_eq!(got, wanted, "{}", case["labels"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silences() {
    const MANY: &str = "/api/v2/silences";
    let server = Watchfire::start(CONFIG).await;
    let silence = |starts: &str, ends: &str| {
        let matcher = json!({ "name": "foo", "value": "bar", "isRegex": false, "isEqual": true });
        json!({ "matchers": [matcher], "startsAt": starts, "endsAt": ends, "createdBy": "ana", "comment": "works on it" })
    };
    let with_id = |mut silence: Value, id: &str| {
        silence["id"] = json!(id);
        silence
    };
    let post = async |body: &Value| server.post(MANY, body).await;
    let id_of = |answer: Value| answer["silenceID"].as_str().unwrap().to_owned();
    let one = async |id: &str| server.get(&format!("/api/v2/silence/{id}")).await.expect(200);
    let state = async |id: &str| one(id).await["status"]["state"].as_str().unwrap().to_owned();
    let secs = |text: &Value| Timestamp::parse_rfc3339(text.as_str().unwrap()).unwrap().as_millis() / 1000;

    // Without an id: a new one; a start in the past becomes now.
    let before = secs(&json!(soon(0)));
    let active = id_of(post(&silence(&soon(-3600), &soon(3600))).await.expect(200));
    assert!(uuid::Uuid::parse_str(&active).is_ok(), "{active}");
    let stored = one(&active).await;
    assert!(secs(&stored["startsAt"]) >= before, "{stored}");
    assert_eq!(stored["status"]["state"], "active");
    assert_eq!((&stored["createdBy"], &stored["comment"]), (&json!("ana"), &json!("works on it")));

    // The end must come after the start.
    for (starts, ends, why) in [
        (soon(10), soon(5), "start time must be before end time"),
        ("2126-01-01T00:00:00Z".to_owned(), "2126-01-01T00:00:00Z".to_owned(), "start time must be before end time"),
        (soon(-10), soon(-5), "end time can't be in the past"),
    ] {
        let answer = post(&silence(&starts, &ends)).await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.json(), format!("Failed to create silence: {why}"));
    }
    // A negative matcher alone is enough, and one that nothing can miss is not.
    for (is_regex, is_equal, value, status) in
        [(false, false, "prod", 200), (true, false, "prod|dev", 200), (false, true, "", 400), (true, true, ".*", 400)]
    {
        let mut env = silence(&soon(0), &soon(60));
        env["matchers"] = json!([{ "name": "env", "value": value, "isRegex": is_regex, "isEqual": is_equal }]);
        assert_eq!(post(&env).await.status, status, "{env}");
    }
    // Same matchers and start, later end: the same silence.
    let starts = stored["startsAt"].as_str().unwrap().to_owned();
    let longer = with_id(silence(&starts, &soon(7200)), &active);
    assert_eq!(id_of(post(&longer).await.expect(200)), active);
    assert!(secs(&one(&active).await["endsAt"]) > before + 3700);
    // Other matchers: the old one expires, a new one takes its place.
    let mut other = with_id(silence(&starts, &soon(7200)), &active);
    other["matchers"][0]["value"] = json!("baz");
    let second = id_of(post(&other).await.expect(200));
    assert_ne!(second, active);
    assert_eq!((&*state(&active).await, &*state(&second).await), ("expired", "active"));
    // A pending one may be moved.
    let pending = id_of(post(&silence(&soon(600), &soon(1200))).await.expect(200));
    assert_eq!(state(&pending).await, "pending");
    let moved = with_id(silence(&soon(900), &soon(1500)), &pending);
    assert_eq!(id_of(post(&moved).await.expect(200)), pending);
    assert!(secs(&one(&pending).await["startsAt"]) > before + 700);

    // Deleting expires, twice as well as once; it is still listed.
    for _ in 0..2 {
        assert_eq!(server.delete(&format!("/api/v2/silence/{second}")).await.status, 200);
        assert_eq!(state(&second).await, "expired");
    }
    let listed = server.get(MANY).await.expect(200);
    assert!(listed.as_array().unwrap().iter().any(|s| s["id"] == json!(second)));

    let unknown = "5f0c2ad5-5b1c-4f3c-9b7e-0d1c2b3a4f5e";
    for (method, id, status) in
        [("GET", unknown, 404), ("DELETE", unknown, 404), ("GET", "xyz", 422), ("DELETE", "xyz", 422)]
    {
        let path = format!("/api/v2/silence/{id}");
        let answer = server.send(server.request(method.parse().unwrap(), &path)).await;
        assert_eq!(answer.status, status, "{method} {id}: {}", answer.text);
    }
    assert_eq!(post(&with_id(silence(&soon(0), &soon(60)), unknown)).await.status, 404);
}

/// `api_scenarios.json`, which are sentences: alerts and silences with any UTF-8, filters, a prefix.
#[tokio::test(flavor = "multi_thread")]
async fn api_scenarios() {
    let server = Watchfire::start(CONFIG).await;
    let labels = json!({ "a": "b", "b": "Σ", "c": "🙂", "d": "eΘ" });
    let alert = json!([{ "labels": labels, "startsAt": soon(0), "endsAt": soon(300) }]);
    server.post("/api/v2/alerts", &alert).await.expect(200);
    let got = server.ask("/api/v2/alerts", &[("filter", "c=🙂")]).await.expect(200);
    assert_eq!(got[0]["labels"], labels);

    let two = json!([
        { "labels": { "alertname": "test1", "severity": "warning" } },
        { "labels": { "system": "foo", "severity": "critical" } },
    ]);
    server.post("/api/v2/alerts", &two).await.expect(200);
    let both = [("filter", "alertname=test1"), ("filter", "severity=warning")];
    let got = server.ask("/api/v2/alerts", &both).await.expect(200);
    assert_eq!((got.as_array().unwrap().len(), &got[0]["status"]["state"]), (1, &json!("active")));

    let matcher = json!({ "name": "fooΣ", "value": "bar🙂", "isRegex": false, "isEqual": true });
    let silence =
        json!({ "matchers": [matcher], "startsAt": soon(0), "endsAt": soon(86_400), "createdBy": "a", "comment": "c" });
    assert!(server.post("/api/v2/silences", &silence).await.expect(200)["silenceID"].is_string());
    assert_eq!(server.get("/api/v2/silences").await.expect(200)[0]["matchers"], json!([matcher]));
    for (filter, count) in [("fooΣ=bar🙂", 1), ("fooΣ=bar", 0)] {
        let got = server.ask("/api/v2/silences", &[("filter", filter)]).await.expect(200);
        assert_eq!(got.as_array().unwrap().len(), count, "{filter}");
    }

    let prefixed = Watchfire::start(&format!("{CONFIG}web: {{ external_url: \"http://localhost/foo\" }}\n")).await;
    prefixed.get("/foo/-/ready").await.expect(200);
    assert_eq!(prefixed.get("/foo/api/v2/alerts").await.expect(200), json!([]));
    assert_eq!(prefixed.get("/api/v2/alerts").await.status, 404);
}

const PAGING: &str = "
web: { trusted_proxies: [127.0.0.9] }
receivers: [{ name: ops, log_configs: [{}] }]
route: { receiver: ops, escalation_policy: oncall }
escalation_policies: [{ name: oncall, steps: [{ notify: [{ receiver: ops }] }] }]
";

/// Posts as `from`, an address of this machine, says; `client` is what a proxy writes.
async fn post_from(server: &Watchfire, from: &str, client: Option<&str>, path: &str, body: &Value) {
    let client_of =
        reqwest::Client::builder().local_address(from.parse::<std::net::IpAddr>().unwrap()).build().unwrap();
    let mut request = client_of.post(format!("{}{path}", server.base)).json(body);
    if let Some(client) = client {
        request = request.header("X-Forwarded-For", client);
    }
    server.send(request).await.expect(200);
}

/// Twenty rounds in which one of two senders repeats its end and the other that it fires; returns how many incidents there are.
async fn incidents_after_twenty_rounds(path: &str, senders: [(&str, Option<&str>); 2], hosts: [&str; 2]) -> usize {
    let server = Watchfire::start(PAGING).await;
    let (began, ended) = (soon(-60), soon(0));
    let post = async |i: usize, firing: bool| {
        let ends = match (firing, path) {
            (false, _) => ended.clone(),
            (true, "/api/v2/alerts") => soon(240),
            (true, _) => "0001-01-01T00:00:00Z".to_owned(),
        };
        let alert = json!({
            "labels": { "alertname": "Down" }, "startsAt": began, "endsAt": ends, "annotations": {},
            "status": if firing { "firing" } else { "resolved" },
            "generatorURL": format!("http://{}/graph", hosts[i]),
        });
        let body = match path {
            "/api/v2/alerts" => json!([alert]),
            _ => json!({ "version": "4", "status": alert["status"], "alerts": [alert] }),
        };
        post_from(&server, senders[i].0, senders[i].1, path, &body).await;
    };
    post(0, true).await;
    post(1, true).await;
    for _ in 0..20 {
        post(0, false).await;
        post(1, true).await;
    }
    let all = server.get("/api/v1/incidents").await.expect(200);
    all["data"]["incidents"].as_array().unwrap_or_else(|| panic!("{all}")).len()
}

#[tokio::test(flavor = "multi_thread")]
async fn senders_with_equal_labels_make_one_incident() {
    const API: &str = "/api/v2/alerts";
    let one = ["prometheus.example.org"; 2];
    let direct = [("127.0.0.1", None), ("127.0.0.2", None)];
    assert_eq!(incidents_after_twenty_rounds(API, direct, one).await, 1, "by address");
    let same = [("127.0.0.1", None); 2];
    assert_eq!(
        incidents_after_twenty_rounds(API, same, ["prometheus-0:9090", "prometheus-1:9090"]).await,
        1,
        "by host"
    );
    let proxied = [("127.0.0.9", Some("10.0.0.1")), ("127.0.0.9", Some("10.0.0.2"))];
    assert_eq!(incidents_after_twenty_rounds(API, proxied, one).await, 1, "behind a trusted proxy");
    assert_eq!(incidents_after_twenty_rounds("/api/v1/alertmanager", direct, one).await, 1, "an Alertmanager pair");
}

/// An Alertmanager of two Prometheus servers names now the one, now the other, and the other of a pair may report the end.
#[tokio::test(flavor = "multi_thread")]
async fn an_alertmanager_ends_what_it_reported_of_either_prometheus() {
    let server = Watchfire::start(CONFIG).await;
    for ends_from in ["127.0.0.1", "127.0.0.2"] {
        for (from, host, status) in
            [("127.0.0.1", "prometheus-a:9090", "firing"), (ends_from, "prometheus-b:9090", "resolved")]
        {
            let ends = if status == "firing" { "0001-01-01T00:00:00Z".to_owned() } else { soon(0) };
            let alert = json!({ "labels": { "alertname": "Slow" }, "annotations": {}, "status": status,
                "startsAt": soon(-60), "endsAt": ends, "generatorURL": format!("http://{host}/graph") });
            let body = json!({ "version": "4", "status": status, "alerts": [alert] });
            post_from(&server, from, None, "/api/v1/alertmanager", &body).await;
            let listed = server.get("/api/v2/alerts").await.expect(200).as_array().unwrap().len();
            assert_eq!(listed, usize::from(status == "firing"), "{status}, the end from {ends_from}");
        }
    }
}

/// `amtool alert add --end=now` from a workstation ends what Prometheus posted, as in Alertmanager; and Prometheus may go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_ends_an_alert_by_hand() {
    let server = Watchfire::start(CONFIG).await;
    let prometheus = async |ends: String| {
        let alert = json!([{ "labels": { "alertname": "Down" }, "startsAt": soon(-60), "endsAt": ends,
            "generatorURL": "http://prometheus:9090/graph" }]);
        post_from(&server, "127.0.0.2", None, "/api/v2/alerts", &alert).await;
    };
    let listed = async || server.get("/api/v2/alerts").await.expect(200).as_array().unwrap().len();
    prometheus(soon(240)).await;
    assert_eq!(listed().await, 1);
    let by_hand = json!([{ "labels": { "alertname": "Down" }, "endsAt": soon(0) }]);
    post_from(&server, "127.0.0.1", None, "/api/v2/alerts", &by_hand).await;
    assert_eq!(listed().await, 0);
    prometheus(soon(240)).await;
    assert_eq!(listed().await, 1, "it still fires");
    // Another Prometheus that never reported it ends nothing.
    let other =
        json!([{ "labels": { "alertname": "Down" }, "endsAt": soon(0), "generatorURL": "http://other:9090/graph" }]);
    post_from(&server, "127.0.0.3", None, "/api/v2/alerts", &other).await;
    assert_eq!(listed().await, 1);
}
