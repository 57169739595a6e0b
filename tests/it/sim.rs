//! The simulator: random alerts, people, silences, broken notifiers, crashes and clock jumps under a clock of its own.
//! In: a seed. Out: nothing, when every promise held; else the promise, the seed and the last things that happened.
//! Never: uses real time or a random number that the seed does not give.
//! Start at [`play`].

use crate::world::{Disk, DoorBook, labels, settings, target};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use watchfire::engine::{Command, CommandKind, Engine, Input, Outcome, Settings, invariants};
use watchfire::model::{
    Fingerprint, IncidentId, IncidentStatus, IntegrationId, Labels, Matcher, Notification, NotificationKind, Receipt,
    ReceiptOutcome, Timestamp, Transition,
};

const SEEDS: u64 = 320;
const ACTIONS: u32 = 90;

/// A small generator (split mix, 64 bits): small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

/// An integration that heard, or is to hear.
type Ear = (IncidentId, Arc<str>, IntegrationId);

/// A message between the outbox and its destination.
#[derive(Clone)]
struct Flight {
    at: Timestamp,
    attempts: u32,
    notification: Arc<Notification>,
    /// Taken back, too late: it is on the wire.
    cancelled: bool,
}

struct Sim {
    dice: Dice,
    settings: Arc<Settings>,
    engine: Engine,
    disk: Disk,
    book: DoorBook,
    now: Timestamp,
    flights: Vec<Flight>,
    pool: Vec<Labels>,
    /// Pages that truly arrived, and those nobody can know of.
    reached: BTreeSet<Ear>,
    maybe: BTreeSet<Ear>,
    told: BTreeMap<Ear, u32>,
    pages: BTreeMap<Arc<str>, Vec<Timestamp>>,
    silences: u32,
    turns: u32,
    log: Vec<String>,
}

fn ear(n: &Notification) -> Option<Ear> {
    Some((n.incident()?, n.receiver.clone(), n.integration.clone()))
}

const CONFIGS: [&[&str]; 4] = [
    &["route group_interval=5m", "inhibit alertname=Down severity=warning equal=cluster"],
    &[
        "route group_interval=2m repeat_interval=1h",
        "receiver first webhook email !send_resolved_pages",
        "policy default repeat=2 repeat_after=2m ack_timeout=30m fallback=ops | 0s first user:ana | 30s second | 90s ops",
        "user ana phone",
        "receiver phone webhook",
    ],
    &[
        "route group_interval=5m",
        "limit 2",
        "rule name alertname=~.+ by=alertname window=10m",
        "policy default repeat=1 repeat_after=1m | 0s first | 20s second first",
    ],
    &["route group_interval=5m policy=none", "child severity=critical policy=default", "no rules", "limit 1"],
];

impl Sim {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let settings = Arc::new(settings(CONFIGS[(seed % 4) as usize]));
        let mut pool = Vec::new();
        for i in 0..16 {
            let name = dice.pick(&["Down", "Slow", "Full", "Odd"]);
            let severity = dice.pick(&["critical", "warning", "info"]);
            let cluster = dice.pick(&["cluster=eu", "cluster=us", ""]);
            let service = dice.pick(&["service=web", "service=cart", "namespace=shop"]);
            pool.push(labels(&format!("alertname={name} severity={severity} instance=i{i} {cluster} {service}")));
        }
        Self {
            dice,
            engine: Engine::new(settings.clone()),
            settings,
            disk: Disk::default(),
            book: DoorBook::default(),
            now: Timestamp::from_millis(1_767_614_400_000),
            flights: Vec::new(),
            pool,
            reached: BTreeSet::new(),
            maybe: BTreeSet::new(),
            told: BTreeMap::new(),
            pages: BTreeMap::new(),
            silences: 0,
            turns: 0,
            log: Vec::new(),
        }
    }

    fn apply(&mut self, input: Input) {
        let outcome = self.engine.apply(self.now, input);
        self.take(&outcome);
    }

    fn take(&mut self, outcome: &Outcome) {
        self.disk.commit(outcome);
        // Debug builds check what a call touched; the whole is checked now and then.
        self.turns += 1;
        if self.turns.is_multiple_of(8)
            && let Err(broken) = invariants::check(&self.engine)
        {
            panic!("{broken}");
        }
        for key in &outcome.cancel {
            if let Some(i) = self.flights.iter().position(|f| f.notification.key == *key) {
                // Some are on the wire and cannot be stopped.
                if self.dice.chance(20) { self.flights[i].cancelled = true } else { drop(self.flights.remove(i)) }
            }
        }
        for notification in &outcome.send {
            self.judge(notification);
            self.launch(notification.clone());
        }
    }

    /// What must be true of every message when it is decided.
    fn judge(&mut self, n: &Notification) {
        let Some(ear) = ear(n) else { return };
        let incident = &self.disk.incidents[&ear.0];
        match n.kind {
            NotificationKind::Page { .. } => {
                assert_eq!(incident.status, IncidentStatus::Triggered, "WF-13: {} is paged", ear.0);
                assert!(incident.snoozed_until.is_none(), "WF-13: {} is snoozed and paged", ear.0);
                assert!(!n.message.alerts.is_empty(), "{} pages without alerts", ear.0);
                // One of the receiver's integrations stands for all.
                let receiver = self.settings.receiver(&n.receiver).expect("a page goes to a receiver");
                if n.integration == receiver.integrations[0].id {
                    self.pages.entry(ear.1).or_default().push(self.now);
                }
            }
            NotificationKind::Update { .. } => {
                assert_eq!(incident.status, IncidentStatus::Resolved, "{} is told an end", ear.0);
                *self.told.entry(ear).or_default() += 1;
            }
            NotificationKind::Announcement { .. } => {}
        }
    }

    fn launch(&mut self, notification: Arc<Notification>) {
        let at = self.now + Duration::from_millis(self.dice.below(3_000));
        self.flights.push(Flight { at, attempts: 0, notification, cancelled: false });
    }

    /// One message reaches its destination, or does not.
    fn land(&mut self, mut flight: Flight) {
        flight.attempts += 1;
        let key = flight.notification.key.clone();
        let n = &flight.notification;
        let page = matches!(n.kind, NotificationKind::Page { .. });
        let error = "no route to host".to_owned();
        let outcome = match self.dice.below(100) {
            0..70 => {
                self.reached.extend(ear(n).filter(|_| page));
                ReceiptOutcome::Delivered { external_ref: None }
            }
            70..90 if !flight.cancelled => {
                self.maybe.extend(ear(n).filter(|_| page));
                let next_at = self.now + Duration::from_millis(1_000 + self.dice.below(200_000));
                self.flights.push(Flight { at: next_at, ..flight.clone() });
                ReceiptOutcome::Retrying { error, next_at }
            }
            _ => ReceiptOutcome::Failed { error },
        };
        self.apply(Input::Receipt(Receipt { key, attempts: flight.attempts, at: self.now, outcome }));
    }

    fn pass(&mut self, until: Timestamp) {
        loop {
            let landing = self.flights.iter().map(|f| f.at).min();
            let due = self.engine.next_due().into_iter().chain(landing).min();
            let Some(at) = due.filter(|at| *at <= until) else { break };
            self.now = self.now.max(at);
            match self.flights.iter().position(|f| f.at <= self.now) {
                Some(i) => {
                    let flight = self.flights.swap_remove(i);
                    self.land(flight);
                }
                None => self.apply(Input::Tick),
            }
        }
        self.now = until;
    }

    fn act(&mut self) {
        let roll = self.dice.below(100);
        let alert = self.dice.below(16) as usize;
        self.log.push(format!("{} {roll} {alert}", self.now));
        match roll {
            0..40 => self.news(true, alert),
            40..65 => self.news(false, alert),
            65..83 => self.command(),
            83..88 => self.silence(),
            88..92 => {
                self.now += Duration::from_secs(self.dice.below(3 * 3600));
                self.apply(Input::Tick);
            }
            92..94 => {
                let outcome = self.engine.reload(self.now, self.settings.clone());
                self.take(&outcome);
            }
            _ => self.crash(),
        }
    }

    fn news(&mut self, firing: bool, first: usize) {
        let count = 1 + self.dice.below(3) as usize;
        let mut news: Vec<Transition> = Vec::new();
        for i in first..first + count {
            let labels = self.pool[i % self.pool.len()].clone();
            if firing {
                news.push(self.book.fire(&labels, self.now));
            } else {
                news.extend(self.book.end(&labels, self.now));
            }
        }
        self.apply(Input::Transitions(news));
    }

    fn command(&mut self) {
        let known: Vec<IncidentId> = self.engine.incidents().map(|i| i.id).collect();
        if known.is_empty() {
            return;
        }
        let id = *self.dice.pick(&known);
        let other = *self.dice.pick(&known);
        let members: Vec<Fingerprint> = self.engine.members(id).iter().map(|m| m.fingerprint).collect();
        let some = members.first().copied().unwrap_or(Fingerprint(0));
        let kind = match self.dice.below(11) {
            0..3 => CommandKind::Acknowledge(id),
            3 => CommandKind::Unacknowledge(id),
            4 => CommandKind::Resolve(id),
            5 => CommandKind::Snooze { incident: id, duration: Duration::from_secs(1 + self.dice.below(1800)) },
            6 => CommandKind::Escalate(id),
            7 => CommandKind::Merge { into: id, from: vec![other] },
            8 => CommandKind::Split { incident: id, alerts: vec![some] },
            9 => CommandKind::Detach { incident: id, alert: some },
            _ => CommandKind::Reassign { incident: id, to: target("second") },
        };
        self.log.push(format!("{kind:?}"));
        self.apply(Input::Command(Command { by: "ana".into(), note: None, kind }));
    }

    fn silence(&mut self) {
        let kind = if self.silences > 0 && self.dice.chance(30) {
            CommandKind::ExpireSilence(format!("s{}", 1 + self.dice.below(self.silences.into())).into())
        } else {
            self.silences += 1;
            let matcher = *self.dice.pick(&["Down", "Slow", "Full"]);
            CommandKind::PutSilence {
                id: None,
                new_id: format!("s{}", self.silences).into(),
                matchers: vec![Matcher::equal("alertname", matcher)],
                starts_at: self.now + Duration::from_secs(self.dice.below(100)),
                ends_at: self.now + Duration::from_secs(200 + self.dice.below(2000)),
                comment: String::new(),
            }
        };
        self.apply(Input::Command(Command { by: "ana".into(), note: None, kind }));
    }

    /// Memory is lost, perhaps with a decision that was not committed; time goes on before we are back.
    fn crash(&mut self) {
        self.same_after_restore();
        if self.dice.chance(50) {
            let mut lost = self.book.clone();
            let labels = self.dice.pick(&self.pool).clone();
            let news = lost.fire(&labels, self.now);
            drop(self.engine.apply(self.now, Input::Transitions(vec![news])));
        }
        if self.dice.chance(50) {
            self.now += Duration::from_secs(self.dice.below(1200));
        }
        let loaded = self.disk.load(self.now);
        let pending: Vec<Arc<Notification>> = loaded.outbox.iter().cloned().map(Arc::new).collect();
        self.maybe.extend(pending.iter().filter_map(|n| ear(n)));
        let (engine, outcome) = Engine::restore(self.settings.clone(), loaded, self.now);
        self.engine = engine;
        self.flights.clear();
        for notification in pending {
            self.launch(notification);
        }
        self.take(&outcome);
    }

    /// A twin restored at this moment shows the same incidents and has nobody to page: nothing was lost, nothing invented.
    fn same_after_restore(&self) {
        let (twin, outcome) = Engine::restore(self.settings.clone(), self.disk.load(self.now), self.now);
        for alert in self.engine.alerts().filter(|a| a.is_firing()) {
            let (was, is) = (self.engine.incident_of(alert.fingerprint), twin.incident_of(alert.fingerprint));
            assert_eq!(
                is,
                was,
                "{} {} has another place after a restore\n{:?}",
                alert.fingerprint,
                alert.labels,
                self.disk.members.values().filter(|m| m.fingerprint == alert.fingerprint).collect::<Vec<_>>()
            );
        }
        for incident in self.engine.incidents() {
            assert_eq!(twin.incident(incident.id), Some(incident), "a restored incident differs");
            assert_eq!(twin.members(incident.id), self.engine.members(incident.id), "restored members differ");
        }
        for n in &outcome.send {
            assert!(n.incident().is_none(), "{} is sent because of a restore", n.key);
        }
    }

    /// All ends; whoever truly heard of a fire heard of its end once, and nobody else did.
    fn finish(&mut self) {
        for _ in 0..3 {
            for i in 0..self.pool.len() {
                self.news(false, i);
            }
            self.pass(self.now + Duration::from_secs(4000));
        }
        for incident in self.disk.incidents.values() {
            assert_eq!(incident.status, IncidentStatus::Resolved, "{} never ends", incident.id);
        }
        for (ear, times) in &self.told {
            assert_eq!(*times, 1, "{ear:?} is told {times} times");
            assert!(self.reached.contains(ear) || self.maybe.contains(ear), "{ear:?} was never paged and is told");
        }
        for ear in &self.reached {
            let wants =
                self.settings.receiver(&ear.1).and_then(|r| r.find(&ear.2)).is_some_and(|i| i.send_resolved_pages);
            assert!(!wants || self.told.contains_key(ear), "{ear:?} was paged and is not told the end");
        }
        if let Some(limit) = self.settings.max_pages_per_minute {
            for (receiver, times) in &self.pages {
                for window in times.windows(limit as usize + 1) {
                    let apart = window[limit as usize].since(window[0]);
                    assert!(apart >= Duration::from_mins(1), "{receiver} got {} pages in {apart:?}", limit + 1);
                }
            }
        }
    }
}

fn play(seed: u64) -> Result<usize, String> {
    let mut sim = Sim::new(seed);
    let went = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        for _ in 0..ACTIONS {
            let wait = if sim.dice.chance(30) { 0 } else { sim.dice.below(240_000) };
            sim.pass(sim.now + Duration::from_millis(wait));
            sim.act();
        }
        sim.finish();
    }));
    went.map(|()| sim.pages.values().map(Vec::len).sum()).map_err(|cause| {
        let text =
            cause.downcast_ref::<String>().cloned().or_else(|| cause.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        let last: Vec<String> = sim.log.iter().rev().take(8).rev().cloned().collect();
        format!("seed {seed}: {}\nlast: {}", text.unwrap_or_default(), last.join("\n      "))
    })
}

#[test]
fn every_seed_keeps_the_promises() {
    let (mut pages, mut broken) = (0, Vec::new());
    for seed in 0..SEEDS {
        match play(seed) {
            Ok(n) => pages += n,
            Err(why) => broken.push(why),
        }
    }
    assert!(
        broken.is_empty(),
        "{} seeds fail\n{}",
        broken.len(),
        broken.into_iter().take(3).collect::<Vec<_>>().join("\n")
    );
    // A simulator in which nobody is paged would find nothing.
    assert!(pages as u64 > SEEDS * 20, "only {pages} pages over all seeds");
}

#[test]
fn the_same_seed_writes_the_same_rows() {
    let rows = |seed| {
        let mut sim = Sim::new(seed);
        for _ in 0..40 {
            sim.pass(sim.now + Duration::from_mins(1));
            sim.act();
        }
        format!("{:?} {:?} {:?}", sim.disk.incidents, sim.disk.timeline, sim.disk.outbox.keys())
    };
    for seed in 0..8 {
        assert_eq!(rows(seed), rows(seed), "seed {seed}");
    }
}
