//! Expressions that nobody would write: none may panic, and what parses prints to something that parses to the same.
//! In: random sequences of the language's own words, and of any characters. Out: a verdict.
//! Never: looks at values; the other modules do.
//! Start at the tests.

use proptest::prelude::*;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;
use watchfire::model::{Histogram, Labels, SampleValue, Timestamp};
use watchfire::promql::{Plan, QueryOptions, parse};
use watchfire::series::{Head, HeadConfig};

const WORDS: &[&str] = &[
    "a",
    "b",
    "a_bucket",
    "h",
    "{",
    "}",
    "(",
    ")",
    "[5m]",
    "[5m:1m]",
    "[1h:]",
    "[0s]",
    "=",
    "!=",
    "=~",
    "!~",
    "x",
    "\"y\"",
    "\"(\"",
    "'.*'",
    "`\\d`",
    ",",
    "+",
    "-",
    "*",
    "/",
    "%",
    "^",
    "atan2",
    "==",
    ">",
    "<=",
    "bool",
    "and",
    "or",
    "unless",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "by",
    "without",
    "sum",
    "avg",
    "topk",
    "quantile",
    "count_values",
    "limit_ratio",
    "stddev",
    "offset",
    "@",
    "start()",
    "end()",
    "rate",
    "increase",
    "irate",
    "deriv",
    "predict_linear",
    "histogram_quantile",
    "histogram_fraction",
    "histogram_avg",
    "label_replace",
    "label_join",
    "absent",
    "absent_over_time",
    "sum_over_time",
    "avg_over_time",
    "quantile_over_time",
    "sort",
    "scalar",
    "vector",
    "time()",
    "clamp",
    "round",
    "timestamp",
    "day_of_month",
    "changes",
    "resets",
    "1",
    "0",
    "-1",
    "NaN",
    "Inf",
    "1e308",
    "0x1F",
    "1_000",
    "5m",
    "99999y",
    "1e30",
    "9223372036854775807",
    "\"$1\"",
    "#",
    "\n",
    ":",
    "fill(0)",
    "info",
    "\u{e000}",
    "anchored",
];

/// Whole expressions, to be joined: random words alone seldom parse.
const PARTS: &[&str] = &[
    "a",
    "h",
    "1",
    "a[5m]",
    "h[5m]",
    "(a > 1)",
    "rate(a[5m])",
    "sum by (x) (a)",
    "h * 2",
    "-h",
    "topk(1, h)",
    "rate(h[10m])",
    "a[10m:1m]",
    "histogram_quantile(0.9, h)",
    "vector(1)",
    "avg(h)",
    "time()",
    "\"s\"",
    "NaN",
    "-Inf",
    "a offset -1h",
    "h @ 60",
    "a @ 1e15",
    "a offset 900y",
    "sum_over_time(h[1h])",
    "absent(a)",
    "h + h",
    "1e30",
];

fn head() -> &'static Head {
    static HEAD: OnceLock<Head> = OnceLock::new();
    HEAD.get_or_init(|| {
        let window = Duration::from_hours(24);
        #[allow(clippy::needless_update)] // the head may come to know more settings
        let head = Head::new(HeadConfig { window, out_of_order_window: window, ..HeadConfig::default() });
        for i in 0..20_i32 {
            let t = Timestamp::from_millis(i64::from(i) * 60_000);
            for x in ["1", "2"] {
                let labels = |name: &str| Labels::from_pairs([("__name__", name), ("x", x)]);
                let odd = [1.0, f64::NAN, f64::INFINITY, -0.0, 1e308][i as usize % 5];
                head.append(&labels("a"), t, SampleValue::Float(odd)).unwrap();
                head.append(&labels("b"), t, SampleValue::Float(f64::from(i))).unwrap();
                // Spans that promise more buckets than there are, bounds that fall, NaN counts.
                let h = Histogram {
                    schema: if i % 7 == 0 { -53 } else { i % 12 - 4 },
                    count: odd,
                    sum: f64::from(i),
                    zero_threshold: [0.0, 0.001, 1e300, f64::NAN][i as usize % 4],
                    zero_count: 1.0,
                    positive_spans: vec![watchfire::model::sample::Span { offset: i - 5, length: 3 }],
                    positive_buckets: vec![1.0, odd],
                    negative_spans: vec![watchfire::model::sample::Span { offset: i32::MAX, length: 4 }],
                    negative_buckets: vec![1.0; 4],
                    custom_values: if i % 7 == 0 { vec![2.0, 1.0, f64::NAN] } else { vec![] },
                    ..Histogram::default()
                };
                head.append(&labels("h"), t, SampleValue::Histogram(h.into())).unwrap();
            }
        }
        head
    })
}

fn survive(text: &str) {
    let Ok(expr) = parse(text) else { return };
    let printed = expr.to_string();
    let again = parse(&printed);
    // NaN is not equal to itself, so the texts are compared.
    // `-Inf ^ 2` prints as `-+Inf ^ 2`, as in Prometheus, which then reads as two signs.
    if !printed.contains("+Inf") {
        assert_eq!(again.map(|e| e.to_string()), Ok(printed.clone()), "{text}");
    }
    let plan = Plan::new(&expr);
    let ctx = QueryOptions { samples_max: 100_000, ..QueryOptions::default() };
    for at in [0, 600_000, i64::MAX, i64::MIN] {
        // A value or an error, as long as it is no panic.
        let _ = plan.eval(head(), Timestamp::from_millis(at), &ctx);
    }
    let at = Timestamp::from_millis(600_000);
    let _ = plan.eval_range(head(), at, at + Duration::from_mins(3), Duration::from_mins(1), &ctx);
    let _ = plan.eval_series(&Arc::default(), at, &ctx);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn words_in_any_order_do_no_harm(words in prop::collection::vec(prop::sample::select(WORDS), 1..14)) {
        survive(&words.join(" "));
    }

    #[test]
    fn any_text_does_no_harm(text in any::<String>()) {
        survive(&text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn joined_parts_do_no_harm(
        parts in prop::collection::vec((prop::sample::select(PARTS), prop::sample::select(&["+", "-", "*", "/", "%", "^", "==", "> bool", "and", "or", "unless", "+ on (x)", "* on (x) group_left ()", "- ignoring (x) fill (0)"][..])), 1..5),
        around in prop::sample::select(&["{}", "sum({})", "rate(({})[10m:1m])", "avg by (x) ({})", "quantile(0.5, {})", "sort({})", "max_over_time(({})[1h:10m] offset 5m)", "histogram_quantile(0.5, {})", "label_replace({}, \"x\", \"$1\", \"x\", \"(.)\")", "abs({})", "count_values(\"v\", {})", "stddev({})", "histogram_fraction(-1, NaN, {})", "histogram_stddev({})", "clamp({}, NaN, 1)", "year({})"][..]),
    ) {
        let mut text = String::new();
        for (i, (part, op)) in parts.iter().enumerate() {
            if i > 0 {
                text = text + " " + op + " ";
            }
            text += part;
        }
        survive(&around.replace("{}", &text));
    }
}

#[test]
fn depth_and_breadth_are_bounded() {
    survive(&format!("{}1{}", "(".repeat(60), ")".repeat(60)));
    survive(&format!("a{}", " + a".repeat(256)));
    survive(&format!("{}a", "-".repeat(256)));
    survive(&format!("{}a{}", "abs(".repeat(60), ")".repeat(60)));
    survive(&format!("{}a{}", "(-".repeat(60), " == 1)".repeat(60)));
    survive(&format!("a{}", " ^ -a".repeat(60)));
    survive(&format!("{}a{}{}", "(a ^ ".repeat(60), " + a)".repeat(60), " - 1".repeat(60)));
    for text in [format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000)), format!("a{}", " + a".repeat(5000))] {
        assert!(parse(&text).is_err());
    }
}
