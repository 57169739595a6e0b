//! The peers' programs, beside what every test with processes needs.
//! In: the folder in `WATCHFIRE_PEERS`. Out: paths.
//! Never: skips a peer that is missing.
//! Start at [`peer`].

pub use crate::support::process::{Process, eventually, free_port};
use std::path::{Path, PathBuf};

/// A peer's program, or a failure that says how to bring it.
pub fn peer(name: &str) -> PathBuf {
    let dir = std::env::var("WATCHFIRE_PEERS")
        .expect("WATCHFIRE_PEERS must name the folder with prometheus, prometheus-alertmanager, amtool, prometheus-node-exporter and vmagent");
    let path = Path::new(&dir).join(name);
    assert!(path.exists(), "{} is missing: unpack the peers into WATCHFIRE_PEERS", path.display());
    path
}
