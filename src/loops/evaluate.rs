//! The loop that evaluates rules: at every slot, and sooner when samples arrive that a rule watches.
//! In: the head, the clock, the bell that the write door rings. Out: alerts and rows of state to the [`RuleSink`].
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
/// News of a slot that is not through yet are gathered this long: each handing on is a commit.
const HOLD: Duration = Duration::from_millis(10);
/// The picture is made anew no more often than this: it costs as much as there are rules, not as what has changed.
const VIEW_EVERY: Duration = Duration::from_millis(100);
/// Sleep at most so long, so that a clock that was set forward is noticed.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// The first pause after a sink refused; doubles up to the second figure.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// What became of news.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum Taken {
    #[default]
    All,
    /// There is no room for alerts with these labels: the rules are to tell them again.
    AllBut(HashSet<Labels>),
    /// Ask again with the same news.
    Nothing,
}

/// What takes the news: the alert registry and the single writer.
pub trait RuleSink: Send + Sync {
    fn submit<'a>(&'a self, news: &'a Evaluation) -> Pin<Box<dyn Future<Output = Taken> + Send + 'a>>;
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

/// The rules, their view, and the bell; shared by the loop, the reload and the API.
pub struct RuleEngine {
    pub rules: Mutex<RuleSet>,
    /// The latest picture, for readers who must not wait.
    pub view: Arc<ArcSwap<RulesView>>,
    /// Rung by the write door when samples came to watched series, and by reload.
    pub arrivals: Arc<Notify>,
    pub head: Arc<Head>,
    /// News of a reload, handed out by the loop before its own. Taken and put under the lock of the rules.
    pub pending: Mutex<Evaluation>,
    /// How many write requests were refused so far for want of room or of a disk.
    pub refused: Box<dyn Fn() -> u64 + Send + Sync>,
    /// When the picture was made, and whether something has changed since.
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

    /// Changes the rules (a reload); the news it gives go out with the loop's next turn.
    pub fn change(&self, change: impl FnOnce(&mut RuleSet, &Head) -> Evaluation) {
        let mut rules = self.rules.lock();
        let news = change(&mut rules, &self.head);
        self.pending.lock().append(news);
        self.view.store(Arc::new(rules.view()));
        drop(rules);
        self.arrivals.notify_one();
    }

    /// What samples that came since the last time start at once.
    fn arrivals(&self, now: Timestamp) -> Evaluation {
        let arrived = self.head.take_arrivals();
        let mut rules = self.rules.lock();
        // Under the lock: a reload that was waited for has its news here, and they go first.
        let mut news = std::mem::take(&mut *self.pending.lock());
        rules.observe_ingest(now, &self.head);
        rules.observe_refusals((self.refused)(), now);
        if !arrived.is_empty() {
            news.append(rules.start_by(&arrived, now, &self.head));
        }
        self.viewed.lock().1 |= !news.is_empty();
        news
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
        let news = (due || !pending.is_empty()).then_some(pending);
        let busy = rules.is_busy();
        let mut viewed = self.viewed.lock();
        viewed.1 |= news.is_some();
        let every = if busy { VIEW_EVERY * 10 } else { VIEW_EVERY };
        // A clock that went back does not hold it up.
        if viewed.1 && (viewed.0 > now || viewed.0 + every <= now) {
            self.view.store(Arc::new(rules.view()));
            *viewed = (now, false);
        }
        (news, busy)
    }

    /// How long to sleep unless the bell rings.
    fn pause(&self, now: Timestamp) -> Duration {
        let longest = if self.viewed.lock().1 { VIEW_EVERY } else { SLEEP_MAX };
        self.rules.lock().next_due().map_or(longest, |due| due.since(now).min(longest))
    }
}

/// Hears of every turn, for metrics.
pub type TurnObserver = Arc<dyn Fn(&Evaluation, Duration) + Send + Sync>;

/// What the application gives the loop.
pub struct EvaluateLoop {
    pub engine: Arc<RuleEngine>,
    pub sink: Arc<dyn RuleSink>,
    pub clock: Arc<dyn Clock>,
    pub stop: CancellationToken,
    /// Told of the evaluations of arrivals, and of each part of a slot: how many, failures, and how long they took.
    pub observe: TurnObserver,
}

impl EvaluateLoop {
    /// Runs until stopped; what was found by then has been handed on or is found again after a restart, because state
    /// is stored only together with its news.
    pub async fn run(self) {
        let (mut gathered, mut busy) = (Instant::now() - GATHER, false);
        let (mut news, mut handed) = (Evaluation::default(), Instant::now());
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
                self.tell(&arrived, gathered.elapsed());
                let is_urgent = !arrived.is_empty();
                // Behind what the slot has found so far: the order of news is that of the evaluations.
                news.append(arrived);
                if is_urgent && !self.hand_on(&mut news).await {
                    return;
                }
            }
            let began = Instant::now();
            if news.is_empty() {
                handed = began;
            }
            let (found, more) = self.engine.advance(self.clock.now());
            busy = more;
            if let Some(found) = found {
                self.tell(&found, began.elapsed());
                news.append(found);
            }
            if (!busy || handed.elapsed() >= HOLD) && !news.is_empty() && !self.hand_on(&mut news).await {
                return;
            }
        }
    }

    /// Tells of one evaluation.
    fn tell(&self, news: &Evaluation, took: Duration) {
        (self.observe)(news, took);
        for error in &news.errors {
            tracing::warn!(group = %error.group, rule = %error.rule, error = %error.text, "rule evaluation failed");
        }
    }

    /// Offers the news until they are taken; `false` when stopped before that.
    async fn hand_on(&self, news: &mut Evaluation) -> bool {
        let news = std::mem::take(news);
        let mut wait = RETRY_MIN;
        loop {
            match self.sink.submit(&news).await {
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
