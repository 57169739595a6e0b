//! Senders, people, weather, operators and clock setters: what happens to the simulated server.
//! In: the dice. Out: posts, commands, silences, reloads, other weather, another time of day.
//! Never: waits for an answer: each request is a task that notes what it was told.
//! Start at [`act`].

use super::play::{Play, weather};
use super::server::Server;
use super::settings::{CHANGES, settings};
use super::sinks::dests;
use crate::world::target;
use std::sync::Arc;
use std::time::Duration;
use watchfire::engine::{Command, CommandKind};
use watchfire::model::{
    Alert, Door, Fingerprint, IncidentId, Labels, Matcher, Notification, NotificationState, Timestamp,
};

/// One thing happens.
pub fn act(play: &mut Play, server: &Server) {
    match play.dice.below(100) {
        0..34 => fire(play, server),
        34..58 => end(play, server),
        58..78 if play.has("people") => command(play, server),
        78..83 if play.has("silences") => silence(play, server),
        83..90 if play.has("weather") => change_weather(play),
        90..94 if play.has("reloads") => reload(play, server),
        94..96 if play.has("jumps") => jump(play),
        _ => server.sweep(),
    }
}

/// How long a post through the API holds when nobody repeats it.
const LEASE: Duration = Duration::from_mins(20);

/// Two Prometheus servers of one pair, which differ by nothing but their address, and an Alertmanager.
const SENDERS: [(Door, &str); 3] = [
    (Door::AlertmanagerWebhook, "am:9093@10.0.0.1"),
    (Door::AlertmanagerApi, "prometheus-0:9090@10.0.0.2"),
    (Door::AlertmanagerApi, "prometheus-1:9090@10.0.0.3"),
];

fn alert(sender: (Door, &str), labels: &Labels, starts_at: Timestamp, ends_at: Option<Timestamp>) -> Alert {
    let (door, claimant) = sender;
    Alert {
        labels: labels.clone(),
        annotations: Labels::empty(),
        generator_url: "".into(),
        starts_at,
        ends_at,
        ends_by_timeout: ends_at.is_some_and(|end| end > starts_at + Duration::from_mins(1)),
        door,
        claimant: claimant.into(),
    }
}

fn post(play: &Play, server: &Server, what: String, alerts: Vec<Alert>) {
    let world = play.world.clone();
    let firing: Vec<(Fingerprint, bool)> =
        alerts.iter().map(|a| (Fingerprint::of(&a.labels), a.ends_at.is_none() || a.ends_by_timeout)).collect();
    let posted = server.post(alerts);
    tokio::spawn(async move {
        let taken = posted.await;
        world.note(|| format!("{what}: {taken}"));
        if !taken {
            return;
        }
        // WF-19: what was answered with 2xx is in the rows. An end of what never fired leaves none.
        for (alert, firing) in firing {
            let row = world.state().mirror.alerts.get(&alert).copied();
            if firing && row.is_none() {
                world.breach(format!("WF-19: {alert} was answered and is not stored"));
            }
        }
    });
}

fn fire(play: &mut Play, server: &Server) {
    let count = 1 + play.dice.below(3) as usize;
    let first = play.dice.below(play.pool.len() as u64) as usize;
    let indexes: Vec<usize> = (first..first + count).map(|i| i % play.pool.len()).collect();
    let now = server.now();
    let mut alerts = Vec::new();
    for i in &indexes {
        play.firing.insert(*i);
        let sender = SENDERS[if play.dice.chance(30) { 1 + play.dice.below(2) as usize } else { 0 }];
        let ends_at = (sender.0 == Door::AlertmanagerApi).then(|| now + LEASE);
        alerts.push(alert(sender, &play.pool[*i], now, ends_at));
    }
    post(play, server, format!("fire {indexes:?}"), alerts);
}

fn end(play: &mut Play, server: &Server) {
    let firing: Vec<usize> = play.firing.iter().copied().collect();
    if firing.is_empty() {
        return;
    }
    let index = *play.dice.pick(&firing);
    play.firing.remove(&index);
    post(play, server, format!("end {index}"), ends(&play.pool[index], server.now()));
}

/// Every sender says that it is over.
fn ends(labels: &Labels, now: Timestamp) -> Vec<Alert> {
    let since = now - Duration::from_secs(1);
    SENDERS.map(|sender| alert(sender, labels, since, Some(now))).into()
}

fn command(play: &mut Play, server: &Server) {
    let (known, fingerprints) = {
        let engine = server.engine.read();
        let mut known: Vec<IncidentId> = engine.open_incidents().iter().map(|i| i.id).collect();
        known.extend(engine.incidents().map(|i| i.id).take(2));
        if known.is_empty() {
            return;
        }
        let id = *play.dice.pick(&known);
        let other = *play.dice.pick(&known);
        let members: Vec<Fingerprint> = engine.members(id).iter().map(|m| m.fingerprint).collect();
        ((id, other), members)
    };
    let (id, other) = known;
    let some = fingerprints.first().copied().unwrap_or(Fingerprint(0));
    let kind = match play.dice.below(18) {
        0..5 => CommandKind::Acknowledge(id),
        5 => CommandKind::Unacknowledge(id),
        6 => {
            let hold = *play.dice.pick(&[None, Some(Duration::ZERO), Some(Duration::from_mins(5))]);
            CommandKind::Resolve { incident: id, hold }
        }
        7..9 => CommandKind::Snooze { incident: id, duration: Duration::from_secs(1 + play.dice.below(5_000)) },
        9 => CommandKind::Escalate(id),
        10 => CommandKind::Merge { into: id, from: vec![other] },
        11 => CommandKind::Split { incident: id, alerts: vec![some] },
        12 => {
            play.apart.insert(some);
            CommandKind::Detach { incident: id, alert: some }
        }
        13 => CommandKind::Note(id),
        14 | 15 => CommandKind::Reopen(id),
        16 => match settled(play) {
            Some(original) => {
                play.resends += 1;
                let key = original.key.resend(play.resends);
                return ask(play, server, CommandKind::Resend { original, key }, None);
            }
            None => CommandKind::Note(id),
        },
        _ => CommandKind::Reassign { incident: id, to: target("first") },
    };
    ask(play, server, kind, Some(id));
}

/// A message that somebody has sent again.
fn settled(play: &mut Play) -> Option<Arc<Notification>> {
    let state = play.world.state();
    let is_settled = |row: &&Arc<Notification>| {
        matches!(state.mirror.states.get(&row.key), Some(NotificationState::Sent | NotificationState::Failed))
    };
    let rows: Vec<_> = state.mirror.rows.iter().filter(is_settled).collect();
    let row = rows.get(play.dice.below(rows.len().max(1) as u64) as usize)?;
    let state = state.mirror.states[&row.key];
    Some(Arc::new(Notification { state, ..Notification::clone(row) }))
}

/// In one line, for the trace.
fn words(kind: &CommandKind) -> String {
    match kind {
        CommandKind::Resend { key, .. } => format!("Resend({key})"),
        CommandKind::PutSilence { new_id, matchers, .. } => format!("PutSilence({new_id} {matchers:?})"),
        _ => format!("{kind:?}"),
    }
}

fn ask(play: &Play, server: &Server, kind: CommandKind, about: Option<IncidentId>) {
    let (world, what) = (play.world.clone(), words(&kind));
    let commits = world.state().mirror.commits;
    // Whatever becomes of the request, the incident may not be quiet any more from here on.
    if let Some(id) = about {
        world.state().quiet.remove(&id);
    }
    let asked = server.command(Command { by: "ana".into(), note: Some("looking".to_owned()), kind: kind.clone() });
    tokio::spawn(async move {
        let answer = asked.await;
        world.note(|| format!("{what}: {answer:?}"));
        let (Some(Ok(_)), Some(id)) = (answer, about) else { return };
        let now = world.truth_ms();
        let mut state = world.state();
        let incident = state.mirror.incidents.get(&id).cloned();
        let quiet = incident.as_ref().is_some_and(|i| !i.is_triggered());
        let answered = state.mirror.answered_in.get(&id).is_some_and(|commit| *commit > commits);
        // WF-19: the answer came after the commit. Something later may have changed it in the same commit.
        let holds = match kind {
            CommandKind::Acknowledge(_) | CommandKind::Resolve { .. } | CommandKind::Snooze { .. } => answered,
            _ => true,
        };
        // An acknowledgement times out and a snooze ends by themselves; only what lasts is looked at.
        if matches!(kind, CommandKind::Resolve { .. }) && quiet {
            state.quiet.insert(id, now);
        }
        drop(state);
        if !holds {
            world.breach(format!("WF-19: {what} was answered and is not stored"));
        }
    });
}

fn silence(play: &mut Play, server: &Server) {
    let now = server.now();
    let kind = if play.silences > 0 && play.dice.chance(30) {
        CommandKind::ExpireSilence(format!("s{}", 1 + play.dice.below(play.silences)).into())
    } else {
        play.silences += 1;
        let name = *play.dice.pick(&["Down", "Slow", "Full"]);
        CommandKind::PutSilence {
            id: None,
            new_id: format!("s{}", play.silences).into(),
            matchers: vec![Matcher::equal("alertname", name)],
            starts_at: now + Duration::from_secs(play.dice.below(100)),
            ends_at: now + Duration::from_secs(200 + play.dice.below(6_000)),
            comment: String::new(),
        }
    };
    ask(play, server, kind, None);
}

fn change_weather(play: &mut Play) {
    let all: Vec<_> = play.settings.receivers.iter().flat_map(|r| dests(&r.name, &play.settings)).collect();
    let dest = play.dice.pick(&all).clone();
    let weather = weather(&mut play.dice);
    play.world.note(|| format!("{dest:?} is {weather:?}"));
    play.world.state().weather.insert(dest, weather);
}

fn reload(play: &mut Play, server: &Server) {
    // Now and then nothing has changed.
    if !play.dice.chance(20) {
        play.mask ^= 1 << play.dice.below(CHANGES);
    }
    play.settings = settings(play.mask);
    play.world.note(|| format!("reload {:#b}", play.mask));
    play.world.disturbed();
    let (world, settings, reloaded) = (play.world.clone(), play.settings.clone(), server.reload(&play.settings));
    tokio::spawn(async move {
        let taken = reloaded.await;
        if taken {
            world.cannot_be_told(&settings);
        }
        world.disturbed();
        world.note(|| format!("reloaded: {taken}"));
    });
}

fn jump(play: &mut Play) {
    let by_ms = play.dice.below(if play.dice.clone().chance(50) { 60_000 } else { 3_600_000 }) as i64;
    let by_ms = if play.dice.chance(50) { -by_ms } else { by_ms };
    play.world.note(|| format!("the clock is set by {by_ms} ms"));
    play.world.jump(by_ms);
}

/// The day is over: everything ends, and nothing is silenced.
pub fn everybody_goes_home(play: &mut Play, server: &Server) {
    play.firing.clear();
    for n in 1..=play.silences {
        ask(play, server, CommandKind::ExpireSilence(format!("s{n}").into()), None);
    }
    repeat_ends(play, server);
}

/// Senders repeat an end until they are sure that it was heard.
pub fn repeat_ends(play: &Play, server: &Server) {
    let now = server.now();
    let all = play.pool.iter().flat_map(|labels| ends(labels, now)).collect();
    post(play, server, "all end".to_owned(), all);
}
