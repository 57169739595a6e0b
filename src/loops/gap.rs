//! Says so when rules cannot be believed yet: their ranges reach back to before we had samples without a pause.
//! In: the rules, the head, the clock. Out: the alert `IngestGap`, on the same way as the alerts of rules.
//! Never: raises it before any sender has sent, for the time before a first start, or once every range is covered.
//! Start at [`GapLoop::run`].

use super::evaluate::{RuleEngine, RuleSink};
use super::standing::{Standing, Wanted};
use crate::clock::Clock;
use crate::model::{Labels, Timestamp};
use crate::rules::Evaluation;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it looks; a usual evaluation interval.
const EVERY: Duration = Duration::from_secs(15);
/// Groups that the message names.
const NAMES_MAX: usize = 10;

pub struct GapLoop {
    pub engine: Arc<RuleEngine>,
    pub sink: Arc<dyn RuleSink>,
    pub clock: Arc<dyn Clock>,
    pub stop: CancellationToken,
    /// Nothing was held before it, so nothing can have been missed until samples pause.
    pub is_first_start: bool,
}

impl GapLoop {
    /// Runs until stopped.
    pub async fn run(self) {
        let mut beginning = Beginning::new(self.is_first_start);
        let mut standing = Standing::default();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            let now = self.clock.now();
            let mut groups = Vec::new();
            if !beginning.is_now(self.engine.head.coverage_start()) {
                groups = self.engine.rules.lock().uncovered(&self.engine.head, now);
            }
            let alerts = standing.update(wanted(&groups, now).into_iter().collect(), now);
            if !alerts.is_empty() {
                // Not taken now, it is handed out again in fifteen seconds.
                self.sink.submit(&Evaluation { alerts, ..Evaluation::default() }).await;
            }
        }
    }
}

/// The time after a first start in which samples have not paused yet.
struct Beginning {
    is_on: bool,
    first: Option<Timestamp>,
}

impl Beginning {
    fn new(is_first_start: bool) -> Self {
        Self { is_on: is_first_start, first: None }
    }

    /// `covered_since`: since when samples came without a pause, as the head knows it.
    fn is_now(&mut self, covered_since: Option<Timestamp>) -> bool {
        self.first = self.first.or(covered_since);
        self.is_on &= self.first == covered_since;
        self.is_on
    }
}

/// The alert as it is to stand, while there are such groups.
fn wanted(groups: &[Arc<str>], now: Timestamp) -> Option<Wanted> {
    if groups.is_empty() {
        return None;
    }
    let mut names: Vec<&str> = groups.iter().take(NAMES_MAX).map(|name| &**name).collect();
    if groups.len() > NAMES_MAX {
        names.push("…");
    }
    let summary = "Rules look back further than samples reach without a gap.";
    let description = format!(
        "Until their ranges are covered, the alerts of these rule groups do not resolve, and absent() is not believed of what \
         may have come while we could not take it: {}.",
        names.join(", ")
    );
    Some(Wanted {
        labels: Labels::from_pairs([("alertname", "IngestGap"), ("severity", "info")]),
        annotations: Labels::from_pairs([("summary", summary), ("description", &description)]),
        since: now,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_start_lasts_until_samples_pause() {
        let at = |secs: i64| Some(Timestamp::from_millis(secs * 1000));
        let mut first = Beginning::new(true);
        assert!(first.is_now(None) && first.is_now(at(5)) && first.is_now(at(5)));
        assert!(!first.is_now(at(900)) && !first.is_now(at(900)));
        assert!(!Beginning::new(false).is_now(at(5)));
    }

    #[test]
    fn it_names_the_first_groups() {
        let described = |n: usize| {
            let groups: Vec<Arc<str>> = (0..n).map(|i| Arc::from(format!("g{i}"))).collect();
            wanted(&groups, Timestamp::EPOCH).map(|one| one.annotations.value("description").to_owned())
        };
        assert_eq!(described(0), None);
        assert!(described(2).unwrap().ends_with("g0, g1."));
        assert!(described(12).unwrap().ends_with("g9, …."));
    }
}
