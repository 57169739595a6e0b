//! The configurations that a simulated server runs under, and how reloads change them.
//! In: a mask of changes. Out: settings, and what must be known of them to judge.
//! Never: changes the page limit, which is judged over reloads.
//! Start at [`settings`].

use crate::world;
use std::collections::BTreeSet;
use std::sync::Arc;
use watchfire::engine::Settings;
use watchfire::model::{EscalationTarget, Labels};

/// Each bit of a mask is one of these.
pub const CHANGES: u64 = 6;
pub const PAGES_PER_MINUTE: usize = 4;

const BASE: [&str; 14] = [
    "route group_wait=10s group_interval=2m repeat_interval=2h policy=quiet receiver=ops",
    "child severity=critical policy=oncall",
    "receiver chat slack",
    "receiver first webhook",
    "receiver boss webhook !send_resolved_pages",
    "receiver ana-phone webhook",
    "receiver bob-phone webhook email",
    "user ana ana-phone",
    "user bob bob-phone",
    "schedule primary Europe/Berlin 09:00:00 2026-01-01 ana bob",
    "policy quiet repeat=1 repeat_after=20m | 0s chat",
    "inhibit alertname=Down severity=warning equal=cluster",
    "limit 4",
    "hold 45m",
];

/// Bit 0: an integration is inserted above others. 1: a receiver has another name. 2: the steps have other times.
/// 3: another time to look at groups. 4: the route of critical alerts also asks for another receiver. 5: the policy `web` is gone.
///
/// An alert of the service `web` asks for a policy of its own and for what its severity asks for: incidents run several.
pub fn settings(mask: u64) -> Arc<Settings> {
    let on = |bit: u64| mask >> bit & 1 == 1;
    let mut lines: Vec<String> = BASE.iter().map(|line| (*line).to_owned()).collect();
    lines.push(format!("receiver ops {}", if on(0) { "email webhook slack" } else { "webhook slack" }));
    let pager = if on(1) { "pager-new" } else { "pager" };
    lines.push(format!("receiver {pager} webhook"));
    let (second, third) = if on(2) { ("5m", "12m") } else { ("3m", "10m") };
    lines.push(format!(
        "policy oncall repeat=2 repeat_after=10m ack_timeout=3h page_again_at=critical fallback=boss \
         | 0s schedule:primary | {second} first | {third} {pager} user:bob"
    ));
    if on(3) {
        lines[0] = lines[0].replace("group_interval=2m", "group_interval=5m");
    }
    if on(4) {
        lines[1].push_str(" receiver=first");
    }
    let web = if on(5) {
        "quiet"
    } else {
        lines.push("policy web repeat=1 repeat_after=15m page_again_at=medium | 0s first | 6m user:bob".to_owned());
        "web"
    };
    lines.insert(1, format!("child service=web policy={web} continue"));
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    Arc::new(world::settings(&lines))
}

/// The policies that the routes of these labels name.
pub fn policies_of(settings: &Settings, labels: &Labels) -> BTreeSet<Arc<str>> {
    settings.route.match_all(labels).iter().filter_map(|node| node.escalation_policy.clone()).collect()
}

/// Every receiver that some step of a policy may tell, at any time.
pub fn receivers_of(settings: &Settings, policy: &str) -> BTreeSet<Arc<str>> {
    let user = |name: &str| settings.user(name).map(|u| u.receivers.clone()).unwrap_or_default();
    let steps = settings.policy(policy).map(|p| p.steps.as_slice()).unwrap_or_default();
    let mut all = BTreeSet::new();
    for target in steps.iter().flat_map(|step| &step.notify) {
        match target {
            EscalationTarget::Receiver(name) => drop(all.insert(name.clone())),
            EscalationTarget::User(name) => all.extend(user(name)),
            EscalationTarget::Schedule(name) => {
                let users = settings.schedule(name).map(|s| s.users.clone()).unwrap_or_default();
                all.extend(users.iter().flat_map(|name| user(name)));
            }
        }
    }
    all
}
