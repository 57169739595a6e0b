//! What the door costs: a new alert, and a refresh of a known one.
//! In: 10,000 alerts with ten labels. Out: time per alert.
//! Never: measures the commit behind it (the store's bench does).
//! Start at [`observe`].

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::sync::Arc;
use watchfire::alerts::{Book, BookConfig, Observed};
use watchfire::model::{Alert, Door, Labels, Timestamp};

const ALERTS: usize = 10_000;

fn alerts() -> Vec<Alert> {
    let one = |i: usize| {
        let pairs = (0..8).map(|l| (format!("label_{l}"), format!("value_{}", i % (l + 7))));
        let pairs = pairs.chain([("alertname".to_owned(), "High".to_owned()), ("instance".to_owned(), i.to_string())]);
        Alert {
            labels: Labels::from_pairs(pairs),
            annotations: Labels::from_pairs([("summary", "too high"), ("runbook", "https://example.org/high")]),
            generator_url: Arc::from("http://example.org/graph"),
            starts_at: Timestamp::from_millis(1),
            ends_at: Some(Timestamp::from_millis(300_000)),
            ends_by_timeout: false,
            door: Door::AlertmanagerApi,
            claimant: Arc::from(""),
        }
    };
    (0..ALERTS).map(one).collect()
}

fn take(book: &Book, alerts: Vec<Alert>) {
    for alert in alerts {
        if let Ok(Observed::Transition(t)) = book.observe(black_box(alert), Timestamp::from_millis(2)) {
            book.committed(t.record.fingerprint, t.version);
        }
    }
}

fn observe(c: &mut Criterion) {
    let alerts = alerts();
    let mut group = c.benchmark_group("book");
    group.throughput(Throughput::Elements(ALERTS as u64));
    group.bench_function("new", |b| {
        let fresh = || (Book::new(BookConfig::default()), alerts.clone());
        b.iter_batched(
            fresh,
            |(book, alerts)| {
                take(&book, alerts);
                book
            },
            BatchSize::LargeInput,
        );
    });
    group.bench_function("refresh", |b| {
        let book = Book::new(BookConfig::default());
        take(&book, alerts.clone());
        b.iter_batched(|| alerts.clone(), |alerts| take(&book, alerts), BatchSize::LargeInput);
    });
    group.finish();
}

criterion_group!(benches, observe);
criterion_main!(benches);
