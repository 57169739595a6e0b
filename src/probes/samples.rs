//! What was seen, as series: names that blackbox exporter's users know, and one pair for each check.
//! In: a [`Probe`] and an [`Outcome`]. Out: label sets with values.
//! Never: puts anything from an answer into a label.
//! Start at [`samples`].

use super::ask::Outcome;
use super::settings::Probe;
use crate::model::labels::METRIC_NAME;
use crate::model::{Labels, sample::stale_marker};

/// The label `job` of all series of probes, unless the probe's labels say otherwise.
pub const JOB: &str = "watchfire-probes";

fn named(probe: &Probe, metric: &str, check: &str) -> Labels {
    let base = [("job", JOB), ("instance", probe.target.instance()), ("probe", &probe.name)];
    // An empty value is no label.
    Labels::from_pairs(base).overlaid(&probe.labels).with(METRIC_NAME, metric).with("check", check)
}

/// - `probe_success`: 1 when the connection, the status and every check with `expect` were as they should be, else 0
/// - `probe_duration_seconds`: the whole try
/// - `probe_http_status_code`: of an HTTP answer
/// - `probe_check_success{check}`: 1 or 0, of checks with `expect`
/// - `probe_check_value{check}`: of checks whose value is a number, true or false
///
/// A value that was not there this time is a stale marker, so that rules do not go on with the last one.
pub fn samples(probe: &Probe, outcome: &Outcome) -> Vec<(Labels, f64)> {
    let flag = |held: bool| f64::from(u8::from(held));
    let mut out = vec![
        (named(probe, "probe_success", ""), flag(outcome.failure.is_none())),
        (named(probe, "probe_duration_seconds", ""), outcome.took.as_secs_f64()),
    ];
    if matches!(probe.target, super::Target::Http(_)) {
        let status = outcome.status.map_or_else(stale_marker, f64::from);
        out.push((named(probe, "probe_http_status_code", ""), status));
    }
    for (check, (held, value)) in probe.checks.iter().zip(&outcome.checks) {
        if let Some(held) = held {
            out.push((named(probe, "probe_check_success", &check.name), flag(*held)));
        }
        out.push((named(probe, "probe_check_value", &check.name), value.unwrap_or_else(stale_marker)));
    }
    out
}

/// The end of every series of a probe that is no longer configured.
pub fn stale(probe: &Probe) -> Vec<(Labels, f64)> {
    let nothing = Outcome {
        failure: None,
        took: std::time::Duration::ZERO,
        status: None,
        checks: probe.checks.iter().map(|check| ((!check.expect.is_empty()).then_some(false), None)).collect(),
    };
    samples(probe, &nothing).into_iter().map(|(labels, _)| (labels, stale_marker())).collect()
}
