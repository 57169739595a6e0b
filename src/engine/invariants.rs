//! What always holds between two calls of `apply`, numbered; used by `debug_assert!` and by the simulator.
//! In: the engine. Out: `Ok`, or the first promise that is broken, with where.
//! Never: changes anything.
//! Start at [`check`].

use super::case::Case;
use super::core::Engine;
use crate::model::{IncidentStatus, NotificationKind};

/// Checks the incidents that the current turn changed: cheap enough for every call of a debug build.
pub(super) fn check_touched(engine: &Engine) -> Result<(), String> {
    engine.turn.dirty.iter().filter_map(|id| engine.cases.get(id)).try_for_each(|case| check_case(engine, case))
}

/// Checks everything.
pub fn check(engine: &Engine) -> Result<(), String> {
    engine.cases.values().try_for_each(|case| check_case(engine, case))?;
    for (alert, entry) in &engine.alerts {
        let Some(case) = entry.incident.and_then(|id| engine.cases.get(&id)) else { continue };
        let ok = !entry.record.is_firing() || case.firing.contains(alert);
        hold(ok, "WF-06", || format!("{alert} fires in {} and is not counted there", case.incident.id))?;
    }
    for (alert, entry) in engine.alerts.iter().filter(|(_, entry)| entry.record.is_firing()) {
        let placed = entry.incident.is_some() || entry.apart || engine.waiting.holds(*alert);
        hold(placed, "WF-11", || format!("{alert} fires and is forgotten: no incident, not apart, waits for nothing"))?;
    }
    for (key, pending) in &engine.outbox {
        let NotificationKind::Page { incident, .. } = &pending.notification.kind else { continue };
        let Some(case) = engine.cases.get(incident) else { continue };
        hold(case.pages.contains(key), "WF-07", || format!("{key} is on its way and {incident} does not know"))?;
    }
    for (receiver, held) in &engine.held {
        for (_, id) in held {
            let known = engine.cases.get(id).is_some_and(|case| case.incident.escalation.held.contains(receiver));
            hold(known, "WF-08", || format!("{id} is held for {receiver} and does not know"))?;
        }
    }
    Ok(())
}

fn hold(ok: bool, number: &str, what: impl FnOnce() -> String) -> Result<(), String> {
    if ok { Ok(()) } else { Err(format!("{number}: {}", what())) }
}

fn check_case(engine: &Engine, case: &Case) -> Result<(), String> {
    let incident = &*case.incident;
    let (id, escalation) = (incident.id, &incident.escalation);
    let open = case.is_open();
    if case.wants_an_answer() && escalation.policy.is_some() {
        let known = escalation.policy.as_deref().is_some_and(|name| engine.settings.policy(name).is_some());
        let goes_on = escalation.next_at.is_some() || !escalation.held.is_empty() || case.paused;
        hold(goes_on || escalation.exhausted || !known, "WF-01", || format!("{id} waits for nothing"))?;
    }
    if !case.wants_an_answer() {
        hold(case.pages.is_empty(), "WF-02", || format!("{id} is {} and pages", incident.status.as_str()))?;
        hold(escalation.next_at.is_none(), "WF-03", || format!("{id} is answered and has a next step"))?;
        hold(escalation.held.is_empty(), "WF-04", || format!("{id} is answered and has held pages"))?;
    }
    hold(!open || !case.firing.is_empty(), "WF-05", || format!("{id} is open and nothing fires"))?;
    let counts = (incident.alert_count as usize, incident.firing_count as usize);
    let all = counts.0 == case.members.len();
    let firing = counts.1 == case.firing.len();
    hold(all && firing, "WF-06", || {
        format!("{id} counts {counts:?}, has {} and {}", case.members.len(), case.firing.len())
    })?;
    for key in &case.pages {
        hold(engine.outbox.contains_key(key), "WF-07", || format!("{key} is not in the outbox"))?;
    }
    for receiver in &escalation.held {
        let known =
            engine.held.get(receiver).is_some_and(|held| held.contains(&(std::cmp::Reverse(incident.severity), id)));
        hold(known, "WF-08", || format!("{id} is held for {receiver} and nobody will release it"))?;
    }
    let acked = incident.acknowledged_at.is_some() && incident.acknowledged_by.is_some();
    let wants_ack = incident.status == IncidentStatus::Acknowledged;
    hold(!wants_ack || acked, "WF-09", || format!("{id} is acknowledged by nobody"))?;
    hold(open == incident.resolved_at.is_none(), "WF-10", || format!("{id} is resolved without a time"))
}
