//! The behaviour that every store shares, and what only a store on disk can break.
//! In: the `Store` trait, in memory and on SQLite. Out: pass or fail.
//! Never: looks inside a store.
//! Start at [`suite`].

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use watchfire::model::{
    Acknowledgement, AlertRecord, Covered, Door, Escalation, EscalationRun, EscalationTarget, Evidence, Fingerprint,
    Incident, IncidentId, IncidentLink, IncidentState, IncidentStatus, IntegrationId, Labels, Lease, MatchOp, Matcher,
    Member, Message, MessageAlert, MessageIncident, NflogEntry, NflogKey, Notification, NotificationKey,
    NotificationKind, NotificationState, Resolution, ResolvedBy, RuleAlertRecord, RuleAlertState, RunState, Severity,
    Silence, Snooze, SourceKey, TimelineEntry, TimelineEvent, TimelineKind, Timestamp, Write,
};
use watchfire::store::{
    IncidentQuery, MemoryStore, NotificationQuery, RESOLVED_KEPT_IN_MEMORY, RETAIN_ROWS_MAX, Retention, SharedStore,
    Snapshot, SqliteStore, StoreError,
};

fn at(secs: i64) -> Timestamp {
    Timestamp::from_millis(1_767_323_045_000 + secs * 1000)
}

fn labels(n: u64) -> Labels {
    Labels::from_pairs([
        ("alertname", "HighLatency \"p99\" \u{0}✓"),
        ("instance", &format!("10.0.0.{n}:9100")),
        ("severity", "critical"),
    ])
}

fn alert(n: u64) -> AlertRecord {
    let labels = labels(n);
    let lease = |door, ends_at| Lease {
        source: SourceKey {
            door,
            sender: Arc::from("prometheus=\"a\""),
            claimant: Arc::from("prometheus-0:9090@10.0.0.7"),
        },
        starts_at: at(1),
        ends_at,
        ends_by_timeout: ends_at.is_some(),
        updated_at: at(2),
    };
    AlertRecord {
        fingerprint: Fingerprint::of(&labels),
        labels,
        annotations: Labels::from_pairs([("summary", "it is slow\nvery")]),
        generator_url: Arc::from("http://prometheus/graph?g0.expr=up"),
        starts_at: at(1),
        ended_at: (!n.is_multiple_of(2)).then(|| at(9)),
        updated_at: at(2),
        leases: vec![lease(Door::RemoteWrite, None), lease(Door::AlertmanagerApi, Some(at(300)))],
    }
}

fn run(number: u32, state: RunState) -> EscalationRun {
    EscalationRun {
        policy: format!("policy {number}").into(),
        run: number,
        because: Some(Fingerprint(u64::MAX - u64::from(number))),
        step: 1,
        round: 2,
        round_started_at: at(3),
        reached: true,
        state,
    }
}

/// A state of this status, other ones of the same status for other incidents.
fn state(n: u64, status: IncidentStatus) -> IncidentState {
    let covers = BTreeSet::from([Covered { alertname: "A".into(), service: "web".into() }]);
    let ack = Acknowledgement { by: "ana".into(), at: at(5), covers: covers.clone(), severity: Severity::High };
    match status {
        IncidentStatus::Triggered => IncidentState::Triggered,
        IncidentStatus::Acknowledged if n.is_multiple_of(2) => IncidentState::Snoozed(Snooze {
            by: "cy".into(),
            at: at(6),
            until: at(77),
            severity: Severity::Critical,
            covers,
            acknowledged: Some(ack),
        }),
        IncidentStatus::Acknowledged => IncidentState::Acknowledged(ack),
        IncidentStatus::Resolved => resolved_at(n, at(n as i64 + 10)),
    }
}

fn resolved_at(n: u64, at: Timestamp) -> IncidentState {
    let by = match n % 3 {
        0 => ResolvedBy::Itself,
        1 => ResolvedBy::Person { by: "bob".into(), still_firing: 2, hold_until: Some(at) },
        _ => ResolvedBy::Merge { by: "bob".into(), into: IncidentId(1) },
    };
    IncidentState::Resolved(Resolution { at, by })
}

fn incident(n: u64, status: IncidentStatus, severity: Severity) -> Incident {
    Incident {
        id: IncidentId(n),
        title: format!("incident {n}"),
        state: state(n, status),
        severity,
        labels: labels(n),
        cluster: Some(Arc::from("eu")),
        environment: None,
        opened_at: at(n as i64),
        last_attached_at: at(n as i64 + 1),
        correlation_rule: Some(Arc::from("service")),
        correlation_key: Some(Arc::from("eu/checkout")),
        alert_count: 3,
        firing_count: 2,
        doors: BTreeSet::from([Door::RemoteWrite, Door::AlertmanagerWebhook]),
        escalation: Escalation {
            runs: vec![
                run(2, RunState::Active { next_at: at(4) }),
                run(3, RunState::AskingAcknowledger { by: Arc::from("ana"), until: at(5) }),
                run(4, RunState::Exhausted),
            ],
            last_run: 4,
            assigned_to: Some(EscalationTarget::User(Arc::from("ana"))),
            held: BTreeSet::from([Arc::from("second")]),
            delivered_to: BTreeSet::from([(Arc::from("first"), IntegrationId::new("email", 1))]),
        },
        paged: BTreeSet::from([Arc::from("first"), Arc::from("second")]),
        predecessor: n.is_multiple_of(2).then_some(IncidentId(1)),
    }
}

fn member(incident: u64, n: u64) -> Member {
    Member {
        incident: IncidentId(incident),
        fingerprint: alert(n).fingerprint,
        attached_at: at(n as i64),
        evidence: if n.is_multiple_of(2) {
            Evidence::Recorded { reason: "rule service, same cluster".to_owned(), runner_up: "INC-2".to_owned() }
        } else {
            Evidence::Reopened { after_ms: n }
        },
        detached: n.is_multiple_of(3),
        left_at: None,
    }
}

fn entry(incident: u64, seq: u64) -> TimelineEntry {
    TimelineEntry {
        incident: IncidentId(incident),
        seq,
        at: at(seq as i64),
        actor: seq.is_multiple_of(2).then(|| Arc::from("ana")),
        note: if seq.is_multiple_of(2) { String::new() } else { "a note".to_owned() },
        event: if seq.is_multiple_of(2) {
            let (text, reason) = (format!("line {seq}"), "step 1".to_owned());
            TimelineEvent::Recorded { kind: TimelineKind::Paged, text, reason }
        } else {
            TimelineEvent::Snoozed { for_ms: seq, until: at(seq as i64) }
        },
    }
}

fn silence(id: &str) -> Silence {
    Silence {
        id: Arc::from(id),
        matchers: vec![
            Matcher::new("instance", MatchOp::Regex, "10\\..*").unwrap(),
            Matcher::new("severity", MatchOp::NotEqual, "info").unwrap(),
        ],
        starts_at: at(0),
        ends_at: at(3600),
        updated_at: at(0),
        created_by: "ana".to_owned(),
        comment: "planned".to_owned(),
        annotations: Labels::empty(),
    }
}

fn nflog(group: &str, index: u32) -> NflogEntry {
    let integration = IntegrationId::new("webhook", index);
    NflogEntry {
        key: NflogKey { group_key: Arc::from(group), receiver: Arc::from("ops"), integration },
        firing: vec![Fingerprint(1), Fingerprint(u64::MAX)],
        resolved: vec![],
        owed: vec![Fingerprint(7)],
        at: at(1),
        expires_at: at(2),
    }
}

fn rule_alert(rule: &str, n: u64, value: f64) -> RuleAlertRecord {
    RuleAlertRecord {
        rule: Arc::from(rule),
        fingerprint: alert(n).fingerprint,
        labels: labels(n),
        annotations: Labels::empty(),
        state: RuleAlertState::Pending,
        value,
        active_at: at(1),
        fired_at: None,
        resolved_at: Some(at(2)),
        keep_firing_since: None,
    }
}

fn page(key: &str, incident: u64, secs: i64) -> Notification {
    let record = alert(1);
    Notification {
        key: NotificationKey(Arc::from(key)),
        kind: NotificationKind::Page { incident: IncidentId(incident), run: 1, round: 1, step: 1 },
        receiver: Arc::from("first"),
        integration: IntegrationId::new("webhook", 0),
        message: Arc::new(Message {
            firing: true,
            receiver: Arc::from("first"),
            group_key: Arc::from("{}:{}"),
            group_labels: Labels::empty(),
            common_labels: labels(1),
            common_annotations: Labels::empty(),
            external_url: Arc::from("http://localhost:9095"),
            alerts: vec![MessageAlert {
                fingerprint: record.fingerprint,
                labels: record.labels,
                annotations: record.annotations,
                generator_url: record.generator_url,
                starts_at: at(1),
                ended_at: None,
            }],
            truncated_alerts: 4,
            incident: Some(MessageIncident {
                id: IncidentId(incident),
                url: "http://localhost:9095/incidents/INC-1".to_owned(),
                status: IncidentStatus::Triggered,
                severity: Severity::High,
                title: "slow".to_owned(),
                step: 1,
                round: 1,
                reason: "first on call".to_owned(),
                held_back: 2,
                acknowledged_by: None,
            }),
            incidents: vec![IncidentLink {
                id: IncidentId(incident),
                url: "http://localhost:9095/incidents/INC-1".to_owned(),
                title: "slow".to_owned(),
            }],
        }),
        created_at: at(secs),
        state: NotificationState::Pending,
        attempts: 0,
        sent_at: None,
        error: None,
        external_ref: None,
    }
}

fn announcement(key: &str, state: NotificationState, secs: i64) -> Notification {
    let kind = NotificationKind::Announcement {
        group_key: Arc::from("{}:{}"),
        firing: vec![Fingerprint(u64::MAX)],
        resolved: vec![Fingerprint(3)],
        log_expires_at: at(99),
        reason: String::new(),
    };
    Notification { kind, state, ..page(key, 0, secs) }
}

fn moved(key: &str, state: NotificationState) -> Write {
    Write::NotificationState {
        key: NotificationKey(Arc::from(key)),
        state,
        attempts: 3,
        sent_at: Some(at(8)),
        error: Some("503".to_owned()),
        external_ref: Some(Arc::from("C1:17")),
    }
}

fn w<T>(make: fn(Arc<T>) -> Write, value: T) -> Write {
    make(Arc::new(value))
}

/// A snapshot as text, in an order of its own, so that two can be compared whatever order they came in.
fn told(snapshot: &Snapshot) -> Vec<String> {
    fn lines<T: std::fmt::Debug>(rows: &[T]) -> Vec<String> {
        let mut lines: Vec<String> = rows.iter().map(|r| format!("{r:?}")).collect();
        lines.sort();
        lines
    }
    let Snapshot {
        alerts,
        incidents,
        members,
        silences,
        nflog,
        outbox,
        sent,
        rule_alerts,
        recent_pages,
        last_incident,
        last_timeline_seq,
        last_moment,
    } = snapshot;
    let mut all = lines(alerts);
    all.extend(lines(incidents));
    all.extend(lines(members));
    all.extend(lines(silences));
    all.extend(lines(nflog));
    all.extend(lines(outbox));
    all.extend(lines(sent));
    all.extend(lines(rule_alerts));
    all.extend(lines(recent_pages));
    all.push(format!("last incident {last_incident}, last line {last_timeline_seq}, at {last_moment:?}"));
    all
}

async fn check_load(store: &SharedStore, expected: Snapshot) {
    assert_eq!(told(&store.load().await.unwrap()), told(&expected));
}

async fn nothing_at_first(store: SharedStore) {
    check_load(&store, Snapshot::default()).await;
    store.commit(Vec::new()).await.unwrap();
    check_load(&store, Snapshot::default()).await;
}

async fn each_write_is_put_replaced_and_dropped(store: SharedStore) {
    let first = vec![
        w(Write::Alert, alert(1)),
        w(Write::Alert, alert(2)),
        w(Write::Incident, incident(1, IncidentStatus::Triggered, Severity::Low)),
        w(Write::Member, member(1, 1)),
        w(Write::Timeline, entry(1, 7)),
        w(Write::Silence, silence("a")),
        w(Write::Silence, silence("b")),
        w(Write::Notification, page("p1", 1, 1)),
        w(Write::Notification, page("p2", 1, 2)),
        w(Write::Nflog, nflog("{}", 0)),
        w(Write::Nflog, nflog("{}", 1)),
        w(Write::RuleAlert, rule_alert("g/a/1", 1, 0.5)),
        w(Write::RuleAlert, rule_alert("g/a/1", 2, f64::NAN)),
        Write::Moment(at(10_000)),
    ];
    store.commit(first).await.unwrap();
    let expected = Snapshot {
        alerts: vec![alert(1), alert(2)],
        incidents: vec![incident(1, IncidentStatus::Triggered, Severity::Low)],
        members: vec![member(1, 1)],
        silences: vec![silence("a"), silence("b")],
        nflog: vec![nflog("{}", 0), nflog("{}", 1)],
        outbox: vec![page("p1", 1, 1), page("p2", 1, 2)],
        sent: Vec::new(),
        rule_alerts: vec![rule_alert("g/a/1", 1, 0.5), rule_alert("g/a/1", 2, f64::NAN)],
        recent_pages: Vec::new(),
        last_incident: 1,
        last_timeline_seq: 7,
        last_moment: Some(at(10_000)),
    };
    check_load(&store, expected).await;

    let changed_alert = AlertRecord { annotations: Labels::empty(), ended_at: Some(at(50)), ..alert(2) };
    let changed_member = Member { detached: true, left_at: Some(at(4)), ..member(1, 1) };
    let changed_silence = Silence { ends_at: at(1), ..silence("b") };
    let changed_log = NflogEntry { firing: vec![], ..nflog("{}", 1) };
    let changed_rule = RuleAlertRecord {
        state: RuleAlertState::Firing,
        value: f64::INFINITY,
        fired_at: Some(at(3)),
        ..rule_alert("g/a/1", 2, 0.0)
    };
    let second = vec![
        Write::AlertDropped(alert(1).fingerprint),
        w(Write::Alert, changed_alert.clone()),
        w(Write::Incident, incident(1, IncidentStatus::Acknowledged, Severity::High)),
        w(Write::Member, changed_member.clone()),
        Write::SilenceDropped(Arc::from("a")),
        w(Write::Silence, changed_silence.clone()),
        moved("p1", NotificationState::Sent),
        moved("nobody", NotificationState::Sent),
        Write::NflogDropped(nflog("{}", 0).key),
        w(Write::Nflog, changed_log.clone()),
        Write::RuleAlertDropped { rule: Arc::from("g/a/1"), fingerprint: alert(1).fingerprint },
        w(Write::RuleAlert, changed_rule.clone()),
    ];
    store.commit(second).await.unwrap();
    let sent = Notification {
        state: NotificationState::Sent,
        attempts: 3,
        sent_at: Some(at(8)),
        error: Some("503".to_owned()),
        external_ref: Some(Arc::from("C1:17")),
        ..page("p1", 1, 1)
    };
    let expected = Snapshot {
        alerts: vec![changed_alert],
        incidents: vec![incident(1, IncidentStatus::Acknowledged, Severity::High)],
        members: vec![changed_member.clone()],
        silences: vec![changed_silence],
        nflog: vec![changed_log],
        outbox: vec![page("p2", 1, 2)],
        sent: vec![sent.clone()],
        rule_alerts: vec![changed_rule],
        recent_pages: Vec::new(),
        last_incident: 1,
        last_timeline_seq: 7,
        last_moment: Some(at(10_000)),
    };
    check_load(&store, expected).await;

    let id = IncidentId(1);
    assert_eq!(store.incident(id).await.unwrap().unwrap().status(), IncidentStatus::Acknowledged);
    assert!(store.incident(IncidentId(2)).await.unwrap().is_none());
    assert_eq!(store.members(id).await.unwrap(), [changed_member]);
    assert_eq!(store.alerts_of(id).await.unwrap(), [alert(1)], "dropped from memory, held by its incident");
    let pages = store.notifications(id).await.unwrap();
    assert_eq!(pages, [sent, page("p2", 1, 2)]);
}

async fn the_last_word_of_a_batch_counts(store: SharedStore) {
    let changed = AlertRecord { ended_at: Some(at(60)), ..alert(1) };
    let writes = vec![
        w(Write::Alert, alert(1)),
        w(Write::Alert, changed.clone()),
        w(Write::Alert, alert(2)),
        Write::AlertDropped(alert(2).fingerprint),
        Write::AlertDropped(alert(4).fingerprint),
        w(Write::Alert, alert(4)),
        w(Write::Silence, silence("gone")),
        Write::SilenceDropped(Arc::from("gone")),
        Write::SilenceDropped(Arc::from("back")),
        w(Write::Silence, silence("back")),
        moved("p1", NotificationState::Sent),
        w(Write::Notification, page("p1", 1, 1)),
        w(Write::Notification, page("p2", 1, 2)),
        moved("p2", NotificationState::Failed),
        moved("p2", NotificationState::Superseded),
        w(Write::Nflog, nflog("{}", 0)),
        Write::NflogDropped(nflog("{}", 0).key),
        Write::Moment(at(1)),
        Write::Moment(at(10_000)),
    ];
    store.commit(writes).await.unwrap();
    let expected = Snapshot {
        alerts: vec![changed, alert(4)],
        silences: vec![silence("back")],
        outbox: vec![page("p1", 1, 1)],
        last_moment: Some(at(10_000)),
        ..Snapshot::default()
    };
    check_load(&store, expected).await;
    let states: Vec<_> = store.notifications(IncidentId(1)).await.unwrap().iter().map(|n| n.state).collect();
    assert_eq!(states, [NotificationState::Pending, NotificationState::Superseded]);
}

/// A process that starts knows whom the last one paged within the last minute: each page once, also of several integrations.
async fn recent_pages_count_against_the_limit(store: SharedStore) {
    let paged = |key: &str, incident: u64, secs: i64| Notification {
        receiver: Arc::from("oncall"),
        created_at: at(secs),
        ..page(key, incident, 1)
    };
    let writes = vec![
        w(Write::Notification, paged("old", 1, 0)),
        w(Write::Notification, paged("a/0", 1, 41)),
        w(Write::Notification, paged("a/1", 1, 41)),
        w(Write::Notification, paged("b/0", 2, 41)),
        moved("a/0", NotificationState::Sent),
        w(Write::Notification, paged("c/0", 1, 99)),
        Write::Moment(at(100)),
    ];
    store.commit(writes).await.unwrap();
    let snapshot = store.load().await.unwrap();
    let recent: Vec<(&str, Timestamp)> = snapshot.recent_pages.iter().map(|(name, at)| (&**name, *at)).collect();
    assert_eq!(recent, [("oncall", at(41)), ("oncall", at(41)), ("oncall", at(99))]);
}

async fn a_large_batch_is_complete(store: SharedStore) {
    // More than two full chunks, and every smaller size besides.
    let count = 512 * 2 + 64 + 8 + 3;
    let writes = (0..count)
        .flat_map(|n| [w(Write::Alert, alert(n)), w(Write::Member, member(1, n)), w(Write::Timeline, entry(1, n + 1))]);
    store.commit(writes.collect()).await.unwrap();
    store.commit(vec![w(Write::Incident, incident(1, IncidentStatus::Triggered, Severity::High))]).await.unwrap();
    let snapshot = store.load().await.unwrap();
    assert_eq!((snapshot.alerts.len(), snapshot.members.len()), (count as usize, count as usize));
    assert_eq!(snapshot.last_timeline_seq, count);
    let numbers = (0..count).map(|n| alert(n).fingerprint).collect::<BTreeSet<_>>();
    assert_eq!(snapshot.alerts.iter().map(|a| a.fingerprint).collect::<BTreeSet<_>>(), numbers);

    store.commit(numbers.iter().map(|f| Write::AlertDropped(*f)).collect()).await.unwrap();
    assert!(store.load().await.unwrap().alerts.is_empty());
    assert_eq!(store.alerts_of(IncidentId(1)).await.unwrap().len(), count as usize);
}

async fn incidents_come_in_pages(store: SharedStore) {
    let statuses = [IncidentStatus::Triggered, IncidentStatus::Acknowledged, IncidentStatus::Resolved];
    let severities = [Severity::Critical, Severity::Info];
    let writes =
        (1..=12).map(|n| w(Write::Incident, incident(n, statuses[n as usize % 3], severities[n as usize % 2])));
    store.commit(writes.collect()).await.unwrap();
    let check =
        async |statuses: &[IncidentStatus], severities: &[Severity], before: Option<u64>, limit, ids: &[u64]| {
            let query = IncidentQuery {
                statuses: statuses.to_vec(),
                severities: severities.to_vec(),
                before: before.map(IncidentId),
                limit,
            };
            let page = store.incidents(query.clone()).await.unwrap();
            assert_eq!(page.iter().map(|i| i.id.0).collect::<Vec<_>>(), ids, "{query:?}");
        };
    check(&[], &[], None, 5, &[12, 11, 10, 9, 8]).await;
    check(&[], &[], Some(8), 5, &[7, 6, 5, 4, 3]).await;
    check(&[], &[], Some(3), 5, &[2, 1]).await;
    check(&[], &[], Some(1), 5, &[]).await;
    check(&[IncidentStatus::Triggered], &[], None, 100, &[12, 9, 6, 3]).await;
    check(&[IncidentStatus::Triggered, IncidentStatus::Resolved], &[Severity::Info], None, 100, &[11, 9, 5, 3]).await;
    check(&[IncidentStatus::Acknowledged], &[Severity::Critical], Some(10), 1, &[4]).await;
    check(&[], &[Severity::Low], None, 100, &[]).await;
}

async fn the_newest_lines_come_in_order(store: SharedStore) {
    let mut writes: Vec<Write> = (1..=20).map(|n| w(Write::Timeline, entry(1 + n % 2, n))).collect();
    writes.reverse();
    store.commit(writes).await.unwrap();
    let lines = store.timeline(IncidentId(1), 3).await.unwrap();
    assert_eq!(lines, [entry(1, 16), entry(1, 18), entry(1, 20)]);
    assert_eq!(store.timeline(IncidentId(2), 100).await.unwrap().len(), 10);
    assert!(store.timeline(IncidentId(3), 100).await.unwrap().is_empty());
}

async fn load_leaves_out_what_was_resolved_long_ago(store: SharedStore) {
    let day = RESOLVED_KEPT_IN_MEMORY.as_secs() as i64;
    let resolved =
        |n, secs| Incident { state: resolved_at(n, at(secs)), ..incident(n, IncidentStatus::Resolved, Severity::Low) };
    let mut writes: Vec<Write> =
        [resolved(1, 0), resolved(2, 1), resolved(3, day + 1)].map(|i| w(Write::Incident, i)).into();
    writes.push(w(Write::Incident, incident(4, IncidentStatus::Triggered, Severity::Low)));
    writes.extend((1..=4).map(|n| w(Write::Member, member(n, n))));
    store.commit(writes).await.unwrap();
    let snapshot = store.load().await.unwrap();
    assert_eq!(snapshot.incidents.iter().map(|i| i.id.0).collect::<BTreeSet<_>>(), BTreeSet::from([2, 3, 4]));
    assert_eq!(snapshot.members.iter().map(|m| m.incident.0).collect::<BTreeSet<_>>(), BTreeSet::from([2, 3, 4]));
    assert_eq!(snapshot.last_incident, 4);
}

async fn an_incident_whose_alert_still_fires_is_kept(store: SharedStore) {
    let day = RESOLVED_KEPT_IN_MEMORY.as_secs() as i64;
    let resolved =
        |n, secs| Incident { state: resolved_at(n, at(secs)), ..incident(n, IncidentStatus::Resolved, Severity::Low) };
    // Alerts of even numbers fire, those of odd ones have ended; every third member is detached.
    let mut writes: Vec<Write> = (1..=4).map(|n| w(Write::Incident, resolved(n, 0))).collect();
    writes.push(w(Write::Incident, resolved(5, 9 * day)));
    for (incident, alert_number) in [(1, 2), (2, 1), (3, 6), (4, 4)] {
        writes.push(w(Write::Alert, alert(alert_number)));
        writes.push(w(Write::Member, member(incident, alert_number)));
    }
    // The second alert was once in the second incident; its place is in the first now.
    writes.push(w(Write::Member, Member { left_at: Some(at(3)), ..member(2, 2) }));
    writes.push(Write::AlertDropped(alert(4).fingerprint));
    store.commit(writes).await.unwrap();
    let kept = async || store.load().await.unwrap().incidents.iter().map(|i| i.id.0).collect::<BTreeSet<_>>();
    assert_eq!(kept().await, BTreeSet::from([1, 5]));
    let keep = Retention { incidents_before: at(day), notifications_before: at(0) };
    assert_eq!(store.retain(keep).await.unwrap(), 3);
    assert!(store.incident(IncidentId(1)).await.unwrap().is_some());
}

async fn alerts_that_ended_long_ago_are_loaded_with_their_open_incident_only(store: SharedStore) {
    let day = RESOLVED_KEPT_IN_MEMORY.as_secs() as i64;
    let ended = |n, secs| w(Write::Alert, AlertRecord { ended_at: Some(at(secs)), ..alert(n) });
    let resolved = Incident { state: resolved_at(1, at(0)), ..incident(1, IncidentStatus::Resolved, Severity::Low) };
    let newer = Incident { state: resolved_at(3, at(9 * day)), ..incident(3, IncidentStatus::Resolved, Severity::Low) };
    let writes = vec![
        w(Write::Incident, resolved),
        w(Write::Incident, incident(2, IncidentStatus::Triggered, Severity::Low)),
        w(Write::Incident, newer),
        ended(1, 0),
        ended(2, 0),
        ended(5, 0),
        ended(7, day + 1),
        ended(8, 1),
        w(Write::Alert, alert(4)),
        w(Write::Member, member(1, 1)),
        w(Write::Member, member(2, 2)),
    ];
    store.commit(writes).await.unwrap();
    let loaded = async || store.load().await.unwrap().alerts.iter().map(|a| a.fingerprint).collect::<BTreeSet<_>>();
    let expected = |numbers: &[u64]| numbers.iter().map(|n| alert(*n).fingerprint).collect::<BTreeSet<_>>();
    assert_eq!(loaded().await, expected(&[2, 4, 7, 8]));
    let keep = Retention { incidents_before: at(1), notifications_before: at(0) };
    assert_eq!(store.retain(keep).await.unwrap(), 1, "the resolved incident");
    // What is left shows when it is newer than everything else.
    store.commit(vec![ended(7, 2), ended(8, 1)]).await.unwrap();
    assert_eq!(loaded().await, expected(&[2, 4, 7, 8]), "1 went with its incident, 5 was held by none");
}

async fn old_rows_go_and_numbers_stay(store: SharedStore) {
    let resolved =
        |n, secs| Incident { state: resolved_at(n, at(secs)), ..incident(n, IncidentStatus::Resolved, Severity::Low) };
    let writes = vec![
        w(Write::Incident, incident(1, IncidentStatus::Triggered, Severity::Low)),
        w(Write::Incident, resolved(2, 20)),
        w(Write::Incident, resolved(3, 10)),
        w(Write::Alert, alert(1)),
        w(Write::Alert, alert(2)),
        w(Write::Alert, alert(3)),
        w(Write::Member, member(1, 1)),
        w(Write::Member, member(3, 1)),
        w(Write::Member, member(3, 2)),
        w(Write::Member, member(3, 3)),
        w(Write::Timeline, entry(3, 9)),
        w(Write::Timeline, entry(1, 8)),
        w(Write::Notification, page("p3", 3, 1)),
        w(Write::Notification, page("p1", 1, 1)),
        w(Write::Notification, announcement("old", NotificationState::Sent, 1)),
        w(Write::Notification, announcement("waits", NotificationState::Pending, 1)),
        w(Write::Notification, announcement("new", NotificationState::Failed, 15)),
    ];
    store.commit(writes).await.unwrap();
    store
        .commit(vec![Write::AlertDropped(alert(1).fingerprint), Write::AlertDropped(alert(2).fingerprint)])
        .await
        .unwrap();

    let keep = Retention { incidents_before: at(15), notifications_before: at(15) };
    assert_eq!(store.retain(keep).await.unwrap(), 2, "one incident, one announcement");
    assert!(store.incident(IncidentId(3)).await.unwrap().is_none());
    assert!(store.members(IncidentId(3)).await.unwrap().is_empty());
    assert!(store.timeline(IncidentId(3), 9).await.unwrap().is_empty());
    assert!(store.notifications(IncidentId(3)).await.unwrap().is_empty());
    assert_eq!(store.alerts_of(IncidentId(1)).await.unwrap(), [alert(1)], "another incident holds it");
    assert_eq!(store.timeline(IncidentId(1), 9).await.unwrap(), [entry(1, 8)]);
    assert_eq!(store.retain(keep).await.unwrap(), 0);

    let snapshot = store.load().await.unwrap();
    let keys: BTreeSet<String> = snapshot.outbox.iter().map(|n| n.key.to_string()).collect();
    assert_eq!(keys, BTreeSet::from(["p1".to_owned(), "waits".to_owned()]));
    assert_eq!(snapshot.alerts, [], "the third had ended and went with its incident");
    assert_eq!((snapshot.last_incident, snapshot.last_timeline_seq), (3, 9), "numbers are never given twice");
}

async fn retain_takes_a_little_at_a_time(store: SharedStore) {
    let count = RETAIN_ROWS_MAX as u64 + 10;
    let old = (1..=count).map(|n| {
        w(
            Write::Incident,
            Incident { state: resolved_at(n, at(0)), ..incident(n, IncidentStatus::Resolved, Severity::Low) },
        )
    });
    store.commit(old.collect()).await.unwrap();
    let keep = Retention { incidents_before: at(15), notifications_before: at(15) };
    let mut rounds = Vec::new();
    for _ in 0..3 {
        rounds.push(store.retain(keep).await.unwrap());
    }
    assert_eq!(rounds, [RETAIN_ROWS_MAX as u64, 10, 0]);
    assert_eq!(store.load().await.unwrap().last_incident, count);
}

/// One test of each name for each store.
async fn the_outbox_comes_in_pages(store: SharedStore) {
    let mut alone = announcement("a1", NotificationState::Sent, 1);
    let message = Arc::make_mut(&mut alone.message);
    (message.alerts[0].fingerprint, message.incident) = (alert(1).fingerprint, None);
    let writes = vec![
        w(Write::Alert, alert(1)),
        w(Write::Notification, alone),
        w(Write::Notification, page("p1", 1, 2)),
        w(Write::Notification, page("p2", 2, 3)),
        w(Write::Notification, Notification { receiver: Arc::from("ops"), ..page("p3", 1, 4) }),
    ];
    store.commit(writes).await.unwrap();
    store.commit(vec![moved("p1", NotificationState::Failed)]).await.unwrap();
    let query = NotificationQuery { limit: 10, ..NotificationQuery::default() };
    let keys = |query: NotificationQuery| {
        let store = store.clone();
        async move {
            let page = store.notification_page(query).await.unwrap();
            (page.rows.iter().map(|row| row.key.to_string()).collect::<Vec<_>>().join(" "), page.next)
        }
    };
    let of = |query| async { keys(query).await.0 };
    assert_eq!(keys(query.clone()).await, ("p3 p2 p1 a1".to_owned(), None));
    let failed = vec![NotificationState::Failed, NotificationState::Sent];
    assert_eq!(of(NotificationQuery { states: failed, ..query.clone() }).await, "p1 a1");
    assert_eq!(of(NotificationQuery { kinds: vec!["announcement", "update"], ..query.clone() }).await, "a1");
    assert_eq!(of(NotificationQuery { receiver: Some("ops".to_owned()), ..query.clone() }).await, "p3");
    assert_eq!(of(NotificationQuery { incident: Some(IncidentId(1)), ..query.clone() }).await, "p3 p1");
    assert_eq!(of(NotificationQuery { since: Some(at(2)), until: Some(at(4)), ..query.clone() }).await, "p2 p1");
    let (first, next) = keys(NotificationQuery { limit: 3, ..query.clone() }).await;
    assert_eq!(first, "p3 p2 p1");
    assert_eq!(keys(NotificationQuery { before: next, limit: 3, ..query.clone() }).await, ("a1".to_owned(), None));
    assert_eq!(keys(NotificationQuery { limit: 4, ..query }).await.1, None, "a full page that is the last");

    let one = |key: &str| store.notification(NotificationKey(key.into()));
    assert_eq!(one("p3/resend1").await.unwrap(), None);
    assert_eq!(one("p2").await.unwrap(), Some(page("p2", 2, 3)));
    let found = one("a1").await.unwrap().unwrap();
    assert_eq!(found.message.alerts[0].labels, alert(1).labels, "its alerts are filled in");
}

macro_rules! suite {
    ($($case:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $case() {
                super::$case(std::sync::Arc::new(super::MemoryStore::new())).await;
            })*
        }
        mod sqlite {
            $(#[tokio::test]
            async fn $case() {
                let folder = tempfile::tempdir().unwrap();
                let store = super::SqliteStore::open(folder.path()).await.unwrap();
                super::$case(std::sync::Arc::new(store)).await;
            })*
        }
    };
}

suite!(
    nothing_at_first,
    each_write_is_put_replaced_and_dropped,
    the_last_word_of_a_batch_counts,
    recent_pages_count_against_the_limit,
    a_large_batch_is_complete,
    incidents_come_in_pages,
    the_newest_lines_come_in_order,
    load_leaves_out_what_was_resolved_long_ago,
    alerts_that_ended_long_ago_are_loaded_with_their_open_incident_only,
    an_incident_whose_alert_still_fires_is_kept,
    old_rows_go_and_numbers_stay,
    retain_takes_a_little_at_a_time,
    the_outbox_comes_in_pages,
);

fn everything() -> Vec<Write> {
    vec![
        w(Write::Alert, alert(1)),
        w(Write::Incident, incident(41, IncidentStatus::Acknowledged, Severity::Critical)),
        w(Write::Member, member(41, 1)),
        w(Write::Timeline, entry(41, 7)),
        w(Write::Silence, silence("a")),
        w(Write::Notification, page("p1", 41, 1)),
        w(Write::Notification, announcement("a1", NotificationState::Pending, 1)),
        w(Write::Nflog, nflog("{}/{a=\"b\"}:{x=\"y\"}", 0)),
        w(Write::RuleAlert, rule_alert("g/a/1", 2, f64::NEG_INFINITY)),
    ]
}

#[tokio::test]
async fn sqlite_gives_the_same_after_it_was_opened_again() {
    let memory: SharedStore = Arc::new(MemoryStore::new());
    memory.commit(everything()).await.unwrap();
    let expected = told(&memory.load().await.unwrap());

    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path()).await.unwrap();
    let shared: SharedStore = Arc::new(store);
    shared.commit(everything()).await.unwrap();
    assert_eq!(told(&shared.load().await.unwrap()), expected);
    drop(shared);
    let store = SqliteStore::open(folder.path()).await.unwrap();
    assert_eq!(told(&watchfire::store::Store::load(&store).await.unwrap()), expected);
    store.close().await.unwrap();
    let refused = watchfire::store::Store::commit(&store, everything()).await;
    assert!(matches!(refused, Err(StoreError::Fatal(_))));
    drop(store);
    let store = SqliteStore::open(folder.path()).await.unwrap();
    assert_eq!(told(&watchfire::store::Store::load(&store).await.unwrap()), expected);
}

async fn check_refused(folder: &Path, words: &[&str]) {
    match SqliteStore::open(folder).await {
        Err(StoreError::Fatal(text)) => {
            let path = folder.display().to_string();
            assert!(text.contains(&path), "{text:?} does not name {path}");
            for word in words {
                assert!(text.contains(word), "{text:?} does not say {word:?}");
            }
        }
        other => panic!("{} gave {other:?}", folder.display()),
    }
}

#[tokio::test]
async fn sqlite_says_why_it_does_not_open() {
    let folder = tempfile::tempdir().unwrap();
    let a_file = folder.path().join("file");
    std::fs::write(&a_file, "x").unwrap();
    check_refused(&a_file, &["cannot be created"]).await;
    check_refused(Path::new("/proc/self"), &["cannot be"]).await;

    let garbage = folder.path().join("garbage");
    std::fs::create_dir(&garbage).unwrap();
    std::fs::write(garbage.join("watchfire.db"), "this is a letter, not a database. ".repeat(200)).unwrap();
    check_refused(&garbage, &["is not a database", "backup"]).await;

    let busy = folder.path().join("busy");
    let first = SqliteStore::open(&busy).await.unwrap();
    check_refused(&busy, &["in use by another watchfire process"]).await;
    first.close().await.unwrap();
    drop(first);

    let newer = folder.path().join("newer");
    SqliteStore::open(&newer).await.unwrap().close().await.unwrap();
    let database = format!("sqlite://{}", newer.join("watchfire.db").display());
    let mut conn = <sqlx::SqliteConnection as sqlx::Connection>::connect(&database).await.unwrap();
    let insert = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                  VALUES (9000, 'later', 1, x'00', 0)";
    sqlx::query(insert).execute(&mut conn).await.unwrap();
    sqlx::Connection::close(conn).await.unwrap();
    check_refused(&newer, &["newer watchfire", "9000", "backup"]).await;
}

/// Tells a process of the next test that it is the one to be killed, and where its folder is.
const CHILD_FOLDER: &str = "WATCHFIRE_TEST_STORE_CHILD";
const KILLS: u32 = 20;

/// What the killed process does: commits batches of numbered rows and says so after each.
async fn commit_until_killed(folder: &Path) {
    let store: SharedStore = Arc::new(SqliteStore::open(folder).await.unwrap());
    let mut n = store.load().await.unwrap().last_timeline_seq;
    loop {
        let size = 1 + n % 7;
        let rows = (n + 1..=n + size).flat_map(|i| [w(Write::Timeline, entry(1, i)), w(Write::Alert, alert(i))]);
        store.commit(rows.collect()).await.unwrap();
        n += size;
        eprintln!("committed {n}");
    }
}

#[tokio::test]
async fn sqlite_keeps_what_it_promised_when_it_is_killed() {
    // The test starts itself again as the process to be killed.
    if let Some(folder) = std::env::var_os(CHILD_FOLDER) {
        return commit_until_killed(Path::new(&folder)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut promised = 0;
    for round in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::sqlite_keeps_what_it_promised_when_it_is_killed", "--nocapture"])
            .env(CHILD_FOLDER, folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut heard = |line: std::io::Result<String>| {
            if let Some(n) = line.unwrap().strip_prefix("committed ") {
                promised = n.parse().unwrap();
            }
        };
        // Killed while the next commits run: after one more line each round, so that the points differ.
        lines.by_ref().take(1 + round as usize).for_each(&mut heard);
        child.kill().unwrap();
        child.wait().unwrap();
        lines.for_each(&mut heard);

        let store = SqliteStore::open(folder.path()).await.unwrap();
        let snapshot = watchfire::store::Store::load(&store).await.unwrap();
        let last = snapshot.last_timeline_seq;
        assert!(promised > 0 && last >= promised, "round {round}: promised {promised}, found {last}");
        assert_eq!(snapshot.alerts.len() as u64, last, "round {round}: a batch came in part");
        let first = watchfire::store::Store::timeline(&store, IncidentId(1), 10_000).await.unwrap();
        assert_eq!(first.len() as u64, last, "round {round}: a line is missing");
        store.close().await.unwrap();
    }
}
