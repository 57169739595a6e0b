//! The loop that evaluates rules: at every slot, and sooner when samples arrive that a rule watches.
//! In: the head, the clock, the signal that ingest gives. Out: alerts and rows of state to the [`RuleSink`].
//! Never: loses a transition; what a busy sink has not taken is offered again before anything new.
//! Start at [`EvaluateLoop::run`].

use crate::clock::Clock;
use crate::engine::RuleAlertChange;
use crate::model::{Labels, Timestamp, Write};
use crate::rules::{Evaluation, RuleSet, RulesView};
use crate::series::Head;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// After an evaluation arrivals are gathered this long, so that a thousand requests a second are not as many evaluations.
/// The first one after a pause is evaluated at once.
const GATHER: Duration = Duration::from_millis(2);
/// A slot goes on so long before arrivals are looked at again.
const SLICE: Duration = Duration::from_millis(1);
/// What a slot that is not through yet has part is gathered this long: each handing on is a commit.
const HOLD: Duration = Duration::from_millis(10);
/// The view is made anew no more often than this: it costs as much as there are rules, not as what has changed.
const VIEW_EVERY: Duration = Duration::from_millis(100);
/// Sleep at most so long, so that a clock that was set forward is noticed.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// The first pause after a sink refused; doubles up to the second figure.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// What became of an evaluation that was handed on.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum Taken {
    #[default]
    All,
    /// There is no room for alerts with these labels: the rules are to hand them out again.
    AllBut(HashSet<Labels>),
    /// Offer the same again.
    Nothing,
}

/// What takes what rules have part: the registry of alerts and the single writer.
pub trait RuleSink: Send + Sync {
    fn submit<'a>(&'a self, found: &'a Evaluation) -> Pin<Box<dyn Future<Output = Taken> + Send + 'a>>;
}

/// The rows of state as the engine's input takes them.
pub fn rule_changes(writes: &[Write]) -> Vec<RuleAlertChange> {
    let change = |write: &Write| match write {
        Write::RuleAlert(record) => Some(RuleAlertChange::Put(record.clone())),
        Write::RuleAlertDropped { rule, fingerprint } => {
            Some(RuleAlertChange::Drop { rule: rule.clone(), fingerprint: *fingerprint })
        }
        _ => None,
    };
    writes.iter().filter_map(change).collect()
}

/// The rules, their view, and the signal of arrivals; shared by the loop, the reload and the API.
pub struct RuleEngine {
    pub rules: Mutex<RuleSet>,
    /// The latest view, for readers who must not wait.
    pub view: Arc<ArcSwap<RulesView>>,
    /// Notified by ingest when samples came to watched series, and by reload.
    pub arrivals: Arc<Notify>,
    pub head: Arc<Head>,
    /// What a reload has part, handed out by the loop before its own. Taken and put under the lock of the rules.
    pub pending: Mutex<Evaluation>,
    /// How many write requests were refused so far for want of room or of a disk.
    pub refused: Box<dyn Fn() -> u64 + Send + Sync>,
    /// When the view was made, and whether something has changed since.
    pub viewed: Mutex<(Timestamp, bool)>,
}

impl RuleEngine {
    pub fn new(rules: RuleSet, head: Arc<Head>) -> Self {
        let view = Arc::new(ArcSwap::from_pointee(rules.view()));
        Self {
            rules: Mutex::new(rules),
            view,
            arrivals: Arc::default(),
            head,
            pending: Mutex::default(),
            refused: Box::new(|| 0),
            viewed: Mutex::default(),
        }
    }

    /// Changes the rules (a reload); what that finds goes out with the loop's next turn.
    pub fn change(&self, change: impl FnOnce(&mut RuleSet, &Head) -> Evaluation) {
        let mut rules = self.rules.lock();
        let found = change(&mut rules, &self.head);
        self.pending.lock().append(found);
        self.view.store(Arc::new(rules.view()));
        drop(rules);
        self.arrivals.notify_one();
    }

    /// What samples that came since the last time start at once.
    fn arrivals(&self, now: Timestamp) -> Evaluation {
        let arrived = self.head.take_arrivals();
        let mut rules = self.rules.lock();
        // Under the lock: a reload that was waited for has what it part here, and that goes first.
        let mut found = std::mem::take(&mut *self.pending.lock());
        rules.observe_ingest(now, &self.head);
        rules.observe_refusals((self.refused)(), now);
        if !arrived.is_empty() {
            found.append(rules.start_by(&arrived, now, &self.head));
        }
        self.viewed.lock().1 |= !found.is_empty();
        found
    }

    /// A part of what slots and settled scrapes have made due, if anything is, and whether there is more.
    fn advance(&self, now: Timestamp) -> (Option<Evaluation>, bool) {
        let mut rules = self.rules.lock();
        let mut pending = std::mem::take(&mut *self.pending.lock());
        rules.note_arrivals(now);
        let due = rules.is_busy() || rules.next_due().is_some_and(|due| due <= now);
        if due {
            pending.append(rules.advance(now, &self.head, SLICE));
        }
        let found = (due || !pending.is_empty()).then_some(pending);
        let busy = rules.is_busy();
        let mut viewed = self.viewed.lock();
        viewed.1 |= found.is_some();
        let every = if busy { VIEW_EVERY * 10 } else { VIEW_EVERY };
        // A clock that went back does not hold it up.
        if viewed.1 && (viewed.0 > now || viewed.0 + every <= now) {
            self.view.store(Arc::new(rules.view()));
            *viewed = (now, false);
        }
        (found, busy)
    }

    /// How long to sleep unless samples come.
    fn pause(&self, now: Timestamp) -> Duration {
        let longest = if self.viewed.lock().1 { VIEW_EVERY } else { SLEEP_MAX };
        self.rules.lock().next_due().map_or(longest, |due| due.since(now).min(longest))
    }
}

/// Called after every turn, for metrics.
pub type TurnObserver = Arc<dyn Fn(&Evaluation, Duration) + Send + Sync>;

/// What the application gives the loop.
pub struct EvaluateLoop {
    pub engine: Arc<RuleEngine>,
    pub sink: Arc<dyn RuleSink>,
    pub clock: Arc<dyn Clock>,
    pub stop: CancellationToken,
    /// Called after the evaluations of arrivals, and of each part of a slot: how many, failures, and how long they took.
    pub observe: TurnObserver,
}

impl EvaluateLoop {
    /// Runs until stopped; what was part by then has been handed on or is part again after a restart, because state
    /// is stored only together with its alerts.
    pub async fn run(self) {
        let (mut gathered, mut busy) = (Instant::now() - GATHER, false);
        let (mut found, mut handed) = (Evaluation::default(), Instant::now());
        loop {
            if busy {
                tokio::task::yield_now().await;
            } else {
                let pause = self.engine.pause(self.clock.now());
                tokio::select! {
                    () = self.stop.cancelled() => return,
                    () = self.engine.arrivals.notified() => tokio::time::sleep_until(gathered + GATHER).await,
                    () = tokio::time::sleep(pause) => {}
                }
            }
            if self.stop.is_cancelled() {
                return;
            }
            if !busy || gathered.elapsed() >= GATHER {
                gathered = Instant::now();
                let arrived = self.engine.arrivals(self.clock.now());
                self.record(&arrived, gathered.elapsed());
                let is_urgent = !arrived.is_empty();
                // Behind what the slot has part so far: the order is that of the evaluations.
                found.append(arrived);
                if is_urgent && !self.submit_all(&mut found).await {
                    return;
                }
            }
            let began = Instant::now();
            if found.is_empty() {
                handed = began;
            }
            let (part, more) = self.engine.advance(self.clock.now());
            busy = more;
            if let Some(part) = part {
                self.record(&part, began.elapsed());
                found.append(part);
            }
            if (!busy || handed.elapsed() >= HOLD) && !found.is_empty() && !self.submit_all(&mut found).await {
                return;
            }
        }
    }

    /// Records one evaluation in metrics and log.
    fn record(&self, found: &Evaluation, took: Duration) {
        (self.observe)(found, took);
        for error in &found.errors {
            tracing::warn!(group = %error.group, rule = %error.rule, error = %error.text, "rule evaluation failed");
        }
    }

    /// Offers what was part until it is taken; `false` when stopped before that.
    async fn submit_all(&self, found: &mut Evaluation) -> bool {
        let found = std::mem::take(found);
        let mut wait = RETRY_MIN;
        loop {
            match self.sink.submit(&found).await {
                Taken::All => return true,
                Taken::AllBut(refused) => {
                    self.engine.rules.lock().announce_again(&refused);
                    return true;
                }
                Taken::Nothing => tokio::select! {
                    () = self.stop.cancelled() => return false,
                    () = tokio::time::sleep(wait) => wait = (wait * 2).min(RETRY_MAX),
                },
            }
        }
    }
}
