//! The promises that are looked at from time to time, from outside the engine.
//! In: the running server and what has happened. Out: breaches, noted in the world.
//! Never: changes anything.
//! Start at [`look`].

use super::play::Play;
use super::server::Server;
use super::settings::{PAGES_PER_MINUTE, policies_of, receivers_of};
use std::collections::BTreeMap;
use std::sync::Arc;
use watchfire::alerts::RegistryConfig;
use watchfire::engine::{Engine, Restart, invariants};
use watchfire::model::{Fingerprint, Incident, IncidentId, NotificationState, RunState};
use watchfire::store::Store;

/// A page leaves within this when nothing stands in its way; deliveries are not counted, rows are.
const SOON_MS: u64 = 30_000;
/// A clock that is set is noticed within this.
const NOTICED_MS: u64 = 2_000;
/// The longest wait of a policy between two of its steps (`repeat_after` of `quiet`), and some.
const LONGEST_WAIT_MS: u64 = 22 * 60_000;

/// Everything that must hold at any quiet moment.
pub fn look(play: &mut Play, server: &Server) {
    watch_alerts(play, server);
    if play.world.state().committing {
        return;
    }
    let engine = server.engine.read();
    if let Err(broken) = invariants::check(&engine) {
        play.world.breach(broken);
    }
    policies_page(play, &engine);
    incidents_go_on(play, &engine);
    limit_holds(play);
}

/// Since when each alert has fired unmuted, as its senders and the mutes say.
fn watch_alerts(play: &mut Play, server: &Server) {
    let (now, wall) = (play.world.truth_ms(), server.now());
    // What was taken out of its incident stays out until it has ended.
    let ended = std::mem::take(&mut play.world.state().mirror.ended);
    play.apart.retain(|alert| !ended.contains(alert));
    let engine = server.engine.read();
    for (alert, labels) in &play.pool_by_fingerprint {
        let fires = engine.alert(*alert).is_some_and(|record| record.is_firing());
        let status = engine.alert_status(labels, wall);
        let audible = status.silenced_by.is_empty() && status.inhibited_by.is_empty() && status.muted_by.is_empty();
        if fires && audible {
            play.audible_since.entry(*alert).or_insert(now);
        } else {
            play.audible_since.remove(alert);
        }
    }
}

/// WF-16: whoever's route names a policy has people of that policy paged, or there is a reason that anybody can see.
fn policies_page(play: &Play, engine: &Engine) {
    let now = play.world.truth_ms();
    let calm = play.world.state().calm_since_ms;
    for (alert, since) in &play.audible_since {
        if now < SOON_MS + (*since).max(calm) {
            continue;
        }
        let Some(id) = engine.incident_of(*alert) else {
            if !play.apart.contains(alert) {
                play.world.breach(format!("WF-16: {alert} fires unmuted and belongs nowhere"));
            }
            continue;
        };
        let Some(incident) = engine.incident(id) else { continue };
        let state = play.world.state();
        if !incident.is_triggered() || incident.escalation.assigned_to.is_some() {
            continue;
        }
        let mut silent = Vec::new();
        for policy in policies_of(&play.settings, &play.pool_by_fingerprint[alert]) {
            let receivers = receivers_of(&play.settings, &policy);
            let held = incident.escalation.held.iter().any(|receiver| receivers.contains(receiver));
            let paged = state.mirror.pages.iter().any(|page| page.incident == id && receivers.contains(&page.receiver));
            // After a page-again the one who had acknowledged is asked before the policy.
            let asked_first = incident.escalation.run_of(&policy);
            let asked_first = asked_first.is_some_and(|run| matches!(run.state, RunState::AskingAcknowledger { .. }));
            if !held && !paged && !asked_first {
                silent.push(policy);
            }
        }
        drop(state);
        for policy in silent {
            play.world.breach(format!("WF-16: {alert} asks for {policy} in {id}, which paged nobody of it"));
        }
    }
}

/// WF-17: an incident that wants an answer is never silent longer than the longest wait of its policy.
fn incidents_go_on(play: &Play, engine: &Engine) {
    let now = play.world.truth_ms();
    for incident in engine.open_incidents() {
        let state = play.world.state();
        let escalation = &incident.escalation;
        if !incident.is_triggered() || !escalation.held.is_empty() {
            continue;
        }
        let members = engine.members(incident.id);
        // Since when somebody asks for a policy that has not come to its end.
        let goes_on = |alert: &Fingerprint| {
            let policies = play.pool_by_fingerprint.get(alert).map(|labels| policies_of(&play.settings, labels));
            let ended = |policy: &Arc<str>| escalation.run_of(policy).is_some_and(|r| r.state == RunState::Exhausted);
            policies.is_some_and(|policies| policies.iter().any(|policy| !ended(policy)))
        };
        let asking =
            members.iter().map(|m| m.fingerprint).filter(|alert| engine.incident_of(*alert) == Some(incident.id));
        let asking = asking.filter(goes_on);
        let audible = asking.filter_map(|alert| play.audible_since.get(&alert)).min();
        let Some(audible) = audible else { continue };
        let last_page = state.mirror.pages.iter().rev().find(|p| p.incident == incident.id).map_or(0, |p| p.at_ms);
        let changed = state.mirror.changed_at_ms.get(&incident.id).copied().unwrap_or(0);
        let since = [*audible, last_page, changed, state.calm_since_ms].into_iter().max().unwrap_or(0);
        drop(state);
        if now > since + LONGEST_WAIT_MS {
            play.world.breach(format!(
                "WF-17: {} wants an answer and is silent for {} s",
                incident.id,
                (now - since) / 1000
            ));
        }
    }
}

/// WF-18: no contact is paged more often in a minute than the limit says, over starts and reloads.
fn limit_holds(play: &mut Play) {
    let mut by_receiver: BTreeMap<Arc<str>, Vec<u64>> = BTreeMap::new();
    let mut broken = Vec::new();
    {
        let state = play.world.state();
        let pages = &state.mirror.pages;
        // With those before the last look that may share a minute with newer ones.
        let first = play.pages_looked_at.saturating_sub(200);
        for page in &pages[first..] {
            by_receiver.entry(page.receiver.clone()).or_default().push(page.at_ms);
        }
        play.pages_looked_at = pages.len();
    }
    for (receiver, times) in by_receiver {
        for window in times.windows(PAGES_PER_MINUTE + 1) {
            let apart = window[PAGES_PER_MINUTE] - window[0];
            if apart < 60_000 && play.limit_breaches.insert((receiver.clone(), window[0])) {
                broken.push(format!("WF-18: {receiver} is paged {} times in {apart} ms", PAGES_PER_MINUTE + 1));
            }
        }
    }
    play.world.breaches(broken);
}

/// WF-20: a twin that starts at this moment from the store shows the same incidents, and pages nobody because of it.
pub async fn twin(play: &Play, server: &Server) {
    // A clock that was set a moment ago is not noticed yet; a process that starts then takes it as it is.
    let calm_since_ms = play.world.state().calm_since_ms;
    if play.world.state().committing || play.world.truth_ms() < calm_since_ms + NOTICED_MS {
        return;
    }
    let snapshot = server.store.load().await.expect("the store loads");
    let engine = server.engine.read();
    let restart = Restart::new(engine.settings().clone(), RegistryConfig::default(), snapshot, server.now());
    let (twin, outcome) = (restart.engine, restart.first);
    let shown = |i: &Arc<Incident>| (i.id, i.state.clone(), i.escalation.clone(), i.firing_count, i.alert_count);
    for incident in engine.incidents().filter(|i| i.is_open()) {
        let is = twin.incident(incident.id).map(&shown);
        if is != Some(shown(incident)) {
            play.world.breach(format!(
                "WF-20: {} is {:?} and would be {is:?} after a start",
                incident.id,
                shown(incident)
            ));
        }
    }
    for row in outcome.send.iter().filter(|row| row.incident().is_some()) {
        play.world.breach(format!("WF-20: {} would be sent because of a start", row.key));
    }
}

/// At the end, when all has ended and every destination is well: WF-21, nothing is open or undelivered; WF-22 and WF-23, whoever
/// heard of a fire heard of its end, those who were paged exactly once.
pub fn finish(play: &Play, server: &Server) {
    let engine = server.engine.read();
    for incident in engine.open_incidents() {
        play.world.breach(format!("WF-21: {} never ends", incident.id));
    }
    let (pending, ears) = {
        let state = play.world.state();
        let pending: Vec<String> = state.mirror.pending().iter().map(ToString::to_string).collect();
        let ears: Vec<_> = state
            .ears
            .iter()
            .map(|(dest, ear)| {
                (dest.clone(), ear.fires.iter().copied().collect::<Vec<Fingerprint>>(), ear.paged.clone())
            })
            .collect();
        (pending, ears)
    };
    for key in pending {
        play.world.breach(format!("WF-21: {key} is still {} in the end", NotificationState::Pending.as_str()));
    }
    for (dest, fires, paged) in ears {
        // A destination that is not configured any more cannot be told.
        let spec = play.settings.receiver(&dest.0).and_then(|r| r.integrations.iter().find(|i| i.id == dest.1));
        let Some(spec) = spec else { continue };
        if spec.send_resolved && !fires.is_empty() {
            play.world.breach(format!("WF-22: {dest:?} heard {fires:?} fire and not end"));
        }
        let wanted = usize::from(spec.send_resolved_pages);
        let wrong = paged.into_iter().map(|(id, told)| (id, told.len())).filter(|(_, told)| *told != wanted);
        // What a destination refused for good is not told again; its timeline says so.
        let state = play.world.state();
        let refused = |id: &IncidentId| {
            let of_it = state.mirror.states.iter().filter(|(_, state)| **state == NotificationState::Failed);
            let (of, to) = (format!("{id}/"), format!("/resolved/{}/", dest.0));
            of_it.into_iter().any(|(key, _)| key.0.starts_with(&of) && key.0.contains(&to))
        };
        let wrong: Vec<_> = wrong.filter(|(id, told)| *told > wanted || !refused(id)).collect();
        drop(state);
        for (id, told) in wrong {
            play.world.breach(format!("WF-23: {dest:?} was paged for {id} and told its end {told} times"));
        }
    }
}
