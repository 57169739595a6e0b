//! Stories: what happens and who is told, in the words of a person; one file each, all through one `run`.
//! In: `tests/data/stories/*.story`. Out: a failure that shows the story as it really went.
//! Never: leaves out a message; everything that is sent must be in the story, in its order.
//! Start at [`run`]; the language is described in `tests/data/stories/README.md`.

mod simulation;

use crate::world::{Disk, DoorBook, labels, settings, target};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use watchfire::engine::{Command, CommandKind, Engine, Input, Outcome, Settings, invariants};
use watchfire::incidents::words;
use watchfire::model::{
    Fingerprint, IncidentId, Labels, Matcher, Notification, NotificationKey, NotificationKind, Receipt, ReceiptOutcome,
    Timestamp,
};

/// A Monday noon; stories count seconds from here.
const START: Timestamp = Timestamp::from_millis(1_767_614_400_000);

/// How a receiver's destination behaves.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Takes,
    /// Does not answer at all: neither delivered nor failed.
    Hangs,
    FailsForNow,
    Refuses,
    /// Known to be away: the message is not tried.
    Away,
}

struct World {
    engine: Engine,
    settings: Arc<Settings>,
    /// The configuration that `reload then` and `crash then` bring.
    then: Arc<Settings>,
    /// Ends that nobody is left to be told, by receiver and group.
    untold: Vec<String>,
    disk: Disk,
    book: DoorBook,
    /// The time that has passed, from [`START`] on.
    now: Timestamp,
    /// How far the wall clock was set beside it.
    set_by_ms: i64,
    moods: BTreeMap<String, Mood>,
    alerts: BTreeMap<String, Labels>,
    /// Sent and not settled.
    open: Vec<Arc<Notification>>,
    /// What was told, as the story should have it.
    told: Vec<String>,
    silences: u32,
}

impl World {
    fn new(lines: &[&str]) -> Self {
        Self::with_next(lines, lines)
    }

    fn with_next(lines: &[&str], then: &[&str]) -> Self {
        let then = Arc::new(settings(then));
        let settings = Arc::new(settings(lines));
        Self {
            engine: Engine::new(settings.clone()),
            settings,
            then,
            untold: Vec::new(),
            disk: Disk::default(),
            book: DoorBook::default(),
            now: START,
            set_by_ms: 0,
            moods: BTreeMap::new(),
            alerts: BTreeMap::new(),
            open: Vec::new(),
            told: Vec::new(),
            silences: 0,
        }
    }

    /// What the wall clock says.
    fn wall(&self) -> Timestamp {
        self.now.shifted(self.set_by_ms)
    }

    /// Somebody sets the wall clock, and the process notices.
    fn jump(&mut self, by_ms: i64) {
        self.set_by_ms += by_ms;
        self.apply(Input::ClockJumped { by_ms });
    }

    fn apply(&mut self, input: Input) -> Outcome {
        let outcome = self.engine.apply(self.wall(), input);
        self.take(&outcome);
        outcome
    }

    fn take(&mut self, outcome: &Outcome) {
        self.disk.commit(outcome);
        self.untold.extend(outcome.untold.iter().map(|key| format!("{} {}", key.receiver, key.group_key)));
        if let Err(broken) = invariants::check(&self.engine) {
            panic!("{broken}");
        }
        self.open.retain(|n| !outcome.cancel.contains(&n.key));
        for notification in &outcome.send {
            self.send(notification.clone());
        }
    }

    /// Delivers as the receiver's mood is, and reports back at the same moment.
    fn send(&mut self, notification: Arc<Notification>) {
        self.told.push(format!("{} {}", self.at(), line(&notification)));
        let mood = self.moods.get(&*notification.receiver).copied().unwrap_or(Mood::Takes);
        let receipt = |outcome| Receipt { key: notification.key.clone(), attempts: 1, at: self.wall(), outcome };
        let error = || "connection refused".to_owned();
        let receipt = match mood {
            Mood::Takes => Some(receipt(ReceiptOutcome::Delivered { external_ref: None })),
            Mood::Hangs => None,
            Mood::FailsForNow => Some(receipt(ReceiptOutcome::Retrying {
                error: error(),
                next_at: self.wall() + Duration::from_secs(1),
            })),
            Mood::Refuses => Some(receipt(ReceiptOutcome::Failed { error: error() })),
            Mood::Away => {
                let until = self.wall() + Duration::from_secs(5);
                let outcome = ReceiptOutcome::Blocked { reason: "the destination is away".to_owned(), until };
                Some(Receipt { attempts: 0, ..receipt(outcome) })
            }
        };
        if matches!(mood, Mood::Hangs | Mood::FailsForNow | Mood::Away) {
            self.open.push(notification);
        }
        if let Some(receipt) = receipt {
            self.apply(Input::Receipt(receipt));
        }
    }

    /// Seconds since the start, without a fraction where there is none.
    fn at(&self) -> String {
        let ms = self.now.since(START).as_millis();
        if ms.is_multiple_of(1000) { format!("{}s", ms / 1000) } else { format!("{}.{:03}s", ms / 1000, ms % 1000) }
    }

    /// Lets time pass up to `until`, stopping at everything that is due on the way.
    fn pass(&mut self, until: Timestamp) {
        let passed = |due: Timestamp, set_by_ms: i64| due.shifted(-set_by_ms);
        while let Some(due) = self.engine.next_due().map(|due| passed(due, self.set_by_ms)).filter(|due| *due < until) {
            self.now = self.now.max(due);
            self.apply(Input::Tick);
        }
        self.now = until;
    }

    fn act(&mut self, words: &[&str]) {
        match *words {
            ["fire", name, ..] => {
                let mut pairs = format!("alertname={name} ");
                for word in &words[2..] {
                    pairs.push_str(word);
                    pairs.push(' ');
                }
                let labels = labels(&pairs);
                let short = words.get(2).and_then(|w| w.split_once('=')).map_or("", |(_, v)| v);
                self.alerts.insert(name.to_owned(), labels.clone());
                self.alerts.insert(format!("{name}/{short}"), labels.clone());
                let news = self.book.fire(&labels, self.wall());
                self.apply(Input::Transitions(vec![news]));
            }
            ["end", ref names @ ..] => {
                let ends = names.iter().filter_map(|name| {
                    let labels = self.alerts.get(*name).unwrap_or_else(|| panic!("{name} never fired"));
                    self.book.end(labels, self.wall())
                });
                let ends = ends.collect();
                self.apply(Input::Transitions(ends));
            }
            ["ack", id, "by", who] => self.command(who, CommandKind::Acknowledge(incident(id))),
            ["unack", id, "by", who] => self.command(who, CommandKind::Unacknowledge(incident(id))),
            ["resolve", id, "by", who] => {
                self.command(who, CommandKind::Resolve { incident: incident(id), hold: None });
            }
            ["resolve", id, "for", hold, "by", who] => {
                self.command(who, CommandKind::Resolve { incident: incident(id), hold: Some(span(hold)) });
            }
            ["reopen", id, "by", who] => self.command(who, CommandKind::Reopen(incident(id))),
            ["clock", by] => self.jump(signed_ms(by)),
            ["escalate", id, "by", who] => self.command(who, CommandKind::Escalate(incident(id))),
            ["snooze", id, "for", time, "by", who] => {
                self.command(who, CommandKind::Snooze { incident: incident(id), duration: span(time) });
            }
            ["reassign", id, "to", to, "by", who] => {
                self.command(who, CommandKind::Reassign { incident: incident(id), to: target(to) });
            }
            ["merge", from, "into", into, "by", who] => {
                self.command(who, CommandKind::Merge { into: incident(into), from: vec![incident(from)] });
            }
            ["split", alert, "from", id, "by", who] => {
                let alerts = vec![self.fingerprint(alert)];
                self.command(who, CommandKind::Split { incident: incident(id), alerts });
            }
            ["detach", alert, "from", id, "by", who] => {
                let alert = self.fingerprint(alert);
                self.command(who, CommandKind::Detach { incident: incident(id), alert });
            }
            ["silence", matcher, "for", time] => {
                self.silences += 1;
                let (name, value) = matcher.split_once('=').expect("name=value");
                let kind = CommandKind::PutSilence {
                    id: None,
                    new_id: format!("s{}", self.silences).into(),
                    matchers: vec![Matcher::equal(name, value)],
                    starts_at: self.wall(),
                    ends_at: self.wall() + span(time),
                    comment: "story".to_owned(),
                };
                self.command("ana", kind);
            }
            ["unsilence", id] => self.command("ana", CommandKind::ExpireSilence(id.into())),
            ["receiver", name, mood] => {
                let mood = match mood {
                    "hangs" => Mood::Hangs,
                    "fails" => Mood::FailsForNow,
                    "refuses" => Mood::Refuses,
                    "away" => Mood::Away,
                    "takes" => Mood::Takes,
                    _ => panic!("no such mood: {mood}"),
                };
                self.moods.insert(name.to_owned(), mood);
            }
            ["delivered", name] => {
                // What hung arrives after all.
                let (there, open) = std::mem::take(&mut self.open).into_iter().partition(|n| &*n.receiver == name);
                self.open = open;
                let there: Vec<Arc<Notification>> = there;
                assert!(!there.is_empty(), "nothing is on its way to {name}");
                for n in there {
                    let outcome = ReceiptOutcome::Delivered { external_ref: None };
                    self.apply(Input::Receipt(Receipt { key: n.key.clone(), attempts: 1, at: self.wall(), outcome }));
                }
            }
            ["crash"] => self.crash(),
            ["crash", "then"] => {
                self.settings = self.then.clone();
                self.crash();
            }
            ["reload", "then"] => {
                self.settings = self.then.clone();
                let outcome = self.engine.reload(self.wall(), self.settings.clone());
                self.take(&outcome);
            }
            // Nobody sees the clock being set: the process is not there.
            ["crash", "with", "clock", by] => {
                self.set_by_ms += signed_ms(by);
                self.crash();
            }
            ["reload", ..] => {
                let outcome = self.engine.reload(self.wall(), self.settings.clone());
                self.take(&outcome);
            }
            _ => panic!("nothing is done by {words:?}"),
        }
    }

    /// Everything in memory is gone; the store's rows and the outbox come back. Pending rows are sent again under their keys.
    fn crash(&mut self) {
        let (engine, outcome, resend) = self.disk.restart(self.settings.clone(), self.wall());
        self.engine = engine;
        self.open.clear();
        for notification in resend {
            self.send(notification);
        }
        self.take(&outcome);
    }

    fn fingerprint(&self, alert: &str) -> Fingerprint {
        Fingerprint::of(self.alerts.get(alert).unwrap_or_else(|| panic!("{alert} never fired")))
    }

    fn command(&mut self, by: &str, kind: CommandKind) {
        let outcome = self.apply(Input::Command(Command { by: by.into(), note: None, kind }));
        if let Some(Err(error)) = outcome.reply {
            self.told.push(format!("{} refused {error}", self.at()));
        }
    }

    /// What a `status INC-1 …` line of a story says.
    fn status(&self, id: &str) -> String {
        let id = incident(id);
        let row = &self.disk.incidents[&id];
        // A resolved incident leaves memory after a while; the store keeps it.
        if let Some(shown) = self.engine.incident(id) {
            assert_eq!(**shown, *row, "store and engine agree");
        }
        format!("{} {} {}/{}", row.status().as_str(), row.severity, row.firing_count, row.alert_count)
    }
}

fn incident(text: &str) -> IncidentId {
    IncidentId::parse(text).unwrap_or_else(|| panic!("{text} is no incident"))
}

fn span(text: &str) -> Duration {
    watchfire::model::duration::parse(text).unwrap_or_else(|| panic!("{text} is no duration"))
}

/// `1h` or `-1h`.
fn signed_ms(text: &str) -> i64 {
    text.strip_prefix('-').map_or_else(|| span(text).as_millis() as i64, |back| -(span(back).as_millis() as i64))
}

/// `page first INC-1 round 1 step 1`, `told first INC-1 resolved`, `announce ops 2 firing 1 resolved`.
fn line(n: &Notification) -> String {
    match (&n.kind, &n.message.incident) {
        (NotificationKind::Page { incident, round, step, .. }, Some(said)) => {
            let held = if said.held_back > 0 { format!(" held_back {}", said.held_back) } else { String::new() };
            assert_eq!((said.round, said.step), (*round, *step));
            let fallback = if n.key.0.contains("/fallback/") { " fallback" } else { "" };
            format!("page {} {incident} round {round} step {step}{fallback}{held}", n.receiver)
        }
        (NotificationKind::Update { incident }, Some(said)) => {
            format!("told {} {incident} {}", n.receiver, said.status.as_str())
        }
        (NotificationKind::Announcement { firing, resolved, .. }, None) => {
            let mut text = format!("announce {}", n.receiver);
            for (list, word) in [(firing, "firing"), (resolved, "resolved")] {
                if !list.is_empty() {
                    let _ = write!(text, " {} {word}", list.len());
                }
            }
            text
        }
        other => panic!("a message of no known shape: {other:?}"),
    }
}

/// A timeline line as a story tests it: kind, text, reason.
fn shown(entry: &watchfire::model::TimelineEntry) -> String {
    format!("{} {} {}", entry.event.kind().as_str(), words::text(entry), words::reason(entry))
}

const TOLD: [&str; 4] = ["page", "told", "announce", "refused"];

/// Plays a story. Lines: `set …` before time begins; `TIME act …`; `TIME page|told|announce|refused …` for what must be told;
/// `TIME status INC-1 is …`; `TIME line INC-1 TEXT` for a timeline line; `#` starts a comment.
fn run(story: &str) -> Result<(), String> {
    let lines: Vec<&str> = story.lines().map(|l| l.split(" #").next().unwrap_or("").trim()).collect();
    let lines: Vec<&str> = lines.into_iter().filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
    let set: Vec<&str> = lines.iter().filter_map(|l| l.strip_prefix("set ")).collect();
    let mut then: Vec<&str> = lines.iter().filter_map(|l| l.strip_prefix("then ")).collect();
    if then.is_empty() {
        then.clone_from(&set);
    }
    let mut world = World::with_next(&set, &then);
    // A story that does not mention announcements is not about them.
    let announced = lines.iter().any(|l| l.split_whitespace().nth(1) == Some("announce"));
    let mut expected = Vec::new();
    for text in lines.iter().filter(|l| !l.starts_with("set ") && !l.starts_with("then ")) {
        let words: Vec<&str> = text.split_whitespace().collect();
        let until = START + span(words[0]);
        match words[1] {
            word if TOLD.contains(&word) => expected.push(words.join(" ")),
            "down" => {
                world.now = until;
            }
            _ if until > world.now => world.pass(until),
            _ => {}
        }
        match &words[1..] {
            [word, ..] if TOLD.contains(word) => {}
            ["untold", rest @ ..] => {
                if world.untold.pop() != Some(rest.join(" ")) {
                    return Err(format!("{text}: others are {:?}", world.untold));
                }
            }
            ["status", id, "is", rest @ ..] => {
                world.apply(Input::Tick);
                let (got, want) = (world.status(id), rest.join(" "));
                if got != want {
                    return Err(format!("{text}: it is {got}"));
                }
            }
            ["line", id, rest @ ..] => {
                world.apply(Input::Tick);
                let (id, want) = (incident(id), rest.join(" "));
                let found = |e: &&watchfire::model::TimelineEntry| e.incident == id && shown(e).contains(&want);
                if !world.disk.timeline.iter().any(|e| found(&e)) {
                    let lines = world.disk.timeline.iter().filter(|e| e.incident == id);
                    let lines: Vec<String> = lines.map(shown).collect();
                    return Err(format!("{text}: the timeline is\n{}", lines.join("\n")));
                }
            }
            ["end", "of", "story"] => {
                world.apply(Input::Tick);
            }
            ["down"] => {}
            act => world.act(act),
        }
    }
    world.told.retain(|t| announced || !t.contains(" announce "));
    if world.told == expected { Ok(()) } else { Err(difference(&expected, &world.told)) }
}

fn difference(expected: &[String], told: &[String]) -> String {
    let mut text = String::from("told (left: the story, right: what happened)\n");
    for i in 0..expected.len().max(told.len()) {
        let side = |list: &[String]| list.get(i).cloned().unwrap_or_default();
        let mark = if side(expected) == side(told) { ' ' } else { '!' };
        let _ = writeln!(text, "{mark} {:48} | {}", side(expected), side(told));
    }
    text
}

#[test]
fn every_story_goes_as_told() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/stories");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the stories are there")
        .map(|f| f.expect("the folder can be read").path())
        .collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "story"));
    files.sort();
    assert!(files.len() >= 15, "there are {} stories", files.len());
    let mut failed = Vec::new();
    for file in files {
        let story = std::fs::read_to_string(&file).expect("the story can be read");
        let went = std::panic::catch_unwind(|| run(&story)).unwrap_or_else(|_| Err("panicked, see above".to_owned()));
        if let Err(why) = went {
            failed.push(format!("{}: {why}", file.file_name().unwrap_or_default().display()));
        }
    }
    assert!(failed.is_empty(), "{} stories go otherwise\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn a_story_that_goes_otherwise_fails() {
    let wrong = "0s fire Down instance=a\n0s page first INC-1 round 1 step 1\n4s page second INC-1 round 1 step 2\n9s end of story";
    let why = run(wrong).expect_err("step 2 is due at 5s");
    assert!(why.contains("5s page second INC-1 round 1 step 2"), "{why}");
    assert!(run("0s fire Down\n0s status INC-1 is resolved").is_err());
    assert!(run("0s fire Down\n0s line INC-1 no such words").is_err());
}

/// The keys that a crash must not change.
#[test]
fn keys_are_stable_and_plain() {
    let mut world = World::new(&[]);
    world.moods.insert("first".to_owned(), Mood::Hangs);
    world.act(&["fire", "Down", "instance=a"]);
    let keys: Vec<NotificationKey> = world.open.iter().map(|n| n.key.clone()).collect();
    assert_eq!(keys.iter().map(|k| &*k.0).collect::<Vec<_>>(), ["INC-1/r1/s1/first/webhook0"]);
    world.crash();
    assert_eq!(world.open.iter().map(|n| n.key.clone()).collect::<Vec<_>>(), keys);
}

impl World {
    /// Many alerts in one batch, as a storm's post brings them.
    fn storm(&mut self, alerts: impl Iterator<Item = String>) -> Outcome {
        let news = alerts.map(|text| self.book.fire(&labels(&text), self.now)).collect();
        let outcome = self.engine.apply(self.now, Input::Transitions(news));
        self.disk.commit(&outcome);
        outcome
    }
}

#[test]
fn critical_incidents_are_paged_first() {
    let mut world = World::new(&["rule each alertname=~.+ by=instance window=10m", "limit 10"]);
    let severity = |i| if i % 10 == 9 { "critical" } else { "warning" };
    let outcome = world.storm((0..40).map(|i| format!("alertname=Down instance=i{i} severity={}", severity(i))));
    let pages = outcome.send.iter().filter_map(|n| n.message.incident.as_ref());
    let paged: Vec<&str> = pages.map(|i| i.severity.as_str()).collect();
    assert_eq!(paged[..4], ["critical"; 4]);
    assert!(paged.len() <= 10 && paged[4..].iter().all(|s| *s == "medium"), "{paged:?}");
    assert_eq!(world.engine.counts(world.now).pages_held_back, 40 - paged.len());
}

#[test]
fn a_storm_stays_bounded() {
    let mut world = World::new(&["no rules", "route group_by=alertname"]);
    let many = |from: usize, to: usize| (from..to).map(|i| format!("alertname=Down instance=i{i} job=node"));
    let first = world.storm(many(0, 1_500));
    let page = first.send.iter().find(|n| n.incident().is_some()).expect("the incident is paged");
    assert_eq!((page.message.alerts.len(), page.message.truncated_alerts), (1_000, 500));
    assert_eq!(page.message.common_labels, labels("alertname=Down job=node"));
    assert!(page.message.alerts.windows(2).all(|w| w[0].labels.value("instance") < w[1].labels.value("instance")));
    let lines = world.disk.timeline.len();
    assert!(lines < 120, "{lines} timeline lines for one incident");
    world.storm(many(1_500, 10_005));
    let open = world.engine.open_incidents();
    let counts: Vec<u32> = open.iter().rev().map(|i| i.alert_count).collect();
    assert_eq!(counts, [10_000, 5], "the ten thousand and first alert opens another incident");
    assert_eq!(open[1].headline(), "Down i0 (+9999)");
    invariants::check(&world.engine).expect("all promises hold");
}

/// What a page says beyond Alertmanager's data.
#[test]
fn a_page_carries_its_incident() {
    let mut world = World::new(&["receiver first webhook", "user ana first", "policy default | 0s user:ana"]);
    world.moods.insert("first".to_owned(), Mood::Hangs);
    world.act(&["fire", "Down", "instance=a", "severity=page"]);
    let said = world.open[0].message.incident.clone().expect("a page names its incident");
    assert_eq!(
        (said.title.as_str(), said.severity.as_str(), said.status.as_str()),
        ("Down a", "critical", "triggered")
    );
    assert_eq!(said.url, "http://127.0.0.1:9095/incidents/INC-1");
    assert_eq!(said.reason, "round 1 step 1 of policy default: the incident opened");
    let why: Vec<String> =
        world.engine.why(IncidentId(1), world.now).expect("it is known").into_iter().map(|l| l.text).collect();
    for part in [
        "rule default",
        "1 of 1 alerts fire",
        "first was paged; not delivered so far",
        "policy default is exhausted at",
    ] {
        assert!(why.iter().any(|line| line.contains(part)), "{part} is not in {why:#?}");
    }
}

/// Where an announcement leads: to the incidents that its alerts are in, the latest first, and to nothing else.
#[test]
fn an_announcement_links_to_its_incidents() {
    let mut world =
        World::new(&["route group_by=alertname group_interval=1m", "rule each alertname=~.+ by=instance window=10m"]);
    world.moods.insert("ops".to_owned(), Mood::Hangs);
    let links = |world: &World| {
        let told = world.open.iter().rev().find(|n| n.incident().is_none()).expect("it is announced");
        told.message.incidents.iter().map(|link| format!("{} {}", link.url, link.title)).collect::<Vec<_>>()
    };
    world.act(&["fire", "Down", "instance=a"]);
    assert_eq!(links(&world), ["http://127.0.0.1:9095/incidents/INC-1 Down a"]);
    world.act(&["fire", "Down", "instance=b"]);
    world.pass(START + Duration::from_secs(61));
    let both = ["http://127.0.0.1:9095/incidents/INC-2 Down b", "http://127.0.0.1:9095/incidents/INC-1 Down a"];
    assert_eq!(links(&world), both);
    world.act(&["delivered", "ops"]);
    // The end leads there too, and a restart keeps it.
    world.act(&["end", "Down/a", "Down/b"]);
    world.pass(START + Duration::from_secs(122));
    assert_eq!(links(&world), both);
    world.crash();
    assert_eq!(links(&world), both);
}

#[test]
fn a_simulation_names_who_when_and_why() {
    let mut world = World::new(&["policy default repeat=1 repeat_after=1m | 0s first | 5s user:nobody"]);
    let plan = world.engine.simulate(&labels("alertname=Down service=web"), START);
    let told: Vec<(u128, u32, usize)> =
        plan.pages.iter().map(|p| (p.at.since(START).as_secs().into(), p.step, p.receivers.len())).collect();
    assert_eq!(told, [(0, 1, 1), (5, 2, 0), (65, 1, 1), (70, 2, 0)]);
    assert!(plan.pages[1].reason.starts_with("not paged: user nobody leads to no receiver"), "{plan:?}");
    assert_eq!((&*plan.announced[0].receiver, plan.incident), ("ops", None));
    world.act(&["fire", "Down", "service=web"]);
    let plan = world.engine.simulate(&labels("alertname=Slow service=web"), START);
    assert_eq!((plan.incident, plan.pages.len()), (Some(IncidentId(1)), 0));
    assert_eq!(world.engine.open_incidents().len(), 1);
    assert_eq!(world.engine.receivers_of(&labels("a=b")), ["ops".into()]);
    assert_eq!(world.engine.groups(START).len(), 1);
}

/// Which alerts share an incident, each named by its labels; the incidents' numbers say nothing.
fn partition(world: &World) -> Vec<Vec<String>> {
    let mut groups: BTreeMap<IncidentId, Vec<String>> = BTreeMap::new();
    for alert in world.engine.alerts().filter(|a| a.is_firing()) {
        if let Some(id) = world.engine.incident_of(alert.fingerprint) {
            groups.entry(id).or_default().push(alert.labels.to_string());
        }
    }
    let mut groups: Vec<Vec<String>> = groups.into_values().collect();
    for group in &mut groups {
        group.sort();
    }
    groups.sort();
    groups
}

/// Alerts of one second make the same incidents in whatever order they come, in one post or in many, new ones and those that
/// were there before.
#[test]
fn the_order_within_a_second_changes_nothing() {
    let names =
        ["A service=web", "B service=web", "C service=cart", "D namespace=shop", "E namespace=shop", "F cluster=x"];
    let before = ["A service=web", "D namespace=shop", "F cluster=x"];
    let labels_of = |text: &str| labels(&format!("alertname={text}"));
    let mut dice = crate::support::dice::Dice(7);
    let mut seen: Vec<Vec<Vec<String>>> = Vec::new();
    for round in 0..40 {
        let mut world = World::new(&[]);
        // The old ones open incidents that others keep open; then they end, and long after that all fire at once.
        for text in before {
            let fired = [text, &format!("Stays {}", text.split_once(' ').unwrap().1)]
                .map(|text| world.book.fire(&labels_of(text), world.wall()));
            world.apply(Input::Transitions(fired.into()));
        }
        world.pass(START + Duration::from_secs(30));
        let ended = before.map(|text| world.book.end(&labels_of(text), world.wall()).expect("it fires"));
        world.apply(Input::Transitions(ended.into()));
        world.pass(START + Duration::from_secs(if round % 2 == 0 { 60 } else { 3_000 }));
        let mut order = names.to_vec();
        for i in (1..order.len()).rev() {
            order.swap(i, dice.below(i as u64 + 1) as usize);
        }
        let fired: Vec<_> = order.iter().map(|text| world.book.fire(&labels_of(text), world.wall())).collect();
        if dice.chance(50) {
            world.apply(Input::Transitions(fired));
        } else {
            for transition in fired {
                world.pass(world.now + Duration::from_millis(100));
                world.apply(Input::Transitions(vec![transition]));
            }
        }
        let found = partition(&world);
        match seen.get(round % 2) {
            Some(first) => assert_eq!(*first, found, "{order:?}"),
            None => seen.push(found),
        }
    }
    assert_ne!(seen[0], seen[1], "what comes back late finds another place");
}

/// Two requests see an alert in one order and come to the engine in the other: what was seen later stands, and pages nobody.
#[test]
fn a_transition_that_was_overtaken_is_left_out() {
    let mut world = World::new(&[]);
    let down = labels("alertname=Down");
    let started = world.book.fire(&down, world.wall());
    world.book.end(&down, world.wall()).expect("it fires");
    let again = world.book.fire(&down, world.wall());
    let over = world.book.end(&down, world.wall()).expect("it fires");
    world.apply(Input::Transitions(vec![started, over]));
    let before = partition(&world);
    world.apply(Input::Transitions(vec![again]));
    assert_eq!(partition(&world), before);
    assert!(world.engine.open_incidents().is_empty(), "it has ended");
}

/// A mute is asked for when a group would speak and when a step would be taken, not when the alert starts.
#[test]
fn a_simulation_asks_for_mutes_at_their_moments() {
    let mut world = World::new(&[
        "route group_wait=5m",
        "schedule primary UTC 12:01:00 2026-01-01 ana bob",
        "user ana first",
        "user bob second",
        "policy default repeat=0 | 0s schedule:primary first | 2m schedule:primary",
    ]);
    world.act(&["silence", "service=web", "for", "3m"]);
    let alert = labels("alertname=Down service=web");
    let plan = world.engine.simulate(&alert, START);
    assert_eq!(plan.announced[0].muted, None, "in five minutes the silence is over");
    let pages: Vec<(u64, String, String)> = plan
        .pages
        .iter()
        .map(|p| (p.at.since(START).as_secs(), p.person.as_deref().unwrap_or("-").to_owned(), p.receivers.join(",")))
        .collect();
    let named = |at, person: &str, receivers: &str| (at, person.to_owned(), receivers.to_owned());
    // One row a contact: whoever is on call is paged once though the step names the receiver too.
    assert_eq!(pages[0], named(180, pages[0].1.as_str(), pages[0].2.as_str()));
    assert_eq!(pages.iter().filter(|(at, _, to)| *at == 180 && to == "first").count(), 1, "{pages:?}");
    assert_eq!(pages.last().map(|(at, ..)| *at), Some(300), "{pages:?}");
    assert!(plan.reason.contains("pages nobody at first: silenced by s1"), "{}", plan.reason);
    // The same in earnest.
    world.act(&["fire", "Down", "service=web"]);
    world.pass(START + Duration::from_secs(301));
    let paged: Vec<&String> = world.told.iter().filter(|line| line.contains(" page ")).collect();
    assert_eq!(paged.len(), pages.len(), "{paged:?} and {pages:?}");
    assert!(paged[0].starts_with("180s page"), "{paged:?}");
    let long = World::new(&["policy default repeat=1000 repeat_after=1m | 0s first | 5s second"]);
    let plan = long.engine.simulate(&alert, START);
    assert_eq!((plan.pages.len(), plan.truncated), (1_000, true));
}
