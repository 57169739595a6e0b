//! Remote-write 1.0, visited in place.
//! In: a decompressed `WriteRequest`. Out: one borrowed view per series.
//! Never: allocates, checks UTF-8, or sorts labels: `ingest` checks and sorts them once, when a series is new.
//! Start at [`items`].

use super::RawSample;
use super::cursor::{Cursor, Malformed};
use super::histogram::RawMetadata;
use smallvec::SmallVec;

/// Name and value as sent.
pub type Pair<'a> = (&'a [u8], &'a [u8]);
/// Label sets up to this many pairs need no allocation; Prometheus series have about ten.
pub type Pairs<'a> = SmallVec<[Pair<'a>; 32]>;

/// A series with more labels is refused: an empty label takes two bytes on the wire and 32 in memory.
pub const LABELS_MAX: usize = 1024;

/// A member of the request.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    /// The bytes of a `TimeSeries`: ask [`tail_sample`] first, then [`TimeSeries::parse`].
    Series(&'a [u8]),
    Metadata(RawMetadata<'a>),
}

/// Walks the request. After an error nothing more comes.
pub fn items(message: &[u8]) -> impl Iterator<Item = Result<Item<'_>, Malformed>> {
    let mut cursor = Cursor::new(message);
    let mut broken = false;
    std::iter::from_fn(move || {
        if broken {
            return None;
        }
        let next = next_item(&mut cursor).transpose();
        broken = matches!(next, Some(Err(_)));
        next
    })
}

#[inline]
fn next_item<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Item<'a>>, Malformed> {
    if let Some(series) = cursor.bytes_of(0x0a) {
        return Ok(Some(Item::Series(series)));
    }
    other_item(cursor)
}

/// Every field that does not begin like a series.
fn other_item<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Item<'a>>, Malformed> {
    while let Some(field) = cursor.field()? {
        match field.number {
            1 => return Ok(Some(Item::Series(field.bytes()?))),
            3 => return Ok(Some(Item::Metadata(RawMetadata::parse_v1(field.bytes()?)?))),
            _ => {}
        }
    }
    Ok(None)
}

/// The usual series ends in exactly one sample of 18 bytes: `12 10 09 <value> 10 <six-byte time>`. Cuts it off without a
/// walk and returns what comes before. This is a guess: it holds only if those bytes prove to be labels and nothing else,
/// which they do when they are known from a series that was parsed.
#[inline]
pub fn tail_sample(series: &[u8]) -> Option<(&[u8], RawSample)> {
    let (labels, tail) = series.split_last_chunk::<18>()?;
    let [0x12, 0x10, message @ ..] = tail else { return None };
    Some((labels, usual_sample(message)?))
}

/// A `Sample` of the usual shape: `09 <value> 10 <six-byte time>`.
#[inline]
pub(super) fn usual_sample(message: &[u8; 16]) -> Option<RawSample> {
    let [0x09, v0, v1, v2, v3, v4, v5, v6, v7, 0x10, t @ ..] = message else { return None };
    let mut ms = 0_i64;
    for (i, byte) in t.iter().enumerate() {
        // Five continued bytes and a last one: any other pattern is not a six-byte varint.
        if (*byte < 0x80) != (i == 5) {
            return None;
        }
        ms |= i64::from(byte & 0x7f) << (7 * i);
    }
    let bits = u64::from_le_bytes([*v0, *v1, *v2, *v3, *v4, *v5, *v6, *v7]);
    Some(RawSample { t_ms: ms, bits })
}

/// A `TimeSeries`, walked once: its labels, and the fields that hold its data.
#[derive(Debug)]
pub struct TimeSeries<'a> {
    /// In the order they were sent, repeats included.
    pub labels: Pairs<'a>,
    pub exemplars: usize,
    body: &'a [u8],
    /// The leading run of label fields, unless a label comes later too.
    span: Option<&'a [u8]>,
}

impl<'a> TimeSeries<'a> {
    /// Checks every field, so that [`Self::samples`] and [`Self::histograms`] cannot fail halfway.
    pub fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(body);
        let (mut labels, mut exemplars) = (Pairs::new(), 0);
        let (mut run_end, mut in_run, mut scattered) = (0, true, false);
        while let Some(field) = cursor.field()? {
            if field.number == 1 {
                if labels.len() == LABELS_MAX {
                    return Err(Malformed::TooManyLabels(LABELS_MAX));
                }
                labels.push(pair(field.bytes()?)?);
                scattered |= !in_run;
                run_end = body.len() - cursor.left();
                continue;
            }
            in_run = false;
            match field.number {
                2 => drop(sample(field.bytes()?)?),
                3 => {
                    check_exemplar(field.bytes()?)?;
                    exemplars += 1;
                }
                4 => drop(field.bytes()?),
                _ => {}
            }
        }
        Ok(Self { labels, exemplars, body, span: (!scattered).then(|| &body[..run_end]) })
    }

    /// The bytes of the label fields, if they stand together at the start.
    pub fn label_span(&self) -> Option<&'a [u8]> {
        self.span
    }

    pub fn samples(&self) -> impl Iterator<Item = RawSample> + use<'a> {
        fields(self.body, 2).filter_map(|bytes| sample(bytes).ok())
    }

    /// Each histogram message, for [`super::histogram()`].
    pub fn histograms(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        fields(self.body, 4)
    }
}

/// The byte values of every field `number` in a message that has been checked.
pub(super) fn fields(body: &[u8], number: u32) -> impl Iterator<Item = &[u8]> {
    let mut cursor = Cursor::new(body);
    std::iter::from_fn(move || {
        loop {
            let field = cursor.field().ok()??;
            if field.number == number {
                return field.bytes().ok();
            }
        }
    })
}

fn pair(label: &[u8]) -> Result<Pair<'_>, Malformed> {
    let mut cursor = Cursor::new(label);
    let (mut name, mut value): Pair<'_> = (&[], &[]);
    while let Some(field) = cursor.field()? {
        match field.number {
            1 => name = field.bytes()?,
            2 => value = field.bytes()?,
            _ => {}
        }
    }
    Ok((name, value))
}

/// `Sample` has the same fields in 1.0 and 2.0, but for the start timestamp.
pub(super) fn sample(message: &[u8]) -> Result<RawSample, Malformed> {
    let mut cursor = Cursor::new(message);
    let mut sample = RawSample { t_ms: 0, bits: 0 };
    while let Some(field) = cursor.field()? {
        match field.number {
            1 => sample.bits = field.double()?,
            2 => sample.t_ms = field.varint()? as i64,
            3 => drop(field.varint()?),
            _ => {}
        }
    }
    Ok(sample)
}

fn check_exemplar(message: &[u8]) -> Result<(), Malformed> {
    let mut cursor = Cursor::new(message);
    while let Some(field) = cursor.field()? {
        match field.number {
            1 => drop(pair(field.bytes()?)?),
            2 => drop(field.double()?),
            3 => drop(field.varint()?),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(name: &str, value: &str) -> Vec<u8> {
        let message = crate::wire::remote_write::proto::v1::Label { name: name.into(), value: value.into() };
        let request = crate::wire::remote_write::proto::v1::TimeSeries { labels: vec![message], ..Default::default() };
        prost::Message::encode_to_vec(&request)
    }

    #[test]
    fn the_tail_is_one_usual_sample() {
        let mut body = label("a", "1");
        let span = body.clone();
        let t_ms = 1_767_323_045_000;
        let sample = crate::wire::remote_write::proto::v1::Sample { value: 2.5, timestamp: t_ms };
        let series = crate::wire::remote_write::proto::v1::TimeSeries { samples: vec![sample], ..Default::default() };
        body.extend(prost::Message::encode_to_vec(&series));
        let raw = RawSample { t_ms, bits: 2.5_f64.to_bits() };
        assert_eq!(tail_sample(&body), Some((&span[..], raw)));
        let parsed = TimeSeries::parse(&body).unwrap();
        assert_eq!((parsed.label_span(), parsed.samples().collect::<Vec<_>>()), (Some(&span[..]), vec![raw]));
        assert_eq!(tail_sample(&body[..body.len() - 1]), None);
    }
}
