//! The notation of series in promqltest files: `name{a="b"} 1+2x3 _ stale {{schema:0 sum:1 count:2}}`.
//! In: a line. Out: labels and one optional value per step.
//! Never: accepts what it does not understand.
//! Start at [`series_line`].

use watchfire::model::sample::{ResetHint, Span, stale_marker};
use watchfire::model::{Histogram, Labels, SampleValue};

pub type Points = Vec<Option<SampleValue>>;

/// Labels, then points.
pub fn series_line(line: &str) -> Result<(Labels, Points), String> {
    let (labels, rest) = metric(line)?;
    Ok((labels, points(rest)?))
}

/// `name{a="b"}` at the start of `text`; yields what follows.
pub fn metric(text: &str) -> Result<(Labels, &str), String> {
    let text = text.trim_start();
    // A value such as `{{sum:1}}` has no name in front: two braces never begin a label set.
    if text.starts_with("{{") {
        return Ok((Labels::empty(), text));
    }
    let end = text.find(|c: char| c == '{' || c.is_whitespace()).unwrap_or(text.len());
    let (name, mut rest) = text.split_at(end);
    let mut pairs: Vec<(String, String)> = Vec::new();
    if !name.is_empty() {
        pairs.push(("__name__".to_owned(), name.to_owned()));
    }
    if let Some(inner) = rest.strip_prefix('{').filter(|inner| !inner.starts_with('{')) {
        rest = inner.trim_start();
        while !rest.starts_with('}') {
            let key;
            let quoted = rest.starts_with(['"', '\'']);
            if quoted {
                (key, rest) = string(rest)?;
            } else {
                let end = rest.find(|c: char| c == '=' || c.is_whitespace()).ok_or("a label without a value")?;
                key = rest[..end].to_owned();
                rest = &rest[end..];
            }
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix('=') {
                let value;
                (value, rest) = string(after.trim_start())?;
                pairs.push((key, value));
            } else if quoted {
                pairs.push(("__name__".to_owned(), key));
            } else {
                return Err(format!("label {key} without a value"));
            }
            rest = rest.trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
            if rest.is_empty() {
                return Err("unclosed braces".to_owned());
            }
        }
        rest = &rest[1..];
    }
    Ok((Labels::from_pairs(pairs), rest))
}

fn string(text: &str) -> Result<(String, &str), String> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\'')).ok_or_else(|| format!("no string: {text}"))?;
    let mut out = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((i, c)) = chars.next() {
        match c {
            '\\' => match chars.next().map(|(_, c)| c) {
                Some('n') => out.push('\n'),
                Some(c) => out.push(c),
                None => break,
            },
            c if c == quote => return Ok((out, &text[i + 1..])),
            c => out.push(c),
        }
    }
    Err(format!("unclosed string: {text}"))
}

/// Splits at white space outside `{{…}}`.
fn items(text: &str) -> Vec<&str> {
    let (mut out, mut start, mut depth) = (Vec::new(), None, 0i32);
    for (i, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if c.is_whitespace() && depth == 0 {
            if let Some(start) = start.take() {
                out.push(&text[start..i]);
            }
        } else if start.is_none() {
            start = Some(i);
        }
    }
    out.extend(start.map(|start| &text[start..]));
    out
}

pub fn points(text: &str) -> Result<Points, String> {
    let mut out = Points::new();
    for item in items(text) {
        one_item(item, &mut out)?;
    }
    Ok(out)
}

fn one_item(item: &str, out: &mut Points) -> Result<(), String> {
    let times = |n: &str| n.parse::<usize>().map_err(|_| format!("bad repetition: {item}"));
    if let Some(n) = item.strip_prefix('_') {
        let n = if n.is_empty() { 1 } else { times(n.strip_prefix('x').ok_or(item)?)? };
        out.extend(std::iter::repeat_n(None, n));
        return Ok(());
    }
    if let Some(n) = item.strip_prefix("stale") {
        let n = if n.is_empty() { 1 } else { times(n.strip_prefix('x').ok_or(item)?)? + 1 };
        out.extend(std::iter::repeat_n(Some(SampleValue::Float(stale_marker())), n));
        return Ok(());
    }
    if item.starts_with("{{") {
        let (start, rest) = braces(item)?;
        if rest.is_empty() {
            out.push(Some(SampleValue::Histogram(start.into())));
            return Ok(());
        }
        let sign = if rest.starts_with('-') { -1.0 } else { 1.0 };
        let (step, rest) = match rest.strip_prefix(['+', '-']) {
            Some(rest) => braces(rest).map(|(h, rest)| (Some(h), rest))?,
            None => (None, rest),
        };
        let n = times(rest.strip_prefix('x').ok_or(item)?)?;
        let mut current = start;
        for i in 0..=n {
            if i > 0
                && let Some(step) = &step
            {
                current = plus(&current, step, sign);
            }
            out.push(Some(SampleValue::Histogram(current.clone().into())));
        }
        return Ok(());
    }
    let (body, n) = match item.rsplit_once('x').filter(|(body, n)| !body.is_empty() && n.parse::<usize>().is_ok()) {
        Some((body, n)) => (body, Some(times(n)?)),
        None => (item, None),
    };
    let Some(n) = n else {
        out.push(Some(SampleValue::Float(number(body)?)));
        return Ok(());
    };
    // The sign of the step is the last one that follows neither the start nor an exponent.
    let bytes = body.as_bytes();
    let split = (1..bytes.len())
        .rev()
        .find(|i| matches!(bytes[*i], b'+' | b'-') && !matches!(bytes[i - 1], b'e' | b'E' | b'+' | b'-'));
    let (start, step) = match split {
        Some(i) => {
            // In `1--2x3` the number after the sign has its own.
            (number(&body[..i])?, number(&body[i + 1..])? * if bytes[i] == b'-' { -1.0 } else { 1.0 })
        }
        None => {
            match (1..bytes.len())
                .rev()
                .find(|i| matches!(bytes[*i], b'+' | b'-') && matches!(bytes[i - 1], b'+' | b'-'))
            {
                Some(i) => {
                    (number(&body[..i - 1])?, number(&body[i..])? * if bytes[i - 1] == b'-' { -1.0 } else { 1.0 })
                }
                None => (number(body)?, 0.0),
            }
        }
    };
    let mut v = start;
    for i in 0..=n {
        if i > 0 {
            v += step;
        }
        out.push(Some(SampleValue::Float(v)));
    }
    Ok(())
}

pub fn number(text: &str) -> Result<f64, String> {
    let unsigned = text.trim_start_matches(['+', '-']);
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    let value = match unsigned.to_ascii_lowercase().as_str() {
        "inf" => f64::INFINITY,
        "nan" => f64::NAN,
        hex if hex.starts_with("0x") => i64::from_str_radix(&hex[2..], 16).map_err(|e| e.to_string())? as f64,
        plain => plain.parse().map_err(|_| format!("no number: {text:?}"))?,
    };
    Ok(sign * value)
}

fn braces(text: &str) -> Result<(Histogram, &str), String> {
    let end = text.find("}}").ok_or("unclosed histogram")?;
    let body = text.strip_prefix("{{").ok_or("no histogram")?;
    Ok((histogram(&body[..end - 2])?, &text[end + 2..]))
}

fn histogram(body: &str) -> Result<Histogram, String> {
    let mut h = Histogram::default();
    let mut rest = body.trim();
    let (mut offset, mut n_offset) = (0, 0);
    while !rest.is_empty() {
        let (key, after) = rest.split_once(':').ok_or_else(|| format!("bad histogram: {body}"))?;
        let after = after.trim_start();
        let end = if after.starts_with('[') {
            after.find(']').ok_or("unclosed list")? + 1
        } else {
            after.find(char::is_whitespace).unwrap_or(after.len())
        };
        let (value, left) = after.split_at(end);
        rest = left.trim_start();
        let list =
            || -> Result<Vec<f64>, String> { value.trim_matches(['[', ']']).split_whitespace().map(number).collect() };
        match key.trim() {
            "schema" => h.schema = value.parse().map_err(|_| format!("bad schema {value}"))?,
            "sum" => h.sum = number(value)?,
            "count" => h.count = number(value)?,
            "z_bucket" => h.zero_count = number(value)?,
            "z_bucket_w" => h.zero_threshold = number(value)?,
            "buckets" => h.positive_buckets = list()?,
            "n_buckets" => h.negative_buckets = list()?,
            "custom_values" => h.custom_values = list()?,
            "offset" => offset = value.parse().map_err(|_| format!("bad offset {value}"))?,
            "n_offset" => n_offset = value.parse().map_err(|_| format!("bad offset {value}"))?,
            "counter_reset_hint" => {
                h.reset_hint = match value {
                    "reset" => ResetHint::Yes,
                    "not_reset" => ResetHint::No,
                    "gauge" => ResetHint::Gauge,
                    _ => ResetHint::Unknown,
                }
            }
            other => return Err(format!("unknown part of a histogram: {other}")),
        }
    }
    let spans = |offset, n: usize| if n == 0 { vec![] } else { vec![Span { offset, length: n as u32 }] };
    h.positive_spans = spans(offset, h.positive_buckets.len());
    h.negative_spans = spans(n_offset, h.negative_buckets.len());
    Ok(h)
}

/// Buckets by index, empty ones left out.
pub fn unfold(spans: &[Span], counts: &[f64]) -> Vec<(i32, f64)> {
    let (mut out, mut index, mut counts) = (Vec::new(), 0, counts.iter());
    for span in spans {
        index += span.offset;
        for _ in 0..span.length {
            out.push((index, *counts.next().unwrap()));
            index += 1;
        }
    }
    out.retain(|(_, count)| *count != 0.0);
    out
}

fn refold(indexed: &std::collections::BTreeMap<i32, f64>) -> (Vec<Span>, Vec<f64>) {
    let (mut spans, mut next) = (Vec::new(), 0);
    for index in indexed.keys() {
        spans.push(Span { offset: index - next, length: 1 });
        next = index + 1;
    }
    (spans, indexed.values().copied().collect())
}

/// At a coarser schema: each bucket joins the one that contains it.
fn coarse(h: &Histogram, schema: i32) -> Histogram {
    if h.schema <= schema {
        return h.clone();
    }
    let shift = h.schema - schema;
    let side = |spans: &[Span], counts: &[f64]| {
        let mut all = std::collections::BTreeMap::new();
        for (i, c) in unfold(spans, counts) {
            *all.entry(((i - 1) >> shift) + 1).or_default() += c;
        }
        refold(&all)
    };
    let (positive_spans, positive_buckets) = side(&h.positive_spans, &h.positive_buckets);
    let (negative_spans, negative_buckets) = side(&h.negative_spans, &h.negative_buckets);
    Histogram { schema, positive_spans, positive_buckets, negative_spans, negative_buckets, ..h.clone() }
}

/// Sum of two histograms, as the notation steps from one sample to the next.
fn plus(a: &Histogram, b: &Histogram, sign: f64) -> Histogram {
    let schema = a.schema.min(b.schema);
    let (a, b) = (&coarse(a, schema), &coarse(b, schema));
    let side = |sa: &[Span], ca: &[f64], sb: &[Span], cb: &[f64]| {
        let mut all: std::collections::BTreeMap<i32, f64> = unfold(sa, ca).into_iter().collect();
        for (i, c) in unfold(sb, cb) {
            *all.entry(i).or_default() += sign * c;
        }
        refold(&all)
    };
    let (positive_spans, positive_buckets) =
        side(&a.positive_spans, &a.positive_buckets, &b.positive_spans, &b.positive_buckets);
    let (negative_spans, negative_buckets) =
        side(&a.negative_spans, &a.negative_buckets, &b.negative_spans, &b.negative_buckets);
    Histogram {
        count: a.count + sign * b.count,
        sum: a.sum + sign * b.sum,
        zero_count: a.zero_count + sign * b.zero_count,
        positive_spans,
        positive_buckets,
        negative_spans,
        negative_buckets,
        ..a.clone()
    }
}
