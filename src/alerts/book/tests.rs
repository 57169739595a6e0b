//! What the door does with posts, one table of posts per case.
//! In: a line of posts. Out: what each became.
//! Never: waits; moments are numbers.
//! Start at [`check`].

#![allow(clippy::unwrap_used)] // A test fails by panicking.

use super::*;
use crate::model::SourceKey;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_millis(secs * 1000)
}

fn alert(door: Door, labels: &[(&str, &str)], starts: i64, ends: Option<i64>, note: &str) -> Alert {
    Alert {
        labels: Labels::from_pairs(labels.iter().copied()),
        annotations: Labels::from_pairs([("note", note)]),
        generator_url: Arc::from(""),
        starts_at: at(starts),
        ends_at: ends.map(at),
        ends_by_timeout: false,
        door,
        claimant: Arc::from(""),
    }
}

const PROM: Door = Door::AlertmanagerApi;
const HOOK: Door = Door::AlertmanagerWebhook;
const RULE: Door = Door::RemoteWrite;

/// A post: (door, replica, starts, ends, note, now) and what is expected: `refresh`, `ignored`, or kind, start and end.
type Step<'a> = ((Door, &'a str, i64, Option<i64>, &'a str, i64), &'a str);

fn show(observed: &Observed) -> String {
    match observed {
        Observed::Refresh => "refresh".to_owned(),
        Observed::Ignored { reason } => format!("ignored: {}", reason.as_str().split(' ').nth(2).unwrap_or("")),
        Observed::Transition(t) => {
            let end = t.record.ended_at.map_or("firing".to_owned(), |e| (e.as_millis() / 1000).to_string());
            let note = t.record.annotations.value("note");
            format!("{:?} {}..{end} {note}", t.kind, t.record.starts_at.as_millis() / 1000).to_lowercase()
        }
    }
}

fn check(name: &str, steps: &[Step<'_>]) {
    let book = Book::new(BookConfig::default());
    for (i, ((door, replica, starts, ends, note, now), expect)) in steps.iter().enumerate() {
        let post = alert(*door, &[("alertname", "A"), ("replica", replica)], *starts, *ends, note);
        let observed = book.observe(post, at(*now)).unwrap();
        assert_eq!(show(&observed), *expect, "{name}, step {i}");
        if let Observed::Transition(t) = observed {
            book.committed(t.record.fingerprint, t.version);
        }
    }
}

#[test]
fn one_source() {
    check(
        "overlap, annotations, two resolves, a new firing",
        &[
            ((PROM, "", 11, Some(310), "", 10), "started 11..firing "),
            ((PROM, "", 10, Some(312), "", 12), "changed 10..firing "),
            ((PROM, "", 20, Some(320), "v1", 21), "changed 10..firing v1"),
            ((PROM, "", 15, Some(330), "v1", 36), "refresh"),
            ((PROM, "", 30, Some(45), "v2", 46), "ended 10..45 v2"),
            ((PROM, "", 29, Some(48), "v3", 48), "changed 10..48 v3"),
            ((PROM, "", 29, Some(41), "v3", 48), "refresh"),
            ((PROM, "", 50, Some(350), "", 53), "started 50..firing "),
        ],
    );
    check(
        "Prometheus repeats fire and end",
        &[
            ((PROM, "", 10, Some(250), "", 10), "started 10..firing "),
            ((PROM, "", 10, Some(310), "", 70), "refresh"),
            // Late, after its lease ran out, but nobody was told of an end: it goes on.
            ((PROM, "", 10, Some(740), "", 500), "refresh"),
            ((PROM, "", 10, Some(520), "", 520), "ended 10..520 "),
            ((PROM, "", 10, Some(520), "", 580), "refresh"),
        ],
    );
    check(
        "an end of something unknown",
        &[
            ((PROM, "", 10, Some(20), "", 30), "ignored: ended"),
            ((PROM, "", 40, Some(300), "", 40), "started 40..firing "),
        ],
    );
}

#[test]
fn several_sources_are_one_alert() {
    check(
        "three doors; the last end counts",
        &[
            ((RULE, "", 10, None, "ours", 10), "started 10..firing ours"),
            ((HOOK, "", 9, None, "hook", 12), "changed 9..firing ours"),
            ((PROM, "", 11, Some(251), "api", 13), "changed 9..firing ours"),
            ((PROM, "", 11, Some(260), "api", 20), "refresh"),
            ((RULE, "", 10, Some(30), "ours", 30), "changed 9..firing hook"),
            ((HOOK, "", 9, Some(31), "hook", 31), "changed 9..firing api"),
            ((PROM, "", 11, Some(40), "api", 40), "ended 9..40 api"),
        ],
    );
    check(
        "an HA pair",
        &[
            ((PROM, "a", 10, Some(250), "", 10), "started 10..firing "),
            ((PROM, "b", 12, Some(252), "", 12), "changed 10..firing "),
            ((PROM, "a", 10, Some(50), "", 50), "changed 10..firing "),
            ((PROM, "c", 10, Some(50), "", 51), "ignored: ended"),
            ((PROM, "b", 12, Some(52), "", 52), "ended 10..52 "),
            ((PROM, "b", 60, Some(300), "", 60), "started 60..firing "),
        ],
    );
}

#[test]
fn the_identity_has_no_sender() {
    let book = Book::new(BookConfig::default());
    let with =
        alert(PROM, &[("alertname", "A"), ("prometheus", "m/k8s"), ("prometheus_replica", "k8s-0")], 1, None, "");
    let bare = Labels::from_pairs([("alertname", "A")]);
    assert_eq!(book.identity(&with.labels), Fingerprint::of(&bare));
    let Ok(Observed::Transition(t)) = book.observe(with, at(1)) else { panic!("not started") };
    assert_eq!(t.record.labels, bare);
    let sender = Arc::from("prometheus=m/k8s,prometheus_replica=k8s-0");
    assert_eq!(t.record.leases[0].source, SourceKey { door: PROM, sender });
    let only = alert(PROM, &[("replica", "a")], 1, None, "");
    assert_eq!(book.observe(only, at(1)).unwrap_err(), BookError::NoIdentity);
}

#[test]
fn repeats_are_told_until_committed() {
    let book = Book::new(BookConfig::default());
    let post = |ends, note| alert(PROM, &[("alertname", "A")], 10, Some(ends), note);
    let told = |observed: Result<Observed, BookError>| match observed {
        Ok(Observed::Transition(t)) => Some((t.kind, t.version)),
        _ => None,
    };
    let first = told(book.observe(post(300, ""), at(10)));
    assert_eq!(first, Some((TransitionKind::Started, 1)));
    assert_eq!(told(book.observe(post(310, ""), at(11))), first);
    assert_eq!(told(book.observe(post(310, "x"), at(12))), Some((TransitionKind::Started, 2)));
    let fp = book.identity(&post(0, "").labels);
    book.committed(fp, 1);
    assert_eq!(told(book.observe(post(320, "x"), at(13))), Some((TransitionKind::Started, 2)));
    book.committed(fp, 2);
    assert_eq!(told(book.observe(post(330, "x"), at(14))), None);
    assert_eq!(told(book.observe(post(20, "x"), at(20))), Some((TransitionKind::Ended, 3)));
    assert_eq!(told(book.observe(post(20, "x"), at(21))), Some((TransitionKind::Ended, 3)));
    assert!(!book.drop_ended(fp));
    book.committed(fp, 3);
    assert!(book.drop_ended(fp));
    assert!(book.is_empty());
}

#[test]
fn leases_run_out() {
    let book = Book::new(BookConfig::default());
    for i in 0..10 {
        let id = i.to_string();
        let t = book.observe(alert(PROM, &[("id", &id)], 1, Some(100 + i), ""), at(1)).unwrap();
        let Observed::Transition(t) = t else { panic!("not started") };
        book.committed(t.record.fingerprint, t.version);
    }
    assert_eq!(book.next_expiry(), Some(at(100)));
    let refreshed = alert(PROM, &[("id", "0")], 1, Some(500), "");
    assert!(matches!(book.observe(refreshed.clone(), at(50)), Ok(Observed::Refresh)));
    assert_eq!(book.get(book.identity(&refreshed.labels)).and_then(|r| r.lease_end()), Some(at(500)));
    assert!(book.expire(at(99), 100).is_empty());
    assert_eq!(book.expire(at(200), 3).len(), 3);
    let rest = book.expire(at(200), 100);
    assert_eq!(rest.len(), 6);
    for t in &rest {
        assert_eq!(t.kind, TransitionKind::Ended);
        let end = t.record.ended_at.unwrap();
        assert!(end >= at(104) && end <= at(109), "{end}");
        book.committed(t.record.fingerprint, t.version);
    }
    assert_eq!(book.next_expiry(), Some(at(500)));
    // Ended ones are forgotten after the retention, the three that were not committed only when they are.
    assert!(book.gc(at(300), 100).is_empty());
    assert_eq!(book.gc(at(200 + 15 * 60), 100).len(), 6);
    assert_eq!(book.len(), 4);
}

#[test]
fn a_restart_grants_leases_again() {
    let book = Book::new(BookConfig::default());
    let api = alert(PROM, &[("id", "api")], 1, Some(241), "");
    let hook = alert(HOOK, &[("id", "hook")], 1, None, "");
    let rule = alert(RULE, &[("id", "rule")], 1, None, "");
    let over = alert(PROM, &[("id", "over")], 1, Some(30), "");
    for post in [&api, &hook, &rule, &over] {
        book.observe(post.clone(), at(1)).unwrap();
    }
    book.expire(at(30), 10);
    let mut rows = Vec::new();
    book.for_each(|r| rows.push(AlertRecord::clone(r)));

    let after = Book::new(BookConfig::default());
    after.restore(rows, at(100_000));
    let end = |post: &Alert| after.get(after.identity(&post.labels)).unwrap().lease_end();
    assert_eq!(end(&api), Some(at(100_240)));
    assert_eq!(end(&hook), Some(at(100_000) + WEBHOOK_LEASE));
    assert_eq!(end(&rule), None);
    assert_eq!(end(&over), Some(at(30)));
    assert_eq!((after.len(), after.next_expiry()), (4, Some(at(100_240))));
    assert!(matches!(after.observe(api, at(100_001)), Ok(Observed::Transition(t)) if t.kind == TransitionKind::Ended));
}

#[test]
fn limits_hold() {
    let book = Book::new(BookConfig { alerts_max: 2, ..BookConfig::default() });
    let post = |id: &str| alert(PROM, &[("id", id)], 1, Some(300), "");
    assert!(book.observe(post("1"), at(1)).is_ok());
    assert!(book.observe(post("2"), at(1)).is_ok());
    assert_eq!(book.observe(post("3"), at(1)).unwrap_err(), BookError::Full { max: 2 });
    assert!(book.observe(post("2"), at(2)).is_ok());

    let book = Book::new(BookConfig::default());
    for i in 0..=SOURCES_PER_ALERT_MAX {
        let replica = i.to_string();
        let observed =
            book.observe(alert(PROM, &[("id", "1"), ("replica", &replica)], 1, Some(300), ""), at(1)).unwrap();
        let full = matches!(observed, Observed::Ignored { reason: IgnoredReason::TooManySources });
        assert_eq!(full, i == SOURCES_PER_ALERT_MAX, "{i}");
    }
}

#[test]
fn many_posters_open_an_alert_once() {
    const POSTERS: usize = 4;
    const ALERTS: usize = 500;
    let book = Book::new(BookConfig::default());
    let versions = std::thread::scope(|scope| {
        let post = || {
            let ids = (0..ALERTS).map(|i| i.to_string());
            let observe = |id: String| book.observe(alert(PROM, &[("id", &id)], 1, Some(300), ""), at(1)).unwrap();
            let told = ids.map(|id| match observe(id) {
                Observed::Transition(t) => (t.record.fingerprint, t.version),
                other => panic!("not told though nothing is committed: {other:?}"),
            });
            told.collect::<Vec<_>>()
        };
        let posters: Vec<_> = (0..POSTERS).map(|_| scope.spawn(post)).collect();
        posters.into_iter().flat_map(|p| p.join().unwrap()).collect::<std::collections::BTreeSet<_>>()
    });
    assert_eq!((versions.len(), book.len()), (ALERTS, ALERTS));
}
