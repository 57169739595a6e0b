//! What rules cost: cycles of 15 s in which every series gets a sample, arrivals and slots together.
//! In: generated series and rules, 70 % per-series and 30 % joining, none of which fires. Out: CPU seconds per cycle and
//! nanoseconds per rule and series, on standard output.
//! Never: part of the tests.
//! Start at [`cycles`].

#![allow(clippy::disallowed_methods)] // The latency bench paces its writer by the real clock.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};
use tokio_util::sync::CancellationToken;
use watchfire::clock::SystemClock;
use watchfire::loops::evaluate::{EvaluateLoop, RuleEngine, RuleSink, Taken};
use watchfire::model::{Labels, SampleValue, Timestamp};
use watchfire::rules::{Evaluation, RuleBody, RuleFile, RuleSet, RuleSetConfig, file};
use watchfire::series::{Head, HeadConfig, Series};

const STEP: Duration = Duration::from_secs(15);
/// Ten minutes of samples before the measured cycles.
const WARM_CYCLES: u32 = 40;
const MEASURED_CYCLES: u32 = 3;
/// Requests per cycle: the series of each instance come together, as a scrape does.
const BODIES: usize = 50;
const RULES: usize = 1_000;
const SERIES: usize = 100_000;

/// How series and rules are spread.
struct Shape {
    name: &'static str,
    metrics: usize,
    /// Rules 7 and 8 of ten are sums by job, rule 9 is the largest by job or a ratio of two metrics.
    ratio: bool,
    /// Whether per-series rules select one of two clusters, or everything.
    cluster: bool,
}

fn series_labels(shape: &Shape, i: usize) -> Labels {
    let (metric, instance) = (i % shape.metrics, i / shape.metrics);
    let pairs = [
        ("__name__", format!("metric_{metric}_total")),
        ("instance", format!("10.0.{}.{}:9100", instance / 256, instance % 256)),
        ("job", format!("job-{}", instance % 10)),
        ("cluster", format!("eu-{}", instance % 2)),
        ("namespace", "shop".to_owned()),
        ("pod", format!("checkout-7d9f8b6c5d-{instance:05x}")),
    ];
    Labels::from_pairs(pairs)
}

fn expression(shape: &Shape, metric: usize, n: usize) -> String {
    let m = format!("metric_{metric}_total");
    let cluster = if shape.cluster { "{cluster=\"eu-0\"}" } else { "" };
    match n % 10 {
        n @ 0..4 => format!("{m}{cluster} > {}", 1_000_000_000 + n),
        n @ 4..7 => format!("rate({m}{cluster}[5m]) > {}", 1_000_000 + n),
        n @ (7 | 8) => format!("sum by (job) (rate({m}[5m])) > {}", 1_000_000_000 + n),
        _ if shape.ratio => format!("{m} / on (instance) metric_{}_total > 1e9", (metric + 1) % shape.metrics),
        _ => format!("max by (job) ({m}) > 1000000000"),
    }
}

/// Ten groups, so that slots are spread as those of real files are.
fn rule_file(shape: &Shape) -> RuleFile {
    let mut text = String::from("groups:\n");
    for group in 0..10 {
        let _ = writeln!(text, "- name: group-{group}\n  interval: 15s\n  rules:");
        for i in (0..RULES).filter(|i| i / 10 % 10 == group) {
            let expr = expression(shape, i / 10 % shape.metrics, i);
            let _ = writeln!(
                text,
                "  - {{alert: A{i}, expr: '{expr}', for: 1m, labels: {{severity: page}}, annotations: {{s: '{{{{ $value }}}}'}}}}"
            );
        }
    }
    file::parse(&text, "bench.yml").expect("well formed")
}

/// CPU time of this thread, which a busy machine disturbs less than wall time; wall time where the kernel does not tell.
fn cpu_time(since: Instant) -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = stat.as_deref().and_then(|s| s.split(' ').next()).and_then(|n| n.parse().ok());
    nanos.map_or_else(|| since.elapsed(), Duration::from_nanos)
}

#[derive(Default)]
struct Spent {
    arrivals: Duration,
    slots: Duration,
    slot_longest: Duration,
    evaluations: u64,
}

/// Runs whole cycles: bodies come evenly, each is evaluated on arrival, and slots are kept in between.
fn cycles(shape: &Shape) {
    let head = Head::new(HeadConfig::default());
    let start = Timestamp::from_millis(1_767_323_000_000);
    let handles: Vec<_> = (0..SERIES)
        .map(|i| head.append(&series_labels(shape, i), start, SampleValue::Float(0.0)).expect("in order"))
        .collect();
    let mut set = RuleSet::new(RuleSetConfig::default(), &[rule_file(shape)], &head, start);
    let mut spent = Spent::default();
    let began = Instant::now();
    for cycle in 1..=WARM_CYCLES + MEASURED_CYCLES {
        let measured = cycle > WARM_CYCLES;
        for (n, body) in handles.chunks(SERIES / BODIES).enumerate() {
            let now = start + STEP * cycle + STEP / BODIES as u32 * n as u32;
            append(&head, body, now, cycle);
            let arrived = head.take_arrivals();
            if cycle < WARM_CYCLES {
                continue;
            }
            let before = cpu_time(began);
            let mut news = set.evaluate_arrivals(&arrived, now, &head);
            let between = cpu_time(began);
            let due = set.next_due().is_some_and(|due| due <= now);
            if due {
                news.append(set.evaluate(now, &head));
            }
            let slot = cpu_time(began).saturating_sub(between);
            if !measured {
                continue;
            }
            spent.arrivals += between.saturating_sub(before);
            spent.slots += slot;
            spent.slot_longest = spent.slot_longest.max(slot);
            spent.evaluations += count(&news);
        }
    }
    report(shape, &spent);
}

fn append(head: &Head, body: &[Arc<Series>], now: Timestamp, cycle: u32) {
    let mut batch = head.batch(now);
    for (k, series) in body.iter().enumerate() {
        // The hundred series of an instance carry its scrape's time.
        let t = now.as_millis() - 200 + (k / 100) as i64;
        let value = f64::from(cycle) * (40 + k % 7) as f64;
        batch.append(series, t, &SampleValue::Float(value)).expect("in order");
    }
}

fn count(news: &Evaluation) -> u64 {
    assert!(news.errors.is_empty() && news.alerts.is_empty(), "nothing is meant to fire: {:?}", news.errors);
    news.evaluations
}

fn report(shape: &Shape, spent: &Spent) {
    let per_cycle = |d: Duration| d.as_secs_f64() / f64::from(MEASURED_CYCLES);
    let (arrivals, slots) = (per_cycle(spent.arrivals), per_cycle(spent.slots));
    let per_metric = (SERIES / shape.metrics) as f64;
    let selected = if shape.cluster { per_metric / 2.0 } else { per_metric };
    let per_series = RULES as f64 * 0.7 * selected;
    let joining = RULES as f64 * (0.3 + if shape.ratio { 0.1 } else { 0.0 }) * per_metric;
    println!(
        "{}: {RULES} rules x {SERIES} series: {:.3} CPU-s per 15 s cycle (arrivals {arrivals:.3}, slots {slots:.3}, longest turn {:.1} ms)",
        shape.name,
        arrivals + slots,
        spent.slot_longest.as_secs_f64() * 1e3
    );
    println!(
        "  arrivals: {:.1} ns per rule and series ({per_series:.0} a cycle), {:.2} us per sample; \
         slots: {:.1} ns per rule and series ({:.0} a cycle); {} evaluations a cycle",
        arrivals * 1e9 / per_series,
        arrivals * 1e6 / SERIES as f64,
        slots * 1e9 / (per_series + joining),
        per_series + joining,
        spent.evaluations / u64::from(MEASURED_CYCLES)
    );
}

/// The real loop, fed by another thread at 100,000 samples a second: how long from an accepted sample to the alert in the
/// sink's hands.
fn latency(shape: &Shape) {
    const SECONDS: usize = 10;
    const BODY: usize = 2_000;
    let head = Arc::new(Head::new(HeadConfig::default()));
    let wall = || Timestamp::from_millis(UNIX_EPOCH.elapsed().map_or(0, |d| d.as_millis() as i64));
    let start = wall() - Duration::from_secs(60);
    let append = |i: usize| head.append(&series_labels(shape, i), start, SampleValue::Float(0.0)).expect("in order");
    let handles: Vec<_> = (0..SERIES).map(append).collect();
    let begun = Instant::now();
    let config = RuleSetConfig { stopwatch: Some(Arc::new(move || begun.elapsed())), ..RuleSetConfig::default() };
    let mut file = rule_file(shape);
    for rule in file.groups.iter_mut().flat_map(|g| &mut g.rules) {
        if let RuleBody::Alerting { for_, .. } = &mut rule.body {
            *for_ = Duration::ZERO;
        }
    }
    let set = RuleSet::new(config, &[file], &head, start);
    let engine = Arc::new(RuleEngine::new(set, head.clone()));
    let sink = Arc::new(Clocked { heard: Mutex::default(), begun });
    let stop = CancellationToken::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let looped = EvaluateLoop {
        engine: engine.clone(),
        sink: sink.clone(),
        clock: Arc::new(SystemClock),
        stop: stop.clone(),
        observe: Arc::new(|_, _| {}),
    };
    let stride = shape.metrics * 2;
    let writer = std::thread::spawn(move || {
        let mut accepted: HashMap<String, Duration> = HashMap::new();
        let began = Instant::now();
        for n in 0..SECONDS * SERIES / BODY {
            let due = Duration::from_secs_f64(n as f64 * BODY as f64 / SERIES as f64);
            std::thread::sleep(due.saturating_sub(began.elapsed()));
            let body = &handles[n % (SERIES / BODY) * BODY..][..BODY];
            let now = wall();
            let mut batch = head.batch(now);
            // One series of the first cluster in each body crosses its thresholds, and stays there.
            let crossing =
                body.iter().position(|s| s.labels().value("cluster") == "eu-0").unwrap_or(0) + n / 50 * stride;
            for (k, series) in body.iter().enumerate() {
                let v = if k == crossing { 2e9 } else { 1.0 };
                let _refused = batch.append(series, now.as_millis(), &SampleValue::Float(v));
            }
            drop(batch);
            let series = &body[crossing].labels();
            let key = format!("{} {}", series.metric_name(), series.value("instance"));
            accepted.entry(key).or_insert(begun.elapsed());
            engine.arrivals.notify_one();
        }
        std::thread::sleep(Duration::from_millis(200));
        stop.cancel();
        accepted
    });
    runtime.block_on(looped.run());
    let accepted = writer.join().expect("the writer ends");
    let heard = sink.heard.lock();
    let mut waits: Vec<f64> = accepted
        .iter()
        .filter_map(|(key, at)| heard.get(key).map(|heard| heard.saturating_sub(*at).as_secs_f64() * 1e3))
        .collect();
    waits.sort_by(f64::total_cmp);
    let place = |q: f64| waits.get(((waits.len() as f64 * q) as usize).min(waits.len().saturating_sub(1)));
    println!(
        "latency at {SERIES} samples/s: {} of {} alerts, p50 {:.2} ms, p99 {:.2} ms, longest {:.2} ms",
        waits.len(),
        accepted.len(),
        place(0.5).copied().unwrap_or(f64::NAN),
        place(0.99).copied().unwrap_or(f64::NAN),
        place(1.0).copied().unwrap_or(f64::NAN)
    );
}

/// Notes when it first heard of each series.
struct Clocked {
    heard: Mutex<HashMap<String, Duration>>,
    begun: Instant,
}

impl RuleSink for Clocked {
    fn submit<'a>(&'a self, news: &'a Evaluation) -> Pin<Box<dyn Future<Output = Taken> + Send + 'a>> {
        let now = self.begun.elapsed();
        let mut heard = self.heard.lock();
        for alert in &news.alerts {
            // Rules 0 to 3 of ten look at the level; their names tell the metric.
            let number: usize = alert.labels.alert_name()[1..].parse().unwrap_or(0);
            let key = format!("metric_{}_total {}", number / 10 % 100, alert.labels.value("instance"));
            heard.entry(key).or_insert(now);
        }
        Box::pin(std::future::ready(Taken::All))
    }
}

fn main() {
    latency(&Shape { name: "latency", metrics: 100, ratio: false, cluster: true });
    // The workload that the peers were measured with.
    cycles(&Shape { name: "100 metrics", metrics: 100, ratio: false, cluster: true });
    // Ten times as many pairs of rule and series, and vector matching.
    cycles(&Shape { name: "20 metrics", metrics: 20, ratio: true, cluster: false });
}
