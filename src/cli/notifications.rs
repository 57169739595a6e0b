//! `watchfire notifications`: what was sent, what waits and why, what was refused; and a message sent again.
//! In: [`NotificationsArgs`]. Out: what `/api/v1/notifications` says.
//! Never: sends by itself (the server does, and says 409 where it must not).
//! Start at [`run`].

use super::alerts::text;
use super::args::{NotificationCommand, NotificationsArgs, Output};
use super::client::Client;
use super::incidents::incident_id;
use super::out;
use super::table::{Table, harmless};
use serde_json::{Value, json};

pub fn run(args: NotificationsArgs) -> Result<(), String> {
    match args.command {
        None => list(&args),
        Some(NotificationCommand::Resend { key, by, client }) => {
            let answer = Client::new(&client)?.post(&resend_path(&key)?, &json!({ "by": by }))?;
            let row = &answer["data"]["notification"];
            match client.output {
                Output::Json => out::json(row),
                Output::Table => out::line(harmless(&format!("{} is {}", text(&row["key"]), text(&row["state"])))),
            }
            Ok(())
        }
    }
}

/// Keys hold slashes and nothing that would leave the path.
fn resend_path(key: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-' | b'.');
    if key.is_empty() || !key.bytes().all(plain) || key.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(format!("{key:?} is no key: watchfire notifications lists them"));
    }
    Ok(format!("api/v1/notifications/{key}/resend"))
}

fn list(args: &NotificationsArgs) -> Result<(), String> {
    let mut query: Vec<(&str, String)> = vec![("limit", args.limit.to_string())];
    query.extend(args.state.clone().map(|state| ("state", state)));
    query.extend(args.kind.clone().map(|kind| ("kind", kind)));
    query.extend(args.receiver.clone().map(|receiver| ("receiver", receiver)));
    if let Some(id) = &args.incident {
        query.push(("incident", incident_id(id)?));
    }
    query.extend(args.since.map(|since| ("since", since.to_rfc3339())));
    let answer = Client::new(&args.client)?.get("api/v1/notifications", &query)?;
    match args.client.output {
        Output::Json => out::json(&answer["data"]),
        Output::Table => print(&answer["data"]),
    }
    Ok(())
}

fn print(data: &Value) {
    let rows: Vec<&Value> = data["notifications"].as_array().into_iter().flatten().collect();
    if rows.is_empty() {
        out::line("no notifications");
        return;
    }
    let head = ["CREATED AT", "KEY", "KIND", "INCIDENT", "RECEIVER", "STATE", "TRIES", "NEXT TRY AT", "ERROR", "WHY"];
    let mut table = Table::new(&head);
    for row in rows {
        let receiver = format!("{} {}", text(&row["receiver"]), text(&row["integration"]));
        table.row([
            text(&row["created_at"]),
            text(&row["key"]),
            text(&row["kind"]),
            text(&row["incident"]),
            receiver,
            text(&row["state"]),
            text(&row["attempts"]),
            text(&row["next_at"]),
            text(&row["error"]),
            text(&row["reason"]),
        ]);
    }
    table.print();
    if !data["next"].is_null() {
        out::line("… and older ones: ask for more with --limit");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_in_their_path() {
        assert_eq!(resend_path("INC-1/r1/s1/ops/log0").unwrap(), "api/v1/notifications/INC-1/r1/s1/ops/log0/resend");
        for bad in ["", "/", "a//b", "../incidents", "a?b", "a b", "a%2Fb"] {
            assert!(resend_path(bad).is_err(), "{bad}");
        }
    }
}
