//! promtool as a client of the query API: instant and range queries, series, label values.
//! In: promtool from `WATCHFIRE_PEERS`, samples written to a running Watchfire. Out: what promtool prints.
//! Never: reads Watchfire's JSON itself; that it satisfies a stock client is the point.
//! Start at [`promtool_reads_us`].

use super::process::peer;
use crate::support::watchfire::Watchfire;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use watchfire::model::{Labels, Sample, Timestamp};
use watchfire::wire::remote_write::{Version, encode};

fn run(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(peer("promtool")).arg("query").args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_reads_us() {
    let server = Watchfire::start("{}\n").await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let (start, end) = ((now - 120).to_string(), (now - 60).to_string());
    let series: Vec<(Labels, Vec<Sample>)> = ["1", "2"]
        .into_iter()
        .map(|instance| {
            let samples = (0..10)
                .map(|k| Sample { t: Timestamp::from_millis((now as i64 - 150 + 15 * k) * 1000), v: 15.0 * k as f64 });
            (Labels::from_pairs([("__name__", "hits_total"), ("instance", instance)]), samples.collect())
        })
        .collect();
    let write = server
        .request(reqwest::Method::POST, "/api/v1/write")
        .header("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request")
        .header("content-encoding", "snappy")
        .body(encode(Version::V2, &series));
    assert_eq!(server.send(write).await.status, 204);

    let at = server.base.clone();
    let check = |arguments: &[&str], parts: &[&str]| {
        let (succeeded, text) = run(arguments);
        assert!(succeeded, "{arguments:?}: {text}");
        for part in parts {
            assert!(text.contains(part), "{arguments:?} lacks {part}: {text}");
        }
    };
    let moment = format!("--time={end}");
    check(
        &["instant", &moment, &at, "count_over_time(hits_total[1m])"],
        &["{instance=\"1\"} => 4 @", "{instance=\"2\"} => 4 @"],
    );
    check(&["instant", &moment, &at, "1 + 1"], &["scalar: 2 @"]);
    let (from, to) = (format!("--start={start}"), format!("--end={end}"));
    check(&["range", &from, &to, "--step=30s", &at, "sum(count_over_time(hits_total[45s]))"], &["{} =>\n6 @", "\n6 @"]);
    check(&["series", "--match=hits_total{instance=\"1\"}", &at], &["{__name__=\"hits_total\", instance=\"1\"}"]);
    check(&["labels", &at, "instance"], &["1\n2\n"]);
    let (succeeded, text) = run(&["instant", &at, "sum("]);
    assert!(!succeeded && text.contains("1:5: parse error: unclosed left parenthesis"), "{text}");
}
