//! What a run is started with, and how it can fail.
//! In: what the command line said. Out: [`Options`], [`AppError`].
//! Never: runs anything.
//! Start at [`Options`].

use crate::config::{Config, Overrides};
use crate::store::StoreError;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What the command line said, and the configuration it led to.
pub struct Options {
    pub config: Config,
    /// Read again at each reload.
    pub config_file: Option<PathBuf>,
    /// Flags, which win over the file, now and at each reload.
    pub overrides: Overrides,
    pub insecure: bool,
    /// A simulated fleet writes to us, breaks, and heals; lines for people go here.
    pub demo: Option<fn(&str)>,
}

/// Why the process ends with a failure.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("cannot listen on {address}: {error}; is another program there? choose another with --web.listen-address")]
    Listen { address: SocketAddr, error: std::io::Error },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Start(String),
    #[error("{0}")]
    Failed(String),
}
