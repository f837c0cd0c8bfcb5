//! Kafka's primitive types, for the record messages that the protocol crate does not have.
//!
//! Must never allocate by a length that the bytes at hand cannot hold.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;
use uuid::Uuid;

#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum WireError {
    #[error("{field}: needs {needed} bytes at {at}, {left} are left")]
    Short { field: &'static str, at: usize, needed: usize, left: usize },
    #[error("{field}: invalid length {length} at {at}")]
    Length { field: &'static str, at: usize, length: i64 },
    #[error("{field}: not UTF-8 at {at}")]
    Utf8 { field: &'static str, at: usize },
    #[error("{field}: {length} bytes do not fit a length field of Kafka's records")]
    TooLong { field: &'static str, length: usize },
}

pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn take(&mut self, field: &'static str, needed: usize) -> Result<&'a [u8], WireError> {
        let left = self.left();
        if needed > left {
            return Err(WireError::Short { field, at: self.at, needed, left });
        }
        let taken = &self.bytes[self.at..self.at + needed];
        self.at += needed;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], WireError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(field, N)?);
        Ok(out)
    }

    pub(crate) fn i8(&mut self, field: &'static str) -> Result<i8, WireError> {
        Ok(i8::from_be_bytes(self.array(field)?))
    }

    pub(crate) fn i16(&mut self, field: &'static str) -> Result<i16, WireError> {
        Ok(i16::from_be_bytes(self.array(field)?))
    }

    pub(crate) fn i32(&mut self, field: &'static str) -> Result<i32, WireError> {
        Ok(i32::from_be_bytes(self.array(field)?))
    }

    pub(crate) fn i64(&mut self, field: &'static str) -> Result<i64, WireError> {
        Ok(i64::from_be_bytes(self.array(field)?))
    }

    pub(crate) fn uuid(&mut self, field: &'static str) -> Result<Uuid, WireError> {
        Ok(Uuid::from_bytes(self.array(field)?))
    }

    fn varint(&mut self, field: &'static str) -> Result<u32, WireError> {
        let start = self.at;
        let mut value = 0_u64;
        for shift in (0..35).step_by(7) {
            let byte = self.take(field, 1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value).map_err(|_| WireError::Length { field, at: start, length: -1 });
            }
        }
        Err(WireError::Length { field, at: start, length: -1 })
    }

    fn text(&mut self, field: &'static str, length: usize) -> Result<String, WireError> {
        let at = self.at;
        let bytes = self.take(field, length)?;
        Ok(std::str::from_utf8(bytes).map_err(|_| WireError::Utf8 { field, at })?.to_owned())
    }

    /// An int16 length; −1 is null.
    pub(crate) fn nullable_string(&mut self, field: &'static str) -> Result<Option<String>, WireError> {
        let at = self.at;
        match self.i16(field)? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| WireError::Length {
                    field,
                    at,
                    length: i64::from(length),
                })?;
                self.text(field, length).map(Some)
            }
        }
    }

    pub(crate) fn string(&mut self, field: &'static str) -> Result<String, WireError> {
        let at = self.at;
        self.nullable_string(field)?.ok_or(WireError::Length { field, at, length: -1 })
    }

    /// An unsigned varint of length + 1; 0 is null.
    pub(crate) fn compact_nullable_string(
        &mut self,
        field: &'static str,
    ) -> Result<Option<String>, WireError> {
        match self.varint(field)? {
            0 => Ok(None),
            length => self.text(field, length as usize - 1).map(Some),
        }
    }

    pub(crate) fn compact_string(&mut self, field: &'static str) -> Result<String, WireError> {
        let at = self.at;
        self.compact_nullable_string(field)?.ok_or(WireError::Length { field, at, length: -1 })
    }

    pub(crate) fn bytes(&mut self, field: &'static str) -> Result<Bytes, WireError> {
        let at = self.at;
        let length = self.i32(field)?;
        let length = usize::try_from(length).map_err(|_| WireError::Length {
            field,
            at,
            length: i64::from(length),
        })?;
        Ok(Bytes::copy_from_slice(self.take(field, length)?))
    }

    pub(crate) fn compact_bytes(&mut self, field: &'static str) -> Result<Bytes, WireError> {
        let at = self.at;
        match self.varint(field)? {
            0 => Err(WireError::Length { field, at, length: -1 }),
            length => Ok(Bytes::copy_from_slice(self.take(field, length as usize - 1)?)),
        }
    }

    /// The number of elements of an array; never more than there are bytes left.
    pub(crate) fn array_len(&mut self, field: &'static str, flexible: bool) -> Result<usize, WireError> {
        let at = self.at;
        let length = if flexible { i64::from(self.varint(field)?) - 1 } else { i64::from(self.i32(field)?) };
        match usize::try_from(length) {
            Ok(count) if count <= self.left() => Ok(count),
            _ => Err(WireError::Length { field, at, length }),
        }
    }

    /// As above; `None` for a null array.
    pub(crate) fn nullable_array_len(
        &mut self,
        field: &'static str,
        flexible: bool,
    ) -> Result<Option<usize>, WireError> {
        let null: &[u8] = if flexible { &[0] } else { &[0xff; 4] };
        if self.bytes[self.at..].starts_with(null) {
            self.at += null.len();
            return Ok(None);
        }
        self.array_len(field, flexible).map(Some)
    }

    /// Hands each tagged field to `take` as its tag and its bytes.
    pub(crate) fn tags(
        &mut self,
        mut take: impl FnMut(u32, &mut Reader<'a>) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        for _ in 0..self.varint("tagged fields")? {
            let tag = self.varint("tag")?;
            let size = self.varint("tag size")? as usize;
            let bytes = self.take("tagged field", size)?;
            take(tag, &mut Reader::new(bytes))?;
        }
        Ok(())
    }
}

pub(crate) struct Writer(BytesMut);

impl Writer {
    pub(crate) fn new(capacity: usize) -> Self {
        Self(BytesMut::with_capacity(capacity))
    }

    pub(crate) fn finish(self) -> Bytes {
        self.0.freeze()
    }

    pub(crate) fn i8(&mut self, value: i8) {
        self.0.put_i8(value);
    }

    pub(crate) fn i16(&mut self, value: i16) {
        self.0.put_i16(value);
    }

    pub(crate) fn i32(&mut self, value: i32) {
        self.0.put_i32(value);
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.0.put_i64(value);
    }

    pub(crate) fn uuid(&mut self, value: Uuid) {
        self.0.put_slice(value.as_bytes());
    }

    pub(crate) fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.0.put_u8((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.put_u8(value as u8);
    }

    pub(crate) fn string(&mut self, field: &'static str, value: &str) -> Result<(), WireError> {
        let length =
            i16::try_from(value.len()).map_err(|_| WireError::TooLong { field, length: value.len() })?;
        self.0.put_i16(length);
        self.0.put_slice(value.as_bytes());
        Ok(())
    }

    pub(crate) fn nullable_string(
        &mut self,
        field: &'static str,
        value: Option<&str>,
    ) -> Result<(), WireError> {
        match value {
            Some(value) => self.string(field, value),
            None => {
                self.0.put_i16(-1);
                Ok(())
            }
        }
    }

    pub(crate) fn compact_string(&mut self, field: &'static str, value: &str) -> Result<(), WireError> {
        let length =
            i32::try_from(value.len()).map_err(|_| WireError::TooLong { field, length: value.len() })?;
        self.varint(length as u32 + 1);
        self.0.put_slice(value.as_bytes());
        Ok(())
    }

    /// An unsigned varint of length + 1; 0 is null.
    pub(crate) fn compact_nullable_string(
        &mut self,
        field: &'static str,
        value: Option<&str>,
    ) -> Result<(), WireError> {
        match value {
            Some(value) => self.compact_string(field, value),
            None => {
                self.varint(0);
                Ok(())
            }
        }
    }

    pub(crate) fn compact_bytes(&mut self, field: &'static str, value: &[u8]) -> Result<(), WireError> {
        self.any_array_len(field, value.len(), true)?;
        self.0.put_slice(value);
        Ok(())
    }

    /// A tagged field: its number, its size, and what `fill` writes.
    pub(crate) fn tag(
        &mut self,
        tag: u32,
        fill: impl FnOnce(&mut Self) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        let mut field = Self::new(16);
        fill(&mut field)?;
        self.varint(tag);
        self.varint(
            u32::try_from(field.0.len())
                .map_err(|_| WireError::TooLong { field: "tagged field", length: field.0.len() })?,
        );
        self.0.put_slice(&field.0);
        Ok(())
    }

    pub(crate) fn bytes(&mut self, field: &'static str, value: &[u8]) -> Result<(), WireError> {
        self.array_len(field, value.len())?;
        self.0.put_slice(value);
        Ok(())
    }

    pub(crate) fn array_len(&mut self, field: &'static str, count: usize) -> Result<(), WireError> {
        self.0.put_i32(i32::try_from(count).map_err(|_| WireError::TooLong { field, length: count })?);
        Ok(())
    }

    pub(crate) fn any_array_len(
        &mut self,
        field: &'static str,
        count: usize,
        flexible: bool,
    ) -> Result<(), WireError> {
        if !flexible {
            return self.array_len(field, count);
        }
        let length = u32::try_from(count).ok().and_then(|count| count.checked_add(1));
        self.varint(length.ok_or(WireError::TooLong { field, length: count })?);
        Ok(())
    }

    pub(crate) fn null_array(&mut self, flexible: bool) {
        if flexible { self.varint(0) } else { self.i32(-1) }
    }
}
