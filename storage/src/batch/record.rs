//! One record of a batch and the iterator over them, borrowed from uncompressed bytes.
//!
//! Must never trust a count or a length further than the bytes that are there.

use super::{BatchError, Header, TimestampType, varint};
use crate::ids::{Offset, Timestamp};

/// A record inside a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordView<'a> {
    pub attributes: i8,
    pub offset: Offset,
    pub timestamp: Timestamp,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
}

/// A record's headers; they were checked when the record was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Headers<'a> {
    count: usize,
    bytes: &'a [u8],
}

/// The records of one batch in order; ends after the first error.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
    base_offset: Offset,
    base_timestamp: Timestamp,
    append_time: Option<Timestamp>,
    index: usize,
    count: usize,
}

impl<'a> Records<'a> {
    /// `payload` are the uncompressed records of the batch with this header.
    pub fn new(header: &Header, payload: &'a [u8]) -> Result<Self, BatchError> {
        let append_time =
            (header.timestamp_type() == TimestampType::LogAppendTime).then_some(header.max_timestamp);
        Ok(Self {
            rest: payload,
            base_offset: header.base_offset,
            base_timestamp: header.base_timestamp,
            append_time,
            index: 0,
            count: usize::try_from(header.count).map_err(|_| BatchError::Count(header.count))?,
        })
    }

    fn read(&mut self) -> Result<RecordView<'a>, &'static str> {
        let mut rest = self.rest;
        let length = varint::read_i32(&mut rest).ok_or("its length is cut")?;
        let length = usize::try_from(length).map_err(|_| "its length is negative")?;
        let mut body = rest.get(..length).ok_or("it is longer than the batch")?;
        self.rest = &rest[length..];
        let attributes = take_byte(&mut body)?.cast_signed();
        let timestamp_delta = varint::read_i64(&mut body).ok_or("its timestamp is cut")?;
        let offset_delta = varint::read_i32(&mut body).ok_or("its offset is cut")?;
        let key = take_bytes(&mut body)?;
        let value = take_bytes(&mut body)?;
        let headers = Headers::read(body)?;
        let timestamp = Timestamp(self.base_timestamp.0.wrapping_add(timestamp_delta));
        Ok(RecordView {
            attributes,
            offset: Offset(self.base_offset.0.wrapping_add(i64::from(offset_delta))),
            timestamp: self.append_time.unwrap_or(timestamp),
            key,
            value,
            headers,
        })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordView<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.index == self.count {
            return None;
        }
        let index = self.index;
        self.index += 1;
        let mut read = self.read();
        if self.index == self.count && !self.rest.is_empty() && read.is_ok() {
            read = Err("bytes are left behind the last record");
        }
        Some(read.map_err(|reason| {
            self.index = self.count;
            BatchError::Record { index, reason }
        }))
    }
}

impl<'a> Headers<'a> {
    fn read(mut body: &'a [u8]) -> Result<Self, &'static str> {
        if body == [0] {
            return Ok(Self::default());
        }
        let count = varint::read_i32(&mut body).ok_or("its header count is cut")?;
        let count = usize::try_from(count).map_err(|_| "its header count is negative")?;
        // Each header has at least two bytes, so this bounds the loop below by the bytes that are there.
        if count > body.len() {
            return Err("it has fewer bytes than headers");
        }
        let bytes = body;
        for _ in 0..count {
            take_bytes(&mut body)?.ok_or("a header has no key")?;
            take_bytes(&mut body)?;
        }
        if body.is_empty() { Ok(Self { count, bytes }) } else { Err("bytes are left behind its headers") }
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Keys and values in the order they were sent.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let mut rest = self.bytes;
        (0..self.count).map(move |_| {
            let key = take_bytes(&mut rest).expect("checked by read").expect("checked by read");
            (key, take_bytes(&mut rest).expect("checked by read"))
        })
    }

    /// The count and the headers as they stand in the record.
    pub(crate) fn raw(&self) -> (usize, &'a [u8]) {
        (self.count, self.bytes)
    }
}

fn take_byte(body: &mut &[u8]) -> Result<u8, &'static str> {
    let (&byte, rest) = body.split_first().ok_or("it is empty")?;
    *body = rest;
    Ok(byte)
}

/// Bytes behind their length; a negative length means null.
#[inline]
fn take_bytes<'a>(body: &mut &'a [u8]) -> Result<Option<&'a [u8]>, &'static str> {
    let length = varint::read_i32(body).ok_or("a length is cut")?;
    let Ok(length) = usize::try_from(length) else { return Ok(None) };
    let bytes = body.get(..length).ok_or("a field is longer than the record")?;
    *body = &body[length..];
    Ok(Some(bytes))
}
