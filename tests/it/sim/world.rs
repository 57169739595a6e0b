//! What outlives a crash of the simulated server: time, the store's rows, the destinations and all that arrived, the trace.
//! In: a seed. Out: one place where everything is noted and judged.
//! Never: knows more of the server than a person outside could, but for the rows.
//! Start at [`World`].

use super::mirror::Mirror;
use crate::support::dice::Dice;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;
use watchfire::clock::Clock;
use watchfire::engine::Settings;
use watchfire::incidents::words;
use watchfire::model::{
    Destination, Fingerprint, IncidentId, Notification, NotificationKey, NotificationKind, NotificationState,
    Timestamp, Write,
};
use watchfire::notify::Attempt;

/// Monday, 2026-01-05, noon.
const BEGIN_MS: i64 = 1_767_614_400_000;
/// A message may be on its way to the wire when it is taken back.
const ON_THE_WIRE_MS: u64 = 1_000;

/// A destination as people know it: receiver, kind, number within the kind.
pub type Dest = Destination;

/// How a destination behaves for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    Well,
    Slow,
    /// Half of it arrives and is not answered well.
    Failing,
    /// Nothing arrives; `Retry-After` of a minute.
    Busy,
    Refusing,
    Dead,
    Hanging,
}

/// What a message is about: an incident's or a group's first message is changed by later ones.
fn thread(n: &Notification) -> String {
    match &n.kind {
        NotificationKind::Announcement { group_key, .. } => group_key.to_string(),
        NotificationKind::Page { incident, .. } | NotificationKind::Update { incident } => incident.to_string(),
    }
}

/// The name that a destination gave to the first message of a thread.
struct Named {
    name: Arc<str>,
    key: NotificationKey,
    life: u32,
}

/// One key on its way.
#[derive(Clone, Debug)]
struct Sent {
    life: u32,
    /// The sender was told that it was taken, or may believe so.
    may_count: bool,
}

/// What a destination knows.
#[derive(Default)]
pub struct Ear {
    /// Alerts that it heard fire and not end, by announcements.
    pub fires: BTreeSet<Fingerprint>,
    /// Incidents that paged it, with the messages about their end since.
    pub paged: BTreeMap<IncidentId, BTreeSet<NotificationKey>>,
}

pub struct State {
    pub life: u32,
    pub dice: Dice,
    pub mirror: Mirror,
    pub weather: BTreeMap<Dest, Weather>,
    pub ears: BTreeMap<Dest, Ear>,
    /// What the settings of the running server name.
    pub configured: BTreeSet<Dest>,
    pub trace: Vec<String>,
    pub broken: Vec<String>,
    sent: BTreeMap<NotificationKey, Sent>,
    named: BTreeMap<(Dest, String), Named>,
    /// Rows that were pending when this life began.
    in_doubt: BTreeSet<NotificationKey>,
    /// Incidents whose acknowledgement, snooze or end was answered, and when.
    pub quiet: BTreeMap<IncidentId, u64>,
    /// Since when nothing out of the ordinary happened: no start, no stall of the store, no reload, no jump.
    pub calm_since_ms: u64,
    /// The store is in the middle of a commit.
    pub committing: bool,
    /// When it was asked for first.
    asked_ms: u64,
    /// The last commit took effect and was answered with an error.
    pub repeating: bool,
    pub arrivals: u64,
}

impl State {
    /// Ends of what a destination heard, while it is not configured, are not owed to it any more.
    pub fn forget_absent(&mut self) {
        let Self { ears, configured, mirror, .. } = self;
        for (_, ear) in ears.iter_mut().filter(|(dest, _)| !configured.contains(dest)) {
            ear.fires.retain(|alert| mirror.alerts.get(alert).is_some_and(|firing| *firing));
            ear.paged.retain(|id, _| mirror.incidents.get(id).is_some_and(|incident| incident.is_open()));
        }
    }
}

pub struct World {
    state: Mutex<State>,
    time: Mutex<Time>,
    pub crash: tokio::sync::Notify,
}

/// Two clocks: one that never jumps, from the beginning of the seed, and the wall's, which people set.
struct Time {
    before_ms: u64,
    life_began: Option<Instant>,
    wall_ahead_ms: i64,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let state = State {
            life: 0,
            dice: Dice(seed ^ 0x5eed),
            mirror: Mirror::default(),
            weather: BTreeMap::new(),
            ears: BTreeMap::new(),
            configured: BTreeSet::new(),
            trace: Vec::new(),
            broken: Vec::new(),
            sent: BTreeMap::new(),
            named: BTreeMap::new(),
            in_doubt: BTreeSet::new(),
            quiet: BTreeMap::new(),
            calm_since_ms: 0,
            committing: false,
            asked_ms: 0,
            repeating: false,
            arrivals: 0,
        };
        let time = Time { before_ms: 0, life_began: None, wall_ahead_ms: BEGIN_MS };
        Self { state: Mutex::new(state), time: Mutex::new(time), crash: tokio::sync::Notify::new() }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Milliseconds since the beginning of the seed; never jumps.
    pub fn truth_ms(&self) -> u64 {
        let time = self.time.lock().unwrap();
        time.before_ms + time.life_began.map_or(0, |began| began.elapsed().as_millis() as u64)
    }

    /// A life begins; called within its runtime.
    pub fn begin_life(&self) {
        self.time.lock().unwrap().life_began = Some(Instant::now());
        let now = self.truth_ms();
        let mut state = self.state();
        state.life += 1;
        state.in_doubt = state.mirror.pending();
        state.calm_since_ms = now;
        (state.committing, state.repeating) = (false, false);
    }

    /// It is over, and nobody runs for so long; called within its runtime.
    pub fn end_life(&self, down: Duration) {
        let now = self.truth_ms();
        let mut time = self.time.lock().unwrap();
        (time.before_ms, time.life_began) = (now + down.as_millis() as u64, None);
    }

    /// Somebody sets the wall clock.
    pub fn jump(&self, by_ms: i64) {
        self.time.lock().unwrap().wall_ahead_ms += by_ms;
        self.disturbed();
    }

    pub fn disturbed(&self) {
        let now = self.truth_ms();
        self.state().calm_since_ms = now;
    }

    /// The store is asked for a commit; after an error the same one is asked for again.
    pub fn commit_begins(&self) {
        let now = self.truth_ms();
        let mut state = self.state();
        if !std::mem::replace(&mut state.committing, true) {
            state.asked_ms = now;
        }
    }

    pub fn asked_ms(&self) -> u64 {
        self.state().asked_ms
    }

    pub fn note(&self, text: impl FnOnce() -> String) {
        let (life, now) = (self.state().life, self.truth_ms());
        let line = format!("{life} {}.{:03} {}", now / 1000, now % 1000, text());
        self.state().trace.push(line);
    }

    /// With `WATCHFIRE_TRACES` the trace has what the engine wrote, too.
    pub fn tell(&self, writes: &[Write]) {
        if std::env::var_os("WATCHFIRE_TRACES").is_none() {
            return;
        }
        for write in writes {
            match write {
                Write::Timeline(line) => {
                    self.note(|| format!("  {}: {} ({})", line.incident, words::text(line), words::reason(line)));
                }
                Write::Incident(i) => {
                    let runs: Vec<_> =
                        i.escalation.runs.iter().map(|r| (&r.policy, r.run, r.round, r.step, &r.state)).collect();
                    self.note(|| format!("  {} {}/{} {:?} {runs:?}", i.id, i.firing_count, i.alert_count, i.status()));
                }
                Write::Nflog(entry) => {
                    let (key, at, expires_at) = (&entry.key, entry.at, entry.expires_at);
                    self.note(|| {
                        format!(
                            "  log {key:?} {:?}/{:?}, owed {:?}, at {at}, until {expires_at}",
                            entry.firing, entry.resolved, entry.owed
                        )
                    });
                }
                Write::NflogDropped(key) => self.note(|| format!("  log {key:?} dropped")),
                Write::NotificationState { key, state, error, .. } => {
                    self.note(|| format!("  {key} is {state:?} {error:?}"));
                }
                Write::Member(member) => {
                    let (left, detached) = (member.left_at, member.detached);
                    self.note(|| {
                        format!("  {} has {}, left {left:?}, {detached}", member.incident, member.fingerprint)
                    });
                }
                Write::Alert(a) => {
                    self.note(|| format!("  {} since {}, ended {:?}", a.fingerprint, a.starts_at, a.ended_at));
                }
                _ => {}
            }
        }
    }

    /// A promise is broken: said once, however often it is looked at.
    pub fn breach(&self, text: String) {
        if self.state().broken.contains(&text) {
            return;
        }
        self.note(|| format!("BROKEN {text}"));
        self.state().broken.push(text);
    }

    pub fn breaches(&self, all: Vec<String>) {
        for text in all {
            self.breach(text);
        }
    }

    /// A destination that is not configured cannot be told what ends now; its server says so in its log.
    pub fn cannot_be_told(&self, settings: &Settings) {
        let mut state = self.state();
        let all = settings.receivers.iter().flat_map(|r| r.integrations.iter().map(|i| (r.name.clone(), i.id.clone())));
        state.configured = all.collect();
        state.forget_absent();
    }

    /// Everything stops at the next chance, wherever it is.
    pub fn crash_soon(&self) {
        self.crash.notify_one();
    }

    /// A destination got a message whole; what that may mean is judged here.
    pub fn arrived(&self, dest: &Dest, n: &Notification, attempt: &Attempt) {
        let now = self.truth_ms();
        self.note(|| match &n.kind {
            NotificationKind::Announcement { firing, resolved, .. } => {
                format!("arrived {} at {dest:?}: firing {firing:?}, resolved {resolved:?}", n.key)
            }
            _ => format!("arrived {} at {dest:?}", n.key),
        });
        let mut broken = Vec::new();
        {
            let mut state = self.state();
            state.arrivals += 1;
            let life = state.life;
            if !state.mirror.states.contains_key(&n.key) {
                broken.push(format!("WF-13: {} is sent before its commit", n.key));
            }
            match state.sent.get(&n.key) {
                Some(before) if before.life == life && before.may_count => {
                    broken.push(format!("WF-14: {} arrives twice in one life", n.key));
                }
                Some(before) if before.life < life && before.may_count && !state.in_doubt.contains(&n.key) => {
                    broken.push(format!("WF-14: {} arrives again although its receipt was committed", n.key));
                }
                _ => {}
            }
            state.sent.insert(n.key.clone(), Sent { life, may_count: true });
            if let Some(first) = state.named.get(&(dest.clone(), thread(n))) {
                let recorded = state.mirror.states.get(&first.key) == Some(&NotificationState::Sent);
                if (first.life == life || recorded) && attempt.previous_ref.as_ref() != Some(&first.name) {
                    let (name, given) = (&first.name, &attempt.previous_ref);
                    broken.push(format!("WF-25: {} comes without the name {name} of its thread, but {given:?}", n.key));
                }
            }
            if let (NotificationKind::Page { incident, .. }, false) = (&n.kind, n.key.is_resend()) {
                let quiet = state.quiet.get(incident).copied();
                if let Some(at) = quiet.filter(|at| now > at + ON_THE_WIRE_MS) {
                    broken.push(format!("WF-15: {} arrives {} ms after an answer made it quiet", n.key, now - at));
                }
            }
        }
        self.breaches(broken);
    }

    /// The destination answered with a name for the message.
    pub fn named(&self, dest: &Dest, n: &Notification, name: &Arc<str>) {
        let mut state = self.state();
        let (life, place) = (state.life, (dest.clone(), thread(n)));
        if matches!(n.kind, NotificationKind::Announcement { .. }) && !n.message.firing {
            // A group that fires again gets a message of its own.
            state.named.remove(&place);
        } else {
            state.named.entry(place).or_insert(Named { name: name.clone(), key: n.key.clone(), life });
        }
    }

    /// The destination answered that it did not take the message.
    pub fn refused(&self, key: &NotificationKey) {
        if let Some(sent) = self.state().sent.get_mut(key) {
            sent.may_count = false;
        }
    }

    /// The destination refused the message and whatever it says: of these alerts nothing is owed to it (docs/promises.md, WF-22).
    pub fn refused_for_good(&self, dest: &Dest, n: &Notification) {
        if let (Some(ear), NotificationKind::Announcement { .. }) = (self.state().ears.get_mut(dest), &n.kind) {
            ear.fires.retain(|fire| !n.message.alerts.iter().any(|alert| alert.fingerprint == *fire));
        }
    }

    /// Its row is superseded: the server sends it no more.
    pub fn is_taken_back(&self, key: &NotificationKey) -> bool {
        self.state().mirror.states.get(key) == Some(&NotificationState::Superseded)
    }

    /// The destination answered that it has it: from now on it knows.
    pub fn taken(&self, dest: &Dest, n: &Notification) {
        // What people send again tells nobody anything that was not told before.
        if n.key.is_resend() {
            return;
        }
        let mut state = self.state();
        let ear = state.ears.entry(dest.clone()).or_default();
        match &n.kind {
            NotificationKind::Announcement { firing, .. } => {
                for alert in &n.message.alerts {
                    if firing.contains(&alert.fingerprint) {
                        ear.fires.insert(alert.fingerprint);
                    } else {
                        ear.fires.remove(&alert.fingerprint);
                    }
                }
            }
            NotificationKind::Page { incident, .. } => drop(ear.paged.insert(*incident, BTreeSet::new())),
            NotificationKind::Update { incident } => {
                let ends = n.key.0.contains("/resolved/");
                let Some(told) = ear.paged.get_mut(incident).filter(|_| ends) else { return };
                told.insert(n.key.clone());
            }
        }
    }
}

/// The clocks of the simulated server.
pub struct WallClock(pub Arc<World>);

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        let truth = self.0.truth_ms() as i64;
        Timestamp::from_millis(self.0.time.lock().unwrap().wall_ahead_ms + truth)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.truth_ms())
    }
}
