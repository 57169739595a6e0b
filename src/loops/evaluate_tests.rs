//! The promises of the evaluate loop, with a sink that refuses when a test says so and a clock that stands still.
//! In: samples, arrivals, moments. Out: what the sink was offered, in order.
//! Never: waits for time to pass: tokio's own stands still, and jumps when everybody sleeps.
//! Start at [`Scene`].

use super::evaluate::{EvaluateLoop, RuleEngine, RuleSink, Taken};
use crate::clock::{Clock, ManualClock};
use crate::model::{Labels, SampleValue, Timestamp};
use crate::rules::{Evaluation, RuleFile, RuleSet, RuleSetConfig, file};
use crate::series::Head;
use parking_lot::Mutex;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Keeps what it was offered, taken or not.
#[derive(Default)]
struct Sink {
    offered: Mutex<Vec<String>>,
    refusals: AtomicUsize,
    /// Offers of which all alerts that start have no room.
    full: AtomicUsize,
    bell: Notify,
}

impl RuleSink for Sink {
    fn submit<'a>(&'a self, found: &'a Evaluation) -> Pin<Box<dyn Future<Output = Taken> + Send + 'a>> {
        let sign = |a: &crate::model::Alert| if a.ends_at.is_none() { '+' } else { '-' };
        let told = found.alerts.iter().map(|a| format!("{}{}", sign(a), a.labels.alert_name()));
        self.offered.lock().push(told.collect::<Vec<_>>().join(" "));
        self.bell.notify_one();
        let one_less = |n: usize| n.checked_sub(1);
        let refused = self.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok();
        let full = self.full.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok();
        let labels = || found.alerts.iter().map(|a| a.labels.clone()).collect();
        Box::pin(std::future::ready(match () {
            () if refused => Taken::Nothing,
            () if full => Taken::AllBut(labels()),
            () => Taken::All,
        }))
    }
}

struct Scene {
    engine: Arc<RuleEngine>,
    sink: Arc<Sink>,
    clock: Arc<ManualClock>,
    stop: CancellationToken,
    turns: Arc<AtomicUsize>,
    running: Option<JoinHandle<()>>,
}

const START: Timestamp = Timestamp::from_millis(1_000_000_000);

fn rules(text: &str) -> RuleFile {
    file::parse(&format!("groups:\n- name: g\n  interval: 10s\n  rules:\n{text}"), "f.yml").unwrap()
}

impl Scene {
    fn new(text: &str) -> Self {
        let head = Arc::new(Head::default());
        let set = RuleSet::new(RuleSetConfig::default(), &[rules(text)], &head, START);
        let clock = Arc::new(ManualClock::at(START));
        let engine = Arc::new(RuleEngine::new(set, head));
        let (stop, turns) = (CancellationToken::new(), Arc::default());
        Self { engine, sink: Arc::default(), clock, stop, turns, running: None }
    }

    fn start(&mut self) {
        let turns = self.turns.clone();
        let looped = EvaluateLoop {
            engine: self.engine.clone(),
            sink: self.sink.clone(),
            clock: self.clock.clone(),
            stop: self.stop.clone(),
            observe: Arc::new(move |_, _| {
                turns.fetch_add(1, Ordering::SeqCst);
            }),
        };
        self.running = Some(tokio::spawn(looped.run()));
    }

    fn sample(&self, v: f64) {
        let labels = Labels::from_pairs([("__name__", "up")]);
        self.engine.head.append(&labels, self.clock.now(), SampleValue::Float(v)).unwrap();
        self.engine.arrivals.notify_one();
    }

    /// Waits until the sink was offered so much in all.
    async fn offered(&self, count: usize) -> Vec<String> {
        while self.sink.offered.lock().len() < count {
            self.sink.bell.notified().await;
        }
        self.sink.offered.lock().clone()
    }

    async fn stopped(mut self) {
        self.stop.cancel();
        self.running.take().unwrap().await.unwrap();
    }
}

const DOWN: &str = "  - {alert: D, expr: up == 0}\n";

#[tokio::test(start_paused = true)]
async fn an_arrival_is_handed_on_before_its_slot() {
    let mut scene = Scene::new(DOWN);
    scene.start();
    let slot = scene.engine.rules.lock().next_due().unwrap();
    assert!(slot > START);
    scene.sample(0.0);
    assert_eq!(scene.offered(1).await, ["+D"]);
    assert!(scene.clock.now() < slot);
    // The picture follows.
    while scene.engine.view.load().alerts().count() == 0 {
        scene.clock.set(scene.clock.now() + Duration::from_millis(200));
        tokio::time::advance(Duration::from_millis(200)).await;
    }
    scene.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn a_slot_ends_what_an_arrival_does_not() {
    let mut scene = Scene::new(DOWN);
    scene.start();
    scene.sample(0.0);
    scene.offered(1).await;
    scene.clock.set(START + Duration::from_secs(1));
    scene.sample(1.0);
    let before = scene.turns.load(Ordering::SeqCst);
    while scene.turns.load(Ordering::SeqCst) == before {
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    assert_eq!(scene.sink.offered.lock().len(), 1, "the arrival said nothing");
    // A clock that was set forward is noticed without a bell.
    scene.clock.set(START + Duration::from_secs(60));
    assert_eq!(scene.offered(2).await, ["+D", "-D"]);
    scene.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_is_offered_again_before_anything_new() {
    let mut scene = Scene::new(DOWN);
    scene.sink.refusals.store(3, Ordering::SeqCst);
    scene.sample(0.0);
    scene.start();
    scene.offered(1).await;
    scene.clock.set(START + Duration::from_secs(30));
    scene.sample(1.0);
    scene.clock.set(START + Duration::from_secs(60));
    assert_eq!(scene.offered(5).await, ["+D", "+D", "+D", "+D", "-D"]);
    scene.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_reload_found_goes_first() {
    let mut scene = Scene::new(DOWN);
    scene.sample(0.0);
    scene.start();
    scene.offered(1).await;
    let files = [rules("  - {alert: E, expr: up == 0}\n")];
    scene.clock.set(START + Duration::from_secs(60));
    scene.engine.change(|set, head| set.reload(set.config().clone(), &files, head, START + Duration::from_secs(60)));
    assert_eq!(scene.engine.view.load().groups[0].rules[0].name.as_ref(), "E", "the picture is of the new rules");
    let offered = scene.offered(2).await;
    assert!(offered[1].starts_with("-D"), "{offered:?}");
    scene.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn it_stops_while_the_sink_refuses() {
    let mut scene = Scene::new(DOWN);
    scene.sink.refusals.store(usize::MAX, Ordering::SeqCst);
    scene.sample(0.0);
    scene.start();
    scene.offered(3).await;
    scene.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn many_arrivals_are_few_turns() {
    let mut scene = Scene::new(DOWN);
    scene.start();
    for n in 0..100 {
        scene.clock.set(START + Duration::from_millis(n));
        scene.sample(1.0);
        tokio::task::yield_now().await;
    }
    // All came within one moment of tokio's time: one turn at once, and one for the rest.
    tokio::time::advance(Duration::from_millis(10)).await;
    tokio::task::yield_now().await;
    let turns = scene.turns.load(Ordering::SeqCst);
    assert!((1..=3).contains(&turns), "{turns}");
    scene.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn an_alert_without_room_is_offered_again() {
    let mut scene = Scene::new(DOWN);
    scene.sink.full.store(2, Ordering::SeqCst);
    scene.sample(0.0);
    scene.start();
    scene.offered(1).await;
    for round in 1..4 {
        scene.clock.set(START + Duration::from_secs(round * 20));
        tokio::time::advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(scene.offered(3).await, ["+D", "+D", "+D"]);
    scene.stopped().await;
}

/// A reload holds the rules while a sample comes for the new ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_new_rules_find_comes_after_the_reload() {
    let mut scene = Scene::new(DOWN);
    scene.sample(0.0);
    scene.start();
    scene.offered(1).await;
    let text = "groups:\n- name: other\n  interval: 10s\n  rules:\n  - {alert: E, expr: up == 0}\n";
    let (engine, files) = (scene.engine.clone(), [file::parse(text, "f.yml").unwrap()]);
    let (locked, wait) = std::sync::mpsc::channel();
    // Long enough for the loop to be notified and to wait for the lock; no sample is sent.
    let (_end, while_locked) = std::sync::mpsc::channel::<()>();
    let reload = std::thread::spawn(move || {
        engine.change(|set, head| {
            let found = set.reload(set.config().clone(), &files, head, START + Duration::from_millis(1));
            locked.send(()).unwrap();
            assert!(while_locked.recv_timeout(Duration::from_millis(100)).is_err());
            found
        });
    });
    wait.recv().unwrap();
    scene.clock.set(START + Duration::from_millis(2));
    scene.sample(0.0);
    reload.join().unwrap();
    let told = loop {
        let told = scene.sink.offered.lock().join(" ");
        if told.contains("+E") && told.contains("-D") {
            break told;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    assert_eq!(told, "+D -D +E");
    scene.stopped().await;
}
