//! Sentences for people: the one renderer of events, reasons and evidence, for pages, API, CLI and messages alike.
//! In: the data of `model::timeline` and `model::evidence`. Out: text.
//! Never: is parsed back; whoever needs a fact reads the data.
//! Start at [`text`] and [`reason`].

use crate::model::duration;
use crate::model::incident::Covered;
use crate::model::timeline::{
    MessageAbout, NotPaged, PageAgain, PolicyStage, StepReason, TakenBack, TimelineEntry, TimelineEvent,
};
use crate::model::{Evidence, IncidentId, RunnerUp, RunnerUpReason, Timestamp};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// "5s", "2m30s": how long, to the second.
pub fn span(ms: u64) -> String {
    let rounded = if ms >= 1000 { ms / 1000 * 1000 } else { ms };
    duration::format(Duration::from_millis(rounded))
}

/// How long after `then`, in milliseconds.
pub fn ms_since(now: Timestamp, then: Timestamp) -> u64 {
    u64::try_from(now.since(then).as_millis()).unwrap_or(u64::MAX)
}

/// "round 1 step 2 of policy default".
pub fn stage(stage: &PolicyStage) -> String {
    match stage {
        PolicyStage::Step { policy, round, step } => format!("round {round} step {step} of policy {policy}"),
        PolicyStage::Fallback { policy } => format!("fallback of policy {policy}"),
        PolicyStage::Acknowledger { policy } => format!("before policy {policy}"),
    }
}

fn page_again(why: &PageAgain) -> String {
    match why {
        PageAgain::NewAlertName { alert, .. } => format!("{} is new here", alert.name),
        PageAgain::NewService { alert, service } => {
            format!("{} brings service {service}, which is new here", alert.name)
        }
        PageAgain::SeverityRose { alert, severity } => format!("severity is {severity} now, by {}", alert.name),
    }
}

/// Why a step is taken now.
pub fn step_reason(reason: &StepReason) -> String {
    match reason {
        StepReason::IncidentOpened => "the incident opened".to_owned(),
        StepReason::StartedAgain => "the policy started again".to_owned(),
        StepReason::AlertAsksForIt { alert } => format!("{} joined and its route asks for it", alert.name),
        StepReason::Unanswered { for_ms } => format!("nobody acknowledged for {}", span(*for_ms)),
        StepReason::Overdue { by_ms } => format!("it was due {} ago", span(*by_ms)),
        StepReason::NotDelivered { within_ms } => {
            format!("no page of the step before was delivered within {}", span(*within_ms))
        }
        StepReason::PageFailed { receiver, error } => format!("the page to {receiver} failed: {error}"),
        StepReason::PageBlocked { receiver, reason } => format!("the page to {receiver} waits: {reason}"),
        StepReason::NobodyInStepBefore => "the step before has nobody to tell".to_owned(),
        StepReason::AskedFor { by } => format!("{by} asked for it"),
        StepReason::LimitFreed => "held back until now by the page limit".to_owned(),
        StepReason::PagedAgain { acknowledged_by, why } => {
            format!("{} after {acknowledged_by} had acknowledged", page_again(why))
        }
    }
}

/// Why a page goes out: its place in the policy and why now.
pub fn page_reason(place: &PolicyStage, reason: &StepReason) -> String {
    format!("{}: {}", stage(place), step_reason(reason))
}

fn taken_back(reason: TakenBack) -> &'static str {
    match reason {
        TakenBack::IncidentAcknowledged => "the incident is acknowledged",
        TakenBack::IncidentSnoozed => "the incident is snoozed",
        TakenBack::IncidentResolved => "the incident is resolved",
        TakenBack::PolicyStartedAgain => "the policy started again",
        TakenBack::NewerPage => "a newer page goes to the same contact",
    }
}

fn not_paged(why: &NotPaged) -> (String, String) {
    match why {
        NotPaged::NoPolicy => {
            ("nobody is paged".to_owned(), "the routes of its alerts name no escalation policy".to_owned())
        }
        NotPaged::UnknownPolicy { policy } => {
            ("nobody is paged".to_owned(), format!("there is no escalation policy {policy}"))
        }
        NotPaged::PolicyRemoved { policy } => (
            format!("policy {policy} pages nobody any more"),
            "the escalation policy is not in the configuration any more".to_owned(),
        ),
        NotPaged::AllMuted { mute } => {
            ("not paged: every firing alert is muted; the policy goes on when one is not".to_owned(), mute.to_string())
        }
        NotPaged::AlertMuted { alert, mute } => (format!("{} pages nobody", alert.name), mute.to_string()),
        NotPaged::NobodyAsks { policy } => (
            format!("policy {policy} rests until an alert asks for it"),
            "the alerts that asked for it have ended or are muted".to_owned(),
        ),
        NotPaged::Unreachable { target, stage, reason } => {
            (format!("not paged: {target} leads to no receiver"), page_reason(stage, reason))
        }
        NotPaged::HeldBack { receiver, limit, stage, reason } => (
            format!("page to {receiver} held back"),
            format!("{limit} pages a minute to one contact are the limit; {}", page_reason(stage, reason)),
        ),
        NotPaged::HeldPageDropped { receiver, mute } => (
            format!("held page to {receiver} dropped: every alert is muted"),
            mute.as_ref().map(ToString::to_string).unwrap_or_default(),
        ),
        NotPaged::RoundOver { round, reason } => {
            (format!("round {round} has no step left; the next round starts at its time"), step_reason(reason))
        }
        NotPaged::TakenBack { receiver, reason } => {
            (format!("page to {receiver} taken back before it was delivered"), taken_back(*reason).to_owned())
        }
        NotPaged::SameMoment { receiver, stage: place } => {
            (format!("{receiver} is paged once"), format!("{} pages the same contact at this moment", stage(place)))
        }
        NotPaged::Covered { alert, by, snoozed } => {
            let word = if *snoozed { "snoozed" } else { "acknowledged" };
            (format!("{} pages nobody", alert.name), format!("not paged again: {word} by {by}"))
        }
    }
}

fn paged(receiver: &str, contact: &str, place: &PolicyStage, held_back: u32) -> String {
    let whom = if contact.is_empty() { String::new() } else { format!("{contact} by ") };
    let mut text = format!("paged {whom}{receiver} ");
    match place {
        PolicyStage::Step { round, step, .. } => {
            let _ = write!(text, "(round {round}, step {step})");
        }
        PolicyStage::Fallback { .. } => text.push_str("(fallback)"),
        PolicyStage::Acknowledger { .. } => text.push_str("(had acknowledged)"),
    }
    if held_back > 0 {
        let _ = write!(text, "; {held_back} more pages to it are held back");
    }
    text
}

fn about(about: MessageAbout) -> &'static str {
    match about {
        MessageAbout::Page => "the page",
        MessageAbout::Acknowledgement => "the acknowledgement",
        MessageAbout::End => "the end",
    }
}

fn delivered(receiver: &str, what: MessageAbout, was_taken_back: bool) -> String {
    match (what, was_taken_back) {
        (MessageAbout::Page, false) => format!("{receiver} got the page"),
        (MessageAbout::Page, true) => format!("{receiver} got the page although it had been taken back"),
        (MessageAbout::Acknowledgement | MessageAbout::End, _) => format!("{receiver} heard of {}", about(what)),
    }
}

fn failed(receiver: &str, what: MessageAbout, for_good: bool) -> String {
    match (what, for_good) {
        (_, false) => format!("message to {receiver} not delivered yet; trying on"),
        (MessageAbout::Page, true) => format!("page to {receiver} failed for good"),
        (MessageAbout::Acknowledgement | MessageAbout::End, true) => {
            format!("{receiver} could not be told {}", about(what))
        }
    }
}

/// What happened, in a sentence.
pub fn text(entry: &TimelineEntry) -> String {
    let by = entry.actor.as_deref().unwrap_or("somebody");
    match &entry.event {
        TimelineEvent::Opened { alert, .. } => format!("opened by {}", alert.name),
        TimelineEvent::OpenedBySplit { from } => format!("split off {from} by {by}"),
        TimelineEvent::OpenedStillFiring { predecessor, resolved_by, still_firing, .. } => {
            format!("{} of {predecessor}, which {resolved_by} resolved", still_fire(*still_firing))
        }
        TimelineEvent::AlertAttached { alert, again: true, .. } => format!("{} fires again", alert.name),
        TimelineEvent::AlertAttached { alert, .. } => format!("{} joined", alert.name),
        TimelineEvent::AlertsUnlisted => "more alerts come and go; they are no longer listed one by one".to_owned(),
        TimelineEvent::AlertEnded { alert } => format!("{} ended", alert.name),
        TimelineEvent::AlertDetached { alert } => {
            format!("{} taken out by {by}; it belongs nowhere until it fires anew", alert.name)
        }
        TimelineEvent::SeverityRaised { alert, severity } => format!("severity is {severity} now, by {}", alert.name),
        TimelineEvent::PolicyStarted { policy, alert } => format!("policy {policy} starts, brought by {}", alert.name),
        TimelineEvent::PagedAgain { acknowledged_by, snoozed, level, .. } => {
            let word = if *snoozed { "snoozed" } else { "acknowledged" };
            format!("paged again although {word} by {acknowledged_by}: the policy says so from {level} on")
        }
        TimelineEvent::Paged { receiver, contact, stage, held_back, .. } => paged(receiver, contact, stage, *held_back),
        TimelineEvent::NotPaged(why) => not_paged(why).0,
        TimelineEvent::MessageDelivered { receiver, about, taken_back } => delivered(receiver, *about, *taken_back),
        TimelineEvent::MessageFailed { receiver, about, for_good, .. } => failed(receiver, *about, *for_good),
        TimelineEvent::PageBlocked { receiver, .. } => format!("page to {receiver} waits, its destination is away"),
        TimelineEvent::SentAgain { receiver, .. } => format!("message to {receiver} sent again by {by}"),
        TimelineEvent::Escalated { stage: place, .. } => stage(place),
        TimelineEvent::EscalationRequested => format!("{by} asked for the next step now"),
        TimelineEvent::EscalationResumed { alert } => {
            format!("escalation goes on: {} is not muted any more", alert.name)
        }
        TimelineEvent::Exhausted { policy } => {
            format!("policy {policy} is exhausted: nothing more happens by itself")
        }
        TimelineEvent::Acknowledged => format!("acknowledged by {by}"),
        TimelineEvent::Unacknowledged => format!("acknowledgement taken back by {by}; the policy starts again"),
        TimelineEvent::AckTimedOut { by, after_ms } => {
            format!("{by} acknowledged {} ago and it is not over; the policy starts again", span(*after_ms))
        }
        TimelineEvent::Snoozed { for_ms, until } => format!("snoozed by {by} for {}, until {until}", span(*for_ms)),
        TimelineEvent::SnoozeEnded => "the snooze is over; the policy starts again".to_owned(),
        TimelineEvent::Reassigned { to } => format!("given to {to} by {by}; the policy starts again"),
        TimelineEvent::Noted => entry.note.clone(),
        TimelineEvent::MergedInto { into } => format!("merged into {into} by {by}"),
        TimelineEvent::Merged { from } => format!("{from} merged into this by {by}"),
        TimelineEvent::SplitOff { into, alerts } => format!("{alerts} alerts split off into {into} by {by}"),
        TimelineEvent::Resolved { still_firing: 0, .. } => "resolved".to_owned(),
        TimelineEvent::Resolved { still_firing, .. } => format!("resolved while {}", still_fire(*still_firing)),
        TimelineEvent::Reopened { alert: Some(alert), .. } => format!("reopened: {} fires again", alert.name),
        TimelineEvent::Reopened { alert: None, .. } => format!("reopened by {by}; the policy starts again"),
        TimelineEvent::Succeeded { successor } => format!("its alerts still fire: {successor} was opened for them"),
        TimelineEvent::Recorded { text, .. } => text.clone(),
    }
}

/// Why: the words a person added, or the evidence behind the decision; empty when the text says it all.
pub fn reason(entry: &TimelineEntry) -> String {
    let own = match &entry.event {
        TimelineEvent::Opened { evidence, .. } | TimelineEvent::AlertAttached { evidence, .. } => {
            let (why, second) = (evidence_text(evidence), runner_up(evidence));
            if second.is_empty() { why } else { format!("{why}; second best: {second}") }
        }
        TimelineEvent::OpenedStillFiring { resolved_at, .. } => format!("it was resolved at {resolved_at}"),
        TimelineEvent::AlertsUnlisted => "the list of alerts keeps the reason of each".to_owned(),
        TimelineEvent::PagedAgain { why, .. } => page_again(why),
        TimelineEvent::Paged { stage, reason, .. } => page_reason(stage, reason),
        TimelineEvent::NotPaged(why) => not_paged(why).1,
        TimelineEvent::MessageFailed { error, .. } => error.clone(),
        TimelineEvent::PageBlocked { reason, .. } => reason.clone(),
        TimelineEvent::SentAgain { key, .. } => key.to_string(),
        TimelineEvent::Escalated { reason, .. } => step_reason(reason),
        TimelineEvent::Exhausted { .. } => "nobody acknowledged in any round".to_owned(),
        TimelineEvent::Resolved { notified, hold_until, merged_into, .. } => {
            return resolved(entry, notified, *hold_until, *merged_into);
        }
        TimelineEvent::Reopened { after_ms, .. } => format!("{} after the end", span(*after_ms)),
        TimelineEvent::Recorded { reason, .. } => reason.clone(),
        _ => String::new(),
    };
    let is_note = matches!(entry.event, TimelineEvent::Noted);
    if entry.note.is_empty() || is_note { own } else { entry.note.clone() }
}

fn resolved(
    entry: &TimelineEntry,
    notified: &[Arc<str>],
    hold_until: Option<Timestamp>,
    merged_into: Option<IncidentId>,
) -> String {
    let mut text = match (&entry.actor, merged_into) {
        (_, Some(into)) => format!("merged into {into}"),
        (None, None) => "all its alerts have ended".to_owned(),
        (Some(_), None) if !entry.note.is_empty() => entry.note.clone(),
        (Some(by), None) => format!("resolved by {by}"),
    };
    if notified.is_empty() {
        text.push_str("; nobody has to be told");
    } else {
        let _ = write!(text, "; the end goes to {}", notified.join(", "));
    }
    if let Some(until) = hold_until {
        let _ = write!(text, "; what still fires at {until} opens a new incident");
    }
    text
}

/// Why an alert is where it is.
pub fn evidence_text(evidence: &Evidence) -> String {
    let by = |key: &str| if key.is_empty() { "no labels".to_owned() } else { key.to_owned() };
    match evidence {
        Evidence::Joined { rule, key, gap_ms, window_ms, .. } => format!(
            "rule {rule}: same {} and same cluster and environment; last alert {} ago, window is {}",
            by(key),
            exact(*gap_ms),
            exact(*window_ms)
        ),
        Evidence::Opened { rule, key, .. } => format!("rule {rule}: no open incident with {} to join", by(key)),
        Evidence::MergedFrom { incident, by } => format!("merged from {incident} by {by}"),
        Evidence::SplitOff { incident, by } => format!("split off {incident} by {by}"),
        Evidence::StillFiring { incident, by, .. } => {
            format!("it still fires after {by} resolved {incident}")
        }
        Evidence::Reopened { after_ms } => format!("it fires again {} after the incident had ended", span(*after_ms)),
        Evidence::Recorded { reason, .. } => reason.clone(),
    }
}

fn exact(ms: u64) -> String {
    duration::format(Duration::from_millis(ms))
}

/// The next best place and why it lost; empty when there was none.
pub fn runner_up(evidence: &Evidence) -> String {
    match evidence {
        Evidence::Joined { runner_up: Some(second), .. } | Evidence::Opened { runner_up: Some(second), .. } => {
            second_best(second)
        }
        Evidence::Recorded { runner_up, .. } => runner_up.clone(),
        _ => String::new(),
    }
}

fn second_best(second: &RunnerUp) -> String {
    let word = |v: &Option<Arc<str>>| v.as_deref().unwrap_or("none").to_owned();
    let id = second.incident;
    match &second.lost {
        RunnerUpReason::Younger { than } => format!("{id} fits as well, but {than} is older"),
        RunnerUpReason::Full { alerts_max } => format!("{id}: holds {alerts_max} alerts already"),
        RunnerUpReason::Gap { gap_ms, window_ms } => {
            format!("{id}: last alert {} ago, window is {}", exact(*gap_ms), exact(*window_ms))
        }
        RunnerUpReason::Age { age_ms, age_max_ms } => {
            format!("{id}: opened {} ago, limit is {}", exact(*age_ms), exact(*age_max_ms))
        }
        RunnerUpReason::Cluster { theirs, ours } => {
            format!("{id}: cluster {} differs from {}", word(theirs), word(ours))
        }
        RunnerUpReason::Environment { theirs, ours } => {
            format!("{id}: environment {} differs from {}", word(theirs), word(ours))
        }
    }
}

/// The incident that was opened for what still fired after this one was resolved by hand, as its story says.
pub fn successor(timeline: &[TimelineEntry]) -> Option<IncidentId> {
    timeline.iter().rev().find_map(|entry| match &entry.event {
        TimelineEvent::Succeeded { successor } => Some(*successor),
        _ => None,
    })
}

/// "1 alert still fires", "3 alerts still fire".
pub fn still_fire(count: u32) -> String {
    if count == 1 { "1 alert still fires".to_owned() } else { format!("{count} alerts still fire") }
}

/// `HighLatency of checkout`: a name that an acknowledgement covers.
pub fn covered(pair: &Covered) -> String {
    match (&*pair.alertname, &*pair.service) {
        (name, "") => name.to_owned(),
        (name, service) => format!("{name} of {service}"),
    }
}
