//! Pairs of Prometheus servers that send the same samples: the samples of one replica per cluster are taken.
//! In: cluster and replica of a sample, and `now`. Out: whether it is taken.
//! Never: leaves a cluster unheard longer than [`HaConfig::failover`], which is far below the look-back of five minutes,
//! so that no series seems to end and nothing resolves while the other replica takes over.
//! Start at [`HaTracker::admit`].

use crate::model::Timestamp;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;

/// Pairs of cluster and replica remembered at most; beyond, samples are taken as if they had no replica label.
const ORIGINS_MAX: usize = 65_536;
/// Names longer than this are not remembered; real ones are a tenth of it.
const NAME_BYTES_MAX: usize = 256;
/// The origin of samples without both labels: always taken.
pub const NO_ORIGIN: u32 = 0;

#[derive(Clone, Debug)]
pub struct HaConfig {
    pub cluster_label: String,
    /// Taken out of the stored labels, so that the replicas' series are the same series.
    pub replica_label: String,
    /// How long the elected replica may be silent before another takes over (Cortex' and Mimir's default).
    pub failover: Duration,
}

impl Default for HaConfig {
    fn default() -> Self {
        Self { cluster_label: "cluster".into(), replica_label: "__replica__".into(), failover: Duration::from_secs(30) }
    }
}

#[derive(Debug)]
struct Origin {
    cluster: usize,
    cluster_name: String,
    replica: String,
}

/// The elected replica's origin, and when it last sent.
#[derive(Clone, Copy, Debug)]
struct Elected {
    origin: u32,
    heard: Timestamp,
}

#[derive(Debug, Default)]
struct State {
    /// Cluster → replica → origin; two maps so that a look-up copies nothing.
    ids: HashMap<String, (usize, HashMap<String, u32>)>,
    /// By origin - 1.
    origins: Vec<Origin>,
    /// By cluster number.
    elected: Vec<Option<Elected>>,
    changes: u64,
}

#[derive(Debug, Default)]
pub struct HaTracker {
    config: HaConfig,
    state: Mutex<State>,
}

impl HaTracker {
    pub fn new(config: HaConfig) -> Self {
        Self { config, state: Mutex::default() }
    }

    pub fn config(&self) -> &HaConfig {
        &self.config
    }

    /// A number for this cluster and replica that stays the same for the life of the process.
    pub fn origin(&self, cluster: &str, replica: &str) -> u32 {
        let fits = |name: &str| (1..=NAME_BYTES_MAX).contains(&name.len());
        if !fits(cluster) || !fits(replica) {
            return NO_ORIGIN;
        }
        let mut state = self.state.lock();
        let State { ids, origins, elected, .. } = &mut *state;
        if let Some(id) = ids.get(cluster).and_then(|(_, replicas)| replicas.get(replica)) {
            return *id;
        }
        if origins.len() >= ORIGINS_MAX {
            return NO_ORIGIN;
        }
        let (number, replicas) = ids.entry(cluster.to_owned()).or_insert_with(|| {
            elected.push(None);
            (elected.len() - 1, HashMap::new())
        });
        origins.push(Origin { cluster: *number, cluster_name: cluster.to_owned(), replica: replica.to_owned() });
        let id = origins.len() as u32;
        replicas.insert(replica.to_owned(), id);
        id
    }

    /// The names of an origin's cluster and replica.
    pub fn names(&self, origin: u32) -> Option<(String, String)> {
        let state = self.state.lock();
        let origin = (origin as usize).checked_sub(1)?;
        state.origins.get(origin).map(|o| (o.cluster_name.clone(), o.replica.clone()))
    }

    /// The replica's name of an origin.
    pub fn replica(&self, origin: u32) -> Option<String> {
        self.names(origin).map(|(_, replica)| replica)
    }

    /// Whether samples of this origin are taken now. The elected replica is; another one only after its silence.
    pub fn admit(&self, origin: u32, now: Timestamp) -> bool {
        let Some(place) = (origin as usize).checked_sub(1) else { return true };
        let mut state = self.state.lock();
        let State { origins, elected, changes, .. } = &mut *state;
        let Some(place) = origins.get(place).and_then(|o| elected.get_mut(o.cluster)) else { return true };
        match place {
            Some(e) if e.origin == origin => {
                // A clock that went back must not make the elected one look silent.
                e.heard = e.heard.max(now);
                true
            }
            Some(e) if now.since(e.heard) <= self.config.failover => false,
            _ => {
                *place = Some(Elected { origin, heard: now });
                *changes += 1;
                true
            }
        }
    }

    /// How often a replica was elected, the first time included.
    pub fn changes(&self) -> u64 {
        self.state.lock().changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_replica_is_heard_and_the_other_takes_over() {
        let ha = HaTracker::default();
        let at = |secs: i64| Timestamp::from_millis(secs * 1000);
        let (a, b, other) = (ha.origin("c", "a"), ha.origin("c", "b"), ha.origin("d", "b"));
        let check = |origin, secs, expect: bool| assert_eq!(ha.admit(origin, at(secs)), expect, "{origin} at {secs}");
        check(a, 0, true);
        check(b, 1, false);
        check(other, 1, true);
        check(a, 15, true);
        check(b, 45, false);
        check(b, 46, true);
        check(a, 47, false);
        check(b, 40, true);
        check(a, 76, false);
        check(a, 77, true);
        check(NO_ORIGIN, 77, true);
        assert_eq!((ha.origin("c", "a"), ha.origin("", "a"), ha.origin("c", "")), (a, NO_ORIGIN, NO_ORIGIN));
        assert_eq!((ha.replica(b).as_deref(), ha.replica(NO_ORIGIN), ha.changes()), (Some("b"), None, 4));
    }
}
