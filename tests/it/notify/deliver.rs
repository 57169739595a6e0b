//! The loop `deliver`: retries, the breaker, priorities, isolation, reload and stop, on paused time.
//! In: notifications and destinations that follow a script. Out: receipts.
//! Never: waits in real time, except where a real socket answers.
//! Start at [`a_busy_receiver_is_tried_again_when_it_said`].

use super::make::{announcement, at, page};
use crate::support::http_sink::{HttpSink, Reply};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use watchfire::clock::{Clock, SystemClock};
use watchfire::loops::deliver::{Deliver, ReceiptSink};
use watchfire::model::{IntegrationId, Notification, Receipt, ReceiptOutcome, SecretSource, Timestamp};
use watchfire::notify::webhook::WebhookConfig;
use watchfire::notify::{
    Attempt, Delivery, IntegrationConfig, Notifier, Notifiers, NotifyError, NotifyFuture, ReceiverConfig, Renderer,
};

/// Wall time that moves with tokio's.
struct PausedClock(Instant);

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        at("2026-01-02T03:04:06Z") + self.0.elapsed()
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

#[derive(Clone)]
enum Does {
    Takes,
    Fails(Option<u64>),
    Refuses,
    Hangs,
    Panics,
}

/// A destination that follows a script (the last entry repeats) and remembers its attempts.
struct Scripted {
    script: Mutex<VecDeque<Does>>,
    seen: Mutex<Vec<(String, u32, Duration)>>,
    started: Instant,
}

impl Scripted {
    fn new(script: &[Does]) -> Arc<Self> {
        Arc::new(Self {
            script: Mutex::new(script.iter().cloned().collect()),
            seen: Mutex::default(),
            started: Instant::now(),
        })
    }

    fn seen(&self) -> Vec<(String, u32, Duration)> {
        self.seen.lock().expect("not poisoned").clone()
    }

    fn keys(&self) -> Vec<String> {
        self.seen().into_iter().map(|(key, ..)| key).collect()
    }
}

impl Notifier for Scripted {
    fn notify<'a>(&'a self, notification: &'a Notification, attempt: &'a Attempt) -> NotifyFuture<'a> {
        let does = {
            let mut script = self.script.lock().expect("not poisoned");
            if script.len() > 1 { script.pop_front() } else { script.front().cloned() }
        };
        let entry = (notification.key.to_string(), attempt.number, self.started.elapsed());
        self.seen.lock().expect("not poisoned").push(entry);
        Box::pin(async move {
            match does.expect("a script") {
                Does::Takes => Ok(Delivery::default()),
                Does::Fails(retry_after) => Err(NotifyError::Temporary {
                    reason: "busy".to_owned(),
                    retry_after: retry_after.map(Duration::from_secs),
                }),
                Does::Refuses => Err(NotifyError::permanent("refused")),
                Does::Hangs => std::future::pending().await,
                Does::Panics => panic!("a notifier's own fault"),
            }
        })
    }

    fn kind(&self) -> &'static str {
        "log"
    }
}

struct Rig {
    deliver: Deliver,
    receipts: mpsc::Receiver<Receipt>,
}

impl Rig {
    fn new(receivers: &[(&str, Arc<Scripted>)]) -> Self {
        let all = receivers.iter().map(|(name, n)| ((*name).into(), vec![Arc::clone(n) as Arc<dyn Notifier>]));
        Self::with(Notifiers::new(all), Arc::new(PausedClock(Instant::now())))
    }

    fn with(notifiers: Notifiers, clock: Arc<dyn Clock>) -> Self {
        let (sender, receipts) = mpsc::channel(100_000);
        let sink: ReceiptSink = Arc::new(move |receipt, _| {
            let sender = sender.clone();
            Box::pin(async move { drop(sender.send(receipt).await) })
        });
        Self { deliver: Deliver::new(notifiers, clock, sink, None), receipts }
    }

    fn send(&self, notifications: impl IntoIterator<Item = Notification>) {
        self.deliver.dispatch(notifications.into_iter().map(Arc::new));
    }

    async fn next(&mut self) -> Receipt {
        self.receipts.recv().await.expect("deliver runs")
    }

    /// The next receipt that ends a message.
    async fn settled(&mut self) -> Receipt {
        loop {
            let receipt = self.next().await;
            if !matches!(receipt.outcome, ReceiptOutcome::Retrying { .. } | ReceiptOutcome::Blocked { .. }) {
                return receipt;
            }
        }
    }
}

fn to(receiver: &str, mut notification: Notification) -> Notification {
    notification.receiver = receiver.into();
    notification
}

fn between(seen: &[(String, u32, Duration)], from: usize, to: usize) -> Duration {
    seen[to].2.saturating_sub(seen[from].2)
}

const DELIVERED: ReceiptOutcome = ReceiptOutcome::Delivered { external_ref: None };

#[tokio::test(start_paused = true)]
async fn a_busy_receiver_is_tried_again_when_it_said() {
    let ops = Scripted::new(&[Does::Fails(Some(17)), Does::Takes]);
    let mut rig = Rig::new(&[("ops", Arc::clone(&ops))]);
    rig.send([page("k", "log", 1)]);
    let first = rig.next().await;
    let ReceiptOutcome::Retrying { error, next_at } = &first.outcome else { panic!("{first:?}") };
    assert_eq!((error.as_str(), first.attempts, *next_at), ("busy", 1, first.at + Duration::from_secs(17)));
    let second = rig.next().await;
    assert_eq!((second.outcome, second.attempts), (DELIVERED, 2));
    let seen = ops.seen();
    assert_eq!((seen[0].0.as_str(), seen[0].1, seen[1].0.as_str(), seen[1].1), ("k", 1, "k", 2));
    let waited = between(&seen, 0, 1);
    assert!((17..18).contains(&waited.as_secs()), "{waited:?}");
}

/// The destination asked for ten minutes and is well again after thirty seconds: a page waits the rest of a minute, says so at once,
/// and with it everything else is let go.
#[tokio::test(start_paused = true)]
async fn a_long_retry_after_holds_a_page_for_a_minute() {
    let ops = Scripted::new(&[Does::Fails(Some(600)), Does::Takes]);
    let mut rig = Rig::new(&[("ops", Arc::clone(&ops))]);
    rig.send([announcement("a", "log")]);
    let first = rig.next().await;
    let ReceiptOutcome::Retrying { next_at, .. } = &first.outcome else { panic!("{first:?}") };
    assert_eq!(*next_at, first.at + Duration::from_mins(10), "an announcement can wait");
    tokio::time::advance(Duration::from_secs(30)).await;
    rig.send([announcement("b", "log"), page("p", "log", 1)]);
    let blocked = rig.next().await;
    assert_eq!((&*blocked.key.0, blocked.attempts, blocked.at), ("p", 0, first.at + Duration::from_secs(30)));
    let ReceiptOutcome::Blocked { reason, until } = &blocked.outcome else { panic!("{blocked:?}") };
    assert_eq!(reason, "the destination asked to be left alone for now: busy");
    assert_eq!(*until, first.at + Duration::from_mins(1));
    for _ in 0..3 {
        assert_eq!(rig.next().await.outcome, DELIVERED);
    }
    assert_eq!(ops.keys()[..2], ["a", "p"]);
    let waited = between(&ops.seen(), 0, 1);
    assert!((60..61).contains(&waited.as_secs()), "{waited:?}");
    assert!(between(&ops.seen(), 1, 3) < Duration::from_millis(50), "nothing else is held");
}

#[tokio::test(start_paused = true)]
async fn a_page_that_failed_is_tried_again_within_a_minute_whatever_was_asked() {
    let ops = Scripted::new(&[Does::Fails(Some(3600)), Does::Takes]);
    let mut rig = Rig::new(&[("ops", Arc::clone(&ops))]);
    rig.send([page("p", "log", 1)]);
    assert_eq!(rig.settled().await.outcome, DELIVERED);
    assert_eq!(between(&ops.seen(), 0, 1).as_secs(), 60);
}

/// The engine hears at once, and once, that pages wait for a destination that is away: those that waited when it went, and new ones.
#[tokio::test(start_paused = true)]
async fn a_page_behind_an_open_breaker_says_so_once() {
    let mut script = vec![Does::Fails(None); 9];
    script.push(Does::Takes);
    let ops = Scripted::new(&script);
    let mut rig = Rig::new(&[("ops", Arc::clone(&ops))]);
    rig.send((0..5).map(|i| announcement(&format!("k{i}"), "log")));
    while !rig.deliver.status().iter().any(|destination| destination.breaker_open) {
        rig.next().await;
    }
    rig.send([page("p1", "log", 1), page("p2", "log", 2)]);
    let mut blocked = Vec::new();
    let mut delivered = 0;
    while delivered < 7 {
        let receipt = rig.next().await;
        match receipt.outcome {
            ReceiptOutcome::Blocked { reason, .. } => {
                assert_eq!(receipt.attempts, 0);
                assert!(reason.ends_with("5 tries failed in a row: busy"), "{reason}");
                blocked.push(receipt.key.to_string());
            }
            ReceiptOutcome::Delivered { .. } => delivered += 1,
            _ => {}
        }
    }
    blocked.sort();
    assert_eq!(blocked, ["p1", "p2"]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_final_and_holds_up_nothing() {
    let ops = Scripted::new(&[Does::Refuses, Does::Takes]);
    let mut rig = Rig::new(&[("ops", Arc::clone(&ops))]);
    rig.send([page("k1", "log", 1), page("k2", "log", 1)]);
    let first = rig.next().await;
    assert_eq!(first.outcome, ReceiptOutcome::Failed { error: "refused".to_owned() });
    assert_eq!(rig.next().await.outcome, DELIVERED);
    assert_eq!(ops.keys(), ["k1", "k2"]);
}

#[tokio::test(start_paused = true)]
async fn a_dead_destination_is_probed_by_one_and_then_gets_everything() {
    let mut script = vec![Does::Fails(None); 30];
    script.push(Does::Takes);
    let ops = Scripted::new(&script);
    let mut rig = Rig::new(&[("ops", Arc::clone(&ops))]);
    rig.send((0..40).map(|i| announcement(&format!("k{i}"), "log")));
    for _ in 0..40 {
        assert_eq!(rig.settled().await.outcome, DELIVERED);
    }
    let seen = ops.seen();
    assert_eq!(seen.len(), 70);
    // Five failures open the breaker; from then on single probes with pauses up to a minute.
    assert!(between(&seen, 4, 5) >= Duration::from_secs(5), "{:?}", &seen[..7]);
    assert!(between(&seen, 28, 29) >= Duration::from_mins(1));
    // Once one got through nobody waits for a time of his own.
    assert!(between(&seen, 30, 69) < Duration::from_millis(50), "{:?}", between(&seen, 30, 69));
    let status = rig.deliver.status().remove(0);
    assert_eq!((status.delivered, status.retried, status.failed, status.last_error), (40, 30, 0, None));
}

#[tokio::test(start_paused = true)]
async fn patience_ends_after_three_days() {
    let ops = Scripted::new(&[Does::Fails(None)]);
    let mut rig = Rig::new(&[("ops", Arc::clone(&ops))]);
    rig.send([page("k", "log", 1)]);
    let (mut reported, mut blocked) = (0, 0);
    let last = loop {
        let receipt = rig.next().await;
        match &receipt.outcome {
            ReceiptOutcome::Retrying { .. } => reported += 1,
            // The page finds out itself that its destination is away, and the next step shall not wait.
            ReceiptOutcome::Blocked { .. } => blocked += 1,
            _ => break receipt,
        }
    };
    assert_eq!(blocked, 1, "that the destination is away is said once");
    let ReceiptOutcome::Failed { error } = &last.outcome else { panic!("{last:?}") };
    assert!(error.starts_with("given up after 72 h") && error.ends_with("busy"), "{error}");
    let kept = last.at.since(at("2026-01-02T03:04:06Z"));
    assert!(kept >= Duration::from_hours(72) && kept < Duration::from_hours(73), "{kept:?}");
    assert!(reported <= 72 * 60 && reported > 72, "{reported} reports");
    assert_eq!(ops.seen().len(), last.attempts as usize);
}

#[tokio::test(start_paused = true)]
async fn one_destination_holds_up_another_for_a_permit_at_most() {
    // Only one message may be in doubt at a time, for so long (at most one repeat per crash).
    let (stuck, fine) = (Scripted::new(&[Does::Hangs]), Scripted::new(&[Does::Takes]));
    let mut rig = Rig::new(&[("stuck", stuck), ("fine", fine)]);
    rig.send([to("stuck", page("k1", "log", 1)), to("fine", page("k2", "log", 1))]);
    let receipt = tokio::time::timeout(Duration::from_millis(10), rig.next()).await.expect("within a permit");
    assert_eq!((receipt.key.to_string().as_str(), receipt.outcome), ("k2", DELIVERED));
    // Even an attempt that is lost for good comes back as a temporary failure.
    let receipt = rig.next().await;
    assert!(matches!(receipt.outcome, ReceiptOutcome::Retrying { .. }), "{receipt:?}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_temporary_failure() {
    let ops = Scripted::new(&[Does::Panics, Does::Takes]);
    let mut rig = Rig::new(&[("ops", ops)]);
    rig.send([page("k", "log", 1)]);
    let first = rig.next().await;
    let ReceiptOutcome::Retrying { error, .. } = &first.outcome else { panic!("{first:?}") };
    assert_eq!(error, "the notifier panicked");
    assert_eq!(rig.next().await.outcome, DELIVERED);
}

#[tokio::test(start_paused = true)]
async fn cancelled_messages_are_dropped_and_order_is_kept() {
    let ops = Scripted::new(&[Does::Fails(Some(60)), Does::Takes]);
    let mut rig = Rig::new(&[("ops", Arc::clone(&ops))]);
    let (old, new) = (page("old", "log", 1), page("new", "log", 1));
    let key = old.key.clone();
    rig.send([old]);
    rig.next().await;
    rig.send([new]);
    rig.deliver.cancel(&[key]);
    let receipt = rig.settled().await;
    assert_eq!((receipt.key.to_string().as_str(), receipt.outcome), ("new", DELIVERED));
    assert_eq!(ops.keys(), ["old", "new"]);
}

#[tokio::test(start_paused = true)]
async fn reload_swaps_notifiers_and_keeps_queues() {
    let (before, after) = (Scripted::new(&[Does::Fails(Some(60))]), Scripted::new(&[Does::Takes]));
    let mut rig = Rig::new(&[("ops", before), ("other", Scripted::new(&[Does::Fails(None)]))]);
    rig.send([page("k", "log", 1), to("other", page("k2", "log", 2))]);
    rig.next().await;
    rig.next().await;
    rig.deliver.reload(Notifiers::new([("ops".into(), vec![Arc::clone(&after) as Arc<dyn Notifier>])]));
    let receipts = [rig.settled().await, rig.settled().await];
    for receipt in &receipts {
        match (receipt.key.0.as_ref(), &receipt.outcome) {
            ("k", outcome) => assert_eq!(*outcome, DELIVERED),
            ("k2", ReceiptOutcome::Failed { error }) => assert!(error.contains("receiver other"), "{error}"),
            other => panic!("{other:?}"),
        }
    }
    let mut other_kind = page("k3", "log", 3);
    other_kind.integration = IntegrationId::new("email", 0);
    rig.send([other_kind]);
    let receipt = rig.settled().await;
    let said = "receiver ops has no integration email/0 any more".to_owned();
    assert_eq!(receipt.outcome, ReceiptOutcome::Failed { error: said });
}

#[tokio::test(start_paused = true)]
async fn stop_sends_what_it_can_and_leaves_the_rest_in_the_outbox() {
    let (fine, busy, stuck) =
        (Scripted::new(&[Does::Takes]), Scripted::new(&[Does::Fails(Some(60))]), Scripted::new(&[Does::Hangs]));
    let mut rig = Rig::new(&[("fine", Arc::clone(&fine)), ("busy", Arc::clone(&busy)), ("stuck", stuck)]);
    rig.send((0..20).map(|i| to("fine", page(&format!("f{i}"), "log", i))));
    rig.send([to("busy", page("b", "log", 1)), to("stuck", page("s", "log", 1))]);
    let began = Instant::now();
    rig.deliver.stop(Duration::from_secs(3)).await;
    assert!(began.elapsed() <= Duration::from_secs(4));
    rig.send([to("fine", page("late", "log", 1))]);
    drop(rig.deliver);
    let mut delivered = 0;
    while let Some(receipt) = rig.receipts.recv().await {
        match receipt.outcome {
            ReceiptOutcome::Delivered { .. } => delivered += 1,
            ReceiptOutcome::Retrying { .. } | ReceiptOutcome::Blocked { .. } => assert_eq!(&*receipt.key.0, "b"),
            ReceiptOutcome::Failed { .. } => panic!("{receipt:?}"),
        }
    }
    assert_eq!((delivered, busy.seen().len()), (20, 1));
}

#[tokio::test]
async fn a_real_webhook_gets_the_same_key_again_after_a_503() {
    let mut sink = HttpSink::start(|number, _| Reply::status(if number == 1 { 503 } else { 200 })).await;
    let hook = WebhookConfig::new(SecretSource::inline(&sink.url("/page")));
    let receiver = ReceiverConfig { name: "ops".into(), integrations: vec![IntegrationConfig::new(hook)] };
    let renderer = Renderer::new(Arc::new(watchfire::notify::render::NoTemplates));
    let notifiers = watchfire::notify::build(&[receiver], &renderer).expect("notifiers");
    let mut rig = Rig::with(notifiers, Arc::new(SystemClock));
    let mut fresh = page("k", "webhook", 1);
    fresh.created_at = SystemClock.now();
    rig.send([fresh]);
    let (first, second) = (sink.next().await, sink.next().await);
    assert_eq!((first.header("idempotency-key"), first.header("x-attempt")), ("k", "1"));
    assert_eq!((second.header("idempotency-key"), second.header("x-attempt")), ("k", "2"));
    assert_eq!(rig.settled().await.outcome, DELIVERED);
}

/// A destination that says what it was told to update.
struct Updates(Mutex<Vec<Option<Arc<str>>>>);

impl Notifier for Updates {
    fn notify<'a>(&'a self, _: &'a Notification, attempt: &'a Attempt) -> NotifyFuture<'a> {
        self.0.lock().expect("not poisoned").push(attempt.previous_ref.clone());
        Box::pin(std::future::ready(Ok(Delivery { external_ref: Some("C1:18".into()) })))
    }

    fn kind(&self) -> &'static str {
        "slack"
    }
}

/// After a restart a page goes on in the thread of the first one.
#[tokio::test(start_paused = true)]
async fn references_of_earlier_processes_are_used() {
    let destination = Arc::new(Updates(Mutex::default()));
    let notifiers = Notifiers::new([("ops".into(), vec![Arc::clone(&destination) as Arc<dyn Notifier>])]);
    let (sender, mut receipts) = mpsc::channel(8);
    let sink: ReceiptSink = Arc::new(move |receipt: Receipt, _| {
        let sender = sender.clone();
        Box::pin(async move { drop(sender.send(receipt).await) })
    });
    let deliver = Deliver::new(notifiers, Arc::new(PausedClock(Instant::now())), sink, None);
    let named = |n: Notification, name: &str| Notification { external_ref: Some(name.into()), ..n };
    deliver.remember(&[named(page("INC-1/r1/s1", "slack", 1), "C1:17")]);
    for key in ["INC-1/r1/s2", "INC-1/r2/s1"] {
        deliver.dispatch([Arc::new(page(key, "slack", 1))]);
        receipts.recv().await.expect("a receipt");
    }
    deliver.dispatch([Arc::new(page("INC-2/r1/s1", "slack", 2))]);
    receipts.recv().await.expect("a receipt");
    let seen = destination.0.lock().expect("not poisoned").clone();
    let seen: Vec<_> = seen.iter().map(|r| r.as_deref()).collect();
    assert_eq!(seen, [Some("C1:17"), Some("C1:18"), None]);
}
