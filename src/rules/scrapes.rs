//! Scrapes as they come in, so that a joining rule never looks at half of one.
//! In: series of a watch that moved. Out: whether every source that moved has brought what it brought before.
//! Never: waits for a series for more than two rounds after it fell silent.
//! Start at [`ScrapeTracker::moved`].

use crate::model::sample::is_stale;
use crate::model::{Fingerprint, Labels, SampleValue, SeriesId, Timestamp};
use crate::series::Series;
use foldhash::fast::FixedState;
use std::collections::HashMap;
use std::time::Duration;

/// Samples of one scrape carry one time; exporters that write their own spread a little.
const ROUND: Duration = Duration::from_secs(2);
/// A source that brought less than before so often in a row is believed to have less.
const SHORT_ROUNDS_MAX: u8 = 2;

/// The sources of one watch.
#[derive(Default)]
pub(super) struct ScrapeTracker {
    all: Vec<Source>,
    by_key: HashMap<Fingerprint, u32, FixedState>,
    members: HashMap<SeriesId, Member, FixedState>,
    /// How many sources have moved in part.
    half: usize,
}

struct Member {
    source: u32,
    round: u32,
}

/// One target of a scrape: what shares `job` and `instance`.
struct Source {
    round: u32,
    began: Timestamp,
    moved: u32,
    ended: u32,
    /// How many series make a round whole; unknown in the first one, which only time can end.
    expected: u32,
    short_rounds: u8,
    /// It had its time in this round.
    given_up: bool,
}

/// The identity of a source, from the labels of any of its series.
pub(super) fn source_of(labels: &Labels) -> Fingerprint {
    Fingerprint::of(&labels.retain(|name, _| matches!(name, "job" | "instance")))
}

impl Source {
    fn is_half(&self) -> bool {
        !self.given_up && self.moved < self.expected
    }

    /// A new scrape begins: the one before shows how many series to expect.
    fn next_round(&mut self, at: Timestamp) {
        if self.round > 0 {
            let short = self.expected != u32::MAX && self.moved < self.expected;
            self.short_rounds = if short { self.short_rounds + 1 } else { 0 };
            if !short || self.short_rounds >= SHORT_ROUNDS_MAX {
                self.expected = self.moved.saturating_sub(self.ended);
                self.short_rounds = 0;
            } else {
                self.expected = self.expected.saturating_sub(self.ended);
            }
        }
        self.round += 1;
        self.began = at;
        self.moved = 0;
        self.ended = 0;
        self.given_up = false;
    }
}

impl ScrapeTracker {
    /// A sample came to the series.
    pub(super) fn moved(&mut self, series: &Series) {
        let Some(newest) = series.tail().newest else { return };
        let next = self.all.len() as u32;
        let member = self.members.entry(series.id()).or_insert_with(|| {
            let source = *self.by_key.entry(source_of(series.labels())).or_insert(next);
            Member { source, round: 0 }
        });
        if member.source == next {
            let began = Timestamp::MIN;
            self.all.push(Source {
                round: 0,
                began,
                moved: 0,
                ended: 0,
                expected: u32::MAX,
                short_rounds: 0,
                given_up: false,
            });
            self.half += 1;
        }
        let source = &mut self.all[member.source as usize];
        let was_half = source.is_half();
        if source.round == 0 || newest.t > source.began + ROUND {
            source.next_round(newest.t);
        }
        if member.round != source.round && newest.t >= source.began {
            member.round = source.round;
            source.moved += 1;
            source.ended += u32::from(matches!(newest.v, SampleValue::Float(v) if is_stale(v)));
        }
        match (was_half, source.is_half()) {
            (false, true) => self.half += 1,
            (true, false) => self.half -= 1,
            _ => {}
        }
    }

    /// Whether nothing has arrived in part only.
    pub(super) fn are_whole(&self) -> bool {
        self.half == 0
    }

    /// What is half now is not waited for: it had its time.
    pub(super) fn give_up(&mut self) {
        for source in self.all.iter_mut().filter(|s| s.is_half()) {
            source.given_up = true;
            self.half -= 1;
        }
    }

    /// Forgets series that have gone, by forgetting all when most have.
    pub(super) fn prune(&mut self, living: usize) {
        if self.members.len() > 2 * living + 1024 {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Head;
    use std::sync::Arc;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    #[test]
    fn knows_half_a_scrape() {
        let head = Head::default();
        let mut sources = ScrapeTracker::default();
        let put = |sources: &mut ScrapeTracker, i: &str, n: u32, secs: i64, v: f64| {
            let n = n.to_string();
            let labels = Labels::from_pairs([("__name__", "m"), ("instance", i), ("n", &n)]);
            let series: Arc<Series> = head.append(&labels, at(secs), SampleValue::Float(v)).unwrap();
            sources.moved(&series);
            sources.are_whole()
        };
        // How many there are is unknown at first.
        assert!(!put(&mut sources, "a", 1, 10, 0.0));
        assert!(!put(&mut sources, "a", 2, 10, 0.0));
        assert!(!put(&mut sources, "a", 1, 20, 0.0));
        assert!(put(&mut sources, "a", 2, 20, 0.0));
        assert!(!put(&mut sources, "a", 1, 30, 0.0));
        // Another source is counted by itself.
        assert!(!put(&mut sources, "b", 1, 31, 0.0));
        assert!(!put(&mut sources, "a", 2, 30, 0.0), "b is new");
        sources.give_up();
        assert!(sources.are_whole());
        assert!(put(&mut sources, "b", 1, 41, 0.0));
        // A stale marker is an arrival, and nothing is expected of that series any more.
        assert!(!put(&mut sources, "a", 1, 40, 0.0));
        assert!(put(&mut sources, "a", 2, 40, crate::model::sample::stale_marker()));
        assert!(put(&mut sources, "a", 1, 50, 0.0));
        // A new series is welcome at once.
        assert!(put(&mut sources, "a", 3, 50, 0.0));
        assert!(!put(&mut sources, "a", 1, 60, 0.0));
        assert!(put(&mut sources, "a", 3, 60, 0.0));
    }

    #[test]
    fn a_silent_series_is_waited_for_twice() {
        let head = Head::default();
        let mut sources = ScrapeTracker::default();
        let mut put = |n: u32, secs: i64| {
            let labels = Labels::from_pairs([("__name__", "m"), ("n", &n.to_string())]);
            let series = head.append(&labels, at(secs), SampleValue::Float(0.0)).unwrap();
            sources.moved(&series);
            sources.are_whole()
        };
        put(1, 10);
        put(2, 10);
        assert_eq!([put(1, 20), put(2, 20)], [false, true]);
        assert_eq!([put(1, 30), put(1, 40), put(1, 50)], [false, false, true]);
    }
}
