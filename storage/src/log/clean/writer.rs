//! The segment that a cleaning writes, with its indexes, under names of its own.
//!
//! Must never be handed on before everything of it is on the medium.

use std::sync::Arc;

use crate::StorageError;
use crate::batch::{BatchError, Header};
use crate::error::At;
use crate::fs::{File, Open};
use crate::ids::{Offset, Timestamp};
use crate::log::LogConfig;
use crate::log::place::{CLEANED_SUFFIX, FileKind, Place};
use crate::log::scan::ScanError;
use crate::log::segment::Segment;
use crate::log::txn_index::AbortedTransaction;

/// The largest file that Kafka can open as a segment.
const SEGMENT_MAX: u64 = i32::MAX as u64;

pub(super) struct Writer {
    place: Place,
    segment: Segment,
    file: Arc<dyn File>,
    /// Bytes that are not in the file yet.
    out: Vec<u8>,
    buffer: usize,
    written: u64,
    index_interval_bytes: u32,
    has_aborted: bool,
}

impl Writer {
    pub(super) fn create(
        place: &Place,
        base: Offset,
        config: &LogConfig,
        buffer: usize,
        now: Timestamp,
    ) -> Result<Self, StorageError> {
        let place = place.with_suffix(CLEANED_SUFFIX);
        // It is written once and closed, so nothing is gained by reserving a whole segment.
        let config = LogConfig { preallocate: false, ..config.clone() };
        let segment = Segment::create(&place, base, &config, now)?;
        let file = segment.file(&place)?.clone();
        Ok(Self {
            place,
            segment,
            file,
            out: Vec::new(),
            buffer,
            written: 0,
            index_interval_bytes: config.index_interval_bytes,
            has_aborted: false,
        })
    }

    pub(super) fn note_aborted(&mut self, aborted: AbortedTransaction) {
        self.has_aborted = true;
        self.segment.note_aborted(&self.place, aborted);
    }

    /// Adds the batch that `write` appends; returns its size.
    pub(super) fn append(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<Header, ScanError>,
    ) -> Result<usize, ScanError> {
        let start = self.out.len();
        let header = write(&mut self.out)?;
        let size = self.out.len() - start;
        assert_eq!(size, header.size(), "a batch's header tells its size");
        if self.segment.size + size as u64 > SEGMENT_MAX || !self.segment.can_hold(header.last_offset()) {
            let reason = "the segments that belong together do not fit into one";
            return Err(BatchError::Record { index: 0, reason }.into());
        }
        let position = self.segment.size;
        self.segment.index(&self.place, &header, position, self.index_interval_bytes)?;
        self.segment.size += size as u64;
        if self.out.len() >= self.buffer {
            self.write_out()?;
        }
        Ok(size)
    }

    fn write_out(&mut self) -> Result<(), StorageError> {
        self.file.write_at(&self.out, self.written).at("write", &self.segment.path(&self.place))?;
        self.written += self.out.len() as u64;
        self.out.clear();
        Ok(())
    }

    /// Writes and syncs everything; tells whether there is an index of aborted transactions.
    pub(super) fn finish(mut self, modified: Timestamp) -> Result<(Segment, bool), StorageError> {
        self.write_out()?;
        self.segment.seal(&self.place)?;
        let path = self.segment.path(&self.place);
        let mut files = vec![
            self.file.clone(),
            self.segment.offsets.file(&self.place)?.clone(),
            self.segment.times.file(&self.place)?.clone(),
        ];
        if self.has_aborted {
            let path = self.place.path(self.segment.base, FileKind::TransactionIndex);
            files.push(self.place.fs.open(&path, Open::Write).at("open", &path)?);
        }
        for file in files {
            file.sync_data().at("sync", &path)?;
        }
        self.file.set_modified(modified).at("date", &path)?;
        // Its files get other names, so they are opened anew.
        self.segment.release();
        Ok((self.segment, self.has_aborted))
    }
}
