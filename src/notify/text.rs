//! Watchfire's own words: title, sentence and full text of a message.
//! In: a [`Message`]. Out: plain text; channels escape it for themselves.
//! Never: a template language; this is also what is sent when a template fails.
//! Start at [`title`], [`sentence`] and [`plain`].

use crate::model::{IncidentLink, IncidentStatus, Labels, Message, MessageAlert, Severity, Timestamp};
use std::fmt::Write as _;

/// More alerts than this are counted, not listed: a page is read on a phone.
pub const ALERTS_LISTED_MAX: usize = 20;
/// Labels and annotations are quoted up to so many characters.
const VALUE_CHARS_MAX: usize = 300;

/// A subject line. Pages: `[FIRING:1] CRITICAL INC-7 checkout is down`, `[RESOLVED] INC-7 …`; groups as Alertmanager's
/// subject: `[FIRING:2] <group label values> (<values of the other common labels>)`.
pub fn title(message: &Message) -> String {
    let firing = message.alerts.iter().filter(|a| a.ended_at.is_none()).count();
    let tag = if message.firing { format!("FIRING:{firing}") } else { "RESOLVED".to_owned() };
    if let Some(incident) = &message.incident {
        return one_line(&match incident.status {
            IncidentStatus::Triggered => {
                let severity = incident.severity.as_str().to_uppercase();
                format!("[{tag}] {severity} {} {}", incident.id, incident.title)
            }
            other => format!("[{}] {} {}", other.as_str().to_uppercase(), incident.id, incident.title),
        });
    }
    let values = |labels: &Labels| alertname_first(labels).map(|(_, v)| v).collect::<Vec<_>>().join(" ");
    let rest = message.common_labels.retain(|name, _| message.group_labels.get(name).is_none());
    let mut out = format!("[{tag}] {}", values(&message.group_labels));
    if !rest.is_empty() {
        let _ = write!(out, " ({})", values(&rest));
    }
    one_line(&out)
}

/// One sentence: what broke, how severe it is, since when, how much of it, who has it, and where to look.
pub fn sentence(message: &Message) -> String {
    let mut out = format!("{}: ", subject(message));
    let (firing, ended) = counts(message);
    match message.incident.as_ref().map(|i| i.status) {
        Some(IncidentStatus::Resolved) => out.push_str("resolved"),
        Some(IncidentStatus::Acknowledged) => {
            let by = message.incident.as_ref().and_then(|i| i.acknowledged_by.as_deref()).unwrap_or("somebody");
            let _ = write!(out, "acknowledged by {by}; {}", state(message));
        }
        _ => out.push_str(&state(message)),
    }
    if let Some(since) = since(message) {
        let word = if message.firing { ", since" } else { "; it began" };
        let _ = write!(out, "{word} {}", time(since));
    }
    let _ = write!(out, " ({})", tally(firing, ended));
    let link = link(message);
    if !link.is_empty() {
        let _ = write!(out, " {link}");
    }
    out
}

/// Everything worth saying in a mail or a chat message.
pub fn plain(message: &Message) -> String {
    let mut out = sentence(message);
    out.push('\n');
    if let Some(incident) = &message.incident {
        if !incident.reason.is_empty() {
            let _ = writeln!(out, "\nWhy you, why now: {}", incident.reason);
        }
        if incident.held_back > 0 {
            let _ = writeln!(out, "Held back by the page limit before this one: {}.", incident.held_back);
        }
    }
    for (heading, firing) in [("Firing:", true), ("Ended:", false)] {
        let mut alerts = message.alerts.iter().filter(|a| a.ended_at.is_none() == firing).peekable();
        if alerts.peek().is_none() {
            continue;
        }
        let _ = writeln!(out, "\n{heading}");
        let total = message.alerts.iter().filter(|a| a.ended_at.is_none() == firing).count();
        for alert in alerts.take(ALERTS_LISTED_MAX) {
            let _ = writeln!(out, "- {}", alert_line(alert));
        }
        if total > ALERTS_LISTED_MAX {
            let _ = writeln!(out, "- and {} more", total - ALERTS_LISTED_MAX);
        }
    }
    let links = links(message);
    if !links.is_empty() {
        let _ = writeln!(out, "\nLook at:");
        for (name, url) in links {
            let _ = writeln!(out, "- {name}: {url}");
        }
    }
    if message.truncated_alerts > 0 {
        let _ = writeln!(out, "\n{} further alerts did not fit into this message.", message.truncated_alerts);
    }
    out
}

/// Where to look: the incident's page, also when all alerts of an announcement are in one; else the console.
pub fn link(message: &Message) -> &str {
    match (&message.incident, message.incidents.as_slice()) {
        (Some(incident), _) => &incident.url,
        (None, [only]) => &only.url,
        (None, _) => &message.external_url,
    }
}

/// What an announcement leads to, as a name and an address each: its incidents, and the alerts of each.
pub fn links(message: &Message) -> Vec<(String, String)> {
    let of = |link: &IncidentLink| {
        let alerts = (format!("alerts of {}", link.id), format!("{}#alerts", link.url));
        [(one_line(&format!("{} {}", link.id, link.title)), link.url.clone()), alerts]
    };
    message.incidents.iter().flat_map(of).collect()
}

/// The incident's severity, else the highest of the alerts' `severity` labels.
pub fn severity(message: &Message) -> Severity {
    let of_alerts = || message.alerts.iter().map(|a| Severity::of_label(a.labels.value("severity"))).max();
    message.incident.as_ref().map(|i| i.severity).or_else(of_alerts).unwrap_or(Severity::Medium)
}

/// Line ends and other control characters become spaces.
pub fn one_line(text: &str) -> String {
    let flat: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    flat.trim().to_owned()
}

/// At most `chars` characters, the last of them `…` when something was cut.
pub fn cut(text: &str, chars: usize) -> String {
    if text.chars().nth(chars).is_none() {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(chars.saturating_sub(1)).collect();
    out.push('…');
    out
}

/// One alert in a line: name, the labels that tell it apart, its summary, since when or until when.
pub fn alert_line(alert: &MessageAlert) -> String {
    let name = alert.labels.alert_name();
    let others = alert.labels.without("alertname");
    let mut out = if name.is_empty() { "alert".to_owned() } else { name.to_owned() };
    if !others.is_empty() {
        let pairs: Vec<String> = others.iter().map(|(n, v)| format!("{n}={}", cut(v, VALUE_CHARS_MAX))).collect();
        let _ = write!(out, " ({})", pairs.join(", "));
    }
    let says = [alert.annotations.value("summary"), alert.annotations.value("description")];
    if let Some(says) = says.into_iter().find(|s| !s.is_empty()) {
        let _ = write!(out, ": {}", cut(says, VALUE_CHARS_MAX));
    }
    match alert.ended_at {
        None => {
            let _ = write!(out, " [since {}]", time(alert.starts_at));
        }
        Some(end) => {
            let _ = write!(out, " [{} to {}]", time(alert.starts_at), time(end));
        }
    }
    one_line(&out)
}

/// `2026-01-02 03:04:05 UTC`.
pub fn time(at: Timestamp) -> String {
    let text = at.to_rfc3339();
    match (text.get(..10), text.get(11..19)) {
        (Some(day), Some(clock)) => format!("{day} {clock} UTC"),
        _ => text,
    }
}

fn subject(message: &Message) -> String {
    if let Some(incident) = &message.incident {
        return one_line(&format!("{} {}", incident.id, incident.title));
    }
    if message.group_labels.is_empty() {
        let name = message.common_labels.alert_name();
        return if name.is_empty() { "alerts".to_owned() } else { name.to_owned() };
    }
    let pairs = alertname_first(&message.group_labels);
    pairs.map(|(n, v)| if n == "alertname" { v.to_owned() } else { format!("{n}={v}") }).collect::<Vec<_>>().join(" ")
}

fn state(message: &Message) -> String {
    if message.firing { format!("{} and firing", severity(message)) } else { "resolved".to_owned() }
}

/// The earliest start of what still fires; of all when nothing does.
fn since(message: &Message) -> Option<Timestamp> {
    let firing = message.alerts.iter().filter(|a| a.ended_at.is_none()).map(|a| a.starts_at).min();
    firing.or_else(|| message.alerts.iter().map(|a| a.starts_at).min())
}

fn counts(message: &Message) -> (usize, usize) {
    let firing = message.alerts.iter().filter(|a| a.ended_at.is_none()).count();
    (firing, message.alerts.len() - firing)
}

fn tally(firing: usize, ended: usize) -> String {
    let alerts = |n: usize| if n == 1 { "1 alert".to_owned() } else { format!("{n} alerts") };
    match (firing, ended) {
        (0, ended) => format!("{} ended", alerts(ended)),
        (firing, 0) => format!("{} firing", alerts(firing)),
        (firing, ended) => format!("{} firing, {ended} ended", alerts(firing)),
    }
}

/// Alertmanager's order of pairs: `alertname`, then by name.
fn alertname_first(labels: &Labels) -> impl Iterator<Item = (&str, &str)> {
    let name = labels.get("alertname").map(|v| ("alertname", v));
    name.into_iter().chain(labels.iter().filter(|(n, _)| *n != "alertname"))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Fingerprint, IncidentId, MessageIncident};

    fn message(ended: &[bool], incident: Option<IncidentStatus>) -> Message {
        let labels = Labels::from_pairs([("alertname", "Down"), ("job", "api"), ("severity", "page")]);
        let at = |text| Timestamp::parse_rfc3339(text).expect("a time");
        let alert = |ended: &bool| MessageAlert {
            fingerprint: Fingerprint(1),
            labels: labels.clone(),
            annotations: Labels::from_pairs([("summary", "no\nanswer")]),
            generator_url: "".into(),
            starts_at: at("2026-01-02T03:04:05Z"),
            ended_at: ended.then(|| at("2026-01-02T03:14:05Z")),
        };
        Message {
            firing: ended.contains(&false),
            receiver: "r".into(),
            group_key: "g".into(),
            group_labels: Labels::from_pairs([("alertname", "Down"), ("job", "api")]),
            common_labels: labels.clone(),
            common_annotations: Labels::empty(),
            external_url: "http://w".into(),
            alerts: ended.iter().map(alert).collect(),
            truncated_alerts: 0,
            incident: incident.map(|status| MessageIncident {
                id: IncidentId(7),
                url: "http://w/INC-7".to_owned(),
                status,
                severity: Severity::High,
                title: "api is\r\ndown".to_owned(),
                step: 2,
                round: 1,
                reason: "ana did not answer in 5m".to_owned(),
                held_back: 3,
                acknowledged_by: Some("bob".into()),
            }),
            incidents: Vec::new(),
        }
    }

    #[track_caller]
    fn check(message: &Message, want_title: &str, want_sentence: &str) {
        assert_eq!((title(message).as_str(), sentence(message).as_str()), (want_title, want_sentence));
    }

    #[test]
    fn one_sentence_says_it() {
        check(
            &message(&[false, true], None),
            "[FIRING:1] Down api (page)",
            "Down job=api: critical and firing, since 2026-01-02 03:04:05 UTC (1 alert firing, 1 ended) http://w",
        );
        check(
            &message(&[true], None),
            "[RESOLVED] Down api (page)",
            "Down job=api: resolved; it began 2026-01-02 03:04:05 UTC (1 alert ended) http://w",
        );
        check(
            &message(&[false, false], Some(IncidentStatus::Triggered)),
            "[FIRING:2] HIGH INC-7 api is  down",
            "INC-7 api is  down: high and firing, since 2026-01-02 03:04:05 UTC (2 alerts firing) http://w/INC-7",
        );
        check(
            &message(&[false], Some(IncidentStatus::Acknowledged)),
            "[ACKNOWLEDGED] INC-7 api is  down",
            "INC-7 api is  down: acknowledged by bob; high and firing, since 2026-01-02 03:04:05 UTC (1 alert firing) \
             http://w/INC-7",
        );
        check(
            &message(&[true], Some(IncidentStatus::Resolved)),
            "[RESOLVED] INC-7 api is  down",
            "INC-7 api is  down: resolved; it began 2026-01-02 03:04:05 UTC (1 alert ended) http://w/INC-7",
        );
    }

    #[test]
    fn an_announcement_leads_to_its_incident_and_the_alerts() {
        let link = |id: u64| IncidentLink {
            id: IncidentId(id),
            url: format!("http://w/incidents/INC-{id}"),
            title: "api is\ndown".to_owned(),
        };
        let one = Message { incidents: vec![link(7)], ..message(&[false], None) };
        assert!(sentence(&one).ends_with("(1 alert firing) http://w/incidents/INC-7"), "{}", sentence(&one));
        let said = plain(&one);
        let lines = "\nLook at:\n- INC-7 api is down: http://w/incidents/INC-7\n- alerts of INC-7: http://w/incidents/INC-7#alerts\n";
        assert!(said.contains(lines), "{said}");
        let two = Message { incidents: vec![link(8), link(7)], ..one };
        assert!(sentence(&two).ends_with(" http://w"), "{}", sentence(&two));
    }

    #[test]
    fn a_long_list_is_counted() {
        let text = plain(&message(&[false; ALERTS_LISTED_MAX + 5], Some(IncidentStatus::Triggered)));
        assert_eq!(text.matches("- Down (job=api, severity=page): no answer [since").count(), ALERTS_LISTED_MAX);
        assert!(text.contains("- and 5 more"));
        assert!(text.contains("ana did not answer in 5m") && text.contains("before this one: 3"), "{text}");
    }

    #[test]
    fn cut_counts_characters() {
        assert_eq!((cut("äöü", 3).as_str(), cut("äöüß", 3).as_str()), ("äöü", "äö…"));
    }
}
