//! `escalation_policies`, `schedules`, `users` and `correlation`: who is told, and what counts as one incident.
//! In: the sections. Out: the settings that `escalation` and `incidents` define, with the places of their references.
//! Never: looks a name up (that is `check`, which knows all sections).
//! Start at [`policies`].

use super::matchers;
use crate::engine::limits;
use crate::escalation::{EscalationPolicy, EscalationStep, Rotation, Schedule, User};
use crate::incidents::{CorrelationConfig, CorrelationRule};
use crate::model::EscalationTarget;
use crate::model::Severity;
use crate::yaml::Notes;
use crate::yaml::{At, Fields, nearest};
use std::sync::Arc;
use std::time::Duration;

/// From the last step of a round to the next round, unless written.
pub const REPEAT_AFTER: Duration = Duration::from_mins(5);
/// Rounds beyond this are a siren, not an escalation.
const REPEAT_MAX: u64 = 1000;

/// How long a resolved incident may be reopened: as long as the engine keeps it in memory.
pub const REOPEN_MAX: Duration = crate::engine::limits::KEEP_ENDED;

/// Places at which a name is used, to be looked up once all sections are read.
pub type References = Vec<At<EscalationTarget>>;

fn name(f: &Fields<'_>, what: &str, taken: &mut Vec<Arc<str>>) -> Arc<str> {
    let Some(name) = f.filled("name") else {
        f.notes().mistake_with(f.at(), format!("missing name in {what}"), "write name:");
        return Arc::from("");
    };
    let text: Arc<str> = Arc::from(name.value);
    if taken.contains(&text) {
        f.notes().mistake_with(
            name.at,
            format!("{what} name {:?} is not unique", name.value),
            format!("give each {what} a name of its own"),
        );
    }
    taken.push(Arc::clone(&text));
    text
}

/// Reads `escalation_policies`.
pub fn policies(root: &Fields<'_>, references: &mut References) -> Vec<EscalationPolicy> {
    let mut taken = Vec::new();
    root.each("escalation_policies")
        .into_iter()
        .map(|f| {
            let name = name(&f, "escalation policy", &mut taken);
            let mut steps: Vec<EscalationStep> =
                f.each("steps").into_iter().map(|step| self::step(step, references)).collect();
            if steps.is_empty() {
                f.notes().mistake_with(
                    f.at(),
                    format!("escalation policy {name:?} has no steps"),
                    "write steps: with at least one { after: 0s, notify: [{ receiver: … }] }",
                );
            }
            if !steps.is_sorted_by_key(|s| s.after) {
                f.notes().warn(
                    f.at(),
                    format!("the steps of escalation policy {name:?} are not in order of after"),
                    "they are taken in order of after, which counts from the start of the round",
                );
                steps.sort_by_key(|s| s.after);
            }
            let policy = EscalationPolicy {
                name,
                steps,
                repeat: f.count("repeat", REPEAT_MAX).map_or(0, |n| n.value as u32),
                repeat_after: f.positive_duration("repeat_after").map_or(REPEAT_AFTER, |d| d.value),
                ack_timeout: f.positive_duration("ack_timeout").map(|d| d.value),
                page_again_at: page_again_at(&f),
                fallback: targets(&f, "fallback", references),
            };
            f.finish();
            policy
        })
        .collect()
}

/// `never`, or the severity from which an acknowledged incident pages again; critical unless written.
fn page_again_at(f: &Fields<'_>) -> Option<Severity> {
    let Some(word) = f.filled("page_again_at") else { return Some(Severity::Critical) };
    if word.value == "never" {
        return None;
    }
    let known = Severity::named(word.value);
    if known.is_none() {
        let words = Severity::ALL.map(Severity::as_str).join(", ");
        f.notes().mistake_with(
            word.at,
            format!("page_again_at: unknown severity {:?}", word.value),
            format!("write one of {words}, or never"),
        );
    }
    known
}

/// Reads `incidents`: how long a resolve by hand holds while alerts still fire.
pub fn resolve_hold(root: &Fields<'_>) -> Duration {
    let Some(f) = root.fields("incidents") else { return limits::RESOLVE_HOLD };
    let hold = f.duration("resolve_hold").map_or(limits::RESOLVE_HOLD, |hold| {
        if hold.value > limits::RESOLVE_HOLD_MAX {
            let most = crate::model::duration::format(limits::RESOLVE_HOLD_MAX);
            f.notes().mistake_with(hold.at, format!("resolve_hold is at most {most}"), "write 0 for never");
        }
        hold.value
    });
    f.finish();
    hold
}

fn step(f: Fields<'_>, references: &mut References) -> EscalationStep {
    let after = f.duration("after").map_or(Duration::ZERO, |d| d.value);
    let notify = targets(&f, "notify", references);
    if f.list("notify").is_empty() {
        f.notes().mistake_with(
            f.at(),
            "escalation step notifies nobody",
            "write notify: [{ receiver: … }], [{ user: … }] or [{ schedule: … }]",
        );
    }
    f.finish();
    EscalationStep { after, notify }
}

fn targets(f: &Fields<'_>, key: &'static str, references: &mut References) -> Vec<EscalationTarget> {
    let mut out = Vec::new();
    for target in f.each(key) {
        let named = [target.filled("user"), target.filled("schedule"), target.filled("receiver")];
        let found = match named {
            [Some(user), None, None] => Some(At { value: EscalationTarget::User(user.value.into()), at: user.at }),
            [None, Some(s), None] => Some(At { value: EscalationTarget::Schedule(s.value.into()), at: s.at }),
            [None, None, Some(r)] => Some(At { value: EscalationTarget::Receiver(r.value.into()), at: r.at }),
            _ => None,
        };
        match found {
            Some(found) => {
                out.push(found.value.clone());
                references.push(found);
            }
            None => target.notes().mistake_with(
                target.at(),
                format!("{key} needs exactly one of user, schedule or receiver"),
                "write one mapping for each target, such as { receiver: first }",
            ),
        }
        target.finish();
    }
    out
}

/// Reads `users`; the names of their receivers go to `references`.
pub fn users(root: &Fields<'_>, references: &mut References) -> Vec<User> {
    let mut taken = Vec::new();
    root.each("users")
        .into_iter()
        .map(|f| {
            let name = name(&f, "user", &mut taken);
            let receivers = f.texts("receivers").unwrap_or_default();
            if receivers.is_empty() {
                f.notes().mistake_with(f.at(), format!("user {name:?} has no receivers"), "write receivers: [name, …]");
            }
            references
                .extend(receivers.iter().map(|r| At { value: EscalationTarget::Receiver(r.value.into()), at: r.at }));
            f.finish();
            User { name, receivers: receivers.iter().map(|r| r.value.into()).collect() }
        })
        .collect()
}

/// Reads `schedules`; the names of their users go to `references`.
pub fn schedules(root: &Fields<'_>, references: &mut References) -> Vec<Schedule> {
    let mut taken = Vec::new();
    root.each("schedules").into_iter().map(|f| schedule(f, &mut taken, references)).collect()
}

fn schedule(f: Fields<'_>, taken: &mut Vec<Arc<str>>, references: &mut References) -> Schedule {
    let notes = f.notes();
    let name = name(&f, "schedule", taken);
    let users = f.texts("users").unwrap_or_default();
    if users.is_empty() {
        notes.mistake_with(f.at(), format!("schedule {name:?} has no users"), "write users: in order of their shifts");
    }
    references.extend(users.iter().map(|u| At { value: EscalationTarget::User(u.value.into()), at: u.at }));
    let time_zone = f.filled("time_zone").map_or(jiff::tz::TimeZone::UTC, |zone| {
        jiff::tz::TimeZone::get(zone.value).unwrap_or_else(|_| {
            let advice = "write a name of the IANA time zone database, such as Europe/Berlin";
            notes.mistake_with(zone.at, format!("unknown time zone {:?}", zone.value), advice);
            jiff::tz::TimeZone::UTC
        })
    });
    let day = f.filled("day").and_then(|day| weekday(notes, day));
    let rotation = match f.filled("rotation") {
        Some(At { value: "daily", .. }) => Rotation::Daily,
        Some(At { value: "weekly", .. }) | None => Rotation::Weekly(day.unwrap_or(jiff::civil::Weekday::Monday)),
        Some(other) => {
            notes.mistake_with(other.at, format!("unknown rotation {:?}", other.value), "write daily or weekly");
            Rotation::Daily
        }
    };
    let hand_over = f.filled("hand_over").map_or(jiff::civil::time(9, 0, 0, 0), |time| {
        clock_time(time.value).unwrap_or_else(|| {
            notes.mistake_with(time.at, format!("hand_over {:?} is no time of day", time.value), "write \"09:00\"");
            jiff::civil::Time::midnight()
        })
    });
    // A Monday long ago: who is first does not matter to whoever did not write it.
    let start = f.filled("start").map_or(jiff::civil::date(2024, 1, 1), |date| {
        date.value.parse().unwrap_or_else(|_| {
            notes.mistake_with(
                date.at,
                format!("start {:?} is no date", date.value),
                "write a date such as 2026-01-05",
            );
            jiff::civil::date(2024, 1, 1)
        })
    });
    f.finish();
    Schedule { name, time_zone, rotation, hand_over, start, users: users.iter().map(|u| Arc::from(u.value)).collect() }
}

fn clock_time(text: &str) -> Option<jiff::civil::Time> {
    let (hour, minute) = text.split_once(':')?;
    jiff::civil::Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}

fn weekday(notes: &Notes, day: At<&str>) -> Option<jiff::civil::Weekday> {
    use jiff::civil::Weekday::{Friday, Monday, Saturday, Sunday, Thursday, Tuesday, Wednesday};
    const NAMES: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    let days = [Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday];
    let name = day.value.to_ascii_lowercase();
    if let Some(found) = NAMES.iter().position(|n| *n == name) {
        return Some(days[found]);
    }
    let advice = nearest(&name, &NAMES).map_or("write monday to sunday".to_owned(), |n| format!("did you mean {n}?"));
    notes.mistake_with(day.at, format!("unknown weekday {:?}", day.value), advice);
    None
}

/// Reads `correlation`.
pub fn correlation(root: &Fields<'_>) -> CorrelationConfig {
    let mut config = CorrelationConfig::default();
    let Some(f) = root.fields("correlation") else { return config };
    let mut taken = Vec::new();
    for rule in f.each("rules") {
        let name = name(&rule, "correlation rule", &mut taken);
        let matchers = matchers::list(&rule, "match");
        if matchers.is_empty() && rule.node("match").is_none() {
            let advice = "write match: ['service=~\".+\"'] (and by: the labels whose values must agree)";
            rule.notes().mistake_with(rule.at(), format!("correlation rule {name:?} has no match"), advice);
        }
        let by = rule.texts("by").unwrap_or_default();
        config.rules.push(CorrelationRule {
            name,
            matchers,
            by: by.iter().map(|l| Arc::from(l.value)).collect(),
            window: rule.positive_duration("window").map_or(config.age_max, |d| d.value),
        });
        rule.finish();
    }
    if let Some(gap) = f.positive_duration("gap") {
        config.gap = gap.value;
    }
    if let Some(age) = f.positive_duration("max_age") {
        config.age_max = age.value;
    }
    if let Some(window) = f.duration("reopen_window") {
        if window.value > REOPEN_MAX {
            let most = crate::model::duration::format(REOPEN_MAX);
            let advice = "an incident leaves memory then; a later return is a new incident";
            f.notes().mistake_with(window.at, format!("reopen_window is at most {most}"), advice);
        }
        config.reopen_window = window.value;
    }
    let labels = |key| f.texts(key).map(|l| l.iter().map(|l| Arc::from(l.value)).collect::<Vec<Arc<str>>>());
    if let Some(list) = labels("cluster_labels") {
        config.cluster_labels = list;
    }
    if let Some(list) = labels("environment_labels") {
        config.environment_labels = list;
    }
    f.finish();
    config
}
