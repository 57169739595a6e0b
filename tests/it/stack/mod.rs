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

/// Two stacks side by side: one healthy and quiet for three minutes, counted to the request, then without its databases and each
/// of its two Prometheus in turn; the other broken in every other way. Nine minutes, most of them waiting.
#[test]
fn whole() {
    run_local(&["check", "--ha"]);
}
