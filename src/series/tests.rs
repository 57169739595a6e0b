//! The head as a whole: what is taken, found, watched, and let go.
//! In: small tables. Out: panics where the head differs.
//! Never: asks a clock.
//! Start at [`samples_by_their_age`].

use super::*;
use crate::model::{Labels, MatchOp, Matcher, SampleValue, Timestamp};
use std::sync::Arc;
use std::time::Duration;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_millis(secs * 1000)
}

fn labels(text: &str) -> Labels {
    Labels::from_pairs(text.split(',').map(|pair| pair.split_once('=').unwrap()))
}

fn put(head: &Head, text: &str, secs: i64, v: f64) -> Result<Arc<Series>, AppendError> {
    head.append(&labels(text), at(secs), SampleValue::Float(v))
}

fn values(series: &Series) -> Vec<(i64, f64)> {
    let mut points = Vec::new();
    series.range(Timestamp::MIN, Timestamp::MAX, &mut points);
    let value = |v| if let SampleValue::Float(v) = v { v } else { f64::NAN };
    points.into_iter().map(|p| (p.t.as_millis() / 1000, value(p.v))).collect()
}

fn found(head: &Head, matchers: &[(&str, MatchOp, &str)]) -> Vec<String> {
    let matchers: Vec<_> = matchers.iter().map(|(n, op, v)| Matcher::new(n, *op, v).unwrap()).collect();
    let mut names: Vec<String> = head.select(&matchers).iter().map(|s| s.labels().value("i").to_owned()).collect();
    names.sort();
    names
}

#[test]
fn samples_by_their_age() {
    let head = Head::default();
    let check = |secs: i64, v: f64, expect: Result<(), AppendError>| {
        let now = at(10_000);
        let series = head.find_or_create(&labels("__name__=m")).unwrap();
        let got = head.batch(now).append(&series, secs * 1000, &SampleValue::Float(v));
        assert_eq!(got.map(|_| ()), expect, "{v} at {secs}");
    };
    // In-order samples of any age are taken, for a sender that catches up.
    check(100, 1.0, Ok(()));
    check(5_000, 1.0, Ok(()));
    check(9_985, 1.0, Ok(()));
    check(10_000, 2.0, Ok(()));
    check(10_000, 2.0, Ok(()));
    check(10_000, 3.0, Err(AppendError::DuplicateTimestamp));
    check(9_985, 2.0, Err(AppendError::DuplicateTimestamp));
    check(9_990, 1.5, Ok(()));
    check(9_400, 0.5, Ok(()));
    check(9_399, 0.5, Err(AppendError::TooOld));
    check(10_600, 4.0, Ok(()));
    check(10_601, 4.0, Err(AppendError::TooFarAhead));
    let series = &head.select(&[])[0];
    assert_eq!(values(series)[2..], [(9_400, 0.5), (9_985, 1.0), (9_990, 1.5), (10_000, 2.0), (10_600, 4.0)]);
    assert_eq!((head.sample_count(), head.series_count()), (7, 1));
    assert_eq!(series.latest(at(9_990), at(9_999)).map(|p| p.t), None);
    assert_eq!(series.latest(at(9_980), at(9_999)).map(|p| p.t), Some(at(9_990)));
}

#[test]
fn series_are_selected_by_their_labels() {
    let head = Head::default();
    for text in ["__name__=a,i=1,job=x", "__name__=a,i=2,job=y", "__name__=b,i=3,job=x,env=prod", "__name__=b,i=4"] {
        put(&head, text, 0, 1.0).unwrap();
    }
    let check = |matchers: &[(&str, MatchOp, &str)], expect: &str| {
        assert_eq!(found(&head, matchers).join(""), expect, "{matchers:?}");
    };
    let (eq, ne, re, nre) = (MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex);
    check(&[], "1234");
    check(&[("__name__", eq, "a")], "12");
    check(&[("__name__", eq, "a"), ("job", eq, "x")], "1");
    check(&[("__name__", eq, "nothing")], "");
    check(&[("nothing", eq, "a")], "");
    check(&[("job", eq, "")], "4");
    check(&[("job", ne, "x")], "24");
    check(&[("job", ne, "")], "123");
    check(&[("job", re, "x|y")], "123");
    check(&[("job", re, "x|")], "134");
    check(&[("__name__", re, ".*"), ("env", nre, "prod")], "124");
    check(&[("__name__", re, "a|b"), ("env", nre, "prod")], "124");
    let texts = |list: Vec<Arc<str>>| list.join(" ");
    assert_eq!(texts(head.label_names(&[])), "__name__ env i job");
    assert_eq!(texts(head.label_names(&[Matcher::equal("i", "4")])), "__name__ i");
    assert_eq!(texts(head.label_values("job", &[])), "x y");
    assert_eq!(texts(head.label_values("job", &[Matcher::equal("env", "prod")])), "x");
}

#[test]
fn limits_hold_for_new_series_only() {
    let head = Head::new(HeadConfig { series_max: 2, ..HeadConfig::default() });
    put(&head, "__name__=a", 0, 1.0).unwrap();
    put(&head, "__name__=b", 0, 1.0).unwrap();
    let refused = put(&head, "__name__=full", 0, 1.0).unwrap_err();
    assert!(refused.to_string().contains("\"full\""), "{refused}");
    put(&head, "__name__=a", 15, 1.0).unwrap();
    let head = Head::default();
    let check = |labels: Labels, part: &str| {
        let error = head.append(&labels, at(0), SampleValue::Float(1.0)).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    let many = (0..64).map(|i| (format!("l{i}"), "x")).chain([("__name__".to_owned(), "wide")]);
    check(Labels::from_pairs(many), "number of labels of metric \"wide\"");
    check(Labels::from_pairs([("__name__", "m"), (&"n".repeat(257), "x")]), "label name of metric \"m\"");
    check(Labels::from_pairs([("__name__", "m"), ("n", &"v".repeat(2049))]), "label value of metric \"m\"");
    assert_eq!(head.series_count(), 0);
}

#[test]
fn watches_follow_series_and_arrivals_come_once() {
    let head = Head::default();
    let a = put(&head, "__name__=a,i=1", 0, 1.0).unwrap();
    assert!(head.take_arrivals().is_empty());
    let watch = head.watch(&[Matcher::equal("__name__", "a")]);
    let any = head.watch(&[Matcher::equal("i", "2")]);
    let generation = watch.generation();
    let second = put(&head, "__name__=a,i=2", 0, 1.0).unwrap();
    let other = put(&head, "__name__=b,i=1", 0, 1.0).unwrap();
    put(&head, "__name__=a,i=2", 1, 1.0).unwrap();
    put(&head, "__name__=a,i=1", 1, 1.0).unwrap();
    assert!(watch.generation() > generation);
    assert_eq!((watch.len(), any.len()), (2, 1));
    let inside = |s: &Series| (watch.contains(s), any.contains(s));
    assert_eq!([inside(&a), inside(&second), inside(&other)], [(true, false), (true, true), (false, false)]);
    let ids = |list: Vec<Arc<Series>>| list.iter().map(|s| s.id()).collect::<Vec<_>>();
    assert_eq!(ids(head.take_arrivals()), [second.id(), a.id()]);
    assert!(head.take_arrivals().is_empty());
    // The very same sample is no arrival.
    put(&head, "__name__=a,i=1", 1, 1.0).unwrap();
    assert!(head.take_arrivals().is_empty());
    drop(watch);
    let again = head.watch(&[Matcher::equal("__name__", "b")]);
    put(&head, "__name__=a,i=1", 2, 1.0).unwrap();
    put(&head, "__name__=b,i=1", 2, 1.0).unwrap();
    assert_eq!(ids(head.take_arrivals()), [other.id()]);
    assert_eq!(again.snapshot().len(), 1);
}

#[test]
fn idle_series_leave() {
    let head = Head::new(HeadConfig { window: Duration::from_secs(100), ..HeadConfig::default() });
    let watch = head.watch(&[Matcher::equal("__name__", "a")]);
    let old = put(&head, "__name__=a,i=1", 0, 1.0).unwrap();
    put(&head, "__name__=a,i=2", 50, 1.0).unwrap();
    let old_place = SeriesHandle::of(old.id());
    head.batch(at(0)).remember(7, old_place, 0);
    assert_eq!((head.sweep(at(100)), watch.len()), (0, 2));
    let generation = watch.generation();
    assert_eq!((head.sweep(at(101)), watch.len(), head.series_count(), head.sample_count()), (1, 1, 1, 1));
    assert!(watch.generation() > generation);
    assert_eq!(found(&head, &[("__name__", MatchOp::Equal, "a")]), ["2"]);
    assert_eq!(head.label_values("i", &[]).join(" "), "2");
    assert_eq!(head.batch(at(101)).slot_of(7), None);
    assert_eq!((old.labels().value("i"), old.newest()), ("1", None));
    // A handle that outlived its series leads to the new one.
    head.batch(at(102)).append(&old, 102_000, &SampleValue::Float(5.0)).unwrap();
    let new = head.select(&[Matcher::equal("i", "1")]);
    assert_eq!((new.len(), values(&new[0])), (1, vec![(102, 5.0)]));
    assert_ne!(new[0].id(), old.id());
    assert_eq!(watch.len(), 2);
    // A sender that catches up brings old samples; its series are not idle.
    let late = head.find_or_create(&labels("__name__=late")).unwrap();
    head.batch(at(1000)).append(&late, 5_000, &SampleValue::Float(1.0)).unwrap();
    head.sweep(at(1050));
    assert_eq!(head.select(&[Matcher::equal("__name__", "late")]).len(), 1);
}

#[test]
fn coverage_starts_anew_after_a_gap() {
    let head = Head::default();
    assert_eq!((head.coverage_start(), head.newest_sample_time()), (None, None));
    let series = head.find_or_create(&labels("__name__=a")).unwrap();
    let request = |secs: i64| {
        head.batch(at(secs)).append(&series, secs * 1000, &SampleValue::Float(1.0)).unwrap();
        head.coverage_start().unwrap().as_millis() / 1000
    };
    assert_eq!([1000, 1015, 1315, 1600].map(request), [1000; 4]);
    assert_eq!(request(1901), 1901);
    assert_eq!(head.newest_sample_time(), Some(at(1901)));
    // What rules record says nothing about the senders.
    put(&head, "__name__=recorded", 9_000, 1.0).unwrap();
    assert_eq!(head.newest_sample_time(), Some(at(1901)));
    let starts: Vec<i64> = (1..40).map(|i| request(1901 + i * 200)).collect();
    assert_eq!((starts[17], starts[38]), (1901, 1901 + 39 * 200 - 3600));
}

/// Readers, writers and sweeps at once: nothing is lost of what is not idle.
#[test]
fn many_threads_at_once() {
    let head = Arc::new(Head::new(HeadConfig { window: Duration::from_secs(1000), ..HeadConfig::default() }));
    let watch = head.watch(&[Matcher::equal("__name__", "m")]);
    std::thread::scope(|scope| {
        for thread in 0..4_i64 {
            let head = head.clone();
            scope.spawn(move || {
                for i in 0..2_000_i64 {
                    put(&head, &format!("__name__=m,i={}", i % 500), i / 500 * 4 + thread, 1.0).unwrap();
                    if i % 100 == 0 {
                        head.sweep(at(10));
                        head.select(&[Matcher::equal("__name__", "m")]);
                        head.take_arrivals();
                    }
                }
            });
        }
    });
    assert_eq!((head.series_count(), watch.len(), head.sample_count()), (500, 500, 8_000));
    assert!(head.select(&[]).iter().all(|s| values(s).len() == 16));
}

#[test]
fn limits_per_metric_and_per_source() {
    let head = Head::new(HeadConfig { series_per_metric_max: 2, series_per_source_max: 3, ..HeadConfig::default() });
    let check = |text: &str, expect: Result<(), &str>| {
        let got = put(&head, text, 0, 1.0).map(|_| ()).map_err(|e| e.to_string());
        match (&got, expect) {
            (Ok(()), Ok(())) => {}
            (Err(text), Err(part)) if text.contains(part) => {}
            _ => panic!("{text}: {got:?}, expected {expect:?}"),
        }
    };
    check("__name__=a,i=1,cluster=x", Ok(()));
    check("__name__=a,i=2,cluster=x", Ok(()));
    check("__name__=a,i=3,cluster=x", Err("of one metric: the limit of 2 is reached, no new series of metric \"a\""));
    check("__name__=b,i=3,cluster=x", Ok(()));
    check("__name__=b,i=4,cluster=x", Err("from cluster=\"x\": the limit of 3"));
    check("__name__=b,i=4,cluster=y", Ok(()));
    check("__name__=c,i=1", Ok(()));
    check("__name__=c,i=2", Ok(()));
    check("__name__=d,i=3", Ok(()));
    check("__name__=e,i=3", Err("from cluster=\"\""));
    check("__name__=a,i=1,cluster=x", Ok(()));
    // Who leaves makes room.
    assert_eq!(head.sweep(at(10_000)), 7);
    check("__name__=a,i=3,cluster=x", Ok(()));
}

#[test]
fn a_budget_holds_what_rules_select_and_drops_the_rest() {
    let budget = 4 << 20;
    let head = Head::new(HeadConfig { memory_budget: Some(budget), ..HeadConfig::default() });
    let watch = head.watch(&[Matcher::equal("__name__", "wanted")]);
    let pad = "x".repeat(200);
    let fill = |name: &str, max: usize, secs: i64| {
        let put = |i: usize| put(&head, &format!("__name__={name},i={i},pad={pad}{i}"), secs, 1.0);
        (0..max).position(|i| put(i).is_err())
    };
    let others = fill("other", 100_000, 0).expect("the budget ends");
    let held = head.memory_bytes();
    assert!(held < budget && held > budget / 2, "{held} of {budget}");
    // Known series go on.
    put(&head, &format!("__name__=other,i=0,pad={pad}0"), 15, 1.0).unwrap();
    let wanted = fill("wanted", 100_000, 15).expect("the budget ends for all");
    assert!(wanted > 100 && watch.len() == wanted, "{wanted} beside {others}");
    assert!(head.memory_bytes() < budget + budget / 8, "{}", head.memory_bytes());
    // Short of memory, what no rule selects leaves first, and only that.
    let left = head.sweep(at(16));
    assert!(left > 0 && watch.len() == wanted, "{left} left");
    assert_eq!(head.series_count(), others + wanted - left);
    assert!(fill("wanted_not", 10, 16).is_some() || head.memory_bytes() < budget);
    head.leave_out("m", 2);
    head.leave_out("m", 3);
    assert_eq!(head.left_out().iter().map(|(m, n)| (&**m, *n)).collect::<Vec<_>>(), [("m", 5)]);
}

#[test]
fn samples_that_come_late_are_told_to_whoever_keeps_state() {
    let head = Head::default();
    let series = put(&head, "__name__=a", 100, 1.0).unwrap();
    let _watch = head.watch(&[]);
    let check = |secs: i64, v: f64, expect: u32| {
        drop(put(&head, "__name__=a", secs, v));
        assert_eq!(series.reordered(), expect, "{v} at {secs}");
    };
    check(115, 1.0, 0);
    check(115, 1.0, 0);
    check(115, 2.0, 0);
    check(110, 1.0, 1);
    check(101, 1.0, 2);
    check(130, 1.0, 2);
}

#[test]
fn known_series_stay_within_the_budget_too() {
    let budget = 4 << 20;
    let head = Head::new(HeadConfig { memory_budget: Some(budget), ..HeadConfig::default() });
    let wanted = head.watch(&[Matcher::equal("__name__", "wanted")]);
    let mut most = 0;
    for round in 0..200 {
        let now = at(round * 15);
        for n in 0..5_000 {
            let name = if n % 10 == 0 { "wanted" } else { "other" };
            let labels = Labels::from_pairs([("__name__", name), ("n", &n.to_string())]);
            // Left out when there is no room; that is counted and no error.
            if let Ok(series) = head.find_or_create(&labels) {
                head.batch(now)
                    .append(&series, now.as_millis(), &SampleValue::Float((round * n) as f64 * 0.1))
                    .unwrap();
            }
        }
        head.relieve(now);
        most = most.max(head.memory_bytes());
    }
    assert!(most < budget + budget / 8, "{most} of {budget}");
    assert_eq!(wanted.len(), 500, "what rules select stays");
    assert!(head.series_count() < 5_000);
    assert!(wanted.snapshot().iter().all(|s| s.newest() == Some(at(199 * 15))));
}

/// Series that rules select lie between those that no rule selects: what is sent away comes back all the same, no more of it than
/// asked, and once.
#[test]
fn relief_finds_memory_between_selected_series() {
    let budget = 8 << 20;
    let head = Head::new(HeadConfig { memory_budget: Some(budget), ..HeadConfig::default() });
    let wanted = head.watch(&[Matcher::equal("__name__", "wanted")]);
    let name = |n: usize| if n % 10 < 6 { "wanted" } else { "other" };
    let labels = |n: usize| Labels::from_pairs([("__name__", name(n)), ("n", &n.to_string())]);
    let series: Vec<_> = (0..5_000).map(|n| head.find_or_create(&labels(n)).unwrap()).collect();
    // Samples come until memory is short.
    let (mut round, mut left) = (0, 0);
    while left == 0 {
        round += 1;
        for (n, series) in series.iter().enumerate() {
            let v = SampleValue::Float((round * n) as f64 * 0.1);
            head.batch(at(round as i64)).append(series, round as i64 * 1000, &v).unwrap();
        }
        left = head.relieve(at(round as i64));
    }
    let percent = head.memory_bytes() * 100 / budget;
    assert!((80..=86).contains(&percent), "{percent} % after {left} have left");
    assert!(left < 1_500, "{left} have left");
    assert_eq!((head.relieve(at(round as i64 + 1)), wanted.len()), (0, 3_000));
}

/// Nothing but selected series, and memory is short: that state may last, so it is not looked at each second.
#[test]
fn a_relief_that_does_not_help_is_not_tried_again_at_once() {
    let window = Duration::from_secs(10);
    let head = Head::new(HeadConfig { memory_budget: Some(1 << 20), window, ..HeadConfig::default() });
    let all = head.watch(&[]);
    let mut n = 0;
    while put(&head, &format!("__name__=m,n={n}"), 0, 1.0).is_ok() {
        n += 1;
    }
    let check = |secs: i64, expect: usize, why: &str| assert_eq!(head.relieve(at(secs)), expect, "{why}");
    check(1, 0, "none is idle");
    // All but one are idle now, which a sweep would see.
    put(&head, "__name__=m,n=0", 20, 1.0).unwrap();
    check(20, 0, "too soon");
    assert_eq!(all.len(), n);
    check(61, n, "a minute later");
    // More on top is a reason to look at once.
    let head = Head::new(HeadConfig { memory_budget: Some(1 << 20), window, ..HeadConfig::default() });
    let _all = head.watch(&[]);
    let grow = |series: &Series, t: i64| head.batch(at(0)).append(series, t, &SampleValue::Float((t as f64).sin()));
    let kept: Vec<_> = (0..2_000).map(|n| put(&head, &format!("__name__=m,n={n}"), 0, 1.0).unwrap()).collect();
    let mut t = 0;
    let mut until = |bytes: usize| {
        while head.memory_bytes() < bytes {
            t += 1;
            for series in &kept {
                grow(series, t).unwrap();
            }
        }
    };
    until((1 << 20) / 100 * 97);
    assert_eq!(head.relieve(at(1)), 0);
    assert_eq!(head.relieve(at(20)), 0, "too soon");
    until((1 << 20) / 100 * 104);
    assert_eq!(head.relieve(at(20)), 2_000);
}
