//! Go's moments and durations inside templates: layouts, zones, and the methods that templates call.
//! In: timestamps and seconds. Out: objects with `Format`, `Add`, `Unix`, `String`, ….
//! Never: asks what time it is.
//! Start at [`Time`] and [`GoDuration`].

use super::value::{Object, Value, View};
use crate::model::Timestamp;
use crate::model::quote::quote;
use jiff::tz::TimeZone;

const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// A moment in a zone (`time.Time`).
#[derive(Clone, Debug)]
pub struct Time(pub jiff::Zoned);

/// A length of time in nanoseconds (`time.Duration`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GoDuration(pub i64);

impl Time {
    pub fn from_timestamp(t: Timestamp) -> Self {
        let at = jiff::Timestamp::from_millisecond(t.as_millis());
        Self(at.unwrap_or_else(|_| zero()).to_zoned(TimeZone::UTC))
    }

    /// Unix seconds, cut to milliseconds as Prometheus keeps them; what does not fit 64 bits of nanoseconds is refused in Go's
    /// words.
    pub fn from_secs(secs: f64) -> Result<Self, String> {
        let nanos = secs * 1e9;
        if nanos.is_nan() || nanos.abs() >= 9.223372036854775e18 {
            return Err(format!(
                "{} cannot be represented as a nanoseconds timestamp since it overflows int64",
                super::fmt::float_g(secs)
            ));
        }
        let at = jiff::Timestamp::from_millisecond(nanos as i64 / 1_000_000).map_err(|e| e.to_string())?;
        Ok(Self(at.to_zoned(TimeZone::UTC)))
    }

    pub fn in_zone(&self, name: &str) -> Result<Self, String> {
        let zone = match name {
            "" | "UTC" | "Local" => TimeZone::UTC,
            name => TimeZone::get(name).map_err(|_| format!("unknown time zone {name}"))?,
        };
        Ok(Self(self.0.with_time_zone(zone)))
    }

    fn nanos(&self) -> i128 {
        self.0.timestamp().as_nanosecond()
    }

    /// RFC 3339 with the fraction that is needed, as Go's JSON.
    pub fn rfc3339(&self) -> String {
        self.format("2006-01-02T15:04:05.999999999Z07:00")
    }

    /// Go's layout language.
    pub fn format(&self, layout: &str) -> String {
        let mut out = String::with_capacity(layout.len() + 8);
        let mut rest = layout;
        while let Some(c) = rest.chars().next() {
            let used = if let Some(element) = ELEMENTS.iter().find(|e| rest.starts_with(**e)) {
                self.element(element, &mut out);
                element.len()
            } else if let Some(digits) = fraction(rest, &out) {
                self.fraction(&rest[..=digits], &mut out);
                digits + 1
            } else {
                out.push(c);
                c.len_utf8()
            };
            rest = &rest[used..];
        }
        out
    }

    fn element(&self, element: &str, out: &mut String) {
        let z = &self.0;
        let hour12 = match z.hour() % 12 {
            0 => 12,
            h => h,
        };
        let text = match element {
            "January" => MONTHS[z.month() as usize - 1].to_owned(),
            "Jan" => MONTHS[z.month() as usize - 1][..3].to_owned(),
            "Monday" => DAYS[z.weekday().to_sunday_zero_offset() as usize].to_owned(),
            "Mon" => DAYS[z.weekday().to_sunday_zero_offset() as usize][..3].to_owned(),
            "2006" => format!("{:04}", z.year()),
            "06" => format!("{:02}", z.year() % 100),
            "002" => format!("{:03}", z.day_of_year()),
            "01" => format!("{:02}", z.month()),
            "1" => z.month().to_string(),
            "02" => format!("{:02}", z.day()),
            "_2" => format!("{:>2}", z.day()),
            "2" => z.day().to_string(),
            "15" => format!("{:02}", z.hour()),
            "03" => format!("{hour12:02}"),
            "3" => hour12.to_string(),
            "04" => format!("{:02}", z.minute()),
            "4" => z.minute().to_string(),
            "05" => format!("{:02}", z.second()),
            "5" => z.second().to_string(),
            "PM" => if z.hour() >= 12 { "PM" } else { "AM" }.to_owned(),
            "pm" => if z.hour() >= 12 { "pm" } else { "am" }.to_owned(),
            "MST" => z.time_zone().to_offset_info(z.timestamp()).abbreviation().to_owned(),
            zone => self.offset(zone),
        };
        out.push_str(&text);
    }

    fn offset(&self, element: &str) -> String {
        let secs = self.0.offset().seconds();
        if element.starts_with('Z') && secs == 0 {
            return "Z".to_owned();
        }
        let sign = if secs < 0 { '-' } else { '+' };
        let (h, m, s) = (secs.abs() / 3600, secs.abs() / 60 % 60, secs.abs() % 60);
        match &element[1..] {
            "07" => format!("{sign}{h:02}"),
            "0700" => format!("{sign}{h:02}{m:02}"),
            "07:00" => format!("{sign}{h:02}:{m:02}"),
            "070000" => format!("{sign}{h:02}{m:02}{s:02}"),
            _ => format!("{sign}{h:02}:{m:02}:{s:02}"),
        }
    }

    /// `.000` keeps zeros, `.999` cuts them.
    fn fraction(&self, layout: &str, out: &mut String) {
        let digits = layout.len() - 1;
        let nanos = format!("{:09}", self.0.subsec_nanosecond());
        let text: String = nanos.chars().take(digits).collect();
        let text = if layout.ends_with('9') { text.trim_end_matches('0') } else { &text };
        if !text.is_empty() {
            out.push_str(&layout[..1]);
            out.push_str(text);
        }
    }

    /// Reads text by a layout of digits; a small part of Go's `time.Parse`, enough for dates and RFC 3339.
    pub fn parse(layout: &str, text: &str) -> Result<Self, String> {
        let failed = |element: &str, rest: &str| {
            let (text, layout) = (quote(text), quote(layout));
            format!("parsing time {text} as {layout}: cannot parse {} as {}", quote(rest), quote(element))
        };
        let (mut y, mut mo, mut d, mut h, mut mi, mut s, mut offset) = (1i64, 1i64, 1i64, 0i64, 0i64, 0i64, 0i64);
        let (mut l, mut t) = (layout, text);
        while !l.is_empty() {
            let Some(element) = ELEMENTS.iter().find(|e| l.starts_with(**e)) else {
                let c = l.chars().next().unwrap_or(' ');
                t = t.strip_prefix(c).ok_or_else(|| failed(&l[..c.len_utf8()], t))?;
                l = &l[c.len_utf8()..];
                continue;
            };
            l = &l[element.len()..];
            if element.starts_with(['Z', '-']) {
                if let Some(rest) = t.strip_prefix('Z') {
                    t = rest;
                    continue;
                }
                let sign = if t.starts_with('-') { -1 } else { 1 };
                let digits: String = t.chars().skip(1).filter(char::is_ascii_digit).take(4).collect();
                let n: i64 = digits.parse().map_err(|_| failed(element, t))?;
                offset = sign * (n / 100 * 3600 + n % 100 * 60);
                t = "";
                continue;
            }
            let width = if *element == "2006" { 4 } else { 2 };
            let digits = t.bytes().take(width).take_while(u8::is_ascii_digit).count();
            let n: i64 = t[..digits].parse().map_err(|_| failed(element, t))?;
            t = &t[digits..];
            match *element {
                "2006" => y = n,
                "01" | "1" => mo = n,
                "02" | "2" | "_2" => d = n,
                "15" => h = n,
                "04" | "4" => mi = n,
                "05" | "5" => {
                    s = n;
                    let digits =
                        t.strip_prefix('.').map_or(0, |f| f.bytes().take_while(u8::is_ascii_digit).count() + 1);
                    t = &t[digits..];
                }
                other => return Err(failed(other, t)),
            }
        }
        if !t.is_empty() {
            return Err(format!("parsing time {}: extra text: {}", quote(text), quote(t)));
        }
        let small = |n: i64| i8::try_from(n).unwrap_or(-1);
        let date = jiff::civil::DateTime::new(
            i16::try_from(y).unwrap_or(-1),
            small(mo),
            small(d),
            small(h),
            small(mi),
            small(s),
            0,
        );
        let date = date.map_err(|_| format!("parsing time {}: value out of range", quote(text)))?;
        let at = date.to_zoned(TimeZone::UTC).map_err(|e| e.to_string())?;
        let at = at.timestamp().as_second() - offset;
        Ok(Self(jiff::Timestamp::from_second(at).map_err(|e| e.to_string())?.to_zoned(TimeZone::UTC)))
    }

    /// Go's zero time: 1 January of year 1.
    pub fn zero() -> Self {
        Self(zero().to_zoned(TimeZone::UTC))
    }
}

fn zero() -> jiff::Timestamp {
    jiff::Timestamp::from_second(-62_135_596_800).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

/// How many digits of fraction a layout asks for here: `.000` or `.999` after the seconds.
fn fraction(rest: &str, written: &str) -> Option<usize> {
    let digit = rest.strip_prefix(['.', ','])?.chars().next().filter(|c| matches!(c, '0' | '9'))?;
    let digits = rest[1..].chars().take_while(|c| *c == digit).count();
    let followed = rest[1 + digits..].starts_with(|c: char| c.is_ascii_digit());
    (!followed && written.ends_with(|c: char| c.is_ascii_digit())).then_some(digits)
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// The layout's elements, longer ones before their prefixes.
const ELEMENTS: [&str; 32] = [
    "January",
    "Jan",
    "Monday",
    "Mon",
    "MST",
    "2006",
    "002",
    "01",
    "02",
    "03",
    "04",
    "05",
    "06",
    "15",
    "_2",
    "PM",
    "pm",
    "Z07:00:00",
    "Z070000",
    "Z07:00",
    "Z0700",
    "Z07",
    "-07:00:00",
    "-070000",
    "-07:00",
    "-0700",
    "-07",
    "1",
    "2",
    "3",
    "4",
    "5",
];

fn span_arg(args: &[Value]) -> Result<i64, String> {
    match args {
        [Value::Object(o)] => o
            .as_any()
            .downcast_ref::<GoDuration>()
            .map(|s| s.0)
            .ok_or_else(|| format!("expected time.Duration; got {}", o.type_name())),
        [Value::Int(n)] => Ok(*n),
        _ => Err("expected time.Duration".to_owned()),
    }
}

/// The moment behind a value.
pub fn time_arg(args: &[Value]) -> Result<&Time, String> {
    match args {
        [Value::Object(o)] => {
            o.as_any().downcast_ref::<Time>().ok_or_else(|| format!("expected time.Time; got {}", o.type_name()))
        }
        _ => Err("expected time.Time".to_owned()),
    }
}

impl Object for Time {
    fn type_name(&self) -> &'static str {
        "time.Time"
    }

    fn field(&self, _: &str) -> Option<Value> {
        None
    }

    fn method(&self, name: &str, args: &[Value]) -> Option<Result<Value, String>> {
        let z = &self.0;
        let int = |n: i64| Ok(Value::Int(n));
        let shifted = |nanos: i128| {
            let at = jiff::Timestamp::from_nanosecond(nanos).map_err(|e| e.to_string())?;
            Ok(Value::object(Self(at.to_zoned(z.time_zone().clone()))))
        };
        Some(match name {
            "Format" => super::builtins::text_arg(args, 0, 1).map(|layout| self.format(layout).into()),
            "Unix" => int(z.timestamp().as_second()),
            "UnixMilli" => int(z.timestamp().as_millisecond()),
            "UnixNano" => int(i64::try_from(self.nanos()).unwrap_or(i64::MAX)),
            "Year" => int(z.year().into()),
            "Day" => int(z.day().into()),
            "Hour" => int(z.hour().into()),
            "Minute" => int(z.minute().into()),
            "Second" => int(z.second().into()),
            "Nanosecond" => int(z.subsec_nanosecond().into()),
            "YearDay" => int(z.day_of_year().into()),
            "Month" => Ok(MONTHS[z.month() as usize - 1].into()),
            "Weekday" => Ok(DAYS[z.weekday().to_sunday_zero_offset() as usize].into()),
            "String" => Ok(self.print().into()),
            "UTC" | "Local" => Ok(Value::object(Self(z.with_time_zone(TimeZone::UTC)))),
            "IsZero" => Ok(Value::Bool(self.nanos() == zero().as_nanosecond())),
            "Add" => span_arg(args).and_then(|n| shifted(self.nanos() + i128::from(n))),
            "Truncate" => {
                span_arg(args).and_then(|n| shifted(self.nanos() - self.nanos().rem_euclid(i128::from(n.max(1)))))
            }
            "Sub" => time_arg(args)
                .map(|o| Value::object(GoDuration(i64::try_from(self.nanos() - o.nanos()).unwrap_or(i64::MAX)))),
            "Before" => time_arg(args).map(|o| Value::Bool(self.nanos() < o.nanos())),
            "After" => time_arg(args).map(|o| Value::Bool(self.nanos() > o.nanos())),
            "Equal" => time_arg(args).map(|o| Value::Bool(self.nanos() == o.nanos())),
            _ => return None,
        })
    }

    fn view(&self) -> View {
        View::Struct(Vec::new())
    }

    fn print(&self) -> String {
        self.format("2006-01-02 15:04:05.999999999 -0700 MST")
    }

    fn json(&self) -> Option<String> {
        Some(format!("\"{}\"", self.rfc3339()))
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

impl GoDuration {
    pub fn from_secs(secs: f64) -> Result<Self, String> {
        let nanos = secs * 1e9;
        if nanos.abs() < 9.223372036854775e18 {
            Ok(Self(nanos.round() as i64))
        } else {
            Err(format!("{} cannot be represented as a duration since it overflows int64", super::fmt::float_g(secs)))
        }
    }

    pub fn secs(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// Go's `Duration.String`: `1h2m3.5s`, `100ms`.
    pub fn text(self) -> String {
        let nanos = i128::from(self.0).unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        if nanos == 0 {
            return "0s".to_owned();
        }
        let part = |unit: u128, digits: usize, name: &str| {
            let fraction = format!("{:0digits$}", nanos % unit);
            let fraction = fraction.trim_end_matches('0');
            let dot = if fraction.is_empty() { "" } else { "." };
            format!("{sign}{}{dot}{fraction}{name}", nanos / unit)
        };
        match nanos {
            0..1_000 => format!("{sign}{nanos}ns"),
            1_000..1_000_000 => part(1_000, 3, "µs"),
            1_000_000..1_000_000_000 => part(1_000_000, 6, "ms"),
            _ => {
                let secs = nanos / NANOS_PER_SECOND as u128;
                let fraction = format!("{:09}", nanos % NANOS_PER_SECOND as u128);
                let fraction = fraction.trim_end_matches('0');
                let dot = if fraction.is_empty() { "" } else { "." };
                let (h, m, s) = (secs / 3600, secs / 60 % 60, secs % 60);
                let hours = if h > 0 { format!("{h}h") } else { String::new() };
                let minutes = if secs >= 60 { format!("{m}m") } else { String::new() };
                format!("{sign}{hours}{minutes}{s}{dot}{fraction}s")
            }
        }
    }
}

impl Object for GoDuration {
    fn type_name(&self) -> &'static str {
        "time.Duration"
    }

    fn field(&self, _: &str) -> Option<Value> {
        None
    }

    fn method(&self, name: &str, args: &[Value]) -> Option<Result<Value, String>> {
        let unit = || span_arg(args).map(|n| n.max(1));
        Some(match name {
            "String" => Ok(self.text().into()),
            "Seconds" => Ok(self.secs().into()),
            "Minutes" => Ok((self.secs() / 60.0).into()),
            "Hours" => Ok((self.secs() / 3600.0).into()),
            "Milliseconds" => Ok(Value::Int(self.0 / 1_000_000)),
            "Nanoseconds" => Ok(Value::Int(self.0)),
            "Abs" => Ok(Value::object(Self(self.0.saturating_abs()))),
            "Truncate" => unit().map(|n| Value::object(Self(self.0 - self.0 % n))),
            "Round" => unit().map(|n| Value::object(Self((self.0 as f64 / n as f64).round() as i64 * n))),
            _ => return None,
        })
    }

    fn print(&self) -> String {
        self.text()
    }

    fn json(&self) -> Option<String> {
        Some(self.0.to_string())
    }

    fn number(&self) -> Option<f64> {
        Some(self.secs())
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}
