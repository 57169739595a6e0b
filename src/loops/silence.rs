//! Reports what has fallen silent: sources of samples, and heartbeats.
//! In: the rules' series, the heartbeats, the alerts that fire, the clock. Out: alerts `SourceSilent`, as rules hand out theirs.
//! Never: decides who is silent (`rules::SilentSources` and `alerts::Heartbeats` do).
//! Start at [`SilenceLoop::run`].

use super::evaluate::{RuleEngine, RuleSink};
use super::standing::{Standing, Wanted};
use crate::alerts::{Heartbeats, SilentHeartbeat};
use crate::clock::Clock;
use crate::model::alert::{HEARTBEAT_LABEL, SOURCE_SILENT};
use crate::model::labels::{ALERT_NAME, METRIC_NAME};
use crate::model::{Labels, Timestamp, is_heartbeat};
use crate::promql::LOOKBACK_DEFAULT;
use crate::rules::{Evaluation, RulesView, SilentSource, SilentSources};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it looks: a heartbeat is found silent by so much late at most, and a claim of a minute is renewed in time.
const EVERY: Duration = Duration::from_secs(5);
/// Series are gone through more rarely: that costs as much as there are of them.
const SOURCES_EVERY: Duration = Duration::from_secs(30);
/// Sources that one message names.
const NAMES_MAX: usize = 10;

type SharedHeartbeats = Arc<Mutex<Heartbeats>>;

/// Visits the heartbeat alerts that others post: labels, and when each was received last.
pub type VisitHeartbeats = Box<dyn Fn(&mut dyn FnMut(&Labels, Timestamp)) + Send + Sync>;

pub struct SilenceLoop {
    pub engine: Arc<RuleEngine>,
    pub heartbeats: SharedHeartbeats,
    pub posted: VisitHeartbeats,
    pub sink: Arc<dyn RuleSink>,
    pub clock: Arc<dyn Clock>,
    pub stop: CancellationToken,
}

impl SilenceLoop {
    /// Runs until stopped.
    pub async fn run(self) {
        let mut looker = Looker { sources: SilentSources::default(), found: Vec::new(), looked_at: None };
        let mut standing = Standing::default();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            let now = self.clock.now();
            let mut wanted = looker.sources(&self.engine, now);
            self.take_beats();
            wanted.extend(self.heartbeats.lock().silent(now).iter().map(of_heartbeat));
            let alerts = standing.update(wanted, now);
            if !alerts.is_empty() {
                // Not taken now, it is handed out again in five seconds.
                self.sink.submit(&Evaluation { alerts, ..Evaluation::default() }).await;
            }
        }
    }

    /// Records the heartbeat alerts that arrived since the last look.
    fn take_beats(&self) {
        let mut heartbeats = self.heartbeats.lock();
        if !heartbeats.listens_to_alerts() {
            return;
        }
        (self.posted)(&mut |labels, at| heartbeats.beat_by_alert(labels, at));
        beats_of_rules(&self.engine.view.load(), &mut heartbeats);
    }
}

/// A rule's heartbeat counts as received whenever the rule is evaluated and its alert fires.
fn beats_of_rules(view: &RulesView, heartbeats: &mut Heartbeats) {
    for rule in view.groups.iter().flat_map(|group| &group.rules) {
        let Some(at) = rule.last_evaluation else { continue };
        for alert in rule.alerts().iter().filter(|alert| is_heartbeat(&alert.labels)) {
            if alert.state == "firing" {
                heartbeats.beat_by_alert(&view.external_labels.overlaid(&alert.labels), at);
            }
        }
    }
}

struct Looker {
    sources: SilentSources,
    found: Vec<Wanted>,
    looked_at: Option<Timestamp>,
}

impl Looker {
    fn sources(&mut self, engine: &RuleEngine, now: Timestamp) -> Vec<Wanted> {
        // A clock that went back does not hold it up.
        let is_recent = self.looked_at.is_some_and(|at| at <= now && now.since(at) < SOURCES_EVERY);
        if !is_recent {
            self.looked_at = Some(now);
            let (watches, recorded, is_known) = {
                let mut rules = engine.rules.lock();
                let is_known = rules.is_silence_known(now, LOOKBACK_DEFAULT, &engine.head);
                (rules.watches(), rules.recorded().clone(), is_known)
            };
            let is_ours = |labels: &Labels| is_written_by_rules(labels, &recorded);
            self.found = of_sources(&self.sources.look(&watches, is_ours, is_known, now));
        }
        self.found.clone()
    }
}

fn is_written_by_rules(labels: &Labels, recorded: &HashSet<Arc<str>>) -> bool {
    let metric = labels.value(METRIC_NAME);
    matches!(metric, "ALERTS" | "ALERTS_FOR_STATE") || recorded.contains(metric)
}

/// One alert for each silent source; one for all of them when no source sends any more: that has one cause.
fn of_sources(silent: &[SilentSource]) -> Vec<Wanted> {
    let base = Labels::from_pairs([(ALERT_NAME, SOURCE_SILENT), ("severity", "medium")]);
    let wanted = |labels: &Labels, names: &str, last_heard: Timestamp| Wanted {
        labels: labels.overlaid(&base),
        annotations: Labels::from_pairs([
            ("summary", format!("Nothing comes any more from {names}.")),
            (
                "description",
                format!(
                    "The last sample is of {last_heard}. Alerts that its series kept alive are held until it is heard again; \
                     absent() fires. See whether the sender runs and reaches us."
                ),
            ),
        ]),
        since: last_heard + LOOKBACK_DEFAULT,
    };
    match silent {
        [_, _, ..] if silent.iter().all(|source| source.is_everything) => {
            let mut names: Vec<String> = silent.iter().take(NAMES_MAX).map(|source| name(&source.labels)).collect();
            if silent.len() > NAMES_MAX {
                names.push(format!("{} others", silent.len() - NAMES_MAX));
            }
            let last_heard = silent.iter().map(|source| source.last_heard).max().unwrap_or_default();
            vec![wanted(&Labels::empty(), &format!("any source: {}", names.join(", ")), last_heard)]
        }
        _ => silent.iter().map(|source| wanted(&source.labels, &name(&source.labels), source.last_heard)).collect(),
    }
}

fn name(source: &Labels) -> String {
    let parts: Vec<String> = source.iter().map(|(name, value)| format!("{name} {value}")).collect();
    if parts.is_empty() { "senders without a job label".to_owned() } else { parts.join(", ") }
}

fn of_heartbeat(silent: &SilentHeartbeat) -> Wanted {
    let SilentHeartbeat { name, severity, since } = silent;
    Wanted {
        labels: Labels::from_pairs([
            (ALERT_NAME, SOURCE_SILENT),
            (HEARTBEAT_LABEL, &**name),
            ("severity", severity.as_str()),
        ]),
        annotations: Labels::from_pairs([
            ("summary", format!("The heartbeat {name} is not heard.")),
            (
                "description",
                format!("It was due by {since} at the latest. Whatever sends it may be down, or cannot reach us."),
            ),
        ]),
        since: *since,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_alert_names_each_source_or_all_of_them() {
        let at = Timestamp::from_millis(1_000_000);
        let source = |job: &str, is_everything| SilentSource {
            labels: Labels::from_pairs([("job", job)]),
            last_heard: at,
            is_everything,
        };
        let found = of_sources(&[source("api", false), source("db", false)]);
        assert_eq!(found.len(), 2);
        assert_eq!(
            found[0].labels,
            Labels::from_pairs([("alertname", "SourceSilent"), ("job", "api"), ("severity", "medium")])
        );
        assert_eq!(found[0].annotations.value("summary"), "Nothing comes any more from job api.");
        let found = of_sources(&[source("api", true), source("db", true)]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].annotations.value("summary"), "Nothing comes any more from any source: job api, job db.");
    }
}
