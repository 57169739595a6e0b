//! What `simulate` says is what happens: the same configuration is asked first and then run.
//! In: settings and an alert. Out: pages and announcements of both, moment by moment.
//! Never: compares anything but whom, when, and which step.
//! Start at [`what_is_simulated_is_what_happens`].

use super::{START, World};
use crate::world::labels;
use std::time::Duration;

/// How long nobody answers.
const WATCHED: Duration = Duration::from_hours(2);

/// `5s page first round 1 step 2`, as the simulation has it.
fn simulated(world: &World, alert: &str) -> Vec<String> {
    let plan = world.engine.simulate(&labels(alert), world.now);
    assert!(!plan.truncated);
    let since = |at: watchfire::model::Timestamp| at.since(START).as_millis();
    let mut rows: Vec<String> = Vec::new();
    for page in &plan.pages {
        for receiver in &page.receivers {
            rows.push(format!("{} page {receiver} round {} step {}", since(page.at), page.round, page.step));
        }
    }
    for announced in plan.announced.iter().filter(|announced| announced.muted.is_none()) {
        rows.push(format!("{} announce {}", since(announced.at), announced.receiver));
    }
    rows.sort();
    rows
}

/// The same, as it goes when the alert fires and nobody answers.
fn happened(world: &mut World, alert: &str) -> Vec<String> {
    let before = world.told.len();
    let (name, rest) = alert.split_once(' ').unwrap_or((alert, ""));
    let mut words = vec!["fire", name.trim_start_matches("alertname=")];
    words.extend(rest.split_whitespace());
    world.act(&words);
    world.pass(START + WATCHED);
    let ms = |at: &str| (at.trim_end_matches('s').parse::<f64>().expect("a moment") * 1000.0).round() as u64;
    let row = |told: &String| {
        let (at, rest) = told.split_once(' ').expect("a moment and words");
        let words: Vec<&str> = rest.split_whitespace().collect();
        match words[..] {
            ["page", to, _, "round", round, "step", step, ..] => {
                format!("{} page {to} round {round} step {step}", ms(at))
            }
            ["announce", to, ..] => format!("{} announce {to}", ms(at)),
            _ => panic!("nothing else is told: {told}"),
        }
    };
    let mut rows: Vec<String> = world.told[before..].iter().map(row).collect();
    rows.sort();
    rows
}

#[test]
fn what_is_simulated_is_what_happens() {
    let people =
        ["receiver chat slack", "receiver ana webhook", "receiver ben email", "user ana ana", "user ben ben ana"];
    let configs: [(&[&str], &str, usize); 10] = [
        (&[], "alertname=Down", 5),
        (&["policy default repeat=2 repeat_after=1m fallback=chat | 0s user:ana | 5s user:ben"], "alertname=Down", 11),
        // Only the child's route asks for a policy, and it starts a while after the incident.
        (
            &[
                "route policy=none",
                "child severity=critical policy=default receiver=chat",
                "policy default | 30s first",
            ],
            "alertname=Down severity=critical",
            2,
        ),
        (&["route policy=none"], "alertname=Down severity=info", 1),
        // Two policies at one moment page one contact once.
        (
            &[
                "child severity=~.+ policy=one receiver=ops continue",
                "child severity=critical policy=two receiver=chat",
                "policy one | 0s user:ana | 1m user:ben",
                "policy two repeat=1 repeat_after=4m | 0s user:ana | 1m receiver:first",
            ],
            "alertname=Down severity=critical",
            8,
        ),
        // A hand-over in the middle: who is on call is asked for each step.
        (
            &[
                "schedule primary UTC 13:00:00 2026-01-01 ana ben",
                "policy default | 0s schedule:primary | 90m schedule:primary",
            ],
            "alertname=Down",
            4,
        ),
        (&["policy default | 0s user:nobody | 5s first"], "alertname=Down", 2),
        (&["policy default repeat=1 fallback=chat | 0s user:nobody | 0s first | 1m user:nobody"], "alertname=Down", 4),
        (&["route group_wait=10s", "policy default | 0s first | 0s second"], "alertname=Down", 3),
        (&["route policy=gone"], "alertname=Down", 1),
    ];
    for (lines, alert, told) in configs {
        let lines: Vec<&str> = people.iter().chain(lines).copied().collect();
        let mut world = World::new(&lines);
        let plan = simulated(&world, alert);
        assert_eq!(plan.len(), told, "{lines:?}: {plan:#?}");
        assert_eq!(happened(&mut world, alert), plan, "{lines:?}");
    }
}

/// A running server has silences, inhibiting alerts and open incidents.
#[test]
fn it_is_so_in_the_middle_of_the_day_too() {
    let silence: (&[&str], &[&str]) = (&[], &["silence", "alertname=Down", "for", "10m"]);
    let inhibited: (&[&str], &[&str]) = (
        &["inhibit alertname=Cluster alertname=Down equal=cluster", "child alertname=Cluster policy=none receiver=ops"],
        &["fire", "Cluster", "cluster=a"],
    );
    for (lines, act) in [silence, inhibited] {
        let mut world = World::new(&[&["route repeat_interval=1d"], lines].concat());
        world.act(act);
        world.told.clear();
        let plan = simulated(&world, "alertname=Down cluster=a");
        let went = happened(&mut world, "alertname=Down cluster=a");
        let pages = |rows: &[String]| rows.iter().filter(|row| row.contains(" page ")).cloned().collect::<Vec<_>>();
        assert_eq!(pages(&went), pages(&plan), "{act:?}");
    }
}
