//! The rules as a whole, at made-up times: states, slots, arrivals, restarts, reloads.
//! In: rule files as text, samples, moments. Out: the news, compared.
//! Never: waits.
//! Start at [`World`].

use super::{Evaluation, RuleSet, RuleSetConfig, file};
use crate::model::{Labels, RuleAlertRecord, RuleAlertState, SampleValue, Timestamp, Write};
use crate::series::{Head, HeadConfig};
use std::sync::Arc;
use std::time::Duration;

struct World {
    head: Head,
    set: RuleSet,
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_millis(secs * 1000)
}

fn rules(body: &str) -> String {
    format!("groups:\n- name: g\n  interval: 10s\n  rules:\n{body}")
}

impl World {
    fn new(body: &str, started_at: Timestamp) -> Self {
        let head = Head::new(HeadConfig::default());
        let files = [file::parse(&rules(body), "f.yml").unwrap()];
        let config = RuleSetConfig { started_at, ..RuleSetConfig::default() };
        let set = RuleSet::new(config, &files, &head, at(0));
        Self { head, set }
    }

    fn sample(&self, pairs: &[(&str, &str)], secs: i64, v: f64) {
        // As a sender's, so that the head's coverage grows.
        let series =
            self.head.append(&Labels::from_pairs(pairs.iter().copied()), at(secs), SampleValue::Float(v)).unwrap();
        let mut batch = self.head.batch(at(secs));
        batch.append(&series, secs * 1000 + 1, &SampleValue::Float(v)).unwrap();
    }

    fn slot(&mut self, secs: i64) -> Vec<String> {
        told(&self.set.evaluate_all(at(secs), &self.head, &[]))
    }

    fn arrive(&mut self, secs: i64) -> Vec<String> {
        let arrived = self.head.take_arrivals();
        told(&self.set.evaluate_arrivals(&arrived, at(secs), &self.head))
    }

    fn value(&self, name: &str, state: &str, secs: i64) -> Option<SampleValue> {
        let matchers =
            [crate::model::Matcher::equal("__name__", name), crate::model::Matcher::equal("alertstate", state)];
        let series = self.head.select(&matchers);
        series.first()?.latest(at(secs - 1), at(secs)).map(|p| p.v)
    }
}

/// `+name@start` for a firing alert, `-name@end` for an ended one.
fn told(news: &Evaluation) -> Vec<String> {
    assert_eq!(news.errors, []);
    let mut out: Vec<String> = news
        .alerts
        .iter()
        .map(|a| {
            let secs = |t: Timestamp| t.as_millis() / 1000;
            let name = format!("{}{}", a.labels.alert_name(), a.labels.value("i"));
            a.ends_at.map_or_else(|| format!("+{name}@{}", secs(a.starts_at)), |end| format!("-{name}@{}", secs(end)))
        })
        .collect();
    out.sort();
    out
}

const DOWN: &str = "  - {alert: D, expr: up == 0, for: 20s, annotations: {s: 'v {{ $value }}'}}\n";
const UP: &[(&str, &str)] = &[("__name__", "up"), ("i", "1")];

#[test]
fn pending_firing_resolved() {
    let mut w = World::new(DOWN, Timestamp::MIN);
    w.sample(UP, 5, 0.0);
    assert_eq!(w.slot(10), [""; 0]);
    assert!(w.value("ALERTS", "pending", 10).is_some());
    assert_eq!(w.slot(20), [""; 0]);
    assert_eq!(w.slot(30), ["+D1@30"]);
    assert!(w.value("ALERTS", "pending", 30).unwrap().is_stale());
    assert!(w.value("ALERTS", "firing", 30).is_some());
    assert_eq!(w.slot(40), [""; 0], "a refresh is no news");
    let view = w.set.view();
    let alert = view.alerts().next().unwrap();
    assert_eq!((alert.value.as_str(), alert.active_at, alert.annotations.value("s")), ("0e+00", at(10), "v 0"));
    w.sample(UP, 45, 1.0);
    assert_eq!(w.slot(50), ["-D1@50"]);
    assert!(w.value("ALERTS", "firing", 50).unwrap().is_stale());
    assert_eq!(w.slot(60), [""; 0]);
    // Kept for fifteen minutes, then dropped.
    let news = w.set.evaluate_all(at(50 + 901), &w.head, &[]);
    assert!(matches!(news.writes.as_slice(), [Write::RuleAlertDropped { .. }]));
}

#[test]
fn keeps_firing_for_a_while() {
    let mut w = World::new("  - {alert: D, expr: up == 0, keep_firing_for: 20s}\n", Timestamp::MIN);
    w.sample(UP, 5, 0.0);
    assert_eq!(w.slot(10), ["+D1@10"]);
    w.sample(UP, 15, 1.0);
    assert_eq!(w.slot(20), [""; 0]);
    assert_eq!(w.slot(30), [""; 0]);
    assert_eq!(w.slot(40), ["-D1@40"]);
}

#[test]
fn an_arrival_starts_and_never_ends() {
    let mut w = World::new("  - {alert: D, expr: up == 0}\n", Timestamp::MIN);
    w.sample(UP, 11, 0.0);
    assert_eq!(w.arrive(12), ["+D1@12"]);
    assert_eq!(w.slot(10), [""; 0], "a slot that saw less does not end it");
    w.sample(UP, 14, 1.0);
    assert_eq!(w.arrive(15), [""; 0]);
    assert_eq!(w.slot(20), ["-D1@20"]);
    w.sample(&[("__name__", "other")], 21, 0.0);
    assert_eq!(w.arrive(22), [""; 0]);
}

#[test]
fn a_joining_rule_waits_until_its_inputs_have_settled() {
    let mut w = World::new("  - {alert: S, expr: sum(up) == 0}\n", Timestamp::MIN);
    let slot = w.set.next_due().unwrap();
    w.set.evaluate(slot, &w.head);
    w.sample(UP, slot.as_millis() / 1000 + 1, 0.0);
    let now = slot + Duration::from_secs(2);
    let arrived = w.head.take_arrivals();
    assert!(w.set.evaluate_arrivals(&arrived, now, &w.head).is_empty());
    let settled = w.set.next_due().unwrap();
    assert_eq!(settled, now + Duration::from_secs(5));
    assert_eq!(w.set.evaluate(settled, &w.head).alerts.len(), 1);
    assert_eq!(w.set.next_due().unwrap(), slot + Duration::from_secs(10));
}

#[test]
fn slots_are_steady_and_missed_ones_counted() {
    let mut w = World::new(DOWN, Timestamp::MIN);
    let first = w.set.next_due().unwrap();
    assert!(first >= at(0) && first < at(10));
    w.set.evaluate(first + Duration::from_secs(35), &w.head);
    assert_eq!(w.set.next_due().unwrap(), first + Duration::from_secs(40));
    assert_eq!(w.set.missed_slots(), 3);
}

#[test]
fn a_restart_keeps_timers_and_ends_nothing_while_cold() {
    let mut w = World::new(DOWN, Timestamp::MIN);
    w.sample(UP, 5, 0.0);
    let news = w.set.evaluate_all(at(10), &w.head, &[]);
    let [Write::RuleAlert(pending)] = news.writes.as_slice() else { panic!("{:?}", news.writes) };
    let firing = RuleAlertRecord { state: RuleAlertState::Firing, fired_at: Some(at(30)), ..pending.as_ref().clone() };

    let mut w = World::new(DOWN, at(15));
    w.set.restore(vec![pending.as_ref().clone()]);
    assert_eq!(w.slot(20), [""; 0], "no sample yet: still pending");
    w.sample(UP, 25, 0.0);
    assert_eq!(w.slot(30), ["+D1@30"], "as if nothing had happened");

    let mut w = World::new(DOWN, at(35));
    w.set.restore(vec![firing.clone()]);
    assert_eq!(w.slot(40), ["+D1@30"], "told again, not ended");
    w.sample(&[("__name__", "up"), ("i", "2")], 45, 1.0);
    assert_eq!(w.slot(50), [""; 0], "another series says nothing about this one");
    w.sample(UP, 55, 1.0);
    assert_eq!(w.slot(60), ["-D1@60"]);

    let mut w = World::new("  - {alert: Other, expr: up == 0}\n", at(35));
    w.set.restore(vec![firing]);
    let news = w.set.evaluate(at(60), &w.head);
    assert!(matches!(news.writes.as_slice(), [Write::RuleAlertDropped { .. }]));
}

#[test]
fn absent_is_quiet_until_warm() {
    let mut w = World::new("  - {alert: A, expr: absent(gone)}\n", at(0));
    assert_eq!(w.slot(10), [""; 0]);
    for secs in (20..=400).step_by(20) {
        w.sample(UP, secs, 1.0);
    }
    assert_eq!(w.slot(200), [""; 0]);
    assert_eq!(w.slot(400), ["+A@400"]);
}

#[test]
fn a_reload_keeps_what_is_the_same_and_ends_what_is_gone() {
    let both = "  - {alert: D, expr: up == 0}\n  - {alert: E, expr: up == 0}\n  - {record: r, expr: up}\n";
    let mut w = World::new(both, Timestamp::MIN);
    w.sample(UP, 5, 0.0);
    assert_eq!(w.slot(10), ["+D1@10", "+E1@10"]);
    let files = [file::parse(&rules("  - {alert: D, expr: up < 1}\n"), "f.yml").unwrap()];
    let news = w.set.reload(w.set.config().clone(), &files, &w.head, at(15));
    assert_eq!(told(&news), ["-E1@15"]);
    let recorded = w.head.select(&[crate::model::Matcher::equal("__name__", "r")]);
    assert!(recorded[0].latest(at(14), at(15)).unwrap().v.is_stale());
    assert_eq!(w.slot(20), [""; 0]);
    assert_eq!(w.set.view().alerts().count(), 1);
    let raised = [file::parse(&rules("  - {alert: D, expr: up < 1, for: 1h}\n"), "f.yml").unwrap()];
    w.set.reload(w.set.config().clone(), &raised, &w.head, at(25));
    assert_eq!(w.slot(30), ["-D1@30"], "back to pending");
}

#[test]
fn limits_and_duplicates_are_errors() {
    let check = |body: &str, expect: &str| {
        let mut w = World::new(body, Timestamp::MIN);
        w.sample(UP, 5, 0.0);
        w.sample(&[("__name__", "up"), ("i", "2")], 5, 0.0);
        let news = w.set.evaluate_all(at(10), &w.head, &[]);
        assert_eq!(news.errors.iter().map(|e| e.text.as_ref()).collect::<Vec<_>>(), [expect]);
        assert_eq!((news.alerts.len(), w.set.view().alerts().count()), (0, 0));
    };
    check(
        "  - {alert: D, expr: up == 0, labels: {i: x}}\n",
        "vector contains metrics with the same labelset after applying alert labels",
    );
    check(
        "  - {record: r, expr: up, labels: {i: x}}\n",
        "vector contains metrics with the same labelset after applying rule labels",
    );
    check("  - {alert: D, expr: up == 0}\n  limit: 1\n", "exceeded limit of 1 with 2 alerts");
    check("  - {record: r, expr: up}\n  limit: 1\n", "exceeded limit of 1 with 2 series");
}

#[test]
fn groups_of_one_name_in_two_files_keep_their_own_state() {
    let files = ["a.yml", "b.yml"].map(|path| file::parse(&rules(DOWN), path).unwrap());
    let mut w = World::new(DOWN, Timestamp::MIN);
    w.set = RuleSet::new(w.set.config().clone(), &files, &w.head, at(0));
    w.sample(UP, 5, 0.0);
    let news = w.set.evaluate_all(at(10), &w.head, &[]);
    let records: Vec<RuleAlertRecord> = news
        .writes
        .iter()
        .filter_map(|w| if let Write::RuleAlert(r) = w { Some((**r).clone()) } else { None })
        .collect();
    assert_eq!(records.len(), 2);
    assert_ne!(records[0].rule, records[1].rule);
    w.set = RuleSet::new(w.set.config().clone(), &files, &w.head, at(20));
    w.set.restore(records);
    assert_eq!(w.set.view().alerts().filter(|a| a.active_at == at(10)).count(), 2);
}

#[test]
fn external_labels_and_failing_templates() {
    let body = "  - {alert: D, expr: up == 0, labels: {x: '{{ $externalLabels.c }}'}, annotations: {s: '{{ humanize \"x\" }}'}}\n";
    let mut w = World::new(body, Timestamp::MIN);
    let config = RuleSetConfig {
        external_labels: Labels::from_pairs([("c", "eu"), ("i", "none")]),
        external_url: Arc::from("http://wf"),
        ..w.set.config().clone()
    };
    let files = [file::parse(&rules(body), "f.yml").unwrap()];
    w.set = RuleSet::new(config, &files, &w.head, at(0));
    w.sample(UP, 5, 0.0);
    let news = w.set.evaluate_all(at(10), &w.head, &[]);
    let alert = &news.alerts[0];
    assert_eq!(alert.labels, Labels::from_pairs([("alertname", "D"), ("c", "eu"), ("i", "1"), ("x", "eu")]));
    assert!(alert.annotations.value("s").starts_with("<error expanding template: "), "{}", alert.annotations);
    assert_eq!(alert.generator_url.as_ref(), "http://wf/graph?g0.expr=up+%3D%3D+0&g0.tab=1");
}
