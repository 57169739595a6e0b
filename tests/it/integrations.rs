//! Who was told stays known whatever stands beside it: an integration is its kind and its index within the kind.
//! In: settings that change under a running group, rows of version 0.1. Out: who is told again.
//! Never: looks inside the engine.
//! Start at [`a_webhook_above_it_does_not_tell_slack_again`].

use crate::world::{Disk, DoorBook, labels, settings};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use watchfire::alerts::RegistryConfig;
use watchfire::engine::{Command, CommandKind, Engine, Input, Outcome, Reply, Restart};
use watchfire::model::{
    IntegrationId, NflogKey, Notification, NotificationKey, NotificationKind, NotificationState, Receipt,
    ReceiptOutcome, Timestamp, Write,
};

const START: Timestamp = Timestamp::from_millis(1_767_614_400_000);
const BEFORE: &[&str] = &["route policy=none", "receiver ops slack"];
const AFTER: &[&str] = &["route policy=none", "receiver ops webhook slack"];

/// An engine, its rows, and everything it told.
struct Scene {
    engine: Engine,
    disk: Disk,
    now: Timestamp,
    told: Vec<String>,
}

impl Scene {
    /// Slack has been told of one alert.
    fn announced() -> Self {
        let engine = Engine::new(Arc::new(settings(BEFORE)));
        let mut scene = Self { engine, disk: Disk::default(), now: START, told: Vec::new() };
        let fired = DoorBook::default().fire(&labels("alertname=Down instance=a"), START);
        let outcome = scene.engine.apply(START, Input::Transitions(vec![fired]));
        scene.take(&outcome);
        scene.pass(5);
        assert_eq!(scene.told, ["0s slack/0"]);
        scene.told.clear();
        scene
    }

    /// Every message is delivered at once.
    fn take(&mut self, outcome: &Outcome) {
        self.disk.commit(outcome);
        for notification in &outcome.send {
            self.told.push(format!("{}s {}", self.now.since(START).as_secs(), notification.integration));
            let delivered = ReceiptOutcome::Delivered { external_ref: None };
            let receipt = Receipt { key: notification.key.clone(), attempts: 1, at: self.now, outcome: delivered };
            let outcome = self.engine.apply(self.now, Input::Receipt(receipt));
            self.take(&outcome);
        }
    }

    fn pass(&mut self, secs: u64) {
        let until = START + Duration::from_secs(secs);
        while let Some(due) = self.engine.next_due().filter(|due| *due < until) {
            self.now = self.now.max(due);
            let outcome = self.engine.apply(self.now, Input::Tick);
            self.take(&outcome);
        }
        self.now = until;
    }

    fn reload(&mut self, lines: &[&str]) {
        let outcome = self.engine.reload(self.now, Arc::new(settings(lines)));
        self.take(&outcome);
    }

    fn restart(&mut self, lines: &[&str]) {
        let (engine, outcome, _) = self.disk.restart(Arc::new(settings(lines)), self.now);
        self.engine = engine;
        self.take(&outcome);
    }
}

#[test]
fn a_webhook_above_it_does_not_tell_slack_again() {
    for change in [Scene::reload, Scene::restart] {
        let mut scene = Scene::announced();
        change(&mut scene, AFTER);
        scene.pass(600);
        assert_eq!(scene.told.len(), 1, "{:?}", scene.told);
        assert!(["5s webhook/0", "6s webhook/0"].contains(&scene.told[0].as_str()), "at once: {:?}", scene.told);
    }
}

#[test]
fn a_webhook_taken_away_above_it_does_not_tell_slack_again() {
    let mut scene = Scene::announced();
    scene.reload(AFTER);
    scene.pass(60);
    scene.told.clear();
    scene.restart(BEFORE);
    scene.pass(600);
    assert_eq!(scene.told, Vec::<String>::new());
}

/// What version 0.1 stored: positions over all kinds.
fn as_version_0_1(disk: &mut Disk) {
    let position = IntegrationId::from_position("", 0);
    let entries: Vec<_> = std::mem::take(&mut disk.nflog).into_values().collect();
    for mut entry in entries {
        entry.key.integration = position.clone();
        disk.nflog.insert(entry.key.clone(), entry);
    }
    for incident in disk.incidents.values_mut() {
        let heard = std::mem::take(&mut incident.escalation.delivered_to);
        incident.escalation.delivered_to =
            heard.into_iter().map(|(receiver, _)| (receiver, position.clone())).collect();
    }
}

#[test]
fn rows_of_version_0_1_are_looked_up_once() {
    let mut scene = Scene::announced();
    as_version_0_1(&mut scene.disk);
    scene.restart(BEFORE);
    let keys: Vec<&NflogKey> = scene.disk.nflog.keys().collect();
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0].integration, IntegrationId::new("slack", 0), "the row was written anew");
    scene.restart(AFTER);
    scene.pass(600);
    assert_eq!(scene.told.len(), 1, "{:?}", scene.told);
    assert!(scene.told[0].ends_with("webhook/0"), "{:?}", scene.told);
}

#[test]
fn who_heard_of_a_page_in_version_0_1_hears_of_its_end() {
    let lines: &[&str] = &["receiver first slack", "policy default | 0s first"];
    let mut scene = Scene { engine: Engine::new(Arc::new(settings(lines))), ..Scene::announced() };
    scene.disk = Disk::default();
    let mut book = DoorBook::default();
    let down = labels("alertname=Down instance=a");
    let outcome = scene.engine.apply(scene.now, Input::Transitions(vec![book.fire(&down, scene.now)]));
    scene.take(&outcome);
    as_version_0_1(&mut scene.disk);
    scene.restart(lines);
    scene.restart(&["receiver first webhook slack", "policy default | 0s first"]);
    scene.told.clear();
    let ended = book.end(&down, scene.now).expect("it fires");
    let outcome = scene.engine.apply(scene.now, Input::Transitions(vec![ended]));
    let updates = |n: &&Arc<Notification>| matches!(n.kind, NotificationKind::Update { .. });
    let told: Vec<String> = outcome.send.iter().filter(updates).map(|n| n.integration.to_string()).collect();
    assert_eq!(told, ["slack/0"]);
}

/// A row of the outbox keeps its key, whatever it calls its integration; deliver gets it by the name of today.
#[test]
fn a_pending_row_of_version_0_1_goes_where_it_was_meant_to() {
    let lines: &[&str] = &["receiver first webhook slack", "policy default | 0s first"];
    let mut engine = Engine::new(Arc::new(settings(lines)));
    let mut disk = Disk::default();
    let fired = DoorBook::default().fire(&labels("alertname=Down instance=a"), START);
    disk.commit(&engine.apply(START, Input::Transitions(vec![fired])));
    let mut restored = disk.load();
    restored.outbox.retain(|n| &*n.receiver == "first");
    assert_eq!(restored.outbox.len(), 2);
    for (position, row) in restored.outbox.iter_mut().rev().enumerate() {
        row.key.0 = format!("INC-1/r1/s1/first/{position}").into();
        row.integration = IntegrationId::from_position(row.integration.kind(), position as u32);
    }
    let meant: BTreeSet<String> = restored.outbox.iter().map(|n| n.integration.kind().to_string()).collect();
    assert_eq!(meant.len(), 2);
    let settings = Arc::new(settings(lines));
    let restart = Restart::new(settings, RegistryConfig::default(), restored, START + Duration::from_secs(1));
    let (engine, outcome) = (restart.engine, restart.first);
    let mut pending: Vec<(&str, String)> =
        engine.pending().filter(|n| &*n.receiver == "first").map(|n| (&*n.key.0, n.integration.to_string())).collect();
    pending.sort();
    let at = |index: usize| if pending[index].1.starts_with("webhook") { "webhook/0" } else { "slack/0" };
    assert_eq!((pending[0].0, pending[0].1.as_str()), ("INC-1/r1/s1/first/0", at(0)));
    assert_eq!((pending[1].0, pending[1].1.as_str()), ("INC-1/r1/s1/first/1", at(1)));
    let rewritten = outcome.writes.iter().filter(|w| matches!(w, Write::Notification(n) if &*n.receiver == "first"));
    assert_eq!(rewritten.count(), 2);
}

/// A page that was refused is sent again by hand: who gets it then has heard of the incident, and hears of its end.
#[test]
fn a_page_sent_again_counts_as_heard() {
    let lines: &[&str] = &["receiver first slack", "policy default | 0s first", "route receiver=ops"];
    let mut engine = Engine::new(Arc::new(settings(lines)));
    let mut book = DoorBook::default();
    let down = labels("alertname=Down instance=a");
    let outcome = engine.apply(START, Input::Transitions(vec![book.fire(&down, START)]));
    let page = outcome.send.iter().find(|n| n.incident().is_some()).expect("it is paged").clone();
    let receipt = |key: &NotificationKey, outcome| Receipt { key: key.clone(), attempts: 1, at: START, outcome };
    let resend = |original: &Notification, number| {
        let (original, key) = (Arc::new(original.clone()), original.key.resend(number));
        Input::Command(Command { by: "ana".into(), note: None, kind: CommandKind::Resend { original, key } })
    };
    let refused =
        |outcome: Outcome| outcome.reply.expect("a command is answered").expect_err("it is refused").to_string();
    assert_eq!(refused(engine.apply(START, resend(&page, 1))), format!("{} is still on its way", page.key));

    let failed = ReceiptOutcome::Failed { error: "404".to_owned() };
    engine.apply(START, Input::Receipt(receipt(&page.key, failed)));
    let row = Notification { state: NotificationState::Failed, ..Notification::clone(&page) };
    let outcome = engine.apply(START, resend(&row, 1));
    assert_eq!(outcome.reply, Some(Ok(Reply::Done)));
    let again = outcome.send.first().expect("it goes out").clone();
    assert_eq!(again.key, page.key.resend(1));
    assert!(again.reason().starts_with("sent again by ana; round 1 step 1"), "{}", again.reason());
    let delivered = ReceiptOutcome::Delivered { external_ref: None };
    engine.apply(START, Input::Receipt(receipt(&again.key, delivered)));

    let ended = book.end(&down, START).expect("it fires");
    let outcome = engine.apply(START, Input::Transitions(vec![ended]));
    let told: Vec<&str> = outcome.send.iter().filter(|n| n.incident().is_some()).map(|n| &*n.receiver).collect();
    assert_eq!(told, ["first"]);
    assert_eq!(refused(engine.apply(START, resend(&row, 2))), "INC-1 is over; its page is not sent again");
}
