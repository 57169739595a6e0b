//! The write-ahead log of samples: accepted bodies as they came, so that a restart loses none.
//! In: compressed bodies. Out: the same bodies, in order, at start.
//! Never: says "written" before the operating system has the bytes.
//! Start at [`Wal::open`] and [`replay()`].

mod crc;
#[cfg(test)]
pub(crate) mod faults;
mod file;
mod record;
mod replay;
mod segment;
mod window;
mod writer;

pub use record::Record;
pub use replay::{Repaired, Replayed, repair, replay};
pub use writer::{Wal, WalConfig, WalStatus};

use std::path::{Path, PathBuf};

/// What went wrong, by what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// Answer 503; a later append may work again (the disk is full, or the queue is).
    #[error("the write-ahead log cannot take more now: {0}")]
    Busy(String),
    /// Answer 503 until a restart: after a failed sync it is unknown what is on disk.
    #[error("the write-ahead log has failed: {0}")]
    Failed(String),
    /// Refuse to start.
    #[error("{}: record at byte {offset} is corrupt and good records follow; run `watchfire repair` to drop what is damaged", path.display())]
    Corrupt { path: PathBuf, offset: u64 },
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
}

impl WalError {
    fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

#[cfg(test)]
mod tests;
