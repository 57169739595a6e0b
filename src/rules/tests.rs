//! The rules as a whole, at made-up times: states, slots, arrivals, restarts, reloads.
//! In: rule files as text, samples, moments. Out: the found, compared.
//! Never: waits.
//! Start at [`World`].

use super::{Evaluation, RuleSet, RuleSetConfig, file};
use crate::model::{Alert, Labels, RuleAlertRecord, RuleAlertState, SampleValue, Timestamp, Write};
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

    /// The same from the beginning, on data that nobody has run on before or that somebody has.
    fn start(&mut self, body: &str, started_at: Timestamp, is_first_start: bool) {
        let config = RuleSetConfig { started_at, is_first_start, ..RuleSetConfig::default() };
        self.set = RuleSet::new(config, &[file::parse(&rules(body), "f.yml").unwrap()], &self.head, at(0));
    }

    fn sample(&self, pairs: &[(&str, &str)], secs: i64, v: f64) {
        // As a sender's, so that the head's coverage grows.
        let series =
            self.head.append(&Labels::from_pairs(pairs.iter().copied()), at(secs), SampleValue::Float(v)).unwrap();
        let mut batch = self.head.batch(at(secs));
        batch.append(&series, secs * 1000 + 1, &SampleValue::Float(v)).unwrap();
    }

    fn slot(&mut self, secs: i64) -> Vec<String> {
        announced(&self.set.evaluate_all(at(secs), &self.head, &[]))
    }

    fn arrive(&mut self, secs: i64) -> Vec<String> {
        let arrived = self.head.take_arrivals();
        announced(&self.set.evaluate_arrivals(&arrived, at(secs), &self.head))
    }

    fn value(&self, name: &str, state: &str, secs: i64) -> Option<SampleValue> {
        let matchers =
            [crate::model::Matcher::equal("__name__", name), crate::model::Matcher::equal("alertstate", state)];
        let series = self.head.select(&matchers);
        series.first()?.latest(at(secs - 1), at(secs)).map(|p| p.v)
    }
}

/// `+name@start` for a firing alert, `-name@end` for an ended one. Claims that only change their name are left out.
fn announced(found: &Evaluation) -> Vec<String> {
    assert_eq!(found.errors, []);
    let mut out: Vec<String> = net(&found.alerts)
        .map(|a| {
            let secs = |t: Timestamp| t.as_millis() / 1000;
            let name = format!("{}{}", a.labels.alert_name(), a.labels.value("i"));
            a.ends_at.map_or_else(|| format!("+{name}@{}", secs(a.starts_at)), |end| format!("-{name}@{}", secs(end)))
        })
        .collect();
    out.sort();
    out
}

/// What one evaluation comes to: an alert that is handed out under a new name while the old claim on it ends goes on.
pub(super) fn net(alerts: &[Alert]) -> impl Iterator<Item = &Alert> {
    let renamed = |a: &Alert, b: &Alert| a.labels == b.labels && a.claimant != b.claimant && b.ends_at.is_some();
    let is_former = move |n: usize| n > 0 && renamed(&alerts[n - 1], &alerts[n]);
    let is_moved =
        move |n: usize| alerts.get(n + 1).is_some_and(|next| renamed(&alerts[n], next) && alerts[n].ends_at.is_none());
    (0..alerts.len()).filter(move |n| !is_former(*n) && !is_moved(*n)).map(|n| &alerts[n])
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
    assert_eq!(w.slot(40), [""; 0], "a refresh is no found");
    let view = w.set.view();
    let alert = view.alerts().next().unwrap();
    assert_eq!((alert.value.as_str(), alert.active_at, alert.annotations.value("s")), ("0e+00", at(10), "v 0"));
    w.sample(UP, 45, 1.0);
    assert_eq!(w.slot(50), ["-D1@50"]);
    assert!(w.value("ALERTS", "firing", 50).unwrap().is_stale());
    assert_eq!(w.slot(60), [""; 0]);
    // Kept for fifteen minutes, then dropped.
    let found = w.set.evaluate_all(at(50 + 901), &w.head, &[]);
    assert!(matches!(found.writes.as_slice(), [Write::RuleAlertDropped { .. }]));
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
    let found = w.set.evaluate_all(at(10), &w.head, &[]);
    let [Write::RuleAlert(pending)] = found.writes.as_slice() else { panic!("{:?}", found.writes) };
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
    let found = w.set.evaluate(at(60), &w.head);
    assert!(matches!(found.writes.as_slice(), [Write::RuleAlertDropped { .. }]));
    assert_eq!(announced(&found), ["-D1@60"], "whoever was told of it is told of its end");
}

#[test]
fn absent_is_quiet_after_a_restart_until_senders_had_their_time() {
    let mut w = World::new("  - {alert: A, expr: absent(gone)}\n", at(0));
    for secs in (10..300).step_by(10) {
        w.sample(UP, secs, 1.0);
        assert_eq!(w.slot(secs), [""; 0], "{secs}");
    }
    assert_eq!(w.slot(300), ["+A@300"], "as long as it looks back nobody brought any");
}

#[test]
fn absent_fires_when_all_senders_are_silent() {
    // Both ways to say it, and Prometheus, agree: 330 s of samples, and five minutes of looking back.
    let body = "  - {alert: A, expr: absent(m)}\n  - {alert: B, expr: vector(1) unless count(m) > 0}\n  \
                - {alert: C, expr: 'absent_over_time(m[2m])'}\n";
    for is_first_start in [true, false] {
        let mut w = World::new(body, at(0));
        w.start(body, at(0), is_first_start);
        let mut found = Vec::new();
        for secs in (10..=1000).step_by(10) {
            if secs <= 330 || secs > 900 {
                w.sample(&[("__name__", "m")], secs, 1.0);
            }
            found.append(&mut w.slot(secs));
        }
        found.retain(|one| one != "+B@10" && one != "-B@20" && one != "+A@10" && one != "-A@20");
        let expect = ["+C@460", "+A@640", "+B@640", "-A@910", "-C@910", "-B@920"];
        let found: Vec<&str> = found.iter().map(String::as_str).filter(|one| !one.ends_with("@20")).collect();
        assert_eq!(found, expect, "first start: {is_first_start}");
    }
}

#[test]
fn absent_fires_where_nobody_was_ever_heard_and_after_a_restart_where_nobody_returns() {
    let body = "  - {alert: A, expr: absent(m), for: 20s}\n";
    let mut w = World::new(body, at(0));
    w.start(body, at(0), true);
    let found: Vec<String> = (10..=60).step_by(10).flat_map(|secs| w.slot(secs)).collect();
    assert_eq!(found, ["+A@30"], "an empty server, after its `for`");
    // A restart: what we missed may be on its way, for as long as the rule looks back.
    let mut w = World::new(body, at(0));
    let found: Vec<String> = (10..=600).step_by(10).flat_map(|secs| w.slot(secs)).collect();
    assert_eq!(found, ["+A@320"]);
    // The same with what the log held.
    let mut w = World::new(body, at(0));
    w.sample(&[("__name__", "m")], -60, 1.0);
    let found: Vec<String> = (10..=600).step_by(10).flat_map(|secs| w.slot(secs)).collect();
    assert_eq!(found, ["+A@320"]);
}

#[test]
fn absent_holds_while_we_refuse_or_are_away() {
    let body = "  - {alert: A, expr: absent(m)}\n";
    let mut w = World::new(body, at(0));
    w.start(body, at(0), true);
    let mut found = Vec::new();
    for secs in (10..=1000).step_by(10) {
        if secs <= 330 {
            w.sample(&[("__name__", "m")], secs, 1.0);
        } else if secs <= 500 {
            w.set.observe_refusals(secs as u64, at(secs));
        }
        found.append(&mut w.slot(secs));
    }
    assert_eq!(found, ["+A@800"], "five minutes after the last refusal, not after the last sample");
    // Away for an hour: the same.
    let mut w = World::new(body, at(0));
    w.start(body, at(0), true);
    w.sample(&[("__name__", "m")], 10, 1.0);
    let found: Vec<String> = [10].into_iter().chain((3610..=4000).step_by(10)).flat_map(|secs| w.slot(secs)).collect();
    assert_eq!(found, ["+A@3910"]);
}

#[test]
fn what_a_silent_source_kept_alive_is_held() {
    let body = "  - {alert: H, expr: 'g > 1'}\n  - {alert: R, expr: 'rate(c_total[1m]) > 0'}\n  - {alert: S, expr: 'sum(g) > 1'}\n";
    let mut w = World::new(body, at(0));
    w.start(body, at(0), true);
    for secs in (10..=330).step_by(10) {
        w.sample(&[("__name__", "g"), ("job", "j"), ("instance", "a")], secs, 2.0);
        w.sample(&[("__name__", "c_total"), ("job", "j"), ("instance", "a")], secs, secs as f64);
        w.slot(secs);
    }
    let silent: Vec<String> = (340..=2000).step_by(10).flat_map(|secs| w.slot(secs)).collect();
    assert_eq!(silent, [""; 0]);
    let view = w.set.view();
    let lost: Vec<_> = view.alerts().map(|a| (a.labels.alert_name(), a.source_lost_since)).collect();
    assert_eq!(lost.len(), 3);
    assert!(lost.iter().all(|(_, since)| since.is_some_and(|t| t <= at(331))), "and it says so: {lost:?}");
}

#[test]
fn a_sample_from_the_future_moves_nobody_else() {
    let body = "  - {alert: D, expr: 'g > 0'}\n  - {alert: O, expr: 'g offset 10s > 0'}\n";
    let mut w = World::new(body, at(0));
    w.start(body, at(0), true);
    let g: &[(&str, &str)] = &[("__name__", "g")];
    let other: &[(&str, &str)] = &[("__name__", "h"), ("job", "x")];
    let mut found = Vec::new();
    let mut starts = Vec::new();
    for secs in 1..=120 {
        let put = |pairs: &[(&str, &str)], ms: i64, v: f64| {
            let series = w.head.find_or_create(&Labels::from_pairs(pairs.iter().copied())).unwrap();
            w.head.batch(at(secs)).append(&series, ms, &SampleValue::Float(v)).unwrap();
        };
        if secs == 2 {
            put(g, 2000, 1.0);
            put(other, 242_000, 1.0);
            // And one that is ahead by no more than clocks are.
            put(&[("__name__", "g"), ("i", "2")], 11_000, 1.0);
        }
        if secs == 65 {
            put(g, 65_000, 0.0);
            put(&[("__name__", "g"), ("i", "2")], 65_000, 0.0);
        }
        let arrived = w.head.take_arrivals();
        let mut out = w.set.evaluate_arrivals(&arrived, at(secs), &w.head);
        if secs % 10 == 2 {
            out.append(w.set.evaluate_all(at(secs), &w.head, &[]));
        }
        starts.extend(out.alerts.iter().map(|a| (at(secs), a.starts_at)));
        found.append(&mut announced(&out));
    }
    assert!(starts.iter().all(|(now, start)| start <= now), "{starts:?}");
    assert_eq!(found, ["+D2@2", "+D@2", "+O@12", "+O2@22", "-D2@72", "-D@72", "-O2@82", "-O@82"]);
}

#[test]
fn a_rule_keeps_its_state_when_its_group_or_file_is_renamed() {
    let mut w = World::new(DOWN, Timestamp::MIN);
    w.sample(UP, 5, 0.0);
    let mut rows: Vec<Write> = Vec::new();
    for secs in [10, 20] {
        rows.append(&mut w.set.evaluate_all(at(secs), &w.head, &[]).writes);
    }
    let found = w.set.evaluate_all(at(30), &w.head, &[]);
    assert_eq!(announced(&found), ["+D1@30"]);
    let claimant = found.alerts[0].claimant.clone();
    assert!(claimant.starts_with("rule:D/"), "{claimant}");
    rows.extend(found.writes);
    let renamed = |group: &str, path: &str| [file::parse(&rules(DOWN).replace("name: g", group), path).unwrap()];
    for (group, path, secs) in [("name: other", "f.yml", 40), ("name: other", "moved.yml", 50)] {
        let out = w.set.reload(w.set.config().clone(), &renamed(group, path), &w.head, at(secs));
        assert_eq!((out.alerts.len(), out.writes.len()), (0, 0), "{group} {path}");
        assert_eq!(w.slot(secs), [""; 0]);
    }
    // Between two starts.
    let config = RuleSetConfig { started_at: at(60), ..RuleSetConfig::default() };
    let mut set = RuleSet::new(config, &renamed("name: third", "third.yml"), &w.head, at(60));
    let Some(Write::RuleAlert(row)) = rows.last() else { panic!("{rows:?}") };
    set.restore(vec![(**row).clone()]);
    let out = set.evaluate_all(at(70), &w.head, &[]);
    assert_eq!(announced(&out), ["+D1@30"], "handed out as it was");
    assert_eq!((&out.alerts[0].claimant, out.writes.len()), (&claimant, 0));
}

#[test]
fn an_edited_rule_hands_its_alert_over_to_itself() {
    let mut w = World::new("  - {alert: D, expr: up == 0}\n", Timestamp::MIN);
    w.sample(UP, 5, 0.0);
    w.slot(10);
    let edited = [file::parse(&rules("  - {alert: D, expr: up < 1}\n"), "f.yml").unwrap()];
    let out = w.set.reload(w.set.config().clone(), &edited, &w.head, at(15));
    assert_eq!(out.alerts.len(), 0);
    assert!(matches!(out.writes.as_slice(), [Write::RuleAlertDropped { .. }, Write::RuleAlert(_)]), "{:?}", out.writes);
    let out = w.set.evaluate_all(at(20), &w.head, &[]);
    let claims: Vec<_> = out.alerts.iter().map(|a| (a.ends_at.is_some(), a.claimant.as_ref())).collect();
    assert_eq!(claims.iter().map(|(ended, _)| *ended).collect::<Vec<_>>(), [false, true], "the new one comes first");
    assert_ne!(claims[0].1, claims[1].1);
}

#[test]
fn equal_rules_are_paired_in_order() {
    let body = "  - {alert: D, expr: up == 0}\n  - {alert: D, expr: up == 0}\n";
    let mut w = World::new(body, Timestamp::MIN);
    w.sample(UP, 5, 0.0);
    let first = w.set.evaluate_all(at(10), &w.head, &[]);
    let claims: Vec<_> = first.alerts.iter().map(|a| a.claimant.clone()).collect();
    assert_eq!(claims.len(), 2);
    assert_ne!(claims[0], claims[1]);
    let one = [file::parse(&rules("  - {alert: D, expr: up == 0}\n"), "f.yml").unwrap()];
    let out = w.set.reload(w.set.config().clone(), &one, &w.head, at(15));
    assert_eq!(out.alerts.iter().map(|a| a.claimant.clone()).collect::<Vec<_>>(), claims[1..]);
}

#[test]
fn rows_of_version_0_1_find_their_rule() {
    let mut w = World::new(DOWN, Timestamp::MIN);
    w.sample(UP, 5, 0.0);
    let out = w.set.evaluate_all(at(10), &w.head, &[]);
    let [Write::RuleAlert(row)] = out.writes.as_slice() else { panic!("{:?}", out.writes) };
    let hash = crate::model::Fingerprint::of(&Labels::from_pairs([("__file__", "f.yml")]));
    let firing = RuleAlertRecord {
        rule: format!("g/D/{hash}").into(),
        state: RuleAlertState::Firing,
        fired_at: Some(at(30)),
        ..row.as_ref().clone()
    };
    let mut w = World::new(DOWN, at(35));
    w.set.restore(vec![firing.clone()]);
    w.sample(UP, 38, 0.0);
    let out = w.set.evaluate_all(at(40), &w.head, &[]);
    assert_eq!(announced(&out), [""; 0], "it goes on");
    let claims: Vec<_> = out.alerts.iter().map(|a| (a.claimant.to_string(), a.ends_at)).collect();
    assert_eq!(claims, [(row.rule.to_string(), None), (String::new(), Some(at(40)))]);
    let rows: Vec<_> = out.writes.iter().map(|w| matches!(w, Write::RuleAlertDropped { .. })).collect();
    assert_eq!(rows, [true, false], "the old row goes, the new one comes");
    // A rule that is gone from the files ends what it had claimed.
    let mut w = World::new("  - {alert: Other, expr: up == 0}\n", at(35));
    w.set.restore(vec![firing]);
    let out = w.set.evaluate(at(60), &w.head);
    assert_eq!(announced(&out), ["-D1@60"]);
    assert_eq!(out.alerts[0].claimant.as_ref(), "");
}

#[test]
fn waits_go_on_over_a_clock_that_was_set() {
    for by in [3600, -60] {
        let body = "  - {alert: F, expr: up == 0, for: 60s}\n  - {alert: D, expr: up == 0}\n";
        let mut w = World::new(body, at(10_000));
        w.start(body, at(10_000), true);
        w.sample(UP, 10_005, 0.0);
        assert_eq!(w.slot(10_010), ["+D1@10010"]);
        assert_eq!(w.slot(10_040), [""; 0]);
        let then = 10_040 + by;
        w.set.clock_jumped(by * 1000, at(then));
        assert!(w.set.next_due().unwrap() <= at(then + 10), "slots go on by the new clock");
        w.sample(UP, then + 1, 0.0);
        assert_eq!(w.slot(then + 10), [""; 0], "40 s of 60");
        assert_eq!(w.slot(then + 20), [""; 0]);
        assert_eq!(w.slot(then + 30), [format!("+F1@{}", then + 30)]);
        // Nothing ends for five minutes.
        for secs in (40..300).step_by(10) {
            w.sample(UP, then + secs - 5, 1.0);
            assert_eq!(w.slot(then + secs), [""; 0], "{secs}");
        }
        w.sample(UP, then + 295, 1.0);
        assert_eq!(w.slot(then + 300), [format!("-D1@{}", then + 300), format!("-F1@{}", then + 300)]);
    }
}

#[test]
fn a_reload_keeps_what_is_the_same_and_ends_what_is_gone() {
    let both = "  - {alert: D, expr: up == 0}\n  - {alert: E, expr: up == 0}\n  - {record: r, expr: up}\n";
    let mut w = World::new(both, Timestamp::MIN);
    w.sample(UP, 5, 0.0);
    assert_eq!(w.slot(10), ["+D1@10", "+E1@10"]);
    let files = [file::parse(&rules("  - {alert: D, expr: up < 1}\n"), "f.yml").unwrap()];
    let found = w.set.reload(w.set.config().clone(), &files, &w.head, at(15));
    assert_eq!(announced(&found), ["-E1@15"]);
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
        let found = w.set.evaluate_all(at(10), &w.head, &[]);
        assert_eq!(found.errors.iter().map(|e| e.text.as_ref()).collect::<Vec<_>>(), [expect]);
        assert_eq!((found.alerts.len(), w.set.view().alerts().count()), (0, 0));
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
    let found = w.set.evaluate_all(at(10), &w.head, &[]);
    let records: Vec<RuleAlertRecord> = found
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
    let found = w.set.evaluate_all(at(10), &w.head, &[]);
    let alert = &found.alerts[0];
    assert_eq!(alert.labels, Labels::from_pairs([("alertname", "D"), ("c", "eu"), ("i", "1"), ("x", "eu")]));
    assert!(alert.annotations.value("s").starts_with("<error expanding template: "), "{}", alert.annotations);
    assert_eq!(alert.generator_url.as_ref(), "http://wf/graph?g0.expr=up+%3D%3D+0&g0.tab=1");
}

#[test]
fn an_alert_of_two_rules_lives_until_the_last_one_ends_it() {
    use crate::alerts::{AlertRegistry, RegistryConfig};
    let body = "  - {alert: D, expr: up == 0}\n  - {alert: D, expr: up < 2}\n";
    let mut w = World::new(body, Timestamp::MIN);
    let registry = AlertRegistry::new(RegistryConfig::default());
    let mut firing = Vec::new();
    for (secs, v) in [(10, 0.0), (20, 1.0), (30, 2.0)] {
        w.sample(UP, secs - 5, v);
        for alert in w.set.evaluate_all(at(secs), &w.head, &[]).alerts {
            registry.observe(alert, at(secs)).unwrap();
        }
        let mut count = 0;
        registry.for_each(|record| count += usize::from(record.is_firing()));
        firing.push(count);
    }
    assert_eq!(firing, [1, 1, 0]);
}
