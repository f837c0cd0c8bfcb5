//! Reading: which bytes of which file hold the batches from an offset on.
//!
//! Must never copy records or give a byte of a batch that reaches the caller's upper bound.

use std::io;
use std::sync::Arc;

use super::error::ReadError;
use super::{AbortedTransaction, Log};
use crate::StorageError;
use crate::fs::File;
use crate::ids::{Offset, Timestamp};

/// Bytes of the log in a file.
#[derive(Clone, Debug)]
pub struct LogSlice {
    pub file: Arc<dyn File>,
    pub position: u64,
    /// 0: nothing to read.
    pub len: usize,
    /// Base offset of the first batch, which may be smaller than the offset asked for.
    pub first: Offset,
}

impl LogSlice {
    /// Nothing to read at this offset.
    pub fn empty(at: Offset) -> Self {
        Self { file: Arc::new(NoFile), position: 0, len: 0, first: at }
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies the bytes out, for callers that look into them.
    pub fn read_all(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.len];
        self.file.read_exact_at(&mut bytes, self.position).map(|()| bytes)
    }
}

/// What an empty slice points at, so that idle logs open nothing to say that there is nothing.
#[derive(Debug)]
struct NoFile;

impl File for NoFile {
    fn read_at(&self, _buf: &mut [u8], _at: u64) -> io::Result<usize> {
        Ok(0)
    }

    fn write_at(&self, _buf: &[u8], _at: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(0)
    }

    fn set_len(&self, _len: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_modified(&self, _at: Timestamp) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn allocate(&self, _at: u64, _len: u64) -> io::Result<()> {
        Ok(())
    }
}

/// A batch's place in its segment.
#[derive(Clone, Copy, Debug)]
struct Spot {
    position: u64,
    size: usize,
    base: Offset,
}

impl Log {
    /// The batches from the one that holds `from` on, at most `max_bytes` (the last one may be cut), none that reaches
    /// `upper`. A first batch that does not fit is given whole with `at_least_one`, else nothing is.
    pub fn read(
        &self,
        from: Offset,
        max_bytes: usize,
        upper: Offset,
        at_least_one: bool,
    ) -> Result<LogSlice, ReadError> {
        if from < self.log_start || from > self.log_end {
            return Err(ReadError::OutOfRange { offset: from, start: self.log_start, end: self.log_end });
        }
        if from >= upper || from == self.log_end {
            return Ok(LogSlice::empty(from));
        }
        // Compaction may have emptied the range that the segment once had, so the next ones are asked too.
        for index in self.segment_index(from)..self.segments.len() {
            let Some(first) = self.spot(index, from)? else { continue };
            let segment = &self.segments[index];
            let available = self.end_position(index, upper)?.saturating_sub(first.position);
            let available = usize::try_from(available).expect("a segment is at most 2 GiB");
            let fits = first.size <= max_bytes;
            if first.size > available || !(fits || at_least_one) {
                return Ok(LogSlice::empty(from));
            }
            let len = available.min(max_bytes.max(first.size));
            let file = segment.file(&self.place)?.clone();
            return Ok(LogSlice { file, position: first.position, len, first: first.base });
        }
        Ok(LogSlice::empty(from))
    }

    /// The first batch of a segment that ends at or behind `offset`.
    fn spot(&self, index: usize, offset: Offset) -> Result<Option<Spot>, StorageError> {
        if index + 1 == self.segments.len()
            && let Some(batch) = self.tail.find(offset)
        {
            return Ok(Some(Spot { position: batch.position, size: batch.size, base: batch.base }));
        }
        let found = self.segments[index].find(&self.place, offset)?;
        Ok(found.map(|found| Spot {
            position: found.position,
            size: found.header.size(),
            base: found.header.base_offset,
        }))
    }

    /// Where the batches of a segment that stay below `upper` end.
    fn end_position(&self, index: usize, upper: Offset) -> Result<u64, StorageError> {
        let segment = &self.segments[index];
        let segment_end = self.segments.get(index + 1).map_or(self.log_end, |next| next.base);
        if upper >= segment_end {
            return Ok(segment.size);
        }
        Ok(self.spot(index, upper)?.map_or(segment.size, |spot| spot.position))
    }

    /// The aborted transactions that a reader of `slice` must know of when it asked for `from`
    /// (`LocalLog.addAbortedTransactions`): none that overlaps the records is missing.
    pub fn aborted_in(
        &self,
        from: Offset,
        slice: &LogSlice,
    ) -> Result<Vec<AbortedTransaction>, StorageError> {
        if slice.is_empty() {
            return Ok(Vec::new());
        }
        let index = self.segment_index(slice.first);
        let end = slice.position + slice.len as u64;
        let upper = match self.segments[index].offset_behind(&self.place, end)? {
            Some(offset) => offset,
            None => self.segments.get(index + 1).map_or(self.log_end, |next| next.base),
        };
        self.collect_aborted(index, from, upper)
    }

    /// The aborted transactions that overlap the offsets from `from` to below `upper`
    /// (`UnifiedLog.collectAbortedTransactions`).
    pub fn aborted_transactions(
        &self,
        from: Offset,
        upper: Offset,
    ) -> Result<Vec<AbortedTransaction>, StorageError> {
        self.collect_aborted(self.segment_index(from), from, upper)
    }

    fn collect_aborted(
        &self,
        first_segment: usize,
        from: Offset,
        upper: Offset,
    ) -> Result<Vec<AbortedTransaction>, StorageError> {
        let mut found = Vec::new();
        for segment in &self.segments[first_segment..] {
            // Entries are in the order of their markers, so one whose last stable offset passed the range ends it.
            for aborted in segment.aborted(&self.place)? {
                if aborted.last >= from && aborted.first < upper {
                    found.push(aborted);
                }
                if aborted.last_stable >= upper {
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }
}
