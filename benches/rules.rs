//! What rules cost: a slot of many rules over many series, and an arrival.
//! In: generated series and rules, 70 % per-series and 30 % joining. Out: times, and costs per unit on standard output.
//! Never: part of the tests.
//! Start at [`main`].

use criterion::{BatchSize, Criterion};
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};
use watchfire::model::{Labels, SampleValue, Timestamp};
use watchfire::rules::{RuleFile, RuleSet, RuleSetConfig, file};
use watchfire::series::{Head, HeadConfig};

const METRICS: usize = 20;
const STEP: Duration = Duration::from_secs(15);

fn series_labels(i: usize) -> Labels {
    let (metric, instance) = (i % METRICS, i / METRICS);
    let pairs = [
        ("__name__", format!("metric_{metric}_total")),
        ("instance", format!("10.0.{}.{}:9100", instance / 256, instance % 256)),
        ("job", format!("job-{}", instance % 10)),
        ("cluster", "eu-1".to_owned()),
    ];
    Labels::from_pairs(pairs)
}

/// A head with a quarter of an hour of samples.
fn head(series: usize) -> Head {
    let head = Head::new(HeadConfig::default());
    for i in 0..series {
        let labels = series_labels(i);
        for step in 0..60u32 {
            let value = f64::from(step) * (i % 7) as f64;
            head.append(&labels, Timestamp::EPOCH + STEP * step, SampleValue::Float(value)).expect("in order");
        }
    }
    head
}

fn rule_file(rules: usize) -> RuleFile {
    let mut text = String::from("groups:\n- name: bench\n  rules:\n");
    for i in 0..rules {
        let metric = format!("metric_{}_total", i % METRICS);
        let expr = match i % 10 {
            0..4 => format!("{metric} > {}", 1_000_000 + i),
            4..7 => format!("rate({metric}[5m]) > {}", 1_000 + i),
            7 | 8 => format!("sum by (job) (rate({metric}[5m])) > {}", 1_000_000 + i),
            _ => format!("{metric} / on (instance) metric_{}_total > {}", (i + 1) % METRICS, 1_000_000 + i),
        };
        let _ = writeln!(
            text,
            "  - {{alert: A{i}, expr: '{expr}', labels: {{severity: page}}, annotations: {{s: '{{{{ $value }}}}'}}}}"
        );
    }
    file::parse(&text, "bench.yml").expect("well formed")
}

fn rule_set(head: &Head, rules: usize) -> RuleSet {
    RuleSet::new(RuleSetConfig::default(), &[rule_file(rules)], head, Timestamp::EPOCH)
}

/// One measured run with figures per unit, beside criterion's statistics.
fn per_unit(rules: usize, series: usize) {
    let head = head(series);
    let mut set = rule_set(&head, rules);
    let at = Timestamp::EPOCH + STEP * 59;
    set.evaluate_all(at, &head, &[]);
    let began = Instant::now();
    let news = set.evaluate_all(at, &head, &[]);
    let took = began.elapsed();
    assert!(news.errors.is_empty());
    // Each rule reads a METRICS-th of the series, a vector match two of them.
    let read = rules as f64 * series as f64 / METRICS as f64;
    println!(
        "slot: {rules} rules x {series} series: {took:?}, {:.1} us per rule, {:.1} ns per rule and series read",
        took.as_secs_f64() * 1e6 / rules as f64,
        took.as_secs_f64() * 1e9 / read
    );
    head.take_arrivals();
    let at = at + STEP;
    for i in 0..series {
        head.append(&series_labels(i), at, SampleValue::Float(1.0)).expect("in order");
    }
    let arrived = head.take_arrivals();
    let began = Instant::now();
    set.evaluate_arrivals(&arrived, at, &head);
    let took = began.elapsed();
    println!(
        "arrivals: {} series, {rules} rules: {took:?}, {:.2} us per series",
        arrived.len(),
        took.as_secs_f64() * 1e6 / arrived.len().max(1) as f64
    );
}

fn main() {
    per_unit(100, 10_000);
    if std::env::args().any(|a| a == "--large") {
        per_unit(1_000, 100_000);
    }
    let mut criterion = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(3));
    let head = head(10_000);
    let at = Timestamp::EPOCH + STEP * 59;
    let mut set = rule_set(&head, 100);
    criterion
        .bench_function("slot, 100 rules x 10,000 series", |b| b.iter(|| black_box(set.evaluate_all(at, &head, &[]))));
    let one = head.select(&[watchfire::model::Matcher::equal("__name__", "metric_0_total")])[..1].to_vec();
    criterion.bench_function("arrival of one series, 5 rules look at it", |b| {
        b.iter_batched(|| one.clone(), |one| set.evaluate_arrivals(&one, at, &head), BatchSize::SmallInput);
    });
}
