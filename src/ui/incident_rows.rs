//! The rows of an incident's page: alerts, policies at work, messages, lines of the story.
//! In: rows of the store. Out: texts, ready to be escaped.
//! Never: shows a link that is not http or https.
//! Start at [`alert_row`].

use super::text;
use crate::incidents::words;
use crate::model::{
    AlertRecord, EscalationRun, Fingerprint, Matcher, Member, NextTry, Notification, NotificationKind,
    NotificationState, TimelineEntry, Timestamp,
};
use std::collections::HashMap;

pub struct AlertRow {
    pub fingerprint: String,
    pub state: &'static str,
    pub name: String,
    pub summary: String,
    pub labels: Vec<(String, String)>,
    pub since: String,
    pub since_at: String,
    /// It belongs to another incident by now, or to none.
    pub left: String,
    /// Why it has not ended although nothing says that it goes on.
    pub held: String,
    pub sources: String,
    pub links: Vec<(&'static str, String)>,
    pub reason: String,
    pub runner_up: String,
    /// The query of the silences page that fills its form with this alert's labels.
    pub silence: String,
}

pub struct TimelineRow {
    pub kind: &'static str,
    pub at: String,
    pub clock: String,
    pub text: String,
    pub actor: String,
    pub reason: String,
}

pub struct NotificationRow {
    pub key: String,
    pub receiver: String,
    pub integration: String,
    pub what: String,
    pub state: &'static str,
    pub attempts: u32,
    pub when: String,
    pub error: String,
    /// Why it was written.
    pub reason: String,
    /// When a message that waits is tried next, and what it waits for.
    pub waits: String,
    /// It can be sent again from the page.
    pub resend: bool,
}

/// One policy at work for the incident.
pub struct RunRow {
    pub policy: String,
    pub state: String,
    pub place: String,
    pub next: String,
    pub because: String,
}

/// The matchers of exactly this alert, as a query.
fn silence_query(record: &AlertRecord) -> String {
    let matchers: Vec<String> = record.labels.iter().map(|(n, v)| Matcher::equal(n, v).to_string()).collect();
    form_urlencoded::Serializer::new(String::new()).append_pair("matchers", &matchers.join(", ")).finish()
}

/// Annotations are hostile text: only plain web addresses become links.
fn web_link(url: &str) -> Option<String> {
    (url.starts_with("https://") || url.starts_with("http://")).then(|| url.to_owned())
}

pub fn alert_row(record: &AlertRecord, member: &Member, lost_since: Option<Timestamp>, now: Timestamp) -> AlertRow {
    let lost_since = lost_since.filter(|_| record.is_firing());
    let runbook = record.annotations.get("runbook_url").and_then(web_link).map(|url| ("runbook", url));
    let source = web_link(&record.generator_url).map(|url| ("source", url));
    let summary = record.annotations.get("summary").or_else(|| record.annotations.get("description")).unwrap_or("");
    AlertRow {
        fingerprint: record.fingerprint.to_string(),
        silence: silence_query(record),
        left: member.left_at.map_or(String::new(), |at| format!("left {}", text::ago(at, now))),
        since_at: record.ended_at.unwrap_or(record.starts_at).to_rfc3339(),
        held: lost_since.map_or(String::new(), |since| text::source_lost(since, now)),
        state: if record.is_firing() { "firing" } else { "resolved" },
        name: record.labels.alert_name().to_owned(),
        summary: summary.to_owned(),
        labels: record
            .labels
            .iter()
            .filter(|(n, _)| *n != "alertname")
            .map(|(n, v)| (n.to_owned(), v.to_owned()))
            .collect(),
        since: match record.ended_at {
            None => text::ago(record.starts_at, now),
            Some(end) => format!("ended {}", text::ago(end, now)),
        },
        sources: record.doors().iter().map(|d| d.as_str().replace('_', " ")).collect::<Vec<_>>().join(", "),
        links: runbook.into_iter().chain(source).collect(),
        reason: words::evidence_text(&member.evidence),
        runner_up: words::runner_up(&member.evidence),
    }
}

pub fn timeline_row(entry: &TimelineEntry, now: Timestamp) -> TimelineRow {
    let line = words::text(entry);
    TimelineRow {
        kind: entry.event.kind().as_str(),
        at: entry.at.to_rfc3339(),
        clock: text::near(entry.at, now).trim_end_matches(" UTC").to_owned(),
        text: text::humane(&line, now),
        // Most texts name who did it already.
        actor: match entry.actor.as_deref() {
            Some(by) if !line.contains(by) => format!("by {by}"),
            _ => String::new(),
        },
        reason: text::humane(&words::reason(entry), now),
    }
}

pub fn run_row(run: &EscalationRun, next: Option<String>, names: &HashMap<Fingerprint, &AlertRecord>) -> RunRow {
    let because = run.because.and_then(|alert| names.get(&alert)).map(|record| record.labels.alert_name().to_owned());
    RunRow {
        policy: run.policy.to_string(),
        state: run.state.as_str().replace('_', " "),
        place: match run.step {
            0 => "no step taken yet".to_owned(),
            step => format!("round {}, step {step}", run.round.max(1)),
        },
        next: next.unwrap_or_default(),
        because: because.unwrap_or_default(),
    }
}

/// Of a message that is not settled: when it is tried next, and why not now.
fn waits_for(waits: &NextTry, now: Timestamp) -> String {
    let reason = text::humane(&waits.reason, now);
    match waits.at {
        Some(at) if reason.is_empty() => format!("next try {}", text::due(at, now)),
        Some(at) => format!("next try {}: {reason}", text::due(at, now)),
        None => reason,
    }
}

pub fn notification_row(
    notification: &Notification,
    waits: Option<NextTry>,
    is_open: bool,
    now: Timestamp,
) -> NotificationRow {
    let waits = waits.map_or(String::new(), |waits| waits_for(&waits, now));
    // What is over is not paged again; its end can be told once more.
    let is_page = matches!(notification.kind, NotificationKind::Page { .. });
    NotificationRow {
        key: notification.key.to_string(),
        reason: text::humane(notification.reason(), now),
        error: notification.error.clone().filter(|error| !waits.contains(error)).unwrap_or_default(),
        waits,
        resend: notification.state == NotificationState::Failed && (is_open || !is_page),
        receiver: notification.receiver.to_string(),
        integration: notification.integration.kind().to_string(),
        what: match &notification.kind {
            NotificationKind::Page { round, step, .. } => format!("page, round {round} step {step}"),
            NotificationKind::Update { .. } if notification.message.firing => "update".to_owned(),
            NotificationKind::Update { .. } => "end".to_owned(),
            NotificationKind::Announcement { .. } => "announcement".to_owned(),
        },
        state: notification.state.as_str(),
        attempts: notification.attempts,
        when: text::ago(notification.sent_at.unwrap_or(notification.created_at), now),
    }
}
