//! The rules, group by group: what each says, how it stands, when it was evaluated last.
//! In: the view that the evaluate loop published. Out: the page.
//! Never: evaluates anything.
//! Start at [`list`].

use super::frame::{Frame, page};
use super::text;
use crate::api::context::Shared;
use crate::model::{Timestamp, duration};
use crate::rules::{AlertView, GroupView, Health, RuleKindView, RuleView};
use askama::Template;
use axum::extract::State;
use axum::response::Response;

/// Alerts of one rule on the page that are held because their source is silent; the API has all.
const HELD_MAX: usize = 10;

pub struct RuleRow {
    name: String,
    kind: &'static str,
    state: &'static str,
    hold: String,
    query: String,
    error: String,
    evaluated: String,
    active: String,
    /// Alerts whose source is silent, and since when.
    held: Vec<String>,
}

pub struct GroupRows {
    name: String,
    file: String,
    interval: String,
    last: String,
    rules: Vec<RuleRow>,
}

#[derive(Template)]
#[template(path = "rules.html", config = "src/ui/askama.toml")]
struct Page {
    frame: Frame,
    rules: usize,
    groups: Vec<GroupRows>,
}

fn row(rule: &RuleView, now: Timestamp) -> RuleRow {
    let (kind, state, hold, active) = match &rule.kind {
        RuleKindView::Recording { .. } => ("recording rule", rule.health.as_str(), String::new(), String::new()),
        RuleKindView::Alerting { state, for_, alerts, .. } => {
            let hold = if for_.is_zero() { String::new() } else { duration::format(*for_) };
            let firing = alerts.iter().filter(|a| a.state == "firing").count();
            let active = match (firing, alerts.len() - firing) {
                (0, 0) => String::new(),
                (firing, 0) => format!("{firing} firing"),
                (0, pending) => format!("{pending} pending"),
                (firing, pending) => format!("{firing} firing, {pending} pending"),
            };
            ("alert", if rule.health == Health::Err { "err" } else { state }, hold, active)
        }
    };
    let class = if rule.per_series { "on arrival" } else { "when its inputs have settled" };
    let latency =
        rule.arrival_latency.map_or(String::new(), |l| format!(", last after {:.1} ms", l.as_secs_f64() * 1e3));
    let alerts: &[AlertView] = match &rule.kind {
        RuleKindView::Recording { alerts } | RuleKindView::Alerting { alerts, .. } => alerts,
    };
    let lost = alerts.iter().filter_map(|a| Some((a, a.source_lost_since?)));
    let held = lost.take(HELD_MAX).map(|(a, since)| format!("{} {}", a.labels, text::source_lost(since, now)));
    RuleRow {
        held: held.collect(),
        name: rule.name.to_string(),
        kind,
        state,
        hold,
        query: rule.query.to_string(),
        error: rule.last_error.as_deref().unwrap_or("").to_owned(),
        evaluated: match rule.last_evaluation {
            Some(at) => format!("{}, {class}{latency}", text::ago(at, now)),
            None => "not yet".to_owned(),
        },
        active,
    }
}

fn rows(group: &GroupView, now: Timestamp) -> GroupRows {
    GroupRows {
        name: group.name.to_string(),
        file: group.file.to_string(),
        interval: duration::format(group.interval),
        last: group.last_evaluation.map_or("not evaluated yet".to_owned(), |at| {
            format!("{}, took {:.1} ms", text::ago(at, now), group.evaluation_time.as_secs_f64() * 1000.0)
        }),
        rules: group.rules.iter().map(|r| row(r, now)).collect(),
    }
}

pub async fn list(State(context): Shared) -> Response {
    let now = context.clock.now();
    let view = context.rules.load();
    page(&Page {
        frame: Frame::new(&context, "rules"),
        rules: view.groups.iter().map(|g| g.rules.len()).sum(),
        groups: view.groups.iter().map(|g| rows(g, now)).collect(),
    })
}
