//! How request bodies become values and answers become bytes; the crate's messages and our own alike.
//!
//! `Ask::decode` must never be called with bytes that did not pass the guard.

use bytes::Bytes;
use kafka_protocol::protocol::{Decodable, Encodable};
use thiserror::Error;

use crate::net::frame::FrameBuilder;

/// A request body.
pub trait Ask: Sized {
    fn decode(body: Bytes, version: i16) -> Result<Self, MessageError>;
}

/// A response body.
pub trait Answer: Sized {
    /// Bytes to reserve for the encoded body; a hint, but an exact one saves a copy.
    fn size_hint(&self, version: i16) -> usize;
    fn encode(self, version: i16, out: &mut FrameBuilder) -> Result<(), MessageError>;
}

/// A body that could not be decoded or encoded, in the codec's words.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{0}")]
pub struct MessageError(pub String);

impl<T: Decodable> Ask for T {
    fn decode(mut body: Bytes, version: i16) -> Result<Self, MessageError> {
        T::decode(&mut body, version).map_err(|error| MessageError(error.to_string()))
    }
}

impl<T: Encodable> Answer for T {
    fn size_hint(&self, version: i16) -> usize {
        self.compute_size(version).unwrap_or(0)
    }

    fn encode(self, version: i16, out: &mut FrameBuilder) -> Result<(), MessageError> {
        Encodable::encode(&self, out.buffer(), version).map_err(|error| MessageError(error.to_string()))
    }
}

/// A body that was encoded before, for answers that are cached per version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Encoded(pub Bytes);

impl Answer for Encoded {
    fn size_hint(&self, _version: i16) -> usize {
        self.0.len()
    }

    fn encode(self, _version: i16, out: &mut FrameBuilder) -> Result<(), MessageError> {
        out.buffer().extend_from_slice(&self.0);
        Ok(())
    }
}
