//! CRC-32C (Castagnoli), by the processor's own instruction where it has one.
//! In: bytes. Out: the checksum that iSCSI, ext4 and others use.
//! Never: copies what it reads.
//! Start at [`crc32c`].

/// The checksum of all `parts` as if they were one.
pub(super) fn crc32c(parts: &[&[u8]]) -> u32 {
    parts.iter().fold(0, |crc, part| ::crc32c::crc32c_append(crc, part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_the_standard() {
        assert_eq!(crc32c(&[b"123456789"]), 0xe306_9283);
        assert_eq!(crc32c(&[b"12345678", b"9"]), 0xe306_9283);
        assert_eq!(crc32c(&[b"123", b"456789"]), 0xe306_9283);
        assert_eq!(crc32c(&[&[0_u8; 32]]), 0x8a91_36aa);
    }
}
