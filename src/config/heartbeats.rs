//! `heartbeats`: what must be heard again and again, and what happens when it is not.
//! In: the section. Out: the [`HeartbeatSpec`]s that are watched.
//! Never: names a policy that does not exist.
//! Start at [`heartbeats`].

use super::matchers;
use crate::alerts::HeartbeatSpec;
use crate::escalation::EscalationPolicy;
use crate::model::Severity;
use crate::yaml::{At, Fields, nearest};
use std::sync::Arc;
use std::time::Duration;

/// Between two beats, unless written.
const INTERVAL: Duration = Duration::from_mins(1);
/// How late a beat may be, unless written: the look-back of Prometheus, which bridges a restart of the sender.
const GRACE: Duration = Duration::from_mins(5);
/// Heartbeats at most: each is an alert, and people wait for them.
const HEARTBEATS_MAX: usize = 1_000;

/// Reads `heartbeats`.
pub fn heartbeats(root: &Fields<'_>, policies: &[EscalationPolicy]) -> Vec<HeartbeatSpec> {
    let all = root.each("heartbeats");
    if let Some(first) = all.get(HEARTBEATS_MAX) {
        root.notes().mistake(first.at(), format!("more than {HEARTBEATS_MAX} heartbeats"));
    }
    let mut taken: Vec<Arc<str>> = Vec::new();
    all.into_iter().filter_map(|f| heartbeat(f, policies, &mut taken)).collect()
}

fn heartbeat(f: Fields<'_>, policies: &[EscalationPolicy], taken: &mut Vec<Arc<str>>) -> Option<HeartbeatSpec> {
    let name = name(&f, taken);
    let matchers = matchers::list(&f, "match");
    let interval = f.positive_duration("interval").map_or(INTERVAL, |d| d.value);
    let grace = f.duration("grace").map_or(GRACE, |d| d.value);
    let severity = severity(&f);
    let escalation_policy = f.filled("escalation_policy").map(|policy| {
        known_policy(&f, &policy, policies);
        Arc::from(policy.value)
    });
    f.finish();
    Some(HeartbeatSpec { name: name?, matchers, interval, grace, severity, escalation_policy })
}

fn name(f: &Fields<'_>, taken: &mut Vec<Arc<str>>) -> Option<Arc<str>> {
    let Some(name) = f.filled("name") else {
        f.notes().mistake_with(f.at(), "missing name in heartbeat", "write name:");
        return None;
    };
    let is_path_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.value.chars().all(is_path_part) {
        let text = format!("heartbeat name {:?} is part of a path", name.value);
        f.notes().mistake_with(name.at, text, "use letters, digits, - _ and . only: POST /api/v1/heartbeat/NAME");
    }
    let text: Arc<str> = Arc::from(name.value);
    if taken.contains(&text) {
        let text = format!("heartbeat name {:?} is not unique", name.value);
        f.notes().mistake_with(name.at, text, "give each heartbeat a name of its own");
    }
    taken.push(Arc::clone(&text));
    Some(text)
}

fn severity(f: &Fields<'_>) -> Severity {
    let Some(word) = f.filled("severity") else { return Severity::Critical };
    Severity::named(word.value).unwrap_or_else(|| {
        let words = Severity::ALL.map(Severity::as_str).join(", ");
        f.notes().mistake_with(
            word.at,
            format!("severity: unknown severity {:?}", word.value),
            format!("write one of {words}"),
        );
        Severity::Critical
    })
}

fn known_policy(f: &Fields<'_>, policy: &At<&str>, policies: &[EscalationPolicy]) {
    if policies.iter().any(|known| *known.name == *policy.value) {
        return;
    }
    let known: Vec<&str> = policies.iter().map(|p| &*p.name).collect();
    let advice = match nearest(policy.value, &known) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("known escalation policies: {}", known.join(", ")),
    };
    f.notes().mistake_with(
        policy.at,
        format!("undefined escalation policy {:?} used in heartbeat", policy.value),
        advice,
    );
}

#[cfg(test)]
mod tests {
    use crate::config::{Files, parse};

    const REST: &str = "route: { receiver: r }\nreceivers: [{ name: r, log_configs: [{}] }]\n\
        escalation_policies: [{ name: night, steps: [{ notify: [{ receiver: r }] }] }]\n";

    fn check(text: &str, expect: Option<&str>) {
        let text = format!("{REST}heartbeats:\n  - {text}\n");
        match (parse(&text, "w.yml", Files::Ignore), expect) {
            (Ok(_), None) => {}
            (Err(mistakes), Some(expect)) => assert!(mistakes.to_string().contains(expect), "{mistakes}"),
            (Ok(_), Some(expect)) => panic!("{text}: no {expect:?}"),
            (Err(mistakes), None) => panic!("{mistakes}"),
        }
    }

    #[test]
    fn reads_heartbeats_and_refuses_what_cannot_be() {
        check("{ name: backup, interval: 24h, grace: 2h, severity: high, escalation_policy: night }", None);
        check("{ name: w, match: ['alertname=\"Watchdog\"'] }", None);
        check("{ interval: 1m }", Some("missing name in heartbeat"));
        check("{ name: a/b }", Some("is part of a path"));
        check("{ name: a, severity: loud }", Some("unknown severity \"loud\""));
        check("{ name: a, escalation_policy: nigth }", Some("did you mean \"night\"?"));
        check("{ name: a, interval: 0s }", Some("interval cannot be zero"));
        check("{ name: a }\n  - { name: a }", Some("is not unique"));
        check("{ name: a, every: 1m }", Some("field every not found"));
    }

    #[test]
    fn its_policy_reaches_the_engine() {
        let text = format!("{REST}heartbeats: [{{ name: backup, escalation_policy: night }}]\n");
        let settings = parse(&text, "w.yml", Files::Ignore).unwrap().config.engine_settings();
        let labels =
            |name: &str| crate::model::Labels::from_pairs([("alertname", "SourceSilent"), ("heartbeat", name)]);
        assert_eq!(settings.policy_override(&labels("backup")).as_deref(), Some("night"));
        assert_eq!(settings.policy_override(&labels("other")), None);
    }
}
