//! The first inputs of each target: `cargo run --example seeds` writes them into `corpus/`.
//! In: our own rules, configuration and test data. Out: one file an input.
//! Never: overwrites what the fuzzer found (its names are hashes, ours are words).
//! Start at `main`.

use std::fs;
use std::path::{Path, PathBuf};
use watchfire::model::{Labels, Sample, Timestamp};
use watchfire::wire::remote_write::{Version, encode};

/// The byte that picks the language in the target `texts`.
const LANGUAGES: [&str; 6] = ["config", "rules", "tests", "promql", "matchers", "template"];

const POSTS: [&str; 4] = [
    r#"[{"labels":{"alertname":"A","severity":"critical"},"annotations":{"summary":"x \"y\" é"},"generatorURL":"http://p/g"}]"#,
    r#"[{"labels":{"a":"1"},"startsAt":"2026-01-01T00:00:00.5+01:00","endsAt":"2026-01-01T00:00:00Z"},{"labels":{}}]"#,
    r#"{"version":"4","groupKey":"k","status":"firing","receiver":"r","truncatedAlerts":2,"new":{"x":[1]},"alerts":[{"status":"firing","labels":{"alertname":"A"},"startsAt":"2026-01-01T00:00:00Z","endsAt":"0001-01-01T00:00:00Z"}]}"#,
    r#"{"version":"4","alerts":[{"status":"resolved","labels":{"alertname":"B"},"annotations":null,"endsAt":"2026-01-01T01:00:00Z"}]}"#,
];

const EXPRESSIONS: [&str; 8] = [
    r#"sum by (job) (rate(http_requests_total{code=~"5..",job!="x"}[5m])) / ignoring (code) group_left up > 0.5"#,
    r#"histogram_quantile(0.9, sum by (le) (rate(x_bucket[1h30m] offset -5m)))"#,
    r#"max_over_time((a or b and on () c unless d)[1h:5m] @ end()) ^ -2"#,
    r#"{"a.b", c='d', e=`f`} @ 1.5e3"#,
    r#"label_replace(topk(3, quantile(0.5, -x)), "a", "$1", "b", "(.*)")"#,
    r#"count_values("v", absent(x{a=""})) == bool 0x1F"#,
    "1_000 + Inf - NaN % 2 atan2 3",
    r#"avg without (a, b) (x) # a comment"#,
];

const MATCHERS: [&str; 3] = [r#"{a="b", c!~"d|e", "f g"=~"h"}"#, "a=b,c != d", r#"foo=~bar\n"#];

const TEMPLATE: &str = r#"{{ define "x" }}{{ range $i, $a := .Alerts.Firing }}{{ if gt (len $a.Labels) 1 }}{{ $a.Labels.alertname | toUpper | printf "%q %5.2f" 1.5 }}{{ else }}-{{ end }}{{ end }}{{ end }}"#;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let put = |target: &str, name: &str, bytes: &[u8]| {
        let dir = root.join("corpus").join(target);
        fs::create_dir_all(&dir).expect("the corpus folder can be made");
        fs::write(dir.join(name), bytes).expect("the corpus can be written");
    };
    for (version, name) in [(Version::V1, "v1"), (Version::V2, "v2")] {
        let packed = encode(version, &series());
        let plain = snap::raw::Decoder::new().decompress_vec(&packed).expect("what we packed opens");
        put("remote_write", &format!("{name}.snappy"), &packed);
        // The target packs what it is given, so a plain message is the seed that mutations understand.
        put("remote_write", name, &plain);
    }
    for (i, post) in POSTS.iter().enumerate() {
        put("alertmanager", &format!("post{i}"), post.as_bytes());
    }
    let text = |language: &str, name: &str, text: &str| {
        let code = LANGUAGES.iter().position(|l| *l == language).expect("a known language") as u8;
        put("texts", &format!("{language}-{name}"), &[&[code], text.as_bytes()].concat());
    };
    for (i, expr) in EXPRESSIONS.iter().enumerate() {
        text("promql", &i.to_string(), expr);
    }
    for (i, matchers) in MATCHERS.iter().enumerate() {
        text("matchers", &i.to_string(), matchers);
    }
    text("template", "default", TEMPLATE);
    for path in files(&root.join("..")) {
        let Ok(content) = fs::read_to_string(&path) else { continue };
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let language = match watchfire::config::kind_of(&content) {
            watchfire::config::FileKind::Rules => "rules",
            watchfire::config::FileKind::RuleTests => "tests",
            watchfire::config::FileKind::Config => "config",
        };
        text(language, &name, &content);
    }
}

/// Our YAML files: rules, their tests, configurations.
fn files(root: &Path) -> Vec<PathBuf> {
    let dirs = ["rules", "rules/tests", "docs", "monitoring/alertmanager", "src/app/demo"];
    let entries = dirs.iter().filter_map(|dir| fs::read_dir(root.join(dir)).ok()).flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "yml")).collect()
}

fn series() -> Vec<(Labels, Vec<Sample>)> {
    let at = |n: i64| Timestamp::from_millis(1_767_323_045_000 + n * 15_000);
    (0..4)
        .map(|n| {
            let instance = format!("host-{n}:9100");
            let labels = Labels::from_pairs([("__name__", "up"), ("instance", &*instance), ("job", "node")]);
            (labels, (0..3).map(|i| Sample { t: at(i), v: i as f64 * 1.5 }).collect())
        })
        .collect()
}
