//! Which sources have fallen silent without a word: no sample, and no stale marker that says it is meant.
//! In: the series that rules look at, `now`. Out: [`SilentSource`]s by job and cluster, until they are heard again.
//! Never: calls a source silent for a gap of our own making, or one that never sent regularly.
//! Start at [`SilentSources::look`].

use crate::model::{Labels, Timestamp};
use crate::promql::LOOKBACK_DEFAULT;
use crate::series::{Series, Watch};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A source is silent when nothing came for so many times its usual pause, and not before no query sees it any more.
const PAUSES_IN_SILENCE: u32 = 2;
/// A silent source is forgotten after this: it was taken down, by somebody whose agent does not say so.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(24);
/// Sources that are named at once; more have one cause, and the first ones name it.
const SILENT_MAX: usize = 1_000;

/// A source by what its series have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilentSource {
    /// `job` and `cluster`, as far as its series have them.
    pub labels: Labels,
    pub last_heard: Timestamp,
    /// Nothing comes from any other source either.
    pub is_everything: bool,
}

/// What one look found of a source.
struct Heard {
    newest: Timestamp,
    witness: Arc<Series>,
}

/// The sources that are silent, from look to look.
#[derive(Debug, Default)]
pub struct SilentSources {
    silent: BTreeMap<Labels, Timestamp>,
}

fn source_of(series: &Series) -> Labels {
    series.labels().retain(|name, _| matches!(name, "job" | "cluster"))
}

/// How long its samples are apart on average; `None` when there are not two of them.
fn usual_pause(series: &Series) -> Option<Duration> {
    let (oldest, newest) = (series.oldest()?, series.newest()?);
    let mut count = 0_u32;
    series.visit(Timestamp::MIN, newest, |_, _| count += 1);
    (count > 1).then(|| newest.since(oldest) / (count - 1))
}

impl SilentSources {
    /// Looks at every series of these watches but those that `is_ours` writes. `is_known`: what is silent now is silent by
    /// itself; else nobody is found silent anew.
    pub fn look(
        &mut self,
        watches: &[Arc<Watch>],
        is_ours: impl Fn(&Labels) -> bool,
        is_known: bool,
        now: Timestamp,
    ) -> Vec<SilentSource> {
        let heard = gather(watches, is_ours);
        let fresh_since = now - LOOKBACK_DEFAULT;
        let mut others = 0_usize;
        for (labels, heard) in &heard {
            let is_end = heard.witness.tail().newest.is_some_and(|point| point.v.is_stale());
            if heard.newest > fresh_since || is_end {
                others += usize::from(heard.newest > fresh_since);
                self.silent.remove(labels);
            } else if is_known && !self.silent.contains_key(labels) && self.silent.len() < SILENT_MAX {
                let pause = usual_pause(&heard.witness);
                if pause.is_some_and(|pause| now.since(heard.newest) > pause * PAUSES_IN_SILENCE) {
                    self.silent.insert(labels.clone(), heard.newest);
                } else {
                    others += 1;
                }
            }
        }
        self.silent.retain(|_, last_heard| now.since(*last_heard) < FORGOTTEN_AFTER);
        let is_everything = others == 0;
        let source = |(labels, last_heard): (&Labels, &Timestamp)| SilentSource {
            labels: labels.clone(),
            last_heard: *last_heard,
            is_everything,
        };
        self.silent.iter().map(source).collect()
    }
}

fn gather(watches: &[Arc<Watch>], is_ours: impl Fn(&Labels) -> bool) -> BTreeMap<Labels, Heard> {
    let mut heard: BTreeMap<Labels, Heard> = BTreeMap::new();
    for watch in watches {
        for series in watch.snapshot().iter() {
            let Some(newest) = series.newest().filter(|_| !is_ours(series.labels())) else { continue };
            let new = || Heard { newest, witness: series.clone() };
            let known = heard.entry(source_of(series)).or_insert_with(new);
            if known.newest < newest {
                *known = new();
            }
        }
    }
    heard
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SampleValue;
    use crate::model::sample::stale_marker;
    use crate::series::Head;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    #[test]
    fn names_who_went_away_until_it_is_heard_again() {
        let head = Head::default();
        let watches = [head.watch(&[])];
        let put = |job: &str, secs: i64, v: f64| {
            let labels = Labels::from_pairs([("__name__", "m"), ("job", job), ("instance", "i")]);
            head.append(&labels, at(secs), SampleValue::Float(v)).unwrap();
        };
        let mut sources = SilentSources::default();
        let mut look = |secs: i64, is_known: bool| {
            let found = sources.look(&watches, |labels| labels.value("job") == "ours", is_known, at(secs));
            let name = |s: SilentSource| format!("{} {}", s.labels.value("job"), s.last_heard.as_millis() / 1000);
            found.into_iter().map(name).collect::<Vec<_>>()
        };
        for secs in (0..=330).step_by(15) {
            for job in ["a", "b", "ended", "ours"] {
                put(job, secs, 1.0);
            }
        }
        put("once", 330, 1.0);
        put("slow", 30, 1.0);
        put("slow", 330, 1.0);
        put("ended", 340, stale_marker());
        for secs in (345..=645).step_by(15) {
            put("b", secs, 1.0);
        }
        assert_eq!(look(629, true), [""; 0]);
        assert_eq!(look(645, false), [""; 0], "we may have missed it");
        assert_eq!(look(645, true), ["a 330"], "slow has its own pace, once was never regular");
        assert_eq!(look(660, false), ["a 330"], "that is not taken back");
        put("a", 670, 1.0);
        assert_eq!(look(675, true), [""; 0]);
        assert_eq!(look(945, true), ["b 645", "slow 330"]);
    }

    #[test]
    fn it_says_when_it_is_everybody() {
        let head = Head::default();
        let watches = [head.watch(&[])];
        for (job, until) in [("a", 100), ("b", 200)] {
            for secs in (0..=until).step_by(10) {
                let labels = Labels::from_pairs([("__name__", "m"), ("job", job)]);
                head.append(&labels, at(secs), SampleValue::Float(1.0)).unwrap();
            }
        }
        let mut sources = SilentSources::default();
        let mut look = |secs: i64| {
            let found = sources.look(&watches, |_| false, true, at(secs));
            found.iter().map(|s| s.is_everything).collect::<Vec<_>>()
        };
        assert_eq!((look(410), look(510)), (vec![false], vec![true, true]));
    }
}
