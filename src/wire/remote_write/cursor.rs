//! A bounds-checked reader of the protobuf wire format.
//! In: a byte slice. Out: fields whose byte values borrow from it.
//! Never: allocates, panics, or reads past the slice.
//! Start at [`Cursor::field`].

/// The body is not the message it claims to be; nothing after this point can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("malformed protobuf: a field runs past the end of its message")]
    Truncated,
    #[error("malformed protobuf: a varint is longer than ten bytes")]
    Varint,
    #[error("malformed protobuf: field number or wire type is not valid")]
    Tag,
    #[error("malformed protobuf: field {0} has an unexpected wire type")]
    WireType(u32),
    #[error("malformed request: more than {0} symbols")]
    TooManySymbols(usize),
    #[error("malformed request: a series or exemplar with more than {0} labels")]
    TooManyLabels(usize),
    #[error("malformed request: a histogram with more than {0} bytes of buckets")]
    TooManyBuckets(usize),
    #[error("malformed request: the first symbol must be the empty string")]
    FirstSymbol,
}

/// What a field holds, by wire type.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    pub number: u32,
    pub value: Value<'a>,
}

impl<'a> Field<'a> {
    pub fn bytes(self) -> Result<&'a [u8], Malformed> {
        if let Value::Bytes(bytes) = self.value { Ok(bytes) } else { Err(Malformed::WireType(self.number)) }
    }

    pub fn varint(self) -> Result<u64, Malformed> {
        if let Value::Varint(v) = self.value { Ok(v) } else { Err(Malformed::WireType(self.number)) }
    }

    /// The bits of a double.
    pub fn double(self) -> Result<u64, Malformed> {
        if let Value::Fixed64(v) = self.value { Ok(v) } else { Err(Malformed::WireType(self.number)) }
    }
}

/// What is left of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn left(&self) -> usize {
        self.rest.len()
    }

    #[inline]
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        // Nearly every length and tag is one byte.
        match self.rest {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            // A reference into a table of a few thousand symbols, or the length of a series.
            [low, high, rest @ ..] if *high < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*low & 0x7f) | u64::from(*high) << 7)
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for (i, byte) in self.rest.iter().take(10).enumerate() {
            if i == 9 && *byte > 1 {
                return Err(Malformed::Varint);
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if *byte < 0x80 {
                self.rest = &self.rest[i + 1..];
                return Ok(value);
            }
        }
        Err(if self.rest.len() >= 10 { Malformed::Varint } else { Malformed::Truncated })
    }

    #[inline]
    fn take(&mut self, n: u64) -> Result<&'a [u8], Malformed> {
        let n = usize::try_from(n).map_err(|_| Malformed::Truncated)?;
        let (head, rest) = self.rest.split_at_checked(n).ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    #[inline]
    pub fn fixed64(&mut self) -> Result<u64, Malformed> {
        let (head, rest) = self.rest.split_first_chunk::<8>().ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*head))
    }

    /// The next field's bytes if its tag is this one byte; nothing is consumed otherwise. For the one field of which a
    /// message has thousands.
    #[inline]
    pub fn bytes_of(&mut self, tag: u8) -> Option<&'a [u8]> {
        let [first, rest @ ..] = self.rest else { return None };
        if *first != tag {
            return None;
        }
        let mut after = Self { rest };
        let len = after.varint().ok()?;
        let bytes = after.take(len).ok()?;
        *self = after;
        Some(bytes)
    }

    /// The next field, or `None` at the end of the message.
    #[inline]
    pub fn field(&mut self) -> Result<Option<Field<'a>>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = u32::try_from(self.varint()?).map_err(|_| Malformed::Tag)?;
        let number = tag >> 3;
        if number == 0 {
            return Err(Malformed::Tag);
        }
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(self.fixed64()?),
            2 => {
                let len = self.varint()?;
                Value::Bytes(self.take(len)?)
            }
            5 => {
                self.take(4)?;
                Value::Fixed32
            }
            // Groups (3 and 4) are not in either message and no sender makes them.
            _ => return Err(Malformed::Tag),
        };
        Ok(Some(Field { number, value }))
    }
}

/// `sint32` and `sint64` on the wire.
pub(super) fn unzigzag(v: u64) -> i64 {
    ((v >> 1) as i64) ^ -((v & 1) as i64)
}

/// Calls `each` for a repeated varint field, packed or not.
pub(super) fn repeated_varint(
    field: Field<'_>,
    mut each: impl FnMut(u64) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    match field.value {
        Value::Varint(v) => each(v),
        Value::Bytes(bytes) => {
            let mut packed = Cursor::new(bytes);
            while !packed.is_empty() {
                each(packed.varint()?)?;
            }
            Ok(())
        }
        _ => Err(Malformed::WireType(field.number)),
    }
}

/// Calls `each` for a repeated double field, packed or not, with the bits.
pub(super) fn repeated_double(field: Field<'_>, mut each: impl FnMut(u64)) -> Result<(), Malformed> {
    match field.value {
        Value::Fixed64(v) => each(v),
        Value::Bytes(bytes) => {
            let mut packed = Cursor::new(bytes);
            while !packed.is_empty() {
                each(packed.fixed64()?);
            }
        }
        _ => return Err(Malformed::WireType(field.number)),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_at_their_edges() {
        let check = |bytes: &[u8], expect: Result<u64, Malformed>| {
            assert_eq!(Cursor::new(bytes).varint(), expect, "{bytes:?}");
        };
        check(&[], Err(Malformed::Truncated));
        check(&[0x7f], Ok(127));
        check(&[0x80], Err(Malformed::Truncated));
        check(&[0x80, 0x01], Ok(128));
        check(&[0xff; 9], Err(Malformed::Truncated));
        check(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], Ok(u64::MAX));
        check(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], Err(Malformed::Varint));
        check(&[0x80; 11], Err(Malformed::Varint));
    }

    #[test]
    fn fields_that_lie_are_refused() {
        let check = |bytes: &[u8], expect: Malformed| {
            assert_eq!(Cursor::new(bytes).field().map(|_| ()), Err(expect), "{bytes:?}");
        };
        check(&[0x02, 0x00], Malformed::Tag);
        check(&[0x0a, 0x05, 1, 2], Malformed::Truncated);
        check(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], Malformed::Truncated);
        check(&[0x09, 1, 2, 3], Malformed::Truncated);
        check(&[0x0b], Malformed::Tag);
        check(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x01], Malformed::Tag);
    }
}
