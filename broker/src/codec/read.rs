//! Reads request bodies that the guard has passed, without copying what they hold.
//!
//! Must never trust that alone: every read is checked, and memory is reserved by what is left of the body.

use bytes::{Buf, Bytes};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::api::MessageError;

/// A cursor over one body.
pub(crate) struct Reader {
    body: Bytes,
    flexible: bool,
}

impl Reader {
    pub(crate) fn new(body: Bytes, flexible: bool) -> Self {
        Self { body, flexible }
    }

    pub(crate) fn int8(&mut self) -> Result<i8, MessageError> {
        self.body.try_get_i8().map_err(|_| short())
    }

    pub(crate) fn int16(&mut self) -> Result<i16, MessageError> {
        self.body.try_get_i16().map_err(|_| short())
    }

    pub(crate) fn int32(&mut self) -> Result<i32, MessageError> {
        self.body.try_get_i32().map_err(|_| short())
    }

    pub(crate) fn int64(&mut self) -> Result<i64, MessageError> {
        self.body.try_get_i64().map_err(|_| short())
    }

    pub(crate) fn uuid(&mut self) -> Result<Uuid, MessageError> {
        self.body.try_get_u128().map(Uuid::from_u128).map_err(|_| short())
    }

    pub(crate) fn string(&mut self) -> Result<StrBytes, MessageError> {
        self.nullable_string()?.ok_or_else(|| MessageError("null where null is not allowed".to_owned()))
    }

    pub(crate) fn nullable_string(&mut self) -> Result<Option<StrBytes>, MessageError> {
        let length = if self.flexible { self.compact_length()? } else { signed(i32::from(self.int16()?))? };
        let Some(bytes) = self.take(length)? else { return Ok(None) };
        StrBytes::from_utf8(bytes).map(Some).map_err(|error| MessageError(error.to_string()))
    }

    /// A slice of the body, which keeps the body's memory alive.
    pub(crate) fn nullable_bytes(&mut self) -> Result<Option<Bytes>, MessageError> {
        let length = self.length()?;
        self.take(length)
    }

    /// Elements of an array that must not be null.
    pub(crate) fn array<T>(
        &mut self,
        element: impl FnMut(&mut Self) -> Result<T, MessageError>,
    ) -> Result<Vec<T>, MessageError> {
        let elements = self.nullable_array(element)?;
        elements.ok_or_else(|| MessageError("null where null is not allowed".to_owned()))
    }

    /// Elements of an array that may be null.
    pub(crate) fn nullable_array<T>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<T, MessageError>,
    ) -> Result<Option<Vec<T>>, MessageError> {
        let Some(count) = self.length()? else { return Ok(None) };
        let mut elements = Vec::with_capacity(count.min(self.body.len()));
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(Some(elements))
    }

    /// The tags at the end of a structure; `known` reads a tag and says so, others are skipped.
    pub(crate) fn tags(
        &mut self,
        mut known: impl FnMut(u32, &mut Self) -> Result<bool, MessageError>,
    ) -> Result<(), MessageError> {
        if !self.flexible {
            return Ok(());
        }
        for _ in 0..self.varint()? {
            let tag = self.varint()?;
            let size = self.varint()? as usize;
            if !known(tag, self)? {
                self.take(Some(size))?;
            }
        }
        Ok(())
    }

    pub(crate) fn no_tags(&mut self) -> Result<(), MessageError> {
        self.tags(|_, _| Ok(false))
    }

    fn length(&mut self) -> Result<Option<usize>, MessageError> {
        if self.flexible { self.compact_length() } else { signed(self.int32()?) }
    }

    fn compact_length(&mut self) -> Result<Option<usize>, MessageError> {
        Ok((self.varint()? as usize).checked_sub(1))
    }

    pub(crate) fn varint(&mut self) -> Result<u32, MessageError> {
        let mut value = 0u32;
        for shift in (0..35).step_by(7) {
            let byte = self.body.try_get_u8().map_err(|_| short())?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(MessageError("a number is longer than five bytes".to_owned()))
    }

    fn take(&mut self, length: Option<usize>) -> Result<Option<Bytes>, MessageError> {
        match length {
            None => Ok(None),
            Some(length) if length <= self.body.len() => Ok(Some(self.body.split_to(length))),
            Some(_) => Err(short()),
        }
    }
}

fn signed(length: i32) -> Result<Option<usize>, MessageError> {
    match length {
        -1 => Ok(None),
        length => usize::try_from(length).map(Some).map_err(|_| MessageError("negative length".to_owned())),
    }
}

fn short() -> MessageError {
    MessageError("the frame ends too early".to_owned())
}
