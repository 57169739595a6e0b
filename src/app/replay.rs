//! Replay: what another configuration would have done with the alerts that were stored.
//! In: the store of a stopped (or copied) server and a configuration. Out: who was told then, who would have been told.
//! Never: sends anything, or writes to the store. People's answers are not replayed: a page that an acknowledgement stopped
//! then is listed as one that would have been sent.
//! Start at [`replay`].

use crate::config::Config;
use crate::engine::{Engine, Input};
use crate::model::{
    AlertRecord, Notification, NotificationKind, Receipt, ReceiptOutcome, Timestamp, Transition, TransitionKind,
};
use crate::store::{IncidentQuery, SqliteStore, Store, StoreError};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Incidents that are looked at, the newest.
const INCIDENTS_MAX: usize = 10_000;
/// Moments that one replay may live through: a policy that repeats for ever must end.
const TURNS_MAX: usize = 2_000_000;

/// One message, then or in the replay.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Told {
    pub at: Timestamp,
    pub receiver: Arc<str>,
    /// `page r1 s2`, `end`, `announcement`.
    pub what: String,
    pub about: String,
}

/// Both lists in order of time.
#[derive(Debug, Default)]
pub struct Comparison {
    pub alerts: usize,
    pub then: Vec<Told>,
    pub now: Vec<Told>,
}

impl Comparison {
    /// Receiver → (messages then, messages in the replay).
    pub fn by_receiver(&self) -> BTreeMap<Arc<str>, (usize, usize)> {
        let mut table: BTreeMap<Arc<str>, (usize, usize)> = BTreeMap::new();
        for told in &self.then {
            table.entry(told.receiver.clone()).or_default().0 += 1;
        }
        for told in &self.now {
            table.entry(told.receiver.clone()).or_default().1 += 1;
        }
        table
    }
}

fn told(notification: &Notification, at: Timestamp) -> Told {
    let (what, about) = match &notification.kind {
        NotificationKind::Page { round, step, .. } => {
            let title = notification.message.incident.as_ref().map_or("", |i| i.title.as_str());
            (format!("page r{round} s{step}"), title.to_owned())
        }
        NotificationKind::Update { .. } => {
            let title = notification.message.incident.as_ref().map_or("", |i| i.title.as_str());
            ((if notification.message.firing { "update" } else { "end" }).to_owned(), title.to_owned())
        }
        NotificationKind::Announcement { .. } => {
            ("announcement".to_owned(), notification.message.group_labels.to_string())
        }
    };
    Told { at, receiver: notification.receiver.clone(), what, about }
}

/// Reads the history below `storage` and runs it through `config` under its own clock. Pages are compared; announcements
/// are counted for the new configuration only, since their rows are not kept with incidents.
pub async fn replay(
    storage: &Path,
    config: &Config,
    from: Option<Timestamp>,
    until: Option<Timestamp>,
) -> Result<Comparison, StoreError> {
    let store = SqliteStore::open(storage).await?;
    let (from, until) = (from.unwrap_or(Timestamp::MIN), until.unwrap_or(Timestamp::MAX));
    let within = |at: Timestamp| at >= from && at < until;
    let mut then = Vec::new();
    let query = IncidentQuery { limit: INCIDENTS_MAX, ..IncidentQuery::default() };
    let mut alerts: BTreeMap<_, AlertRecord> = BTreeMap::new();
    for incident in store.incidents(query).await? {
        for notification in store.notifications(incident.id).await? {
            if let Some(at) = notification.sent_at.filter(|at| within(*at)) {
                then.push(told(&notification, at));
            }
        }
        alerts.extend(store.alerts_of(incident.id).await?.into_iter().map(|a| (a.fingerprint, a)));
    }
    alerts.extend(store.load().await?.alerts.into_iter().map(|a| (a.fingerprint, a)));
    store.close().await?;
    alerts.retain(|_, alert| within(alert.starts_at));
    then.sort();
    let now = live_again(config, &alerts.into_values().collect::<Vec<_>>(), until);
    Ok(Comparison { alerts: now.1, then, now: now.0 })
}

/// Starts and ends in order of time, every timer at its moment, every message delivered at once.
fn live_again(config: &Config, alerts: &[AlertRecord], until: Timestamp) -> (Vec<Told>, usize) {
    let mut news: Vec<(Timestamp, Transition)> = Vec::new();
    for (version, alert) in alerts.iter().enumerate() {
        let started = Arc::new(AlertRecord { ended_at: None, updated_at: alert.starts_at, ..alert.clone() });
        let version = version as u64 * 2 + 1;
        news.push((alert.starts_at, Transition { kind: TransitionKind::Started, record: started, version }));
        if let Some(end) = alert.ended_at {
            let record = Arc::new(alert.clone());
            news.push((end, Transition { kind: TransitionKind::Ended, record, version: version + 1 }));
        }
    }
    news.sort_by_key(|(at, transition)| (*at, transition.version));
    let last = news.last().map_or(Timestamp::EPOCH, |(at, _)| *at);
    // What follows the last news is of interest for as long as policies may run, not for ever.
    let end = until.min(last + std::time::Duration::from_secs(6 * 3600));
    let mut engine = Engine::new(Arc::new(config.engine_settings()));
    let (mut told_now, mut next) = (Vec::new(), news.into_iter().peekable());
    for _ in 0..TURNS_MAX {
        let due = engine.next_due();
        let (at, input) = match (next.peek().map(|(at, _)| *at), due) {
            (Some(at), due) if due.is_none_or(|due| at <= due) => match next.next() {
                Some((at, transition)) => (at, Input::Transitions(vec![transition])),
                None => break,
            },
            (_, Some(due)) if due <= end => (due, Input::Tick),
            _ => break,
        };
        let outcome = engine.apply(at, input);
        for notification in outcome.send {
            told_now.push(told(&notification, at));
            let outcome = ReceiptOutcome::Delivered { external_ref: None };
            engine.apply(at, Input::Receipt(Receipt { key: notification.key.clone(), attempts: 1, at, outcome }));
        }
    }
    (told_now, alerts.len())
}
