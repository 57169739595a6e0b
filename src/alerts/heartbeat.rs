//! Heartbeats: what must be heard again and again, and how long its silence is borne.
//! In: beats by name or by a heartbeat alert's labels, `now`. Out: who is silent, and since when.
//! Never: raises an alert (`loops::silence` does), or calls anybody silent because we were restarted.
//! Start at [`Heartbeats::silent`].

use crate::model::matcher::all_match;
use crate::model::{Labels, Matcher, Severity, Timestamp, is_heartbeat};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// What is expected, as the configuration says.
#[derive(Clone, Debug, PartialEq)]
pub struct HeartbeatSpec {
    pub name: Arc<str>,
    /// The heartbeat alerts that count as a beat; empty for one that is only posted by its name.
    pub matchers: Vec<Matcher>,
    pub interval: Duration,
    pub grace: Duration,
    /// Of the alert that says that it is silent.
    pub severity: Severity,
    /// What that alert's incident runs; the routes decide when there is none.
    pub escalation_policy: Option<Arc<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pulse {
    /// Heard then, or counted as heard: we began to listen.
    Beating {
        last: Timestamp,
    },
    Silent {
        since: Timestamp,
    },
}

/// One that is silent.
#[derive(Clone, Debug, PartialEq)]
pub struct SilentHeartbeat {
    pub name: Arc<str>,
    pub severity: Severity,
    pub since: Timestamp,
}

/// All heartbeats of the configuration.
#[derive(Debug, Default)]
pub struct Heartbeats {
    all: Vec<(HeartbeatSpec, Pulse)>,
}

impl Heartbeats {
    /// A start counts as a beat, but not of those that were `silent` already, each with since when.
    pub fn new(specs: Vec<HeartbeatSpec>, silent: &HashMap<Arc<str>, Timestamp>, now: Timestamp) -> Self {
        let pulse = |spec: &HeartbeatSpec| {
            let known = silent.get(&spec.name).map(|since| Pulse::Silent { since: *since });
            known.unwrap_or(Pulse::Beating { last: now })
        };
        Self { all: specs.into_iter().map(|spec| (pulse(&spec), spec)).map(|(pulse, spec)| (spec, pulse)).collect() }
    }

    /// Another configuration: those of a known name go on, new ones are counted as heard now.
    pub fn reload(&mut self, specs: Vec<HeartbeatSpec>, now: Timestamp) {
        let known: HashMap<Arc<str>, Pulse> = self.all.drain(..).map(|(spec, pulse)| (spec.name, pulse)).collect();
        let pulse = |name: &Arc<str>| known.get(name).copied().unwrap_or(Pulse::Beating { last: now });
        self.all = specs.into_iter().map(|spec| (pulse(&spec.name), spec)).map(|(pulse, spec)| (spec, pulse)).collect();
    }

    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.all.iter().map(|(spec, _)| &spec.name)
    }

    /// Whether an alert can be a beat of any.
    pub fn listens_to_alerts(&self) -> bool {
        self.all.iter().any(|(spec, _)| !spec.matchers.is_empty())
    }

    /// Somebody posted the beat; `false` when none has this name.
    pub fn beat(&mut self, name: &str, at: Timestamp) -> bool {
        let found = self.all.iter_mut().find(|(spec, _)| *spec.name == *name);
        found.map(|(spec, pulse)| pulse.beat(spec, at)).is_some()
    }

    /// A heartbeat alert was heard firing at `at`.
    pub fn beat_by_alert(&mut self, labels: &Labels, at: Timestamp) {
        if !is_heartbeat(labels) {
            return;
        }
        for (spec, pulse) in &mut self.all {
            if !spec.matchers.is_empty() && all_match(&spec.matchers, labels) {
                pulse.beat(spec, at);
            }
        }
    }

    /// Who is silent at `now`: from `interval` and `grace` after the last beat until the next one.
    pub fn silent(&mut self, now: Timestamp) -> Vec<SilentHeartbeat> {
        let mut silent = Vec::new();
        for (spec, pulse) in &mut self.all {
            if let Pulse::Beating { last } = *pulse
                && now >= last + spec.interval + spec.grace
            {
                *pulse = Pulse::Silent { since: last + spec.interval + spec.grace };
            }
            if let Pulse::Silent { since } = *pulse {
                silent.push(SilentHeartbeat { name: spec.name.clone(), severity: spec.severity, since });
            }
        }
        silent
    }

    /// The clock was set by so many milliseconds: what was heard is as long ago as before.
    pub fn clock_jumped(&mut self, by_ms: i64) {
        for (_, pulse) in &mut self.all {
            match pulse {
                Pulse::Beating { last: at } | Pulse::Silent { since: at } => *at = at.moved_by(by_ms),
            }
        }
    }
}

impl Pulse {
    /// A beat that is older than what is known, or than the silence, changes nothing.
    fn beat(&mut self, spec: &HeartbeatSpec, at: Timestamp) {
        match *self {
            Self::Beating { last } => *self = Self::Beating { last: last.max(at) },
            Self::Silent { since } if at + spec.interval + spec.grace > since => *self = Self::Beating { last: at },
            Self::Silent { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    fn spec(name: &str, matcher: Option<Matcher>) -> HeartbeatSpec {
        HeartbeatSpec {
            name: Arc::from(name),
            matchers: matcher.into_iter().collect(),
            interval: Duration::from_mins(1),
            grace: Duration::from_secs(30),
            severity: Severity::Critical,
            escalation_policy: None,
        }
    }

    fn silent(beats: &mut Heartbeats, secs: i64) -> Vec<(String, Timestamp)> {
        beats.silent(at(secs)).into_iter().map(|one| (one.name.to_string(), one.since)).collect()
    }

    #[test]
    fn it_is_silent_after_interval_and_grace_and_heard_with_the_next_beat() {
        let mut beats = Heartbeats::new(vec![spec("backup", None)], &HashMap::new(), at(0));
        assert_eq!(silent(&mut beats, 89), [], "never heard, but the start counts");
        assert_eq!(silent(&mut beats, 95), [("backup".to_owned(), at(90))]);
        assert!(beats.beat("backup", at(100)) && !beats.beat("nobody", at(100)));
        assert_eq!(silent(&mut beats, 189), []);
        assert_eq!(silent(&mut beats, 190), [("backup".to_owned(), at(190))]);
    }

    #[test]
    fn a_restart_is_a_beat_only_for_those_that_were_heard() {
        let known = HashMap::from([(Arc::from("a"), at(500))]);
        let mut beats = Heartbeats::new(vec![spec("a", None), spec("b", None)], &known, at(1000));
        assert_eq!(silent(&mut beats, 1001), [("a".to_owned(), at(500))]);
        beats.beat("a", at(1010));
        assert_eq!(silent(&mut beats, 1020), []);
        // A reload neither, and a new one is given its time.
        beats.reload(vec![spec("b", None), spec("c", None)], at(1050));
        assert_eq!(silent(&mut beats, 1095), [("b".to_owned(), at(1090))]);
        assert_eq!(silent(&mut beats, 1140), [("b".to_owned(), at(1090)), ("c".to_owned(), at(1140))]);
    }

    #[test]
    fn a_heartbeat_alert_beats_those_that_it_matches() {
        let of = |name: &str| Some(Matcher::equal("cluster", name));
        let mut beats = Heartbeats::new(vec![spec("eu", of("eu")), spec("us", of("us"))], &HashMap::new(), at(0));
        let labels = |role: &str| Labels::from_pairs([("alertname", "W"), ("cluster", "eu"), ("watchfire_role", role)]);
        beats.beat_by_alert(&labels("heartbeat"), at(60));
        beats.beat_by_alert(&labels("other"), at(80));
        assert_eq!(silent(&mut beats, 100), [("us".to_owned(), at(90))]);
        beats.clock_jumped(3_600_000);
        assert_eq!(silent(&mut beats, 3_749), [("us".to_owned(), at(3690))]);
        assert_eq!(silent(&mut beats, 3_750).len(), 2);
    }
}
