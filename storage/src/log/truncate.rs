//! Cutting the log's end, when a follower has what its leader does not, or a Raft entry lost its place.
//!
//! Must never leave an index entry, an epoch or a producer that tells of what was cut.

use super::place::FileKind;
use super::segment::Segment;
use super::{Log, txn_index};
use crate::StorageError;
use crate::ids::{Offset, Timestamp};

impl Log {
    /// Removes everything from `offset` on; true if anything was there. A batch that holds the offset goes whole.
    /// The caller then writes the checkpoint of the recovery point, which must not stay above the cut.
    pub fn truncate_to(&mut self, offset: Offset, now: Timestamp) -> Result<bool, StorageError> {
        self.check_poison()?;
        if offset >= self.log_end {
            // A leader that appended nothing may have noted its epoch here (`UnifiedLog.truncateTo`).
            if self.epochs.truncate_from_end(self.log_end) {
                self.save_epochs()?;
            }
            return Ok(false);
        }
        if offset < self.segments[0].base {
            self.truncate_fully_and_start_at(offset, now)?;
            return Ok(true);
        }
        self.tail.clear();
        self.unsynced.truncated();
        while self.segments.len() > 1 && self.active().base > offset {
            let segment = self.segments.pop().expect("more than one");
            self.doom_segment(&segment, now)?;
        }
        let place = self.place.clone();
        let segment = self.active_mut();
        if let Some(found) = segment.find(&place, offset)? {
            segment.truncate(&place, found.position, offset)?;
        }
        if segment.size == 0 {
            segment.created = now;
        }
        // The log is cut. What tells of it follows before anything that a full disk may refuse: the log goes on in this process.
        let base = segment.base;
        self.log_end = offset;
        self.log_start = self.log_start.min(offset);
        self.recovery_point = self.recovery_point.min(offset);
        self.epochs.unsaved |= self.epochs.truncate_from_end(offset);
        txn_index::truncate(&place, base, offset)?;
        self.rewind_producers(offset, now)?;
        self.active_mut().sync_cut(&place)?;
        if self.epochs.unsaved {
            self.save_epochs()?;
        }
        Ok(true)
    }

    /// Removes everything; the next append has this offset.
    pub fn truncate_fully_and_start_at(
        &mut self,
        offset: Offset,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        self.check_poison()?;
        self.tail.clear();
        self.unsynced.truncated();
        let segments = std::mem::take(&mut self.segments);
        let doomed = segments.iter().try_for_each(|segment| self.doom_segment(segment, now));
        let snapshots = std::mem::take(&mut self.snapshots);
        let path = |end: Offset| self.place.path(end, FileKind::Snapshot);
        let removed =
            snapshots.into_iter().try_for_each(|end| super::open::remove_if_present(&self.place, &path(end)));
        // A log always has a segment; if there is no room for its file now, that comes with the first batch.
        let (segment, created) = match Segment::create(&self.place, offset, &self.config, now) {
            Ok(segment) => (segment, Ok(())),
            Err(error) => (Segment::without_file(offset, now), Err(error)),
        };
        self.segments.push(segment);
        self.log_start = offset;
        self.log_end = offset;
        self.recovery_point = self.recovery_point.min(offset);
        self.producers = super::producers::Producers::none(offset);
        self.epochs.clear();
        self.epochs.unsaved = true;
        doomed.and(removed).and(created)?;
        self.save_epochs()
    }

    /// Gives a segment's files their time to go.
    pub(super) fn doom_segment(&mut self, segment: &Segment, now: Timestamp) -> Result<(), StorageError> {
        let due = Timestamp(now.0.saturating_add(self.config.file_delete_delay_ms));
        for kind in FileKind::OF_SEGMENT {
            let path = self.place.path(segment.base, kind);
            self.doom(&path, due)?;
        }
        Ok(())
    }
}
