//! `watchfire incident` and `watchfire oncall`: read incidents, act on them.
//! In: [`IncidentCommand`]. Out: what `/api/v1/incidents` says.
//! Never: decides whether an action is allowed (the server says 409 and why).
//! Start at [`run`].

use super::alerts::text;
use super::args::{ActArgs, ClientArgs, IncidentCommand, Output};
use super::client::Client;
use super::out;
use super::table::{Table, harmless};
use crate::incidents::words::still_fire;
use crate::model::duration;
use serde_json::{Value, json};

pub fn run(command: IncidentCommand) -> Result<(), String> {
    match command {
        IncidentCommand::List { status, severity, filter, client } => {
            let open = status.is_none();
            let mut query: Vec<(&str, String)> =
                vec![("status", status.unwrap_or_else(|| "triggered,acknowledged".to_owned()))];
            query.extend(severity.map(|s| ("severity", s)));
            query.extend(filter.into_iter().map(|f| ("filter", f)));
            let answer = Client::new(&client)?.get("api/v1/incidents", &query)?;
            match client.output {
                Output::Json => out::json(&answer["data"]),
                Output::Table => print_list(&answer["data"]["incidents"], open),
            }
            Ok(())
        }
        IncidentCommand::Show { id, client } => {
            let answer = Client::new(&client)?.get(&path(&id)?, &[])?;
            show(&answer, &client);
            Ok(())
        }
        IncidentCommand::Ack(act) => act_on(&act, "acknowledge", json!({})),
        IncidentCommand::Unack(act) => act_on(&act, "unacknowledge", json!({})),
        IncidentCommand::Resolve { act, hold } => {
            let hold = hold.map(duration::format);
            act_on(&act, "resolve", hold.map_or_else(|| json!({}), |hold| json!({ "hold": hold })))
        }
        IncidentCommand::Reopen(act) => act_on(&act, "reopen", json!({})),
        IncidentCommand::Detach { act, alert } => act_on(&act, "detach", json!({ "alert": alert })),
        IncidentCommand::Escalate(act) => act_on(&act, "escalate", json!({})),
        IncidentCommand::Snooze { act, duration: d } => {
            act_on(&act, "snooze", json!({ "duration": duration::format(d) }))
        }
        IncidentCommand::Reassign { act, to: (kind, name) } => {
            act_on(&act, "reassign", json!({ "to": { kind: name } }))
        }
        IncidentCommand::Merge { act, from } => act_on(&act, "merge", json!({ "from": from })),
        IncidentCommand::Split { act, alerts } => act_on(&act, "split", json!({ "alerts": alerts })),
        IncidentCommand::Note { id, text, by, client } => {
            act_on(&ActArgs { id, by, note: Some(text), client }, "note", json!({}))
        }
    }
}

/// Ids are `INC-` and digits; the prefix may be left out.
pub(super) fn incident_id(id: &str) -> Result<String, String> {
    let number = id.strip_prefix("INC-").or_else(|| id.strip_prefix("inc-")).unwrap_or(id);
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("{id:?} is no incident: write INC-1042, or 1042"));
    }
    Ok(format!("INC-{number}"))
}

fn path(id: &str) -> Result<String, String> {
    Ok(format!("api/v1/incidents/{}", incident_id(id)?))
}

/// Of an incident that was resolved by hand: what fires on, and what becomes of it.
fn still_firing(incident: &Value) -> Option<String> {
    let firing = incident["still_firing"].as_u64().filter(|n| *n > 0)?;
    let count = still_fire(u32::try_from(firing).unwrap_or(u32::MAX));
    Some(match text(&incident["hold_until"]) {
        until if until.is_empty() => format!("{count}; that opens no new incident"),
        until => format!("{count}; what fires at {until} opens a new incident"),
    })
}

fn act_on(act: &ActArgs, verb: &str, mut body: Value) -> Result<(), String> {
    body["by"] = Value::String(act.by.clone());
    if let Some(note) = &act.note {
        body["note"] = Value::String(note.clone());
    }
    let answer = Client::new(&act.client)?.post(&format!("{}/{verb}", path(&act.id)?), &body)?;
    match act.client.output {
        Output::Json => out::json(&answer["data"]["incident"]),
        Output::Table => {
            let incident = &answer["data"]["incident"];
            out::line(harmless(&format!("{} is {}", text(&incident["id"]), text(&incident["status"]))));
            if let Some(line) = still_firing(incident) {
                out::line(harmless(&line));
            }
        }
    }
    Ok(())
}

fn print_list(incidents: &Value, open: bool) {
    let list: Vec<&Value> = incidents.as_array().into_iter().flatten().collect();
    if list.is_empty() && open {
        out::line("no open incidents");
        return;
    }
    let mut table = Table::new(&["ID", "STATUS", "SEVERITY", "OPENED AT", "ALERTS", "NEXT STEP AT", "TITLE"]);
    for incident in list {
        let status = match text(&incident["acknowledged_by"]) {
            by if by.is_empty() || incident["status"] != "acknowledged" => text(&incident["status"]),
            by => format!("acknowledged by {by}"),
        };
        table.row([
            text(&incident["id"]),
            status,
            text(&incident["severity"]),
            text(&incident["opened_at"]),
            text(&incident["alert_count"]),
            text(&incident["escalation"]["next_at"]),
            text(&incident["title"]),
        ]);
    }
    table.print();
}

fn show(answer: &Value, client: &ClientArgs) {
    let incident = &answer["data"]["incident"];
    if client.output == Output::Json {
        out::json(incident);
        return;
    }
    out::line(harmless(&format!("{}  {}", text(&incident["id"]), text(&incident["title"]))));
    let covers: Vec<String> = incident["covers"].as_array().into_iter().flatten().map(covered).collect();
    let lines = [
        ("status", text(&incident["status"])),
        ("severity", text(&incident["severity"])),
        ("opened", text(&incident["opened_at"])),
        ("acknowledged", join(&text(&incident["acknowledged_at"]), &text(&incident["acknowledged_by"]))),
        ("covers", covers.join(", ")),
        ("snoozed until", text(&incident["snoozed_until"])),
        ("resolved", join(&text(&incident["resolved_at"]), &text(&incident["resolved_by"]))),
        ("still firing", still_firing(incident).unwrap_or_default()),
        ("merged into", text(&incident["merged_into"])),
        ("predecessor", text(&incident["predecessor"])),
        ("successor", text(&incident["successor"])),
        ("labels", labels(&incident["labels"])),
    ];
    for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        out::line(format!("{:<15}{}", format!("{name}:"), harmless(value)));
    }
    let escalations = &incident["escalations"];
    if escalations.as_array().is_none_or(Vec::is_empty) {
        out::line("escalations:   none, the routes of its alerts name no policy");
    }
    section("Escalations", escalations, &["POLICY", "STATE", "ROUND", "STEP", "NEXT AT", "ASKED FOR BY"], |run| {
        vec![
            text(&run["policy"]),
            text(&run["state"]).replace('_', " "),
            text(&run["round"]),
            text(&run["step"]),
            text(&run["next_at"]),
            asked_by(incident, &run["because"]),
        ]
    });
    section("Alerts", &incident["alerts"], &["STATE", "STARTS AT", "LEFT AT", "FINGERPRINT", "LABELS"], |a| {
        vec![
            text(&a["state"]),
            text(&a["starts_at"]),
            text(&a["left_at"]),
            text(&a["fingerprint"]),
            labels(&a["labels"]),
        ]
    });
    section("Timeline", &incident["timeline"], &["AT", "KIND", "WHO", "WHAT", "WHY"], |t| {
        vec![text(&t["at"]), text(&t["kind"]), text(&t["actor"]), text(&t["text"]), text(&t["reason"])]
    });
    let head = ["KEY", "RECEIVER", "STATE", "TRIES", "SENT AT", "NEXT TRY AT", "ERROR", "WHY"];
    section("Notifications", &incident["notifications"], &head, |n| {
        let columns = ["key", "receiver", "state", "attempts", "sent_at", "next_at", "error", "reason"];
        columns.into_iter().map(|name| text(&n[name])).collect()
    });
}

/// A name and a service that an acknowledgement covers.
/// `HighLatency of checkout`.
fn covered(pair: &Value) -> String {
    match text(&pair["service"]) {
        service if service.is_empty() => text(&pair["alertname"]),
        service => format!("{} of {service}", text(&pair["alertname"])),
    }
}

/// The name of the alert whose route asked for a policy; its fingerprint when it has left.
fn asked_by(incident: &Value, because: &Value) -> String {
    let mut alerts = incident["alerts"].as_array().into_iter().flatten();
    let known = alerts.find(|alert| alert["fingerprint"] == *because);
    known.map_or_else(|| text(because), |alert| text(&alert["labels"]["alertname"]))
}

fn section(title: &str, rows: &Value, head: &[&str], cells: impl Fn(&Value) -> Vec<String>) {
    let Some(rows) = rows.as_array().filter(|r| !r.is_empty()) else { return };
    out::line(format!("\n{title}"));
    let mut table = Table::new(head);
    for row in rows {
        table.row(cells(row));
    }
    table.print();
}

fn join(at: &str, by: &str) -> String {
    if by.is_empty() { at.to_owned() } else { format!("{at} by {by}") }
}

fn labels(value: &Value) -> String {
    let pairs: Vec<String> =
        value.as_object().into_iter().flatten().map(|(name, value)| format!("{name}={}", text(value))).collect();
    pairs.join(",")
}

/// `watchfire oncall`.
pub fn oncall(client: &ClientArgs) -> Result<(), String> {
    let answer = Client::new(client)?.get("api/v1/oncall", &[])?;
    let list = &answer["data"]["oncall"];
    if client.output == Output::Json {
        out::json(list);
        return Ok(());
    }
    if list.as_array().is_none_or(Vec::is_empty) {
        out::line("no schedules are configured");
        return Ok(());
    }
    let mut table = Table::new(&["SCHEDULE", "USER", "UNTIL"]);
    for shift in list.as_array().into_iter().flatten() {
        table.row([text(&shift["schedule"]), text(&shift["user"]), text(&shift["until"])]);
    }
    table.print();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_taken_with_and_without_prefix() {
        assert_eq!(path("INC-7").unwrap(), "api/v1/incidents/INC-7");
        assert_eq!(path("7").unwrap(), "api/v1/incidents/INC-7");
        for bad in ["", "INC-", "INC-1/resolve", "../x"] {
            assert!(path(bad).is_err(), "{bad}");
        }
    }
}
