//! Any bytes as a remote-write body, compressed and plain, in both versions, twice on one head.
//! In: the fuzzer's bytes. Out: a crash, if there is one.
//! Never: a clock or a disk.
//! Start at the target.
#![no_main]

use libfuzzer_sys::fuzz_target;
use watchfire::ingest::append_body;
use watchfire::model::Timestamp;
use watchfire::series::Head;
use watchfire::series::ha::HaTracker;
use watchfire::wire::remote_write::{Version, compress, declared_length};
use watchfire_fuzz::within;

/// What a head and the thread's buffers take whatever comes.
const BASE_BYTES: usize = 4 << 20;
/// Per byte of the decompressed message: the shortest series that is kept takes about ten bytes on the wire.
const FACTOR: usize = 512;

fuzz_target!(|data: &[u8]| {
    let now = Timestamp::from_millis(1_767_323_045_000);
    let packed = compress(data);
    for version in [Version::V1, Version::V2] {
        let (head, ha) = (Head::default(), HaTracker::default());
        for body in [data, &packed, &packed] {
            // A body that is refused at its first bytes has no length that counts.
            let decoded = declared_length(body).unwrap_or(0);
            let budget = BASE_BYTES + FACTOR * (decoded + body.len());
            let report = within("a remote-write body", budget, || append_body(version, body, &head, &ha, now));
            if let Ok(report) = report {
                assert!(head.sample_count() as u64 <= 3 * (report.samples + report.histograms).max(data.len() as u64));
                assert!(report.complaints.len() <= 20);
            }
        }
    }
});
