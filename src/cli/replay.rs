//! `watchfire replay`: stored history against another configuration.
//! In: [`ReplayArgs`]. Out: a table of who was told then and who would have been told, and each message that differs.
//! Never: sends anything.
//! Start at [`run`].

use super::args::{Output, ReplayArgs};
use super::out;
use super::table::Table;
use crate::app::replay::{Comparison, Told, replay};
use crate::config;
use serde_json::json;

/// Messages listed one by one.
const LISTED_MAX: usize = 200;

pub fn run(args: &ReplayArgs) -> Result<(), String> {
    let loaded = config::load(Some(&args.config_file)).map_err(|mistakes| mistakes.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let comparison = runtime
        .block_on(replay(&args.storage_path, &loaded.config, args.from, args.until))
        .map_err(|e| e.to_string())?;
    match args.output {
        Output::Json => out::json(&to_json(&comparison)),
        Output::Table => print(&comparison),
    }
    Ok(())
}

fn row(told: &Told) -> serde_json::Value {
    json!({ "at": told.at.to_rfc3339(), "receiver": &*told.receiver, "what": told.what, "about": told.about })
}

fn to_json(c: &Comparison) -> serde_json::Value {
    json!({
        "alerts": c.alerts,
        "then": c.then.iter().map(row).collect::<Vec<_>>(),
        "replayed": c.now.iter().map(row).collect::<Vec<_>>(),
    })
}

fn print(c: &Comparison) {
    out::line(format!("{} alerts replayed; acknowledgements and other answers of people are not part of it", c.alerts));
    let mut table = Table::new(&["RECEIVER", "THEN", "WITH THIS CONFIGURATION"]);
    for (receiver, (then, now)) in c.by_receiver() {
        table.row(vec![receiver.to_string(), then.to_string(), now.to_string()]);
    }
    table.print();
    // The same receiver told the same thing about the same trouble is no difference, whatever the second.
    let same = |a: &Told, b: &Told| a.receiver == b.receiver && a.what == b.what && a.about == b.about;
    let only = |list: &[Told], other: &[Told], sign: &str| {
        for told in list.iter().filter(|t| !other.iter().any(|o| same(t, o))).take(LISTED_MAX) {
            out::line(format!("{sign} {}  {}  {}  {}", told.at, told.receiver, told.what, told.about));
        }
    };
    only(&c.then, &c.now, "-");
    only(&c.now, &c.then, "+");
}
