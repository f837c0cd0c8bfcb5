//! Numbers, strings and bytes in a row: the writing and the bounded reading that commands and snapshots share.
//!
//! Big endian, lengths as u32. Must never allocate by a length that the input does not back with bytes.

use bytes::{Buf, BufMut, Bytes};

use super::client::Secret;

/// Bytes that are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is malformed, {left} bytes before the end")]
pub struct Malformed {
    pub what: &'static str,
    pub left: usize,
}

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_u32(u32::try_from(bytes.len()).expect("nothing in a tree is longer than a mebibyte"));
    out.put_slice(bytes);
}

/// A length that no data has stands for data that is missing.
const MISSING: u32 = u32::MAX;

pub(super) fn put_data(out: &mut Vec<u8>, data: Option<&Bytes>) {
    match data {
        Some(data) => put_bytes(out, data),
        None => out.put_u32(MISSING),
    }
}

/// Reads from the front; every method fails rather than read past the end.
pub(super) struct Reader(pub(super) Bytes);

impl Reader {
    pub(super) fn malformed(&self, what: &'static str) -> Malformed {
        Malformed { what, left: self.0.len() }
    }

    pub(super) fn u8(&mut self, what: &'static str) -> Result<u8, Malformed> {
        self.0.try_get_u8().map_err(|_| self.malformed(what))
    }

    pub(super) fn i32(&mut self, what: &'static str) -> Result<i32, Malformed> {
        self.0.try_get_i32().map_err(|_| self.malformed(what))
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, Malformed> {
        self.0.try_get_u32().map_err(|_| self.malformed(what))
    }

    pub(super) fn i64(&mut self, what: &'static str) -> Result<i64, Malformed> {
        self.0.try_get_i64().map_err(|_| self.malformed(what))
    }

    /// A copy, because a node that shared the memory of its log batch or snapshot would keep all of it.
    pub(super) fn bytes(&mut self, what: &'static str) -> Result<Bytes, Malformed> {
        let length = self.u32(what)? as usize;
        if length > self.0.len() {
            return Err(self.malformed(what));
        }
        let bytes = Bytes::copy_from_slice(&self.0[..length]);
        self.0.advance(length);
        Ok(bytes)
    }

    pub(super) fn data(&mut self) -> Result<Option<Bytes>, Malformed> {
        if self.0.starts_with(&MISSING.to_be_bytes()) {
            self.0.advance(4);
            return Ok(None);
        }
        self.bytes("data").map(Some)
    }

    pub(super) fn secret(&mut self) -> Result<Secret, Malformed> {
        let mut secret = Secret::default();
        self.0.try_copy_to_slice(&mut secret.0).map_err(|_| self.malformed("secret"))?;
        Ok(secret)
    }

    pub(super) fn string(&mut self, what: &'static str) -> Result<String, Malformed> {
        let bytes = self.bytes(what)?;
        String::from_utf8(bytes.into()).map_err(|_| self.malformed(what))
    }

    /// A count of elements that take at least `smallest` bytes each, so it is safe to reserve memory for them.
    pub(super) fn count(&mut self, smallest: usize, what: &'static str) -> Result<usize, Malformed> {
        let count = self.u32(what)? as usize;
        if count > self.0.len() / smallest {
            return Err(self.malformed(what));
        }
        Ok(count)
    }

    pub(super) fn end(&self, what: &'static str) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(self.malformed(what)) }
    }
}
