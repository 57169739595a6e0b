//! The query API over HTTP: values, errors and statuses as a Prometheus gives them.
//! In: samples and requests to a running Watchfire. Out: JSON.
//! Never: needs another program; the same with stock clients is in `e2e`.
//! Start at [`answers_as_prometheus`].

use crate::support::watchfire::Watchfire;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};
use watchfire::model::{Labels, Sample, Timestamp};
use watchfire::wire::remote_write::{Version, encode};

/// Two counters, sampled each fifteen seconds up to `now`.
async fn written(now: i64) -> Watchfire {
    let server = Watchfire::start("{}\n").await;
    let samples = || (0..9).map(|k| Sample { t: Timestamp::from_millis((now - 120 + 15 * k) * 1000), v: k as f64 });
    let series = |instance: &str| {
        (Labels::from_pairs([("__name__", "hits_total"), ("instance", instance)]), samples().collect::<Vec<_>>())
    };
    let write = server
        .request(Method::POST, "/api/v1/write")
        .header("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request")
        .header("content-encoding", "snappy")
        .body(encode(Version::V2, &[series("1"), series("2")]));
    assert_eq!(server.send(write).await.status, 204);
    server
}

#[tokio::test]
async fn answers_as_prometheus() {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    let server = written(now).await;
    let (at, before) = (now.to_string(), (now - 60).to_string());
    let ask = async |path: &str, query: &[(&str, &str)]| server.ask(path, query).await.expect(200);

    let one = ask("/api/v1/query", &[("query", "hits_total{instance=\"1\"}"), ("time", &at)]).await;
    let metric = json!({"__name__": "hits_total", "instance": "1"});
    let expected = json!({"resultType": "vector", "result": [{"metric": metric, "value": [now, "8"]}]});
    assert_eq!(one["data"], expected);

    let form = [("query", "sum(hits_total)"), ("start", before.as_str()), ("end", at.as_str()), ("step", "30")];
    let posted = server.send(server.request(Method::POST, "/api/v1/query_range").form(&form)).await.expect(200);
    let values = json!([[now - 60, "8"], [now - 30, "12"], [now, "16"]]);
    assert_eq!(posted["data"]["result"], json!([{"metric": {}, "values": values}]));

    let cut = ask("/api/v1/query", &[("query", "hits_total"), ("limit", "1"), ("time", &at)]).await;
    assert_eq!(cut["data"]["result"].as_array().unwrap().len(), 1);
    assert_eq!(cut["warnings"], json!(["results truncated due to limit"]));

    let noted = ask("/api/v1/query", &[("query", "quantile(2, rate(hits_total[1m]))"), ("time", &at)]).await;
    let warning = "PromQL warning: quantile value should be between 0 and 1, got 2 (1:10)";
    assert_eq!(noted["warnings"], json!([warning]));

    let list = ask("/api/v1/series", &[("match[]", "hits_total{instance=~\"2|3\"}")]).await;
    assert_eq!(list["data"], json!([{"__name__": "hits_total", "instance": "2"}]));
    let old = ask("/api/v1/series", &[("match[]", "hits_total"), ("end", "5")]).await;
    assert_eq!(old["data"], json!([]));
    assert_eq!(ask("/api/v1/label/instance/values", &[("match[]", "hits_total")]).await["data"], json!(["1", "2"]));
    assert_eq!(ask("/api/v1/labels", &[("match[]", "hits_total")]).await["data"], json!(["__name__", "instance"]));
    assert_eq!(ask("/api/v1/format_query", &[("query", "a  /b")]).await["data"], json!("a / b"));
    assert_eq!(ask("/api/v1/parse_query", &[("query", "(1)")]).await["data"]["type"], json!("parenExpr"));
    assert_eq!(ask("/api/v1/status/buildinfo", &[]).await["data"]["version"], json!("3.5.0"));
}

#[tokio::test]
async fn refuses_as_prometheus() {
    let server = Watchfire::start("{}\n").await;
    let check = async |path: &str, query: &[(&str, &str)], status: u16, kind: &str, error: &str| {
        let answer = server.ask(path, query).await;
        assert_eq!(answer.status, status, "{path} {query:?}: {}", answer.text);
        let expected: Value = json!({"status": "error", "errorType": kind, "error": error});
        assert_eq!(answer.json(), expected, "{path} {query:?}");
    };
    let (instant, range) = ("/api/v1/query", "/api/v1/query_range");
    let bad = "bad_data";
    for (path, query, error) in [
        (instant, &[("query", "1+")][..], "invalid parameter \"query\": 1:3: parse error: unexpected end of input"),
        (instant, &[], "invalid parameter \"query\": unknown position: parse error: no expression found in input"),
        (
            instant,
            &[("query", "1"), ("time", "x")],
            "invalid parameter \"time\": invalid time value for 'time': cannot parse \"x\" to a valid timestamp",
        ),
        (
            instant,
            &[("query", "1"), ("timeout", "x")],
            "invalid parameter \"timeout\": cannot parse \"x\" to a valid duration",
        ),
        (
            instant,
            &[("query", "1"), ("limit", "x")],
            "invalid parameter \"limit\": strconv.Atoi: parsing \"x\": invalid syntax",
        ),
        (instant, &[("query", "1"), ("limit", "-1")], "invalid parameter \"limit\": limit must be non-negative"),
        (
            instant,
            &[("query", "1"), ("lookback_delta", "x")],
            "error parsing lookback delta duration: cannot parse \"x\" to a valid duration",
        ),
        (range, &[("query", "1")], "invalid parameter \"start\": cannot parse \"\" to a valid timestamp"),
        (
            range,
            &[("query", "1"), ("start", "5"), ("end", "2"), ("step", "1")],
            "invalid parameter \"end\": end timestamp must not be before start time",
        ),
        (
            range,
            &[("query", "1"), ("start", "5"), ("end", "7"), ("step", "0")],
            "invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer",
        ),
        (
            range,
            &[("query", "1"), ("start", "5"), ("end", "70000"), ("step", "1")],
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        ),
        (
            range,
            &[("query", "a[5m]"), ("start", "5"), ("end", "7"), ("step", "1")],
            "invalid parameter \"query\": invalid expression type \"range vector\" for range query, must be Scalar or instant Vector",
        ),
        (
            instant,
            &[("query", "info(a)")],
            "invalid parameter \"query\": 1:1: parse error: function \"info\" is not enabled",
        ),
        (
            range,
            &[("query", "rate(a[1m] anchored)"), ("start", "5"), ("end", "7"), ("step", "1")],
            "invalid parameter \"query\": 1:6: parse error: anchored modifier is experimental and not enabled",
        ),
        (
            "/api/v1/parse_query",
            &[("query", "a + fill(0) b")],
            "invalid parameter \"query\": 1:1: parse error: binop fill modifiers are experimental and not enabled",
        ),
        (
            "/api/v1/format_query",
            &[("query", "sort_by_label(a)")],
            "invalid parameter \"query\": 1:1: parse error: function \"sort_by_label\" is not enabled",
        ),
        ("/api/v1/series", &[], "no match[] parameter provided"),
        (
            "/api/v1/series",
            &[("match[]", "{a=\"\"}")],
            "invalid parameter \"match[]\": match[] must contain at least one non-empty matcher",
        ),
        ("/api/v1/labels", &[("match[]", "a[5m]")], "1:2: parse error: unexpected \"[\""),
        ("/api/v1/metadata", &[("limit", "x")], "limit must be a number"),
    ] {
        check(path, query, 400, bad, error).await;
    }
    let regex = "label_replace(vector(1), \"a\", \"b\", \"c\", \"(\")";
    let error = "invalid regular expression in label_replace(): (";
    check(instant, &[("query", regex), ("time", "1")], 422, "execution", error).await;
}

/// With the flags, the same texts have values, and rules may use them too.
#[tokio::test]
async fn experimental_forms_have_flags() {
    const FLAGS: &[&str] = &[
        "--enable-feature=promql-experimental-functions,promql-extended-range-selectors",
        "--enable-feature=promql-binop-fill-modifiers",
    ];
    let rules = "groups: [{name: g, rules: [{record: r, expr: 'limitk(1, vector(1))'}]}]\n";
    let dir = crate::support::watchfire::folder("rule_files: [r.yml]\n");
    std::fs::write(dir.path().join("r.yml"), rules).unwrap();
    let refused = std::process::Command::new(crate::support::watchfire::program())
        .args(["serve", "--config.file", "watchfire.yml", "--web.listen-address", "127.0.0.1:0"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{text}");
    assert!(text.contains("limitk() is experimental and must be enabled with"), "{text}");

    let server = Watchfire::start_flagged(dir, FLAGS).await;
    let rules = server.get("/api/v1/rules").await.expect(200);
    assert_eq!(rules["data"]["groups"][0]["rules"][0]["query"], json!("limitk(1, vector(1))"));
    for (path, query) in [
        ("/api/v1/query", "limitk(1, vector(1))"),
        ("/api/v1/query", "increase(a[1m] anchored)"),
        ("/api/v1/query", "a + fill(0) b"),
        ("/api/v1/parse_query", "step()"),
    ] {
        server.ask(path, &[("query", query)]).await.expect(200);
    }
    // A reload reads rules with the same flags.
    server.send(server.request(Method::POST, "/-/reload")).await.expect(200);
}
