//! Prometheus' duration text: `1h30m`, `500ms`, `1d`; a year is 365 days, a week 7, a day 24 hours.
//! In: text. Out: `std::time::Duration`, and back.
//! Never: accepts fractions or a unit twice (neither does Prometheus).
//! Start at [`parse`].

use std::time::Duration;

const UNITS: [(&str, u64); 7] = [
    ("y", 31_536_000_000),
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Reads a Prometheus duration. Units must come from large to small, each at most once; `0` needs no unit.
pub fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut next_unit, mut total) = (text, 0, 0u64);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = UNITS.iter().position(|(name, _)| *name == &rest[..letters])?;
        if unit < next_unit {
            return None;
        }
        next_unit = unit + 1;
        total = total.checked_add(number.checked_mul(UNITS[unit].1)?)?;
        rest = &rest[letters..];
    }
    Some(Duration::from_millis(total))
}

/// Prints as Prometheus does: `1h30m`, `2w`, `0s`. Weeks and years only when they divide evenly.
pub fn format(d: Duration) -> String {
    let mut ms = d.as_millis() as u64;
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    for (name, size) in UNITS {
        // `1w1d` would be read as nine days by nobody: Prometheus prints y and w only when exact.
        if matches!(name, "y" | "w") && !ms.is_multiple_of(size) {
            continue;
        }
        if ms >= size {
            out += &(ms / size).to_string();
            out += name;
            ms %= size;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints() {
        for (text, ms) in
            [("1h30m", 5_400_000), ("500ms", 500), ("2w", 1_209_600_000), ("1y", 31_536_000_000), ("8d", 691_200_000)]
        {
            assert_eq!(parse(text), Some(Duration::from_millis(ms)), "{text}");
            assert_eq!(format(Duration::from_millis(ms)), text);
        }
        assert_eq!(format(Duration::ZERO), "0s");
        for bad in ["", "1", "m", "1m1h", "1.5h", "-1m", "1m1m", "1 m", "1mo"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
