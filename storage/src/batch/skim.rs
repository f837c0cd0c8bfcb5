//! Reads the records of a compressed batch as a stream, skipping keys and values, so that a batch that unpacks to
//! gigabytes costs time up to a cap but no memory (Kafka's `skipKeyValueIterator`).
//!
//! Must never hold more of the stream than its reader's buffer.

use std::io::{self, BufRead};

use super::{BatchError, BatchView, varint};
use crate::compress::{self, Codec, DecompressError, Reader};

/// What validation needs of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SkimmedRecord {
    pub attributes: i8,
    pub timestamp_delta: i64,
    pub offset_delta: i32,
    /// The length of the key; `None` if there is none.
    pub key: Option<usize>,
    pub value: Option<usize>,
}

/// See [`skim`].
pub struct Skim<'a> {
    codec: Codec,
    reader: Reader<'a>,
    index: usize,
    count: usize,
}

/// The records of a compressed batch; reads at most `cap` uncompressed bytes.
pub fn skim<'a>(batch: &BatchView<'a>, cap: usize) -> Result<Skim<'a>, BatchError> {
    let codec = batch.codec()?;
    Ok(Skim {
        codec,
        reader: compress::reader(codec, batch.payload(), cap)?,
        index: 0,
        count: usize::try_from(batch.count).map_err(|_| BatchError::Count(batch.count))?,
    })
}

impl Skim<'_> {
    fn read(&mut self) -> io::Result<SkimmedRecord> {
        let (length, _) = varint::read_from(&mut self.reader, 5)?;
        let mut body = Body { reader: &mut self.reader, left: length };
        let attributes = body.byte()?.cast_signed();
        let timestamp_delta = body.number(10)?;
        let offset_delta = i32::try_from(body.number(5)?).map_err(|_| bad("an offset delta is too large"))?;
        let key = body.skip_field()?;
        let value = body.skip_field()?;
        let headers = body.number(5)?;
        if headers < 0 || headers > body.left {
            return Err(bad("a record has an impossible number of headers"));
        }
        for _ in 0..headers {
            if body.skip_field()?.is_none() {
                return Err(bad("a header has no key"));
            }
            body.skip_field()?;
        }
        if body.left != 0 {
            return Err(bad("bytes are left behind a record's headers"));
        }
        Ok(SkimmedRecord { attributes, timestamp_delta, offset_delta, key, value })
    }
}

impl Iterator for Skim<'_> {
    type Item = Result<SkimmedRecord, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.index == self.count {
            return None;
        }
        self.index += 1;
        let mut read = self.read();
        if self.index == self.count && read.is_ok() {
            match self.reader.fill_buf() {
                Ok([]) => {}
                Ok(_) => read = Err(bad("bytes are left behind the last record")),
                Err(error) => read = Err(error),
            }
        }
        Some(read.map_err(|error| {
            self.index = self.count;
            BatchError::Decompress(DecompressError::from_io(self.codec, error))
        }))
    }
}

/// The bytes that one record claims.
struct Body<'r, 'a> {
    reader: &'r mut Reader<'a>,
    left: i64,
}

impl Body<'_, '_> {
    fn byte(&mut self) -> io::Result<u8> {
        let byte = *self.reader.fill_buf()?.first().ok_or(io::ErrorKind::UnexpectedEof)?;
        self.reader.consume(1);
        self.spend(1)?;
        Ok(byte)
    }

    fn number(&mut self, max_bytes: usize) -> io::Result<i64> {
        let (value, taken) = varint::read_from(self.reader, max_bytes)?;
        self.spend(taken as i64)?;
        Ok(value)
    }

    /// Skips a field behind its length, and tells that; `None` if it is null.
    fn skip_field(&mut self) -> io::Result<Option<usize>> {
        let length = self.number(5)?;
        if length < 0 {
            return Ok(None);
        }
        self.spend(length)?;
        let length = usize::try_from(length).expect("a positive 32-bit length");
        let mut left = length;
        while left > 0 {
            let have = self.reader.fill_buf()?.len();
            if have == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let step = have.min(left);
            self.reader.consume(step);
            left -= step;
        }
        Ok(Some(length))
    }

    fn spend(&mut self, bytes: i64) -> io::Result<()> {
        self.left -= bytes;
        if self.left < 0 { Err(bad("a field is longer than its record")) } else { Ok(()) }
    }
}

fn bad(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
