//! Alerts find their incident, and leave it when they end.
//! In: an alert that starts, changes, ends or is no longer muted. Out: members, counts, titles, opened and resolved incidents.
//! Never: pages; an incident that wants people is given a due time instead.
//! Start at [`Engine::correlate`].

use super::case::Case;
use super::core::Engine;
use super::limits;
use super::message::narrow;
use super::waiting::Cause;
use crate::incidents::{Placing, title};
use crate::model::incident::EscalationTarget;
use crate::model::{
    AlertRecord, Escalation, Fingerprint, Incident, IncidentId, IncidentStatus, Member, Severity, TimelineKind,
    Timestamp, Write, is_heartbeat,
};
use std::collections::BTreeSet;
use std::sync::Arc;

const SEVERITY: &str = "severity";

/// The severity an alert's labels speak of.
pub(super) fn severity_of(record: &AlertRecord) -> Severity {
    Severity::of_label(record.labels.value(SEVERITY))
}

/// How an alert is called in sentences.
pub(super) fn name_of(record: &AlertRecord) -> String {
    title::base(&record.labels, limits::TITLE_MAX)
}

impl Engine {
    /// Gives a firing alert its place: back into its open incident, else by the rules, else an incident of its own. A muted alert may
    /// join, but never opens one; it is looked at again when its mute ends.
    pub(super) fn correlate(&mut self, alert: Fingerprint, muted: Option<Cause>) {
        let Some(entry) = self.alerts.get_mut(&alert).filter(|entry| entry.record.is_firing()) else { return };
        if is_heartbeat(&entry.record.labels) {
            // Its absence is the news: groups announce it, people are asked for `SourceSilent`.
            return;
        }
        entry.apart = false;
        let record = entry.record.clone();
        let previous = entry.incident;
        if let Some(id) = previous.filter(|id| self.cases.get(id).is_some_and(Case::is_open)) {
            self.rejoin(id, &record, muted.as_ref());
        } else if let Some(id) = previous.filter(|id| muted.is_none() && self.may_reopen(*id)) {
            self.reopen(id, &record);
        } else {
            let placing = self.index.place(
                &self.settings.correlation,
                &record.labels,
                self.now,
                limits::INCIDENT_ALERTS_MAX,
                |id| self.cases.get(&id).map(|case| &*case.incident),
            );
            match (placing.incident, &muted) {
                (Some(id), _) => self.attach(id, &record, &placing, muted.as_ref()),
                (None, None) => {
                    self.open(&record, placing);
                }
                (None, Some(_)) => self.set_apart(alert, previous),
            }
        }
        if let Some(cause) = muted {
            self.wait_for(alert, cause);
        }
    }

    /// Ended by itself, a short while ago: what comes back now is the same trouble.
    fn may_reopen(&self, id: IncidentId) -> bool {
        let window = self.settings.correlation.reopen_window;
        let Some(incident) = self.cases.get(&id).map(|case| &case.incident) else { return false };
        let by_itself = incident.resolved_by.is_none() && incident.merged_into.is_none();
        by_itself && incident.resolved_at.is_some_and(|at| !window.is_zero() && self.now < at + window)
    }

    /// The incident is open again and its policy starts anew; its end was told, so nobody has heard of this yet.
    fn reopen(&mut self, id: IncidentId, record: &Arc<AlertRecord>) {
        let now = self.now;
        let Some(case) = self.cases.get_mut(&id) else { return };
        case.firing.insert(record.fingerprint);
        let ended = case.incident.resolved_at;
        self.trigger(id);
        let Some(incident) = self.edit(id) else { return };
        (incident.resolved_at, incident.resolved_by) = (None, None);
        incident.last_attached_at = now;
        incident.severity = incident.severity.max(severity_of(record));
        incident.escalation.heard.clear();
        incident.escalation.assigned_to = None;
        let reopened = incident.clone();
        self.index.open(&reopened);
        self.recount(id, record);
        let text = format!("reopened: {} fires again", name_of(record));
        let reason = ended.map(|at| format!("{} after the end", ago(now, at))).unwrap_or_default();
        self.say(id, TimelineKind::Reopened, text, reason);
        self.start_policy(id);
        self.turn.rearm.insert(id);
    }

    /// A muted alert without a place: its old one must not claim it after a restart.
    fn set_apart(&mut self, alert: Fingerprint, previous: Option<IncidentId>) {
        let now = self.now;
        if let Some(case) = previous.and_then(|id| self.cases.get_mut(&id))
            && let Some(member) = case.members.get_mut(&alert)
        {
            Arc::make_mut(member).left_at = Some(now);
            self.turn.rest.push(Write::Member(member.clone()));
        }
        if let Some(entry) = self.alerts.get_mut(&alert) {
            entry.incident = None;
        }
    }

    /// A mute ended, or may have: an alert that still fires now opens, joins or wakes an incident.
    pub(super) fn look_again(&mut self, alert: Fingerprint) {
        let Some(entry) = self.alerts.get(&alert) else { return };
        if !entry.record.is_firing() || entry.apart {
            return;
        }
        let (record, incident) = (entry.record.clone(), entry.incident);
        if let Some(cause) = self.mute_cause(alert) {
            self.wait_for(alert, cause);
            return;
        }
        match incident {
            Some(id) if self.cases.get(&id).is_some_and(Case::is_open) => self.wake(id, &record),
            Some(_) => {}
            None => self.correlate(alert, None),
        }
    }

    /// An alert that is not muted speaks for its incident: a resting policy goes on, a missing one starts.
    fn wake(&mut self, id: IncidentId, record: &Arc<AlertRecord>) {
        let Some(case) = self.cases.get_mut(&id) else { return };
        if case.paused {
            case.paused = false;
            let text = format!("escalation goes on: {} is not muted any more", name_of(record));
            self.say(id, TimelineKind::Escalated, text, String::new());
        }
        self.turn.rearm.insert(id);
        self.adopt_policy(id, record.fingerprint);
    }

    /// An incident that pages nobody takes the policy of the first alert that brings one.
    fn adopt_policy(&mut self, id: IncidentId, alert: Fingerprint) {
        let policy = self.alerts.get(&alert).and_then(|entry| entry.policy.clone());
        let Some(case) = self.cases.get(&id) else { return };
        if case.incident.escalation.policy.is_none() && policy.is_some() {
            let triggered = case.incident.status == IncidentStatus::Triggered;
            if let Some(incident) = self.edit(id) {
                incident.escalation.policy = policy;
            }
            if triggered {
                self.start_policy(id);
            }
        }
    }

    fn open(&mut self, record: &Arc<AlertRecord>, placing: Placing) -> IncidentId {
        let policy = self.alerts.get(&record.fingerprint).and_then(|entry| entry.policy.clone());
        let id = self.open_empty(record, policy, Some((placing.rule.clone(), placing.key.clone())));
        let text = format!("opened by {}", name_of(record));
        self.say(id, TimelineKind::Opened, text, with_runner_up(&placing));
        self.put_member(id, record, placing.reason, placing.runner_up);
        self.start_policy(id);
        id
    }

    /// A new incident without members, in the domain of `record`. Its story and policy are the caller's.
    pub(super) fn open_empty(
        &mut self,
        record: &AlertRecord,
        policy: Option<Arc<str>>,
        rule: Option<(Arc<str>, Arc<str>)>,
    ) -> IncidentId {
        self.last_incident += 1;
        let id = IncidentId(self.last_incident);
        let domain = crate::incidents::Domain::of(&self.settings.correlation, &record.labels);
        let (correlation_rule, correlation_key) = rule.unzip();
        let incident = Incident {
            id,
            title: name_of(record),
            status: IncidentStatus::Triggered,
            severity: severity_of(record),
            labels: record.labels.clone(),
            cluster: domain.cluster,
            environment: domain.environment,
            opened_at: self.now,
            last_attached_at: self.now,
            acknowledged_at: None,
            acknowledged_by: None,
            resolved_at: None,
            resolved_by: None,
            snoozed_until: None,
            correlation_rule,
            correlation_key,
            alert_count: 0,
            firing_count: 0,
            doors: BTreeSet::new(),
            escalation: Escalation { policy, ..Escalation::default() },
            paged: BTreeSet::new(),
            merged_into: None,
        };
        self.index.open(&incident);
        self.cases.insert(id, Case::new(incident));
        self.turn.dirty.insert(id);
        self.turn.rearm.insert(id);
        id
    }

    fn attach(&mut self, id: IncidentId, record: &Arc<AlertRecord>, placing: &Placing, muted: Option<&Cause>) {
        let severity = self.cases.get(&id).map(|case| case.incident.severity);
        self.put_member(id, record, placing.reason.clone(), placing.runner_up.clone());
        self.say_bounded(id, TimelineKind::AlertAttached, || {
            (format!("{} joined", name_of(record)), with_runner_up(placing))
        });
        self.joined(id, record, severity, muted);
    }

    /// The alert fired before in this open incident: it comes back whatever the rules say by now.
    fn rejoin(&mut self, id: IncidentId, record: &Arc<AlertRecord>, muted: Option<&Cause>) {
        let now = self.now;
        let severity = self.cases.get(&id).map(|case| case.incident.severity);
        if let Some(case) = self.cases.get_mut(&id) {
            case.firing.insert(record.fingerprint);
        }
        if let Some(incident) = self.edit(id) {
            incident.last_attached_at = now;
        }
        self.recount(id, record);
        self.say_bounded(id, TimelineKind::AlertAttached, || {
            (format!("{} fires again", name_of(record)), "it is part of this open incident already".to_owned())
        });
        self.joined(id, record, severity, muted);
    }

    /// What follows from one more firing alert: a raised severity is said, a resting policy wakes.
    fn joined(&mut self, id: IncidentId, record: &Arc<AlertRecord>, before: Option<Severity>, muted: Option<&Cause>) {
        let Some(case) = self.cases.get(&id) else { return };
        let (now, status) = (case.incident.severity, case.incident.status);
        if before.is_some_and(|before| before < now) {
            let acknowledged_by =
                case.incident.acknowledged_by.clone().filter(|_| status == IncidentStatus::Acknowledged);
            let policy = self.case_and_policy(id).map(|(_, policy)| policy);
            let again = policy.and_then(|p| p.page_again_at).filter(|at| before < Some(*at) && *at <= now);
            // What rests by a person's word, a snooze, stays at rest; an alert that is muted pages nobody.
            let again = again.filter(|_| muted.is_none() && self.cases.get(&id).is_some_and(|c| !c.is_snoozed()));
            let reason = match (&acknowledged_by, again) {
                (Some(by), None) => format!("not paged again: acknowledged by {by}"),
                (Some(by), Some(at)) => {
                    format!("paged again although acknowledged by {by}: the policy says so from {at} on")
                }
                (None, _) => String::new(),
            };
            let text = format!("severity is {now} now, by {}", name_of(record));
            self.say(id, TimelineKind::SeverityRaised, text, reason);
            if acknowledged_by.is_some() && again.is_some() {
                self.trigger(id);
                self.start_policy(id);
            }
        }
        match muted {
            Some(cause) => {
                self.say_bounded(id, TimelineKind::NotPaged, || {
                    (format!("{} pages nobody", name_of(record)), cause.to_string())
                });
            }
            None => self.wake(id, record),
        }
    }

    /// Puts a firing or ended alert into an incident and brings the incident's row up to date.
    pub(super) fn put_member(&mut self, id: IncidentId, record: &Arc<AlertRecord>, reason: String, runner_up: String) {
        let (now, fingerprint) = (self.now, record.fingerprint);
        let member = Arc::new(Member {
            incident: id,
            fingerprint,
            attached_at: now,
            reason: title::cut(reason, limits::TEXT_MAX),
            runner_up: title::cut(runner_up, limits::TEXT_MAX),
            detached: false,
            left_at: None,
        });
        self.turn.rest.push(Write::Member(member.clone()));
        if let Some(entry) = self.alerts.get_mut(&fingerprint) {
            entry.incident = Some(id);
        }
        if let Some(case) = self.cases.get_mut(&id) {
            case.members.insert(fingerprint, member);
            if record.is_firing() {
                case.firing.insert(fingerprint);
            }
        }
        if let Some(incident) = self.edit(id) {
            incident.last_attached_at = now;
            narrow(&mut incident.labels, &record.labels);
            let before = incident.severity;
            incident.severity = before.max(severity_of(record));
            if before < incident.severity {
                self.hurry_held(id, before);
            }
        }
        self.recount(id, record);
    }

    /// Counts, title and doors after `record` came or went.
    pub(super) fn recount(&mut self, id: IncidentId, record: &AlertRecord) {
        let Some(case) = self.cases.get(&id) else { return };
        let (all, firing) = (case.members.len() as u32, case.firing.len() as u32);
        if let Some(incident) = self.edit(id) {
            if incident.alert_count != all {
                incident.alert_count = all;
                incident.title = title::title(title::base_of(&incident.title), all);
            }
            incident.firing_count = firing;
            incident.doors.extend(record.leases.iter().map(|lease| lease.source.door));
        }
    }

    /// Still firing, with other words or one more source.
    pub(super) fn changed(&mut self, alert: Fingerprint, record: &AlertRecord) {
        let incident = self.alerts.get(&alert).and_then(|entry| entry.incident);
        let Some((id, case)) = incident.and_then(|id| Some((id, self.cases.get(&id)?))) else { return };
        if case.is_open() && record.leases.iter().any(|lease| !case.incident.doors.contains(&lease.source.door)) {
            self.recount(id, record);
        }
    }

    /// An alert ended: its incident has one less.
    pub(super) fn leave_firing(&mut self, alert: Fingerprint, record: &AlertRecord) {
        let incident = self.alerts.get(&alert).and_then(|entry| entry.incident);
        let Some((id, case)) = incident.and_then(|id| Some((id, self.cases.get_mut(&id)?))) else { return };
        if !case.firing.remove(&alert) {
            return;
        }
        if case.is_open() {
            self.recount(id, record);
            self.say_bounded(id, TimelineKind::AlertEnded, || (format!("{} ended", name_of(record)), String::new()));
        } else if let Some(incident) = self.edit(id) {
            incident.firing_count = incident.firing_count.saturating_sub(1);
        }
    }

    /// Resolves an open incident none of whose alerts fires any more.
    pub(super) fn resolve_if_over(&mut self, id: IncidentId) {
        let over = self.cases.get(&id).is_some_and(|case| case.is_open() && case.firing.is_empty());
        if over {
            self.resolve(id, None, "all its alerts have ended");
        }
    }

    /// Starts the policy at its first step, now. Pages of an earlier run are taken back.
    pub(super) fn start_policy(&mut self, id: IncidentId) {
        let now = self.now;
        self.cancel_pages(id, "the policy started again");
        let Some(incident) = self.edit(id) else { return };
        let escalation = &mut incident.escalation;
        escalation.run += 1;
        (escalation.step, escalation.round, escalation.reached, escalation.exhausted) = (0, 0, false, false);
        escalation.round_started_at = Some(now);
        let policy = escalation.policy.clone();
        let first = policy.as_deref().and_then(|name| self.settings.policy(name)).and_then(|p| p.steps.first());
        let next_at = first.map(|step| now + step.after);
        if next_at.is_none() {
            let (text, reason) = match policy {
                None => ("nobody is paged".to_owned(), "the routes of its alerts name no escalation policy".to_owned()),
                Some(name) => ("nobody is paged".to_owned(), format!("there is no escalation policy {name}")),
            };
            self.say(id, TimelineKind::NotPaged, text, reason);
        }
        if let Some(case) = self.cases.get_mut(&id) {
            case.undelivered_since = None;
            Arc::make_mut(&mut case.incident).escalation.next_at = next_at;
        }
    }
}

fn with_runner_up(placing: &Placing) -> String {
    if placing.runner_up.is_empty() {
        placing.reason.clone()
    } else {
        format!("{}; second best: {}", placing.reason, placing.runner_up)
    }
}

/// A target as sentences name it.
pub(super) fn target_name(target: &EscalationTarget) -> String {
    match target {
        EscalationTarget::User(name) => format!("user {name}"),
        EscalationTarget::Schedule(name) => format!("schedule {name}"),
        EscalationTarget::Receiver(name) => format!("receiver {name}"),
    }
}

/// "5s", "2m30s": how long, to the second.
pub(super) fn ago(now: Timestamp, then: Timestamp) -> String {
    let ms = now.since(then).as_millis() as u64;
    let rounded = if ms >= 1000 { ms / 1000 * 1000 } else { ms };
    crate::model::duration::format(std::time::Duration::from_millis(rounded))
}
