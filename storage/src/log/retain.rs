//! Cutting the log's beginning: by age, by size, by DeleteRecords. Files go later, when readers are done.
//!
//! Must never remove a record at or above the offset that the caller allows.

use std::path::PathBuf;

use super::open::remove_if_present;
use super::place::{FileKind, Place};
use super::segment::Segment;
use super::{Log, LogConfig};
use crate::StorageError;
use crate::ids::{Offset, Timestamp};

/// What retention removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RetainReport {
    pub segments: usize,
    pub bytes: u64,
}

impl Log {
    /// Hides everything below `offset` (DeleteRecords); whole segments go at the next [`retain`](Self::retain). True
    /// if the log start moved.
    pub fn advance_log_start(&mut self, offset: Offset) -> Result<bool, StorageError> {
        self.check_poison()?;
        let offset = offset.min(self.log_end);
        if offset <= self.log_start {
            return Ok(false);
        }
        self.log_start = offset;
        if self.epochs.truncate_from_start(offset) {
            self.save_epochs()?;
        }
        Ok(true)
    }

    /// Removes old segments by log start, size and time; none that reaches above `highest_deletable`.
    pub fn retain(
        &mut self,
        now: Timestamp,
        highest_deletable: Offset,
    ) -> Result<RetainReport, StorageError> {
        self.check_poison()?;
        let mut report = RetainReport::default();
        let below_start = |log: &Self, index: usize| {
            log.segments.get(index + 1).is_some_and(|next| next.base <= log.log_start)
        };
        self.remove_while(now, highest_deletable, &mut report, |log, index| Ok(below_start(log, index)))?;
        if !self.config.delete {
            return Ok(report);
        }
        let limit = u64::try_from(self.config.retention_bytes).ok();
        if let Some(mut excess) = limit.and_then(|limit| self.size().checked_sub(limit)) {
            self.remove_while(now, highest_deletable, &mut report, |log, index| {
                let size = log.segments[index].size;
                // Also one that compaction has emptied.
                let remove = excess >= size;
                excess = excess.saturating_sub(size);
                Ok(remove)
            })?;
        }
        let LogConfig { retention_ms, .. } = *self.config;
        if retention_ms >= 0 {
            self.remove_while(now, highest_deletable, &mut report, |log, index| {
                let newest = log.segments[index].newest(&log.place)?;
                Ok(now.0.saturating_sub(newest.0) > retention_ms)
            })?;
        }
        Ok(report)
    }

    /// Removes segments from the beginning as long as `remove` says so (`UnifiedLog.deletableSegments`).
    fn remove_while(
        &mut self,
        now: Timestamp,
        highest_deletable: Offset,
        report: &mut RetainReport,
        mut remove: impl FnMut(&Self, usize) -> Result<bool, StorageError>,
    ) -> Result<(), StorageError> {
        let mut count = 0;
        while count < self.segments.len() {
            let next = self.segments.get(count + 1);
            let end = next.map_or(self.log_end, |next| next.base);
            let last_and_empty = next.is_none() && self.segments[count].size == 0;
            if end > highest_deletable || last_and_empty || !remove(self, count)? {
                break;
            }
            count += 1;
        }
        if count == 0 {
            return Ok(());
        }
        if count == self.segments.len() {
            self.roll_at(self.log_end, now)?;
        }
        // The start moves first: a crash in between leaves files that the next start removes or hides.
        self.advance_log_start(self.segments[count].base)?;
        let removed: Vec<Segment> = self.segments.drain(..count).collect();
        let due = Timestamp(now.0.saturating_add(self.config.file_delete_delay_ms));
        for segment in &removed {
            report.segments += 1;
            report.bytes += segment.size;
            self.doom_segment(segment, now)?;
            if self.snapshots.remove(&segment.base) {
                let snapshot = self.place.path(segment.base, FileKind::Snapshot);
                self.doom(&snapshot, due)?;
            }
        }
        Ok(())
    }

    /// When the first segment is old enough to go by `retention.ms`; `None`: never by age.
    pub fn retention_due(&self) -> Result<Option<Timestamp>, StorageError> {
        let first = &self.segments[0];
        let LogConfig { delete, retention_ms, .. } = *self.config;
        if !delete || retention_ms < 0 || first.size == 0 {
            return Ok(None);
        }
        let newest = first.newest(&self.place)?;
        Ok(Some(Timestamp(newest.0.saturating_add(retention_ms).saturating_add(1))))
    }

    /// Removes the `.deleted` files whose delay has passed; tells when the next are due.
    pub fn remove_deleted(&mut self, now: Timestamp) -> Result<Option<Timestamp>, StorageError> {
        self.take_deleted(now).run()?;
        Ok(self.doomed.front().map(|(due, _)| *due))
    }

    /// The `.deleted` files whose delay has passed, to be removed without the log's lock: the pages of a large file take
    /// the kernel milliseconds. The log forgets them; what is left of them is found when it is opened again.
    pub fn take_deleted(&mut self, now: Timestamp) -> Removal {
        let mut paths = Vec::new();
        while let Some((_, name)) = self.doomed.pop_front_if(|(due, _)| *due <= now) {
            paths.push(self.place.dir.join(name));
        }
        Removal { place: self.place.clone(), paths }
    }
}

/// Files that are to be removed.
#[derive(Clone, Debug)]
pub struct Removal {
    place: Place,
    paths: Vec<PathBuf>,
}

impl Removal {
    /// Removes them; one that is gone already is no error.
    pub fn run(&self) -> Result<(), StorageError> {
        self.paths.iter().try_for_each(|path| remove_if_present(&self.place, path))
    }
}
