//! Rules and their alerts in Prometheus' JSON: `/api/v1/rules` and `/api/v1/alerts`.
//! In: the view that the evaluate loop published last. Out: groups, rules, active alerts.
//! Never: evaluates anything.
//! Start at [`rules`].

use super::context::Shared;
use super::dto::{LabelsDto, TimeDto, success};
use super::error::ApiError;
use super::params::Params;
use crate::model::Matcher;
use crate::model::matcher::all_match;
use crate::promql::parse_selector;
use crate::rules::{AlertView, GroupView, RuleKindView, RuleView};
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use serde_json::{Value as Json, json};

/// Prometheus prints a rule that was never evaluated with Go's zero time.
const NEVER: &str = "0001-01-01T00:00:00Z";

fn alert(alert: &AlertView) -> Json {
    let mut row = json!({
        "labels": LabelsDto(&alert.labels),
        "annotations": LabelsDto(&alert.annotations),
        "state": alert.state,
        "activeAt": TimeDto(alert.active_at),
        "value": alert.value,
    });
    if let Some(since) = alert.keep_firing_since {
        row["keepFiringSince"] = json!(TimeDto(since));
    }
    if let Some(since) = alert.source_lost_since {
        // Ours: it is held, not resolved, because what it was about fell silent.
        row["sourceLostSince"] = json!(TimeDto(since));
    }
    row
}

/// What a caller wants to see of the rules.
struct Wanted<'a> {
    kind: Option<&'a str>,
    names: Vec<&'a str>,
    groups: Vec<&'a str>,
    files: Vec<&'a str>,
    selectors: Vec<Vec<Matcher>>,
    alerts: bool,
}

impl<'a> Wanted<'a> {
    fn of(params: &'a Params) -> Result<Self, ApiError> {
        let kind = match params.one("type") {
            None => None,
            Some("alert") => Some("alerting"),
            Some("record") => Some("recording"),
            Some(other) => return Err(ApiError::Invalid(format!("not supported value {other:?}"))),
        };
        let selectors = params.all("match[]").map(|text| {
            parse_selector(text)
                .map(|selector| selector.all_matchers())
                .map_err(|e| ApiError::Invalid(format!("invalid parameter \"match[]\": {e}")))
        });
        Ok(Self {
            kind,
            names: params.all("rule_name[]").collect(),
            groups: params.all("rule_group[]").collect(),
            files: params.all("file[]").collect(),
            selectors: selectors.collect::<Result<_, _>>()?,
            alerts: !params.flag("exclude_alerts", false)?,
        })
    }

    fn wants_group(&self, group: &GroupView) -> bool {
        (self.groups.is_empty() || self.groups.contains(&&*group.name))
            && (self.files.is_empty() || self.files.contains(&&*group.file))
    }

    fn wants(&self, rule: &RuleView) -> bool {
        let kind = match rule.kind {
            RuleKindView::Recording { .. } => "recording",
            RuleKindView::Alerting { .. } => "alerting",
        };
        self.kind.is_none_or(|wanted| wanted == kind)
            && (self.names.is_empty() || self.names.contains(&&*rule.name))
            && (self.selectors.is_empty() || self.selectors.iter().any(|s| all_match(s, &rule.labels)))
    }
}

fn rule(rule: &RuleView, with_alerts: bool) -> Json {
    let mut row = json!({
        "name": &*rule.name,
        "query": &*rule.query,
        "labels": LabelsDto(&rule.labels),
        "health": rule.health.as_str(),
        "evaluationTime": rule.evaluation_time.as_secs_f64(),
        "lastEvaluation": rule.last_evaluation.map_or_else(|| json!(NEVER), |at| json!(TimeDto(at))),
        // Ours: whether single series are evaluated as they arrive, or inputs are waited for.
        "arrivalClass": if rule.per_series { "per_series" } else { "joining" },
    });
    if let Some(latency) = rule.arrival_latency {
        // Ours: how long the oldest sample of the last arrival waited for this rule.
        row["arrivalLatency"] = json!(latency.as_secs_f64());
    }
    if let Some(error) = &rule.last_error {
        row["lastError"] = json!(&**error);
    }
    match &rule.kind {
        RuleKindView::Recording { .. } => row["type"] = json!("recording"),
        RuleKindView::Alerting { state, for_, keep_firing_for, annotations, alerts } => {
            row["type"] = json!("alerting");
            row["state"] = json!(state);
            row["duration"] = json!(for_.as_secs_f64());
            row["keepFiringFor"] = json!(keep_firing_for.as_secs_f64());
            row["annotations"] = json!(LabelsDto(annotations));
            let shown: &[AlertView] = if with_alerts { alerts } else { &[] };
            row["alerts"] = Json::Array(shown.iter().map(alert).collect());
        }
    }
    row
}

/// `GET /api/v1/rules?type=&rule_name[]=&rule_group[]=&file[]=&match[]=&exclude_alerts=&group_limit=&group_next_token=`.
pub async fn rules(State(context): Shared, uri: Uri) -> Result<Response, ApiError> {
    let params = Params::of(&uri);
    let wanted = Wanted::of(&params)?;
    let limit = params.number("group_limit", 0)?;
    if params.one("group_next_token").is_some() && limit == 0 {
        return Err(ApiError::Invalid(
            "group_limit needs to be present in order to paginate over the groups".to_owned(),
        ));
    }
    let start = params.number("group_next_token", 0)?;
    let view = context.rules.load();
    let mut groups = Vec::new();
    let mut next = None;
    for (index, group) in view.groups.iter().enumerate().skip(start).filter(|(_, g)| wanted.wants_group(g)) {
        if limit > 0 && groups.len() == limit {
            next = Some(index.to_string());
            break;
        }
        let rules: Vec<Json> = group.rules.iter().filter(|r| wanted.wants(r)).map(|r| rule(r, wanted.alerts)).collect();
        if !rules.is_empty() {
            groups.push(json!({
                "name": &*group.name,
                "file": &*group.file,
                "interval": group.interval.as_secs_f64(),
                "limit": group.limit,
                "evaluationTime": group.evaluation_time.as_secs_f64(),
                "lastEvaluation": group.last_evaluation.map_or_else(|| json!(NEVER), |at| json!(TimeDto(at))),
                "rules": rules,
            }));
        }
    }
    let mut data = json!({ "groups": groups });
    if let Some(next) = next {
        data["groupNextToken"] = json!(next);
    }
    Ok(success(data).into_response())
}

/// `GET /api/v1/alerts`: pending and firing alerts of all rules.
pub async fn alerts(State(context): Shared) -> Response {
    let view = context.rules.load();
    let alerts: Vec<Json> = view.alerts().map(alert).collect();
    success(json!({ "alerts": alerts })).into_response()
}
