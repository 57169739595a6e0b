//! Groups with a `limit`, in both ways: failing as in Prometheus, and keeping what it allows.
//! In: samples, moments. Out: the found, compared.
//! Never: waits.
//! Start at [`a_limit_may_keep_what_it_allows`].

use super::arrival_tests::{World, announced, at};
use super::{LimitAction, RuleSetConfig, file};
use crate::model::Labels;
use crate::model::sample::stale_marker;

#[test]
fn a_limit_may_keep_what_it_allows() {
    let config = RuleSetConfig { limit_action: LimitAction::Keep, ..RuleSetConfig::default() };
    let mut w = World::new("  limit: 2\n  rules: [{alert: H, expr: 'x > 1'}]\n", config);
    for instance in ["b", "c"] {
        w.sample("x", instance, 10, 2.0);
    }
    assert_eq!(w.slot(11), ["+Hb", "+Hc"]);
    for instance in ["a", "b", "c", "d"] {
        w.sample("x", instance, 20, 2.0);
    }
    assert_eq!(w.arrive(20), ["+RuleLimitExceeded"], "on arrival too");
    assert_eq!(w.slot(21), [""; 0], "those that were there stay");
    let overflow = w.set.view().alerts().find(|a| a.labels.alert_name() == "RuleLimitExceeded").cloned().unwrap();
    assert_eq!(overflow.annotations.value("summary"), "H has more alerts than its limit of 2: some are left out");
    w.sample("x", "b", 30, 0.0);
    w.sample("x", "d", 30, 0.0);
    assert_eq!(w.slot(31), ["+Ha", "-Hb", "-RuleLimitExceeded"]);
}

#[test]
fn a_limit_may_keep_series_of_a_recording_rule() {
    let config = RuleSetConfig { limit_action: LimitAction::Keep, ..RuleSetConfig::default() };
    let mut w = World::new("  limit: 2\n  rules: [{record: r, expr: 'x * 2'}]\n", config.clone());
    let put = |w: &mut World, instances: &[&str], secs: i64| {
        for instance in instances {
            w.sample("x", instance, secs, 2.0);
        }
    };
    let recorded = |w: &World| {
        let name = crate::model::Matcher::equal("__name__", "r");
        let living = w.head.select(&[name]).into_iter().filter(|s| s.tail().newest.is_some_and(|p| !p.v.is_stale()));
        let mut all: Vec<String> = living.map(|s| s.labels().value("instance").to_owned()).collect();
        all.sort();
        all.concat()
    };
    put(&mut w, &["b", "c"], 10);
    assert_eq!((w.slot(11), recorded(&w)), (Vec::<String>::new(), "bc".to_owned()));
    put(&mut w, &["a", "b", "c", "d"], 20);
    assert_eq!(w.slot(21), ["+RuleLimitExceeded"]);
    assert_eq!(recorded(&w), "bc", "those that were there stay");
    let overflow = w.set.view().alerts().next().cloned().unwrap();
    assert_eq!(
        overflow.labels.without("rule_id"),
        Labels::from_pairs([("alertname", "RuleLimitExceeded"), ("rule", "r")])
    );
    assert_eq!(overflow.annotations.value("summary"), "r has more series than its limit of 2: some are left out");
    assert_eq!(overflow.value, "2e+00");
    assert!(w.set.view().groups[0].rules[0].last_error.is_none());
    assert_eq!(w.slot(36), [""; 0], "it is told once");
    // It outlives a reload, and ends with the surplus.
    let text = "groups:\n- name: g\n  limit: 3\n  rules: [{record: r, expr: 'x * 2'}]\n";
    let files = [file::parse(text, "f.yml").unwrap()];
    let found = w.set.reload(config.clone(), &files, &w.head, at(40));
    assert_eq!(announced(&found), [""; 0]);
    assert_eq!(w.slot(51), [""; 0], "one is still left out");
    assert_eq!(recorded(&w), "abc");
    w.sample("x", "d", 52, stale_marker());
    assert_eq!(w.slot(66), ["-RuleLimitExceeded"]);
    // A rule that goes ends it too.
    put(&mut w, &["d"], 70);
    assert_eq!(w.slot(81), ["+RuleLimitExceeded"]);
    let found = w.set.reload(config, &[file::parse("groups: []\n", "f.yml").unwrap()], &w.head, at(90));
    assert_eq!(announced(&found), ["-RuleLimitExceeded"]);
}

#[test]
fn beyond_its_limit_a_rule_says_nothing_new() {
    let mut w = World::new("  limit: 2\n  rules: [{alert: H, expr: 'x > 1'}]\n", RuleSetConfig::default());
    let fails = |w: &mut World, secs: i64| {
        let found = w.set.evaluate_all(at(secs), &w.head, &[]);
        assert_eq!(found.errors.iter().map(|e| &*e.text).collect::<Vec<_>>(), ["exceeded limit of 2 with 4 alerts"]);
        announced(&found)
    };
    for round in 0..3 {
        for instance in ["a", "b", "c", "d"] {
            w.sample("x", instance, 10 + round * 10, 2.0);
            assert_eq!(w.arrive(10 + round * 10), [""; 0], "how many there are, only a slot knows");
        }
        assert_eq!(fails(&mut w, 11 + round * 10), [""; 0]);
    }
    // What was told before ends.
    w.sample("x", "c", 40, 0.0);
    w.sample("x", "d", 40, 0.0);
    assert_eq!(w.slot(41), ["+Ha", "+Hb"]);
    w.sample("x", "c", 50, 2.0);
    w.sample("x", "d", 50, 2.0);
    assert_eq!(fails(&mut w, 51), ["-Ha", "-Hb"]);
}

#[test]
fn what_is_kept_firing_has_a_place_too() {
    let config = RuleSetConfig { limit_action: LimitAction::Keep, ..RuleSetConfig::default() };
    let mut w = World::new("  limit: 2\n  rules: [{alert: H, expr: 'x > 1', keep_firing_for: 5m}]\n", config);
    for instance in ["b", "c"] {
        w.sample("x", instance, 10, 2.0);
    }
    assert_eq!(w.arrive(10), ["+Hb", "+Hc"]);
    w.sample("x", "b", 20, 0.0);
    assert_eq!(w.slot(21), [""; 0]);
    let mut all = Vec::new();
    for round in 0..4 {
        w.sample("x", "c", 30 + round * 10, 2.0);
        w.sample("x", "d", 30 + round * 10, 2.0);
        all.append(&mut w.arrive(30 + round * 10));
        all.append(&mut w.slot(31 + round * 10));
    }
    assert_eq!(all, ["+RuleLimitExceeded"], "once, and it stays");
}

#[test]
fn rules_of_one_name_have_an_overflow_each() {
    let config = RuleSetConfig { limit_action: LimitAction::Keep, ..RuleSetConfig::default() };
    let rule =
        |severity: &str, above: i64| format!("{{alert: H, expr: 'x > {above}', labels: {{severity: {severity}}}}}");
    let body = format!("  limit: 1\n  rules: [{}, {}]\n", rule("warning", 1), rule("critical", 3));
    let mut w = World::new(&body, config);
    for instance in ["a", "b"] {
        w.sample("x", instance, 10, 5.0);
    }
    let is_overflow = |told: &str| told.contains("RuleLimitExceeded");
    assert_eq!(w.slot(11).iter().filter(|told| is_overflow(told)).count(), 2);
    w.sample("x", "b", 20, 2.0);
    assert_eq!(w.slot(21), ["-RuleLimitExceeded"]);
    let still: Vec<_> = w.set.view().alerts().filter(|a| is_overflow(a.labels.alert_name())).cloned().collect();
    assert_eq!(still.iter().map(|a| a.labels.value("severity")).collect::<Vec<_>>(), ["warning"]);
}

#[test]
fn a_reload_leaves_recorded_series_where_they_were() {
    let config = |limit_action| RuleSetConfig { limit_action, ..RuleSetConfig::default() };
    let text = |limit| format!("groups:\n- name: g\n  limit: {limit}\n  rules: [{{record: r, expr: 'x * 2'}}]\n");
    let files = |limit| [file::parse(&text(limit), "f.yml").unwrap()];
    let mut w = World::new("  limit: 1\n  rules: [{record: r, expr: 'x * 2'}]\n", config(LimitAction::Keep));
    w.sample("x", "b", 10, 2.0);
    w.slot(11);
    w.sample("x", "a", 20, 2.0);
    assert_eq!(w.slot(21), ["+RuleLimitExceeded"]);
    w.set.reload(config(LimitAction::Keep), &files(1), &w.head, at(25));
    assert_eq!(w.slot(31), [""; 0]);
    let recorded = w.head.select(&[crate::model::Matcher::equal("__name__", "r")]);
    assert_eq!(recorded.iter().map(|s| s.labels().value("instance").to_owned()).collect::<Vec<_>>(), ["b"]);
    // Where the limit fails the rule, nothing is left out any more.
    w.set.reload(config(LimitAction::Fail), &files(1), &w.head, at(35));
    let found = w.set.evaluate_all(at(41), &w.head, &[]);
    assert_eq!((announced(&found), found.errors.len()), (vec!["-RuleLimitExceeded".to_owned()], 1));
}
