//! A disk that fails when a test says so.
//! In: which call, and how. Out: errors where the system's would come.
//! Never: outside of tests.
//! Start at [`Faults::next`].

use parking_lot::Mutex;
use std::io;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Create,
    Write,
    /// A write of which only so many bytes go through, and the next of which fails.
    Short(usize),
    Cut,
    Sync,
}

/// Shared with the log under test; each fault happens once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(Arc<Mutex<Vec<(Call, i32)>>>);

/// Of `errno`, as Linux numbers them.
pub(crate) const EIO: i32 = 5;
pub(crate) const ENOSPC: i32 = 28;

impl Faults {
    /// The next call of this kind fails so.
    pub fn next(&self, call: Call, errno: i32) {
        self.0.lock().push((call, errno));
    }

    pub(super) fn meet(&self, call: Call) -> io::Result<()> {
        let mut faults = self.0.lock();
        match faults.iter().position(|(c, _)| *c == call) {
            Some(place) => Err(io::Error::from_raw_os_error(faults.remove(place).1)),
            None => Ok(()),
        }
    }

    /// How much of a write goes through, if it is cut short.
    pub(super) fn short_write(&self) -> io::Result<Option<usize>> {
        self.meet(Call::Write)?;
        let mut faults = self.0.lock();
        let Some(place) = faults.iter().position(|(c, _)| matches!(c, Call::Short(_))) else { return Ok(None) };
        let (Call::Short(n), errno) = faults.remove(place) else { return Ok(None) };
        faults.push((Call::Write, errno));
        Ok(Some(n))
    }
}
