//! `time_intervals` and the older `mute_time_intervals`: when routes are quiet.
//! In: the sections. Out: [`Interval`]s, each a name and its entries.
//! Never: asks whether a moment lies inside (that is `alerts`).
//! Start at [`intervals`].

use crate::alerts::TimeInterval;
use crate::alerts::time_interval::{self as syntax, Range, TimeIntervalError};
use crate::yaml::{At, Fields};
use std::sync::Arc;

/// A named list of entries; it holds when any of them does.
#[derive(Clone, Debug)]
pub struct Interval {
    pub name: Arc<str>,
    pub entries: Vec<TimeInterval>,
}

/// Reads both sections; names are unique over both.
pub fn intervals(root: &Fields<'_>) -> Vec<Interval> {
    let mut out: Vec<Interval> = Vec::new();
    for (key, what) in [("mute_time_intervals", "mute time interval"), ("time_intervals", "time interval")] {
        for f in root.each(key) {
            let name = f.filled("name");
            match name {
                None => f.notes().mistake_with(f.at(), format!("missing name in {what}"), "write name:"),
                Some(name) if out.iter().any(|i| *i.name == *name.value) => {
                    f.notes().mistake(name.at, format!("{what} {:?} is not unique", name.value));
                }
                Some(_) => {}
            }
            let entries = f.each("time_intervals").into_iter().map(entry).collect();
            out.push(Interval { name: Arc::from(name.map_or("", |n| n.value)), entries });
            f.finish();
        }
    }
    out
}

fn entry(f: Fields<'_>) -> TimeInterval {
    let mut times = Vec::new();
    for time in f.each("times") {
        let text = |key| time.filled(key).map_or("", |t: At<&str>| t.value);
        match syntax::parse_times(text("start_time"), text("end_time")) {
            Ok(range) => times.push(range),
            Err(error) => {
                let advice = "write { start_time: '09:00', end_time: '17:00' }";
                f.notes().mistake_with(time.at(), error.to_string(), advice);
            }
        }
        time.finish();
    }
    let location = f.filled("location").and_then(|zone| {
        let advice = "write a name of the IANA time zone database, such as Europe/Berlin, or Local";
        syntax::parse_location(zone.value).map_err(|e| f.notes().mistake_with(zone.at, e.to_string(), advice)).ok()
    });
    let entry = TimeInterval {
        times,
        weekdays: ranges(&f, "weekdays", syntax::parse_weekdays, "write names or ranges such as monday:friday"),
        days_of_month: ranges(
            &f,
            "days_of_month",
            syntax::parse_days_of_month,
            "write 1 to 31, -1 to -31, or a range such as 1:7",
        ),
        months: ranges(&f, "months", syntax::parse_months, "write names, numbers or ranges such as may:august"),
        years: ranges(&f, "years", syntax::parse_years, "write years or ranges such as 2026:2028"),
        location: location.unwrap_or(jiff::tz::TimeZone::UTC),
    };
    f.finish();
    entry
}

fn ranges(
    f: &Fields<'_>,
    key: &'static str,
    parse: fn(&str) -> Result<Range, TimeIntervalError>,
    advice: &str,
) -> Vec<Range> {
    let mut out = Vec::new();
    for text in f.texts(key).unwrap_or_default() {
        match parse(text.value) {
            Ok(range) => out.push(range),
            Err(error) => f.notes().mistake_with(text.at, error.to_string(), advice),
        }
    }
    out
}
