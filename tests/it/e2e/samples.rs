//! No accepted sample is lost: not to `kill -9` under load, and not between a real Prometheus and us.
//! In: a Watchfire process that is killed again and again. Out: what it holds, compared with what senders were told.
//! Never: trusts a count; every sample is compared by series, time and value.
//! Start at [`killed_under_load_no_accepted_sample_is_lost`].

use super::lives::Lives;
use super::process::{Process, eventually, free_port, peer};
use super::world::{RW1, RW2, wait_ready};
use crate::support::watchfire::folder;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use watchfire::model::{Labels, Sample, Timestamp};
use watchfire::wire::remote_write::{Version, encode};

const CONFIG: &str = "route: { receiver: quiet }\nreceivers: [{ name: quiet, log_configs: [{}] }]\nrule_files: []\n";
/// Series in a body of the killed server's senders.
const SERIES: usize = 20;
const SENDERS: usize = 4;

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// A number from the environment, for runs that are longer than the usual one.
fn length(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().map_or(usual, |text| text.parse().unwrap())
}

/// Series by printed labels, each with its samples by time.
type Held = BTreeMap<String, BTreeMap<i64, String>>;

/// What an instant query of a range selector finds. A time that comes twice is a failure.
async fn held(client: &reqwest::Client, port: u16, selector: &str, at_ms: i64, drop: &[&str]) -> Held {
    let query = [("query", selector.to_owned()), ("time", format!("{}", at_ms as f64 / 1000.0))];
    let url = format!("http://127.0.0.1:{port}/api/v1/query");
    let answer: Value = client.get(url).query(&query).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["status"], "success", "{answer}");
    let mut out = Held::new();
    for series in answer["data"]["result"].as_array().unwrap() {
        let mut metric = series["metric"].as_object().unwrap().clone();
        metric.retain(|name, _| !drop.contains(&name.as_str()));
        let metric: BTreeMap<_, _> = metric.into_iter().collect();
        let samples = out.entry(serde_json::to_string(&metric).unwrap()).or_default();
        for value in series["values"].as_array().unwrap() {
            let t = (value[0].as_f64().unwrap() * 1000.0).round() as i64;
            let twice = samples.insert(t, value[1].as_str().unwrap().to_owned());
            assert_eq!(twice, None, "{t} comes twice in {metric:?}");
        }
    }
    out
}

/// Posts until the server has said 2xx once to everything before `stop`; a body that broke off is sent again, as senders do.
async fn send(client: reqwest::Client, port: u16, round: u64, sender: usize, stop: Arc<AtomicBool>) -> u64 {
    let start = now_ms() - 60_000;
    let version = if sender.is_multiple_of(2) { Version::V1 } else { Version::V2 };
    let mut accepted = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        let series: Vec<_> = (0..SERIES)
            .map(|i| {
                let texts = [format!("killed_{round}"), i.to_string(), sender.to_string()];
                let labels = Labels::from_pairs([("__name__", &texts[0]), ("i", &texts[1]), ("sender", &texts[2])]);
                let t = Timestamp::from_millis(start + accepted as i64);
                (labels, vec![Sample { t, v: (accepted * 7 + i as u64) as f64 }])
            })
            .collect();
        let request = client
            .post(format!("http://127.0.0.1:{port}/api/v1/write"))
            .header("Content-Encoding", "snappy")
            .header("Content-Type", version.content_type())
            .body(encode(version, &series));
        match request.send().await.map(|answer| answer.status().as_u16()) {
            Ok(204) => accepted += 1,
            Ok(503) | Err(_) => tokio::task::yield_now().await,
            Ok(other) => panic!("round {round}: {other}"),
        }
    }
    accepted
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_under_load_no_accepted_sample_is_lost() {
    let rounds = length("WATCHFIRE_KILLS", 20);
    let dir = folder(CONFIG);
    let mut lives = Lives::begin(dir.path()).await;
    let (client, port) = (lives.client.clone(), lives.port);
    let (mut total, mut clock) = (0, tokio::time::interval(Duration::from_millis(1)));
    for round in 0..rounds {
        let stop = Arc::new(AtomicBool::new(false));
        let senders: Vec<_> =
            (0..SENDERS).map(|sender| tokio::spawn(send(client.clone(), port, round, sender, stop.clone()))).collect();
        // At another moment each time: the low bits of the clock are as good as a die.
        let life = 5 + SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_micros() % 150;
        for _ in 0..life {
            clock.tick().await;
        }
        lives.kill();
        lives.start().await;
        stop.store(true, Ordering::Relaxed);
        let mut accepted = Vec::new();
        for sender in senders {
            accepted.push(sender.await.unwrap());
        }
        // What was in doubt when the senders stopped may be there: the body behind the last accepted one.
        let held = held(&client, port, &format!("killed_{round}[10m]"), now_ms(), &["__name__"]).await;
        for (sender, accepted) in accepted.iter().enumerate() {
            for i in 0..SERIES {
                let samples = held.get(&format!("{{\"i\":\"{i}\",\"sender\":\"{sender}\"}}"));
                let values: Vec<&String> = samples.map(|s| s.values().collect()).unwrap_or_default();
                let count = values.len() as u64;
                assert!(
                    count == *accepted || count == accepted + 1,
                    "round {round}, sender {sender}, series {i}: {accepted} accepted, {count} held"
                );
                let wrong = values.iter().enumerate().find(|(n, v)| ***v != (n * 7 + i).to_string());
                assert_eq!(wrong, None, "round {round}, sender {sender}, series {i}");
            }
            total += accepted * SERIES as u64;
        }
    }
    println!("{rounds} kills, {total} samples accepted, none lost, none twice");
    assert!(total > rounds * 50, "{total} samples are too few to show anything");
}

fn prometheus_config(prometheus: u16, watchfire: u16, message: &str) -> String {
    format!(
        "global: {{ scrape_interval: 1s, external_labels: {{ cluster: test }} }}\n\
         scrape_configs:\n  - job_name: self\n    static_configs: [{{ targets: ['127.0.0.1:{prometheus}'] }}]\n\
         remote_write:\n  - url: http://127.0.0.1:{watchfire}/api/v1/write\n    protobuf_message: {message}\n    \
         queue_config: {{ batch_send_deadline: 200ms, min_backoff: 30ms, max_backoff: 500ms }}\n"
    )
}

/// Counters of Prometheus that must stay at zero.
async fn failures(client: &reqwest::Client, prometheus: u16) -> f64 {
    let text = client.get(format!("http://127.0.0.1:{prometheus}/metrics")).send().await.unwrap().text().await.unwrap();
    let failed = ["prometheus_remote_storage_samples_failed_total", "prometheus_remote_storage_samples_dropped_total"];
    let lines = text.lines().filter(|l| failed.iter().any(|f| l.starts_with(f) && !l.contains("dropped_series")));
    lines.filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// Everything that Prometheus scraped of itself while Watchfire was killed and started is in Watchfire, to the bit.
async fn prometheus_with_restarts(message: &str) {
    let seconds = length("WATCHFIRE_SOAK_SECONDS", 45);
    let dir = folder(CONFIG);
    let prometheus_port = free_port();
    let mut lives = Lives::begin(dir.path()).await;
    let (client, watchfire_port) = (lives.client.clone(), lives.port);
    std::fs::write(dir.path().join("prometheus.yml"), prometheus_config(prometheus_port, watchfire_port, message))
        .unwrap();
    let arguments = [
        "--config.file=prometheus.yml".to_owned(),
        "--storage.tsdb.path=prom".to_owned(),
        format!("--web.listen-address=127.0.0.1:{prometheus_port}"),
    ];
    let prometheus = Process::start("prometheus", &peer("prometheus"), &arguments, dir.path());
    wait_ready(&client, &format!("http://127.0.0.1:{prometheus_port}/-/ready"), "Prometheus is ready").await;
    let restarts = kill_and_start(&mut lives, seconds).await;
    let until = now_ms();
    // Each by itself, so that an answer stays small; together all of Prometheus' own thousand series.
    let selector = format!("{{job=\"self\"}}[{}s]", seconds + 30);
    let at = move || until;
    let theirs = held(&client, prometheus_port, &selector, at(), &[]).await;
    let samples: usize = theirs.values().map(BTreeMap::len).sum();
    assert!(theirs.len() > 300 && samples > 300 * seconds as usize / 2, "{} series, {samples} samples", theirs.len());
    let ours = eventually(Duration::from_secs(60), "Watchfire holds all that Prometheus scraped", || async {
        let ours = held(&client, watchfire_port, &selector, at(), &["cluster"]).await;
        let missing = |(labels, theirs): (&String, &BTreeMap<i64, String>)| {
            let ours: BTreeSet<_> = ours.get(labels).into_iter().flatten().collect();
            let first = theirs.iter().find(|sample| !ours.contains(sample))?;
            Some(format!("{labels}: {first:?} of {}, ours {}", theirs.len(), ours.len()))
        };
        let gaps: Vec<String> = theirs.iter().filter_map(missing).collect();
        if gaps.is_empty() { Ok(ours) } else { Err(format!("{} series, such as {}", gaps.len(), gaps[0])) }
    })
    .await;
    let failed = failures(&client, prometheus_port).await;
    assert_eq!(failed, 0.0, "Prometheus gave samples up\n{}\n{}", prometheus.log_tail(), lives.log_tail());
    println!("{message}: {samples} samples in {} series over {seconds} s, {} restarts", ours.len(), restarts);
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_misses_no_sample_over_restarts_1_0() {
    prometheus_with_restarts(RW1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_misses_no_sample_over_restarts_2_0() {
    prometheus_with_restarts(RW2).await;
}

/// A target whose every series says which scrape this is, so that nobody needs to be asked what was scraped.
async fn counting_target() -> (u16, Arc<AtomicU64>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let scrapes = Arc::new(AtomicU64::new(0));
    let counted = scrapes.clone();
    let metrics = move || {
        let n = counted.fetch_add(1, Ordering::SeqCst) + 1;
        let lines = (0..SERIES).map(move |i| format!("scraped_total{{i=\"{i}\"}} {}\n", n * 10 + i as u64 % 10));
        let text: String = lines.collect();
        async move { text }
    };
    let router = axum::Router::new().route("/metrics", axum::routing::get(metrics));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (port, scrapes)
}

/// vmagent's counters of what it gave up, and of answers that say "never send this again".
async fn vmagent_failures(client: &reqwest::Client, vmagent: u16) -> Vec<String> {
    let text = client.get(format!("http://127.0.0.1:{vmagent}/metrics")).send().await.unwrap().text().await.unwrap();
    let is_failure = |line: &&str| {
        let dropped = line.starts_with("vmagent_remotewrite_packets_dropped_total")
            || line.starts_with("vmagent_remotewrite_samples_dropped_total");
        // 415 is how it learns that zstd is not spoken here.
        let refused = line.starts_with("vmagent_remotewrite_requests_total")
            && line.contains("status_code=\"4")
            && !line.contains("status_code=\"415\"");
        (dropped || refused) && !line.ends_with(" 0")
    };
    text.lines().filter(is_failure).map(str::to_owned).collect()
}

/// Kills and starts Watchfire every twelve seconds, for so long; returns how often.
async fn kill_and_start(lives: &mut Lives, seconds: u64) -> u64 {
    let (start, mut beats) = (Instant::now(), 0_u64);
    let mut clock = tokio::time::interval(Duration::from_secs(1));
    while start.elapsed().as_secs() < seconds {
        clock.tick().await;
        beats += 1;
        if beats.is_multiple_of(12) {
            lives.kill();
            // Down for a few seconds, so that the sender meets refused connections too.
            for _ in 0..beats / 12 % 4 {
                clock.tick().await;
            }
            lives.start().await;
        }
    }
    beats / 12
}

/// Every scrape that vmagent made while Watchfire was killed and started is in Watchfire, once and in order.
#[tokio::test(flavor = "multi_thread")]
async fn vmagent_misses_no_sample_over_restarts() {
    let seconds = length("WATCHFIRE_SOAK_SECONDS", 45);
    let dir = folder(CONFIG);
    let vmagent_port = free_port();
    let mut lives = Lives::begin(dir.path()).await;
    let (client, watchfire_port) = (lives.client.clone(), lives.port);
    let (target, scrapes) = counting_target().await;
    let scrape = format!(
        "global: {{ scrape_interval: 1s, external_labels: {{ cluster: test }} }}\n\
         scrape_configs:\n  - job_name: counting\n    static_configs: [{{ targets: ['127.0.0.1:{target}'] }}]\n"
    );
    std::fs::write(dir.path().join("scrape.yml"), scrape).unwrap();
    let arguments = [
        "-promscrape.config=scrape.yml".to_owned(),
        "-remoteWrite.tmpDataPath=vmagent".to_owned(),
        "-remoteWrite.flushInterval=200ms".to_owned(),
        "-remoteWrite.retryMinInterval=100ms".to_owned(),
        "-remoteWrite.retryMaxTime=1s".to_owned(),
        format!("-remoteWrite.url=http://127.0.0.1:{watchfire_port}/api/v1/write"),
        format!("-httpListenAddr=127.0.0.1:{vmagent_port}"),
    ];
    let vmagent = Process::start("vmagent", &peer("vmagent"), &arguments, dir.path());
    wait_ready(&client, &format!("http://127.0.0.1:{vmagent_port}/health"), "vmagent is ready").await;
    let restarts = kill_and_start(&mut lives, seconds).await;
    let scraped = scrapes.load(Ordering::SeqCst);
    assert!(scraped > seconds / 2, "{scraped} scrapes in {seconds} s\n{}", vmagent.log_tail());
    let selector = format!("scraped_total[{}s]", seconds + 120);
    eventually(Duration::from_secs(60), "Watchfire holds every scrape", || async {
        let held = held(&client, watchfire_port, &selector, now_ms(), &[]).await;
        if held.len() != SERIES {
            return Err(format!("{} series", held.len()));
        }
        for (labels, samples) in &held {
            let scrape = |value: &String| value.parse::<u64>().unwrap() / 10;
            let numbers: Vec<u64> = samples.values().map(scrape).take(scraped as usize).collect();
            if !numbers.iter().copied().eq(1..=scraped) {
                return Err(format!("{labels}: {} of {scraped} scrapes", numbers.len()));
            }
        }
        Ok(())
    })
    .await;
    let failed = vmagent_failures(&client, vmagent_port).await;
    assert!(failed.is_empty(), "vmagent gave samples up: {failed:?}\n{}\n{}", vmagent.log_tail(), lives.log_tail());
    println!("vmagent: {scraped} scrapes of {SERIES} series over {seconds} s, {restarts} restarts");
}
