//! The file of the open segment; in tests its disk can fail.
//! In: headers and bodies. Out: written by one call, or an error.
//! Never: copies a body.
//! Start at [`SegmentFile::write`].

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Seek, SeekFrom, Write};
use std::path::Path;

/// Slices that one call takes at most (`IOV_MAX` on Linux).
const SLICES_MAX: usize = 1024;

#[derive(Debug)]
pub(super) struct SegmentFile {
    file: File,
    #[cfg(test)]
    faults: super::faults::Faults,
}

impl SegmentFile {
    pub fn create(path: &Path, config: &super::WalConfig) -> io::Result<Self> {
        #[cfg(not(test))]
        let _ = config;
        #[cfg(test)]
        config.faults.meet(super::faults::Call::Create)?;
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        Ok(Self {
            file,
            #[cfg(test)]
            faults: config.faults.clone(),
        })
    }

    /// Writes all parts, one behind the other. After an error some of it may be in the file.
    pub fn write(&self, parts: &[&[u8]]) -> io::Result<()> {
        for parts in parts.chunks(SLICES_MAX) {
            let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
            let mut left = &mut slices[..];
            IoSlice::advance_slices(&mut left, 0);
            while !left.is_empty() {
                match self.write_some(left) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(n) => IoSlice::advance_slices(&mut left, n),
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(e),
                }
            }
        }
        Ok(())
    }

    fn write_some(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        #[cfg(test)]
        if let Some(n) = self.faults.short_write()? {
            let whole: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).take(n).collect();
            return (&self.file).write(&whole);
        }
        (&self.file).write_vectored(parts)
    }

    /// Takes back what was written behind `len`.
    pub fn cut(&self, len: u64) -> io::Result<()> {
        #[cfg(test)]
        self.faults.meet(super::faults::Call::Cut)?;
        self.file.set_len(len)?;
        (&self.file).seek(SeekFrom::Start(len)).map(drop)
    }

    pub fn sync_all(&self) -> io::Result<()> {
        #[cfg(test)]
        self.faults.meet(super::faults::Call::Sync)?;
        self.file.sync_all()
    }

    pub fn sync_data(&self) -> io::Result<()> {
        #[cfg(test)]
        self.faults.meet(super::faults::Call::Sync)?;
        self.file.sync_data()
    }
}
