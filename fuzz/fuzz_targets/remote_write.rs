//! Any bytes as a remote-write body, compressed and plain, in both versions, twice on one head.
//! In: the fuzzer's bytes. Out: a crash, if there is one.
//! Never: a clock or a disk.
//! Start at the target.
#![no_main]

use libfuzzer_sys::fuzz_target;
use watchfire::api::write::ingest_body;
use watchfire::model::Timestamp;
use watchfire::series::Head;
use watchfire::series::ha::HaTracker;
use watchfire::wire::remote_write::{Version, compress};

fuzz_target!(|data: &[u8]| {
    let now = Timestamp::from_millis(1_767_323_045_000);
    for version in [Version::V1, Version::V2] {
        let (head, ha) = (Head::default(), HaTracker::default());
        for body in [data, &compress(data), &compress(data)] {
            if let Ok(report) = ingest_body(version, body, &head, &ha, now) {
                assert!(head.sample_count() as u64 <= 3 * (report.samples + report.histograms).max(data.len() as u64));
            }
        }
    }
});
