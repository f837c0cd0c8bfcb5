//! One response frame on its way out: bytes, and slices of files between them.
//!
//! Must never read a slice that the kernel can move by itself.

use std::io;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use milena_storage::fs::File;
use milena_storage::log::LogSlice;
use smallvec::SmallVec;

/// Size prefix of every frame.
pub const PREFIX: usize = 4;
/// File slices from this size on are sent with `sendfile`; below it a copy is cheaper (measured).
pub const SENDFILE_FROM: usize = 64 << 10;

/// A complete response, size prefix included.
#[derive(Debug)]
pub struct Frame {
    /// Mostly one: everything but large file data is one buffer.
    pub chunks: SmallVec<[Chunk; 1]>,
    /// Bytes on the wire, prefix included.
    pub len: usize,
    /// For so many milliseconds nothing more is taken from the client.
    pub pause_ms: u32,
}

/// A piece of a frame; never empty.
#[derive(Debug)]
pub enum Chunk {
    /// As it was built: to freeze it would cost an allocation more.
    Bytes(BytesMut),
    File(FileSlice),
}

/// A range of a file that is part of a response.
#[derive(Clone, Debug)]
pub struct FileSlice {
    pub file: Arc<dyn File>,
    pub position: u64,
    pub len: usize,
}

impl Chunk {
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::File(slice) => slice.len,
        }
    }

    /// Never true; asked by nobody but the linter.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<LogSlice> for FileSlice {
    fn from(slice: LogSlice) -> Self {
        Self { file: slice.file, position: slice.position, len: slice.len }
    }
}

/// Builds a frame: everything but large file data goes into one buffer, the prefix is filled in at the end.
#[derive(Debug)]
pub struct FrameBuilder {
    buf: BytesMut,
    /// Large slices, and where in the buffer they belong.
    files: Vec<(usize, FileSlice)>,
    file_bytes: usize,
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
        Self { buf, files: Vec::new(), file_bytes: 0 }
    }

    /// Where the body is encoded to.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buf
    }

    /// Appends file data: a small slice is read here, a large one is left for the kernel.
    pub fn put_file(&mut self, slice: FileSlice) -> io::Result<()> {
        if slice.len >= SENDFILE_FROM && slice.file.as_fd().is_some() {
            self.file_bytes += slice.len;
            self.files.push((self.buf.len(), slice));
            return Ok(());
        }
        let before = self.buf.len();
        self.buf.resize(before + slice.len, 0);
        slice.file.read_exact_at(&mut self.buf[before..], slice.position)
    }

    /// Closes the frame; `None` if it is longer than a size prefix can say.
    #[must_use]
    pub fn finish(mut self) -> Option<Frame> {
        let len = self.buf.len() + self.file_bytes;
        let size = i32::try_from(len - PREFIX).ok()?;
        self.buf[..PREFIX].copy_from_slice(&size.to_be_bytes());
        let mut rest = self.buf;
        let mut chunks = SmallVec::new();
        let mut cut = 0;
        for (at, slice) in self.files {
            if at > cut {
                chunks.push(Chunk::Bytes(rest.split_to(at - cut)));
                cut = at;
            }
            chunks.push(Chunk::File(slice));
        }
        if !rest.is_empty() {
            chunks.push(Chunk::Bytes(rest));
        }
        Some(Frame { chunks, len, pause_ms: 0 })
    }
}
