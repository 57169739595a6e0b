//! Which policies an incident runs: every distinct one that a firing, unmuted alert of it asks for.
//! In: alerts that join, wake or fire on, answers that run out. Out: runs that start, rest, go on or stop.
//! Never: takes a step (that is `page`).
//! Start at [`Engine::ask`] and [`Engine::start_runs`].

use super::core::Engine;
use super::entry::IncidentEntry;
use super::membership::{alert_ref, severity_of};
use super::page::Contact;
use crate::escalation::{EscalationPolicy, Position, next};
use crate::incidents::lifecycle::{Change, change};
use crate::model::incident::COVERS_MAX;
use crate::model::timeline::{NotPaged, PageAgain, StepReason, TakenBack};
use crate::model::{
    AlertRecord, Covered, EscalationRun, Fingerprint, IncidentId, IncidentState, MuteReason, RunState, Severity,
    TimelineEvent, Timestamp,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The label that names what is affected; an acknowledgement covers names and services.
const SERVICE: &str = "service";

/// Why no alert speaks for a run now.
pub(super) enum Silent {
    /// Every firing alert is muted.
    AllMuted(Vec<(Fingerprint, MuteReason)>),
    /// Others fire, those that asked for the policy do not; the muted ones among them.
    NobodyAsks(Vec<(Fingerprint, MuteReason)>),
}

/// Where a run stands in its policy.
pub(super) fn position(run: &EscalationRun) -> Position {
    Position { round: run.round, step: run.step, round_started_at: run.round_started_at }
}

/// What an acknowledgement covers of an alert.
pub(super) fn covered_by(record: &AlertRecord) -> Covered {
    Covered { alertname: record.labels.alert_name().into(), service: record.labels.value(SERVICE).into() }
}

/// Who answered an incident, whether by a snooze, and when.
fn answer_to(state: &IncidentState) -> Option<(Arc<str>, bool, Timestamp)> {
    match state {
        IncidentState::Acknowledged(ack) => Some((ack.by.clone(), false, ack.at)),
        IncidentState::Snoozed(snooze) => Some((snooze.by.clone(), true, snooze.at)),
        IncidentState::Triggered | IncidentState::Resolved(_) => None,
    }
}

/// The patience that the policy has with its first step, for the one who is asked before it.
fn patience(policy: &EscalationPolicy) -> std::time::Duration {
    match policy.steps.as_slice() {
        [first, second, ..] => second.after.saturating_sub(first.after),
        _ => policy.repeat_after,
    }
}

impl Engine {
    /// An unmuted alert joined: its policies run, or the answer that somebody gave covers it, or it does not.
    pub(super) fn ask(&mut self, id: IncidentId, record: &Arc<AlertRecord>) {
        let Some(entry) = self.incidents.get(&id) else {
            return self.breach(|| format!("an alert asks for the policies of {id}, which is not known"));
        };
        let Some((by, snoozed, _)) = answer_to(&entry.incident.state) else { return self.ensure_runs(id, record) };
        if let Some((level, why)) = self.uncovered(entry, record) {
            self.page_again(id, by, snoozed, level, why);
        } else {
            let alert = alert_ref(record);
            self.record_bounded(id, || TimelineEvent::NotPaged(NotPaged::Covered { alert, by, snoozed }));
        }
    }

    /// An alert of the incident may page from now on: as [`Engine::ask`], but what is covered is not worth a line.
    pub(super) fn ask_unmuted(&mut self, id: IncidentId, record: &Arc<AlertRecord>) {
        let Some(entry) = self.incidents.get(&id) else { return };
        let Some((by, snoozed, answered_at)) = answer_to(&entry.incident.state) else {
            return self.ensure_runs(id, record);
        };
        let has_joined_since =
            entry.members.get(&record.fingerprint).is_some_and(|member| member.attached_at > answered_at);
        let found = self.uncovered(entry, record);
        let is_wanted = |why: &PageAgain| has_joined_since || matches!(why, PageAgain::SeverityRose { .. });
        if let Some((level, why)) = found.filter(|(_, why)| is_wanted(why)) {
            self.page_again(id, by, snoozed, level, why);
        }
    }

    /// What the answer to an incident does not cover of an alert that joined, and the level from which its policy says so.
    fn uncovered(&self, entry: &IncidentEntry, record: &AlertRecord) -> Option<(Severity, PageAgain)> {
        let asked = self.asks(record.fingerprint);
        let levels = asked.iter().filter_map(|name| self.settings.policy(name)?.page_again_at);
        let level = levels.min()?;
        let covers = entry.incident.covers()?;
        let alert = alert_ref(record);
        if severity_of(record) >= level && covers.len() < COVERS_MAX {
            let Covered { alertname, service } = covered_by(record);
            if !covers.iter().any(|known| known.alertname == alertname) {
                return Some((level, PageAgain::NewAlertName { alert, alertname: alertname.to_string() }));
            }
            if !service.is_empty() && !covers.iter().any(|known| known.service == service) {
                return Some((level, PageAgain::NewService { alert, service: service.to_string() }));
            }
        }
        // What a muted alert raised was told to nobody: the answer counts, not the incident as it is now.
        let severity = severity_of(record);
        let rose = severity >= level && severity > entry.incident.answered_severity()?;
        rose.then_some((level, PageAgain::SeverityRose { alert, severity }))
    }

    /// The names and services that are in an incident now.
    pub(super) fn covers_of(&self, id: IncidentId) -> BTreeSet<Covered> {
        let members = self.incidents.get(&id).map(|entry| entry.members.keys()).into_iter().flatten();
        let mut covers = BTreeSet::new();
        for entry in members.filter_map(|alert| self.alerts.get(alert)) {
            if covers.len() == COVERS_MAX {
                break;
            }
            covers.insert(covered_by(&entry.record));
        }
        covers
    }

    /// The answer does not cover what came: first the one who gave it is paged, then the policies from their first steps.
    fn page_again(&mut self, id: IncidentId, by: Arc<str>, snoozed: bool, level: Severity, why: PageAgain) {
        self.trigger(id);
        let event = TimelineEvent::PagedAgain { acknowledged_by: by.clone(), snoozed, level, why: why.clone() };
        self.record(id, event);
        self.start_runs(id, &StepReason::PagedAgain { acknowledged_by: by, why });
    }

    /// The incident wants an answer again.
    pub(super) fn trigger(&mut self, id: IncidentId) {
        let Some(incident) = self.edit(id) else {
            return self.breach(|| format!("{id} is triggered and is not known"));
        };
        if let Err(refused) = change(incident, Change::Trigger) {
            self.breach(|| format!("{id} {refused} and is triggered"));
        }
    }

    /// An alert that may page speaks for its incident: each policy that it asks for runs, if it does not yet.
    pub(super) fn ensure_runs(&mut self, id: IncidentId, record: &Arc<AlertRecord>) {
        let Some(entry) = self.incidents.get(&id).filter(|entry| entry.incident.is_triggered()) else { return };
        let known: Vec<(Arc<str>, RunState)> =
            entry.incident.escalation.runs.iter().map(|run| (run.policy.clone(), run.state.clone())).collect();
        for policy in self.asks(record.fingerprint) {
            let state = known.iter().find(|(name, _)| *name == policy).map(|(_, state)| state);
            match state {
                None => {
                    let alert = alert_ref(record);
                    self.record(id, TimelineEvent::PolicyStarted { policy: policy.clone(), alert: alert.clone() });
                    self.start_run(id, &policy, record.fingerprint, &StepReason::AlertAsksForIt { alert });
                }
                Some(RunState::Resting) => self.resume_run(id, &policy, record),
                Some(RunState::UnknownPolicy) if self.settings.policy(&policy).is_some() => {
                    let alert = alert_ref(record);
                    self.start_run(id, &policy, record.fingerprint, &StepReason::AlertAsksForIt { alert });
                }
                Some(_) => {}
            }
        }
        if let Some(mute) = self.mute_of_a_route(record.fingerprint) {
            self.wait_for(record.fingerprint, mute);
        }
    }

    /// A policy has nobody left to page, and an alert joins that an acknowledgement would not have covered: it starts again.
    pub(super) fn ask_the_exhausted(&mut self, id: IncidentId, record: &Arc<AlertRecord>) {
        let Some(entry) = self.incidents.get(&id).filter(|entry| entry.incident.is_triggered()) else { return };
        let others = entry.members.keys().filter(|alert| **alert != record.fingerprint);
        let known: Vec<Covered> = others.filter_map(|a| self.alerts.get(a)).map(|a| covered_by(&a.record)).collect();
        let own = covered_by(record);
        let is_known = known.iter().any(|k| k.alertname == own.alertname)
            && (own.service.is_empty() || known.iter().any(|k| k.service == own.service));
        if is_known {
            return;
        }
        let is_exhausted = |policy: &Arc<str>| {
            entry.incident.escalation.runs.iter().any(|r| r.policy == *policy && r.state == RunState::Exhausted)
        };
        let pages_again = |policy: &Arc<str>| {
            let level = self.settings.policy(policy).and_then(|policy| policy.page_again_at);
            level.is_some_and(|level| severity_of(record) >= level)
        };
        let asked: Vec<Arc<str>> =
            self.asks(record.fingerprint).into_iter().filter(|p| is_exhausted(p) && pages_again(p)).collect();
        for policy in asked {
            let alert = alert_ref(record);
            self.record(id, TimelineEvent::PolicyStarted { policy: policy.clone(), alert: alert.clone() });
            self.start_run(id, &policy, record.fingerprint, &StepReason::AlertAsksForIt { alert });
        }
    }

    /// A resting run goes on from where it was.
    fn resume_run(&mut self, id: IncidentId, policy: &Arc<str>, record: &AlertRecord) {
        let Some(known) = self.settings.policy(policy).cloned() else { return };
        let Some(incident) = self.edit(id) else { return };
        let Some(run) = incident.escalation.runs.iter_mut().find(|run| run.policy == *policy) else { return };
        run.state = RunState::Active { next_at: next(&known, position(run)).at() };
        self.record(id, TimelineEvent::EscalationResumed { alert: alert_ref(record) });
    }

    /// Every policy that is asked for starts at its first step, now. Pages of earlier runs are taken back.
    pub(super) fn start_runs(&mut self, id: IncidentId, reason: &StepReason) {
        self.cancel_pages(id, TakenBack::PolicyStartedAgain);
        let (asked, now) = (self.asked_policies(id), self.now);
        let Some(incident) = self.edit(id) else {
            return self.breach(|| format!("the policies of {id} start and it is not known"));
        };
        let escalation = &mut incident.escalation;
        let has_runs = !escalation.runs.is_empty();
        // The end of this opening is another message than the end of the one before, also when nobody is paged.
        escalation.last_run += u32::from(!has_runs && asked.is_empty());
        for run in &mut escalation.runs {
            if !asked.iter().any(|(policy, _)| *policy == run.policy) {
                // From its beginning, once an alert asks: other pages than those of before, under keys of their own.
                escalation.last_run += 1;
                *run = EscalationRun {
                    policy: run.policy.clone(),
                    run: escalation.last_run,
                    because: run.because,
                    step: 0,
                    round: 0,
                    round_started_at: now,
                    reached: false,
                    state: RunState::Resting,
                };
            }
        }
        if asked.is_empty() {
            let asks = |alert: &Fingerprint| self.alerts.get(alert).is_some_and(|entry| !entry.policies.is_empty());
            let why = match self.all_muted(id) {
                Some(muted) if has_runs || muted.iter().any(|(alert, _)| asks(alert)) => self.rest_on(muted),
                _ => NotPaged::NoPolicy,
            };
            self.record(id, TimelineEvent::NotPaged(why));
        }
        for (policy, because) in asked {
            self.start_run(id, &policy, because, reason);
        }
        self.wait_for_the_muted(id);
    }

    /// Firing alerts that ask for nothing now, or not for all that their routes name, are looked at again when their mutes end.
    pub(super) fn wait_for_the_muted(&mut self, id: IncidentId) {
        let firing: Vec<Fingerprint> =
            self.incidents.get(&id).map(|entry| entry.firing.iter().copied().collect()).unwrap_or_default();
        for alert in firing {
            if let Some(mute) = self.mute_reason(alert).or_else(|| self.mute_of_a_route(alert)) {
                self.wait_for(alert, mute);
            }
        }
    }

    /// The alerts wait for the end of their mutes; what to say of it.
    fn rest_on(&mut self, muted: Vec<(Fingerprint, MuteReason)>) -> NotPaged {
        let first = muted.first().map(|(_, mute)| mute.clone());
        for (alert, mute) in muted {
            self.wait_for(alert, mute);
        }
        first.map_or(NotPaged::NoPolicy, |mute| NotPaged::AllMuted { mute })
    }

    /// Every policy that a firing, unmuted alert asks for, with the first such alert, in the order of the names.
    fn asked_policies(&self, id: IncidentId) -> Vec<(Arc<str>, Fingerprint)> {
        let mut asked: Vec<(Arc<str>, Fingerprint)> = Vec::new();
        let firing = self.incidents.get(&id).map(|entry| entry.firing.iter()).into_iter().flatten();
        for alert in firing.copied() {
            let policies = self.asks(alert);
            let news = policies.into_iter().filter(|p| !asked.iter().any(|(known, _)| known == p));
            let news: Vec<Arc<str>> = news.collect();
            if !news.is_empty() && self.mute_reason(alert).is_none() {
                asked.extend(news.into_iter().map(|policy| (policy, alert)));
            }
        }
        asked.sort();
        asked
    }

    /// Starts one policy at its first step; after a page-again, with the one who had acknowledged before it.
    fn start_run(&mut self, id: IncidentId, policy: &Arc<str>, because: Fingerprint, reason: &StepReason) {
        let now = self.now;
        let known = self.settings.policy(policy).cloned();
        let first = known.as_ref().and_then(|p| p.steps.first()).map(|step| now + step.after);
        let before = match (reason, &known) {
            (StepReason::PagedAgain { acknowledged_by, .. }, Some(policy)) => {
                let contacts = self.user_contacts(acknowledged_by, acknowledged_by.to_string());
                (!contacts.is_empty()).then(|| (acknowledged_by.clone(), contacts, now + patience(policy)))
            }
            _ => None,
        };
        let state = match (first, &before) {
            (None, _) => RunState::UnknownPolicy,
            (Some(_), Some((by, _, until))) => RunState::AskingAcknowledger { by: by.clone(), until: *until },
            (Some(next_at), None) => RunState::Active { next_at },
        };
        let Some(incident) = self.edit(id) else { return };
        incident.escalation.last_run += 1;
        let number = incident.escalation.last_run;
        let run = EscalationRun {
            policy: policy.clone(),
            run: number,
            because: Some(because),
            step: 0,
            round: 0,
            round_started_at: now,
            reached: false,
            state,
        };
        match incident.escalation.runs.iter_mut().find(|old| old.policy == *policy) {
            Some(old) => *old = run,
            None => incident.escalation.runs.push(run),
        }
        if let Some(entry) = self.incidents.get_mut(&id) {
            let live: BTreeSet<u32> = entry.incident.escalation.runs.iter().map(|run| run.run).collect();
            entry.start_reasons.retain(|run, _| live.contains(run));
            entry.undelivered_since.retain(|run, _| live.contains(run));
            entry.start_reasons.insert(number, reason.clone());
        }
        if first.is_none() {
            let why = NotPaged::UnknownPolicy { policy: policy.clone() };
            self.record(id, TimelineEvent::NotPaged(why));
        }
        for contact in before.map(|(_, contacts, _)| contacts).unwrap_or_default() {
            self.page_or_hold(id, number, &contact, reason);
        }
    }

    /// Whether a firing, unmuted alert asks for the run's policy now.
    pub(super) fn speaks_for(&self, id: IncidentId, policy: &Arc<str>) -> Result<(), Silent> {
        let Some(entry) = self.incidents.get(&id) else { return Ok(()) };
        let (mut muted, mut muted_askers) = (Vec::new(), Vec::new());
        let mut all_muted = true;
        for alert in entry.firing.iter().copied() {
            let asks = self.asks(alert).contains(policy);
            match self.mute_reason(alert) {
                None if asks => return Ok(()),
                None => {
                    all_muted = false;
                    muted_askers.extend(self.mute_of_a_route(alert).map(|mute| (alert, mute)));
                }
                Some(mute) => {
                    // While time mutes its routes an alert asks for nothing, and it waits all the same.
                    if asks || self.alerts.get(&alert).is_some_and(|entry| entry.policies.contains(policy)) {
                        muted_askers.push((alert, mute.clone()));
                    }
                    muted.push((alert, mute));
                }
            }
        }
        Err(if all_muted && !muted.is_empty() { Silent::AllMuted(muted) } else { Silent::NobodyAsks(muted_askers) })
    }

    /// The mutes of all firing alerts, when every one of them is muted.
    pub(super) fn all_muted(&self, id: IncidentId) -> Option<Vec<(Fingerprint, MuteReason)>> {
        let entry = self.incidents.get(&id)?;
        let mut muted = Vec::new();
        for alert in &entry.firing {
            muted.push((*alert, self.mute_reason(*alert)?));
        }
        (!muted.is_empty()).then_some(muted)
    }

    /// The run rests until an alert asks for its policy.
    pub(super) fn rest(&mut self, id: IncidentId, number: u32, silent: Silent) {
        let Some(run) = self.run_mut(id, number) else { return };
        run.state = RunState::Resting;
        let policy = run.policy.clone();
        if let Some(entry) = self.incidents.get_mut(&id) {
            entry.undelivered_since.remove(&number);
        }
        let why = match silent {
            Silent::AllMuted(muted) => self.rest_on(muted),
            Silent::NobodyAsks(muted) => {
                self.rest_on(muted);
                NotPaged::NobodyAsks { policy }
            }
        };
        self.record(id, TimelineEvent::NotPaged(why));
    }

    /// Nothing pages any more: the incident is answered or over.
    pub(super) fn stop_runs(&mut self, id: IncidentId, why: TakenBack) {
        self.cancel_pages(id, why);
        self.unhold_all(id);
        if let Some(entry) = self.incidents.get_mut(&id) {
            entry.undelivered_since.clear();
            entry.start_reasons.clear();
        }
        if let Some(incident) = self.edit(id) {
            for run in &mut incident.escalation.runs {
                run.state = RunState::Stopped;
            }
        }
    }

    pub(super) fn run_mut(&mut self, id: IncidentId, number: u32) -> Option<&mut EscalationRun> {
        self.edit(id)?.escalation.runs.iter_mut().find(|run| run.run == number)
    }

    /// A run and what its policy says, while both are known.
    pub(super) fn run_and_policy(&self, id: IncidentId, number: u32) -> Option<(&EscalationRun, EscalationPolicy)> {
        let run = self.incidents.get(&id)?.run(number)?;
        Some((run, self.settings.policy(&run.policy)?.clone()))
    }

    pub(super) fn user_contacts(&self, user: &str, as_whom: String) -> Vec<Contact> {
        let receivers = self.settings.user(user).map(|u| u.receivers.clone()).unwrap_or_default();
        let contact = |receiver| Contact { receiver, as_whom: as_whom.clone() };
        let mut contacts: Vec<Contact> = receivers.into_iter().map(contact).collect();
        contacts.retain(|c| self.settings.receiver(&c.receiver).is_some_and(|r| !r.integrations.is_empty()));
        contacts
    }
}
