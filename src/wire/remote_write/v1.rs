//! Remote-write 1.0, visited in place.
//! In: a decompressed `WriteRequest`. Out: one borrowed view per series.
//! Never: allocates, checks UTF-8, or sorts; whoever meets a new series does that once.
//! Start at [`items`].

use super::RawSample;
use super::cursor::{Cursor, Malformed};
use super::histogram::RawMetadata;
use smallvec::SmallVec;

/// Name and value as sent.
pub type Pair<'a> = (&'a [u8], &'a [u8]);
/// Label sets up to this many pairs need no allocation; Prometheus series have about ten.
pub type Pairs<'a> = SmallVec<[Pair<'a>; 32]>;

/// No series has so many labels; two bytes on the wire would become 32 in memory.
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

/// Whatever does not look like a series at first sight.
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
/// which a byte-for-byte comparison with a known series shows.
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

/// Whether a span of label fields holds exactly the `expected` pairs in their order, plus `extra` once, anywhere, if given.
/// A span that is written in another order is not "equal": the slow path finds its series.
#[inline]
pub fn span_equals<'l>(
    span: &[u8],
    expected: impl Iterator<Item = (&'l str, &'l str)>,
    mut extra: Option<(&str, &str)>,
) -> bool {
    let mut rest = span;
    for (name, value) in expected {
        if let Some(after) = strip_label(rest, name, value) {
            rest = after;
            continue;
        }
        let Some(skipped) = extra.take().and_then(|(n, v)| strip_label(rest, n, v)) else { return false };
        let Some(after) = strip_label(skipped, name, value) else { return false };
        rest = after;
    }
    if let Some((name, value)) = extra {
        return strip_label(rest, name, value).is_some_and(<[u8]>::is_empty);
    }
    rest.is_empty()
}

/// What follows the label field `name="value"` at the start of `span`.
#[inline]
fn strip_label<'a>(span: &'a [u8], name: &str, value: &str) -> Option<&'a [u8]> {
    // The shape that every sender writes: 0a L 0a n <name> 12 v <value>, each length in one byte.
    let (n, v) = (name.len(), value.len());
    if n + v + 4 >= 0x80 {
        return strip_long_label(span, name, value);
    }
    let ([0x0a, whole, 0x0a, name_len], after) = span.split_first_chunk::<4>()? else { return None };
    if *whole as usize != n + v + 4 || *name_len as usize != n {
        return None;
    }
    let (sent_name, after) = after.split_at_checked(n)?;
    let ([0x12, value_len], after) = after.split_first_chunk::<2>()? else { return None };
    if *value_len as usize != v {
        return None;
    }
    let (sent_value, after) = after.split_at_checked(v)?;
    (sent_name == name.as_bytes() && sent_value == value.as_bytes()).then_some(after)
}

#[cold]
fn strip_long_label<'a>(span: &'a [u8], name: &str, value: &str) -> Option<&'a [u8]> {
    let mut cursor = Cursor::new(span);
    let field = cursor.field().ok()??;
    let (sent_name, sent_value) = pair(field.bytes().ok()?).ok()?;
    (field.number == 1 && sent_name == name.as_bytes() && sent_value == value.as_bytes()).then(|| cursor.rest())
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
    use crate::model::Labels;

    fn label(name: &str, value: &str) -> Vec<u8> {
        let message = crate::wire::remote_write::proto::v1::Label { name: name.into(), value: value.into() };
        let request = crate::wire::remote_write::proto::v1::TimeSeries { labels: vec![message], ..Default::default() };
        prost::Message::encode_to_vec(&request)
    }

    #[test]
    fn a_span_is_compared_label_by_label() {
        let long = "x".repeat(300);
        let labels = Labels::from_pairs([("a", "1"), ("bb", long.as_str()), ("c", "3")]);
        let check = |pairs: &[(&str, &str)], extra, expect: bool| {
            let span: Vec<u8> = pairs.iter().flat_map(|(n, v)| label(n, v)).collect();
            assert_eq!(span_equals(&span, labels.iter(), extra), expect, "{pairs:?} {extra:?}");
        };
        let all = [("a", "1"), ("bb", long.as_str()), ("c", "3")];
        check(&all, None, true);
        check(&all, Some(("r", "x")), false);
        check(&all[..2], None, false);
        check(&[all[0], all[1], all[2], ("d", "4")], None, false);
        check(&[("a", "2"), all[1], all[2]], None, false);
        check(&[all[1], all[0], all[2]], None, false);
        check(&[("A", "r"), all[0], all[1], all[2]], Some(("A", "r")), true);
        check(&[all[0], ("b", "r"), all[1], all[2]], Some(("b", "r")), true);
        check(&[all[0], all[1], all[2], ("r", "r")], Some(("r", "r")), true);
        check(&[all[0], all[1], all[2], ("r", "other")], Some(("r", "r")), false);
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
