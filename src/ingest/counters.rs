//! What remote write has counted.
//! In: outcomes of requests. Out: numbers that telemetry exports.
//! Never: a lock on the way of a request.
//! Start at [`IngestCounters`].

use super::report::Report;
use crate::wire::remote_write::Version;
use std::sync::atomic::{AtomicU64, Ordering};

/// The statuses that `api` answers; anything else is a bug.
pub const CODES: [u16; 6] = [204, 400, 413, 415, 500, 503];
/// Why samples are refused, as label values.
pub const REASONS: [&str; 8] = [
    "too_old",
    "duplicate_timestamp",
    "too_far_ahead",
    "too_many_series",
    "label_limit",
    "invalid_labels",
    "invalid_histogram",
    "malformed",
];

/// All since the start.
#[derive(Debug, Default)]
pub struct IngestCounters {
    /// By version (1.0, 2.0, unknown), then code.
    requests: [[AtomicU64; CODES.len()]; 3],
    rejected: [AtomicU64; REASONS.len()],
    pub samples: AtomicU64,
    pub histograms: AtomicU64,
    pub exemplars: AtomicU64,
    pub metadata: AtomicU64,
    /// Samples of HA replicas that are not elected.
    pub ha_dropped: AtomicU64,
    /// Compressed.
    pub wire_bytes: AtomicU64,
    pub decoded_bytes: AtomicU64,
}

impl IngestCounters {
    /// `api` has answered a request.
    pub fn answered(&self, version: Option<Version>, code: u16) {
        let row = match version {
            Some(Version::V1) => 0,
            Some(Version::V2) => 1,
            None => 2,
        };
        if let Some(column) = CODES.iter().position(|c| *c == code) {
            self.requests[row][column].fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn count(&self, report: &Report) {
        let counts = [
            (&self.samples, report.samples),
            (&self.histograms, report.histograms),
            (&self.exemplars, report.exemplars),
            (&self.metadata, report.metadata),
            (&self.ha_dropped, report.ha_dropped),
        ];
        for (counter, n) in counts.into_iter().filter(|(_, n)| *n > 0) {
            counter.fetch_add(n, Ordering::Relaxed);
        }
        for (reason, n) in &report.rejected {
            self.reject(reason, *n);
        }
    }

    fn reject(&self, reason: &str, n: u64) {
        if let Some(place) = REASONS.iter().position(|r| *r == reason) {
            self.rejected[place].fetch_add(n, Ordering::Relaxed);
        }
    }

    /// Version, code, count.
    pub fn requests(&self) -> impl Iterator<Item = (&'static str, u16, u64)> {
        let rows = ["1.0", "2.0", "unknown"].into_iter().zip(&self.requests);
        rows.flat_map(|(version, row)| {
            CODES.into_iter().zip(row).map(move |(code, n)| (version, code, n.load(Ordering::Relaxed)))
        })
    }

    /// Requests that were sent away to come again: what they held was not taken.
    pub fn refused(&self) -> u64 {
        let is_refusal = |(_, code, _): &(&str, u16, u64)| *code >= 500;
        self.requests().filter(is_refusal).map(|(_, _, n)| n).sum()
    }

    /// Reason, samples.
    pub fn rejected(&self) -> impl Iterator<Item = (&'static str, u64)> {
        REASONS.into_iter().zip(&self.rejected).map(|(reason, n)| (reason, n.load(Ordering::Relaxed)))
    }
}
