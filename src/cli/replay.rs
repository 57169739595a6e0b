//! `watchfire replay`: stored history against another configuration.
//! In: [`ReplayArgs`]. Out: a table of who was told then and who would have been told, and each message that differs.
//! Never: sends anything.
//! Start at [`run`].

use super::args::{Output, ReplayArgs};
use super::out;
use super::table::Table;
use crate::app::replay::{Comparison, Notified, replay};
use crate::config;
use serde_json::json;

/// Messages listed one by one.
const LISTED_MAX: usize = 200;

pub fn run(args: &ReplayArgs) -> Result<(), String> {
    let loaded = config::load(Some(&args.config_file)).map_err(|mistakes| mistakes.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let comparison = runtime.block_on(replay(&args.storage_path, &loaded.config, args.from, args.until))?;
    match args.output {
        Output::Json => out::json(&to_json(&comparison)),
        Output::Table => print(&comparison),
    }
    Ok(())
}

fn row(told: &Notified) -> serde_json::Value {
    json!({ "at": told.at.to_rfc3339(), "receiver": &*told.receiver, "what": told.what, "about": told.about })
}

fn to_json(c: &Comparison) -> serde_json::Value {
    let (gone, new) = c.differences();
    let rows = |list: &[&Notified]| list.iter().map(|told| row(told)).collect::<Vec<_>>();
    json!({
        "alerts": c.alerts,
        "answers": c.answers,
        "answers_without_incident": c.answers_without_incident,
        "announcements": c.announcements,
        "then": c.then.iter().map(row).collect::<Vec<_>>(),
        "replayed": c.now.iter().map(row).collect::<Vec<_>>(),
        "only_then": rows(&gone),
        "only_replayed": rows(&new),
    })
}

fn print(c: &Comparison) {
    out::line(format!("{} alerts and {} answers of people replayed", c.alerts, c.answers));
    if c.answers_without_incident > 0 {
        out::line(format!("{} answers found no open incident", c.answers_without_incident));
    }
    let mut table = Table::new(&["RECEIVER", "PAGES AND ENDS THEN", "WITH THIS CONFIGURATION"]);
    for (receiver, (then, now)) in c.by_receiver() {
        table.row(vec![receiver.to_string(), then.to_string(), now.to_string()]);
    }
    table.print();
    out::line(format!("{} announcements of groups with this configuration", c.announcements));
    let (gone, new) = c.differences();
    if gone.is_empty() && new.is_empty() {
        out::line("no difference: the same people hear the same");
    }
    for (list, sign) in [(gone, "-"), (new, "+")] {
        for told in list.iter().take(LISTED_MAX) {
            out::line(format!("{sign} {}  {}  {}  {}", told.at, told.receiver, told.what, told.about));
        }
        if list.len() > LISTED_MAX {
            out::line(format!("{sign} … and {} more; --output json lists all", list.len() - LISTED_MAX));
        }
    }
}
