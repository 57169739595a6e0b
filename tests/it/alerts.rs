//! Alerts: matchers, routes, groups, silences, inhibition, intervals and the door, against Alertmanager's tables.
//! In: `alertmanager-behaviour` of the conformance folder, or our own data of the same shape. Out: pass or fail.
//! Never: compares what a regex engine says about a pattern beyond "it is refused".
//! Start at [`table`].

use proptest::prelude::*;
use serde_json::Value;
use std::sync::Arc;
use watchfire::alerts::group::message_order;
use watchfire::alerts::matchers::{self, MatcherError};
use watchfire::alerts::time_interval::{Range, TimeIntervalSpec, parse_location, parse_times};
use watchfire::alerts::{
    Book, BookConfig, GroupBy, Groups, InhibitRule, Inhibitor, MuteReason, Muter, Observed, Route, RouteError,
    RouteSpec, SilenceError, Silences, TimeInterval, TimeIntervals,
};
use watchfire::model::silence::SilenceState;
use watchfire::model::{
    Alert, AlertRecord, Door, Fingerprint, Labels, MatchOp, Matcher, Silence, Timestamp, TransitionKind, duration,
};

fn table(file: &str) -> Value {
    let folder = match std::env::var("WATCHFIRE_CONFORMANCE") {
        Ok(folder) => format!("{folder}/alertmanager-behaviour"),
        Err(_) => concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/alerts").to_owned(),
    };
    let text = std::fs::read_to_string(format!("{folder}/{file}")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn labels(value: &Value) -> Labels {
    Labels::from_pairs(value.as_object().unwrap().iter().map(|(n, v)| (n.as_str(), v.as_str().unwrap())))
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_millis(secs * 1000)
}

fn record(pairs: &[(&str, &str)], starts: i64, ended: Option<i64>) -> Arc<AlertRecord> {
    let labels = Labels::from_pairs(pairs.iter().copied());
    Arc::new(AlertRecord {
        fingerprint: Fingerprint::of(&labels),
        labels,
        annotations: Labels::empty(),
        generator_url: Arc::from(""),
        starts_at: at(starts),
        ended_at: ended.map(at),
        updated_at: at(starts),
        leases: Vec::new(),
    })
}

#[test]
fn matchers_are_read_as_alertmanager_reads_them() {
    let data = table("matchers.json");
    let check = |section: &str, parse: &dyn Fn(&str) -> Result<Vec<Matcher>, MatcherError>| {
        assert!(!list(&data, section).is_empty(), "{section}");
        for case in list(&data, section) {
            let input = text(case, "input");
            let got = parse(input).map_err(|e| e.to_string());
            match case["error"].as_str() {
                Some(e) if e.starts_with("error parsing regexp") => {
                    assert!(
                        got.as_ref().is_err_and(|g| g.starts_with("error parsing regexp")),
                        "{section} {input}: {got:?}"
                    );
                }
                Some(error) => assert_eq!(got, Err(error.to_owned()), "{section} {input}"),
                None => {
                    let show = |m: &Matcher| (m.name.clone(), m.op.as_str().to_owned(), m.value.clone());
                    let expect: Vec<_> = list(case, "matchers")
                        .iter()
                        .map(|m| (text(m, "name").to_owned(), text(m, "op").to_owned(), text(m, "value").to_owned()))
                        .collect();
                    assert_eq!(got.map(|g| g.iter().map(show).collect()), Ok(expect), "{section} {input}");
                }
            }
        }
    };
    check("classic_and_utf8_compliance", &matchers::parse);
    check("utf8_matchers", &matchers::parse_utf8);
    check("utf8_single_matcher", &|t| matchers::parse_utf8_one(t).map(|m| vec![m]));
    check("fallback_single", &|t| matchers::parse_one(t).map(|m| vec![m]));
    check("fallback_many", &matchers::parse);
    check("classic_matchers", &matchers::parse_classic);
    assert!(matchers::parse_with_warning(r"foo=bar\n").unwrap().warning.is_some());
}

/// A route as YAML, read just far enough for the tables.
fn route_spec(yaml: &Value) -> RouteSpec {
    let name = |key: &str| yaml[key].as_str().map(Arc::from);
    let time = |key: &str| yaml[key].as_str().map(|t| duration::parse(t).unwrap());
    let pairs = |key: &str| yaml[key].as_object().into_iter().flatten();
    let exact = pairs("match").map(|(n, v)| matchers::from_match(n, v.as_str().unwrap()));
    let regex = pairs("match_re").map(|(n, v)| matchers::from_match_re(n, v.as_str().unwrap()).unwrap());
    RouteSpec {
        receiver: name("receiver"),
        escalation_policy: name("escalation_policy"),
        group_by: yaml["group_by"].as_array().map(|l| l.iter().map(|v| v.as_str().unwrap().to_owned()).collect()),
        group_wait: time("group_wait"),
        group_interval: time("group_interval"),
        repeat_interval: time("repeat_interval"),
        matchers: exact.chain(regex).collect(),
        continues: yaml["continue"].as_bool().unwrap_or(false),
        routes: list(yaml, "routes").iter().map(route_spec).collect(),
        ..RouteSpec::default()
    }
}

fn route(yaml: &str) -> Result<Route, RouteError> {
    Route::build(&route_spec(&serde_saphyr::from_str::<Value>(yaml).unwrap()))
}

#[test]
fn routes_take_the_alerts_that_alertmanagers_take() {
    let data = table("routes.json");
    let route = route(text(&data, "route_yaml")).unwrap();
    assert!(!list(&data, "cases").is_empty());
    for case in list(&data, "cases") {
        let found = route.match_all(&labels(&case["labels"]));
        let keys: Vec<&str> = found.iter().map(|n| &*n.key).collect();
        let expect: Vec<&str> = list(case, "route_keys").iter().map(|k| k.as_str().unwrap()).collect();
        assert_eq!(keys, expect, "{}", case["labels"]);
        for (node, expect) in found.iter().zip(list(case, "routes")) {
            assert_eq!(node.receiver.as_deref(), expect["receiver"].as_str());
            let times = [node.group_wait, node.group_interval, node.repeat_interval].map(duration::format);
            let expect_times = ["group_wait", "group_interval", "repeat_interval"].map(|k| text(expect, k).to_owned());
            assert_eq!(times, expect_times, "{}", node.key);
            let mut names: Vec<Arc<str>> =
                list(expect, "group_by").iter().map(|v| Arc::from(v.as_str().unwrap())).collect();
            names.sort();
            let by = if expect["group_by_all"] == true { GroupBy::All } else { GroupBy::Labels(names) };
            assert_eq!(node.group_by, by, "{}", node.key);
        }
    }
}

#[test]
fn routes_that_alertmanager_refuses_are_refused() {
    let check = |yaml: &str, expect: &str| assert_eq!(route(yaml).unwrap_err().to_string(), expect, "{yaml}");
    check("group_wait: 30s", "root route must specify a default receiver");
    check("{receiver: a, match: {b: c}}", "root route must not have any matchers");
    check("{receiver: a, continue: true}", "cannot have continue in root route");
    check("{receiver: a, group_by: [x, z, x]}", "duplicated label \"x\" in group_by");
    check("{receiver: a, routes: [{group_interval: 0s}]}", "group_interval cannot be zero");
    check("{receiver: a, repeat_interval: 0s}", "repeat_interval cannot be zero");
    let pages_only = route("{escalation_policy: p, routes: [{match: {a: b}, receiver: r}]}").unwrap();
    let found = pages_only.match_all(&Labels::from_pairs([("a", "b")]));
    assert_eq!((found[0].receiver.as_deref(), found[0].escalation_policy.as_deref()), (Some("r"), Some("p")));
}

#[test]
fn groups_wait_and_repeat_as_alertmanagers_do() {
    let route = route("{receiver: r, group_by: [alertname], group_wait: 10s, group_interval: 60s}").unwrap();
    let root = &route.nodes()[0];
    let mut groups = Groups::new();
    let fresh = |id: &str, starts, ended| record(&[("alertname", "A"), ("id", id)], starts, ended);

    let group = groups.insert(root, &fresh("1", 100, None), at(100));
    groups.insert(root, &fresh("2", 100, None), at(109));
    assert_eq!((groups.next_due(), groups.pop_due(at(109))), (Some(at(110)), None));
    assert_eq!(groups.pop_due(at(110)), Some(group));
    let flush = groups.flush(group, at(111)).unwrap();
    assert_eq!(&*flush.group_key, r#"{}:{alertname="A"}"#);
    assert_eq!((flush.split().0.len(), flush.split().1.len()), (2, 0));
    groups.done(&flush);
    assert_eq!(groups.next_due(), Some(at(171)));

    // An alert that is late for its wait does not hurry a group that was flushed.
    groups.insert(root, &fresh("3", 1, None), at(112));
    assert_eq!(groups.next_due(), Some(at(171)));

    // Ended alerts leave after a flush that came through, unless they fire again meanwhile.
    for id in ["1", "2", "3"] {
        groups.insert(root, &fresh(id, 100, Some(120)), at(120));
    }
    let flush = groups.flush(group, at(171)).unwrap();
    groups.insert(root, &fresh("3", 172, None), at(172));
    groups.done(&flush);
    assert_eq!(groups.get(group).unwrap().alerts.len(), 1);
    groups.insert(root, &fresh("3", 172, Some(180)), at(180));
    let flush = groups.flush(group, at(231)).unwrap();
    groups.done(&flush);
    assert!(groups.is_empty() && groups.next_due().is_none());

    // A group for an alert that began long ago is due at once.
    groups.insert(root, &fresh("4", 100, None), at(300));
    assert_eq!(groups.next_due(), Some(at(300)));
}

#[test]
fn a_message_is_in_alertmanagers_order() {
    let set = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
    let sorted = [
        set(&[("instance", "b"), ("job", "a")]),
        set(&[("job", "a")]),
        set(&[("instance", "a"), ("job", "b")]),
        set(&[("x", "1")]),
        set(&[("b", "1"), ("x", "0")]),
        set(&[("a", "1"), ("x", "1")]),
        set(&[("a", "2"), ("x", "0")]),
    ];
    let mut mixed = sorted.to_vec();
    mixed.reverse();
    mixed.sort_by(message_order);
    assert_eq!(mixed, sorted);
}

#[test]
fn fingerprints_are_alertmanagers() {
    let data = table("fingerprints.json");
    let book = Book::new(BookConfig::default());
    assert!(!list(&data, "cases").is_empty());
    for case in list(&data, "cases") {
        // The table hashes empty values too, which no door lets in: hence the raw pairs.
        let mut pairs: Vec<(&str, &str)> =
            case["labels"].as_object().unwrap().iter().map(|(n, v)| (n.as_str(), v.as_str().unwrap())).collect();
        pairs.sort_unstable();
        assert_eq!(Fingerprint::of_pairs(pairs.iter().copied()).to_string(), text(case, "fingerprint"), "{case}");
        let labels = labels(&case["labels"]);
        if labels.len() == pairs.len() {
            assert_eq!(Fingerprint::of(&labels).to_string(), text(case, "fingerprint"), "{case}");
        }
        assert_eq!(book.identity(&labels.with("prometheus_replica", "x")), Fingerprint::of(&labels), "{case}");
    }
}

#[test]
fn inhibition_follows_the_table() {
    let data = table("inhibition.json");
    let data = &data["matches"];
    let side = |rule: &Value, key: &str| {
        rule[key].as_object().unwrap().iter().map(|(n, v)| Matcher::equal(n, v.as_str().unwrap())).collect()
    };
    let rules = list(data, "rules").iter().map(|rule| InhibitRule {
        name: None,
        source_matchers: side(rule, "source_match"),
        target_matchers: side(rule, "target_match"),
        equal: list(rule, "equal").iter().map(|e| Arc::from(e.as_str().unwrap())).collect(),
    });
    let mut inhibitor = Inhibitor::new(rules.collect());
    let sources: Vec<AlertRecord> = list(data, "active_sources")
        .iter()
        .map(|s| {
            let labels = labels(&s["labels"]);
            let base = AlertRecord::clone(&record(&[], 1, None));
            AlertRecord { fingerprint: Fingerprint::of(&labels), labels, ..base }
        })
        .collect();
    assert!(sources.iter().all(|s| inhibitor.update(s)));
    assert!(!list(data, "cases").is_empty());
    for case in list(data, "cases") {
        let found = inhibitor.inhibited_by(&labels(&case[0]));
        assert_eq!(found.is_some(), case[1] == true, "{case}");
        assert!(found.is_none_or(|f| !f.sources.is_empty() && f.rule.starts_with("inhibit rule ")));
    }
    for source in &sources {
        inhibitor.update(&AlertRecord { ended_at: Some(at(2)), ..source.clone() });
    }
    for case in list(data, "cases") {
        assert_eq!(inhibitor.inhibited_by(&labels(&case[0])), None, "ended sources inhibit nobody: {case}");
    }
    let empty = Inhibitor::new(vec![InhibitRule::default()]);
    assert_eq!(empty.inhibited_by(&Labels::from_pairs([("a", "b")])), None);
}

fn silence(id: &str, matcher: (&str, MatchOp, &str), starts: i64, ends: i64) -> Silence {
    Silence {
        id: Arc::from(id),
        matchers: vec![Matcher::new(matcher.0, matcher.1, matcher.2).unwrap()],
        starts_at: at(starts),
        ends_at: at(ends),
        updated_at: Timestamp::EPOCH,
        created_by: "ana".to_owned(),
        comment: "works on it".to_owned(),
        annotations: Labels::empty(),
    }
}

#[test]
fn silences_change_as_alertmanagers_do() {
    const FOO: (&str, MatchOp, &str) = ("foo", MatchOp::Equal, "bar");
    // Before: an active silence "a" from 50 to 200 and a pending one "p" from 150 to 250; now is 100.
    let check = |change: Silence, expect: Result<(&str, i64, usize), &str>| {
        let mut list = Silences::new();
        list.set(silence("", FOO, 50, 200), Arc::from("a"), at(50)).unwrap();
        list.set(silence("", FOO, 150, 250), Arc::from("p"), at(50)).unwrap();
        let name = format!("{change:?}");
        let got = list.set(change, Arc::from("new"), at(100)).map_err(|e| e.to_string());
        let got = got.map(|s| (s.id.to_string(), list.get(&s.id).unwrap().starts_at, s.rows.len()));
        assert_eq!(got, expect.map(|(id, s, n)| (id.to_owned(), at(s), n)).map_err(str::to_owned), "{name}");
    };
    check(silence("", FOO, 120, 130), Ok(("new", 120, 1)));
    check(silence("", FOO, 10, 130), Ok(("new", 100, 1)));
    check(silence("a", FOO, 50, 400), Ok(("a", 50, 1)));
    check(silence("a", FOO, 60, 400), Ok(("new", 100, 2)));
    check(silence("a", ("foo", MatchOp::Equal, "baz"), 50, 400), Ok(("new", 100, 2)));
    check(silence("p", FOO, 110, 400), Ok(("p", 110, 1)));
    check(silence("p", FOO, 90, 400), Ok(("new", 100, 2)));
    check(silence("x", FOO, 110, 400), Err("silence not found"));
    check(silence("", FOO, 130, 130), Err("start time must be before end time"));
    check(silence("", FOO, 50, 60), Err("end time can't be in the past"));
    let empty = "invalid silence: at least one matcher must not match the empty string";
    check(silence("", ("foo", MatchOp::Regex, ".*"), 100, 130), Err(empty));
    check(
        Silence { matchers: vec![], ..silence("", FOO, 100, 130) },
        Err("invalid silence: at least one matcher required"),
    );
}

#[test]
fn silences_are_listed_expired_and_forgotten() {
    let mut list = Silences::new();
    let mut put = |id: &str, matcher, starts, ends| {
        list.set(silence("", matcher, starts, ends), Arc::from(id), at(10)).unwrap();
    };
    put("exact", ("foo", MatchOp::Equal, "bar"), 20, 100);
    put("regex", ("foo", MatchOp::Regex, "b.*"), 20, 90);
    put("any", ("a", MatchOp::Regex, ".+"), 20, 95);
    put("later", ("foo", MatchOp::Equal, "bar"), 50, 60);
    let foo = Labels::from_pairs([("foo", "bar"), ("zone", "eu")]);
    let by = |list: &Silences, now| list.silenced_by(&foo, at(now)).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(by(&list, 19), Vec::<String>::new());
    assert_eq!(by(&list, 20), ["exact", "regex"]);
    assert_eq!(by(&list, 50), ["exact", "later", "regex"]);
    assert_eq!(by(&list, 92), ["exact"]);
    assert_eq!(list.silenced_by(&Labels::from_pairs([("a", "b")]), at(20)), [Arc::from("any")]);
    assert_eq!(
        [10, 20, 60, 100].map(|now| list.next_change(at(now))),
        [Some(at(20)), Some(at(50)), Some(at(90)), None]
    );

    assert!(list.expire("exact", at(30)).unwrap().is_some());
    assert!(list.expire("exact", at(31)).unwrap().is_none());
    assert_eq!(list.expire("nobody", at(31)), Err(SilenceError::NotFound));
    assert_eq!(by(&list, 31), ["regex"]);
    let ids = |filter: &[Matcher], states: &[SilenceState], now| {
        list.query(filter, states, at(now)).iter().map(|s| s.id.to_string()).collect::<Vec<_>>()
    };
    let all = [SilenceState::Active, SilenceState::Pending, SilenceState::Expired];
    assert_eq!(ids(&[], &all, 31), ["regex", "any", "later", "exact"]);
    assert_eq!(ids(&[], &all[2..], 200), ["any", "regex", "later", "exact"]);
    assert_eq!(ids(&[Matcher::equal("foo", "bar")], &all, 31), ["later", "exact"]);
    assert_eq!(ids(&[Matcher::equal("foo", "bar")], &all[1..2], 31), ["later"]);

    let day = 24 * 3600;
    assert_eq!(list.gc(at(5 * day + 29)), Vec::<Arc<str>>::new());
    assert_eq!(list.gc(at(5 * day + 30)), [Arc::from("exact")]);
    assert_eq!(list.gc(at(6 * day)).len(), 3);
    assert!(list.is_empty());
}

fn rfc822z(text: &str) -> Timestamp {
    let zoned = jiff::fmt::strtime::parse("%d %b %y %H:%M %z", text).and_then(|t| t.to_timestamp());
    Timestamp::from_millis(zoned.unwrap().as_millisecond())
}

fn interval_spec(yaml: &Value) -> TimeIntervalSpec {
    let strings = |key: &str| list(yaml, key).iter().map(|v| v.as_str().unwrap().to_owned()).collect();
    TimeIntervalSpec {
        times: list(yaml, "times")
            .iter()
            .map(|t| (text(t, "start_time").to_owned(), text(t, "end_time").to_owned()))
            .collect(),
        weekdays: strings("weekdays"),
        days_of_month: strings("days_of_month"),
        months: strings("months"),
        years: strings("years"),
        location: yaml["location"].as_str().map(str::to_owned),
    }
}

#[test]
fn intervals_hold_when_alertmanagers_hold() {
    let data = table("time_intervals.json");
    let check = |case: &Value, intervals: &[TimeInterval]| {
        for (key, expect) in [("inside_rfc822z", true), ("outside_rfc822z", false)] {
            for moment in list(case, key) {
                let got = intervals.iter().any(|i| i.contains(rfc822z(moment.as_str().unwrap())));
                assert_eq!(got, expect, "{moment} of {case}");
            }
        }
    };
    assert!(!list(&data, "contains_time").is_empty() && !list(&data, "yaml").is_empty());
    for case in list(&data, "contains_time") {
        let ranges = |key: &str| {
            let number = |v: &Value| v.as_i64().unwrap() as i32;
            list(&case["interval"], key).iter().map(|r| Range { begin: number(&r[0]), end: number(&r[1]) }).collect()
        };
        let interval = TimeInterval {
            times: ranges("times_minutes"),
            weekdays: ranges("weekdays(0=sunday)"),
            days_of_month: ranges("days_of_month"),
            months: ranges("months"),
            years: ranges("years"),
            location: parse_location(text(&case["interval"], "location")).unwrap(),
        };
        check(case, &[interval]);
    }
    for case in list(&data, "yaml").iter().chain(list(&data, "complete")) {
        let yaml: Value = serde_saphyr::from_str(text(case, "yaml")).unwrap();
        let entries = yaml.as_array().cloned().unwrap_or_else(|| vec![yaml]);
        let parsed: Result<Vec<_>, _> = entries.iter().map(|e| TimeInterval::parse(&interval_spec(e))).collect();
        match (parsed, case["error"].as_str()) {
            (Ok(intervals), None) => check(case, &intervals),
            (got, expect) => assert_eq!(got.err().map(|e| e.to_string()).as_deref(), expect, "{case}"),
        }
    }
    for case in list(&data, "time_strings") {
        let yaml: Value = serde_saphyr::from_str(text(case, "input")).unwrap();
        let parsed = parse_times(text(&yaml, "start_time"), text(&yaml, "end_time"));
        let tokens = text(case, "tokens");
        assert_eq!(parsed.is_err(), tokens.contains("expectError : true"), "{case}");
        if let Ok(range) = parsed {
            assert!(tokens.contains(&format!("StartMinute : {} , EndMinute : {}", range.begin, range.end)), "{case}");
        }
    }
}

#[test]
fn every_mute_has_its_reason() {
    let spec = RouteSpec { receiver: Some(Arc::from("r")), ..RouteSpec::default() };
    let child = RouteSpec {
        mute_time_intervals: vec![Arc::from("night")],
        active_time_intervals: vec![Arc::from("work")],
        ..spec.clone()
    };
    let route = Route::build(&RouteSpec { routes: vec![child], ..spec }).unwrap();
    let during =
        |from: &str, to: &str| TimeInterval { times: vec![parse_times(from, to).unwrap()], ..Default::default() };
    let intervals = TimeIntervals::new([
        (Arc::from("night"), vec![during("16:00", "24:00")]),
        (Arc::from("work"), vec![during("09:00", "17:00")]),
    ]);
    let mut silences = Silences::new();
    silences.set(silence("", ("id", MatchOp::Equal, "s"), 0, 900_000), Arc::from("one"), at(0)).unwrap();
    let mut inhibitor = Inhibitor::new(vec![InhibitRule {
        name: Some(Arc::from("host down")),
        source_matchers: vec![Matcher::equal("id", "source")],
        target_matchers: vec![Matcher::equal("id", "s")],
        equal: vec![],
    }]);
    inhibitor.update(&record(&[("id", "source")], 1, None));
    let muter = Muter { silences: &silences, inhibitor: &inhibitor, intervals: &intervals };
    let check = |id: &str, node: usize, hour: i64, expect: &[&str]| {
        let why = muter.why(&Labels::from_pairs([("id", id)]), &route.nodes()[node], at(hour * 3600));
        let told: Vec<String> = why.iter().map(MuteReason::to_string).collect();
        assert_eq!(told, expect, "{id} on {node} at {hour}");
    };
    let source = Fingerprint::of(&Labels::from_pairs([("id", "source")]));
    let inhibited = format!("inhibited by {source}, host down");
    check("x", 0, 3, &[]);
    check("x", 1, 10, &[]);
    check("x", 1, 3, &["outside of work"]);
    check("x", 1, 16, &["muted during night"]);
    check("s", 1, 3, &[&inhibited, "outside of work", "silenced by one"]);
    check("s", 0, 3, &[&inhibited, "silenced by one"]);
}

/// One source's posts: (start, length, firing).
type Posts = Vec<(i64, i64, bool)>;

fn replay(sources: &[Posts], order: &[usize]) -> (Book, Vec<TransitionKind>) {
    const NOW: i64 = 1000;
    let book = Book::new(BookConfig::default());
    let mut cursors = vec![0; sources.len()];
    let mut kinds = Vec::new();
    for source in order {
        let (starts, length, firing) = sources[*source][cursors[*source]];
        cursors[*source] += 1;
        let ends = if firing { NOW + length } else { (starts + length).min(NOW) };
        let post = Alert {
            labels: Labels::from_pairs([("alertname", "A"), ("replica", ["a", "b", "c"][*source])]),
            annotations: Labels::from_pairs([("from", source.to_string())]),
            generator_url: Arc::from(""),
            starts_at: at(starts),
            ends_at: Some(at(ends)),
            ends_by_timeout: false,
            door: Door::AlertmanagerApi,
            claimant: Arc::from(""),
        };
        if let Observed::Transition(t) = book.observe(post, at(NOW)).unwrap() {
            book.committed(t.record.fingerprint, t.version);
            kinds.push(t.kind);
        }
    }
    (book, kinds)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// However the posts of several sources interleave, the alert ends up the same, and starts and ends alternate.
    #[test]
    fn the_book_does_not_mind_the_order_of_sources(
        (sources, one, other) in prop::collection::vec(
            prop::collection::vec((1i64..999, 1i64..400, any::<bool>()), 0..5), 3,
        ).prop_flat_map(|sources| {
            let turns: Vec<usize> = sources.iter().enumerate().flat_map(|(i, posts)| vec![i; posts.len()]).collect();
            (Just(sources), Just(turns.clone()).prop_shuffle(), Just(turns).prop_shuffle())
        })
    ) {
        let (a, kinds) = replay(&sources, &one);
        let (b, _) = replay(&sources, &other);
        let mut found = (Vec::new(), Vec::new());
        a.for_each(|r| found.0.push(AlertRecord::clone(r)));
        b.for_each(|r| found.1.push(AlertRecord::clone(r)));
        prop_assert_eq!(found.0, found.1);
        let mut firing = false;
        for kind in kinds {
            match kind {
                TransitionKind::Started => { prop_assert!(!firing); firing = true; }
                TransitionKind::Ended => { prop_assert!(firing); firing = false; }
                TransitionKind::Changed => {}
            }
        }
    }

    /// No text makes the parsers panic, and what a matcher prints is read back as the same.
    #[test]
    fn matcher_text_is_safe(text in "\\PC{0,40}", name in "[a-z_]{1,8}", value in "[ -~]{0,20}") {
        for parse in [matchers::parse, matchers::parse_utf8, matchers::parse_classic] {
            let _ = parse(&text);
        }
        let matcher = Matcher::equal(&name, &value);
        prop_assert_eq!(matchers::parse_one(&matcher.to_string()), Ok(matcher));
    }
}
