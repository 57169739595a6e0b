//! What arrivals and gaps do to rules: whole scrapes, lost sources, budgets.
//! In: samples of made-up targets, moments. Out: the found, compared.
//! Never: waits.
//! Start at [`World`].

use super::{Evaluation, RuleSet, RuleSetConfig, Stopwatch, file};
use crate::model::sample::stale_marker;
use crate::model::{Fingerprint, Labels, SampleValue, Timestamp};
use crate::series::Head;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(super) struct World {
    pub(super) head: Head,
    pub(super) set: RuleSet,
}

pub(super) fn at(secs: i64) -> Timestamp {
    Timestamp::from_millis(secs * 1000)
}

pub(super) fn announced(found: &Evaluation) -> Vec<String> {
    let sign = |a: &crate::model::Alert| if a.ends_at.is_none() { '+' } else { '-' };
    let mut all: Vec<String> = super::tests::net(&found.alerts)
        .map(|a| format!("{}{}{}", sign(a), a.labels.alert_name(), a.labels.value("instance")))
        .collect();
    all.sort();
    all
}

impl World {
    pub(super) fn new(body: &str, config: RuleSetConfig) -> Self {
        let head = Head::default();
        // A slot far away, so that only arrivals evaluate.
        let text = format!("groups:\n- name: g\n  interval: 10m\n{body}");
        let set = RuleSet::new(config, &[file::parse(&text, "f.yml").unwrap()], &head, at(0));
        Self { head, set }
    }

    pub(super) fn sample(&self, name: &str, instance: &str, secs: i64, v: f64) {
        let labels = Labels::from_pairs([("__name__", name), ("job", "j"), ("instance", instance)]);
        let series = self.head.find_or_create(&labels).unwrap();
        self.head.batch(at(secs)).append(&series, secs * 1000, &SampleValue::Float(v)).unwrap();
    }

    /// Without what has become due.
    fn arrive_only(&mut self, secs: i64) -> Vec<String> {
        let arrived = self.head.take_arrivals();
        announced(&self.set.evaluate_arrivals(&arrived, at(secs), &self.head))
    }

    pub(super) fn arrive(&mut self, secs: i64) -> Vec<String> {
        let arrived = self.head.take_arrivals();
        let mut found = self.set.evaluate_arrivals(&arrived, at(secs), &self.head);
        assert_eq!(found.errors, []);
        if self.set.next_due().is_some_and(|due| due <= at(secs)) {
            found.append(self.set.evaluate(at(secs), &self.head));
        }
        announced(&found)
    }

    pub(super) fn slot(&mut self, secs: i64) -> Vec<String> {
        let found = self.set.evaluate_all(at(secs), &self.head, &[]);
        assert_eq!(found.errors, []);
        announced(&found)
    }
}

fn started(secs: i64) -> RuleSetConfig {
    RuleSetConfig { started_at: at(secs), ..RuleSetConfig::default() }
}

#[test]
fn a_joining_rule_never_sees_half_a_scrape() {
    let mut w = World::new("  rules: [{alert: S, expr: 'sum(x) < 2'}]\n", RuleSetConfig::default());
    let first = w.set.next_due().unwrap();
    let base = first.as_millis() / 1000 + 1;
    w.set.evaluate(first, &w.head);
    let scrape = |w: &World, secs: i64, names: &[&str]| {
        for name in names {
            let pairs = [("__name__", "x"), ("job", "j"), ("instance", "a"), ("n", name)];
            let series = w.head.find_or_create(&Labels::from_pairs(pairs)).unwrap();
            w.head.batch(at(secs)).append(&series, secs * 1000, &SampleValue::Float(1.0)).unwrap();
        }
    };
    // Two scrapes, by which the source is known.
    for n in 0..2 {
        scrape(&w, base + 10 * n, &["1", "2"]);
        w.arrive(base + 10 * n);
    }
    // One series of two has moved to the new time; with a stale marker for the other the sum would be 1.
    let secs = base + 30;
    scrape(&w, secs, &["1"]);
    assert_eq!(w.arrive(secs), [""; 0]);
    assert_eq!(w.set.next_due(), Some(at(secs + 5)), "it waits for the rest, five seconds at most");
    let pairs = [("__name__", "x"), ("job", "j"), ("instance", "a"), ("n", "2")];
    let series = w.head.find_or_create(&Labels::from_pairs(pairs)).unwrap();
    w.head.batch(at(secs)).append(&series, secs * 1000, &SampleValue::Float(stale_marker())).unwrap();
    assert_eq!(w.arrive(secs + 1), ["+S"], "the scrape is whole: at once, not at a slot");
    assert!(w.set.view().groups[0].rules[0].arrival_latency.is_some());
}

#[test]
fn a_rule_over_what_we_write_waits_for_its_slot() {
    let body =
        "  rules:\n  - {record: r, expr: x}\n  - {alert: S, expr: 'sum(r) > 0'}\n  - {alert: P, expr: 'r > 0'}\n";
    let mut w = World::new(body, RuleSetConfig::default());
    w.sample("r", "a", 1, 1.0);
    assert_eq!(w.arrive(1), ["+Pa"]);
    assert_eq!(w.slot(2), ["+S"]);
}

#[test]
fn a_gap_ends_nothing() {
    let mut w = World::new("  rules: [{alert: H, expr: 'x > 1'}, {alert: A, expr: absent(x)}]\n", started(0));
    for secs in (15..600).step_by(15) {
        w.sample("x", "a", secs, 2.0);
        w.sample("other", "b", secs, 2.0);
        w.arrive(secs);
    }
    assert_eq!(w.slot(600), [""; 0], "an arrival has told of it");
    assert_eq!(w.set.view().alerts().count(), 1);
    // Nothing comes from anybody for ten minutes: that is a fact of its own, and ends nothing.
    for secs in (615..1200).step_by(15) {
        assert_eq!(w.slot(secs), if secs == 885 { vec!["+A"] } else { vec![] }, "{secs}");
    }
    assert_eq!(w.set.view().alerts().count(), 2);
    // Another target is heard again: that says nothing of this one.
    w.sample("other", "b", 1200, 2.0);
    assert_eq!(w.slot(1201), [""; 0]);
    w.sample("x", "a", 1215, 0.0);
    assert_eq!(w.slot(1216), ["-A", "-Ha"]);
}

#[test]
fn a_lost_source_is_not_resolved() {
    let mut w = World::new("  rules: [{alert: H, expr: 'x > 1'}]\n", started(0));
    for secs in (15..=600).step_by(15) {
        for instance in ["a", "b", "c"] {
            w.sample("x", instance, secs, 2.0);
            w.sample("up", instance, secs, 1.0);
        }
        w.arrive(secs);
    }
    assert_eq!(w.slot(601), [""; 0]);
    // From a nothing comes any more; b says that its series has ended; c is heard without it.
    w.sample("x", "b", 615, stale_marker());
    assert_eq!(w.slot(616), ["-Hb"]);
    for secs in (615..=1200).step_by(15) {
        w.sample("up", "c", secs, 1.0);
        w.arrive(secs);
    }
    assert_eq!(w.slot(1201), ["-Hc"]);
    let lost: Vec<_> =
        w.set.view().alerts().map(|a| (a.labels.value("instance").to_owned(), a.source_lost_since)).collect();
    assert_eq!(lost, [("a".to_owned(), Some(at(600)))]);
    // Whoever knows the alert finds it, with labels that we add to what we hand out and without a sender's own.
    let known = |instance: &str, more: (&str, &str)| {
        Labels::from_pairs([("alertname", "H"), ("job", "j"), ("instance", instance), more])
    };
    let mut view = w.set.view();
    view.external_labels = Labels::from_pairs([("region", "eu")]);
    let kept = |labels: &Labels| Fingerprint::of(&labels.retain(|name, _| name != "job"));
    let lost = |instance, more| view.source_lost_since(kept(&known(instance, more)), kept);
    assert_eq!(lost("a", ("region", "eu")), Some(at(600)));
    assert_eq!(lost("b", ("region", "eu")), None);
    assert_eq!(lost("a", ("zone", "1")), None, "another alert with as many labels");
    // It comes back, and is well.
    w.sample("x", "a", 1215, 0.0);
    assert_eq!(w.slot(1216), ["-Ha"]);
}

#[test]
fn a_rule_beyond_its_budget_is_unhealthy_and_alone() {
    let mut config = RuleSetConfig::default();
    config.query.samples_max = 3;
    let mut w = World::new("  rules: [{alert: Many, expr: 'x > 1'}, {alert: Few, expr: 'y > 1'}]\n", config);
    for instance in ["a", "b", "c", "d"] {
        w.sample("x", instance, 10, 2.0);
    }
    w.sample("y", "a", 10, 2.0);
    let found = w.set.evaluate_all(at(11), &w.head, &[]);
    assert_eq!(announced(&found), ["+Fewa"]);
    assert_eq!(found.errors[0].text.as_ref(), "query processing would exceed its budget of 3 samples");
    let view = w.set.view();
    assert_eq!(view.groups[0].rules.iter().map(|r| r.health.as_str()).collect::<Vec<_>>(), ["err", "ok"]);
    // Steps of a sub-query, bytes of labels: the same.
    let steps = "max_over_time(x[30d:1ms]) > 1";
    let bytes = (0..40)
        .fold("x".to_owned(), |inner, _| format!("label_replace({inner}, \"job\", \"$1$1\", \"job\", \"(.*)\")"));
    for (expr, what) in [(steps, "11000 steps"), (&bytes, "1048576 bytes of labels")] {
        let body = format!("  rules: [{{alert: Many, expr: '{expr}'}}, {{alert: Few, expr: 'y > 1'}}]\n");
        let mut config = RuleSetConfig::default();
        config.query.bytes_max = 1 << 20;
        let mut w = World::new(&body, config);
        w.sample("x", "a", 10, 2.0);
        w.sample("y", "a", 10, 2.0);
        let found = w.set.evaluate_all(at(11), &w.head, &[]);
        assert_eq!(announced(&found), ["+Fewa"]);
        assert_eq!(&*found.errors[0].text, format!("query processing would exceed its budget of {what}"));
    }
}

#[test]
fn a_group_without_an_offset_takes_the_servers() {
    let config = RuleSetConfig { query_offset: Duration::from_secs(30), ..RuleSetConfig::default() };
    let mut w = World::new("  rules: [{alert: H, expr: 'x > 1'}]\n", config);
    w.sample("x", "a", 10, 2.0);
    assert_eq!(w.arrive(10), [""; 0], "it asked to be late");
    assert_eq!(w.slot(39), [""; 0]);
    assert_eq!(w.slot(40), ["+Ha"]);
}

#[test]
fn arrivals_need_not_wait_for_a_whole_slot() {
    // Every look at this watch costs a millisecond.
    let ticks = Arc::new(AtomicU64::new(0));
    let watch: Stopwatch = Arc::new(move || Duration::from_millis(ticks.fetch_add(1, Ordering::Relaxed)));
    let config = RuleSetConfig { stopwatch: Some(watch), ..RuleSetConfig::default() };
    let body = "  rules:\n  - {record: r, expr: sum(x)}\n  - {alert: A, expr: r > 1}\n  - {alert: B, expr: sum(x) > 1}\n  \
                - {alert: P, expr: x > 1}\n";
    let mut w = World::new(body, config);
    let slot = w.set.next_due().unwrap();
    let secs = slot.as_millis() / 1000;
    w.sample("x", "a", secs - 1, 5.0);
    w.head.take_arrivals();
    let step = Duration::from_millis(1);
    let mut parts = vec![announced(&w.set.advance(slot, &w.head, step))];
    assert!(w.set.is_busy());
    // In the middle of the slot a sample comes: what it starts is told at once, and so is what the slot has just recorded.
    w.sample("x", "b", secs + 1, 7.0);
    assert_eq!(w.arrive_only(secs + 1), ["+A", "+Pb"]);
    while w.set.is_busy() {
        parts.push(announced(&w.set.advance(slot + Duration::from_secs(1), &w.head, step)));
    }
    parts.retain(|part| !part.is_empty());
    assert_eq!(parts, [["+B"], ["+Pa"]]);
    let view = w.set.view();
    let group = &view.groups[0];
    assert_eq!((group.last_evaluation, group.missed_slots), (Some(slot), 0));
    assert!(group.evaluation_time >= Duration::from_millis(4));
    // And the sample that came in between is not forgotten: the sum is looked at again.
    assert_eq!(w.set.next_due(), Some(at(secs + 1) + RuleSetConfig::default().settle));
}

#[test]
fn a_reload_ends_a_slot_that_has_begun() {
    let ticks = Arc::new(AtomicU64::new(0));
    let watch: Stopwatch = Arc::new(move || Duration::from_millis(ticks.fetch_add(1, Ordering::Relaxed)));
    let config = RuleSetConfig { stopwatch: Some(watch), ..RuleSetConfig::default() };
    let mut w = World::new("  rules: [{alert: A, expr: 'x > 1'}, {alert: B, expr: 'x > 2'}]\n", config.clone());
    let slot = w.set.next_due().unwrap();
    w.sample("x", "a", slot.as_millis() / 1000 - 1, 5.0);
    assert_eq!(announced(&w.set.advance(slot, &w.head, Duration::from_millis(1))), ["+Aa"]);
    let one =
        file::parse("groups:\n- name: g\n  interval: 10m\n  rules: [{alert: A, expr: 'x > 1'}]\n", "f.yml").unwrap();
    let found = w.set.reload(config, &[one], &w.head, slot);
    assert_eq!(announced(&found), ["+Ba", "-Ba"]);
    assert!(!w.set.is_busy());
}

#[test]
fn a_scrape_that_begins_while_a_rule_waits_for_its_turn_puts_it_off() {
    let ticks = Arc::new(AtomicU64::new(0));
    let watch: Stopwatch = Arc::new(move || Duration::from_millis(ticks.fetch_add(1, Ordering::Relaxed)));
    let config = RuleSetConfig { stopwatch: Some(watch), ..RuleSetConfig::default() };
    let mut w = World::new("  rules: [{alert: T, expr: 'sum(y) > 0'}, {alert: S, expr: 'sum(x) < 2'}]\n", config);
    let slot = w.set.next_due().unwrap();
    w.set.evaluate(slot, &w.head);
    let base = slot.as_millis() / 1000 + 1;
    let put = |w: &World, secs: i64, names: &[&str], v: f64| {
        for name in names {
            let pairs = [("__name__", "x"), ("job", "j"), ("instance", "a"), ("n", name)];
            let series = w.head.find_or_create(&Labels::from_pairs(pairs)).unwrap();
            w.head.batch(at(secs)).append(&series, secs * 1000, &SampleValue::Float(v)).unwrap();
        }
    };
    for n in 0..2 {
        put(&w, base + 10 * n, &["1", "2"], 1.0);
        w.sample("y", "b", base + 10 * n, -1.0);
        w.arrive(base + 10 * n);
    }
    // Both are on the agenda; the first has its turn.
    let secs = base + 30;
    put(&w, secs, &["1", "2"], 1.0);
    w.sample("y", "b", secs, -1.0);
    w.arrive_only(secs);
    w.set.advance(at(secs), &w.head, Duration::from_millis(1));
    assert!(w.set.is_busy());
    // Half of the next scrape is there, and the other series has ended, when the second has its turn.
    put(&w, secs + 4, &["1"], 1.0);
    w.arrive_only(secs + 4);
    put(&w, secs + 4, &["2"], stale_marker());
    let half = w.set.advance(at(secs + 4), &w.head, Duration::from_millis(1));
    assert_eq!((announced(&half), w.set.is_busy()), (Vec::new(), false));
    assert_eq!(w.set.next_due(), Some(at(secs) + RuleSetConfig::default().settle));
    // Whole, it is looked at.
    assert_eq!(w.arrive(secs + 4), ["+S"]);
}

#[test]
fn a_group_without_rules_holds_up_nobody() {
    let text = "groups:\n- name: empty\n  interval: 10m\n  rules: []\n- name: full\n  interval: 10m\n  rules: [{alert: A, expr: 'x > 1'}]\n";
    let head = Head::default();
    let set = RuleSet::new(RuleSetConfig::default(), &[file::parse(text, "f.yml").unwrap()], &head, at(0));
    let mut w = World { head, set };
    for round in 1..4 {
        w.sample("x", "a", round * 600, if round == 2 { 0.0 } else { 2.0 });
        w.head.take_arrivals();
        let found = w.set.evaluate(at(round * 600 + 599), &w.head);
        assert_eq!(announced(&found), [if round == 2 { "-Aa" } else { "+Aa" }]);
        assert!(!w.set.is_busy());
    }
    assert!(w.set.view().groups.iter().all(|group| group.last_evaluation.is_some()));
}

#[test]
fn a_slot_that_comes_late_takes_nothing_back() {
    let mut w = World::new("  rules: [{alert: A, expr: 'x > 1', for: 1m}]\n", RuleSetConfig::default());
    for secs in [100, 130, 161] {
        w.sample("x", "a", secs, 2.0);
        assert_eq!(w.arrive(secs), if secs == 161 { vec!["+Aa"] } else { vec![] });
    }
    // Its moment was before the arrival's, and less than a minute after the first.
    assert_eq!(w.slot(159), [""; 0]);
    assert_eq!(w.set.view().alerts().next().unwrap().state, "firing");
    assert_eq!(w.slot(175), [""; 0]);
}
