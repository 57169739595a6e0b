//! `kill -9` at random moments, over alerts, commands, silences, reloads, pages in flight and overdue steps.
//! In: how often (`WATCHFIRE_KILLS`) and a seed (`WATCHFIRE_SEED`). Out: nothing acknowledged lost, no key twice but those in doubt,
//! no page limit broken, no page for what is answered; a failure prints the kill, the seed and what happened before.
//! Start at [`killed_at_random_moments`].

mod check;
mod sink;
mod worker;

use super::lives::Lives;
use crate::support::dice::Dice;
use check::Record;
use sink::Sink;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use worker::Worker;

/// For the usual check; `tests/kills` asks for a thousand.
const KILLS: u64 = 120;
/// Servers that are killed beside each other.
const SERVERS: u64 = 3;
const WORKERS: usize = 3;
const POLICIES: u64 = 6;
const PAGES_PER_MINUTE: usize = 6;
/// Lines of a server's story that a failure shows.
const EVENTS_SHOWN: usize = 60;

/// The last things that happened, with their moment.
#[derive(Clone)]
pub struct Events(Arc<Mutex<VecDeque<String>>>, Instant);

impl Events {
    fn add(&self, text: String) {
        let mut events = self.0.lock().unwrap();
        if events.len() == EVENTS_SHOWN {
            events.pop_front();
        }
        events.push_back(format!("{:>9.3} s {text}", self.1.elapsed().as_secs_f64()));
    }

    fn text(&self) -> String {
        self.0.lock().unwrap().make_contiguous().join("\n")
    }
}

/// The configuration, in one of three states between which reloads go.
fn config(sink: u16, state: u64) -> String {
    let mut text =
        String::from("rule_files: []\nroute:\n  receiver: chat\n  group_by: [alertname]\n  group_wait: 0s\n");
    let interval = if state == 1 { "2s" } else { "1s" };
    let last = if state == 2 { "3s" } else { "2s" };
    writeln!(text, "  group_interval: {interval}\n  repeat_interval: 4h\n  routes:").unwrap();
    for n in 0..POLICIES {
        writeln!(text, "    - {{ matchers: [team=\"t{n}\"], escalation_policy: p{n} }}").unwrap();
    }
    if state == 1 {
        writeln!(text, "    - {{ matchers: [team=\"none\"], receiver: spare }}").unwrap();
    }
    text.push_str("receivers:\n");
    let webhook = |path: &str| format!("{{ url: \"http://127.0.0.1:{sink}/{path}\" }}");
    writeln!(text, "  - {{ name: chat, webhook_configs: [{}] }}", webhook("chat")).unwrap();
    writeln!(text, "  - {{ name: spare, webhook_configs: [{}] }}", webhook("spare")).unwrap();
    for n in 0..2 * POLICIES {
        writeln!(text, "  - {{ name: r{n}, webhook_configs: [{}] }}", webhook(&format!("r{n}"))).unwrap();
    }
    text.push_str("escalation_policies:\n");
    for n in 0..POLICIES {
        let (first, second) = (2 * n, 2 * n + 1);
        let steps = format!(
            "{{ after: 0s, notify: [{{ receiver: r{first} }}] }}, {{ after: 1s, notify: [{{ receiver: r{second} }}] }}, \
             {{ after: {last}, notify: [{{ receiver: r{first} }}] }}"
        );
        writeln!(text, "  - {{ name: p{n}, repeat: 3, repeat_after: 2s, steps: [{steps}] }}").unwrap();
    }
    writeln!(text, "paging: {{ max_pages_per_minute: {PAGES_PER_MINUTE} }}").unwrap();
    text.push_str(
        "correlation:\n  rules:\n    - { name: service, match: ['service=~\".+\"'], by: [service], window: 10m }\n",
    );
    text + "storage: { path: ./data }\n"
}

/// Written beside and moved over it: a reload reads one or the other.
fn write_config(dir: &Path, text: &str) {
    std::fs::write(dir.join("next.yml"), text).unwrap();
    std::fs::rename(dir.join("next.yml"), dir.join("watchfire.yml")).unwrap();
}

/// One life: workers work, the configuration changes now and then, and at a random moment it is over.
async fn life(
    lives: &mut Lives,
    workers: Vec<Worker>,
    dice: &mut Dice,
    sink_port: u16,
    events: &Events,
) -> (Vec<Worker>, Instant) {
    let stop = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = workers.into_iter().map(|worker| tokio::spawn(worker.live(stop.clone()))).collect();
    let long = if dice.below(10) == 0 { 2_500 } else { 600 };
    let mut left = 15 + dice.below(long);
    if dice.below(3) == 0 {
        let before = dice.below(left);
        tokio::time::sleep(Duration::from_millis(before)).await;
        left -= before;
        let state = dice.below(3);
        write_config(&lives.dir, &config(sink_port, state));
        events.add(format!("reload, state {state}"));
        lives.hang_up();
    }
    tokio::time::sleep(Duration::from_millis(left)).await;
    lives.kill();
    let killed_at = Instant::now();
    events.add("killed".to_owned());
    stop.store(true, Ordering::Relaxed);
    let mut back = Vec::new();
    for task in tasks {
        back.push(task.await.unwrap());
    }
    (back, killed_at)
}

struct Totals {
    accepted: u64,
    pages: usize,
    distinct: usize,
    repeats: usize,
}

/// One server through all its lives.
async fn lives_of(seed: u64, kills: u64) -> Totals {
    let dir = TempDir::new().unwrap();
    let mut dice = Dice(seed);
    let (sink, sink_port) = Sink::start(dice.next()).await;
    write_config(dir.path(), &config(sink_port, 0));
    let mut lives = Lives::begin(dir.path()).await;
    let events = Events(Arc::default(), Instant::now());
    let mut workers: Vec<Worker> = (0..WORKERS)
        .map(|n| Worker::new(n, Dice(dice.next()), lives.client.clone(), lives.url(""), events.clone()))
        .collect();
    let mut record = Record::default();
    for kill in 1..=kills {
        let (back, killed_at) = life(&mut lives, workers, &mut dice, sink_port, &events).await;
        workers = back;
        let arrivals = sink.take();
        let mut broken = check::dead(dir.path(), &arrivals, killed_at, &mut record, &workers).await;
        if dice.below(4) == 0 {
            let down = dice.below(2_500);
            events.add(format!("down for {down} ms"));
            tokio::time::sleep(Duration::from_millis(down)).await;
        }
        lives.start().await;
        events.add("ready".to_owned());
        broken.extend(check::alive(&lives, &workers).await);
        workers.iter_mut().for_each(Worker::forget_ended);
        if !broken.is_empty() {
            let story = events.text();
            let kept = dir.keep();
            panic!(
                "after kill {kill} of {kills}, WATCHFIRE_SEED={seed}:\n{}\nevents:\n{story}\n{}\nfolder: {}",
                broken.join("\n"),
                lives.log_tail(),
                kept.display()
            );
        }
    }
    let accepted = workers.iter().map(|worker| worker.accepted).sum();
    Totals { accepted, pages: record.pages, distinct: record.distinct, repeats: record.repeats }
}

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().map_or(usual, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments() {
    let (kills, seed, started) = (number("WATCHFIRE_KILLS", KILLS), number("WATCHFIRE_SEED", 1), Instant::now());
    let servers: Vec<_> = (0..SERVERS).map(|n| tokio::spawn(lives_of(seed + n, kills.div_ceil(SERVERS)))).collect();
    let mut all = Totals { accepted: 0, pages: 0, distinct: 0, repeats: 0 };
    for server in servers {
        let one = server.await.unwrap();
        all.accepted += one.accepted;
        all.pages += one.pages;
        all.distinct += one.distinct;
        all.repeats += one.repeats;
    }
    println!(
        "{kills} kills in {:?}: {} requests answered and kept, {} messages arrived ({} pages), {} in doubt sent again",
        started.elapsed(),
        all.accepted,
        all.distinct,
        all.pages,
        all.repeats
    );
    assert!(all.accepted > kills && all.pages as u64 > kills / 4, "too little happened to show anything");
}
