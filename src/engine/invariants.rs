//! What always holds between two calls of `apply`, numbered; used by `debug_assert!` and by the simulator.
//! In: the engine. Out: `Ok`, or the first promise that is broken, with where.
//! Never: changes anything.
//! Start at [`check`].

use super::core::Engine;
use super::entry::IncidentEntry;
use crate::model::{NotificationKind, RunState};

/// Checks the incidents that the current call changed: cheap enough for every call of a debug build.
pub(super) fn check_touched(engine: &Engine) -> Result<(), String> {
    let touched = engine.changes.dirty.iter().filter_map(|id| engine.incidents.get(id));
    touched.into_iter().try_for_each(|entry| check_incident(engine, entry))
}

/// Checks everything.
pub fn check(engine: &Engine) -> Result<(), String> {
    engine.incidents.values().try_for_each(|entry| check_incident(engine, entry))?;
    for (alert, known) in &engine.alerts {
        let Some(entry) = known.incident.and_then(|id| engine.incidents.get(&id)) else { continue };
        let ok = !known.record.is_firing() || entry.firing.contains(alert);
        hold(ok, "WF-06", || format!("{alert} fires in {} and is not counted there", entry.incident.id))?;
    }
    for (alert, known) in engine.alerts.iter().filter(|(_, known)| known.record.is_firing()) {
        let is_heartbeat = crate::model::alert::is_heartbeat(&known.record.labels);
        let placed = known.incident.is_some() || known.apart || engine.waiting.holds(*alert) || is_heartbeat;
        hold(placed, "WF-11", || format!("{alert} fires and is forgotten: no incident, not apart, waits for nothing"))?;
    }
    for (key, pending) in engine.outbox.iter() {
        let NotificationKind::Page { incident, .. } = &pending.notification.kind else { continue };
        // What people send again is nobody's step.
        let Some(entry) = engine.incidents.get(incident).filter(|_| !key.is_resend()) else { continue };
        hold(entry.pages.contains_key(key), "WF-07", || format!("{key} is on its way and {incident} does not know"))?;
    }
    for (receiver, id) in engine.page_limit.all_held() {
        let known = engine.incidents.get(&id).is_some_and(|entry| entry.incident.escalation.held.contains(receiver));
        hold(known, "WF-08", || format!("{id} is held for {receiver} and does not know"))?;
    }
    Ok(())
}

fn hold(ok: bool, number: &str, what: impl FnOnce() -> String) -> Result<(), String> {
    if ok { Ok(()) } else { Err(format!("{number}: {}", what())) }
}

fn check_incident(engine: &Engine, entry: &IncidentEntry) -> Result<(), String> {
    let incident = &*entry.incident;
    let (id, escalation) = (incident.id, &incident.escalation);
    let word = incident.status().as_str();
    let stopped = |state: &RunState| matches!(state, RunState::Stopped);
    if incident.is_triggered() {
        let none = !escalation.runs.iter().any(|run| stopped(&run.state));
        hold(none, "WF-01", || format!("{id} wants an answer and a run of it has stopped"))?;
    } else {
        hold(entry.pages.is_empty(), "WF-02", || format!("{id} is {word} and pages"))?;
        let rests = |state: &RunState| state.next_at().is_none();
        let all = escalation.runs.iter().all(|run| rests(&run.state));
        hold(all, "WF-03", || format!("{id} is answered and has a next step"))?;
        hold(escalation.held.is_empty(), "WF-04", || format!("{id} is answered and has held pages"))?;
    }
    let open = entry.is_open();
    hold(!open || !entry.firing.is_empty(), "WF-05", || format!("{id} is open and nothing fires"))?;
    let counts = (incident.alert_count as usize, incident.firing_count as usize);
    let same = counts == (entry.members.len(), entry.firing.len());
    hold(same, "WF-06", || format!("{id} counts {counts:?}, has {} and {}", entry.members.len(), entry.firing.len()))?;
    for key in entry.pages.keys() {
        hold(engine.outbox.contains(key), "WF-07", || format!("{key} is not in the outbox"))?;
    }
    for receiver in &escalation.held {
        let known = engine.page_limit.is_held(receiver, incident.severity, id);
        hold(known, "WF-08", || format!("{id} is held for {receiver} and nobody will release it"))?;
    }
    let mut runs: Vec<u32> = escalation.runs.iter().map(|run| run.run).collect();
    runs.sort_unstable();
    runs.dedup();
    let unique = runs.len() == escalation.runs.len() && runs.last().is_none_or(|last| *last <= escalation.last_run);
    hold(unique, "WF-09", || format!("{id} has two runs of one number, or of one not given yet"))
}
