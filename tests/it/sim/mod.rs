//! The simulator: the real engine, registry, store and loops, a day in simulated time, with every fault that we could think of.
//! In: seeds. Out: nothing, when every promise of docs/promises.md held; else the promise, the seed and the last things that happened.
//! Never: uses real time or a random number that the seed does not give: a seed played twice is the same twice.
//! Start at [`every_seed_keeps_the_promises`], then [`play::play`].

mod actors;
mod mirror;
mod play;
mod promises;
mod server;
mod settings;
mod sinks;
mod store;
mod world;

use play::{Played, play};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// What the usual check plays; `WATCHFIRE_SEEDS` asks for more, `WATCHFIRE_SEED` for one.
const SEEDS: u64 = 16;
/// Seeds beside each other.
const THREADS: usize = 2;
/// Lines of a trace that a failure shows; all of them go to the folder `WATCHFIRE_TRACES`.
const SHOWN: usize = 40;
/// Failing seeds that are shown whole.
const SEEDS_SHOWN: usize = 2;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Played twice; the traces must be equal, or nothing that is found could be found again.
fn twice(seed: u64) -> Played {
    let (mut first, second) = (play(seed), play(seed));
    if let Some(at) = first.trace.iter().zip(&second.trace).position(|(a, b)| a != b) {
        first.broken.push(format!("WF-24: played again it differs:\n  {}\n  {}", first.trace[at], second.trace[at]));
    } else if first != second {
        first.broken.push("WF-24: played again it is longer or shorter".to_owned());
    }
    first
}

fn story(seed: u64, played: &Played) -> String {
    let mut text =
        format!("WATCHFIRE_SEED={seed}: {} promises broken in {} lives\n", played.broken.len(), played.lives);
    for broken in played.broken.iter().take(5) {
        writeln!(text, "  {broken}").unwrap();
    }
    if let Some(folder) = std::env::var_os("WATCHFIRE_TRACES") {
        let file = std::path::Path::new(&folder).join(format!("{seed}.trace"));
        std::fs::write(&file, played.trace.join("\n")).unwrap();
    }
    let first = played.trace.iter().position(|line| line.contains("BROKEN")).unwrap_or(played.trace.len());
    for line in &played.trace[first.saturating_sub(SHOWN)..(first + 1).min(played.trace.len())] {
        writeln!(text, "    {line}").unwrap();
    }
    text
}

/// The promise that a breach names.
fn promise(broken: &str) -> String {
    broken.split(':').next().unwrap_or(broken).to_owned()
}

#[test]
fn every_seed_keeps_the_promises() {
    let seeds = match number("WATCHFIRE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("WATCHFIRE_SEEDS").unwrap_or(SEEDS),
    };
    let (next, started) = (AtomicU64::new(seeds.start), Instant::now());
    let (pages, arrivals, lives) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let failed: Mutex<BTreeMap<u64, Played>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    let played = twice(seed);
                    pages.fetch_add(played.pages as u64, Ordering::Relaxed);
                    arrivals.fetch_add(played.arrivals, Ordering::Relaxed);
                    lives.fetch_add(u64::from(played.lives), Ordering::Relaxed);
                    if !played.broken.is_empty() {
                        failed.lock().unwrap().insert(seed, played);
                    }
                }
            });
        }
    });
    let (count, failed) = (seeds.end - seeds.start, failed.into_inner().unwrap());
    let rate = count as f64 / started.elapsed().as_secs_f64();
    println!(
        "{count} seeds of 30 simulated hours, each twice, {rate:.2} seeds/s: {} lives, {} pages, {} arrivals",
        lives.load(Ordering::Relaxed),
        pages.load(Ordering::Relaxed),
        arrivals.load(Ordering::Relaxed)
    );
    let mut promises: BTreeMap<String, (usize, u64)> = BTreeMap::new();
    for (seed, played) in &failed {
        for broken in &played.broken {
            promises.entry(promise(broken)).or_insert((0, *seed)).0 += 1;
        }
    }
    let stories: Vec<String> = failed.iter().map(|(seed, played)| story(*seed, played)).collect();
    assert!(
        failed.is_empty(),
        "{} of {count} seeds fail; breaches and the first seed: {promises:#?}\n{}",
        failed.len(),
        stories[..stories.len().min(SEEDS_SHOWN)].join("\n")
    );
    // A simulator in which nobody is paged would find nothing.
    assert!(pages.load(Ordering::Relaxed) > count * 50, "too few pages to show anything");
}
