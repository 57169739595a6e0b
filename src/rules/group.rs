//! A rule group: its slots, and its rules in order, each seeing what those before it wrote.
//! In: a time. Out: the evaluation of every rule.
//! Never: runs a missed slot twice, or lets one failing rule stop the others.
//! Start at [`Group::evaluate`].

use super::agenda::{Cause, Next};
use super::agree::checked;
use super::alerting::{AlertingRule, Occasion, Round};
use super::expand::Surroundings;
use super::file::{GroupSpec, RuleBody, RuleSpec};
use super::recording::Recorder;
use super::set::{Evaluation, EvaluationError, RuleSetConfig};
use super::sources::Sources;
use super::warm::{Warmth, Watermarks};
use crate::model::{Fingerprint, Labels, Matcher, SampleValue, Timestamp};
use crate::promql::{Columns, Element, Plan, PlanClass, SeriesSet, Value};
use crate::series::{Head, Watch};
use crate::template::prometheus::table_link;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Watches by what they select, so that rules that select alike share one.
pub(super) struct WatchBook<'a> {
    pub(super) head: &'a Head,
    pub(super) known: &'a mut HashMap<String, Weak<Watch>>,
}

impl WatchBook<'_> {
    fn watch(&mut self, matchers: &[Matcher]) -> Arc<Watch> {
        let key = format!("{matchers:?}");
        if let Some(known) = self.known.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        let watch = self.head.watch(matchers);
        self.known.insert(key, Arc::downgrade(&watch));
        watch
    }
}

/// What every evaluation needs.
pub(super) struct Stage<'a> {
    pub(super) head: &'a Head,
    pub(super) config: &'a RuleSetConfig,
    pub(super) columns: &'a Columns,
    /// Since when the silence of a series means something.
    pub(super) since: Timestamp,
}

pub(super) enum Work {
    Alerting(AlertingRule),
    Recording(Recorder),
}

impl Work {
    /// The alerting rule, or that of a recording rule which says that a limit left series out.
    pub(super) fn alerting(&mut self) -> &mut AlertingRule {
        match self {
            Self::Alerting(alerting) => alerting,
            Self::Recording(recorder) => &mut recorder.overflow,
        }
    }

    /// The watches whose series it wrote to since the last call.
    fn take_touched(&mut self) -> Vec<u32> {
        let mut touched = self.alerting().outputs.take_touched();
        if let Self::Recording(recorder) = self {
            touched.append(&mut recorder.outputs.take_touched());
        }
        touched
    }
}

pub(super) struct Rule {
    pub(super) name: Arc<str>,
    pub(super) query: Arc<str>,
    pub(super) labels: Labels,
    pub(super) plan: Plan,
    pub(super) warmth: Warmth,
    pub(super) work: Work,
    pub(super) error: Option<Arc<str>>,
    pub(super) last_evaluation: Option<Timestamp>,
    pub(super) evaluation_time: Duration,
    /// A joining rule that an arrival touched is evaluated then.
    pub(super) settles_at: Option<Timestamp>,
    /// When the first sample came that it has not looked at.
    touched_at: Option<Timestamp>,
    /// The same, of samples whose evaluation is on the agenda.
    waits_since: Option<Timestamp>,
    /// When an arrival evaluated it last.
    joined_at: Option<Timestamp>,
    /// How long the oldest sample of its last arrival had to wait for the evaluation.
    pub(super) arrival_latency: Option<Duration>,
}

impl Rule {
    fn new(
        spec: &RuleSpec,
        (file, group): (&str, &str),
        ordinal: usize,
        watches: &mut WatchBook<'_>,
        config: &RuleSetConfig,
    ) -> Self {
        let mut plan = Plan::new(&spec.expr);
        plan.attach_with(|matchers| watches.watch(matchers));
        let query: Arc<str> = Arc::from(spec.expr.to_string());
        let labels = spec.label_set();
        let url = format!("{}{}", config.external_url, table_link(&query));
        let id = identity((file, group), &spec.name, &labels, ordinal);
        let url: Arc<str> = Arc::from(url);
        let work = match AlertingRule::new(spec, id.clone(), url.clone()) {
            Some(rule) => Work::Alerting(rule),
            None => Work::Recording(Recorder::new(spec, Arc::from(format!("{id}/limit")), url)),
        };
        Self {
            name: spec.name.clone(),
            warmth: Warmth::new(&spec.expr, &plan),
            query,
            labels,
            plan,
            work,
            error: None,
            last_evaluation: None,
            evaluation_time: Duration::ZERO,
            settles_at: None,
            touched_at: None,
            waits_since: None,
            joined_at: None,
            arrival_latency: None,
        }
    }

    /// A joining rule's inputs have moved: when to evaluate it. That is at once when no scrape has come in part only, but
    /// no sooner than `spacing` after the last time; else when its time to settle has passed.
    pub(super) fn touch(
        &mut self,
        now: Timestamp,
        sources: &HashMap<u32, Sources>,
        settle: Duration,
        spacing: Duration,
    ) -> Timestamp {
        let touched = *self.touched_at.get_or_insert(now);
        if self.are_inputs_whole(sources) {
            self.joined_at.map_or(now, |last| now.max(last + spacing)).min(touched + settle)
        } else {
            touched + settle
        }
    }

    fn are_inputs_whole(&self, sources: &HashMap<u32, Sources>) -> bool {
        self.plan.watches().iter().all(|watch| sources.get(&watch.id()).is_none_or(Sources::are_whole))
    }

    /// Whether arrivals may evaluate this rule for single series.
    pub(super) fn is_per_series(&self) -> bool {
        self.plan.class() == PlanClass::PerSeries
    }
}

/// `group/alertname/hash of the file and the labels`, with a count where that is not unique: groups of one name may be in
/// several files. The expression is left out, because Prometheus keeps the state of a rule whose expression alone was edited.
fn identity((file, group): (&str, &str), name: &str, labels: &Labels, ordinal: usize) -> Arc<str> {
    let hash = Fingerprint::of(&labels.with("__file__", file));
    Arc::from(if ordinal == 0 { format!("{group}/{name}/{hash}") } else { format!("{group}/{name}/{hash}/{ordinal}") })
}

pub(super) struct Group {
    pub(super) name: Arc<str>,
    pub(super) file: Arc<str>,
    pub(super) interval: Duration,
    pub(super) query_offset: Duration,
    pub(super) limit: usize,
    pub(super) rules: Vec<Rule>,
    /// The slot that is evaluated next.
    pub(super) next_slot: Timestamp,
    pub(super) last_evaluation: Option<Timestamp>,
    pub(super) evaluation_time: Duration,
    pub(super) missed_slots: u64,
}

impl Group {
    pub(super) fn new(spec: &GroupSpec, watches: &mut WatchBook<'_>, config: &RuleSetConfig, now: Timestamp) -> Self {
        let mut rules: Vec<Rule> = Vec::with_capacity(spec.rules.len());
        for rule in &spec.rules {
            let labels = rule.label_set();
            let is_alert = matches!(rule.body, RuleBody::Alerting { .. });
            let same = |r: &&Rule| {
                is_alert == matches!(r.work, Work::Alerting(_)) && r.name == rule.name && r.labels == labels
            };
            let ordinal = rules.iter().filter(same).count();
            rules.push(Rule::new(rule, (&spec.file, &spec.name), ordinal, watches, config));
        }
        let mut group = Self {
            name: spec.name.clone(),
            file: spec.file.clone(),
            interval: spec.interval.unwrap_or(config.interval).max(Duration::from_millis(1)),
            query_offset: spec.query_offset.unwrap_or(config.query_offset),
            limit: spec.limit,
            rules,
            next_slot: Timestamp::MIN,
            last_evaluation: None,
            evaluation_time: Duration::ZERO,
            missed_slots: 0,
        };
        group.next_slot = group.slot_at_or_after(now);
        group
    }

    /// Slots are spread by the hash of the group, as in Prometheus: `t = k * interval + hash mod interval`.
    fn slot_at_or_after(&self, t: Timestamp) -> Timestamp {
        let interval = self.interval.as_millis() as i64;
        let hash = Fingerprint::of(&Labels::from_pairs([("file", self.file.as_ref()), ("name", self.name.as_ref())])).0;
        let offset = (hash % interval as u64) as i64;
        let past = (t.as_millis() - offset).rem_euclid(interval);
        Timestamp::from_millis(t.as_millis() + if past == 0 { 0 } else { interval - past })
    }

    /// Takes state over from the group of the same name before a reload; rules match by name and labels, in order.
    pub(super) fn inherit(&mut self, old: &mut Self) {
        if old.interval == self.interval {
            self.next_slot = old.next_slot;
        }
        (self.last_evaluation, self.evaluation_time) = (old.last_evaluation, old.evaluation_time);
        self.missed_slots = old.missed_slots;
        for rule in &mut self.rules {
            let same = |o: &Rule| {
                o.name == rule.name
                    && o.labels == rule.labels
                    && matches!(
                        (&o.work, &rule.work),
                        (Work::Alerting(_), Work::Alerting(_)) | (Work::Recording(_), Work::Recording(_))
                    )
            };
            let Some(i) = old.rules.iter().position(same) else { continue };
            let old = old.rules.remove(i);
            rule.last_evaluation = old.last_evaluation;
            match (&mut rule.work, old.work) {
                (Work::Alerting(new), Work::Alerting(old)) => new.inherit(old),
                (Work::Recording(new), Work::Recording(old)) => new.inherit(old),
                _ => {}
            }
        }
    }

    /// The latest slot that is due at `now`; earlier ones that were missed are counted and skipped.
    pub(super) fn due_slot(&mut self, now: Timestamp) -> Option<Timestamp> {
        if self.next_slot > now {
            return None;
        }
        let behind = now.since(self.next_slot).as_millis() as u64 / self.interval.as_millis() as u64;
        let slot = self.next_slot + Duration::from_millis(behind * self.interval.as_millis() as u64);
        self.missed_slots += behind;
        self.next_slot = slot + self.interval;
        Some(slot)
    }

    pub(super) fn next_due(&self) -> Timestamp {
        self.rules.iter().filter_map(|r| r.settles_at).fold(self.next_slot, Timestamp::min)
    }

    /// Evaluates all rules at a slot, one after another.
    pub(super) fn evaluate(&mut self, slot: Timestamp, stage: &Stage<'_>, news: &mut Evaluation) {
        let began = stage.config.elapsed();
        for rule in self.begin_slot() {
            self.run(rule, slot, None, Occasion::Slot, stage, news);
        }
        self.end_slot(slot, stage.config.elapsed().saturating_sub(began));
    }

    /// All rules are about to be evaluated at a slot. A sample that comes from here on asks for another evaluation.
    pub(super) fn begin_slot(&mut self) -> Range<usize> {
        for rule in &mut self.rules {
            (rule.settles_at, rule.touched_at) = (None, None);
        }
        0..self.rules.len()
    }

    /// All rules have been evaluated at a slot, which took so long.
    pub(super) fn end_slot(&mut self, slot: Timestamp, took: Duration) {
        (self.last_evaluation, self.evaluation_time) = (Some(slot), took);
    }

    /// The joining rules that are to be evaluated now. A scrape that has begun meanwhile puts a rule off; one that never
    /// becomes whole is not waited for any longer. A sample that comes from here on asks for another evaluation.
    pub(super) fn begin_settled(
        &mut self,
        now: Timestamp,
        sources: &mut HashMap<u32, Sources>,
        settle: Duration,
    ) -> Vec<usize> {
        let mut due = Vec::new();
        for (n, rule) in self.rules.iter_mut().enumerate().filter(|(_, r)| r.settles_at.is_some_and(|t| t <= now)) {
            let latest = rule.touched_at.map_or(now, |touched| touched + settle);
            if latest <= now {
                for watch in rule.plan.watches() {
                    if let Some(sources) = sources.get_mut(&watch.id()) {
                        sources.give_up();
                        sources.prune(watch.len());
                    }
                }
            } else if !rule.are_inputs_whole(sources) {
                rule.settles_at = Some(latest);
                continue;
            }
            due.push(n);
            (rule.settles_at, rule.joined_at, rule.waits_since) = (None, Some(now), rule.touched_at.take());
        }
        due
    }

    /// Whether the scrapes of a settled rule are whole now that its turn has come. If another has begun meanwhile, the rule is
    /// put off.
    pub(super) fn is_still_settled(
        &mut self,
        rule: usize,
        now: Timestamp,
        sources: &HashMap<u32, Sources>,
        settle: Duration,
    ) -> bool {
        let rule = &mut self.rules[rule];
        let Some(latest) = rule.waits_since.map(|since| since + settle) else { return true };
        if latest <= now || rule.are_inputs_whole(sources) {
            return true;
        }
        rule.touched_at = rule.waits_since.take();
        rule.settles_at = Some(latest);
        false
    }

    /// Evaluates a rule whose turn has come; `late`: how long it has waited for its turn.
    pub(super) fn take_turn(&mut self, next: &Next, late: Duration, stage: &Stage<'_>, news: &mut Evaluation) {
        match next.cause {
            Cause::Slot => self.run(next.rule, next.at, None, Occasion::Slot, stage, news),
            Cause::Settled => {
                let began = stage.config.elapsed();
                self.run(next.rule, next.at, None, Occasion::Arrival, stage, news);
                let took = stage.config.elapsed().saturating_sub(began);
                let rule = &mut self.rules[next.rule];
                let since = rule.waits_since.take();
                rule.arrival_latency = since.map(|since| next.at.since(since) + late + took);
            }
        }
    }

    /// Evaluates one rule for some series alone.
    pub(super) fn arrive(
        &mut self,
        rule: usize,
        series: &SeriesSet,
        at: Timestamp,
        stage: &Stage<'_>,
        news: &mut Evaluation,
    ) {
        self.run(rule, at, Some(series), Occasion::Arrival, stage, news);
    }

    fn run(
        &mut self,
        index: usize,
        at: Timestamp,
        only: Option<&SeriesSet>,
        occasion: Occasion,
        stage: &Stage<'_>,
        news: &mut Evaluation,
    ) {
        let Stage { head, config, columns, since } = *stage;
        let is_slot = occasion == Occasion::Slot;
        let began = if is_slot { config.elapsed() } else { Duration::ZERO };
        let (query_offset, limit) = (self.query_offset, self.limit);
        let rule = &mut self.rules[index];
        let query_at = at - query_offset;
        let context = &config.context;
        let done = if rule.warmth.may_start(head, at, since) {
            news.evaluations += 1;
            elements(rule, only, query_at, stage).and_then(|elements| {
                if elements.is_empty() && !is_slot {
                    // An arrival ends nothing.
                    return Ok(());
                }
                let world = Surroundings {
                    head,
                    at: query_at,
                    context,
                    external_labels: &config.external_labels,
                    external_url: &config.external_url,
                };
                let (warmth, plan) = (&rule.warmth, &rule.plan);
                let started = (since, since > config.started_at);
                let may_end = |alert: &Labels| warmth.may_end(head, plan, alert, at, started);
                let marks = RefCell::new(Watermarks::default());
                let lost_since = |alert: &Labels| {
                    let hears = since != Timestamp::MIN;
                    hears.then(|| marks.borrow_mut().lost_since(head, plan, alert, query_at)).flatten()
                };
                let round = Round {
                    world: &world,
                    at,
                    written_at: query_at,
                    occasion,
                    limit,
                    limit_action: config.limit_action,
                    since,
                    may_end: &may_end,
                    lost_since: &lost_since,
                };
                match &mut rule.work {
                    Work::Alerting(alerting) => alerting.apply(&round, elements, news),
                    Work::Recording(recorder) => recorder.apply(&round, elements, news),
                }
            })
        } else {
            Ok(())
        };
        for watch in rule.work.take_touched() {
            columns.forget(watch);
        }
        rule.error = done.err().map(Arc::from);
        if let Some(error) = &rule.error {
            let (group, rule) = (self.name.clone(), rule.name.clone());
            news.errors.push(EvaluationError { group, rule, text: error.clone() });
        }
        if is_slot {
            rule.last_evaluation = Some(at);
            rule.evaluation_time = config.elapsed().saturating_sub(began);
        }
    }

    /// Ends everything that one rule, or the whole group, still holds: it has gone from the configuration.
    pub(super) fn end(&mut self, now: Timestamp, head: &Head, config: &RuleSetConfig, news: &mut Evaluation) {
        for rule in &mut self.rules {
            if let Work::Recording(recorder) = &mut rule.work {
                recorder.outputs.end(head, now);
            }
            let world = Surroundings {
                head,
                at: now,
                context: &config.context,
                external_labels: &config.external_labels,
                external_url: &config.external_url,
            };
            let round = Round {
                world: &world,
                at: now,
                written_at: now,
                occasion: Occasion::Slot,
                limit: 0,
                limit_action: config.limit_action,
                since: Timestamp::MIN,
                may_end: &|_| true,
                lost_since: &|_| None,
            };
            rule.work.alerting().clear(&round, news);
        }
    }
}

fn elements(rule: &Rule, only: Option<&SeriesSet>, at: Timestamp, stage: &Stage<'_>) -> Result<Vec<Element>, String> {
    match checked(rule, only, at, stage).map_err(|e| e.to_string())?.value {
        Value::Vector(elements) => Ok(elements),
        Value::Scalar(v) => Ok(vec![Element { labels: Labels::empty(), value: SampleValue::Float(v) }]),
        Value::String(_) | Value::Matrix(_) => Err("rule result is not a vector or scalar".to_owned()),
    }
}
