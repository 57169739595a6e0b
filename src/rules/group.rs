//! A rule group: its slots, and its rules in order, each seeing what those before it wrote.
//! In: a time. Out: the evaluation of every rule.
//! Never: runs a missed slot twice, or lets one failing rule stop the others.
//! Start at [`RuleGroup::evaluate`].

use super::alerting::AlertingRule;
use super::context::{EvalContext, Moment, Trigger};
use super::eval_queue::{Cause, Next};
use super::evaluation::{Evaluation, EvaluationError, RuleSetConfig};
use super::file::{GroupSpec, RuleBody, RuleSpec};
use super::recording::Recorder;
use super::scrapes::ScrapeTracker;
use super::verify::verified;
use super::warmup::WarmupGate;
use crate::model::{Fingerprint, Labels, Matcher, SampleValue, Timestamp};
use crate::promql::{Element, Plan, PlanClass, SeriesSet, Value};
use crate::series::{Head, Watch};
use crate::template::prometheus::table_link;
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
    pub(super) gate: WarmupGate,
    /// Under which name version 0.1 stored its state.
    pub(super) former_id: Arc<str>,
    pub(super) work: Work,
    pub(super) error: Option<Arc<str>>,
    pub(super) last_evaluation: Option<Timestamp>,
    pub(super) evaluation_time: Duration,
    /// A joining rule that an arrival touched is evaluated then.
    pub(super) settles_at: Option<Timestamp>,
    /// When the first sample came that it has not looked at.
    touched_at: Option<Timestamp>,
    /// The same, of samples whose evaluation is in the queue.
    waits_since: Option<Timestamp>,
    /// When an arrival evaluated it last.
    joined_at: Option<Timestamp>,
    /// How long the oldest sample of its last arrival had to wait for the evaluation.
    pub(super) arrival_latency: Option<Duration>,
}

/// Of a rule whose identity several have: how many came before it, in the whole configuration.
pub(super) type Ordinals = HashMap<u64, usize>;

impl Rule {
    fn new(
        spec: &RuleSpec,
        ordinals: &mut Ordinals,
        former_id: Arc<str>,
        watches: &mut WatchBook<'_>,
        config: &RuleSetConfig,
    ) -> Self {
        let mut plan = Plan::new(&spec.expr);
        plan.attach_with(|matchers| watches.watch(matchers));
        let query: Arc<str> = Arc::from(spec.expr.to_string());
        let labels = spec.label_set();
        let url: Arc<str> = Arc::from(format!("{}{}", config.external_url, table_link(&query)));
        let id = identity(spec, &query, &labels, ordinals);
        let (work, former_id) = if let Some(rule) = AlertingRule::new(spec, id.clone(), url.clone()) {
            (Work::Alerting(rule), former_id)
        } else {
            let recorder = Recorder::new(spec, Arc::from(format!("{id}/limit")), url);
            (Work::Recording(recorder), Arc::from(format!("{former_id}/limit")))
        };
        Self {
            name: spec.name.clone(),
            gate: WarmupGate::new(&spec.expr, &plan),
            former_id,
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

    /// Whether its labels are the same for all of its alerts.
    pub(super) fn has_plain_labels(&self) -> bool {
        !self.labels.iter().any(|(_, value)| value.contains("{{"))
    }

    pub(super) fn is_alerting(&self) -> bool {
        matches!(self.work, Work::Alerting(_))
    }

    /// Takes the state over from the rule that it was before a reload.
    pub(super) fn inherit(&mut self, old: Self, out: &mut Evaluation) {
        self.last_evaluation = old.last_evaluation;
        match (&mut self.work, old.work) {
            (Work::Alerting(new), Work::Alerting(old)) => new.inherit(old, out),
            (Work::Recording(new), Work::Recording(old)) => new.inherit(old, out),
            _ => {}
        }
    }

    /// Ends everything that it still holds: it has gone from the configuration.
    pub(super) fn end(&mut self, ctx: &EvalContext<'_>, out: &mut Evaluation) {
        if let Work::Recording(recorder) = &mut self.work {
            recorder.outputs.end(ctx.head, ctx.at);
        }
        self.work.alerting().clear(ctx, out);
    }

    /// The clock was set: moments that waits are counted from move with it.
    pub(super) fn clock_jumped(&mut self, by_ms: i64, out: &mut Evaluation) {
        let times = [&mut self.settles_at, &mut self.touched_at, &mut self.waits_since, &mut self.joined_at];
        for time in times.into_iter().flatten() {
            *time = time.moved_by(by_ms);
        }
        self.work.alerting().clock_jumped(by_ms, out);
    }

    /// A joining rule's inputs have moved: when to evaluate it. That is at once when no scrape has come in part only, but
    /// no sooner than `spacing` after the last time; else when its time to settle has passed.
    pub(super) fn touch(
        &mut self,
        now: Timestamp,
        scrapes: &HashMap<u32, ScrapeTracker>,
        settle: Duration,
        spacing: Duration,
    ) -> Timestamp {
        let touched = *self.touched_at.get_or_insert(now);
        if self.are_inputs_whole(scrapes) {
            self.joined_at.map_or(now, |last| now.max(last + spacing)).min(touched + settle)
        } else {
            touched + settle
        }
    }

    fn are_inputs_whole(&self, scrapes: &HashMap<u32, ScrapeTracker>) -> bool {
        self.plan.watches().iter().all(|watch| scrapes.get(&watch.id()).is_none_or(ScrapeTracker::are_whole))
    }

    /// Whether arrivals may evaluate this rule for single series.
    pub(super) fn is_per_series(&self) -> bool {
        self.plan.class() == PlanClass::PerSeries
    }
}

/// `rule:NAME/HASH` of what a rule is: its kind, name, expression, labels and `for`; with a count where several are the same.
/// Neither its group nor its file: state stays with a rule that is moved or whose group is renamed.
fn identity(spec: &RuleSpec, query: &str, labels: &Labels, ordinals: &mut Ordinals) -> Arc<str> {
    let (kind, for_ms) = match &spec.body {
        RuleBody::Recording => ("recording", 0),
        RuleBody::Alerting { for_, .. } => ("alerting", for_.as_millis()),
    };
    let parts = [("__kind__", kind), ("__name__", &*spec.name), ("__expr__", query), ("__for__", &for_ms.to_string())];
    let hash = Fingerprint::of(&parts.iter().fold(labels.clone(), |labels, (name, value)| labels.with(name, value)));
    let count = ordinals.entry(hash.0).or_default();
    let ordinal = std::mem::replace(count, *count + 1);
    let name = &spec.name;
    Arc::from(match ordinal {
        0 => format!("{RULE_CLAIMANT}{name}/{hash}"),
        n => format!("{RULE_CLAIMANT}{name}/{hash}/{n}"),
    })
}

/// How the identity of a rule begins, and with it the name under which its alerts are claimed.
const RULE_CLAIMANT: &str = "rule:";

/// Under which name the alerts were claimed whose state is stored for a rule of this identity.
pub(super) fn claimant_of(id: &Arc<str>) -> Arc<str> {
    // Version 0.1 made no difference between rules.
    if id.starts_with(RULE_CLAIMANT) { id.clone() } else { Arc::from("") }
}

/// The identity of a rule in version 0.1: `group/alertname/hash of the file and the labels`, with a count within the group.
fn former_identity(spec: &GroupSpec, name: &str, labels: &Labels, ordinal: usize) -> Arc<str> {
    let hash = Fingerprint::of(&labels.with("__file__", &spec.file));
    let group = &spec.name;
    Arc::from(if ordinal == 0 { format!("{group}/{name}/{hash}") } else { format!("{group}/{name}/{hash}/{ordinal}") })
}

pub(super) struct RuleGroup {
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

impl RuleGroup {
    pub(super) fn new(
        spec: &GroupSpec,
        ordinals: &mut Ordinals,
        watches: &mut WatchBook<'_>,
        config: &RuleSetConfig,
        now: Timestamp,
    ) -> Self {
        let mut rules: Vec<Rule> = Vec::with_capacity(spec.rules.len());
        let mut seen: HashMap<(bool, Arc<str>, Labels), usize> = HashMap::new();
        for rule in &spec.rules {
            let is_alerting = matches!(rule.body, RuleBody::Alerting { .. });
            let count = seen.entry((is_alerting, rule.name.clone(), rule.label_set())).or_default();
            let former_id = former_identity(spec, &rule.name, &rule.label_set(), *count);
            *count += 1;
            rules.push(Rule::new(rule, ordinals, former_id, watches, config));
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

    /// Goes on with the slots of the group of the same name and file before a reload.
    pub(super) fn inherit(&mut self, old: &Self) {
        if old.interval == self.interval {
            self.next_slot = old.next_slot;
        }
        self.last_evaluation = old.last_evaluation;
        self.evaluation_time = old.evaluation_time;
        self.missed_slots = old.missed_slots;
    }

    /// The clock was set: slots are multiples of the interval on it, and none was missed by that.
    pub(super) fn clock_jumped(&mut self, by_ms: i64, now: Timestamp, out: &mut Evaluation) {
        self.next_slot = self.slot_at_or_after(now);
        self.last_evaluation = self.last_evaluation.map(|at| at.moved_by(by_ms));
        for rule in &mut self.rules {
            rule.clock_jumped(by_ms, out);
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

    fn slot_moment(&self, at: Timestamp) -> Moment {
        Moment { at, query_at: at - self.query_offset, trigger: Trigger::Slot }
    }

    /// Evaluates all rules at a slot, one after another.
    pub(super) fn evaluate(&mut self, slot: Timestamp, base: &EvalContext<'_>, out: &mut Evaluation) {
        let began = base.config.elapsed();
        for rule in self.begin_slot() {
            self.run(rule, &self.slot_moment(slot), None, base, out);
        }
        self.end_slot(slot, base.config.elapsed().saturating_sub(began));
    }

    /// All rules are about to be evaluated at a slot. A sample that comes from here on asks for another evaluation.
    pub(super) fn begin_slot(&mut self) -> Range<usize> {
        for rule in &mut self.rules {
            rule.settles_at = None;
            rule.touched_at = None;
        }
        0..self.rules.len()
    }

    /// All rules have been evaluated at a slot, which took so long.
    pub(super) fn end_slot(&mut self, slot: Timestamp, took: Duration) {
        self.last_evaluation = Some(slot);
        self.evaluation_time = took;
    }

    /// The joining rules that are to be evaluated now. A scrape that has begun meanwhile puts a rule off; one that never
    /// becomes whole is not waited for any longer. A sample that comes from here on asks for another evaluation.
    pub(super) fn begin_settled(
        &mut self,
        now: Timestamp,
        scrapes: &mut HashMap<u32, ScrapeTracker>,
        settle: Duration,
    ) -> Vec<usize> {
        let mut due = Vec::new();
        for (n, rule) in self.rules.iter_mut().enumerate().filter(|(_, r)| r.settles_at.is_some_and(|t| t <= now)) {
            let latest = rule.touched_at.map_or(now, |touched| touched + settle);
            if latest <= now {
                for watch in rule.plan.watches() {
                    if let Some(scrapes) = scrapes.get_mut(&watch.id()) {
                        scrapes.give_up();
                        scrapes.prune(watch.len());
                    }
                }
            } else if !rule.are_inputs_whole(scrapes) {
                rule.settles_at = Some(latest);
                continue;
            }
            due.push(n);
            rule.settles_at = None;
            rule.joined_at = Some(now);
            rule.waits_since = rule.touched_at.take();
        }
        due
    }

    /// Whether the scrapes of a settled rule are whole now that its turn has come. If another has begun meanwhile, the rule is
    /// put off.
    pub(super) fn is_still_settled(
        &mut self,
        rule: usize,
        now: Timestamp,
        scrapes: &HashMap<u32, ScrapeTracker>,
        settle: Duration,
    ) -> bool {
        let rule = &mut self.rules[rule];
        let Some(latest) = rule.waits_since.map(|since| since + settle) else { return true };
        if latest <= now || rule.are_inputs_whole(scrapes) {
            return true;
        }
        rule.touched_at = rule.waits_since.take();
        rule.settles_at = Some(latest);
        false
    }

    /// Evaluates a rule whose turn has come; `late`: how long it has waited for its turn.
    pub(super) fn take_turn(&mut self, next: &Next, late: Duration, base: &EvalContext<'_>, out: &mut Evaluation) {
        match next.cause {
            Cause::Slot => self.run(next.rule, &self.slot_moment(next.at), None, base, out),
            Cause::Settled => {
                let began = base.config.elapsed();
                let moment = Moment { trigger: Trigger::Arrival, ..self.slot_moment(next.at) };
                self.run(next.rule, &moment, None, base, out);
                let took = base.config.elapsed().saturating_sub(began);
                let rule = &mut self.rules[next.rule];
                let since = rule.waits_since.take();
                rule.arrival_latency = since.map(|since| next.at.since(since) + late + took);
            }
        }
    }

    /// Evaluates one rule for some series alone, at `query_at`: later than `now` when their sender's clock is ahead of ours.
    pub(super) fn arrive(
        &mut self,
        rule: usize,
        series: &SeriesSet,
        query_at: Timestamp,
        base: &EvalContext<'_>,
        out: &mut Evaluation,
    ) {
        let moment = Moment { at: base.at, query_at, trigger: Trigger::Arrival };
        self.run(rule, &moment, Some(series), base, out);
    }

    fn run(
        &mut self,
        index: usize,
        moment: &Moment,
        only: Option<&SeriesSet>,
        base: &EvalContext<'_>,
        out: &mut Evaluation,
    ) {
        let is_slot = moment.trigger == Trigger::Slot;
        let began = if is_slot { base.config.elapsed() } else { Duration::ZERO };
        let rule = &mut self.rules[index];
        let ctx = base.for_rule(&rule.gate, &rule.plan, moment, self.limit);
        let done = if rule.gate.may_start(ctx.head, ctx.at, ctx.silence) {
            out.evaluations += 1;
            elements(rule, only, &ctx).and_then(|elements| {
                if elements.is_empty() && !is_slot {
                    // An arrival ends nothing.
                    return Ok(());
                }
                match &mut rule.work {
                    Work::Alerting(alerting) => alerting.apply(&ctx, elements, out),
                    Work::Recording(recorder) => recorder.apply(&ctx, elements, out),
                }
            })
        } else {
            Ok(())
        };
        for watch in rule.work.take_touched() {
            base.columns.forget(watch);
        }
        rule.error = done.err().map(Arc::from);
        if let Some(error) = &rule.error {
            let (group, rule) = (self.name.clone(), rule.name.clone());
            out.errors.push(EvaluationError { group, rule, text: error.clone() });
        }
        if is_slot {
            rule.last_evaluation = Some(moment.at);
            rule.evaluation_time = base.config.elapsed().saturating_sub(began);
        }
    }
}

fn elements(rule: &Rule, only: Option<&SeriesSet>, ctx: &EvalContext<'_>) -> Result<Vec<Element>, String> {
    match verified(rule, only, ctx).map_err(|e| e.to_string())?.value {
        Value::Vector(elements) => Ok(elements),
        Value::Scalar(v) => Ok(vec![Element { labels: Labels::empty(), value: SampleValue::Float(v) }]),
        Value::String(_) | Value::Matrix(_) => Err("rule result is not a vector or scalar".to_owned()),
    }
}
