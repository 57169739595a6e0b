//! Probes, tied to the window and to `/metrics`.
//! In: what a probe saw. Out: samples in the head, as if they had been written to us, and our own gauges.
//! Never: writes probes to the log of bodies; after a restart the next answers say how things are.
//! Start at [`prober`].

use super::parts::Parts;
use crate::model::sample::is_stale;
use crate::model::{Labels, SampleValue, Timestamp};
use crate::probes::{self, Probe, Prober};
use crate::telemetry::readings;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The last samples of each probe, for `/metrics`, and when they were taken.
type ByProbe = BTreeMap<Arc<str>, (Timestamp, Vec<(Labels, f64)>)>;
type Latest = Arc<Mutex<ByProbe>>;
/// Two answers within a millisecond are still two.
const APART: Duration = Duration::from_millis(1);

/// A prober without probes; [`Prober::reload`] gives it some.
pub fn prober(parts: &Parts) -> Result<Prober, String> {
    let context = &parts.context;
    let (head, clock, arrivals) = (context.head.clone(), context.clock.clone(), parts.rules.arrivals.clone());
    let latest = Latest::default();
    for (reading, metric) in [
        (readings::PROBE_SUCCESS, "probe_success"),
        (readings::PROBE_DURATION, "probe_duration_seconds"),
        (readings::PROBE_CHECK_SUCCESS, "probe_check_success"),
        (readings::PROBE_CHECK_VALUE, "probe_check_value"),
    ] {
        let latest = latest.clone();
        context.metrics.read(reading, move || rows(&latest.lock(), metric));
    }
    let sink = move |probe: &Probe, samples: Vec<(Labels, f64)>| {
        let mut latest = latest.lock();
        let before = latest.get(&probe.name).map(|(at, _)| *at + APART);
        let now = before.map_or_else(|| clock.now(), |before| clock.now().max(before));
        for (labels, value) in &samples {
            if let Err(error) = head.append(labels, now, SampleValue::Float(*value)) {
                tracing::warn!(probe = %probe.name, %error, "a sample of a probe was not taken");
            }
        }
        arrivals.notify_one();
        if samples.first().is_some_and(|(_, value)| is_stale(*value)) {
            latest.remove(&probe.name);
        } else {
            latest.insert(probe.name.clone(), (now, samples));
        }
    };
    let client = probes::client().map_err(|error| format!("no client for probes: {error}"))?;
    Ok(Prober::new(client, Arc::new(sink)))
}

fn rows(latest: &ByProbe, metric: &str) -> Vec<(Vec<(&'static str, String)>, f64)> {
    let row = |(labels, value): &(Labels, f64)| {
        let mut names = vec![("probe", labels.value("probe").to_owned())];
        names.extend(labels.get("check").map(|check| ("check", check.to_owned())));
        (names, *value)
    };
    let kept = |(labels, value): &&(Labels, f64)| labels.metric_name() == metric && !is_stale(*value);
    latest.values().flat_map(|(_, samples)| samples).filter(kept).map(row).collect()
}
