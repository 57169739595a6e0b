//! Says so when rules cannot be believed yet: their ranges reach back to before we had samples without a pause.
//! In: the rules, the head, the clock. Out: the alert `IngestGap`, through the same door as the alerts of rules.
//! Never: speaks before any sender was heard, of the time before a first start, or once every range is covered.
//! Start at [`GapLoop::run`].

use super::evaluate::{RuleEngine, RuleSink};
use crate::clock::Clock;
use crate::model::{Alert, Door, Labels, Timestamp};
use crate::rules::Evaluation;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it looks; a usual evaluation interval.
const EVERY: Duration = Duration::from_secs(15);
/// A claim lives so long without being renewed, as Prometheus' do: four intervals.
const LEASE: Duration = Duration::from_mins(1);
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
        let (mut since, mut beginning) = (None, Beginning::new(self.is_first_start));
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
            if let Some(alert) = news(&groups, &mut since, now) {
                // Not taken now, it is said again in fifteen seconds.
                self.sink.submit(&Evaluation { alerts: vec![alert], ..Evaluation::default() }).await;
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

/// The alert as it stands, while there is one to tell; `since` is when it began.
fn news(groups: &[Arc<str>], since: &mut Option<Timestamp>, now: Timestamp) -> Option<Alert> {
    let ends_at = if groups.is_empty() { since.map(|_| now)? } else { now + LEASE };
    let starts_at = *since.get_or_insert(now);
    if groups.is_empty() {
        *since = None;
    }
    let mut names: Vec<&str> = groups.iter().take(NAMES_MAX).map(|name| &**name).collect();
    if groups.len() > NAMES_MAX {
        names.push("…");
    }
    let summary = "Rules look back further than samples reach without a gap.";
    let description = format!(
        "Until their ranges are covered, the alerts of these rule groups do not resolve and absent() is not believed: {}.",
        names.join(", ")
    );
    Some(Alert {
        labels: Labels::from_pairs([("alertname", "IngestGap"), ("severity", "info")]),
        annotations: Labels::from_pairs([("summary", summary), ("description", &description)]),
        generator_url: Arc::from(""),
        starts_at,
        ends_at: Some(ends_at),
        ends_by_timeout: false,
        door: Door::RemoteWrite,
        claimant: Arc::from(""),
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
    fn it_begins_is_renewed_and_ends_once() {
        let at = |secs: i64| Timestamp::from_millis(secs * 1000);
        let groups = |n: usize| (0..n).map(|i| Arc::from(format!("g{i}"))).collect::<Vec<Arc<str>>>();
        let mut since = None;
        let mut check = |n: usize, secs: i64, expect: Option<(i64, i64)>| {
            let alert = news(&groups(n), &mut since, at(secs));
            let times = alert.as_ref().map(|a| (a.starts_at, a.ends_at.unwrap()));
            assert_eq!(times, expect.map(|(start, end)| (at(start), at(end))), "{n} groups at {secs}");
            alert.map(|a| a.annotations.value("description").to_owned()).unwrap_or_default()
        };
        check(0, 0, None);
        assert!(check(2, 15, Some((15, 75))).ends_with("g0, g1."));
        assert!(check(12, 30, Some((15, 90))).ends_with("g9, …."));
        check(0, 45, Some((15, 45)));
        check(0, 60, None);
        check(1, 75, Some((75, 135)));
    }
}
