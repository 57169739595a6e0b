//! Tables of expressions: which are accepted, how they print, and the expressions of real rule files.
//! In: JSON and YAML files of the conformance folder; without it, cases of our own. Out: counts, and a verdict.
//! Never: passes with fewer cases than it passed before.
//! Start at the tests.

use super::{conformance, files_below};
use serde_json::Value as Json;
use watchfire::model::{Labels, SampleValue};
use watchfire::promql::ast::Expr;
use watchfire::promql::{Features, Plan, parse, parse_with};
use watchfire::rules::unittest;

/// How many rules the corpora held when this number was last set.
const RULES_FLOOR: usize = 1757;
/// The same of the tables: expressions, series descriptions, printed forms.
const EXPRESSIONS_FLOOR: usize = 177;
const SERIES_FLOOR: usize = 12;
const PRINTS_FLOOR: usize = 43;

/// A table that lost its cases is no table that passes.
#[track_caller]
fn assert_floor(cases: usize, floor: usize, own: usize) {
    let floor = if conformance().is_some() { floor } else { own };
    assert!(cases >= floor, "only {cases} cases, there were {floor}");
}

/// Accepted and refused expressions of our own, for when there is no conformance folder.
const OWN_CASES: &str = r#"[
    {"input": "1 + 2 / (3 * 1)", "valid": true},
    {"input": "sum without (a, b) (rate(x{y=~\"z.*\"}[5m] offset 1h)) > bool 0", "valid": true},
    {"input": "a / on (b) group_left (c) d", "valid": true},
    {"input": "max_over_time(rate(a[1m])[1h:5m] @ end())", "valid": true},
    {"input": "histogram_quantile(0.9, sum by (le) (rate(x_bucket[5m])))", "valid": true},
    {"input": "a and on () b unless ignoring (c) d", "valid": true},
    {"input": "1+", "valid": false},
    {"input": "sum(a", "valid": false},
    {"input": "rate(a)", "valid": false},
    {"input": "a[5m][5m]", "valid": false},
    {"input": "a offset", "valid": false},
    {"input": "topk(a, b)", "valid": false},
    {"input": "-a ^ 2", "valid": true, "root": "UnaryExpr"},
    {"input": "a offset -(step() * 2)", "valid": true, "root": "VectorSelector"},
    {"input": "a{b=c}", "valid": false, "errors": ["unexpected identifier \"c\" in label matching, expected string"]}
]"#;

fn cases(file: &str, key: Option<&str>, own: &str) -> Vec<Json> {
    let text = match conformance() {
        Some(folder) => std::fs::read_to_string(folder.join("promql-parser").join(file)).unwrap(),
        None => own.to_owned(),
    };
    let mut json: Json = serde_json::from_str(&text).unwrap();
    match key.and_then(|key| json.get_mut(key)) {
        Some(inner) => inner.take().as_array().unwrap().clone(),
        None => json.as_array().unwrap().clone(),
    }
}

fn print_all(lines: &[String]) {
    for line in lines {
        println!("  {line}");
    }
}

/// What Prometheus calls the expression's root.
fn root(expr: &Expr) -> &'static str {
    match expr {
        Expr::Number(..) => "NumberLiteral",
        Expr::String(..) => "StringLiteral",
        Expr::Selector(_) => "VectorSelector",
        Expr::Range(_) => "MatrixSelector",
        Expr::Subquery(_) => "SubqueryExpr",
        Expr::Negate(..) | Expr::Plus(..) => "UnaryExpr",
        Expr::Paren(..) => "ParenExpr",
        Expr::Binary(_) => "BinaryExpr",
        Expr::Aggregate(_) => "AggregateExpr",
        Expr::Call(_) => "Call",
    }
}

/// `None` when all is as the case says.
fn misjudged(case: &Json, input: &str) -> Option<String> {
    let valid = case["valid"].as_bool().unwrap();
    match parse(input) {
        Ok(expr) if !valid => Some(format!("{input}: accepted as {expr}")),
        Ok(expr) => {
            let expected = case["root"].as_str().unwrap_or(root(&expr));
            (root(&expr) != expected).then(|| format!("{input}: {} instead of {expected}", root(&expr)))
        }
        Err(e) if valid => Some(format!("{input}: {e}")),
        Err(e) => {
            // Of several errors the first is told.
            let expected = case["errors"][0].as_str().unwrap_or_default();
            let text = e.to_string();
            let told = text.split_once("parse error: ").map_or("", |(_, told)| told);
            (told != expected && !expected.is_empty()).then(|| format!("{input}: {text}, expected {expected}"))
        }
    }
}

#[test]
fn accepts_and_refuses_as_prometheus() {
    let mut failed = Vec::new();
    let cases = cases("parse_cases.json", Some("expressions"), OWN_CASES);
    for case in &cases {
        // What is no UTF-8 comes as replacement characters, as over HTTP.
        let input = match (case["input"].as_str(), case["input"]["hex"].as_str()) {
            (Some(input), _) => input.to_owned(),
            (None, hex) => {
                let digits = hex.unwrap().as_bytes().chunks(2);
                let bytes = digits.map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap());
                String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned()
            }
        };
        failed.extend(misjudged(case, &input));
    }
    println!("parser: {} pass, {} fail", cases.len() - failed.len(), failed.len());
    print_all(&failed);
    assert!(failed.is_empty(), "{failed:#?}");
    assert_floor(cases.len(), EXPRESSIONS_FLOOR, 15);
}

const OWN_SERIES: &str = r#"[
    {"input": "up 1 _ -2-1x2  ", "valid": true, "metric": "labels . FromStrings ( labels . MetricName , \"up\" )",
     "values_go": "newSeq ( 1 , none , - 2 , - 3 , - 4 )"},
    {"input": "{} 1x0 _x2", "valid": true, "metric": "labels . EmptyLabels ( )", "values_go": "newSeq ( 1 , none , none )"},
    {"input": "{a=\"b c\"} .5+1x1", "valid": true, "metric": "labels . FromStrings ( \"a\" , `b c` )",
     "values_go": "newSeq ( 0.5 , 1.5 )"},
    {"input": "up 1 _a4", "valid": false},
    {"input": "up 1+1", "valid": false}
]"#;

/// The words of a Go call, `f ( a , "b" )`: its arguments, quotes taken off.
fn go_arguments(text: &str) -> Vec<String> {
    let inner = text.split_once('(').map_or("", |(_, rest)| rest.trim().trim_end_matches(')')).trim();
    let (mut words, mut rest) = (Vec::new(), inner);
    while !rest.is_empty() {
        let (word, tail) = match rest.chars().next() {
            Some(quote @ ('"' | '`')) => rest[1..].split_once(quote).unwrap(),
            _ => rest.split_once(',').map_or((rest, ""), |(word, _)| (word, &rest[word.len()..])),
        };
        words.push(word.trim().to_owned());
        rest = tail.trim_start().trim_start_matches(',').trim_start();
    }
    words
}

/// A description as the unit tests of rules have it, in two parts: the series, and its values.
fn described(input: &str) -> Result<(Labels, Vec<Option<f64>>), String> {
    let at = input.find('}').map_or_else(|| input.find(' ').unwrap_or(input.len()), |brace| brace + 1);
    let labels = unittest::series_labels(&input[..at])?;
    let float = |value| match value {
        None => None,
        Some(SampleValue::Float(v)) => Some(v),
        Some(SampleValue::Histogram(_)) => panic!("{input}: the table has floats only"),
    };
    Ok((labels, unittest::values(&input[at..])?.into_iter().map(float).collect()))
}

#[test]
fn reads_series_descriptions_as_prometheus() {
    let cases = cases("parse_cases.json", Some("series_descriptions"), OWN_SERIES);
    for case in &cases {
        let input = case["input"].as_str().unwrap();
        let result = described(input);
        if case["valid"] == false {
            assert!(result.is_err(), "{input}: {result:?}");
            continue;
        }
        let (labels, values) = result.unwrap_or_else(|e| panic!("{input}: {e}"));
        let words = go_arguments(case["metric"].as_str().unwrap());
        let name = |word: &str| if word == "labels . MetricName" { "__name__".to_owned() } else { word.to_owned() };
        assert_eq!(labels, Labels::from_pairs(words.chunks(2).map(|pair| (name(&pair[0]), &pair[1]))), "{input}");
        let number = |word: &String| match word.replace(' ', "").as_str() {
            "none" => None,
            number => Some(number.parse::<f64>().unwrap()),
        };
        let expected: Vec<Option<f64>> = go_arguments(case["values_go"].as_str().unwrap()).iter().map(number).collect();
        assert_eq!(values, expected, "{input}");
    }
    println!("series descriptions: {} pass", cases.len());
    assert_floor(cases.len(), SERIES_FLOOR, 5);
}

const OWN_PRINTS: &str = r#"[
    {"in": "sum  by()  (a)", "canonical": "sum(a)"},
    {"in": "a{b='c'}[90s]", "canonical": "a{b=\"c\"}[1m30s]"},
    {"in": "a +on(b)group_right(c) d", "canonical": "a + on (b) group_right (c) d"}
]"#;

#[test]
fn prints_as_prometheus() {
    let (mut passed, mut failed) = (0, Vec::new());
    for case in cases("canonical_printing.json", None, OWN_PRINTS) {
        let (input, canonical) = (case["in"].as_str().unwrap(), case["canonical"].as_str().unwrap());
        match parse(input).map(|e| e.to_string()) {
            Ok(printed) if printed == canonical => passed += 1,
            other => failed.push(format!("{input}: {other:?}, expected {canonical}")),
        }
    }
    println!("printing: {passed} pass, {} fail", failed.len());
    print_all(&failed);
    assert!(failed.is_empty(), "{failed:#?}");
    assert_floor(passed, PRINTS_FLOOR, 3);
}

const OWN_RULES: &str = "groups:
- name: own
  rules:
  - alert: Down
    expr: up == 0
  - record: job:errors:rate5m
    expr: sum by (job) (rate(errors_total[5m])) / sum by (job) (rate(requests_total[5m]))
  - alert: Full
    expr: |
      predict_linear(node_filesystem_avail_bytes[6h], 4 * 60 * 60) < 0
        and node_filesystem_readonly == 0
";

#[test]
fn every_rule_expression_plans() {
    let texts: Vec<(String, String)> = match conformance() {
        Some(folder) => files_below(&folder.join("rule-corpora"), &[".yml", ".yaml"])
            .into_iter()
            .map(|path| (path.display().to_string(), std::fs::read_to_string(&path).unwrap()))
            .collect(),
        None => vec![("own".to_owned(), OWN_RULES.to_owned())],
    };
    let (mut planned, mut failed, mut unread) = (0, Vec::new(), Vec::new());
    for (name, text) in texts {
        let yaml = match serde_saphyr::from_multiple::<Json>(&text) {
            Ok(documents) => documents.into_iter().next().unwrap_or_default(),
            Err(e) => {
                unread.push(format!("{name}: {}", e.to_string().lines().next().unwrap_or_default()));
                continue;
            }
        };
        // Kubernetes' PrometheusRule keeps the groups in its `spec`.
        let groups = yaml["groups"].as_array().or_else(|| yaml["spec"]["groups"].as_array());
        for group in groups.into_iter().flatten() {
            for rule in group["rules"].as_array().into_iter().flatten() {
                let expr = match &rule["expr"] {
                    Json::String(s) => s.clone(),
                    other => other.to_string(),
                };
                // The stable language is enough for each of them.
                match parse_with(&expr, Features::default()) {
                    Ok(expr) => {
                        drop(Plan::new(&expr));
                        let printed = expr.to_string();
                        let again = parse(&printed).map(|e| e.to_string());
                        assert_eq!(again.as_ref(), Ok(&printed), "does not go round");
                        planned += 1;
                    }
                    Err(e) => failed.push(format!("{name}: {expr}: {e}")),
                }
            }
        }
    }
    println!("rules: {planned} plan, {} fail", failed.len());
    print_all(&failed);
    println!("{} files are no YAML to us", unread.len());
    print_all(&unread);
    assert!(failed.is_empty(), "{} expressions do not parse", failed.len());
    assert!(unread.is_empty(), "{} files cannot be read", unread.len());
    let floor = if conformance().is_some() { RULES_FLOOR } else { 3 };
    assert!(planned >= floor, "only {planned} rules were found");
}
