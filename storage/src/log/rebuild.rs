//! Building again what batches tell: the state of producers and the leader epochs.
//!
//! Must never use a snapshot of a part of the log that is not trusted.

use super::append::marker_in;
use super::open::remove_if_present;
use super::place::FileKind;
use super::producers::Producers;
use super::scan::{SWEEP_CHUNK, ScanError, Scanner};
use super::{Log, snapshot};
use crate::StorageError;
use crate::batch::Header;
use crate::error::At;
use crate::fs::Open;
use crate::ids::{Offset, Timestamp};

impl Log {
    /// Loads the producers as they were at the log's end: from the latest good snapshot that does not reach behind
    /// `trusted`, then batch by batch. Aborted transactions of segments from `reindex_from` on are noted anew.
    pub(super) fn rebuild_producers(
        &mut self,
        trusted: Offset,
        reindex_from: Option<Offset>,
        clean: bool,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let had_none = self.snapshots.is_empty();
        for beyond in self.snapshots.split_off(&self.log_end.plus(1)) {
            remove_if_present(&self.place, &self.place.path(beyond, FileKind::Snapshot))?;
        }
        self.producers = self.load_snapshot(trusted)?;
        self.producers.expire(now, self.config.producer_expiration_ms);
        // A clean stop leaves a snapshot; without any there were no producers (`UnifiedLog.rebuildProducerState`).
        if clean && had_none && reindex_from.is_none() {
            self.producers.end = self.log_end;
            return Ok(());
        }
        self.replay_producers(reindex_from)
    }

    /// Brings the producers back to what they were at `offset`, the log's new end.
    pub(super) fn rewind_producers(&mut self, offset: Offset, now: Timestamp) -> Result<(), StorageError> {
        if !self.producers.is_empty() {
            return self.rebuild_producers(offset, None, false, now);
        }
        // Nobody was there, so nobody was there before.
        for beyond in self.snapshots.split_off(&offset.plus(1)) {
            remove_if_present(&self.place, &self.place.path(beyond, FileKind::Snapshot))?;
        }
        self.producers = Producers::none(offset);
        Ok(())
    }

    fn load_snapshot(&mut self, trusted: Offset) -> Result<Producers, StorageError> {
        while let Some(&end) = self.snapshots.range(..=trusted).next_back() {
            match snapshot::read(&self.place, end) {
                Ok(producers) => return Ok(producers),
                Err(StorageError::Corrupt { path, reason, .. }) => {
                    tracing::warn!(path = %path.display(), reason, "leaving out a damaged producer snapshot");
                    self.snapshots.remove(&end);
                    remove_if_present(&self.place, &path)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Producers::none(self.segments[0].base))
    }

    fn replay_producers(&mut self, reindex_from: Option<Offset>) -> Result<(), StorageError> {
        let from = self.producers.end;
        for index in self.segment_index(from)..self.segments.len() {
            let segment = &self.segments[index];
            if segment.size == 0 {
                continue;
            }
            let reindex = reindex_from.is_some_and(|first| segment.base >= first);
            if reindex {
                remove_if_present(&self.place, &self.place.path(segment.base, FileKind::TransactionIndex))?;
            }
            let start = segment.position_before(&self.place, from.max(segment.base))?;
            let path = segment.path(&self.place);
            let file = segment.file(&self.place)?.clone();
            let (base, size) = (segment.base, segment.size);
            let mut scanner = Scanner::new(&*file, &path, start, size, SWEEP_CHUNK);
            loop {
                let position = scanner.position();
                let header = scanner.header().map_err(|error| error.at(&path, position))?;
                let Some(header) = header else { break };
                if header.base_offset >= from {
                    self.replay(&mut scanner, &header, reindex.then_some(base))
                        .map_err(|error| error.at(&path, position))?;
                }
                scanner.skip(&header);
            }
            if reindex {
                self.sync_transaction_index(base)?;
            }
        }
        self.producers.end = self.log_end;
        Ok(())
    }

    /// The next recovery may trust the index that was built anew, before any flush covers it.
    fn sync_transaction_index(&self, base: Offset) -> Result<(), StorageError> {
        let (fs, dir) = (&self.place.fs, &self.place.dir);
        let path = self.place.path(base, FileKind::TransactionIndex);
        if fs.meta(&path).at("look at", &path)?.is_none() {
            return Ok(());
        }
        let file = fs.open(&path, Open::Write).at("open", &path)?;
        file.sync_data().at("sync", &path)?;
        fs.sync_dir(dir).at("sync", dir)
    }

    fn replay(
        &mut self,
        scanner: &mut Scanner<'_>,
        header: &Header,
        reindex: Option<Offset>,
    ) -> Result<(), ScanError> {
        if !header.is_control() {
            self.producers.apply(header);
            return Ok(());
        }
        let marker = marker_in(&scanner.batch(header)?)?;
        let Some((marker, timestamp)) = marker else { return Ok(()) };
        let aborted = self.producers.apply_marker(header, marker, timestamp);
        if let (Some(aborted), Some(base)) = (aborted, reindex) {
            let index = self.segment_index(base);
            self.segments[index].note_aborted(&self.place, aborted);
        }
        Ok(())
    }

    /// Reads the epochs out of all batches.
    pub(super) fn rebuild_epochs(&mut self) -> Result<(), StorageError> {
        self.epochs.clear();
        for segment in &self.segments {
            let path = segment.path(&self.place);
            let mut scanner =
                Scanner::new(&**segment.file(&self.place)?, &path, 0, segment.size, SWEEP_CHUNK);
            loop {
                let position = scanner.position();
                let header = scanner.header().map_err(|error| error.at(&path, position))?;
                let Some(header) = header else { break };
                if self.epochs.latest().is_none_or(|latest| header.leader_epoch > latest) {
                    self.epochs.insert(header.leader_epoch, header.base_offset);
                }
                scanner.skip(&header);
            }
        }
        Ok(())
    }
}
