//! Runs files in the promqltest language: `load`, `clear`, `eval instant`, `eval range`.
//! In: a file. Out: how many evaluations gave what the file expects, and a line for each that did not.
//! Never: counts a file's syntax that it does not understand as passed.
//! Start at [`run_file`].

use super::notation::{metric, number, points, series_line, unfold};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use watchfire::model::sample::{CUSTOM_BUCKETS_SCHEMA, ResetHint};
use watchfire::model::{Histogram, Labels, SampleValue, Timestamp, duration};
use watchfire::promql::ast::{At, Expr};
use watchfire::promql::{Evaluated, Plan, QueryOptions, Value, parse};
use watchfire::series::{Head, HeadConfig};

#[derive(Default)]
pub struct Tally {
    pub passed: usize,
    pub failures: Vec<String>,
}

/// All that one `eval` says.
#[derive(Default)]
struct Case {
    line: usize,
    expr: String,
    start_ms: i64,
    end_ms: i64,
    /// `None`: an instant evaluation.
    step_ms: Option<i64>,
    fail: bool,
    message: Option<(bool, String)>,
    warn: Option<bool>,
    info: Option<bool>,
    /// Notes that must be there: kind, whether a pattern, text.
    notes: Vec<(&'static str, bool, String)>,
    ordered: bool,
    range_vector: bool,
    string: Option<String>,
    lines: Vec<String>,
}

pub fn run_file(path: &Path) -> Tally {
    let text = std::fs::read_to_string(path).unwrap();
    let mut tally = Tally::default();
    let mut head = new_head();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let mut i = 0;
    while i < lines.len() {
        let line = lines[i];
        let start = i;
        i += 1;
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let body_start = i;
        if !line.starts_with("clear") {
            while i < lines.len() && !lines[i].is_empty() {
                i += 1;
            }
        }
        let body: Vec<&str> = lines[body_start..i].iter().copied().filter(|l| !l.starts_with('#')).collect();
        let outcome = if line.starts_with("clear") {
            head = new_head();
            continue;
        } else if line.starts_with("load") {
            load(&head, line, &body).map(|()| false)
        } else {
            read_case(start + 1, line, &body).and_then(|case| run_case(&head, &case)).map(|()| true)
        };
        match outcome {
            Ok(is_evaluation) => tally.passed += usize::from(is_evaluation),
            Err(e) => tally.failures.push(format!("{}: {line}: {e}", start + 1)),
        }
    }
    tally
}

fn new_head() -> Head {
    let window = Duration::from_hours(200 * 365 * 24);
    // The head may come to know more settings.
    #[allow(clippy::needless_update)]
    Head::new(HeadConfig { window, out_of_order_window: window, ..HeadConfig::default() })
}

fn millis(text: &str) -> Result<i64, String> {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    match duration::parse(text) {
        Some(d) => Ok(sign * d.as_millis() as i64),
        None => text.parse::<f64>().map(|v| sign * (v * 1000.0) as i64).map_err(|_| format!("bad duration {text:?}")),
    }
}

fn load(head: &Head, line: &str, body: &[&str]) -> Result<(), String> {
    let mut words = line.split_whitespace();
    let with_nhcb = words.next() == Some("load_with_nhcb");
    let interval = millis(words.next().ok_or("no interval")?)?;
    // Of two lines for one series the later one counts.
    let mut all: Vec<(Labels, super::notation::Points)> = Vec::new();
    let mut starts: Vec<(Labels, Vec<Option<i64>>)> = Vec::new();
    for line in body {
        if let Some((metric_text, offsets)) = line.split_once("@st").filter(|(_, rest)| rest.starts_with([' ', '\t'])) {
            let (labels, _) = metric(metric_text)?;
            starts.retain(|(l, _)| *l != labels);
            starts.push((labels, start_offsets(offsets)?));
            continue;
        }
        let (labels, points) = series_line(line)?;
        all.retain(|(l, _)| *l != labels);
        all.push((labels, points));
    }
    for (labels, points) in &all {
        let offsets = starts.iter().find(|(l, _)| l == labels).map_or(&[][..], |(_, offsets)| offsets.as_slice());
        for (i, point) in points.iter().enumerate() {
            let Some(v) = point else { continue };
            let t = Timestamp::from_millis(i as i64 * interval);
            // A start at the epoch is none.
            let start = offsets.get(i).copied().flatten().map(|offset| t.as_millis() + offset).filter(|s| *s != 0);
            let appended = match start {
                Some(start) => head.append_started(labels, t, v.clone(), Timestamp::from_millis(start)),
                None => head.append(labels, t, v.clone()),
            };
            appended.map_err(|e| e.to_string())?;
        }
    }
    if with_nhcb {
        for (labels, t, h) in to_custom_buckets(&all, interval) {
            let v = SampleValue::Histogram(h.into());
            head.append(&labels, Timestamp::from_millis(t), v).map_err(|e| e.to_string())?;
        }
    }
    Ok(())
}

/// `_`, `_xN`, `D`, `DxN`, `D+DxN`: offsets of start timestamps from their samples, in milliseconds.
fn start_offsets(text: &str) -> Result<Vec<Option<i64>>, String> {
    let signed = |text: &str| millis(text.strip_prefix('+').unwrap_or(text));
    let mut out = Vec::new();
    for item in text.split_whitespace() {
        let (body, times) = match item.rsplit_once('x') {
            Some((body, n)) => (body, n.parse::<usize>().map_err(|_| format!("bad repetition: {item}"))?),
            None => (item, 0),
        };
        if body == "_" {
            out.extend(std::iter::repeat_n(None, times.max(1)));
            continue;
        }
        let (first, step) = match body[1..].find(['+', '-']) {
            Some(cut) => (signed(&body[..=cut])?, signed(&body[cut + 1..])?),
            None => (signed(body)?, 0),
        };
        out.extend((0..=times as i64).map(|k| Some(first + k * step)));
    }
    Ok(out)
}

#[derive(Default)]
struct Classic {
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

/// Classic histograms as native ones with custom buckets.
fn to_custom_buckets(all: &[(Labels, super::notation::Points)], interval: i64) -> Vec<(Labels, i64, Histogram)> {
    let mut found: BTreeMap<(Labels, i64), Classic> = BTreeMap::new();
    for (labels, points) in all {
        let name = labels.metric_name();
        let Some(suffix) = ["_bucket", "_count", "_sum"].into_iter().find(|s| name.ends_with(s)) else { continue };
        let base = labels.without("le").with("__name__", &name[..name.len() - suffix.len()]);
        for (i, point) in points.iter().enumerate() {
            let Some(SampleValue::Float(v)) = point else { continue };
            let key = (base.clone(), i as i64 * interval);
            match suffix {
                "_bucket" => {
                    if let Ok(le) = number(labels.value("le")) {
                        found.entry(key).or_default().buckets.push((le, *v));
                    }
                }
                "_count" => found.entry(key).or_default().count = Some(*v),
                _ => found.entry(key).or_default().sum = *v,
            }
        }
    }
    let mut out = Vec::new();
    for ((labels, t), mut classic) in found {
        if classic.buckets.is_empty() {
            continue;
        }
        classic.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let highest = classic.buckets.iter().map(|b| b.1).fold(0.0, f64::max);
        let count = classic.count.unwrap_or(highest);
        let mut counts = Vec::new();
        let mut before = 0.0;
        for (_, v) in classic.buckets.iter().filter(|b| b.0.is_finite()) {
            counts.push(v - before);
            before = *v;
        }
        counts.push(count - before);
        let custom_values = classic.buckets.iter().map(|b| b.0).filter(|b| b.is_finite()).collect();
        let spans = vec![watchfire::model::sample::Span { offset: 0, length: counts.len() as u32 }];
        out.push((
            labels,
            t,
            Histogram {
                schema: CUSTOM_BUCKETS_SCHEMA,
                count,
                sum: classic.sum,
                positive_spans: spans,
                positive_buckets: counts,
                custom_values,
                ..Histogram::default()
            },
        ));
    }
    out
}

fn read_case(line_number: usize, line: &str, body: &[&str]) -> Result<Case, String> {
    let mut case = Case { line: line_number, ..Case::default() };
    let (verb, rest) = line.split_once(' ').ok_or("not a command")?;
    match verb {
        "eval" => {}
        "eval_fail" => case.fail = true,
        "eval_warn" => case.warn = Some(true),
        "eval_info" => case.info = Some(true),
        "eval_ordered" => case.ordered = true,
        _ => return Err(format!("unknown command {verb}")),
    }
    let mut rest = rest.trim_start();
    let mut word = || -> Result<&str, String> {
        let (word, after) = rest.split_once(char::is_whitespace).ok_or("too short")?;
        rest = after.trim_start();
        Ok(word)
    };
    match (word()?, word()?) {
        ("instant", "at") => {
            case.start_ms = millis(word()?)?;
            case.end_ms = case.start_ms;
        }
        ("range", "from") => {
            case.start_ms = millis(word()?)?;
            word()?;
            case.end_ms = millis(word()?)?;
            word()?;
            case.step_ms = Some(millis(word()?)?);
        }
        other => return Err(format!("unknown evaluation {other:?}")),
    }
    rest.clone_into(&mut case.expr);
    for line in body {
        if let Some(text) = line.strip_prefix("expected_fail_message ") {
            case.message = Some((false, text.trim().to_owned()));
        } else if let Some(text) = line.strip_prefix("expected_fail_regexp ") {
            case.message = Some((true, text.trim().to_owned()));
        } else if let Some(what) = line.strip_prefix("expect ") {
            expectation(&mut case, what.trim())?;
        } else {
            case.lines.push((*line).to_owned());
        }
    }
    Ok(case)
}

fn expectation(case: &mut Case, what: &str) -> Result<(), String> {
    if what.starts_with("range vector") {
        case.range_vector = true;
        let words: Vec<&str> = what.split_whitespace().collect();
        case.start_ms = millis(words[3])?;
        case.end_ms = millis(words[5])?;
        case.step_ms = Some(millis(words[7])?);
        return Ok(());
    }
    if let Some(text) = what.strip_prefix("string ") {
        case.string = Some(text.trim_matches(['"', '\'', '`']).to_owned());
        return Ok(());
    }
    let (kind, detail) = what.split_once(char::is_whitespace).unwrap_or((what, ""));
    let note = match detail.trim().split_once(':') {
        Some(("msg", text)) => Some((false, text.trim().to_owned())),
        Some(("regex", text)) => Some((true, text.trim().to_owned())),
        _ => None,
    };
    match kind {
        "fail" => {
            case.fail = true;
            case.message = note;
        }
        "warn" => {
            case.warn = Some(true);
            case.notes.extend(note.map(|(is_regex, text)| ("warn", is_regex, text)));
        }
        "info" => {
            case.info = Some(true);
            case.notes.extend(note.map(|(is_regex, text)| ("info", is_regex, text)));
        }
        "no_warn" => case.warn = Some(false),
        "no_info" => case.info = Some(false),
        "ordered" => case.ordered = true,
        _ => return Err(format!("unknown expectation {what}")),
    }
    Ok(())
}

fn context() -> QueryOptions {
    QueryOptions::default()
}

fn evaluate(head: &Head, case: &Case) -> Result<Evaluated, String> {
    let mut plan = Plan::new(&parse(&case.expr).map_err(|e| e.to_string())?);
    // Half of the plans are attached, so that both ways to find series are exercised.
    if case.line.is_multiple_of(2) {
        plan.attach(head);
    }
    let time = Timestamp::from_millis;
    match case.step_ms {
        Some(step) if !case.range_vector => {
            let step = Duration::from_millis(step as u64);
            plan.eval_range(head, time(case.start_ms), time(case.end_ms), step, &context())
        }
        _ => plan.eval(head, time(case.end_ms), &context()),
    }
    .map_err(|e| e.to_string())
}

fn fits(got: &str, is_regex: bool, expected: &str) -> bool {
    if is_regex { regex::Regex::new(expected).is_ok_and(|r| r.is_match(got)) } else { got == expected }
}

fn run_case(head: &Head, case: &Case) -> Result<(), String> {
    let result = evaluate(head, case);
    if case.fail {
        return match (result, &case.message) {
            (Ok(_), _) => Err("did not fail".to_owned()),
            (Err(e), Some((is_regex, expected))) if !fits(&e, *is_regex, expected) => {
                Err(format!("failed with {e:?}, expected {expected:?}"))
            }
            (Err(_), _) => Ok(()),
        };
    }
    let got = result?;
    for (kind, expected, notes) in [("warn", case.warn, &got.warnings), ("info", case.info, &got.infos)] {
        if expected.is_some_and(|expected| expected == notes.is_empty()) {
            return Err(format!("{kind}: {notes:?}"));
        }
        for (_, is_regex, text) in case.notes.iter().filter(|n| n.0 == kind) {
            if !notes.iter().any(|note| fits(note, *is_regex, text)) {
                return Err(format!("{kind}: {notes:?}, expected {text:?}"));
            }
        }
    }
    check_value(case, got.value)?;
    check_pinned(head, case)?;
    check_as_step(head, case)
}

/// Functions whose value depends on the moment of the evaluation, whatever their argument is pinned to.
const DEPENDS_ON_MOMENT: &[&str] = &[
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "hour",
    "minute",
    "month",
    "year",
    "predict_linear",
    "time",
    "timestamp",
    "start",
    "end",
    "step",
    "range",
];

/// Pins all selectors that are not yet pinned; within a pinned sub-query nothing more needs to be.
fn pin(expr: &mut Expr, at: At) {
    match expr {
        Expr::Number(..) | Expr::String(..) => {}
        Expr::Selector(s) => s.at = s.at.or(Some(at)),
        Expr::Range(r) => r.selector.at = r.selector.at.or(Some(at)),
        Expr::Subquery(s) => s.at = s.at.or(Some(at)),
        Expr::Negate(inner, _) | Expr::Plus(inner, _) | Expr::Paren(inner, _) => pin(inner, at),
        Expr::Binary(b) => {
            pin(&mut b.left, at);
            pin(&mut b.right, at);
        }
        Expr::Aggregate(a) => {
            pin(&mut a.expr, at);
            if let Some(param) = &mut a.param {
                pin(param, at);
            }
        }
        Expr::Call(call) => call.args.iter_mut().for_each(|arg| pin(arg, at)),
    }
}

/// The same expression pinned to its moment must give the same at any other.
fn check_pinned(head: &Head, case: &Case) -> Result<(), String> {
    if case.step_ms.is_some() {
        return Ok(());
    }
    let mut expr = parse(&case.expr).map_err(|e| e.to_string())?;
    let mut depends = ["start()", "end()"].iter().any(|moment| case.expr.contains(moment));
    expr.walk(&mut |e| {
        if let Expr::Call(call) = e {
            depends |= DEPENDS_ON_MOMENT.contains(&call.function.name);
        }
    });
    if depends {
        return Ok(());
    }
    let ts = case.start_ms;
    pin(&mut expr, At::Time(Timestamp::from_millis(ts)));
    // Through its text, so that the printing is tried as well.
    let expr = parse(&expr.to_string()).map_err(|e| format!("pinned: {expr}: {e}"))?;
    let plan = Plan::new(&expr);
    let times = if ts == 0 { vec![-1000, 0, 1000] } else { vec![-10 * ts, 0, ts / 5, ts, 10 * ts] };
    for at in times {
        let got = plan.eval(head, Timestamp::from_millis(at), &context());
        let got = got.map_err(|e| format!("pinned, at {at}: {e}"))?;
        check_value(case, got.value).map_err(|e| format!("pinned, at {at}: {e}"))?;
    }
    Ok(())
}

/// The same moment as the middle step of a range query must give the same.
fn check_as_step(head: &Head, case: &Case) -> Result<(), String> {
    let depends_on_query = ["range(", "step(", "start(", "end("].iter().any(|f| case.expr.contains(f));
    if case.step_ms.is_some() || case.string.is_some() || depends_on_query {
        return Ok(());
    }
    let plan = Plan::new(&parse(&case.expr).map_err(|e| e.to_string())?);
    let time = Timestamp::from_millis;
    let (start, end) = (time(case.start_ms - 60_000), time(case.start_ms + 60_000));
    let got =
        plan.eval_range(head, start, end, Duration::from_mins(1), &context()).map_err(|e| format!("as a step: {e}"))?;
    let Value::Matrix(series) = got.value else { return Err("as a step: no matrix".to_owned()) };
    let at_moment = |s: &watchfire::promql::SeriesPoints| {
        let point = s.points.iter().find(|p| p.t == time(case.start_ms))?;
        Some((s.labels.clone(), point.v.clone()))
    };
    let got = series.iter().filter_map(at_moment).collect();
    let mut expected = Vec::new();
    for line in &case.lines {
        let (labels, points) = expected_line(line)?;
        expected.extend(points.into_iter().flatten().map(|v| (labels.clone(), v)));
    }
    check_vector(false, got, expected).map_err(|e| format!("as a step: {e}"))
}

fn check_value(case: &Case, value: Value) -> Result<(), String> {
    match value {
        Value::String(s) => match &case.string {
            Some(expected) if **expected == *s => Ok(()),
            expected => Err(format!("string {s:?}, expected {expected:?}")),
        },
        Value::Scalar(v) => {
            let [line] = case.lines.as_slice() else { return Err(format!("scalar {v}, expected {:?}", case.lines)) };
            let expected = number(line)?;
            if same_float(expected, v) { Ok(()) } else { Err(format!("scalar {v}, expected {expected}")) }
        }
        Value::Vector(elements) => {
            let got: Vec<(Labels, SampleValue)> = elements.into_iter().map(|e| (e.labels, e.value)).collect();
            let mut expected = Vec::new();
            for line in &case.lines {
                let (labels, points) = expected_line(line)?;
                let [Some(v)] = points.as_slice() else { return Err(format!("bad expectation {line}")) };
                expected.push((labels, v.clone()));
            }
            check_vector(case.ordered, got, expected)
        }
        Value::Matrix(series) => {
            let mut expected: BTreeMap<Labels, Vec<Option<SampleValue>>> = BTreeMap::new();
            for line in &case.lines {
                let (labels, points) = expected_line(line)?;
                expected.insert(labels, points);
            }
            let step = case.step_ms.unwrap_or(1).max(1);
            for one in series {
                let Some(wanted) = expected.remove(&one.labels) else {
                    return Err(format!("unexpected series {} {:?}", one.labels, one.points));
                };
                let steps = (case.end_ms - case.start_ms) / step + 1;
                for i in 0..steps {
                    let t = Timestamp::from_millis(case.start_ms + i * step);
                    let got = one.points.iter().find(|p| p.t == t).map(|p| &p.v);
                    let want = wanted.get(i as usize).and_then(Option::as_ref);
                    let equal = match (got, want) {
                        (Some(a), Some(b)) => same(b, a),
                        (a, b) => a.is_none() && b.is_none(),
                    };
                    if !equal {
                        return Err(format!("{} at step {i}: {got:?}, expected {want:?}", one.labels));
                    }
                }
            }
            expected.retain(|_, points| points.iter().any(Option::is_some));
            if expected.is_empty() { Ok(()) } else { Err(format!("missing series {:?}", expected.keys())) }
        }
    }
}

/// A number alone stands for an element without labels.
fn expected_line(line: &str) -> Result<(Labels, super::notation::Points), String> {
    let first = line.chars().next().unwrap_or(' ');
    let is_value = first.is_ascii_digit()
        || matches!(first, '-' | '+' | '.')
        || line.starts_with("NaN")
        || line.starts_with("Inf");
    if is_value {
        return Ok((Labels::empty(), points(line)?));
    }
    let (labels, rest) = metric(line)?;
    Ok((labels, points(rest)?))
}

fn check_vector(
    ordered: bool,
    got: Vec<(Labels, SampleValue)>,
    expected: Vec<(Labels, SampleValue)>,
) -> Result<(), String> {
    if got.len() != expected.len() {
        return Err(format!("{} elements, expected {}: {got:?}", got.len(), expected.len()));
    }
    for (i, (labels, want)) in expected.iter().enumerate() {
        let found = if ordered { got.get(i).filter(|g| g.0 == *labels) } else { got.iter().find(|g| g.0 == *labels) };
        let Some((_, v)) = found else { return Err(format!("no element {labels}: {got:?}")) };
        if !same(want, v) {
            return Err(format!("{labels}: {v:?}, expected {want:?}"));
        }
    }
    Ok(())
}

fn same_float(expected: f64, got: f64) -> bool {
    if expected == got || (expected.is_nan() && got.is_nan()) {
        return true;
    }
    if !expected.is_finite() || !got.is_finite() {
        return false;
    }
    let (sum, difference) = (expected.abs() + got.abs(), (expected - got).abs());
    if expected == 0.0 || got == 0.0 || sum < f64::MIN_POSITIVE {
        difference < 1e-6 * f64::MIN_POSITIVE
    } else {
        difference / sum.min(f64::MAX) < 1e-6
    }
}

fn same(expected: &SampleValue, got: &SampleValue) -> bool {
    match (expected, got) {
        (SampleValue::Float(a), SampleValue::Float(b)) => same_float(*a, *b),
        (SampleValue::Histogram(a), SampleValue::Histogram(b)) => same_histogram(a, b),
        _ => false,
    }
}

fn same_histogram(a: &Histogram, b: &Histogram) -> bool {
    let same_side = |x: Vec<(i32, f64)>, y: Vec<(i32, f64)>| {
        x.len() == y.len() && x.iter().zip(&y).all(|(x, y)| x.0 == y.0 && same_float(x.1, y.1))
    };
    // A hint is compared only when the file writes one.
    (a.reset_hint == ResetHint::Unknown || a.reset_hint == b.reset_hint)
        && a.schema == b.schema
        && same_float(a.count, b.count)
        && same_float(a.sum, b.sum)
        && same_float(a.zero_count, b.zero_count)
        && same_float(a.zero_threshold, b.zero_threshold)
        && a.custom_values == b.custom_values
        && same_side(unfold(&a.positive_spans, &a.positive_buckets), unfold(&b.positive_spans, &b.positive_buckets))
        && same_side(unfold(&a.negative_spans, &a.negative_buckets), unfold(&b.negative_spans, &b.negative_buckets))
}
