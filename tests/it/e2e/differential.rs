//! The language against a real Prometheus: both are fed the same remote-write bodies and asked the same questions.
//! In: random series and expressions. Out: the same values (relative 1e-9), or the expression and seed that differ.
//! Never: asks what the two answer differently on purpose: ties, hashes, and what is newer than the peer.
//! Start at [`ten_thousand_expressions_give_the_same`].

use super::expressions::{Question, question};
use super::process::{Process, eventually, free_port, peer};
use crate::support::watchfire::{Watchfire, folder};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use watchfire::model::sample::stale_marker;
use watchfire::wire::remote_write::{compress, proto::v1};

/// Questions in one run.
const CASES: usize = 10_000;
/// Each set of series is asked so many.
const PER_WORLD: usize = 500;
/// How many answers are waited for at the same time.
const AT_ONCE: usize = 8;
/// Seeds that once failed are asked again in each run.
const KEPT_SEEDS: &[u64] = &[
    1,
    2,
    226_353_833,
    7_302_277,
    7_302_279,
    7_302_284,
    7_302_286,
    592_795_961,
    302_905_485,
    63_482_157,
    63_482_160,
    3_000_006,
    3_000_009,
    4_000_005,
    4_000_009,
];
/// Where a run goes on from, unless `WATCHFIRE_SEED` names another: a check that anybody can repeat.
const FIRST_SEED: u64 = 20_261_123;
/// How many differences a run prints before it gives up.
const TOLD_MAX: usize = 25;

/// What the peer's successors say more often: they know more of reset hints.
const NEWER_NOTES: &[&str] = &["conflicting counter resets", "this native histogram metric is not a"];

const SECOND: i64 = 1000;
/// The samples of a world span so much time up to now.
const SPAN_MS: i64 = 12 * 60 * SECOND;

fn runner(seed: u64) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// One value, as proptest draws it.
pub fn draw<S: Strategy>(runner: &mut TestRunner, strategy: S) -> S::Value {
    strategy.new_tree(runner).unwrap().current()
}

/// Both programs, one of them with data of this world only.
struct Both {
    ours: Watchfire,
    theirs: String,
    _prometheus: Process,
    _dir: tempfile::TempDir,
    client: reqwest::Client,
}

impl Both {
    async fn start() -> Self {
        let flags = &["--enable-feature=promql-experimental-functions"];
        let ours = Watchfire::start_flagged(folder("evaluation: { interval: 1m }\n"), flags).await;
        let dir = tempfile::TempDir::new().unwrap();
        std::fs::write(dir.path().join("prometheus.yml"), "global: { evaluation_interval: 1m }\n").unwrap();
        let port = free_port();
        let features =
            "promql-experimental-functions,promql-duration-expr,promql-delayed-name-removal,native-histograms";
        let arguments = [
            "--config.file=prometheus.yml".to_owned(),
            "--storage.tsdb.path=data".to_owned(),
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--web.enable-remote-write-receiver".to_owned(),
            format!("--enable-feature={features}"),
        ];
        let prometheus = Process::start("prometheus", &peer("prometheus"), &arguments, dir.path());
        let (theirs, client) = (format!("http://127.0.0.1:{port}"), reqwest::Client::new());
        eventually(Duration::from_secs(60), "Prometheus is ready", || async {
            match client.get(format!("{theirs}/-/ready")).send().await {
                Ok(answer) if answer.status().is_success() => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        Self { ours, theirs, _prometheus: prometheus, _dir: dir, client }
    }

    async fn write(&self, request: &v1::WriteRequest) {
        let body = compress(&prost::Message::encode_to_vec(request));
        let post = |request: reqwest::RequestBuilder| {
            request
                .header("content-type", "application/x-protobuf")
                .header("content-encoding", "snappy")
                .header("x-prometheus-remote-write-version", "0.1.0")
                .body(body.clone())
        };
        let ours = self.ours.send(post(self.ours.request(reqwest::Method::POST, "/api/v1/write"))).await;
        assert!(ours.status < 300, "{} {}", ours.status, ours.text);
        let theirs = post(self.client.post(format!("{}/api/v1/write", self.theirs))).send().await.unwrap();
        let status = theirs.status();
        assert!(status.is_success(), "{status} {}", theirs.text().await.unwrap());
    }

    /// Whether the peer answers each step of a range when it is asked that time alone.
    async fn each_step_succeeds(&self, range: &Question) -> bool {
        let Question::Range { expr, start_ms, end_ms, step_ms } = range else { return false };
        for time_ms in (*start_ms..=*end_ms).step_by(usize::try_from(*step_ms).unwrap()) {
            let (path, form) = Question::Instant { expr: expr.clone(), time_ms }.request();
            let answer = self.client.post(format!("{}{path}", self.theirs)).form(&form).send().await.unwrap();
            if !answer.status().is_success() {
                return false;
            }
        }
        true
    }

    /// `None` when the answers are the same.
    async fn difference(&self, question: &Question) -> Option<String> {
        let (path, form) = question.request();
        let ours = self.ours.send(self.ours.request(reqwest::Method::POST, path).form(&form)).await;
        let theirs = self.client.post(format!("{}{path}", self.theirs)).form(&form).send().await.unwrap();
        let theirs: Value = serde_json::from_str(&theirs.text().await.unwrap()).unwrap();
        // Over a range the peer walks a sub-query's steps between the windows too, and notes what nobody asked for.
        let has_subquery =
            |text: &str| text.split('[').skip(1).any(|rest| rest.split(']').next().unwrap().contains(':'));
        let has_same_notes = path != "/api/v1/query_range" || !form.iter().any(|(_, text)| has_subquery(text));
        // One of those steps may fail, too: then each step of the range, asked alone, succeeds.
        let only_theirs_fails = theirs["errorType"] == "execution" && ours.json()["status"] == "success";
        if !has_same_notes && only_theirs_fails && self.each_step_succeeds(question).await {
            return None;
        }
        let why = differs(&ours.json(), &theirs, has_same_notes)?;
        Some(format!("{form:?}: {why}"))
    }
}

fn differs(ours: &Value, theirs: &Value, has_same_notes: bool) -> Option<String> {
    // Where series become equal at different steps when their names are dropped, the peer's successors join them.
    if ours["status"] == "success"
        && theirs["error"].as_str() == Some("vector cannot contain metrics with the same labelset")
    {
        return None;
    }
    if ours["status"] != theirs["status"] || ours["errorType"] != theirs["errorType"] {
        return Some(format!("{} instead of {}", cut(ours), cut(theirs)));
    }
    if ours["status"] == "error" {
        // Which of several failures is told depends on the order in which series come.
        let is_parse_error = theirs["error"].as_str().unwrap().contains("parse error");
        return (is_parse_error && ours["error"] != theirs["error"])
            .then(|| format!("{} {}", ours["error"], theirs["error"]));
    }
    for notes in ["warnings", "infos"] {
        if has_same_notes && sorted(&ours[notes]) != sorted(&theirs[notes]) {
            return Some(format!("{notes}: {} instead of {}", ours[notes], theirs[notes]));
        }
    }
    let (ours, theirs) = (&ours["data"], &theirs["data"]);
    if ours["resultType"] != theirs["resultType"] {
        return Some(format!("{} instead of {}", cut(ours), cut(theirs)));
    }
    if matches!(ours["resultType"].as_str(), Some("scalar" | "string")) {
        return (!same(&ours["result"], &theirs["result"]))
            .then(|| format!("{} instead of {}", cut(ours), cut(theirs)));
    }
    let (ours, theirs) = (by_metric(&ours["result"]), by_metric(&theirs["result"]));
    let keys = |all: &BTreeMap<String, &Value>| all.keys().cloned().collect::<Vec<_>>();
    if keys(&ours) != keys(&theirs) {
        return Some(format!("series {:?} instead of {:?}", keys(&ours), keys(&theirs)));
    }
    let other = ours.iter().find(|(key, value)| !same(value, theirs[*key]));
    other.map(|(key, value)| format!("{} instead of {}", cut(value), cut(theirs[key])))
}

fn cut(value: &Value) -> String {
    value.to_string().chars().take(1500).collect()
}

fn sorted(notes: &Value) -> Vec<String> {
    let mut all: Vec<String> = notes.as_array().into_iter().flatten().map(|n| n.as_str().unwrap().to_owned()).collect();
    all.sort();
    // Prometheus shows ten of a kind and counts the rest.
    all.retain(|note| !note.contains("more ") || !note.contains("annotation"));
    all.retain(|note| NEWER_NOTES.iter().all(|newer| !note.contains(newer)));
    all
}

fn by_metric(result: &Value) -> BTreeMap<String, &Value> {
    result.as_array().unwrap().iter().map(|series| (series["metric"].to_string(), series)).collect()
}

/// Equal, numbers in text as numbers.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (Value::String(a), Value::String(b)) => {
            a == b
                || match (a.parse::<f64>(), b.parse::<f64>()) {
                    (Ok(x), Ok(y)) => x == y || (x - y).abs() <= 1e-9 * x.abs().max(y.abs()),
                    _ => false,
                }
        }
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

fn label(name: &str, value: &str) -> v1::Label {
    v1::Label { name: name.to_owned(), value: value.to_owned() }
}

/// Series of all kinds over the last minutes: counters with resets, gauges with gaps and odd values, histograms.
fn world(runner: &mut TestRunner, number: usize, now_ms: i64) -> v1::WriteRequest {
    let mut timeseries = Vec::new();
    let world = number.to_string();
    for job in ["a", "b"] {
        for instance in ["1", "2", "3"] {
            let mut put = |name: &str, more: Option<(&str, &str)>, samples: Vec<v1::Sample>, histograms| {
                // The labels come sorted.
                let mut labels = vec![label("__name__", name), label("instance", instance), label("job", job)];
                labels.extend(more.map(|(name, value)| label(name, value)));
                labels.push(label("world", &world));
                labels.sort_by(|a, b| a.name.cmp(&b.name));
                timeseries.push(v1::TimeSeries { labels, samples, histograms, ..Default::default() });
            };
            let times = times(runner, now_ms);
            put("c_total", None, counter(runner, &times), vec![]);
            put("g", None, gauge(runner, &times), vec![]);
            put("g", Some(("mode", "x")), gauge(runner, &times), vec![]);
            let mut total = vec![0.0; times.len()];
            for le in ["0.1", "1", "10", "+Inf"] {
                let own = counter(runner, &times);
                let sum = |(total, sample): (&mut f64, &v1::Sample)| {
                    *total += sample.value;
                    v1::Sample { value: *total, timestamp: sample.timestamp }
                };
                put("h_bucket", Some(("le", le)), total.iter_mut().zip(&own).map(sum).collect(), vec![]);
            }
            put("n", None, vec![], native(runner, &times, false));
            put("custom", None, vec![], native(runner, &times, true));
        }
    }
    v1::WriteRequest { timeseries, metadata: Vec::new() }
}

fn times(runner: &mut TestRunner, now_ms: i64) -> Vec<i64> {
    let (mut t, mut out) = (now_ms - SPAN_MS + draw(runner, 0..15_000i64), Vec::new());
    while t < now_ms {
        out.push(t);
        let gap = draw(runner, 0..20u32);
        t += if gap == 0 { draw(runner, 60_000..400_000i64) } else { 15_000 + draw(runner, -20..20i64) };
    }
    out
}

fn counter(runner: &mut TestRunner, times: &[i64]) -> Vec<v1::Sample> {
    let mut v = f64::from(draw(runner, 0..50u32));
    let mut next = |t: &i64| {
        v = if draw(runner, 0..12u32) == 0 { 0.0 } else { v + f64::from(draw(runner, 0..30u32)) };
        v1::Sample { value: v, timestamp: *t }
    };
    times.iter().map(&mut next).collect()
}

fn gauge(runner: &mut TestRunner, times: &[i64]) -> Vec<v1::Sample> {
    let mut next = |t: &i64| {
        let value = match draw(runner, 0..60u32) {
            0 => f64::NAN,
            1 => f64::INFINITY,
            2 => stale_marker(),
            3 => 0.0,
            _ => draw(runner, -100.0..100.0f64),
        };
        v1::Sample { value, timestamp: *t }
    };
    times.iter().map(&mut next).collect()
}

fn native(runner: &mut TestRunner, times: &[i64], custom: bool) -> Vec<v1::Histogram> {
    // How far the rate of a young histogram reaches back is newer than the peer: these begin high and do not reset.
    let mut counts = [if custom { 0u32 } else { 1000 }; 4];
    let mut next = |t: &i64| {
        let reset = custom && draw(runner, 0..12u32) == 0;
        for count in &mut counts {
            *count = if reset { 0 } else { *count + draw(runner, 0..5u32) };
        }
        let buckets = counts.map(f64::from);
        let zero = if custom { 0.0 } else { f64::from(draw(runner, 0..1u32)) };
        v1::Histogram {
            count: Some(v1::histogram::Count::CountFloat(buckets.iter().sum::<f64>() + zero)),
            sum: buckets[0] + 2.5 * buckets[3],
            schema: if custom { -53 } else { 1 },
            zero_threshold: if custom { 0.0 } else { 0.001 },
            zero_count: (!custom).then_some(v1::histogram::ZeroCount::ZeroCountFloat(zero)),
            positive_spans: vec![v1::BucketSpan { offset: 0, length: 4 }],
            positive_counts: buckets.to_vec(),
            custom_values: if custom { vec![0.5, 1.0, 5.0] } else { vec![] },
            timestamp: *t,
            ..Default::default()
        }
    };
    times.iter().map(&mut next).collect()
}

/// Asks all questions of a world, several at the same time; the differences come back.
async fn ask(both: &Arc<Both>, questions: Vec<Question>) -> Vec<String> {
    let questions = Arc::new(questions);
    let mut askers = tokio::task::JoinSet::new();
    for asker in 0..AT_ONCE {
        let (both, questions) = (both.clone(), questions.clone());
        askers.spawn(async move {
            let mut differences = Vec::new();
            for question in questions.iter().skip(asker).step_by(AT_ONCE) {
                differences.extend(both.difference(question).await);
            }
            differences
        });
    }
    askers.join_all().await.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_expressions_give_the_same() {
    let both = Arc::new(Both::start().await);
    let fresh = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now_ms = i64::try_from(fresh.as_millis()).unwrap();
    let first =
        std::env::var("WATCHFIRE_SEED").map_or(FIRST_SEED, |text| text.parse().expect("WATCHFIRE_SEED is a number"));
    let seeds = KEPT_SEEDS.iter().copied().chain(first..);
    let (mut asked, mut told) = (0, 0);
    for (number, seed) in seeds.enumerate() {
        let mut runner = runner(seed);
        both.write(&world(&mut runner, number, now_ms)).await;
        let questions = (0..PER_WORLD).map(|_| question(&mut runner, number, now_ms, SPAN_MS)).collect();
        let differences = ask(&both, questions).await;
        asked += PER_WORLD;
        for difference in &differences {
            println!("seed {seed}: {difference}");
        }
        told += differences.len();
        if asked >= CASES || told >= TOLD_MAX {
            break;
        }
    }
    println!("{asked} expressions, {told} differ");
    assert_eq!(told, 0, "of {asked} expressions");
}
