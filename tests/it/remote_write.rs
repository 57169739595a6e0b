//! Door A, through its front: what a sender may send, and what it hears.
//! In: the receiver cases as data, tables, and random bodies. Out: statuses, Written headers, samples in the head.
//! Never: a socket; the door is called as the router calls it.
//! Start at [`receiver_cases`].

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Frame;
use proptest::prelude::*;
use prost::Message;
use serde_json::Value;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Notify;
use watchfire::api::write::handle;
use watchfire::clock::ManualClock;
use watchfire::ingest::{RemoteWrite, RequestLimits, append_body, replay};
use watchfire::model::sample::{NORMAL_NAN_BITS, STALE_NAN_BITS};
use watchfire::model::{Labels, Matcher, Sample, SampleValue, Timestamp};
use watchfire::series::ha::HaTracker;
use watchfire::series::{Head, HeadConfig};
use watchfire::wal::{Wal, WalConfig};
use watchfire::wire::remote_write::proto::{v1, v2};
use watchfire::wire::remote_write::{Version, compress, encode};

/// 2026-01-02T03:04:05Z
const NOW_MS: i64 = 1_767_323_045_000;
const V1: &str = "application/x-protobuf";
const V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

struct Fixture {
    head: Arc<Head>,
    clock: Arc<ManualClock>,
    arrivals: Arc<Notify>,
    door: RemoteWrite,
}

fn fixture() -> Fixture {
    with_wal(None)
}

fn with_wal(wal: Option<Arc<Wal>>) -> Fixture {
    let head = Arc::new(Head::new(HeadConfig::default()));
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(NOW_MS)));
    let arrivals = Arc::new(Notify::new());
    let door = RemoteWrite::new(head.clone(), wal, Arc::default(), clock.clone(), arrivals.clone());
    Fixture { head, clock, arrivals, door }
}

/// What a sender hears.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    text: String,
    /// Samples, histograms, exemplars, if the headers are there.
    written: Option<[u64; 3]>,
    retry_after: bool,
}

async fn post(door: &RemoteWrite, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap());
    }
    let response = handle(door, &map, None, body.into()).await;
    let number = |kind: &str| {
        let value = response.headers().get(format!("x-prometheus-remote-write-{kind}-written"))?;
        value.to_str().unwrap().parse().ok()
    };
    let written = number("samples").map(|s: u64| [s, number("histograms").unwrap(), number("exemplars").unwrap()]);
    let (status, retry_after) = (response.status().as_u16(), response.headers().contains_key("retry-after"));
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    Answer { status, text: String::from_utf8(bytes.to_vec()).unwrap(), written, retry_after }
}

async fn post_v1(door: &RemoteWrite, request: &v1::WriteRequest) -> Answer {
    post(door, &[("content-type", V1), ("content-encoding", "snappy")], compress(&request.encode_to_vec())).await
}

async fn post_v2(door: &RemoteWrite, request: &v2::Request) -> Answer {
    post(door, &[("content-type", V2), ("content-encoding", "snappy")], compress(&request.encode_to_vec())).await
}

/// Builds 2.0 requests: label pairs are put into the symbol table in the order they come.
struct Build(v2::Request);

impl Build {
    fn new() -> Self {
        Self(v2::Request { symbols: vec![String::new()], timeseries: Vec::new() })
    }

    fn symbol(&mut self, text: &str) -> u32 {
        let place = self.0.symbols.iter().position(|s| s == text).unwrap_or_else(|| {
            self.0.symbols.push(text.to_owned());
            self.0.symbols.len() - 1
        });
        place as u32
    }

    fn series(mut self, labels: &[(&str, &str)], series: v2::TimeSeries) -> Self {
        let labels_refs = labels.iter().flat_map(|(n, v)| [self.symbol(n), self.symbol(v)]).collect();
        self.0.timeseries.push(v2::TimeSeries { labels_refs, ..series });
        self
    }
}

fn samples(list: &[(i64, f64)]) -> v2::TimeSeries {
    let samples =
        list.iter().map(|(t, value)| v2::Sample { value: *value, timestamp: *t, start_timestamp: 0 }).collect();
    v2::TimeSeries { samples, ..v2::TimeSeries::default() }
}

/// All samples of the head as label text, time and bits (of the sum for histograms), sorted.
fn held(head: &Head) -> Vec<(String, i64, u64)> {
    let mut out = Vec::new();
    for series in head.select(&[]) {
        let mut points = Vec::new();
        series.range(Timestamp::MIN, Timestamp::MAX, &mut points);
        for p in points {
            let bits = match p.v {
                SampleValue::Float(v) => v.to_bits(),
                SampleValue::Histogram(h) => h.sum.to_bits(),
            };
            out.push((series.labels().to_string(), p.t.as_millis(), bits));
        }
    }
    out.sort();
    out
}

// --- The receiver cases of the compliance suite, restated as data. ---

fn cases() -> Value {
    let path = match std::env::var("WATCHFIRE_CONFORMANCE") {
        Ok(dir) => format!("{dir}/compliance/remotewrite/receiver_cases.json"),
        Err(_) => concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/remote_write/receiver_cases.json").to_owned(),
    };
    serde_json::from_str(&std::fs::read_to_string(&path).expect(&path)).expect(&path)
}

fn spans(value: &Value) -> Vec<v2::BucketSpan> {
    let number = |v: &Value| v.as_i64().unwrap();
    let spans = value.as_array().into_iter().flatten();
    spans.map(|s| v2::BucketSpan { offset: number(&s[0]) as i32, length: number(&s[1]) as u32 }).collect()
}

fn deltas(value: &Value) -> Vec<i64> {
    value.as_array().into_iter().flatten().map(|v| v.as_i64().unwrap()).collect()
}

fn case_histogram(h: &Value) -> v2::Histogram {
    v2::Histogram {
        schema: h["schema"].as_i64().unwrap() as i32,
        count: Some(v2::histogram::Count::CountInt(h["count_int"].as_u64().unwrap())),
        sum: h["sum"].as_f64().unwrap(),
        zero_count: h["zero_count_int"].as_u64().map(v2::histogram::ZeroCount::ZeroCountInt),
        positive_spans: spans(&h["positive_spans"]),
        positive_deltas: deltas(&h["positive_deltas"]),
        negative_spans: spans(&h["negative_spans"]),
        negative_deltas: deltas(&h["negative_deltas"]),
        timestamp: NOW_MS,
        ..v2::Histogram::default()
    }
}

fn case_request(case: &Value) -> v2::Request {
    let one = || samples(&[(NOW_MS, 1.0)]);
    if let Some(h) = case.get("histogram") {
        let series = v2::TimeSeries { histograms: vec![case_histogram(h)], ..v2::TimeSeries::default() };
        return Build::new().series(&[("__name__", "h")], series).0;
    }
    if let Some(list) = case.get("series").and_then(Value::as_array) {
        return list
            .iter()
            .fold(Build::new(), |build, s| {
                let labels: Vec<(&str, &str)> =
                    s["labels"].as_object().unwrap().iter().map(|(n, v)| (n.as_str(), v.as_str().unwrap())).collect();
                let count = s["samples"].as_i64().unwrap();
                let exemplars = s["exemplars"].as_array().map_or(0, Vec::len);
                let exemplars =
                    (0..exemplars).map(|_| v2::Exemplar { value: 1.0, timestamp: NOW_MS, ..Default::default() });
                let series = samples(&(0..count).map(|i| (NOW_MS + i, 1.0)).collect::<Vec<_>>());
                build.series(&labels, v2::TimeSeries { exemplars: exemplars.collect(), ..series })
            })
            .0;
    }
    match case["name"].as_str().unwrap() {
        "fifty_series_with_metadata_and_exemplars" => {
            (0..50)
                .fold(Build::new(), |mut build, i| {
                    let help_ref = build.symbol("what it counts");
                    let name_ref = build.symbol("trace_id");
                    let exemplar =
                        v2::Exemplar { labels_refs: vec![name_ref, help_ref], value: 1.0, timestamp: NOW_MS };
                    let metadata = v2::Metadata { r#type: 1, help_ref, unit_ref: 0 };
                    let series = v2::TimeSeries { exemplars: vec![exemplar], metadata: Some(metadata), ..one() };
                    build.series(&[("__name__", &format!("metric_{i}_total")), ("job", "test")], series)
                })
                .0
        }
        "duplicate_label_name" => Build::new().series(&[("__name__", "m"), ("a", "1"), ("a", "2")], one()).0,
        "symbol_ref_out_of_range" => {
            let mut request = Build::new().series(&[("__name__", "m")], one()).0;
            request.timeseries[0].labels_refs[1] = 99;
            request
        }
        "out_of_order_sample" => {
            Build::new().series(&[("__name__", "m")], samples(&[(NOW_MS, 1.0), (NOW_MS - 3_600_000, 1.0)])).0
        }
        "timestamp_more_than_10min_ahead" => {
            Build::new().series(&[("__name__", "m")], samples(&[(NOW_MS + 600_001, 1.0)])).0
        }
        unknown => panic!("this case is not known here: {unknown}"),
    }
}

#[tokio::test]
async fn receiver_cases() {
    let cases = cases();
    let list = |key: &str| cases[key].as_array().unwrap().clone();
    let mut run = 0;
    for case in list("body_cases_v2") {
        let name = case["name"].as_str().unwrap();
        let door = fixture().door;
        let headers = [("content-type", V2), ("content-encoding", "snappy")];
        let answer = if name == "corrupt_first_byte" {
            let mut body =
                compress(&Build::new().series(&[("__name__", "m")], samples(&[(NOW_MS, 1.0)])).0.encode_to_vec());
            body[0] ^= 0xff;
            post(&door, &headers, body).await
        } else {
            post_v2(&door, &case_request(&case)).await
        };
        let expect = |kind: &str| case["written"][kind].as_u64().unwrap_or(0);
        let written = answer.written.unwrap_or_else(|| panic!("{name}: no Written headers"));
        if case["ok"].as_bool().unwrap() {
            assert_eq!((answer.status, answer.text.as_str()), (204, ""), "{name}");
            assert_eq!(written, [expect("samples"), expect("histograms"), expect("exemplars")], "{name}");
        } else {
            assert_eq!(u64::from(answer.status), case["status"].as_u64().unwrap_or(400), "{name}");
            let kept = u64::from(name == "out_of_order_sample");
            assert_eq!(written, [kept, 0, 0], "{name}");
            let part = case["body_contains"].as_str().unwrap_or("");
            assert!(!answer.text.is_empty() && answer.text.contains(part), "{name}: {}", answer.text);
        }
        run += 1;
    }
    for case in list("header_cases_v2_only_server") {
        let headers: Vec<(&str, &str)> =
            case[0].as_object().unwrap().iter().map(|(n, v)| (n.as_str(), v.as_str().unwrap())).collect();
        // We take 1.0 too, so that no header at all is a 1.0 request.
        let expect = match &case[1] {
            _ if headers.is_empty() => 204,
            Value::String(text) => text[..3].parse().unwrap(),
            number => number.as_u64().unwrap(),
        };
        let request = Build::new().series(&[("__name__", "m")], samples(&[(NOW_MS, 1.0)])).0;
        let answer = post(&fixture().door, &headers, compress(&request.encode_to_vec())).await;
        assert_eq!(u64::from(answer.status), expect, "{headers:?}");
        run += 1;
    }
    for case in list("rw1") {
        let mut body = encode(Version::V1, &[(Labels::from_pairs([("__name__", "m")]), vec![sample(0, 1.0)])]);
        let corrupt = case["name"].as_str() == Some("corrupt_v1");
        if corrupt {
            body[0] ^= 0xff;
        }
        let answer = post(&fixture().door, &[("content-type", V1), ("content-encoding", "snappy")], body).await;
        assert_eq!((answer.status == 204, answer.written), (case["ok"].as_bool().unwrap(), None), "{case}");
        assert_eq!(corrupt, !case["ok"].as_bool().unwrap());
        run += 1;
    }
    assert!(run >= 19, "only {run} cases were run");
}

fn sample(after_ms: i64, v: f64) -> Sample {
    Sample { t: Timestamp::from_millis(NOW_MS + after_ms), v }
}

// --- Our own table. ---

#[tokio::test]
async fn what_is_good_is_kept_and_what_is_bad_is_named() {
    let at = NOW_MS;
    let one = || samples(&[(at, 1.0)]);
    let check = async |request: v2::Request, status: u16, written: [u64; 3], part: &str| {
        let fixture = fixture();
        let answer = post_v2(&fixture.door, &request).await;
        assert_eq!((answer.status, answer.written), (status, Some(written)), "{request:?}: {}", answer.text);
        assert!(answer.text.contains(part), "{:?} has no {part:?}", answer.text);
        assert_eq!(fixture.head.sample_count() as u64, written[0] + written[1], "{request:?}");
    };
    let good = || Build::new().series(&[("__name__", "good")], one());
    check(v2::Request::default(), 204, [0; 3], "").await;
    check(good().0, 204, [1, 0, 0], "").await;
    check(good().series(&[("job", "x")], one()).0, 400, [1, 0, 0], "missing metric name: {job=\"x\"}").await;
    check(good().series(&[("__name__", "")], one()).0, 400, [1, 0, 0], "missing metric name").await;
    check(good().series(&[("__name__", "m"), ("", "x")], one()).0, 400, [1, 0, 0], "empty label name").await;
    check(good().series(&[("__name__", "m"), ("a", "")], one()).0, 204, [2, 0, 0], "").await;
    check(good().series(&[("z", "1"), ("__name__", "m"), ("a", "1")], one()).0, 204, [2, 0, 0], "").await;
    check(good().series(&[("z", "1"), ("__name__", "m"), ("z", "1")], one()).0, 400, [1, 0, 0], "duplicate").await;
    let nothing = v2::TimeSeries::default;
    check(good().series(&[("__name__", "m")], nothing()).0, 400, [1, 0, 0], "at least one").await;
    let histogram = v2::Histogram { timestamp: at, ..v2::Histogram::default() };
    let both = v2::TimeSeries { histograms: vec![histogram.clone()], ..one() };
    check(good().series(&[("__name__", "m")], both).0, 400, [1, 0, 0], "not both").await;
    let histograms = v2::TimeSeries { histograms: vec![histogram], ..nothing() };
    check(good().series(&[("__name__", "m")], histograms).0, 204, [1, 1, 0], "").await;
    let exemplar = v2::Exemplar { labels_refs: vec![77, 1], ..v2::Exemplar::default() };
    let bad_exemplar = v2::TimeSeries { exemplars: vec![exemplar, v2::Exemplar::default()], ..one() };
    check(good().series(&[("__name__", "m")], bad_exemplar).0, 400, [2, 0, 1], "outside of symbols table").await;
    let metadata = Some(v2::Metadata { r#type: 1, help_ref: 50, unit_ref: 0 });
    check(good().series(&[("__name__", "m")], v2::TimeSeries { metadata, ..one() }).0, 400, [1, 0, 0], "50").await;
    let two = samples(&[(at, 1.0), (at, 2.0), (at + 1, 3.0)]);
    check(Build::new().series(&[("__name__", "m")], two).0, 400, [2, 0, 0], "duplicate sample").await;
    // Several series with the same labels in one request are legal.
    check(good().series(&[("__name__", "good")], samples(&[(at + 1, 1.0)])).0, 204, [2, 0, 0], "").await;
    let mut odd = good().series(&[("__name__", "m")], one()).0;
    odd.timeseries[1].labels_refs.push(1);
    check(odd, 400, [1, 0, 0], "odd number").await;
    let mut first = good().0;
    first.symbols[0] = "x".to_owned();
    check(first, 400, [0; 3], "first symbol").await;
    let crowd = (0..100).fold(good(), |b, i| b.series(&[("i", &i.to_string())], one()));
    check(crowd.0, 400, [1, 0, 0], "and 80 more samples").await;
}

#[tokio::test]
async fn version_one_keeps_the_good_too() {
    let Fixture { head, door, .. } = fixture();
    let series = |labels: &[(&str, &str)], list: &[(i64, f64)]| v1::TimeSeries {
        labels: labels.iter().map(|(n, v)| v1::Label { name: (*n).into(), value: (*v).into() }).collect(),
        samples: list.iter().map(|(t, value)| v1::Sample { value: *value, timestamp: *t }).collect(),
        ..v1::TimeSeries::default()
    };
    let metadata = v1::MetricMetadata {
        r#type: 2,
        metric_family_name: "good".into(),
        help: "how good".into(),
        unit: String::new(),
    };
    let only_metadata = v1::WriteRequest { metadata: vec![metadata], ..Default::default() };
    assert_eq!(post_v1(&door, &only_metadata).await.status, 204);
    assert_eq!(
        head.metadata().lock().get("good").map(|m| (m.kind, m.help.to_string())),
        Some(("gauge", "how good".into()))
    );
    let good = series(&[("__name__", "good"), ("a", "1")], &[(NOW_MS, 1.0)]);
    for (bad, part) in [
        (series(&[("a", "1")], &[(NOW_MS, 1.0)]), "missing metric name"),
        (series(&[("__name__", "m"), ("a", "1"), ("a", "2")], &[(NOW_MS, 1.0)]), "duplicate label name \"a\""),
        (series(&[("__name__", "good"), ("a", "1")], &[(NOW_MS, 2.0)]), "duplicate sample for timestamp"),
        (series(&[("__name__", "m")], &[(NOW_MS + 700_000, 2.0)]), "ahead"),
    ] {
        let answer =
            post_v1(&door, &v1::WriteRequest { timeseries: vec![good.clone(), bad], ..Default::default() }).await;
        assert_eq!((answer.status, answer.written), (400, None), "{part}");
        assert!(answer.text.contains(part), "{:?} has no {part:?}", answer.text);
    }
    assert_eq!(held(&head), [(r#"{__name__="good", a="1"}"#.to_owned(), NOW_MS, 1.0_f64.to_bits())]);
    let text = held(&head)[0].0.clone();
    // Unsorted, with an empty value, and with labels behind the sample: the same series.
    let request = v1::WriteRequest {
        timeseries: vec![series(&[("a", "1"), ("b", ""), ("__name__", "good")], &[(NOW_MS + 1, 1.0)])],
        ..Default::default()
    };
    assert_eq!(post_v1(&door, &request).await.status, 204);
    let mut scattered = v1::WriteRequest {
        timeseries: vec![series(&[("__name__", "good")], &[(NOW_MS + 2, 1.0)])],
        ..Default::default()
    }
    .encode_to_vec();
    let label = series(&[("a", "1")], &[]).encode_to_vec();
    scattered[1] += label.len() as u8;
    scattered.extend(label);
    let answer = post(&door, &[("content-type", V1)], compress(&scattered)).await;
    assert_eq!(answer.status, 204, "{}", answer.text);
    assert_eq!(held(&head).iter().map(|h| h.0 == text).collect::<Vec<_>>(), [true; 3]);
}

#[tokio::test]
async fn the_bits_of_a_value_survive_both_versions() {
    for version in [Version::V1, Version::V2] {
        let Fixture { head, door, .. } = fixture();
        let bits = [STALE_NAN_BITS, NORMAL_NAN_BITS, f64::INFINITY.to_bits(), f64::MIN.to_bits(), 1, u64::MAX];
        let list = bits.iter().enumerate().map(|(i, b)| sample(i as i64, f64::from_bits(*b))).collect();
        let body = encode(version, &[(Labels::from_pairs([("__name__", "m")]), list)]);
        let answer = post(&door, &[("content-type", version.content_type())], body).await;
        assert_eq!(answer.status, 204, "{}", answer.text);
        assert_eq!(held(&head).iter().map(|h| h.2).collect::<Vec<_>>(), bits, "{version}");
        let stale = head.select(&[])[0].latest(Timestamp::MIN, Timestamp::from_millis(NOW_MS)).unwrap();
        assert!(stale.v.is_stale());
    }
}

#[tokio::test]
async fn bodies_that_are_no_bodies() {
    let door = fixture().door;
    let check = async |body: Vec<u8>, status: u16, part: &str| {
        let answer = post(&door, &[("content-type", V2)], body).await;
        assert_eq!((answer.status, answer.written), (status, Some([0; 3])), "{part}: {}", answer.text);
        assert!(answer.text.contains(part), "{:?} has no {part:?}", answer.text);
    };
    check(Vec::new(), 400, "empty").await;
    check(b"not snappy at all".to_vec(), 400, "snappy").await;
    check(compress(b"not protobuf"), 400, "malformed protobuf").await;
    // Declares 4 GiB, 33 MiB, and 31 MiB behind five bytes.
    check(vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0], 400, "snappy").await;
    check(vec![0x80, 0x80, 0x80, 0x11, 0], 400, "above the limit").await;
    check(vec![0x80, 0x80, 0x80, 0x0f, 0], 400, "more than").await;
    check(compress(&vec![0; 33 << 20]), 400, "above the limit").await;
    // A field that is longer than the message, deep inside.
    check(compress(&[0x2a, 0x04, 0x12, 0x7f, 0, 0]), 400, "malformed protobuf").await;
    let symbols: Vec<u8> = std::iter::repeat_n([0x22, 0x00], (1 << 20) + 1).flatten().collect();
    check(compress(&symbols), 400, "symbols").await;
    // Two bytes of a label, one of a reference or a bucket, would become many times as much in memory.
    let wrap = |tags: &[u8], inner: Vec<u8>| {
        tags.iter().fold(inner, |inner, tag| {
            let mut out = vec![*tag];
            prost::encoding::encode_varint(inner.len() as u64, &mut out);
            out.extend(inner);
            out
        })
    };
    check(compress(&wrap(&[0x0a, 0x2a], vec![0; 3_000])), 400, "more than 1024 labels").await;
    check(compress(&wrap(&[0x0a, 0x22, 0x2a], vec![0; 3_000])), 400, "more than 1024 labels").await;
    let named = Build::new().series(&[("__name__", "m")], v2::TimeSeries::default()).0;
    let huge = [vec![0x0a, 0x02, 0x01, 0x02], wrap(&[0x62, 0x1a], vec![0; 100_000])].concat();
    check(compress(&[named.encode_to_vec(), wrap(&[0x2a], huge)].concat()), 400, "bytes of buckets").await;
    assert_eq!(door.in_flight_bytes(), 0);
}

/// A body without end: the door must turn away after its limit, and not read on.
#[tokio::test]
async fn a_body_of_100_megabytes_is_not_read() {
    let door = fixture().door;
    let announced = post(&door, &[("content-length", "104857600")], endless().0).await;
    assert_eq!(announced.status, 413);
    let (body, pulled) = endless();
    let answer = post(&door, &[], body).await;
    assert_eq!(answer.status, 413);
    let pulled = pulled.load(std::sync::atomic::Ordering::SeqCst);
    assert!(pulled <= 33, "{pulled} MiB were read");
    assert_eq!(door.in_flight_bytes(), 0);
}

/// 100 chunks of a megabyte.
struct Chunks {
    left: usize,
    pulled: Arc<AtomicUsize>,
}

impl axum::body::HttpBody for Chunks {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.pulled.fetch_add(1, Ordering::SeqCst);
        let Some(left) = self.left.checked_sub(1) else { return Poll::Ready(None) };
        self.left = left;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![0; 1 << 20])))))
    }
}

/// The body, and how many chunks were asked for.
fn endless() -> (Body, Arc<AtomicUsize>) {
    let pulled = Arc::new(AtomicUsize::new(0));
    (Body::new(Chunks { left: 100, pulled: pulled.clone() }), pulled)
}

#[tokio::test]
async fn too_much_in_work_is_turned_away_and_not_kept() {
    let Fixture { head, clock, .. } = fixture();
    let body = encode(Version::V2, &[(Labels::from_pairs([("__name__", "m")]), vec![sample(0, 1.0)])]);
    let limits = RequestLimits { in_flight_bytes: 1024, ..RequestLimits::default() };
    let door = RemoteWrite::with_limits(head.clone(), None, Arc::default(), clock, Arc::default(), limits);
    let headers = [("content-type", V2)];
    assert_eq!(post(&door, &headers, body.clone()).await.status, 204);
    let long: Vec<Sample> = (1..2000).map(|i| sample(i, i as f64)).collect();
    let answer = post(&door, &headers, encode(Version::V2, &[(Labels::from_pairs([("__name__", "m")]), long)])).await;
    assert_eq!((answer.status, answer.retry_after, answer.written), (503, true, Some([0; 3])));
    assert_eq!((head.sample_count(), door.in_flight_bytes()), (1, 0));
    assert_eq!(post(&door, &headers, body).await.status, 204);
    let counted: Vec<_> = door.counters().requests().filter(|(_, _, n)| *n > 0).collect();
    assert_eq!(counted, [("2.0", 204, 2), ("2.0", 503, 1)]);
}

/// A body of which nothing comes.
struct Silent;

impl hyper::body::Body for Silent {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_given_up() {
    let Fixture { door, .. } = fixture();
    let headers = [("content-type", V1), ("content-length", "30000000")];
    let (answer, taken) = tokio::join!(post(&door, &headers, Body::new(Silent)), async { door.in_flight_bytes() });
    // What is only announced takes nothing from others.
    assert_eq!((answer.status, taken), (503, 0), "{}", answer.text);
}

#[tokio::test]
async fn configured_sizes_hold() {
    let Fixture { head, clock, .. } = fixture();
    let limits = RequestLimits { body_bytes: 500, decoded_bytes: 2000, ..RequestLimits::default() };
    let door = RemoteWrite::with_limits(head, None, Arc::default(), clock, Arc::default(), limits);
    let send = async |samples: i64, text: &str| {
        let list: Vec<Sample> = (0..samples).map(|i| sample(i, i as f64)).collect();
        let body = encode(Version::V1, &[(Labels::from_pairs([("__name__", "m"), ("text", text)]), list)]);
        (body.len(), post(&door, &[("content-type", V1)], body).await.status)
    };
    assert_eq!(send(1, "short").await.1, 204);
    assert_eq!(send(2, &"x".repeat(2_500)).await.1, 400);
    let (len, status) = send(1_000, "long").await;
    assert_eq!((len > 500, status), (true, 413));
}

#[tokio::test]
async fn a_large_message_is_taken_on_another_thread() {
    let Fixture { head, door, .. } = fixture();
    let labels = |i: i64| Labels::from_pairs([("__name__", "m".to_owned()), ("i", format!("{i:0>1500}"))]);
    let series: Vec<_> = (0..2_000).map(|i| (labels(i), vec![sample(0, 1.0)])).collect();
    let answer = post(&door, &[("content-type", V1)], encode(Version::V1, &series)).await;
    assert_eq!((answer.status, head.series_count()), (204, 2_000), "{}", answer.text);
}

#[tokio::test]
async fn watched_series_wake_the_evaluation() {
    let Fixture { head, door, arrivals, .. } = fixture();
    let watch = head.watch(&[Matcher::equal("__name__", "hot")]);
    let send = async |name: &str, after: i64| {
        let body = encode(Version::V1, &[(Labels::from_pairs([("__name__", name)]), vec![sample(after, 1.0)])]);
        assert_eq!(post(&door, &[], body).await.status, 204);
        let woken = tokio::time::timeout(Duration::ZERO, arrivals.notified()).await.is_ok();
        (woken, head.take_arrivals().len())
    };
    assert_eq!(send("cold", 0).await, (false, 0));
    assert_eq!(send("hot", 0).await, (true, 1));
    assert_eq!(send("hot", 1).await, (true, 1));
    assert_eq!(send("hot", 1).await, (false, 0));
    assert_eq!(watch.len(), 1);
}

#[tokio::test]
async fn one_replica_of_a_pair_is_heard() {
    for version in [Version::V1, Version::V2] {
        let Fixture { head, clock, door, .. } = fixture();
        let send = async |replica: &str, after: i64, v: f64| {
            clock.set(Timestamp::from_millis(NOW_MS + after));
            let labels =
                Labels::from_pairs([("__name__", "up"), ("cluster", "c"), ("__replica__", replica), ("job", "x")]);
            let body = encode(version, &[(labels, vec![sample(after, v)])]);
            post(&door, &[("content-type", version.content_type())], body).await.status
        };
        // Both send every 15 s; a goes silent after 30 s, b is heard from the first send that is 30 s later.
        for i in 0..3 {
            assert_eq!(send("a", i * 15_000, 1.0).await, 204);
            assert_eq!(send("b", i * 15_000 + 5_000, 2.0).await, 204);
        }
        for i in 3..7 {
            assert_eq!(send("b", i * 15_000 + 5_000, 2.0).await, 204);
        }
        let label = r#"{__name__="up", cluster="c", job="x"}"#.to_owned();
        let expect = [(0, 1.0), (15_000, 1.0), (30_000, 1.0), (65_000, 2.0), (80_000, 2.0), (95_000, 2.0)]
            .map(|(t, v): (i64, f64)| (label.clone(), NOW_MS + t, v.to_bits()));
        assert_eq!(held(&head), expect, "{version}");
        assert_eq!(door.counters().ha_dropped.load(Ordering::Relaxed), 4, "{version}");
    }
}

// --- The log. ---

#[tokio::test]
async fn a_restart_brings_every_accepted_sample_back() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Some(Arc::new(Wal::open(dir.path(), WalConfig::default(), NOW_MS).unwrap()));
    let mut expect = Vec::new();
    for round in 0..3_i64 {
        let Fixture { head, door, .. } = {
            let f = fixture();
            let restored = replay(dir.path(), &f.head, &HaTracker::default(), Timestamp::MIN).unwrap();
            assert_eq!(restored.samples, expect.len() as u64);
            let door = RemoteWrite::new(f.head.clone(), open(), Arc::default(), f.clock.clone(), f.arrivals.clone());
            Fixture { door, ..f }
        };
        assert_eq!(held(&head), expect);
        for i in 0..20 {
            let version = if i % 2 == 0 { Version::V1 } else { Version::V2 };
            let labels = Labels::from_pairs([("__name__", "m".to_owned()), ("i", format!("{}", i % 7))]);
            let body = encode(version, &[(labels, vec![sample(round * 1000 + i, i as f64)])]);
            assert_eq!(post(&door, &[("content-type", version.content_type())], body).await.status, 204);
        }
        let refused = encode(Version::V2, &[(Labels::from_pairs([("job", "x")]), vec![sample(0, 1.0)])]);
        assert_eq!(post(&door, &[("content-type", V2)], refused).await.status, 400);
        expect = held(&head);
    }
    assert_eq!(expect.len(), 60);
}

#[tokio::test]
async fn what_the_log_cannot_take_is_not_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let wal = Arc::new(Wal::open(dir.path(), WalConfig { segment_bytes: 1, ..WalConfig::default() }, NOW_MS).unwrap());
    let door = with_wal(Some(wal)).door;
    let send = async |after: i64| {
        let body = encode(Version::V2, &[(Labels::from_pairs([("__name__", "m")]), vec![sample(after, 1.0)])]);
        post(&door, &[("content-type", V2)], body).await
    };
    assert_eq!(send(0).await.status, 204);
    let taken = dir.path().join("00000002.wal");
    std::fs::create_dir(&taken).unwrap();
    let answer = send(1).await;
    assert_eq!((answer.status, answer.retry_after, answer.written), (503, true, Some([0; 3])), "{}", answer.text);
    std::fs::remove_dir(&taken).unwrap();
    // The second try of the same request is fine, though the head has the sample already.
    assert_eq!((send(1).await.status, send(2).await.written), (204, Some([1, 0, 0])));
    drop(door);
    let head = Head::default();
    assert_eq!(replay(dir.path(), &head, &HaTracker::default(), Timestamp::MIN).unwrap().samples, 3);
}

// --- Random bodies, with prost as the oracle. ---

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c]{1,3}", "[a-zé\\n \"]{1,12}", Just("x".repeat(200))]
}

fn any_bits() -> impl Strategy<Value = f64> {
    prop_oneof![any::<u64>().prop_map(f64::from_bits), (-5_i32..5).prop_map(f64::from)]
}

/// Labels and samples.
type AnySeries = (Vec<(String, String)>, Vec<(i64, f64)>);

/// Labels with a metric name, and samples in time order.
fn any_series() -> impl Strategy<Value = AnySeries> {
    let labels = proptest::collection::btree_map(text(), text(), 0..6);
    let samples = proptest::collection::vec((0_i64..500_000, any_bits()), 1..5);
    (text(), labels, samples, any::<bool>()).prop_map(|(name, labels, mut samples, reversed)| {
        samples.sort_by_key(|(t, _)| *t);
        let mut labels: Vec<_> = labels.into_iter().chain([("__name__".to_owned(), name)]).collect();
        labels.sort();
        if reversed {
            labels.reverse();
        }
        (labels, samples.into_iter().map(|(t, v)| (NOW_MS - 500_000 + t, v)).collect())
    })
}

fn request_v1(series: &[AnySeries]) -> v1::WriteRequest {
    let timeseries = series.iter().map(|(labels, samples)| v1::TimeSeries {
        labels: labels.iter().map(|(n, v)| v1::Label { name: n.clone(), value: v.clone() }).collect(),
        samples: samples.iter().map(|(t, value)| v1::Sample { value: *value, timestamp: *t }).collect(),
        exemplars: vec![v1::Exemplar::default(); samples.len() % 2],
        ..Default::default()
    });
    v1::WriteRequest { timeseries: timeseries.collect(), metadata: vec![v1::MetricMetadata::default()] }
}

fn request_v2(series: &[AnySeries]) -> v2::Request {
    series
        .iter()
        .fold(Build::new(), |build, (labels, list)| {
            let labels: Vec<(&str, &str)> = labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            build.series(&labels, samples(list))
        })
        .0
}

/// What the head must hold after the oracle's reading of both messages: the first value of a time wins.
fn expected(series: impl Iterator<Item = AnySeries>) -> Vec<(String, i64, u64)> {
    let mut all = BTreeMap::new();
    for (labels, samples) in series {
        let labels = Labels::from_pairs(labels).to_string();
        for (t, v) in samples {
            all.entry((labels.clone(), t)).or_insert(v.to_bits());
        }
    }
    all.into_iter().map(|((labels, t), bits)| (labels, t, bits)).collect()
}

fn read_v1(message: &[u8]) -> Vec<AnySeries> {
    let request = v1::WriteRequest::decode(message).unwrap();
    let series = request.timeseries.into_iter().map(|s| {
        let labels = s.labels.into_iter().map(|l| (l.name, l.value)).collect();
        (labels, s.samples.into_iter().map(|s| (s.timestamp, s.value)).collect())
    });
    series.collect()
}

fn read_v2(message: &[u8]) -> Vec<AnySeries> {
    let v2::Request { symbols, timeseries } = v2::Request::decode(message).unwrap();
    let text = |r: u32| symbols[r as usize].clone();
    let series = timeseries.into_iter().map(|s| {
        let labels = s.labels_refs.chunks(2).map(|pair| (text(pair[0]), text(pair[1]))).collect();
        (labels, s.samples.into_iter().map(|s| (s.timestamp, s.value)).collect())
    });
    series.collect()
}

proptest! {
    #[test]
    fn valid_requests_are_read_as_prost_reads_them(series in proptest::collection::vec(any_series(), 1..12)) {
        let (one, two) = (request_v1(&series).encode_to_vec(), request_v2(&series).encode_to_vec());
        for (version, message, oracle) in [(Version::V1, &one, read_v1(&one)), (Version::V2, &two, read_v2(&two))] {
            let (head, ha, now) = (Head::default(), HaTracker::default(), Timestamp::from_millis(NOW_MS));
            let body = compress(message);
            // Twice: the first time every series is new, the second time each is known by its bytes.
            for _ in 0..2 {
                let report = append_body(version, &body, &head, &ha, now).unwrap();
                prop_assert_eq!(report.malformed, None);
                let total: usize = oracle.iter().map(|(_, samples)| samples.len()).sum();
                prop_assert_eq!(report.samples + report.bad, total as u64);
                prop_assert_eq!(held(&head), expected(oracle.iter().cloned()));
            }
        }
    }

    #[test]
    fn no_body_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        hostile(&bytes);
        hostile(&compress(&bytes));
    }

    /// A valid request with some bytes changed, cut, or repeated: the visitors meet every kind of damage.
    #[test]
    fn no_damage_panics(
        series in proptest::collection::vec(any_series(), 1..4),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        repeat in any::<bool>(),
    ) {
        for mut message in [request_v1(&series).encode_to_vec(), request_v2(&series).encode_to_vec()] {
            for (place, byte) in &changes {
                let place = place.index(message.len());
                message[place] = *byte;
            }
            hostile(&compress(&message));
            if repeat {
                message.extend_from_within(..cut.index(message.len()));
            } else {
                message.truncate(cut.index(message.len()));
            }
            hostile(&compress(&message));
            hostile(&message);
        }
    }
}

/// Both decoders, twice on one head, so that known series are met too. Whatever comes, the head stays within the request.
fn hostile(body: &[u8]) {
    for version in [Version::V1, Version::V2] {
        let (head, ha) = (Head::default(), HaTracker::default());
        for _ in 0..2 {
            if let Ok(report) = append_body(version, body, &head, &ha, Timestamp::from_millis(NOW_MS)) {
                assert!(report.complaints.len() <= 20);
                assert!(head.sample_count() as u64 <= report.samples + report.histograms);
            }
        }
        assert!(head.sample_count() <= body.len() * 64);
    }
}

/// How far ahead samples are taken is configured; whoever is off is named in the answer and among the senders.
#[tokio::test]
async fn samples_from_the_future_name_their_sender() {
    let head = Arc::new(Head::new(HeadConfig { future_limit: Duration::from_secs(60), ..HeadConfig::default() }));
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(NOW_MS)));
    let door = RemoteWrite::new(head.clone(), None, Arc::default(), clock, Arc::default());
    let post = async |from: [u8; 4], after_ms: i64| {
        let labels = Labels::from_pairs([("__name__", "m"), ("from", &from[3].to_string())]);
        let body = encode(Version::V1, &[(labels, vec![sample(after_ms, 1.0)])]);
        let mut headers = HeaderMap::new();
        headers.insert("content-type", V1.parse().unwrap());
        headers.insert("content-encoding", "snappy".parse().unwrap());
        let response = handle(&door, &headers, Some(from.into()), body.into()).await;
        let status = response.status().as_u16();
        let text = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(text.to_vec()).unwrap())
    };
    assert_eq!(post([10, 0, 0, 1], 0).await.0, 204);
    assert_eq!(post([10, 0, 0, 2], 59_000).await.0, 204);
    // A series that is known takes another way than a new one.
    for _ in 0..2 {
        let (status, text) = post([10, 0, 0, 3], 61_000).await;
        assert_eq!(status, 400);
        assert!(text.contains("ingest.future_limit") && text.contains("sender 10.0.0.3"), "{text}");
    }
    assert_eq!(post([10, 0, 0, 1], 62_000).await.0, 400);
    assert_eq!(held(&head).len(), 2);
    let rejected = door.counters().rejected().find(|(reason, _)| *reason == "too_far_ahead");
    assert_eq!(rejected, Some(("too_far_ahead", 3)));
    let offsets = door.senders().offsets(Timestamp::from_millis(NOW_MS)).into_iter();
    let offsets: Vec<String> = offsets.map(|o| format!("{} {} {}", o.sender, o.offset_ms, o.is_off)).collect();
    assert_eq!(offsets, ["10.0.0.1 62000 true", "10.0.0.2 59000 true", "10.0.0.3 61000 true"]);
}
