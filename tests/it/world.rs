//! A small world for the engine: rules in a few words, alerts as the door would hand them on, and a store in memory.
//! In: settings text, transitions, outcomes. Out: engines that crash and come back from their writes.
//! Never: decides anything the engine should.
//! Start at [`Disk`] and [`settings`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use watchfire::alerts::RegistryConfig;
use watchfire::alerts::{InhibitRule, Route, RouteSpec};
use watchfire::engine::{Engine, Outcome, Restart, Settings, Snapshot};
use watchfire::escalation::{EscalationPolicy, EscalationStep, Rotation, Schedule, User};
use watchfire::incidents::CorrelationRule;
use watchfire::model::{
    AlertRecord, Door, EscalationTarget, Fingerprint, Incident, IncidentId, IntegrationId, IntegrationSpec, Labels,
    Lease, MatchOp, Matcher, Member, NflogEntry, NflogKey, Notification, NotificationKey, NotificationKind,
    NotificationState, ReceiverSpec, Severity, Silence, SourceKey, TimelineEntry, Timestamp, Transition,
    TransitionKind, Write,
};

/// What a store would hold after every commit so far.
#[derive(Clone, Default)]
pub struct Disk {
    pub alerts: BTreeMap<Fingerprint, AlertRecord>,
    pub incidents: BTreeMap<IncidentId, Incident>,
    pub members: BTreeMap<(IncidentId, Fingerprint), Member>,
    pub timeline: Vec<TimelineEntry>,
    pub silences: BTreeMap<Arc<str>, Silence>,
    pub nflog: BTreeMap<NflogKey, NflogEntry>,
    pub outbox: BTreeMap<NotificationKey, Notification>,
    pub last_moment: Option<Timestamp>,
}

impl Disk {
    pub fn commit(&mut self, outcome: &Outcome) {
        for write in &outcome.writes {
            match write {
                Write::Alert(a) => drop(self.alerts.insert(a.fingerprint, AlertRecord::clone(a))),
                Write::AlertDropped(fp) => drop(self.alerts.remove(fp)),
                Write::Incident(i) => drop(self.incidents.insert(i.id, Incident::clone(i))),
                Write::Member(m) => {
                    assert!(self.incidents.contains_key(&m.incident), "a member before its incident");
                    self.members.insert((m.incident, m.fingerprint), Member::clone(m));
                }
                Write::Timeline(t) => {
                    assert!(self.timeline.last().is_none_or(|last| last.seq < t.seq), "the journal counts up");
                    self.timeline.push(TimelineEntry::clone(t));
                }
                Write::Silence(s) => drop(self.silences.insert(s.id.clone(), Silence::clone(s))),
                Write::SilenceDropped(id) => drop(self.silences.remove(id)),
                Write::Notification(n) => {
                    let old = self.outbox.insert(n.key.clone(), Notification::clone(n));
                    assert!(old.is_none(), "WF-12: key {} used twice", n.key);
                }
                Write::NotificationState { key, state, attempts, sent_at, error, external_ref } => {
                    let row = self.outbox.get_mut(key).expect("the row was written before it moves");
                    (row.state, row.attempts, row.sent_at) = (*state, *attempts, *sent_at);
                    (row.error, row.external_ref) = (error.clone(), external_ref.clone());
                }
                Write::Nflog(e) => drop(self.nflog.insert(e.key.clone(), NflogEntry::clone(e))),
                Write::NflogDropped(key) => drop(self.nflog.remove(key)),
                Write::RuleAlert(_) | Write::RuleAlertDropped { .. } => {}
                Write::Moment(at) => self.last_moment = Some(*at),
            }
        }
    }

    /// What is read back at start; all incidents are, which a store may bound.
    pub fn load(&self) -> Snapshot {
        let pending = |n: &&Notification| n.state == NotificationState::Pending;
        let last = self.last_moment.unwrap_or(Timestamp::EPOCH);
        let recent = |n: &&Notification| {
            matches!(n.kind, NotificationKind::Page { .. }) && n.created_at + Duration::from_mins(1) > last
        };
        let pages: BTreeSet<_> =
            self.outbox.values().filter(recent).map(|n| (n.created_at, n.receiver.clone(), n.incident())).collect();
        Snapshot {
            alerts: self.alerts.values().cloned().collect(),
            incidents: self.incidents.values().cloned().collect(),
            members: self.members.values().cloned().collect(),
            silences: self.silences.values().cloned().collect(),
            nflog: self.nflog.values().cloned().collect(),
            outbox: self.outbox.values().filter(pending).cloned().collect(),
            sent: Vec::new(),
            rule_alerts: Vec::new(),
            recent_pages: pages.into_iter().map(|(at, receiver, _)| (receiver, at)).collect(),
            last_incident: self.incidents.keys().map(|id| id.0).max().unwrap_or(0),
            last_timeline_seq: self.timeline.last().map_or(0, |t| t.seq),
            last_moment: self.last_moment,
        }
    }

    /// The process starts again from what was committed: the same restart as the program's.
    pub fn restart(&self, settings: Arc<Settings>, now: Timestamp) -> (Engine, Outcome, Vec<Arc<Notification>>) {
        let restart = Restart::new(settings, RegistryConfig::default(), self.load(), now);
        (restart.engine, restart.first, restart.resend)
    }
}

/// The door's part: records by fingerprint, as `alerts::AlertRegistry` hands them on.
#[derive(Clone, Default)]
pub struct DoorBook {
    pub records: BTreeMap<Fingerprint, Arc<AlertRecord>>,
    version: u64,
}

impl DoorBook {
    pub fn fire(&mut self, labels: &Labels, now: Timestamp) -> Transition {
        let fingerprint = Fingerprint::of(labels);
        let known = self.records.get(&fingerprint).filter(|r| r.is_firing());
        let kind = if known.is_some() { TransitionKind::Changed } else { TransitionKind::Started };
        let source = SourceKey { door: Door::AlertmanagerApi, sender: "".into(), claimant: "".into() };
        let starts_at = known.map_or(now, |r| r.starts_at);
        let lease = Lease { source, starts_at, ends_at: None, ends_by_timeout: false, updated_at: now };
        self.put(
            kind,
            AlertRecord {
                fingerprint,
                labels: labels.clone(),
                annotations: Labels::empty(),
                generator_url: "".into(),
                starts_at,
                ended_at: None,
                updated_at: now,
                leases: vec![lease],
            },
        )
    }

    pub fn end(&mut self, labels: &Labels, now: Timestamp) -> Option<Transition> {
        let known = self.records.get(&Fingerprint::of(labels)).filter(|r| r.is_firing())?;
        let mut record = AlertRecord::clone(known);
        (record.ended_at, record.updated_at) = (Some(now), now);
        Some(self.put(TransitionKind::Ended, record))
    }

    fn put(&mut self, kind: TransitionKind, record: AlertRecord) -> Transition {
        self.version += 1;
        let record = Arc::new(record);
        self.records.insert(record.fingerprint, record.clone());
        Transition { kind, record, version: self.version }
    }
}

/// `a=b c=d` as labels.
pub fn labels(text: &str) -> Labels {
    Labels::from_pairs(text.split_whitespace().filter_map(|p| p.split_once('=')))
}

fn matchers(text: &str) -> Vec<Matcher> {
    let one = |part: &str| {
        let (name, value) = part.split_once('=').expect("a matcher is name=value or name=~pattern");
        match value.strip_prefix('~') {
            Some(pattern) => Matcher::new(name, MatchOp::Regex, pattern).expect("the pattern compiles"),
            None => Matcher::equal(name, value),
        }
    };
    text.split(',').filter(|p| !p.is_empty()).map(one).collect()
}

fn span(text: &str) -> Duration {
    watchfire::model::duration::parse(text).unwrap_or_else(|| panic!("{text} is a duration"))
}

/// `receiver:first` or just `first`; `user:ana`; `schedule:primary`.
pub fn target(text: &str) -> EscalationTarget {
    match text.split_once(':') {
        Some(("user", name)) => EscalationTarget::User(name.into()),
        Some(("schedule", name)) => EscalationTarget::Schedule(name.into()),
        Some(("receiver", name)) => EscalationTarget::Receiver(name.into()),
        _ => EscalationTarget::Receiver(text.into()),
    }
}

fn receiver(name: &str, rest: &[&str]) -> ReceiverSpec {
    let ids = IntegrationId::numbered(rest.iter().copied().filter(|w| !w.starts_with('!')));
    let integration = |id: IntegrationId| IntegrationSpec {
        updates_in_place: &**id.kind() == "slack",
        id,
        send_resolved: !rest.contains(&"!send_resolved"),
        send_resolved_pages: !rest.contains(&"!send_resolved_pages"),
        max_alerts: 0,
    };
    ReceiverSpec { name: name.into(), integrations: ids.into_iter().map(integration).collect() }
}

/// The contract's configuration, then what the lines change:
///
/// - `route receiver=ops group_by=alertname,cluster group_wait=0s group_interval=1s repeat_interval=4h policy=default`
/// - `receiver NAME webhook email slack !send_resolved !send_resolved_pages` (slack updates in place)
/// - `policy NAME repeat=1 repeat_after=5m ack_timeout=1h page_again_at=critical fallback=boss | 0s first user:ana | 5s second`
/// - `user NAME receiver …`; `rule NAME MATCHERS by=cluster,service window=10m`; `inhibit SOURCE TARGET equal=cluster`
/// - `schedule NAME ZONE 13:30:00 2026-01-01 USER …` hands over daily
/// - `limit 10` or `limit none`; `no rules`; `hold 1h` after a resolve by hand; `drop NAME` takes a receiver away
pub fn settings(lines: &[&str]) -> Settings {
    let mut spec = RouteSpec {
        receiver: Some("ops".into()),
        escalation_policy: Some("default".into()),
        group_by: Some(vec!["alertname".into(), "cluster".into()]),
        group_wait: Some(Duration::ZERO),
        group_interval: Some(Duration::from_secs(1)),
        repeat_interval: Some(span("4h")),
        ..RouteSpec::default()
    };
    let receivers =
        vec![receiver("ops", &["webhook"]), receiver("first", &["webhook"]), receiver("second", &["email"])];
    let mut settings = Settings::new(Route::build(&spec).expect("the route holds"), receivers);
    settings.policies = vec![policy("default repeat=1 | 0s first | 5s second")];
    settings.correlation.rules = vec![CorrelationRule {
        name: "service".into(),
        matchers: matchers("service=~.+"),
        by: vec!["cluster".into(), "service".into()],
        window: span("10m"),
    }];
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        let option = |name: &str| words.iter().find_map(|w| w.strip_prefix(name)?.strip_prefix('='));
        match words[..] {
            ["route", ..] => {
                let time = |name, old: Option<Duration>| option(name).map(span).or(old);
                spec.group_wait = time("group_wait", spec.group_wait);
                spec.group_interval = time("group_interval", spec.group_interval);
                spec.repeat_interval = time("repeat_interval", spec.repeat_interval);
                if let Some(by) = option("group_by") {
                    spec.group_by = Some(by.split(',').filter(|b| !b.is_empty()).map(str::to_owned).collect());
                }
                spec.receiver = option("receiver").map(Into::into).or(spec.receiver.take());
                spec.escalation_policy = option("policy").map(Into::into).or(spec.escalation_policy.take());
                spec.escalation_policy = spec.escalation_policy.filter(|p| &**p != "none");
                settings.route = Route::build(&spec).expect("the route holds");
            }
            ["child", ref rest @ ..] => {
                let mut child = RouteSpec { matchers: matchers(rest[0]), ..RouteSpec::default() };
                child.receiver = option("receiver").map(Into::into);
                child.escalation_policy = option("policy").map(Into::into);
                child.continues = words.contains(&"continue");
                spec.routes.push(child);
                settings.route = Route::build(&spec).expect("the route holds");
            }
            ["receiver", name, ref rest @ ..] => {
                settings.receivers.retain(|r| &*r.name != name);
                settings.receivers.push(receiver(name, rest));
            }
            ["policy", name, ..] => {
                settings.policies.retain(|p| &*p.name != name);
                settings.policies.push(policy(line.trim_start_matches("policy ")));
            }
            ["user", name, ref rest @ ..] => {
                let receivers = rest.iter().map(|r| (*r).into()).collect();
                settings.users.push(User { name: name.into(), receivers });
            }
            ["schedule", name, zone, hand_over, start, ref users @ ..] => settings.schedules.push(Schedule {
                name: name.into(),
                time_zone: jiff::tz::TimeZone::get(zone).expect("the zone is known"),
                rotation: Rotation::Daily,
                hand_over: hand_over.parse().expect("a wall-clock time"),
                start: start.parse().expect("a day"),
                users: users.iter().map(|u| (*u).into()).collect(),
            }),
            ["rule", name, on, ..] => settings.correlation.rules.push(CorrelationRule {
                name: name.into(),
                matchers: matchers(on),
                by: option("by").unwrap_or("").split(',').map(Into::into).collect(),
                window: option("window").map_or(span("10m"), span),
            }),
            ["inhibit", source, target, ..] => settings.inhibit_rules.push(InhibitRule {
                name: None,
                source_matchers: matchers(source),
                target_matchers: matchers(target),
                equal: option("equal").into_iter().flat_map(|e| e.split(',')).map(Into::into).collect(),
            }),
            ["reopen", window] => settings.correlation.reopen_window = span(window),
            ["hold", time] => settings.resolve_hold = span(time),
            ["drop", name] => settings.receivers.retain(|r| &*r.name != name),
            ["limit", "none"] => settings.max_pages_per_minute = None,
            ["limit", n] => settings.max_pages_per_minute = Some(n.parse().expect("a number")),
            ["no", "rules"] => settings.correlation.rules.clear(),
            _ => panic!("no such setting: {line}"),
        }
    }
    settings
}

fn policy(text: &str) -> EscalationPolicy {
    let mut parts = text.split('|');
    let head: Vec<&str> = parts.next().unwrap_or("").split_whitespace().collect();
    let option = |name: &str| head.iter().find_map(|w| w.strip_prefix(name)?.strip_prefix('='));
    let steps = parts.map(|step| {
        let words: Vec<&str> = step.split_whitespace().collect();
        EscalationStep { after: span(words[0]), notify: words[1..].iter().map(|w| target(w)).collect() }
    });
    EscalationPolicy {
        name: head[0].into(),
        repeat: option("repeat").map_or(0, |r| r.parse().expect("a number")),
        repeat_after: option("repeat_after").map_or(span("5m"), span),
        ack_timeout: option("ack_timeout").map(span),
        page_again_at: match option("page_again_at") {
            Some("never") => None,
            Some(word) => Some(Severity::named(word).unwrap()),
            None => Some(Severity::Critical),
        },
        fallback: option("fallback").into_iter().flat_map(|f| f.split(',')).map(target).collect(),
        steps: steps.collect(),
    }
}
