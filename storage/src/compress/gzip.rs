//! Gzip as `GZIPOutputStream` writes it and as `GZIPInputStream` reads it, with members that follow each other.
//!
//! What clients send is one member of a few MB at most. libdeflate unpacks such a one in one go, at less than half the time of a
//! stream (measured: 1.1 against 2.6 s per GB). Whatever is another way, or damaged, is read as a stream, and that one says what is
//! wrong. Must never give memory for a size that so many packed bytes cannot have.

use std::io::{self, BufRead, BufReader, Read, Write};

use flate2::bufread::MultiGzDecoder;
use libdeflater::Decompressor;

use super::kept::{self, KEPT_MAX};
use super::{READ_BUFFER_LEN, read_from_buffer};

/// How a member begins: its magic, deflate, and none of the fields that a stream has to check.
const HEAD: [u8; 4] = [0x1f, 0x8b, 8, 0];
/// A head of ten bytes, an empty block, a checksum and a size.
const MEMBER_MIN: usize = 20;
/// Deflate packs at most so many bytes into one (258 in two bits).
const GROWTH_MAX: usize = 1032;

pub(super) fn compress(level: Option<i32>, input: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let level = match level.map(u32::try_from) {
        Some(Ok(level @ 0..=9)) => flate2::Compression::new(level),
        _ => flate2::Compression::default(),
    };
    let mut encoder = flate2::write::GzEncoder::new(out, level);
    encoder.write_all(input)?;
    encoder.finish().map(drop)
}

/// Unpacks all members; more than `cap` bytes come only as a stream, which the caller can leave.
pub(super) fn reader(input: &[u8], cap: usize) -> Box<dyn BufRead + '_> {
    match Whole::unpack(input, cap) {
        Some(whole) => Box::new(whole),
        None => Box::new(BufReader::with_capacity(READ_BUFFER_LEN, MultiGzDecoder::new(input))),
    }
}

/// A member that was unpacked in one go.
struct Whole {
    unpacked: Vec<u8>,
    at: usize,
    end: usize,
}

impl Whole {
    fn unpack(input: &[u8], cap: usize) -> Option<Self> {
        let len = len_of_one(input).filter(|len| *len <= cap.min(KEPT_MAX))?;
        let mut unpacked = kept::take(len);
        // It compares the checksum and the size that stand behind the member with what came out.
        let given = Decompressor::new().gzip_decompress(input, &mut unpacked[..len]);
        let whole = Self { unpacked, at: 0, end: len };
        (given == Ok(len)).then_some(whole)
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        kept::give_back(std::mem::take(&mut self.unpacked));
    }
}

impl BufRead for Whole {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(&self.unpacked[self.at..self.end])
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount;
    }
}

impl Read for Whole {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        read_from_buffer(self, buf)
    }
}

/// The size that the last bytes tell of a single member, if it can be one.
fn len_of_one(input: &[u8]) -> Option<usize> {
    if input.len() < MEMBER_MIN || input[..HEAD.len()] != HEAD {
        return None;
    }
    // libdeflate does not tell whether a second member follows. Three such bytes by chance only cost the time of a stream.
    if memchr::memmem::find(&input[1..], &HEAD[..3]).is_some() {
        return None;
    }
    let len = u32::from_le_bytes(*input.last_chunk()?) as usize;
    (len <= input.len().saturating_mul(GROWTH_MAX)).then_some(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::{Codec, DecompressError, decompress};

    fn packed(input: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        compress(None, input, &mut out).unwrap();
        out
    }

    fn unpacked(input: &[u8], cap: usize) -> Result<Vec<u8>, DecompressError> {
        let mut out = Vec::new();
        decompress(Codec::Gzip, input, cap, &mut out).map(|()| out)
    }

    fn in_one_go(input: &[u8], cap: usize) -> bool {
        Whole::unpack(input, cap).is_some()
    }

    #[test]
    fn one_member_is_unpacked_in_one_go_and_again() {
        for input in [&b""[..], b"a", &[7; 100_000], &[1, 2, 3, 4].repeat(KEPT_MAX / 4)] {
            let member = packed(input);
            assert!(in_one_go(&member, input.len()), "{}", input.len());
            assert!(unpacked(&member, input.len()).unwrap() == input);
        }
    }

    #[test]
    fn members_that_follow_each_other_are_all_read() {
        let one = packed(b"the same");
        let twice = [&one[..], &one].concat();
        // The first member's size and checksum stand at the end too.
        assert!(!in_one_go(&twice, 1 << 20));
        assert_eq!(unpacked(&twice, 1 << 20).unwrap(), b"the samethe same");
    }

    #[test]
    fn what_is_large_or_unlike_is_read_as_a_stream() {
        let large = vec![9; KEPT_MAX + 1];
        let member = packed(&large);
        assert!(!in_one_go(&member, usize::MAX));
        assert!(unpacked(&member, large.len()).unwrap() == large);
        let small = packed(b"over the cap");
        assert!(!in_one_go(&small, 11));
        let error = unpacked(&small, 11).unwrap_err();
        assert_eq!(error, DecompressError::TooLarge { codec: Codec::Gzip, cap: 11 });
        let mut named =
            flate2::GzBuilder::new().filename("name").write(Vec::new(), flate2::Compression::fast());
        named.write_all(b"with a name").unwrap();
        let named = named.finish().unwrap();
        assert!(!in_one_go(&named, 1 << 20));
        assert_eq!(unpacked(&named, 1 << 20).unwrap(), b"with a name");
    }

    #[test]
    fn no_memory_is_given_for_a_size_that_cannot_be() {
        let mut member = packed(&[5; 10_000]);
        let at = member.len() - 4;
        member[at..].copy_from_slice(&(KEPT_MAX as u32).to_le_bytes());
        assert_eq!(len_of_one(&member), None);
        assert!(unpacked(&member, 1 << 20).is_err());
    }

    #[test]
    fn every_damaged_byte_is_found_by_one_or_the_other() {
        let input = b"some text, some other text, and some text again";
        let member = packed(input);
        for at in 0..member.len() {
            let mut damaged = member.clone();
            damaged[at] ^= 0x10;
            let whole = unpacked(&damaged, 1 << 20);
            let mut streamed = Vec::new();
            let stream = MultiGzDecoder::new(&damaged[..]).read_to_end(&mut streamed);
            assert_eq!(whole.is_ok(), stream.is_ok(), "{at}");
            assert!(whole.is_err() || whole.unwrap() == streamed, "{at}");
            assert!(unpacked(&member[..at], 1 << 20).is_err() || at == 0, "{at}");
        }
    }
}
