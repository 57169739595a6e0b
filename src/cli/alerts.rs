//! `watchfire alert`: post alerts, list alerts.
//! In: [`AlertCommand`]. Out: what `/api/v2/alerts` says.
//! Never: knows more of alerts than their JSON.
//! Start at [`run`].

use super::args::{AlertCommand, Output};
use super::client::Client;
use super::out;
use super::table::Table;
use serde_json::{Map, Value, json};

pub fn run(command: AlertCommand) -> Result<(), String> {
    match command {
        AlertCommand::Add { labels, annotations, generator_url, start, end, client } => {
            let mut alert = Map::new();
            alert.insert("labels".to_owned(), Value::Object(pairs(&labels)?));
            alert.insert("annotations".to_owned(), Value::Object(pairs(&annotations)?));
            for (key, time) in [("startsAt", start), ("endsAt", end)] {
                if let Some(time) = time {
                    alert.insert(key.to_owned(), Value::String(time.to_rfc3339()));
                }
            }
            if !generator_url.is_empty() {
                alert.insert("generatorURL".to_owned(), Value::String(generator_url));
            }
            Client::new(&client)?.post("api/v2/alerts", &json!([alert]))?;
            Ok(())
        }
        AlertCommand::Query { matchers, silenced, inhibited, receiver, client } => {
            let mut query: Vec<(&str, String)> =
                vec![("silenced", silenced.to_string()), ("inhibited", inhibited.to_string())];
            query.extend(matchers.into_iter().map(|m| ("filter", m)));
            query.extend(receiver.map(|r| ("receiver", r)));
            let alerts = Client::new(&client)?.get("api/v2/alerts", &query)?;
            match client.output {
                Output::Json => out::json(&alerts),
                Output::Table => print(&alerts),
            }
            Ok(())
        }
    }
}

fn print(alerts: &Value) {
    if alerts.as_array().is_none_or(Vec::is_empty) {
        out::line("no alerts");
        return;
    }
    let mut table = Table::new(&["ALERTNAME", "SEVERITY", "STARTS AT", "STATE", "LABELS", "SUMMARY"]);
    for alert in alerts.as_array().into_iter().flatten() {
        let label = |name: &str| text(&alert["labels"][name]);
        let rest: Vec<String> = alert["labels"]
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| *name != "alertname" && *name != "severity")
            .map(|(name, value)| format!("{name}={}", text(value)))
            .collect();
        table.row([
            label("alertname"),
            label("severity"),
            text(&alert["startsAt"]),
            text(&alert["status"]["state"]),
            rest.join(","),
            text(&alert["annotations"]["summary"]),
        ]);
    }
    table.print();
}

/// A JSON string as it is, nothing for null, everything else as JSON.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// `name=value` words. Quotes around a value are taken off, as amtool does.
pub(super) fn pairs(words: &[String]) -> Result<Map<String, Value>, String> {
    let mut map = Map::new();
    for word in words {
        let (name, value) = word.split_once('=').ok_or_else(|| format!("{word:?}: write name=value"))?;
        let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
        if name.is_empty() {
            return Err(format!("{word:?}: write name=value"));
        }
        map.insert(name.to_owned(), Value::String(value.to_owned()));
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_pairs() {
        let words = ["a=b".to_owned(), "c=\"d e\"".to_owned(), "f=".to_owned()];
        assert_eq!(Value::Object(pairs(&words).unwrap()), json!({"a": "b", "c": "d e", "f": ""}));
        assert!(pairs(&["a".to_owned()]).is_err());
        assert!(pairs(&["=a".to_owned()]).is_err());
    }
}
