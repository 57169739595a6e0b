//! Go's constants and conversions: number syntax, and what counts as a number for a function.
//! In: text and values. Out: numbers, or Go's words for why not.
//! Never: accepts what `strconv` would refuse.
//! Start at [`parse_number`] and [`to_float`].

use super::lex::Kind;
use super::value::Value;

/// A number constant: decimal, hex, octal, binary, with underscores, fraction or exponent.
pub(super) fn parse_number(text: &str) -> Option<Kind> {
    if let Some(i) = parse_int(text) {
        return Some(Kind::Int(i));
    }
    if text.contains(['x', 'X', 'n', 'N', 'i', 'I']) {
        return None;
    }
    let v: f64 = text.replace('_', "").parse().ok()?;
    // As in Go, a float constant that is whole may stand where an int is wanted; it stays a float here.
    v.is_finite().then_some(Kind::Float(v))
}

fn parse_int(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.get(..2) {
        Some("0x") => (16, &lower[2..]),
        Some("0o") => (8, &lower[2..]),
        Some("0b") => (2, &lower[2..]),
        _ if lower.len() > 1 && lower.starts_with('0') && lower.bytes().all(|b| b.is_ascii_digit()) => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    let digits = digits.replace('_', "");
    if digits.starts_with(['+', '-']) {
        return None;
    }
    i64::from_str_radix(&format!("{}{digits}", if negative { "-" } else { "" }), radix).ok()
}

/// Go's `strconv.ParseFloat`.
pub(super) fn parse_float(text: &str) -> Result<f64, String> {
    let bad = || format!("strconv.ParseFloat: parsing {}: invalid syntax", crate::model::quote::quote(text));
    let lower = text.to_ascii_lowercase();
    let plain = lower.trim_start_matches(['+', '-']);
    if plain.contains('n') && !matches!(plain, "nan" | "inf" | "infinity") {
        return Err(bad());
    }
    match parse_int(text) {
        Some(i) if plain.starts_with("0x") => Ok(i as f64),
        _ => text.parse().map_err(|_| bad()),
    }
}

/// What Prometheus' and Alertmanager's functions take for a number: numbers, numeric text, durations (seconds).
pub(super) fn to_float(value: &Value) -> Result<f64, String> {
    match value {
        Value::Float(v) => Ok(*v),
        Value::Int(i) => Ok(*i as f64),
        Value::Str(s) | Value::Safe(_, s) => parse_float(s),
        Value::Object(o) => o.number().ok_or_else(|| format!("can't convert {} to float", o.type_name())),
        other => Err(format!("can't convert {} to float", other.type_name())),
    }
}
