//! All rule groups together: when the next is due, what arrivals touch, restore and reload.
//! In: rule files, `now`, the head. Out: [`Evaluation`].
//! Never: loses a transition; what an evaluation yields is handed out whole.
//! Start at [`RuleSet::evaluate`].

mod succession;

use super::context::EvalContext;
use super::eval_queue::{Cause, EvalQueue, Item};
use super::evaluation::{Evaluation, LimitAction, RuleSetConfig};
use super::file::RuleFile;
use super::group::{Ordinals, RuleGroup, WatchBook, Work};
use super::ingest_gap::{IngestGap, Silence};
use super::scrapes::ScrapeTracker;
use super::view::{self, RulesView};
use crate::model::labels::METRIC_NAME;
use crate::model::{Labels, RuleAlertRecord, Timestamp, Write};
use crate::promql::{Columns, PlanSelector, SeriesSet};
use crate::series::{Head, Series, Watch};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How many series joining rules look at on arrivals, all rules together: below 1 % of a core.
const JOINED_PER_SECOND: f64 = 100_000.0;

/// While the queue has rules on it, groups are asked for more no more often than this: that costs as much as there are rules.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// A series whose newest sample is no more than this ahead of our clock is evaluated at that sample's time when it arrives:
/// clocks differ. One further ahead is evaluated at our own.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(10);

/// Whether a selector may select what rules write.
fn is_ours(selector: &PlanSelector, recorded: &HashSet<Arc<str>>) -> bool {
    let takes = |name: &str| selector.matchers.iter().filter(|m| m.name == METRIC_NAME).all(|m| m.matches_value(name));
    ["ALERTS", "ALERTS_FOR_STATE"].into_iter().any(takes) || recorded.iter().any(|name| takes(name))
}

/// What came to the series of one watch.
struct Touched {
    series: Vec<Arc<Series>>,
    /// Those of them whose sender's clock is ahead of ours, by the time of their newest sample; few, or none.
    ahead: BTreeMap<Timestamp, Vec<Arc<Series>>>,
    /// When the first of these samples came.
    oldest: Timestamp,
}

/// The series that samples came to, by the watches that they are in.
fn by_watch(series: &[Arc<Series>], now: Timestamp) -> BTreeMap<u32, Touched> {
    let mut touched: BTreeMap<u32, Touched> = BTreeMap::new();
    for one in series {
        let came = one.touched();
        let ahead = one.newest().filter(|newest| *newest > now && *newest <= now + CLOCK_SKEW_MAX);
        for watch in one.watch_ids() {
            let new = || Touched { series: Vec::new(), ahead: BTreeMap::new(), oldest: came };
            let touched = touched.entry(watch).or_insert_with(new);
            match ahead {
                Some(at) => touched.ahead.entry(at).or_default().push(one.clone()),
                None => touched.series.push(one.clone()),
            }
            touched.oldest = touched.oldest.min(came);
        }
    }
    touched
}

/// All groups and their state. One owner; readers get a [`RulesView`].
pub struct RuleSet {
    config: RuleSetConfig,
    groups: Vec<RuleGroup>,
    /// For each watch of the head: the rules (group, rule) that look at it.
    watchers: HashMap<u32, Vec<(usize, usize)>>,
    /// Restored alerts whose rule is not there: they end with the next evaluation.
    orphans: Vec<Arc<RuleAlertRecord>>,
    /// Rows that have changed outside of any evaluation; handed out with the next one.
    unstored: Vec<Write>,
    /// Every watch by what it selects.
    watches: HashMap<String, Weak<Watch>>,
    /// The names of what recording rules write.
    recorded: HashSet<Arc<str>>,
    /// What rules share.
    columns: Columns,
    /// Scrapes as they come in, for each watch of a joining rule.
    scrapes: HashMap<u32, ScrapeTracker>,
    gap: IngestGap,
    /// Joining rules are evaluated on arrivals no more often than this.
    spacing: Duration,
    queue: EvalQueue,
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
        let mut ordinals = Ordinals::new();
        let groups = specs.map(|spec| RuleGroup::new(spec, &mut ordinals, &mut book, &config, now)).collect();
        let gap = IngestGap::new(config.started_at, config.is_first_start);
        let mut set = Self {
            config,
            groups,
            watchers: HashMap::new(),
            orphans: Vec::new(),
            unstored: Vec::new(),
            watches,
            recorded: HashSet::new(),
            columns: Columns::new(head.window()),
            scrapes: HashMap::new(),
            gap,
            spacing: Duration::ZERO,
            queue: EvalQueue::default(),
            asked: Duration::ZERO,
            unnoted: Vec::new(),
        };
        set.index();
        set
    }

    /// The groups with a rule that looks further back than samples reach without a pause.
    pub fn uncovered(&mut self, head: &Head, now: Timestamp) -> Vec<Arc<str>> {
        let silence = self.silence(now, head);
        let gap = |group: &&RuleGroup| {
            let at = now - group.query_offset;
            group.rules.iter().any(|rule| rule.gate.is_gap(head, at, silence))
        };
        self.groups.iter().filter(gap).map(|group| group.name.clone()).collect()
    }

    /// Every set of series that some rule looks at.
    pub fn watches(&self) -> Vec<Arc<Watch>> {
        self.watches.values().filter_map(Weak::upgrade).collect()
    }

    /// The names of what recording rules write.
    pub fn recorded(&self) -> &HashSet<Arc<str>> {
        &self.recorded
    }

    /// Whether all that is silent at `now` is silent by itself: no gap of our own making has ended within `patience`.
    pub fn is_silence_known(&mut self, now: Timestamp, patience: Duration, head: &Head) -> bool {
        let missed = self.silence(now, head).missed_until;
        missed == Timestamp::MIN || now >= missed + patience
    }

    fn index(&mut self) {
        self.watchers.clear();
        let mut scrapes = HashMap::new();
        let all = self.groups.iter().flat_map(|g| &g.rules);
        self.recorded = all.filter(|r| matches!(r.work, Work::Recording(_))).map(|r| r.name.clone()).collect();
        let recorded = &self.recorded;
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
                if !rule.is_per_series() && rule.plan.selectors().iter().any(|s| is_ours(s, recorded)) {
                    continue;
                }
                for watch in rule.plan.watches() {
                    let rules = self.watchers.entry(watch.id()).or_default();
                    if rules.last() != Some(&(g, r)) {
                        rules.push((g, r));
                    }
                    if !rule.is_per_series() {
                        scrapes.insert(watch.id(), self.scrapes.remove(&watch.id()).unwrap_or_default());
                    }
                }
            }
        }
        self.scrapes = scrapes;
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

    /// When [`RuleSet::evaluate`] has something to do next; `None` without rules.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.groups.iter().map(RuleGroup::next_due).min()
    }

    /// Evaluates every group whose slot has come, and every joining rule whose inputs have settled.
    pub fn evaluate(&mut self, now: Timestamp, head: &Head) -> Evaluation {
        self.advance(now, head, Duration::MAX)
    }

    /// The same, for about so long: whoever calls looks for arrivals in between, and comes back while
    /// [`RuleSet::is_busy`]. One rule at least is evaluated, so that arrivals without end cannot stop it.
    pub fn advance(&mut self, now: Timestamp, head: &Head, limit: Duration) -> Evaluation {
        let mut out = Evaluation { writes: std::mem::take(&mut self.unstored), ..Evaluation::default() };
        self.end_orphans(now, &mut out);
        self.enqueue_due(now);
        self.work(now, head, limit, &mut out);
        out
    }

    /// Whether a slot has begun that is not through yet.
    pub fn is_busy(&self) -> bool {
        !self.queue.is_empty()
    }

    fn enqueue_due(&mut self, now: Timestamp) {
        let asked = self.config.elapsed();
        if self.is_busy() && asked.saturating_sub(self.asked) < ASK_EVERY {
            return;
        }
        self.asked = asked;
        self.space();
        for (g, group) in self.groups.iter_mut().enumerate() {
            if self.queue.holds(g) {
                continue;
            }
            if let Some(slot) = group.due_slot(now) {
                if !self.queue.push(Item::new(g, slot, Cause::Slot, asked, group.begin_slot())) {
                    group.end_slot(slot, Duration::ZERO);
                }
                continue;
            }
            let settled = group.begin_settled(now, &mut self.scrapes, self.config.settle);
            self.queue.push(Item::new(g, now, Cause::Settled, asked, settled));
        }
    }

    fn work(&mut self, now: Timestamp, head: &Head, limit: Duration, out: &mut Evaluation) {
        let silence = self.silence(now, head);
        let began = self.config.elapsed();
        while let Some(next) = self.queue.next() {
            if next.is_first {
                self.columns.turn(now);
            }
            let ctx = EvalContext::new(head, &self.config, &self.columns, silence, &self.recorded, now);
            let before = self.config.elapsed();
            let group = &mut self.groups[next.group];
            if next.cause == Cause::Slot || group.is_still_settled(next.rule, now, &self.scrapes, self.config.settle) {
                group.take_turn(&next, before.saturating_sub(next.asked), &ctx, out);
            }
            let after = self.config.elapsed();
            if let Some((slot, took)) = self.queue.done(after.saturating_sub(before)) {
                group.end_slot(slot, took);
            }
            if after.saturating_sub(began) >= limit {
                return;
            }
        }
    }

    /// What the silence of series means at `at`.
    fn silence(&mut self, at: Timestamp, head: &Head) -> Silence {
        self.observe_ingest(at, head);
        self.gap.silence(at)
    }

    /// Takes note of whether samples come at all; to be called about once a second.
    pub fn observe_ingest(&mut self, now: Timestamp, head: &Head) {
        self.gap.observe(head.newest_sample_time(), now);
    }

    /// Takes note of how many requests were refused so far for want of room: what they held may have been what is missing.
    pub fn observe_refusals(&mut self, refused: u64, now: Timestamp) {
        self.gap.observe_refusals(refused, now);
    }

    /// The clock was set by so many milliseconds (forward when positive), and it is `now`: all waits go on as if it had not been,
    /// and nothing ends for a while (`ingest_gap::CLOCK_HOLD`), because samples carry the time of other clocks.
    pub fn clock_jumped(&mut self, by_ms: i64, now: Timestamp) {
        let mut out = Evaluation::default();
        self.config.started_at = self.config.started_at.moved_by(by_ms);
        self.gap.clock_jumped(by_ms, now);
        self.queue.clock_jumped(by_ms);
        for group in &mut self.groups {
            group.clock_jumped(by_ms, now, &mut out);
        }
        self.unstored.append(&mut out.writes);
    }

    /// Evaluates every group at exactly `at`, whatever its slots: for unit tests and replay. `order` gives
    /// groups their rank; all others have that of the first, as promtool has it.
    pub fn evaluate_all(&mut self, at: Timestamp, head: &Head, order: &[String]) -> Evaluation {
        let mut out = Evaluation { writes: std::mem::take(&mut self.unstored), ..Evaluation::default() };
        self.end_orphans(at, &mut out);
        let mut indexes: Vec<usize> = (0..self.groups.len()).collect();
        let rank = |i: &usize| order.iter().position(|n| **n == *self.groups[*i].name).unwrap_or(0);
        indexes.sort_by_key(rank);
        let silence = self.silence(at, head);
        for i in indexes {
            self.columns.turn(at);
            let ctx = EvalContext::new(head, &self.config, &self.columns, silence, &self.recorded, at);
            self.groups[i].evaluate(at, &ctx, &mut out);
        }
        out
    }

    /// Evaluates what these series can start: per-series rules at once and for these series alone, joining rules when
    /// their inputs have settled.
    pub fn evaluate_arrivals(&mut self, series: &[Arc<Series>], now: Timestamp, head: &Head) -> Evaluation {
        let out = self.start_by(series, now, head);
        self.note_arrivals(now);
        out
    }

    /// The part of it that cannot wait: per-series rules. [`RuleSet::note_arrivals`] is the rest.
    pub fn start_by(&mut self, series: &[Arc<Series>], now: Timestamp, head: &Head) -> Evaluation {
        let began = self.config.elapsed();
        let touched = by_watch(series, now);
        let mut out = Evaluation::default();
        let silence = self.silence(now, head);
        self.columns.arrive();
        let ctx = EvalContext::new(head, &self.config, &self.columns, silence, &self.recorded, now);
        for (watch, touched) in touched {
            let Some(rules) = self.watchers.get(&watch) else { continue };
            let on_time = Arc::new(touched.series);
            let ahead = touched.ahead.into_iter().map(|(at, series)| (at, Arc::new(series)));
            let parts: Vec<(Timestamp, SeriesSet)> = ahead.chain([(now, on_time)]).collect();
            for (g, r) in rules {
                let group = &mut self.groups[*g];
                if group.rules[*r].is_per_series() {
                    for (query_at, series) in parts.iter().filter(|(_, series)| !series.is_empty()) {
                        group.arrive(*r, series, *query_at, &ctx, &mut out);
                    }
                    let waited = now.since(touched.oldest) + self.config.elapsed().saturating_sub(began);
                    group.rules[*r].arrival_latency = Some(waited);
                }
            }
            if self.scrapes.contains_key(&watch) {
                self.unnoted.extend(parts.into_iter().map(|(_, series)| (watch, series)));
            }
        }
        out
    }

    /// Takes note of what has come for joining rules.
    pub fn note_arrivals(&mut self, now: Timestamp) {
        let moved = std::mem::take(&mut self.unnoted);
        for (watch, series) in &moved {
            if let Some(scrape) = self.scrapes.get_mut(watch) {
                series.iter().for_each(|series| scrape.moved(series));
            }
        }
        for (g, r) in moved.iter().filter_map(|(watch, _)| self.watchers.get(watch)).flatten() {
            let group = &mut self.groups[*g];
            if group.rules[*r].is_per_series() {
                continue;
            }
            let next_slot = group.next_slot;
            let due = group.rules[*r].touch(now, &self.scrapes, self.config.settle, self.spacing);
            // A slot that comes first sees the same.
            group.rules[*r].settles_at = Some(due).filter(|due| *due < next_slot);
        }
    }

    /// The registry had no room for these alerts: they are handed out again.
    pub fn announce_again(&mut self, refused: &HashSet<Labels>) {
        for rule in self.groups.iter_mut().flat_map(|group| &mut group.rules) {
            rule.work.alerting().announce_again(refused, &self.config.external_labels);
        }
    }

    /// A view of everything, for the API and the pages.
    pub fn view(&self) -> RulesView {
        view::view(&self.groups, &self.config.external_labels)
    }

    /// Slots that came and went without an evaluation, all groups together.
    pub fn missed_slots(&self) -> u64 {
        self.groups.iter().map(|g| g.missed_slots).sum()
    }
}
