//! What a sample costs on its way from a body into the head; each figure is per sample.
//! In: bodies of 2,000 samples of 100,000 series: 100 metrics, 8 to 12 labels, 345 bytes a sample in 1.0 and 39 on the wire,
//! as in the corpus by which other decoders were measured. Out: criterion's elements per second.
//! Never: measures HTTP or the log.
//! Start at [`ingest`].

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::rc::Rc;
use std::time::Duration;
use watchfire::ingest::append_body;
use watchfire::model::{Labels, Sample, Timestamp};
use watchfire::series::ha::HaTracker;
use watchfire::series::{Head, HeadConfig};
use watchfire::wire::remote_write::{Version, declared_length, decompress, encode};

const NOW_MS: i64 = 1_767_323_045_000;
const PER_BODY: usize = 2_000;
const BODIES: usize = 50;
/// How often the stream goes round before it starts anew with an empty head.
const ROUNDS: usize = 16;

/// Series of hosts and of containers take turns, so many at a time.
const RUN: usize = 512;
const DEVICES: [&str; 4] = ["nvme0n1", "nvme1n1", "eth0", "cali3f1d2ab9e01"];
const REGIONS: [&str; 3] = ["eu-central-1", "us-east-1", "ap-south-1"];
const APPS: [&str; 8] = [
    "checkout-api",
    "ledger-writer",
    "price-engine",
    "session-store",
    "mail-dispatcher",
    "web-frontend",
    "fraud-detector",
    "report-builder",
];

/// Digits of a name that nothing repeats, as Kubernetes makes them.
fn digits(n: usize) -> u64 {
    (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The fifty metrics of a host or of a container: what it is of, what is counted, and the unit.
fn metric(i: usize, is_host: bool) -> String {
    let (subjects, kinds) = if is_host {
        (["node_cpu", "node_disk", "node_network", "node_memory", "node_filesystem"], "total")
    } else {
        (
            ["container_cpu", "container_fs", "container_network", "http_request", "grpc_server_handling"],
            "seconds_total",
        )
    };
    let what = [
        "read_time",
        "writes_completed",
        "receive_errs",
        "io_now",
        "avail",
        "usage",
        "active",
        "free",
        "cached",
        "started",
    ];
    let unit = if i.is_multiple_of(2) { kinds } else { "bytes" };
    format!("{}_{}_{unit}", subjects[i % 5], what[i / 5 % 10])
}

/// A series of a fleet like the one of the load generator: 100 metrics, 8 to 12 labels, 10 on average, neighbours of one
/// target. A request of 2,000 has about 345 bytes a sample in 1.0, 39 on the wire.
fn labels(i: usize) -> Labels {
    let (is_host, i) = ((i / RUN).is_multiple_of(2), i / (2 * RUN) * RUN + i % RUN);
    // A series of four is told apart by its device alone.
    let (metric_at, target, device) = (i % 50, i / 50 / 4, i / 50 % 4);
    let own = metric_at % 5 >= 3;
    let target = if own { i / 50 } else { target };
    let region = REGIONS[target % 3];
    let name = metric(metric_at, is_host);
    let address = format!("10.{}.{}.{}", target % 7, target / 250, target % 250 + 1);
    let node = format!("ip-{}.{region}.compute.internal", address.replace('.', "-"));
    let app = APPS[target % 8];
    let mut pairs: Vec<(&str, String)> = vec![("__name__", name)];
    pairs.extend([("cluster", format!("prod-{region}")), ("environment", "prod".to_owned())]);
    if is_host {
        pairs.extend([
            ("availability_zone", format!("{region}{}", ["a", "b", "c"][target % 5 % 3])),
            ("instance", format!("{address}:9100")),
            ("job", "node-exporter".to_owned()),
            ("nodename", node),
            ("region", region.to_owned()),
            ("team", ["platform", "infrastructure", "storage"][target % 3].to_owned()),
        ]);
    } else {
        pairs.extend([
            ("container", app.to_owned()),
            ("image", format!("registry.example.internal/shop/{app}:v{}.{}.{}", target % 3, target % 20, target % 7)),
            ("instance", format!("{address}:10250")),
            ("job", "kubelet".to_owned()),
            ("namespace", ["shop", "payments", "data-platform"][target % 3].to_owned()),
            ("node", node),
            ("pod", format!("{app}-{:010x}-{:05x}", digits(target / 10) >> 24, digits(target) >> 44)),
        ]);
    }
    if !own {
        pairs.push(("device", DEVICES[device].to_owned()));
        if metric_at % 5 == 0 {
            pairs.extend([("mode", "softirq".to_owned()), ("cpu", device.to_string())]);
        }
    }
    Labels::from_pairs(pairs.iter().map(|(name, value)| (*name, value.as_str())))
}

/// Half are counters with a step of their own, half are gauges in thousandths.
fn value(n: usize, round: usize) -> f64 {
    if n.is_multiple_of(2) {
        return (digits(n) >> 32) as f64 + ((digits(n) % 1000 + 1) * round as u64) as f64;
    }
    let swing = 50.0 + 45.0 * ((n % 628) as f64 / 100.0 + round as f64 / 20.0).sin();
    (swing * 1000.0).round() / 1000.0
}

/// The body `i` of an endless stream that goes round all series every 15 s.
fn body(version: Version, labels: &[Labels], i: usize) -> (Vec<u8>, Timestamp) {
    let t = Timestamp::from_millis(NOW_MS + (i / BODIES) as i64 * 15_000);
    let chunk = labels.chunks(PER_BODY).nth(i % BODIES).expect("there are as many chunks as bodies");
    let sample =
        |(n, l): (usize, &Labels)| (l.clone(), vec![Sample { t, v: value(i % BODIES * PER_BODY + n, i / BODIES) }]);
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
        let per_sample = |bytes: usize| bytes as f64 / (BODIES * PER_BODY) as f64;
        let wire = first.iter().map(|(body, _)| body.len()).sum();
        let raw = first.iter().map(|(body, _)| declared_length(body).expect("our own body")).sum();
        eprintln!("{version}: {:.0} bytes a sample, {:.0} on the wire", per_sample(raw), per_sample(wire));
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
                append_body(version, body, &head, &ha, *t).expect("our own body");
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
                    black_box(append_body(version, body, head, &ha, *t).expect("our own body"));
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
                    black_box(append_body(version, body, &head, &ha, *t).expect("our own body"));
                });
                total.mul_f64(count as f64 / done as f64)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, ingest);
criterion_main!(benches);
