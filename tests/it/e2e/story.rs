//! The story: an exporter dies, three doors tell of it, one incident pages until a person answers, and all hear of the end.
//! In: real programs. Out: the order and count of everything that left Watchfire, also across `kill -9`.
//! Never: accepts a lost step, a second page beyond one repeat a crash, or a lost acknowledgement.
//! Start at [`tell`].

use super::process::eventually;
use super::world::{RW1, RW2, World};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(20);

/// Where Watchfire is killed.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Kill {
    Never,
    PageInFlight,
    PageJustSent,
    BetweenSteps,
    OverDueTime,
    AfterAcknowledge,
}

fn sources(incident: &Value) -> BTreeSet<String> {
    incident["sources"].as_array().into_iter().flatten().filter_map(|s| s.as_str().map(str::to_owned)).collect()
}

async fn tell(message: &str, kill: Kill) {
    let mut world = World::start(message).await;
    if kill == Kill::PageInFlight {
        world.http.hold(Duration::from_secs(3));
    }
    world.kill_node();

    // Step 1 arrives.
    let first = eventually(SOON, "step 1 pages /first", || async {
        world.http.at("/first").into_iter().next().ok_or_else(|| format!("{:?}", world.http.count()))
    })
    .await;
    assert_eq!(first.body["incident"]["step"], 1, "{}", first.body);
    assert_eq!(first.body["incident"]["round"], 1);
    assert_eq!(first.body["version"], "4");
    assert!(!first.key.is_empty(), "a page carries an Idempotency-Key");
    let id = first.body["incident"]["id"].as_str().unwrap().to_owned();

    match kill {
        Kill::PageInFlight => {
            world.kill_watchfire();
            world.http.hold(Duration::ZERO);
            world.start_watchfire().await;
        }
        Kill::PageJustSent => {
            world.kill_watchfire();
            world.start_watchfire().await;
        }
        Kill::BetweenSteps => {
            tokio::time::sleep(Duration::from_secs(2)).await;
            world.kill_watchfire();
            world.start_watchfire().await;
        }
        Kill::OverDueTime => {
            tokio::time::sleep(Duration::from_secs(2)).await;
            world.kill_watchfire();
            tokio::time::sleep(Duration::from_secs(5)).await;
            world.start_watchfire().await;
        }
        Kill::Never | Kill::AfterAcknowledge => {}
    }

    // Step 2 comes five seconds after the first, or at once when Watchfire was down then.
    let mail = eventually(SOON, "step 2 reaches the mailbox", || async {
        world.mail.all().into_iter().next().ok_or_else(|| "no mail".to_owned())
    })
    .await;
    assert!(mail.to.iter().any(|to| to.contains("second@example.org")), "{:?}", mail.to);
    let waited = mail.at.duration_since(first.at);
    assert!(waited >= Duration::from_millis(4_500), "step 2 came after {waited:?}, its time is 5 s");
    if kill != Kill::OverDueTime {
        assert!(waited < Duration::from_secs(9), "step 2 came after {waited:?}, its time is 5 s");
    }

    // One failure, three doors, one incident.
    let incident = eventually(SOON, "one incident with three sources", || async {
        let found = world.incidents().await;
        match found.as_slice() {
            [one] if sources(one).len() == 3 => Ok(one.clone()),
            _ => Err(format!("{found:#?}")),
        }
    })
    .await;
    assert_eq!(incident["id"], id.as_str());
    assert_eq!(incident["alert_count"], 1, "{incident}");

    world.acknowledge(&id, "ana").await;
    if kill == Kill::AfterAcknowledge {
        world.kill_watchfire();
        world.start_watchfire().await;
    }
    let incident = world.incident(&id).await;
    assert_eq!(
        (&incident["status"], &incident["acknowledged_by"]),
        (&"acknowledged".into(), &"ana".into()),
        "{incident}"
    );
    assert_eq!(incident["escalation"]["next_at"], Value::Null, "an acknowledgement stops the policy");

    world.start_node();
    eventually(Duration::from_secs(60), "the incident resolves by itself", || async {
        let incident = world.incident(&id).await;
        if incident["status"] == "resolved" { Ok(()) } else { Err(incident.to_string()) }
    })
    .await;
    eventually(SOON, "everyone who heard of the fire hears of its end", || async {
        let ends = (
            world.http.at_with("/announce", "resolved").len(),
            world.http.at_with("/first", "resolved").len(),
            world.mail.with_subject("RESOLVED").len(),
        );
        if ends.0 >= 1 && ends.1 >= 1 && ends.2 >= 1 { Ok(()) } else { Err(format!("{ends:?}")) }
    })
    .await;
    settle(&world).await;
    counts(&world, kill);
    assert_eq!(world.incidents().await.len(), 1, "no second incident came of it");
}

/// Waits until nothing has arrived for three seconds: what would come twice has come by then (`group_interval` is 1 s).
async fn settle(world: &World) {
    let mut seen = (0, Instant::now());
    eventually(Duration::from_secs(30), "nothing more arrives", || {
        let count = world.http.count() + world.mail.all().len();
        if count != seen.0 {
            seen = (count, Instant::now());
        }
        let quiet = seen.1.elapsed() > Duration::from_secs(3);
        async move { if quiet { Ok(()) } else { Err(format!("{count} arrivals")) } }
    })
    .await;
}

/// Each message once; a crash may repeat one, with its key.
fn counts(world: &World, kill: Kill) {
    let repeats_allowed = usize::from(kill != Kill::Never);
    let mut keys = BTreeSet::new();
    let mut repeats = 0;
    for arrived in world.http.all() {
        assert!(!arrived.key.is_empty(), "{} without an Idempotency-Key", arrived.path);
        if !keys.insert((arrived.path.clone(), arrived.key.clone())) {
            repeats += 1;
        }
    }
    let mails = (world.mail.with_subject("FIRING").len(), world.mail.with_subject("RESOLVED").len());
    assert!(mails.0 >= 1 && mails.1 >= 1, "mails (firing, resolved): {mails:?}");
    repeats += mails.0 + mails.1 - 2;
    assert!(repeats <= repeats_allowed, "{repeats} repeats, {kill:?}");
    for (path, firing, resolved) in [("/announce", 1, 1), ("/first", 1, 1)] {
        let distinct =
            |status: &str| world.http.at_with(path, status).into_iter().map(|a| a.key).collect::<BTreeSet<_>>().len();
        assert_eq!(
            (distinct("firing"), distinct("resolved")),
            (firing, resolved),
            "{path}: distinct messages (firing, resolved)"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn remote_write_1_and_every_door() {
    tell(RW1, Kill::Never).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn remote_write_2_and_every_door() {
    tell(RW2, Kill::Never).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_with_a_page_in_flight() {
    tell(RW2, Kill::PageInFlight).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_when_a_page_was_just_sent() {
    tell(RW2, Kill::PageJustSent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_steps() {
    tell(RW2, Kill::BetweenSteps).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn down_over_the_due_time_of_a_step() {
    tell(RW2, Kill::OverDueTime).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_the_acknowledgement() {
    tell(RW2, Kill::AfterAcknowledge).await;
}
