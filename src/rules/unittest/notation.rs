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

/// Reads the values of a series, one per interval.
pub fn values(text: &str) -> Result<Vec<Option<SampleValue>>, String> {
    let mut out = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        rest = if rest.starts_with("{{") { histograms(rest, &mut out)? } else { plain(rest, &mut out)? };
        rest = rest.trim_start();
        if out.len() > VALUES_MAX {
            return Err(format!("more than {VALUES_MAX} values"));
        }
    }
    Ok(out)
}

fn count(text: &str) -> Result<usize, String> {
    let n: usize = text.parse().map_err(|_| format!("bad repetition {text:?}"))?;
    if n > VALUES_MAX { Err(format!("more than {VALUES_MAX} values")) } else { Ok(n) }
}

/// One token without spaces.
fn plain<'a>(text: &'a str, out: &mut Vec<Option<SampleValue>>) -> Result<&'a str, String> {
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (token, rest) = text.split_at(end);
    let bad = || format!("bad value {token:?}");
    if let Some(times) = token.strip_prefix('_') {
        let n = times.strip_prefix('x').map_or(Ok(1), count)?;
        out.extend(std::iter::repeat_n(None, n));
        return Ok(rest);
    }
    if let Some(times) = token.strip_prefix("stale") {
        let n = times.strip_prefix('x').map_or(Ok(0), count)?;
        out.extend(std::iter::repeat_n(Some(SampleValue::Float(stale_marker())), n + 1));
        return Ok(rest);
    }
    let used = number_len(token);
    let first: f64 = token[..used].parse().map_err(|_| bad())?;
    let tail = &token[used..];
    if tail.is_empty() {
        out.push(Some(SampleValue::Float(first)));
        return Ok(rest);
    }
    let (step, times) = if let Some(times) = tail.strip_prefix('x') {
        (0.0, times)
    } else {
        let sign = if tail.starts_with('-') { -1.0 } else { 1.0 };
        let tail = tail.strip_prefix(['+', '-']).ok_or_else(bad)?;
        let used = number_len(tail);
        let step: f64 = tail[..used].parse().map_err(|_| bad())?;
        (sign * step, tail[used..].strip_prefix('x').ok_or_else(bad)?)
    };
    let mut value = first;
    for _ in 0..=count(times)? {
        out.push(Some(SampleValue::Float(value)));
        value += step;
    }
    Ok(rest)
}

/// How many bytes of the text are one number. `0x5` is a zero and a repetition.
fn number_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut i = usize::from(text.starts_with(['+', '-']));
    let lower = text[i..].to_ascii_lowercase();
    for word in ["infinity", "inf", "nan"] {
        if lower.starts_with(word) {
            return i + word.len();
        }
    }
    while i < bytes.len() {
        match bytes[i] {
            b'0'..=b'9' | b'.' => i += 1,
            b'e' | b'E' => {
                i += 1;
                i += usize::from(matches!(bytes.get(i), Some(b'+' | b'-')));
            }
            _ => break,
        }
    }
    i
}

/// `{{…}}`, `{{…}}x3`, `{{…}}+{{…}}x3`.
fn histograms<'a>(text: &'a str, out: &mut Vec<Option<SampleValue>>) -> Result<&'a str, String> {
    let (first, mut rest) = one_histogram(text)?;
    let mut step = None;
    if let Some(next) = rest.strip_prefix(['+', '-']) {
        let (h, tail) = one_histogram(next)?;
        step = Some((h, if rest.starts_with('-') { -1.0 } else { 1.0 }));
        rest = tail;
    }
    let mut n = 0;
    if let Some(times) = rest.strip_prefix('x') {
        let digits = times.bytes().take_while(u8::is_ascii_digit).count();
        n = count(&times[..digits])?;
        rest = &times[digits..];
    }
    let mut value = first;
    for _ in 0..=n {
        out.push(Some(SampleValue::Histogram(value.clone().into())));
        if let Some((h, sign)) = &step {
            value = added(&value, h, *sign)?;
        }
    }
    Ok(rest)
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
    let mut rest = inner.trim_start();
    while !rest.is_empty() {
        let (key, tail) = rest.split_once(':').ok_or_else(bad)?;
        let (value, tail) = match tail.strip_prefix('[') {
            Some(list) => list.split_once(']').ok_or_else(bad)?,
            None => tail.split_at(tail.find(char::is_whitespace).unwrap_or(tail.len())),
        };
        let number = || value.trim().parse::<f64>().map_err(|_| bad());
        let list =
            || value.split_whitespace().map(|v| v.parse::<f64>().map_err(|_| bad())).collect::<Result<Vec<f64>, _>>();
        match key.trim() {
            "schema" => h.schema = number()? as i32,
            "sum" => h.sum = number()?,
            "count" => h.count = number()?,
            "z_bucket" => h.zero_count = number()?,
            "z_bucket_w" => h.zero_threshold = number()?,
            "buckets" => h.positive_buckets = list()?,
            "n_buckets" => h.negative_buckets = list()?,
            "offset" => offset = number()? as i32,
            "n_offset" => n_offset = number()? as i32,
            "custom_values" => {
                h.custom_values = list()?;
                h.schema = CUSTOM_BUCKETS_SCHEMA;
            }
            "counter_reset_hint" => {
                h.reset_hint = match value.trim() {
                    "reset" => ResetHint::Yes,
                    "not_reset" => ResetHint::No,
                    "gauge" => ResetHint::Gauge,
                    _ => ResetHint::Unknown,
                }
            }
            _ => return Err(bad()),
        }
        rest = tail.trim_start();
    }
    let spans = |buckets: &[f64], offset| {
        if buckets.is_empty() { Vec::new() } else { vec![Span { offset, length: buckets.len() as u32 }] }
    };
    h.positive_spans = spans(&h.positive_buckets, offset);
    h.negative_spans = spans(&h.negative_buckets, n_offset);
    Ok(h)
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

fn added(a: &Histogram, b: &Histogram, sign: f64) -> Result<Histogram, String> {
    if a.schema != b.schema || a.custom_values != b.custom_values || a.zero_threshold != b.zero_threshold {
        return Err("histograms of different bucket layouts cannot be stepped".to_owned());
    }
    let merge = |a: BTreeMap<i32, f64>, b: BTreeMap<i32, f64>| {
        let mut all = a;
        for (i, count) in b {
            *all.entry(i).or_default() += sign * count;
        }
        let (Some(first), Some(last)) = (all.keys().next().copied(), all.keys().last().copied()) else {
            return (Vec::new(), Vec::new());
        };
        let buckets: Vec<f64> = (first..=last).map(|i| all.get(&i).copied().unwrap_or(0.0)).collect();
        (vec![Span { offset: first, length: buckets.len() as u32 }], buckets)
    };
    let side = |h: &Histogram, positive: bool| {
        if positive {
            by_index(&h.positive_spans, &h.positive_buckets)
        } else {
            by_index(&h.negative_spans, &h.negative_buckets)
        }
    };
    let (positive_spans, positive_buckets) = merge(side(a, true), side(b, true));
    let (negative_spans, negative_buckets) = merge(side(a, false), side(b, false));
    Ok(Histogram {
        zero_count: a.zero_count + sign * b.zero_count,
        count: a.count + sign * b.count,
        sum: a.sum + sign * b.sum,
        positive_spans,
        positive_buckets,
        negative_spans,
        negative_buckets,
        ..a.clone()
    })
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
        for bad in ["a", "1x", "1+x3", "{{a:1}}", "1x99999999"] {
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
