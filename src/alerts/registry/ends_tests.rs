//! Leases of senders with equal labels, whose ends are whose, and what a jump of the clock does to them.
//! In: a line of posts. Out: what each became.
//! Never: waits; moments are numbers.
//! Start at [`check`].

#![allow(clippy::unwrap_used)] // A test fails by panicking.

use super::*;
use crate::model::SourceKey;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_millis(secs * 1000)
}

const API: Door = Door::AlertmanagerApi;
const HOOK: Door = Door::AlertmanagerWebhook;
const RULE: Door = Door::RemoteWrite;

/// Who posts: the host of the generator URL (empty: none) and the peer.
type Who<'a> = (&'a str, &'a str);

fn alert(door: Door, (host, peer): Who<'_>, starts: i64, ends: Option<i64>) -> Alert {
    let url = if host.is_empty() { String::new() } else { format!("http://{host}/graph?g0.expr=up") };
    let claimant = if door == RULE { peer.to_owned() } else { format!("{}@{peer}", authority(&url)) };
    Alert {
        labels: Labels::from_pairs([("alertname", "A")]),
        annotations: Labels::empty(),
        generator_url: url.into(),
        starts_at: at(starts),
        ends_at: ends.map(at),
        ends_by_timeout: false,
        door,
        claimant: claimant.into(),
    }
}

fn show(observed: &Observed) -> String {
    match observed {
        Observed::Refresh => "refresh".to_owned(),
        Observed::Ignored { reason } => format!("{reason:?}"),
        Observed::Transition(t) => {
            let end = t.record.ended_at.map_or(String::new(), |e| format!(" {}", e.as_millis() / 1000));
            format!("{:?}{end}", t.kind)
        }
    }
}

fn post(registry: &AlertRegistry, alert: Alert, now: i64) -> String {
    let observed = registry.observe(alert, at(now)).unwrap();
    if let Observed::Transition(t) = &observed {
        registry.committed(t.record.fingerprint, t.version);
    }
    show(&observed)
}

fn expire(registry: &AlertRegistry, now: i64) -> Vec<i64> {
    let ended = registry.expire(at(now), 10);
    ended.iter().map(|t| t.record.ended_at.unwrap().as_millis() / 1000).collect()
}

/// (door, who, starts, ends, now) and what it became.
type Step<'a> = ((Door, Who<'a>, i64, Option<i64>, i64), &'a str);

fn check(name: &str, steps: &[Step<'_>]) -> AlertRegistry {
    let registry = AlertRegistry::new(RegistryConfig::default());
    for (i, ((door, who, starts, ends, now), expect)) in steps.iter().enumerate() {
        assert_eq!(post(&registry, alert(*door, *who, *starts, *ends), *now), *expect, "{name}, step {i}");
    }
    registry
}

/// One sender repeats its end, the other that it fires: one alert, which ends with the last of them.
fn repeats(name: &str, door: Door, a: Who<'_>, b: Who<'_>) {
    let ends = |now: i64| (door == API).then_some(now + 240);
    let registry = check(name, &[((door, a, 10, ends(10), 10), "Started"), ((door, b, 11, ends(11), 11), "Changed")]);
    assert_eq!(post(&registry, alert(door, a, 10, Some(60)), 60), "Changed", "{name}: one of two ends");
    for round in 1..20 {
        let now = 60 + round * 60;
        assert_eq!(post(&registry, alert(door, b, 11, ends(now)), now), "refresh", "{name}, round {round}");
        assert_eq!(post(&registry, alert(door, a, 10, Some(60)), now + 1), "refresh", "{name}, round {round}");
        assert!(registry.expire(at(now + 1), 10).is_empty(), "{name}, round {round}");
    }
    assert_eq!(post(&registry, alert(door, b, 11, Some(1300)), 1300), "Ended 1300", "{name}: the last one ends");
}

#[test]
fn senders_with_equal_labels_do_not_end_each_other() {
    repeats("pods", API, ("prometheus-0:9090", "10.0.0.1"), ("prometheus-1:9090", "10.0.0.2"));
    repeats("pods behind one address", API, ("prometheus-0:9090", "10.0.0.1"), ("prometheus-1:9090", "10.0.0.1"));
    repeats("pods behind one URL", API, ("prometheus.example.org", "10.0.0.1"), ("prometheus.example.org", "10.0.0.2"));
    repeats("scripts without a URL", API, ("", "10.0.0.1"), ("", "10.0.0.2"));
    repeats(
        "an Alertmanager pair",
        HOOK,
        ("prometheus.example.org", "10.0.0.1"),
        ("prometheus.example.org", "10.0.0.2"),
    );
    repeats("two rules", RULE, ("", "rule:a"), ("", "rule:b"));
}

#[test]
fn a_sender_that_never_fired_ends_nobody_else() {
    let (a, b) = (("prometheus-0:9090", "10.0.0.1"), ("prometheus-1:9090", "10.0.0.2"));
    check(
        "another generator",
        &[((API, b, 10, Some(250), 10), "Started"), ((API, a, 10, Some(30), 30), "EndOfUnknown")],
    );
    check("another rule", &[((RULE, a, 10, None, 10), "Started"), ((RULE, b, 10, Some(30), 30), "EndOfUnknown")]);
    check(
        "an end that is older than what was heard since",
        &[
            ((HOOK, a, 10, None, 100), "Started"),
            ((HOOK, ("prometheus-0:9090", "10.0.0.9"), 10, Some(30), 110), "EndOfUnknown"),
        ],
    );
}

#[test]
fn an_end_from_a_new_address_ends_what_its_generator_reported() {
    let (old, new) = (("prometheus:9090", "10.0.0.1"), ("prometheus:9090", "10.0.0.2"));
    for door in [API, HOOK] {
        let fires = |now: i64| (door == API).then_some(now + 240);
        check(
            "fired from one address, ended from the other, and once only",
            &[
                ((door, old, 10, fires(10), 10), "Started"),
                ((door, new, 10, Some(30), 31), "Ended 30"),
                ((door, old, 40, fires(40), 40), "Started"),
                ((door, new, 10, Some(30), 45), "refresh"),
            ],
        );
    }
    // Fired from both addresses, as after a pod's restart: the old lease of a webhook would last for a day.
    let registry = check(
        "fired from both",
        &[
            ((HOOK, old, 10, None, 10), "Started"),
            ((HOOK, new, 10, None, 600), "Changed"),
            ((HOOK, new, 10, Some(900), 900), "Changed"),
        ],
    );
    assert_eq!(registry.next_expiry(), Some(at(900 + 300)));
    assert_eq!(expire(&registry, 1200), [1200]);
}

#[test]
fn a_person_ends_an_alert_by_hand() {
    let registry = check(
        "amtool",
        &[
            ((API, ("prometheus-0:9090", "10.0.0.1"), 10, Some(250), 10), "Started"),
            ((API, ("prometheus-1:9090", "10.0.0.2"), 10, Some(250), 11), "Changed"),
            ((HOOK, ("prometheus-1:9090", "10.0.0.3"), 10, None, 12), "Changed"),
            ((API, ("", "192.0.2.1"), 50, Some(50), 51), "Ended 50"),
            ((API, ("", "192.0.2.1"), 50, Some(50), 52), "EndOfUnknown"),
            // It still fires, as its sender says; by hand it can be ended again.
            ((API, ("prometheus-0:9090", "10.0.0.1"), 10, Some(300), 60), "Started"),
            ((API, ("", "192.0.2.1"), 70, Some(70), 71), "Ended 70"),
        ],
    );
    assert!(registry.expire(at(100), 10).is_empty());
    check(
        "our own rules say themselves when their alerts end",
        &[
            ((RULE, ("", "rule:a"), 10, None, 10), "Started"),
            ((API, ("", "192.0.2.1"), 50, Some(50), 51), "EndOfUnknown"),
        ],
    );
}

#[test]
fn a_lease_of_version_0_1_is_taken_over() {
    for (door, who) in [(RULE, ("", "rule:a")), (API, ("prometheus:9090", "10.0.0.1"))] {
        let before = AlertRegistry::new(RegistryConfig::default());
        let old = Alert { claimant: Arc::from(""), ..alert(door, who, 10, None) };
        assert_eq!(post(&before, old, 10), "Started");
        let mut rows = Vec::new();
        before.for_each(|r| rows.push(AlertRecord::clone(r)));
        let after = AlertRegistry::new(RegistryConfig::default());
        after.restore(rows, at(100));
        assert_eq!(post(&after, alert(door, who, 10, Some(110)), 110), "Ended 110", "{door:?}");
        let record = after.get(Fingerprint::of(&Labels::from_pairs([("alertname", "A")]))).unwrap();
        let source = SourceKey { door, sender: Arc::from(""), claimant: alert(door, who, 0, None).claimant };
        assert_eq!((record.leases.len(), &record.leases[0].source), (1, &source));
    }
}

#[test]
fn nothing_resolves_because_the_clock_was_set_forward() {
    let prometheus = ("prometheus:9090", "10.0.0.1");
    let registry = check("before", &[((API, prometheus, 10, Some(250), 10), "Started")]);
    registry.clock_jumped(3_600_000, at(3_620));
    assert!(expire(&registry, 3_621).is_empty(), "the lease keeps what it had left");
    // The sender's clock is right, and so an hour behind ours: its `endsAt` is past.
    assert_eq!(post(&registry, alert(API, prometheus, 10, Some(320)), 3_680), "refresh");
    assert_eq!(
        post(&registry, alert(API, ("prometheus:9090", "10.0.0.2"), 10, Some(320)), 3_681),
        "HeldAfterClockJump"
    );
    assert!(expire(&registry, 3_900).is_empty());
    assert_eq!(registry.next_expiry(), Some(at(3_920)));
    assert_eq!(expire(&registry, 3_920), [3_920], "and after one lease it is over if nobody says that it fires");
    let hook = check("a webhook says it in words", &[((HOOK, prometheus, 10, None, 10), "Started")]);
    hook.clock_jumped(3_600_000, at(3_620));
    assert_eq!(post(&hook, alert(HOOK, prometheus, 10, Some(30)), 3_630), "Ended 30");
}

#[test]
fn no_lease_lives_longer_because_the_clock_was_set_back() {
    let registry = check("before", &[((API, ("p", "10.0.0.1"), 3_610, Some(3_850), 3_610), "Started")]);
    registry.clock_jumped(-3_600_000, at(20));
    assert_eq!(
        registry.get(registry.identity(&Labels::from_pairs([("alertname", "A")]))).unwrap().lease_end(),
        Some(at(250))
    );
    assert!(expire(&registry, 250).is_empty(), "held for one lease");
    assert_eq!(expire(&registry, 320), [250]);
}
