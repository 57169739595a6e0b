//! Numbers for people, as Prometheus' and Alertmanager's templates write them.
//! In: a number. Out: `1.049M`, `1Mi`, `2m 15s`, `95.9%`.
//! Never: fails; NaN and infinities are printed as such.
//! Start at [`humanize`].

use super::fmt::float_g_precision;

fn four_digits(v: f64) -> String {
    float_g_precision(v, 4)
}

fn is_plain(v: f64) -> bool {
    v == 0.0 || !v.is_finite()
}

/// Divides by (or multiplies with) `step` until the value has its prefix.
fn scaled(mut v: f64, step: f64, prefixes: &[&'static str], grow: bool) -> (f64, &'static str) {
    let mut prefix = "";
    for p in prefixes {
        if if grow { v.abs() >= 1.0 } else { v.abs() < step } {
            break;
        }
        prefix = p;
        v = if grow { v * step } else { v / step };
    }
    (v, prefix)
}

const SMALL: [&str; 8] = ["m", "u", "n", "p", "f", "a", "z", "y"];

/// SI prefixes, four digits: `1.235M`, `120m`.
pub fn humanize(v: f64) -> String {
    if is_plain(v) {
        return four_digits(v);
    }
    let (v, prefix) = if v.abs() >= 1.0 {
        scaled(v, 1000.0, &["k", "M", "G", "T", "P", "E", "Z", "Y"], false)
    } else {
        scaled(v, 1000.0, &SMALL, true)
    };
    four_digits(v) + prefix
}

/// Binary prefixes: `1.177Mi`.
pub fn humanize1024(v: f64) -> String {
    if v.abs() <= 1.0 || is_plain(v) {
        return four_digits(v);
    }
    let (v, prefix) = scaled(v, 1024.0, &["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"], false);
    four_digits(v) + prefix
}

/// A ratio in percent: `95.9%`.
pub fn humanize_percentage(v: f64) -> String {
    four_digits(v * 100.0) + "%"
}

/// Seconds as a span of time: `1d 2h 3m 4s`, `1.234s`, `100ms`.
pub fn humanize_duration(v: f64) -> String {
    if !v.is_finite() {
        return four_digits(v);
    }
    if v == 0.0 {
        return "0s".to_owned();
    }
    if v.abs() < 1.0 {
        let (v, prefix) = scaled(v, 1000.0, &SMALL, true);
        return format!("{}{prefix}s", four_digits(v));
    }
    let sign = if v < 0.0 { "-" } else { "" };
    let v = v.abs();
    let whole = v as i64;
    let (d, h, m, s) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60, whole % 60);
    if d != 0 {
        format!("{sign}{d}d {h}h {m}m {s}s")
    } else if h != 0 {
        format!("{sign}{h}h {m}m {s}s")
    } else if m != 0 {
        format!("{sign}{m}m {s}s")
    } else {
        format!("{sign}{}s", four_digits(v))
    }
}
