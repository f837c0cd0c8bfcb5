//! Kafka's zig-zag varints (`ByteUtils.readVarint`, `readVarlong`).
//!
//! Must never read more than five bytes for an int, ten for a long.

use std::io::{self, BufRead};

/// Reads an int and moves `input` behind it; `None` if it is cut or too long.
#[inline]
pub(crate) fn read_i32(input: &mut &[u8]) -> Option<i32> {
    // Most numbers of a record are small, and there are eight in each.
    if let Some(byte) = read_one(input) {
        return Some(i32::from(byte >> 1) ^ -i32::from(byte & 1));
    }
    read_long_i32(input)
}

fn read_long_i32(input: &mut &[u8]) -> Option<i32> {
    let mut value = 0u32;
    for (index, &byte) in input.iter().enumerate().take(5) {
        value |= u32::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            *input = &input[index + 1..];
            return Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
        }
    }
    None
}

/// Reads a long and moves `input` behind it; `None` if it is cut or too long.
#[inline]
pub(crate) fn read_i64(input: &mut &[u8]) -> Option<i64> {
    if let Some(byte) = read_one(input) {
        return Some(i64::from(byte >> 1) ^ -i64::from(byte & 1));
    }
    read_long_i64(input)
}

/// The bits of a number that has one byte.
#[inline]
fn read_one(input: &mut &[u8]) -> Option<u8> {
    let (&byte, rest) = input.split_first().filter(|(byte, _)| **byte < 0x80)?;
    *input = rest;
    Some(byte)
}

fn read_long_i64(input: &mut &[u8]) -> Option<i64> {
    let mut value = 0u64;
    for (index, &byte) in input.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            *input = &input[index + 1..];
            return Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
        }
    }
    None
}

/// Reads a long of at most `max_bytes` bytes from a stream, with the number of bytes it took.
pub(crate) fn read_from(input: &mut impl BufRead, max_bytes: usize) -> io::Result<(i64, usize)> {
    let mut value = 0u64;
    for index in 0..max_bytes {
        let byte = *input.fill_buf()?.first().ok_or(io::ErrorKind::UnexpectedEof)?;
        input.consume(1);
        value |= u64::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(((value >> 1).cast_signed() ^ -(value & 1).cast_signed(), index + 1));
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "varint is too long"))
}

/// Appends `value`; an int and a long of the same value have the same bytes.
pub(crate) fn write(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push((rest & 0x7F) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Bytes that [`write`] appends.
pub(crate) fn len(value: i64) -> usize {
    let zigzag = ((value << 1) ^ (value >> 63)).cast_unsigned();
    (64 - (zigzag | 1).leading_zeros() as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_with_the_length_foretold() {
        let mut edges = vec![0, 1, -1, 63, 64, -64, -65, i64::MAX, i64::MIN];
        edges.extend((0..63).map(|bit| 1i64 << bit));
        for value in edges {
            let mut bytes = Vec::new();
            write(value, &mut bytes);
            assert_eq!(bytes.len(), len(value), "{value}");
            assert_eq!(read_i64(&mut bytes.as_slice()), Some(value));
            assert_eq!(read_from(&mut bytes.as_slice(), 10).unwrap(), (value, bytes.len()));
            if let Ok(int) = i32::try_from(value) {
                assert_eq!(read_i32(&mut bytes.as_slice()), Some(int));
            }
        }
    }

    #[test]
    fn cut_and_endless_numbers_are_refused() {
        assert_eq!(read_i32(&mut [0x80u8; 4].as_slice()), None);
        assert_eq!(read_i32(&mut [0x80u8; 9].as_slice()), None);
        assert_eq!(read_i64(&mut [0xFFu8; 20].as_slice()), None);
        assert!(read_from(&mut [0xFFu8; 20].as_slice(), 5).is_err());
    }
}
