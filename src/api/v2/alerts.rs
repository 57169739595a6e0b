//! Alerts in and out: `POST` and `GET /api/v2/alerts`, `GET /api/v2/alerts/groups`, and the webhook.
//! In: posts. Out: 200 when every good alert is committed; lists with each alert's state evaluated now.
//! Never: answers 2xx for an alert that is not on disk, or holds the engine's lock while it prints.
//! Start at [`post`].

use crate::alerts::{self, Observed, RegistryError, authority, matchers};
use crate::api::context::{Context, Shared};
use crate::api::dto::{LabelsDto, TimeDto};
use crate::api::error::{ApiError, V2Error};
use crate::api::params::Params;
use crate::api::peer::{PeerAddress, peer_of};
use crate::engine::Input;
use crate::model::pattern::Pattern;
use crate::model::{AlertRecord, Door, Matcher, Timestamp};
use crate::wire::alertmanager::{self, Decoded};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use std::sync::Arc;

/// Refused alerts of one post that the log names.
const REFUSALS_LOGGED_MAX: usize = 20;
/// Refused alerts of one post that the answer names.
const REFUSALS_ANSWERED_MAX: usize = 100;

/// `POST /api/v2/alerts`: good ones are kept even if others are not; then 400 with the reasons.
pub async fn post(
    State(context): Shared,
    peer: Option<Extension<PeerAddress>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, V2Error> {
    let now = context.clock.now();
    let mut decoded = alertmanager::posted(&body, now, context.resolve_timeout())
        .map_err(|e| ApiError::Invalid(format!("parsing alerts body failed: {e}")))?;
    name_claimants(&context, peer, &headers, &mut decoded);
    take(&context, decoded, Door::AlertmanagerApi, now).await?;
    Ok(().into_response())
}

/// `POST /api/v1/alertmanager`: Alertmanager's webhook, version 4.
pub async fn webhook(
    State(context): Shared,
    peer: Option<Extension<PeerAddress>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let now = context.clock.now();
    let mut decoded = alertmanager::webhook(&body, now).map_err(|e| ApiError::Invalid(e.to_string()))?;
    if decoded.truncated > 0 {
        tracing::warn!(truncated = decoded.truncated, "an alertmanager webhook left alerts out: raise its max_alerts");
    }
    // An Alertmanager is one sender: of several Prometheus servers with one alert it names now the one, now the other.
    let sender = Arc::from(peer_name(&context, peer, &headers));
    decoded.alerts.iter_mut().for_each(|alert| alert.claimant = Arc::clone(&sender));
    take(&context, decoded, Door::AlertmanagerWebhook, now).await?;
    Ok(().into_response())
}

/// The address that a request comes from, behind a proxy that is trusted the one that it names; empty when it is not known.
fn peer_name(context: &Context, peer: Option<Extension<PeerAddress>>, headers: &HeaderMap) -> String {
    let trusted = &context.settings.load().trusted_proxies;
    peer.map(|Extension(PeerAddress(address))| peer_of(address, headers, trusted).to_string()).unwrap_or_default()
}

/// Says of each alert whose it is: the authority of its generator URL and the peer's address. Neighbours usually share it.
fn name_claimants(context: &Context, peer: Option<Extension<PeerAddress>>, headers: &HeaderMap, decoded: &mut Decoded) {
    let peer = peer_name(context, peer, headers);
    let mut last: Option<(Arc<str>, Arc<str>)> = None;
    for alert in &mut decoded.alerts {
        let authority = authority(&alert.generator_url);
        alert.claimant = match &last {
            Some((url, claimant)) if alerts::authority(url) == authority => claimant.clone(),
            _ => format!("{authority}@{peer}").into(),
        };
        last = Some((alert.generator_url.clone(), alert.claimant.clone()));
    }
}

/// Gives the alerts to the registry. Transitions go on to the single writer, and the answer waits for their commit.
async fn take(context: &Context, decoded: Decoded, door: Door, now: Timestamp) -> Result<(), ApiError> {
    let mut transitions = Vec::new();
    let mut errors = decoded.errors;
    let (mut full, mut refreshes) = (None, 0);
    context.metrics.alerts.received(door.as_str(), decoded.alerts.len() as u64);
    context.metrics.alerts.invalid(door.as_str(), errors.len() as u64);
    for alert in decoded.alerts {
        match context.registry.observe(alert, now) {
            Ok(Observed::Refresh) => refreshes += 1,
            Ok(Observed::Transition(transition)) => transitions.push(transition),
            Ok(Observed::Ignored { reason }) => tracing::debug!(reason = reason.as_str(), "a post changed nothing"),
            Err(error @ RegistryError::Full { .. }) => full = Some(error),
            Err(error @ RegistryError::NoIdentity) => errors.push(error.to_string()),
        }
    }
    context.metrics.alerts.refreshes.inc_by(refreshes);
    if !transitions.is_empty() {
        context.inbox.submit(Input::Transitions(transitions)).await?;
    }
    if let Some(full) = full {
        return Err(ApiError::Unavailable(format!("{full}; new ones are refused until some end")));
    }
    if errors.is_empty() {
        return Ok(());
    }
    for reason in errors.iter().take(REFUSALS_LOGGED_MAX) {
        tracing::warn!(door = door.as_str(), reason, "an alert was refused");
    }
    if let Some(more) = errors.len().checked_sub(REFUSALS_LOGGED_MAX).filter(|more| *more > 0) {
        tracing::warn!(door = door.as_str(), more, "more alerts of the same post were refused");
    }
    errors.truncate(REFUSALS_ANSWERED_MAX);
    Err(ApiError::Invalid(errors.join("; ")))
}

#[derive(Serialize)]
pub struct Name {
    name: Arc<str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    state: &'static str,
    silenced_by: Vec<Arc<str>>,
    inhibited_by: Vec<String>,
    muted_by: Vec<Arc<str>>,
}

/// An alert as Alertmanager prints it; owns its handles so that no lock is held while it is written out.
struct Gettable {
    record: Arc<AlertRecord>,
    ends_at: Timestamp,
    receivers: Vec<Arc<str>>,
    status: Status,
}

impl Serialize for Gettable {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire<'a> {
            annotations: LabelsDto<'a>,
            ends_at: TimeDto,
            fingerprint: String,
            receivers: Vec<Name>,
            starts_at: TimeDto,
            status: &'a Status,
            updated_at: TimeDto,
            #[serde(rename = "generatorURL", skip_serializing_if = "str::is_empty")]
            generator_url: &'a str,
            labels: LabelsDto<'a>,
        }
        Wire {
            annotations: LabelsDto(&self.record.annotations),
            ends_at: TimeDto(self.ends_at),
            fingerprint: self.record.fingerprint.to_string(),
            receivers: self.receivers.iter().map(|name| Name { name: name.clone() }).collect(),
            starts_at: TimeDto(self.record.starts_at),
            status: &self.status,
            updated_at: TimeDto(self.record.updated_at),
            generator_url: &self.record.generator_url,
            labels: LabelsDto(&self.record.labels),
        }
        .serialize(serializer)
    }
}

/// What a list leaves out.
struct Wanted {
    active: bool,
    silenced: bool,
    inhibited: bool,
    unprocessed: bool,
    muted: bool,
    filters: Vec<Matcher>,
    receiver: Option<Pattern>,
}

impl Wanted {
    fn of(uri: &Uri) -> Result<Self, ApiError> {
        let params = Params::of(uri);
        let filters = params
            .all("filter")
            .filter(|t| !t.is_empty())
            .map(|text| matchers::parse_one(text).map_err(|e| ApiError::Invalid(e.to_string())));
        let receiver = params.one("receiver").map(|text| {
            Pattern::anchored(text).map_err(|e| ApiError::Invalid(format!("failed to parse receiver param: {e}")))
        });
        Ok(Self {
            active: params.flag("active", true)?,
            silenced: params.flag("silenced", true)?,
            inhibited: params.flag("inhibited", true)?,
            unprocessed: params.flag("unprocessed", true)?,
            muted: params.flag("muted", true)?,
            filters: filters.collect::<Result<_, _>>()?,
            receiver: receiver.transpose()?,
        })
    }

    fn wants_labels(&self, record: &AlertRecord) -> bool {
        self.filters.iter().all(|m| m.matches(&record.labels))
    }

    fn wants_receivers(&self, receivers: &[Arc<str>]) -> bool {
        self.receiver.as_ref().is_none_or(|p| receivers.iter().any(|r| p.is_match(r)))
    }

    fn wants_status(&self, status: &Status) -> bool {
        (self.active || status.state != "active")
            && (self.unprocessed || status.state != "unprocessed")
            && (self.silenced || status.silenced_by.is_empty())
            && (self.inhibited || status.inhibited_by.is_empty())
            && (self.muted || status.muted_by.is_empty())
    }
}

/// Alertmanager prints an end for every alert, one in the future while it fires; so do we, also where a lease has none.
fn printed_end(record: &AlertRecord, now: Timestamp, resolve_timeout: std::time::Duration) -> Timestamp {
    record.ended_at.or_else(|| record.lease_end()).unwrap_or(now + resolve_timeout)
}

fn gettable(context: &Context, engine: &crate::engine::Engine, record: Arc<AlertRecord>, now: Timestamp) -> Gettable {
    let status = engine.alert_status(&record.labels, now);
    let suppressed = !status.silenced_by.is_empty() || !status.inhibited_by.is_empty();
    Gettable {
        ends_at: printed_end(&record, now, context.resolve_timeout()),
        receivers: engine.receivers_of(&record.labels),
        status: Status {
            state: if suppressed { "suppressed" } else { "active" },
            silenced_by: status.silenced_by,
            inhibited_by: status.inhibited_by.iter().map(ToString::to_string).collect(),
            muted_by: status.muted_by,
        },
        record,
    }
}

/// `GET /api/v2/alerts`: alerts that have not ended, sorted by fingerprint.
pub async fn list(State(context): Shared, uri: Uri) -> Result<Response, V2Error> {
    let wanted = Wanted::of(&uri)?;
    let now = context.clock.now();
    let mut records = Vec::new();
    context.registry.for_each(|record| {
        if record.is_firing() && wanted.wants_labels(record) {
            records.push(record.clone());
        }
    });
    records.sort_unstable_by_key(|record| record.fingerprint);
    let engine = context.engine.read();
    let mut found: Vec<Gettable> = Vec::with_capacity(records.len());
    for record in records {
        let one = gettable(&context, &engine, record, now);
        if wanted.wants_status(&one.status) && wanted.wants_receivers(&one.receivers) {
            found.push(one);
        }
    }
    drop(engine);
    Ok(Json(found).into_response())
}

#[derive(Serialize)]
struct GettableGroup {
    #[serde(serialize_with = "labels")]
    labels: crate::model::Labels,
    receiver: Name,
    alerts: Vec<Gettable>,
}

fn labels<S: serde::Serializer>(labels: &crate::model::Labels, serializer: S) -> Result<S::Ok, S::Error> {
    LabelsDto(labels).serialize(serializer)
}

/// `GET /api/v2/alerts/groups`: by group labels, then receiver.
pub async fn groups(State(context): Shared, uri: Uri) -> Result<Response, V2Error> {
    let wanted = Wanted::of(&uri)?;
    let now = context.clock.now();
    let engine = context.engine.read();
    let mut found = Vec::new();
    for group in engine.groups(now) {
        if !wanted.wants_receivers(std::slice::from_ref(&group.receiver)) {
            continue;
        }
        let alerts: Vec<Gettable> = group
            .alerts
            .into_iter()
            .filter(|record| record.is_firing() && wanted.wants_labels(record))
            .map(|record| gettable(&context, &engine, context.registry.get(record.fingerprint).unwrap_or(record), now))
            .filter(|one| wanted.wants_status(&one.status))
            .collect();
        if !alerts.is_empty() {
            found.push(GettableGroup { labels: group.labels, receiver: Name { name: group.receiver }, alerts });
        }
    }
    drop(engine);
    found.sort_by(|a, b| (&a.labels, &a.receiver.name).cmp(&(&b.labels, &b.receiver.name)));
    Ok(Json(found).into_response())
}
