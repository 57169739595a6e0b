//! A segment as a replay reads it: a stretch at a time, in order.
//! In: an open segment. Out: its records up to the first damage, and whether good ones follow.
//! Never: holds more than a stretch and the longest record.
//! Start at [`Window::next`].

use super::record::{HEADER_BYTES, MARK, Record, SEGMENT_MAGIC, read, whole_length};
use std::io::{self, Read};

/// What is read with one call: enough that the calls cost nothing, little enough to stay in a cache until it is decoded.
pub(super) const STRETCH_BYTES: usize = 1 << 20;

pub(super) struct Window<R> {
    from: R,
    bytes: Vec<u8>,
    /// Where `bytes` begins in the segment, and where in `bytes` reading stands.
    base: u64,
    at: usize,
    ended: bool,
    stretch: usize,
    /// Without the magic a segment is damaged from its first byte.
    opened: bool,
}

impl<R: Read> Window<R> {
    /// `buffer` is memory that is used again from segment to segment.
    pub fn open(from: R, mut buffer: Vec<u8>, stretch: usize) -> io::Result<Self> {
        buffer.clear();
        let mut window = Self { from, bytes: buffer, base: 0, at: 0, ended: false, stretch, opened: false };
        window.fill(SEGMENT_MAGIC.len())?;
        if window.bytes.starts_with(SEGMENT_MAGIC) {
            window.at = SEGMENT_MAGIC.len();
            window.opened = true;
        }
        Ok(window)
    }

    /// The next record and its length; `None` at the end, or where damage starts.
    pub fn next(&mut self) -> io::Result<Option<(Record<'_>, usize)>> {
        if !self.opened {
            return Ok(None);
        }
        self.fill_record()?;
        let Some((record, len)) = read(self.bytes.get(self.at..).unwrap_or_default()) else { return Ok(None) };
        self.at += len;
        Ok(Some((record, len)))
    }

    /// Where reading stands in the segment.
    pub fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    /// Goes on to the next good record, or to the end; whether there is one.
    pub fn find_next(&mut self) -> io::Result<bool> {
        loop {
            self.fill_record()?;
            if read(self.bytes.get(self.at..).unwrap_or_default()).is_some() {
                return Ok(true);
            }
            let behind = self.bytes.get(self.at + 1..).unwrap_or_default();
            match behind.windows(MARK.len()).position(|w| w == MARK) {
                Some(n) => self.at += 1 + n,
                None if self.ended => {
                    self.at = self.bytes.len();
                    return Ok(false);
                }
                // The last bytes may be the first of a mark.
                None => self.at = (self.bytes.len() + 1 - MARK.len()).max(self.at + 1),
            }
        }
    }

    /// Memory for the next segment.
    pub fn into_buffer(self) -> Vec<u8> {
        self.bytes
    }

    /// Has the record at hand as a whole, if there is one.
    fn fill_record(&mut self) -> io::Result<()> {
        self.fill(HEADER_BYTES)?;
        match self.bytes.get(self.at..).and_then(whole_length) {
            Some(len) => self.fill(len),
            None => Ok(()),
        }
    }

    /// Has `need` bytes at hand, or all that are left.
    fn fill(&mut self, need: usize) -> io::Result<()> {
        if self.ended || self.bytes.len() - self.at >= need {
            return Ok(());
        }
        self.bytes.drain(..self.at);
        self.base += self.at as u64;
        self.at = 0;
        let more = need.max(self.stretch) - self.bytes.len();
        self.bytes.reserve_exact(more);
        let got = self.from.by_ref().take(more as u64).read_to_end(&mut self.bytes)?;
        self.ended = got < more;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::header;
    use super::super::segment::scan;
    use super::*;

    fn segment(bodies: &[Vec<u8>]) -> Vec<u8> {
        let record = |body: &Vec<u8>| {
            let head = header(&Record { version: 1, received_ms: 7, body });
            [&head[..], body].concat()
        };
        [SEGMENT_MAGIC.to_vec(), bodies.iter().flat_map(record).collect()].concat()
    }

    /// Good records before the damage, where it starts, and whether good ones follow.
    fn windowed(bytes: &[u8], stretch: usize) -> (usize, u64, bool, u64) {
        let mut window = Window::open(bytes, Vec::new(), stretch).unwrap();
        let mut records = 0;
        while let Some((record, len)) = window.next().unwrap() {
            assert_eq!(record.body.len() + HEADER_BYTES, len);
            records += 1;
        }
        let offset = window.offset();
        let more = window.find_next().unwrap();
        (records, offset, more, window.offset())
    }

    /// Cut or damaged at any byte, and read in stretches of any length: it is what one sees who has the whole at hand.
    #[test]
    fn stretches_make_no_difference() {
        // One body looks like a record's beginning itself, one is longer than most stretches.
        let inner = segment(&[vec![9; 5]])[8..].to_vec();
        let whole = segment(&[vec![1; 30], inner, vec![2; 300], Vec::new(), vec![3; 10]]);
        let check = |bytes: &[u8], what: &str| {
            let expect = scan(bytes);
            let starts = if bytes.starts_with(SEGMENT_MAGIC) { 8 } else { 0 };
            let ends: Vec<usize> = std::iter::once(starts).chain(expect.good.iter().map(|r| r.end)).collect();
            let before = expect.good.iter().zip(&ends).take_while(|(r, end)| r.start == **end && starts > 0).count();
            let more = before < expect.good.len();
            let next = expect.good.get(before).map_or(bytes.len(), |r| r.start) as u64;
            for stretch in [1, 3, 22, 64, 199, 4096] {
                let got = windowed(bytes, stretch);
                assert_eq!(got, (before, ends[before] as u64, more, next), "{what}, stretch {stretch}");
            }
        };
        for n in 0..=whole.len() {
            check(&whole[..n], &format!("cut at {n}"));
        }
        for n in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[n] ^= 0x10;
            check(&damaged, &format!("damaged at {n}"));
        }
        check(&[&whole[..], &[0; 500]].concat(), "zeros behind");
    }

    #[test]
    fn memory_is_bounded_by_a_stretch_and_the_longest_record() {
        let whole = segment(&vec![vec![5; 700]; 2000]);
        let mut window = Window::open(&whole[..], Vec::new(), 4096).unwrap();
        let mut records = 0;
        while window.next().unwrap().is_some() {
            records += 1;
        }
        assert_eq!((records, window.offset(), window.find_next().unwrap()), (2000, whole.len() as u64, false));
        let held = window.into_buffer().capacity();
        assert!(held <= 2 * 4096, "{held} of {}", whole.len());
    }
}
