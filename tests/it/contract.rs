//! The contract with users: the configuration of the first day, and our own API's shapes, states and errors.
//! In: HTTP against a running Watchfire. Out: pass or fail.
//! Never: changes the contract's configuration, but for its ports.
//! Start at [`incidents`]; the configuration is [`contract::CONFIG`](crate::support::contract::CONFIG).

use crate::support::contract;
use crate::support::http_sink::HttpSink;
use crate::support::process::eventually;
use crate::support::smtp_sink::SmtpSink;
use crate::support::watchfire::{Answer, Watchfire, folder, serve};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(30);

struct World {
    server: Watchfire,
    http: HttpSink,
    /// Holds the mail server's place; its mails are another subject's.
    _mail: SmtpSink,
}

async fn world() -> World {
    let http = HttpSink::always(200).await;
    let mail = SmtpSink::start(|_, _| "250 ok").await;
    let config = contract::config_with(http.address.port(), mail.address.port());
    World { server: Watchfire::start(&config).await, http, _mail: mail }
}

impl World {
    async fn alert(&self, labels: Value, ends_at: Option<&str>) {
        let mut alert = json!({ "labels": labels, "annotations": { "summary": "it burns" } });
        if let Some(ends_at) = ends_at {
            alert["endsAt"] = json!(ends_at);
        }
        self.server.post("/api/v2/alerts", &json!([alert])).await.expect(200);
    }

    async fn listed(&self, query: &[(&str, &str)]) -> Vec<String> {
        let answer = self.server.ask("/api/v1/incidents", query).await.expect(200);
        assert_eq!(answer["status"], "success");
        let ids = answer["data"]["incidents"].as_array().unwrap().iter();
        ids.map(|i| i["id"].as_str().unwrap().to_owned()).collect()
    }

    async fn one(&self, id: &str) -> Value {
        let answer = self.server.get(&format!("/api/v1/incidents/{id}")).await.expect(200);
        assert_eq!(answer["status"], "success");
        answer["data"]["incident"].clone()
    }

    async fn command(&self, id: &str, verb: &str, body: &Value) -> Answer {
        self.server.post(&format!("/api/v1/incidents/{id}/{verb}"), body).await
    }

    /// A command that is carried out: the incident as it is then.
    async fn does(&self, id: &str, verb: &str, body: Value) -> Value {
        let answer = self.command(id, verb, &body).await;
        assert_eq!(answer.status, 200, "{verb} {id} {body}: {}", answer.text);
        answer.json()["data"]["incident"].clone()
    }

    async fn refused(&self, id: &str, verb: &str, body: Value, status: u16, reason: &str) {
        let what = format!("{verb} {id} {body}");
        refusal(self.command(id, verb, &body).await, status, reason, &what);
    }
}

/// An error of our own API has this shape everywhere.
fn refusal(answer: Answer, status: u16, reason: &str, what: &str) {
    let body = answer.json();
    assert_eq!(answer.status, status, "{what}: {}", answer.text);
    assert_eq!(body["status"], "error", "{what}: {body}");
    assert!(body["errorType"].as_str().is_some_and(|t| !t.is_empty()), "{what}: {body}");
    assert!(body["error"].as_str().is_some_and(|e| e.contains(reason)), "{what}: wanted {reason:?} in {body}");
}

/// Has these fields, and each satisfies its kind: s(tring), n(umber), o(bject), l(ist), t(ime), `?` may be null.
fn shape(value: &Value, fields: &[(&str, &str)]) {
    for (name, kind) in fields {
        let field = value.get(*name).unwrap_or_else(|| panic!("no {name} in {value}"));
        let ok = kind.ends_with('?') && field.is_null()
            || match &kind[..1] {
                "s" => field.is_string(),
                "n" => field.is_u64(),
                "o" => field.is_object(),
                "l" => field.is_array(),
                "t" => field.as_str().is_some_and(|t| t.ends_with('Z') && t.contains('T')),
                _ => unreachable!("{kind}"),
            };
        assert!(ok, "{name} is {field}, wanted {kind}");
    }
}

const INCIDENT: &[(&str, &str)] = &[
    ("id", "s"),
    ("title", "s"),
    ("status", "s"),
    ("severity", "s"),
    ("opened_at", "t"),
    ("acknowledged_at", "t?"),
    ("acknowledged_by", "s?"),
    ("resolved_at", "t?"),
    ("labels", "o"),
    ("alert_count", "n"),
    ("sources", "l"),
    ("escalation", "o"),
    ("escalations", "l"),
    ("still_firing", "n?"),
    ("hold_until", "t?"),
    ("predecessor", "s?"),
    ("covers", "l?"),
];

const RUN: &[(&str, &str)] = &[
    ("policy", "s"),
    ("run", "n"),
    ("round", "n"),
    ("step", "n"),
    ("next_at", "t?"),
    ("state", "s"),
    ("because", "s?"),
];

const LINE: &[(&str, &str)] =
    &[("at", "t"), ("kind", "s"), ("text", "s"), ("actor", "s?"), ("reason", "s"), ("data", "o")];

const NOTIFICATION: &[(&str, &str)] = &[
    ("key", "s"),
    ("kind", "s"),
    ("incident", "s?"),
    ("group", "s?"),
    ("receiver", "s"),
    ("integration", "s"),
    ("state", "s"),
    ("attempts", "n"),
    ("created_at", "t"),
    ("next_at", "t?"),
    ("sent_at", "t?"),
    ("error", "s?"),
    ("reason", "s"),
];

/// Three alerts, three incidents: two services of one cluster, one of another.
async fn three() -> World {
    let world = world().await;
    for (name, cluster, service, severity) in
        [("A", "c1", "s1", "critical"), ("B", "c1", "s2", "warning"), ("C", "c2", "s1", "critical")]
    {
        let labels = json!({ "alertname": name, "cluster": cluster, "service": service, "severity": severity });
        world.alert(labels, None).await;
    }
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn incidents() {
    let mut world = three().await;
    let answer = world.server.get("/api/v1/incidents").await.expect(200);
    assert_eq!((&answer["status"], &answer["data"]["next"]), (&json!("success"), &Value::Null));
    let list = answer["data"]["incidents"].as_array().unwrap();
    assert_eq!(list.len(), 3);
    for incident in list {
        shape(incident, INCIDENT);
        shape(&incident["escalation"], &[("policy", "s?"), ("step", "n"), ("round", "n"), ("next_at", "t?")]);
        assert_eq!(incident["sources"], json!(["alertmanager_api"]));
    }

    for (query, ids) in [
        (&[("status", "triggered")][..], &["INC-3", "INC-2", "INC-1"][..]),
        (&[("status", "resolved")], &[]),
        (&[("status", "acknowledged,triggered"), ("severity", "medium")], &["INC-2"]),
        (&[("severity", "critical")], &["INC-3", "INC-1"]),
        (&[("severity", "warning,page")], &["INC-3", "INC-2", "INC-1"]),
        (&[("filter", "service=\"s1\"")], &["INC-3", "INC-1"]),
        (&[("filter", "service=\"s1\""), ("filter", "cluster!=c1")], &["INC-3"]),
        (&[("filter", "service=~\"s[2-9]\"")], &["INC-2"]),
        (&[("status", ""), ("severity", ""), ("filter", "")], &["INC-3", "INC-2", "INC-1"]),
    ] {
        assert_eq!(world.listed(query).await, ids, "{query:?}");
    }
    for (query, reason) in [
        (("status", "burning"), "burning"),
        (("severity", "loud"), "write one of critical, high, medium, low, info"),
        (("filter", "service="), ""),
        (("filter", "=x"), "bad matcher format"),
        (("next", "INC"), "INC"),
        (("limit", "many"), "many"),
    ] {
        let answer = world.server.ask("/api/v1/incidents", &[query]).await;
        if reason.is_empty() {
            answer.expect(200);
        } else {
            refusal(answer, 400, reason, &format!("{query:?}"));
        }
    }
    // Page by page until there is no next.
    let (mut seen, mut next) = (Vec::new(), None::<String>);
    loop {
        let mut query = vec![("limit", "2")];
        query.extend(next.as_deref().map(|n| ("next", n)));
        let page = world.server.ask("/api/v1/incidents", &query).await.expect(200);
        let incidents = page["data"]["incidents"].as_array().unwrap();
        assert!(!incidents.is_empty() && incidents.len() <= 2, "{page}");
        seen.extend(incidents.iter().map(|i| i["id"].as_str().unwrap().to_owned()));
        match page["data"]["next"].as_str() {
            Some(more) => next = Some(more.to_owned()),
            None => break,
        }
    }
    assert_eq!(seen, ["INC-3", "INC-2", "INC-1"]);

    // The first page of step 1 has gone out and says what the contract says.
    let page = loop {
        let arrived = world.http.next().await;
        if arrived.path == "/first" {
            break arrived;
        }
    };
    assert!(!page.header("idempotency-key").is_empty());
    let body = page.json();
    assert_eq!(
        (&body["version"], &body["receiver"], &body["status"]),
        (&json!("4"), &json!("first"), &json!("firing"))
    );
    let about =
        [("id", "s"), ("url", "s"), ("status", "s"), ("severity", "s"), ("title", "s"), ("step", "n"), ("round", "n")];
    shape(&body["incident"], &about);
    assert_eq!((&body["incident"]["step"], &body["incident"]["round"]), (&json!(1), &json!(1)));

    let one = world.one("INC-1").await;
    shape(&one, INCIDENT);
    shape(&one, &[("alerts", "l"), ("timeline", "l"), ("notifications", "l")]);
    let alert = [
        ("fingerprint", "s"),
        ("labels", "o"),
        ("annotations", "o"),
        ("state", "s"),
        ("starts_at", "t"),
        ("ends_at", "t?"),
        ("sources", "l"),
    ];
    shape(&one["alerts"][0], &alert);
    for line in one["timeline"].as_array().unwrap() {
        shape(line, LINE);
        assert!(line["data"]["event"].is_string(), "{line}");
    }
    shape(&one["escalations"][0], RUN);
    assert_eq!(one["escalations"][0]["because"], one["alerts"][0]["fingerprint"]);
    assert_eq!(one["timeline"][0]["data"]["alert"]["fingerprint"], one["alerts"][0]["fingerprint"]);
    let told = [
        ("key", "s"),
        ("receiver", "s"),
        ("state", "s"),
        ("attempts", "n"),
        ("next_at", "t?"),
        ("sent_at", "t?"),
        ("error", "s?"),
        ("reason", "s"),
    ];
    shape(&one["notifications"][0], &told);
    for id in ["INC-999", "INC-0", "nonsense"] {
        refusal(world.server.get(&format!("/api/v1/incidents/{id}")).await, 404, id, id);
    }
    refusal(world.server.get("/api/v1/nothing").await, 404, "/api/v1/nothing", "an unknown path");
    assert_eq!(world.server.terminate(), Some(0), "SIGTERM ends it gracefully");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands() {
    let world = three().await;
    let by = |name: &str| json!({ "by": name });
    let ana = by("ana");

    let now = world.does("INC-1", "acknowledge", json!({ "by": "ana", "note": "on it" })).await;
    shape(&now, INCIDENT);
    assert_eq!((&now["status"], &now["acknowledged_by"]), (&json!("acknowledged"), &json!("ana")));
    assert!(now["acknowledged_at"].is_string() && now["escalation"]["next_at"].is_null(), "{now}");
    world.refused("INC-1", "acknowledge", by("bob"), 409, "already acknowledged by ana").await;
    world.refused("INC-1", "escalate", by("bob"), 409, "acknowledged by ana").await;
    let now = world.does("INC-1", "unacknowledge", ana.clone()).await;
    assert_eq!((&now["status"], &now["acknowledged_by"]), (&json!("triggered"), &Value::Null));
    world.refused("INC-1", "unacknowledge", ana.clone(), 409, "is not acknowledged").await;

    let now = world.does("INC-1", "snooze", json!({ "by": "ana", "duration": "1h" })).await;
    assert!(now["snoozed_until"].is_string(), "{now}");
    world.refused("INC-1", "snooze", ana.clone(), 400, "duration or until").await;
    world.refused("INC-1", "snooze", json!({ "by": "ana", "duration": "1000d" }), 400, "30").await;
    world.refused("INC-1", "snooze", json!({ "by": "ana", "until": "2001-01-01T00:00:00Z" }), 400, "longer").await;
    let now = world.does("INC-1", "escalate", ana.clone()).await;
    assert_eq!(now["status"], "triggered");
    world.does("INC-1", "reassign", json!({ "by": "ana", "to": { "receiver": "second" } })).await;
    world.does("INC-1", "reassign", json!({ "by": "ana", "receiver": "first" })).await;
    world.refused("INC-1", "reassign", ana.clone(), 400, "exactly one of").await;
    world.refused("INC-1", "reassign", json!({ "by": "ana", "user": "nobody" }), 400, "nobody").await;
    let now = world.does("INC-1", "note", json!({ "by": "ana", "note": "the fan is stuck" })).await;
    let noted =
        now["timeline"].as_array().unwrap().iter().find(|l| l["text"].as_str().unwrap().contains("the fan is stuck"));
    assert_eq!(noted.unwrap()["actor"], "ana");
    world.refused("INC-1", "note", ana.clone(), 400, "text").await;

    let now = world.does("INC-1", "merge", json!({ "by": "ana", "from": ["INC-2"] })).await;
    assert_eq!(now["alert_count"], 2);
    world.refused("INC-2", "acknowledge", ana.clone(), 409, "merged into INC-1").await;
    world.refused("INC-1", "merge", json!({ "by": "ana", "from": ["INC-1"] }), 409, "itself").await;
    world.refused("INC-1", "merge", json!({ "by": "ana", "from": ["INC-77"] }), 404, "INC-77").await;
    world.refused("INC-1", "merge", ana.clone(), 400, "merge wants").await;
    let fingerprints: Vec<Value> = now["alerts"].as_array().unwrap().iter().map(|a| a["fingerprint"].clone()).collect();
    world.refused("INC-1", "split", json!({ "by": "ana", "alerts": fingerprints }), 409, "without alerts").await;
    world.refused("INC-1", "split", ana.clone(), 400, "split wants").await;
    world.refused("INC-1", "split", json!({ "by": "ana", "alerts": ["xyz"] }), 400, "xyz").await;
    let now = world.does("INC-1", "split", json!({ "by": "ana", "alerts": [fingerprints[1]] })).await;
    assert_eq!((&now["id"], &now["alert_count"]), (&json!("INC-4"), &json!(1)));

    let now = world.does("INC-1", "resolve", ana.clone()).await;
    assert_eq!((&now["status"], &now["resolved_by"]), (&json!("resolved"), &json!("ana")));
    assert!(now["resolved_at"].is_string());
    for verb in ["acknowledge", "unacknowledge", "resolve", "escalate"] {
        world.refused("INC-1", verb, by("bob"), 409, "resolved by ana").await;
    }
    world.refused("INC-1", "snooze", json!({ "duration": "1h" }), 409, "resolved by ana").await;
    world.refused("INC-1", "reassign", json!({ "receiver": "first" }), 409, "resolved by ana").await;

    for verb in ["acknowledge", "unacknowledge", "resolve", "escalate"] {
        world.refused("INC-999", verb, ana.clone(), 404, "INC-999").await;
    }
    world.refused("INC-3", "dance", ana.clone(), 404, "dance").await;
    world.refused("one", "resolve", ana.clone(), 404, "INC-1").await;
    world.refused("INC-3", "resolve", json!({ "bye": "ana" }), 400, "bye").await;
    world.refused("INC-3", "resolve", json!({ "by": "a".repeat(5000) }), 400, "4096").await;
    world.refused("INC-3", "resolve", json!([1]), 400, "").await;
    // Who says nothing is taken for the API's user.
    let request = world.server.request(Method::POST, "/api/v1/incidents/INC-3/acknowledge");
    let now = world.server.send(request).await.expect(200);
    assert!(now["data"]["incident"]["acknowledged_by"].is_string(), "{now}");
    let cross_site =
        world.server.request(Method::POST, "/api/v1/incidents/INC-3/resolve").header("origin", "http://evil.example");
    refusal(world.server.send(cross_site).await, 403, "another site", "a form of another site");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_covers_what_was_known_and_a_resolve_holds_for_a_while() {
    let world = three().await;
    let ana = json!({ "by": "ana" });
    let now = world.does("INC-1", "ack", ana.clone()).await;
    assert_eq!(now["covers"], json!([{ "alertname": "A", "service": "s1" }]));
    assert_eq!((&now["escalations"][0]["state"], &now["escalations"][0]["next_at"]), (&json!("stopped"), &Value::Null));
    world.refused("INC-1", "ack", ana.clone(), 409, "unacknowledge it first").await;
    let now = world.does("INC-1", "unack", ana.clone()).await;
    assert_eq!((&now["covers"], &now["escalations"][0]["run"]), (&Value::Null, &json!(2)));
    world.refused("INC-1", "reopen", ana.clone(), 409, "only what is resolved can be reopened").await;
    world.refused("INC-1", "dance", ana.clone(), 404, "write one of ack, unack, resolve, reopen").await;

    let now = world.does("INC-1", "resolve", json!({ "by": "ana", "hold": "1h" })).await;
    shape(&now, INCIDENT);
    assert_eq!(
        (&now["status"], &now["still_firing"], &now["firing_count"]),
        (&json!("resolved"), &json!(1), &json!(1))
    );
    assert!(now["hold_until"].is_string(), "{now}");
    let end = now["timeline"].as_array().unwrap().iter().find(|line| line["kind"] == "resolved").unwrap();
    assert_eq!((&end["data"]["event"], &end["data"]["still_firing"]), (&json!("resolved"), &json!(1)));
    assert_eq!(end["text"], "resolved while 1 alert still fires");
    world.refused("INC-1", "ack", ana.clone(), 409, "reopen it first").await;
    let now = world.does("INC-1", "reopen", ana.clone()).await;
    assert_eq!(
        (&now["status"], &now["still_firing"], &now["hold_until"]),
        (&json!("triggered"), &Value::Null, &Value::Null)
    );

    world.refused("INC-1", "resolve", json!({ "by": "ana", "hold": "soon" }), 400, "write 1h").await;
    let now = world.does("INC-1", "resolve", json!({ "by": "ana", "hold": "0" })).await;
    assert_eq!((&now["still_firing"], &now["hold_until"]), (&json!(1), &Value::Null));

    // When the hold is over, what still fires opens a new incident; both name each other.
    world.does("INC-2", "resolve", json!({ "by": "ana", "hold": "100ms" })).await;
    let successor = eventually(WITHIN, "a successor", || async {
        world.one("INC-2").await["successor"].as_str().map(str::to_owned).ok_or_else(String::new)
    })
    .await;
    let new = world.one(&successor).await;
    assert_eq!((&new["predecessor"], &new["status"]), (&json!("INC-2"), &json!("triggered")));
    let opened = &new["timeline"][0]["data"];
    assert_eq!(
        (&opened["event"], &opened["predecessor"], &opened["resolved_by"]),
        (&json!("opened_still_firing"), &json!("INC-2"), &json!("ana"))
    );
    assert_eq!(world.one("INC-2").await["still_firing"], 0, "they are in the new one now");
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_and_heartbeats() {
    let world = three().await;
    let sent = || async {
        let answer = world.server.ask("/api/v1/notifications", &[("incident", "INC-1"), ("kind", "page")]).await;
        answer.expect(200)["data"].clone()
    };
    let page = eventually(WITHIN, "the page is sent", || async {
        let data = sent().await;
        let row = data["notifications"][0].clone();
        if row["state"] == "sent" && data["next"].is_null() { Ok(row) } else { Err(data.to_string()) }
    })
    .await;
    shape(&page, NOTIFICATION);
    assert_eq!((&page["incident"], &page["integration"]), (&json!("INC-1"), &json!("webhook/0")));
    let announced =
        world.server.ask("/api/v1/notifications", &[("kind", "announcement"), ("limit", "1")]).await.expect(200);
    shape(&announced["data"]["notifications"][0], NOTIFICATION);
    assert!(announced["data"]["notifications"][0]["group"].is_string() && announced["data"]["next"].is_string());

    let key = page["key"].as_str().unwrap();
    let resend = format!("/api/v1/notifications/{key}/resend");
    let again = world.server.post(&resend, &json!({ "by": "ana" })).await.expect(200);
    shape(&again["data"]["notification"], NOTIFICATION);
    let line = world.one("INC-1").await["timeline"].as_array().unwrap().last().unwrap().clone();
    shape(&line, LINE);
    refusal(
        world.server.ask("/api/v1/notifications", &[("state", "lost")]).await,
        400,
        "write one of pending",
        "a state",
    );
    refusal(world.server.post("/api/v1/notifications/no/key", &json!({})).await, 404, "/resend", "no verb");
    refusal(world.server.post("/api/v1/notifications/no/key/resend", &json!({})).await, 404, "no/key", "no key");
    refusal(world.server.post("/api/v1/heartbeat/backup", &json!({})).await, 404, "heartbeats:", "no heartbeat");
}

/// docs/incidents.md names every event of a timeline and what its data may say.
#[test]
fn every_event_is_documented() {
    let read = |path: &str| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let docs = read("docs/incidents.md");
    let mut named = 0;
    for file in ["src/model/timeline.rs", "src/model/evidence.rs", "src/model/mute.rs"] {
        for block in read(file).split("\npub enum ").skip(1) {
            let (name, rest) = block.split_once(' ').unwrap();
            if name == "TimelineKind" {
                continue;
            }
            // Variants stand four spaces in; fields eight, or behind the variant's brace.
            let body = rest.split("\n}").next().unwrap();
            for line in body.lines().filter(|l| l.starts_with("    ") && l[4..].starts_with(char::is_uppercase)) {
                let variant = line.trim().split(|c: char| !c.is_alphanumeric()).next().unwrap();
                let word = snake(variant);
                assert!(docs.contains(&format!("`{word}`")) || docs.contains(&format!("\"{word}\"")), "{name} {word}");
                named += 1;
            }
        }
    }
    assert!(named > 70, "{named} variants were found");
}

fn snake(variant: &str) -> String {
    let mut out = String::new();
    for c in variant.chars() {
        if c.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_long_over_stays_as_it_was() {
    let mut world = three().await;
    // The two of one cluster end by themselves; the third stays.
    for (name, service, severity) in [("A", "s1", "critical"), ("B", "s2", "warning")] {
        let labels = json!({ "alertname": name, "cluster": "c1", "service": service, "severity": severity });
        world.alert(labels, Some("2020-01-01T00:00:00Z")).await;
    }
    for id in ["INC-1", "INC-2"] {
        eventually(WITHIN, "the incident resolves by itself", || async {
            let one = world.one(id).await;
            if one["status"] == "resolved" { Ok(()) } else { Err(one.to_string()) }
        })
        .await;
    }
    let database = world.server.dir.path().join("data/watchfire.db");
    world
        .server
        .restart(async {
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(database);
            let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
            let two_days = "UPDATE incident SET resolved_at = resolved_at - 172800000 WHERE id = 1";
            assert_eq!(sqlx::query(two_days).execute(&pool).await.unwrap().rows_affected(), 1);
            pool.close().await;
        })
        .await;
    assert_eq!(world.one("INC-1").await["status"], "resolved");
    for (verb, body) in [
        ("acknowledge", json!({ "by": "ana" })),
        ("resolve", json!({ "by": "ana" })),
        ("snooze", json!({ "duration": "1h" })),
        ("note", json!({ "note": "late" })),
        ("merge", json!({ "from": ["INC-3"] })),
    ] {
        world.refused("INC-1", verb, body, 409, "INC-1 was resolved").await;
    }
    world.refused("INC-3", "merge", json!({ "from": ["INC-1"] }), 409, "INC-1 was resolved").await;
    world.refused("INC-2", "resolve", json!({ "by": "ana" }), 409, "already resolved").await;
    assert_eq!(world.one("INC-3").await["status"], "triggered");
}

#[tokio::test(flavor = "multi_thread")]
async fn reload_is_all_or_nothing() {
    let world = world().await;
    let file = world.server.dir.path().join("watchfire.yml");
    let good = std::fs::read_to_string(&file).unwrap();
    let receivers = || async {
        let list = world.server.get("/api/v2/receivers").await.expect(200);
        list.as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let reload = || world.server.send(world.server.request(Method::POST, "/-/reload"));
    let before = receivers().await;
    for (bad, place, reason) in [
        (good.replace("  receiver: ops", "  receiver: nobody"), "watchfire.yml:5:13:", "nobody"),
        (good.replace("inhibit_rules", "inhibit_rulez"), "watchfire.yml:27:1:", "inhibit_rulez"),
        (good.replace("group_wait: 0s", "group_wait: soon"), "watchfire.yml:7:15:", "soon"),
        (good.replace("repeat: 1 ", "repeat: [1 "), "watchfire.yml:", ""),
    ] {
        assert_ne!(bad, good);
        std::fs::write(&file, bad).unwrap();
        let answer = reload().await;
        refusal(Answer { text: answer.text.clone(), ..answer }, 500, place, reason);
        assert!(answer.text.contains(reason), "{}", answer.text);
        assert_eq!(receivers().await, before);
    }
    let more = good.replace("  - name: second", "  - name: third\n    log_configs: [{}]\n  - name: second");
    std::fs::write(&file, more.replace("receiver: ops", "receiver: third")).unwrap();
    assert_eq!(reload().await.status, 200);
    assert!(receivers().await.contains(&"third".to_owned()));
    world.alert(json!({ "alertname": "New" }), None).await;
    let alerts = world.server.get("/api/v2/alerts").await.expect(200);
    assert_eq!(alerts[0]["receivers"][0]["name"], "third", "the new route holds");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_door_asks_who_is_there() {
    let config = "
receivers: [{ name: ops, log_configs: [{}] }]
route: { receiver: ops }
web:
  auth:
    bearer_tokens: [a-token-of-some-length]
    basic_auth_users: [{ username: ana, password: correct-horse }]
";
    let server = Watchfire::start(config).await;
    for (method, path) in [
        (Method::GET, "/"),
        (Method::GET, "/metrics"),
        (Method::GET, "/api/v1/incidents"),
        (Method::GET, "/api/v2/alerts"),
        (Method::POST, "/api/v2/alerts"),
        (Method::POST, "/api/v1/alertmanager"),
        (Method::POST, "/api/v1/write"),
        (Method::POST, "/-/reload"),
        (Method::POST, "/api/v1/incidents/INC-1/resolve"),
    ] {
        let plain = server.send(server.request(method.clone(), path)).await;
        refusal(plain, 401, "authentication required", path);
        let wrong = server.request(method.clone(), path).bearer_auth("a-token-of-some-lengtH");
        refusal(server.send(wrong).await, 401, "authentication required", path);
        let wrong = server.request(method.clone(), path).basic_auth("ana", Some("wrong-horse"));
        refusal(server.send(wrong).await, 401, "authentication required", path);
        let bearer = server.request(method.clone(), path).bearer_auth("a-token-of-some-length");
        assert_ne!(server.send(bearer).await.status, 401, "{path}");
        let basic = server.request(method, path).basic_auth("ana", Some("correct-horse"));
        assert_ne!(server.send(basic).await.status, 401, "{path}");
    }
    let page = server.request(Method::GET, "/").send().await.expect("an answer");
    let asked: Vec<_> = page.headers().get_all("www-authenticate").iter().collect();
    assert_eq!(asked, ["Basic realm=\"watchfire\"", "Bearer"], "a line each: browsers find `Basic` in no list");
    assert_eq!(server.get("/-/healthy").await.status, 200);
    assert_eq!(server.get("/-/ready").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_done_by_whom_it_names_or_by_who_signed_in() {
    let config = "
receivers: [{ name: ops, log_configs: [{}] }]
route: { receiver: ops, group_wait: 0s, escalation_policy: quiet }
escalation_policies: [{ name: quiet, steps: [{ after: 1h, notify: [{ receiver: ops }] }] }]
web:
  auth:
    bearer_tokens: [a-token-of-some-length]
    basic_auth_users: [{ username: grafana, password: correct-horse }]
";
    let server = Watchfire::start(config).await;
    let token = |request: reqwest::RequestBuilder| request.bearer_auth("a-token-of-some-length");
    let user = |request: reqwest::RequestBuilder| request.basic_auth("grafana", Some("correct-horse"));
    let alerts = json!([{ "labels": { "alertname": "Down" } }]);
    let posted = server.send(token(server.request(Method::POST, "/api/v2/alerts")).json(&alerts)).await;
    assert_eq!(posted.status, 200, "{}", posted.text);
    let command = |verb: &str| server.request(Method::POST, &format!("/api/v1/incidents/INC-1/{verb}"));
    for (request, actor, note) in [
        (user(command("note")).json(&json!({ "note": "a" })), "grafana", "a"),
        (user(command("note")).json(&json!({ "note": "b", "by": "ana" })), "ana", "b (signed in as grafana)"),
        (token(command("note")).json(&json!({ "note": "c" })), "token", "c"),
        (token(command("note")).json(&json!({ "note": "d", "by": "ana" })), "ana", "d"),
    ] {
        let answer = server.send(request).await;
        let incident = &answer.expect(200)["data"]["incident"];
        let last = incident["timeline"].as_array().unwrap().last().unwrap().clone();
        assert_eq!(last["actor"], actor, "{last}");
        assert!(last.to_string().contains(note), "{note}: {last}");
    }
    let ack = server.send(user(command("ack")).json(&json!({ "by": "ana" }))).await.expect(200);
    assert_eq!(ack["data"]["incident"]["acknowledged_by"], "ana", "who is paged again");
    assert!(ack.to_string().contains("signed in as grafana"), "{ack}");
}

#[test]
fn listening_to_the_world_needs_authentication() {
    let dir = folder("receivers: [{ name: ops, log_configs: [{}] }]\nroute: { receiver: ops }\n");
    let mut server = serve(dir.path(), &["--web.listen-address", "0.0.0.0:0"]);
    assert_eq!(server.ended(WITHIN), Some(1), "{}", server.log());
    assert!(server.log().contains("authentication") && server.log().contains("--insecure"), "{}", server.log());
}
