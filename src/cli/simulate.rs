//! `watchfire simulate`: who would be told of an alert, when, and why.
//! In: labels, a time, a configuration. Out: announcements and pages, in order.
//! Never: sends anything, or touches a running server: silences and open incidents there are not known here.
//! Start at [`run`].

use super::args::{Output, SimulateArgs};
use super::out;
use super::table::Table;
use crate::clock::{Clock, SystemClock};
use crate::config;
use crate::engine::{Engine, SimulatedPage, Simulation};
use crate::model::incident::EscalationTarget;
use crate::model::{Labels, MatchOp};
use serde_json::{Value, json};
use std::sync::Arc;

pub fn run(args: &SimulateArgs) -> Result<(), String> {
    let loaded = config::load(args.config_file.as_deref()).map_err(|mistakes| mistakes.to_string())?;
    let labels = labels(&args.labels)?;
    let at = args.at.unwrap_or_else(|| SystemClock.now());
    let engine = Engine::new(Arc::new(loaded.config.engine_settings()));
    let simulation = engine.simulate(&labels, at);
    match args.output {
        Output::Json => out::json(&to_json(&simulation)),
        Output::Table => print(&simulation),
    }
    Ok(())
}

/// `a=b,c="d e"`, several times; the labels must be valid and at least one.
fn labels(texts: &[String]) -> Result<Labels, String> {
    let mut pairs = Vec::new();
    for text in texts {
        for matcher in config::parse_matchers(text)? {
            if matcher.op != MatchOp::Equal {
                return Err(format!("{matcher}: an alert has labels: write name=value"));
            }
            pairs.push((matcher.name, matcher.value));
        }
    }
    let labels = Labels::from_pairs(pairs);
    if labels.is_empty() {
        return Err("an alert has at least one label".to_owned());
    }
    Ok(labels)
}

fn target(target: &EscalationTarget) -> String {
    match target {
        EscalationTarget::User(name) => format!("user {name}"),
        EscalationTarget::Schedule(name) => format!("schedule {name}"),
        EscalationTarget::Receiver(name) => format!("receiver {name}"),
    }
}

fn names(list: &[Arc<str>]) -> String {
    list.join(", ")
}

fn print(s: &Simulation) {
    out::line("Announced by groups:");
    let mut table = Table::new(&["AT", "RECEIVER", "GROUP"]);
    for (receiver, group, at) in &s.announcements {
        table.row([at.to_rfc3339(), receiver.to_string(), group.to_string()]);
    }
    table.print();
    if !s.status.muted_by.is_empty() {
        out::line(format!("muted by time intervals: {}", names(&s.status.muted_by)));
    }
    out::line(format!("\nPaged by policy {}: {}", s.policy.as_deref().unwrap_or("(none)"), s.reason));
    let mut table = Table::new(&["AT", "ROUND", "STEP", "WHO", "RECEIVERS", "WHY"]);
    for page in &s.pages {
        table.row([
            page.at.to_rfc3339(),
            page.round.to_string(),
            page.step.to_string(),
            target(&page.target),
            names(&page.receivers),
            page.reason.clone(),
        ]);
    }
    table.print();
}

fn to_json(s: &Simulation) -> Value {
    let page = |p: &SimulatedPage| {
        json!({
            "at": p.at.to_rfc3339(),
            "round": p.round,
            "step": p.step,
            "target": target(&p.target),
            "receivers": p.receivers,
            "reason": p.reason,
        })
    };
    json!({
        "announcements": s.announcements.iter().map(|(receiver, group, at)| json!({
            "receiver": receiver, "group": group, "at": at.to_rfc3339(),
        })).collect::<Vec<_>>(),
        "muted_by": s.status.muted_by,
        "policy": s.policy,
        "reason": s.reason,
        "pages": s.pages.iter().map(page).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_as_matchers_are_written() {
        let read = |text: &str| labels(&[text.to_owned()]);
        assert_eq!(read("a=b,c=\"d e\"").unwrap(), Labels::from_pairs([("a", "b"), ("c", "d e")]));
        assert!(read("a=~b").is_err());
        assert!(read("").is_err());
    }
}
