//! One response frame on its way out: bytes, and slices of files between them.
//!
//! Must never copy file data: that is decided where the frame is written.

use bytes::{BufMut, Bytes, BytesMut};

/// Size prefix of every frame.
pub const PREFIX: usize = 4;

/// A complete response, size prefix included.
#[derive(Debug)]
pub struct Frame {
    pub chunks: Vec<Chunk>,
    /// Bytes on the wire, prefix included.
    pub len: usize,
}

#[derive(Debug)]
pub enum Chunk {
    Bytes(Bytes),
}

/// Builds a frame: everything but file data goes into one buffer, the prefix is filled in at the end.
#[derive(Debug)]
pub struct FrameBuilder {
    buf: BytesMut,
}

impl FrameBuilder {
    /// Starts a frame with its response header; `flexible` headers (v1) carry an empty tag section.
    #[must_use]
    pub fn new(correlation_id: i32, flexible: bool, capacity: usize) -> Self {
        let mut buf = BytesMut::with_capacity(PREFIX + 5 + capacity);
        buf.put_i32(0);
        buf.put_i32(correlation_id);
        if flexible {
            buf.put_u8(0);
        }
        Self { buf }
    }

    /// Where the body is encoded to.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buf
    }

    #[must_use]
    pub fn finish(mut self) -> Frame {
        let len = self.buf.len();
        let size = i32::try_from(len - PREFIX).expect("a response is bounded far below 2 GiB");
        self.buf[..PREFIX].copy_from_slice(&size.to_be_bytes());
        Frame { chunks: vec![Chunk::Bytes(self.buf.freeze())], len }
    }
}
