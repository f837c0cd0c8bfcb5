//! The codecs of record batches, as the Java client frames them, and records that are worth compressing.
//!
//! It must never make a batch that a stock client would not send.

use std::fmt::Write as _;
use std::io::{self, Write};

use bytes::{Bytes, BytesMut};
use kafka_protocol::records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions};
use milena_compat_tests::dice::Dice;
use milena_compat_tests::wire::record;

/// Java's snappy stream: a head, then blocks with their lengths.
const SNAPPY_HEAD: [u8; 16] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];
const SNAPPY_BLOCK: usize = 32 << 10;
/// Kafka's default level of either.
const ZSTD_LEVEL: i32 = 3;

const WORDS: [&str; 16] = [
    "order",
    "customer",
    "created",
    "shipped",
    "amount",
    "currency",
    "warehouse",
    "priority",
    "address",
    "region",
    "payment",
    "pending",
    "accepted",
    "returned",
    "invoice",
    "discount",
];

/// One batch of records whose values are lines of JSON with words and numbers, each of this size.
pub(crate) fn batch(records: usize, bytes: usize, codec: Compression) -> io::Result<Bytes> {
    let mut dice = Dice::of(7);
    let mut all: Vec<Record> = Vec::with_capacity(records);
    for offset in 0..records {
        let value = Some(Bytes::from(line(&mut dice, bytes)));
        let sequence = i32::try_from(offset).map_err(io::Error::other)? - 1;
        all.push(Record { value, offset: offset as i64, sequence, ..record("") });
    }
    let options = RecordEncodeOptions { version: 2, compression: codec };
    let mut batch = BytesMut::new();
    let compress = |from: &mut BytesMut, to: &mut BytesMut, codec: Compression| {
        to.extend_from_slice(&compressed(from, codec)?);
        Ok(())
    };
    let made = RecordBatchEncoder::encode_with_custom_compression(&mut batch, &all, &options, Some(compress));
    made.map_err(|error| io::Error::other(error.to_string()))?;
    Ok(batch.freeze())
}

fn line(dice: &mut Dice, bytes: usize) -> String {
    let mut line = String::from("{");
    while line.len() < bytes {
        let (key, value) = (dice.one_of(&WORDS), dice.one_of(&WORDS));
        let _ = write!(line, "\"{key}\":\"{value}-{:08x}\",", dice.any() as u32);
    }
    line.truncate(bytes);
    line
}

fn compressed(bytes: &[u8], codec: Compression) -> io::Result<Vec<u8>> {
    match codec {
        Compression::None => Ok(bytes.to_vec()),
        Compression::Gzip => {
            let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            to.write_all(bytes)?;
            to.finish()
        }
        Compression::Snappy => snappy(bytes),
        Compression::Lz4 => {
            let mut to = lz4_flex::frame::FrameEncoder::new(Vec::new());
            to.write_all(bytes)?;
            to.finish().map_err(io::Error::other)
        }
        Compression::Zstd => zstd::bulk::compress(bytes, ZSTD_LEVEL),
    }
}

fn snappy(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = SNAPPY_HEAD.to_vec();
    for block in bytes.chunks(SNAPPY_BLOCK) {
        let block = snap::raw::Encoder::new().compress_vec(block).map_err(io::Error::other)?;
        out.extend_from_slice(&u32::try_from(block.len()).map_err(io::Error::other)?.to_be_bytes());
        out.extend_from_slice(&block);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_codec_makes_a_batch_smaller() {
        let plain = batch(16, 1_000, Compression::None).expect("a batch").len();
        assert!(plain > 16_000 && plain < 17_000, "{plain}");
        for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
            let small = batch(16, 1_000, codec).expect("a batch").len();
            assert!(small * 10 < plain * 9 && small * 10 > plain, "{codec:?}: {small} of {plain}");
        }
    }

    #[test]
    fn a_snappy_stream_has_its_blocks_with_their_lengths() {
        let from: Vec<u8> = (0..SNAPPY_BLOCK + 100).map(|at| (at % 7) as u8).collect();
        let out = snappy(&from).expect("compressed");
        let length = |at: usize| u32::from_be_bytes(out[at..at + 4].try_into().expect("four")) as usize;
        let first = length(16);
        let second = length(20 + first);
        assert_eq!(24 + first + second, out.len());
        let block = snap::raw::Decoder::new().decompress_vec(&out[24 + first..]).expect("a block");
        assert_eq!(block, from[SNAPPY_BLOCK..]);
    }
}
