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

/// "schedule primary: ana": the target, and who that is then.
fn who(page: &SimulatedPage) -> String {
    page.person.as_ref().map_or_else(|| page.target.to_string(), |person| format!("{}: {person}", page.target))
}

fn names(list: &[Arc<str>]) -> String {
    list.join(", ")
}

fn print(s: &Simulation) {
    out::line("Announced by groups:");
    let mut table = Table::new(&["AT", "RECEIVER", "GROUP", "MUTED"]);
    for announced in &s.announced {
        let muted = announced.muted.as_ref().map(ToString::to_string).unwrap_or_default();
        table.row([announced.at.to_rfc3339(), announced.receiver.to_string(), announced.group_key.to_string(), muted]);
    }
    table.print();
    let policies = if s.policies.is_empty() { "(none)".to_owned() } else { names(&s.policies) };
    out::line(format!("\nPaged by policy {policies}: {}", s.reason));
    let mut table = Table::new(&["AT", "POLICY", "ROUND", "STEP", "WHO", "RECEIVERS", "WHY"]);
    for page in &s.pages {
        table.row([
            page.at.to_rfc3339(),
            page.policy.to_string(),
            page.round.to_string(),
            page.step.to_string(),
            who(page),
            names(&page.receivers),
            page.reason.clone(),
        ]);
    }
    table.print();
    if s.truncated {
        out::line(format!("… and more: only the first {} pages are listed", s.pages.len()));
    }
}

fn to_json(s: &Simulation) -> Value {
    let page = |p: &SimulatedPage| {
        json!({
            "at": p.at.to_rfc3339(),
            "policy": p.policy,
            "round": p.round,
            "step": p.step,
            "target": p.target.to_string(),
            "person": p.person,
            "receivers": p.receivers,
            "unreachable": p.unreachable,
            "reason": p.reason,
        })
    };
    json!({
        "announcements": s.announced.iter().map(|a| json!({
            "receiver": a.receiver, "group": a.group_key, "at": a.at.to_rfc3339(),
            "muted": a.muted.as_ref().map(ToString::to_string),
        })).collect::<Vec<_>>(),
        "muted_by": s.status.muted_by,
        "policy": s.policies.first(),
        "policies": s.policies,
        "reason": s.reason,
        "pages": s.pages.iter().map(page).collect::<Vec<_>>(),
        "truncated": s.truncated,
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
