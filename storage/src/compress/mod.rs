//! The five codecs of record batches, written as Kafka's Java classes write them and read under a cap.
//!
//! Must never give memory for a size that the compressed bytes claim beyond the caller's cap.

mod gzip;
mod kept;
mod lz4;
mod snappy;
mod zstd;

use std::io::{self, BufRead, Read};

/// How the records of a batch are packed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Codec {
    #[default]
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// Why compressed bytes could not be unpacked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecompressError {
    #[error("the {codec} data unpack to more than {cap} bytes")]
    TooLarge { codec: Codec, cap: usize },
    #[error("the {codec} data are damaged: {reason}")]
    Damaged { codec: Codec, reason: String },
}

/// Buffer between a decoder and the record parser.
const READ_BUFFER_LEN: usize = 16 * 1024;

impl Codec {
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec with this number in a batch's attributes.
    pub fn from_id(id: u16) -> Option<Self> {
        Self::ALL.get(usize::from(id)).copied()
    }

    pub fn id(self) -> u8 {
        self as u8
    }
}

impl std::fmt::Display for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        })
    }
}

impl DecompressError {
    pub(crate) fn from_io(codec: Codec, error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<CapReached>()) {
            Some(CapReached(cap)) => Self::TooLarge { codec, cap: *cap },
            None => Self::Damaged { codec, reason: error.to_string() },
        }
    }
}

/// Packs `input` behind what `out` holds. `level` means what Kafka's `compression.<codec>.level` means.
pub fn compress(codec: Codec, level: Option<i32>, input: &[u8], out: &mut Vec<u8>) {
    let done = match codec {
        Codec::None => {
            out.extend_from_slice(input);
            Ok(())
        }
        Codec::Gzip => gzip::compress(level, input, out),
        Codec::Snappy => snappy::compress(input, out),
        Codec::Lz4 => lz4::compress(level, input, out),
        Codec::Zstd => zstd::compress(level, input, out),
    };
    done.expect("compressing from memory into memory cannot fail");
}

/// Unpacks `input` behind what `out` holds, adding at most `cap` bytes.
pub fn decompress(codec: Codec, input: &[u8], cap: usize, out: &mut Vec<u8>) -> Result<(), DecompressError> {
    let mut reader = reader(codec, input, cap)?;
    let mut read = || -> io::Result<()> {
        loop {
            let chunk = reader.fill_buf()?;
            if chunk.is_empty() {
                return Ok(());
            }
            out.extend_from_slice(chunk);
            let taken = chunk.len();
            reader.consume(taken);
        }
    };
    read().map_err(|error| DecompressError::from_io(codec, error))
}

/// A stream of uncompressed bytes that fails instead of giving more than a cap; see [`reader`].
pub struct Reader<'a> {
    inner: Box<dyn BufRead + 'a>,
    cap: usize,
    left: usize,
}

/// Unpacks as a stream that fails once more than `cap` bytes have come out.
pub fn reader(codec: Codec, input: &[u8], cap: usize) -> Result<Reader<'_>, DecompressError> {
    let refused = |error| DecompressError::from_io(codec, error);
    let inner: Box<dyn BufRead + '_> = match codec {
        Codec::None => Box::new(input),
        Codec::Gzip => gzip::reader(input, cap),
        Codec::Snappy => Box::new(snappy::Decoder::new(input, cap)),
        Codec::Lz4 => Box::new(lz4::Decoder::new(input).map_err(refused)?),
        Codec::Zstd => Box::new(zstd::Decoder::new(input).map_err(refused)?),
    };
    Ok(Reader { inner, cap, left: cap })
}

impl BufRead for Reader<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let chunk = self.inner.fill_buf()?;
        if chunk.len() > self.left {
            return Err(cap_reached(self.cap));
        }
        Ok(chunk)
    }

    fn consume(&mut self, amount: usize) {
        self.left -= amount;
        self.inner.consume(amount);
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        read_from_buffer(self, buf)
    }
}

/// What `Read` is for a reader that has its bytes at hand.
fn read_from_buffer(reader: &mut impl BufRead, buf: &mut [u8]) -> io::Result<usize> {
    let n = reader.fill_buf()?.read(buf)?;
    reader.consume(n);
    Ok(n)
}

fn damaged(reason: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_string())
}

#[derive(Debug, thiserror::Error)]
#[error("more than {0} bytes")]
struct CapReached(usize);

fn cap_reached(cap: usize) -> io::Error {
    io::Error::other(CapReached(cap))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> Vec<u8> {
        (0..20_000u32).flat_map(|n| format!("line {} of a text\n", n % 997).into_bytes()).collect()
    }

    #[test]
    fn what_is_packed_comes_back_and_is_smaller() {
        for codec in Codec::ALL {
            for input in [Vec::new(), b"a".to_vec(), text()] {
                let mut packed = b"before".to_vec();
                compress(codec, None, &input, &mut packed);
                let mut out = Vec::new();
                decompress(codec, &packed[6..], input.len(), &mut out).unwrap();
                assert!(out == input, "{codec}");
                assert!(codec == Codec::None || input.len() < 100 || packed.len() < input.len() / 3);
            }
        }
    }

    #[test]
    fn levels_change_the_size() {
        for (codec, low, high) in [(Codec::Gzip, 1, 9), (Codec::Zstd, 1, 19)] {
            let size = |level| {
                let mut out = Vec::new();
                compress(codec, Some(level), &text(), &mut out);
                out.len()
            };
            assert!(size(high) < size(low), "{codec}");
        }
    }

    #[test]
    fn the_cap_holds_to_the_byte() {
        let input = text();
        for codec in Codec::ALL {
            let mut packed = Vec::new();
            compress(codec, None, &input, &mut packed);
            let error = decompress(codec, &packed, input.len() - 1, &mut Vec::new()).unwrap_err();
            assert_eq!(error, DecompressError::TooLarge { codec, cap: input.len() - 1 });
        }
    }

    #[test]
    fn damaged_data_are_an_error() {
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let mut packed = Vec::new();
            compress(codec, None, &text(), &mut packed);
            packed.truncate(packed.len() / 2);
            let error = decompress(codec, &packed, 1 << 30, &mut Vec::new()).unwrap_err();
            assert!(matches!(error, DecompressError::Damaged { .. }), "{codec}: {error}");
            let garbage = [0xFF; 100];
            assert!(decompress(codec, &garbage, 1 << 30, &mut Vec::new()).is_err(), "{codec}");
        }
    }
}
