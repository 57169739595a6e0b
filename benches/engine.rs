//! The engine under load: a storm of 100,000 alerts, and placing one alert among 10,000 open incidents.
//! In: synthetic alerts in the shape of a Kubernetes fleet. Out: time per alert.
//! Never: touches a disk or a socket; outcomes are dropped.
//! Start at [`storm`].

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::sync::Arc;
use std::time::Duration;
use watchfire::alerts::{Route, RouteSpec};
use watchfire::engine::{Engine, Input, Settings};
use watchfire::escalation::{EscalationPolicy, EscalationStep};
use watchfire::incidents::CorrelationRule;
use watchfire::model::EscalationTarget;
use watchfire::model::{
    AlertRecord, Door, Fingerprint, IntegrationId, IntegrationSpec, Labels, Lease, MatchOp, Matcher, ReceiverSpec,
    SourceKey, Timestamp, Transition, TransitionKind,
};

const STORM: usize = 100_000;
const START: Timestamp = Timestamp::from_millis(1_767_614_400_000);

/// One incident per value of `by`; an empty one leaves the default rule alone.
fn settings(by: &[&str]) -> Arc<Settings> {
    let spec = RouteSpec {
        receiver: Some("ops".into()),
        escalation_policy: Some("default".into()),
        group_by: Some(vec!["alertname".into(), "cluster".into()]),
        group_wait: Some(Duration::from_secs(1)),
        group_interval: Some(Duration::from_secs(5)),
        ..RouteSpec::default()
    };
    let integration = IntegrationSpec {
        id: IntegrationId::new("webhook", 0),
        send_resolved: true,
        send_resolved_pages: true,
        updates_in_place: false,
        max_alerts: 0,
    };
    let receiver = |name: &str| ReceiverSpec { name: name.into(), integrations: vec![integration.clone()] };
    let mut settings =
        Settings::new(Route::build(&spec).expect("the route holds"), vec![receiver("ops"), receiver("first")]);
    let notify = vec![EscalationTarget::Receiver("first".into())];
    settings.policies = vec![EscalationPolicy {
        name: "default".into(),
        steps: vec![EscalationStep { after: Duration::ZERO, notify }],
        repeat: 1,
        repeat_after: Duration::from_secs(300),
        ack_timeout: None,
        page_again_at: None,
        fallback: Vec::new(),
    }];
    if !by.is_empty() {
        settings.correlation.rules = vec![CorrelationRule {
            name: "by".into(),
            matchers: vec![Matcher::new("alertname", MatchOp::Regex, ".+").expect("the pattern compiles")],
            by: by.iter().map(|b| (*b).into()).collect(),
            window: Duration::from_secs(600),
        }];
    }
    Arc::new(settings)
}

fn transition(i: usize) -> Transition {
    let pick = |from: &[&str], h: usize| from[h % from.len()].to_owned();
    let labels = Labels::from_pairs([
        ("alertname", pick(&["PodCrashLooping", "LatencyHigh", "DiskFull", "EtcdMembersDown"], i)),
        ("severity", pick(&["warning", "warning", "critical"], i)),
        ("cluster", pick(&["prod-eu", "prod-us", "prod-ap"], i / 7)),
        ("environment", "production".to_owned()),
        ("namespace", pick(&["checkout", "payments", "catalog", "search"], i / 11)),
        ("pod", format!("pod-{i:06}")),
        ("instance", format!("10.{}.{}.{}:8080", i >> 16 & 255, i >> 8 & 255, i & 255)),
        ("job", "kube-state-metrics".to_owned()),
    ]);
    let source = SourceKey { door: Door::AlertmanagerApi, sender: "".into(), claimant: "".into() };
    let lease = Lease { source, starts_at: START, ends_at: None, ends_by_timeout: false, updated_at: START };
    let record = AlertRecord {
        fingerprint: Fingerprint::of(&labels),
        labels,
        annotations: Labels::from_pairs([("summary", "something is wrong here")]),
        generator_url: "http://prometheus.example/graph".into(),
        starts_at: START,
        ended_at: None,
        updated_at: START,
        leases: vec![lease],
    };
    Transition { kind: TransitionKind::Started, record: Arc::new(record), version: 1 }
}

/// The storm in posts of 64 over ten seconds.
fn run(settings: Arc<Settings>, alerts: &[Transition]) -> Engine {
    let mut engine = Engine::new(settings);
    let posts = alerts.len().div_ceil(64);
    for (i, post) in alerts.chunks(64).enumerate() {
        let now = START + Duration::from_millis((i * 10_000 / posts) as u64);
        std::hint::black_box(engine.apply(now, Input::Transitions(post.to_vec())));
    }
    engine
}

fn storm(c: &mut Criterion) {
    let alerts: Vec<Transition> = (0..STORM).map(transition).collect();
    let mut group = c.benchmark_group("engine/storm");
    group.throughput(Throughput::Elements(STORM as u64)).sample_size(10);
    for (name, by) in [("100k_alerts_default_rule", &[][..]), ("100k_alerts_100k_incidents", &["pod"][..])] {
        let settings = settings(by);
        group.bench_function(name, |b| {
            b.iter_batched(|| settings.clone(), |s| run(s, &alerts), BatchSize::PerIteration);
        });
    }
    group.finish();
}

fn correlate(c: &mut Criterion) {
    let alerts: Vec<Transition> = (0..10_000).map(transition).collect();
    let mut engine = run(settings(&["pod"]), &alerts);
    let mut group = c.benchmark_group("engine/correlate");
    group.throughput(Throughput::Elements(1));
    let mut i = STORM;
    group.bench_function("one_alert_10k_open", |b| {
        b.iter_batched(
            || {
                i += 1;
                vec![transition(i)]
            },
            |news| engine.apply(START + Duration::from_secs(11), Input::Transitions(news)),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("simulate_10k_open", |b| {
        let labels = transition(42).record.labels.clone();
        b.iter(|| std::hint::black_box(engine.simulate(&labels, START + Duration::from_secs(11))));
    });
    group.finish();
}

criterion_group!(benches, storm, correlate);
criterion_main!(benches);
