//! Reads the batches of a segment file one after the other, headers only or whole, through one small buffer.
//!
//! Must never hold more than one batch, and never one that is larger than what is left of the file.

use std::path::{Path, PathBuf};

use super::place::{FileKind, Place};
use crate::StorageError;
use crate::batch::{
    BatchError, BatchView, HEADER_LEN, Header, MAGIC_END, OVERHEAD_LEN, crc32, size_and_magic,
};
use crate::error::At;
use crate::fs::File;
use crate::ids::Offset;

/// Enough to look up an offset: the index points at most about this far before it.
pub(super) const LOOKUP_CHUNK: usize = 4 * 1024;
/// For going over whole segments.
pub(super) const SWEEP_CHUNK: usize = 256 * 1024;

/// A position in a file of batches.
pub(super) struct Scanner<'a> {
    file: &'a dyn File,
    name: Name<'a>,
    position: u64,
    end: u64,
    chunk: usize,
    buffer: Vec<u8>,
    buffer_at: u64,
}

/// What the file is called, for errors: a path, or what one is made of when it is needed.
#[derive(Clone, Copy)]
pub(super) enum Name<'a> {
    Path(&'a Path),
    Segment(&'a Place, Offset),
}

impl Name<'_> {
    fn path(self) -> PathBuf {
        match self {
            Self::Path(path) => path.to_owned(),
            Self::Segment(place, base) => place.path(base, FileKind::Log),
        }
    }
}

impl<'a, P: AsRef<Path> + ?Sized> From<&'a P> for Name<'a> {
    fn from(path: &'a P) -> Self {
        Self::Path(path.as_ref())
    }
}

impl<'a> From<(&'a Place, Offset)> for Name<'a> {
    fn from((place, base): (&'a Place, Offset)) -> Self {
        Self::Segment(place, base)
    }
}

/// Why a scan could not go on.
#[derive(Debug)]
pub(super) enum ScanError {
    /// The disk failed.
    Storage(StorageError),
    /// What stands at the position is no batch.
    Bad(BatchError),
}

impl From<StorageError> for ScanError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<BatchError> for ScanError {
    fn from(error: BatchError) -> Self {
        Self::Bad(error)
    }
}

impl ScanError {
    /// For callers to whom a bad batch is a damaged file.
    pub(super) fn at(self, path: &Path, position: u64) -> StorageError {
        match self {
            Self::Storage(error) => error,
            Self::Bad(error) => StorageError::corrupt(path, position, error.to_string()),
        }
    }
}

impl<'a> Scanner<'a> {
    /// Scans from `position` to `end`; `name` is for error messages.
    pub(super) fn new(
        file: &'a dyn File,
        name: impl Into<Name<'a>>,
        position: u64,
        end: u64,
        chunk: usize,
    ) -> Self {
        Self { file, name: name.into(), position, end, chunk, buffer: Vec::new(), buffer_at: 0 }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The header at the position; `None` at the end.
    pub(super) fn header(&mut self) -> Result<Option<Header>, ScanError> {
        // An index may tell of a place that the file does not have.
        let Some(left) = self.end.checked_sub(self.position) else {
            return Err(BatchError::Truncated { have: 0, need: HEADER_LEN }.into());
        };
        if left == 0 {
            return Ok(None);
        }
        let have = HEADER_LEN.min(usize::try_from(left).unwrap_or(HEADER_LEN));
        let bytes = self.bytes(have)?;
        let (size, _) = size_and_magic(bytes)?;
        if size as u64 > left {
            let have = usize::try_from(left).unwrap_or(usize::MAX);
            return Err(BatchError::Truncated { have, need: size }.into());
        }
        Ok(Some(Header::parse(bytes)?))
    }

    /// The whole batch whose header was just read.
    pub(super) fn batch(&mut self, header: &Header) -> Result<BatchView<'_>, ScanError> {
        Ok(BatchView::parse(self.bytes(header.size())?)?)
    }

    /// True if nothing was ever written from the position on: the file was made longer than its batches ahead of time.
    pub(super) fn is_unused(&mut self) -> Result<bool, StorageError> {
        let start = self.position;
        let mut unused = true;
        while unused && self.position < self.end {
            let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
            let len = self.chunk.min(left);
            unused = self.bytes(len)?.iter().all(|byte| *byte == 0);
            self.position += len as u64;
        }
        self.position = start;
        Ok(unused)
    }

    /// Moves behind the batch whose header was just read.
    pub(super) fn skip(&mut self, header: &Header) {
        self.position += header.size() as u64;
    }

    /// The bytes at the position; the caller has checked that they are before the end.
    fn bytes(&mut self, len: usize) -> Result<&[u8], StorageError> {
        let buffered =
            self.position.checked_sub(self.buffer_at).and_then(|start| usize::try_from(start).ok());
        let start = match buffered.filter(|start| start + len <= self.buffer.len()) {
            Some(start) => start,
            None => {
                let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
                let want = left.min(self.chunk.max(len));
                self.buffer.resize(want, 0);
                self.buffer_at = self.position;
                self.file
                    .read_exact_at(&mut self.buffer, self.position)
                    .at_path("read", || self.name.path())?;
                0
            }
        };
        Ok(&self.buffer[start..start + len])
    }
}

/// True if a whole message of the formats before magic 2 stands where the scan failed. Its magic alone would not tell it
/// from a header whose second sector was lost with the power, which reads as zeros.
pub(super) fn is_legacy(
    error: &ScanError,
    file: &dyn File,
    path: &Path,
    position: u64,
    end: u64,
) -> Result<bool, StorageError> {
    if !matches!(error, ScanError::Bad(BatchError::Magic(0 | 1))) {
        return Ok(false);
    }
    let read = |bytes: &mut [u8], at: u64| file.read_exact_at(bytes, at).at("read", path);
    let mut head = [0; LEGACY_CHECKED_AT];
    let left = end.saturating_sub(position);
    if left < head.len() as u64 {
        return Ok(false);
    }
    read(&mut head, position)?;
    let word = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().expect("four bytes"));
    let (size, crc) = (word(OVERHEAD_LEN - 4) as usize, word(OVERHEAD_LEN));
    let Some(len) = size
        .checked_sub(LEGACY_CHECKED_AT - OVERHEAD_LEN)
        .filter(|_| size <= LEGACY_LEN_MAX && (OVERHEAD_LEN + size) as u64 <= left)
    else {
        return Ok(false);
    };
    let mut checked = vec![0; len];
    read(&mut checked, position + head.len() as u64)?;
    Ok(crc32(&checked) == crc)
}

/// A message's checksum, behind offset and size, covers all that follows it.
const LEGACY_CHECKED_AT: usize = OVERHEAD_LEN + 4;
/// Far above what brokers of that time took for one message.
const LEGACY_LEN_MAX: usize = 256 << 20;

const _: () = assert!(MAGIC_END <= HEADER_LEN);
