//! Replay: what another configuration would have done with the alerts that were stored.
//! In: the store of a stopped (or copied) server and a configuration. Out: who was notified then, who would have been notified.
//! Never: sends anything. What people answered then they answer again, at the same moment, where the incident is open; an answer
//! to a page that would not have been sent changes nothing.
//! Start at [`replay`].

use crate::config::Config;
use crate::engine::{Command, CommandKind, Engine, Input, Outcome};
use crate::model::{
    AlertRecord, Fingerprint, IncidentId, Notification, NotificationKind, Receipt, ReceiptOutcome, Silence,
    TimelineEntry, TimelineEvent, TimelineKind, Timestamp, Transition, TransitionKind,
};
use crate::store::{INCIDENTS_PAGE_MAX, IncidentQuery, SqliteStore, Store, StoreError, TIMELINE_MAX};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Incidents that are looked at, the newest.
const INCIDENTS_MAX: usize = 10_000;
/// Moments that one replay may live through: a policy that repeats for ever must end.
const TURNS_MAX: usize = 2_000_000;

/// One message, then or in the replay.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Notified {
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
    /// What people did then that had an open incident in the replay, and what had none.
    pub answers: usize,
    pub answers_without_incident: usize,
    /// Pages and ends; announcements are not kept with incidents and are not in it.
    pub then: Vec<Notified>,
    pub now: Vec<Notified>,
    /// Announcements of groups in the replay.
    pub announcements: usize,
}

impl Comparison {
    /// Receiver → (messages then, messages in the replay).
    pub fn by_receiver(&self) -> BTreeMap<Arc<str>, (usize, usize)> {
        let mut table: BTreeMap<Arc<str>, (usize, usize)> = BTreeMap::new();
        for notified in &self.then {
            table.entry(notified.receiver.clone()).or_default().0 += 1;
        }
        for notified in &self.now {
            table.entry(notified.receiver.clone()).or_default().1 += 1;
        }
        table
    }

    /// Messages of one list that the other lacks. The same receiver, the same message, the same incident or group, equally
    /// often, is no difference, whatever the second.
    pub fn differences(&self) -> (Vec<&Notified>, Vec<&Notified>) {
        (lacking(&self.then, &self.now), lacking(&self.now, &self.then))
    }
}

fn lacking<'a>(list: &'a [Notified], other: &[Notified]) -> Vec<&'a Notified> {
    let mut there: BTreeMap<(&str, &str, &str), usize> = BTreeMap::new();
    for notified in other {
        *there.entry((&notified.receiver, &notified.what, &notified.about)).or_default() += 1;
    }
    let mut new = Vec::new();
    for notified in list {
        match there.get_mut(&(&*notified.receiver, &*notified.what, &*notified.about)) {
            Some(left) if *left > 0 => *left -= 1,
            _ => new.push(notified),
        }
    }
    new
}

/// `None` for an announcement.
fn notified(notification: &Notification, at: Timestamp) -> Option<Notified> {
    let about = notification.message.incident.as_ref().map_or(String::new(), |i| i.title.clone());
    let what = match &notification.kind {
        NotificationKind::Page { round, step, .. } => format!("page r{round} s{step}"),
        NotificationKind::Update { .. } if notification.message.firing => "update".to_owned(),
        NotificationKind::Update { .. } => "end".to_owned(),
        NotificationKind::Announcement { .. } => return None,
    };
    Some(Notified { at, receiver: notification.receiver.clone(), what, about })
}

/// What a person did, and to which alerts: the incident's number is another one in the replay.
struct Answer {
    by: Arc<str>,
    event: TimelineEvent,
    alerts: Arc<[Fingerprint]>,
}

impl Answer {
    /// The lines of a timeline that people wrote and that can be given to the engine again.
    fn of(line: &TimelineEntry, alerts: &Arc<[Fingerprint]>) -> Option<Self> {
        let by = line.actor.clone()?;
        let answer = Self { by, event: line.event.clone(), alerts: alerts.clone() };
        answer.kind(IncidentId(0)).is_some().then_some(answer)
    }

    fn kind(&self, incident: IncidentId) -> Option<CommandKind> {
        Some(match &self.event {
            TimelineEvent::Acknowledged => CommandKind::Acknowledge(incident),
            TimelineEvent::Unacknowledged => CommandKind::Unacknowledge(incident),
            TimelineEvent::Resolved { merged_into: None, .. } => CommandKind::Resolve { incident, hold: None },
            TimelineEvent::Snoozed { for_ms, .. } => {
                CommandKind::Snooze { incident, duration: Duration::from_millis(*for_ms) }
            }
            // Sentences of version 0.1: how long a snooze was is not read back from them.
            TimelineEvent::Recorded { kind, .. } => match kind {
                TimelineKind::Acknowledged => CommandKind::Acknowledge(incident),
                TimelineKind::Unacknowledged => CommandKind::Unacknowledge(incident),
                TimelineKind::Resolved => CommandKind::Resolve { incident, hold: None },
                _ => return None,
            },
            _ => return None,
        })
    }

    fn command(&self, incident: IncidentId) -> Option<Command> {
        Some(Command { by: self.by.clone(), note: None, kind: self.kind(incident)? })
    }
}

/// One thing that happened then.
enum Event {
    Transition(Transition),
    Silence(Silence),
    Answer(Answer),
}

/// What the store remembers, in order of time.
#[derive(Default)]
struct History {
    events: Vec<(Timestamp, Event)>,
    alerts: usize,
    then: Vec<Notified>,
    /// The last moment that the store knows of.
    last: Option<Timestamp>,
}

/// Reads the history below `storage` and runs it through `config` under its own clock. An error is for the user.
pub async fn replay(
    storage: &Path,
    config: &Config,
    from: Option<Timestamp>,
    until: Option<Timestamp>,
) -> Result<Comparison, String> {
    if !SqliteStore::is_in(storage) {
        return Err(format!(
            "no stored history in {}; name the folder of a server with --storage.path",
            storage.display()
        ));
    }
    let (from, until) = (from.unwrap_or(Timestamp::MIN), until.unwrap_or(Timestamp::MAX));
    let store = SqliteStore::open(storage).await.map_err(|e| e.to_string())?;
    let history = read(&store, from, until).await;
    store.close().await.map_err(|e| e.to_string())?;
    Ok(live_again(config, history.map_err(|e| e.to_string())?, until))
}

async fn read(store: &SqliteStore, from: Timestamp, until: Timestamp) -> Result<History, StoreError> {
    let within = |at: Timestamp| at >= from && at < until;
    let mut history = History::default();
    let mut alerts: BTreeMap<Fingerprint, AlertRecord> = BTreeMap::new();
    let mut query = IncidentQuery { limit: INCIDENTS_PAGE_MAX, ..IncidentQuery::default() };
    let mut seen = 0;
    loop {
        let page = store.incidents(query.clone()).await?;
        seen += page.len();
        query.before = page.last().map(|incident| incident.id);
        for incident in &page {
            let sent = store.notifications(incident.id).await?;
            history.then.extend(sent.iter().filter_map(|n| notified(n, n.sent_at.filter(|at| within(*at))?)));
            let of = store.alerts_of(incident.id).await?;
            let members: Arc<[Fingerprint]> = of.iter().map(|alert| alert.fingerprint).collect();
            let lines = store.timeline(incident.id, TIMELINE_MAX).await?;
            let answers = lines.iter().filter(|line| within(line.at));
            let answers = answers.filter_map(|line| Some((line.at, Event::Answer(Answer::of(line, &members)?))));
            history.events.extend(answers);
            alerts.extend(of.into_iter().map(|alert| (alert.fingerprint, alert)));
        }
        if page.len() < INCIDENTS_PAGE_MAX || seen >= INCIDENTS_MAX {
            break;
        }
    }
    let snapshot = store.load().await?;
    alerts.extend(snapshot.alerts.into_iter().map(|alert| (alert.fingerprint, alert)));
    alerts.retain(|_, alert| within(alert.starts_at));
    history.alerts = alerts.len();
    history.last = alerts.values().map(|alert| alert.updated_at).max();
    history.then.sort();
    // A silence from before the first alert still holds.
    let silences = snapshot.silences.into_iter().filter(|s| s.ends_at > from && s.starts_at < until);
    history.events.extend(silences.map(|silence| (silence.starts_at.max(from), Event::Silence(silence))));
    for (n, alert) in alerts.into_values().enumerate() {
        let version = n as u64 * 2 + 1;
        let started = Arc::new(AlertRecord { ended_at: None, updated_at: alert.starts_at, ..alert.clone() });
        let start = Transition { kind: TransitionKind::Started, record: started, version };
        history.events.push((alert.starts_at, Event::Transition(start)));
        if let Some(end) = alert.ended_at.filter(|end| *end < until) {
            let record = Arc::new(alert);
            let end_of = Transition { kind: TransitionKind::Ended, record, version: version + 1 };
            history.events.push((end, Event::Transition(end_of)));
        }
    }
    // At one moment: quiet first, then what starts and ends, then what people did about it.
    let rank = |event: &Event| match event {
        Event::Silence(_) => (0, 0),
        Event::Transition(transition) => (1, transition.version),
        Event::Answer(_) => (2, 0),
    };
    history.events.sort_by_key(|(at, event)| (*at, rank(event)));
    Ok(history)
}

/// Everything in order of time, every timer at its moment, every message delivered at once.
fn live_again(config: &Config, history: History, until: Timestamp) -> Comparison {
    let known =
        [history.events.last().map(|(at, _)| *at), history.then.last().map(|notified| notified.at), history.last];
    let last = known.into_iter().flatten().max().unwrap_or(Timestamp::EPOCH);
    // How long the alerts went on that still fired then is unknown, so timers run to the last known moment, or as long as was asked.
    let end = if until == Timestamp::MAX { last } else { until };
    let mut life = Life {
        engine: Engine::new(Arc::new(config.engine_settings())),
        seen: Comparison { alerts: history.alerts, then: history.then, ..Comparison::default() },
    };
    let mut next = history.events.into_iter().peekable();
    for _ in 0..TURNS_MAX {
        let due = life.engine.next_due();
        match (next.peek().map(|(at, _)| *at), due) {
            (Some(at), due) if due.is_none_or(|due| at <= due) => {
                let Some((at, event)) = next.next() else { break };
                life.happen(at, event);
            }
            (_, Some(due)) if due <= end => life.apply(due, Input::Tick),
            _ => break,
        }
    }
    life.seen
}

struct Life {
    engine: Engine,
    seen: Comparison,
}

impl Life {
    fn happen(&mut self, at: Timestamp, event: Event) {
        match event {
            Event::Transition(transition) => self.apply(at, Input::Transitions(vec![transition])),
            Event::Silence(silence) => {
                let kind = CommandKind::PutSilence {
                    id: None,
                    new_id: silence.id,
                    matchers: silence.matchers,
                    starts_at: silence.starts_at.max(at),
                    ends_at: silence.ends_at,
                    comment: silence.comment,
                };
                self.apply(at, Input::Command(Command { by: silence.created_by.into(), note: None, kind }));
            }
            Event::Answer(answer) => {
                let incident = answer.alerts.iter().find_map(|alert| {
                    let id = self.engine.incident_of(*alert)?;
                    self.engine.incident(id).filter(|i| i.is_open()).map(|i| i.id)
                });
                if let Some(command) = incident.and_then(|id| answer.command(id)) {
                    self.seen.answers += 1;
                    self.apply(at, Input::Command(command));
                } else {
                    self.seen.answers_without_incident += 1;
                }
            }
        }
    }

    fn apply(&mut self, at: Timestamp, input: Input) {
        let outcome = self.engine.apply(at, input);
        self.deliver(at, outcome);
    }

    /// Everything arrives at once, and what that sets off too.
    fn deliver(&mut self, at: Timestamp, outcome: Outcome) {
        let mut waiting = outcome.send;
        while let Some(notification) = waiting.pop() {
            match notified(&notification, at) {
                Some(notified) => self.seen.now.push(notified),
                None => self.seen.announcements += 1,
            }
            let outcome = ReceiptOutcome::Delivered { external_ref: None };
            let receipt = Receipt { key: notification.key.clone(), attempts: 1, at, outcome };
            waiting.extend(self.engine.apply(at, Input::Receipt(receipt)).send);
        }
    }
}
