//! Which part is well, since when, and whether the whole is ready.
//! In: reports of the loops. Out: [`HealthReport`], which `api` renders.
//! Never: finds out by itself, or reads a clock (`now` comes with the report).
//! Start at [`Health::set`].

use crate::model::Timestamp;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// The parts that report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    Config,
    Store,
    Wal,
    Series,
    Rules,
    Inbox,
    Deliver,
    Clock,
}

impl Part {
    pub const ALL: [Self; 8] =
        [Self::Config, Self::Store, Self::Wal, Self::Series, Self::Rules, Self::Inbox, Self::Deliver, Self::Clock];

    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Store => "store",
            Self::Wal => "wal",
            Self::Series => "series",
            Self::Rules => "rules",
            Self::Inbox => "inbox",
            Self::Deliver => "deliver",
            Self::Clock => "clock",
        }
    }
}

/// Worse is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    Ok,
    /// Works, but something is late, refused or retried.
    Degraded,
    /// Does not do its work.
    Failed,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartHealth {
    pub part: Part,
    pub status: Status,
    /// For people; empty when there is nothing to say.
    pub text: String,
    /// When it came into this status.
    pub since: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthReport {
    /// State is loaded and requests are taken: `/-/ready`.
    pub ready: bool,
    /// The worst of the parts.
    pub status: Status,
    /// In the order of [`Part::ALL`].
    pub parts: Vec<PartHealth>,
}

/// Shared by all who report and all who ask.
#[derive(Debug)]
pub struct Health {
    ready: AtomicBool,
    parts: Mutex<Vec<PartHealth>>,
}

impl Health {
    /// All parts well, not ready.
    pub fn new(now: Timestamp) -> Self {
        let well = |part| PartHealth { part, status: Status::Ok, text: String::new(), since: now };
        Self { ready: AtomicBool::new(false), parts: Mutex::new(Part::ALL.into_iter().map(well).collect()) }
    }

    /// Returns whether the status changed, so that the caller logs a change once.
    pub fn set(&self, part: Part, status: Status, text: &str, now: Timestamp) -> bool {
        let mut parts = self.parts.lock();
        let Some(entry) = parts.iter_mut().find(|p| p.part == part) else { return false };
        let changed = entry.status != status;
        if changed {
            entry.since = now;
            entry.status = status;
        }
        if entry.text != text {
            text.clone_into(&mut entry.text);
        }
        changed
    }

    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    pub fn report(&self) -> HealthReport {
        let parts = self.parts.lock().clone();
        let status = parts.iter().map(|p| p.status).max().unwrap_or(Status::Ok);
        HealthReport { ready: self.is_ready(), status, parts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_part_counts_and_since_is_when_it_began() {
        let health = Health::new(Timestamp::EPOCH);
        assert!(!health.report().ready);
        health.set_ready(true);
        let at = Timestamp::from_millis;
        assert!(health.set(Part::Store, Status::Degraded, "disk full", at(5)));
        assert!(!health.set(Part::Store, Status::Degraded, "disk still full", at(9)));
        let report = health.report();
        assert_eq!((report.ready, report.status), (true, Status::Degraded));
        let store = report.parts.iter().find(|p| p.part == Part::Store).unwrap();
        assert_eq!((store.text.as_str(), store.since), ("disk still full", at(5)));
        assert!(health.set(Part::Store, Status::Ok, "", at(10)));
        assert_eq!(health.report().status, Status::Ok);
    }
}
