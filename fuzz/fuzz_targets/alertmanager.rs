//! Any bytes as Alertmanager's JSON: `POST /api/v2/alerts` and the webhook; what is read goes through the map at the door.
//! In: the fuzzer's bytes. Out: a crash, if there is one.
//! Never: a clock or a disk.
//! Start at the target.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::time::Duration;
use watchfire::alerts::{AlertRegistry, RegistryConfig};
use watchfire::model::Timestamp;
use watchfire::wire::alertmanager::{ALERTS_MAX, Decoded, JsonError, PAIRS_MAX, posted, webhook};
use watchfire_fuzz::within;

const BASE_BYTES: usize = 1 << 20;
/// Per byte of the body: `{},` is an alert to be refused, with a sentence that says so.
const FACTOR: usize = 256;

fn check(decoded: Result<Decoded, JsonError>, now: Timestamp) {
    let Ok(decoded) = decoded else { return };
    assert!(decoded.alerts.len() + decoded.errors.len() <= ALERTS_MAX);
    let registry = AlertRegistry::new(RegistryConfig::default());
    for alert in decoded.alerts {
        assert!(!alert.labels.is_empty());
        assert!(alert.labels.iter().count() <= PAIRS_MAX);
        assert!(alert.ends_at.is_none_or(|end| end >= alert.starts_at));
        // Twice: the first is news, the second a refresh.
        let _ = registry.observe(alert.clone(), now);
        let _ = registry.observe(alert, now);
    }
}

fuzz_target!(|data: &[u8]| {
    let now = Timestamp::from_millis(1_767_323_045_000);
    let budget = BASE_BYTES + FACTOR * data.len();
    check(within("a post", budget, || posted(data, now, Duration::from_secs(300))), now);
    check(within("a webhook", budget, || webhook(data, now)), now);
});
