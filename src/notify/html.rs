//! The HTML part of a mail in our own words.
//! In: a [`Message`]. Out: one small document, inline styles only, everything escaped.
//! Never: links anything but http and https.
//! Start at [`document`].

use super::text;
use crate::model::{Message, MessageAlert, Severity};
use std::fmt::Write as _;

/// `&`, `<`, `>` and both quotes as entities.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// `#rrggbb` of how bad it is; green when it is over. Slack's bar has the same colours.
pub(super) fn colour(message: &Message) -> &'static str {
    if !message.firing {
        return "#2e7d32";
    }
    match text::severity(message) {
        Severity::Critical => "#b71c1c",
        Severity::High => "#e65100",
        Severity::Medium => "#f9a825",
        Severity::Low | Severity::Info => "#1565c0",
    }
}

pub(super) fn is_web_link(url: &str) -> bool {
    url.starts_with("http://") || url.starts_with("https://")
}

pub(super) fn document(message: &Message) -> String {
    let mut out = format!(
        "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><title>{title}</title></head>\n\
         <body style=\"font-family:sans-serif;color:#222;margin:16px\">\n\
         <h2 style=\"border-left:8px solid {colour};padding-left:12px;margin:0 0 12px\">{title}</h2>\n\
         <p>{sentence}</p>\n",
        title = escape(&text::title(message)),
        colour = colour(message),
        sentence = escape(&text::sentence(message)),
    );
    let link = text::link(message);
    if is_web_link(link) {
        let is_one = message.incident.is_some() || message.incidents.len() == 1;
        let what = if is_one { "Open the incident" } else { "Open Watchfire" };
        let _ = writeln!(out, "<p><a href=\"{}\">{what}</a></p>", escape(link));
    }
    let links: Vec<(String, String)> = text::links(message).into_iter().filter(|(_, url)| is_web_link(url)).collect();
    if !links.is_empty() {
        let link = |(name, url): &(String, String)| format!("<a href=\"{}\">{}</a>", escape(url), escape(name));
        let _ = writeln!(out, "<p>{}</p>", links.iter().map(link).collect::<Vec<_>>().join(" · "));
    }
    if let Some(incident) = &message.incident {
        if !incident.reason.is_empty() {
            let _ = writeln!(out, "<p>Why you, why now: {}</p>", escape(&incident.reason));
        }
        if incident.held_back > 0 {
            let _ = writeln!(out, "<p>Held back by the page limit before this one: {}.</p>", incident.held_back);
        }
    }
    for (heading, firing) in [("Firing", true), ("Ended", false)] {
        let alerts: Vec<&MessageAlert> = message.alerts.iter().filter(|a| a.ended_at.is_none() == firing).collect();
        if alerts.is_empty() {
            continue;
        }
        let _ = writeln!(out, "<h3>{heading} ({})</h3>\n<ul>", alerts.len());
        for alert in alerts.iter().take(text::ALERTS_LISTED_MAX) {
            let _ = write!(out, "<li>{}", escape(&text::alert_line(alert)));
            if is_web_link(&alert.generator_url) {
                let _ = write!(out, " <a href=\"{}\">source</a>", escape(&alert.generator_url));
            }
            let runbook = alert.annotations.value("runbook_url");
            if is_web_link(runbook) {
                let _ = write!(out, " <a href=\"{}\">runbook</a>", escape(runbook));
            }
            out.push_str("</li>\n");
        }
        if alerts.len() > text::ALERTS_LISTED_MAX {
            let _ = writeln!(out, "<li>and {} more</li>", alerts.len() - text::ALERTS_LISTED_MAX);
        }
        out.push_str("</ul>\n");
    }
    if message.truncated_alerts > 0 {
        let _ = writeln!(out, "<p>{} further alerts did not fit into this message.</p>", message.truncated_alerts);
    }
    out.push_str("</body></html>\n");
    out
}
