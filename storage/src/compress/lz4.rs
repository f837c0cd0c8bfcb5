//! LZ4 frames as `Lz4BlockOutputStream` writes them (independent blocks of 64 KiB, no checksum of the content) and as
//! `Lz4BlockInputStream` reads them: what it refuses is refused, and what it does not look at is not looked at.
//!
//! The level of Kafka's default is the fast mode, which lz4_flex has in safe code. Every other level is the
//! high-compression mode of the C library, as `LZ4Factory.highCompressor` in Java; it takes 256 KiB while it works.
//! Blocks are unpacked by lz4_flex; the C library must never see what comes in.

use std::io::{self, BufRead, Read, Write};

use lz4::block::CompressionMode;
use twox_hash::XxHash32;

use super::{damaged, kept};

/// The default of `compression.lz4.level`.
const FAST_LEVEL: i32 = 9;
/// The C library knows no higher one; Kafka takes numbers up to 17.
const HIGH_LEVEL_MAX: i32 = 12;
/// Magic, version 1 with independent blocks, 64 KiB blocks, and the checksum byte of these two; the header checksum is
/// the standard's for magic 2.
const HEADER: [u8; 7] = [0x04, 0x22, 0x4D, 0x18, 0x60, 0x40, 0x82];
const BLOCK_LEN: usize = 64 * 1024;
/// Marks the length of a block that would not get smaller and stands as it is.
const STORED: u32 = 1 << 31;
const END_MARK: [u8; 4] = [0; 4];
/// The bits of the first descriptor byte.
const CONTENT_CHECKSUM: u8 = 1 << 2;
const CONTENT_SIZE: u8 = 1 << 3;
const BLOCK_CHECKSUM: u8 = 1 << 4;
const INDEPENDENT: u8 = 1 << 5;
const RESERVED: u8 = 0b11;
const VERSION: u8 = 1;
/// A byte that is packed gives at most so many, so no block needs more room than it can fill.
const GROWTH_MAX: usize = 255;

pub(super) fn compress(level: Option<i32>, input: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    match level {
        None | Some(FAST_LEVEL) => fast(input, out),
        Some(level) => high(level.clamp(1, HIGH_LEVEL_MAX), input, out),
    }
}

fn fast(input: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let info = lz4_flex::frame::FrameInfo::new()
        .block_size(lz4_flex::frame::BlockSize::Max64KB)
        .block_mode(lz4_flex::frame::BlockMode::Independent);
    let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, out);
    encoder.write_all(input)?;
    encoder.finish().map(drop).map_err(io::Error::other)
}

fn high(level: i32, input: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    out.extend_from_slice(&HEADER);
    let mode = Some(CompressionMode::HIGHCOMPRESSION(level));
    let mut packed = vec![0; lz4::block::compress_bound(input.len().min(BLOCK_LEN))?];
    for block in input.chunks(BLOCK_LEN) {
        let len = lz4::block::compress_to_buffer(block, mode, false, &mut packed)?;
        let (flag, bytes) = if len < block.len() { (0, &packed[..len]) } else { (STORED, block) };
        let len = u32::try_from(bytes.len()).expect("a block is no larger than 64 KiB");
        out.extend_from_slice(&(flag | len).to_le_bytes());
        out.extend_from_slice(bytes);
    }
    out.extend_from_slice(&END_MARK);
    Ok(())
}

/// Unpacks one frame, block after block. What stands behind it is not read, as Kafka does not.
pub(super) struct Decoder<'a> {
    rest: &'a [u8],
    header: Header,
    /// As long as the longest block, once there was one.
    unpacked: Vec<u8>,
    /// What the block holds that is not consumed yet.
    block: Block<'a>,
    finished: bool,
}

#[derive(Clone, Copy)]
struct Header {
    content_checksum: bool,
    block_checksum: bool,
    block_max: usize,
}

enum Block<'a> {
    /// It stands in the input as it is.
    Stored(&'a [u8]),
    /// From and to where in the buffer.
    Unpacked(usize, usize),
}

impl Header {
    fn read(rest: &mut &[u8]) -> io::Result<Self> {
        let [magic, flags, sizes] = [take(rest, 4)?, take(rest, 1)?, take(rest, 1)?];
        if magic != &HEADER[..4] {
            return Err(damaged("Stream unsupported (invalid magic bytes)"));
        }
        let (flags, sizes) = (flags[0], sizes[0]);
        if flags & RESERVED != 0 {
            return Err(damaged("Reserved bits must be 0"));
        }
        if flags & INDEPENDENT == 0 {
            return Err(damaged("Dependent block stream is unsupported"));
        }
        if flags >> 6 != VERSION {
            return Err(damaged(format!("Version {} is unsupported", flags >> 6)));
        }
        if sizes & 0x8f != 0 {
            return Err(damaged("Reserved2 and Reserved3 fields must be 0"));
        }
        let size = sizes >> 4;
        if !(4..=7).contains(&size) {
            return Err(damaged("Block size value must be between 4 and 7"));
        }
        let content_size = if flags & CONTENT_SIZE == 0 { &[][..] } else { take(rest, 8)? };
        let hash = XxHash32::oneshot(0, &[&[flags, sizes], content_size].concat());
        if take(rest, 1)?[0] != hash.to_be_bytes()[2] {
            return Err(damaged("Stream frame descriptor corrupted"));
        }
        Ok(Self {
            content_checksum: flags & CONTENT_CHECKSUM != 0,
            block_checksum: flags & BLOCK_CHECKSUM != 0,
            block_max: 1 << (2 * size + 8),
        })
    }
}

impl<'a> Decoder<'a> {
    pub(super) fn new(input: &'a [u8]) -> io::Result<Self> {
        let mut rest = input;
        let header = Header::read(&mut rest)?;
        Ok(Self { rest, header, unpacked: kept::take(0), block: Block::Stored(&[]), finished: false })
    }

    fn next_block(&mut self) -> io::Result<()> {
        let head = number(take(&mut self.rest, 4)?);
        let len = (head & !STORED) as usize;
        if len == 0 {
            self.finished = true;
            if self.header.content_checksum {
                take(&mut self.rest, 4)?;
            }
            return Ok(());
        }
        if len > self.header.block_max {
            return Err(damaged(format!("Block size {len} exceeded max: {}", self.header.block_max)));
        }
        let packed = take(&mut self.rest, len)?;
        self.block = if head & STORED == 0 { self.unpack(packed)? } else { Block::Stored(packed) };
        if self.header.block_checksum && number(take(&mut self.rest, 4)?) != XxHash32::oneshot(0, packed) {
            return Err(damaged("Block checksum mismatch"));
        }
        Ok(())
    }

    fn unpack(&mut self, packed: &[u8]) -> io::Result<Block<'a>> {
        let room = self.header.block_max.min(packed.len().saturating_mul(GROWTH_MAX));
        if self.unpacked.len() < room {
            self.unpacked.resize(room, 0);
        }
        let room = &mut self.unpacked[..room];
        let len = lz4_flex::block::decompress_into(packed, room).map_err(damaged)?;
        Ok(Block::Unpacked(0, len))
    }

    fn left(&self) -> &[u8] {
        match self.block {
            Block::Stored(left) => left,
            Block::Unpacked(from, to) => &self.unpacked[from..to],
        }
    }
}

impl Drop for Decoder<'_> {
    fn drop(&mut self) {
        kept::give_back(std::mem::take(&mut self.unpacked));
    }
}

impl BufRead for Decoder<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.left().is_empty() && !self.finished {
            self.next_block()?;
        }
        Ok(self.left())
    }

    fn consume(&mut self, amount: usize) {
        match &mut self.block {
            Block::Stored(left) => *left = &left[amount..],
            Block::Unpacked(from, _) => *from += amount,
        }
    }
}

impl Read for Decoder<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        super::read_from_buffer(self, buf)
    }
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> io::Result<&'a [u8]> {
    rest.split_off(..len).ok_or_else(|| damaged("Stream ended prematurely"))
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().expect("four bytes were taken"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::{Codec, decompress};

    fn packed(level: Option<i32>, input: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        compress(level, input, &mut out).unwrap();
        let mut back = Vec::new();
        decompress(Codec::Lz4, &out, input.len(), &mut back).unwrap();
        assert!(back == input, "level {level:?}");
        out
    }

    #[test]
    fn every_level_comes_back_and_higher_ones_are_smaller() {
        let text: Vec<u8> =
            (0..40_000u32).flat_map(|n| format!("{} of {}\n", n * n % 9973, n % 997).into_bytes()).collect();
        let sizes: Vec<_> = (1..=17).map(|level| packed(Some(level), &text).len()).collect();
        assert!(sizes[11] < sizes[0], "{sizes:?}");
        assert_eq!(sizes[16], sizes[11]);
        // 9 is Kafka's name for the fast mode.
        assert!(sizes[8] > sizes[7], "{sizes:?}");
        assert_eq!(packed(None, &text), packed(Some(9), &text));
    }

    #[test]
    fn blocks_that_do_not_get_smaller_are_stored() {
        let mut state = 1u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        })
        .take(20_000)
        .flatten()
        .collect();
        let out = packed(Some(5), &noise);
        assert_eq!(out[7..11], (STORED | 0x1_0000).to_le_bytes());
        assert_eq!(out.len(), HEADER.len() + noise.len() + 3 * 4 + END_MARK.len());
        assert_eq!(packed(Some(5), b""), [&HEADER[..], &END_MARK].concat());
    }

    fn unpacked(frame: &[u8]) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        let mut read = || Decoder::new(frame)?.read_to_end(&mut out);
        read().map(drop).map_err(|error| error.to_string())?;
        Ok(out)
    }

    /// As another writer frames it.
    fn framed(info: lz4_flex::frame::FrameInfo, input: &[u8]) -> Vec<u8> {
        let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(input).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_other_writers_add_is_read() {
        use lz4_flex::frame::{BlockMode, BlockSize, FrameInfo};
        let text: Vec<u8> = (0..60_000u32).flat_map(|n| format!("{} ", n * n % 9973).into_bytes()).collect();
        let plain = FrameInfo::new().block_mode(BlockMode::Independent);
        for size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB] {
            let info = plain.clone().block_size(size).block_checksums(true).content_checksum(true);
            let frame = framed(info.content_size(Some(text.len() as u64)), &text);
            assert!(unpacked(&frame).unwrap() == text, "{size:?}");
            // Kafka verifies blocks, not the content, and does not look behind the frame.
            let mut other = frame.clone();
            *other.last_mut().unwrap() ^= 1;
            assert!(unpacked(&[&other[..], b"behind"].concat()).unwrap() == text);
            let mut damaged = frame.clone();
            damaged[frame.len() / 2] ^= 1;
            assert!(unpacked(&damaged).is_err());
        }
    }

    #[test]
    fn what_kafka_refuses_is_refused_in_its_words() {
        use lz4_flex::frame::{BlockMode, BlockSize, FrameInfo};
        let frame = packed(None, &[7; 100_000]);
        for cut in 0..frame.len() {
            assert_eq!(unpacked(&frame[..cut]).unwrap_err(), "Stream ended prematurely", "{cut}");
        }
        let with = |at: usize, byte: u8| {
            let mut frame = frame.clone();
            frame[at] = byte;
            unpacked(&frame).unwrap_err()
        };
        assert_eq!(with(0, 5), "Stream unsupported (invalid magic bytes)");
        assert_eq!(with(4, 0x61), "Reserved bits must be 0");
        assert_eq!(with(4, 0xa0), "Version 2 is unsupported");
        assert_eq!(with(5, 0x30), "Block size value must be between 4 and 7");
        assert_eq!(with(5, 0x41), "Reserved2 and Reserved3 fields must be 0");
        assert_eq!(with(6, 0), "Stream frame descriptor corrupted");
        let told = with(9, 2);
        assert!(told.starts_with("Block size 13") && told.ends_with("exceeded max: 65536"), "{told}");
        let linked = FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Linked);
        let linked = framed(linked, &[7; 100_000]);
        assert_eq!(unpacked(&linked).unwrap_err(), "Dependent block stream is unsupported");
    }

    #[test]
    fn a_buffer_that_is_used_again_shows_nothing_of_before() {
        let (long, short) = (packed(None, &[1; 60_000]), packed(None, b"short"));
        assert!(unpacked(&long).unwrap() == [1; 60_000]);
        assert!(unpacked(&short).unwrap() == b"short");
        let large = lz4_flex::frame::FrameInfo::new().block_size(lz4_flex::frame::BlockSize::Max4MB);
        let large = framed(large.block_mode(lz4_flex::frame::BlockMode::Independent), &[2; 300_000]);
        assert!(unpacked(&large).unwrap() == [2; 300_000]);
        assert!(kept::take(0).len() <= kept::KEPT_MAX);
    }

    #[test]
    fn both_modes_write_the_same_header() {
        assert_eq!(packed(None, b"abc")[..7], HEADER);
        assert_eq!(packed(Some(1), b"abc")[..7], HEADER);
    }
}
