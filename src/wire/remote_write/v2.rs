//! Remote-write 2.0, visited in place.
//! In: a decompressed `Request`. Out: a symbol table and one borrowed view per series.
//! Never: copies a symbol, or follows a reference outside the table.
//! Start at [`Symbols::read`], then [`series`].

use super::RawSample;
use super::cursor::{Cursor, Malformed, repeated_varint};
use super::histogram::RawMetadata;
use super::v1::{LABELS_MAX, Pairs, fields, sample, usual_sample};
use smallvec::SmallVec;

/// More symbols than this in one request are refused: a usual request has a few thousand, and each costs us 16 bytes.
pub const SYMBOLS_MAX: usize = 1 << 20;

/// The symbol table as places in the message, with one hash each; the memory is used again for the next request.
#[derive(Debug, Default)]
pub struct Symbols {
    places: Vec<(u32, u32)>,
    hashes: Vec<u64>,
}

impl Symbols {
    /// Reads every symbol of `message`, wherever it stands, and hashes each once.
    pub fn read(&mut self, message: &[u8], hash: impl Fn(&[u8]) -> u64) -> Result<(), Malformed> {
        self.places.clear();
        self.hashes.clear();
        let mut cursor = Cursor::new(message);
        loop {
            // Series are stepped over; symbols come before them, but nothing says that they must.
            if cursor.bytes_of(0x2a).is_some() {
                continue;
            }
            let symbol = match cursor.bytes_of(0x22) {
                Some(symbol) => symbol,
                None => match cursor.field()? {
                    None => break,
                    Some(field) if field.number == 4 => field.bytes()?,
                    Some(_) => continue,
                },
            };
            if self.places.is_empty() && !symbol.is_empty() {
                return Err(Malformed::FirstSymbol);
            }
            if self.places.len() == SYMBOLS_MAX {
                return Err(Malformed::TooManySymbols(SYMBOLS_MAX));
            }
            let end = message.len() - cursor.left();
            self.places.push(((end - symbol.len()) as u32, symbol.len() as u32));
            self.hashes.push(hash(symbol));
        }
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The text of a symbol; `message` must be the one that was read. `None`: outside of the table.
    #[inline]
    pub fn get<'a>(&self, message: &'a [u8], symbol: u32) -> Option<&'a [u8]> {
        let (start, len) = *self.places.get(symbol as usize)?;
        message.get(start as usize..start as usize + len as usize)
    }

    /// The hashes of every label pair that packed references name; `None` once one is outside of the table, or has no
    /// partner.
    #[inline]
    pub fn hashes<'s>(&'s self, mut refs: &'s [u8]) -> impl Iterator<Item = Option<(u64, u64)>> + use<'s> {
        std::iter::from_fn(move || {
            if refs.is_empty() {
                return None;
            }
            let pair = |refs: &'s [u8]| {
                let (name, rest) = reference(refs)?;
                let (value, rest) = reference(rest)?;
                Some(((*self.hashes.get(name)?, *self.hashes.get(value)?), rest))
            };
            let Some((pair, rest)) = pair(refs) else { return Some(None) };
            refs = rest;
            Some(Some(pair))
        })
    }

    /// The label pairs that packed references name, those outside of the table left out.
    pub fn pairs<'a>(&self, message: &'a [u8], refs: &[u8]) -> Pairs<'a> {
        let mut cursor = Cursor::new(refs);
        let mut text = || self.get(message, u32::try_from(cursor.varint().ok()?).ok()?);
        std::iter::from_fn(|| Some((text()?, text()?))).collect()
    }

    #[inline]
    pub fn hash(&self, symbol: u32) -> Option<u64> {
        self.hashes.get(symbol as usize).copied()
    }
}

/// A reference, and what follows it. A table of a few thousand symbols needs one or two bytes for each.
#[inline]
fn reference(refs: &[u8]) -> Option<(usize, &[u8])> {
    match refs {
        [byte, rest @ ..] if *byte < 0x80 => Some((usize::from(*byte), rest)),
        [low, high, rest @ ..] if *high < 0x80 => Some((usize::from(*low & 0x7f) | usize::from(*high) << 7, rest)),
        _ => {
            let mut cursor = Cursor::new(refs);
            let long = usize::try_from(cursor.varint().ok()?).ok()?;
            Some((long, refs.get(refs.len() - cursor.left()..)?))
        }
    }
}

/// The bytes of each `TimeSeries`: ask [`usual`] first, then [`TimeSeries::parse`]. After an error nothing more comes.
pub fn series(message: &[u8]) -> impl Iterator<Item = Result<&[u8], Malformed>> {
    let mut cursor = Cursor::new(message);
    let mut broken = false;
    std::iter::from_fn(move || {
        if broken {
            return None;
        }
        let next = next_series(&mut cursor).transpose();
        broken = matches!(next, Some(Err(_)));
        next
    })
}

#[inline]
fn next_series<'a>(cursor: &mut Cursor<'a>) -> Result<Option<&'a [u8]>, Malformed> {
    if let Some(series) = cursor.bytes_of(0x2a) {
        return Ok(Some(series));
    }
    while let Some(field) = cursor.field()? {
        if field.number == 5 {
            return field.bytes().map(Some);
        }
    }
    Ok(None)
}

/// The usual series: packed references, one sample, and perhaps metadata whose references are within the table of
/// `symbols`. Returns the references' bytes and the sample; anything else is for [`TimeSeries::parse`].
#[inline]
pub fn usual(body: &[u8], symbols: usize) -> Option<(&[u8], RawSample)> {
    let ([0x0a, len], rest) = body.split_first_chunk::<2>()? else { return None };
    if *len >= 0x80 {
        return None;
    }
    let (refs, rest) = rest.split_at_checked(usize::from(*len))?;
    let ([0x12, len], rest) = rest.split_first_chunk::<2>()? else { return None };
    if *len >= 0x80 {
        return None;
    }
    let (message, rest) = rest.split_at_checked(usize::from(*len))?;
    let usual = message.try_into().ok().and_then(usual_sample);
    let sample = usual.map_or_else(|| sample(message).ok(), Some)?;
    if let [0x2a, len, metadata @ ..] = rest
        && usize::from(*len) == metadata.len()
        && *len < 0x80
    {
        return metadata_is_within(metadata, symbols).then_some((refs, sample));
    }
    rest.is_empty().then_some((refs, sample))
}

/// Whether metadata holds its three numbers and nothing else, with both references within the table.
#[inline]
fn metadata_is_within(metadata: &[u8], symbols: usize) -> bool {
    let mut cursor = Cursor::new(metadata);
    while !cursor.is_empty() {
        let (Ok(tag), Ok(value)) = (cursor.varint(), cursor.varint()) else { return false };
        match tag {
            0x08 => {}
            0x18 | 0x20 if (value as usize) < symbols => {}
            _ => return false,
        }
    }
    true
}

/// A `TimeSeries`, walked once.
#[derive(Debug)]
pub struct TimeSeries<'a> {
    /// Name and value references in the order they were sent; an odd number is the sender's mistake.
    pub refs: SmallVec<[u32; 64]>,
    pub samples: usize,
    pub histograms: usize,
    pub metadata: Option<RawMetadata<'a>>,
    exemplars: usize,
    body: &'a [u8],
}

impl<'a> TimeSeries<'a> {
    pub fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut series = Self { refs: SmallVec::new(), samples: 0, histograms: 0, metadata: None, exemplars: 0, body };
        let mut cursor = Cursor::new(body);
        while let Some(field) = cursor.field()? {
            match field.number {
                1 => repeated_varint(field, |v| push_ref(&mut series.refs, v))?,
                2 => {
                    sample(field.bytes()?)?;
                    series.samples += 1;
                }
                3 => {
                    field.bytes()?;
                    series.histograms += 1;
                }
                4 => {
                    exemplar_refs(field.bytes()?)?;
                    series.exemplars += 1;
                }
                5 => series.metadata = Some(RawMetadata::parse_v2(field.bytes()?)?),
                _ => {}
            }
        }
        Ok(series)
    }

    /// Start timestamps are stepped over: that of a sample or histogram (`start_timestamp`), and that of a whole series in
    /// older senders (field 6, `created_timestamp`). Prometheus' receiver does so too, in 3.5 and in 3.14
    /// (`storage/remote/write_handler.go`), unless one of its experiments is on (`created-timestamp-zero-ingestion`,
    /// `st-storage`), and a `rate` must be the same here as there.
    pub fn samples(&self) -> impl Iterator<Item = RawSample> + use<'a> {
        fields(self.body, 2).filter_map(|bytes| sample(bytes).ok())
    }

    /// Each histogram message, for [`super::histogram()`].
    pub fn histograms(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        fields(self.body, 3)
    }

    pub fn exemplars(&self) -> usize {
        self.exemplars
    }

    /// The label references of each exemplar.
    pub fn exemplar_refs(&self) -> impl Iterator<Item = SmallVec<[u32; 8]>> + use<'a> {
        fields(self.body, 4).filter_map(|bytes| exemplar_refs(bytes).ok())
    }
}

/// A reference beyond 32 bits is outside of every table; it is reported as such, not cut to fit.
fn push_ref<A: smallvec::Array<Item = u32>>(refs: &mut SmallVec<A>, v: u64) -> Result<(), Malformed> {
    if refs.len() == 2 * LABELS_MAX {
        return Err(Malformed::TooManyLabels(LABELS_MAX));
    }
    refs.push(u32::try_from(v).unwrap_or(u32::MAX));
    Ok(())
}

fn exemplar_refs(message: &[u8]) -> Result<SmallVec<[u32; 8]>, Malformed> {
    let mut refs = SmallVec::new();
    let mut cursor = Cursor::new(message);
    while let Some(field) = cursor.field()? {
        match field.number {
            1 => repeated_varint(field, |v| push_ref(&mut refs, v))?,
            2 => drop(field.double()?),
            3 => drop(field.varint()?),
            _ => {}
        }
    }
    Ok(refs)
}
