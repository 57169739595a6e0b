//! One seed played: 24 simulated hours of senders, people, weather, reloads, clocks that are set, and crashes.
//! In: a seed. Out: [`Played`]: the trace, and every promise that was broken.
//! Never: uses real time or a random number that the seed does not give.
//! Start at [`play`].

use super::actors;
use super::promises;
use super::server::Server;
use super::settings::settings;
use super::store::Kept;
use super::world::{Weather, World};
use crate::support::dice::Dice;
use crate::world::labels;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Builder;
use watchfire::engine::Settings;
use watchfire::model::{Fingerprint, Labels};

const DAY_MS: u64 = 24 * 3_600_000;
/// After the day: all ends, and everything that is still to be said is said.
const EVENING: Duration = Duration::from_hours(6);
/// One in so many seeds keeps its rows in SQLite.
const SQLITE_EVERY: u64 = 16;
const ALERTS: usize = 24;

/// What a seed knows while it is played.
pub struct Play {
    pub world: Arc<World>,
    pub kept: Kept,
    pub dice: Dice,
    pub mask: u64,
    pub settings: Arc<Settings>,
    pub pool: Vec<Labels>,
    pub pool_by_fingerprint: BTreeMap<Fingerprint, Labels>,
    /// Alerts by what their senders last said.
    pub firing: BTreeSet<usize>,
    /// Alerts that people took out of their incident.
    pub apart: BTreeSet<Fingerprint>,
    pub audible_since: BTreeMap<Fingerprint, u64>,
    pub pages_looked_at: usize,
    pub limit_breaches: BTreeSet<(Arc<str>, u64)>,
    pub silences: u64,
    pub resends: u32,
    /// What `WATCHFIRE_WITHOUT` takes out of the world, to see what a failure is about: `jumps`, `reloads`, `weather`, `people`,
    /// `silences`, `kills`.
    without: String,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Played {
    pub trace: Vec<String>,
    pub broken: Vec<String>,
    pub pages: usize,
    pub arrivals: u64,
    pub lives: u32,
}

fn pool(dice: &mut Dice) -> Vec<Labels> {
    let mut all = Vec::new();
    for i in 0..ALERTS {
        let name = dice.pick(&["Down", "Slow", "Full", "Odd", "Late"]);
        let severity = dice.pick(&["critical", "warning", "info"]);
        let cluster = dice.pick(&["cluster=eu", "cluster=us", ""]);
        let service = dice.pick(&["service=web", "service=cart", "service=mail", "namespace=shop"]);
        all.push(labels(&format!("alertname={name} severity={severity} instance=i{i} {cluster} {service}")));
    }
    all
}

impl Play {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let pool = pool(&mut dice);
        let by_fingerprint = pool.iter().map(|labels| (Fingerprint::of(labels), labels.clone())).collect();
        let kept = if seed % SQLITE_EVERY == SQLITE_EVERY - 1 { Kept::sqlite() } else { Kept::memory() };
        Self {
            world: Arc::new(World::new(seed)),
            kept,
            dice,
            mask: 0,
            settings: settings(0),
            pool,
            pool_by_fingerprint: by_fingerprint,
            firing: BTreeSet::new(),
            apart: BTreeSet::new(),
            audible_since: BTreeMap::new(),
            pages_looked_at: 0,
            limit_breaches: BTreeSet::new(),
            silences: 0,
            resends: 0,
            without: std::env::var("WATCHFIRE_WITHOUT").unwrap_or_default(),
        }
    }

    pub fn has(&self, what: &str) -> bool {
        !self.without.split(',').any(|word| word == what)
    }

    /// One life, until it crashes or everything has been played. True when it was the last.
    async fn live(&mut self) -> bool {
        self.world.begin_life();
        self.world.cannot_be_told(&self.settings);
        let (server, mut writer) = Server::start(self.kept.open(&self.world), &self.settings, &self.world).await;
        self.world.note(|| "started".to_owned());
        // Who asked in the life before has hung up.
        self.audible_since.clear();
        let world = self.world.clone();
        tokio::select! {
            biased;
            () = world.crash.notified() => false,
            ended = &mut writer => {
                world.note(|| format!("the writer ended: {}", if ended.is_err() { "it broke down" } else { "the store" }));
                // What broke once breaks at every start: the seed is over.
                ended.is_err_and(|broke| {
                    world.breach(format!("the writer panicked: {broke}"));
                    true
                })
            }
            last = self.day(&server) => last,
        }
    }

    /// Until this life's part of the day is over. True when the seed is.
    async fn day(&mut self, server: &Server) -> bool {
        let crash_after = Duration::from_millis(self.dice.below(6 * 3_600_000));
        let until = tokio::time::Instant::now() + crash_after;
        while self.world.truth_ms() < DAY_MS {
            let wait = if self.dice.chance(25) { self.dice.below(40) } else { self.dice.below(240_000) };
            tokio::time::sleep(Duration::from_millis(wait)).await;
            if tokio::time::Instant::now() > until && self.has("kills") {
                self.world.note(|| "killed".to_owned());
                return false;
            }
            actors::act(self, server);
            promises::look(self, server);
            if self.dice.chance(2) {
                promises::twin(self, server).await;
            }
        }
        self.evening(server).await;
        true
    }

    async fn evening(&mut self, server: &Server) {
        self.world.note(|| "evening".to_owned());
        self.world.state().weather.clear();
        actors::everybody_goes_home(self, server);
        let until = tokio::time::Instant::now() + EVENING;
        while tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_mins(5)).await;
            actors::repeat_ends(self, server);
            server.sweep();
            promises::look(self, server);
        }
        promises::finish(self, server);
    }
}

/// Plays a seed.
pub fn play(seed: u64) -> Played {
    let mut play = Play::new(seed);
    loop {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let last = runtime.block_on(async {
            let last = play.live().await;
            // A start takes some time even on a good day.
            let down = 50 + if play.dice.chance(60) { 0 } else { play.dice.below(1_200_000) };
            play.world.end_life(Duration::from_millis(down));
            last
        });
        // The crash: every task is dropped where it is.
        drop(runtime);
        if last || play.world.state().life > 500 {
            break;
        }
    }
    let mut state = play.world.state();
    Played {
        trace: std::mem::take(&mut state.trace),
        broken: std::mem::take(&mut state.broken),
        pages: state.mirror.pages.len(),
        arrivals: state.arrivals,
        lives: state.life,
    }
}

/// The weather of one destination, by the dice.
pub fn weather(dice: &mut Dice) -> Weather {
    *dice.pick(&[
        Weather::Well,
        Weather::Well,
        Weather::Well,
        Weather::Slow,
        Weather::Failing,
        Weather::Busy,
        Weather::Refusing,
        Weather::Dead,
        Weather::Hanging,
    ])
}
