//! The monitoring stack as plain processes: `examples/run-local` brings it up, checks it, breaks it in every way.
//! In: the folder of the peers' programs in `WATCHFIRE_PEERS`, PostgreSQL and Redis servers, Python. Out: its exit code.
//! Never: skips; whatever is missing is a failure that says how to bring it.
//! Start at [`run_local`].

use super::support::watchfire::program;
use std::process::Command;

/// Its own output is the report; it goes where the test's goes (`--nocapture`).
fn run_local(arguments: &[&str]) {
    let root = env!("CARGO_MANIFEST_DIR");
    let status = Command::new(format!("{root}/examples/run-local"))
        .args(arguments)
        .current_dir(root)
        .env("WATCHFIRE_BIN", program())
        .status()
        .unwrap_or_else(|error| panic!("examples/run-local does not start: {error}"));
    assert!(status.success(), "examples/run-local {}: {status}", arguments.join(" "));
}

/// Configurations, rules, routes, dashboards and the compose file, by our own and the peers' checkers.
#[test]
fn lint() {
    run_local(&["lint"]);
}

/// Healthy and quiet, counted to the request, then broken in two ways; short enough for every change.
#[test]
fn short() {
    run_local(&["check", "--healthy-seconds", "45", "--only", "slow", "--only", "redis stopped"]);
}

/// Healthy and quiet for three minutes, counted to the request, then broken in every way; two replicas of Prometheus.
#[test]
fn whole() {
    run_local(&["check", "--ha"]);
}
