//! Snappy as Java's `SnappyOutputStream` frames it (the xerial header and blocks of 32 KiB); raw blocks, which some
//! clients send, are read too.
//!
//! Must never give memory for a claimed size before it is plausible.

use std::io::{self, BufRead, Read};

use super::{cap_reached, damaged};

const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
/// Version 1, compatible with version 1, both as four bytes.
const VERSIONS: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];
const BLOCK_LEN: usize = 32 * 1024;
/// A copy takes three bytes and gives at most 64, so no honest block grows by more.
const GROWTH_MAX: usize = 22;
/// Small blocks may be all literal and varint overhead.
const GROWTH_SLACK: usize = 64;

/// Appends the framed form of `input`.
pub(super) fn compress(input: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSIONS);
    let mut encoder = snap::raw::Encoder::new();
    let mut block = vec![0; snap::raw::max_compress_len(BLOCK_LEN)];
    for chunk in input.chunks(BLOCK_LEN) {
        let len = encoder.compress(chunk, &mut block).map_err(io::Error::other)?;
        out.extend_from_slice(&u32::try_from(len).expect("a block of 32 KiB").to_be_bytes());
        out.extend_from_slice(&block[..len]);
    }
    Ok(())
}

/// Unpacks one block after the other.
pub(super) struct Decoder<'a> {
    rest: &'a [u8],
    framed: bool,
    cap: usize,
    block: Vec<u8>,
    at: usize,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(input: &'a [u8], cap: usize) -> Self {
        let framed = input.len() >= MAGIC.len() + VERSIONS.len() && input.starts_with(&MAGIC);
        let rest = if framed { &input[MAGIC.len() + VERSIONS.len()..] } else { input };
        Self { rest, framed, cap, block: Vec::new(), at: 0 }
    }

    fn next_block(&mut self) -> io::Result<()> {
        let packed = if self.framed { self.take_frame()? } else { std::mem::take(&mut self.rest) };
        let claimed = snap::raw::decompress_len(packed).map_err(damaged)?;
        if claimed > packed.len().saturating_mul(GROWTH_MAX) + GROWTH_SLACK {
            return Err(damaged("a block claims an impossible size"));
        }
        if claimed > self.cap {
            return Err(cap_reached(self.cap));
        }
        self.block.resize(claimed, 0);
        self.at = 0;
        snap::raw::Decoder::new().decompress(packed, &mut self.block).map_err(damaged)?;
        Ok(())
    }

    fn take_frame(&mut self) -> io::Result<&'a [u8]> {
        // Streams that were flushed in pieces may repeat the header (`SnappyInputStream.readNext`).
        while self.rest.starts_with(&MAGIC) {
            self.rest = self.rest.get(MAGIC.len() + VERSIONS.len()..).unwrap_or_default();
        }
        let (len, rest) =
            self.rest.split_first_chunk::<4>().ok_or_else(|| damaged("a block length is cut"))?;
        let len = u32::from_be_bytes(*len) as usize;
        let packed = rest.get(..len).ok_or_else(|| damaged("a block is cut"))?;
        self.rest = &rest[len..];
        Ok(packed)
    }
}

impl BufRead for Decoder<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at == self.block.len() && !self.rest.is_empty() {
            self.next_block()?;
        }
        Ok(&self.block[self.at..])
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount;
    }
}

impl Read for Decoder<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        super::read_from_buffer(self, buf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_blocks_are_read_too() {
        let raw = snap::raw::Encoder::new().compress_vec(b"hello hello hello hello").unwrap();
        let mut out = Vec::new();
        Decoder::new(&raw, 100).read_to_end(&mut out).unwrap();
        assert_eq!(out, b"hello hello hello hello");
    }

    #[test]
    fn a_claimed_size_of_four_gigabytes_is_refused() {
        let lie = [0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0x00];
        let mut decoder = Decoder::new(&lie, usize::MAX);
        assert!(decoder.read(&mut [0; 10]).is_err());
        assert_eq!(decoder.block.capacity(), 0);
    }
}
