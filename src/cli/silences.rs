//! `watchfire silence`: add, list, expire.
//! In: [`SilenceCommand`]. Out: what `/api/v2/silences` says.
//! Never: keeps a silence anywhere but on the server.
//! Start at [`run`].

use super::alerts::text;
use super::args::{Output, SilenceCommand};
use super::client::Client;
use super::out;
use super::table::Table;
use crate::clock::{Clock, SystemClock};
use crate::config::parse_matchers;
use crate::model::{MatchOp, Matcher};
use serde_json::{Value, json};

pub fn run(command: SilenceCommand) -> Result<(), String> {
    match command {
        SilenceCommand::Add { matchers, duration, start, end, comment, author, client } => {
            let mut wanted = Vec::new();
            for word in &matchers {
                wanted.extend(parse_matchers(word)?.iter().map(matcher_json));
            }
            let start = start.unwrap_or_else(|| SystemClock.now());
            let end = end.unwrap_or(start + duration);
            if end <= start {
                return Err("the end lies before the start".to_owned());
            }
            let body = json!({
                "matchers": wanted,
                "startsAt": start.to_rfc3339(),
                "endsAt": end.to_rfc3339(),
                "createdBy": author,
                "comment": comment,
            });
            let answer = Client::new(&client)?.post("api/v2/silences", &body)?;
            match client.output {
                Output::Json => out::json(&answer),
                Output::Table => out::line(text(&answer["silenceID"])),
            }
            Ok(())
        }
        SilenceCommand::Query { matchers, expired, client } => {
            let query: Vec<(&str, String)> = matchers.into_iter().map(|m| ("filter", m)).collect();
            let mut silences = Client::new(&client)?.get("api/v2/silences", &query)?;
            if let (false, Some(list)) = (expired, silences.as_array_mut()) {
                list.retain(|s| s["status"]["state"] != "expired");
            }
            match client.output {
                Output::Json => out::json(&silences),
                Output::Table => print(&silences),
            }
            Ok(())
        }
        SilenceCommand::Expire { ids, client } => {
            let server = Client::new(&client)?;
            for id in ids {
                if !id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
                    return Err(format!("{id:?} is no silence id"));
                }
                server.delete(&format!("api/v2/silence/{id}"))?;
                out::line(format!("{id} is expired"));
            }
            Ok(())
        }
    }
}

fn matcher_json(m: &Matcher) -> Value {
    json!({
        "name": m.name,
        "value": m.value,
        "isRegex": matches!(m.op, MatchOp::Regex | MatchOp::NotRegex),
        "isEqual": matches!(m.op, MatchOp::Equal | MatchOp::Regex),
    })
}

fn print(silences: &Value) {
    if silences.as_array().is_none_or(Vec::is_empty) {
        out::line("no silences");
        return;
    }
    let mut table = Table::new(&["ID", "STATE", "MATCHERS", "ENDS AT", "CREATED BY", "COMMENT"]);
    for silence in silences.as_array().into_iter().flatten() {
        let matchers: Vec<String> = silence["matchers"].as_array().into_iter().flatten().map(matcher_text).collect();
        table.row([
            text(&silence["id"]),
            text(&silence["status"]["state"]),
            matchers.join(","),
            text(&silence["endsAt"]),
            text(&silence["createdBy"]),
            text(&silence["comment"]),
        ]);
    }
    table.print();
}

fn matcher_text(m: &Value) -> String {
    let equal = m["isEqual"].as_bool().unwrap_or(true);
    let op = match (equal, m["isRegex"].as_bool().unwrap_or(false)) {
        (true, false) => "=",
        (false, false) => "!=",
        (true, true) => "=~",
        (false, true) => "!~",
    };
    format!("{}{op}{:?}", text(&m["name"]), text(&m["value"]))
}
