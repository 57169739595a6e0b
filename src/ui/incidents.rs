//! The first page: what is open, worst first, and what was resolved lately.
//! In: incidents from the store. Out: the list.
//! Never: hides an open incident; the list is as long as it must be up to [`OPEN_MAX`].
//! Start at [`list`].

use super::frame::{Frame, page, problem};
use super::text;
use crate::api::context::{Context, Shared};
use crate::api::error::ApiError;
use crate::incidents::words::still_fire;
use crate::model::{Incident, IncidentState, IncidentStatus, Timestamp};
use crate::store::IncidentQuery;
use askama::Template;
use axum::extract::State;
use axum::response::Response;

/// Open incidents on one page.
const OPEN_MAX: usize = 500;
/// Resolved ones below them.
const CLOSED_MAX: usize = 20;
/// Labels shown with one incident.
const CHIPS_MAX: usize = 6;

/// An incident as a row.
pub struct Row {
    pub id: String,
    pub title: String,
    pub status: &'static str,
    pub severity: &'static str,
    pub labels: Vec<(String, String)>,
    pub acknowledged_by: Option<String>,
    pub merged_into: Option<String>,
    pub predecessor: Option<String>,
    /// "3 alerts still fire", of what a person resolved while they did.
    pub still_firing: String,
    /// They can be asked for again.
    pub can_reopen: bool,
    pub snoozed: bool,
    pub alerts: u32,
    pub firing: u32,
    pub sources: String,
    pub opened_at: String,
    pub opened_ago: String,
    pub opened_clock: String,
    pub acknowledged_ago: String,
    pub resolved_ago: String,
    pub resolved_by: String,
    pub next: String,
    pub escalation: String,
}

impl Row {
    pub fn new(incident: &Incident, now: Timestamp) -> Self {
        Self {
            id: incident.id.to_string(),
            title: incident.headline(),
            status: incident.status().as_str(),
            severity: incident.severity.as_str(),
            labels: incident
                .labels
                .iter()
                .filter(|(name, _)| !matches!(*name, "alertname" | "severity"))
                .take(CHIPS_MAX)
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .collect(),
            acknowledged_by: incident.acknowledged_by().map(ToString::to_string),
            merged_into: incident.merged_into().map(|id| id.to_string()),
            predecessor: incident.predecessor.map(|id| id.to_string()),
            still_firing: incident.still_firing().filter(|n| *n > 0).map(still_fire).unwrap_or_default(),
            snoozed: incident.snoozed_until().is_some(),
            can_reopen: !incident.is_open() && incident.merged_into().is_none() && incident.firing_count > 0,
            alerts: incident.alert_count,
            firing: incident.firing_count,
            sources: incident.doors.iter().map(|d| d.as_str().replace('_', " ")).collect::<Vec<_>>().join(", "),
            opened_at: incident.opened_at.to_rfc3339(),
            opened_ago: text::ago(incident.opened_at, now),
            opened_clock: text::near(incident.opened_at, now),
            acknowledged_ago: incident.acknowledged_at().map_or(String::new(), |at| text::ago(at, now)),
            resolved_ago: incident.resolved_at().map_or(String::new(), |at| text::ago(at, now)),
            resolved_by: match (incident.resolved_at(), incident.resolved_by()) {
                (None, _) => String::new(),
                (Some(_), Some(by)) => format!("by {by}"),
                (Some(_), None) => "by itself".to_owned(),
            },
            next: next(incident, now),
            escalation: escalation(incident),
        }
    }
}

/// What happens next, in a few words.
fn next(incident: &Incident, now: Timestamp) -> String {
    let escalation = &incident.escalation;
    match &incident.state {
        IncidentState::Snoozed(snooze) => format!("snoozed; the policy starts again {}", text::ago(snooze.until, now)),
        IncidentState::Acknowledged(_) => "pages nobody any more".to_owned(),
        IncidentState::Resolved(_) => match incident.still_firing() {
            Some(n) if n > 0 => match incident.hold_until() {
                Some(until) => format!("{}; a new incident opens for them {}", still_fire(n), text::due(until, now)),
                None => format!("{}; no new incident opens for them", still_fire(n)),
            },
            _ => "nothing, it is over".to_owned(),
        },
        IncidentState::Triggered => match escalation.next_at() {
            Some(at) => format!("next step {}", text::due(at, now)),
            None if escalation.runs.is_empty() => "pages nobody".to_owned(),
            None if escalation.is_exhausted() => "policy exhausted, nobody answered".to_owned(),
            None => "on hold: no firing alert may page".to_owned(),
        },
    }
}

/// Where it stands in its policies.
fn escalation(incident: &Incident) -> String {
    let one = |run: &crate::model::EscalationRun| match run.step {
        0 => format!("Policy {}, no step taken yet.", run.policy),
        step => format!("Policy {}, round {}, step {step}.", run.policy, run.round.max(1)),
    };
    let runs: Vec<String> = incident.escalation.runs.iter().map(one).collect();
    if runs.is_empty() { "No escalation policy: this incident pages nobody.".to_owned() } else { runs.join(" ") }
}

#[derive(Template)]
#[template(path = "incidents.html", config = "src/ui/askama.toml")]
struct Page {
    frame: Frame,
    open: Vec<Row>,
    closed: Vec<Row>,
    waiting: usize,
    paging_nobody: usize,
    acknowledged: usize,
    alerts_firing: usize,
}

async fn build(context: &Context) -> Result<Response, ApiError> {
    let now = context.clock.now();
    let wanted = |statuses: &[IncidentStatus], limit| IncidentQuery {
        statuses: statuses.to_vec(),
        limit,
        ..IncidentQuery::default()
    };
    let mut open =
        context.store.incidents(wanted(&[IncidentStatus::Triggered, IncidentStatus::Acknowledged], OPEN_MAX)).await?;
    let closed = context.store.incidents(wanted(&[IncidentStatus::Resolved], CLOSED_MAX)).await?;
    // Those that wait come first, then the worst, then the newest.
    open.sort_by(|a, b| a.status().cmp(&b.status()).then(b.severity.cmp(&a.severity)).then(b.id.cmp(&a.id)));
    let counts = context.engine.read().counts(now);
    // Both of all open incidents, also of those that have no room in the list. Who asks nobody is shown, but waits for nothing.
    let paging_nobody = counts.incidents_asking_nobody;
    Ok(page(&Page {
        frame: Frame::new(context, "incidents"),
        open: open.iter().map(|i| Row::new(i, now)).collect(),
        closed: closed.iter().map(|i| Row::new(i, now)).collect(),
        waiting: counts.incidents_triggered - paging_nobody,
        paging_nobody,
        acknowledged: counts.incidents_acknowledged,
        alerts_firing: counts.alerts_firing,
    }))
}

pub async fn list(State(context): Shared) -> Response {
    build(&context).await.unwrap_or_else(|error| problem(&context, &error))
}
