//! What a sample costs on its way from a body into the head; each figure is per sample.
//! In: bodies like Prometheus' own, 2,000 samples each with about 20 labels. Out: criterion's elements per second.
//! Never: measures HTTP or the log.
//! Start at [`ingest`].

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use watchfire::api::write::ingest_body;
use watchfire::model::{Labels, Sample, Timestamp};
use watchfire::series::ha::HaTracker;
use watchfire::series::{Head, HeadConfig};
use watchfire::wire::remote_write::{Version, decompress, encode};

const NOW_MS: i64 = 1_767_323_045_000;
const PER_BODY: usize = 2_000;
const BODIES: usize = 50;

/// A container metric as kubelet and relabelling leave it: 20 labels, about 320 bytes.
fn labels(i: usize) -> Labels {
    let pod = format!("checkout-7d9f8b6c5d-{:05x}", i / 20);
    let metric = format!("container_network_receive_bytes_{}_total", i % 20);
    let node = format!("ip-10-2-{}-{}.eu-central-1.compute.internal", i / 5_000, i / 200 % 250);
    Labels::from_pairs([
        ("__name__", metric.as_str()),
        ("cluster", "prod-eu-1"),
        ("container", "checkout"),
        ("endpoint", "https-metrics"),
        ("id", "/kubepods/burstable"),
        ("image", "registry/checkout:v1.42"),
        ("instance", "10.2.3.4:10250"),
        ("interface", "eth0"),
        ("job", "kubelet"),
        ("metrics_path", "/metrics/cadvisor"),
        ("name", "k8s_checkout"),
        ("namespace", "shop"),
        ("node", node.as_str()),
        ("pod", pod.as_str()),
        ("prometheus", "monitoring/k8s"),
        ("region", "eu-central-1"),
        ("service", "kubelet"),
        ("team", "payments"),
        ("tier", "web"),
        ("zone", "eu-central-1a"),
    ])
}

/// The body `i` of an endless stream that goes round all series every 15 s.
fn body(version: Version, labels: &[Labels], i: usize) -> (Vec<u8>, Timestamp) {
    let t = Timestamp::from_millis(NOW_MS + (i / BODIES) as i64 * 15_000);
    let chunk = labels.chunks(PER_BODY).nth(i % BODIES).expect("there are as many chunks as bodies");
    let sample = |(n, l): (usize, &Labels)| (l.clone(), vec![Sample { t, v: (i / BODIES * 40 + n) as f64 }]);
    (encode(version, &chunk.iter().enumerate().map(sample).collect::<Vec<_>>()), t)
}

fn ingest(c: &mut Criterion) {
    let mut group = c.benchmark_group("ingest");
    group.throughput(Throughput::Elements(PER_BODY as u64));
    let labels: Vec<Labels> = (0..BODIES * PER_BODY).map(labels).collect();
    for version in [Version::V1, Version::V2] {
        let first: Vec<(Vec<u8>, Timestamp)> = (0..BODIES).map(|i| body(version, &labels, i)).collect();
        group.bench_function(BenchmarkId::new("snappy alone", version), |b| {
            let (mut buffer, mut i) = (Vec::new(), 0);
            b.iter(|| {
                i += 1;
                black_box(decompress(&first[i % BODIES].0, &mut buffer).map(<[u8]>::len))
            });
        });
        group.bench_function(BenchmarkId::new("100,000 known series", version), |b| {
            let (head, ha) = (Head::new(HeadConfig::default()), HaTracker::default());
            for (body, t) in &first {
                ingest_body(version, body, &head, &ha, *t).expect("our own body");
            }
            let mut i = BODIES;
            b.iter_batched(
                || {
                    i += 1;
                    body(version, &labels, i - 1)
                },
                |(body, t)| ingest_body(version, &body, &head, &ha, t).expect("our own body"),
                BatchSize::LargeInput,
            );
            let per_series = head.memory_bytes() / head.series_count();
            eprintln!(
                "{} samples in {} series, about {per_series} bytes a series",
                head.sample_count(),
                head.series_count()
            );
        });
        group.bench_function(BenchmarkId::new("new series", version), |b| {
            let ha = HaTracker::default();
            let mut i = 0;
            b.iter_batched_ref(
                || Head::new(HeadConfig::default()),
                |head| {
                    i += 1;
                    let (body, t) = &first[i % BODIES];
                    ingest_body(version, body, head, &ha, *t).expect("our own body")
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, ingest);
criterion_main!(benches);
