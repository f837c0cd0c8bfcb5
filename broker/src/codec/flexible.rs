//! Reads requests of flexible versions that the protocol crate does not know yet.
//!
//! Must never read what did not pass the guard: lengths are taken as they are and only bounded by the bytes left.

use bytes::{Buf, Bytes};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::api::MessageError;

#[derive(Debug)]
pub struct Flexible(pub Bytes);

impl Flexible {
    fn need(&self, length: usize) -> Result<(), MessageError> {
        if self.0.len() < length { Err(MessageError("the request is cut short".to_owned())) } else { Ok(()) }
    }

    pub fn i8(&mut self) -> Result<i8, MessageError> {
        self.need(1)?;
        Ok(self.0.get_i8())
    }

    pub fn i16(&mut self) -> Result<i16, MessageError> {
        self.need(2)?;
        Ok(self.0.get_i16())
    }

    pub fn i32(&mut self) -> Result<i32, MessageError> {
        self.need(4)?;
        Ok(self.0.get_i32())
    }

    pub fn u16(&mut self) -> Result<u16, MessageError> {
        self.need(2)?;
        Ok(self.0.get_u16())
    }

    pub fn i64(&mut self) -> Result<i64, MessageError> {
        self.need(8)?;
        Ok(self.0.get_i64())
    }

    pub fn bool(&mut self) -> Result<bool, MessageError> {
        self.need(1)?;
        Ok(self.0.get_u8() != 0)
    }

    pub fn uuid(&mut self) -> Result<Uuid, MessageError> {
        self.need(16)?;
        let mut bytes = [0; 16];
        self.0.copy_to_slice(&mut bytes);
        Ok(Uuid::from_bytes(bytes))
    }

    fn varint(&mut self) -> Result<usize, MessageError> {
        let mut value = 0_usize;
        for shift in (0..35).step_by(7) {
            self.need(1)?;
            let byte = self.0.get_u8();
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(MessageError("a length is longer than five bytes".to_owned()))
    }

    pub fn nullable_string(&mut self) -> Result<Option<StrBytes>, MessageError> {
        let Some(length) = self.varint()?.checked_sub(1) else { return Ok(None) };
        self.need(length)?;
        let text = StrBytes::from_utf8(self.0.split_to(length));
        text.map(Some).map_err(|error| MessageError(error.to_string()))
    }

    pub fn string(&mut self) -> Result<StrBytes, MessageError> {
        self.nullable_string()?.ok_or_else(|| MessageError("a string is null that may not be".to_owned()))
    }

    /// Reads an array, or null, element by element.
    pub fn nullable_array<T>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<T, MessageError>,
    ) -> Result<Option<Vec<T>>, MessageError> {
        let Some(count) = self.varint()?.checked_sub(1) else { return Ok(None) };
        // An element has at least one byte.
        self.need(count)?;
        (0..count).map(|_| element(self)).collect::<Result<_, _>>().map(Some)
    }

    pub fn array<T>(
        &mut self,
        element: impl FnMut(&mut Self) -> Result<T, MessageError>,
    ) -> Result<Vec<T>, MessageError> {
        self.nullable_array(element)?
            .ok_or_else(|| MessageError("an array is null that may not be".to_owned()))
    }

    /// Skips the tagged fields at the end of a structure.
    pub fn tags(&mut self) -> Result<(), MessageError> {
        for _ in 0..self.varint()? {
            self.varint()?;
            let size = self.varint()?;
            self.need(size)?;
            self.0.advance(size);
        }
        Ok(())
    }
}
