//! `time_intervals` and the older `mute_time_intervals`: when routes are quiet.
//! In: the sections. Out: [`IntervalConfig`]s, each a name and its entries.
//! Never: asks whether a moment lies inside (that is `alerts`).
//! Start at [`intervals`].

use super::fields::{At, Fields};
use std::sync::Arc;

/// A named list of entries; it holds when any of them does.
#[derive(Clone, Debug)]
pub struct IntervalConfig {
    pub name: Arc<str>,
    pub entries: Vec<()>,
}

/// Reads both sections; names are unique over both.
pub fn intervals(root: &Fields<'_>) -> Vec<IntervalConfig> {
    let mut out: Vec<IntervalConfig> = Vec::new();
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
            out.push(IntervalConfig { name: Arc::from(name.map_or("", |n| n.value)), entries });
            f.finish();
        }
    }
    out
}

fn entry(f: Fields<'_>) {
    for time in f.each("times") {
        let _: Option<At<&str>> = time.filled("start_time");
        time.filled("end_time");
        time.finish();
    }
    f.texts("weekdays");
    f.texts("days_of_month");
    f.texts("months");
    f.texts("years");
    f.filled("location");
    f.finish();
}
