//! The series notation of promtool's tests: `up{job="a"}`, and values such as `1+1x5 _x3 stale {{schema:0 count:2}}`.
//! In: text. Out: label sets and samples, `None` for a gap.
//! Never: makes more than [`VALUES_MAX`] values of one text.
//! Start at [`values`].

use crate::model::labels::METRIC_NAME;
use crate::model::sample::{CUSTOM_BUCKETS_SCHEMA, ResetHint, Span, stale_marker};
use crate::model::{Histogram, Labels, MatchOp, SampleValue};
use crate::promql;
use crate::template::float_g;
use std::collections::BTreeMap;

/// Values one series may be given; a year of minutes is half of it.
const VALUES_MAX: usize = 1_000_000;
/// Buckets that a difference shows at most.
const SHOWN_BUCKETS_MAX: usize = 1_000;

/// Reads `name{a="b"}`; the empty text and `{}` are the empty set.
pub fn series_labels(text: &str) -> Result<Labels, String> {
    let text = text.trim();
    if text.is_empty() || text == "{}" {
        return Ok(Labels::empty());
    }
    let (name, inner) = text.split_once('{').unwrap_or((text, ""));
    // A set in which every value is empty is no selector, but it is a set.
    let selector = promql::parse_selector(text);
    let selector = match selector {
        Ok(selector) => selector,
        Err(e) if name.is_empty() && !inner.contains("=\"") => return Err(e.to_string()),
        Err(_) => promql::parse_selector(&format!("{name}{{__any__=\"x\",{inner}")).map_err(|e| e.to_string())?,
    };
    let mut pairs: Vec<(String, String)> = Vec::new();
    for matcher in selector.all_matchers() {
        if matcher.op != MatchOp::Equal {
            return Err(format!("a series has no matchers: {text}"));
        }
        if matcher.name != "__any__" {
            pairs.push((matcher.name, matcher.value));
        }
    }
    if let Some(name) = &selector.name {
        pairs.push((METRIC_NAME.to_owned(), name.to_string()));
    }
    Ok(Labels::from_pairs(pairs))
}

/// Reads the values of a series, one per interval: Prometheus' grammar of series descriptions, nothing more.
pub fn values(text: &str) -> Result<Vec<Option<SampleValue>>, String> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let before = rest;
        rest = item(rest, &mut out)?;
        let item = &before[..before.len() - rest.len()];
        if !rest.is_empty() && !rest.starts_with(char::is_whitespace) {
            return Err(format!("unexpected {rest:?} after {item:?}"));
        }
        rest = rest.trim_start();
        if out.len() > VALUES_MAX {
            return Err(format!("more than {VALUES_MAX} values"));
        }
    }
    Ok(out)
}

/// One item; what follows it comes back.
fn item<'a>(text: &'a str, out: &mut Vec<Option<SampleValue>>) -> Result<&'a str, String> {
    if let Some(rest) = text.strip_prefix('_') {
        let (times, rest) = repetition(rest)?;
        out.extend(std::iter::repeat_n(None, times.unwrap_or(1)));
        return Ok(rest);
    }
    if text.starts_with("{{") {
        return histograms(text, out);
    }
    let (first, tail) = value(text)?;
    let (step, tail) = match tail.chars().next() {
        Some('+' | '-') => signed(tail).map(|(step, tail)| (Some(step), tail))?,
        _ => (None, tail),
    };
    let (times, tail) = repetition(tail)?;
    if step.is_some() && times.is_none() {
        return Err(format!("a step without a repetition: {text:?}"));
    }
    let mut value = first;
    for _ in 0..=times.unwrap_or(0) {
        out.push(Some(SampleValue::Float(value)));
        // A stale marker that is repeated stays one.
        if let Some(step) = step {
            value += step;
        }
    }
    Ok(tail)
}

/// `x3`, if it is there.
fn repetition(text: &str) -> Result<(Option<usize>, &str), String> {
    let Some(rest) = text.strip_prefix('x') else { return Ok((None, text)) };
    let (digits, rest) = rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count());
    let n: usize = digits.parse().map_err(|_| format!("invalid repetition in series values: {text:?}"))?;
    if n > VALUES_MAX { Err(format!("more than {VALUES_MAX} values")) } else { Ok((Some(n), rest)) }
}

/// A number, with or without a sign, or `stale`.
fn value(text: &str) -> Result<(f64, &str), String> {
    if word_of(text) == "stale" {
        return Ok((stale_marker(), &text["stale".len()..]));
    }
    if text.starts_with(['+', '-']) { signed(text) } else { number(text) }
}

fn signed(text: &str) -> Result<(f64, &str), String> {
    let (v, rest) = number(&text[1..])?;
    Ok((if text.starts_with('-') { -v } else { v }, rest))
}

/// What an identifier could be.
fn word_of(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':').unwrap_or(text.len());
    &text[..end]
}

/// A number without a sign. `0x5` is a zero and a repetition.
fn number(text: &str) -> Result<(f64, &str), String> {
    let bad = || format!("expected a number or \"stale\": {text:?}");
    if text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        let word = word_of(text);
        let v = match word.to_ascii_lowercase().as_str() {
            "inf" => f64::INFINITY,
            "nan" => f64::NAN,
            _ => return Err(bad()),
        };
        return Ok((v, &text[word.len()..]));
    }
    let bytes = text.as_bytes();
    let mut end = 0;
    while let Some(b'0'..=b'9' | b'.' | b'_' | b'e' | b'E') = bytes.get(end) {
        let is_exponent = matches!(bytes[end], b'e' | b'E');
        end += 1;
        end += usize::from(is_exponent && matches!(bytes.get(end), Some(b'+' | b'-')));
    }
    if end == 0 {
        return Err(bad());
    }
    Ok((promql::number_value(&text[..end])?, &text[end..]))
}

/// `{{…}}`, `{{…}}x3`, `{{…}}+{{…}}x3`.
fn histograms<'a>(text: &'a str, out: &mut Vec<Option<SampleValue>>) -> Result<&'a str, String> {
    let (mut value, mut rest) = one_histogram(text)?;
    let mut step = None;
    if rest.starts_with(['+', '-']) {
        let is_added = rest.starts_with('+');
        let (h, tail) = one_histogram(&rest[1..])?;
        step = Some((h, is_added));
        rest = tail;
    }
    let (times, rest) = repetition(rest)?;
    if step.is_some() && times.is_none() {
        return Err(format!("a step without a repetition: {text:?}"));
    }
    for i in 0..=times.unwrap_or(0) {
        if i > 0
            && let Some((step, is_added)) = &step
        {
            value = stepped(&value, step, *is_added)?;
        }
        out.push(Some(SampleValue::Histogram(value.clone().into())));
    }
    Ok(rest)
}

fn stepped(value: &Histogram, step: &Histogram, is_added: bool) -> Result<Histogram, String> {
    if value.schema > step.schema {
        let (from, to) = (step.schema, value.schema);
        return Err(format!("error combining histograms: cannot merge from schema {from} to {to}"));
    }
    let next = promql::stepped_histogram(value, step, is_added);
    next.ok_or_else(|| "error combining histograms: their bounds differ".to_owned())
}

fn one_histogram(text: &str) -> Result<(Histogram, &str), String> {
    let end = text.find("}}").ok_or("unclosed histogram")? + 2;
    Ok((histogram(&text[..end])?, &text[end..]))
}

/// Reads `{{schema:1 sum:2 count:3 z_bucket:1 z_bucket_w:0.1 buckets:[1 2] offset:0 n_buckets:[1]}}`.
pub fn histogram(text: &str) -> Result<Histogram, String> {
    let bad = || format!("bad histogram {text:?}");
    let inner = text.trim().strip_prefix("{{").and_then(|t| t.strip_suffix("}}")).ok_or_else(bad)?;
    let mut h = Histogram::default();
    let (mut offset, mut n_offset) = (0i32, 0i32);
    let mut seen: Vec<String> = Vec::new();
    let mut rest = inner;
    if inner.trim().is_empty() {
        rest = "";
    }
    while !rest.is_empty() {
        let (key, tail) = rest.split_once(':').ok_or_else(bad)?;
        let key = key.to_ascii_lowercase();
        if seen.contains(&key) {
            return Err(format!("duplicate key {key:?} in histogram"));
        }
        let (value, tail) = match tail.strip_prefix('[') {
            Some(list) => list.split_once(']').ok_or_else(bad)?,
            None => tail.split_at(tail.find(char::is_whitespace).unwrap_or(tail.len())),
        };
        match key.as_str() {
            "schema" => h.schema = value.parse().map_err(|_| bad())?,
            "sum" => h.sum = part(value)?,
            "count" => h.count = part(value)?,
            "z_bucket" => h.zero_count = part(value)?,
            "z_bucket_w" => h.zero_threshold = Some(part(value)?).filter(|v| *v >= 0.0).ok_or_else(bad)?,
            "buckets" => h.positive_buckets = list(value)?,
            "n_buckets" => h.negative_buckets = list(value)?,
            "offset" => offset = value.parse().map_err(|_| bad())?,
            "n_offset" => n_offset = value.parse().map_err(|_| bad())?,
            "custom_values" => h.custom_values = list(value)?,
            "counter_reset_hint" => {
                h.reset_hint = match value.to_ascii_lowercase().as_str() {
                    "unknown" => ResetHint::Unknown,
                    "reset" => ResetHint::Yes,
                    "not_reset" => ResetHint::No,
                    "gauge" => ResetHint::Gauge,
                    _ => return Err(bad()),
                }
            }
            _ => return Err(bad()),
        }
        seen.push(key);
        rest = tail.trim_start();
        if !rest.is_empty() && rest.len() == tail.len() {
            return Err(bad());
        }
    }
    let spans = |buckets: &[f64], offset| {
        if buckets.is_empty() { Vec::new() } else { vec![Span { offset, length: buckets.len() as u32 }] }
    };
    h.positive_spans = spans(&h.positive_buckets, offset);
    h.negative_spans = spans(&h.negative_buckets, n_offset);
    Ok(h)
}

/// A number of a histogram: a minus may stand before it, no plus.
fn part(text: &str) -> Result<f64, String> {
    let (v, rest) = if text.starts_with('-') { signed(text) } else { number(text) }?;
    if rest.is_empty() { Ok(v) } else { Err(format!("not a number: {text:?}")) }
}

/// Numbers of a list that is not empty.
fn list(text: &str) -> Result<Vec<f64>, String> {
    if text.is_empty() || text.starts_with(char::is_whitespace) {
        return Err(format!("expected a number at the start of [{text}]"));
    }
    text.split_whitespace().map(part).collect()
}

/// The notation of a histogram, as [`histogram`] reads it; what is zero is left out.
pub(super) fn expression(h: &Histogram) -> String {
    let mut parts = Vec::new();
    if h.schema != 0 {
        parts.push(format!("schema:{}", h.schema));
    }
    for (key, value) in
        [("count", h.count), ("sum", h.sum), ("z_bucket", h.zero_count), ("z_bucket_w", h.zero_threshold)]
    {
        if value != 0.0 {
            parts.push(format!("{key}:{}", float_g(value)));
        }
    }
    let list = |values: &mut dyn Iterator<Item = f64>| values.map(float_g).collect::<Vec<_>>().join(" ");
    if h.schema == CUSTOM_BUCKETS_SCHEMA {
        parts.push(format!("custom_values:[{}]", list(&mut h.custom_values.iter().copied())));
    }
    match h.reset_hint {
        ResetHint::Yes => parts.push("counter_reset_hint:reset".to_owned()),
        ResetHint::No => parts.push("counter_reset_hint:not_reset".to_owned()),
        ResetHint::Gauge => parts.push("counter_reset_hint:gauge".to_owned()),
        ResetHint::Unknown => {}
    }
    let sides = [
        ("offset", "buckets", by_index(&h.positive_spans, &h.positive_buckets)),
        ("n_offset", "n_buckets", by_index(&h.negative_spans, &h.negative_buckets)),
    ];
    for (offset, buckets, counts) in sides {
        let (Some(first), Some(last)) = (counts.keys().next(), counts.keys().last()) else { continue };
        if *first != 0 {
            parts.push(format!("{offset}:{first}"));
        }
        // A histogram may be sparse over a wide range; what is shown is bounded.
        let shown = (*first..=*last).take(SHOWN_BUCKETS_MAX);
        parts.push(format!("{buckets}:[{}]", list(&mut shown.map(|i| counts.get(&i).copied().unwrap_or(0.0)))));
    }
    format!("{{{{{}}}}}", parts.join(" "))
}

/// Counts by absolute bucket index, without empty buckets.
pub(super) fn by_index(spans: &[Span], buckets: &[f64]) -> BTreeMap<i32, f64> {
    let mut out = BTreeMap::new();
    let (mut index, mut counts) = (0i32, buckets.iter());
    for span in spans {
        index += span.offset;
        for _ in 0..span.length {
            if let Some(count) = counts.next().filter(|c| **c != 0.0) {
                out.insert(index, *count);
            }
            index += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let shown: Vec<String> = values(text)
            .unwrap()
            .into_iter()
            .map(|v| match v {
                None => "_".to_owned(),
                Some(v) if v.is_stale() => "stale".to_owned(),
                Some(SampleValue::Float(v)) => v.to_string(),
                Some(SampleValue::Histogram(h)) => format!("h{}", h.count),
            })
            .collect();
        assert_eq!(shown.join(" "), expect, "{text}");
    }

    #[test]
    fn reads_values() {
        check("0 _ 1", "0 _ 1");
        check("0x2 1+1x2 5-2x1", "0 0 0 1 2 3 5 3");
        check("_x3 stale", "_ _ _ stale");
        check("1e3+.5x1 -1.5x1 NaN +Inf", "1000 1000.5 -1.5 -1.5 NaN inf");
        check("{{count:2 buckets:[2]}}+{{count:1 buckets:[1]}}x2 {{}}", "h2 h3 h4 h0");
        check("1_000 .5 5. 017", "1000 0.5 5 15");
        check("1 +1 -inf _x0 stale+1x1", "1 1 -inf stale NaN");
        check("{{count:1}}x2 3", "h1 h1 h1 3");
        check("{{schema:1 count:1}}+{{schema:2 count:1}}x1 {{Count:1 buckets:[1 2 ]}} {{ }}", "h1 h2 h1 h0");
        check("{{sum:NaN count:Inf}} {{schema:-53 count:3 custom_values:[1] buckets:[3]}}x0", "hinf h3");
        // What promtool refuses.
        for bad in [
            "a",
            "1x",
            "1+x3",
            "1+1",
            "1--2x3",
            "1+Infx2",
            "-infx1",
            "1x2.5",
            "1x2x3",
            "1x99999999",
            "1h",
            "1,2",
            "1 3 _a4",
            "_ _x2_x3",
            "stale2",
            "stalex2",
            "STALE",
            "{{a:1}}",
            "{{count:1}}1",
            "{{count:1}}+{{count:1}}",
            "{{count:1 count:2}}",
            "{{count:1 sum:+2}}",
            "{{count: 1}}",
            "{{ count:1 }}",
            "{{count:0x10}}",
            "{{schema:1.5}}",
            "{{buckets:[]}}",
            "{{buckets:[ 1 2]}}",
            "{{buckets:[1]sum:2}}",
            "{{z_bucket_w:-1}}",
            "{{counter_reset_hint:foo}}",
            "{{schema:2 count:1}}+{{schema:1 count:1}}x2",
        ] {
            assert!(values(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn histograms_are_written_as_they_are_read() {
        for text in [
            "{{}}",
            "{{schema:1 count:3.5 sum:-2 z_bucket:1 z_bucket_w:0.001 counter_reset_hint:gauge offset:2 buckets:[1 0 2] n_buckets:[1]}}",
            "{{schema:-53 count:3 sum:4 custom_values:[1 2.5] buckets:[1 2]}}",
        ] {
            assert_eq!(expression(&histogram(text).unwrap()), text);
        }
    }

    #[test]
    fn reads_label_sets() {
        let check = |text: &str, expect: &str| assert_eq!(series_labels(text).unwrap().to_string(), expect, "{text}");
        check("up", "{__name__=\"up\"}");
        check("up{job=\"a\",empty=\"\"}", "{__name__=\"up\", job=\"a\"}");
        check("{}", "{}");
        check("{a=\"b\"}", "{a=\"b\"}");
        assert!(series_labels("up{job=~\"a\"}").is_err());
    }
}
