//! Time intervals: when a route is muted or active, in Alertmanager's words.
//! In: the fields as text. Out: [`TimeInterval`], which says whether a moment lies within.
//! Never: fires at a boundary; it is asked at each flush.
//! Start at [`TimeInterval::parse`] and [`TimeIntervals::holding`].

use crate::model::Timestamp;
use jiff::tz::TimeZone;
use std::collections::HashMap;
use std::sync::Arc;

/// In calendar order, numbered from 0 (Sunday).
const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
/// Numbered from 1.
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
/// The shortest month, by which day ranges from both ends are compared.
const SHORTEST_MONTH: i32 = 28;
const MINUTES_PER_DAY: i32 = 24 * 60;

/// What is wrong with a field; the texts are Alertmanager's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TimeIntervalError(String);

fn refuse<T>(text: String) -> Result<T, TimeIntervalError> {
    Err(TimeIntervalError(text))
}

/// First and last, both inside, except for times of day, where the end is outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub begin: i32,
    pub end: i32,
}

/// The fields as written. An absent list means "always".
#[derive(Clone, Debug, Default)]
pub struct TimeIntervalSpec {
    /// (`start_time`, `end_time`), each `HH:MM`.
    pub times: Vec<(String, String)>,
    pub weekdays: Vec<String>,
    pub days_of_month: Vec<String>,
    pub months: Vec<String>,
    pub years: Vec<String>,
    /// IANA name or `Local`; `None` means UTC.
    pub location: Option<String>,
}

/// All fields must hold; in a field any entry; an empty field always holds.
#[derive(Clone, Debug)]
pub struct TimeInterval {
    /// Minutes of the day, end excluded.
    pub times: Vec<Range>,
    /// 0 = Sunday.
    pub weekdays: Vec<Range>,
    /// 1..31, or -1..-31 counted from the end of the month.
    pub days_of_month: Vec<Range>,
    pub months: Vec<Range>,
    pub years: Vec<Range>,
    pub location: TimeZone,
}

impl Default for TimeInterval {
    fn default() -> Self {
        Self {
            times: Vec::new(),
            weekdays: Vec::new(),
            days_of_month: Vec::new(),
            months: Vec::new(),
            years: Vec::new(),
            location: TimeZone::UTC,
        }
    }
}

impl TimeInterval {
    pub fn parse(spec: &TimeIntervalSpec) -> Result<Self, TimeIntervalError> {
        Ok(Self {
            times: spec.times.iter().map(|(start, end)| parse_times(start, end)).collect::<Result<_, _>>()?,
            weekdays: all(&spec.weekdays, parse_weekdays)?,
            days_of_month: all(&spec.days_of_month, parse_days_of_month)?,
            months: all(&spec.months, parse_months)?,
            years: all(&spec.years, parse_years)?,
            location: match &spec.location {
                Some(name) => parse_location(name)?,
                None => TimeZone::UTC,
            },
        })
    }

    pub fn contains(&self, at: Timestamp) -> bool {
        // A moment beyond the calendar lies in no interval.
        let Ok(at) = jiff::Timestamp::from_millisecond(at.as_millis()) else { return false };
        let at = at.to_zoned(self.location.clone());
        let any = |ranges: &[Range], value: i32| {
            ranges.is_empty() || ranges.iter().any(|r| r.begin <= value && value <= r.end)
        };
        let minute = i32::from(at.hour()) * 60 + i32::from(at.minute());
        (self.times.is_empty() || self.times.iter().any(|r| r.begin <= minute && minute < r.end))
            && any(&self.weekdays, i32::from(at.weekday().to_sunday_zero_offset()))
            && any(&self.months, i32::from(at.month()))
            && any(&self.years, i32::from(at.year()))
            && self.holds_day_of_month(i32::from(at.day()), i32::from(at.days_in_month()))
    }

    fn holds_day_of_month(&self, day: i32, days_in_month: i32) -> bool {
        let from_end = |d: i32| if d < 0 { days_in_month + d + 1 } else { d };
        self.days_of_month.is_empty()
            || self.days_of_month.iter().any(|r| from_end(r.begin) <= day && day <= from_end(r.end))
    }
}

fn all(texts: &[String], parse: fn(&str) -> Result<Range, TimeIntervalError>) -> Result<Vec<Range>, TimeIntervalError> {
    texts.iter().map(|t| parse(t)).collect()
}

/// `HH:MM`, `00:00` to `24:00`; the start must be before the end.
pub fn parse_times(start: &str, end: &str) -> Result<Range, TimeIntervalError> {
    if start.is_empty() || end.is_empty() {
        return refuse("both start and end times must be provided".to_owned());
    }
    let (begin, end) = (minute_of_day(start)?, minute_of_day(end)?);
    if begin >= end {
        return refuse("start time cannot be equal or greater than end time".to_owned());
    }
    Ok(Range { begin, end })
}

fn minute_of_day(text: &str) -> Result<i32, TimeIntervalError> {
    let digits = |t: &str| if t.len() == 2 && t.bytes().all(|b| b.is_ascii_digit()) { t.parse().ok() } else { None };
    let parsed = text.split_once(':').and_then(|(h, m)| Some((digits(h)?, digits(m)?)));
    match parsed {
        Some((h, m)) if (h < 24 && m < 60) || (h, m) == (24, 0) => Ok((h * 60 + m).min(MINUTES_PER_DAY)),
        _ => refuse(format!("couldn't parse timestamp {text}, invalid format")),
    }
}

/// `begin:end`, or one value for both.
fn split_range(text: &str) -> Result<(&str, &str), TimeIntervalError> {
    match text.split_once(':') {
        None => Ok((text, text)),
        Some((_, end)) if end.contains(':') => refuse(format!("couldn't parse range {text}, invalid format")),
        Some(pair) => Ok(pair),
    }
}

/// `monday` or `monday:friday`; a range does not wrap around the week.
pub fn parse_weekdays(text: &str) -> Result<Range, TimeIntervalError> {
    let text = text.to_lowercase();
    let day = |name: &str| match WEEKDAYS.iter().position(|d| *d == name) {
        Some(i) => Ok(i as i32),
        None => refuse(format!("{name} is not a valid weekday")),
    };
    let (begin, end) = split_range(&text)?;
    let range = Range { begin: day(begin)?, end: day(end)? };
    if range.begin > range.end {
        return refuse("start day cannot be before end day".to_owned());
    }
    Ok(range)
}

/// `1`, `1:5`, `-3:-1`, `20:-1`.
pub fn parse_days_of_month(text: &str) -> Result<Range, TimeIntervalError> {
    let (begin, end) = split_range(text)?;
    let day = |text: &str| match text.parse::<i32>() {
        Ok(d) if (1..=31).contains(&d.abs()) => Ok(d),
        Ok(d) => refuse(format!("{d} is not a valid day of the month: out of range")),
        Err(_) => refuse(format!("{text} is not a valid day of the month")),
    };
    let range = Range { begin: day(begin)?, end: day(end)? };
    if range.begin < 0 && range.end > 0 {
        return refuse("end day must be negative if start day is negative".to_owned());
    }
    // What is always empty is a mistake; what is empty in short months is not.
    let shortest = |d: i32| if d < 0 { SHORTEST_MONTH + d } else { d };
    if shortest(range.begin) > shortest(range.end) {
        return refuse(format!("end day {} is always before start day {}", range.end, range.begin));
    }
    Ok(range)
}

/// `january:march`, `1:3`, `may`.
pub fn parse_months(text: &str) -> Result<Range, TimeIntervalError> {
    let text = text.to_lowercase();
    let month = |name: &str| {
        let by_name = MONTHS.iter().position(|m| *m == name).map(|i| i as i32 + 1);
        match by_name.or_else(|| name.parse().ok()) {
            Some(m) if (1..=12).contains(&m) => Ok(m),
            Some(m) => refuse(format!("{m} is not a valid month: out of range")),
            None => refuse(format!("{name} is not a valid month")),
        }
    };
    let (begin, end) = split_range(&text)?;
    let range = Range { begin: month(begin)?, end: month(end)? };
    if range.begin > range.end {
        return refuse(format!("end month {end} is before start month {begin}"));
    }
    Ok(range)
}

/// `2024` or `2024:2026`.
pub fn parse_years(text: &str) -> Result<Range, TimeIntervalError> {
    let (begin, end) = split_range(text)?;
    let year = |text: &str| match text.parse::<i32>() {
        Ok(y) => Ok(y),
        Err(_) => refuse(format!("{text} is not a valid year")),
    };
    let range = Range { begin: year(begin)?, end: year(end)? };
    if range.begin > range.end {
        return refuse(format!("end year {end} is before start year {begin}"));
    }
    Ok(range)
}

/// An IANA name from the bundled database, or `Local` for the machine's zone.
pub fn parse_location(name: &str) -> Result<TimeZone, TimeIntervalError> {
    match name {
        "Local" => Ok(TimeZone::system()),
        "" | "UTC" => Ok(TimeZone::UTC),
        name => TimeZone::get(name).or_else(|_| refuse(format!("unknown time zone {name}"))),
    }
}

/// The configured intervals by name.
#[derive(Clone, Debug, Default)]
pub struct TimeIntervals {
    by_name: HashMap<Arc<str>, Vec<TimeInterval>>,
}

impl TimeIntervals {
    pub fn new(named: impl IntoIterator<Item = (Arc<str>, Vec<TimeInterval>)>) -> Self {
        Self { by_name: named.into_iter().collect() }
    }

    /// Those of `names` that hold at `at`; a name that is not configured never holds.
    pub fn holding(&self, names: &[Arc<str>], at: Timestamp) -> Vec<Arc<str>> {
        let holds = |name: &Arc<str>| self.by_name.get(name).is_some_and(|list| list.iter().any(|i| i.contains(at)));
        names.iter().filter(|n| holds(n)).cloned().collect()
    }
}
