//! LZ4 frames as `Lz4BlockOutputStream` writes them: independent blocks of 64 KiB, no checksum of the content.
//!
//! The level of Kafka's default is the fast mode, which lz4_flex has in safe code. Every other level is the
//! high-compression mode of the C library, as `LZ4Factory.highCompressor` in Java; it takes 256 KiB while it works.
//! Must never read: whatever comes in is unpacked by lz4_flex.

use std::io::{self, Write};

use lz4::block::CompressionMode;

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

    #[test]
    fn both_modes_write_the_same_header() {
        assert_eq!(packed(None, b"abc")[..7], HEADER);
        assert_eq!(packed(Some(1), b"abc")[..7], HEADER);
    }
}
