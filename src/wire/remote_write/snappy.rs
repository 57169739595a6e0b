//! Snappy block format, opened only after its declared length has been checked.
//! In: a compressed body. Out: the message in a buffer that is used again.
//! Never: allocates what a header merely claims.
//! Start at [`decompress`].

/// The largest compressed body that is read: Prometheus' receiver refuses more with 413 as well.
pub const WIRE_BYTES_MAX: usize = 32 << 20;
/// The largest message that a body may declare: the same limit after decompression, a 400 as in Prometheus.
pub const DECODED_BYTES_MAX: usize = 32 << 20;
/// What a reused buffer may keep: usual bodies decode to well below this, and a rare giant must not stay for ever.
const BUFFER_KEPT_BYTES_MAX: usize = 4 << 20;

/// The body cannot be opened; the answer is 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBody {
    #[error("snappy: {0}")]
    Snappy(String),
    #[error("snappy: the declared length {declared} is above the limit of {max} bytes")]
    TooLarge { declared: usize, max: usize },
    #[error("snappy: the declared length {declared} is more than {compressed} compressed bytes can hold")]
    Lying { declared: usize, compressed: usize },
}

/// What the body claims to become, checked against the limit and against what its size can yield at all.
pub fn declared_length(body: &[u8]) -> Result<usize, BadBody> {
    declared_length_within(body, DECODED_BYTES_MAX)
}

/// The same with a limit that may be tighter.
pub fn declared_length_within(body: &[u8], max: usize) -> Result<usize, BadBody> {
    // The decoder reads no header from an empty slice, but an empty body is not a snappy block either.
    if body.is_empty() {
        return Err(BadBody::Snappy("the body is empty".to_owned()));
    }
    let declared = snap::raw::decompress_len(body).map_err(|e| BadBody::Snappy(e.to_string()))?;
    let max = max.min(DECODED_BYTES_MAX);
    if declared > max {
        return Err(BadBody::TooLarge { declared, max });
    }
    // The densest element is a copy: three bytes make at most 64.
    if declared > body.len().saturating_mul(64) {
        return Err(BadBody::Lying { declared, compressed: body.len() });
    }
    Ok(declared)
}

/// Fills the front of `buffer` and returns it; the buffer grows to the declared length at most.
pub fn decompress<'b>(body: &[u8], buffer: &'b mut Vec<u8>) -> Result<&'b [u8], BadBody> {
    let declared = declared_length(body)?;
    if buffer.len() < declared || buffer.len() > BUFFER_KEPT_BYTES_MAX {
        buffer.resize(declared, 0);
        buffer.shrink_to(declared.max(BUFFER_KEPT_BYTES_MAX));
    }
    let written = snap::raw::Decoder::new().decompress(body, buffer).map_err(|e| BadBody::Snappy(e.to_string()))?;
    Ok(&buffer[..written])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lying_length_allocates_nothing() {
        let mut buffer = Vec::new();
        // A varint that claims 4 GiB - 1, and one that claims 31 MiB, each with no data behind it.
        assert!(matches!(
            decompress(&[0xff, 0xff, 0xff, 0xff, 0x0f], &mut buffer),
            Err(BadBody::TooLarge { .. } | BadBody::Snappy(_))
        ));
        assert!(matches!(decompress(&[0x80, 0x80, 0x80, 0x0f], &mut buffer), Err(BadBody::Lying { .. })));
        assert!(matches!(decompress(&[], &mut buffer), Err(BadBody::Snappy(_))));
        assert_eq!(buffer.capacity(), 0);
    }

    #[test]
    fn the_buffer_is_used_again() {
        let mut buffer = Vec::new();
        let long = super::super::compress(&[7; 10_000]);
        let short = super::super::compress(b"ab");
        assert_eq!(decompress(&long, &mut buffer).map(<[u8]>::len), Ok(10_000));
        assert_eq!(decompress(&short, &mut buffer), Ok(&b"ab"[..]));
        assert_eq!(buffer.len(), 10_000);
    }
}
