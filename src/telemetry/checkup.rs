//! Checkup: from plain figures to the health of the parts that do not report by themselves.
//! In: [`Signs`], read by `app` every few seconds. Out: a status and a sentence for each of those parts.
//! Never: reads a figure or a clock; what happened once is remembered for [`HOLD`], so that a person has time to see it.
//! Start at [`Checkup::look`].

use super::{Part, Status};
use crate::model::Timestamp;
use std::time::Duration;

/// How long something that happened at a moment (a refused sample, a skipped slot) keeps its part degraded.
pub const HOLD: Duration = Duration::from_mins(1);
/// From here on a limit is near enough to be said.
const NEARLY_FULL: f64 = 0.9;
/// A sync is due every second; one that takes longer than this means that the disk does not keep up.
const SYNC_LATE: Duration = Duration::from_secs(5);
/// A message that waits longer counts like a refused one: a person has not received it. Pages move to the next step by then.
const MESSAGE_LATE: Duration = Duration::from_mins(2);
/// Names listed in one sentence.
const NAMES_MAX: usize = 3;

/// What the parts show of themselves. Counters are since the start.
#[derive(Clone, Debug, Default)]
pub struct Signs {
    /// A sync of the write-ahead log failed.
    pub wal_failed: bool,
    /// Why the last write to the log failed.
    pub wal_refused: Option<String>,
    /// How long the log's sync under way has taken.
    pub wal_syncing_for: Duration,
    pub series: usize,
    pub series_max: usize,
    /// Samples refused because there are too many series.
    pub series_refused: u64,
    /// Senders whose samples are too far off our clock: address, and milliseconds ahead (negative: behind).
    pub senders_off: Vec<(String, i64)>,
    /// Rules whose last evaluation failed: name and why.
    pub rules_failing: Vec<(String, String)>,
    pub rules_missed_slots: u64,
    /// 0 to 1.
    pub inbox_fullness: f64,
    pub inbox_refused: u64,
    /// Destinations that are only probed: name and why.
    pub breakers_open: Vec<(String, String)>,
    /// Destinations whose last message was given up for good: name and answer.
    pub refusing: Vec<(String, String)>,
    /// Messages decided and not delivered, and when the oldest was decided.
    pub undelivered: usize,
    pub undelivered_since: Option<Timestamp>,
}

/// A counter, and when it last rose.
#[derive(Debug, Default)]
struct Rise {
    last: u64,
    /// What it was before it began to rise.
    from: u64,
    at: Option<Timestamp>,
}

impl Rise {
    /// How much it rose since it was quiet for [`HOLD`]; zero when it is.
    fn of(&mut self, now: Timestamp, total: u64) -> u64 {
        if self.at.is_some_and(|at| now.since(at) >= HOLD) {
            self.at = None;
        }
        if total < self.last {
            // What was counted in a group of rules went with it; the rest is as much as it was.
            self.from = self.from.saturating_sub(self.last - total);
            self.last = total;
        } else if total > self.last {
            if self.at.is_none() {
                self.from = self.last;
            }
            self.at = Some(now);
            self.last = total;
        }
        if self.at.is_some() { total - self.from } else { 0 }
    }
}

/// Remembers what counters were.
#[derive(Debug, Default)]
pub struct Checkup {
    series_refused: Rise,
    missed_slots: Rise,
    inbox_refused: Rise,
}

type Finding = (Part, Status, String);

impl Checkup {
    /// The status of each part that is looked at.
    pub fn look(&mut self, signs: &Signs, now: Timestamp) -> [Finding; 5] {
        [self.wal(signs), self.series(signs, now), self.rules(signs, now), self.inbox(signs, now), deliver(signs, now)]
    }

    #[allow(clippy::unused_self, reason = "one method a part, in the order of the road")]
    fn wal(&self, signs: &Signs) -> Finding {
        if signs.wal_failed {
            let text = "a sync failed: no samples are taken until a restart";
            return (Part::Wal, Status::Failed, text.to_owned());
        }
        if let Some(why) = &signs.wal_refused {
            return (Part::Wal, Status::Failed, format!("the last write failed, senders hear 503: {why}"));
        }
        if signs.wal_syncing_for >= SYNC_LATE {
            let secs = signs.wal_syncing_for.as_secs();
            let text = format!("a sync has taken {secs}s so far: a power loss would cost the samples since");
            return (Part::Wal, Status::Degraded, text);
        }
        (Part::Wal, Status::Ok, String::new())
    }

    fn series(&mut self, signs: &Signs, now: Timestamp) -> Finding {
        let refused = self.series_refused.of(now, signs.series_refused);
        let (series, max) = (signs.series, signs.series_max);
        if refused > 0 {
            let text = format!("{series} of {max} series: {refused} samples of new series were refused");
            return (Part::Series, Status::Degraded, text);
        }
        if series as f64 >= max as f64 * NEARLY_FULL {
            let text = format!("{series} of {max} series: nearly full, new series will be refused");
            return (Part::Series, Status::Degraded, text);
        }
        if !signs.senders_off.is_empty() {
            let off = |(sender, offset_ms): &(String, i64)| {
                let side = if *offset_ms > 0 { "ahead" } else { "behind" };
                (sender.clone(), format!("{} s {side}", offset_ms.unsigned_abs() / 1000))
            };
            let senders: Vec<(String, String)> = signs.senders_off.iter().map(off).collect();
            let text = format!("samples are off our clock, of {}: check the clocks of both", listed(&senders));
            return (Part::Series, Status::Degraded, text);
        }
        (Part::Series, Status::Ok, String::new())
    }

    fn rules(&mut self, signs: &Signs, now: Timestamp) -> Finding {
        let missed = self.missed_slots.of(now, signs.rules_missed_slots);
        let mut texts = Vec::new();
        if !signs.rules_failing.is_empty() {
            texts.push(format!("{} rules fail: {}", signs.rules_failing.len(), listed(&signs.rules_failing)));
        }
        if missed > 0 {
            texts.push(format!("{missed} evaluations were skipped: evaluation does not keep up"));
        }
        let status = if texts.is_empty() { Status::Ok } else { Status::Degraded };
        (Part::Rules, status, texts.join("; "))
    }

    fn inbox(&mut self, signs: &Signs, now: Timestamp) -> Finding {
        let refused = self.inbox_refused.of(now, signs.inbox_refused);
        if refused > 0 {
            let text = format!("{refused} posts were answered with 503: more comes in than can be stored");
            return (Part::Inbox, Status::Degraded, text);
        }
        if signs.inbox_fullness >= NEARLY_FULL {
            let text = format!("{:.0} % full: senders will soon hear 503", signs.inbox_fullness * 100.0);
            return (Part::Inbox, Status::Degraded, text);
        }
        (Part::Inbox, Status::Ok, String::new())
    }
}

fn deliver(signs: &Signs, now: Timestamp) -> Finding {
    let mut texts = Vec::new();
    if !signs.breakers_open.is_empty() {
        texts.push(format!("not reachable: {}", listed(&signs.breakers_open)));
    }
    if !signs.refusing.is_empty() {
        texts.push(format!("refused for good: {}", listed(&signs.refusing)));
    }
    if let Some(waits) = signs.undelivered_since.map(|since| now.since(since)).filter(|waits| *waits >= MESSAGE_LATE) {
        let minutes = waits.as_secs() / 60;
        texts.push(format!("{} messages wait, the oldest for {minutes} min", signs.undelivered));
    }
    let status = if texts.is_empty() { Status::Ok } else { Status::Degraded };
    (Part::Deliver, status, texts.join("; "))
}

/// `a (why), b (why) and 4 more`.
fn listed(of: &[(String, String)]) -> String {
    let shown = of.iter().take(NAMES_MAX).map(|(name, why)| match why.as_str() {
        "" => name.clone(),
        why => format!("{name} ({why})"),
    });
    let text = shown.collect::<Vec<_>>().join(", ");
    if of.len() > NAMES_MAX { format!("{text} and {} more", of.len() - NAMES_MAX) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well() -> Signs {
        Signs { series_max: 100, ..Signs::default() }
    }

    fn check(signs: &Signs, part: Part, status: Status, words: &str) {
        let found = Checkup::default().look(signs, at(600));
        for (of, is, text) in &found {
            if *of == part {
                assert_eq!((*is, text.contains(words)), (status, true), "{part:?}: {text}");
            } else {
                assert_eq!((*is, text.as_str()), (Status::Ok, ""), "{of:?} has nothing to do with {part:?}");
            }
        }
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    #[test]
    fn each_part_says_what_is_wrong_with_it() {
        let named = |name: &str, why: &str| vec![(name.to_owned(), why.to_owned())];
        check(&well(), Part::Wal, Status::Ok, "");
        check(&Signs { wal_failed: true, ..well() }, Part::Wal, Status::Failed, "until a restart");
        let full = Signs { wal_refused: Some("no space left".to_owned()), ..well() };
        check(&full, Part::Wal, Status::Failed, "no space left");
        let late = Signs { wal_syncing_for: Duration::from_secs(7), ..well() };
        check(&late, Part::Wal, Status::Degraded, "7s so far");
        check(&Signs { series: 89, ..well() }, Part::Series, Status::Ok, "");
        let off =
            Signs { senders_off: vec![("10.0.0.1".to_owned(), 240_000), ("10.0.0.2".to_owned(), -45_000)], ..well() };
        check(&off, Part::Series, Status::Degraded, "of 10.0.0.1 (240 s ahead), 10.0.0.2 (45 s behind)");
        check(&Signs { series: 90, ..well() }, Part::Series, Status::Degraded, "90 of 100 series");
        check(&Signs { series_refused: 3, ..well() }, Part::Series, Status::Degraded, "3 samples of new series");
        check(
            &Signs { rules_failing: named("A", "many-to-many"), ..well() },
            Part::Rules,
            Status::Degraded,
            "A (many-",
        );
        check(&Signs { rules_missed_slots: 2, ..well() }, Part::Rules, Status::Degraded, "2 evaluations were skipped");
        check(&Signs { inbox_fullness: 0.95, ..well() }, Part::Inbox, Status::Degraded, "95 % full");
        check(&Signs { inbox_refused: 4, ..well() }, Part::Inbox, Status::Degraded, "4 posts");
        let open = Signs { breakers_open: named("ops/webhook", "connection refused"), ..well() };
        check(&open, Part::Deliver, Status::Degraded, "ops/webhook (connection refused)");
        let refusing = Signs { refusing: named("ops webhook/0", "404 Not Found"), ..well() };
        check(&refusing, Part::Deliver, Status::Degraded, "refused for good: ops webhook/0 (404 Not Found)");
        let waiting = |since| Signs { undelivered: 5, undelivered_since: Some(at(since)), ..well() };
        check(&waiting(481), Part::Deliver, Status::Ok, "");
        check(&waiting(300), Part::Deliver, Status::Degraded, "5 messages wait, the oldest for 5 min");
    }

    #[test]
    fn what_happened_is_held_for_a_minute_and_then_forgotten() {
        let mut checkup = Checkup::default();
        let mut refused = |total: u64, secs: i64| {
            let found = checkup.look(&Signs { series_refused: total, ..well() }, at(secs));
            let (_, status, text) = found.into_iter().find(|(part, ..)| *part == Part::Series).unwrap();
            (status, text)
        };
        assert_eq!(refused(0, 0).0, Status::Ok);
        assert!(refused(5, 5).1.contains(": 5 samples"));
        assert!(refused(9, 60).1.contains(": 9 samples"), "counted from when it began");
        assert!(refused(9, 119).1.contains(": 9 samples"));
        assert_eq!(refused(9, 120).0, Status::Ok);
        assert!(refused(10, 125).1.contains(": 1 samples"));
        // A sum falls when a part of it goes.
        assert!(refused(4, 130).1.contains(": 1 samples"));
        assert!(refused(5, 135).1.contains(": 2 samples"));
        assert_eq!(refused(0, 140).0, Status::Ok);
    }

    #[test]
    fn long_lists_are_cut() {
        let many: Vec<(String, String)> = (0..5).map(|i| (format!("r{i}"), String::new())).collect();
        assert_eq!(listed(&many), "r0, r1, r2 and 2 more");
    }
}
