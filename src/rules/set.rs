//! All rule groups together: when the next is due, what arrivals touch, restore and reload.
//! In: rule files, `now`, the head. Out: [`Evaluation`].
//! Never: loses a transition; what an evaluation yields is handed out whole.
//! Start at [`RuleSet::evaluate`].

use super::agenda::{Agenda, Cause, Item};
use super::file::RuleFile;
use super::group::{Group, Stage, WatchBook, Work};
use super::hearing::Hearing;
use super::sources::Sources;
use super::view::{self, RulesView};
use crate::model::labels::METRIC_NAME;
use crate::model::{Alert, Labels, RuleAlertRecord, Timestamp, Write};
use crate::promql::{Columns, EvalContext, PlanSelector, SeriesSet};
use crate::series::{Head, Series, Watch};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Tells how much time has passed since some fixed moment; only differences are used.
pub type Stopwatch = Arc<dyn Fn() -> Duration + Send + Sync>;

/// How many series joining rules look at on arrivals, all rules together: below 1 % of a core.
const JOINED_PER_SECOND: f64 = 100_000.0;

/// While the agenda has rules on it, groups are asked for more no more often than this: that costs as much as there are rules.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// How far ahead of our clock a sample that just came may be evaluated at.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(10);

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
    /// How long a joining rule waits at most, after the first new sample, for the rest of a scrape.
    pub settle: Duration,
    pub context: EvalContext,
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
            settle: Duration::from_secs(5),
            context: EvalContext::default(),
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

/// The news of one evaluation.
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

    /// Adds a later evaluation's news to this one.
    pub fn append(&mut self, mut later: Self) {
        self.alerts.append(&mut later.alerts);
        self.writes.append(&mut later.writes);
        self.errors.append(&mut later.errors);
        self.evaluations += later.evaluations;
    }
}

/// Whether a selector may select what rules write.
fn is_ours(selector: &PlanSelector, recorded: &HashSet<&str>) -> bool {
    let takes = |name: &str| selector.matchers.iter().filter(|m| m.name == METRIC_NAME).all(|m| m.matches_value(name));
    ["ALERTS", "ALERTS_FOR_STATE"].into_iter().any(takes) || recorded.iter().any(|name| takes(name))
}

/// What came to the series of one watch.
struct Touched {
    series: Vec<Arc<Series>>,
    /// When the first of these samples came.
    oldest: Timestamp,
}

/// All groups and their state. One owner; readers get a [`RulesView`].
pub struct RuleSet {
    config: RuleSetConfig,
    groups: Vec<Group>,
    /// For each watch of the head: the rules (group, rule) that look at it.
    watchers: HashMap<u32, Vec<(usize, usize)>>,
    /// Restored rows whose rule is not there; dropped with the next evaluation.
    orphans: Vec<Write>,
    /// Every watch by what it selects.
    watches: HashMap<String, Weak<Watch>>,
    /// What rules share.
    columns: Columns,
    /// Scrapes as they come in, for each watch of a joining rule.
    sources: HashMap<u32, Sources>,
    hearing: Hearing,
    /// Joining rules are evaluated on arrivals no more often than this.
    spacing: Duration,
    agenda: Agenda,
    /// When the groups were asked last, by the stopwatch.
    asked: Duration,
    /// What has come for joining rules since [`RuleSet::note_arrivals`], by watch.
    unnoted: Vec<(u32, SeriesSet)>,
}

impl RuleSet {
    pub fn new(config: RuleSetConfig, files: &[RuleFile], head: &Head, now: Timestamp) -> Self {
        let specs = files.iter().flat_map(|f| &f.groups);
        let mut watches = HashMap::new();
        let mut book = WatchBook { head, known: &mut watches };
        let groups = specs.map(|spec| Group::new(spec, &mut book, &config, now)).collect();
        let mut set = Self {
            config,
            groups,
            watchers: HashMap::new(),
            orphans: Vec::new(),
            watches,
            columns: Columns::new(head.window()),
            sources: HashMap::new(),
            hearing: Hearing::default(),
            spacing: Duration::ZERO,
            agenda: Agenda::default(),
            asked: Duration::ZERO,
            unnoted: Vec::new(),
        };
        set.index();
        set
    }

    /// The groups with a rule that looks further back than samples reach without a pause.
    pub fn uncovered(&self, head: &Head, now: Timestamp) -> Vec<Arc<str>> {
        let gap = |group: &&Group| {
            let at = now - group.query_offset;
            group.rules.iter().any(|rule| rule.warmth.is_gap(head, at, self.config.started_at))
        };
        self.groups.iter().filter(gap).map(|group| group.name.clone()).collect()
    }

    fn index(&mut self) {
        self.watchers.clear();
        let mut sources = HashMap::new();
        let all = self.groups.iter().flat_map(|g| &g.rules);
        let recorded: HashSet<&str> = all.filter(|r| matches!(r.work, Work::Recording(_))).map(|r| &*r.name).collect();
        for (g, group) in self.groups.iter().enumerate() {
            for (r, rule) in group.rules.iter().enumerate() {
                // A group with an offset asks to be late; a recording rule keeps to its slots.
                if !group.query_offset.is_zero() || matches!(rule.work, Work::Recording(_)) {
                    continue;
                }
                // Whether a rule is beyond its limit is known only when its whole result is, at a slot.
                if group.limit > 0 && self.config.limit_action == LimitAction::Fail {
                    continue;
                }
                // What we write ourselves moves at slots, a part at a time: only a slot sees it whole.
                if !rule.is_per_series() && rule.plan.selectors().iter().any(|s| is_ours(s, &recorded)) {
                    continue;
                }
                for watch in rule.plan.watches() {
                    let rules = self.watchers.entry(watch.id()).or_default();
                    if rules.last() != Some(&(g, r)) {
                        rules.push((g, r));
                    }
                    if !rule.is_per_series() {
                        sources.insert(watch.id(), self.sources.remove(&watch.id()).unwrap_or_default());
                    }
                }
            }
        }
        self.sources = sources;
        self.space();
    }

    /// Joining rules look at all their series each time: together at so many a second, or less often than that.
    fn space(&mut self) {
        let rules = self.groups.iter().flat_map(|g| &g.rules).filter(|r| !r.is_per_series());
        let series: usize = rules.flat_map(|r| r.plan.watches()).map(|w| w.len()).sum();
        let spacing = Duration::from_secs_f64(series as f64 / JOINED_PER_SECOND);
        self.spacing = spacing.min(self.config.settle);
    }

    pub fn config(&self) -> &RuleSetConfig {
        &self.config
    }

    /// Replaces the configuration; state is kept for rules of equal name and labels in a group of equal file and name.
    /// What is no longer there ends, and the news say so.
    pub fn reload(&mut self, config: RuleSetConfig, files: &[RuleFile], head: &Head, now: Timestamp) -> Evaluation {
        // A slot that has begun ends by the rules with which it began.
        let mut news = Evaluation::default();
        self.work(now, head, Duration::MAX, &mut news);
        let mut old = std::mem::take(&mut self.groups);
        self.config = config;
        for spec in files.iter().flat_map(|f| &f.groups) {
            let mut book = WatchBook { head, known: &mut self.watches };
            let mut group = Group::new(spec, &mut book, &self.config, now);
            if let Some(before) = old.iter_mut().find(|o| o.name == group.name && o.file == group.file) {
                group.inherit(before);
            }
            self.groups.push(group);
        }
        // What was taken over is gone from the old groups; the rest ends.
        for group in &mut old {
            group.end(now, head, &self.config, &mut news);
        }
        drop(old);
        self.columns.clear();
        self.watches.retain(|_, watch| watch.strong_count() > 1);
        self.index();
        news
    }

    /// When [`RuleSet::evaluate`] has something to do next; `None` without rules.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.groups.iter().map(Group::next_due).min()
    }

    /// Evaluates every group whose slot has come, and every joining rule whose inputs have settled.
    pub fn evaluate(&mut self, now: Timestamp, head: &Head) -> Evaluation {
        self.advance(now, head, Duration::MAX)
    }

    /// The same, for about so long: whoever calls looks for arrivals in between, and comes back while
    /// [`RuleSet::is_busy`]. One rule at least is evaluated, so that arrivals without end cannot stop it.
    pub fn advance(&mut self, now: Timestamp, head: &Head, limit: Duration) -> Evaluation {
        let mut news = Evaluation { writes: std::mem::take(&mut self.orphans), ..Evaluation::default() };
        self.put_on_agenda(now);
        self.work(now, head, limit, &mut news);
        news
    }

    /// Whether a slot has begun that is not through yet.
    pub fn is_busy(&self) -> bool {
        !self.agenda.is_empty()
    }

    fn put_on_agenda(&mut self, now: Timestamp) {
        let asked = self.config.elapsed();
        if self.is_busy() && asked.saturating_sub(self.asked) < ASK_EVERY {
            return;
        }
        self.asked = asked;
        self.space();
        for (g, group) in self.groups.iter_mut().enumerate() {
            if self.agenda.holds(g) {
                continue;
            }
            if let Some(slot) = group.due_slot(now) {
                if !self.agenda.push(Item::new(g, slot, Cause::Slot, asked, group.begin_slot())) {
                    group.end_slot(slot, Duration::ZERO);
                }
                continue;
            }
            let settled = group.begin_settled(now, &mut self.sources, self.config.settle);
            self.agenda.push(Item::new(g, now, Cause::Settled, asked, settled));
        }
    }

    fn work(&mut self, now: Timestamp, head: &Head, limit: Duration, news: &mut Evaluation) {
        let since = self.since(now, head);
        let began = self.config.elapsed();
        while let Some(next) = self.agenda.next() {
            if next.is_first {
                self.columns.turn(now);
            }
            let stage = Stage { head, config: &self.config, columns: &self.columns, since };
            let before = self.config.elapsed();
            let group = &mut self.groups[next.group];
            if next.cause == Cause::Slot || group.is_still_settled(next.rule, now, &self.sources, self.config.settle) {
                group.take_turn(&next, before.saturating_sub(next.asked), &stage, news);
            }
            let after = self.config.elapsed();
            if let Some((slot, took)) = self.agenda.done(after.saturating_sub(before)) {
                group.end_slot(slot, took);
            }
            if after.saturating_sub(began) >= limit {
                return;
            }
        }
    }

    /// Since when the silence of a series means something.
    fn since(&mut self, at: Timestamp, head: &Head) -> Timestamp {
        let started = self.config.started_at;
        if started == Timestamp::MIN {
            return started;
        }
        self.listen(at, head);
        self.hearing.since(at, started)
    }

    /// Takes note of whether samples come at all; to be called about once a second.
    pub fn listen(&mut self, now: Timestamp, head: &Head) {
        self.hearing.hear(head.newest_sample_time(), now);
    }

    /// Evaluates every group at exactly `at`, whatever its slots: for unit tests and replay. `order` gives
    /// groups their rank; all others have that of the first, as promtool has it.
    pub fn evaluate_all(&mut self, at: Timestamp, head: &Head, order: &[String]) -> Evaluation {
        let mut news = Evaluation::default();
        let mut indexes: Vec<usize> = (0..self.groups.len()).collect();
        let rank = |i: &usize| order.iter().position(|n| **n == *self.groups[*i].name).unwrap_or(0);
        indexes.sort_by_key(rank);
        let since = self.since(at, head);
        for i in indexes {
            self.columns.turn(at);
            let stage = Stage { head, config: &self.config, columns: &self.columns, since };
            self.groups[i].evaluate(at, &stage, &mut news);
        }
        news
    }

    /// Evaluates what these series can start: per-series rules at once and for these series alone, joining rules when
    /// their inputs have settled.
    pub fn evaluate_arrivals(&mut self, series: &[Arc<Series>], now: Timestamp, head: &Head) -> Evaluation {
        let news = self.start_by(series, now, head);
        self.note_arrivals(now);
        news
    }

    /// The part of it that cannot wait: per-series rules. [`RuleSet::note_arrivals`] is the rest.
    pub fn start_by(&mut self, series: &[Arc<Series>], now: Timestamp, head: &Head) -> Evaluation {
        let began = self.config.elapsed();
        let mut touched: BTreeMap<u32, Touched> = BTreeMap::new();
        let mut newest = None;
        for one in series {
            newest = newest.max(one.newest());
            let came = one.touched();
            for watch in one.watch_ids() {
                let touched = touched.entry(watch).or_insert_with(|| Touched { series: Vec::new(), oldest: came });
                touched.series.push(one.clone());
                touched.oldest = touched.oldest.min(came);
            }
        }
        let at = now.max(newest.unwrap_or(now).min(now + CLOCK_SKEW_MAX));
        let mut news = Evaluation::default();
        let since = self.since(now, head);
        self.columns.arrive();
        let stage = Stage { head, config: &self.config, columns: &self.columns, since };
        for (watch, touched) in touched {
            let Some(rules) = self.watchers.get(&watch) else { continue };
            let series = Arc::new(touched.series);
            for (g, r) in rules {
                let group = &mut self.groups[*g];
                if group.rules[*r].is_per_series() {
                    group.arrive(*r, &series, at, &stage, &mut news);
                    let waited = now.since(touched.oldest) + self.config.elapsed().saturating_sub(began);
                    group.rules[*r].arrival_latency = Some(waited);
                }
            }
            if self.sources.contains_key(&watch) {
                self.unnoted.push((watch, series));
            }
        }
        news
    }

    /// Takes note of what has come for joining rules.
    pub fn note_arrivals(&mut self, now: Timestamp) {
        let moved = std::mem::take(&mut self.unnoted);
        for (watch, series) in &moved {
            if let Some(sources) = self.sources.get_mut(watch) {
                series.iter().for_each(|series| sources.moved(series));
            }
        }
        for (g, r) in moved.iter().filter_map(|(watch, _)| self.watchers.get(watch)).flatten() {
            let group = &mut self.groups[*g];
            if group.rules[*r].is_per_series() {
                continue;
            }
            let next_slot = group.next_slot;
            let due = group.rules[*r].touch(now, &self.sources, self.config.settle, self.spacing);
            // A slot that comes first sees the same.
            group.rules[*r].settles_at = Some(due).filter(|due| *due < next_slot);
        }
    }

    /// Brings back what the store held, timers exactly as they were. Rows of rules that are gone are dropped with the
    /// next evaluation.
    pub fn restore(&mut self, records: Vec<RuleAlertRecord>) {
        let mut rules = HashMap::new();
        for group in &mut self.groups {
            for rule in &mut group.rules {
                let alerting = rule.work.alerting();
                rules.insert(alerting.id.clone(), alerting);
            }
        }
        for record in records {
            match rules.get_mut(&record.rule) {
                Some(rule) => rule.restore(&record),
                None => {
                    self.orphans.push(Write::RuleAlertDropped { rule: record.rule, fingerprint: record.fingerprint });
                }
            }
        }
    }

    /// Whoever was handed these alerts had no room for them: they are handed out again.
    pub fn tell_again(&mut self, refused: &HashSet<Labels>) {
        for rule in self.groups.iter_mut().flat_map(|group| &mut group.rules) {
            rule.work.alerting().tell_again(refused, &self.config.external_labels);
        }
    }

    /// A picture of everything, for the API and the pages.
    pub fn view(&self) -> RulesView {
        view::view(&self.groups, &self.config.external_labels)
    }

    pub fn rule_count(&self) -> usize {
        self.groups.iter().map(|g| g.rules.len()).sum()
    }

    /// Slots that came and went without an evaluation, all groups together.
    pub fn missed_slots(&self) -> u64 {
        self.groups.iter().map(|g| g.missed_slots).sum()
    }
}
