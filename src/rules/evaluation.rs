//! What a rule set is told, and what an evaluation of it finds.
//! In: settings from the configuration. Out: [`Evaluation`].
//! Never: evaluates anything.
//! Start at [`Evaluation`].

use crate::model::{Alert, Labels, Timestamp, Write};
use crate::promql::QueryOptions;
use std::sync::Arc;
use std::time::Duration;

/// Says how much time has passed since some fixed moment; only differences are used.
pub type Stopwatch = Arc<dyn Fn() -> Duration + Send + Sync>;

/// What happens when a rule of a group with a `limit` gives more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LimitAction {
    /// The rule fails and all its alerts end, as in Prometheus.
    #[default]
    Fail,
    /// As many alerts or series as the limit allows are kept, and one alert, `RuleLimitExceeded`, stands for the others.
    Keep,
}

#[derive(Clone)]
pub struct RuleSetConfig {
    /// The interval of groups that name none, and the default step of sub-queries.
    pub interval: Duration,
    /// Groups that set none look this far back.
    pub query_offset: Duration,
    /// Added to alerts that are handed out, where the alert has no such label; also `$externalLabels`.
    pub external_labels: Labels,
    /// Under which users reach us, without a slash at its end.
    pub external_url: Arc<str>,
    /// When this process began to take samples; [`Timestamp::MIN`] turns the warm gate off.
    pub started_at: Timestamp,
    /// Nothing ran before on this data, so nothing can have been missed: what is absent now is a fact.
    pub is_first_start: bool,
    /// How long a joining rule waits at most, after the first new sample, for the rest of a scrape.
    pub settle: Duration,
    /// Limits and settings of the expressions.
    pub query: QueryOptions,
    /// For `evaluationTime`; without it all durations are zero.
    pub stopwatch: Option<Stopwatch>,
    /// Debug mode: every evaluation is made in full as well, and a difference in any bit makes the rule unhealthy.
    /// On in debug builds.
    pub verify: bool,
    pub limit_action: LimitAction,
}

impl Default for RuleSetConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(15),
            query_offset: Duration::ZERO,
            external_labels: Labels::empty(),
            external_url: Arc::from(""),
            started_at: Timestamp::MIN,
            is_first_start: false,
            settle: Duration::from_secs(5),
            query: QueryOptions::default(),
            stopwatch: None,
            verify: cfg!(debug_assertions),
            limit_action: LimitAction::Fail,
        }
    }
}

impl RuleSetConfig {
    pub(super) fn elapsed(&self) -> Duration {
        self.stopwatch.as_ref().map_or(Duration::ZERO, |s| s())
    }
}

/// What went wrong with one rule; the others went on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvaluationError {
    pub group: Arc<str>,
    pub rule: Arc<str>,
    pub text: Arc<str>,
}

/// What one evaluation has found.
#[derive(Debug, Default)]
pub struct Evaluation {
    /// Alerts that fire (no end) or have ended. Refreshes are not among them.
    pub alerts: Vec<Alert>,
    /// `RuleAlert` and `RuleAlertDropped` rows, in order.
    pub writes: Vec<Write>,
    pub errors: Vec<EvaluationError>,
    /// How many rules were evaluated.
    pub evaluations: u64,
}

impl Evaluation {
    /// Nothing to hand on.
    pub fn is_empty(&self) -> bool {
        self.alerts.is_empty() && self.writes.is_empty()
    }

    /// Adds a later evaluation to this one.
    pub fn append(&mut self, mut later: Self) {
        self.alerts.append(&mut later.alerts);
        self.writes.append(&mut later.writes);
        self.errors.append(&mut later.errors);
        self.evaluations += later.evaluations;
    }
}
