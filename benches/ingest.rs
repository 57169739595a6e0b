//! What a sample costs on its way from a body into the head; each figure is per sample.
//! In: bodies like Prometheus' own, 2,000 samples each with about 20 labels. Out: criterion's elements per second.
//! Never: measures HTTP or the log.
//! Start at [`ingest`].

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::rc::Rc;
use std::time::Duration;
use watchfire::api::write::ingest_body;
use watchfire::model::{Labels, Sample, Timestamp};
use watchfire::series::ha::HaTracker;
use watchfire::series::{Head, HeadConfig};
use watchfire::wire::remote_write::{Version, decompress, encode};

const NOW_MS: i64 = 1_767_323_045_000;
const PER_BODY: usize = 2_000;
const BODIES: usize = 50;
/// How often the stream goes round before it starts anew with an empty head.
const ROUNDS: usize = 16;

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

/// CPU time of this thread, which a busy machine disturbs less than wall time.
fn cpu_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// The CPU time of `work` over `count` inputs, each of which is made outside of the measurement.
fn timed<I>(count: u64, mut input: impl FnMut() -> I, mut work: impl FnMut(&mut I)) -> Duration {
    let mut total = Duration::ZERO;
    for _ in 0..count {
        let mut made = input();
        let before = cpu_time();
        work(&mut made);
        total += cpu_time().saturating_sub(before);
    }
    total
}

fn ingest(c: &mut Criterion) {
    let mut group = c.benchmark_group("ingest");
    group.throughput(Throughput::Elements(PER_BODY as u64));
    let labels: Vec<Labels> = (0..BODIES * PER_BODY).map(labels).collect();
    for version in [Version::V1, Version::V2] {
        let first: Vec<(Vec<u8>, Timestamp)> = (0..BODIES).map(|i| body(version, &labels, i)).collect();
        let (mut buffer, mut i) = (Vec::new(), 0);
        group.bench_function(BenchmarkId::new("snappy alone", version), |b| {
            b.iter_custom(|count| {
                let work =
                    |i: &mut usize| drop(black_box(decompress(&first[*i % BODIES].0, &mut buffer).map(<[u8]>::len)));
                let next = || {
                    i += 1;
                    i
                };
                timed(count, next, work)
            });
        });
        // Made before, because building a body would leave nothing of the head in the caches.
        let later: Vec<_> = (BODIES..BODIES * ROUNDS).map(|i| body(version, &labels, i)).collect();
        let ha = HaTracker::default();
        let fill = || {
            let head = Head::new(HeadConfig::default());
            for (body, t) in &first {
                ingest_body(version, body, &head, &ha, *t).expect("our own body");
            }
            head
        };
        let (mut head, mut i) = (Rc::new(fill()), 0);
        group.bench_function(BenchmarkId::new("100,000 known series", version), |b| {
            b.iter_custom(|count| {
                let next = || {
                    if i == later.len() {
                        (head, i) = (Rc::new(fill()), 0);
                    }
                    i += 1;
                    (head.clone(), &later[i - 1])
                };
                timed(count, next, |(head, (body, t))| {
                    black_box(ingest_body(version, body, head, &ha, *t).expect("our own body"));
                })
            });
        });
        let per_series = head.memory_bytes() / head.series_count();
        eprintln!(
            "{} samples in {} series: about {per_series} bytes a series",
            head.sample_count(),
            head.series_count()
        );
        group.bench_function(BenchmarkId::new("new series", version), |b| {
            b.iter_custom(|count| {
                // One head for all: creating a series in an empty head is cheaper than it will be.
                let head = Head::new(HeadConfig::default());
                let mut i = 0;
                let next = || {
                    i += 1;
                    &first[(i - 1) % BODIES]
                };
                let done = count.min(BODIES as u64);
                let total = timed(done, next, |(body, t)| {
                    black_box(ingest_body(version, body, &head, &ha, *t).expect("our own body"));
                });
                total.mul_f64(count as f64 / done as f64)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, ingest);
criterion_main!(benches);
